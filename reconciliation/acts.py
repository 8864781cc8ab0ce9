"""What people do outside of the judge, heard and put into the audit trail (R11.2): syncs that they ask
for, runs that they cancel, breakers that they close, deliveries that they replay, what they change in the
admin, and logins, those in vain too. The floors below only say that it happened."""

from datetime import timedelta
from typing import Any, Final

from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_login_failed
from django.db import transaction
from rest_framework.request import Request

from reconciliation import trail
from reconciliation.models import AuditEntry
from syncsvc import clock, events, safe_text
from syncsvc.models import Delivery, SyncJob

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
SETTING: Final = "configuration"
"""The kind of entries about credentials; what they say of them is never secret."""


#: What else people do, and what is kept of each.
_KEPT: Final = {
    "admin.changed": (
        AuditEntry.Kind.CONFIGURATION,
        ("done", "model", "object_id", "object", "columns"),
    ),
    "content_list.read_again": (AuditEntry.Kind.READ_AGAIN, ("repository", "entity")),
}
NAME_KEPT: Final = 40
"""So much of a name that nobody could log in with is kept: people type passwords there."""
MOST_FAILURES: Final = 20
"""As many failed log-ins are noted in an hour; more are one attack, and would only fill the trail."""


def listen() -> None:
    """Listens from now on; called once, when the apps are ready."""
    events.happened.connect(_event, dispatch_uid="audit trail")
    user_logged_in.connect(_login, dispatch_uid="audit trail")
    user_login_failed.connect(_login_failed, dispatch_uid="audit trail")


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
    elif name == "webhook.replayed":
        place = Delivery.objects.filter(pk=fields["delivery_id"]).values_list(
            "installation_id", "guid"
        )
        account, guid = place.first() or (None, "")
        known = {**fields, "installation_id": account, "job_id": None}
        _note(AuditEntry.Kind.REPLAY, known, delivery=fields["delivery_id"], guid=guid)
    elif name in _KEPT:
        kind, kept = _KEPT[name]
        _note(kind, fields, **{each: fields[each] for each in kept})


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


def _login_failed(*, credentials: Any, request: Any = None, **_: Any) -> None:
    """Without the password, and of the name the beginning: it may be one, typed into the wrong field."""
    now = clock.now()
    lately = AuditEntry.objects.filter(at__gt=now - timedelta(hours=1), at__lte=now)
    if lately.filter(kind=AuditEntry.Kind.LOGIN_FAILED)[:MOST_FAILURES].count() >= MOST_FAILURES:
        return
    name = safe_text.shown(str(credentials.get("username") or ""))[:NAME_KEPT]
    with transaction.atomic():
        trail.act(
            AuditEntry.Kind.LOGIN_FAILED,
            None,
            name=name,
            through="token" if isinstance(request, Request) else "page",
        )
