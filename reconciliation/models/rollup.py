"""Hours that are over, summed once, so that a look at weeks of a thousand accounts is quick (R18.5)."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from syncsvc.models import Installation


class RolledHours(models.Model):
    """What one account's runs, discrepancies, gaps and audits add up to over 1, 6 or 24 whole hours in UTC.

    Stretches in which nothing happened have no row. Rows outlive what they sum (R17.1). What each
    place of an array holds stands in `reconciliation.columns`.
    """

    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="+", db_index=False
    )
    hours = models.PositiveSmallIntegerField(help_text="How long the stretch is: 1, 6 or 24.")
    at = models.DateTimeField(help_text="Its beginning.")
    succeeded = models.PositiveIntegerField(default=0)
    partial = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    cancelled = models.PositiveIntegerField(default=0)
    timed = models.PositiveIntegerField(default=0, help_text="Runs whose duration is known.")
    milliseconds = models.PositiveBigIntegerField(default=0)
    compared = models.PositiveBigIntegerField(default=0)
    matched = models.PositiveBigIntegerField(default=0)
    vouched = models.PositiveBigIntegerField(default=0)
    unknown = models.PositiveBigIntegerField(default=0)
    found = models.PositiveIntegerField(default=0)
    gaps = models.PositiveIntegerField(default=0)
    classes = ArrayField(models.IntegerField(), default=list, blank=True)
    by_entity = ArrayField(models.BigIntegerField(), default=list, blank=True)
    by_type = ArrayField(models.IntegerField(), default=list, blank=True)
    audited = ArrayField(models.FloatField(), default=list, blank=True)

    class Meta:
        verbose_name = "sums of hours"
        verbose_name_plural = "sums of hours"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hours", "at", "installation"], name="rolled_once"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["installation", "hours", "at"], name="rolled_of_account"),
        ]

    def __str__(self) -> str:
        return f"{self.hours} h of {self.installation_id} from {self.at:%Y-%m-%d %H:%M}"


class RolledFleet(models.Model):
    """What all accounts together add up to over the same stretches: sums of the rows of `RolledHours`.

    Triggers of the database write it in the transaction of those rows; nothing else does.
    """

    hours = models.PositiveSmallIntegerField(help_text="How long the stretch is: 1, 6 or 24.")
    at = models.DateTimeField(help_text="Its beginning.")
    succeeded = models.BigIntegerField(default=0)
    partial = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    cancelled = models.BigIntegerField(default=0)
    timed = models.BigIntegerField(default=0)
    milliseconds = models.BigIntegerField(default=0)
    compared = models.BigIntegerField(default=0)
    matched = models.BigIntegerField(default=0)
    vouched = models.BigIntegerField(default=0)
    unknown = models.BigIntegerField(default=0)
    found = models.BigIntegerField(default=0)
    gaps = models.BigIntegerField(default=0)
    classes = ArrayField(models.BigIntegerField(), default=list, blank=True)
    by_entity = ArrayField(models.BigIntegerField(), default=list, blank=True)
    by_type = ArrayField(models.BigIntegerField(), default=list, blank=True)
    audited = ArrayField(models.FloatField(), default=list, blank=True)

    class Meta:
        verbose_name = "sums of all accounts"
        verbose_name_plural = "sums of all accounts"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["hours", "at"], name="rolled_fleet_once"),
        ]

    def __str__(self) -> str:
        return f"{self.hours} h of all from {self.at:%Y-%m-%d %H:%M}"


class StaleDay(models.Model):
    """A day of an account of which something was written after its hour was over: what is rolled of it
    is not to be believed until it is rolled again.

    A trigger of the database writes it in the transaction of what came late, so nothing can be late and
    unmarked. Rows are not unique: one that is being answered must not swallow the next.
    """

    installation_id = models.BigIntegerField()
    day = models.DateTimeField(help_text="Its midnight in UTC.")

    class Meta:
        verbose_name = "day to sum again"
        verbose_name_plural = "days to sum again"

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} of {self.installation_id}"


class RolledUntil(models.Model):
    """From when until when all hours are rolled; there is one row, or none before the first time."""

    since = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        verbose_name = "state of the sums"
        verbose_name_plural = "states of the sums"

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"
