"""The machine's clock was wrong, an hour or a day: once it is right again nothing waits for it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django_celery_beat.models import PeriodicTask
from structlog.testing import capture_logs

from alerts import incidents
from alerts.models import Incident
from config.beat import HeartbeatScheduler
from config.celery import app
from syncsvc import (
    clock,
    conf,
    content_lists,
    heartbeats,
    impossible_times,
    jobs,
    leases,
    rechecks,
    scheduling,
)
from syncsvc.content_lists import Failed
from syncsvc.endings import Outcome
from syncsvc.github.reading import Entity
from syncsvc.impossible_times import OF_RETRIES, TOLERANCE
from syncsvc.models import (
    ContentList,
    Delivery,
    Gap,
    Heartbeat,
    Hook,
    Installation,
    RateBudget,
    Recheck,
    SyncJob,
    WebhookState,
)
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    RateBudgetFactory,
    RepositoryFactory,
    SyncJobFactory,
)
from tests.support import assert_equal_to_truth, discover, run, sync

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
INTERVAL = timedelta(minutes=15)
AHEAD = [pytest.param(HOUR, id="an hour ahead"), pytest.param(DAY, id="a day ahead")]


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


@pytest.fixture
def wrong(ahead: timedelta) -> Iterator[Any]:
    """The clock is ahead; `wrong.move_to(NOON)` puts it right."""
    with time_machine.travel(NOON + ahead, tick=False) as traveller:
        yield traveller


def put_right(traveller: Any) -> dict[str, int]:
    """Puts the clock right, and lets what beat asks for every half minute look once."""
    traveller.move_to(NOON)
    return impossible_times.put_right(clock.now())


# --- jobs and schedules ---------------------------------------------------------------------------


@pytest.mark.spec("R3.4", "R10.2")
@pytest.mark.parametrize("ahead", AHEAD)
def test_no_account_waits_for_the_schedule_of_a_wrong_clock(wrong: Any) -> None:
    InstallationFactory.create_batch(20, last_listed_at=NOON)
    assert scheduling.request_due() == 20
    SyncJob.objects.all().delete()
    with capture_logs() as logs:
        found = put_right(wrong)
    assert found["syncsvc_installation.next_scheduled_at"] == 20
    assert [each["column"] for each in logs] == ["syncsvc_installation.next_scheduled_at"]
    found_times = Installation.objects.values_list("next_scheduled_at", flat=True)
    times = {at for at in found_times if at is not None}
    assert len(times) == 20  # spread as before: no herd
    assert NOON < min(times) <= max(times) <= NOON + INTERVAL
    with capture_logs() as logs:
        assert put_right(wrong) == {}  # once
    assert logs == []


@pytest.mark.spec("R3.4")
def test_what_waits_as_long_as_it_should_is_left_alone() -> None:
    with time_machine.travel(NOON, tick=False):
        slow = InstallationFactory.create(
            next_scheduled_at=NOON + 5 * HOUR,
            interval_seconds=6 * 3600,
            breaker_open_until=NOON + HOUR,
            blocked_until=NOON + 23 * HOUR,
        )
        RateBudgetFactory.create(installation=slow, remaining=0)
        SyncJobFactory.create(
            installation=slow,
            status="blocked",
            finished_at=None,
            created_at=NOON - HOUR,
            run_after=NOON + 23 * HOUR,  # GitHub may say so
            stage_started_at=NOON,
        )
        SyncJobFactory.create(running=True)
        SyncJobFactory.create(waiting=True, run_after=NOON + timedelta(minutes=18))
        rechecks.ask(slow.pk, [Asked(github_id=5, reason="push")], trigger="webhook", now=NOON)
        Recheck.objects.update(due_at=NOON + 6 * HOUR)
        assert impossible_times.put_right(NOON) == {}


@pytest.mark.spec("R3.4")
def test_a_longer_shortest_interval_is_no_wrong_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    InstallationFactory.create(interval_seconds=300, next_scheduled_at=NOON + timedelta(minutes=29))
    roomy = replace(conf.defaults(), interval_minutes=60, interval_least_minutes=30)
    monkeypatch.setattr(conf, "defaults", lambda: roomy)
    with time_machine.travel(NOON, tick=False):
        assert impossible_times.put_right(NOON) == {}


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_job_that_was_queued_retried_or_blocked_goes_on_at_once(
    wrong: Any, ahead: timedelta, bells: list[Any]
) -> None:
    queued = SyncService.request(InstallationFactory.create().pk, "cron").job_id
    retried, blocked = (
        SyncService.request(InstallationFactory.create().pk, "cron").job_id for _ in "12"
    )
    lease = jobs.claim(str(retried))
    assert lease is not None
    lease.fail(Outcome(), sentence="GitHub did not answer.", category="network", retryable=True)
    lease = jobs.claim(str(blocked))
    assert lease is not None
    lease.block(clock.now() + timedelta(minutes=40), "budget", Outcome())
    SyncJob.objects.update(rung_at=clock.now())

    put_right(wrong)
    bells.clear()
    assert jobs.ring_waiting() == 3
    assert {str(pk) for pk in bells} == {queued, retried, blocked}
    assert all(jobs.claim(str(pk)) for pk in (queued, retried, blocked))


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_job_that_is_retried_after_the_clock_was_put_right_is_rung(
    wrong: Any, bells: list[Any]
) -> None:
    SyncService.request(InstallationFactory.create().pk, "cron")
    job = SyncJob.objects.get()
    SyncJob.objects.update(rung_at=clock.now())
    lease = jobs.claim(job.pk)
    assert lease is not None
    wrong.move_to(NOON)  # in the middle of the run
    lease.fail(Outcome(), sentence="GitHub did not answer.", category="network", retryable=True)
    bells.clear()
    wrong.move_to(NOON + timedelta(minutes=1))
    impossible_times.put_right(clock.now())
    assert jobs.ring_waiting() == 1
    assert bells == [job.pk]


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("ahead", AHEAD)
def test_the_lease_of_a_worker_that_died_ends_although_the_clock_was_wrong(wrong: Any) -> None:
    job = SyncJobFactory.create(waiting=True)
    assert jobs.claim(job.pk) is not None  # and the worker dies
    put_right(wrong)
    assert jobs.ring_waiting() == 0
    wrong.shift(61)
    jobs.ring_waiting()
    job.refresh_from_db()
    assert (job.status, job.lease) == ("queued", None)


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_worker_that_lives_keeps_its_job_when_the_clock_is_put_right(wrong: Any) -> None:
    lease = jobs.claim(SyncJobFactory.create(waiting=True).pk)
    assert lease is not None
    put_right(wrong)
    lease.progress("repositories", 1, 2)
    for _ in range(3):
        wrong.shift(30)
        jobs.ring_waiting()
        with lease.writing():
            pass
    lease.succeed(Outcome())
    lease.job.refresh_from_db()
    assert (lease.job.status, lease.job.attempt) == ("succeeded", 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.spec("R10.2", "R5.5")
@pytest.mark.parametrize("jump", [HOUR, DAY, -DAY], ids=str)
def test_a_run_goes_on_while_the_clock_jumps(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    octo = discover()
    plain, jumps = leases.Lease.progress, [jump]
    with time_machine.travel(datetime.now(UTC), tick=True) as traveller:

        def jumping(lease: Any, stage: str, *rest: Any, **more: Any) -> None:
            plain(lease, stage, *rest, **more)
            if jumps and stage != "starting":
                traveller.shift(jumps.pop())
                impossible_times.put_right(clock.now())

        monkeypatch.setattr(leases.Lease, "progress", jumping)
        job = sync(octo)
        assert not jumps
        assert job.status == "succeeded"
        assert_equal_to_truth(app_mode.world, octo)
        again = sync(octo, "cron")  # what it left behind stands in nobody's way
        assert again.status == "succeeded"
        assert again.counts["repositories"]["updated"] == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.spec("R4.1", "R4.2", "R10.1", "R10.3")
@pytest.mark.parametrize("off", [DAY, -DAY], ids=str)
def test_a_machine_whose_clock_is_not_githubs_goes_on_once_it_is(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    octo = discover()
    sync(octo, "cron")  # tokens, budgets and ETags of the right time
    plain = clock.now
    monkeypatch.setattr(clock, "now", lambda: plain() + off)
    for _ in range(4):  # whatever they come to: GitHub refuses what was signed at another time
        scheduling.request_due()
        decision = SyncService.request(octo.pk, "webhook")
        if decision.action == "start" and decision.job_id:
            run(decision.job_id)
    monkeypatch.setattr(clock, "now", plain)
    impossible_times.put_right(clock.now())
    app_mode.world.create("octo-simulated", "made-meanwhile")
    with time_machine.travel(clock.now() + HOUR, tick=True):  # as long as any pause of ours lasts
        impossible_times.put_right(clock.now())
        SyncJob.objects.filter(status__in=SyncJob.ACTIVE).update(
            status="cancelled", lease=None, finished_at=clock.now()
        )
        scheduling.request_due()
        job = SyncJob.objects.get(installation=octo, status="queued")
        assert run(job.pk).status == "succeeded"
        assert_equal_to_truth(app_mode.world, octo)
        octo.refresh_from_db()
        assert (octo.breaker_state, octo.action_needed, octo.consecutive_failures) == (
            "closed",
            "",
            0,
        )


# --- breakers, budgets, pauses --------------------------------------------------------------------


@pytest.mark.spec("R10.3", "R4.2")
@pytest.mark.parametrize("ahead", AHEAD)
def test_breakers_budgets_and_pauses_of_a_wrong_clock_block_nobody(wrong: Any) -> None:
    now = clock.now()
    broken = InstallationFactory.create(
        breaker_state="open", breaker_opened_at=now, breaker_open_until=now + HOUR
    )
    spent, paused = InstallationFactory.create_batch(2)
    RateBudgetFactory.create(installation=spent, remaining=0, reset_at=now + HOUR)
    RateBudgetFactory.create(installation=paused)
    Installation.objects.filter(pk=paused.pk).update(
        blocked_until=now + timedelta(minutes=30), blocked_reason="secondary_limit"
    )
    for each in (broken, spent, paused):
        assert SyncService.request(each.pk, "cron").action == "block"
    found = put_right(wrong)
    assert found.keys() == {
        "syncsvc_installation.breaker_open_until",
        "syncsvc_installation.blocked_until",
        "syncsvc_ratebudget.reset_at",
    }
    for each in (broken, spent, paused):
        assert SyncService.request(each.pk, "cron").action == "start"
    assert not RateBudget.objects.exists()


@pytest.mark.spec("R3.5")
@pytest.mark.parametrize("ahead", AHEAD)
def test_no_mirror_counts_as_synced_in_the_future(wrong: Any) -> None:
    row = InstallationFactory.create(last_synced_at=clock.now(), last_listed_at=clock.now())
    put_right(wrong)
    row.refresh_from_db()
    assert (row.last_synced_at, row.last_listed_at) == (NOON, NOON)


# --- what is read again, lists, webhooks, gaps ----------------------------------------------------


@pytest.mark.spec("R5.6", "R6.3")
@pytest.mark.parametrize("ahead", AHEAD)
def test_what_could_not_be_read_is_tried_again(wrong: Any) -> None:
    now = clock.now()
    row = RepositoryFactory.create()
    rechecks.ask(
        row.installation_id,
        [Asked(github_id=row.github_id, reason="push")],
        trigger="webhook",
        now=now,
    )
    for _ in range(12):
        rechecks.failed(rechecks.all_of(row.installation_id), now)
    failed = Failed(
        repository_id=row.pk, entity=Entity.ISSUES, category="network", sentence="No answer."
    )
    content_lists.fail([failed], now)
    SyncJobFactory.create(installation=row.installation, trigger="webhook", created_at=now)
    put_right(wrong)
    assert [each.github_id for each in rechecks.due(row.installation_id, NOON)] == [row.github_id]
    assert [each.installation_id for each in rechecks.waiting(NOON)] == [row.installation_id]
    assert list(content_lists.due(NOON)) == [row]
    assert Recheck.objects.get().asked_at == NOON


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_list_that_was_read_in_the_future_is_read_anew(wrong: Any) -> None:
    now = clock.now()
    row = RepositoryFactory.create(read_at=now)
    for entity in ("issues", "commits"):
        ContentList.objects.create(
            repository=row,
            entity=entity,
            count=3,
            mirrored=3,
            latest_at=NOON,
            read_at=now,
            whole_at=now,
        )
    ContentList.objects.create(
        repository=row, entity="pull_requests", count=0, read_at=NOON - HOUR, whole_at=NOON - HOUR
    )
    put_right(wrong)
    assert [each.entity for each in ContentList.objects.all()] == ["pull_requests"]
    row.refresh_from_db()
    assert row.read_at == NOON


@pytest.mark.spec("R6.3", "R6.4", "R6.6")
@pytest.mark.parametrize("ahead", AHEAD)
def test_deliveries_gaps_and_hooks_do_not_wait_for_a_wrong_clock(wrong: Any) -> None:
    now = clock.now()
    account = InstallationFactory.create()
    letter = DeliveryFactory.create(
        status="received", processed_at=None, due_at=now, received_at=now
    )
    gap = GapFactory.create(
        installation=account, opened_at=now, next_step_at=now + timedelta(minutes=15)
    )
    Hook.objects.create(
        target_type="integration", target_id=1, read_at=now, retry_at=now + timedelta(minutes=30)
    )
    WebhookState.objects.create(installation=account, rhythm_at=now)
    put_right(wrong)
    assert Delivery.objects.get(pk=letter.pk).due_at == NOON
    assert Gap.objects.get(pk=gap.pk).next_step_at == NOON
    assert Hook.objects.get().retry_at == NOON
    assert WebhookState.objects.get().rhythm_at is None


@pytest.mark.spec("R8.3")
@pytest.mark.parametrize("ahead", AHEAD)
def test_an_audit_of_the_future_keeps_no_audit_waiting(wrong: Any) -> None:
    row = InstallationFactory.create(last_listed_at=NOON - DAY)
    SyncJobFactory.create(installation=row, mode="audit", created_at=clock.now())
    put_right(wrong)
    assert scheduling.request_audits() == 1


# --- beat, heartbeats -----------------------------------------------------------------------------


@pytest.mark.spec("R10.7")
@pytest.mark.parametrize("ahead", AHEAD)
def test_beat_goes_on_when_the_clock_is_set_back(
    wrong: Any, monkeypatch: pytest.MonkeyPatch, ahead: timedelta
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(
        HeartbeatScheduler,
        "apply_entry",
        lambda _self, entry, producer=None: sent.append(entry.task),
    )
    # It closes the connection that this test's transaction stands in.
    monkeypatch.setattr(HeartbeatScheduler, "schedule_changed", lambda _: False)
    monkeypatch.setattr("django_celery_beat.schedulers.close_old_connections", lambda: None)
    scheduling.install_periodic_tasks()
    PeriodicTask.objects.update(last_run_at=NOON - DAY)

    def tick(beat: HeartbeatScheduler) -> list[str]:
        sent.clear()
        for _ in range(100):
            if beat.tick():
                break
        return sent

    beat = HeartbeatScheduler(app=app)
    assert set(scheduling.PERIODIC) <= set(tick(beat))  # each has its turn under the wrong clock
    assert tick(beat) == []
    save: Any = beat
    save.sync()
    wrong.move_to(NOON)
    with capture_logs() as logs:
        tick(beat)
        for restarted in (False, True):  # the times stand in the database too
            beat = HeartbeatScheduler(app=app) if restarted else beat
            wrong.shift(31)
            assert {"syncsvc.ring_waiting_jobs", "syncsvc.put_times_right"} <= set(tick(beat))
            save = beat
            save.sync()
    assert [each["event"] for each in logs].count("beat.clock_set_back") == 1


@pytest.mark.spec("R10.7")
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_sign_of_life_from_the_future_is_none(wrong: Any) -> None:
    heartbeats.record("worker")
    wrong.move_to(NOON)
    assert not heartbeats.alive("worker", clock.now())
    impossible_times.put_right(clock.now())
    assert not Heartbeat.objects.exists()
    heartbeats.record("worker")
    assert heartbeats.alive("worker", clock.now())


@pytest.mark.spec("R14.1")
@pytest.mark.parametrize("ahead", AHEAD)
def test_incidents_of_a_wrong_clock_end_and_begin_when_they_should(wrong: Any) -> None:
    account = InstallationFactory.create(consecutive_failures=3, last_error="No answer.")
    assert incidents.review(account.pk).opened == 1
    wrong.move_to(NOON)
    Installation.objects.update(consecutive_failures=0, last_error="")
    assert incidents.review(account.pk).resolved == 1
    Incident.objects.update(resolved_at=NOON + DAY)  # as the wrong clock would have said
    Installation.objects.update(consecutive_failures=3, last_error="No answer.")
    assert incidents.review(account.pk).opened == 1


# --- times that Python cannot read ----------------------------------------------------------------


@pytest.mark.parametrize(
    "moment", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC", "9999-12-31"]
)
def test_times_that_python_cannot_read_are_put_right(moment: str) -> None:
    with time_machine.travel(NOON, tick=False):
        job = SyncJobFactory.create(waiting=True)
        with connection.cursor() as cursor:
            cursor.execute("UPDATE syncsvc_syncjob SET run_after = %s::timestamptz", [moment])
            cursor.execute(
                "UPDATE syncsvc_installation SET next_scheduled_at = %s::timestamptz,"
                " breaker_open_until = %s::timestamptz, blocked_until = %s::timestamptz",
                [moment] * 3,
            )
        found = impossible_times.put_right(NOON)
        job = SyncJob.objects.get()
        assert job.run_after == NOON
        assert found["syncsvc_syncjob.run_after"] == 1
        due = job.installation.next_scheduled_at
        assert due is not None
        assert NOON < due <= NOON + INTERVAL
        assert jobs.claim(job.pk) is not None
        assert not SyncService.request(job.installation_id, "cron").metadata


def test_put_times_right_is_cheap_when_nothing_is_wrong(django_assert_max_num_queries: Any) -> None:
    assert timedelta(hours=6) * 1.25 < OF_RETRIES
    assert TOLERANCE < HOUR
    with django_assert_max_num_queries(30):
        assert impossible_times.put_right(clock.now()) == {}


def test_the_sweep_is_asked_for_by_beat() -> None:
    app.loader.import_default_modules()
    assert "syncsvc.put_times_right" in scheduling.PERIODIC
    assert "syncsvc.put_times_right" in app.tasks
