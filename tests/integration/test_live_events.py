"""What the database tells of runs: each kind of change is the right event, a heartbeat is none; and how
long it is kept (R18.4)."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from syncsvc import clock, jobs
from syncsvc.live import pruning, reading, telling
from syncsvc.models import LiveEvent, SyncJob
from tests.factories import InstallationFactory, SyncJobFactory

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.4")]
NOW = {"finished_at": clock.now(), "lease": None, "lease_expires_at": None}


def kinds() -> list[str]:
    """What was told since the last time."""
    rows = LiveEvent.objects.order_by("pk")
    found = [row.kind for row in rows]
    rows.delete()
    return found


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"stage": "issues"}, "sync:progress"),
        ({"current": 7}, "sync:progress"),
        ({"total": 70}, "sync:progress"),
        ({"current_item": "acme/rocket"}, "sync:progress"),
        ({"errors": 1}, "sync:progress"),
        ({"cancel_requested_at": clock.now()}, "sync:progress"),
        ({"status": "blocked", "lease": None, "lease_expires_at": None}, "sync:progress"),
        ({"status": "queued", "lease": None, "lease_expires_at": None}, "sync:progress"),
        ({"status": "succeeded", **NOW}, "sync:complete"),
        ({"status": "partial", **NOW}, "sync:complete"),
        ({"status": "cancelled", **NOW}, "sync:complete"),
        ({"status": "failed", **NOW}, "sync:error"),
        ({"status": "dead", **NOW}, "sync:error"),
        ({"lease_expires_at": clock.now()}, None),
        ({"rung_at": clock.now()}, None),
        ({"checkpoint": {"page": 2}}, None),
        ({"current": 0}, None),
    ],
)
def test_each_change_is_told_and_a_heartbeat_is_not(
    change: dict[str, Any], kind: str | None
) -> None:
    job = SyncJobFactory.create(running=True)
    assert kinds() == ["sync:start"]
    SyncJob.objects.filter(pk=job.pk).update(**change)
    assert kinds() == ([kind] if kind else [])


def test_whatever_cancels_a_waiting_run_it_is_told() -> None:
    jobs.cancel(SyncJobFactory.create(waiting=True))
    assert kinds() == ["sync:start", "sync:progress", "sync:complete"]


def test_what_is_rolled_back_is_not_told() -> None:
    job = SyncJobFactory.create(running=True)
    kinds()
    with transaction.atomic():
        SyncJob.objects.filter(pk=job.pk).update(current=5)
        transaction.set_rollback(True)
    assert kinds() == []


def test_an_event_says_what_status_says() -> None:
    job = SyncJobFactory.create(
        running=True, stage_started_at=clock.now() - timedelta(seconds=10), total=40
    )
    SyncJob.objects.filter(pk=job.pk).update(current=10, current_item="acme/a\nb", errors=2)
    row = LiveEvent.objects.latest("pk")
    told = telling.told(
        reading.Row(row.pk, row.installation_id, row.job_id, row.kind, row.at, row.data)
    )
    assert told | {"at": None} == {
        "id": row.pk, "installation": job.installation_id, "job_id": str(job.pk), "at": None,
        "status": "running", "trigger": "manual", "mode": "full", "dry_run": False, "cancelling": False,
        "stage": "repositories", "current": 10, "total": 40, "percent": 25, "item": "acme/a\nb",
        "errors": 2, "eta_seconds": 30,
    }  # fmt: skip


def test_the_end_says_what_it_came_to() -> None:
    job = SyncJobFactory.create(running=True)
    counts = {"repositories": {"created": 2, "updated": 1}, "issues": {"created": 3}}
    SyncJob.objects.filter(pk=job.pk).update(status="partial", counts=counts, accuracy=0.998, **NOW)
    row = LiveEvent.objects.latest("pk")
    told = telling.told(
        reading.Row(row.pk, row.installation_id, row.job_id, row.kind, row.at, row.data)
    )
    assert (told["counts"], told["accuracy"], told["eta_seconds"]) == (counts, 0.998, None)
    assert told["summary"] == {
        "created": 5, "updated": 1, "unchanged": 0, "deleted": 0, "errors": 0,
    }  # fmt: skip


def event(minutes: float, installation_id: int) -> LiveEvent:
    return LiveEvent.objects.create(
        installation_id=installation_id,
        job_id=uuid.uuid4(),
        kind="sync:progress",
        at=clock.now() - timedelta(minutes=minutes),
    )


@pytest.mark.parametrize("batch", [1, 2, 1000])
def test_events_are_forgotten_after_an_hour_whatever_became_of_the_account(batch: int) -> None:
    gone = 10**9  # the id of an account that was deleted
    for minutes in (300, 70, 61):
        event(minutes, gone)
    kept = [event(59, InstallationFactory.create().pk), event(1, gone)]
    assert pruning.prune(clock.now(), batch=batch) == 3
    assert list(LiveEvent.objects.order_by("pk")) == kept
    assert pruning.prune(clock.now(), batch=batch) == 0


def test_the_newest_stays_for_it_tells_how_far_the_counting_came() -> None:
    event(300, 1)
    last = event(200, 1)
    assert pruning.prune(clock.now()) == 1
    assert list(LiveEvent.objects.all()) == [last]
