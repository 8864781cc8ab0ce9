"""The admin: everything to look at, little to change. What GitHub or a run wrote is read-only; who may
see what, and the operator's switches, are edited here. Syncs start and stop through the usual doors."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from syncsvc import (
    admin_contents,
    admin_dead_letters,
    admin_restyled,
    admin_webhooks,
    circuit,
    jobs,
    pacing,
    status,
)
from syncsvc.admin_base import HistoryAdmin, ListedAdmin, contents_links, list_link
from syncsvc.models import (
    EtagEntry,
    Heartbeat,
    Installation,
    Membership,
    RateBudget,
    Repository,
    SyncJob,
)
from syncsvc.policy import Action
from syncsvc.service import SyncService

admin_restyled.register()
admin_contents.register()
admin_webhooks.register()
admin_dead_letters.register()

INSTALLATION_TONES = {"active": "success", "suspended": "warning", "uninstalled": "danger"}
BREAKER_TONES = {"closed": "success", "open": "danger", "half_open": "warning"}
REPOSITORY_TONES = {
    "active": "success",
    "archived": "info",
    "deleted": "danger",
    "transferred": "warning",
    "access_removed": "warning",
    "unmanaged": "warning",
}
JOB_TONES = {
    "queued": "info",
    "running": "info",
    "blocked": "warning",
    "succeeded": "success",
    "partial": "warning",
    "failed": "danger",
    "dead": "danger",
}


@admin.register(Installation)
class InstallationAdmin(HistoryAdmin):
    """Accounts: how they are, and a sync or a dry run on request."""

    list_display = (
        "account_login",
        "account_type",
        "mode",
        "shown_status",
        "shown_breaker",
        "last_synced_at",
        "next_scheduled_at",
        "shown_rhythm",
        "shown_repositories",
        "shown_jobs",
        "shown_error",
    )
    list_filter = (
        "status",
        "breaker_state",
        ("waiting_since", EmptyFieldListFilter),
        ("action_needed", EmptyFieldListFilter),
        "mode",
        "account_type",
        ("last_synced_at", RangeDateTimeFilter),
    )
    search_fields = ("account_login", "=github_id", "=account_id")
    ordering = ("account_login", "pk")
    actions = ("sync_now", "dry_run", "try_now")
    readonly_fields = ("shown_repositories", "shown_jobs", "shown_contents")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Installation]:
        """The rows with the number of their repositories, counted for the shown page only."""
        present = (
            Repository.objects.filter(installation=OuterRef("pk"), status__in=Repository.PRESENT)
            .order_by()
            .values("installation")
            .annotate(number=Count("pk"))
            .values("number")
        )
        rows: QuerySet[Installation] = super().get_queryset(request)
        return rows.annotate(
            repository_count=Coalesce(Subquery(present, output_field=IntegerField()), 0)
        )

    @display(description="Status", ordering="status", label=INSTALLATION_TONES)
    def shown_status(self, row: Installation) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.get_status_display()

    @display(description="Repositories")
    def shown_repositories(self, row: Any) -> SafeString:
        """Leads to the repositories."""
        return list_link("repository", "installation", row, row.repository_count)

    @display(description="Interval", ordering="interval_seconds")
    def shown_rhythm(self, row: Installation) -> str:
        """How often it is synced and why."""
        return pacing.rhythm(row).sentence

    @display(description="Jobs")
    def shown_jobs(self, row: Installation) -> SafeString:
        """Leads to the runs."""
        return list_link("syncjob", "installation", row, "Runs")

    @display(description="Contents")
    def shown_contents(self, row: Installation) -> SafeString:
        """Leads to what was mirrored of its repositories, and to how each list was read."""
        return contents_links("repository__installation", row)

    @display(description="Breaker", ordering="breaker_state", label=BREAKER_TONES)
    def shown_breaker(self, row: Installation) -> tuple[str, str]:
        """Whether syncs are paused, as a badge."""
        breaker = Installation.Breaker(circuit.of(row).state)
        return breaker.value, str(breaker.label)

    @display(description="Last error")
    def shown_error(self, row: Installation) -> str:
        """What a person has to do, else why the last run failed, as far as it fits."""
        return Truncator(row.action_needed or row.last_error).chars(60)

    @admin.action(description="Sync now")
    def sync_now(self, request: HttpRequest, rows: QuerySet[Installation]) -> None:
        """Asks for a sync of each."""
        self._request(request, rows, dry_run=False)

    @admin.action(description="Dry run: say what a sync would change")
    def dry_run(self, request: HttpRequest, rows: QuerySet[Installation]) -> None:
        """Asks for a run of each that writes nothing."""
        self._request(request, rows, dry_run=True)

    @admin.action(description="Try now: close the breaker and sync")
    def try_now(self, request: HttpRequest, rows: QuerySet[Installation]) -> None:
        """Closes the breaker of each, as somebody who has mended the reason, and asks for a sync."""
        for row in rows:
            circuit.reset(row.pk, request.user)
        self._request(request, rows, dry_run=False)

    def _request(
        self, request: HttpRequest, rows: QuerySet[Installation], *, dry_run: bool
    ) -> None:
        for row in rows:
            decision = SyncService.request(
                row.pk, SyncJob.Trigger.MANUAL, dry_run=dry_run, user=request.user
            )
            started = decision.action is Action.START
            what = "The dry run has started." if dry_run else "The sync has started."
            self.message_user(
                request,
                f"{row.account_login}: {what if started else status.explain(decision)}",
                messages.SUCCESS if started else messages.WARNING,
            )


@admin.register(Repository)
class RepositoryAdmin(HistoryAdmin):
    """Repositories as GitHub described them; only the operator's switch can be changed."""

    list_display = (
        "full_name",
        "installation",
        "shown_status",
        "visibility",
        "language",
        "stars",
        "pushed_at",
        "last_written_at",
        "changed_by",
    )
    list_filter = (
        ("installation", AutocompleteSelectFilter),
        "status",
        "visibility",
        "archived",
        "fork",
        "automations_allowed",
    )
    list_select_related = ("installation",)
    search_fields = ("full_name", "=github_id")
    ordering = ("owner", "name", "pk")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever may change repositories may turn the switch."""
        return bool(super(HistoryAdmin, self).has_change_permission(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Everything but the switch."""
        names = [field.name for field in Repository._meta.get_fields() if field.concrete]
        kept = [name for name in names if name not in ("id", "automations_allowed")]
        return ["shown_contents", *kept]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Writes the switch alone: a run may have written the rest meanwhile."""
        Repository.objects.filter(pk=obj.pk).update(automations_allowed=obj.automations_allowed)

    @display(description="Contents")
    def shown_contents(self, row: Repository) -> SafeString:
        """Leads to what was mirrored of it, and to how each list was read."""
        return contents_links("repository", row)

    @display(description="Status", ordering="status", label=REPOSITORY_TONES)
    def shown_status(self, row: Repository) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.get_status_display()


@admin.register(SyncJob)
class SyncJobAdmin(HistoryAdmin):
    """Runs: to read, and to cancel while they are active."""

    list_display = (
        "created_at",
        "installation",
        "shown_status",
        "trigger",
        "what",
        "stage",
        "requested_by",
        "finished_at",
        "page",
    )
    list_filter = (
        ("installation", AutocompleteSelectFilter),
        "status",
        "trigger",
        "mode",
        "dry_run",
        ("created_at", RangeDateTimeFilter),
    )
    list_select_related = ("installation", "requested_by")
    search_fields = ("installation__account_login", "repository", "=id")
    ordering = ("-created_at", "pk")
    exclude = ("lease",)
    actions = ("cancel",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncJob]:
        """The rows without what can be long; a single row reads it when it is shown."""
        rows: QuerySet[SyncJob] = super().get_queryset(request)
        return rows.defer("plan", "failures", "verification")

    @display(description="Status", ordering="status", label=JOB_TONES)
    def shown_status(self, row: SyncJob) -> tuple[str, str]:
        """The status as a badge."""
        return row.status, row.get_status_display()

    @display(description="Mode", ordering="mode")
    def what(self, row: SyncJob) -> str:
        """The mode, and whether it writes."""
        return f"{row.get_mode_display()}, dry run" if row.dry_run else row.get_mode_display()

    @display(description="Page")
    def page(self, row: SyncJob) -> SafeString:
        """Leads to the run's page."""
        return format_html('<a class="underline" href="{}">Open</a>', reverse("job", args=[row.pk]))

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, rows: QuerySet[SyncJob]) -> None:
        """Stops each that is active."""
        for row in rows:
            job = jobs.cancel(row, user=request.user)
            if job.status == SyncJob.Status.CANCELLED:
                text, level = "is cancelled.", messages.SUCCESS
            elif job.is_active:
                text, level = "stops at its next safe point.", messages.SUCCESS
            else:
                text, level = "had ended already.", messages.WARNING
            self.message_user(request, f"{job.installation.account_login}: the run {text}", level)


@admin.register(Membership)
class MembershipAdmin(ListedAdmin):
    """Who may see which account, and in which role."""

    list_display = ("user", "installation", "role", "created_at")
    list_filter = (("installation", AutocompleteSelectFilter), "role")
    list_select_related = ("user", "installation")
    search_fields = ("user__username", "installation__account_login")
    autocomplete_fields = ("user", "installation")


@admin.register(RateBudget)
class RateBudgetAdmin(HistoryAdmin):
    """What GitHub last said is left."""

    list_display = ("installation", "resource", "remaining", "limit", "reset_at", "observed_at")
    list_filter = (("installation", AutocompleteSelectFilter), "resource")
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "resource")


@admin.register(EtagEntry)
class EtagEntryAdmin(HistoryAdmin):
    """Pages that need not be read again. Deleting one only makes the next run read it; the page
    itself stays hidden, it may hold private names."""

    list_display = ("installation", "url", "stored_at")
    list_filter = (("installation", AutocompleteSelectFilter),)
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "url")
    fields: ClassVar = ["installation", "url", "etag", "stored_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[EtagEntry]:
        """The rows without the pages."""
        rows: QuerySet[EtagEntry] = super().get_queryset(request)
        return rows.defer("rows")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever has Django's permission."""
        return bool(super(HistoryAdmin, self).has_delete_permission(request, obj))


@admin.register(Heartbeat)
class HeartbeatAdmin(HistoryAdmin):
    """Signs of life of worker and beat."""

    list_display = ("component", "beaten_at")
