"""The life of a job: leases, fences, cancelling, retries, and what the sweeper finds."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import time_machine
from django.db import connection
from kombu.exceptions import OperationalError

from syncsvc import jobs, leases, ringing, scheduling, state, status
from syncsvc.endings import LeaseLost, Outcome
from syncsvc.leases import Cancelled, Lease
from syncsvc.models import DeadLetter, Installation, Repository, SyncJob
from syncsvc.service import SyncService
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def claimed(**job: Any) -> Lease:
    lease = jobs.claim(SyncJobFactory.create(waiting=True, **job).pk)
    assert lease is not None
    return lease


@pytest.mark.spec("R3.3", "P39")
@pytest.mark.django_db(transaction=True)
def test_of_ten_workers_that_claim_a_job_one_gets_it() -> None:
    job = SyncJobFactory.create(waiting=True)
    barrier = threading.Barrier(10)

    def claim(_: int) -> bool:
        barrier.wait(timeout=30)
        try:
            return jobs.claim(job.pk) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(claim, range(10))) == 1
    job.refresh_from_db()
    assert (job.status, job.attempt) == ("running", 1)


@pytest.mark.spec("R10.2")
@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_that_finds_the_job_in_other_hands_ends_the_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leases, "heartbeat_seconds", lambda _: 0.01)
    lease = claimed()
    with lease.kept_alive():
        lease.insist()
        SyncJob.objects.update(lease=uuid4())
        [heart] = [each for each in threading.enumerate() if each.name == "lease"]
        heart.join(20)
        with pytest.raises(LeaseLost):
            lease.insist()
    with pytest.raises(LeaseLost):
        lease.progress("reading")


@pytest.mark.django_db
def test_what_is_not_to_be_had_is_not_claimed(clock: Any) -> None:
    assert jobs.claim(uuid4()) is None
    assert jobs.claim(SyncJobFactory.create().pk) is None  # ended
    assert jobs.claim(SyncJobFactory.create(running=True).pk) is None
    later = SyncJobFactory.create(waiting=True, run_after=NOON + timedelta(seconds=1))
    assert jobs.claim(later.pk) is None
    clock.shift(1)
    assert jobs.claim(later.pk) is not None


@pytest.mark.spec("R10.2")
@pytest.mark.django_db
def test_a_worker_that_was_only_slow_writes_nothing_after_it_lost_its_lease(clock: Any) -> None:
    slow = claimed()
    slow.progress("reading", 1, 10)
    clock.shift(61)
    assert jobs.ring_waiting() == 1
    quick = jobs.claim(slow.job.pk)
    assert quick is not None
    with pytest.raises(LeaseLost), slow.writing():
        RepositoryFactory.create()
    with pytest.raises(LeaseLost):
        slow.progress("still reading", 2, 10)
    with pytest.raises(LeaseLost):
        slow.succeed(Outcome())
    assert not Repository.objects.exists()
    quick.succeed(Outcome())
    slow.job.refresh_from_db()
    assert (slow.job.status, slow.job.attempt) == ("succeeded", 2)


@pytest.mark.spec("R10.2")
@pytest.mark.django_db
def test_a_heartbeat_keeps_the_lease(clock: Any) -> None:
    lease = claimed()
    for _ in range(10):
        clock.shift(25)
        with lease.writing():
            pass
        assert jobs.ring_waiting() == 0
    lease.succeed(Outcome())
    assert lease.job.status == "succeeded"


@pytest.mark.spec("R3.7")
@pytest.mark.django_db
def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_at_its_next_safe_point() -> None:
    waiting = SyncJobFactory.create(waiting=True)
    assert jobs.cancel(waiting).status == "cancelled"
    assert jobs.claim(waiting.pk) is None

    lease = claimed()
    with lease.writing():
        RepositoryFactory.create(installation=lease.job.installation)
    assert jobs.cancel(lease.job).status == "running"
    with pytest.raises(Cancelled), lease.writing():
        RepositoryFactory.create(installation=lease.job.installation)
    lease.cancelled(Outcome())
    assert lease.job.status == "cancelled"
    assert Repository.objects.count() == 1  # what it wrote stays
    assert "Cancelled" in lease.job.error


@pytest.mark.spec("R3.7", "R10.1")
@pytest.mark.django_db
def test_a_job_that_was_asked_to_stop_has_stopped_when_its_worker_died() -> None:
    job = SyncJobFactory.create(running=True, attempt=5)
    jobs.cancel(job)
    SyncJob.objects.update(lease_expires_at=datetime.now(UTC) - timedelta(seconds=1))
    jobs.ring_waiting()
    job.refresh_from_db()
    assert (job.status, job.lease) == ("cancelled", None)
    assert job.finished_at is not None
    assert Installation.objects.get().consecutive_failures == 0
    assert not DeadLetter.objects.exists()


@pytest.mark.django_db
def test_cancelling_what_has_ended_changes_nothing() -> None:
    job = SyncJobFactory.create()
    assert jobs.cancel(job).status == "succeeded"
    assert job.cancel_requested_at is None


@pytest.mark.spec("R10.1")
@pytest.mark.django_db
def test_a_failure_that_may_pass_is_tried_again_and_in_the_end_given_up(clock: Any) -> None:
    job = SyncJobFactory.create(waiting=True, created_at=NOON, run_after=NOON)
    delays = []
    for attempt in range(1, 6):
        lease = jobs.claim(job.pk)
        assert lease is not None
        lease.fail(Outcome(), sentence="No network.", category="network", retryable=True)
        job.refresh_from_db()
        if attempt < 5:
            assert job.status == "queued"
            assert jobs.claim(job.pk) is None
            delays.append(job.run_after - clock_now())
            clock.move_to(job.run_after)
    assert job.status == "dead"
    assert (job.error, job.error_category) == ("No network.", "network")
    bounds = [timedelta(seconds=30) * 2**n for n in range(4)]
    assert all(b * 0.75 <= d <= b * 1.25 for d, b in zip(delays, bounds, strict=True))
    job.installation.refresh_from_db()
    assert job.installation.last_error == "No network."


def clock_now() -> datetime:
    return datetime.now(UTC)


@pytest.mark.spec("R10.1")
@pytest.mark.django_db
def test_a_failure_that_will_not_pass_is_not_tried_again() -> None:
    lease = claimed()
    lease.fail(Outcome(), sentence="Bad key.", category="authentication", retryable=False)
    assert (lease.job.status, lease.job.attempt) == ("failed", 1)


@pytest.mark.spec("R10.3")
@pytest.mark.django_db
def test_repeated_failures_open_the_breaker_and_a_success_closes_it(clock: Any) -> None:
    installation = InstallationFactory.create()
    for _ in range(5):
        assert SyncService.request(installation.pk, "cron").job_id is not None
        lease = jobs.claim(SyncJob.objects.get(status="queued").pk)
        assert lease is not None
        lease.fail(Outcome(), sentence="No.", category="authentication", retryable=False)
    assert str(SyncService.request(installation.pk, "cron").reason) == "breaker_open"
    clock.shift(301)
    trial = jobs.claim(SyncService.request(installation.pk, "cron").job_id or "")
    assert trial is not None
    trial.succeed(Outcome())
    installation.refresh_from_db()
    assert (installation.consecutive_failures, installation.breaker_open_until) == (0, None)


@pytest.mark.spec("R4.2", "R10.1")
@pytest.mark.django_db
def test_a_blocked_job_waits_for_its_moment_and_uses_up_no_attempt(
    clock: Any, bells: list[UUID]
) -> None:
    lease = claimed(created_at=NOON, run_after=NOON)
    lease.block(NOON + timedelta(minutes=20), "budget", Outcome())
    job = lease.job
    assert (job.status, job.attempt, job.lease) == ("blocked", 0, None)
    assert jobs.claim(job.pk) is None
    assert jobs.ring_waiting() == 0
    view = status.of(state.read_one(job.installation_id), NOON)
    assert (view.state, view.blocked_until) == ("blocked", NOON + timedelta(minutes=20))
    clock.shift(timedelta(minutes=20))
    bells.clear()
    assert jobs.ring_waiting() == 1
    assert bells == [job.pk]
    assert jobs.claim(job.pk) is not None


@pytest.mark.spec("R6.1", "R10.2")
@pytest.mark.django_db
def test_a_job_whose_message_was_lost_is_rung_for_again(
    clock: Any, monkeypatch: pytest.MonkeyPatch, bells: list[UUID]
) -> None:
    job = SyncJobFactory.create(waiting=True, created_at=NOON, run_after=NOON)
    assert jobs.ring_waiting() == 1
    SyncJob.objects.filter(pk=job.pk).update(rung_at=NOON)  # what the real bell notes
    assert jobs.ring_waiting() == 0
    clock.shift(61)
    assert jobs.ring_waiting() == 1
    assert bells == [job.pk, job.pk]


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_is_down_delays_a_job_and_loses_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.undo()  # the real bell

    def refused() -> Any:
        raise OperationalError("connection refused")

    monkeypatch.setattr(ringing, "_bell", ringing.Bell(refused))
    installation = InstallationFactory.create()
    decision = SyncService.request(installation.pk, "manual")
    assert str(decision.action) == "start"
    job = SyncJob.objects.get()
    assert (job.status, job.rung_at) == ("queued", None)


@pytest.mark.spec("R3.5", "R5.7", "P15")
@pytest.mark.django_db
def test_progress_shows_in_the_status_with_an_estimate(clock: Any) -> None:
    lease = claimed(created_at=NOON, run_after=NOON, started_at=NOON)
    clock.shift(5)
    lease.progress("reading repositories", 0, 100)
    clock.shift(10)
    lease.progress("reading repositories", 25, 100, "octo/hello")
    with lease.writing():  # what a write does for the lease shows the progress as well
        pass
    view = status.of(state.read_one(lease.job.installation_id), clock_now())
    assert view.state == "syncing"
    assert not view.can_sync_now
    progress = view.active_job_progress
    assert progress is not None
    assert (progress.current, progress.total, progress.percent) == (25, 100, 25)
    assert (progress.stage, progress.item) == ("reading repositories", "octo/hello")
    assert progress.eta_seconds == 30
    job = SyncJob.objects.get(pk=lease.job.pk)
    assert status.progress(job, clock_now()).eta_seconds == 30
    job.status = SyncJob.Status.BLOCKED  # it waits for GitHub: nobody knows how long
    assert status.progress(job, clock_now()).eta_seconds is None


@pytest.mark.spec("R3.3")
@pytest.mark.django_db
def test_a_remembered_request_is_asked_again_when_the_run_ends() -> None:
    lease = claimed()
    SyncService.request(lease.job.installation_id, "gap")
    assert scheduling.request_remembered() == 0  # it still runs
    lease.succeed(Outcome())
    assert scheduling.request_remembered() == 1
    assert scheduling.request_remembered() == 0
    follower = SyncJob.objects.get(status="queued")
    assert (follower.trigger, follower.installation_id) == ("gap", lease.job.installation_id)
    assert Installation.objects.count() == 1


@pytest.mark.spec("R10.2")
@pytest.mark.django_db(transaction=True)
def test_a_page_that_takes_longer_than_a_lease_loses_no_lease(tune: Any) -> None:
    tune(lease_seconds=5)
    lease = claimed()
    renewed = threading.Event()
    plain = lease._until

    def until() -> datetime:
        renewed.set()
        return plain()

    lease.settings = replace(lease.settings, lease_seconds=0.3)  # type: ignore[arg-type]
    lease._until = until  # type: ignore[method-assign]
    before = SyncJob.objects.get().lease_expires_at
    with lease.kept_alive():
        assert renewed.wait(10)
    assert SyncJob.objects.get().lease_expires_at != before
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]
