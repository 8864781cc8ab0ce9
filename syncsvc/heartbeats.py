"""Signs of life: who writes them, and how old they may be before `/readyz` says no."""

import time
from datetime import datetime, timedelta

import structlog
from django.db import DatabaseError, close_old_connections

from syncsvc import clock
from syncsvc.models import Heartbeat

log = structlog.get_logger(__name__)

MAX_AGE = timedelta(seconds=30)


def record(component: str) -> None:
    """Writes a sign of life of `component`. A database that is down is logged, never raised:
    the component must outlive it."""
    try:
        Heartbeat.objects.update_or_create(component=component, defaults={"beaten_at": clock.now()})
    except DatabaseError:
        log.warning("heartbeat.not_recorded", component=component)
        close_old_connections()


def record_every(seconds: float, component: str, last: float) -> float:
    """Records unless the last record (monotonic seconds, returned by the call before) is younger."""
    now = time.monotonic()
    if last and now - last < seconds:
        return last
    record(component)
    return now


def alive(component: str, now: datetime) -> bool:
    """Whether `component` gave a sign of life within `MAX_AGE`."""
    return Heartbeat.objects.filter(component=component, beaten_at__gte=now - MAX_AGE).exists()
