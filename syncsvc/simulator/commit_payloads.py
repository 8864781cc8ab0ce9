"""How GitHub shows commits, branches, comparisons and trees as JSON, and pushes to webhooks."""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any

from syncsvc.simulator.content import NO_COMMIT, Commit, Content
from syncsvc.simulator.content_payloads import Place, user
from syncsvc.simulator.payloads import repository as repository_payload
from syncsvc.simulator.records import Account, Repository, rfc3339

UNSIGNED = {
    "verified": False,
    "reason": "unsigned",
    "signature": None,
    "payload": None,
    "verified_at": None,
}
MOST_IN_A_PUSH = 2048
"""More commits than that are not named in a push event."""


def commit(commit: Commit, place: Place) -> dict[str, Any]:
    """A commit (`commit`)."""
    url = f"{place.url}/commits/{commit.sha}"
    git_url = f"{place.url}/git/commits/{commit.sha}"
    tree = tree_sha(commit.sha)
    person = {"name": commit.author_name, "email": commit.author_email}
    author = user(commit.author, place.api)
    parents = [] if commit.parent is None else [commit.parent]
    return {
        "url": url,
        "sha": commit.sha,
        "node_id": commit.node_id,
        "html_url": f"{place.html_url}/commit/{commit.sha}",
        "comments_url": f"{url}/comments",
        "commit": {
            "url": git_url,
            "author": person | {"date": rfc3339(commit.authored_at)},
            "committer": person | {"date": rfc3339(commit.committed_at)},
            "message": commit.message,
            "comment_count": 0,
            "tree": {"sha": tree, "url": f"{place.url}/git/trees/{tree}"},
            "verification": UNSIGNED,
        },
        "author": author,
        "committer": author,
        "parents": [
            {
                "sha": parent,
                "url": f"{place.url}/commits/{parent}",
                "html_url": f"{place.html_url}/commit/{parent}",
            }
            for parent in parents
        ],
    }


def branch(name: str, head: Commit, place: Place) -> dict[str, Any]:
    """A branch (`branch-with-protection`)."""
    url = f"{place.url}/branches/{name}"
    return {
        "name": name,
        "commit": commit(head, place),
        "_links": {"self": url, "html": f"{place.html_url}/tree/{name}"},
        "protected": False,
        "protection": {
            "enabled": False,
            "required_status_checks": {
                "enforcement_level": "off",
                "contexts": [],
                "checks": [],
            },
        },
        "protection_url": f"{url}/protection",
    }


def comparison(
    basehead: str,
    place: Place,
    *,
    base: Commit,
    common: Commit,
    ahead: Sequence[Commit],
    behind: Sequence[Commit],
) -> dict[str, Any]:
    """Two histories side by side (`commit-comparison`); commits oldest first, without files."""
    html_url = f"{place.html_url}/compare/{basehead}"
    statuses = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    status = statuses.get((bool(ahead), bool(behind)), "identical")
    return {
        "url": f"{place.url}/compare/{basehead}",
        "html_url": html_url,
        "permalink_url": html_url,
        "diff_url": f"{html_url}.diff",
        "patch_url": f"{html_url}.patch",
        "base_commit": commit(base, place),
        "merge_base_commit": commit(common, place),
        "status": status,
        "ahead_by": len(ahead),
        "behind_by": len(behind),
        "total_commits": len(ahead),
        "commits": [commit(c, place) for c in ahead],
        "files": [],
    }


def tree_sha(sha: str) -> str:
    """The tree of a commit."""
    return sha1(f"tree {sha}".encode(), usedforsecurity=False).hexdigest()


def push(
    repository: Repository,
    owner: Account,
    content: Content,
    actor: Account,
    *,
    before: str,
    new: Sequence[Commit],
    forced: bool,
    api: str,
) -> dict[str, Any]:
    """What a `push` event says beside its sender; its repository has times as numbers."""
    name = repository.default_branch
    html_url = f"https://github.com/{owner.login}/{repository.name}"
    after = content.branches[name][-1].sha
    named = [_pushed(c, html_url) for c in new[-MOST_IN_A_PUSH:]]
    shown = repository_payload(repository, owner, api)
    shown["owner"] = {"name": owner.login, "email": None, **shown["owner"]}
    shown |= {
        "created_at": repository.created_at,
        "pushed_at": repository.pushed_at,
        "stargazers": repository.stars,
        "master_branch": name,
    }
    email = f"{actor.id}+{actor.login}@users.noreply.github.com"
    return {
        "ref": f"refs/heads/{name}",
        "before": before,
        "after": after,
        "repository": shown,
        "pusher": {"name": actor.login, "email": email},
        "created": before == NO_COMMIT,
        "deleted": False,
        "forced": forced,
        "base_ref": None,
        "compare": f"{html_url}/compare/{before[:12]}...{after[:12]}",
        "commits": named,
        "head_commit": named[-1] if named else _pushed(content.branches[name][-1], html_url),
    }


def _pushed(commit: Commit, html_url: str) -> dict[str, Any]:
    person = {"name": commit.author_name, "email": commit.author_email}
    if commit.author is not None:
        person["username"] = commit.author.login
    return {
        "id": commit.sha,
        "tree_id": tree_sha(commit.sha),
        "distinct": True,
        "message": commit.message,
        "timestamp": rfc3339(commit.committed_at),
        "url": f"{html_url}/commit/{commit.sha}",
        "author": person | {"date": rfc3339(commit.authored_at)},
        "committer": person | {"date": rfc3339(commit.committed_at)},
        "added": [],
        "removed": [],
        "modified": ["README.md"],
    }
