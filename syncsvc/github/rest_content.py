"""Reads what `graphql_client` reads, one list after the other, through REST: the same rows (R4.4).

Hides paths and parameters, what REST mixes into its lists, how it says that there is nothing, and
how it says what became of a single item.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from syncsvc.github.client import GitHubClient, repository_path
from syncsvc.github.content import (
    IssueRow,
    Languages,
    PullRequestRow,
    is_pull_request,
    is_sha,
    parse_commit,
    parse_issue,
    parse_languages,
    parse_pull_request,
)
from syncsvc.github.errors import GitHubError, NetworkError, NotFound, ServerError
from syncsvc.github.graphql import ALL, rfc3339
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.graphql_pages import since_kept
from syncsvc.github.listing import PER_PAGE
from syncsvc.github.payloads import parse_each, parse_list, parse_object
from syncsvc.github.reading import (
    ContentPage,
    ContentRow,
    Entity,
    Failure,
    Fate,
    FateKind,
    Reading,
)
from syncsvc.github.rest_overview import NEWEST_FIRST, OWN, is_switched_off, read_overview
from syncsvc.github.transport import Request
from syncsvc.github.values import InvalidRecord, is_mapping, some_text

_GIVE_UP_AFTER: Final = 5
"""Lists in a row on which GitHub stumbled: then it is not the repository."""

_PATHS: Final = {
    Entity.ISSUES: f"/issues?{NEWEST_FIRST}",
    Entity.PULL_REQUESTS: f"/pulls?{NEWEST_FIRST}",
    Entity.COMMITS: "/commits?",
}
_PARSERS: Final[dict[Entity, Callable[[object], ContentRow]]] = {
    Entity.ISSUES: parse_issue,
    Entity.PULL_REQUESTS: parse_pull_request,
    Entity.COMMITS: parse_commit,
}
_ONE: Final = {Entity.ISSUES: "issues", Entity.PULL_REQUESTS: "pulls"}
_ITEMS: Final[dict[Entity, Callable[[object], IssueRow | PullRequestRow]]] = {
    Entity.ISSUES: parse_issue,
    Entity.PULL_REQUESTS: parse_pull_request,
}


@dataclass(frozen=True, slots=True)
class _Page:
    items: list[Any]
    next_url: str | None


class _Stumbles:
    """How often GitHub itself failed in a row, one repository after the other."""

    def __init__(self) -> None:
        self._count = 0

    def none(self) -> None:
        """All went well."""
        self._count = 0

    def note(self, error: GitHubError) -> None:
        """One repository failed; raises the error when it is not the repository's any more."""
        self._count = self._count + 1 if isinstance(error, ServerError) else 0
        if self._count >= _GIVE_UP_AFTER:
            raise error


class RestReader:
    """What repositories hold, through REST: a request for each hundred items of each list."""

    def __init__(self, client: GitHubClient) -> None:
        self._client = client

    def overview(
        self,
        repositories: Iterable[tuple[str, str]],
        *,
        details: bool = True,
        entities: Collection[Entity] = ALL,
    ) -> Iterator[RepositoryOverview | Failure]:
        """As `GraphQLReader.overview`, for pairs of node id and full name, in their order.

        Takes 4 to 8 requests for each repository, see `read_overview`. What concerns one repository
        becomes a `Failure`; raises every other `GitHubError`, and GitHub's own failures once they
        have hit five repositories in a row.
        """
        stumbles = _Stumbles()
        for node_id, full_name in dict.fromkeys(repositories):
            found: RepositoryOverview | Failure
            try:
                found = read_overview(
                    self._client, node_id, full_name, details=details, entities=entities
                )
                stumbles.none()
            except OWN as error:
                stumbles.note(error)
                found = Failure(node_id=node_id, error=error)
            yield found

    def contents(self, work: Iterable[Reading]) -> Iterator[ContentPage | Failure]:
        """As `GraphQLReader.contents`, in the order of the work.

        Issues and pull requests are read newest first: what changes meanwhile moves to the front,
        so that it may come twice, and nothing that did not change is skipped. Commits are the
        history of one commit: that of the reading, or the one that its first page begins with.
        """
        stumbles = _Stumbles()
        for reading in work:
            if reading.wanted == 0:
                yield ContentPage(reading=reading, rows=(), total=0)
                continue
            try:
                yield from self._pages(reading)
                stumbles.none()
            except OWN as error:
                stumbles.note(error)
                yield Failure(node_id=reading.node_id, error=error, reading=reading)

    def languages(self, full_name: str) -> Languages:
        """Bytes by language of one repository (R5.4); any `GitHubError`."""
        url = self._client.transport.url(f"{repository_path(full_name)}/languages")
        answer = self._client.ask(Request(url=url, parse=parse_object))
        return parse_languages(answer.value)

    def fate(
        self,
        entity: Entity,
        full_name: str,
        number: int,
        github_id: int,
        *,
        repository_id: int | None = None,
    ) -> Fate:
        """What became of an issue or pull request that a whole list lacked, for one request.

        Deleted is what GitHub says is gone (404, 410), or an issue that has become a pull request.
        Whoever asks has to know that the repository itself is within reach, and that its name is
        still its own: 404 would be said as well where either has changed. With `repository_id` the
        name does not matter. Raises every `GitHubError` that is not about the item: a refused
        credential, a limit, a suspension, a retired API version, no network.
        """
        path = repository_path(full_name)
        if repository_id is not None:
            path = f"/repositories/{int(repository_id)}"
        url = self._client.transport.url(f"{path}/{_ONE[entity]}/{int(number)}")
        try:
            item = self._client.ask(Request(url=url, parse=parse_object)).value or {}
            return _fate_of(item, entity, full_name, number, github_id)
        except InvalidRecord as problem:
            unreadable = ServerError(status=200, detail=f"the item lacks {problem.field}")
            return Fate(kind=FateKind.UNKNOWN, error=unreadable)
        except OWN as error:
            gone = error.is_evidence_of_absence
            return Fate(kind=FateKind.DELETED if gone else FateKind.UNKNOWN, error=error)
        except NetworkError as error:
            if error.status is None or error.retryable:
                raise
            return Fate(kind=FateKind.UNKNOWN, error=error)  # a redirect that is not followed

    def _pages(self, reading: Reading) -> Iterator[ContentPage]:
        url: str | None = self._client.transport.url(_path(reading))
        head = reading.head if reading.entity is Entity.COMMITS else None
        seen, is_first, is_pinned = 0, True, False
        while url is not None:
            page = self._page(url, reading, head, is_first=is_first)
            if page is None:
                yield ContentPage(reading=reading, rows=(), total=0)
                return
            items, url = page.items, page.next_url
            if items and (is_first or not is_pinned):
                self._confirm(reading, items)
            is_pinned = url is not None and "/repositories/" in url
            if reading.entity is Entity.ISSUES:
                items = [item for item in items if not is_pull_request(item)]
            elif reading.entity is Entity.COMMITS:
                head = head or (_sha_of(items) if is_first else None)
                url = _pinned(url, head) if url and head else url
            left = None if reading.limit is None else reading.limit - seen
            seen += len(items)
            rows, bad = parse_each(items[:left], _PARSERS[reading.entity])
            kept = since_kept(reading, rows)
            total = seen if url is None and _is_whole(reading, head, is_first=is_first) else None
            at_end = len(kept) < len(rows) or not page.items
            if at_end or (reading.limit is not None and seen >= reading.limit):
                url = None
            yield ContentPage(
                reading=reading,
                rows=kept,
                bad=bad,
                more=url is not None,
                total=total,
                head_oid=head,
            )
            is_first = False

    def _confirm(self, reading: Reading, items: list[Any]) -> None:
        """Asks whose list it is: it was asked for by a name, and names change hands.

        A pull request tells its repository's id; elsewhere the name is asked for once more. Further
        pages are addressed by GitHub with the repository's id. Raises `NotFound`.
        """
        if reading.entity is Entity.PULL_REQUESTS:
            ids = {_repository_id(item) for item in items} - {None}
            same = ids <= {reading.github_id}
        else:
            owner, _, name = reading.full_name.partition("/")
            same = self._client.get_repository(owner, name).github_id == reading.github_id
        if not same:
            raise NotFound(status=200, detail="the name belongs to another repository")

    def _page(
        self, url: str, reading: Reading, head: str | None, *, is_first: bool
    ) -> _Page | None:
        """One page; None where GitHub says that there is nothing at all."""
        try:
            answer = self._client.ask(Request(url=url, parse=parse_list))
        except OWN as error:
            # Once there was a page, "nothing" would make a part look like the whole.
            if is_first and _is_nothing(reading, error):
                return None
            if head is not None and isinstance(error, NotFound):
                # GitHub forgets commits that a forced push left behind; the repository is there.
                raise NotFound(status=error.status, detail=error.detail) from None
            raise
        return _Page(answer.value or [], answer.links.next)


def _repository_id(item: object) -> int | None:
    """The id of the repository that a pull request is to be merged into, if it is told."""
    base = item.get("base") if is_mapping(item) else None
    repository = base.get("repo") if is_mapping(base) else None
    value = repository.get("id") if is_mapping(repository) else None
    return value if type(value) is int else None


def _path(reading: Reading) -> str:
    path = f"{repository_path(reading.full_name)}{_PATHS[reading.entity]}&per_page={PER_PAGE}"
    if reading.entity is Entity.ISSUES and reading.since is not None:
        path += f"&since={quote(rfc3339(reading.since), safe='')}"
    if reading.entity is Entity.COMMITS and reading.head is not None:
        path += f"&sha={quote(reading.head, safe='')}"
    return path.replace("?&", "?")


def _pinned(url: str, head: str) -> str:
    """The address of a further page, of the history of that commit."""
    parts = urlsplit(url)
    query = [each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] != "sha"]
    return urlunsplit(parts._replace(query=urlencode([*query, ("sha", head)])))


def _sha_of(items: list[Any]) -> str | None:
    sha = items[0].get("sha") if items and is_mapping(items[0]) else None
    return sha if is_sha(sha) else None


def _is_whole(reading: Reading, head: str | None, *, is_first: bool) -> bool:
    """Whether what was read up to the last page is the list as it was at one moment."""
    if reading.entity is Entity.ISSUES and reading.since is not None:
        return False
    return is_first or head is not None


def _is_nothing(reading: Reading, error: GitHubError) -> bool:
    """Whether the error only says that the list is empty.

    409 is GitHub's answer to the commits of a repository without any; 410 with "disabled" to the
    issues of one that has none. Neither is evidence that something was deleted.
    """
    if reading.entity is Entity.COMMITS:
        return error.status == 409
    return is_switched_off(error)


# -- what became of one item -----------------------------------------------------------------------


def _fate_of(
    item: Mapping[str, Any], entity: Entity, full_name: str, number: int, github_id: int
) -> Fate:
    """What an item that came instead, or is the one itself, tells; raises `InvalidRecord`.

    Numbers are never used again: another item under the number in the same repository means that
    the name is that of another repository by now, which says nothing about the one looked for.
    """
    is_other_kind = entity is Entity.ISSUES and is_pull_request(item)
    if item.get("id") == github_id:
        if is_other_kind:
            return Fate(kind=FateKind.DELETED)
        return Fate(kind=FateKind.PRESENT, row=_ITEMS[entity](item))
    where = _repository_of(item)
    is_elsewhere = where is not None and where.lower() != full_name.lower()
    if is_other_kind or not (is_elsewhere or item.get("number") != number):
        return Fate(kind=FateKind.UNKNOWN)
    rows, _ = parse_each([item], _ITEMS[entity])
    return Fate(kind=FateKind.TRANSFERRED, row=rows[0] if rows else None, full_name=where)


def _repository_of(item: Mapping[str, Any]) -> str | None:
    """`owner/name` of the repository that an issue or pull request is in."""
    base = item.get("base")
    repository = base.get("repo") if is_mapping(base) else None
    if is_mapping(repository):
        return some_text(repository.get("full_name"))
    parts = (some_text(item.get("repository_url")) or "").rstrip("/").split("/")
    return "/".join(parts[-2:]) if len(parts) > 2 else None
