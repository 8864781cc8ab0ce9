"""The figures of accuracy against a naive model that looks at one item after the other."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import accuracy
from reconciliation.accuracy import (
    BURN_WINDOWS,
    DAY,
    SLO,
    WEEK,
    WINDOWS,
    Figure,
    Tally,
    measure,
)

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
ALLOWANCE = Fraction(5, 1000)

pytestmark = pytest.mark.spec("R9.2")


@st.composite
def tallies(draw: st.DrawFn) -> Tally:
    compared = draw(st.integers(0, 5_000))
    wrong = draw(st.integers(0, min(compared, 40)))
    return Tally(
        compared=compared,
        matched=compared - wrong,
        vouched=draw(st.integers(0, compared)),
        unknown=draw(st.integers(0, 50)),
    )


#: Seconds before now: the borders of all windows and days are among them, and runs that end later.
AGES = st.one_of(
    st.integers(-3_600, 9 * 86_400),
    st.sampled_from([0, 3_600, 86_400, 7 * 86_400, 12 * 3_600 + 1_800, 36 * 3_600 + 1_800]),
)
FIGURES = st.lists(
    st.builds(
        lambda age, entity, tally: Figure(
            at=NOW - timedelta(seconds=age), entity=entity, tally=tally
        ),
        AGES,
        st.sampled_from(["commits", "issues", "repositories"]),
        tallies(),
    ),
    max_size=12,
)
WINDOW = st.sampled_from(list(WINDOWS.values()))


def naive(figures: Iterable[Figure], since: datetime, until: datetime) -> tuple[int, int]:
    """(compared, matched) of the runs that ended within."""
    inside = [each.tally for each in figures if since < each.at <= until]
    return sum(each.compared for each in inside), sum(each.matched for each in inside)


@given(FIGURES, WINDOW)
def test_a_window_is_the_sum_of_the_runs_that_ended_within_it(
    figures: list[Figure], window: timedelta
) -> None:
    told = measure(figures, NOW, window)
    compared, matched = naive(figures, NOW - window, NOW)
    assert (told.since, told.until) == (NOW - window, NOW)
    assert (told.tally.compared, told.tally.matched) == (compared, matched)
    if compared == 0:
        assert told.tally.accuracy is None
        assert told.tally.discrepancy_rate is None
        assert told.compliant is None
        assert told.budget.left is None
        return
    assert told.tally.accuracy == matched / compared
    assert told.compliant is (matched * 1000 >= compared * 995)
    assert told.budget.used == compared - matched
    assert told.budget.allowed == float(ALLOWANCE * compared)
    assert told.budget.left == float(1 - (compared - matched) / (ALLOWANCE * compared))
    assert told.compliant is (told.budget.left >= 0)


@given(FIGURES, WINDOW)
def test_each_burn_rate_looks_at_its_own_window_only(
    figures: list[Figure], window: timedelta
) -> None:
    told = measure(figures, NOW, window)
    assert set(told.burn_rate) == {"1h", "24h", "7d"}
    for name, length in BURN_WINDOWS.items():
        compared, matched = naive(figures, NOW - length, NOW)
        share = Fraction(compared - matched, compared) / ALLOWANCE if compared else None
        assert told.burn_rate[name] == (None if share is None else float(share))


@given(FIGURES, WINDOW)
def test_entities_and_days_each_add_up_to_the_whole(
    figures: list[Figure], window: timedelta
) -> None:
    told = measure(figures, NOW, window)
    assert sum(told.by_entity.values(), Tally()) == told.tally
    assert sum((each.tally for each in told.by_day), Tally()) == told.tally
    for each in told.by_day:
        start = datetime(each.day.year, each.day.month, each.day.day, tzinfo=UTC)
        compared = sum(
            figure.tally.compared
            for figure in figures
            if start <= figure.at < start + DAY and told.since < figure.at <= NOW
        )
        assert each.tally.compared == compared
        assert each.compliant is accuracy.is_compliant(each.tally)
        assert (each.compliant is None) is (compared == 0)


@given(FIGURES, WINDOW)
def test_adding_up_beforehand_changes_nothing(figures: list[Figure], window: timedelta) -> None:
    """The database adds up the figures of one entity, one day and the same windows."""
    groups: dict[Any, Figure] = {}
    for each in figures:
        windows = tuple(each.at > NOW - length for length in BURN_WINDOWS.values())
        key = (each.entity, each.at.date(), each.at <= NOW, windows)
        known = groups.get(key)
        groups[key] = each if known is None else Figure(
            at=max(known.at, each.at), entity=each.entity, tally=known.tally + each.tally
        )  # fmt: skip
    assert measure(groups.values(), NOW, window) == measure(figures, NOW, window)


@given(FIGURES, WINDOW, st.integers(1, 10**6))
def test_what_is_unknown_never_raises_the_accuracy(
    figures: list[Figure], window: timedelta, unknown: int
) -> None:
    before = measure(figures, NOW, window)
    figures.append(Figure(at=NOW, entity="issues", tally=Tally(unknown=unknown)))
    after = measure(figures, NOW, window)
    assert after.tally.accuracy == before.tally.accuracy
    assert after.compliant is before.compliant
    assert after.budget == before.budget
    assert after.tally.unknown == before.tally.unknown + unknown


@given(FIGURES, st.integers(1, 100))
def test_one_more_wrong_item_never_makes_anything_better(figures: list[Figure], more: int) -> None:
    before = measure(figures, NOW, DAY)
    figures.append(Figure(at=NOW, entity="issues", tally=Tally(compared=more)))
    after = measure(figures, NOW, DAY)
    assert after.tally.accuracy is not None
    assert before.tally.accuracy is None or after.tally.accuracy <= before.tally.accuracy
    for name, rate in before.burn_rate.items():
        now = after.burn_rate[name]
        assert now is not None
        assert rate is None or now >= rate


@given(st.lists(st.integers(0, 1_000), max_size=60), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[int], share: float
) -> None:
    told = accuracy.percentile(sorted(values), share)
    enough = [
        v for v in values if sum(w <= v for w in values) >= Fraction(str(share)) * len(values)
    ]
    assert told == min(enough, default=None)


def test_items_weigh_the_same_whichever_run_compared_them() -> None:
    large = Figure(at=NOW, entity="issues", tally=Tally(compared=9_900, matched=9_900))
    small = Figure(at=NOW, entity="issues", tally=Tally(compared=100, matched=50))
    assert measure([large, small], NOW, DAY).tally.accuracy == 0.995  # not 75 %
    assert measure([large, small], NOW, DAY).compliant is True


def test_the_border_of_the_slo_is_kept_to_the_item() -> None:
    held = Tally(compared=2_000, matched=1_990)
    assert (accuracy.is_compliant(held), accuracy.burn_rate(held)) == (True, 1.0)
    assert accuracy.budget(held).left == 0.0
    missed = Tally(compared=2_000, matched=1_989)
    assert accuracy.is_compliant(missed) is False
    assert accuracy.budget(missed).left == pytest.approx(-0.1)
    assert accuracy.burn_rate(missed) == pytest.approx(1.1)


def test_days_are_those_of_utc_and_the_first_and_last_may_be_parts() -> None:
    late = datetime.fromisoformat("2026-11-21T23:30:00-02:00")  # the 22nd in UTC
    figure = Figure(at=late, entity="issues", tally=Tally(compared=4, matched=4))
    days = measure([figure], NOW, WEEK).by_day
    assert [each.day for each in days] == [date(2026, 11, 15 + number) for number in range(8)]
    assert [each.whole for each in days] == [False, *[True] * 6, False]
    assert [each.compliant for each in days] == [*[None] * 7, True]


@pytest.mark.parametrize("slo", [0.0, 1.0, 1.5, -1.0])
def test_an_slo_that_allows_nothing_or_everything_is_refused(slo: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        measure([], NOW, DAY, slo)


def test_nothing_at_all_is_not_known_rather_than_right() -> None:
    told = measure([], NOW, DAY)
    assert (told.tally.accuracy, told.compliant, told.slo) == (None, None, SLO)
    assert (told.budget.allowed, told.budget.used, told.budget.left) == (0.0, 0, None)
    assert set(told.burn_rate.values()) == {None}
    assert {each.compliant for each in told.by_day} == {None}
