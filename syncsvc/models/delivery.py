"""Webhooks: what arrived, what should have arrived, and what is done about the difference.

`Delivery` is what reached us; `MissedDelivery` is what GitHub's own log says did not; a `Gap` is the
evidence that an account's deliveries were missed, from its discovery to its end; a `Recheck` names a
repository of which only GitHub can say what it is now.
"""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from syncsvc.models.installation import Installation
from syncsvc.models.job import SyncJob


class Hook(models.Model):
    """One webhook of GitHub's that leads to us, and how far GitHub's log of its deliveries was read.

    The App's own hook has `github_id` 0: an App has one hook, and the API does not name its id.
    """

    class Target(models.TextChoices):
        INTEGRATION = "integration", "GitHub App"
        ORGANIZATION = "organization", "Organization"
        REPOSITORY = "repository", "Repository"

    target_type = models.CharField(max_length=16, choices=Target.choices)
    target_id = models.BigIntegerField(
        help_text="GitHub's id of the App, organization, repository."
    )
    github_id = models.BigIntegerField(default=0)
    installation = models.ForeignKey(
        Installation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="hooks",
        help_text="The account that it belongs to; none for the App's, which serves them all.",
    )
    active = models.BooleanField(
        default=True, help_text="Whether GitHub says that it is switched on."
    )
    newest_id = models.BigIntegerField(
        null=True, blank=True, help_text="Newest delivery of GitHub's log that was read."
    )
    newest_at = models.DateTimeField(null=True, blank=True)
    resume_cursor = models.TextField(
        blank=True, help_text="Where a long reading that began at the newest goes on next time."
    )
    resume_newest_id = models.BigIntegerField(
        null=True, blank=True, help_text="Newest delivery of that reading, once it is whole."
    )
    resume_newest_at = models.DateTimeField(null=True, blank=True)
    read_at = models.DateTimeField(
        null=True, blank=True, help_text="Last reading of the whole news."
    )
    retry_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True, help_text="Why the log could not be read, for people.")
    seen = models.PositiveBigIntegerField(
        default=0, help_text="Deliveries that the log named so far."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["target_type", "target_id", "github_id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["target_type", "target_id", "github_id"], name="hook_once"
            ),
            models.CheckConstraint(
                condition=Q(target_type__in=["integration", "organization", "repository"]),
                name="hook_target_known",
            ),
        ]

    def __str__(self) -> str:
        if self.target_type == self.Target.INTEGRATION:
            return f"hook of App {self.target_id}"
        return f"hook {self.github_id} of {self.target_type} {self.target_id}"


class Delivery(models.Model):
    """One webhook delivery that reached us. GitHub's GUID names the event, not the delivery: it is
    the same on redelivery and across hooks, so identity is (hook, GUID)."""

    class Status(models.TextChoices):
        RECEIVED = "received", "Received"
        PROCESSED = "processed", "Processed"
        IGNORED = "ignored", "Ignored"
        FAILED = "failed", "Failed"

    guid = models.CharField(max_length=64)
    hook_id = models.BigIntegerField(
        default=0, help_text="X-GitHub-Hook-ID; 0 when it was missing."
    )
    target_type = models.CharField(max_length=16, blank=True)
    target_id = models.BigIntegerField(null=True, blank=True)
    event = models.CharField(max_length=64)
    action = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField()
    installation_github_id = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="GitHub's id of the installation, where the payload has it.",
    )
    account_id = models.BigIntegerField(
        null=True, blank=True, help_text="GitHub's id of the account that it is about."
    )
    repository_github_id = models.BigIntegerField(null=True, blank=True)
    payload = models.BinaryField(
        null=True, blank=True, help_text="The JSON, compressed by zlib; none once it was pruned."
    )
    payload_bytes = models.PositiveIntegerField(default=0, help_text="Before compression.")

    # Written when it is processed.
    installation = models.ForeignKey(
        Installation, on_delete=models.SET_NULL, null=True, blank=True, related_name="deliveries"
    )
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.RECEIVED)
    outcome = models.CharField(max_length=40, blank=True, help_text="What became of it, in a word.")
    detail = models.TextField(blank=True, help_text="The same as a sentence for people.")
    happened_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="GitHub's own time of the event, where the payload tells it.",
    )
    processed_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(help_text="Not before this moment: a failed attempt waits.")

    class Meta:
        verbose_name_plural = "deliveries"
        ordering: ClassVar = ["-received_at", "-id"]
        constraints: ClassVar = [
            # The GUID first: GitHub's log is joined by it.
            models.UniqueConstraint(fields=["guid", "hook_id"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(status__in=["received", "processed", "ignored", "failed"]),
                name="delivery_status_known",
            ),
            models.CheckConstraint(
                condition=~Q(guid="") & ~Q(event=""), name="delivery_has_a_name"
            ),
            models.CheckConstraint(
                condition=Q(status="received", processed_at__isnull=True)
                | (~Q(status="received") & Q(processed_at__isnull=False)),
                name="delivery_ended_has_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["account_id", "id"], condition=Q(status="received"), name="delivery_waiting"
            ),
            models.Index(F("received_at").desc(), F("id").desc(), name="delivery_newest"),
            models.Index(
                fields=["installation", "-received_at", "-id"], name="delivery_of_account"
            ),
            models.Index(
                fields=["status", "-received_at", "-id"],
                condition=~Q(status="processed"),
                name="delivery_unusual",
            ),
            models.Index(fields=["account_id", "-received_at"], name="delivery_rhythm"),
            models.Index(
                fields=["repository_github_id", "-received_at"],
                condition=Q(repository_github_id__isnull=False),
                name="delivery_of_repository",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.action} {self.guid}".replace("  ", " ")


class WebhookState(models.Model):
    """What an account's deliveries were like so far (R6.4), and its own rhythm."""

    installation = models.OneToOneField(
        Installation, on_delete=models.CASCADE, primary_key=True, related_name="webhooks"
    )
    last_delivery_at = models.DateTimeField(null=True, blank=True)
    last_seen_delivery_id = models.BigIntegerField(
        null=True, blank=True, help_text="Newest delivery of this account in GitHub's log."
    )
    consecutive_failures = models.PositiveIntegerField(
        default=0, help_text="Deliveries in a row that GitHub could not deliver, by its log."
    )
    rhythm = models.JSONField(
        default=list,
        blank=True,
        help_text="Share of minutes with deliveries, for each hour of the week.",
    )
    rhythm_at = models.DateTimeField(null=True, blank=True, help_text="When that was worked out.")
    longest_quiet = models.FloatField(
        default=0.0, help_text="The most surprising silence so far that was none of our losses."
    )

    def __str__(self) -> str:
        return f"webhooks of {self.installation}"


class Gap(models.Model):
    """Evidence that deliveries of one account were missed, and how that was healed (R6.5, R6.6)."""

    class Reason(models.TextChoices):
        SILENCE = "silence", "Silence"
        FAILED = "failed_deliveries", "Failed deliveries"
        EXHAUSTED = "redelivery_exhausted", "Redelivery in vain"
        MISSING = "missing_deliveries", "Deliveries that never arrived"

    class Step(models.TextChoices):
        OPEN = "open", "Found"
        REDELIVERING = "redelivering", "Waiting for redeliveries"
        CATCHING_UP = "catching_up", "Reading what was missed"
        CLOSED = "closed", "Closed"

    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="gaps")
    reason = models.CharField(max_length=24, choices=Reason.choices)
    step = models.CharField(max_length=16, choices=Step.choices, default=Step.OPEN)
    began_at = models.DateTimeField(
        help_text="First delivery that was missed, or the last that was not."
    )
    ended_at = models.DateTimeField(help_text="Last moment that is known to belong to it.")
    opened_at = models.DateTimeField(help_text="When we found it.")
    closed_at = models.DateTimeField(null=True, blank=True)
    next_step_at = models.DateTimeField(help_text="Not before this moment.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Catch-ups asked for so far.")
    job = models.ForeignKey(
        SyncJob, on_delete=models.SET_NULL, null=True, blank=True, related_name="+",
        help_text="The catch-up.",
    )  # fmt: skip
    evidence = models.JSONField(default=dict, blank=True)
    timeline = models.JSONField(default=list, blank=True, help_text="What was done, and when.")
    missed = models.PositiveIntegerField(default=0, help_text="Deliveries that were missed.")
    healed_by = models.CharField(max_length=24, blank=True)
    seconds_to_detect = models.FloatField(null=True, blank=True)
    seconds_to_repair = models.FloatField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-opened_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["installation", "reason"],
                condition=Q(closed_at__isnull=True),
                name="one_open_gap_of_a_reason",
            ),
            models.CheckConstraint(
                condition=Q(
                    reason__in=[
                        "silence", "failed_deliveries", "redelivery_exhausted", "missing_deliveries",
                    ]
                ),
                name="gap_reason_known",
            ),
            models.CheckConstraint(
                condition=Q(step="closed", closed_at__isnull=False)
                | Q(step__in=["open", "redelivering", "catching_up"], closed_at__isnull=True),
                name="gap_closed_has_an_end",
            ),
        ]  # fmt: skip
        indexes: ClassVar = [
            models.Index(fields=["-opened_at", "-id"], name="gap_newest"),
            models.Index(fields=["installation", "-opened_at"], name="gap_of_account"),
            models.Index(
                fields=["next_step_at"], condition=Q(closed_at__isnull=True), name="gap_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_reason_display()} of {self.installation}"


class MissedDelivery(models.Model):
    """An event that GitHub's log names and that did not reach us when it was sent (R6.5 b, d)."""

    class Kind(models.TextChoices):
        FAILED = "failed", "Answered with an error"
        TIMED_OUT = "timed_out", "Timed out"
        THROTTLED = "throttled", "Throttled"
        LOST = "lost", "Delivered by GitHub's word, and never seen here"

    hook = models.ForeignKey(Hook, on_delete=models.CASCADE, related_name="missed")
    guid = models.CharField(max_length=64)
    event = models.CharField(max_length=64)
    action = models.CharField(max_length=64, blank=True)
    installation = models.ForeignKey(
        Installation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="missed_deliveries",
    )
    repository_github_id = models.BigIntegerField(null=True, blank=True)
    gap = models.ForeignKey(
        Gap, on_delete=models.SET_NULL, null=True, blank=True, related_name="missed_deliveries"
    )
    kind = models.CharField(max_length=16, choices=Kind.choices)
    status_code = models.PositiveIntegerField(default=0)
    status_text = models.CharField(max_length=100, blank=True)
    first_at = models.DateTimeField(help_text="GitHub's time of the first attempt.")
    latest_id = models.BigIntegerField(
        help_text="GitHub's id of the newest attempt, to redeliver it by."
    )
    latest_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(default=1, help_text="Of GitHub, as its log names them.")
    detected_at = models.DateTimeField()
    requests = models.PositiveIntegerField(
        default=0, help_text="How often we asked to redeliver it."
    )
    requested_at = models.DateTimeField(null=True, blank=True)
    healed_at = models.DateTimeField(null=True, blank=True)
    healed_by = models.CharField(
        max_length=24, blank=True, help_text="arrived, redelivery, reread, sync, discovery"
    )

    class Meta:
        verbose_name_plural = "missed deliveries"
        ordering: ClassVar = ["-first_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["guid", "hook"], name="missed_delivery_once"),
            models.CheckConstraint(
                condition=Q(kind__in=["failed", "timed_out", "throttled", "lost"]),
                name="missed_delivery_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(healed_at__isnull=True, healed_by="")
                | (Q(healed_at__isnull=False) & ~Q(healed_by="")),
                name="missed_delivery_healed_by_something",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["hook", "-first_at"],
                condition=Q(healed_at__isnull=True),
                name="missed_open",
            ),
            models.Index(fields=["installation", "-first_at"], name="missed_of_account"),
            models.Index(fields=["gap"], condition=Q(gap__isnull=False), name="missed_of_gap"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.action} {self.guid}".replace("  ", " ")


class Recheck(models.Model):
    """A repository that a webhook or a gap named, and of which only GitHub can say what it is now.

    Asking twice for one repository is asking once; a run takes all of an account's and deletes those
    that nobody has asked for again meanwhile (`version`).
    """

    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="rechecks", db_index=False
    )
    github_id = models.BigIntegerField()
    full_name = models.CharField(max_length=511, blank=True)
    itself = models.BooleanField(
        default=False, help_text="Read the repository too, not only what it holds."
    )
    trigger = models.CharField(max_length=16, choices=SyncJob.Trigger.choices)
    reason = models.CharField(max_length=40)
    # Null is what code of before this column leaves behind.
    told = ArrayField(
        models.CharField(max_length=16),
        null=True,
        blank=True,
        default=list,
        help_text="What webhooks told of, by the names of lists: what else differs nobody told us.",
    )
    asked_at = models.DateTimeField()
    due_at = models.DateTimeField(help_text="Not before this moment.")
    attempts = models.PositiveSmallIntegerField(default=0)
    version = models.PositiveBigIntegerField(default=1)

    class Meta:
        ordering: ClassVar = ["due_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["installation", "github_id"], name="recheck_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["due_at"], name="recheck_due")]

    def __str__(self) -> str:
        return self.full_name or str(self.github_id)
