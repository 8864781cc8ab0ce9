"""Whether a silence is strange, judged by the account's own habits (R6.5 a). Pure.

Hides the arithmetic. The rhythm holds for each hour of the week (UTC, Monday 00:00 first) the share of
its minutes that had at least one delivery. The surprise of a silence is how unlikely it is by that
rhythm: the sum of -ln(1 - p) over its minutes, so 9.2 means one chance in ten thousand. Because real
traffic comes in bursts, an account's own silences that were none of our losses set the bar too.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Final

HOURS: Final = 168
HISTORY: Final = timedelta(days=28)
LEAST_HISTORY: Final = timedelta(days=3)
LEAST_ACTIVE: Final = 50
"""Minutes with a delivery; with fewer nothing is known about the rhythm."""
STRANGE: Final = math.log(10_000)
MARGIN: Final = 1.5
"""Stranger by so much than what the account did before without a loss."""

_PRIOR: Final = 60
"""Silent minutes that every hour of the week starts with, as if one week had been silent."""
_WEEK_BEGAN: Final = datetime(2024, 1, 1, tzinfo=UTC)


class Verdict(StrEnum):
    """What a silence means."""

    UNKNOWN = "unknown"
    NORMAL = "normal"
    STRANGE = "strange"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The verdict, and the figures behind it."""

    verdict: Verdict
    minutes: float = 0.0
    surprise: float = 0.0
    limit: float = STRANGE


def hour_of_week(moment: datetime) -> int:
    """0 is Monday 00:00 to 01:00 UTC; refuses naive times (ValueError)."""
    _aware(moment)
    at = moment.astimezone(UTC)
    return at.weekday() * 24 + at.hour


def measure(
    active: Mapping[int, int], began: datetime, now: datetime, *, least_active: int = LEAST_ACTIVE
) -> tuple[float, ...]:
    """The shares from the active minutes of each hour of the week between two times.

    Empty when there is too little to go by: less than three days, or too few active minutes.
    Smoothed, so that no share is 1 and an hour that was seen once is believed by half.
    """
    _aware(began, now)
    if now - began < LEAST_HISTORY or sum(active.values()) < least_active:
        return ()
    seen = _minutes_seen(began, now)
    return tuple(
        min(active.get(hour, 0), seen[hour]) / (seen[hour] + _PRIOR) for hour in range(HOURS)
    )


def surprise(shares: Sequence[float], since: datetime, until: datetime) -> float:
    """How unlikely it is that nothing arrives between two times: 0 is certain.

    An hour counts by the least active of itself and its neighbours: offices do not open on the
    minute, and twice a year the clocks shift against UTC.
    """
    _aware(since, until)
    if not shares or until <= since:
        return 0.0
    return _total(_rates(tuple(shares)), since, until)


def _total(rates: Sequence[float], since: datetime, until: datetime) -> float:
    # Counted from the beginning of its week: the same silence a week later is the same number.
    position = (since - _WEEK_BEGAN) % timedelta(weeks=1) / timedelta(minutes=1)
    left = (until - since) / timedelta(minutes=1)
    total, hour = 0.0, int(position // 60)
    room = (hour + 1) * 60 - position
    while left > 0:
        total += rates[hour % HOURS] * min(room, left)
        left -= room
        room = 60.0
        hour += 1
    return total


def longest(shares: Sequence[float], silences: Iterable[tuple[datetime, datetime]]) -> float:
    """The greatest surprise among silences."""
    return max((surprise(shares, since, until) for since, until in silences), default=0.0)


def judge(
    shares: Sequence[float],
    since: datetime,
    now: datetime,
    *,
    threshold: timedelta,
    longest_quiet: float = 0.0,
) -> Judgement:
    """Whether a silence that began at `since` is strange by now (R6.5 a).

    It is when it lasts for `threshold`, is less likely than one in ten thousand, and is half as
    strange again as `longest_quiet`, the strangest one before that was none of our losses.
    """
    _aware(since, now)
    minutes = max((now - since) / timedelta(minutes=1), 0.0)
    limit = max(STRANGE, MARGIN * longest_quiet)
    if not shares:
        return Judgement(verdict=Verdict.UNKNOWN, minutes=minutes, limit=limit)
    found = surprise(shares, since, now)
    strange = now - since >= threshold and found > limit
    return Judgement(
        verdict=Verdict.STRANGE if strange else Verdict.NORMAL,
        minutes=minutes,
        surprise=found,
        limit=limit,
    )


@lru_cache(maxsize=1024)
def _rates(shares: tuple[float, ...]) -> list[float]:
    """Surprise of one silent minute, by hour of the week."""
    raw = [-math.log1p(-min(max(share, 0.0), 0.999)) for share in shares]
    return [min(raw[hour - 1], raw[hour], raw[(hour + 1) % len(raw)]) for hour in range(len(raw))]


def _minutes_seen(began: datetime, now: datetime) -> list[float]:
    """How many minutes of each hour of the week lie between two times."""
    seen = [0.0] * HOURS
    at = began
    while at < now:
        hour_ends = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(
            hours=1
        )
        until = min(hour_ends, now)
        seen[hour_of_week(at)] += (until - at) / timedelta(minutes=1)
        at = until
    return seen


def _aware(*moments: datetime) -> None:
    if any(each.tzinfo is None for each in moments):
        raise ValueError("naive times are refused: nobody knows what they mean")
