"""Who is synced now and who waits: a day of a thousand accounts, and what holds for any plan."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from syncsvc import planner
from syncsvc.planner import Bounds, Budget, Candidate, Plan, Pool, Why
from tests.planner_day import BOUNDS, Day

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TICK = timedelta(seconds=30)
POOLS = ("a", "b", "c")


def candidate(key: int = 1, **values: Any) -> Candidate:
    """One that was due a minute ago and read a quarter of an hour ago."""
    given: dict[str, Any] = {
        "pool": "a",
        "cost": 10.0,
        "read_at": NOON - timedelta(minutes=15),
    } | values
    return Candidate(key=key, due_at=NOON - timedelta(minutes=1), **given)


def pool(remaining: int, *, limit: int = 5000, minutes: float = 30, **values: Any) -> Pool:
    """One budget, of which 350 are kept, and 100 by gaps."""
    budget = Budget(
        limit=limit,
        remaining=remaining,
        reset_at=NOON + timedelta(minutes=minutes),
        kept=350,
        kept_by_gaps=100,
    )
    return Pool(budgets=(budget,), **values)


# -- a day -----------------------------------------------------------------------------------------


@pytest.mark.spec("R3.4", "R4.2")
def test_a_day_of_a_thousand_accounts_with_an_ample_shared_budget() -> None:
    day = Day(1, limit=15_000, shared=True, requests=2.0)
    day.play(timedelta(hours=24), timedelta(seconds=30))
    assert max(each.oldest for each in day.accounts) <= BOUNDS.most + timedelta(seconds=30)
    quiet = [each.runs for each in day.accounts if each.changes < 1]
    busy = [each.runs for each in day.accounts if each.changes >= 1]
    # A quiet one is read every quarter of an hour, a busy one every five to seven minutes.
    assert 90 <= sum(quiet) / len(quiet) <= 100
    assert min(busy) > max(quiet)
    assert day.cut == 0
    assert day.pools["token"].least > 350


@pytest.mark.spec("R3.4", "R4.2")
def test_hours_of_a_thousand_accounts_with_budgets_of_their_own() -> None:
    day = Day(2, limit=5_000, shared=False, requests=60.0)
    day.play(timedelta(hours=4), timedelta(minutes=1))
    assert max(each.oldest for each in day.accounts) <= BOUNDS.most + timedelta(minutes=1)
    assert day.cut == 0
    assert min(each.least for each in day.pools.values()) > 350


@pytest.mark.spec("R4.2")
def test_hours_of_a_thousand_accounts_that_want_three_times_what_they_have() -> None:
    day = Day(3, limit=15_000, shared=True, requests=8.0)
    day.play(timedelta(hours=4), TICK, gaps=40)
    shared = day.pools["token"]
    assert (
        sum(each.requests * (60 / 5 if each.changes > 1 else 4) for each in day.accounts) > 40_000
    )

    # The reserve is never touched, and next to no run had to be stopped before it.
    assert shared.least >= 350
    assert day.cut <= day.runs / 500

    # Gaps come first, at once, and none is passed over.
    assert len(day.gap_waits) > 100
    assert max(day.gap_waits) <= timedelta(minutes=1)
    assert day.passed_over == 0

    # Spent evenly, once the costs are known, and all of it.
    bins = [spent for number, spent in sorted(shared.bins.items()) if number >= 18][:-1]
    fair = sum(bins) / len(bins)
    assert fair * 12 > 0.9 * (15_000 - 350)
    assert all(0.75 * fair < spent < 1.25 * fair for spent in bins), bins

    # Nobody starves: were all served in turn, each would wait for the sum of all.
    turn = timedelta(hours=sum(each.requests for each in day.accounts) / (15_000 - 350))
    assert max(each.oldest for each in day.accounts) < 1.9 * turn
    quiet = [each.runs for each in day.accounts if each.changes < 1]
    busy = [each.runs for each in day.accounts if each.changes >= 1]
    assert sum(busy) / len(busy) > 2 * sum(quiet) / len(quiet)


# -- any plan --------------------------------------------------------------------------------------

moments = st.timedeltas(timedelta(0), timedelta(hours=3)).map(lambda age: NOON - age)
costs = st.one_of(st.just(0.0), st.floats(1, 3000))
candidates = st.builds(
    Candidate,
    key=st.integers(1, 10_000),
    pool=st.sampled_from(POOLS),
    cost=costs,
    due_at=moments,
    read_at=st.none() | moments,
    changes_per_hour=st.floats(0, 1000),
    gap=st.booleans(),
)
dues = st.lists(candidates, max_size=40, unique_by=lambda each: each.key)


@st.composite
def budgets(draw: st.DrawFn) -> Budget:
    """Any, of windows that are over as well."""
    limit = draw(st.integers(1, 15_000))
    gaps = draw(st.integers(0, limit // 50))
    return Budget(
        limit=limit,
        remaining=draw(st.integers(0, limit)),
        reset_at=NOON + draw(st.timedeltas(timedelta(hours=-1), timedelta(hours=2))),
        kept=gaps + draw(st.integers(0, limit // 20)),
        kept_by_gaps=gaps,
    )


pools = st.fixed_dictionaries(
    {
        name: st.builds(
            Pool,
            budgets=st.lists(budgets(), max_size=2).map(tuple),
            under_way=st.floats(0, 2000),
            started=st.lists(st.tuples(moments, st.floats(1, 500)), max_size=5).map(tuple),
            per_hour=st.floats(0, 50_000),
        )
        for name in POOLS
    }
)


@pytest.mark.spec("R4.2")
@given(due=dues, given_pools=pools, slots=st.integers(0, 50))
def test_a_plan_never_spends_more_than_is_there(
    due: list[Candidate], given_pools: dict[Any, Pool], slots: int
) -> None:
    found = planner.plan(due, given_pools, slots, NOON)
    known = {each.key: each for each in due}
    assert set(found.starts) | set(found.waits) == set(known)
    assert not set(found.starts) & set(found.waits)
    assert sum(known[key].cost > 0 for key in found.starts) <= slots
    assert all(each.until >= NOON for each in found.waits.values())
    for name, described in given_pools.items():
        for budget in (each.at(NOON) for each in described.budgets):
            for gaps in (False, True):
                kept = budget.kept_by_gaps if gaps else budget.kept
                left = budget.remaining - kept - described.under_way
                part = max((budget.limit - kept) / planner.LARGEST_PART, 1)
                spent = 0.0
                for each in (known[key] for key in found.starts if known[key].pool == name):
                    # One that is larger than a quarter of all is blocked on its way, as GitHub's
                    # limits are: it begins with what there is.
                    if each.cost > 0 and each.gap == gaps:
                        assert spent + min(each.cost, part) <= left + 1e-6
                    spent += each.cost


@pytest.mark.spec("R4.2")
@given(due=dues, given_pools=pools, slots=st.integers(0, 50), data=st.data())
def test_a_plan_depends_on_nothing_else(
    due: list[Candidate], given_pools: dict[Any, Pool], slots: int, data: st.DataObject
) -> None:
    first = planner.plan(due, given_pools, slots, NOON)
    shuffled = data.draw(st.permutations(due))
    second = planner.plan(shuffled, given_pools, slots, NOON)
    assert (first.starts, dict(first.waits)) == (second.starts, dict(second.waits))


@pytest.mark.spec("R4.2")
@given(due=dues, given_pools=pools, slots=st.integers(0, 50))
def test_who_needs_it_more_comes_first(
    due: list[Candidate], given_pools: dict[Any, Pool], slots: int
) -> None:
    found = planner.plan(due, given_pools, slots, NOON)
    needs = {each.key: planner.need(each, NOON) for each in due}
    assert all(needs[one] < needs[other] for one, other in pairwise(found.starts))
    known = {each.key: each for each in due}
    for waiting, wait in found.waits.items():
        if wait.why is not Why.PACE:
            continue
        passed = [
            key
            for key in found.starts
            if known[key].pool == known[waiting].pool
            and known[key].cost > 0
            and needs[key] > needs[waiting]
        ]
        assert not passed, "the pace held one back, and let another pass"


@pytest.mark.spec("R4.2")
@given(due=dues, slots=st.integers(40, 50))
def test_where_github_names_no_limit_or_an_ample_one_all_start(
    due: list[Candidate], slots: int
) -> None:
    ample = Budget(limit=10**6, remaining=10**6, reset_at=NOON + TICK, kept=350, kept_by_gaps=100)
    expected = tuple(sorted((each.key for each in due), key=dict(_needs(due)).__getitem__))
    assert planner.plan(due, {}, slots, NOON) == Plan(starts=expected)
    all_ample = dict.fromkeys(POOLS, Pool(budgets=(ample,), per_hour=1000))
    assert planner.plan(due, all_ample, slots, NOON) == Plan(starts=expected)


def _needs(due: list[Candidate]) -> list[tuple[int, Any]]:
    return [(each.key, planner.need(each, NOON)) for each in due]


@pytest.mark.spec("R4.2")
@given(
    number=st.integers(1, 40),
    cost=st.floats(1, 50),
    low=st.integers(0, 5000),
    more=st.integers(0, 5000),
)
def test_a_larger_rest_never_starts_fewer(number: int, cost: float, low: int, more: int) -> None:
    due = [candidate(key, cost=cost) for key in range(number)]
    high = min(low + more, 5000)
    few, many = (
        planner.plan(due, {"a": pool(rest, per_hour=1e5)}, 100, NOON).starts for rest in (low, high)
    )
    assert many[: len(few)] == few


# -- single cases ----------------------------------------------------------------------------------


@pytest.mark.spec("R4.2")
def test_the_order_of_need() -> None:
    hour = NOON - timedelta(hours=1)
    due = [
        candidate(1),
        candidate(2, read_at=hour),
        candidate(3, changes_per_hour=100.0, read_at=NOON - timedelta(minutes=16)),
        candidate(4, read_at=None),
        candidate(5, gap=True),
        candidate(6, read_at=hour - TICK, changes_per_hour=100.0),
        candidate(7, read_at=NOON + timedelta(days=1), changes_per_hour=100.0),
    ]
    assert planner.plan(due, {}, 100, NOON).starts == (5, 4, 6, 3, 2, 1, 7)


@pytest.mark.spec("R4.2")
def test_what_is_short_is_spent_evenly_and_the_others_know_until_when_they_wait() -> None:
    due = [candidate(key, read_at=NOON - timedelta(minutes=60 - key)) for key in range(60)]
    # 300 requests above the reserve for half an hour: 10 a minute, a run a minute.
    found = planner.plan(due, {"a": pool(650)}, 200, NOON)
    assert found.starts == (0,)
    waits = list(found.waits.items())
    assert [key for key, _ in waits] == list(range(1, 60))
    assert {each.why for _, each in waits} == {Why.PACE}
    minutes = [(each.until - NOON).total_seconds() / 60 for _, each in waits]
    assert minutes[:29] == pytest.approx(range(1, 30))
    # Those for whom there is nothing left before the reset wait for it.
    assert all(each >= 30 for each in minutes[29:])
    started = ((NOON, 10.0),)
    half = planner.plan(due[1:], {"a": pool(640, started=started)}, 200, NOON + TICK)
    assert half.starts == ()
    paid = planner.plan(due[1:], {"a": pool(640, started=started)}, 200, NOON + 2.2 * TICK)
    assert paid.starts == (1,)


@pytest.mark.spec("R4.2")
def test_gaps_are_not_held_back_by_the_pace_and_may_spend_what_is_kept_for_them() -> None:
    due = [candidate(key, gap=key > 2) for key in range(1, 6)]
    found = planner.plan(due, {"a": pool(380)}, 200, NOON)
    assert found.starts == (3, 4, 5)
    kept = planner.plan(due, {"a": pool(120)}, 200, NOON)
    assert kept.starts == (3, 4)
    assert {kept.waits[key].why for key in (1, 2, 5)} == {Why.BUDGET}
    assert kept.waits[1].until >= NOON + timedelta(minutes=30)


@pytest.mark.spec("R4.2")
def test_a_run_that_is_larger_than_all_there_ever_is_starts_with_a_quarter_of_it() -> None:
    huge = candidate(cost=20_000.0)
    assert planner.plan([huge], {"a": pool(5000)}, 9, NOON).starts == (1,)
    assert planner.plan([huge], {"a": pool(1500)}, 9, NOON).starts == ()
    # Smaller ones pass it until there is.
    both = [huge, candidate(2)]
    assert planner.plan(both, {"a": pool(1500)}, 9, NOON).starts == (2,)


@pytest.mark.spec("R4.2")
def test_what_is_under_way_is_not_spent_twice() -> None:
    due = [candidate()]
    assert planner.plan(due, {"a": pool(400, under_way=30)}, 9, NOON).starts == (1,)
    assert planner.plan(due, {"a": pool(400, under_way=41)}, 9, NOON).starts == ()


@pytest.mark.spec("R4.2")
def test_a_window_that_is_over_has_its_whole_limit() -> None:
    assert planner.plan([candidate()], {"a": pool(0, minutes=-1)}, 9, NOON).starts == (1,)
    # One that seems to last a day was written by a clock that was wrong.
    waits = planner.plan([candidate()], {"a": pool(0, minutes=1440)}, 9, NOON).waits
    assert waits[1].until == NOON + timedelta(hours=1)


@pytest.mark.spec("R4.2")
def test_no_more_start_than_may_wait_for_workers() -> None:
    due = [candidate(key, read_at=NOON - timedelta(minutes=key)) for key in range(1, 6)]
    found = planner.plan(due, {}, 3, NOON)
    assert found.starts == (5, 4, 3)
    assert {key: each.why for key, each in found.waits.items()} == {2: Why.QUEUE, 1: Why.QUEUE}


@pytest.mark.spec("R4.2")
def test_the_busiest_account_counts_four_times_as_much_as_an_idle_one() -> None:
    rates = [-1.0, 0.0, 1.0, 3.0, 7.0, 1e9]
    assert [planner.weight(each) for each in rates] == [1, 1, 2, 3, 4, 4]


@pytest.mark.spec("R4.2")
def test_what_policy_will_refuse_takes_no_slot_and_no_budget() -> None:
    due = [candidate(1, cost=0.0), candidate(2)]
    found = planner.plan(due, {"a": pool(0)}, 0, NOON)
    assert found.starts == (1,)
    assert found.waits[2].why is Why.QUEUE


# -- how often, and what a run teaches -------------------------------------------------------------

bounds = st.tuples(st.integers(1, 60), st.integers(0, 600)).map(
    lambda two: Bounds(least=timedelta(minutes=two[0]), most=timedelta(minutes=sum(two)))
)
spans = st.timedeltas(timedelta(0), timedelta(days=3))


@pytest.mark.spec("R3.4")
@given(present=st.none() | spans, given_bounds=bounds, found=st.booleans())
def test_an_interval_stays_within_its_bounds_and_moves_the_right_way(
    present: timedelta | None, given_bounds: Bounds, found: bool
) -> None:
    now = planner.interval(present, given_bounds)
    after = planner.next_interval(present, given_bounds, found_changes=found)
    assert given_bounds.least <= after <= given_bounds.most
    assert after <= now if found else after >= now


@pytest.mark.spec("R3.4")
@given(one=spans, other=spans, given_bounds=bounds, found=st.booleans())
def test_who_was_read_more_often_still_is(
    one: timedelta, other: timedelta, given_bounds: Bounds, found: bool
) -> None:
    shorter, longer = (
        planner.next_interval(each, given_bounds, found_changes=found)
        for each in sorted((one, other))
    )
    assert shorter <= longer


@pytest.mark.spec("R3.4")
def test_a_new_account_begins_at_what_was_promised_and_adapts() -> None:
    lengths = [planner.interval(None, BOUNDS)]
    for found in (True, True, True, False, False):
        lengths.append(planner.next_interval(lengths[-1], BOUNDS, found_changes=found))
    assert [each.total_seconds() / 60 for each in lengths] == [15, 7.5, 5, 5, 10, 15]
    minute = Bounds(least=timedelta(minutes=1), most=timedelta(minutes=1))
    assert planner.next_interval(None, minute, found_changes=False) == timedelta(minutes=1)


@pytest.mark.spec("R3.4")
@pytest.mark.parametrize(("least", "most"), [(0, 5), (6, 5), (-1, 1)])
def test_bounds_that_cannot_hold_are_refused(least: int, most: int) -> None:
    with pytest.raises(ValueError, match="shortest"):
        Bounds(least=timedelta(minutes=least), most=timedelta(minutes=most))


@pytest.mark.spec("R3.4")
@given(
    known=st.floats(0, 1e4),
    changes=st.integers(0, 10**6),
    elapsed=st.timedeltas(timedelta(days=-3), timedelta(days=30)),
)
@example(known=3.0, changes=5, elapsed=timedelta(0))
def test_a_change_rate_stays_between_what_was_known_and_what_was_seen(
    known: float, changes: int, elapsed: timedelta
) -> None:
    rate = planner.learned_rate(known, changes, elapsed)
    if elapsed <= timedelta(0):
        assert rate == known
    else:
        seen = changes / (elapsed / timedelta(hours=1))
        assert min(known, seen) - 1e-6 <= rate <= max(known, seen) + 1e-6
        assert rate <= max(known * planner.OUTLIER, planner.LEAST_CHANGES)


@pytest.mark.spec("R3.4")
def test_a_rate_is_learnt_and_forgotten_in_hours() -> None:
    quarter = timedelta(minutes=15)
    rate = 0.0
    for _ in range(24):
        rate = planner.learned_rate(rate, 5, quarter)
    assert rate == pytest.approx(20, rel=0.1)
    for _ in range(24):
        rate = planner.learned_rate(rate, 0, quarter)
    assert rate < 2


@pytest.mark.spec("R4.2")
def test_one_huge_run_spoils_no_estimate_for_long() -> None:
    cost = planner.learned_cost(None, 12.0)
    cost = planner.learned_cost(cost, 9000.0)
    assert cost < 24
    for _ in range(8):
        cost = planner.learned_cost(cost, 12.0)
    assert cost == pytest.approx(12, rel=0.1)
    for _ in range(8):  # but an account that grew is believed
        cost = planner.learned_cost(cost, 900.0)
    assert cost > 450
    assert planner.learned_cost(None, 0.0) == 1.0
