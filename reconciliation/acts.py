"""What people do outside of the judge, heard and put into the audit trail (R11.2): syncs that they ask
for, runs that they cancel, breakers that they close, and logins. The floors below only say that it happened."""

from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.db import transaction
from rest_framework.request import Request

from reconciliation import trail
from reconciliation.models import AuditEntry
from syncsvc import events
from syncsvc.models import SyncJob

DEAD_LETTERS: Final = {
    "dead_letter.requeued": "requeued",
    "dead_letter.discarded": "discarded",
}

CREDENTIALS: Final = {
    "credential.stored": "stored",
    "credential.replaced": "replaced",
    "credential.removed": "removed",
    "demo.left": "demo left",
}
SETTING: Final = "setting"
"""The kind of entries about credentials; what they say of them is never secret."""


def listen() -> None:
    """Listens from now on; called once, when the apps are ready."""
    events.happened.connect(_event, dispatch_uid="audit trail")
    user_logged_in.connect(_login, dispatch_uid="audit trail")


def _event(*, name: str, fields: dict[str, Any], **_: Any) -> None:
    if name == "sync.request" and fields.get("trigger") == SyncJob.Trigger.MANUAL:
        _note(
            AuditEntry.Kind.MANUAL_SYNC,
            fields,
            decision=fields["decision"],
            reason=fields["reason"],
        )
    elif name in DEAD_LETTERS:
        _note(
            AuditEntry.Kind.DEAD_LETTER,
            fields,
            decision=DEAD_LETTERS[name],
            letter=fields["letter_id"],
            of=fields["kind"],
            delivery=fields["delivery_id"],
            reason=fields.get("reason", ""),
        )
    elif name in CREDENTIALS:
        _note(
            SETTING,
            fields,
            decision=CREDENTIALS[name],
            **{key: fields[key] for key in ("what", "slug", "owner", "former") if fields.get(key)},
        )
    elif name == "sync.job.cancelling":
        _note(AuditEntry.Kind.CANCEL, fields)
    elif name == "sync.breaker.reset":
        _note(AuditEntry.Kind.BREAKER, fields, was=fields["was"], failures=fields["failures"])


def _note(kind: str, fields: dict[str, Any], **detail: Any) -> None:
    known = "user_id" in fields
    user = get_user_model().objects.filter(pk=fields["user_id"]).first() if known else None
    with transaction.atomic():  # whatever goes wrong here must not spoil the sender's transaction
        trail.act(
            kind,
            user,
            installation=fields["installation_id"],
            correlation_id=fields["job_id"] or None,
            **detail,
        )


def _login(*, request: Any, user: Any, **_: Any) -> None:
    trail.act(
        AuditEntry.Kind.LOGIN, user, through="token" if isinstance(request, Request) else "page"
    )
