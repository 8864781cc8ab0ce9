"""What the fields of issues, pull requests and labels are."""

from collections.abc import Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

from syncsvc.simulator.content import Issue, Item, PullRequest
from syncsvc.simulator.graphql.environment import Environment
from syncsvc.simulator.graphql.plan import Bound, Getter
from syncsvc.simulator.graphql.readers import listed, small, time_of, time_or_none
from syncsvc.simulator.graphql.windows import Ordered, Window
from syncsvc.simulator.records import Repository

Readers = Mapping[str, Getter | Bound]


def repository_of(env: Environment, _: dict[str, Any]) -> Getter:
    """The repository that something belongs to."""
    return lambda found: env.world.repositories[found.repository_id]


def _path(env: Environment, _: dict[str, Any]) -> Getter:
    def read(item: Item) -> str:
        kind = "pull" if isinstance(item, PullRequest) else "issues"
        repository = env.world.repositories[item.repository_id]
        return f"/{env.world.full_name(repository)}/{kind}/{item.number}"

    return read


def _labels(_: Environment, arguments: dict[str, Any]) -> Getter:
    order = arguments.get("orderBy") or {}
    field = "name" if order.get("field") == "NAME" else "id"
    descending = order.get("direction") == "DESC"

    def read(item: Item) -> Window:
        ordered = Ordered(
            item.labels, lambda label: (getattr(label, field), label.id), descending=descending
        )
        return ordered.window(arguments)

    return read


def _reason(_: Environment, arguments: dict[str, Any]) -> Getter:
    """Who does not ask for `DUPLICATE` is told `NOT_PLANNED`."""
    known = {"completed": "COMPLETED", "not_planned": "NOT_PLANNED", "reopened": "REOPENED"}
    known["duplicate"] = "DUPLICATE" if arguments.get("enableDuplicate") else "NOT_PLANNED"

    def read(issue: Issue) -> str | None:
        return None if issue.state_reason is None else known[issue.state_reason]

    return read


def _pull_state(pull: PullRequest) -> str:
    return "MERGED" if pull.merged_at is not None else pull.state.upper()


def _of_base(env: Environment, _: dict[str, Any]) -> Getter:
    def read(pull: PullRequest) -> Repository | None:
        return None if pull.head_gone else env.world.repositories[pull.repository_id]

    return read


def _head_owner(env: Environment, _: dict[str, Any]) -> Getter:
    def read(pull: PullRequest) -> Any:
        if pull.head_gone:
            return None
        return env.world.accounts[env.world.repositories[pull.repository_id].owner_id]

    return read


def _trial(env: Environment, _: dict[str, Any]) -> Getter:
    """The trial merge of an open pull request; null when its base has no commit any more."""

    def read(pull: PullRequest) -> Any:
        if pull.state != "open":
            return None
        repository = env.world.repositories[pull.repository_id]
        base = env.world.content(repository).commit(pull.base_ref)
        return None if base is None else replace(base, sha=pull.test_sha)

    return read


ITEM: Readers = {
    "assignees": listed(attrgetter("assignees"), key=attrgetter("assignees")),
    "author": Bound(lambda *_: attrgetter("author"), key=attrgetter("author")),
    "authorAssociation": lambda i: "NONE" if i.author is None else "CONTRIBUTOR",
    "body": lambda i: i.body or "",
    "bodyText": lambda i: i.body or "",
    "closed": lambda i: i.state == "closed",
    "closedAt": time_or_none("closed_at"),
    "createdAt": time_of("created_at"),
    "id": attrgetter("node_id"),
    "labels": Bound(_labels, key=attrgetter("labels")),
    "locked": lambda _: False,
    "number": attrgetter("number"),
    "repository": Bound(repository_of, key=attrgetter("repository_id")),
    "resourcePath": Bound(_path),
    "title": attrgetter("title"),
    "updatedAt": time_of("updated_at"),
    "url": Bound(lambda env, _: lambda i: "https://github.com" + _path(env, {})(i)),
}

ISSUES: Mapping[str, Readers] = {
    "Issue": {
        **ITEM,
        "databaseId": small("id"),
        "fullDatabaseId": lambda i: str(i.id),
        "state": lambda i: i.state.upper(),
        "stateReason": Bound(_reason),
    },
    "PullRequest": {
        **ITEM,
        "baseRefName": attrgetter("base_ref"),
        "baseRefOid": attrgetter("base_sha"),
        "baseRepository": Bound(repository_of),
        "databaseId": small("pull_id"),
        "fullDatabaseId": lambda p: str(p.pull_id),
        "headRefName": attrgetter("head_ref"),
        "headRefOid": attrgetter("head_sha"),
        "headRepository": Bound(_of_base),
        "headRepositoryOwner": Bound(_head_owner),
        "isCrossRepository": attrgetter("head_gone"),
        "isDraft": attrgetter("draft"),
        "mergeCommit": attrgetter("merge_commit"),
        "merged": lambda p: p.merged_at is not None,
        "mergedAt": time_or_none("merged_at"),
        "mergedBy": Bound(lambda *_: attrgetter("merged_by"), key=attrgetter("merged_by")),
        "potentialMergeCommit": Bound(_trial),
        "state": _pull_state,
    },
    "Label": {
        "color": attrgetter("color"),
        "description": attrgetter("description"),
        "id": attrgetter("node_id"),
        "isDefault": attrgetter("default"),
        "name": attrgetter("name"),
        "url": Bound(
            lambda env, _: (
                lambda label: (
                    env.html_url(env.world.repositories[label.id // 100])
                    + f"/labels/{label.name.replace(' ', '%20')}"
                )
            )
        ),
    },
}
