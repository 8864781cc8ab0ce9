"""How right the mirror is, as figures over time: accuracy, error budget, burn rate, days (R9.1, R9.2).

Pure. docs/accuracy.md defines every figure, with examples. What is not known is None, never 100 %.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import cache
from math import ceil
from typing import Final, Self

SLO: Final = 0.995
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
#: The windows that can be asked for, and those whose burn rate is shown.
WINDOWS: Final[Mapping[str, timedelta]] = {"24h": DAY, "7d": WEEK}
BURN_WINDOWS: Final[Mapping[str, timedelta]] = {"1h": HOUR, "24h": DAY, "7d": WEEK}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """Items, counted: `matched` of those `compared`; of `unknown` ones nobody can tell.

    `vouched` are those compared for which GitHub's count, newest change or head vouched.
    """

    compared: int = 0
    matched: int = 0
    vouched: int = 0
    unknown: int = 0

    def __add__(self, other: Self) -> "Tally":
        return Tally(
            compared=self.compared + other.compared,
            matched=self.matched + other.matched,
            vouched=self.vouched + other.vouched,
            unknown=self.unknown + other.unknown,
        )

    @property
    def wrong(self) -> int:
        """Items that were compared and differed."""
        return self.compared - self.matched

    @property
    def accuracy(self) -> float | None:
        """Matched / compared, 0 to 1; None when nothing was compared."""
        return self.matched / self.compared if self.compared else None

    @property
    def discrepancy_rate(self) -> float | None:
        """The share of items that differed; None when nothing was compared."""
        return self.wrong / self.compared if self.compared else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """What was measured of one entity at `at`: by one run, or by several of one moment's window."""

    at: datetime
    entity: str
    tally: Tally


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """How many wrong items the SLO allows, and how much of that is used."""

    allowed: float
    """(1 - SLO) x compared: seldom a whole number."""
    used: int
    left: float | None
    """The share of it that is left: 1 for all, below 0 when overdrawn, None when nothing was compared."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """One day in UTC, as far as the window covers it."""

    day: date
    whole: bool
    """Whether the window covers all of it."""
    tally: Tally
    compliant: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """Everything that the figures of a window say."""

    since: datetime
    until: datetime
    slo: float
    tally: Tally
    compliant: bool | None
    budget: Budget
    burn_rate: Mapping[str, float | None]
    by_entity: Mapping[str, Tally]
    by_day: tuple[Day, ...]


def measure(
    figures: Iterable[Figure], now: datetime, window: timedelta, slo: float = SLO
) -> Accuracy:
    """What these figures say of the window that ends at `now` (R9.2).

    A figure counts in a window when its run ended after the window's start and not after its end.
    The burn rates look back up to 7 days: give that many figures, whatever the window. Figures of
    one entity, one day and the same windows may be added up before: the answer is the same.
    """
    known = [each for each in figures if each.at <= now]
    since = now - window
    inside = [each for each in known if each.at > since]
    by_entity: dict[str, Tally] = {}
    for each in inside:
        by_entity[each.entity] = by_entity.get(each.entity, Tally()) + each.tally
    tally = total(inside)
    return Accuracy(
        since=since,
        until=now,
        slo=slo,
        tally=tally,
        compliant=is_compliant(tally, slo),
        budget=budget(tally, slo),
        burn_rate={
            name: burn_rate(total(each for each in known if each.at > now - length), slo)
            for name, length in BURN_WINDOWS.items()
        },
        by_entity=dict(sorted(by_entity.items())),
        by_day=_by_day(inside, since, now, slo),
    )


def total(figures: Iterable[Figure]) -> Tally:
    """All of them added up: each item weighs the same, whichever run compared it."""
    return sum((each.tally for each in figures), Tally())


def is_compliant(tally: Tally, slo: float = SLO) -> bool | None:
    """Whether the accuracy is the SLO's or better; None when nothing was compared."""
    if not tally.compared:
        return None
    return Fraction(tally.matched, tally.compared) >= _exact(slo)


def budget(tally: Tally, slo: float = SLO) -> Budget:
    """The error budget. It is overdrawn exactly when the SLO is missed."""
    allowed = (1 - _exact(slo)) * tally.compared
    return Budget(
        allowed=float(allowed),
        used=tally.wrong,
        left=float(1 - tally.wrong / allowed) if allowed else None,
    )


def burn_rate(tally: Tally, slo: float = SLO) -> float | None:
    """How fast the budget is used: the share of errors / (1 - SLO). 1 uses all of it, and no more, in
    the SLO's own time. None when nothing was compared."""
    if not tally.compared:
        return None
    return float(Fraction(tally.wrong, tally.compared) / (1 - _exact(slo)))


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile of values in order: the smallest that at least this share of them
    does not exceed, as PostgreSQL's `percentile_disc`. None of nothing."""
    if not ordered:
        return None
    rank = ceil(_exact(share) * len(ordered))
    return ordered[max(rank, 1) - 1]


def _by_day(
    figures: Iterable[Figure], since: datetime, until: datetime, slo: float
) -> tuple[Day, ...]:
    tallies: dict[date, Tally] = {}
    for each in figures:
        day = each.at.astimezone(UTC).date()
        tallies[day] = tallies.get(day, Tally()) + each.tally
    first, last = since.astimezone(UTC).date(), until.astimezone(UTC).date()
    days = []
    for number in range((last - first).days + 1):
        day = first + timedelta(days=number)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        tally = tallies.get(day, Tally())
        days.append(
            Day(
                day=day,
                whole=since < midnight and midnight + DAY <= until,
                tally=tally,
                compliant=is_compliant(tally, slo),
            )
        )
    return tuple(days)


@cache
def _exact(share: float) -> Fraction:
    """The share as people write it: 0.995 is 199/200, not the binary number next to it."""
    exact = Fraction(str(share))
    if not 0 < exact < 1:
        raise ValueError(f"A share between 0 and 1 was expected, not {share}.")
    return exact
