"""A list of repositories as a stream of pages that knows whether it was read whole.

Hides the concurrent look-ahead, pages that shift while they are read, and the evidence by which a
listing counts as complete: only from a complete one may absence be suspected.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

import structlog

from syncsvc.github.errors import AuthenticationFailed, GitHubError, ServerError
from syncsvc.github.etags import StoredPage
from syncsvc.github.payloads import BadRecord, ParsedPage, RepositoryRow

PER_PAGE: Final = 100

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchedPage:
    """A page, what it says about the others, and what is worth storing of it, if anything."""

    content: ParsedPage
    has_next: bool
    last_page: int | None
    to_store: StoredPage | None

    @property
    def not_modified(self) -> bool:
        """Whether GitHub answered 304, so that the rows are those stored before."""
        return self.to_store is None


Job = Callable[[threading.Event], FetchedPage]


class PageSource(Protocol):
    """Where a listing gets its pages from; only the job that `prepare` gives avoids storage."""

    def prepare(self, number: int) -> Job:
        """The reading of a page, ready for any thread."""

    def fetch(self, number: int, stop: threading.Event) -> FetchedPage:
        """The page itself, with a new credential if the present one is refused."""

    def keep(self, number: int, page: FetchedPage) -> None:
        """Store the page for the next conditional request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryPage:
    """One page: its rows (each repository once a listing), and the records that were put aside."""

    rows: tuple[RepositoryRow, ...]
    bad: tuple[BadRecord, ...]
    number: int
    not_modified: bool


class Listing(Iterator[RepositoryPage]):
    """Iterate once for the pages in order; afterwards ask `complete` and `incomplete_reason`.

    The first page is read alone; it tells how many there are. The others are read `concurrency` at
    a time and twice as many ahead at most, so memory stays bounded. When a page cannot be read, the
    good pages that were under way still come, then its `GitHubError` is raised (and kept in
    `error`). Closing stops what is under way. Storage is touched by the iterating thread only.
    """

    def __init__(self, source: PageSource, concurrency: int) -> None:
        self.total_count: int | None = None
        self.repository_selection: str | None = None
        self.pages = 0
        self.duplicates = 0
        self.bad: list[BadRecord] = []
        self.error: GitHubError | None = None
        self._source = source
        self._concurrency = max(1, concurrency)
        self._ids: set[int] = set()
        self._last_page = 1
        self._doubts: list[str] = []
        self._reason: str | None = "it was not read to its end"
        self._ending = False
        self._stop = threading.Event()
        self._stream = self._read()

    # -- for the caller ----------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether every page was read and nothing speaks against having seen all."""
        return self._reason is None

    @property
    def incomplete_reason(self) -> str | None:
        """Why the listing is no evidence of absence, in words; None when it is complete."""
        return self._reason

    @property
    def seen(self) -> int:
        """How many distinct repositories came, those put aside with a known id included."""
        return len(self._ids)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> RepositoryPage:
        return next(self._stream)

    def close(self) -> None:
        """Stop reading: nothing new is sent, and what is under way has ended on return."""
        self._stop.set()
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- reading -----------------------------------------------------------------------------------

    def _read(self) -> Generator[RepositoryPage, None, None]:
        try:
            page = self._source.fetch(1, self._stop)
            self._last_page = _last_page(page)
            yield self._take(1, page)
            if self._last_page > 1:
                yield from self._read_ahead()
            else:
                yield from self._read_on(page)
        except GitHubError as error:
            self._failed(1, error)
        if self.error is not None:
            raise self.error
        self._reason = self._doubt()

    def _read_ahead(self) -> Generator[RepositoryPage, None, None]:
        """Pages 2 to the last that page 1 told of, several at once, in order."""
        numbers = iter(range(2, self._last_page + 1))
        window: deque[tuple[int, Future[FetchedPage]]] = deque()
        executor = ThreadPoolExecutor(self._concurrency, thread_name_prefix="github")
        page: FetchedPage | None = None
        try:
            while True:
                while not self._ending and len(window) < 2 * self._concurrency:
                    number = next(numbers, None)
                    if number is None:
                        break
                    # A context of its own carries the correlation id into the thread's logs.
                    run = copy_context().run
                    job = self._source.prepare(number)
                    window.append((number, executor.submit(run, job, self._stop)))
                if not window:
                    break
                number, future = window.popleft()
                page = self._result(number, future)
                if page is not None:
                    yield self._take(number, page)
        finally:
            self._stop.set()
            executor.shutdown(wait=True, cancel_futures=True)
        if page is not None and not self._ending:
            self._stop.clear()
            yield from self._read_on(page)

    def _result(self, number: int, future: Future[FetchedPage]) -> FetchedPage | None:
        """A page out of the window; None when it could not be read, which is then noted."""
        if self._ending and future.cancel():
            return None
        try:
            try:
                return future.result()
            except AuthenticationFailed:
                # The token ended on the way. Renewing it touches storage: not in that thread.
                if self._ending:
                    raise
                return self._source.fetch(number, self._stop)
        except GitHubError as error:
            self._failed(number, error)
            return None

    def _read_on(self, page: FetchedPage) -> Generator[RepositoryPage, None, None]:
        """Pages after the last one that was announced, as long as there are new ones."""
        while self._may_go_on(page):
            before = len(self._ids)
            self._last_page += 1
            page = self._source.fetch(self._last_page, self._stop)
            yield self._take(self._last_page, page)
            if len(self._ids) == before:
                if _size(page):
                    self._doubts.append(f"page {self._last_page} held nothing new")
                return

    def _may_go_on(self, page: FetchedPage) -> bool:
        """Whether there may be a page after this one.

        Where no count can be compared, a full page without a link may be the last one, or have lost
        its link: one request more tells.
        """
        return page.has_next or (self.total_count is None and _size(page) >= PER_PAGE)

    # -- judging -----------------------------------------------------------------------------------

    def _failed(self, number: int, error: GitHubError) -> None:
        """Note a page that could not be read.

        One page on which GitHub itself stumbles does not hide the pages after it; a second one, or
        any other error, ends the listing.
        """
        first = self.error is None
        if first:
            self.error = error
            self._reason = f"page {number} could not be read: {error.sentence}"
        if not first or not isinstance(error, ServerError):
            self._ending = True
            self._stop.set()

    def _take(self, number: int, fetched: FetchedPage) -> RepositoryPage:
        content = fetched.content
        rows = []
        for row in content.rows:
            if row.github_id in self._ids:
                self.duplicates += 1
            else:
                self._ids.add(row.github_id)
                rows.append(row)
        self._ids.update(each.github_id for each in content.bad if each.github_id is not None)
        self.bad.extend(content.bad)
        for each in content.bad:
            log.warning(
                "github.bad_record",
                github_id=each.github_id,
                field=each.field,
                reason=each.reason,
                page=number,
            )
        self._judge(number, fetched)
        self.pages += 1
        if not fetched.not_modified:
            self._source.keep(number, fetched)
        return RepositoryPage(
            rows=tuple(rows), bad=content.bad, number=number, not_modified=fetched.not_modified
        )

    def _judge(self, number: int, fetched: FetchedPage) -> None:
        """Collect what speaks against completeness; pages shift while they are read."""
        content = fetched.content
        if number == 1:
            self.total_count = content.total_count
            self.repository_selection = content.repository_selection
        elif content.total_count != self.total_count:
            self._doubts.append(
                f"the number of repositories changed from {self.total_count} to "
                f"{content.total_count} while they were listed"
            )
        promised = number < self._last_page or fetched.has_next
        if promised and not _size(fetched):
            self._doubts.append(f"page {number} of {self._last_page} was empty")
            self._ending = True  # a garbled count must not send us through a thousand empty pages
        elif number < self._last_page and self.total_count is None and not fetched.has_next:
            self._doubts.append(f"page {number} of {self._last_page} said that it was the last")

    def _doubt(self) -> str | None:
        nameless = sum(each.github_id is None for each in self.bad)
        if nameless:
            self._doubts.append(f"{nameless} records could not be identified")
        if self.total_count is not None and self.total_count != self.seen:
            self._doubts.append(f"GitHub counts {self.total_count} repositories, {self.seen} came")
        if self.total_count is None and self.duplicates:
            self._doubts.append("pages shifted while they were read: a repository came twice")
        return self._doubts[0] if self._doubts else None


def _last_page(first: FetchedPage) -> int:
    """The number of pages by what page 1 says, in its Link header and in its count."""
    by_count = -(-(first.content.total_count or 0) // PER_PAGE)
    return max(1, first.last_page or 1, by_count)


def _size(page: FetchedPage) -> int:
    return len(page.content.rows) + len(page.content.bad)
