"""Incidents: open problems that people see, acknowledge, and that end with their cause."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from syncsvc.models import Installation


class Incident(models.Model):
    """One problem from its beginning to its end; `key` says which, at most one of a key is open."""

    class Severity(models.TextChoices):
        WARNING = "warning", "Warning"
        HIGH = "high", "High"
        CRITICAL = "critical", "Critical"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        RESOLVED = "resolved", "Resolved"

    key = models.CharField(max_length=200, help_text="The same problem has the same key.")
    kind = models.CharField(max_length=40)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.OPEN)
    installation = models.ForeignKey(
        Installation,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="incidents",
        db_index=False,
    )
    correlation_id = models.UUIDField(null=True, blank=True)
    title = models.CharField(max_length=300)
    detail = models.TextField(blank=True, help_text="What it is and what to do next.")
    figures = models.JSONField(default=dict, blank=True)
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-opened_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["key"], condition=~Q(status="resolved"), name="one_open_incident_of_a_key"
            ),
            models.CheckConstraint(
                condition=Q(severity__in=["warning", "high", "critical"]),
                name="incident_severity_known",
            ),
            models.CheckConstraint(
                condition=Q(status="resolved", resolved_at__isnull=False)
                | Q(status__in=["open", "acknowledged"], resolved_at__isnull=True),
                name="incident_resolved_has_a_time",
            ),
            models.CheckConstraint(
                condition=~Q(status="acknowledged") | Q(acknowledged_at__isnull=False),
                name="incident_acknowledged_has_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(F("opened_at").desc(), F("id").desc(), name="incident_newest"),
            models.Index(fields=["installation", "-opened_at"], name="incident_of_account"),
        ]

    def __str__(self) -> str:
        return self.title
