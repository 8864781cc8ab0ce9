"""What adds up over runs, discrepancies, gaps and audits: the sums of a stretch of time, and what they say.

Pure. Sums of several accounts and of several stretches may be added, which is why hours that are over can
be summed once (`reconciliation.rollup`). What is not known is None, never 0 or 100 %. See
docs/sync-health-figures.md for what counts.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from itertools import zip_longest
from math import ceil
from typing import Final

from reconciliation.accuracy import Tally
from reconciliation.sampling import Standing, Weights

BOUNDS: Final = (
    0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 3600, 7200,
)  # fmt: skip
"""The classes by which durations are kept, in seconds: a run is in the first that is no shorter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Runs:
    """Runs that have ended, by how they ended; dry runs, rechecks and audits are not counted."""

    succeeded: int = 0
    partial: int = 0
    failed: int = 0
    """Failed or given up (`dead`)."""
    cancelled: int = 0

    def __add__(self, other: "Runs") -> "Runs":
        return Runs(
            succeeded=self.succeeded + other.succeeded,
            partial=self.partial + other.partial,
            failed=self.failed + other.failed,
            cancelled=self.cancelled + other.cancelled,
        )

    @property
    def ended(self) -> int:
        """All of them."""
        return self.succeeded + self.partial + self.failed + self.cancelled

    @property
    def judged(self) -> int:
        """Those of which a share can succeed: whoever cancels a run says nothing about it."""
        return self.succeeded + self.partial + self.failed

    @property
    def success_rate(self) -> float | None:
        """The share that read everything it set out to, 0 to 1; None when none was judged (P19)."""
        return self.succeeded / self.judged if self.judged else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Durations:
    """How long the judged runs took from their start to their end: in all, and how many of each class.

    `classes` has a number for each of `BOUNDS`, and one for what took longer still; it is empty where
    only the mean was asked for.
    """

    number: int = 0
    milliseconds: int = 0
    classes: tuple[int, ...] = ()

    def __add__(self, other: "Durations") -> "Durations":
        both = zip_longest(self.classes, other.classes, fillvalue=0)
        return Durations(
            number=self.number + other.number,
            milliseconds=self.milliseconds + other.milliseconds,
            classes=tuple(one + two for one, two in both),
        )

    @property
    def mean(self) -> float | None:
        """Seconds; None without runs."""
        return self.milliseconds / 1000 / self.number if self.number else None

    def at_most(self, share: float) -> float | None:
        """The bound that so many of them did not exceed, in seconds: with 0.95, 95 % took no longer.
        None without runs, and when even the longest bound was too short."""
        rank = ceil(Fraction(str(share)) * sum(self.classes))
        for bound, number in zip(BOUNDS, self.classes, strict=False):
            rank -= number
            if rank <= 0 < number:
                return float(bound)
        return None


def class_of(seconds: float) -> int:
    """The class of `Durations` in which a run of so many seconds is."""
    return bisect_left(BOUNDS, seconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Audits:
    """What independent samples found, added up."""

    audits: int = 0
    sampled: int = 0
    matched: int = 0
    wrong: int = 0
    in_flight: int = 0
    unknown: int = 0
    weights: Weights = field(default_factory=Weights)

    def __add__(self, other: "Audits") -> "Audits":
        return Audits(
            audits=self.audits + other.audits,
            sampled=self.sampled + other.sampled,
            matched=self.matched + other.matched,
            wrong=self.wrong + other.wrong,
            in_flight=self.in_flight + other.in_flight,
            unknown=self.unknown + other.unknown,
            weights=self.weights + other.weights,
        )

    @property
    def standing(self) -> Standing:
        """The estimate with its Wilson 95 % interval (R8.3)."""
        low, high = self.weights.interval
        return Standing(
            audits=self.audits,
            sampled=self.sampled,
            matched=self.matched,
            wrong=self.wrong,
            in_flight=self.in_flight,
            unknown=self.unknown,
            estimate=self.weights.share,
            low=low,
            high=high,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums:
    """Everything that adds up over a stretch of time, of one account or of several."""

    runs: Runs = field(default_factory=Runs)
    durations: Durations = field(default_factory=Durations)
    tally: Tally = field(default_factory=Tally)
    found: int = 0
    """Discrepancies that were detected."""
    gaps: int = 0
    """Gaps that were opened."""

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(
            runs=self.runs + other.runs,
            durations=self.durations + other.durations,
            tally=self.tally + other.tally,
            found=self.found + other.found,
            gaps=self.gaps + other.gaps,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One point of a trend: what happened from `since` on and before `until` (R18.5, P22)."""

    since: datetime
    until: datetime
    sums: Sums

    @property
    def accuracy(self) -> float | None:
        """Matched / compared; None where nothing was compared."""
        return self.sums.tally.accuracy

    @property
    def success_rate(self) -> float | None:
        """None where no run ended."""
        return self.sums.runs.success_rate

    @property
    def seconds_mean(self) -> float | None:
        """Mean duration of a run; None where none ended."""
        return self.sums.durations.mean

    @property
    def seconds_p95(self) -> float | None:
        """95 % of the runs took at most so long; None where none ended."""
        return self.sums.durations.at_most(0.95)


Trend = Sequence[Point]
ByType = Mapping[str, int]
