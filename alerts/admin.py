"""Incidents in the admin: what is wrong and what was. Only the product writes them; people acknowledge."""

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from alerts import incidents, selectors
from alerts.models import Incident
from alerts.values import Kind
from syncsvc.admin_base import HistoryAdmin, brief

SEVERITY_TONES: Final = {"warning": "info", "high": "warning", "critical": "danger"}
STATUS_TONES: Final = {"open": "danger", "acknowledged": "warning", "resolved": "success"}


class LastingFilter(admin.SimpleListFilter):
    """Whether the problem lasts."""

    title = "problem"
    parameter_name = "lasts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [("yes", "Lasts"), ("no", "Has ended")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that kind."""
        if self.value() == "yes":
            return selectors.unresolved(queryset)
        if self.value() == "no":
            return queryset.filter(status=Incident.Status.RESOLVED)
        return queryset


class KindFilter(admin.SimpleListFilter):
    """The kind of problem."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [(kind, in_words(kind)) for kind in Kind]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that kind."""
        return queryset.filter(kind=self.value()) if self.value() else queryset


def in_words(kind: str) -> str:
    """A kind as people read it."""
    return kind.replace("_", " ").capitalize()


@admin.register(Incident)
class IncidentAdmin(HistoryAdmin):
    """Incidents, from their beginning to their end."""

    list_display = (
        "shown_severity",
        "shown_title",
        "installation",
        "shown_kind",
        "shown_status",
        "opened_at",
        "last_seen_at",
        "resolved_at",
        "acknowledged_by",
    )
    list_display_links = ("shown_severity", "shown_title")
    list_filter = (
        ("installation", AutocompleteSelectFilter),
        LastingFilter,
        "status",
        "severity",
        KindFilter,
        ("opened_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation", "acknowledged_by")
    search_fields = ("title", "installation__account_login", "=key", "=correlation_id")
    ordering = ("-opened_at", "-id")
    actions = ("acknowledge",)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        """Whoever has Django's permission to change incidents; nothing else can be changed."""
        return bool(request.user.has_perm("alerts.change_incident"))

    @display(description="Severity", ordering="severity", label=SEVERITY_TONES)
    def shown_severity(self, row: Incident) -> tuple[str, str]:
        """How bad it is, as a badge."""
        return row.severity, row.get_severity_display()

    @display(description="Problem", ordering="title")
    def shown_title(self, row: Incident) -> SafeString:
        """What it is, as far as it fits."""
        return brief(row.title)

    @display(description="Kind", ordering="kind")
    def shown_kind(self, row: Incident) -> str:
        """The kind of problem."""
        return in_words(row.kind)

    @display(description="Status", ordering="status", label=STATUS_TONES)
    def shown_status(self, row: Incident) -> tuple[str, str]:
        """How far it is, as a badge."""
        return row.status, row.get_status_display()

    @admin.action(description="Acknowledge", permissions=["acknowledge"])
    def acknowledge(self, request: HttpRequest, rows: QuerySet[Incident]) -> None:
        """Says that somebody has taken these on."""
        chosen = list(rows)
        done = sum(incidents.acknowledge(row, request.user) for row in chosen)
        if done:
            what = "1 incident is" if done == 1 else f"{done} incidents are"
            self.message_user(request, f"{what} acknowledged.", messages.SUCCESS)
        if left := len(chosen) - done:
            what = "1 incident was" if left == 1 else f"{left} incidents were"
            self.message_user(
                request,
                f"{what} left alone: acknowledged already, or ended.",
                messages.WARNING,
            )
