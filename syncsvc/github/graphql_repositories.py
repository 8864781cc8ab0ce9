"""Repositories one by one through GraphQL: the row that REST gives, by another way (R8.3).

Hides GraphQL's names and nesting, what it cannot say (those fields are `absent`, as in a payload that
does not carry them), and how one repository's failure is kept apart from the others.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from syncsvc.github import graphql
from syncsvc.github.errors import (
    AuthenticationFailed,
    ConfigurationError,
    GitHubError,
    NotFound,
    RateLimited,
    ServerError,
    Suspended,
)
from syncsvc.github.graphql import ALL, Query, QueryAnswer
from syncsvc.github.graphql_wire import Wire
from syncsvc.github.payloads import RepositoryRow, parse_repository
from syncsvc.github.reading import Entity
from syncsvc.github.values import InvalidRecord, is_mapping

MOST_AT_ONCE: Final = 50
"""So many a request: GitHub answers well within its ten seconds."""

POINTS: Final = 3
"""What a request costs at most: two counts and the topics of each repository."""

_OURS: Final = (AuthenticationFailed, ConfigurationError, RateLimited, Suspended)


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """A repository that is asked for: its global id, and GitHub's id, which GraphQL cannot tell once
    it has more than 32 bits."""

    node_id: str
    github_id: int


def repositories_query(node_ids: Sequence[str], entities: Collection[Entity] = ALL) -> Query:
    """The query for at most 100 repositories. A list that is not among `entities` is not asked for."""
    return Query(
        text=graphql.query_text("repositories"),
        variables={
            "ids": list(node_ids),
            "issues": Entity.ISSUES in entities,
            "pullRequests": Entity.PULL_REQUESTS in entities,
            "commits": Entity.COMMITS in entities,
        },
        points=POINTS,
    )


def read_repositories(
    wire: Wire, asked: Sequence[Known], entities: Collection[Entity] = ALL
) -> dict[int, RepositoryRow | GitHubError]:
    """What GitHub says of each of these repositories, by its id: a row, or why there is none.

    Raises what says something about us: a limit, a refused credential, a suspension. Any other error of
    a request is that of the repositories which were asked for together.
    """
    found: dict[int, RepositoryRow | GitHubError] = {}
    for start in range(0, len(asked), MOST_AT_ONCE):
        part = asked[start : start + MOST_AT_ONCE]
        try:
            query = repositories_query([each.node_id for each in part], entities)
            answer = wire.ask(query).answer
        except _OURS:
            raise
        except GitHubError as error:
            # That there is no GraphQL at all says nothing about a repository.
            failure = (
                error if not error.is_evidence_of_absence else ServerError(status=error.status)
            )
            found |= dict.fromkeys((each.github_id for each in part), failure)
            continue
        for index, each in enumerate(part):
            found[each.github_id] = _read(answer, index, len(part), each)
    return found


def _read(answer: QueryAnswer, index: int, size: int, asked: Known) -> RepositoryRow | GitHubError:
    errors = answer.errors_at("nodes", index)
    if errors:
        return errors[0].as_error()
    nodes = (answer.data or {}).get("nodes")
    node = nodes[index] if isinstance(nodes, list) and len(nodes) == size else None
    if node is None and isinstance(nodes, list):
        return NotFound(status=200, detail="null without an error")
    try:
        return parse_node(node, asked)
    except InvalidRecord as problem:
        return ServerError(status=200, detail=f"the repository lacks {problem.field}")


def parse_node(node: object, asked: Known) -> RepositoryRow:
    """The row of a repository node; raises `InvalidRecord`, also when it is another repository.

    `absent` names what GraphQL does not say: the default branch of a repository without commits, open
    issues where one of the two counts may not be read, a global id in the other of its two forms.
    """
    if not is_mapping(node):
        raise InvalidRecord("", "not an object", node)
    if node.get("databaseId") not in (None, asked.github_id):
        raise InvalidRecord("databaseId", "that of another repository", node)
    return parse_repository(rest_repository(node, asked))


def rest_repository(node: Mapping[str, Any], asked: Known) -> dict[str, Any]:
    """A repository node as REST would show it; keys that GraphQL cannot fill are left out."""
    visibility = node.get("visibility")
    owner = node.get("owner")
    shown: dict[str, Any] = {
        "id": asked.github_id,
        "node_id": node.get("id"),
        "name": node.get("name"),
        "owner": {"login": owner.get("login"), "id": owner.get("databaseId")}
        if is_mapping(owner)
        else None,
        "description": node.get("description"),
        "visibility": visibility.lower() if isinstance(visibility, str) else None,
        "archived": node.get("isArchived"),
        "disabled": node.get("isDisabled"),
        "fork": node.get("isFork"),
        "language": _inside(node, "primaryLanguage", "name"),
        "topics": _topics(node.get("repositoryTopics")),
        "stargazers_count": node.get("stargazerCount"),
        "forks_count": node.get("forkCount"),
        "open_issues_count": _open_issues(node),
        "size": node.get("diskUsage"),
        "homepage": node.get("homepageUrl"),
        "license": _license(node.get("licenseInfo")),
        "created_at": node.get("createdAt"),
        "updated_at": node.get("updatedAt"),
        "pushed_at": node.get("pushedAt"),
    }
    branch = _inside(node, "defaultBranchRef", "name")
    if branch is not None:  # without a commit there is no branch, though REST knows its name
        shown["default_branch"] = branch
    if _is_new_form(node.get("id")) != _is_new_form(asked.node_id):
        del shown["node_id"]
    return shown


def _inside(node: Mapping[str, Any], field: str, name: str) -> Any:
    value = node.get(field)
    return value.get(name) if is_mapping(value) else None


def _topics(connection: object) -> list[Any] | None:
    nodes = connection.get("nodes") if is_mapping(connection) else None
    if not isinstance(nodes, list):
        return None
    return [_inside(each, "topic", "name") for each in nodes if is_mapping(each)]


def _open_issues(node: Mapping[str, Any]) -> int | None:
    counts = [_inside(node, field, "totalCount") for field in ("issues", "pullRequests")]
    return sum(counts) if all(type(each) is int for each in counts) else None


def _license(value: object) -> dict[str, Any] | None:
    if not is_mapping(value):
        return None
    return {"key": value.get("key"), "spdx_id": value.get("spdxId")}


def _is_new_form(node_id: object) -> bool:
    return isinstance(node_id, str) and node_id.startswith("R_")
