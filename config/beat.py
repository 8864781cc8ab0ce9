"""The scheduler of `celery beat`: django-celery-beat's, plus a heartbeat that says it is ticking."""

from typing import Any

from django_celery_beat.schedulers import DatabaseScheduler

from config.celery import HEARTBEAT_SECONDS
from syncsvc import heartbeats


class HeartbeatScheduler(DatabaseScheduler):
    """Reads its schedule from the database (editable in the admin); `/readyz` sees that it ticks."""

    _recorded_at = 0.0

    def tick(self, *args: Any, **kwargs: Any) -> Any:
        """One round of the scheduler; returns the seconds until the next."""
        self._recorded_at = heartbeats.record_every(HEARTBEAT_SECONDS, "beat", self._recorded_at)
        return min(super().tick(*args, **kwargs), HEARTBEAT_SECONDS)
