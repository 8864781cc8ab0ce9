"""Celery's way in: shells of a few lines."""

from celery import shared_task

from alerts import incidents


@shared_task(name="alerts.review_incidents")
def review_incidents() -> None:
    """Brings all incidents into line with the problems that there are."""
    incidents.review()
