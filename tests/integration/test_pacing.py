"""Many accounts on one short budget: who starts, who waits and says so, and what runs teach."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from syncsvc import conf, impossible_times, jobs, pacing, scheduling, status
from syncsvc.endings import Outcome
from syncsvc.models import Installation, RateBudget, SyncJob
from syncsvc.planner import Bounds
from syncsvc.policy import Action, Decision, Reason
from syncsvc.service import SyncService
from syncsvc.state import read_one
from tests.factories import (
    ContentListFactory,
    GapFactory,
    InstallationFactory,
    RateBudgetFactory,
    RepositoryFactory,
    SyncJobFactory,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
RESET = NOON + timedelta(minutes=30)


def accounts(number: int, **values: Any) -> list[Installation]:
    """Accounts of one token that are due, each read a minute longer ago than the one before it."""
    given = {
        "mode": "token",
        "usual_requests": 10.0,
        "next_scheduled_at": NOON - timedelta(minutes=1),
        "last_listed_at": NOON - timedelta(days=1),
    } | values
    return Installation.objects.bulk_create(
        InstallationFactory.build(
            last_synced_at=NOON - timedelta(minutes=20) - timedelta(seconds=turn), **given
        )
        for turn in range(number)
    )


def left(account: Installation, remaining: int, **values: Any) -> RateBudget:
    """GitHub's word on the token's requests, as this account heard it."""
    given = {"remaining": remaining, "reset_at": RESET, "observed_at": NOON} | values
    return RateBudgetFactory.create(installation=account, **given)


def started() -> list[int]:
    """The accounts that have a job, in the order of their jobs."""
    return list(SyncJob.objects.order_by("pk").values_list("installation_id", flat=True))


def counting_requests(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What is asked for, instead of the jobs: what a request leads to is shown elsewhere."""
    asked: list[int] = []

    def ask(pk: int, *_: Any, **__: Any) -> Decision:
        asked.append(pk)
        return Decision(action=Action.START, reason=Reason.ACCEPTED)

    monkeypatch.setattr(SyncService, "request", ask)
    return asked


@pytest.mark.spec("R4.2", "R3.4")
@pytest.mark.django_db
def test_three_hundred_accounts_share_what_is_left_of_one_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = counting_requests(monkeypatch)
    rows = accounts(300)
    left(rows[0], 4000, observed_at=NOON - timedelta(minutes=9))
    left(rows[7], 950)  # the newest word: 600 above the reserve, 20 a minute for half an hour
    GapFactory.create(installation=rows[3])
    with time_machine.travel(NOON, tick=False), CaptureQueriesContext(connection) as queries:
        assert scheduling.request_due() == 3
    # The gap, and two runs as a minute's share: of those that were read longest ago.
    assert asked == [rows[3].pk, rows[299].pk, rows[298].pk]
    assert len(queries) <= 20
    waiting = Installation.objects.filter(waiting_since=NOON - timedelta(minutes=1))
    assert waiting.count() == 297
    next_one = waiting.order_by("next_scheduled_at").first()
    assert next_one is not None
    assert next_one.pk == rows[297].pk
    assert next_one.next_scheduled_at is not None
    assert NOON < next_one.next_scheduled_at <= NOON + timedelta(minutes=1)
    last = waiting.order_by("-next_scheduled_at").values_list("next_scheduled_at", flat=True)[0]
    assert last is not None
    assert last > RESET


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_those_that_wait_start_evenly_and_all_of_them_after_the_reset() -> None:
    rows = accounts(40)
    budget = left(rows[0], 650)  # 300 above the reserve: 10 a minute
    with time_machine.travel(NOON, tick=False) as clock:
        per_minute = []
        for minute in range(9):
            clock.move_to(NOON + timedelta(minutes=minute))
            before = SyncJob.objects.count()
            scheduling.request_due()
            new = SyncJob.objects.filter(status="queued")
            per_minute.append(SyncJob.objects.count() - before)
            budget.remaining -= 10 * new.update(
                status="succeeded", finished_at=NOON + timedelta(minutes=minute)
            )
            budget.save()
        assert 8 <= sum(per_minute) <= 10
        assert max(per_minute) <= 2
        assert budget.remaining > 350
        clock.move_to(RESET + timedelta(seconds=1))
        scheduling.request_due()
    assert SyncJob.objects.values("installation").distinct().count() == 40
    assert not Installation.objects.filter(waiting_since__isnull=False).exists()


@pytest.mark.spec("R4.2", "R3.4")
@pytest.mark.django_db
def test_a_look_at_a_thousand_accounts_takes_as_many_queries_as_one_at_ten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counting_requests(monkeypatch)
    numbers = []
    for more in (100, 900):
        rows = accounts(more)
        RateBudget.objects.all().delete()
        left(rows[0], 950)
        with time_machine.travel(NOON, tick=False), CaptureQueriesContext(connection) as queries:
            scheduling.request_due()
        numbers.append(len(queries))
        Installation.objects.update(
            next_scheduled_at=NOON - timedelta(minutes=1), waiting_since=None
        )
    assert numbers[0] == numbers[1] <= 20


@pytest.mark.spec("R4.2", "P39")
@pytest.mark.django_db(transaction=True)
def test_two_schedulers_at_once_spend_no_share_twice() -> None:
    rows = accounts(60)
    with time_machine.travel(NOON, tick=False):
        left(rows[0], 950)
        barrier = threading.Barrier(2)

        def go(_: int) -> int:
            barrier.wait(timeout=30)
            try:
                return scheduling.request_due()
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            assert sum(pool.map(go, range(2))) == 2
    assert sorted(started()) == sorted(row.pk for row in rows[-2:])
    assert Installation.objects.filter(waiting_since__isnull=False).count() == 58


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_installations_of_the_app_have_budgets_of_their_own() -> None:
    poor, rich, unknown = accounts(3, mode="app")
    left(poor, 355)
    left(rich, 4000)
    spent = accounts(1, mode="app")[0]
    left(spent, 300)
    with time_machine.travel(NOON, tick=False):
        assert scheduling.request_due() == 2
    assert set(started()) == {rich.pk, unknown.pk}
    for row in (poor, spent):
        row.refresh_from_db()
        assert (row.waiting_since, row.next_scheduled_at) == (NOON - timedelta(minutes=1), RESET)
    with time_machine.travel(RESET + timedelta(seconds=1), tick=False):
        scheduling.request_due()
    assert sorted(started()) == sorted(row.pk for row in (poor, rich, unknown, spent))


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_a_budget_without_a_limit_holds_nobody_back_for_ever() -> None:
    [account] = accounts(1)
    left(account, 0, limit=0, reset_at=NOON - timedelta(minutes=1))
    assert pacing.look(NOON).starts == (account.pk,)


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_a_long_wait_is_not_taken_for_a_wrong_clock() -> None:
    row = accounts(1, mode="app")[0]
    later = NOON + timedelta(minutes=55)
    left(row, 300, reset_at=later)
    with time_machine.travel(NOON, tick=False):
        scheduling.request_due()
        assert not impossible_times.put_right(NOON)
        # But what a wrong clock wrote is.
        Installation.objects.update(waiting_since=NOON + timedelta(days=1))
        scheduling.request_due()
    row.refresh_from_db()
    assert (row.waiting_since, row.next_scheduled_at) == (NOON, later)


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_the_queue_holds_no_more_than_reach_the_workers_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pacing, "QUEUED", 5)
    rows = accounts(8, mode="app")
    SyncJobFactory.create(
        waiting=True, installation=InstallationFactory.create(next_scheduled_at=RESET)
    )
    with time_machine.travel(NOON, tick=False):
        SyncJob.objects.update(run_after=NOON, created_at=NOON)
        assert scheduling.request_due() == 4
        SyncJob.objects.filter(status="queued").update(status="succeeded", finished_at=NOON)
        assert scheduling.request_due() == 4
    assert not Installation.objects.filter(waiting_since__isnull=False).exists()
    assert set(started()) >= {row.pk for row in rows}


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_who_waits_is_synced_before_it_is_audited_or_a_list_tried_again() -> None:
    row = accounts(1, mode="app", waiting_since=NOON)[0]
    repository = RepositoryFactory.create(installation=row)
    ContentListFactory.create(repository=repository, retry_at=NOON, failed_at=NOON, failures=1)
    with time_machine.travel(NOON, tick=False):
        assert scheduling.request_audits() == scheduling.request_retries() == 0
        Installation.objects.filter(pk=row.pk).update(waiting_since=None)
        assert scheduling.request_audits() == 1
        SyncJob.objects.all().delete()
        assert scheduling.request_retries() == 1


# -- what a run teaches ----------------------------------------------------------------------------


def run(row: Installation, mode: str = "incremental", **outcome: Any) -> Installation:
    """A run of this account from claim to end."""
    job = SyncJobFactory.create(waiting=True, installation=row, mode=mode, created_at=NOON)
    lease = jobs.claim(job.pk)
    assert lease is not None
    given = {"api": {"requests": 14, "not_modified": 2, "graphql_points": 3}} | outcome
    lease.succeed(Outcome(listed_at=NOON, **given))
    row.refresh_from_db()
    return row


@pytest.fixture
def account() -> Installation:
    """One that was read an hour ago."""
    return InstallationFactory.create(
        last_synced_at=NOON - timedelta(hours=1),
        last_listed_at=NOON - timedelta(hours=1),
        next_scheduled_at=NOON + timedelta(minutes=14),
    )


@pytest.mark.spec("R3.4", "R4.2")
@pytest.mark.django_db
def test_a_run_that_found_changes_brings_the_next_one_nearer(account: Installation) -> None:
    with time_machine.travel(NOON, tick=False):
        row = run(account, discrepancies={"missing": 3, "stale": 1})
        assert row.interval_seconds == 450
        assert row.changes_per_hour == pytest.approx(4 * 0.3935, abs=0.01)
        assert row.usual_requests == 12
        assert row.next_scheduled_at is not None
        assert row.next_scheduled_at <= NOON + timedelta(seconds=450)
        assert pacing.rhythm(row).sentence == "every 7.5 minutes: the last runs found changes"
        row = run(row, discrepancies={"missing": 1})
        assert row.interval_seconds == 300
    # A run that comes right after another says little; later ones that find nothing let it rest again.
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        assert run(row).interval_seconds == 300
    with time_machine.travel(NOON + timedelta(minutes=8), tick=False):
        assert run(row).interval_seconds == 600
    with time_machine.travel(NOON + timedelta(minutes=30), tick=False):
        row = run(row)
    assert row.interval_seconds == 900
    assert pacing.rhythm(row).sentence == "every 15 minutes: the last runs found nothing new"


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({"mode": "recheck"}, {"discrepancies": {"missing": 3}}),
        ({"mode": "audit"}, {"discrepancies": {"missing": 3}}),
        ({"mode": "full", "dry_run": True}, {"discrepancies": {"missing": 3}}),
        ({"mode": "reconcile"}, {}),
        ({"mode": "full"}, {"failures": ({"message": "No.", "category": "network"},)}),
    ],
)
def test_a_run_over_a_part_teaches_nothing(
    account: Installation, values: dict[str, Any], outcome: dict[str, Any]
) -> None:
    Installation.objects.update(interval_seconds=450)
    with time_machine.travel(NOON, tick=False):
        job = SyncJobFactory.create(waiting=True, installation=account, created_at=NOON, **values)
        lease = jobs.claim(job.pk)
        assert lease is not None
        lease.succeed(Outcome(**outcome))
    account.refresh_from_db()
    assert (account.interval_seconds, account.changes_per_hour, account.usual_requests) == (
        450,
        0,
        None,
    )
    assert account.next_scheduled_at == NOON + timedelta(minutes=14)


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_a_first_run_teaches_no_cost_and_no_haste() -> None:
    row = InstallationFactory.create(next_scheduled_at=NOON + timedelta(minutes=14))
    with time_machine.travel(NOON, tick=False):
        run(row, mode="full", api={"requests": 5000})
    assert (row.interval_seconds, row.usual_requests, row.changes_per_hour) == (None, None, 0)
    assert pacing.rhythm(row).sentence == "every 15 minutes: as configured"


@pytest.mark.spec("R4.2")
@pytest.mark.django_db
def test_any_run_serves_an_account_that_waits(account: Installation) -> None:
    waits = NOON - timedelta(minutes=40)
    Installation.objects.update(waiting_since=waits, next_scheduled_at=NOON + timedelta(seconds=9))
    account.refresh_from_db()
    assert "due since 2026-03-01 11:20:00 UTC, waits" in pacing.rhythm(account).sentence
    with time_machine.travel(NOON, tick=False):
        row = run(account)
        assert row.waiting_since is None
        assert status.of(read_one(row.pk), NOON).next_scheduled_at == row.next_scheduled_at
    assert row.next_scheduled_at is not None
    assert NOON + timedelta(seconds=9) != row.next_scheduled_at <= NOON + timedelta(minutes=15)


@pytest.mark.spec("R3.4")
@pytest.mark.django_db
def test_nothing_becomes_slower_than_what_was_promised(account: Installation, tune: Any) -> None:
    tune(interval_minutes=1)
    Installation.objects.update(interval_seconds=900)  # learnt under another promise
    account.refresh_from_db()
    assert pacing.interval_of(account) == timedelta(minutes=1)
    with time_machine.travel(NOON, tick=False):
        assert run(account).interval_seconds == 60
    assert pacing.rhythm(account).sentence == "every minute: as configured"
    tune(interval_minutes=15, interval_least_minutes=99)
    quarter = timedelta(minutes=15)
    assert conf.defaults().bounds == Bounds(least=quarter, most=quarter)
