"""Rows that somebody edited by hand, jobs without an account, messages without a job: each is found,
said once, and ends or goes on. Wrong clocks have a module of their own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connection, transaction
from structlog.testing import capture_logs

from reconciliation import deliveries, tasks
from reconciliation.models import AuditEntry
from syncsvc import clock, impossible_times, jobs, leases, rechecks, scheduling
from syncsvc.models import (
    Delivery,
    Gap,
    Installation,
    Recheck,
    Repository,
    SyncJob,
)
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from syncsvc.webhooks import watch
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    SyncJobFactory,
)
from tests.support import assert_equal_to_truth, discover, mirrored, run, sync, truth

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    """A few repositories are enough here, and quick."""
    return World.generate(
        seed=1,
        repositories=8,
        issues_per_repository=0,
        pull_requests_per_repository=0,
        commits_per_repository=0,
    )


def edit(job: SyncJob, **columns: Any) -> None:
    """What a person types into psql."""
    SyncJob.objects.filter(pk=job.pk).update(**columns)


def errors(logs: Any) -> list[str]:
    """The events of the log that somebody would be called for."""
    return [each["event"] for each in logs if each["log_level"] in ("error", "critical")]


def at_stage(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[SyncJob], Any]) -> None:
    """Does something to the job right after its lease has noted progress for the `number`th time."""
    plain, count = leases.Lease.progress, [0]

    def progress(lease: Any, *rest: Any, **more: Any) -> None:
        plain(lease, *rest, **more)
        count[0] += 1
        if count[0] == number:
            do(lease.job)

    monkeypatch.setattr(leases.Lease, "progress", progress)


# --- what the database refuses ----------------------------------------------------------------------


@pytest.mark.spec("R3.3", "R10.2")
@pytest.mark.parametrize(
    "columns",
    [
        {"status": "nonsense"},
        {"status": "running"},  # without a lease
        {"status": "succeeded"},  # without an end
        {"stage": "s" * 41},
        {"follow_up": "f" * 17},
        {"attempt": -1},
        {"mode": "repo"},  # of no repository
        {"checkpoint": None},
    ],
    ids=str,
)
def test_what_no_job_can_be_the_database_refuses(columns: dict[str, Any]) -> None:
    job = SyncJobFactory.create(waiting=True)
    with pytest.raises(DatabaseError), transaction.atomic():
        edit(job, **columns)
    assert jobs.claim(job.pk) is not None


# --- the lease table, edited by hand ----------------------------------------------------------------


@pytest.mark.spec("R10.2")
def test_a_lease_of_nobody_ends_within_minutes() -> None:
    job = SyncJobFactory.create(waiting=True)
    day = timedelta(days=1)
    edit(job, status="running", lease=uuid4(), lease_expires_at=clock.now() + day, attempt=1)
    assert jobs.claim(job.pk) is None
    with capture_logs() as logs:
        for _ in range(3):
            impossible_times.put_right(clock.now())
    assert [each["column"] for each in logs] == ["syncsvc_syncjob.lease_expires_at"]
    job.refresh_from_db()
    assert job.lease_expires_at is not None
    assert job.lease_expires_at <= clock.now() + timedelta(minutes=2)
    edit(job, lease_expires_at=clock.now() - timedelta(seconds=1))  # that time passes
    assert jobs.ring_waiting() == 1
    assert jobs.claim(job.pk) is not None


@pytest.mark.spec("R10.1", "R10.2")
def test_a_running_job_with_999_attempts_is_given_up_and_the_account_goes_on() -> None:
    job = SyncJobFactory.create(running=True, attempt=999)
    edit(job, lease_expires_at=clock.now() - timedelta(seconds=1))
    jobs.ring_waiting()
    job.refresh_from_db()
    assert (job.status, job.lease) == ("dead", None)
    assert SyncService.request(job.installation_id, "cron").action == "start"


@pytest.mark.spec("R10.1")
@pytest.mark.parametrize("attempts", [999, 2**31 - 1])
def test_a_queued_job_runs_however_often_it_was_tried(app_mode: Simulator, attempts: int) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    SyncJob.objects.update(attempt=attempts, started_at=clock.now(), lease=uuid4())
    impossible_times.put_right(clock.now())
    assert run(job_id).status == "succeeded"
    assert_equal_to_truth(app_mode.world, octo)


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize(
    "garbage",
    [
        "text",
        17,
        [1, {"stage": 2}],
        {"stage": "repositories", "page": "eleven", "done": "no"},
        {"list": {"page": -3, "seen": "x"}, "contents": {"done": [None, "a", -1]}, "version": 999},
        {"repositories": None, "contents": 5, "at": "yesterday", "spent": {"requests": "many"}},
    ],
    ids=str,
)
def test_a_checkpoint_that_is_garbage_is_none(app_mode: Simulator, garbage: Any) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    SyncJob.objects.update(checkpoint=garbage, attempt=1)
    assert run(job_id).status == "succeeded"
    assert_equal_to_truth(app_mode.world, octo)


@pytest.mark.spec("R3.2")
def test_a_follow_up_that_is_no_trigger_is_a_sync_of_ours() -> None:
    job = SyncJobFactory.create(follow_up="nonsense")
    with capture_logs() as logs:
        scheduling.request_remembered()
        scheduling.request_remembered()
    job.refresh_from_db()
    assert job.follow_up == ""
    made = SyncJob.objects.exclude(pk=job.pk).get()
    assert (made.trigger, made.status) == ("maintenance", "queued")
    assert [each["event"] for each in logs].count("sync.follow_up_unknown") == 1


@pytest.mark.spec("R3.2")
def test_a_job_of_an_unknown_trigger_and_mode_reads_the_account(app_mode: Simulator) -> None:
    octo = discover()
    job = SyncJobFactory.create(waiting=True, installation=octo)
    edit(job, trigger="nonsense", mode="nonsense")
    assert run(job.pk).status in ("succeeded", "partial", "failed")
    assert SyncService.request(octo.pk, "cron").action == "start"


# --- the ground is pulled from under a worker --------------------------------------------------------


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("moment", [1, 4])
def test_a_job_that_somebody_ended_by_hand_stops_its_worker(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    ended = {"status": "succeeded", "finished_at": clock.now(), "lease": None}
    at_stage(monkeypatch, moment, lambda job: edit(job, **ended))
    with capture_logs() as logs:
        job = run(job_id)
    assert (job.status, job.counts) == ("succeeded", {})  # the worker wrote nothing more
    assert errors(logs) == []
    assert [each["event"] for each in logs].count("sync.job.lease_lost") == 1
    sync(octo, "cron")
    assert_equal_to_truth(app_mode.world, octo)


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("moment", [1, 4])
@pytest.mark.parametrize("what", [SyncJob, Installation], ids=["the job", "its account"])
def test_a_job_that_somebody_deleted_stops_its_worker(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, what: Any, moment: int
) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    at_stage(monkeypatch, moment, lambda _: what.objects.all().delete())
    with capture_logs() as logs:
        tasks.run_job(job_id)
        tasks.run_job(job_id)  # and its message comes again
    assert not SyncJob.objects.exists()
    assert errors(logs) == []
    assert [each["event"] for each in logs].count("sync.job.lease_lost") == 1
    tasks.look_after()
    assert not AuditEntry.objects.filter(kind="run", ended_at__isnull=True).exists()
    octo = discover()  # found again, as new
    sync(octo, "cron")
    assert_equal_to_truth(app_mode.world, octo)


@pytest.mark.spec("R10.1", "R10.2")
@pytest.mark.parametrize("failure", ["refused", "limited", "crashed"])
def test_a_run_that_fails_after_its_account_was_deleted_crashes_nobody(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""

    def then_fails(_: SyncJob) -> None:
        Installation.objects.all().delete()
        if failure == "crashed":
            raise RuntimeError("nobody foresaw this")
        if failure == "limited":
            app_mode.limits.set(octo.github_id, remaining=0, reset_in=600)
        else:
            app_mode.world.uninstall(octo.github_id)

    at_stage(monkeypatch, 1, then_fails)
    with capture_logs() as logs:
        tasks.run_job(job_id)
    assert not SyncJob.objects.exists()
    assert errors(logs) == []
    assert [each["event"] for each in logs].count("sync.job.lease_lost") == 1


@pytest.mark.spec("R6.3", "R6.6", "R10.2")
def test_of_an_account_that_was_deleted_nothing_is_left_waiting() -> None:
    gone, other = InstallationFactory.create_batch(2)
    SyncJobFactory.create(waiting=True, installation=gone)
    GapFactory.create(installation=gone, next_step_at=clock.now())
    asked = [Asked(github_id=7, reason="push")]
    for each in (gone, other):
        rechecks.ask(each.pk, asked, trigger="webhook", now=clock.now())
    letters = DeliveryFactory.create_batch(
        3, account_id=gone.account_id, status="received", processed_at=None, due_at=clock.now()
    )
    gone.delete()
    assert not SyncJob.objects.exists()
    assert not Gap.objects.exists()
    assert list(Recheck.objects.values_list("installation_id", flat=True)) == [other.pk]
    with capture_logs() as logs:
        for round_ in range(12):
            deliveries.drain(clock.now() + timedelta(minutes=30 * round_))
        jobs.ring_waiting()
        watch.check()
        scheduling.request_rechecks()
    rows = Delivery.objects.filter(pk__in=[each.pk for each in letters])
    assert set(rows.values_list("status", flat=True)) <= {"ignored", "failed", "processed"}
    assert errors(logs) == []


# --- messages ---------------------------------------------------------------------------------------


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("text", ["", "nonsense", "17", None, "'; DROP TABLE--", "\x00"])
def test_a_message_that_names_no_job_is_said_once(text: Any) -> None:
    with capture_logs() as logs:
        tasks.run_job(text)
    assert [each["event"] for each in logs] == ["sync.job.message_unreadable"]
    assert errors(logs) == []


@pytest.mark.spec("R10.2")
def test_a_message_for_a_job_that_is_unknown_or_has_ended_changes_nothing() -> None:
    ended = SyncJobFactory.create()
    with capture_logs() as logs:
        tasks.run_job(str(uuid4()))
        tasks.run_job(str(ended.pk))
    ended.refresh_from_db()
    assert (ended.status, ended.attempt) == ("succeeded", 0)
    assert len(logs) <= 2
    assert errors(logs) == []


@pytest.mark.spec("R3.3", "R10.2", "P39")
def test_the_same_message_eight_times_at_once_is_one_run(app_mode: Simulator) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    barrier = threading.Barrier(8)

    def deliver(_: int) -> None:
        barrier.wait(timeout=30)
        try:
            tasks.run_job(job_id)
        finally:
            connection.close()

    with capture_logs() as logs, ThreadPoolExecutor(8) as pool:
        list(pool.map(deliver, range(8)))
    job = SyncJob.objects.get()
    assert (job.status, job.attempt) == ("succeeded", 1)
    events = [each["event"] for each in logs]
    assert events.count("sync.job.started") == events.count("sync.job.completed") == 1
    assert errors(logs) == []
    assert AuditEntry.objects.filter(kind="run", correlation_id=job.pk).count() == 1
    assert_equal_to_truth(app_mode.world, octo)


# --- accounts and repositories, edited by hand -------------------------------------------------------


@pytest.mark.spec("R2.3", "R3.4")
@pytest.mark.parametrize("status", ["suspended", "uninstalled"])
def test_a_status_that_somebody_typed_ends_its_jobs_and_is_put_right_by_discovery(
    app_mode: Simulator, status: str
) -> None:
    octo = discover()
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    Installation.objects.filter(pk=octo.pk).update(status=status)
    with capture_logs() as logs:
        tasks.run_job(job_id)
    job = SyncJob.objects.get(pk=job_id)
    assert not job.is_active  # whatever it came to, it holds nothing
    assert errors(logs) == []
    assert SyncService.request(octo.pk, "cron").action == "block"
    discover()
    octo.refresh_from_db()
    assert octo.status == "active"
    assert sync(octo, "cron").status == "succeeded"
    assert_equal_to_truth(app_mode.world, octo)


@pytest.mark.spec("R2.3")
def test_two_accounts_whose_logins_were_swapped_are_themselves_again(app_mode: Simulator) -> None:
    octo = discover()
    other = Installation.objects.exclude(pk=octo.pk).get()
    names = octo.account_login, other.account_login
    sync(octo, "cron")
    Installation.objects.filter(pk=octo.pk).update(account_login=names[1])
    Installation.objects.filter(pk=other.pk).update(account_login=names[0])
    for each in (octo, other):  # what each may see follows GitHub's ids, not names
        each.refresh_from_db()
        assert sync(each, "cron").status == "succeeded"
        assert mirrored(each) == truth(app_mode.world, each)
    discover()
    octo.refresh_from_db()
    other.refresh_from_db()
    assert (octo.account_login, other.account_login) == names


@pytest.mark.spec("R5.1", "R5.5")
@pytest.mark.parametrize("first", ["its own", "the other"])
def test_a_repository_that_was_moved_to_another_account_by_hand_comes_back(
    app_mode: Simulator, first: str
) -> None:
    octo = discover()
    other = Installation.objects.exclude(pk=octo.pk).get()
    for each in (octo, other):
        sync(each, "cron")
    moved = octo.repositories.filter(status="active", visibility="private").first()
    assert moved is not None
    Repository.objects.filter(pk=moved.pk).update(installation=other)
    for each in (octo, other) if first == "its own" else (other, octo):
        assert sync(each, "cron").status in ("succeeded", "partial")
    for each in (octo, other):
        assert sync(each, "cron").status == "succeeded"
        assert_equal_to_truth(app_mode.world, each)
    moved.refresh_from_db()
    assert (moved.installation_id, moved.status) == (octo.pk, "active")


# --- settings that make no sense ----------------------------------------------------------------------


@pytest.mark.spec("R10.2")
def test_a_lease_shorter_than_a_page_is_kept_alive(
    app_mode: Simulator, tune: Callable[..., Any]
) -> None:
    octo = discover()
    tuned = tune(manual_cooldown_seconds=0)
    object.__setattr__(tuned, "lease_seconds", 0.3)  # as 5 s to a page of 30 s, a hundredth of it
    app_mode._dispatcher.latency = 0.5
    job_id = SyncService.request(octo.pk, "cron").job_id or ""
    stop = threading.Event()

    def sweep() -> None:
        try:
            while not stop.wait(0.1):
                jobs.ring_waiting()
        finally:
            connection.close()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        job = run(job_id)
    finally:
        stop.set()
        sweeper.join()
    assert (job.status, job.attempt) == ("succeeded", 1)
    assert_equal_to_truth(app_mode.world, octo)
