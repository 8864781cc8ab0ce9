"""What repositories hold, in the admin: to look at, never to change. Only GitHub and a run say what is there.

The readings (`ContentList`) are the operator's view of what could not be read, and when it is tried again.
"""

from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.db.models import Q, QuerySet
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
from syncsvc.admin_base import HistoryAdmin, brief, unbroken
from syncsvc.models import Commit, ContentList, Issue, PullRequest, RepositoryMetric

ISSUE_TONES: Final = {"pending": "info", "in_progress": "warning", "closed": "success"}
SEVERITY_TONES: Final = {
    "critical": "danger",
    "high": "warning",
    "medium": "info",
    "low": "default",
}
PULL_TONES: Final = {"open": "info", "draft": "default", "merged": "success"}
READING_TONES: Final = {"failing": "danger", "unread": "warning", "read": "success"}

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


class ReadingFilter(admin.SimpleListFilter):
    """How the reading of a list goes."""

    title = "reading"
    parameter_name = "reading"
    KINDS: ClassVar = {
        "failing": ("Failing", Q(failures__gt=0)),
        "waiting": ("Failing, waits for its retry", None),
        "due": ("Failing, due to be read again", None),
        "unread": ("Never read", Q(read_at=None)),
        "short": ("GitHub counts more than it shows", Q(unreadable__gt=0)),
        "fine": ("Read without a failure", Q(failures=0, read_at__isnull=False)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [(name, label) for name, (label, _) in self.KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that kind."""
        now = clock.now()
        if self.value() == "waiting":
            return queryset.filter(retry_at__gt=now)
        if self.value() == "due":
            return queryset.filter(retry_at__lte=now)
        condition = self.KINDS.get(self.value() or "", ("", None))[1]
        return queryset if condition is None else queryset.filter(condition)


class ContentAdmin(HistoryAdmin):
    """What all of these lists have in common: of which repository, and narrowed by it."""

    list_select_related = ("repository",)
    #: Columns that no list shows and that may be long.
    long: ClassVar[tuple[str, ...]] = ()

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
    search_fields: ClassVar[tuple[str, ...]] = (
        "title",
        "=number",
        "=author",
        "repository__full_name",
        "=github_id",
    )
    ordering = ("-github_updated_at", "-id")

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
    ordering = ("-committed_at", "-id")

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
    ordering = ("-date", "-id")
    long = ("languages",)

    @display(description="Tech stack")
    def shown_stack(self, row: RepositoryMetric) -> SafeString:
        """The languages, as far as they fit."""
        return brief(", ".join(row.tech_stack))


class ContentListAdmin(ContentAdmin):
    """How far each list was read, and what could not be."""

    list_display = (
        "shown_list",
        "shown_repository",
        "shown_reading",
        "count",
        "mirrored",
        "read_at",
        "whole_at",
        "failures",
        "retry_at",
        "shown_error",
    )
    list_filter = (ReadingFilter, *PLACE, "entity", "error_category")
    search_fields = ("repository__full_name", "error")
    ordering = ("-failures", "repository__owner", "repository__name", "entity")
    actions = ("read_again",)

    def has_read_again_permission(self, request: HttpRequest) -> bool:
        """Whoever has Django's permission to change readings; nothing else of them can be changed."""
        return bool(request.user.has_perm("syncsvc.change_contentlist"))

    @display(description="List", ordering="entity")
    def shown_list(self, row: ContentList) -> str:
        """Which list it is."""
        return row.get_entity_display()

    @display(description="Reading", ordering="failures", label=READING_TONES)
    def shown_reading(self, row: ContentList) -> tuple[str, str]:
        """How it goes, as a badge."""
        if row.failures:
            return "failing", "Failing"
        return ("unread", "Not read yet") if row.read_at is None else ("read", "Read")

    @display(description="Error")
    def shown_error(self, row: ContentList) -> SafeString | str:
        """Why it failed, as far as it fits."""
        return brief(row.error) if row.error else ""

    @admin.action(description="Read again now", permissions=["read_again"])
    def read_again(self, request: HttpRequest, rows: QuerySet[ContentList]) -> None:
        """Ends the wait of those that fail; the next run of their installation reads them."""
        chosen = rows.count()
        due = rows.filter(failures__gt=0).update(retry_at=clock.now())
        if due:
            lists = "The next sync reads 1 list" if due == 1 else f"The next sync reads {due} lists"
            self.message_user(request, f"{lists} again.", messages.SUCCESS)
        if chosen > due:
            rest = chosen - due
            sentence = "1 list does not fail" if rest == 1 else f"{rest} lists do not fail"
            self.message_user(request, f"{sentence}: nothing to read again.", messages.WARNING)


def register() -> None:
    """Puts the contents into the admin."""
    admin.site.register(Issue, IssueAdmin)
    admin.site.register(PullRequest, PullRequestAdmin)
    admin.site.register(Commit, CommitAdmin)
    admin.site.register(RepositoryMetric, RepositoryMetricAdmin)
    admin.site.register(ContentList, ContentListAdmin)
