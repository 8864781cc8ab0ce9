"""Signs of life of the processes that `/readyz` watches."""

from typing import ClassVar

from django.db import models


class Heartbeat(models.Model):
    """The last moment a component (worker, beat) said that it lives."""

    component = models.CharField(max_length=20, primary_key=True)
    beaten_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["component"]

    def __str__(self) -> str:
        return f"{self.component} at {self.beaten_at:%H:%M:%S}"
