"""Which credentials are in force: those of the environment, else those that were set up by clicks (R2.1, R19.4).

Hides where they are kept and how every process learns of a change within seconds, without a restart
and nearly for nothing: the rows are read every few seconds at most, and decrypted only when they changed.
"""

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connections

from syncsvc import vault
from syncsvc.models import Credential

log = structlog.get_logger(__name__)

FRESH_SECONDS: Final = 3.0
#: What the environment may name, and whether that is a way to GitHub in itself.
VARIABLES: Final[Mapping[str, bool]] = {
    "GITHUB_APP_ID": True,
    "GITHUB_APP_PRIVATE_KEY": True,
    "GITHUB_TOKEN": True,
    "GITHUB_OWNER": False,
    "GITHUB_WEBHOOK_SECRET": False,
}
_FIELDS: Final = (
    "pk", "kind", "updated_at", "app_id", "slug", "name", "html_url", "owner",
    "private_key", "webhook_secret", "token",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class App:
    """A GitHub App. `trouble` says why its key cannot be used, where it cannot."""

    app_id: str
    key: str = field(repr=False)
    slug: str = ""
    name: str = ""
    html_url: str = ""
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A personal access token, and the account to mirror; empty: the token's own."""

    token: str = field(repr=False)
    owner: str = ""
    trouble: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """Everything in force. `secrets` sign webhooks; several while one is being changed."""

    app: App | None = None
    token: Token | None = None
    secrets: tuple[str, ...] = field(default=(), repr=False)
    #: Why a stored webhook secret cannot be used.
    secret_trouble: str = ""
    from_environment: bool = False

    @property
    def troubles(self) -> tuple[str, ...]:
        """What cannot be used, in sentences."""
        found = [self.app and self.app.trouble, self.token and self.token.trouble]
        return tuple(each for each in (*found, self.secret_trouble) if each)


def in_environment() -> tuple[str, ...]:
    """The names, never the values, of what the environment sets."""
    return tuple(name for name in VARIABLES if getattr(settings, name))


def environment_wins() -> bool:
    """Whether the environment names a way to GitHub: then what was set up by clicks is not used.

    The simulator's credentials come that way too: nobody's real ones are ever sent to it.
    """
    return any(getattr(settings, name) for name, is_way in VARIABLES.items() if is_way)


def current() -> Known:
    """What is in force now, at most a few seconds old; one small query now and then."""
    if environment_wins():
        return _of_environment()
    return _shelf.read()


def webhook_secrets() -> tuple[str, ...]:
    """What signs webhooks, for the door: never waits for the database, except the first time.

    Raises `DatabaseError` only while nothing has been read yet.
    """
    given = settings.GITHUB_WEBHOOK_SECRET
    if given or environment_wins():
        return tuple(given)
    return _shelf.glance().secrets


def forget() -> None:
    """The next look reads the rows: they have just been changed here."""
    _shelf.forget()


def _of_environment() -> Known:
    app_id, key = str(settings.GITHUB_APP_ID), str(settings.GITHUB_APP_PRIVATE_KEY)
    token = str(settings.GITHUB_TOKEN)
    return Known(
        app=App(app_id=app_id, key=key) if app_id or key else None,
        token=Token(token=token, owner=str(settings.GITHUB_OWNER)) if token else None,
        secrets=tuple(settings.GITHUB_WEBHOOK_SECRET),
        from_environment=True,
    )


class _Shelf:
    """What the rows said last. One thread at a time reads them; the others take what is there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.forget()

    def forget(self) -> None:
        """Empty, as in a process that has just begun."""
        self._known: Known | None = None
        self._version: tuple[Any, ...] = ()
        self._until = 0.0

    def unlock(self) -> None:
        """After a fork: whoever held the lock is not in this process."""
        self._lock = threading.Lock()

    def read(self) -> Known:
        """Reads when it is time; what is there already survives a database that is down."""
        known = self._known
        if known is not None and time.monotonic() < self._until:
            return known
        if not self._lock.acquire(blocking=known is None):
            return known or Known()
        try:
            return self._refresh()
        except (DatabaseError, InterfaceError) as error:
            if self._known is None:
                raise
            log.warning("credentials.not_read", error=type(error).__name__)
            self._until = time.monotonic() + FRESH_SECONDS
            return self._known
        finally:
            self._lock.release()

    def glance(self) -> Known:
        """The same without waiting: another thread reads for those who come later."""
        known = self._known
        if known is None:
            return self.read()
        if time.monotonic() >= self._until and not self._lock.locked():
            threading.Thread(target=self._read_aside, name="credentials", daemon=True).start()
        return known

    def _read_aside(self) -> None:
        try:
            self.read()
        except Exception as error:  # noqa: BLE001  (a thread that only looks must end quietly)
            log.warning("credentials.not_read", error=type(error).__name__)
        finally:
            connections.close_all()  # this thread's own

    def _refresh(self) -> Known:
        if self._known is not None and time.monotonic() < self._until:
            return self._known  # another thread was quicker
        rows = list(Credential.objects.order_by("kind").values(*_FIELDS))
        keys = tuple(settings.FIELD_ENCRYPTION_KEYS)
        given = tuple(settings.GITHUB_WEBHOOK_SECRET)
        version = (keys, given, *((row["pk"], row["updated_at"]) for row in rows))
        if self._known is None or version != self._version:
            self._known, self._version = _opened(rows, given), version
        self._until = time.monotonic() + FRESH_SECONDS
        return self._known


def _opened(rows: list[dict[str, Any]], given: tuple[str, ...]) -> Known:
    app: App | None = None
    token: Token | None = None
    secrets: list[str] = list(given)
    secret_trouble = ""
    for row in rows:
        if row["kind"] == Credential.Kind.APP:
            key, trouble = _text(row["private_key"], "The private key of the GitHub App")
            app = App(
                app_id=row["app_id"],
                key=key,
                slug=row["slug"],
                name=row["name"],
                html_url=row["html_url"],
                trouble=trouble,
            )
        else:
            value, trouble = _text(row["token"], "The personal access token")
            token = Token(token=value, owner=row["owner"], trouble=trouble)
        if row["webhook_secret"] and not given:
            text, unread = _text(row["webhook_secret"], "The webhook secret")
            secrets += [each.strip() for each in text.split(",") if each.strip()]
            secret_trouble = secret_trouble or unread
    return Known(app=app, token=token, secrets=tuple(secrets), secret_trouble=secret_trouble)


def _text(stored: bytes | memoryview, what: str) -> tuple[str, str]:
    """The secret, or a sentence that says why it cannot be read."""
    try:
        return vault.decrypt(stored), ""
    except vault.UnreadableSecret:
        return "", (
            f"{what} was stored with a key that is no longer in FIELD_ENCRYPTION_KEYS. Put that "
            "key back behind the new one and restart, or set it up again on the page Set-up."
        )


def opened(row: Credential) -> Known:
    """What one row would give, whether it is in force or not."""
    return _opened([{name: getattr(row, name) for name in _FIELDS}], ())


_shelf = _Shelf()


os.register_at_fork(after_in_child=_shelf.unlock)
