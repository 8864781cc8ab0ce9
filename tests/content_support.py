"""Issues, pull requests and commits as GitHub shows them, by REST and by GraphQL."""

from typing import Any

SHA = "0123456789abcdef0123456789abcdef01234567"


def rest_user(login: str = "octocat", kind: str = "User") -> dict[str, Any]:
    return {"login": login, "id": 583231, "type": kind}


def rest_issue(number: int = 1, **changes: Any) -> dict[str, Any]:
    """An issue as REST shows it."""
    return {
        "id": 1000 + number,
        "node_id": f"I_{number}",
        "number": number,
        "title": f"Issue {number}",
        "body": "It fails.",
        "state": "open",
        "state_reason": None,
        "user": rest_user(),
        "assignee": None,
        "assignees": [],
        "labels": [],
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-02T00:00:00Z",
        "closed_at": None,
        **changes,
    }


def rest_pull_request(number: int = 1, **changes: Any) -> dict[str, Any]:
    """A pull request as REST's lists show it."""
    return {
        "id": 2000 + number,
        "node_id": f"PR_{number}",
        "number": number,
        "title": f"Pull request {number}",
        "body": None,
        "state": "open",
        "draft": False,
        "user": rest_user(),
        "assignees": [],
        "labels": [],
        "base": {"ref": "main", "sha": SHA},
        "head": {"ref": "topic", "sha": SHA},
        "merge_commit_sha": None,
        "merged_at": None,
        "created_at": "2025-01-01T00:00:00Z",
        "updated_at": "2025-01-02T00:00:00Z",
        "closed_at": None,
        **changes,
    }


def rest_commit(sha: str = SHA, **changes: Any) -> dict[str, Any]:
    """A commit as REST's lists show it."""
    return {
        "sha": sha,
        "author": rest_user(),
        "commit": {
            "author": {
                "name": "Octo Cat",
                "email": "octo@example.com",
                "date": "2025-01-01T00:00:00Z",
            },
            "committer": {
                "name": "GitHub",
                "email": "noreply@github.com",
                "date": "2025-01-01T00:01:00Z",
            },
            "message": "Add it",
        },
        **changes,
    }


def connection(*nodes: Any, after: str | None = None, **more: Any) -> dict[str, Any]:
    """A page of a GraphQL list; `after` says that there is more."""
    info = {"hasNextPage": after is not None, "endCursor": after}
    return {"nodes": list(nodes), "pageInfo": info, **more}


def node_issue(number: int = 1, **changes: Any) -> dict[str, Any]:
    """The same issue as GraphQL shows it."""
    return {
        "id": f"I_{number}",
        "fullDatabaseId": str(1000 + number),
        "number": number,
        "title": f"Issue {number}",
        "body": "It fails.",
        "state": "OPEN",
        "stateReason": None,
        "author": {"__typename": "User", "login": "octocat"},
        "assignees": connection(),
        "labels": connection(),
        "createdAt": "2025-01-01T00:00:00Z",
        "updatedAt": "2025-01-02T00:00:00Z",
        "closedAt": None,
        **changes,
    }


def node_pull_request(number: int = 1, **changes: Any) -> dict[str, Any]:
    """The same pull request as GraphQL shows it."""
    return {
        "id": f"PR_{number}",
        "fullDatabaseId": str(2000 + number),
        "number": number,
        "title": f"Pull request {number}",
        "body": "",
        "state": "OPEN",
        "isDraft": False,
        "merged": False,
        "mergedAt": None,
        "baseRefName": "main",
        "headRefName": "topic",
        "headRefOid": SHA,
        "mergeCommit": None,
        "author": {"__typename": "User", "login": "octocat"},
        "assignees": connection(),
        "labels": connection(),
        "createdAt": "2025-01-01T00:00:00Z",
        "updatedAt": "2025-01-02T00:00:00Z",
        "closedAt": None,
        **changes,
    }


def node_commit(sha: str = SHA, **changes: Any) -> dict[str, Any]:
    """The same commit as GraphQL shows it."""
    return {
        "oid": sha,
        "message": "Add it",
        "authoredDate": "2025-01-01T00:00:00Z",
        "committedDate": "2025-01-01T00:01:00Z",
        "author": {"name": "Octo Cat", "email": "octo@example.com", "user": {"login": "octocat"}},
        **changes,
    }
