"""Celery's way in: shells of a few lines."""

import structlog
from celery import shared_task

from syncsvc import (
    clock,
    connect,
    discovery,
    heartbeats,
    impossible_times,
    jobs,
    pinging,
    scheduling,
)
from syncsvc.github.errors import GitHubError
from syncsvc.live import pruning as live_pruning
from syncsvc.webhooks import tasks as webhook_tasks

__all__ = ["webhook_tasks"]  # Celery finds a module `tasks` of an app, and none below it

log = structlog.get_logger(__name__)


@shared_task(name="syncsvc.request_due_syncs")
def request_due_syncs() -> None:
    """Asks for every sync that is due."""
    scheduling.request_due()


@shared_task(name="syncsvc.ring_waiting_jobs")
def ring_waiting_jobs() -> None:
    """Finds the jobs whose message was lost or whose worker died."""
    rung = jobs.ring_waiting()
    heartbeats.prune(clock.now())
    heartbeats.sign(heartbeats.SWEEPER, rung=rung)


@shared_task(name="syncsvc.put_times_right")
def put_times_right() -> None:
    """Cuts times that a wrong clock, or a hand in the database, wrote far ahead."""
    impossible_times.put_right(clock.now())


@shared_task(name="syncsvc.request_remembered_syncs")
def request_remembered_syncs() -> None:
    """Asks again for what was asked while a job ran."""
    scheduling.request_remembered()


@shared_task(name="syncsvc.request_retries")
def request_retries() -> None:
    """Asks for what could not be read and is to be tried again."""
    scheduling.request_retries()


@shared_task(name="syncsvc.request_rechecks")
def request_rechecks() -> None:
    """Asks for what webhooks and gaps said has to be read again."""
    scheduling.request_rechecks()


@shared_task(name="syncsvc.request_audits")
def request_audits() -> None:
    """Asks for every independent audit that is due."""
    scheduling.request_audits()


@shared_task(name="syncsvc.ping")
def ping() -> None:
    """Tells a service outside how things are, where one is named."""
    pinging.ping(clock.now())


@shared_task(name="syncsvc.prune_live_events")
def prune_live_events() -> None:
    """Forgets what open pages were told long ago."""
    live_pruning.prune(clock.now())


@shared_task(name="syncsvc.discover")
def discover() -> None:
    """Looks for new, suspended and removed installations."""
    if not (connect.has_app() or connect.has_token()):
        return
    try:
        discovery.discover()
    except GitHubError as error:
        log.warning("discovery.failed", kind=error.kind, sentence=error.sentence)
