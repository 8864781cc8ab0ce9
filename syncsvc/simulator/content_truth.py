"""The content of a repository as a perfect mirror holds it: plain values in GitHub's words.

Where REST and GraphQL say one thing differently, this is what both mean: a missing body is an
empty one, `merge_commit_sha` is only that of a merge, a bot's login is that of REST.
"""

from typing import Any

from syncsvc.simulator.content import Commit, Content, Issue, Item, PullRequest
from syncsvc.simulator.records import Account, Repository, rfc3339


def facts(repository: Repository, content: Content) -> dict[str, Any]:
    """All of it, newest first."""
    history = content.history(repository.default_branch)
    return {
        "issues": [issue(i) for i in reversed(content.issues)],
        "pull_requests": [pull_request(p) for p in reversed(content.pull_requests)],
        "commits": [commit(c) for c in history],
        "languages": dict(content.languages),
        "commit_count": len(history),
        "head_sha": history[0].sha if history else None,
    }


def issue(issue: Issue) -> dict[str, Any]:
    """One issue."""
    return _item(issue, issue.id) | {"state_reason": issue.state_reason}


def pull_request(pull: PullRequest) -> dict[str, Any]:
    """One pull request, with its own id and not that of its issue."""
    return _item(pull, pull.pull_id) | {
        "draft": pull.draft,
        "merged": pull.merged_at is not None,
        "merged_at": _time(pull.merged_at),
        "base_ref": pull.base_ref,
        "head_ref": pull.head_ref,
        "head_sha": pull.head_sha,
        "merge_commit_sha": pull.merge_commit.sha if pull.merge_commit else None,
    }


def commit(commit: Commit) -> dict[str, Any]:
    """One commit."""
    return {
        "sha": commit.sha,
        "author_login": _login(commit.author),
        "author_name": commit.author_name,
        "author_email": commit.author_email,
        "authored_at": rfc3339(commit.authored_at),
        "committed_at": rfc3339(commit.committed_at),
        "message": commit.message,
    }


def _item(item: Item, number: int) -> dict[str, Any]:
    return {
        "github_id": number,
        "node_id": item.node_id,
        "number": item.number,
        "title": item.title,
        "body": item.body or "",
        "state": item.state,
        "author": _login(item.author),
        "assignees": sorted(a.login for a in item.assignees),
        "labels": sorted(label.name for label in item.labels),
        "created_at": rfc3339(item.created_at),
        "updated_at": rfc3339(item.updated_at),
        "closed_at": _time(item.closed_at),
    }


def _login(account: Account | None) -> str | None:
    return account.login if account else None


def _time(moment: int | None) -> str | None:
    return None if moment is None else rfc3339(moment)
