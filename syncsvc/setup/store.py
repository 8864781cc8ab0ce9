"""The one writer of credentials: encrypted, whole or not at all, and only over what its author has seen.

Hides the lock. Each change is told as an event, which the audit log keeps, without any secret (R11.2).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connection, transaction

from syncsvc import credentials, events, vault
from syncsvc.models import Credential, InstallationToken

_LOCK: Final = 0x5E7_0002
NONE: Final = "none"


class Changed(Exception):
    """Somebody else changed what is stored meanwhile; its text says what is there now."""


def version(kind: str) -> str:
    """Which state of a credential somebody is looking at."""
    return version_of(Credential.objects.filter(kind=kind).only("pk", "updated_at").first())


def save_app(
    user: Any,
    *,
    seen: str,
    app_id: str,
    key: str,
    webhook_secret: str,
    slug: str,
    name: str,
    html_url: str,
) -> None:
    """Stores a GitHub App in place of the one that was seen; raises `Changed`.

    Without a webhook secret the one of the very same App is kept.
    """
    values: dict[str, Any] = {
        "app_id": app_id,
        "slug": slug[:255],
        "name": name[:255],
        "html_url": html_url[:500],
        "private_key": vault.encrypt(key),
    }
    with _changing(Credential.Kind.APP, seen) as row:
        if webhook_secret or row is None or row.app_id != app_id:
            values["webhook_secret"] = vault.encrypt(webhook_secret) if webhook_secret else None
        _write(row, Credential.Kind.APP, values, user)
        # The former App's tokens speak for installations that are not this one's.
        if row is None or row.app_id != app_id:
            InstallationToken.objects.all().delete()


def save_token(user: Any, *, seen: str, token: str, owner: str, webhook_secret: str) -> None:
    """Stores a personal access token in place of the one that was seen; raises `Changed`."""
    values: dict[str, Any] = {"owner": owner, "token": vault.encrypt(token)}
    if webhook_secret:
        values["webhook_secret"] = vault.encrypt(webhook_secret)
    with _changing(Credential.Kind.TOKEN, seen) as row:
        _write(row, Credential.Kind.TOKEN, values, user)


def save_webhook_secret(user: Any, kind: str, *, seen: str, webhook_secret: str) -> None:
    """Changes what signs webhooks: one secret, or `new,old` while it is changed at GitHub."""
    with _changing(kind, seen) as row:
        if row is None:
            raise Changed("It was removed meanwhile. Nothing was changed.")
        _write(row, kind, {"webhook_secret": vault.encrypt(webhook_secret)}, user)


def remove(user: Any, kind: str, *, seen: str) -> None:
    """Forgets a credential; what was mirrored stays. Raises `Changed`."""
    with _changing(kind, seen) as row:
        if row is None:
            return
        told = _told(row)
        row.delete()
        if kind == Credential.Kind.APP:
            InstallationToken.objects.all().delete()
        _emit("credential.removed", user, told)


def renew_encryption() -> int:
    """Puts what is stored under the newest of `FIELD_ENCRYPTION_KEYS`, so that the older ones can go.

    At every start. The secrets stay what they are, so no process has to read them again; what cannot
    be read is left for whoever still has its key. Returns how many rows were written.
    """
    written = 0
    for row in Credential.objects.all():
        fresh: dict[str, bytes] = {}
        for name in ("private_key", "webhook_secret", "token"):
            stored = getattr(row, name)
            try:
                renewed = vault.renewed(stored) if stored is not None else None
            except vault.UnreadableSecret:
                renewed = None
            if renewed is not None:
                fresh[name] = renewed
        if fresh:  # unless somebody replaced it this moment
            same = Credential.objects.filter(pk=row.pk, updated_at=row.updated_at)
            written += same.update(**fresh)
    return written


@contextmanager
def _changing(kind: str, seen: str) -> Iterator[Credential | None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        row = Credential.objects.filter(kind=kind).first()
        if version_of(row) != seen:
            there = f"{row} is stored now" if row else "it was removed"
            raise Changed(
                f"Somebody else changed this meanwhile: {there}. Nothing of yours was stored; look "
                "at it, and begin again if you still want to."
            )
        yield row
    credentials.forget()
    transaction.on_commit(credentials.forget)  # where a larger transaction goes on around this one


def _write(row: Credential | None, kind: str, values: dict[str, Any], user: Any) -> None:
    told = Credential(kind=kind) if row is None else row
    former = _told(told) if row is not None else None
    if row is None:
        told.created_by = user
    changed = Credential(pk=told.pk, kind=kind, created_by=told.created_by)
    for field in ("app_id", "slug", "name", "html_url", "owner", "private_key", "token"):
        setattr(changed, field, values.get(field, getattr(told, field)))
    changed.webhook_secret = values.get("webhook_secret", told.webhook_secret)
    changed.created_at = told.created_at
    changed.save(force_insert=row is None)
    _emit(
        "credential.replaced" if former else "credential.stored",
        user,
        _told(changed),
        former=former["what"] if former else "",
        changed=sorted(values),
    )


def _told(row: Credential) -> dict[str, str]:
    what = f"GitHub App {row.app_id}" if row.kind == Credential.Kind.APP else "token"
    return {"kind": row.kind, "what": what, "slug": row.slug, "owner": row.owner}


def _emit(name: str, user: Any, told: dict[str, str], **more: Any) -> None:
    events.emit(name, installation_id=None, job_id=None, user_id=user.pk, **told, **more)


def version_of(row: Credential | None) -> str:
    """The same of a row that was read."""
    return f"{row.pk}:{row.updated_at.isoformat()}" if row else NONE
