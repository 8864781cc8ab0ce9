"""How many requests we may still send, and the refusal to send more (R4.2).

Hides the merging of answers that overtake each other, the requests still under way, and the
pauses after secondary limits. One guard serves one credential, in all threads of a process.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from syncsvc import retrying
from syncsvc.github.errors import RateLimited
from syncsvc.github.protocol import parse_rate_limit

Clock = Callable[[], datetime]
Reserve = int | Callable[[int], int]

WARN_BELOW: Final = 100
_SAME_WINDOW: Final = timedelta(seconds=30)
_JITTER_SECONDS: Final = 10.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """The budget of one resource (`core`, `graphql`, ...) as last known; times in our clock."""

    resource: str
    limit: int
    remaining: int
    used: int
    reset_at: datetime
    observed_at: datetime = field(compare=False)  # seeing the same again is no change


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetState:
    """All that is worth keeping: budgets, and a pause after secondary limits.

    `strikes` counts secondary limits in a row for which GitHub gave no time to wait.
    """

    budgets: tuple[Budget, ...] = ()
    blocked_until: datetime | None = None
    strikes: int = 0


class BudgetStore(Protocol):
    """Where one installation's state is kept. Called by the thread that uses the client."""

    def load(self) -> BudgetState:
        """The state last saved, an empty one at first."""

    def save(self, state: BudgetState, /) -> None:
        """Keep `state` in place of what was there."""


def merge(known: Budget | None, seen: Budget) -> Budget:
    """What is known after `seen`; answers may arrive in any order.

    Within one window the lowest remaining wins; a later window replaces; an answer from a window
    that is over changes nothing. Windows count as one when they end within 30 s of each other,
    because our clock correction is no better than that, and the known one is not over yet.
    """
    if known is None:
        return seen
    if seen.observed_at >= known.reset_at:
        return seen if seen.reset_at > known.reset_at else known
    apart = seen.reset_at - known.reset_at
    if abs(apart) > _SAME_WINDOW:
        return seen if apart > timedelta(0) else known
    return Budget(
        resource=known.resource,
        limit=seen.limit if seen.observed_at >= known.observed_at else known.limit,
        remaining=min(known.remaining, seen.remaining),
        used=max(known.used, seen.used),
        reset_at=max(known.reset_at, seen.reset_at),
        observed_at=max(known.observed_at, seen.observed_at),
    )


class BudgetGuard:
    """Lets requests pass while the budget lasts.

    `reserve` is what is to be left over for others, a number or a function of the limit; it never
    takes more than half of the limit, else small limits would allow nothing at all. `rng` gives
    0 <= x < 1 and spreads the restart of many installations.
    """

    def __init__(
        self, store: BudgetStore, reserve: Reserve, clock: Clock, rng: Callable[[], float]
    ) -> None:
        self._store = store
        self._reserve = reserve
        self._clock = clock
        self._rng = rng
        self._lock = threading.Lock()
        self._in_flight: Counter[str] = Counter()
        self._warned: dict[str, datetime] = {}
        self._saved = store.load()
        self._budgets = {each.resource: each for each in self._saved.budgets}
        self._blocked_until = self._saved.blocked_until
        self._strikes = self._saved.strikes

    # -- asking ------------------------------------------------------------------------------------

    def state(self) -> BudgetState:
        """What is known now."""
        with self._lock:
            return self._state()

    def budget(self, resource: str = "core") -> Budget | None:
        """What is known of one resource; None before its first answer."""
        with self._lock:
            return self._budgets.get(resource)

    @property
    def blocked_until(self) -> datetime | None:
        """The end of a pause after a secondary limit, None when there is none."""
        with self._lock:
            until = self._blocked_until
            return until if until is not None and until > self._clock() else None

    # -- sending -----------------------------------------------------------------------------------

    def reserve_request(self, resource: str = "core", cost: int = 1) -> None:
        """Take the right to send one request, or raise `RateLimited`; `release` gives it back.

        `cost` is what it will take of the budget: 1, or the points of a GraphQL query.
        """
        with self._lock:
            now = self._clock()
            if self._blocked_until is not None and self._blocked_until > now:
                raise RateLimited(until=self._blocked_until, resource=resource, secondary=True)
            budget = self._budgets.get(resource)
            if budget is not None and not self._affordable(budget, now, cost):
                raise RateLimited(until=self._after(max(budget.reset_at, now)), resource=resource)
            self._in_flight[resource] += cost

    def release(self, resource: str = "core", *, answered: bool = True, cost: int = 1) -> None:
        """The request is over. Without an answer it counts as spent: GitHub may have seen it."""
        with self._lock:
            self._in_flight[resource] -= cost
            budget = self._budgets.get(resource)
            if not answered and budget is not None:
                self._budgets[resource] = replace(budget, remaining=max(0, budget.remaining - cost))

    @contextmanager
    def request(
        self, resource: str = "core", cost: int = 1
    ) -> Iterator[Callable[[Mapping[str, str]], None]]:
        """One request from reservation to answer; the body calls what it gets with the headers."""
        self.reserve_request(resource, cost)
        answered = False

        def answer(headers: Mapping[str, str]) -> None:
            nonlocal answered
            answered = True
            self.observe(headers)

        try:
            yield answer
        finally:
            self.release(resource, answered=answered, cost=cost)

    def observe(self, headers: Mapping[str, str]) -> None:
        """Learn from an answer's headers; answers without budget headers change nothing."""
        with self._lock:
            now = self._clock()
            limit = parse_rate_limit(headers, now)
            if (
                limit is None or limit.limit <= 0
            ):  # a suspended installation has no budget, not a small one
                return
            seen = Budget(
                resource=limit.resource,
                limit=limit.limit,
                remaining=limit.remaining,
                used=limit.used,
                reset_at=limit.reset_at,
                observed_at=now,
            )
            budget = merge(self._budgets.get(limit.resource), seen)
            self._budgets[limit.resource] = budget
            self._warn(budget, now)

    def limited(self, error: RateLimited) -> RateLimited:
        """Remember a limit that GitHub declared; the error to raise, with the time to wait until.

        Where GitHub gave no time, the pause doubles from a minute to an hour at most (GitHub:
        "Best practices for using the REST API").
        """
        with self._lock:
            if not error.secondary:
                error.until = self._after(error.until)
                return error
            if not error.hinted:
                pause = retrying.delay(retrying.LIMITS, self._strikes + 1)
                error.until = self._clock() + pause
                self._strikes += 1
            error.until = self._after(error.until)
            if self._blocked_until is None or error.until > self._blocked_until:
                self._blocked_until = error.until
            return error

    def succeeded(self) -> None:
        """GitHub answered a request: a pause that is over, and the row of limits, are history."""
        if self._blocked_until is None and not self._strikes:
            return
        with self._lock:
            if self._blocked_until is not None and self._blocked_until <= self._clock():
                self._blocked_until = None
                self._strikes = 0

    def flush(self) -> None:
        """Save the state, if it changed since it was last saved."""
        with self._lock:
            state = self._state()
            if state == self._saved:
                return
            self._saved = state
        self._store.save(state)

    # -- inside, under the lock --------------------------------------------------------------------

    def _state(self) -> BudgetState:
        budgets = tuple(sorted(self._budgets.values(), key=lambda each: each.resource))
        return BudgetState(
            budgets=budgets, blocked_until=self._blocked_until, strikes=self._strikes
        )

    def _affordable(self, budget: Budget, now: datetime, cost: int) -> bool:
        fresh = budget.reset_at <= now  # a new window: its limit is all that is known of it
        remaining = budget.limit if fresh else budget.remaining
        wanted = self._reserve(budget.limit) if callable(self._reserve) else self._reserve
        reserve = max(0, min(wanted, budget.limit // 2))
        return remaining - self._in_flight[budget.resource] - cost >= reserve

    def _after(self, moment: datetime) -> datetime:
        return moment + timedelta(seconds=1 + self._rng() * (_JITTER_SECONDS - 1))

    def _warn(self, budget: Budget, now: datetime) -> None:
        if budget.remaining >= WARN_BELOW or self._warned.get(budget.resource, now) > now:
            return
        self._warned[budget.resource] = budget.reset_at
        log.warning(
            "github.budget_low",
            resource=budget.resource,
            remaining=budget.remaining,
            limit=budget.limit,
            reset_at=budget.reset_at.isoformat(),
        )
