"""What is usual, what is slow and why, and figures over many runs."""

import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import performance
from reconciliation.performance import AT_LEAST, LOOKED_AT, OTHER, PHASES, Run

seconds = st.floats(min_value=0, max_value=10_000, allow_nan=False)
counts = st.integers(min_value=0, max_value=10**6)


@st.composite
def runs(draw: Any) -> Run:
    phases = {name: draw(seconds) for name in PHASES}
    records = draw(counts)
    return Run(
        seconds=sum(phases.values()) + draw(seconds),
        phases=phases,
        records=records,
        bad=draw(st.integers(min_value=0, max_value=records)),
        failed=draw(st.booleans()),
        requests=draw(counts),
        not_modified=draw(counts),
        errors=draw(st.dictionaries(st.sampled_from(["network", "unknown"]), counts)),
    )


def steady(count: int, *, fetch: float = 2.0, update: float = 1.0) -> list[Run]:
    return [Run(seconds=fetch + update, phases={"fetch": fetch, "update": update})] * count


@pytest.mark.spec("R12.2", "P27")
@given(st.lists(runs(), max_size=30), runs())
def test_a_run_is_degraded_exactly_when_it_is_half_as_long_again_as_usual(
    past: list[Run], run: Run
) -> None:
    found = performance.judge(run, past)
    known = past[:LOOKED_AT]
    if len(known) < AT_LEAST:
        assert found is None
        return
    usual = statistics.median(each.seconds for each in known)
    assert (found is not None) == (run.seconds > 1.5 * usual and run.seconds - usual >= 1)
    if found is None:
        return
    growth = {
        name: run.spent(name) - statistics.median(each.spent(name) for each in known)
        for name in (*PHASES, OTHER)
    }
    assert growth[found.phase] == max(growth.values())
    assert found.phase_seconds - found.phase_usual == growth[found.phase]
    assert f"The slow phase is {found.phase} " in found.sentence


@pytest.mark.spec("R12.2", "P27")
@given(
    st.sampled_from([*PHASES, OTHER]),
    st.floats(min_value=3, max_value=1000),
    st.integers(min_value=AT_LEAST, max_value=30),
)
def test_the_one_phase_that_became_slow_is_named(phase: str, extra: float, count: int) -> None:
    before = dict.fromkeys((*PHASES, OTHER), 0.5)
    after = before | {phase: before[phase] + extra}
    past = [Run(seconds=2.5, phases=before)] * count
    found = performance.judge(Run(seconds=2.5 + extra, phases=after), past)
    assert found is not None
    assert found.phase == phase
    assert found.phase_usual == pytest.approx(0.5)
    assert found.phase_seconds == pytest.approx(0.5 + extra)


@pytest.mark.spec("R12.2")
def test_the_sentence_gives_both_figures() -> None:
    slow = Run(seconds=13.0, phases={"fetch": 12.0, "update": 1.0})
    found = performance.judge(slow, steady(5))
    assert found is not None
    assert found.sentence == (
        "Slower than usual: 13.0 s instead of about 3.00 s. The slow phase is fetch "
        "(reading from GitHub): 12.0 s instead of about 2.00 s."
    )


@pytest.mark.spec("R12.2")
def test_nothing_is_usual_before_five_runs_and_only_the_last_twenty_count() -> None:
    slow = Run(seconds=30.0, phases={"fetch": 30.0})
    assert performance.judge(slow, steady(AT_LEAST - 1)) is None
    assert performance.usual(steady(AT_LEAST - 1)) is None
    assert performance.usual([*steady(LOOKED_AT), *steady(500, fetch=99)]) == 3.0


@pytest.mark.spec("R12.2")
def test_half_a_second_more_is_no_news_however_short_a_run_usually_is() -> None:
    quick = steady(20, fetch=0.1, update=0.0)
    assert performance.judge(Run(seconds=0.6, phases={"fetch": 0.6}), quick) is None


@pytest.mark.spec("R12.1", "P24", "P26")
@given(st.lists(runs(), max_size=40))
def test_aggregates_are_what_a_plain_calculation_says(known: list[Run]) -> None:
    found = performance.aggregate(known)
    assert found.runs == len(known)
    assert found.failed == len([run for run in known if run.failed])
    assert found.requests == sum(run.requests for run in known)
    assert found.errors.get("network", 0) == sum(run.errors.get("network", 0) for run in known)
    if not known:
        assert (found.mean, found.peak, found.p95, found.error_rate) == (None,) * 4
        return
    times = [run.seconds for run in known]
    assert found.mean == pytest.approx(statistics.mean(times))
    assert found.peak == max(times)
    assert found.error_rate == found.failed / len(known)
    # Nearest rank: at least 95 % took no longer, and of no shorter run is that true.
    assert found.p95 in times
    assert 100 * sum(each <= found.p95 for each in times) >= 95 * len(times)
    assert 100 * sum(each < found.p95 for each in times) < 95 * len(times)
    records = sum(run.records for run in known)
    assert found.record_error_rate == (sum(run.bad for run in known) / records if records else None)
    if sum(times) > 0:
        assert found.throughput == pytest.approx(records / sum(times))
    else:
        assert found.throughput is None


@pytest.mark.spec("R12.1", "P24")
@given(
    st.dictionaries(
        st.sampled_from(["repositories", "issues", "commits"]),
        st.dictionaries(
            st.sampled_from(["created", "updated", "unchanged", "deleted", "errors"]), counts
        ),
    ),
    seconds,
)
def test_every_record_either_went_well_or_did_not(
    found: dict[str, dict[str, int]], spent: float
) -> None:
    good, bad = performance.processed(found)
    assert good + bad == sum(sum(each.values()) for each in found.values())
    assert bad == sum(each.get("errors", 0) for each in found.values())
    rate = performance.rate(good + bad, spent)
    assert rate is None if spent == 0 else rate == pytest.approx((good + bad) / spent)
