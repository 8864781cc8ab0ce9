"""The admin: everything to look at, little to change. What GitHub or a run wrote is read-only; who may
see what, and the operator's switches, are edited here. Syncs start and stop through the usual doors."""

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin import EmptyFieldListFilter
from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Lower
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
    admin_machinery,
    admin_readings,
    admin_restyled,
    admin_webhooks,
    circuit,
    jobs,
    pacing,
    status,
)
from syncsvc.admin_base import HistoryAdmin, contents_links, list_link
from syncsvc.admin_decisions import Choice, DecidingAdmin, Refused, asks, asks_here
from syncsvc.admin_lists import MOST_SEARCHED
from syncsvc.models import (
    Installation,
    Repository,
    SyncJob,
)
from syncsvc.policy import Action
from syncsvc.service import SyncService

admin_restyled.register()
admin_contents.register()
admin_webhooks.register()
admin_dead_letters.register()
admin_machinery.register()
admin_readings.register()

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


def _sync(row: Installation, request: HttpRequest, _reason: str) -> str:
    return _request(row, request, "The sync has started.")


def _dry_run(row: Installation, request: HttpRequest, _reason: str) -> str:
    return _request(row, request, "The dry run has started.", dry_run=True)


def _try_now(row: Installation, request: HttpRequest, _reason: str) -> str:
    circuit.reset(row.pk, request.user)
    return _request(row, request, "The sync has started.")


def _sync_one(row: Repository, request: HttpRequest, _reason: str) -> str:
    return _request(
        row.installation,
        request,
        "The sync of this repository has started.",
        mode=SyncJob.Mode.REPO,
        repository=str(row),
    )


def _request(row: Installation, request: HttpRequest, started: str, **asked: Any) -> str:
    decision = SyncService.request(row.pk, SyncJob.Trigger.MANUAL, user=request.user, **asked)
    if decision.action is not Action.START:
        raise Refused(status.explain(decision))
    return started


def _cancel(row: SyncJob, request: HttpRequest, _reason: str) -> str:
    job = jobs.cancel(row, user=request.user)
    if job.status == SyncJob.Status.CANCELLED:
        return "the run is cancelled."
    if job.is_active:
        return "the run stops at its next safe point."
    raise Refused("the run had ended already.")


@admin.register(Installation)
class InstallationAdmin(DecidingAdmin):
    """Accounts: how they are, and a sync or a dry run on request."""

    choices: ClassVar = {
        "sync_now": Choice(
            name="sync_now",
            title="Sync now",
            explained="A sync of each of these accounts starts at once, where nothing stands against it: an "
            "account that is being synced, was a moment ago, or waits for GitHub says so and is left alone.",
            button="Sync now",
            act=_sync,
        ),
        "dry_run": Choice(
            name="dry_run",
            title="Dry run",
            explained="A run of each of these accounts reads GitHub and says what a sync would change. It "
            "changes nothing, and spends the account's budget of requests like a sync.",
            button="Start the dry run",
            act=_dry_run,
        ),
        "try_now": Choice(
            name="try_now",
            title="Try now",
            explained="The breaker of each of these accounts is closed, its count of failures forgotten, and a "
            "sync asked for. Do it once the reason of the failures is mended.",
            button="Close the breaker and sync",
            act=_try_now,
        ),
    }
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
    actions_detail = ("sync_now_one", "dry_run_one", "try_now_one")  # type: ignore[assignment]  # unfold's is ()
    sync_now, sync_now_one = asks("sync_now", "Sync now"), asks_here("sync_now", "Sync now")
    dry_run = asks("dry_run", "Dry run: say what a sync would change")
    dry_run_one = asks_here("dry_run", "Dry run")
    try_now = asks("try_now", "Try now: close the breaker and sync")
    try_now_one = asks_here("try_now", "Try now")
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


@admin.register(Repository)
class RepositoryAdmin(DecidingAdmin):
    """Repositories as GitHub described them; only the operator's switch can be changed."""

    choices: ClassVar = {
        "sync_one": Choice(
            name="sync_one",
            title="Read again",
            explained="A sync of each repository's account starts that reads this repository only. An account "
            "has one sync at a time: of several repositories of one account the first is read.",
            button="Read again",
            act=_sync_one,
        ),
    }
    actions = ("sync_one",)
    actions_detail = ("sync_one_one",)  # type: ignore[assignment]  # unfold's is ()
    sync_one = asks("sync_one", "Read again: sync this repository only")
    sync_one_one = asks_here("sync_one", "Read again")
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
    search_help_text = "OWNER/NAME, the beginning of a name, or GitHub's id"
    exact = ("github_id",)
    sorted_by = ("full_name",)
    ordering = ("owner", "name", "pk")

    def search_condition(self, term: str) -> Q | None:
        """GitHub's id; OWNER/NAME; else the beginning of a name."""
        owner, _, name = term.rpartition("/")
        if len(term) > MOST_SEARCHED:
            return None
        named = Q(
            pk__in=Repository.objects.alias(low=Lower("name"))
            .filter(low__startswith=name.lower())
            .values("pk")
        )
        if owner:
            accounts = Installation.objects.filter(account_login__iexact=owner)
            named &= Q(owner__in=[owner, *accounts.values_list("account_login", flat=True)])
        by_id = super().search_condition(term)
        return named if by_id is None else named | by_id

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
class SyncJobAdmin(DecidingAdmin):
    """Runs: to read, and to cancel while they are active."""

    state, open_states = "status", SyncJob.ACTIVE
    choices: ClassVar = {
        "cancel": Choice(
            name="cancel",
            title="Cancel",
            explained="A run that waits ends now; one that is under way stops at its next safe point and keeps "
            "what it has written. Runs that have ended stay as they are.",
            button="Cancel the run",
            act=_cancel,
        ),
    }
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
    search_help_text = "The id of a run; of few runs the account or OWNER/NAME too"
    exact = ("id",)
    sorted_by = ("created_at",)
    ordering = ("-created_at", "pk")
    exclude = ("lease",)
    actions = ("cancel",)
    actions_detail = ("cancel_one",)  # type: ignore[assignment]  # unfold's is ()
    cancel, cancel_one = asks("cancel", "Cancel"), asks_here("cancel", "Cancel")

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
