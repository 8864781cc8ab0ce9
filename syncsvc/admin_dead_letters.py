"""Dead letters in the admin: what was given up, with its context and its stack, and the decision (R10.4)."""

import json
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import action, display

from syncsvc import dead_letter_decisions as decisions
from syncsvc.admin_base import brief, unbroken
from syncsvc.admin_decisions import Choice, DecidingAdmin
from syncsvc.admin_webhooks import ACCOUNT
from syncsvc.models import DeadLetter

TONES: Final = {"open": "danger", "requeued": "success", "discarded": "default"}
LATE: Final = "It is not open any more: somebody has decided before."


def _requeue(row: DeadLetter, request: HttpRequest, _reason: str) -> str:
    return decisions.requeue_one(row.pk, request.user)


def _discard(row: DeadLetter, request: HttpRequest, reason: str) -> str:
    if row.pk not in decisions.discard([row.pk], reason, request.user):
        raise decisions.Refused(LATE)
    return "discarded."


class DeadLetterAdmin(DecidingAdmin):
    """What was given up. No list reads a context or a stack."""

    state, open_states = "status", (DeadLetter.Status.OPEN,)
    refusals = (decisions.Refused, ValueError)
    list_display = (
        "created_at",
        "shown_kind",
        "installation",
        "shown_status",
        "category",
        "attempts",
        "shown_error",
        "decided_by",
        "page",
    )
    list_display_links = ("created_at", "shown_kind")
    list_filter = (
        ACCOUNT,
        "status",
        "kind",
        "category",
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation", "decided_by")
    search_fields = ("=job__id", "=delivery__guid", "error", "installation__account_login")
    ordering = ("-created_at", "-id")
    exclude = ("context", "stack")
    readonly_fields = ("shown_context", "shown_stack")
    actions = ("requeue", "discard")
    actions_detail = ("requeue_this", "discard_this")  # type: ignore[assignment]  # unfold's is ()
    choices: ClassVar = {
        "requeue": Choice(
            name="requeue",
            title="Requeue",
            explained="A job starts once more as soon as the account may be synced; a delivery is processed once "
            "more. What fails again gets a new letter.",
            button="Requeue",
            needs_reason=False,
            act=_requeue,
        ),
        "discard": Choice(
            name="discard",
            title="Discard",
            explained="Nothing is done again. The letter stays, with your reason.",
            button="Discard",
            needs_reason=True,
            act=_discard,
        ),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[DeadLetter]:
        """The rows without what can be long; a single row reads it when it is shown."""
        rows: QuerySet[DeadLetter] = super().get_queryset(request)
        return rows.defer("context", "stack")

    @display(description="What", ordering="kind")
    def shown_kind(self, row: DeadLetter) -> SafeString:
        """A job or a delivery."""
        return unbroken(row.get_kind_display())

    @display(description="Status", ordering="status", label=TONES)
    def shown_status(self, row: DeadLetter) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.get_status_display()

    @display(description="Error")
    def shown_error(self, row: DeadLetter) -> SafeString:
        """Why it was given up, as far as it fits."""
        return brief(row.error)

    @display(description="Context")
    def shown_context(self, row: DeadLetter) -> SafeString:
        """What it was about."""
        return _laid_out(json.dumps(row.context, indent=2, ensure_ascii=False))

    @display(description="Stack")
    def shown_stack(self, row: DeadLetter) -> SafeString | str:
        """Where it failed last."""
        return _laid_out(row.stack) if row.stack else "None: the worker died."

    @display(description="Page")
    def page(self, row: DeadLetter) -> SafeString:
        """Leads to the letter's page."""
        address = reverse("dead_letter", args=[row.pk])
        return format_html('<a class="underline" href="{}">Open</a>', address)

    @admin.action(description="Requeue", permissions=["decide"])
    def requeue(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        """Requeues those chosen."""
        return self.decide_many(request, "requeue", rows)

    @admin.action(description="Discard", permissions=["decide"])
    def discard(self, request: HttpRequest, rows: QuerySet[Any]) -> HttpResponse | None:
        """Discards those chosen, for one reason."""
        return self.decide_many(request, "discard", rows)

    @action(description="Requeue", permissions=["decide"])  # type: ignore[operator]  # unfold says Action
    def requeue_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Requeues this one."""
        return self.decide_one(request, "requeue", object_id)

    @action(description="Discard", permissions=["decide"])  # type: ignore[operator]  # unfold says Action
    def discard_this(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Discards this one."""
        return self.decide_one(request, "discard", object_id)


def _laid_out(text: str) -> SafeString:
    return format_html('<pre class="max-h-96 overflow-auto whitespace-pre">{}</pre>', text)


def register() -> None:
    """Puts dead letters into the admin."""
    admin.site.register(DeadLetter, DeadLetterAdmin)
