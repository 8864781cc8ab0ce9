"""What repositories hold, for readers: issues, pull requests, commits, and each day's figures."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

from django.db.models import F, Model, QuerySet, Value
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from syncsvc import normalizer, selectors
from syncsvc.api.content_filters import (
    CommitFilters,
    IssueFilters,
    MetricFilters,
    PullRequestFilters,
)
from syncsvc.api.views import NEVER, ReadOnlyView
from syncsvc.models import Commit, Issue, PullRequest, Repository, RepositoryMetric
from syncsvc.models.content import Item

Row = TypeVar("Row", bound=Model)

OF_REPOSITORY = ("repository", "repository_full_name", "repository_status")
WRITTEN = ("changed_by", "last_written_at")


# -- shapes ----------------------------------------------------------------------------------------


class ContentSerializer(serializers.ModelSerializer[Row], Generic[Row]):
    """A row with the name of its repository, and whether that is still there."""

    repository_full_name = serializers.CharField(source="repository.full_name", read_only=True)
    repository_status = serializers.ChoiceField(
        source="repository.status", choices=Repository.Status.choices, read_only=True
    )


class ItemSerializer(ContentSerializer[Row], Generic[Row]):
    """What issues and pull requests have in common."""

    assignees = serializers.ListField(child=serializers.CharField(), read_only=True)
    labels = serializers.ListField(child=serializers.CharField(), read_only=True)
    removal = serializers.ChoiceField(
        choices=Item.Removal.choices,
        allow_blank=True,
        read_only=True,
        help_text="Why it was removed; empty while GitHub has it.",
    )


class IssueSerializer(ItemSerializer[Issue]):
    """One issue; `priority_score` and `breached` are as of this moment."""

    label = serializers.SerializerMethodField(  # type: ignore[assignment]  # a field of that name
        help_text="`GH-` and the number."
    )
    sla_hours = serializers.SerializerMethodField(help_text="Hours that its severity allows.")
    priority_score = serializers.IntegerField(
        read_only=True, help_text="0 to 100, the more the sooner; it grows with age."
    )
    breached = serializers.BooleanField(
        read_only=True,
        help_text="Whether it was closed after `due_at`, or is open and `due_at` is over.",
    )

    class Meta:
        model = Issue
        fields = (
            "id",
            "github_id",
            "node_id",
            "label",
            "number",
            *OF_REPOSITORY,
            "title",
            "body",
            "state",
            "github_state",
            "state_reason",
            "author",
            "assignees",
            "labels",
            "severity",
            "sla_hours",
            "due_at",
            "breached",
            "priority_score",
            "is_blocker",
            "github_created_at",
            "github_updated_at",
            "closed_at",
            "removed_at",
            "removal",
            *WRITTEN,
        )
        read_only_fields = fields
        extra_kwargs = {
            "state": {"help_text": "How far it is; `github_state` is GitHub's own word."},
        }

    def get_label(self, issue: Issue) -> str:
        """How people call it."""
        return normalizer.issue_label(issue.number)

    @extend_schema_field(serializers.IntegerField)
    def get_sla_hours(self, issue: Issue) -> int:
        """How long its severity allows."""
        return normalizer.SLA_HOURS[normalizer.Severity(issue.severity)]


class PullRequestSerializer(ItemSerializer[PullRequest]):
    """One pull request. `github_id` is its own, not that of the issue that it is at GitHub too."""

    class Meta:
        model = PullRequest
        fields = (
            "id",
            "github_id",
            "node_id",
            "number",
            *OF_REPOSITORY,
            "title",
            "body",
            "state",
            "draft",
            "merged",
            "merged_at",
            "author",
            "assignees",
            "labels",
            "base_ref",
            "head_ref",
            "head_sha",
            "merge_commit_sha",
            "github_created_at",
            "github_updated_at",
            "closed_at",
            "removed_at",
            "removal",
            *WRITTEN,
        )
        read_only_fields = fields


class CommitSerializer(ContentSerializer[Commit]):
    """One commit of a default branch; its author by login and name, never by address."""

    class Meta:
        model = Commit
        fields = (
            "id",
            "sha",
            *OF_REPOSITORY,
            "author_login",
            "author_name",
            "authored_at",
            "committed_at",
            "message",
            "dropped_at",
            *WRITTEN,
        )
        read_only_fields = fields


class MetricSerializer(ContentSerializer[RepositoryMetric]):
    """What one repository came to on one day (UTC); contributors and lines are estimates."""

    languages = serializers.DictField(
        child=serializers.IntegerField(), read_only=True, help_text="Bytes by language."
    )
    tech_stack = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = RepositoryMetric
        fields = (
            "id",
            *OF_REPOSITORY,
            "date",
            "commits",
            "contributors",
            "lines_of_code",
            "languages",
            "tech_stack",
            "health_score",
            "open_issues",
            "stars",
            "has_ci",
            "has_tests",
            "last_commit_at",
        )
        read_only_fields = fields
        extra_kwargs = {
            "health_score": {"help_text": "0 to 100."},
            "has_ci": {"help_text": "Null while it is not known."},
            "has_tests": {"help_text": "Null while it is not known."},
        }


# -- views -----------------------------------------------------------------------------------------


class ContentView(ReadOnlyView, ABC):
    """A list that leaves out what is gone unless asked for it; a single row is shown either way."""

    #: The parameter that asks for what is gone.
    gone_parameter: ClassVar[str] = "removed"

    @abstractmethod
    def visible(self) -> QuerySet[Any]:
        """What this user may see, gone or not."""

    def get_queryset(self) -> QuerySet[Any]:
        """What this user may see; in a list what is there, unless the filter decides."""
        rows = self.visible()
        if self.action != "list" or self.request.query_params.get(self.gone_parameter):
            return rows
        return selectors.present(rows)


class IssueView(ContentView):
    """Issues, open and closed, the last updated first.

    Issues that GitHub has no more, and those of repositories that are gone (deleted, transferred,
    out of reach), are left out of the list; `removed=true` lists them and nothing else. In the order
    of `priority_score`, an issue that gets a week older between two pages may appear twice or not
    at all: the score is as of each request.
    """

    queryset = Issue.objects.none()
    serializer_class = IssueSerializer
    filterset_class = IssueFilters
    orderings: ClassVar = {
        "id": "pk",
        "number": "number",
        "github_created_at": "github_created_at",
        "github_updated_at": "github_updated_at",
        "closed_at": "closed_order",
        "due_at": "due_at",
        "priority_score": "priority_score",
    }
    default_ordering = "-github_updated_at"

    def visible(self) -> QuerySet[Issue]:
        """What this user may see. A cursor cannot stand at a null, so a time stands in for it."""
        return selectors.issues(self.request.user).annotate(closed_order=_or_never("closed_at"))


class PullRequestView(ContentView):
    """Pull requests, open, closed and merged, the last updated first.

    Those that GitHub has no more, and those of repositories that are gone (deleted, transferred,
    out of reach), are left out of the list; `removed=true` lists them and nothing else.
    """

    queryset = PullRequest.objects.none()
    serializer_class = PullRequestSerializer
    filterset_class = PullRequestFilters
    orderings: ClassVar = {
        "id": "pk",
        "number": "number",
        "github_created_at": "github_created_at",
        "github_updated_at": "github_updated_at",
        "closed_at": "closed_order",
        "merged_at": "merged_order",
    }
    default_ordering = "-github_updated_at"

    def visible(self) -> QuerySet[PullRequest]:
        """What this user may see. A cursor cannot stand at a null, so a time stands in for it."""
        return selectors.pull_requests(self.request.user).annotate(
            closed_order=_or_never("closed_at"), merged_order=_or_never("merged_at")
        )


class CommitView(ContentView):
    """The mirrored commits of the default branches, the newest first.

    How many of each repository are mirrored is a setting; its `commit_count` says how many there
    are. Commits that a forced push dropped, and those of repositories that are gone, are left out
    of the list; `dropped=true` lists them and nothing else.
    """

    queryset = Commit.objects.none()
    serializer_class = CommitSerializer
    filterset_class = CommitFilters
    gone_parameter = "dropped"
    orderings: ClassVar = {
        "id": "pk",
        "committed_at": "committed_at",
        "authored_at": "authored_at",
    }
    default_ordering = "-committed_at"

    def visible(self) -> QuerySet[Commit]:
        """What this user may see."""
        return selectors.commits(self.request.user)


class MetricView(ContentView):
    """What each repository came to on each day, in UTC, the last day first.

    `contributors` and `lines_of_code` are estimates. The days of repositories that are gone are
    left out of the list; `removed=true` lists them and nothing else.
    """

    queryset = RepositoryMetric.objects.none()
    serializer_class = MetricSerializer
    filterset_class = MetricFilters
    orderings: ClassVar = {
        name: name
        for name in (
            "date",
            "commits",
            "contributors",
            "lines_of_code",
            "health_score",
            "open_issues",
            "stars",
        )
    } | {"id": "pk"}
    default_ordering = "-date"

    def visible(self) -> QuerySet[RepositoryMetric]:
        """What this user may see."""
        return selectors.repository_metrics(self.request.user)


def _or_never(name: str) -> Any:
    return Coalesce(F(name), Value(NEVER))
