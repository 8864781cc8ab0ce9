"""The budget: never sent when exhausted, whatever the order of answers and threads."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from syncsvc.github.budget import Budget, BudgetGuard, BudgetState, Reserve, merge
from syncsvc.github.errors import RateLimited
from syncsvc.github.memory import MemoryBudgetStore
from tests.github_support import START, FakeClock, limit_headers

RESET = START + timedelta(minutes=30)


def guard(
    reserve: Reserve = 0, store: MemoryBudgetStore | None = None, clock: FakeClock | None = None
) -> BudgetGuard:
    return BudgetGuard(store or MemoryBudgetStore(), reserve, clock or FakeClock(), lambda: 0.5)


def budget(remaining: int, **changes: object) -> Budget:
    known = Budget(
        resource="core",
        limit=5000,
        remaining=remaining,
        used=5000 - remaining,
        reset_at=RESET,
        observed_at=START,
    )
    return replace(known, **changes)  # type: ignore[arg-type]


def sent(guarded: BudgetGuard, resource: str = "core") -> bool:
    try:
        guarded.reserve_request(resource)
    except RateLimited:
        return False
    return True


# -- merging ---------------------------------------------------------------------------------------


@pytest.mark.spec("R4.2")
def test_answers_that_overtake_each_other_leave_the_lowest_remaining() -> None:
    assert merge(budget(10), budget(12)).remaining == 10
    assert merge(budget(12), budget(10)).remaining == 10


def test_a_newer_window_replaces_and_an_older_one_is_ignored() -> None:
    newer = budget(4999, reset_at=RESET + timedelta(hours=1))
    assert merge(budget(3), newer) == newer
    assert merge(newer, budget(3)) == newer


def test_short_windows_follow_each_other() -> None:
    over = budget(0, reset_at=START + timedelta(seconds=5))
    moment = START + timedelta(seconds=6)
    fresh = budget(9, reset_at=START + timedelta(seconds=10), observed_at=moment)
    assert merge(over, fresh) == fresh


budgets = st.builds(
    lambda remaining, limit, reset, seen: budget(
        min(remaining, limit),
        limit=limit,
        reset_at=RESET + timedelta(seconds=reset),
        observed_at=START + timedelta(seconds=seen),
    ),
    st.integers(0, 6000),
    st.integers(60, 6000),
    st.sampled_from([0, 1, 2, 3600, 3601, -3600]),
    st.integers(0, 600),
)


@pytest.mark.spec("R4.2")
@given(budgets, budgets)
def test_within_a_window_remaining_never_grows(known: Budget, seen: Budget) -> None:
    merged = merge(known, seen)
    if abs(seen.reset_at - known.reset_at) < timedelta(seconds=30) and (
        seen.observed_at < known.reset_at
    ):
        assert merged.remaining == min(known.remaining, seen.remaining)
    assert merged.reset_at >= known.reset_at or merged == seen


@given(budgets, budgets)
def test_seeing_the_same_twice_changes_nothing(known: Budget, seen: Budget) -> None:
    once = merge(known, seen)
    assert merge(once, seen) == once


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=20))
def test_the_order_of_answers_in_a_window_does_not_matter(seen: list[int]) -> None:
    guarded = guard()
    for remaining in seen:
        guarded.observe(limit_headers(remaining))
    known = guarded.budget()
    assert known is not None
    assert known.remaining == min(seen)


# -- sending ---------------------------------------------------------------------------------------


@pytest.mark.spec("R4.2", "R4.6")
@pytest.mark.parametrize(("remaining", "reserve"), [(0, 0), (1, 0), (7, 0), (30, 25), (5, 50)])
def test_threads_never_send_more_than_the_budget_allows(remaining: int, reserve: int) -> None:
    guarded = guard(reserve)
    guarded.observe(limit_headers(remaining))
    barrier = Barrier(16)

    def send_a_few() -> int:
        barrier.wait()
        return sum(sent(guarded) for _ in range(4))

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(send_a_few) for _ in range(16)]
        total = sum(future.result() for future in futures)
    assert total == max(0, remaining - reserve)


@pytest.mark.spec("R4.2")
def test_a_whole_exchange_under_five_threads_never_overdraws() -> None:
    guarded, left, overdrawn = guard(), [40], []
    guarded.observe(limit_headers(40))

    def exchange() -> None:
        while True:
            try:
                with guarded.request() as answered:
                    left[0] -= 1
                    if left[0] < 0:
                        overdrawn.append(left[0])
                    answered(limit_headers(max(0, left[0])))
            except RateLimited:
                return

    with ThreadPoolExecutor(5) as pool:
        for future in [pool.submit(exchange) for _ in range(5)]:
            future.result()
    assert not overdrawn


@pytest.mark.spec("R4.2")
def test_an_exhausted_budget_says_until_when_with_jitter() -> None:
    guarded = guard()
    guarded.observe(limit_headers(0))
    with pytest.raises(RateLimited) as caught:
        guarded.reserve_request()
    assert RESET < caught.value.until <= RESET + timedelta(seconds=10)
    assert not caught.value.secondary


def test_a_new_window_opens_the_way_again() -> None:
    clock = FakeClock()
    guarded = guard(clock=clock)
    guarded.observe(limit_headers(0))
    assert not sent(guarded)
    clock.advance(minutes=30)
    assert sent(guarded)


def test_resources_are_counted_apart() -> None:
    guarded = guard()
    guarded.observe(limit_headers(0))
    assert sent(guarded, "graphql")
    assert not sent(guarded, "core")


def test_a_reserve_is_left_over_but_never_more_than_half() -> None:
    guarded = guard(lambda limit: limit // 10)
    guarded.observe(limit_headers(500))
    assert not sent(guarded)
    small = guard(1000)
    small.observe(limit_headers(60, limit=60))
    assert sent(small)


def test_a_request_without_an_answer_counts_as_spent() -> None:
    guarded = guard()
    guarded.observe(limit_headers(1))

    def lose() -> None:
        with guarded.request():
            raise OSError("reset")

    with pytest.raises(OSError, match="reset"):
        lose()
    assert not sent(guarded)


def test_answers_without_budget_headers_change_nothing() -> None:
    guarded = guard()
    guarded.observe({})
    assert guarded.state() == BudgetState()
    assert sent(guarded)


# -- secondary limits ------------------------------------------------------------------------------


def declared(**options: object) -> RateLimited:
    limited = RateLimited(until=START + timedelta(seconds=60), secondary=True)
    for name, value in options.items():
        setattr(limited, name, value)
    return limited


@pytest.mark.spec("R4.2")
def test_after_a_secondary_limit_nothing_is_sent_until_it_is_over() -> None:
    clock = FakeClock()
    guarded = guard(clock=clock)
    until = guarded.limited(declared()).until
    assert until >= START + timedelta(seconds=60)
    assert guarded.blocked_until == until
    with pytest.raises(RateLimited) as caught:
        guarded.reserve_request("graphql")
    assert caught.value.until == until
    assert caught.value.secondary
    clock.now = until
    assert sent(guarded)
    assert guarded.state().blocked_until == until  # until GitHub answers again
    guarded.succeeded()
    assert guarded.state().blocked_until is None


def test_guessed_pauses_double_up_to_an_hour_and_start_again_after_a_success() -> None:
    clock = FakeClock()
    guarded = guard(clock=clock)
    pauses = []
    for _ in range(9):
        until = guarded.limited(declared(hinted=False)).until
        pauses.append(round((until - clock.now).total_seconds() / 60))
        clock.now = until
    assert pauses[:4] == [1, 2, 4, 8]
    assert pauses[-1] == 60
    assert guarded.blocked_until is None  # the last one has just ended
    guarded.succeeded()
    assert guarded.state() == BudgetState()


# -- keeping ---------------------------------------------------------------------------------------


@pytest.mark.spec("R4.2")
def test_the_state_is_saved_only_when_it_changed() -> None:
    clock, store = FakeClock(), MemoryBudgetStore()
    guarded = guard(store=store, clock=clock)
    guarded.flush()
    assert store.saves == 0
    guarded.observe(limit_headers(10))
    guarded.flush()
    clock.advance(seconds=5)
    guarded.observe(limit_headers(10))
    guarded.flush()
    assert store.saves == 1


@pytest.mark.spec("R4.2")
def test_the_next_process_knows_what_this_one_learned() -> None:
    store = MemoryBudgetStore()
    first = guard(store=store)
    first.observe(limit_headers(0))
    first.limited(declared())
    first.flush()
    second = guard(store=store)
    assert second.budget() == first.budget()
    assert second.blocked_until is not None
    assert not sent(second)


@pytest.mark.spec("R4.2")
def test_a_low_budget_is_warned_of_once_a_window() -> None:
    clock = FakeClock()
    guarded = guard(clock=clock)
    with capture_logs() as logs:
        guarded.observe(limit_headers(100))
        assert logs == []
        for remaining in (99, 98, 97):
            guarded.observe(limit_headers(remaining))
        clock.advance(minutes=31)
        guarded.observe(limit_headers(50, reset=RESET + timedelta(hours=1)))
    assert [(log["event"], log["remaining"]) for log in logs] == [
        ("github.budget_low", 99),
        ("github.budget_low", 50),
    ]
