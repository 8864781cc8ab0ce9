"""The judge in the admin: what was found wrong, and what waits for a decision.

Only the product writes these rows; people repair, dismiss, approve and reject.
"""

import re
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from reconciliation import admin_figures, admin_rolled, admin_trail, decisions, selectors
from reconciliation.admin_figures import ITEMS_SHOWN, table
from reconciliation.models import Discrepancy, Review
from reconciliation.showing import said
from syncsvc.admin_base import brief, unbroken
from syncsvc.admin_contents import named
from syncsvc.admin_decisions import Choice, DecidingAdmin, asks, asks_here
from syncsvc.admin_lists import MOST_SEARCHED
from syncsvc.admin_webhooks import ACCOUNT

MOST_DIGITS: Final = 10
STATUS_TONES: Final = {
    "proposed": "info",
    "repaired": "success",
    "failed": "danger",
    "needs_manual_review": "warning",
    "dismissed": "default",
}
CAUSE_TONES: Final = {
    "lost_delivery": "warning",
    "never_told": "info",
    "our_side": "danger",
    "unknown": "default",
}
REVIEW_TONES: Final = {
    "open": "danger",
    "approved": "success",
    "rejected": "info",
    "withdrawn": "default",
}


class OpenDiscrepancyFilter(admin.SimpleListFilter):
    """Still to be dealt with, or not."""

    title = "state"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [("yes", "Open"), ("no", "Ended")]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Discrepancy]
    ) -> QuerySet[Discrepancy]:
        """The rows of that kind."""
        if self.value() not in ("yes", "no"):
            return queryset
        return selectors.open_discrepancies(queryset, is_open=self.value() == "yes")


def _repair(row: Discrepancy, request: HttpRequest, _reason: str) -> str:
    decisions.repair(row, request.user)
    return "GitHub is asked again, and the mirror put right by its answer."


def _dismiss(row: Discrepancy, request: HttpRequest, reason: str) -> str:
    decisions.dismiss(row, request.user, reason)
    return "dismissed."


def _approve(row: Review, request: HttpRequest, _reason: str) -> str:
    seen = request.POST.get(f"vanished_{row.pk}", "")
    started = decisions.approve(
        row,
        request.user,
        int(seen) if seen.isdecimal() and len(seen) < MOST_DIGITS else -1,
        request.POST.get(f"fingerprint_{row.pk}", ""),
    )
    return f"approved; {'a run' if started else 'the next run'} carries it out."


def _reject(row: Review, request: HttpRequest, reason: str) -> str:
    decisions.reject(row, request.user, reason)
    return "rejected: the repositories stay."


class DiscrepancyAdmin(DecidingAdmin):
    """Differences between GitHub and the mirror that no event had told of."""

    state, open_states = "repair_status", Discrepancy.OPEN
    refusals = (decisions.Refused,)
    list_display = (
        "detected_at",
        "shown_type",
        "shown_name",
        "installation",
        "shown_status",
        "shown_cause",
        "detector",
        "repaired_at",
        "repaired_by",
    )
    list_display_links = ("detected_at", "shown_type")
    list_filter = (
        ACCOUNT,
        OpenDiscrepancyFilter,
        "repair_status",
        "type",
        "entity",
        "cause",
        "detector",
        ("detected_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation",)
    search_fields = ("name", "=item_key", "=correlation_id", "installation__account_login")
    search_help_text = (
        "OWNER/NAME, the id of a run; of few discrepancies parts of a name or GitHub's id too"
    )
    exact = ("correlation_id",)
    sorted_by = ("detected_at",)
    ordering = ("-detected_at", "-id")
    exclude = ("before", "after")
    readonly_fields = ("shown_difference",)
    actions = ("repair", "dismiss")
    actions_detail = ("repair_one", "dismiss_one")  # type: ignore[assignment]  # unfold's is ()
    repair = asks("repair", "Repair: ask GitHub again")
    repair_one = asks_here("repair", "Repair")
    dismiss, dismiss_one = asks("dismiss", "Dismiss"), asks_here("dismiss", "Dismiss")
    choices: ClassVar = {
        "repair": Choice(
            name="repair",
            title="Repair",
            explained="GitHub is asked again, and the mirror is put right by its answer, not by what was "
            "found before.",
            button="Repair",
            needs_reason=False,
            act=_repair,
        ),
        "dismiss": Choice(
            name="dismiss",
            title="Dismiss",
            explained="It ends without a repair. The figures keep counting it: dismissing makes no accuracy "
            "better.",
            button="Dismiss",
            needs_reason=True,
            act=_dismiss,
        ),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Discrepancy]:
        """The rows without their snapshots; a single row reads them when it is shown."""
        rows: QuerySet[Discrepancy] = super().get_queryset(request)
        return rows.defer("before", "after")

    def search_condition(self, term: str) -> Q | None:
        """The run that found it, or the repository it is in."""
        found = super().search_condition(term)
        if "/" not in term or len(term) > MOST_SEARCHED:
            return found
        of_it = Q(repository__in=named(re.split("[#@]", term, maxsplit=1)[0]))
        if re.search("[#@]", term):
            of_it &= Q(name=term)
        return of_it if found is None else found | of_it

    @display(description="Type", ordering="type")
    def shown_type(self, row: Discrepancy) -> SafeString:
        """What is wrong."""
        return unbroken(row.get_type_display())

    @display(description="Item", ordering="name")
    def shown_name(self, row: Discrepancy) -> SafeString:
        """Its name, wrapped."""
        return brief(row.name)

    @display(description="Status", ordering="repair_status", label=STATUS_TONES)
    def shown_status(self, row: Discrepancy) -> tuple[str, str]:
        """The status as a badge."""
        return row.repair_status, row.get_repair_status_display()

    @display(description="Cause", ordering="cause", label=CAUSE_TONES)
    def shown_cause(self, row: Discrepancy) -> tuple[str, str]:
        """The cause as a badge, in a word: its own page has the sentence."""
        return row.cause, row.cause.replace("_", " ")

    @display(description="Difference")
    def shown_difference(self, row: Discrepancy) -> SafeString:
        """What the mirror said beside what GitHub said."""
        names = sorted({*row.before, *row.after})
        cells = ((name, said(row.before, name), said(row.after, name)) for name in names)
        return table(("Field", "The mirror said", "GitHub said"), cells)


class ReviewAdmin(DecidingAdmin):
    """Repositories that vanished at once and wait for a decision."""

    state, open_states = "status", (Review.Status.OPEN,)
    refusals = (decisions.Refused,)
    list_display = (
        "opened_at",
        "installation",
        "shown_status",
        "vanished",
        "present",
        "last_seen_at",
        "decided_by",
        "decided_at",
        "carried_out_at",
    )
    list_filter = (ACCOUNT, "status", ("opened_at", RangeDateTimeFilter))
    list_select_related = ("installation", "decided_by")
    search_fields = ("installation__account_login", "=correlation_id")
    search_help_text = "An account, or the id of the run that was held"
    narrow = ("installation__id__exact",)
    sorted_by = ("opened_at",)
    ordering = ("-opened_at", "-id")
    exclude = ("items",)
    readonly_fields = ("shown_items",)
    actions = ("approve", "reject")
    actions_detail = ("approve_one", "reject_one")  # type: ignore[assignment]  # unfold's is ()
    approve, approve_one = asks("approve", "Approve: let them go"), asks_here("approve", "Approve")
    reject, reject_one = asks("reject", "Reject: keep them"), asks_here("reject", "Reject")
    choices: ClassVar = {
        "approve": Choice(
            name="approve",
            title="Approve",
            explained="A run takes these repositories, and what they hold, out of the mirror. They are marked, "
            "not erased: if they come back, so does all of it.",
            button="Approve: let them go",
            needs_reason=False,
            act=_approve,
        ),
        "reject": Choice(
            name="reject",
            title="Reject",
            explained="Nothing goes: the mirror keeps these repositories as they are. If they are still missing "
            "a day later, you are asked again.",
            button="Reject: keep them",
            needs_reason=True,
            act=_reject,
        ),
    }

    def seen(self, row: Review) -> dict[str, object]:
        """How many were shown, and which: nobody approves what they did not see."""
        return {
            f"vanished_{row.pk}": row.vanished,
            f"fingerprint_{row.pk}": row.fingerprint,
        }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Review]:
        """The rows without their repositories; a single row reads them when it is shown."""
        rows: QuerySet[Review] = super().get_queryset(request)
        return rows.defer("items")

    @display(description="Status", ordering="status", label=REVIEW_TONES)
    def shown_status(self, row: Review) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.get_status_display()

    @display(description="What would go")
    def shown_items(self, row: Review) -> SafeString:
        """The repositories, and what GitHub says of each as far as it was asked."""
        cells = [
            (item.get("full_name", ""), item.get("says", "not asked"), item.get("asked_at") or "")
            for item in row.items[:ITEMS_SHOWN]
        ]
        if more := len(row.items) - len(cells):
            cells.append((f"and {more:,} more: the API lists them all", "", ""))
        return table(("Repository", "GitHub says", "Asked at"), cells)


admin.site.register(Discrepancy, DiscrepancyAdmin)
admin.site.register(Review, ReviewAdmin)
admin_figures.register()
admin_rolled.register()
admin_trail.register()
