"""Which rows a GraphQL answer holds for one page that was asked for, or why it holds none.

Hides partial answers: an error may spoil one repository, one list or one item, and the rest of the
answer is as good as any. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from syncsvc.github.content import CommitRow, is_sha, parse_commit, parse_issue, parse_pull_request
from syncsvc.github.errors import GitHubError, NotFound, ServerError
from syncsvc.github.graphql import QueryAnswer, QueryError, field_of
from syncsvc.github.graphql_content import (
    Nested,
    nested_of,
    page_info,
    rest_commit,
    rest_issue,
    rest_pull_request,
)
from syncsvc.github.payloads import BadRecord, parse_each
from syncsvc.github.planning import PagePlan
from syncsvc.github.reading import ContentPage, ContentRow, Entity, Reading
from syncsvc.github.values import is_mapping

_TRIES_OF_ONE: Final = 2

_PARSERS: Final[Mapping[Entity, Callable[[object], ContentRow]]] = {
    Entity.ISSUES: lambda node: parse_issue(rest_issue(node)),
    Entity.PULL_REQUESTS: lambda node: parse_pull_request(rest_pull_request(node)),
    Entity.COMMITS: lambda node: parse_commit(rest_commit(node)),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """A page that came. `unfinished` are nodes with more labels or assignees than came along."""

    page: ContentPage
    unfinished: tuple[Mapping[str, Any], ...]
    received: int
    cursor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A page that did not come. `again`: it may come when it is asked for once more, or smaller."""

    error: GitHubError
    again: bool


def read_page(plan: PagePlan, alias: str, answer: QueryAnswer) -> Arrived | Missing:
    """The page that `plan` asked for, from the answer in which its repository is `alias`."""
    repository = (answer.data or {}).get(alias)
    touching = _touching(answer, alias, field_of(plan))
    connection, head_oid = _connection(plan, repository)
    if connection is None:
        if plan.reading.entity is Entity.COMMITS and _is_empty(repository) and not answer.errors:
            page = ContentPage(reading=plan.reading, rows=(), total=0)
            return Arrived(page=page, unfinished=(), received=0, cursor=None)
        return _why_nothing(repository, touching, answer)
    nodes, info = connection.get("nodes"), connection.get("pageInfo")
    passing = next((each for each in touching if each.is_too_big), None)
    stubborn = plan.size == 1 and plan.attempt >= _TRIES_OF_ONE
    if passing is not None and not stubborn:
        return Missing(error=passing.as_error(), again=True)
    more, cursor = page_info(connection)
    stuck = more and (cursor == plan.cursor or not nodes)
    if not isinstance(nodes, list) or not is_mapping(info) or stuck:
        return Missing(error=ServerError(status=200, detail="a list came in part"), again=True)
    spoiled = {each.path[each.path.index("nodes") + 1] for each in touching if _is_in_node(each)}
    nodes = [None if index in spoiled else node for index, node in enumerate(nodes)]
    return _arrived(plan, connection, nodes, head_oid)


def _is_in_node(error: QueryError) -> bool:
    """Whether it spoils something inside one item: what is null there then is not known."""
    return "nodes" in error.path[:-1]


def _touching(answer: QueryAnswer, alias: str, name: str) -> tuple[QueryError, ...]:
    return tuple(each for each in answer.errors_at(alias, name) if each.path)


def _connection(plan: PagePlan, repository: object) -> tuple[Mapping[str, Any] | None, str | None]:
    value = repository.get(field_of(plan)) if is_mapping(repository) else None
    head_oid = None
    if plan.reading.entity is Entity.COMMITS:
        target = value.get("target") if is_mapping(value) else None
        value = target.get("history") if is_mapping(target) else None
        oid = target.get("oid") if is_mapping(target) else None
        head_oid = oid if is_sha(oid) else None
    return (value if is_mapping(value) else None), head_oid


def _is_empty(repository: object) -> bool:
    """A repository without commits has no default branch."""
    key = "defaultBranchRef"
    return is_mapping(repository) and key in repository and repository[key] is None


def _why_nothing(
    repository: object, touching: tuple[QueryError, ...], answer: QueryAnswer
) -> Missing:
    pathless = tuple(each for each in answer.errors if not each.path)
    errors = touching or pathless
    if errors:
        worst = next((each for each in errors if not each.is_too_big), errors[0])
        return Missing(error=worst.as_error(), again=worst.is_too_big)
    if repository is None and answer.data is not None:
        return Missing(error=NotFound(status=200, detail="null without an error"), again=False)
    return Missing(error=ServerError(status=200, detail="a list is missing"), again=True)


def _arrived(
    plan: PagePlan, connection: Mapping[str, Any], nodes: list[Any], head_oid: str | None
) -> Arrived:
    has_lists = plan.reading.entity is not Entity.COMMITS
    unfinished = [n for n in nodes if has_lists and n is not None and not nested_of(n).is_whole]
    whole = [node for node in nodes if node not in unfinished] if unfinished else nodes
    rows, bad = parse_each(whole, _PARSERS[plan.reading.entity])
    kept = since_kept(plan.reading, rows)
    more, cursor = page_info(connection)
    limit = plan.reading.limit
    if len(kept) < len(rows) or (limit is not None and plan.seen + len(nodes) >= limit):
        more = False
    total = connection.get("totalCount")
    page = ContentPage(
        reading=plan.reading,
        rows=kept,
        bad=bad,
        more=more,
        total=total if type(total) is int else None,
        head_oid=head_oid,
    )
    return Arrived(page=page, unfinished=tuple(unfinished), received=len(nodes), cursor=cursor)


def since_kept(reading: Reading, rows: tuple[ContentRow, ...]) -> tuple[ContentRow, ...]:
    """The rows that were updated at `since` or later; ties within one second exist."""
    since = reading.since
    if since is None:
        return rows
    return tuple(row for row in rows if isinstance(row, CommitRow) or row.updated_at >= since)


def completed(reading: Reading, node: Mapping[str, Any], nested: Nested) -> ContentRow | BadRecord:
    """The row of a node whose lists were completed."""
    whole = {
        **node,
        "labels": {"nodes": list(nested.labels)},
        "assignees": {"nodes": list(nested.assignees)},
    }
    rows, bad = parse_each([whole], _PARSERS[reading.entity])
    return rows[0] if rows else bad[0]


def incomplete(node: Mapping[str, Any], reason: str) -> BadRecord:
    """A record that is put aside because the rest of its labels or assignees did not come."""
    return BadRecord(
        index=-1,
        github_id=rest_issue(node)["id"],
        field="labels",
        reason=f"its lists could not be read whole: {reason}",
    )
