"""Dead letters in the admin: what was given up, with its context and its stack, and the decision (R10.4)."""

import json
from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from syncsvc import dead_letter_decisions as decisions
from syncsvc.admin_base import brief, unbroken
from syncsvc.admin_decisions import Choice, DecidingAdmin, asks, asks_here
from syncsvc.admin_lists import WordFilter, found_by
from syncsvc.admin_webhooks import ACCOUNT
from syncsvc.api.dead_letters import CATEGORIES
from syncsvc.models import DeadLetter, Delivery

TONES: Final = {"open": "danger", "requeued": "success", "discarded": "default"}
LATE: Final = "It is not open any more: somebody has decided before."


def _requeue(row: DeadLetter, request: HttpRequest, _reason: str) -> str:
    return decisions.requeue_one(row.pk, request.user)


def _discard(row: DeadLetter, request: HttpRequest, reason: str) -> str:
    if row.pk not in decisions.discard([row.pk], reason, request.user):
        raise decisions.Refused(LATE)
    return "discarded."


class LetterCategoryFilter(WordFilter):
    """What kind of failure it was."""

    title = parameter_name = "category"
    words = CATEGORIES


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
        LetterCategoryFilter,
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation", "decided_by")
    search_fields = ("=job__id", "=delivery__guid", "error", "installation__account_login")
    search_help_text = "The id of a run, a delivery's GUID; of few letters words of the error too"
    exact = ("job",)
    sorted_by = ("created_at",)
    ordering = ("-created_at", "-id")
    exclude = ("context", "stack")
    readonly_fields = ("shown_context", "shown_stack")
    actions = ("requeue", "discard")
    actions_detail = ("requeue_one", "discard_one")  # type: ignore[assignment]  # unfold's is ()
    requeue, requeue_one = asks("requeue", "Requeue"), asks_here("requeue", "Requeue")
    discard, discard_one = asks("discard", "Discard"), asks_here("discard", "Discard")
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

    def search_condition(self, term: str) -> Q | None:
        """The run, or the delivery by its GUID."""
        found = super().search_condition(term)
        by_guid = found_by(Delivery, ("guid",), term)
        if by_guid is None:
            return found
        of_delivery = Q(delivery__in=Delivery.objects.filter(by_guid).values("pk"))
        return of_delivery if found is None else found | of_delivery

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


def _laid_out(text: str) -> SafeString:
    return format_html('<pre class="max-h-96 overflow-auto whitespace-pre">{}</pre>', text)


def register() -> None:
    """Puts dead letters into the admin."""
    admin.site.register(DeadLetter, DeadLetterAdmin)
