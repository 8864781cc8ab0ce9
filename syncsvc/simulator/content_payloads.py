"""How GitHub shows issues, pull requests and labels as JSON.

Hides the links. Users and repositories are put in as JSON that was made before; shapes
follow GitHub's OpenAPI description and its example webhook payloads.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from syncsvc.simulator.content import Issue, Item, Label, PullRequest
from syncsvc.simulator.payloads import HTML_URL, simple_user
from syncsvc.simulator.records import Account, AccountType, rfc3339

GHOST = Account(10_137, "ghost", "User", "Deleted user", None, None, 0, 0)
"""Whom GitHub names where a deleted user must not be null."""


@dataclass(frozen=True, slots=True)
class Place:
    """The repository that something is shown in: its links, and itself as JSON."""

    full_name: str
    api: str
    repository: orjson.Fragment
    owner: Account

    @property
    def url(self) -> str:
        """In the API."""
        return f"{self.api}/repos/{self.full_name}"

    @property
    def html_url(self) -> str:
        """For people."""
        return f"{HTML_URL}/{self.full_name}"


def user(account: Account | None, api: str) -> orjson.Fragment | None:
    """An account as it is embedded; None for a deleted one."""
    return None if account is None else _user(account.id, account.login, account.type, api)


@lru_cache(maxsize=1024)
def _user(number: int, login: str, kind: AccountType, api: str) -> orjson.Fragment:
    account = Account(number, login, kind, "", None, None, 0, 0)
    return orjson.Fragment(orjson.dumps(simple_user(account, api)))


def label(label: Label, place: Place) -> dict[str, Any]:
    """A label."""
    return {
        "id": label.id,
        "node_id": label.node_id,
        "url": f"{place.url}/labels/{label.name.replace(' ', '%20')}",
        "name": label.name,
        "color": label.color,
        "default": label.default,
        "description": label.description,
    }


def issue(item: Issue | PullRequest, place: Place) -> dict[str, Any]:
    """An issue (`issue`); a pull request has a key more, and the id of its issue."""
    kind = "pull" if isinstance(item, PullRequest) else "issues"
    url, html_url = f"{place.url}/issues/{item.number}", f"{place.html_url}/{kind}/{item.number}"
    shown = _common(item, place) | {
        "url": url,
        "repository_url": place.url,
        "labels_url": f"{url}/labels{{/name}}",
        "comments_url": f"{url}/comments",
        "events_url": f"{url}/events",
        "html_url": html_url,
        "timeline_url": f"{url}/timeline",
        "id": item.id,
        "node_id": item.issue_node_id if isinstance(item, PullRequest) else item.node_id,
        "comments": item.comments,
        "state_reason": item.state_reason if isinstance(item, Issue) else None,
        "performed_via_github_app": None,
        "reactions": _reactions(url),
        "draft": False,
    }
    if isinstance(item, PullRequest):
        shown["draft"] = item.draft
        shown["pull_request"] = {
            "url": f"{place.url}/pulls/{item.number}",
            "html_url": html_url,
            "diff_url": f"{html_url}.diff",
            "patch_url": f"{html_url}.patch",
            "merged_at": time(item.merged_at),
        }
    return shown


def full_issue(item: Issue | PullRequest, place: Place) -> dict[str, Any]:
    """An issue on its own says who closed it."""
    return issue(item, place) | {"closed_by": user(item.closed_by, place.api)}


def pull_request(pull: PullRequest, place: Place) -> dict[str, Any]:
    """A pull request in a listing (`pull-request-simple`)."""
    url, html_url = f"{place.url}/pulls/{pull.number}", f"{place.html_url}/pull/{pull.number}"
    issue_url = f"{place.url}/issues/{pull.number}"
    statuses = f"{place.url}/statuses/{pull.head_sha}"
    links = {
        "self": url,
        "html": html_url,
        "issue": issue_url,
        "comments": f"{issue_url}/comments",
        "review_comments": f"{url}/comments",
        "review_comment": f"{place.url}/pulls/comments{{/number}}",
        "commits": f"{url}/commits",
        "statuses": statuses,
    }
    return _common(pull, place) | {
        "url": url,
        "id": pull.pull_id,
        "node_id": pull.node_id,
        "html_url": html_url,
        "diff_url": f"{html_url}.diff",
        "patch_url": f"{html_url}.patch",
        "issue_url": issue_url,
        "merged_at": time(pull.merged_at),
        "merge_commit_sha": pull.merge_commit.sha if pull.merge_commit else pull.test_sha,
        "requested_reviewers": [],
        "requested_teams": [],
        "commits_url": links["commits"],
        "review_comments_url": links["review_comments"],
        "review_comment_url": links["review_comment"],
        "comments_url": links["comments"],
        "statuses_url": statuses,
        "head": _head(pull, place),
        "base": _end(place.owner, pull.base_ref, pull.base_sha, place.repository, place),
        "_links": {name: {"href": target} for name, target in links.items()},
        "auto_merge": None,
        "draft": pull.draft,
    }


def full_pull_request(pull: PullRequest, place: Place) -> dict[str, Any]:
    """A pull request on its own (`pull-request`), and in webhooks."""
    is_open = pull.state == "open"
    return pull_request(pull, place) | {
        "user": user(pull.author or GHOST, place.api),
        "merged": pull.merged_at is not None,
        "mergeable": True if is_open else None,
        "rebaseable": True if is_open else None,
        "mergeable_state": "clean" if is_open else "unknown",
        "merged_by": user(pull.merged_by, place.api),
        "comments": pull.comments,
        "review_comments": 0,
        "maintainer_can_modify": False,
        "commits": 1 + pull.number % 5,
        "additions": pull.number % 97,
        "deletions": pull.number % 31,
        "changed_files": 1 + pull.number % 7,
    }


def time(moment: int | None) -> str | None:
    """Epoch seconds as text; None stays None."""
    return None if moment is None else rfc3339(moment)


def _common(item: Item, place: Place) -> dict[str, Any]:
    assignees = [user(a, place.api) for a in item.assignees]
    return {
        "number": item.number,
        "title": item.title,
        "user": user(item.author, place.api),
        "labels": [label(found, place) for found in item.labels],
        "state": item.state,
        "locked": False,
        "assignee": assignees[0] if assignees else None,
        "assignees": assignees,
        "milestone": None,
        "created_at": rfc3339(item.created_at),
        "updated_at": rfc3339(item.updated_at),
        "closed_at": time(item.closed_at),
        "author_association": "NONE" if item.author is None else "CONTRIBUTOR",
        "active_lock_reason": None,
        "body": item.body,
    }


def _head(pull: PullRequest, place: Place) -> dict[str, Any]:
    """Where it comes from; a fork that was deleted leaves null."""
    if not pull.head_gone:
        return _end(place.owner, pull.head_ref, pull.head_sha, place.repository, place)
    return _end(pull.author, pull.head_ref, pull.head_sha, None, place)


def _end(
    owner: Account | None,
    ref: str,
    sha: str,
    repository: orjson.Fragment | None,
    place: Place,
) -> dict[str, Any]:
    return {
        "label": f"{owner.login}:{ref}" if owner else ref,
        "ref": ref,
        "sha": sha,
        "user": user(owner, place.api),
        "repo": repository,
    }


def _reactions(url: str) -> dict[str, Any]:
    names = ("+1", "-1", "laugh", "hooray", "confused", "heart", "rocket", "eyes")
    return {"url": f"{url}/reactions", "total_count": 0, **dict.fromkeys(names, 0)}
