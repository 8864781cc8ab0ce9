"""Which part of a window is read from what is rolled, and which from the rows themselves. Pure.

A window seldom begins or ends at a whole hour, and its last hours are not rolled yet: those parts are
read row by row. All stretches are half open: their end is not in them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

HOUR: Final = timedelta(hours=1)
SPANS: Final = (24, 6, 1)
"""How many hours a row of what is rolled spans, the longest first; each begins at a multiple of it."""
_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, order=True)
class Stretch:
    """From `since` on, before `until`; read from rows that span `hours`, or from raw ones when 0."""

    since: datetime
    until: datetime
    hours: int = 0


def floor(at: datetime, hours: int = 1) -> datetime:
    """The beginning of the stretch of so many hours in which the moment lies, in UTC."""
    return at - (at - _EPOCH) % (hours * HOUR)


def ceiling(at: datetime, hours: int = 1) -> datetime:
    """The first beginning of such a stretch that is not before the moment."""
    begun = floor(at, hours)
    return begun if begun == at else begun + hours * HOUR


def split(
    edges: Sequence[datetime], rolled: tuple[datetime, datetime] | None, longest: int = 24
) -> list[Stretch]:
    """The stretches that cover everything between the first edge and the last; none crosses an edge.

    `rolled`: from when until when all whole hours are rolled. `longest`: the longest span allowed.
    """
    found: list[Stretch] = []
    for since, until in pairwise(edges):
        found += _between(since, until, rolled, longest)
    return list(_joined(found))


def _between(
    since: datetime, until: datetime, rolled: tuple[datetime, datetime] | None, longest: int
) -> Iterator[Stretch]:
    begin = end = since
    if rolled is not None:
        begin = max(ceiling(since), rolled[0])
        end = min(floor(until), rolled[1])
    if begin >= end:
        yield Stretch(since, until)
        return
    if since < begin:
        yield Stretch(since, begin)
    at = begin
    while at < end:
        fitting = (
            hours
            for hours in SPANS
            if hours <= longest and floor(at, hours) == at and at + hours * HOUR <= end
        )
        hours = next(fitting)
        yield Stretch(at, at + hours * HOUR, hours)
        at += hours * HOUR
    if end < until:
        yield Stretch(end, until)


def _joined(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """Neighbours that are read the same way are one."""
    last: Stretch | None = None
    for each in stretches:
        if last is not None and last.until == each.since and last.hours == each.hours:
            last = Stretch(last.since, each.until, last.hours)
            continue
        if last is not None and last.since < last.until:
            yield last
        last = each
    if last is not None and last.since < last.until:
        yield last
