"""Who is synced now, and who waits for a share of the budget; how often, and what a run teaches of that.

Pure: the caller brings rows, budgets and the time (R4.2, R3.4). Accounts share a *pool*: the credentials
whose requests GitHub counts together. An installation of the App has its own; all accounts that one token
reaches share one.
"""

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

WINDOW: Final = timedelta(hours=1)
"""GitHub gives each budget for an hour ("Rate limits for the REST API")."""
BREATH: Final = timedelta(minutes=1)
"""So much of what is spent evenly may be spent at once: else a run would seldom fit between two looks."""
LARGEST_PART: Final = 4
"""A run that costs more than this part of a whole window's budget starts as soon as the part is there: it
will be blocked on its way and go on after the reset, and would never start otherwise."""
UNKNOWN_COST: Final = 25.0
"""Requests that a run is expected to cost of which nothing is known."""
MOST_WEIGHT: Final = 4.0
"""The busiest account is worth so many idle ones: an idle one is never put off for long."""
MEMORY: Final = timedelta(hours=2)
"""After so long a change rate counts for a third of what it did."""
COST_SHARE: Final = 0.3
"""What the newest run says of the usual cost, against all before it."""
OUTLIER: Final = 4.0
"""A run that found or cost more than so many times the usual says no more than that."""
LEAST_CHANGES, LEAST_COST = 10.0, 10.0
"""Below so many changes an hour, or requests, nothing is an outlier yet."""


class Why(StrEnum):
    """Why an account that is due waits."""

    PACE = "pace"
    BUDGET = "budget"
    QUEUE = "queue"


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """An account that is due. `cost`: requests that its run is expected to take, 0 when policy will
    refuse it. `read_at`: when it was last read; None when it never was."""

    key: int
    pool: Hashable
    cost: float
    due_at: datetime
    read_at: datetime | None = None
    changes_per_hour: float = 0.0
    gap: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What GitHub has left of one resource. `kept` is what periodic runs leave over of it, `kept_by_gaps`
    what those of accounts with an open gap do."""

    limit: int
    remaining: int
    reset_at: datetime
    kept: int
    kept_by_gaps: int

    def at(self, now: datetime) -> "Budget":
        """The same at `now`: a new window has the whole limit. No window lasts longer than an hour; one
        that seems to was written by a clock that was wrong."""
        if self.reset_at <= now:
            return Budget(
                limit=self.limit,
                remaining=self.limit,
                reset_at=now + WINDOW,
                kept=self.kept,
                kept_by_gaps=self.kept_by_gaps,
            )
        if self.reset_at <= now + WINDOW:
            return self
        return Budget(
            limit=self.limit,
            remaining=self.remaining,
            reset_at=now + WINDOW,
            kept=self.kept,
            kept_by_gaps=self.kept_by_gaps,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Credentials, and what is known of their spending.

    `budgets`: one for each resource, none when GitHub said nothing of them (an Enterprise Server may have
    no limits). `under_way`: what runs that are active will still take, as far as GitHub did not count it
    yet. `started`: when periodic runs were started lately, and what each was expected to cost.
    `per_hour`: what the runs of all accounts of the pool cost in an hour, each at its interval.
    """

    budgets: tuple[Budget, ...] = ()
    under_way: float = 0.0
    started: tuple[tuple[datetime, float], ...] = ()
    per_hour: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Until about when an account waits, as far as can be told now, and for what."""

    until: datetime
    why: Why


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`starts`: who is synced now, the most needed first. `waits`: all others that are due."""

    starts: tuple[int, ...] = ()
    waits: Mapping[int, Wait] = field(default_factory=dict)


def plan(
    candidates: Iterable[Candidate], pools: Mapping[Any, Pool], slots: int, now: datetime
) -> Plan:
    """Who of those that are due is synced now (R4.2).

    Everything starts when the budgets last until their resets. Where they do not, what lies above the
    reserves is spent evenly over the time that is left, by need. At most `slots` runs start, so that
    they reach the workers in the order of need. A pool that nobody described has no limits.
    """
    due = sorted(candidates, key=lambda each: need(each, now))
    wanted: dict[Hashable, float] = {}
    for each in due:
        wanted[each.pool] = wanted.get(each.pool, 0.0) + each.cost
    purses = {key: _Purse(pools.get(key, Pool()), sum_, now) for key, sum_ in wanted.items()}
    starts: list[int] = []
    waits: dict[int, Wait] = {}
    for each in due:
        purse = purses[each.pool]
        if each.cost > 0 and slots <= 0:
            waits[each.key] = Wait(until=now, why=Why.QUEUE)
            continue
        why = purse.refuses(each)
        if why is None:
            purse.take(each)
            starts.append(each.key)
            slots -= each.cost > 0
        else:
            waits[each.key] = purse.wait(each, why)
    return Plan(starts=tuple(starts), waits=waits)


def need(candidate: Candidate, now: datetime) -> tuple[int, float, datetime, int]:
    """The order in which accounts are served; the least first.

    Open gaps, then what was never read, then by age times change rate. The rate counts as a weight from
    1 to `MOST_WEIGHT`, so that no account waits much longer than another for being quiet.
    """
    if candidate.gap:
        return (0, 0.0, candidate.due_at, candidate.key)
    if candidate.read_at is None:
        return (1, 0.0, candidate.due_at, candidate.key)
    age = max((now - candidate.read_at).total_seconds(), 0.0)
    return (2, -age * weight(candidate.changes_per_hour), candidate.due_at, candidate.key)


def weight(changes_per_hour: float) -> float:
    """How much an account's age counts: 1 when idle, one more with each doubling of its changes."""
    return min(MOST_WEIGHT, 1.0 + math.log2(1.0 + max(changes_per_hour, 0.0)))


class _Purse:
    """What one pool may spend while a plan is made."""

    def __init__(self, pool: Pool, wanted: float, now: datetime) -> None:
        self._now = now
        self._spent = pool.under_way
        self._waiting = 0.0
        self._budgets = [each.at(now) for each in pool.budgets]
        self._pace = min(
            (
                pace
                for budget in self._budgets
                if (pace := _pace(budget, pool, wanted, now)) is not None
            ),
            default=None,
        )
        self._debt = self._breath = 0.0
        self._left = min(
            ((each.reset_at - now).total_seconds() for each in self._budgets), default=0.0
        )
        if self._pace is not None:
            self._breath = self._pace * BREATH.total_seconds()
            self._debt = _debt(pool.started, self._pace, now)

    def refuses(self, one: Candidate) -> Why | None:
        """Why this one cannot start now, if it cannot."""
        if one.cost <= 0:
            return None
        if any(self._short(budget, one) for budget in self._budgets):
            return Why.BUDGET
        # The first of all runs may be larger than a breath: then what came before it is paid off.
        paced = self._pace is not None and not one.gap and self._debt > 0
        return Why.PACE if paced and self._debt + one.cost > self._breath else None

    def take(self, one: Candidate) -> None:
        """Spends what the run is expected to cost."""
        self._spent += one.cost
        if not one.gap:
            self._debt += one.cost

    def wait(self, one: Candidate, why: Why) -> Wait:
        """Until when this one waits, with all who wait before it.

        One that is short of budget is passed by smaller ones until the reset; one that the pace holds
        back is passed by nobody.
        """
        if why is Why.BUDGET:
            self._waiting += one.cost
            return Wait(until=self._reset_for(one), why=why)
        self._debt += one.cost
        seconds = (self._debt - self._breath) / (self._pace or 1e-9)
        if seconds <= self._left:
            return Wait(until=self._now + timedelta(seconds=max(seconds, 0.0)), why=why)
        self._waiting += one.cost
        return Wait(until=self._reset_for(one), why=why)

    def _short(self, budget: Budget, one: Candidate) -> bool:
        kept = budget.kept_by_gaps if one.gap else budget.kept
        most = max(budget.limit - kept, 0) / LARGEST_PART
        return budget.remaining - kept - self._spent < min(one.cost, max(most, 1.0))

    def _reset_for(self, one: Candidate) -> datetime:
        """When there will be budget for this one, after all who wait before it."""
        short = [each for each in self._budgets if self._short(each, one)] or self._budgets
        reset = max(each.reset_at for each in short)
        an_hour = min(max(each.limit - each.kept, 1) for each in short)
        ahead = (self._waiting - one.cost) / an_hour
        return reset + WINDOW * min(max(ahead, 0.0), 24.0)


def _pace(budget: Budget, pool: Pool, wanted: float, now: datetime) -> float | None:
    """Requests a second that spend what is left evenly until the reset; None when it is ample."""
    spendable = budget.remaining - budget.kept - pool.under_way
    left = (budget.reset_at - now).total_seconds()
    if wanted + pool.per_hour * left / WINDOW.total_seconds() <= spendable:
        return None
    return max(spendable, 0.0) / max(left, 1.0)


def _debt(started: Iterable[tuple[datetime, float]], pace: float, now: datetime) -> float:
    """What runs that were started lately took ahead of the pace."""
    debt, last = 0.0, None
    for at, cost in sorted(each for each in started if each[0] <= now):
        if last is not None:
            debt = max(debt - pace * (at - last).total_seconds(), 0.0)
        debt, last = debt + cost, at
    return max(debt - pace * (now - last).total_seconds(), 0.0) if last is not None else 0.0


# -- how often, and what a run teaches ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """The shortest and the longest time between two syncs; the longest is what people were promised."""

    least: timedelta
    most: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) < self.least <= self.most:
            raise ValueError(
                "the shortest interval must be positive, and no longer than the longest"
            )


def interval(present: timedelta | None, bounds: Bounds) -> timedelta:
    """The interval in force: what was learnt, within the bounds; of a new account the longest."""
    return bounds.most if present is None else min(max(present, bounds.least), bounds.most)


def next_interval(present: timedelta | None, bounds: Bounds, *, found_changes: bool) -> timedelta:
    """Half of the present interval after a run that found changes of which no event had told, else twice
    of it; never beyond the bounds (R3.4)."""
    now = interval(present, bounds)
    return interval(now / 2 if found_changes else now * 2, bounds)


def learned_rate(known: float, changes: int, elapsed: timedelta) -> float:
    """Changes an hour, smoothed over `MEMORY`, after a run found so many since the last one.

    A long time counts for more than a short one. No time, or a clock that went back, teaches nothing.
    """
    hours = elapsed.total_seconds() / 3600
    if hours <= 0:
        return known
    newest = min(changes / hours, max(known * OUTLIER, LEAST_CHANGES))
    share = 1.0 - math.exp(-elapsed / MEMORY)
    return known + share * (newest - known)


def learned_cost(known: float | None, requests: float) -> float:
    """Requests that a run usually costs, smoothed, after one that cost so many; at least 1."""
    newest = max(requests, 1.0)
    if known is None:
        return newest
    newest = min(newest, max(known * OUTLIER, LEAST_COST))
    return known + COST_SHARE * (newest - known)
