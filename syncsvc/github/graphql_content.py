"""What GraphQL says about issues, pull requests, commits and repositories, in REST's words.

Hides GraphQL's names and nesting. Everything is handed to the parsers of `content`, so that a row
is the same whichever way it came. Pure.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from syncsvc.github.content import Languages, is_sha, parse_languages
from syncsvc.github.reading import Entity
from syncsvc.github.values import InvalidRecord, is_id, is_mapping, parse_time, some_text

_MAX_DIGITS: Final = 19
_CI_FILES: Final = frozenset(
    {
        ".appveyor.yml",
        ".buildkite",
        ".circleci",
        ".drone.yml",
        ".gitlab-ci.yml",
        ".travis.yml",
        "appveyor.yml",
        "azure-pipelines.yml",
        "bitbucket-pipelines.yml",
        "jenkinsfile",
    }
)
_TEST_FOLDERS: Final = frozenset({"__tests__", "e2e", "spec", "specs", "test", "tests"})


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryOverview:
    """What one look tells of a repository: enough to know what has to be read anew (R5.5).

    `node_id` is the id that was asked for; GitHub may answer with the newer form. `github_id` is
    None where it has more than 32 bits, which GraphQL cannot say. Counts are of all states;
    `commits` is the length of the default branch's history. `languages`, `has_ci` and `has_tests`
    are None where they were not asked for or could not be read; the latter two are guesses by
    names in the root folder. `latest_issue_at` marks change: REST may give the time of a pull
    request instead, where many of these were updated after the last issue.
    """

    node_id: str
    github_id: int | None
    full_name: str
    is_empty: bool
    issues: int
    pull_requests: int
    latest_issue_at: datetime | None
    latest_pull_request_at: datetime | None
    default_branch: str | None
    head_oid: str | None
    commits: int
    languages: Languages | None
    has_ci: bool | None
    has_tests: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Nested:
    """The lists inside one item: what came of them, and where to go on if that was not all."""

    labels: tuple[Any, ...]
    labels_after: str | None
    assignees: tuple[Any, ...]
    assignees_after: str | None
    is_whole: bool


def _nodes(connection: object) -> list[Any]:
    nodes = connection.get("nodes") if is_mapping(connection) else None
    return nodes if isinstance(nodes, list) else []


def page_info(connection: object) -> tuple[bool, str | None]:
    """Whether there is more, and the cursor to go on from. Without a cursor there is no more."""
    info = connection.get("pageInfo") if is_mapping(connection) else None
    if not is_mapping(info):
        return False, None
    cursor = some_text(info.get("endCursor"))
    return info.get("hasNextPage") is True and cursor is not None, cursor


def nested_of(node: object) -> Nested:
    """The labels and assignees of an issue or pull request node."""
    labels = node.get("labels") if is_mapping(node) else None
    assignees = node.get("assignees") if is_mapping(node) else None
    more_labels, labels_after = page_info(labels)
    more_assignees, assignees_after = page_info(assignees)
    return Nested(
        labels=tuple(_nodes(labels)),
        labels_after=labels_after,
        assignees=tuple(_nodes(assignees)),
        assignees_after=assignees_after,
        is_whole=not more_labels and not more_assignees,
    )


def _database_id(node: Mapping[str, Any]) -> int | None:
    """`fullDatabaseId` is a text; `databaseId` is null beyond 32 bits."""
    text = node.get("fullDatabaseId")
    if type(text) is str and text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    for value in (text, node.get("databaseId")):
        if is_id(value):
            return value
    return None


def _account(actor: object) -> dict[str, Any] | None:
    if not is_mapping(actor):
        return None
    return {"login": actor.get("login"), "type": actor.get("__typename")}


def _item(node: object) -> tuple[Mapping[str, Any], dict[str, Any]]:
    if not is_mapping(node):
        raise InvalidRecord("", "not an object", node)
    nested = nested_of(node)
    return node, {
        "id": _database_id(node),
        "node_id": node.get("id"),
        "number": node.get("number"),
        "title": node.get("title"),
        "body": node.get("body"),
        "user": _account(node.get("author")),
        "assignees": list(nested.assignees),
        "labels": list(nested.labels),
        "created_at": node.get("createdAt"),
        "updated_at": node.get("updatedAt"),
        "closed_at": node.get("closedAt"),
    }


def rest_issue(node: object) -> dict[str, Any]:
    """An issue node as REST would show it; raises `InvalidRecord` when it is no object."""
    node, item = _item(node)
    return item | {"state": node.get("state"), "state_reason": node.get("stateReason")}


def rest_pull_request(node: object) -> dict[str, Any]:
    """A pull request node as REST would show it; raises `InvalidRecord` when it is no object."""
    node, item = _item(node)
    merge = node.get("mergeCommit")
    state = node.get("state")
    return item | {
        "state": "closed" if state == "MERGED" else state,
        "draft": node.get("isDraft"),
        "merged": node.get("merged"),
        "merged_at": node.get("mergedAt"),
        "base": {"ref": node.get("baseRefName")},
        "head": {"ref": node.get("headRefName"), "sha": node.get("headRefOid")},
        "merge_commit_sha": merge.get("oid") if is_mapping(merge) else None,
    }


def rest_commit(node: object) -> dict[str, Any]:
    """A commit node as REST would show it; raises `InvalidRecord` when it is no object."""
    if not is_mapping(node):
        raise InvalidRecord("", "not an object", node)
    actor = node.get("author")
    actor = actor if is_mapping(actor) else {}
    return {
        "sha": node.get("oid"),
        "author": actor.get("user"),
        "commit": {
            "author": {
                "name": actor.get("name"),
                "email": actor.get("email"),
                "date": node.get("authoredDate"),
            },
            "committer": {"date": node.get("committedDate")},
            "message": node.get("message"),
        },
    }


# -- repositories ----------------------------------------------------------------------------------


def _count(node: Mapping[str, Any], key: str) -> int:
    connection = node.get(key)
    total = connection.get("totalCount") if is_mapping(connection) else None
    if type(total) is not int or total < 0:
        raise InvalidRecord(f"{key}.totalCount", "missing or not a count", node)
    return total


def _latest(node: Mapping[str, Any], key: str) -> datetime | None:
    times = (parse_time(each.get("updatedAt")) for each in _nodes(node.get(key)) if each)
    return max((moment for moment in times if moment is not None), default=None)


def languages_of(connection: object) -> dict[str, int]:
    """The sizes in one page of a repository's languages."""
    edges = connection.get("edges") if is_mapping(connection) else None
    found: dict[str, int] = {}
    for edge in edges if isinstance(edges, list) else []:
        language = edge.get("node") if is_mapping(edge) else None
        if is_mapping(language):
            found[str(language.get("name") or "")] = edge.get("size")
    return dict(parse_languages(found))


def _root_names(node: Mapping[str, Any]) -> frozenset[str] | None:
    root = node.get("root")
    entries = root.get("entries") if is_mapping(root) else None
    if not isinstance(entries, list):
        return None
    names = (each.get("name") for each in entries if is_mapping(each))
    return frozenset(name.lower() for name in names if type(name) is str)


def parse_overview(
    node: object, asked_id: str, entities: Collection[Entity] = frozenset(Entity)
) -> RepositoryOverview:
    """One repository node of the overview; raises `InvalidRecord` when counts are missing.

    Lists that were not asked for, because they are not among `entities`, look empty.
    """
    if not is_mapping(node):
        raise InvalidRecord("", "not an object", node)
    branch, head, commits = _branch(node) if Entity.COMMITS in entities else (None, None, 0)
    names = _root_names(node)
    detailed = is_mapping(node.get("languages"))
    return RepositoryOverview(
        node_id=asked_id,
        github_id=_database_id(node),
        full_name=some_text(node.get("nameWithOwner")) or "",
        is_empty=node.get("isEmpty") is True,
        issues=_count(node, "issues") if Entity.ISSUES in entities else 0,
        pull_requests=_count(node, "pullRequests") if Entity.PULL_REQUESTS in entities else 0,
        latest_issue_at=_latest(node, "issues"),
        latest_pull_request_at=_latest(node, "pullRequests"),
        default_branch=branch,
        head_oid=head,
        commits=commits,
        languages=parse_languages(languages_of(node["languages"])) if detailed else None,
        has_ci=_has_ci(node, names),
        has_tests=None if names is None else has_test_folder(names),
    )


def _branch(node: Mapping[str, Any]) -> tuple[str | None, str | None, int]:
    """The default branch's name, head and length. Only null says that there is none: a part that is
    missing must not look like a history that is empty."""
    if "defaultBranchRef" not in node:
        raise InvalidRecord("defaultBranchRef", "missing", node)
    branch = node["defaultBranchRef"]
    if branch is None:
        return None, None, 0
    target = branch.get("target") if is_mapping(branch) else None
    head = target.get("oid") if is_mapping(target) else None
    if type(head) is not str or not is_sha(head) or not is_mapping(target):
        raise InvalidRecord("defaultBranchRef.target.oid", "missing or not a git object", node)
    return some_text(branch.get("name")), head, _count(target, "history")


def _has_ci(node: Mapping[str, Any], names: frozenset[str] | None) -> bool | None:
    if is_mapping(node.get("workflows")):
        return True
    return None if names is None else has_ci_file(names)


def has_ci_file(names: frozenset[str]) -> bool:
    """Whether the root folder has a file of a CI service; `names` are in lower case."""
    return not names.isdisjoint(_CI_FILES)


def has_test_folder(names: frozenset[str]) -> bool:
    """Whether the root folder has one where tests usually are; `names` are in lower case."""
    return not names.isdisjoint(_TEST_FOLDERS)
