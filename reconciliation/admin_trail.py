"""The audit log in the admin: runs, what they did record by record, their errors, and people's deeds.

Nobody adds, changes or deletes here.
"""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from reconciliation import selectors_trail, trail
from reconciliation.admin_figures import table
from reconciliation.models import AuditEntry, AuditError, AuditRecord, Entity
from reconciliation.models.trail import CATEGORIES
from syncsvc.admin import JOB_TONES
from syncsvc.admin_base import HistoryAdmin, brief, unbroken
from syncsvc.admin_contents import named
from syncsvc.admin_lists import MOST_SEARCHED, WordFilter
from syncsvc.admin_webhooks import ACCOUNT, MOST_NAMED
from syncsvc.models import SyncJob

ITEMS_SHOWN: Final = 5
ROWS_SHOWN: Final = 100
TONES: Final = {"running": "info", "blocked": "warning", trail.DONE: "success", **JOB_TONES}
RESULT_TONES: Final = {
    "done": "success",
    "proposed": "info",
    "conflict": "warning",
    "failed": "danger",
}


class EntryModeFilter(WordFilter):
    """What the run read."""

    title = parameter_name = "mode"
    words = SyncJob.Mode.choices


class EntityFilter(WordFilter):
    """What it was done to."""

    title = parameter_name = "entity"
    words = Entity.choices


class ErrorCategoryFilter(WordFilter):
    """Of which kind it was."""

    title = parameter_name = "category"
    words = tuple((name, name) for name in CATEGORIES)


class StatusFilter(admin.SimpleListFilter):
    """How it stands; a run's words are a job's."""

    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [*((str(name), str(text)) for name, text in SyncJob.Status.choices), _DONE]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that status."""
        return queryset.filter(status=self.value()) if self.value() else queryset


_DONE: Final = (trail.DONE, "Done")


class AuditEntryAdmin(HistoryAdmin):
    """Runs, and what people did; found by account, repository, item, person or run."""

    list_display = (
        "at",
        "shown_kind",
        "installation",
        "shown_status",
        "what",
        "actor_name",
        "succeeded",
        "failed",
        "shown_records",
        "shown_errors",
        "shown_warning",
    )
    list_display_links = ("at", "shown_kind")
    list_filter = (ACCOUNT, "kind", StatusFilter, EntryModeFilter, ("at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("actor_name", "correlation_id")
    search_help_text = (
        "OWNER/NAME, GitHub's id of an item, a whole sha, a user, or the id of a run."
    )
    exact = search_fields
    sorted_by = ("at",)
    ordering = ("-at", "-id")
    readonly_fields = ("page", "first_records", "first_errors")

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        """The rows without what can be long; a single row reads it when it is shown."""
        rows: QuerySet[AuditEntry] = super().get_queryset(request)
        return rows.defer("verification", "detail", "counts", "api")

    def search_condition(self, term: str) -> Q | None:
        """Besides the entry's own words: what it did in a repository, or to an item."""
        if len(term) > MOST_SEARCHED:
            return None
        rows = AuditEntry.objects.all()
        found = Q(pk__in=selectors_trail.of_item(rows, term).values("pk"))
        if "/" in term:
            meant = named(term)
            touched = AuditRecord.objects.filter(repository__in=meant)
            found |= Q(pk__in=touched.values("entry"))
            found |= Q(repository__in=[term, *map(str, meant[:MOST_NAMED])])
        exact = super().search_condition(term)
        return found if exact is None else found | exact

    @display(description="Kind", ordering="kind")
    def shown_kind(self, row: AuditEntry) -> SafeString:
        """A run, or what somebody did."""
        return unbroken(row.get_kind_display())

    @display(description="Status", ordering="status", label=TONES)
    def shown_status(self, row: AuditEntry) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.status.replace("_", " ").capitalize()

    @display(description="What")
    def what(self, row: AuditEntry) -> SafeString:
        """The repository, or trigger and mode of the run."""
        words = row.repository or " · ".join(filter(None, (row.trigger, row.mode)))
        return brief(f"{words}, dry run" if row.dry_run else words)

    @display(description="Records")
    def shown_records(self, row: AuditEntry) -> SafeString:
        """Leads to what it did."""
        return _of_entry("auditrecord", row, "Records")

    @display(description="Errors")
    def shown_errors(self, row: AuditEntry) -> SafeString:
        """Leads to what went wrong."""
        return _of_entry("auditerror", row, sum(row.errors_by_category.values()) or "none")

    @display(description="Slow", ordering="warning")
    def shown_warning(self, row: AuditEntry) -> SafeString:
        """What was slow, as far as it fits."""
        return brief(row.warning)

    @display(description="Page of the run")
    def page(self, row: AuditEntry) -> SafeString | str:
        """Leads to the run's page."""
        if row.kind != AuditEntry.Kind.RUN or row.correlation_id is None:
            return "none"
        address = reverse("job", args=[row.correlation_id])
        return format_html('<a class="underline" href="{}">Open</a>', address)

    @display(description=f"The first {ROWS_SHOWN} records")
    def first_records(self, row: AuditEntry) -> SafeString:
        """What it did."""
        cells = [
            (
                str(each.repository or "none"),
                each.entity,
                each.get_operation_display(),
                each.get_result_display(),
                _items(each),
                each.error,
            )
            for each in selectors_trail.records(row)[:ROWS_SHOWN]
        ]
        return table(("Repository", "Entity", "Operation", "Result", "Items", "Error"), cells)

    @display(description=f"The first {ROWS_SHOWN} errors")
    def first_errors(self, row: AuditEntry) -> SafeString:
        """What went wrong."""
        cells = [
            (each.item, each.operation, each.category, each.message)
            for each in selectors_trail.errors(row)[:ROWS_SHOWN]
        ]
        return table(("Item", "Doing", "Category", "Message"), cells)


class AuditRecordAdmin(HistoryAdmin):
    """What was done to records, a row for each repository of a batch."""

    list_display = (
        "at",
        "repository",
        "entity",
        "operation",
        "shown_result",
        "shown_items",
        "shown_error",
    )
    list_filter = (
        ("repository", AutocompleteSelectFilter),
        "operation",
        "result",
        EntityFilter,
        ("at", RangeDateTimeFilter),
    )
    list_select_related = ("repository",)
    search_fields = exact = ("items",)
    search_help_text = "OWNER/NAME, GitHub's id of an item, or a whole sha."
    sorted_by: ClassVar = ()
    ordering = ("-id",)
    raw_id_fields = ("entry",)

    def search_condition(self, term: str) -> Q | None:
        """By repository or by item."""
        if len(term) > MOST_SEARCHED:
            return None
        if "/" in term:
            return Q(repository__in=named(term))
        return Q(items__contains=[term])

    @display(description="Result", ordering="result", label=RESULT_TONES)
    def shown_result(self, row: AuditRecord) -> tuple[str, str]:
        """The result as a badge."""
        return row.result, row.get_result_display()

    @display(description="Items")
    def shown_items(self, row: AuditRecord) -> SafeString:
        """The first of them, and how many there are."""
        return brief(_items(row))

    @display(description="Error")
    def shown_error(self, row: AuditRecord) -> SafeString:
        """Why it failed, as far as it fits."""
        return brief(row.error)


class AuditErrorAdmin(HistoryAdmin):
    """What went wrong in runs, each in one category."""

    list_display = ("at", "category", "entity", "shown_item", "operation", "shown_message")
    list_filter = (ErrorCategoryFilter, EntityFilter, ("at", RangeDateTimeFilter))
    search_fields = ("=item",)
    search_help_text = "The whole name of an item; of very many errors choose the run first"
    narrow = ("entry__id__exact",)
    sorted_by: ClassVar = ()
    ordering = ("-id",)
    raw_id_fields = ("entry",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditError]:
        """The rows without their stacks."""
        rows: QuerySet[AuditError] = super().get_queryset(request)
        return rows.defer("trace")

    @display(description="Item", ordering="item")
    def shown_item(self, row: AuditError) -> SafeString:
        """What it happened to, as far as it fits."""
        return brief(row.item)

    @display(description="Message")
    def shown_message(self, row: AuditError) -> SafeString:
        """What happened, as far as it fits."""
        return brief(row.message)


def _items(row: AuditRecord) -> str:
    shown = ", ".join(row.items[:ITEMS_SHOWN])
    left = len(row.items) - ITEMS_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def _of_entry(model: str, row: Model, text: object) -> SafeString:
    address = reverse(f"admin:reconciliation_{model}_changelist")
    return format_html(
        '<a class="underline" href="{}?entry__id__exact={}">{}</a>', address, row.pk, text
    )


def register() -> None:
    """Puts them into the admin."""
    admin.site.register(AuditEntry, AuditEntryAdmin)
    admin.site.register(AuditRecord, AuditRecordAdmin)
    admin.site.register(AuditError, AuditErrorAdmin)
