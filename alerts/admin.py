"""Incidents in the admin: what is wrong and what was. Only the product writes them; people acknowledge."""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from alerts import incidents, selectors
from alerts.models import Incident
from alerts.values import Kind
from syncsvc.admin_base import brief
from syncsvc.admin_decisions import Choice, DecidingAdmin, Refused, asks, asks_here

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


def _acknowledge(row: Incident, request: HttpRequest, _reason: str) -> str:
    if not incidents.acknowledge(row, request.user):
        raise Refused("left alone: acknowledged already, or ended.")
    return "acknowledged."


@admin.register(Incident)
class IncidentAdmin(DecidingAdmin):
    """Incidents, from their beginning to their end."""

    state, open_states = "status", (Incident.Status.OPEN,)
    choices: ClassVar = {
        "acknowledge": Choice(
            name="acknowledge",
            title="Acknowledge",
            explained="These incidents are marked as taken on by you. They stay until their cause is gone, and "
            "end with it by themselves.",
            button="Acknowledge",
            act=_acknowledge,
        ),
    }
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
    search_help_text = (
        "Words of the problem, an account, the id of a run; of very many the whole key"
    )
    narrow = ("installation__id__exact",)
    exact = ("key",)
    sorted_by = ("opened_at",)
    ordering = ("-opened_at", "-id")
    actions = ("acknowledge",)
    actions_detail = ("acknowledge_one",)  # type: ignore[assignment]  # unfold's is ()
    acknowledge = asks("acknowledge", "Acknowledge")
    acknowledge_one = asks_here("acknowledge", "Acknowledge")

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
