"""The mirror of what repositories hold: issues, pull requests, commits, and how far each list was read.

A row that GitHub no longer shows stays, with the time and the reason (`removed_at`, `dropped_at`);
whatever counts or lists what is there leaves such rows out. No foreign key has an index of its own:
each table has another one that begins with it.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from syncsvc.models.repository import Repository

SHA: str = r"^[0-9a-f]{40}([0-9a-f]{24})?$"


class Written(models.Model):
    """Who wrote the row last, as in every table of the mirror."""

    last_written_at = models.DateTimeField(help_text="When this row last changed.")
    changed_by = models.CharField(max_length=40, blank=True, help_text="Trigger of that change.")
    changed_by_job = models.UUIDField(null=True, blank=True)

    class Meta:
        abstract = True


class Item(Written):
    """What issues and pull requests have in common. GitHub's id is the identity."""

    class Removal(models.TextChoices):
        DELETED = "deleted", "Deleted"
        TRANSFERRED = "transferred", "Transferred"
        REPLACED = "replaced", "Replaced"

    github_id = models.BigIntegerField(unique=True)
    node_id = models.CharField(max_length=255, blank=True)
    number = models.PositiveIntegerField()
    title = models.TextField()
    body = models.TextField(null=True, blank=True)  # noqa: DJ001  (no body is GitHub's null)
    author = models.CharField(  # noqa: DJ001  (GitHub's null is kept)
        max_length=255,
        null=True,
        blank=True,
        help_text="Login; none once the account is deleted.",
    )
    assignees = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    labels = ArrayField(models.TextField(), default=list, blank=True)
    github_created_at = models.DateTimeField()
    github_updated_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(
        null=True, blank=True, help_text="When GitHub was found not to have it any more."
    )
    removal = models.CharField(max_length=16, choices=Removal.choices, blank=True)

    class Meta:
        abstract = True


class Issue(Item):
    """One issue (R5.2). `state` is ours, `github_state` is GitHub's.

    The priority grows with age, so only its part that does not is kept; see `syncsvc.contents`.
    """

    class State(models.TextChoices):
        PENDING = "pending", "Pending"
        IN_PROGRESS = "in_progress", "In progress"
        CLOSED = "closed", "Closed"

    class Severity(models.TextChoices):
        CRITICAL = "critical", "Critical"
        HIGH = "high", "High"
        MEDIUM = "medium", "Medium"
        LOW = "low", "Low"

    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="issues", db_index=False
    )
    github_state = models.CharField(max_length=8)
    state_reason = models.CharField(max_length=30, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    state = models.CharField(max_length=16, choices=State.choices)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    due_at = models.DateTimeField(help_text="When the time that its severity allows is over.")
    is_blocker = models.BooleanField(default=False)
    priority_base = models.SmallIntegerField(
        help_text="Priority score without its age and before it is held between 0 and 100."
    )

    class Meta:
        ordering: ClassVar = ["-github_updated_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["repository", "number"],
                condition=Q(removed_at__isnull=True),
                name="issue_number_once",
            ),
            models.CheckConstraint(
                condition=Q(github_id__gt=0, number__gt=0), name="issue_ids_positive"
            ),
            models.CheckConstraint(
                condition=Q(github_state="closed", state="closed")
                | Q(github_state="open", state__in=["pending", "in_progress"]),
                name="issue_states_agree",
            ),
            models.CheckConstraint(
                condition=Q(severity__in=["critical", "high", "medium", "low"]),
                name="issue_severity_known",
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True, removal="")
                | Q(removed_at__isnull=False, removal__in=["deleted", "transferred", "replaced"]),
                name="issue_removal_has_a_reason",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-github_updated_at", "-id"], name="issue_newest"),
            models.Index(fields=["repository", "-github_updated_at"], name="issue_by_repository"),
        ]

    def __str__(self) -> str:
        return f"GH-{self.number} {self.title}"


class PullRequest(Item):
    """One pull request (R5.3). `github_id` is its own, not that of its issue."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="pull_requests", db_index=False
    )
    state = models.CharField(max_length=8, choices=State.choices)
    draft = models.BooleanField(default=False)
    merged = models.BooleanField(default=False)
    merged_at = models.DateTimeField(null=True, blank=True)
    base_ref = models.TextField()
    head_ref = models.TextField()
    head_sha = models.CharField(max_length=64)
    merge_commit_sha = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)

    class Meta:
        ordering: ClassVar = ["-github_updated_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["repository", "number"],
                condition=Q(removed_at__isnull=True),
                name="pull_request_number_once",
            ),
            models.CheckConstraint(
                condition=Q(github_id__gt=0, number__gt=0), name="pull_request_ids_positive"
            ),
            models.CheckConstraint(
                condition=Q(state="closed") | Q(state="open", merged=False),
                name="pull_request_states_agree",
            ),
            models.CheckConstraint(
                condition=Q(head_sha__regex=SHA), name="pull_request_head_is_a_sha"
            ),
            models.CheckConstraint(
                condition=Q(removed_at__isnull=True, removal="")
                | Q(removed_at__isnull=False, removal__in=["deleted", "transferred", "replaced"]),
                name="pull_request_removal_has_a_reason",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-github_updated_at", "-id"], name="pull_request_newest"),
            models.Index(
                fields=["repository", "-github_updated_at"], name="pull_request_by_repository"
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"


class Commit(Written):
    """One commit of a default branch (R5.3)."""

    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="commits", db_index=False
    )
    sha = models.CharField(max_length=64)
    author_login = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    author_name = models.TextField(blank=True)
    author_email = models.TextField(null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    contributor = models.TextField(
        help_text="Whom to count as its author: account, else address, else name (R5.4)."
    )
    authored_at = models.DateTimeField()
    committed_at = models.DateTimeField()
    message = models.TextField(blank=True)
    dropped_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was found gone from the branch: a forced push."
    )

    class Meta:
        ordering: ClassVar = ["-committed_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["repository", "sha"], name="commit_once"),
            models.CheckConstraint(condition=Q(sha__regex=SHA), name="commit_sha_is_one"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-committed_at", "-id"], name="commit_newest"),
            # Not of the dropped ones, so that nobody looks for a sha through it.
            models.Index(
                fields=["repository", "-committed_at"],
                condition=Q(dropped_at__isnull=True),
                name="commit_by_repository",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sha[:10]} {self.message.partition(chr(10))[0]}"


class ContentList(models.Model):
    """How far one list of one repository was read: what a run compares with GitHub's present counts.

    It moves on only when a reading has succeeded, so what failed is read again by itself (R5.6).
    """

    class Entity(models.TextChoices):
        ISSUES = "issues", "Issues"
        PULL_REQUESTS = "pull_requests", "Pull requests"
        COMMITS = "commits", "Commits"

    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="lists", db_index=False
    )
    entity = models.CharField(max_length=16, choices=Entity.choices)
    count = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="How many GitHub has; none before the first reading."
    )
    mirrored = models.PositiveBigIntegerField(
        default=0, help_text="How many the mirror held after the last reading."
    )
    unreadable = models.IntegerField(
        default=0, help_text="How many more GitHub counts than a reading of the whole list gave."
    )
    latest_at = models.DateTimeField(
        null=True, blank=True, help_text="GitHub's time of the newest change in the list."
    )
    head_sha = models.CharField(max_length=64, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    item_limit = models.PositiveIntegerField(
        default=0, help_text="How many commits were asked for at most; 0 is all."
    )
    read_at = models.DateTimeField(null=True, blank=True, help_text="Start of the last reading.")
    whole_at = models.DateTimeField(
        null=True, blank=True, help_text="Start of the last reading of the whole list."
    )
    failures = models.PositiveIntegerField(default=0, help_text="Failed readings in a row.")
    failed_at = models.DateTimeField(null=True, blank=True)
    retry_at = models.DateTimeField(null=True, blank=True)
    error_category = models.CharField(max_length=16, blank=True)
    error = models.TextField(blank=True, help_text="A sentence for people.")

    class Meta:
        ordering: ClassVar = ["repository_id", "entity"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["repository", "entity"], name="content_list_once"),
            models.CheckConstraint(
                condition=Q(entity__in=["issues", "pull_requests", "commits"]),
                name="content_list_entity_known",
            ),
            models.CheckConstraint(
                condition=Q(failures=0, failed_at__isnull=True, retry_at__isnull=True)
                | Q(failures__gt=0, failed_at__isnull=False, retry_at__isnull=False),
                name="content_list_failure_has_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["retry_at"], condition=Q(retry_at__isnull=False), name="content_list_retry"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entity} of {self.repository}"


class RepositoryMetric(models.Model):
    """What one repository came to on one day, in UTC (R5.4). Past days never change."""

    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, related_name="metrics", db_index=False
    )
    date = models.DateField()
    commits = models.PositiveBigIntegerField(help_text="Commits of the default branch.")
    contributors = models.PositiveIntegerField(
        help_text="Distinct authors of the mirrored commits: an estimate, people use many names."
    )
    lines_of_code = models.PositiveBigIntegerField(
        help_text="An estimate from the sizes of the languages: GitHub counts bytes."
    )
    languages = models.JSONField(default=dict, blank=True, help_text="Bytes by language.")
    tech_stack = ArrayField(models.TextField(), default=list, blank=True)
    health_score = models.PositiveSmallIntegerField()
    open_issues = models.PositiveIntegerField(help_text="Open issues, without pull requests.")
    stars = models.PositiveBigIntegerField()
    has_ci = models.BooleanField(null=True, blank=True)
    has_tests = models.BooleanField(null=True, blank=True)
    last_commit_at = models.DateTimeField(null=True, blank=True)
    last_written_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-date", "repository_id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["repository", "date"], name="metric_once_a_day"),
            models.CheckConstraint(
                condition=Q(health_score__gte=0, health_score__lte=100),
                name="metric_score_in_range",
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("date").desc(), F("id").desc(), name="metric_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.repository} on {self.date}"
