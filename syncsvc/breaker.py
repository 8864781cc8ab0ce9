"""An account's circuit breaker: repeated failures pause its syncs, a trial tells when they go on (R10.3).

Pure: a breaker is a value, each happening makes the next one of it. Where it is kept, and who is told,
stands in `syncsvc.circuit`.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from syncsvc import retrying


class State(StrEnum):
    """Closed: syncs run. Open: they wait. Half open: the next one is the trial."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Breaker:
    """How the breaker of one account stands.

    `failures`: failed runs in a row. `openings`: how often it opened since it was last closed, by
    which the pauses double. `opened_at` stays while it is half open; `open_until` is known only while
    it is open.
    """

    state: State = State.CLOSED
    failures: int = 0
    openings: int = 0
    opened_at: datetime | None = None
    open_until: datetime | None = None


def is_over(open_until: datetime | None, now: datetime) -> bool:
    """Whether a pause until then has passed at `now`. None is longer than the longest: one that ends
    later was written by a clock that went wrong, and nobody waits for it."""
    return open_until is None or not now < open_until <= now + retrying.BREAKERS.cap


def may_start(breaker: Breaker, now: datetime) -> bool:
    """Whether a sync may start: always, but for the time that the breaker is open."""
    return breaker.state is not State.OPEN or is_over(breaker.open_until, now)


def started(breaker: Breaker, now: datetime) -> Breaker:
    """A sync that `may_start` starts: after a pause it is the trial. That an account has one active job
    at a time makes it the only one. A trial that comes to no verdict (it was cancelled, it waits for
    GitHub, its worker died, it read one repository only) leaves the breaker half open, so the next sync
    is a trial again and nothing hangs."""
    if breaker.state is State.OPEN and may_start(breaker, now):
        return replace(breaker, state=State.HALF_OPEN, open_until=None)
    return breaker


def failed(breaker: Breaker, now: datetime, threshold: int) -> Breaker:
    """A sync failed: the `threshold`th in a row opens the breaker for 5 minutes, and each failed trial
    for twice as long as before, up to an hour. While it is open a failure only counts: that sync had
    begun before."""
    counted = replace(breaker, failures=breaker.failures + 1)
    if not may_start(breaker, now):
        return counted
    if breaker.state is State.CLOSED and counted.failures < max(1, threshold):
        return counted
    openings = breaker.openings + 1
    return replace(
        counted,
        state=State.OPEN,
        openings=openings,
        opened_at=now,
        open_until=now + retrying.delay(retrying.BREAKERS, openings),
    )


def succeeded(_: Breaker) -> Breaker:
    """A sync went well, or an operator says that it will: closed, and all is forgotten."""
    return Breaker()
