"""The figures in the admin: what runs measured, what samples found, which rows break a rule."""

from collections.abc import Iterable
from typing import ClassVar, Final

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from reconciliation import selectors
from reconciliation.models import IntegrityIssue, RunFigure, SampleAudit, SampledItem
from reconciliation.showing import floored
from syncsvc.admin_base import HistoryAdmin, brief
from syncsvc.admin_lists import WordFilter
from syncsvc.admin_webhooks import ACCOUNT, OpenFilter
from syncsvc.models import SyncJob
from syncsvc.templatetags.mirror import percent

ITEMS_SHOWN: Final = 500


class OpenIssueFilter(OpenFilter):
    """Open or resolved."""

    title = "state"
    parameter_name = "open"
    field = "resolved_at"
    words = ("Open", "Resolved")


class TriggerFilter(WordFilter):
    """Why the run was asked for."""

    title = parameter_name = "trigger"
    words = SyncJob.Trigger.choices


class ModeFilter(WordFilter):
    """What the run read."""

    title = parameter_name = "mode"
    words = SyncJob.Mode.choices


class RunFigureAdmin(HistoryAdmin):
    """What each run measured of each entity."""

    list_display = (
        "at",
        "installation",
        "entity",
        "shown_accuracy",
        "compared",
        "matched",
        "vouched",
        "unknown",
        "trigger",
        "mode",
        "page",
    )
    list_filter = (ACCOUNT, "entity", TriggerFilter, ModeFilter, ("at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "=job__id")
    search_help_text = "The id of a run; of few figures an account too"
    exact = ("job",)
    sorted_by: ClassVar = ()
    ordering = ("-id",)
    readonly_fields = ("shown_accuracy",)

    @display(description="Accuracy")
    def shown_accuracy(self, row: RunFigure) -> str:
        """Matched / compared, or that it is not known."""
        return floored(selectors.tally(row))

    @display(description="Page")
    def page(self, row: RunFigure) -> SafeString:
        """Leads to the run's page."""
        address = reverse("job", args=[row.job_id])
        return format_html('<a class="underline" href="{}">Open</a>', address)


class SampleAuditAdmin(HistoryAdmin):
    """Random samples that were read again by another path."""

    list_display = (
        "at",
        "installation",
        "sampled",
        "matched",
        "wrong",
        "in_flight",
        "unknown",
        "shown_interval",
    )
    list_filter = (ACCOUNT, ("at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "=job__id")
    search_help_text = "An account, or the id of a run"
    exact = ("job",)
    sorted_by = ("at",)
    ordering = ("-at", "-id")
    readonly_fields = ("shown_interval", "shown_items")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SampleAudit]:
        """The rows without what can be long; a single row reads it when it is shown."""
        rows: QuerySet[SampleAudit] = super().get_queryset(request)
        return rows.defer("strata")

    @display(description="Estimate and 95 % interval", ordering="estimate")
    def shown_interval(self, row: SampleAudit) -> str:
        """What the sample says of the whole, and how far that can be believed."""
        if row.estimate is None or row.low is None or row.high is None:
            return "not known"
        return f"{percent(row.estimate)} ({percent(row.low)} to {percent(row.high)})"

    @display(description="Items")
    def shown_items(self, row: SampleAudit) -> SafeString:
        """What was drawn, what is not right first."""
        items = sorted(
            row.items.select_related("repository"), key=lambda it: it.result == "matched"
        )
        cells = [
            (f"{it.entity} {it.item_key}", it.get_result_display(), it.get_side_display(), it.path)
            for it in items[:ITEMS_SHOWN]
        ]
        return table(("Item", "Result", "Drawn", "Read by"), cells)


class IntegrityIssueAdmin(HistoryAdmin):
    """Rows of the mirror that break a rule which GitHub's data keep."""

    list_display = (
        "detected_at",
        "installation",
        "rule",
        "entity",
        "item_key",
        "shown_detail",
        "resolved_at",
    )
    list_filter = (ACCOUNT, OpenIssueFilter, "entity", ("detected_at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("=item_key", "=rule", "installation__account_login", "=correlation_id")
    search_help_text = "GitHub's id of an item, a rule, an account, the id of a run"
    narrow = ("installation__id__exact",)
    sorted_by: ClassVar = ()
    ordering = ("-id",)

    @display(description="What is wrong")
    def shown_detail(self, row: IntegrityIssue) -> SafeString:
        """The detail, as far as it fits."""
        return brief(row.detail)


class SampledItemAdmin(HistoryAdmin):
    """What was drawn in samples, item by item."""

    list_display = ("audit", "entity", "item_key", "repository", "side", "result", "path")
    list_filter = (
        ("audit", AutocompleteSelectFilter),
        ("repository", AutocompleteSelectFilter),
        "result",
        "side",
        "entity",
    )
    list_select_related = ("audit__installation", "repository")
    search_fields = ("=item_key",)
    search_help_text = (
        "GitHub's id of an item, or a whole sha; of very many items choose the audit first"
    )
    narrow = ("audit__id__exact", "repository__id__exact")
    sorted_by: ClassVar = ()
    ordering = ("-id",)


def table(head: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> SafeString:
    """A small table; whatever stands in it is text."""
    cell = '<td class="align-top border-b border-base-200 break-words pr-6 py-1 dark:border-base-800">{}</td>'
    header = format_html_join(
        "",
        '<th class="font-semibold pr-6 py-1 text-left" scope="col">{}</th>',
        ((it,) for it in head),
    )
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", cell, ((it,) for it in row)),) for row in rows)
    )
    return format_html(
        '<div class="max-h-96 overflow-auto"><table class="w-full whitespace-pre-wrap">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>",
        header,
        body,
    )


def register() -> None:
    """Puts the figures into the admin."""
    admin.site.register(RunFigure, RunFigureAdmin)
    admin.site.register(SampleAudit, SampleAuditAdmin)
    admin.site.register(SampledItem, SampledItemAdmin)
    admin.site.register(IntegrityIssue, IntegrityIssueAdmin)
