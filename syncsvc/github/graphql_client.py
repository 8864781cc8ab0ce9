"""Reads many repositories with few requests: GitHub's GraphQL API as streams of rows (R4.4).

Hides requests and their packing, what is asked for again after trouble and how much smaller, and
the follow-ups for items that did not come whole. `rest_content` reads the same, one by one.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

from syncsvc.github import graphql
from syncsvc.github.client import GitHubClient
from syncsvc.github.errors import (
    AnswerTooLarge,
    Forbidden,
    GitHubError,
    NetworkError,
    NotFound,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.graphql import QueryAnswer, QueryError
from syncsvc.github.graphql_content import (
    Nested,
    RepositoryOverview,
    languages_of,
    nested_of,
    page_info,
    parse_overview,
)
from syncsvc.github.graphql_pages import Arrived, completed, incomplete, read_page, since_kept
from syncsvc.github.graphql_repositories import Known, read_repositories
from syncsvc.github.graphql_wire import Exchange, Wire
from syncsvc.github.payloads import BadRecord, RepositoryRow
from syncsvc.github.planning import Limits, PagePlan, Planner, points_of
from syncsvc.github.reading import ContentPage, Entity, Failure, Reading
from syncsvc.github.values import InvalidRecord, is_mapping

_GIVE_UP_AFTER: Final = 12
"""Failed requests in a row, with none that succeeded: then it is GitHub, not what we ask for."""

_LONGEST_PAUSE: Final = 2
"""Waits do not grow beyond that of the second retry: the next request is smaller anyway."""

_TRIES: Final = 3
_DETAILS: Final = frozenset({"languages", "workflows", "root"})
_MOST_FOLLOW_UPS: Final = 100
_NOT_AGAIN: Final = frozenset({502, 504})


class GraphQLReader:
    """What repositories hold, through GraphQL.

    `url` is the GraphQL address, by default the one that belongs to the client's API root (R2.2);
    `parallel` how many requests are under way at once: GitHub allows 60 s of GraphQL's computing
    time a minute, so more would not be faster for long. `timer` counts seconds.
    """

    def __init__(
        self,
        client: GitHubClient,
        url: str = "",
        *,
        limits: Limits | None = None,
        parallel: int = 2,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = Wire(client, url, timer)
        self._limits = limits
        self._parallel = max(1, min(parallel, client.transport.concurrency))

    # -- repositories ------------------------------------------------------------------------------

    def repositories(
        self, asked: Sequence[Known], entities: Collection[Entity] = graphql.ALL
    ) -> dict[int, RepositoryRow | GitHubError]:
        """Everything that the mirror keeps of these repositories: see `read_repositories`."""
        return read_repositories(self._wire, asked, entities)

    # -- overview ----------------------------------------------------------------------------------

    def overview(
        self,
        node_ids: Iterable[str],
        *,
        details: bool = True,
        entities: Collection[Entity] = graphql.ALL,
    ) -> Iterator[RepositoryOverview | Failure]:
        """One look at each repository, a hundred a request; the order is not kept.

        `details` adds languages, CI and tests, for one point more. A list that is not among
        `entities` is not asked for and looks empty. Raises `GitHubError` when GitHub
        as a whole cannot be asked: a limit, a refused credential, no network.
        """
        ids = list(dict.fromkeys(node_ids))
        size = graphql.MOST_IDS
        waiting = deque((ids[start : start + size], 0) for start in range(0, len(ids), size))
        failures = 0
        while waiting:
            part, attempt = waiting.popleft()
            try:
                answer = self._wire.ask(
                    graphql.overview_query(part, details=details, entities=entities)
                ).answer
            except GitHubError as error:
                failures += 1
                if not _asks_too_much(error) or failures >= _GIVE_UP_AFTER:
                    raise
                left: dict[str, GitHubError] = dict.fromkeys(part, error)
            else:
                left = {}
                for each in self._overviews(part, answer, entities):
                    if isinstance(each, Failure) and each.error.retryable:
                        left[each.node_id] = each.error
                    else:
                        failures = 0
                        yield each
            if len(left) == 1 and attempt + 1 >= _TRIES:
                yield from (Failure(node_id=key, error=error) for key, error in left.items())
            else:
                waiting.extendleft((half, attempt + 1) for half in _halves(list(left)))

    def _overviews(
        self, part: Sequence[str], answer: QueryAnswer, entities: Collection[Entity]
    ) -> Iterator[RepositoryOverview | Failure]:
        nodes = (answer.data or {}).get("nodes")
        nodes = nodes if isinstance(nodes, list) and len(nodes) == len(part) else [None] * len(part)
        for index, (node_id, node) in enumerate(zip(part, nodes, strict=True)):
            try:
                errors = _spoiling(answer, index)
                row = parse_overview(None if errors else node, node_id, entities)
            except InvalidRecord as problem:
                errors = errors or tuple(each for each in answer.errors if not each.path)
                error = errors[0].as_error() if errors else _unexplained(node, problem, answer)
                yield Failure(node_id=node_id, error=error)
                continue
            try:
                yield self._with_all_languages(row, node)
            except (ServerError, NotFound) as error:
                yield Failure(node_id=node_id, error=error)

    def _with_all_languages(
        self, row: RepositoryOverview, node: Mapping[str, Any]
    ) -> RepositoryOverview:
        more, cursor = page_info(node.get("languages"))
        if not more:
            return row
        found = dict(row.languages or {})
        for _ in range(_MOST_FOLLOW_UPS):
            answer = self._wire.ask(graphql.languages_query(row.node_id, cursor)).answer
            connection = _node(answer).get("languages")
            found |= languages_of(connection)
            more, cursor = page_info(connection)
            if not more:
                break
        return replace(row, languages=found)

    # -- contents ----------------------------------------------------------------------------------

    def contents(self, work: Iterable[Reading]) -> Iterator[ContentPage | Failure]:
        """The pages of all readings, mixed, but each reading's own pages in their order (R4.4).

        A reading ends with a page without `more`, or with one `Failure`. Memory is bounded by the
        requests under way, whatever the work. What has come is delivered before a `GitHubError`
        that concerns everything is raised. Closing the iterator stops what is under way.
        """
        readings = list(dict.fromkeys(work))
        planner = Planner(readings, self._limits)
        yield from (
            ContentPage(reading=each, rows=(), total=0) for each in readings if each.wanted == 0
        )
        yield from _Run(self._wire, planner, self._parallel).pages()


class _Run:
    """One pass over the work: what is under way, and how much trouble there was in a row."""

    def __init__(self, wire: Wire, planner: Planner, parallel: int) -> None:
        self._wire = wire
        self._planner = planner
        self._parallel = parallel
        self._stop = threading.Event()
        self._troubles = 0
        self._fatal: GitHubError | None = None

    def pages(self) -> Iterator[ContentPage | Failure]:
        under_way: deque[tuple[tuple[PagePlan, ...], Callable[[], Exchange]]] = deque()
        lines = ThreadPoolExecutor(self._parallel, thread_name_prefix="github-graphql")
        try:
            while True:
                while len(under_way) < self._parallel and (plans := self._next()):
                    query = graphql.contents_query(plans, points_of(plans))
                    under_way.append((plans, self._wire.submit(lines, query, self._stop)))
                if not under_way:
                    break
                plans, wait = under_way.popleft()
                yield from self._taken(plans, wait)
        finally:
            self._stop.set()
            lines.shutdown(cancel_futures=True)
        if self._fatal is not None:
            raise self._fatal

    def _next(self) -> tuple[PagePlan, ...]:
        return self._planner.next_request() if self._fatal is None else ()

    def _taken(
        self, plans: tuple[PagePlan, ...], wait: Callable[[], Exchange]
    ) -> Iterator[ContentPage | Failure]:
        try:
            exchange = wait()
        except GitHubError as error:
            if _asks_too_much(error):
                yield from self._trouble(plans, error)
            else:
                self._fatal = self._fatal or error
            return
        left: list[tuple[PagePlan, GitHubError]] = []
        for alias, group in graphql.aliases(plans).items():
            for plan in group:
                found = read_page(plan, alias, exchange.answer)
                if isinstance(found, Arrived):
                    yield from self._arrived(plan, found)
                elif found.again:
                    left.append((plan, found.error))
                else:
                    self._planner.finished(plan)
                    yield _failure(plan, found.error)
        if not left:
            self._planner.pace.succeeded(exchange.seconds, exchange.answer.size)
        if len(left) < len(plans):
            self._troubles = 0
        if left:
            yield from self._trouble([plan for plan, _ in left], left[0][1])

    def _arrived(self, plan: PagePlan, found: Arrived) -> Iterator[ContentPage | Failure]:
        page = found.page
        if found.unfinished:
            try:
                page = self._complete(page, found.unfinished)
            except GitHubError as error:  # a limit, say: this page is not given up, all is
                self._fatal = self._fatal or error
                return
        if page.more and found.cursor is not None:
            self._planner.went_on(plan, received=found.received, cursor=found.cursor)
        else:
            self._planner.finished(plan)
        yield page

    def _complete(self, page: ContentPage, nodes: Iterable[Mapping[str, Any]]) -> ContentPage:
        """The page with the items whose labels or assignees did not all come along.

        Where one cannot be completed it is put aside: half its labels would be a wrong row.
        """
        rows, bad = list(page.rows), list(page.bad)
        for node in nodes:
            try:
                found = completed(page.reading, node, self._nested(node))
            except (ServerError, NotFound, Forbidden, ValidationFailed) as error:
                found = incomplete(node, error.kind)
            if isinstance(found, BadRecord):
                bad.append(found)
            else:
                rows.extend(since_kept(page.reading, (found,)))
        return replace(page, rows=tuple(rows), bad=tuple(bad))

    def _nested(self, node: Mapping[str, Any]) -> Nested:
        nested = nested_of(node)
        for _ in range(_MOST_FOLLOW_UPS):
            if nested.is_whole:
                return nested
            query = graphql.nested_query(
                str(node.get("id")), nested.labels_after, nested.assignees_after
            )
            more = nested_of(_node(self._wire.ask(query).answer))
            nested = Nested(
                labels=nested.labels + more.labels,
                labels_after=more.labels_after or nested.labels_after,
                assignees=nested.assignees + more.assignees,
                assignees_after=more.assignees_after or nested.assignees_after,
                is_whole=more.is_whole,
            )
        raise ServerError(detail="a nested list does not end")

    def _trouble(
        self, plans: Iterable[PagePlan], error: GitHubError
    ) -> Iterator[ContentPage | Failure]:
        self._planner.pace.troubled()
        self._troubles += 1
        if self._troubles >= _GIVE_UP_AFTER:
            self._fatal = self._fatal or error
        elif self._troubles > 1:
            self._wire.pause(min(self._troubles - 2, _LONGEST_PAUSE), self._stop)
        for plan in plans:
            if not self._planner.failed(plan):
                yield _failure(plan, error)


def _asks_too_much(error: GitHubError) -> bool:
    """Whether asking for less may help: GitHub stumbled, or its answer could not be taken whole."""
    garbled = isinstance(error, NetworkError) and error.status is not None and error.retryable
    return garbled or isinstance(error, (ServerError, AnswerTooLarge))


def _failure(plan: PagePlan, error: GitHubError) -> Failure:
    return Failure(node_id=plan.reading.node_id, error=error, reading=plan.reading)


def _node(answer: QueryAnswer) -> Mapping[str, Any]:
    """The one node of a follow-up, which is of no use in part."""
    node = (answer.data or {}).get("node")
    if answer.errors:
        raise answer.errors[0].as_error()
    if not is_mapping(node):
        raise NotFound(status=200)
    return node


def _spoiling(answer: QueryAnswer, index: int) -> tuple[QueryError, ...]:
    """The errors that spoil a repository's overview; without its details it is still one."""
    errors = answer.errors_at("nodes", index)
    return tuple(each for each in errors if each.path and not _DETAILS.intersection(each.path))


def _unexplained(node: object, problem: InvalidRecord, answer: QueryAnswer) -> GitHubError:
    if node is None and answer.data is not None and isinstance(answer.data.get("nodes"), list):
        return NotFound(status=200, detail="null without an error")
    return ServerError(status=200, detail=f"the overview lacks {problem.field}")


def _halves(ids: list[str]) -> list[list[str]]:
    middle = (len(ids) + 1) // 2
    return [half for half in (ids[middle:], ids[:middle]) if half]
