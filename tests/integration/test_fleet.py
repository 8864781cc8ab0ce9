"""The figures of the whole fleet against the same reckoned from the rows one by one, for any history.

Whatever ended when, and whenever hours were rolled or not: the answer is the same (R9.2, R18.1, R18.5).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts import fleet
from alerts.fleet_values import Fleet, FleetFilters, Order, State, Window
from alerts.models import Incident
from reconciliation import measuring, rolling
from reconciliation.accuracy import DAY, WEEK, Figure, Tally, measure
from reconciliation.columns import ARRAYS
from reconciliation.models import (
    Discrepancy,
    RolledFleet,
    RolledHours,
    RolledUntil,
    RunFigure,
    StaleDay,
)
from reconciliation.rolled import Question, ask, sql_of, state
from reconciliation.stretches import floor
from reconciliation.sums import BOUNDS, Point, Runs
from syncsvc.models import Gap, Installation, SyncJob
from tests.factories import (
    DeadLetterFactory,
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    RateBudgetFactory,
    SyncJobFactory,
)
from tests.judge_factories import DiscrepancyFactory, ReviewFactory, RunFigureFactory

pytestmark = pytest.mark.django_db

#: An hour and a minute that are neither the first of the day nor the last.
NOW = datetime(2026, 11, 18, 13, 34, 56, 789_000, tzinfo=UTC)
TICK = timedelta(microseconds=1)
MONTH = timedelta(days=30)
ENDED = ("succeeded", "partial", "failed", "dead", "cancelled")
TYPES = ("stale_issue", "missing_repo", "commit_missing_at_github")

#: Moments where something could be counted twice or not at all, and any other of five weeks.
BORDERS = [
    NOW, NOW + TICK, NOW - DAY, NOW - DAY + TICK, NOW - WEEK, NOW - WEEK + TICK, NOW - MONTH,
    NOW - MONTH + TICK, NOW.replace(minute=0, second=0, microsecond=0),
    NOW.replace(hour=0, minute=0, second=0, microsecond=0),
    NOW.replace(hour=12, minute=0, second=0, microsecond=0) - TICK,
]  # fmt: skip
MOMENTS = st.one_of(
    st.sampled_from(BORDERS),
    st.integers(0, 2 * 3_600).map(lambda n: NOW - timedelta(seconds=n)),
    st.sampled_from(BORDERS),
    # Few days, for each that is rolled takes its time: those near the ends of the windows.
    st.tuples(st.sampled_from([1, 2, 7, 30]), st.integers(0, 30)).map(
        lambda n: NOW - timedelta(days=n[0], hours=n[1])
    ),
)


@dataclass(frozen=True)
class Happening:
    """Something that is counted, of one of two accounts."""

    what: str
    account: int
    at: datetime
    value: Any


HAPPENINGS = st.one_of(
    st.builds(
        Happening,
        st.just("run"),
        st.integers(0, 1),
        MOMENTS,
        st.tuples(
            st.sampled_from(ENDED),
            st.sampled_from(["incremental", "full", "repo", "recheck", "audit"]),
            st.sampled_from([False, False, False, True]),
            st.one_of(st.none(), st.sampled_from([0.0, *BOUNDS]), st.floats(0, 8_000)),
        ),
    ),
    st.builds(
        Happening,
        st.just("figure"),
        st.integers(0, 1),
        MOMENTS,
        st.tuples(
            st.sampled_from(["repositories", "commits"]), st.integers(0, 900), st.integers(0, 9)
        ),
    ),
    st.builds(Happening, st.just("found"), st.integers(0, 1), MOMENTS, st.sampled_from(TYPES)),
    st.builds(Happening, st.just("gap"), st.integers(0, 1), MOMENTS, st.none()),
)


@pytest.fixture
def accounts() -> list[Installation]:
    return list(InstallationFactory.create_batch(2))


def write(each: Happening, account: Installation, jobs: list[SyncJob]) -> None:
    """Makes the row; late ones too: nothing is written in the order in which it happened."""
    if each.what == "run":
        status, mode, dry_run, seconds = each.value
        began = None if seconds is None else each.at - timedelta(seconds=seconds)
        SyncJob.objects.create(
            installation=account,
            trigger="cron",
            mode=mode,
            repository="acme/one",
            dry_run=dry_run,
            status=status,
            created_at=each.at - timedelta(hours=3),
            run_after=each.at,
            started_at=began,
            finished_at=each.at,
        )
    elif each.what == "figure":
        entity, compared, wrong = each.value
        jobs.append(SyncJobFactory.create(installation=account, dry_run=True))
        RunFigure.objects.create(
            job=jobs[-1],
            installation=account,
            entity=entity,
            at=each.at,
            compared=compared,
            matched=max(0, compared - wrong),
            unknown=wrong,
        )
    elif each.what == "found":
        Discrepancy.objects.create(
            installation=account,
            repository_github_id=Discrepancy.objects.count(),
            entity="issues",
            type=each.value,
            detected_at=each.at,
            proposed_action="update",
            repair_status="proposed",
            correlation_id="00000000-0000-0000-0000-000000000001",
            detector="run",
        )
    elif each.what == "gap":
        Gap.objects.create(
            installation=account,
            reason="silence",
            step="closed",
            began_at=each.at,
            ended_at=each.at,
            opened_at=each.at,
            closed_at=each.at,
            next_step_at=each.at,
        )


def inside(
    all_of_them: list[Happening], what: str, since: datetime, until: datetime
) -> Iterator[Happening]:
    """Those from `since` on and before `until`."""
    return (each for each in all_of_them if each.what == what and since <= each.at < until)


def runs_of(all_of_them: list[Happening], since: datetime, until: datetime) -> Runs:
    counted = Counter(
        each.value[0]
        for each in inside(all_of_them, "run", since, until)
        if each.value[1] not in ("recheck", "audit") and not each.value[2]
    )
    return Runs(
        succeeded=counted["succeeded"],
        partial=counted["partial"],
        failed=counted["failed"] + counted["dead"],
        cancelled=counted["cancelled"],
    )


def seconds_of(all_of_them: list[Happening], since: datetime, until: datetime) -> list[float]:
    return sorted(
        timedelta(seconds=each.value[3]).total_seconds()
        for each in inside(all_of_them, "run", since, until)
        if each.value[1] not in ("recheck", "audit")
        and not each.value[2]
        and each.value[0] != "cancelled"
        and each.value[3] is not None
    )


def figures_of(all_of_them: list[Happening]) -> list[Figure]:
    return [
        Figure(
            at=each.at,
            entity=each.value[0],
            tally=Tally(
                compared=each.value[1],
                matched=max(0, each.value[1] - each.value[2]),
                unknown=each.value[2],
            ),
        )
        for each in all_of_them
        if each.what == "figure"
    ]


def check_point(point: Point, all_of_them: list[Happening]) -> None:
    since, until = point.since, point.until
    assert point.sums.runs == runs_of(all_of_them, since, until)
    known = [each for each in figures_of(all_of_them) if since <= each.at < until]
    assert point.sums.tally == sum((each.tally for each in known), Tally())
    assert (point.accuracy is None) == (point.sums.tally.compared == 0)
    assert point.sums.found == len(list(inside(all_of_them, "found", since, until)))
    assert point.sums.gaps == len(list(inside(all_of_them, "gap", since, until)))
    seconds = seconds_of(all_of_them, since, until)
    assert point.sums.durations.number == len(seconds)
    if not seconds:
        assert (point.seconds_mean, point.seconds_p95) == (None, None)
        return
    assert point.seconds_mean == pytest.approx(sum(seconds) / len(seconds), abs=0.001)
    p95 = seconds[-(-len(seconds) * 95 // 100) - 1]
    assert point.seconds_p95 == next((bound for bound in BOUNDS if p95 <= bound), None)


def check(shown: Fleet, all_of_them: list[Happening], of_each: dict[int, list[Happening]]) -> None:
    """Everything that `shown` says of the past."""
    since, until = NOW - shown.filters.window.length + TICK, NOW + TICK
    for length, runs, accuracy in (
        (DAY, shown.totals.runs_day, shown.totals.day),
        (WEEK, shown.totals.runs_week, shown.totals.week),
    ):
        assert runs == runs_of(all_of_them, NOW - length + TICK, until)
        expected = measure(figures_of(all_of_them), NOW, length)
        # An entity of which nothing was compared need not be named.
        named = {name: tally for name, tally in expected.by_entity.items() if tally != Tally()}
        assert accuracy == replace(expected, by_entity=named)
    found = Counter(each.value for each in inside(all_of_them, "found", since, until))
    assert shown.totals.by_type == dict(found)
    assert shown.totals.found == found.total()
    assert shown.trend[0].since == since
    assert shown.trend[-1].until == until
    for point in shown.trend:
        check_point(point, all_of_them)
    for row in shown.rows:
        own = of_each[row.pk]
        assert row.runs_day == runs_of(own, NOW - DAY + TICK, until)
        assert row.runs_week == runs_of(own, NOW - WEEK + TICK, until)
        assert row.day == measure(figures_of(own), NOW, DAY).tally
        assert row.week == measure(figures_of(own), NOW, WEEK).tally
        assert (
            row.found == sum(row.by_type.values()) == len(list(inside(own, "found", since, until)))
        )
        assert row.durations.number == len(seconds_of(own, since, until))
        assert sum((each.sums.runs for each in row.series), Runs()) == runs_of(own, since, until)


@pytest.mark.spec("P19", "P22", "R9.2", "R18.5")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(HAPPENINGS, max_size=6),
    st.sampled_from(Window),
    st.sampled_from([None, 0]),
    st.sets(st.integers(0, 6), max_size=2),
)
def test_any_history_adds_up_whenever_hours_were_rolled(
    accounts: list[Installation],
    history: list[Happening],
    window: Window,
    only: int | None,
    rolls: set[int],
) -> None:
    clean()
    jobs: list[SyncJob] = []
    for number, each in enumerate(history, start=1):
        write(each, accounts[each.account], jobs)
        if {number, number - len(history)} & rolls:
            # At another moment than that of the reading, before or after it.
            rolling.roll(NOW - timedelta(hours=number - 1))
    of_each = {
        account.pk: [each for each in history if each.account == place]
        for place, account in enumerate(accounts)
    }
    asked = FleetFilters(window=window)
    if only is None:
        check(fleet.read(asked, NOW), history, of_each)
    else:
        pk = accounts[only].pk
        check(fleet.read(replace(asked, installation=pk), NOW), of_each[pk], of_each)


def clean() -> None:
    """Each example begins with nothing."""
    models = (RolledHours, RolledUntil, StaleDay, RunFigure, Discrepancy, Gap, SyncJob)
    with connection.cursor() as cursor:
        cursor.execute(";".join(f"DELETE FROM {each._meta.db_table}" for each in models))


@pytest.mark.spec("P18", "P20", "P21", "R18.1")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.integers(0, 5_000)), max_size=3),
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.sampled_from(Incident.Severity.values),
            st.booleans(),
            st.integers(0, 3_000),
        ),
        max_size=3,
    ),
    st.lists(st.one_of(st.none(), st.integers(-9_000, 9_000)), min_size=4, max_size=4),
)
def test_the_present_is_told_as_it_is(
    accounts: list[Installation],
    gaps: list[tuple[int, bool, int]],
    told: list[tuple[int, str, bool, int]],
    times: list[int | None],
) -> None:
    Gap.objects.all().delete()
    Incident.objects.all().delete()
    moments = [None if each is None else NOW + timedelta(seconds=each) for each in times]
    for place, account in enumerate(accounts):
        account.last_synced_at, account.next_scheduled_at = moments[place], moments[2 + place]
        account.save()
    reasons = iter(list(Gap.Reason.values) * 2)
    opened = Counter[int]()
    for place, is_open, age in gaps:
        at = NOW - timedelta(seconds=age)
        closed = None if is_open else at
        reason = next(reasons)
        if is_open and Gap.objects.filter(
            installation=accounts[place], reason=reason, closed_at=None
        ):
            continue
        opened[place] += is_open
        Gap.objects.create(
            installation=accounts[place],
            reason=reason,
            step="open" if is_open else "closed",
            began_at=at,
            ended_at=at,
            opened_at=at,
            closed_at=closed,
            next_step_at=at,
        )
    for number, (place, severity, resolved, age) in enumerate(told):
        at = NOW - timedelta(seconds=age)
        Incident.objects.create(
            key=f"stale/{number}",
            kind="stale",
            severity=severity,
            status="resolved" if resolved else "open",
            installation=accounts[place],
            title="No sync",
            opened_at=at,
            last_seen_at=at,
            resolved_at=at if resolved else None,
        )
    shown = fleet.read(FleetFilters(order=Order.LOGIN, descending=False), NOW)
    assert [row.pk for row in shown.rows] == [each.pk for each in accounts]
    for place, row in enumerate(shown.rows):
        assert (row.last_success, row.next_scheduled_at) == (moments[place], moments[2 + place])
        assert row.open.gaps == opened[place]
        lasting = [each[1] for each in told if each[0] == place and not each[2]]
        assert row.open.incidents == len(lasting)
        assert row.worst_severity == max(lasting, key=Incident.Severity.values.index, default=None)
    totals = shown.totals
    assert totals.open.gaps == opened.total()
    assert totals.last_success == max((each for each in moments[:2] if each), default=None)
    assert totals.next_scheduled_at == min((each for each in moments[2:] if each), default=None)
    expected = sorted((NOW - timedelta(seconds=age), severity) for _, severity, _, age in told)
    told_of = sorted((each.opened_at, each.severity) for each in shown.incidents)
    assert told_of == expected
    assert [each.opened_at for each in shown.incidents] == sorted(
        (each.opened_at for each in shown.incidents), reverse=True
    )


def test_what_is_open_and_what_waits_is_counted_for_each_account() -> None:
    here, there = InstallationFactory.create_batch(2)
    DiscrepancyFactory.create(installation=here)
    DiscrepancyFactory.create(installation=here, repaired=True)
    ReviewFactory.create(installation=here)
    GapFactory.create(installation=here)
    DeadLetterFactory.create(installation=here)
    DeliveryFactory.create(account=here, waiting=True)
    SyncJobFactory.create(installation=here, waiting=True)
    RateBudgetFactory.create(installation=here, remaining=1_000)
    RateBudgetFactory.create(
        installation=there, remaining=1, reset_at=NOW - timedelta(days=900), resource="graphql"
    )
    now = datetime.now(UTC)
    rows = {row.pk: row for row in fleet.read(FleetFilters(), now).rows}
    row, quiet = rows[here.pk], rows[there.pk]
    assert (row.open.discrepancies, row.open.reviews, row.open.gaps) == (1, 1, 1)
    assert (row.open.dead_letters, row.backlog.deliveries, row.backlog.queued) == (1, 1, 1)
    assert (row.state, row.badge) == (State.WAITING, "Waiting for a worker")
    assert row.budgets["core"].share == 0.2
    assert quiet.budgets["graphql"].remaining == 5_000
    assert (quiet.state, quiet.last_run, quiet.day.accuracy) == (State.NEVER, None, None)
    assert quiet.runs_day.success_rate is None
    assert row.attention[0] == "waits for a decision"


@pytest.mark.spec("R18.1")
def test_rows_are_filtered_ordered_and_cut_and_the_totals_are_of_all_that_match() -> None:
    now = datetime.now(UTC)
    wrong, right, silent, gone = (
        InstallationFactory.create(account_login=name)
        for name in ("Beta", "alpha", "gamma-a", "delta")
    )
    Installation.objects.filter(pk=gone.pk).update(status="uninstalled")
    RunFigureFactory.create(installation=wrong, compared=1_000, matched=900)
    RunFigureFactory.create(installation=right, compared=9_000)
    DiscrepancyFactory.create(installation=wrong, type="wrong_name")

    def asked(**filters: Any) -> list[str]:
        return [row.login for row in fleet.read(FleetFilters(**filters), now).rows]

    by_login: dict[str, Any] = {"order": Order.LOGIN, "descending": False}
    assert asked(**by_login) == ["alpha", "Beta", "delta", "gamma-a"]
    # What is not known comes last, whichever way.
    for descending, first in ((True, ["alpha", "Beta"]), (False, ["Beta", "alpha"])):
        order: dict[str, Any] = {"order": Order.ACCURACY, "descending": descending}
        assert asked(**order) == [*first, "delta", "gamma-a"]
    assert asked(q="A-A") == ["gamma-a"]
    assert asked(status="uninstalled") == ["delta"]
    assert asked(type="wrong_name") == ["Beta"]
    assert asked(type="missing_repo") == []
    assert asked(status="attention")[0] == "Beta"
    assert asked(installation=silent.pk) == ["gamma-a"]
    page = fleet.read(FleetFilters(**by_login), now, offset=1, limit=1)
    assert [row.login for row in page.rows] == ["Beta"]
    assert (page.matching, page.totals.day.tally.compared) == (4, 10_000)
    named = fleet.read(FleetFilters(type="wrong_name"), now)
    assert (named.totals.day.tally.compared, named.totals.installations) == (1_000, 1)
    nobody = fleet.read(FleetFilters(q="nobody"), now)
    assert (nobody.rows, nobody.totals.day.tally.accuracy, nobody.incidents) == ((), None, ())


@pytest.mark.spec("R18.5")
@pytest.mark.parametrize("rolls", [False, True])
def test_the_number_of_queries_does_not_grow_with_the_fleet(
    *, rolls: bool, django_assert_max_num_queries: Any
) -> None:
    now = datetime.now(UTC)
    counted = []
    for more in (3, 57):
        for account in InstallationFactory.create_batch(more):
            RunFigureFactory.create(installation=account, at=now - timedelta(hours=30))
        if rolls:
            rolling.roll(now)
        with django_assert_max_num_queries(12) as queries:
            fleet.read(FleetFilters(window=Window.WEEK), now, limit=50)
        counted.append(len(queries))
    assert counted[0] == counted[1]


@pytest.mark.spec("R18.5")
def test_what_all_add_up_to_is_kept_whatever_becomes_of_an_account() -> None:
    here, there = InstallationFactory.create_batch(2)
    for account in (here, there):
        RunFigureFactory.create(installation=account, at=NOW - timedelta(hours=30), compared=7)
        DiscrepancyFactory.create(installation=account, detected_at=NOW - timedelta(hours=30))
    rolling.roll(NOW)
    assert summed() == dict.fromkeys((1, 6, 24), (14, 2))
    RolledHours.objects.filter(installation=there).update(compared=1)
    assert summed()[24] == (8, 2)
    RolledHours.objects.filter(installation=there).delete()
    assert summed() == dict.fromkeys((1, 6, 24), (7, 1))
    RolledHours.objects.all().delete()
    assert summed() == dict.fromkeys((1, 6, 24), (0, 0))


def summed() -> dict[int, tuple[int, int]]:
    """What is kept of all accounts together: how much was compared, how much found, by any type."""
    rows = RolledFleet.objects.order_by("hours", "at")
    found: dict[int, tuple[int, int]] = {}
    for row in rows:
        assert sum(row.by_type) == row.found
        compared, number = found.get(row.hours, (0, 0))
        found[row.hours] = (compared + row.compared, number + row.found)
    return found


def test_every_sum_has_a_place_in_what_is_kept_of_all() -> None:
    account = InstallationFactory.create()
    RolledHours.objects.create(installation=account, hours=1, at=NOW)
    row = RolledFleet.objects.get()
    for array, names in ARRAYS.items():
        # More sums than places: a migration has to make its triggers again, with more of them.
        assert len(names) <= len(getattr(row, array))


@pytest.mark.spec("R18.5")
def test_all_together_are_read_from_what_is_kept_of_all_but_of_days_that_are_stale() -> None:
    account = InstallationFactory.create()
    RunFigureFactory.create(installation=account, at=NOW - timedelta(hours=30), compared=7)
    rolling.roll(NOW)
    question = Question(("compared",), (), (NOW - WEEK, NOW))
    for stale in (False, True):
        if stale:  # what is rolled lies: whoever believes it is found out
            StaleDay.objects.create(installation_id=account.pk, day=floor(NOW, 24) - DAY)
        else:
            assert "reconciliation_rolledhours" not in (sql_of(question, state()) or "")
        assert ask(question, state()) == [(7,)]
    RolledHours.objects.update(compared=1)
    assert ask(question, state()) == [(7,)]
    StaleDay.objects.all().delete()
    assert ask(question, state()) == [(1,)]


@pytest.mark.spec("R9.3")
def test_times_are_those_of_the_judge_in_whole_seconds() -> None:
    account = InstallationFactory.create()
    for number in range(1, 41):
        found = NOW - timedelta(minutes=number)
        DiscrepancyFactory.create(
            installation=account,
            detected_at=found,
            occurred_at=found - timedelta(seconds=number * number % 97) if number % 5 else None,
            repair_status="repaired" if number % 3 else "proposed",
            repaired_at=found + timedelta(seconds=number) if number % 3 else None,
        )
    for filters in (FleetFilters(), FleetFilters(installation=account.pk)):
        assert fleet.read(filters, NOW).totals.times == measuring.times(None, NOW - DAY, NOW)


@pytest.mark.spec("R9.2", "R18.5")
def test_nothing_is_lost_where_the_clock_of_the_database_was_ahead() -> None:
    account = InstallationFactory.create()
    now = datetime.now(UTC)
    RunFigureFactory.create(installation=account, at=now - timedelta(hours=30), compared=7)
    rolling.roll(now)
    ahead = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=3)
    RolledUntil.objects.update(until=ahead)  # by a clock that has been set right since
    RolledHours.objects.create(
        installation=account, hours=1, at=ahead - timedelta(hours=1), compared=999
    )
    RunFigureFactory.create(installation=account, at=now, compared=5)

    def compared() -> int:
        return fleet.read(FleetFilters(), now).totals.week.tally.compared

    assert compared() == 12
    assert rolling.roll(now)
    assert not RolledHours.objects.filter(at__gte=now).exists()
    assert RolledUntil.objects.get().until <= now
    assert compared() == 12
