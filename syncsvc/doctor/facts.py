"""What the doctor looks at, as plain values: from here to the findings everything is pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A configured way to GitHub, `app` or `token`. `trouble`: why it cannot even be tried."""

    kind: str
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """An active account: what its installation was granted, and GitHub's word on its budget."""

    login: str
    mode: str
    permissions: Mapping[str, str] = field(default_factory=dict)
    events: tuple[str, ...] = ()
    remaining: int | None = None
    limit: int | None = None
    reset_at: datetime | None = None
    status: str = "active"


@dataclass(frozen=True, kw_only=True, slots=True)
class Local:
    """What this server knows of itself, without asking anybody."""

    now: datetime
    version: str
    ways: tuple[Way, ...]
    from_environment: tuple[str, ...]
    demo: bool
    secrets: int
    secret_trouble: str
    accounts: tuple[Account, ...]
    more_accounts: int
    last_delivery_at: datetime | None
    silent: Mapping[str, str]
    broker: bool
    database_version: int
    database_bytes: int
    connections: int
    connections_most: int
    disk_free_percent: int | None
    unapplied: int
    derived_key: bool
    base_url: str
    api_url: str
    hosts: tuple[str, ...]
    debug: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """One attempt in GitHub's log."""

    at: datetime
    code: int
    event: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What GitHub said when it was asked. `errors` by question: `app`, `hook`, `log`, `token`."""

    at: datetime
    errors: Mapping[str, str] = field(default_factory=dict)
    permissions: Mapping[str, str] | None = None
    events: tuple[str, ...] = ()
    app_name: str = ""
    token_owner: str = ""
    their_time: datetime | None = None
    hook_url: str | None = None
    hook_has_secret: bool = False
    log: tuple[Delivered, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One check: `state` is ok, warning, bad or unknown; `fix` says what to do, where there is something."""

    key: str
    group: str
    title: str
    state: str
    says: str
    at: datetime
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """For `manage.py doctor --json` and for keeping."""
        return {
            "key": self.key,
            "group": self.group,
            "title": self.title,
            "state": self.state,
            "says": self.says,
            "fix": self.fix,
            "at": self.at.isoformat(),
        }
