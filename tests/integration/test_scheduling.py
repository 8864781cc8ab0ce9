"""What is due is asked for, once, and spread over the interval."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from config.celery import app
from syncsvc import scheduling
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Action, Decision, Reason
from syncsvc.service import SyncService
from tests.factories import (
    ContentListFactory,
    InstallationFactory,
    RepositoryFactory,
    SyncJobFactory,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_each_due_installation_is_asked_for_once_an_interval(tune: Any) -> None:
    tune(interval_minutes=15)
    installation = InstallationFactory.create(last_listed_at=NOON - timedelta(days=1))
    with time_machine.travel(NOON, tick=False) as clock:
        assert scheduling.request_due() == 1
        assert scheduling.request_due() == 0
        installation.refresh_from_db()
        due = installation.next_scheduled_at
        assert due is not None
        assert NOON < due <= NOON + timedelta(minutes=15)
        SyncJob.objects.update(status="succeeded", finished_at=NOON)
        clock.move_to(due)
        assert scheduling.request_due() == 1
    triggers = list(SyncJob.objects.values_list("trigger", "mode"))
    assert triggers == [("cron", "incremental")] * 2


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_the_first_sync_is_initial_and_full() -> None:
    InstallationFactory.create()
    scheduling.request_due()
    job = SyncJob.objects.get()
    assert (job.trigger, job.mode) == ("initial", "full")


@pytest.mark.spec("R2.3", "R3.4")
@pytest.mark.django_db
@pytest.mark.parametrize("status", ["suspended", "uninstalled"])
def test_nobody_asks_for_what_is_not_active(status: str) -> None:
    InstallationFactory.create(status=status)
    assert scheduling.request_due() == 0
    assert not SyncJob.objects.exists()


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_a_thousand_installations_are_spread_over_the_interval(
    tune: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tune(interval_minutes=15)
    asked: list[int] = []

    def ask(pk: int, *_: Any, **__: Any) -> Decision:
        asked.append(pk)  # what a request leads to is shown elsewhere, and takes 10 ms
        return Decision(action=Action.START, reason=Reason.ACCEPTED)

    monkeypatch.setattr(SyncService, "request", ask)
    Installation.objects.bulk_create(
        InstallationFactory.build(last_listed_at=NOON) for _ in range(1000)
    )
    with time_machine.travel(NOON, tick=False):
        while scheduling.request_due():
            pass
    starts = Installation.objects.values_list("next_scheduled_at", flat=True)
    per_minute = [0] * 15
    for start in starts:
        assert start is not None
        per_minute[min(14, int((start - NOON).total_seconds() // 60))] += 1
    assert sorted(asked) == sorted(Installation.objects.values_list("pk", flat=True))
    assert sum(per_minute) == 1000
    assert max(per_minute) < 120


@pytest.mark.spec("R3.4", "P39")
@pytest.mark.django_db(transaction=True)
def test_two_schedulers_at_once_ask_once() -> None:
    for _ in range(30):
        InstallationFactory.create()
    barrier = threading.Barrier(3)

    def go(_: int) -> int:
        barrier.wait(timeout=30)
        try:
            return scheduling.request_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as pool:
        assert sum(pool.map(go, range(3))) == 30
    assert SyncJob.objects.count() == 30


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_the_periodic_tasks_are_there_and_an_operators_change_stays() -> None:
    scheduling.install_periodic_tasks()
    assert set(scheduling.PERIODIC) <= set(PeriodicTask.objects.values_list("task", flat=True))
    slow = IntervalSchedule.objects.create(every=5, period=IntervalSchedule.MINUTES)
    PeriodicTask.objects.filter(name="syncsvc.discover").update(interval=slow, enabled=False)
    scheduling.install_periodic_tasks()
    task = PeriodicTask.objects.get(name="syncsvc.discover")
    assert (task.interval, task.enabled) == (slow, False)


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_a_changed_default_reaches_the_tasks_that_nobody_touched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    discover, prune, sweep = "syncsvc.discover", "syncsvc.prune", "syncsvc.ring_waiting_jobs"
    scheduling.install_periodic_tasks()

    def every(task: str, seconds: int, **values: Any) -> None:
        interval, _ = IntervalSchedule.objects.get_or_create(
            every=seconds, period=IntervalSchedule.SECONDS
        )
        PeriodicTask.objects.filter(name=task).update(interval=interval, **values)

    def intervals() -> list[int]:
        tasks = PeriodicTask.objects.filter(name__in=(discover, prune, sweep))
        return list(tasks.order_by("name").values_list("interval__every", flat=True))

    every(prune, 7200)  # an operator's choice
    every(sweep, 10, description="", expire_seconds=99)  # as an earlier release installed it
    monkeypatch.setattr(scheduling, "PERIODIC", {discover: 300, prune: 43_200, sweep: 5})
    scheduling.install_periodic_tasks()
    assert intervals() == [300, 7200, 5]
    every(sweep, 10)  # now it is an operator's choice, and stays
    every(discover, 301, description="Our own words.")
    monkeypatch.setattr(scheduling, "PERIODIC", {discover: 30, prune: 40_000, sweep: 5})
    scheduling.install_periodic_tasks()
    assert intervals() == [301, 7200, 10]


@pytest.mark.spec("R3.4")
def test_every_periodic_task_is_one_that_workers_know() -> None:
    app.loader.import_default_modules()
    assert set(scheduling.PERIODIC) <= set(app.tasks)


@pytest.mark.django_db
def test_a_request_that_policy_blocks_stays_remembered() -> None:
    job = SyncJobFactory.create(
        follow_up="gap", installation=InstallationFactory.create(status="suspended")
    )
    assert scheduling.request_remembered() == 0
    job.refresh_from_db()
    assert job.follow_up == "gap"
    Installation.objects.update(status="active")
    assert scheduling.request_remembered() == 1
    job.refresh_from_db()
    assert job.follow_up == ""


@pytest.mark.spec("R3.4", "R5.6")
@pytest.mark.django_db
def test_accounts_that_are_paused_keep_no_others_from_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduling, "AT_ONCE", 1)
    with time_machine.travel(NOON, tick=False):
        paused, well = (
            InstallationFactory.create(breaker_state=state, breaker_open_until=until)
            for state, until in (("open", NOON + timedelta(minutes=30)), ("closed", None))
        )
        for each in (paused, well):
            repository = RepositoryFactory.create(installation=each)
            ContentListFactory.create(
                repository=repository, failures=1, failed_at=NOON, retry_at=NOON
            )
        assert sum(scheduling.request_retries() for _ in range(60)) == 1
        assert SyncJob.objects.get().installation == well
        SyncJob.objects.all().delete()
        for each in (paused, well):
            SyncJobFactory.create(installation=each, follow_up="webhook", finished_at=NOON)
        assert sum(scheduling.request_remembered() for _ in range(60)) == 1
