"""GitHub's JSON -> frozen rows, read tolerantly.

Hides every oddity of the payloads: fields that lists leave out, epoch integers in webhooks, text
that PostgreSQL cannot store, records that are broken among good ones. Pure: no I/O, no clock.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, make_dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from syncsvc.github.values import (
    InvalidRecord,
    MalformedBody,
    clean_text,
    is_mapping,
    optional_id,
    parse_json,
    parse_time,
    required_id,
    some_text,
    texts,
)

__all__ = [
    "ROW_FIELDS",
    "AccountRow",
    "BadRecord",
    "InstallationRow",
    "InvalidRecord",
    "MalformedBody",
    "ParsedPage",
    "RepositoryRow",
    "build_row",
    "parse_account",
    "parse_each",
    "parse_installation",
    "parse_list",
    "parse_object",
    "parse_repositories",
    "parse_repository",
]

Row = TypeVar("Row")

_MAX_COUNT: Final = 2**31 - 1
_VISIBILITIES: Final = frozenset({"public", "private", "internal"})
_NOTHING_ABSENT: Final[frozenset[str]] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryRow:
    """One repository as GitHub describes it (R5.1). Times are aware and in UTC.

    `absent` names the fields that the payload did not carry, or carried unreadably; their values
    here are neutral fillers that a diff has to ignore.
    """

    github_id: int
    node_id: str
    owner: str
    owner_id: int | None
    name: str
    description: str | None
    visibility: str
    archived: bool
    disabled: bool
    fork: bool
    default_branch: str | None
    language: str | None
    topics: tuple[str, ...]
    stars: int
    forks: int
    open_issues: int
    size: int
    homepage: str | None
    license: str | None
    github_created_at: datetime | None
    github_updated_at: datetime | None
    pushed_at: datetime | None
    absent: frozenset[str] = _NOTHING_ABSENT

    @property
    def full_name(self) -> str:
        """`owner/name`."""
        return f"{self.owner}/{self.name}"


ROW_FIELDS: Final = tuple(field.name for field in fields(RepositoryRow))
_Draft: Final = make_dataclass("_Draft", ROW_FIELDS, slots=True)


def build_row(*values: Any) -> RepositoryRow:
    """A row from its values in the order of `ROW_FIELDS`.

    A frozen dataclass sets each of its 23 fields through `object.__setattr__`, which costs more
    than parsing the JSON does. A mutable twin with the same slots is filled at full speed and
    becomes the frozen class afterwards; CPython allows that between equal layouts.
    """
    draft = _Draft(*values)
    draft.__class__ = RepositoryRow
    return draft  # type: ignore[no-any-return]  # the slotted twin has become the row


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallationRow:
    """One installation of the GitHub App (R2.1, R2.3); `suspended_at` is set while suspended."""

    github_id: int
    account_id: int
    account_login: str
    account_type: str
    repository_selection: str
    permissions: Mapping[str, str]
    events: tuple[str, ...]
    suspended_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    app_id: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountRow:
    """A user or an organization."""

    github_id: int
    login: str
    type: str
    name: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRecord:
    """A record that was put aside (R10.5, P30): where it stood and what was wrong with it."""

    index: int
    github_id: int | None
    field: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ParsedPage:
    """One page of a repository list. `total_count` is None where GitHub does not tell it."""

    rows: tuple[RepositoryRow, ...]
    bad: tuple[BadRecord, ...] = ()
    total_count: int | None = None
    repository_selection: str | None = None


# -- repositories ----------------------------------------------------------------------------------

_MISSING: Final = object()


def _owner_of(item: Mapping[str, Any]) -> tuple[str, int | None]:
    owner = item.get("owner")
    login: str | None = None
    owner_id: int | None = None
    if is_mapping(owner):
        login = some_text(owner.get("login"))
        owner_id = optional_id(owner.get("id"))
    if login is None:
        full_name = item.get("full_name")
        if type(full_name) is str and "/" in full_name:
            login = some_text(full_name.split("/", 1)[0])
    if login is None and is_mapping(owner):
        login = some_text(owner.get("name"))  # old push payloads know the owner only so
    if login is None:
        raise InvalidRecord("owner", "neither an owner's login nor a full name", item)
    return login, owner_id


def _visibility_of(item: Mapping[str, Any], absent: list[str]) -> str:
    visibility = item.get("visibility")
    if type(visibility) is str and visibility in _VISIBILITIES:
        return visibility
    private = item.get("private")
    if type(private) is bool:
        return "private" if private else "public"
    absent.append("visibility")
    return "private"


def _license_of(item: Mapping[str, Any], absent: list[str]) -> str | None:
    value = item.get("license", _MISSING)
    if value is None:
        return None
    if is_mapping(value):
        found = some_text(value.get("spdx_id")) or some_text(value.get("key"))
        if found is not None:
            return found
    absent.append("license")
    return None


def _nullable_text(item: Mapping[str, Any], key: str, absent: list[str]) -> str | None:
    value = item.get(key, _MISSING)
    if value is None:
        return None
    if type(value) is str:
        # The usual case without the call: five of these a row are felt in a listing.
        return value if value.isascii() and "\x00" not in value else clean_text(value)
    absent.append(key)
    return None


def _flag(item: Mapping[str, Any], key: str, absent: list[str]) -> bool:
    value = item.get(key)
    if value is True or value is False:
        return value
    absent.append(key)
    return False


def _count(item: Mapping[str, Any], key: str, name: str, absent: list[str]) -> int:
    value = item.get(key)
    if type(value) is int and 0 <= value <= _MAX_COUNT:
        return value
    short = item.get(name)  # `forks` beside `forks_count`
    if type(short) is int and 0 <= short <= _MAX_COUNT:
        return short
    absent.append(name)
    return 0


def _moment(item: Mapping[str, Any], key: str, name: str, absent: list[str]) -> datetime | None:
    value = item.get(key, _MISSING)
    if value is None:
        return None
    moment = parse_time(value)
    if moment is None:
        absent.append(name)
    return moment


def parse_repository(item: object) -> RepositoryRow:
    """One repository object of a list, of a single read or of a webhook.

    Needs `id`, `name` and the owner's login (`full_name` helps out), else raises `InvalidRecord`;
    everything else may be missing or of a wrong type and is then named in `absent`. A visibility
    that we do not know is derived from `private`; an empty homepage is no homepage.
    """
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", item)
    github_id = required_id(item)
    name = some_text(item.get("name"))
    if name is None:
        raise InvalidRecord("name", "missing or not a text", item)
    owner, owner_id = _owner_of(item)
    absent: list[str] = []
    if owner_id is None:
        absent.append("owner_id")
    node_id = some_text(item.get("node_id"))
    if node_id is None:
        absent.append("node_id")
    topics = texts(item.get("topics"))
    if topics is None:
        absent.append("topics")
    return build_row(
        github_id,
        node_id or "",
        owner,
        owner_id,
        name,
        _nullable_text(item, "description", absent),
        _visibility_of(item, absent),
        _flag(item, "archived", absent),
        _flag(item, "disabled", absent),
        _flag(item, "fork", absent),
        _nullable_text(item, "default_branch", absent),
        _nullable_text(item, "language", absent),
        topics or (),
        _count(item, "stargazers_count", "stars", absent),
        _count(item, "forks_count", "forks", absent),
        _count(item, "open_issues_count", "open_issues", absent),
        _count(item, "size", "size", absent),
        _nullable_text(item, "homepage", absent) or None,
        _license_of(item, absent),
        _moment(item, "created_at", "github_created_at", absent),
        _moment(item, "updated_at", "github_updated_at", absent),
        _moment(item, "pushed_at", "pushed_at", absent),
        frozenset(absent) if absent else _NOTHING_ABSENT,
    )


# -- installations and accounts --------------------------------------------------------------------


def parse_installation(item: object) -> InstallationRow:
    """One installation object of the API or of a webhook; raises `InvalidRecord`."""
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", item)
    github_id = required_id(item)
    account = item.get("account")
    if not is_mapping(account):
        raise InvalidRecord("account", "missing or not an object", item)
    login = some_text(account.get("login")) or some_text(account.get("slug"))  # an enterprise
    if login is None:
        raise InvalidRecord("account.login", "missing or not a text", item)
    account_id = optional_id(account.get("id"))
    if account_id is None:
        raise InvalidRecord("account.id", "missing or not a positive 64-bit integer", item)
    kind = some_text(account.get("type")) or some_text(item.get("target_type")) or "User"
    permissions = item.get("permissions")
    return InstallationRow(
        github_id=github_id,
        account_id=account_id,
        account_login=login,
        account_type=kind,
        repository_selection=some_text(item.get("repository_selection")) or "all",
        permissions={
            clean_text(name): clean_text(level)
            for name, level in (permissions if isinstance(permissions, Mapping) else {}).items()
            if type(name) is str and type(level) is str
        },
        events=texts(item.get("events")) or (),
        suspended_at=parse_time(item.get("suspended_at")),
        created_at=parse_time(item.get("created_at")),
        updated_at=parse_time(item.get("updated_at")),
        app_id=optional_id(item.get("app_id")),
    )


def parse_account(item: object) -> AccountRow:
    """A user or organization object; raises `InvalidRecord`."""
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", item)
    github_id = required_id(item)
    login = some_text(item.get("login"))
    if login is None:
        raise InvalidRecord("login", "missing or not a text", item)
    return AccountRow(
        github_id=github_id,
        login=login,
        type=some_text(item.get("type")) or "User",
        name=some_text(item.get("name")),
    )


# -- whole answers ---------------------------------------------------------------------------------


def parse_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of an answer; raises `MalformedBody`."""
    value = parse_json(body)
    if not isinstance(value, dict):
        raise MalformedBody("the answer is not an object")
    return value


def parse_list(body: bytes) -> list[Any]:
    """The JSON array of an answer; raises `MalformedBody`."""
    value = parse_json(body)
    if not isinstance(value, list):
        raise MalformedBody("the answer is not a list")
    return value


def parse_each(
    items: list[Any], parse: Callable[[object], Row]
) -> tuple[tuple[Row, ...], tuple[BadRecord, ...]]:
    """All items that can be read, and those that cannot, put aside: one never stops the rest."""
    rows: list[Row] = []
    bad: list[BadRecord] = []
    for index, item in enumerate(items):
        try:
            rows.append(parse(item))
        except InvalidRecord as error:
            bad.append(
                BadRecord(
                    index=index, github_id=error.github_id, field=error.field, reason=error.reason
                )
            )
    return tuple(rows), tuple(bad)


def parse_repositories(body: bytes) -> ParsedPage:
    """One page of repositories, either `{total_count, repositories}` or a bare array.

    A broken record is put aside in `bad`; a body of another shape raises `MalformedBody`.
    """
    value = parse_json(body)
    total_count = repository_selection = None
    if isinstance(value, dict):
        total = value.get("total_count")
        total_count = total if type(total) is int and total >= 0 else None
        repository_selection = some_text(value.get("repository_selection"))
        value = value.get("repositories")
    if not isinstance(value, list):
        raise MalformedBody("the answer is not a list of repositories")
    rows, bad = parse_each(value, parse_repository)
    return ParsedPage(
        rows=rows, bad=bad, total_count=total_count, repository_selection=repository_selection
    )
