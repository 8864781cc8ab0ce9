"""Celery's way in: shells of a few lines that take ids only."""

from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

import structlog
from celery import shared_task

from config import stopping
from reconciliation import auditing, causes, conductor, deliveries, integrity, judge, rolling, trail
from syncsvc import clock, heartbeats, jobs

log = structlog.get_logger(__name__)

#: What is looked after every few minutes, each by itself.
_LOOKED_AFTER: Final[tuple[Callable[[datetime], int], ...]] = (
    causes.explain,
    judge.close_orphans,
    trail.close_orphans,
    auditing.prune,
    rolling.roll,
)


@shared_task(name=jobs.RUN_JOB)
def run_job(job_id: str) -> None:
    """Runs the job if it is still to be had; a second message for it changes nothing, and neither does
    one that names no job."""
    try:
        known = UUID(str(job_id))
    except ValueError:
        log.warning("sync.job.message_unreadable", message=str(job_id)[:80])
        return
    if stopping.is_wanted():
        jobs.not_heard(known)  # another worker's; it came while this one was closing
        return
    lease = jobs.claim(known)
    if lease is not None:
        conductor.execute(lease)


@shared_task(name="reconciliation.drain_deliveries")
def drain_deliveries() -> None:
    """Processes the deliveries that wait."""
    done = deliveries.drain()
    heartbeats.sign(heartbeats.DRAIN, done=done)


@shared_task(name="reconciliation.look_after")
def look_after() -> None:
    """What runs leave behind: causes that came to light later, figures and entries of the dead, hours
    to be summed."""
    for each in _LOOKED_AFTER:
        try:
            each(clock.now())
        except Exception:  # what fails must not keep the others waiting
            log.exception("look_after.failed", what=each.__module__)


@shared_task(name="reconciliation.check_integrity")
def check_integrity() -> None:
    """Looks at every row of the mirror; what breaks a rule is noted and told."""
    integrity.check_all(clock.now())
