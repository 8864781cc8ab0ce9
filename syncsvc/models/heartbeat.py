"""Signs of life of the processes that `/readyz` and the dashboard watch."""

from typing import ClassVar

from django.db import models


class Heartbeat(models.Model):
    """The last moment at which one process of a component (worker, beat, sweeper) said that it lives."""

    component = models.CharField(max_length=20)
    instance = models.CharField(
        max_length=120, blank=True, default="", db_default="", help_text="Which of them: host:pid."
    )
    beaten_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    detail = models.JSONField(
        default=dict, db_default={}, blank=True, help_text="What it said of itself."
    )

    class Meta:
        #: Not `syncsvc_heartbeat`, in which releases before 0005 keep one row a component.
        db_table = "syncsvc_process_heartbeat"
        ordering: ClassVar = ["component", "instance"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["component", "instance"], name="one_heartbeat_a_process"
            )
        ]

    def __str__(self) -> str:
        return f"{self.component} {self.instance} at {self.beaten_at:%H:%M:%S}"
