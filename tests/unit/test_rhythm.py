"""When a silence is strange: by the account's own habits, and never because it is a quiet one."""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.webhooks import rhythm
from syncsvc.webhooks.rhythm import HOURS, Verdict

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR, DAY, WEEK = (timedelta(**{name: 1}) for name in ("minutes", "hours", "days", "weeks"))
THRESHOLD = timedelta(minutes=10)
BUSY = (0.8,) * HOURS


def at_random(seed: int) -> list[float]:
    """Any rhythm; a third of its hours are silent. (Drawing 168 numbers one by one takes for ever.)"""
    random = Random(seed)
    return [max(0.0, random.uniform(-0.5, 0.95)) for _ in range(HOURS)]


some_shares = st.integers().map(at_random)
moments = st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
spans = st.timedeltas(timedelta(0), timedelta(days=16))


def judged(shares: tuple[float, ...], since: datetime, now: datetime) -> Verdict:
    return rhythm.judge(shares, since, now, threshold=THRESHOLD).verdict


@given(some_shares, moments, spans, spans)
def test_a_longer_silence_is_never_less_strange(
    shares: list[float], since: datetime, shorter: timedelta, more: timedelta
) -> None:
    less = rhythm.surprise(shares, since, since + shorter)
    assert 0 <= less <= rhythm.surprise(shares, since, since + shorter + more)


@given(some_shares, moments, spans, st.integers(-60, 60))
def test_the_same_silence_in_another_week_is_exactly_as_strange(
    shares: list[float], since: datetime, span: timedelta, weeks: int
) -> None:
    later = since + weeks * WEEK
    assert rhythm.surprise(shares, since, since + span) == rhythm.surprise(
        shares, later, later + span
    )


@given(
    st.integers().map(lambda seed: [int(200 * each) for each in at_random(seed)]),
    st.integers(0, HOURS - 1),
    st.integers(1, 40),
    moments,
    spans,
)
def test_who_was_more_active_is_never_noticed_later(
    counts: list[int], hour: int, more: int, since: datetime, span: timedelta
) -> None:
    active = dict(enumerate(counts))
    began, now = MONDAY - 4 * WEEK, MONDAY
    less = rhythm.measure(active, began, now, least_active=0)
    busier = rhythm.measure(active | {hour: active[hour] + more}, began, now, least_active=0)
    assert rhythm.surprise(less, since, since + span) <= rhythm.surprise(
        busier, since, since + span
    )


@given(moments, spans)
def test_who_never_sends_anything_never_alarms(since: datetime, span: timedelta) -> None:
    silent = rhythm.measure({}, MONDAY - 4 * WEEK, MONDAY, least_active=0)
    assert len(silent) == HOURS
    assert judged(silent, since, since + span) is Verdict.NORMAL
    assert judged((), since, since + span) is Verdict.UNKNOWN


@given(moments, st.integers(1, 60))
def test_a_constant_stream_is_noticed_within_minutes_of_the_threshold(
    since: datetime, threshold: int
) -> None:
    shares = rhythm.measure(dict.fromkeys(range(HOURS), 240), MONDAY - 4 * WEEK, MONDAY)
    patience = threshold * MINUTE

    def verdict(minutes: float) -> Verdict:
        now = since + minutes * MINUTE
        return rhythm.judge(shares, since, now, threshold=patience).verdict

    assert verdict(threshold - 0.01) is Verdict.NORMAL
    assert verdict(max(threshold, 6)) is Verdict.STRANGE


@given(st.floats(0, 500), moments)
def test_an_accounts_own_quiet_times_raise_the_bar(longest: float, since: datetime) -> None:
    now = since + 3 * HOUR
    found = rhythm.judge(BUSY, since, now, threshold=THRESHOLD, longest_quiet=longest)
    assert found.limit == max(rhythm.STRANGE, 1.5 * longest)
    assert (found.verdict is Verdict.STRANGE) == (found.surprise > found.limit)


@pytest.mark.parametrize(
    "ask",
    [
        lambda naive: rhythm.surprise(BUSY, naive, MONDAY),
        lambda naive: rhythm.surprise(BUSY, MONDAY, naive),
        lambda naive: rhythm.judge((), naive, MONDAY, threshold=THRESHOLD),
        lambda naive: rhythm.measure({}, naive, MONDAY),
        rhythm.hour_of_week,
    ],
)
def test_naive_times_are_refused(ask: Callable[[datetime], object]) -> None:
    with pytest.raises(ValueError, match="naive"):
        ask(datetime(2026, 3, 1))


def test_too_little_history_is_unknown_and_not_normal() -> None:
    always = dict.fromkeys(range(HOURS), 60)
    assert rhythm.measure(always, MONDAY - 3 * DAY + MINUTE, MONDAY) == ()
    assert rhythm.measure({0: 49}, MONDAY - 4 * WEEK, MONDAY) == ()
    assert len(rhythm.measure({0: 50}, MONDAY - 4 * WEEK, MONDAY)) == HOURS


def test_no_share_reaches_one_and_an_hour_seen_once_counts_half() -> None:
    shares = rhythm.measure(dict.fromkeys(range(HOURS), 10**6), MONDAY - WEEK, MONDAY)
    assert set(shares) == {0.5}
    some_days = rhythm.measure({0: 60, 100: 60}, MONDAY, MONDAY + 3 * DAY)
    assert (some_days[0], some_days[100]) == (0.5, 0.0)  # the second was never lived through


def test_hours_are_those_of_utc_wherever_the_time_was_written() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert rhythm.hour_of_week(MONDAY) == rhythm.hour_of_week(MONDAY.astimezone(tokyo)) == 0
    shares = tuple(0.9 if hour < 3 else 0.0 for hour in range(HOURS))
    there = (MONDAY + HOUR).astimezone(tokyo)
    assert rhythm.surprise(shares, there, there + HOUR) == pytest.approx(-60 * math.log(0.1))


def test_offices_may_open_an_hour_late() -> None:
    office = tuple(0.9 if hour in range(9, 17) else 0.0 for hour in range(HOURS))
    nine = MONDAY + 9 * HOUR
    assert rhythm.surprise(office, nine - 10 * HOUR, nine + HOUR) == 0
    assert judged(office, nine, nine + HOUR + 11 * MINUTE) is Verdict.STRANGE


# -- simulated weeks -------------------------------------------------------------------------------


def steady(random: Random, rate: float, began: datetime, days: int) -> Iterator[datetime]:
    """Deliveries at random, so many a minute, around the clock."""
    at = began
    while (at := at + random.expovariate(rate) * MINUTE) < began + days * DAY:
        yield at


def office(random: Random, rate: float, began: datetime, days: int) -> Iterator[datetime]:
    """The same on weekdays from nine to five, and hardly anything otherwise."""
    for at in steady(random, rate, began, days):
        works = at.weekday() < 5 and 9 <= at.hour < 17
        if works or random.random() < 0.01:
            yield at


def bursts(random: Random, rate: float, began: datetime, days: int) -> Iterator[datetime]:
    """A few times a day a handful of deliveries within minutes, at any time."""
    for start in steady(random, rate, began, days):
        at = start
        for _ in range(random.randint(1, 12)):
            yield at
            at += random.expovariate(2) * MINUTE


class Account:
    """What the shell knows of an account after some weeks of its traffic."""

    def __init__(self, times: list[datetime], now: datetime) -> None:
        past = sorted(at for at in times if at < now)
        minutes = {at.replace(second=0, microsecond=0) for at in past}
        active: dict[int, int] = {}
        for at in minutes:
            active[rhythm.hour_of_week(at)] = active.get(rhythm.hour_of_week(at), 0) + 1
        self.shares = rhythm.measure(active, past[0], now)
        silences = [each for each in pairwise(past) if each[1] - each[0] >= THRESHOLD]
        self.longest = rhythm.longest(self.shares, silences)

    def judge(self, since: datetime, now: datetime) -> Verdict:
        found = rhythm.judge(
            self.shares, since, now, threshold=THRESHOLD, longest_quiet=self.longest
        )
        return found.verdict

    def noticed_after(self, since: datetime) -> float:
        """Minutes until a silence from that moment on is noticed."""
        return next(
            minutes
            for minutes in range(1, 7 * 24 * 60)
            if self.judge(since, since + minutes * MINUTE) is Verdict.STRANGE
        )


TRAFFIC = [
    (steady, 1 / 360), (steady, 1 / 30), (steady, 1.0), (office, 0.02), (office, 0.3),
    (office, 1.0), (bursts, 1 / 720), (bursts, 1 / 120),
]  # fmt: skip


@pytest.mark.spec("R6.5")
@pytest.mark.parametrize(
    ("kind", "rate"), TRAFFIC, ids=lambda each: getattr(each, "__name__", each)
)
@pytest.mark.parametrize("seed", range(3))
def test_a_week_of_harmless_traffic_raises_no_alarm(
    kind: Callable[[Random, float, datetime, int], Iterator[datetime]], rate: float, seed: int
) -> None:
    now = MONDAY + 3 * WEEK
    times = sorted(kind(Random(f"{kind.__name__} {rate} {seed}"), rate, MONDAY, 28))
    account = Account(times, now)
    future = [at for at in times if at >= now]
    last = max(at for at in times if at < now)
    # A silence is most strange at its end, just before the next delivery.
    alarms = [
        since
        for since, until in pairwise([last, *future])
        if until - since >= THRESHOLD and account.judge(since, until) is Verdict.STRANGE
    ]
    assert alarms == []


@pytest.mark.spec("R6.5")
@pytest.mark.parametrize(
    ("kind", "rate", "most"), [(steady, 2.0, 15), (steady, 0.5, 60), (office, 2.0, 30)]
)
def test_the_silence_of_a_busy_account_is_noticed(
    kind: Callable[[Random, float, datetime, int], Iterator[datetime]], rate: float, most: float
) -> None:
    now = MONDAY + 4 * WEEK
    account = Account(sorted(kind(Random(7), rate, MONDAY, 28)), now)
    assert 10 <= account.noticed_after(now + DAY + 11 * HOUR) <= most
