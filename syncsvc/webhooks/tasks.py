"""Celery's way to the webhooks: shells of a few lines."""

from celery import shared_task

from syncsvc import clock
from syncsvc.webhooks import retention, watch


@shared_task(name="syncsvc.check_gaps")
def check_gaps() -> None:
    """Looks for deliveries that were missed, and heals what is found."""
    watch.check()


@shared_task(name="syncsvc.prune")
def prune() -> None:
    """Forgets payloads that were kept long enough."""
    retention.prune(clock.now())
