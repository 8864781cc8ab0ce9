"""Who did what, when, and what came of it (R11.1): runs, the records they touched, their errors."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import F, Q

from syncsvc.models import Installation, Repository

CATEGORIES: tuple[str, ...] = (
    "network", "validation", "database", "authentication", "rate_limit", "unknown",
)  # fmt: skip


class AuditEntry(models.Model):
    """One run, or one thing that a person did."""

    class Kind(models.TextChoices):
        RUN = "run", "Run"
        REPAIR = "repair", "Repair by hand"
        DISMISSAL = "dismissal", "Discrepancy dismissed"
        REVIEW = "review", "Disappearance decided"
        ACKNOWLEDGEMENT = "acknowledgement", "Incident acknowledged"
        MANUAL_SYNC = "manual_sync", "Sync asked for"
        CANCEL = "cancel", "Run cancelled"
        BREAKER = "breaker", "Breaker closed by hand"
        DEAD_LETTER = "dead_letter", "Dead letter decided"
        LOGIN = "login", "Logged in"
        LOGIN_FAILED = "login_failed", "Log-in failed"
        REPLAY = "replay", "Delivery replayed"
        READ_AGAIN = "read_again", "List to be read again"
        CONFIGURATION = "configuration", "Changed in the admin"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    at = models.DateTimeField(help_text="When it began.")
    ended_at = models.DateTimeField(null=True, blank=True)
    installation = models.ForeignKey(
        Installation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="audit_entries",
        db_index=False,
    )
    repository = models.CharField(max_length=511, blank=True, help_text="OWNER/NAME.")
    correlation_id = models.UUIDField(null=True, blank=True)
    trigger = models.CharField(max_length=16, blank=True)
    mode = models.CharField(max_length=16, blank=True)
    dry_run = models.BooleanField(default=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    actor_name = models.CharField(
        max_length=150, blank=True, help_text="As it was then; `system` for the product itself."
    )
    status = models.CharField(max_length=16, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    succeeded = models.PositiveBigIntegerField(default=0, help_text="Records that went well.")
    failed = models.PositiveBigIntegerField(default=0, help_text="Records that did not.")
    counts = models.JSONField(default=dict, blank=True)
    verification = models.JSONField(default=dict, blank=True)
    phases_seconds = models.JSONField(default=dict, blank=True)
    records_per_second = models.FloatField(null=True, blank=True)
    api = models.JSONField(default=dict, blank=True)
    errors_by_category = models.JSONField(default=dict, blank=True)
    warning = models.TextField(blank=True, help_text="What was slow, if it was (R12.2).")
    detail = models.JSONField(default=dict, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["correlation_id"], condition=Q(kind="run"), name="one_audit_entry_of_a_run"
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("at").desc(), F("id").desc(), name="audit_entry_newest"),
            models.Index(fields=["installation", "-at"], name="audit_entry_of_account"),
            models.Index(
                fields=["installation", "mode", "-at"],
                condition=Q(kind="run"),
                name="audit_entry_comparable",
            ),
            models.Index(fields=["at"], condition=Q(ended_at=None), name="audit_entry_open"),
            models.Index(
                fields=["correlation_id"],
                condition=Q(correlation_id__isnull=False),
                name="audit_entry_of_run",
            ),
            models.Index(
                fields=["repository", "-at"],
                condition=~Q(repository=""),
                name="audit_entry_of_repository",
            ),
            # The product itself, which most runs are of, nobody looks for.
            models.Index(
                fields=["actor_name", "-at"],
                condition=~Q(actor_name="system"),
                name="audit_entry_of_person",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M}"


class AuditRecord(models.Model):
    """What was done to records of one repository in one batch: the same operation, the same result."""

    class Operation(models.TextChoices):
        CREATE = "create", "Create"
        UPDATE = "update", "Update"
        DELETE = "delete", "Delete"
        SKIP = "skip", "Skip"

    class Result(models.TextChoices):
        DONE = "done", "Done"
        PROPOSED = "proposed", "Proposed (dry run)"
        CONFLICT = "conflict", "Somebody else's newer data stayed"
        FAILED = "failed", "Failed"

    entry = models.ForeignKey(AuditEntry, on_delete=models.CASCADE, related_name="records")
    at = models.DateTimeField()
    repository = models.ForeignKey(
        Repository,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="None of repositories that had no row yet.",
    )
    entity = models.CharField(max_length=20)
    operation = models.CharField(max_length=8, choices=Operation.choices)
    result = models.CharField(max_length=8, choices=Result.choices)
    items = ArrayField(models.TextField(), help_text="GitHub's ids; of commits, the shas.")
    error = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        # The shas of a first run come in no order: entered one by one they would cost a quarter of the
        # writing. So they wait, and autovacuum enters them.
        indexes: ClassVar = [
            GinIndex(fields=["items"], name="audit_record_items", gin_pending_list_limit=65_536)
        ]

    def __str__(self) -> str:
        return f"{self.operation} {len(self.items)} {self.entity}"


class AuditError(models.Model):
    """Something that went wrong, in exactly one category."""

    entry = models.ForeignKey(AuditEntry, on_delete=models.CASCADE, related_name="errors")
    at = models.DateTimeField()
    entity = models.CharField(max_length=20, blank=True)
    item = models.TextField(blank=True)
    operation = models.CharField(max_length=40, blank=True)
    category = models.CharField(max_length=16)
    message = models.TextField()
    trace = models.TextField(blank=True, help_text="The stack, without secrets.")

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(category__in=list(CATEGORIES)), name="audit_error_category_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.category}: {self.message}"
