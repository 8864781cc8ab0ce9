"""How many items of which kind are drawn, and what a sample says of the whole. Pure: counts, a random
source and sizes in, numbers out (R8.3). Nothing here knows where items are or how they are read.

Items are drawn from two frames, the mirror's list and GitHub's: what only one of them has can only be
drawn from that one. An item that both have can be drawn from either, and counts half each time, so
that the share estimated is that of all items, wherever they are (Hartley's dual-frame estimator).
"""

import math
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final, TypeVar

Z_95: Final = 1.959963984540054
"""The two-sided 95 % point of the normal distribution."""
LEAST: Final = 2
"""Items that each stratum gives at least, so that a small one is not left out for ever."""
IN_BOTH: Final = 0.5
"""How much an item counts that could have been drawn from either frame."""

Key = TypeVar("Key", bound=Hashable)


# -- how many, and which ---------------------------------------------------------------------------


def allocate(
    populations: Mapping[Key, int], size: int, random: Random, least: int = LEAST
) -> dict[Key, int]:
    """How many items to draw from each stratum: proportional to its population, but `least` of each.

    Never more than there are, and `size` together as far as there are so many. Where `size` does not
    even allow the least, chance decides who goes without.
    """
    left = min(size, sum(populations.values()))
    drawn = dict.fromkeys(populations, 0)
    order = [key for key, population in populations.items() if population > 0]
    random.shuffle(order)
    for _ in range(least):
        for key in order:
            if left > 0 and drawn[key] < populations[key]:
                drawn[key] += 1
                left -= 1
    room = {key: populations[key] - drawn[key] for key in order}
    total = sum(room.values())
    if left > 0:
        shares = {key: divmod(left * free, total) for key, free in room.items()}
        for key, (whole, _) in shares.items():
            drawn[key] += whole
        left -= sum(whole for whole, _ in shares.values())
        # What is left over goes to those who were rounded down most.
        for key in sorted(order, key=lambda key: shares[key][1], reverse=True)[:left]:
            drawn[key] += 1
    return drawn


@dataclass(frozen=True, slots=True)
class Place:
    """An item by its place: in which list, and how many are before it there."""

    list: int
    offset: int


def places(lengths: Sequence[int], size: int, random: Random) -> list[Place]:
    """So many different items of these lists, each item of all lists equally likely."""
    ends = list(accumulate(lengths))
    total = ends[-1] if ends else 0
    chosen = random.sample(range(total), min(size, total))
    found = []
    for number in chosen:
        index = bisect_right(ends, number)
        found.append(Place(index, number - (ends[index] - lengths[index])))
    return found


def beyond(known: int, now: int, random: Random) -> int | None:
    """An offset among those that were not known when another was drawn from the first `known`; None
    to stay with that one. With it, each of the `now` items is equally likely."""
    number = random.randrange(now) if now > known else 0
    return number if number >= known else None


def allowance(limit: int, remaining: int | None, reserve: int, percent: int, spent: int) -> int:
    """Requests that an audit may send: `percent` of the hourly `limit`, less what audits `spent` in
    the hour before, and nothing that would touch the reserve. `remaining` is None while unknown."""
    share = limit * percent // 100 - spent
    left = (limit if remaining is None else remaining) - reserve
    return max(0, min(share, left))


# -- what it says ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Stratum:
    """What came of the items drawn from one stratum. `alone` are those, all wrong, that the other
    frame does not have; the others of the judged were in both."""

    population: int
    matched: int = 0
    wrong: int = 0
    alone: int = 0
    in_flight: int = 0
    unknown: int = 0

    @property
    def judged(self) -> int:
        """Items that turned out right or wrong."""
        return self.matched + self.wrong


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """The weights of judged items, summed: all, those of matched ones, their squares, and the squares
    of those of wrong ones. Sums of several audits may be added."""

    total: float = 0.0
    matched: float = 0.0
    squares: float = 0.0
    squares_wrong: float = 0.0

    def __add__(self, other: "Weights") -> "Weights":
        return Weights(
            total=self.total + other.total,
            matched=self.matched + other.matched,
            squares=self.squares + other.squares,
            squares_wrong=self.squares_wrong + other.squares_wrong,
        )

    @property
    def share(self) -> float | None:
        """The estimated share of items that are right; None when nothing was judged."""
        return min(1.0, self.matched / self.total) if self.total > 0 else None

    @property
    def effective(self) -> float:
        """How many equally weighted items this sample is worth: Kish's size, or less where the wrong ones
        weigh more than the others, as what only one side has does. Kish's size takes weights to have
        nothing to do with what an item turns out to be."""
        share = self.share
        if share is None or self.squares <= 0:
            return 0.0
        kish = self.total * self.total / self.squares
        # The variance of the share as a ratio of two sums of weights, by its linear part.
        spread = self.squares_wrong * share * share
        spread += (self.squares - self.squares_wrong) * (1 - share) * (1 - share)
        if not 0 < share < 1 or spread <= 0:
            return kish
        return min(kish, share * (1 - share) * self.total * self.total / spread)

    @property
    def interval(self) -> tuple[float, float]:
        """The Wilson 95 % interval of the share, on the effective size."""
        share = self.share
        if share is None:
            return 0.0, 1.0
        return wilson(share * self.effective, self.effective)


def weigh(strata: Iterable[Stratum]) -> Weights:
    """What the strata of one audit say together: each judged item stands for as many as were not
    drawn. What is in flight or unknown stands for nothing: it is as if it had not been drawn."""
    found = Weights()
    for stratum in strata:
        if not stratum.judged:
            continue
        each = stratum.population / stratum.judged
        both = stratum.judged - stratum.alone
        found += Weights(
            total=each * (stratum.alone + IN_BOTH * both),
            matched=each * IN_BOTH * stratum.matched,
            squares=each * each * (stratum.alone + IN_BOTH * IN_BOTH * both),
            squares_wrong=each
            * each
            * (stratum.alone + IN_BOTH * IN_BOTH * (stratum.wrong - stratum.alone)),
        )
    return found


def wilson(matched: float, total: float) -> tuple[float, float]:
    """The Wilson 95 % score interval of the share `matched / total`.

    Fractions are welcome: a weighted sample has an effective size. Nothing sampled says nothing:
    (0, 1). Raises `ValueError` unless 0 <= matched <= total.
    """
    if not 0 <= matched <= total or math.isinf(total):
        raise ValueError(f"{matched} of {total} is no share")
    if total == 0:
        return 0.0, 1.0
    share, square = matched / total, Z_95 * Z_95
    scale = 1 + square / total
    middle = (share + square / (2 * total)) / scale
    half = Z_95 / scale * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
    # Rounding must not put the bounds beyond what they bound.
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the audits of a window say together; `estimate` is None when they judged nothing."""

    audits: int
    sampled: int
    matched: int
    wrong: int
    in_flight: int
    unknown: int
    estimate: float | None
    low: float
    high: float


def disagrees(measured: float | None, standing: Standing, least: int = 100) -> bool:
    """Whether the audits contradict an accuracy that runs measured: it lies above all that they find
    believable, and at least so many items were judged."""
    judged = standing.matched + standing.wrong
    return measured is not None and judged >= least and measured > standing.high
