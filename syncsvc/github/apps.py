"""The App about itself: who it is, what it may do, where its webhooks go; and a new App from its code.

For people who wait: every request here is sent once, with nothing after it. Nothing here is logged.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

from syncsvc.github.auth import Credential
from syncsvc.github.client import AppClient, GitHubClient
from syncsvc.github.errors import NetworkError
from syncsvc.github.payloads import AccountRow, parse_account, parse_list, parse_object
from syncsvc.github.transport import Request, Transport
from syncsvc.github.values import InvalidRecord, MalformedBody, is_mapping, required_id, some_text

Value = TypeVar("Value")

NOBODY: Final = Credential(value="", fingerprint="")
_ONCE: Final = threading.Event()
_ONCE.set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Told(Generic[Value]):
    """What GitHub said, and what time it was there then."""

    value: Value
    at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AppRow:
    """A GitHub App as it shows itself (`GET /app`)."""

    github_id: int
    slug: str
    name: str
    html_url: str
    owner: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class NewApp:
    """An App that has just been made, with the secrets that are told this once."""

    app: AppRow
    key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class HookConfig:
    """Where the App's webhooks go; `url` is empty when it has none."""

    url: str
    has_secret: bool


def parse_app(item: object) -> AppRow:
    """One App; raises `InvalidRecord`."""
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", None)
    owner = item.get("owner")
    permissions, events = item.get("permissions"), item.get("events")
    return AppRow(
        github_id=required_id(item),
        slug=some_text(item.get("slug")) or "",
        name=some_text(item.get("name")) or "",
        html_url=_address(item.get("html_url")),
        owner=(some_text(owner.get("login")) if is_mapping(owner) else None) or "",
        permissions={str(k): str(v) for k, v in permissions.items()}
        if is_mapping(permissions)
        else {},
        events=tuple(str(each) for each in events) if isinstance(events, list) else (),
    )


def parse_new_app(item: object) -> NewApp:
    """The answer to a conversion; raises `InvalidRecord` without the key."""
    app = parse_app(item)
    key = some_text(item.get("pem")) if is_mapping(item) else None
    if key is None or not is_mapping(item):
        raise InvalidRecord("pem", "missing", None)
    return NewApp(app=app, key=key, webhook_secret=some_text(item.get("webhook_secret")) or "")


def parse_hook_config(item: object) -> HookConfig:
    """The App's hook; raises `InvalidRecord`."""
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", None)
    return HookConfig(
        url=some_text(item.get("url")) or "", has_secret=bool(some_text(item.get("secret")))
    )


def convert(transport: Transport, code: str) -> NewApp:
    """Exchanges the code of a manifest, once and within the hour, for the App and its secrets
    (`POST /app-manifests/{code}/conversions`). `NotFound` for a code that is used or too old."""
    path = f"/app-manifests/{quote(code, safe='')}/conversions"
    request = Request(url=transport.url(path), parse=_one(parse_new_app), method="POST")
    return _once(transport, NOBODY, request).value


def app_row(client: AppClient) -> Told[AppRow]:
    """Who the App is (`GET /app`)."""
    return ask(client, "/app", _one(parse_app))


def hook_config(client: AppClient) -> Told[HookConfig]:
    """Where the App's webhooks go (`GET /app/hook/config`)."""
    return ask(client, "/app/hook/config", _one(parse_hook_config))


def first_of(client: GitHubClient, path: str) -> Told[list[Any]]:
    """Whether a list can be read at all; one entry of it is enough."""
    return ask(client, path, parse_list)


def ask(
    client: AppClient | GitHubClient, path: str, parse: Callable[[bytes], Value]
) -> Told[Value]:
    """One request, sent once; any `GitHubError`."""
    request = Request(url=client.transport.url(path), parse=parse)
    return _once(client.transport, client.auth.credential(), request)


def one_account(body: bytes) -> AccountRow:
    """The account of an answer."""
    return _one(parse_account)(body)


def _once(transport: Transport, credential: Credential, request: Request[Value]) -> Told[Value]:
    answer = transport.send(request, credential, stop=_ONCE)
    if answer.value is None:
        raise NetworkError(status=answer.status)
    return Told(value=answer.value, at=_date(answer.headers.get("Date")))


def _one(parse: Callable[[object], Value]) -> Callable[[bytes], Value]:
    def read(body: bytes) -> Value:
        try:
            return parse(parse_object(body))
        except InvalidRecord as error:
            raise MalformedBody(f"the answer lacks {error.field}") from None

    return read


def _address(value: object) -> str:
    text = some_text(value) or ""
    return text if text.startswith(("https://", "http://")) and len(text) <= 500 else ""


def _date(text: str | None) -> datetime | None:
    try:
        found = parsedate_to_datetime(text or "")
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
