"""Dead letters: work that was given up, kept with all that is needed to take it up again (R10.4)."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from syncsvc.models.delivery import Delivery
from syncsvc.models.installation import Installation
from syncsvc.models.job import SyncJob


class DeadLetter(models.Model):
    """A job whose attempts are used up, or a delivery that cannot be processed.

    It waits (`open`) until somebody has it done again (`requeued`) or lets it go with a reason
    (`discarded`). At most one of a job or a delivery is open.
    """

    class Kind(models.TextChoices):
        JOB = "job", "Sync job"
        DELIVERY = "delivery", "Webhook delivery"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        REQUEUED = "requeued", "Requeued"
        DISCARDED = "discarded", "Discarded"

    kind = models.CharField(max_length=16, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    installation = models.ForeignKey(
        Installation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="dead_letters",
        help_text="None for a delivery of an account that nobody knows.",
    )
    job = models.ForeignKey(
        SyncJob, on_delete=models.CASCADE, null=True, blank=True, related_name="dead_letters"
    )
    delivery = models.ForeignKey(
        Delivery, on_delete=models.CASCADE, null=True, blank=True, related_name="dead_letters"
    )
    created_at = models.DateTimeField()
    attempts = models.PositiveIntegerField(help_text="How often it was tried.")
    category = models.CharField(max_length=16, blank=True)
    error = models.TextField(help_text="A sentence for people.")
    stack = models.TextField(blank=True, help_text="Where it failed last, without secrets.")
    context = models.JSONField(
        default=dict, blank=True, help_text="What it was about when it was given up."
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    reason = models.TextField(blank=True, help_text="Why it was discarded.")
    requeued_job = models.ForeignKey(
        SyncJob,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The job that took it up again.",
    )

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__in=["open", "requeued", "discarded"]),
                name="dead_letter_status_known",
            ),
            models.CheckConstraint(
                condition=Q(kind="job", job__isnull=False, delivery__isnull=True)
                | Q(kind="delivery", job__isnull=True, delivery__isnull=False),
                name="dead_letter_is_of_one_thing",
            ),
            models.CheckConstraint(
                condition=Q(status="open") | Q(decided_at__isnull=False),
                name="dead_letter_decided_at",
            ),
            models.CheckConstraint(
                condition=~Q(status="discarded") | ~Q(reason=""),
                name="dead_letter_discarded_with_reason",
            ),
            models.UniqueConstraint(
                fields=["job"], condition=Q(status="open"), name="one_open_dead_letter_a_job"
            ),
            models.UniqueConstraint(
                fields=["delivery"],
                condition=Q(status="open"),
                name="one_open_dead_letter_a_delivery",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="dead_letter_newest"),
            models.Index(
                fields=["installation", "-created_at"], name="dead_letter_by_installation"
            ),
            models.Index(
                fields=["created_at"], condition=Q(status="open"), name="dead_letter_open"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} given up at {self.created_at:%Y-%m-%d %H:%M}"
