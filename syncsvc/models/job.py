"""Sync jobs: one run each, at most one active for an installation."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from syncsvc.models.installation import Installation


class SyncJob(models.Model):
    """One run. Its UUID is the correlation id in every log line, event and audit row."""

    class Trigger(models.TextChoices):
        CRON = "cron", "Schedule"
        GAP = "gap", "Gap"
        WEBHOOK = "webhook", "Webhook"
        MANUAL = "manual", "Manual"
        MAINTENANCE = "maintenance", "Maintenance"
        BACKFILL = "backfill", "Backfill"
        INITIAL = "initial", "Initial"

    class Mode(models.TextChoices):
        FULL = "full", "Full"
        INCREMENTAL = "incremental", "Incremental"
        REPO = "repo", "One repository"
        RECONCILE = "reconcile", "Repository list"
        RECHECK = "recheck", "Named repositories"
        AUDIT = "audit", "Independent audit"

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        BLOCKED = "blocked", "Blocked"
        SUCCEEDED = "succeeded", "Succeeded"
        PARTIAL = "partial", "Partly succeeded"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"
        DEAD = "dead", "Dead"

    ACTIVE: ClassVar = (Status.QUEUED, Status.RUNNING, Status.BLOCKED)
    #: Modes whose runs read some repositories, not the list of all.
    NARROW: ClassVar = (Mode.REPO, Mode.RECHECK, Mode.AUDIT)
    #: Modes that no person asks for; their runs are nobody's "last sync".
    UNASKED: ClassVar = (Mode.RECHECK, Mode.AUDIT)

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="jobs")
    trigger = models.CharField(max_length=16, choices=Trigger.choices)
    mode = models.CharField(max_length=16, choices=Mode.choices)
    repository = models.CharField(max_length=511, blank=True, help_text="OWNER/NAME, in mode repo.")
    dry_run = models.BooleanField(default=False)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.QUEUED)
    created_at = models.DateTimeField()
    run_after = models.DateTimeField(help_text="Not before this moment: retries and blocks wait.")
    rung_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker was last told of it through the broker."
    )
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    attempt = models.PositiveIntegerField(default=0)
    lease = models.UUIDField(
        null=True, blank=True, help_text="The running worker's token: only its holder may write."
    )
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    follow_up = models.CharField(
        max_length=16, blank=True, help_text="Trigger of a request that came while this ran."
    )

    checkpoint = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text="How far the run came, for the attempt that goes on from there.",
    )

    stage = models.CharField(max_length=40, blank=True)
    stage_started_at = models.DateTimeField(null=True, blank=True)
    current = models.PositiveBigIntegerField(default=0)
    total = models.PositiveBigIntegerField(null=True, blank=True)
    current_item = models.CharField(max_length=511, blank=True)
    errors = models.PositiveIntegerField(
        default=0, db_default=0, help_text="What went wrong so far without ending the run."
    )

    counts = models.JSONField(default=dict, blank=True)
    api = models.JSONField(default=dict, blank=True)
    phases_seconds = models.JSONField(default=dict, blank=True)
    discrepancies = models.JSONField(default=dict, blank=True)
    verification = models.JSONField(default=dict, blank=True)
    failures = models.JSONField(
        default=list, blank=True, help_text="What went wrong on the way: item, operation, category."
    )
    accuracy = models.FloatField(null=True, blank=True)
    plan = models.JSONField(default=list, blank=True, help_text="What a dry run would change.")

    # `db_default`: code of before this column still inserts jobs while it is added.
    warning = models.TextField(
        blank=True, default="", db_default="", help_text="What was slower than usual (R12.2)."
    )
    error = models.TextField(blank=True, help_text="A sentence for people.")
    error_category = models.CharField(max_length=16, blank=True)
    action_needed = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="What a person has to do, where retrying cannot help.",
    )
    blocked_reason = models.CharField(max_length=40, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["installation"],
                condition=Q(status__in=["queued", "running", "blocked"]),
                name="one_active_job_per_installation",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "queued",
                        "running",
                        "blocked",
                        "succeeded",
                        "partial",
                        "failed",
                        "cancelled",
                        "dead",
                    ]
                ),
                name="job_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="running")
                | Q(lease__isnull=False, lease_expires_at__isnull=False),
                name="running_job_has_a_lease",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["queued", "running", "blocked"])
                | Q(finished_at__isnull=False, lease__isnull=True),
                name="ended_job_has_an_end",
            ),
            models.CheckConstraint(
                condition=~Q(mode="repo") | ~Q(repository=""), name="repo_job_names_its_repository"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["installation", "-created_at"], name="job_by_installation"),
            models.Index(fields=["-created_at", "id"], name="job_newest_first"),
            models.Index(
                fields=["run_after"],
                condition=Q(status__in=["queued", "running", "blocked"]),
                name="job_waiting",
            ),
            models.Index(
                fields=["finished_at"], condition=~Q(follow_up=""), name="job_with_follow_up"
            ),
            # What success rates and durations count, read from the index alone.
            models.Index(
                fields=["finished_at"],
                include=["installation", "status", "started_at"],
                condition=Q(finished_at__isnull=False, dry_run=False)
                & ~Q(mode__in=["recheck", "audit"]),
                name="job_counted",
            ),
            models.Index(
                fields=["installation", "-finished_at"],
                condition=Q(finished_at__isnull=False) & ~Q(mode__in=["recheck", "audit"]),
                name="job_ended_of_account",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.installation} {self.mode} by {self.trigger}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE
