"""The one retry policy: every wait, every limit of attempts, and what no waiting mends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import retrying
from syncsvc.github import errors
from syncsvc.retrying import (
    HOPELESS,
    BlockUntil,
    GiveUp,
    Policy,
    RetryAt,
    Trouble,
    Why,
    decide,
    delay,
    with_attempts,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
POLICIES = {name: value for name, value in vars(retrying).items() if isinstance(value, Policy)}

policies = st.sampled_from(list(POLICIES.values()))
draws = st.floats(0, 1)
spans = st.timedeltas(timedelta(0), timedelta(days=1))
passing = st.builds(
    Trouble,
    category=st.sampled_from(["network", "database", "unknown"]),
    kind=st.sampled_from(["", "network", "server"]),
    sentence=st.just("It did not work."),
    retry_after=st.none() | spans,
)
limits = st.builds(
    Trouble,
    category=st.just("rate_limit"),
    kind=st.just("rate_limited"),
    sentence=st.just("Wait."),
    until=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    retry_after=st.none() | spans,
    retryable=st.booleans(),
)
hopeless = st.builds(
    Trouble,
    category=st.just("authentication"),
    kind=st.sampled_from(sorted(HOPELESS)),
    sentence=st.just("Mend it."),
    retryable=st.booleans(),
    retry_after=st.none() | spans,
)


@pytest.mark.spec("R4.5", "R10.1", "P28")
@given(policies, st.integers(1, 10**6), draws)
def test_each_wait_is_the_base_times_two_for_each_failure_within_jitter_and_cap(
    policy: Policy, failures: int, draw: float
) -> None:
    low, high = policy.spread
    wait = delay(policy, failures, draw)
    step = min(policy.cap / high, policy.base * policy.factor ** min(failures - 1, 20))
    assert step * low - MINUTE / 10**6 <= wait <= step * high + MINUTE / 10**6
    assert timedelta(0) < wait <= policy.cap
    if policy is not retrying.REDELIVERIES:
        assert policy.factor == 2


@pytest.mark.spec("R4.5", "R10.1", "P28")
@given(policies, st.integers(1, 60), draws, draws)
def test_waits_grow_whatever_the_draw_until_the_cap_is_reached(
    policy: Policy, failures: int, one: float, two: float
) -> None:
    low, high = policy.spread
    grown = policy.base * policy.factor ** min(failures, 20)
    if grown * high <= policy.cap:
        assert delay(policy, failures, one) <= delay(policy, failures + 1, two)
    assert delay(policy, failures, one) <= delay(policy, failures + 1, one)
    assert high <= policy.factor * low


@pytest.mark.spec("R4.5", "R10.1")
def test_the_figures_of_the_specification() -> None:
    requests = [delay(retrying.REQUESTS, n, 0) / SECOND for n in (1, 2, 3)]
    assert requests == [1, 2, 4]
    assert delay(retrying.REQUESTS, 99, 1) == MINUTE
    assert (retrying.REQUESTS.attempts, retrying.JOBS.attempts) == (4, 5)
    assert [delay(retrying.JOBS, n) / SECOND for n in (1, 2, 3, 4)] == [30, 60, 120, 240]
    assert delay(retrying.JOBS, 99, 1) == 15 * MINUTE
    assert [delay(retrying.DELIVERIES, n) / SECOND for n in (1, 2, 3, 4)] == [10, 20, 40, 80]
    assert [delay(retrying.BREAKERS, n) / MINUTE for n in range(1, 7)] == [5, 10, 20, 40, 60, 60]
    assert [delay(retrying.LISTS, n, 0.5) / MINUTE for n in (1, 2, 3, 6)] == [5, 10, 20, 160]
    assert delay(retrying.LISTS, 10**9, 1) == 6 * HOUR


@pytest.mark.spec("R4.5", "R10.1", "P28")
@given(policies, st.integers(1, 100), passing, draws)
def test_what_may_pass_is_tried_again_as_long_as_attempts_are_left(
    policy: Policy, attempt: int, trouble: Trouble, draw: float
) -> None:
    found = decide(policy, attempt, trouble, NOW, draw)
    exhausted = policy.attempts is not None and attempt >= policy.attempts
    asked = trouble.retry_after
    too_late = policy.patience is not None and asked is not None and asked > policy.patience
    if exhausted:
        assert found == GiveUp(why=Why.EXHAUSTED)
    elif too_late:
        assert found == GiveUp(why=Why.TOO_LATE)
    else:
        assert isinstance(found, RetryAt)
        assert found.wait == max(delay(policy, attempt, draw), asked or timedelta(0))
        assert found.at == NOW + found.wait


@pytest.mark.spec("R10.1", "P28")
@given(st.integers(-3, 20), st.lists(st.one_of(passing, limits), max_size=60), draws)
def test_attempts_never_exceed_their_number_and_a_limit_uses_none(
    most: int, troubles: list[Trouble], draw: float
) -> None:
    """Plays a job: the shell counts an attempt for everything but a limit."""
    policy = replace(with_attempts(retrying.JOBS, most), patience=None)
    attempt, failures, now, ended = 1, 0, NOW, False
    for trouble in troubles:
        found = decide(policy, attempt, trouble, now, draw)
        if isinstance(found, BlockUntil):
            assert trouble.is_limit
            now = found.until
            continue
        failures += 1
        if isinstance(found, GiveUp):
            ended = True
            break
        assert found.at >= now + (trouble.retry_after or timedelta(0))
        attempt, now = attempt + 1, found.at
    limit = max(1, most)
    assert failures <= limit
    told = sum(not trouble.is_limit for trouble in troubles)
    assert ended == (told >= limit)


@pytest.mark.spec("R4.2", "R10.1")
@given(policies, st.integers(1, 10**6), limits, draws)
def test_a_limit_waits_until_it_ends_however_many_attempts_there_were(
    policy: Policy, attempt: int, trouble: Trouble, draw: float
) -> None:
    assert trouble.until is not None
    assert decide(policy, attempt, trouble, NOW, draw) == BlockUntil(until=max(NOW, trouble.until))
    assert trouble.action_needed == ""


@pytest.mark.spec("R4.5", "R10.1")
@given(policies, st.integers(1, 10**6), hopeless, draws)
def test_what_no_waiting_mends_is_given_up_at_once_with_the_sentence_for_a_person(
    policy: Policy, attempt: int, trouble: Trouble, draw: float
) -> None:
    found = decide(policy, attempt, trouble, NOW, draw)
    said = "" if trouble.kind == "gone" else "Mend it."
    assert found == GiveUp(why=Why.HOPELESS, action_needed=said)


@pytest.mark.spec("R10.1")
def test_of_all_kinds_of_errors_exactly_the_hopeless_ones_are_given_up() -> None:
    assert set(get_args(errors.Kind)) > HOPELESS
    assert set(get_args(errors.Kind)) - HOPELESS == {"network", "server", "rate_limited"}
    assert HOPELESS > retrying.ABOUT_THE_ACCOUNT


@pytest.mark.spec("R4.5", "R10.1")
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.AuthenticationFailed(status=401), Why.HOPELESS),
        (errors.Suspended(status=403), Why.HOPELESS),
        (errors.Forbidden(status=403), Why.HOPELESS),
        (errors.NotFound(status=404), Why.HOPELESS),
        (errors.AnswerTooLarge(), Why.HOPELESS),
        (errors.NetworkError(), None),
        (errors.ServerError(status=502, retry_after=3600), Why.TOO_LATE),
        (errors.ServerError(status=502, retry_after=30), None),
    ],
    ids=lambda each: getattr(each, "kind", str(each)),
)
def test_githubs_errors_as_the_policy_of_requests_sees_them(
    error: errors.GitHubError, expected: Why | None
) -> None:
    found = decide(retrying.REQUESTS, 1, error.trouble, NOW)
    if expected is None:
        assert isinstance(found, RetryAt)
        return
    assert isinstance(found, GiveUp)
    assert found.why is expected
    assert found.action_needed == (error.sentence if expected is Why.HOPELESS else "")


def test_a_limit_of_githubs_blocks_until_its_end() -> None:
    error = errors.RateLimited(until=NOW + HOUR)
    assert decide(retrying.JOBS, 5, error.trouble, NOW) == BlockUntil(until=NOW + HOUR)


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        replace(Trouble(category="rate_limit"), until=datetime(2026, 3, 1))
