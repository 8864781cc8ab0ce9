"""Reads what `graphql_client` reads, one list after the other, through REST: the same rows (R4.4).

Hides paths and parameters, what REST mixes into its lists, and how it says that there is nothing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from syncsvc.github.client import GitHubClient, repository_path
from syncsvc.github.content import (
    Languages,
    is_pull_request,
    parse_commit,
    parse_issue,
    parse_languages,
    parse_pull_request,
)
from syncsvc.github.errors import (
    Forbidden,
    GitHubError,
    Gone,
    LegallyBlocked,
    NotFound,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.graphql import rfc3339
from syncsvc.github.graphql_pages import since_kept
from syncsvc.github.listing import PER_PAGE
from syncsvc.github.payloads import parse_each, parse_list, parse_object
from syncsvc.github.reading import ContentPage, ContentRow, Entity, Failure, Reading
from syncsvc.github.transport import Request

_OWN: Final = (NotFound, Gone, Forbidden, LegallyBlocked, ValidationFailed, ServerError)
"""Errors that concern one repository; any other one would meet the next repository as well."""

_GIVE_UP_AFTER: Final = 5
"""Lists in a row on which GitHub stumbled: then it is not the repository."""

_NEWEST_FIRST: Final = "state=all&sort=updated&direction=desc"
_PATHS: Final = {
    Entity.ISSUES: f"/issues?{_NEWEST_FIRST}",
    Entity.PULL_REQUESTS: f"/pulls?{_NEWEST_FIRST}",
    Entity.COMMITS: "/commits?",
}
_PARSERS: Final[dict[Entity, Callable[[object], ContentRow]]] = {
    Entity.ISSUES: parse_issue,
    Entity.PULL_REQUESTS: parse_pull_request,
    Entity.COMMITS: parse_commit,
}


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[Any]
    next_url: str | None


class RestReader:
    """What repositories hold, through REST: a request for each hundred items of each list."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    def contents(self, work: Iterable[Reading]) -> Iterator[ContentPage | Failure]:
        """As `GraphQLReader.contents`, in the order of the work.

        Lists are read newest first: what changes meanwhile moves to the front, so that it may come
        twice, and nothing that did not change is skipped.
        """
        stumbles = 0
        for reading in work:
            if reading.wanted == 0:
                yield ContentPage(reading=reading, rows=(), total=0)
                continue
            try:
                yield from self._pages(reading)
                stumbles = 0
            except _OWN as error:
                stumbles = stumbles + 1 if isinstance(error, ServerError) else 0
                if stumbles >= _GIVE_UP_AFTER:
                    raise
                if _is_nothing(reading, error):
                    yield ContentPage(reading=reading, rows=(), total=0)
                else:
                    yield Failure(node_id=reading.node_id, error=error, reading=reading)

    def languages(self, full_name: str) -> Languages:
        """Bytes by language of one repository (R5.4); any `GitHubError`."""
        url = self._client.transport.url(f"{repository_path(full_name)}/languages")
        answer = self._client.ask(Request(url=url, parse=parse_object))
        return parse_languages(answer.value)

    def _pages(self, reading: Reading) -> Iterator[ContentPage]:
        url: str | None = self._client.transport.url(_path(reading))
        seen = 0
        while url is not None:
            page = self._get(url)
            items, url = page.items, page.next_url
            left = None if reading.limit is None else reading.limit - seen
            if reading.entity is Entity.ISSUES:
                items = [item for item in items if not is_pull_request(item)]
            seen += len(items)
            rows, bad = parse_each(items[:left], _PARSERS[reading.entity])
            kept = since_kept(reading, rows)
            at_end = len(kept) < len(rows) or not page.items
            if at_end or (reading.limit is not None and seen >= reading.limit):
                url = None
            yield ContentPage(reading=reading, rows=kept, bad=bad, more=url is not None)

    def _get(self, url: str) -> _Page:
        answer = self._client.ask(Request(url=url, parse=parse_list))
        return _Page(answer.value or [], answer.links.next)


def _path(reading: Reading) -> str:
    path = f"{repository_path(reading.full_name)}{_PATHS[reading.entity]}&per_page={PER_PAGE}"
    if reading.entity is Entity.ISSUES and reading.since is not None:
        path += f"&since={quote(rfc3339(reading.since), safe='')}"
    return path.replace("?&", "?")


def _is_nothing(reading: Reading, error: GitHubError) -> bool:
    """Whether the error only says that the list is empty.

    409 is GitHub's answer to the commits of a repository without any; 410 with "disabled" to the
    issues of one that has none. Neither is evidence that something was deleted.
    """
    if reading.entity is Entity.COMMITS:
        return error.status == 409
    return isinstance(error, Gone) and "disabled" in error.detail.lower()
