"""Celery's way in: shells of a few lines that take ids only."""

from celery import shared_task

from reconciliation import conductor, deliveries
from syncsvc import jobs


@shared_task(name=jobs.RUN_JOB)
def run_job(job_id: str) -> None:
    """Runs the job if it is still to be had; a second message for it changes nothing."""
    lease = jobs.claim(job_id)
    if lease is not None:
        conductor.execute(lease)


@shared_task(name="reconciliation.drain_deliveries")
def drain_deliveries() -> None:
    """Processes the deliveries that wait."""
    deliveries.drain()
