"""What was found wrong: differences, disappearances held for review, rows that break the rules."""

import hashlib
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from syncsvc.models import Installation, MissedDelivery, Repository


class Entity(models.TextChoices):
    """What is mirrored and compared."""

    REPOSITORIES = "repositories", "Repositories"
    ISSUES = "issues", "Issues"
    PULL_REQUESTS = "pull_requests", "Pull requests"
    COMMITS = "commits", "Commits"


class Discrepancy(models.Model):
    """A difference between GitHub and the mirror that no event had told us of (R7.4).

    One item can differ in several ways at once: each type is a row of its own.
    """

    class Type(models.TextChoices):
        MISSING_REPO = "missing_repo", "Missing repository"
        MISSING_AT_GITHUB = "missing_at_github", "Missing at GitHub"
        WRONG_NAME = "wrong_name", "Wrong name"
        WRONG_OWNER = "wrong_owner", "Wrong owner"
        WRONG_VISIBILITY = "wrong_visibility", "Wrong visibility"
        WRONG_ARCHIVED_FLAG = "wrong_archived_flag", "Wrong archived flag"
        WRONG_STATUS = "wrong_status", "Wrong status"
        STALE_METADATA = "stale_metadata", "Stale metadata"
        MISSING_ISSUE = "missing_issue", "Missing issue"
        STALE_ISSUE = "stale_issue", "Stale issue"
        ISSUE_MISSING_AT_GITHUB = "issue_missing_at_github", "Issue missing at GitHub"
        MISSING_PULL_REQUEST = "missing_pull_request", "Missing pull request"
        STALE_PULL_REQUEST = "stale_pull_request", "Stale pull request"
        PULL_REQUEST_MISSING_AT_GITHUB = (
            "pull_request_missing_at_github",
            "Pull request missing at GitHub",
        )
        MISSING_COMMIT = "missing_commit", "Missing commit"
        STALE_COMMIT = "stale_commit", "Stale commit"
        COMMIT_MISSING_AT_GITHUB = "commit_missing_at_github", "Commit missing at GitHub"

    class Action(models.TextChoices):
        CREATE = "create", "Create"
        UPDATE = "update", "Update"
        REMOVE = "remove", "Remove"
        REVIEW = "review", "Let a person decide"

    class Status(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        REPAIRED = "repaired", "Repaired"
        FAILED = "failed", "Repair failed"
        NEEDS_MANUAL_REVIEW = "needs_manual_review", "Needs manual review"
        DISMISSED = "dismissed", "Dismissed"

    class Detector(models.TextChoices):
        RUN = "run", "Sync"
        DRY_RUN = "dry_run", "Dry run"
        VERIFICATION = "verification", "Verification after a run"
        AUDIT = "audit", "Independent audit"

    class Cause(models.TextChoices):
        LOST_DELIVERY = "lost_delivery", "A webhook was lost"
        NEVER_TOLD = "never_told", "GitHub sends no webhook for it"
        OUR_SIDE = "our_side", "The mirror was changed, not GitHub"
        UNKNOWN = "unknown", "Unknown"

    OPEN: ClassVar = (Status.PROPOSED, Status.FAILED, Status.NEEDS_MANUAL_REVIEW)

    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="discrepancies"
    )
    repository = models.ForeignKey(
        Repository,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="discrepancies",
        db_index=False,
        help_text="None while the mirror lacks it.",
    )
    repository_github_id = models.BigIntegerField()
    entity = models.CharField(max_length=16, choices=Entity.choices)
    item_key = models.CharField(max_length=64, help_text="GitHub's id; of a commit, the sha.")
    name = models.CharField(max_length=600, help_text="OWNER/NAME, with #number or @sha.")
    type = models.CharField(max_length=40, choices=Type.choices)
    detected_at = models.DateTimeField()
    occurred_at = models.DateTimeField(
        null=True, blank=True, help_text="GitHub's time of the change, where it tells one."
    )
    before = models.JSONField(default=dict, blank=True, help_text="What the mirror said.")
    after = models.JSONField(default=dict, blank=True, help_text="What GitHub said.")
    proposed_action = models.CharField(max_length=8, choices=Action.choices)
    repair_status = models.CharField(max_length=20, choices=Status.choices)
    correlation_id = models.UUIDField(help_text="The run that found it.")
    detector = models.CharField(max_length=16, choices=Detector.choices)
    trigger = models.CharField(max_length=16, blank=True)
    cause = models.CharField(max_length=16, choices=Cause.choices, default=Cause.UNKNOWN)
    missed_delivery = models.ForeignKey(
        MissedDelivery, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    repaired_at = models.DateTimeField(null=True, blank=True)
    repaired_by = models.CharField(
        max_length=150, blank=True, help_text="sync, webhook, or the user who pressed the button."
    )
    repaired_in = models.UUIDField(null=True, blank=True, help_text="The run that repaired it.")
    verified_at = models.DateTimeField(
        null=True, blank=True, help_text="When the mirror was seen to say it after the repair."
    )
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    reason = models.TextField(blank=True, help_text="Why it was dismissed, or why a repair failed.")

    class Meta:
        verbose_name_plural = "discrepancies"
        ordering: ClassVar = ["-detected_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["installation", "entity", "item_key", "type", "repository_github_id"],
                condition=Q(repair_status__in=["proposed", "failed", "needs_manual_review"]),
                name="one_open_discrepancy_of_a_type",
            ),
            models.CheckConstraint(
                condition=Q(repair_status="repaired", repaired_at__isnull=False)
                | (~Q(repair_status="repaired") & Q(repaired_at__isnull=True)),
                name="discrepancy_repaired_has_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(repair_status="dismissed")
                | (Q(decided_at__isnull=False) & ~Q(reason="")),
                name="discrepancy_dismissed_for_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(entity__in=["repositories", "issues", "pull_requests", "commits"]),
                name="discrepancy_entity_known",
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("detected_at").desc(), F("id").desc(), name="discrepancy_newest"),
            models.Index(
                fields=["installation", "-detected_at", "-id"], name="discrepancy_of_account"
            ),
            models.Index(fields=["correlation_id"], name="discrepancy_of_run"),
            # What windows count and how long it took, read from the index alone.
            models.Index(
                fields=["detected_at"],
                include=["installation", "type", "occurred_at", "repaired_at"],
                name="discrepancy_counted",
            ),
            models.Index(
                fields=["repaired_in"],
                condition=Q(repaired_in__isnull=False),
                name="discrepancy_repaired_in",
            ),
            models.Index(
                fields=["repository", "-detected_at"],
                condition=Q(repository__isnull=False),
                name="discrepancy_of_repository",
            ),
            models.Index(
                fields=["installation", "-detected_at"],
                condition=Q(repair_status__in=["proposed", "failed", "needs_manual_review"]),
                name="discrepancy_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} of {self.name}"


class Review(models.Model):
    """Repositories that vanished at once, in numbers that are held until a person decides (R7.3)."""

    class Status(models.TextChoices):
        OPEN = "open", "Waits for a decision"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        WITHDRAWN = "withdrawn", "They came back"

    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="reviews")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField(help_text="When a run last found them missing.")
    correlation_id = models.UUIDField(help_text="The run that was held.")
    vanished = models.PositiveIntegerField()
    present = models.PositiveIntegerField(help_text="How many the mirror said were there before.")
    threshold_percent = models.FloatField()
    items = models.JSONField(
        default=list,
        blank=True,
        help_text="What would go: github_id, full_name, and what GitHub says of it, as far as asked.",
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    reason = models.TextField(blank=True)
    carried_out_at = models.DateTimeField(
        null=True, blank=True, help_text="When a run acted on the approval."
    )

    class Meta:
        ordering: ClassVar = ["-opened_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["installation"], condition=Q(status="open"), name="one_open_review"
            ),
            models.CheckConstraint(
                condition=Q(status="open", decided_at__isnull=True)
                | Q(status__in=["approved", "rejected", "withdrawn"], decided_at__isnull=False),
                name="review_decided_has_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("opened_at").desc(), F("id").desc(), name="review_newest"),
            models.Index(fields=["installation", "-opened_at"], name="review_of_account"),
        ]

    def __str__(self) -> str:
        return f"{self.vanished} of {self.present} repositories of {self.installation} vanished"

    @property
    def fingerprint(self) -> str:
        """Which repositories these are: as many others are not the same."""
        keys = sorted(str(item.get("github_id")) for item in self.items)
        return hashlib.sha256(" ".join(keys).encode()).hexdigest()[:16]


class IntegrityIssue(models.Model):
    """A row of the mirror that breaks a rule which GitHub's data keep (R8.1)."""

    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="integrity_issues"
    )
    repository = models.ForeignKey(
        Repository, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    entity = models.CharField(max_length=16, choices=Entity.choices)
    item_key = models.CharField(max_length=64)
    rule = models.CharField(max_length=40, help_text="Which rule it breaks.")
    detail = models.TextField(blank=True)
    detected_at = models.DateTimeField()
    correlation_id = models.UUIDField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-detected_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["installation", "entity", "item_key", "rule"],
                condition=Q(resolved_at__isnull=True),
                name="one_open_integrity_issue_of_a_rule",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["installation", "-detected_at"], name="integrity_of_account"),
        ]

    def __str__(self) -> str:
        return f"{self.rule} of {self.entity} {self.item_key}"
