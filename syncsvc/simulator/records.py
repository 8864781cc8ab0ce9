"""What exists on the simulated GitHub: accounts, repositories, installations, hooks.

Hides how numeric ids become node ids and how moments become text. Times are whole
seconds since the epoch, as GitHub's own times have no fractions.
"""

from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal
from zlib import compress, decompress

import orjson

AccountType = Literal["Organization", "User", "Bot"]
Selection = Literal["all", "selected"]
Visibility = Literal["public", "private", "internal"]

VISIBILITIES: tuple[Visibility, ...] = ("public", "private", "internal")

DEFAULT_PERMISSIONS = {"metadata": "read", "contents": "read", "issues": "read"}
DEFAULT_PERMISSIONS |= {"pull_requests": "read", "checks": "read", "deployments": "read"}
DEFAULT_EVENTS = ("issues", "organization", "public", "pull_request", "push", "repository")


class WorldError(ValueError):
    """A change that GitHub would refuse; its text is one sentence for people."""


@lru_cache(maxsize=1 << 18)
def rfc3339(moment: int) -> str:
    """Epoch seconds as GitHub writes times: `2025-06-01T12:00:00Z`."""
    return datetime.fromtimestamp(moment, UTC).isoformat()[:19] + "Z"


def epoch(text: str) -> int | None:
    """A time as clients write it, in epoch seconds; None for nonsense. Without a zone: UTC."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int(parsed.replace(tzinfo=parsed.tzinfo or UTC).timestamp())


def legacy_node_id(kind: str, number: int) -> str:
    """The older form of a node id: base64 of `010:Repository42`."""
    return b64encode(f"0{len(kind)}:{kind}{number}".encode()).decode()


def node_id(prefix: str, number: int) -> str:
    """The newer form of a node id (`R_kgDO...`): a packed array of zero and the id."""
    wide = number >= 1 << 32
    packed = b"\x92\x00" + (b"\xcf" if wide else b"\xce") + number.to_bytes(8 if wide else 4, "big")
    return f"{prefix}_{urlsafe_b64encode(packed).decode().rstrip('=')}"


@dataclass(slots=True, eq=False)
class Account:
    """A user or an organization, or a bot that writes pull requests."""

    id: int
    login: str
    type: AccountType
    name: str
    description: str | None
    location: str | None
    created_at: int
    updated_at: int
    member_ids: set[int] = field(default_factory=set)
    """Users that see an organization's private repositories."""
    revision: int = 0

    @property
    def node_id(self) -> str:
        """GitHub's global id of the account."""
        return node_id({"Organization": "O", "User": "U", "Bot": "BOT"}[self.type], self.id)


@dataclass(frozen=True, slots=True)
class ContentPlan:
    """How much a repository holds, known before any of it exists."""

    issues: int = 0
    pull_requests: int = 0
    commits: int = 0
    open_items: int = 0
    first_id: int = 0
    """Where its share of the numbers begins from which ids are made."""


@dataclass(slots=True)
class Repository:
    """A repository; `revision` grows with each change, so rendered copies know their age."""

    id: int
    owner_id: int
    name: str
    created_at: int
    updated_at: int
    pushed_at: int
    legacy_id: bool = False
    description: str | None = None
    visibility: Visibility = "public"
    archived: bool = False
    disabled: bool = False
    fork: bool = False
    default_branch: str = "main"
    language: str | None = None
    topics: tuple[str, ...] = ()
    stars: int = 0
    forks: int = 0
    open_issues: int = 0
    size: int = 0
    homepage: str | None = None
    license: str | None = None
    blocked: str | None = None
    blocked_at: int = 0
    pushes: int = 0
    plan: ContentPlan = ContentPlan()
    """What it holds when its content is made, at the first need."""
    revision: int = 0

    @property
    def node_id(self) -> str:
        """GitHub's global id, in the form of the repository's time."""
        if self.legacy_id:
            return legacy_node_id("Repository", self.id)
        return node_id("R", self.id)


@dataclass(slots=True)
class Installation:
    """The App on one account."""

    id: int
    account_id: int
    created_at: int
    updated_at: int
    selection: Selection = "all"
    repository_ids: set[int] = field(default_factory=set)
    """Which repositories were chosen; means something for `selected` only."""
    permissions: dict[str, str] = field(default_factory=lambda: dict(DEFAULT_PERMISSIONS))
    events: tuple[str, ...] = DEFAULT_EVENTS
    suspended_at: int | None = None

    @property
    def node_id(self) -> str:
        """GitHub's global id, in the older form that webhooks still carry."""
        return legacy_node_id("IntegrationInstallation", self.id)


@dataclass(slots=True)
class App:
    """The GitHub App itself."""

    id: int
    slug: str
    name: str
    client_id: str
    owner_id: int
    created_at: int
    html_root: str = ""
    """Where its pages are; empty: at GitHub's own address."""
    setup_url: str = ""
    """Where people are led after they installed it."""
    events: tuple[str, ...] = DEFAULT_EVENTS


@dataclass(slots=True)
class Hook:
    """Where webhooks go: the App's own hook, or one of an organization or of a repository."""

    id: int
    url: str
    secret: str
    events: tuple[str, ...]
    created_at: int
    updated_at: int
    organization_id: int | None = None
    active: bool = True
    repository_id: int | None = None

    @property
    def of_app(self) -> bool:
        """Whether it is the App's own."""
        return self.organization_id is None and self.repository_id is None


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was made: when (epoch seconds), which, and with what arguments."""

    at: int
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that GitHub would tell hooks about, with the payload as of that moment."""

    guid: str
    event: str
    action: str | None
    at: int
    packed: bytes
    """The payload as compressed JSON: days of events are kept."""
    installation_id: int | None
    repository_id: int | None
    organization_id: int | None

    @property
    def body(self) -> bytes:
        """The payload as it is sent and signed."""
        return decompress(self.packed)

    @property
    def payload(self) -> Any:
        """The payload as a value."""
        return orjson.loads(self.body)


def packed(payload: dict[str, Any]) -> bytes:
    """A payload as an Event keeps it."""
    return compress(orjson.dumps(payload), level=1)
