"""GitHub's own log of what it sent to a hook, and the request to send something once more (R6.5, R6.6).

Hides the three addresses of such logs (of an App, an organization, a repository), their cursors and
broken records. Nothing here asks for `status=failure`: time-outs have the code 0 and are not in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from urllib.parse import parse_qs, quote, urlsplit

from syncsvc.github.client import AppClient, GitHubClient, repository_path
from syncsvc.github.listing import PER_PAGE
from syncsvc.github.payloads import BadRecord, parse_each, parse_list
from syncsvc.github.transport import Request
from syncsvc.github.values import (
    InvalidRecord,
    is_mapping,
    optional_id,
    parse_time,
    required_id,
    some_text,
)

_LONGEST_GUID: Final = 64
_LONGEST_NAME: Final = 64
_MAX_CODE: Final = 999
_SERVER_ERRORS: Final = frozenset(range(500, 600))


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """One attempt of GitHub's to deliver one event; `guid` names the event, `id` the attempt.

    `status_code` is 0 when no answer came in time; `duration` is in seconds.
    """

    id: int
    guid: str
    delivered_at: datetime
    event: str
    action: str = ""
    redelivery: bool = False
    duration: float = 0.0
    status: str = ""
    status_code: int = 0
    installation_id: int | None = None
    repository_id: int | None = None
    throttled_at: datetime | None = None

    @property
    def succeeded(self) -> bool:
        """Whether GitHub got an answer that it takes for a yes: any 2xx."""
        return 200 <= self.status_code < 300


@dataclass(frozen=True, kw_only=True, slots=True)
class LogPage:
    """Entries, newest first; `next_cursor` leads to the older ones, None at the log's end."""

    entries: tuple[LogEntry, ...]
    bad: tuple[BadRecord, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class HookRow:
    """A hook as an organization's list shows it; `url` is where it leads."""

    github_id: int
    url: str
    active: bool


def parse_entry(item: object) -> LogEntry:
    """One record of the log; raises `InvalidRecord` without id, GUID, time or event."""
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", item)
    guid = some_text(item.get("guid"))
    event = some_text(item.get("event"))
    delivered_at = parse_time(item.get("delivered_at"))
    if guid is None or len(guid) > _LONGEST_GUID:
        raise InvalidRecord("guid", "missing or no GUID", item)
    if event is None or len(event) > _LONGEST_NAME:
        raise InvalidRecord("event", "missing or not a name", item)
    if delivered_at is None:
        raise InvalidRecord("delivered_at", "missing or not a time", item)
    code, duration = item.get("status_code"), item.get("duration")
    return LogEntry(
        id=required_id(item),
        guid=guid,
        delivered_at=delivered_at,
        event=event,
        action=(some_text(item.get("action")) or "")[:_LONGEST_NAME],
        redelivery=item.get("redelivery") is True,
        duration=float(duration) if isinstance(duration, int | float) else 0.0,
        status=(some_text(item.get("status")) or "")[:100],
        status_code=code if type(code) is int and 0 <= code <= _MAX_CODE else 0,
        installation_id=optional_id(item.get("installation_id")),
        repository_id=optional_id(item.get("repository_id")),
        throttled_at=parse_time(item.get("throttled_at")),
    )


def parse_hook(item: object) -> HookRow:
    """One hook of an organization's list; raises `InvalidRecord`."""
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", item)
    config = item.get("config")
    url = some_text(config.get("url")) if is_mapping(config) else None
    return HookRow(github_id=required_id(item), url=url or "", active=item.get("active") is True)


class HookLog:
    """The delivery log of one hook, read as whoever `client` speaks for."""

    def __init__(self, client: AppClient | GitHubClient, path: str) -> None:
        self._client = client
        self._path = path

    @classmethod
    def of_app(cls, client: AppClient) -> Self:
        """Of the App's own hook (`GET /app/hook/deliveries`)."""
        return cls(client, "/app/hook/deliveries")

    @classmethod
    def of_organization(cls, client: GitHubClient, login: str, hook_id: int) -> Self:
        """Of an organization's hook (`GET /orgs/{org}/hooks/{hook_id}/deliveries`)."""
        return cls(client, f"/orgs/{quote(login, safe='')}/hooks/{int(hook_id)}/deliveries")

    @classmethod
    def of_repository(cls, client: GitHubClient, full_name: str, hook_id: int) -> Self:
        """Of a repository's hook (`GET /repos/{owner}/{repo}/hooks/{hook_id}/deliveries`)."""
        return cls(client, f"{repository_path(full_name)}/hooks/{int(hook_id)}/deliveries")

    def pages(self, cursor: str | None = None) -> Iterator[LogPage]:
        """The log from the newest entry, or from `cursor`, to older ones; one request a page.

        Whoever stops iterating stops the requests. Any `GitHubError`; `ValidationFailed` for a
        cursor that GitHub does not know any more.
        """
        while True:
            tail = f"&cursor={quote(cursor, safe='')}" if cursor else ""
            url = self._client.transport.url(f"{self._path}?per_page={PER_PAGE}{tail}")
            answer = self._client.ask(Request(url=url, parse=parse_list))
            entries, bad = parse_each(answer.value or [], parse_entry)
            following = _cursor_of(answer.links.next)
            if following == cursor:  # a list that leads to itself would never end
                following = None
            yield LogPage(entries=entries, bad=bad, next_cursor=following)
            if following is None:
                return
            cursor = following

    def redeliver(self, delivery_id: int) -> None:
        """Asks GitHub to send this attempt's event once more (`POST .../{id}/attempts`, 202).

        Not repeated after a 5xx: GitHub may have taken it, and whoever waits in vain asks again.
        """
        url = self._client.transport.url(f"{self._path}/{int(delivery_id)}/attempts")
        self._client.ask(Request(url=url, parse=_anything, method="POST", not_again=_SERVER_ERRORS))


def organization_hooks(client: GitHubClient, login: str) -> list[HookRow]:
    """The hooks of an organization (`GET /orgs/{org}/hooks`), for its owners only."""
    path = f"/orgs/{quote(login, safe='')}/hooks?per_page={PER_PAGE}"
    found: list[HookRow] = []
    for items in client.pages(path, parse_list):
        found.extend(parse_each(items, parse_hook)[0])
    return found


def _cursor_of(url: str | None) -> str | None:
    """The cursor in the address of the next page."""
    if url is None:
        return None
    return parse_qs(urlsplit(url).query).get("cursor", [None])[0]


def _anything(_: bytes) -> bool:
    """The answer to a redelivery says nothing."""
    return True
