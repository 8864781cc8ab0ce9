"""What repositories hold, in the admin: to look at, never to change. Only GitHub and a run say what is there."""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    RangeDateFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display

from syncsvc import clock, normalizer, selectors
from syncsvc.admin_base import brief, unbroken
from syncsvc.admin_decisions import DecidingAdmin
from syncsvc.admin_lists import MOST_SEARCHED
from syncsvc.models import (
    Commit,
    Installation,
    Issue,
    PullRequest,
    Repository,
    RepositoryMetric,
)

ISSUE_TONES: Final = {"pending": "info", "in_progress": "warning", "closed": "success"}
SEVERITY_TONES: Final = {
    "critical": "danger",
    "high": "warning",
    "medium": "info",
    "low": "default",
}
PULL_TONES: Final = {"open": "info", "draft": "default", "merged": "success"}

MOST_NUMBER: Final = 2_147_483_647

#: Which account and which repository: every list here can be narrowed to one of either.
PLACE: Final = (
    ("repository__installation", AutocompleteSelectFilter),
    ("repository", AutocompleteSelectFilter),
)


class PresenceFilter(admin.SimpleListFilter):
    """Whether GitHub still shows it."""

    title = "presence"
    parameter_name = "presence"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [("present", "On GitHub"), ("gone", "Gone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that kind."""
        if self.value() == "present":
            return selectors.present(queryset)
        return selectors.gone(queryset) if self.value() == "gone" else queryset


def named(full_name: str) -> QuerySet[Repository]:
    """The repositories of that name, OWNER/NAME in any case; the accounts' own spelling is the owner's."""
    owner, _, name = full_name.rpartition("/")
    accounts = Installation.objects.filter(account_login__iexact=owner)
    rows = Repository.objects.alias(low=Lower("name"))
    return rows.filter(
        Q(owner=owner) | Q(owner__in=accounts.values("account_login")), low=name.lower()
    )


class ContentAdmin(DecidingAdmin):
    """What all of these lists have in common: of which repository, and narrowed by it."""

    list_select_related = ("repository",)
    search_help_text = "OWNER/NAME; of few rows the words in them too"
    #: Columns that no list shows and that may be long.
    long: ClassVar[tuple[str, ...]] = ()

    def search_condition(self, term: str) -> Q | None:
        """What belongs to a repository, by its whole name; or an exact value of a column."""
        exact = super().search_condition(term)
        if "/" not in term or len(term) > MOST_SEARCHED:
            return exact
        of_it = Q(repository__in=named(term.partition("#")[0]))
        number = term.partition("#")[2]
        if "#" in term:
            if not number.isdecimal() or int(number) > MOST_NUMBER or not self.has_numbers:
                return exact
            of_it &= Q(number=int(number))
        return of_it if exact is None else of_it | exact

    #: Whether its rows have numbers within their repository.
    has_numbers: ClassVar[bool] = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The rows without what may be long; a single row reads it when it is shown."""
        rows: QuerySet[Any] = super().get_queryset(request)
        return rows.defer(*self.long)

    @display(description="Repository", ordering="repository__full_name")
    def shown_repository(self, row: Any) -> SafeString:
        """Leads to the repository."""
        address = reverse("admin:syncsvc_repository_change", args=[row.repository_id])
        return format_html('<a class="underline" href="{}">{}</a>', address, brief(row.repository))

    @display(description="On GitHub", boolean=True)
    def shown_presence(self, row: Any) -> bool:
        """Whether it was not found gone."""
        gone_at = row.dropped_at if isinstance(row, Commit) else row.removed_at
        return gone_at is None


class ItemAdmin(ContentAdmin):
    """Issues and pull requests."""

    long = ("body",)
    exact = ("github_id",)
    has_numbers = True
    search_help_text = (
        "OWNER/NAME, OWNER/NAME#NUMBER, GitHub's id; of few rows words of the title too"
    )
    search_fields: ClassVar[tuple[str, ...]] = (
        "title",
        "=number",
        "=author",
        "repository__full_name",
        "=github_id",
    )
    ordering = ("-github_updated_at", "-id")
    sorted_by = ("github_updated_at",)

    @display(description="Title", ordering="title")
    def shown_title(self, row: Any) -> SafeString:
        """The title as far as it fits."""
        return brief(row.title)


class IssueAdmin(ItemAdmin):
    """Issues, with what the mirror made of them."""

    list_display = (
        "shown_number",
        "shown_title",
        "shown_repository",
        "shown_state",
        "shown_severity",
        "shown_priority",
        "due_at",
        "shown_breach",
        "author",
        "github_updated_at",
        "shown_presence",
    )
    list_display_links = ("shown_number", "shown_title")
    list_filter = (
        *PLACE,
        "state",
        "severity",
        "is_blocker",
        PresenceFilter,
        "removal",
        ("github_updated_at", RangeDateTimeFilter),
        ("due_at", RangeDateTimeFilter),
    )
    readonly_fields = ("shown_priority", "shown_breach")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Issue]:
        """The rows with their priority and breach as of now."""
        return selectors.scored(super().get_queryset(request), clock.now())

    @display(description="Issue", ordering="number")
    def shown_number(self, row: Issue) -> SafeString:
        """`GH-<number>`."""
        return unbroken(normalizer.issue_label(row.number))

    @display(description="State", ordering="state", label=ISSUE_TONES)
    def shown_state(self, row: Issue) -> tuple[str, str]:
        """The state as a badge."""
        return row.state, row.get_state_display()

    @display(description="Severity", ordering="severity", label=SEVERITY_TONES)
    def shown_severity(self, row: Issue) -> tuple[str, str]:
        """The severity as a badge."""
        return row.severity, row.get_severity_display()

    @display(description="Priority", ordering="priority_score")
    def shown_priority(self, row: Any) -> Any:
        """The score as of now."""
        return row.priority_score

    @display(description="Late", boolean=True, ordering="breached")
    def shown_breach(self, row: Any) -> bool:
        """Whether the time that its severity allows was missed."""
        return bool(row.breached)


class PullRequestAdmin(ItemAdmin):
    """Pull requests."""

    list_display = (
        "shown_number",
        "shown_title",
        "shown_repository",
        "shown_state",
        "base_ref",
        "author",
        "github_updated_at",
        "merged_at",
        "shown_presence",
    )
    list_display_links = ("shown_number", "shown_title")
    list_filter = (
        *PLACE,
        "state",
        "merged",
        "draft",
        PresenceFilter,
        "removal",
        ("github_updated_at", RangeDateTimeFilter),
    )
    search_fields = (*ItemAdmin.search_fields, "=head_ref")

    @display(description="Pull request", ordering="number")
    def shown_number(self, row: PullRequest) -> str:
        """`#<number>`."""
        return f"#{row.number}"

    @display(description="State", ordering="state", label=PULL_TONES)
    def shown_state(self, row: PullRequest) -> tuple[str, str]:
        """Open, draft, merged or closed, as a badge."""
        if row.merged:
            return "merged", "Merged"
        if row.draft and row.state == PullRequest.State.OPEN:
            return "draft", "Draft"
        return row.state, row.get_state_display()


class CommitAdmin(ContentAdmin):
    """Commits of the default branches."""

    list_display = (
        "shown_sha",
        "shown_message",
        "shown_repository",
        "shown_author",
        "committed_at",
        "shown_presence",
    )
    list_filter = (*PLACE, PresenceFilter, ("committed_at", RangeDateTimeFilter))
    search_fields = ("^sha", "message", "=author_login", "author_name", "repository__full_name")
    search_help_text = "OWNER/NAME, a whole sha; of few rows words of the message too"
    exact = ("sha",)
    ordering = ("-committed_at", "-id")
    sorted_by = ("committed_at",)

    @display(description="Commit", ordering="sha")
    def shown_sha(self, row: Commit) -> str:
        """As much of the sha as people use."""
        return row.sha[:10]

    @display(description="Message")
    def shown_message(self, row: Commit) -> SafeString:
        """The first line of the message, as far as it fits."""
        return brief(row.message.partition("\n")[0])

    @display(description="Author", ordering="author_login")
    def shown_author(self, row: Commit) -> str:
        """The account, else the name."""
        return row.author_login or row.author_name


class RepositoryMetricAdmin(ContentAdmin):
    """What repositories came to, day by day."""

    list_display = (
        "date",
        "shown_repository",
        "health_score",
        "open_issues",
        "commits",
        "contributors",
        "lines_of_code",
        "stars",
        "shown_stack",
    )
    list_filter = (*PLACE, ("date", RangeDateFilter))
    search_fields = ("repository__full_name",)
    search_help_text = "OWNER/NAME"
    ordering = ("-date", "-id")
    sorted_by = ("date",)
    long = ("languages",)

    @display(description="Tech stack")
    def shown_stack(self, row: RepositoryMetric) -> SafeString:
        """The languages, as far as they fit."""
        return brief(", ".join(row.tech_stack))


def register() -> None:
    """Puts the contents into the admin."""
    admin.site.register(Issue, IssueAdmin)
    admin.site.register(PullRequest, PullRequestAdmin)
    admin.site.register(Commit, CommitAdmin)
    admin.site.register(RepositoryMetric, RepositoryMetricAdmin)
