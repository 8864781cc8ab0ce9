"""Readers that many types share: times, numbers that may be too large, parts of lists."""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from syncsvc.simulator.graphql.plan import Bound, Getter
from syncsvc.simulator.graphql.windows import by_place
from syncsvc.simulator.records import rfc3339

LARGEST_INT = 2**31 - 1


def time_of(name: str) -> Getter:
    """A moment as text."""
    get = attrgetter(name)
    return lambda found: rfc3339(get(found))


def time_or_none(name: str) -> Getter:
    """A moment as text, or null."""
    get = attrgetter(name)

    def read(found: Any) -> str | None:
        moment = get(found)
        return None if moment is None else rfc3339(moment)

    return read


def small(name: str) -> Getter:
    """A number that must fit in 32 bits; null when it does not."""
    get = attrgetter(name)

    def read(found: Any) -> int | None:
        number: int = get(found)
        return number if number <= LARGEST_INT else None

    return read


def listed(get: Callable[[Any], Any], key: Getter | None = None) -> Bound:
    """A connection over a list in its own order; `key` is all that decides about it."""
    return Bound(lambda _, arguments: lambda found: by_place(get(found), arguments), key)
