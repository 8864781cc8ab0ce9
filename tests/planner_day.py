"""A day of many accounts, without a database: the planner decides, GitHub counts, runs take their time."""

import heapq
import math
import random
from collections import defaultdict, deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from syncsvc import planner
from syncsvc.planner import Bounds, Budget, Candidate, Pool

START = datetime(2026, 3, 1, tzinfo=UTC)
BOUNDS = Bounds(least=timedelta(minutes=5), most=timedelta(minutes=15))
HOUR = timedelta(hours=1)


@dataclass(slots=True)
class Account:
    """One account. `changes`: an hour, that no event tells of; `requests`: of its usual run."""

    key: int
    pool: Hashable
    changes: float
    requests: float
    due_at: datetime
    read_at: datetime
    interval: timedelta = BOUNDS.most
    rate: float = 0.0
    cost: float | None = None
    gap_at: datetime | None = None
    runs: int = 0
    oldest: timedelta = timedelta(0)


@dataclass(slots=True)
class Credentials:
    """What GitHub counts of one pool. `least` is the smallest rest that periodic runs left over."""

    limit: int
    kept: int
    kept_by_gaps: int
    reset_at: datetime
    remaining: float = 0
    least: float = math.inf
    under_way: float = 0.0
    per_hour: float = 0.0
    known: float = 0.0
    known_runs: int = 0
    started: deque[tuple[datetime, float]] = field(default_factory=deque)
    bins: dict[int, float] = field(default_factory=lambda: defaultdict(float))


class Day:
    """Plays it. Everything is drawn from the seed."""

    def __init__(self, seed: int, *, limit: int, shared: bool, requests: float) -> None:
        self.rng = random.Random(seed)
        self.now = START
        self.pools: dict[Hashable, Credentials] = {}
        self.accounts = [self._account(key, shared, requests) for key in range(1000)]
        for each in self.accounts:
            if each.pool not in self.pools:
                reset = START + HOUR * self.rng.uniform(0.2, 1)
                self.pools[each.pool] = Credentials(limit, 350, 100, reset, limit)
        self._coming = [(each.due_at, each.key) for each in self.accounts]
        heapq.heapify(self._coming)
        self.waiting: dict[int, Candidate] = {}
        self._running: list[tuple[datetime, int, float]] = []
        self.gap_waits: list[timedelta] = []
        self.passed_over = 0
        self.cut = 0
        self.runs = 0

    def _account(self, key: int, shared: bool, requests: float) -> Account:
        quiet = key % 5
        return Account(
            key=key,
            pool="token" if shared else key,
            changes=0.02 if quiet else self.rng.uniform(4, 40),
            requests=requests * self.rng.uniform(0.5, 1.5),
            due_at=START + BOUNDS.most * self.rng.random(),
            read_at=START,
        )

    def play(
        self, length: timedelta, tick: timedelta, *, gaps: float = 0.0, slots: int = 200
    ) -> None:
        """So long, with a look every `tick`, and so many gaps opening in an hour."""
        end = self.now + length
        while self.now < end:
            self.now += tick
            self._end_runs()
            for _ in range(self._poisson(gaps * (tick / HOUR))):
                self._open_gap()
            self._reset()
            while self._coming and self._coming[0][0] <= self.now:
                _, key = heapq.heappop(self._coming)
                each = self.accounts[key]
                self.waiting[key] = self._candidate(each)
            if self.waiting:
                self._look(slots)

    def _look(self, slots: int) -> None:
        pools = {key: self._seen(key) for key in {each.pool for each in self.waiting.values()}}
        found = planner.plan(self.waiting.values(), pools, slots, self.now)
        left_gap = any(self.waiting[key].gap for key in found.waits)
        self.passed_over += left_gap and any(not self.waiting[key].gap for key in found.starts)
        for key in found.starts:
            self._start(self.accounts[key], self.waiting.pop(key))

    def _start(self, each: Account, candidate: Candidate) -> None:
        pool = self.pools[each.pool]
        age = self.now - each.read_at
        each.oldest, each.read_at = max(each.oldest, age), self.now
        each.runs, self.runs = each.runs + 1, self.runs + 1
        if each.gap_at is not None:
            self.gap_waits.append(self.now - each.gap_at)
            each.gap_at = None
        else:
            pool.started.append((self.now, candidate.cost))
        pool.under_way += candidate.cost
        found = self._poisson(each.changes * (age / HOUR))
        each.rate = planner.learned_rate(each.rate, found, age)
        self._regular(each, -1)
        each.interval = planner.next_interval(each.interval, BOUNDS, found_changes=found > 0)
        self._regular(each, 1)
        each.due_at = self.now + each.interval
        heapq.heappush(self._coming, (each.due_at, each.key))
        until = self.now + timedelta(seconds=15)
        heapq.heappush(
            self._running, (until, each.key, -candidate.cost if candidate.gap else candidate.cost)
        )

    def _end_runs(self) -> None:
        while self._running and self._running[0][0] <= self.now:
            at, key, expected = heapq.heappop(self._running)
            each = self.accounts[key]
            pool = self.pools[each.pool]
            kept = pool.kept_by_gaps if expected < 0 else pool.kept
            requests = each.requests * self.rng.uniform(0.8, 1.2)
            # The client itself sends nothing that would touch the reserve: the run is blocked.
            self.cut += pool.remaining - kept < requests
            requests = max(min(requests, pool.remaining - kept), 0)
            pool.remaining -= requests
            if expected > 0:
                pool.bins[int((at - START) / timedelta(minutes=5))] += requests
                pool.least = min(pool.least, pool.remaining)
            pool.under_way = max(pool.under_way - abs(expected), 0)
            self._regular(each, -1)
            pool.known_runs += each.cost is None
            pool.known += planner.learned_cost(each.cost, requests) - (each.cost or 0)
            each.cost = planner.learned_cost(each.cost, requests)
            self._regular(each, 1)

    def _cost(self, each: Account) -> float:
        """What its run is expected to take: as usual, as others of the pool do, or nobody knows."""
        pool = self.pools[each.pool]
        guess = pool.known / pool.known_runs if pool.known_runs else planner.UNKNOWN_COST
        return guess if each.cost is None else each.cost

    def _regular(self, each: Account, sign: int) -> None:
        """Counts what its runs take in an hour, kept as a sum: 1,000 a look would take longer."""
        if each.cost is not None:
            self.pools[each.pool].per_hour += sign * each.cost * (HOUR / each.interval)

    def _reset(self) -> None:
        for pool in self.pools.values():
            if pool.reset_at <= self.now:
                pool.reset_at, pool.remaining = pool.reset_at + HOUR, pool.limit

    def _open_gap(self) -> None:
        each = self.rng.choice(self.accounts)
        if each.gap_at is None and not any(key == each.key for _, key, _ in self._running):
            each.gap_at = self.now
            self._coming = [entry for entry in self._coming if entry[1] != each.key]
            heapq.heapify(self._coming)
            each.due_at = self.now
            self.waiting[each.key] = self._candidate(each)

    def _candidate(self, each: Account) -> Candidate:
        return Candidate(
            key=each.key,
            pool=each.pool,
            cost=self._cost(each),
            due_at=each.due_at,
            read_at=each.read_at,
            changes_per_hour=each.rate,
            gap=each.gap_at is not None,
        )

    def _seen(self, key: Hashable) -> Pool:
        pool = self.pools[key]
        while pool.started and pool.started[0][0] <= self.now - timedelta(minutes=10):
            pool.started.popleft()
        budget = Budget(
            limit=pool.limit,
            remaining=int(pool.remaining),
            reset_at=pool.reset_at,
            kept=pool.kept,
            kept_by_gaps=pool.kept_by_gaps,
        )
        return Pool(
            budgets=(budget,),
            under_way=pool.under_way,
            started=tuple(pool.started),
            per_hour=pool.per_hour,
        )

    def _poisson(self, mean: float) -> int:
        if mean <= 0:
            return 0
        number, product, floor = 0, self.rng.random(), math.exp(-mean)
        while product > floor:
            number, product = number + 1, product * self.rng.random()
        return number
