"""The scheduler of `celery beat`: django-celery-beat's, which rings without waiting and outlives everything.

It keeps no connection to the broker, sends again what the broker did not take, and sits out a
database that is away; what it does then is said by its heartbeat, or by its silence.
"""

import time
from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import Error, connection
from django_celery_beat.schedulers import DatabaseScheduler

from config.celery import HEARTBEAT_SECONDS
from syncsvc import clock, heartbeats, ringing

log = structlog.get_logger(__name__)

AWAY_SECONDS = 1.0
AHEAD: Final = timedelta(seconds=30)
"""Nothing ran so far in the future, unless the clock was set back since."""


class HeartbeatScheduler(DatabaseScheduler):
    """Reads its schedule from the database (editable in the admin); `/readyz` sees that it ticks."""

    #: Celery would open a connection of its own here, and wait for the broker until it is there.
    producer = None  # type: ignore[assignment]  # the stubs know no scheduler without one
    #: Celery's own, which its stubs do not name.
    _heap: Any
    _tasks_since_sync: int
    _do_sync: Any
    _recorded_at = float("-inf")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unsent: dict[str, Any] = {}
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # Celery's stubs

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """One round of the scheduler; returns the seconds until the next."""
        now = time.monotonic()
        if now - self._recorded_at >= HEARTBEAT_SECONDS:
            if not heartbeats.record(heartbeats.BEAT):
                connection.close()
                return AWAY_SECONDS
            self._recorded_at = now
        self._send_unsent()
        self._believe_the_clock()
        try:
            return min(float(super().tick(*args, **kwargs)), HEARTBEAT_SECONDS)
        except Error as error:
            log.warning("beat.database_away", error=type(error).__name__)
            connection.close()
            self._recorded_at = float("-inf")  # no round before a sign of life can be written
            return AWAY_SECONDS

    def apply_async(
        self,
        entry: Any,
        producer: Any = None,  # noqa: ARG002  (Celery's signature)
        advance: bool = True,
        **_: Any,
    ) -> None:
        """Rings for a task that is due; one that could not be rung is rung again, once."""
        if advance:
            entry = self.reserve(entry)  # type: ignore[no-untyped-call]  # the same
        self._unsent[entry.name] = entry
        self._send_unsent()
        self._tasks_since_sync += 1
        if self.should_sync():
            self._do_sync()

    def close(self) -> None:
        """Beat ends as it should."""
        super().close()
        heartbeats.farewell(heartbeats.BEAT)

    def _send_unsent(self) -> None:
        for name, entry in list(self._unsent.items()):
            if not ringing.ring(entry.task, entry.args, entry.kwargs, **entry.options):
                return
            del self._unsent[name]

    def _believe_the_clock(self) -> None:
        """After the clock was set back: each task would wait for the time at which it ran last, a day
        as easily as a minute, also after a restart, because that time stands in the database."""
        now = clock.now()
        entries = (self._schedule or {}).values()
        ahead = [each for each in entries if each.last_run_at > now + AHEAD]
        for each in ahead:
            each.last_run_at = each.model.last_run_at = now
            self._dirty.add(each.name)
        if ahead:
            log.warning("beat.clock_set_back", tasks=len(ahead), now=now.isoformat())
            self._heap = None  # the times in it were worked out from those
