"""What open pages are told of runs. The database itself writes these rows, whoever changes a job."""

from typing import ClassVar

from django.db import models

from syncsvc.models.installation import Installation


class LiveEvent(models.Model):
    """One change of a job that people watch (R18.4), kept for a while so that a browser that was away
    can be told what it missed. A trigger on the table of jobs inserts it and notifies `CHANNEL`."""

    CHANNEL: ClassVar = "syncsvc_live"

    class Kind(models.TextChoices):
        START = "sync:start", "Asked for"
        PROGRESS = "sync:progress", "Goes on"
        COMPLETE = "sync:complete", "Has ended"
        ERROR = "sync:error", "Has failed"

    # No constraint: its check would lock the account's row with each step of a run.
    installation = models.ForeignKey(
        Installation, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    job_id = models.UUIDField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    at = models.DateTimeField(db_index=True)
    data = models.JSONField(default=dict)

    class Meta:
        ordering: ClassVar = ["id"]
        indexes: ClassVar = [
            models.Index(fields=["job_id", "id"], name="live_event_of_job"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.job_id}"
