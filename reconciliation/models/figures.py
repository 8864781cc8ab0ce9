"""How right the mirror is: what each run measured, and what independent samples say."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from reconciliation.models.discrepancy import Discrepancy, Entity
from syncsvc.models import Installation, Repository, SyncJob


class RunFigure(models.Model):
    """What one run measured of one entity, before repair (R9.1). See docs/accuracy.md.

    Dry runs and the first run of an account have none (R7.7).
    """

    job = models.ForeignKey(SyncJob, on_delete=models.CASCADE, related_name="figures")
    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="figures", db_index=False
    )
    entity = models.CharField(max_length=16, choices=Entity.choices)
    at = models.DateTimeField(help_text="End of the run.")
    trigger = models.CharField(max_length=16)
    mode = models.CharField(max_length=16)
    version = models.CharField(max_length=40, blank=True, help_text="Of the software that ran.")
    compared = models.PositiveBigIntegerField()
    matched = models.PositiveBigIntegerField()
    vouched = models.PositiveBigIntegerField(
        default=0,
        help_text="Of those compared, how many GitHub's count, newest change or head vouched for.",
    )
    unknown = models.PositiveBigIntegerField(
        default=0, help_text="Items of which this run could not tell whether they are right."
    )
    by_type = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["job", "entity"], name="figure_once"),
            models.CheckConstraint(
                condition=Q(matched__lte=models.F("compared")), name="figure_matched_was_compared"
            ),
            models.CheckConstraint(
                condition=Q(vouched__lte=models.F("compared")), name="figure_vouched_was_compared"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["installation", "at"],
                include=["entity", "compared", "matched"],
                name="figure_of_account",
            ),
            models.Index(fields=["at"], name="figure_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.entity}: {self.matched} of {self.compared}"


class SampleAudit(models.Model):
    """A random sample of an account, read again by another path than the one that wrote it (R8.3)."""

    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="audits")
    job = models.ForeignKey(
        SyncJob, on_delete=models.SET_NULL, null=True, blank=True, related_name="audits"
    )
    at = models.DateTimeField()
    seed = models.BigIntegerField(help_text="Of the random choice, so that it can be repeated.")
    requests = models.PositiveIntegerField(default=0)
    points = models.PositiveIntegerField(default=0)
    sampled = models.PositiveIntegerField(default=0)
    matched = models.PositiveIntegerField(default=0)
    wrong = models.PositiveIntegerField(default=0)
    in_flight = models.PositiveIntegerField(
        default=0, help_text="Changed within the grace period: neither right nor wrong."
    )
    unknown = models.PositiveIntegerField(default=0, help_text="Could not be read.")
    strata = models.JSONField(default=dict, blank=True)
    estimate = models.FloatField(null=True, blank=True)
    low = models.FloatField(null=True, blank=True, help_text="Wilson 95 % interval.")
    high = models.FloatField(null=True, blank=True)
    weight = models.FloatField(
        default=0,
        help_text="Of the judged items, added up. Sums of several audits may be added again.",
    )
    weight_matched = models.FloatField(default=0)
    weight_squares = models.FloatField(default=0)
    weight_squares_wrong = models.FloatField(default=0)

    class Meta:
        ordering: ClassVar = ["-at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["installation", "-at"], name="audit_of_account"),
            models.Index(fields=["-at", "-id"], name="audit_newest"),
        ]

    def __str__(self) -> str:
        return f"audit of {self.installation} at {self.at:%Y-%m-%d %H:%M}"


class SampledItem(models.Model):
    """One item of a sample, and whether the mirror was right about it."""

    class Result(models.TextChoices):
        MATCHED = "matched", "Right"
        WRONG = "wrong", "Wrong"
        IN_FLIGHT = "in_flight", "Just changed"
        UNKNOWN = "unknown", "Could not be read"

    class Side(models.TextChoices):
        MIRROR = "mirror", "Drawn from the mirror"
        GITHUB = "github", "Drawn from GitHub"

    audit = models.ForeignKey(SampleAudit, on_delete=models.CASCADE, related_name="items")
    entity = models.CharField(max_length=16, choices=Entity.choices)
    side = models.CharField(max_length=8, choices=Side.choices)
    repository = models.ForeignKey(
        Repository, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    item_key = models.CharField(max_length=64)
    result = models.CharField(max_length=16, choices=Result.choices)
    path = models.CharField(max_length=16, help_text="The way it was read: rest or graphql.")
    differences = models.JSONField(default=dict, blank=True)
    discrepancy = models.ForeignKey(
        Discrepancy, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    def __str__(self) -> str:
        return f"{self.entity} {self.item_key}: {self.result}"
