"""Which pages of which repositories go into one GraphQL request, and how large each one is.

Hides GitHub's arithmetic of nodes and points, and how much a request may ask for before GitHub
times out: less after each trouble, slowly more while all goes well. Pure: no I/O, no clock.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from syncsvc.github.reading import MOST_PER_PAGE, Entity, Reading

LABELS: Final = 20
"""Labels asked for with each item; the few items with more are completed one by one."""

ASSIGNEES: Final = 10
"""Assignees asked for with each item: GitHub allows ten."""

MOST_ATTEMPTS: Final = 9
"""From 100 items down to 1, each size once, the first and the last twice."""

_FIRST_GUESS: Final = 20
_PAGE_WEIGHT: Final = 5
_ITEM_WEIGHT: Final = {Entity.ISSUES: 2, Entity.PULL_REQUESTS: 2, Entity.COMMITS: 1}
_SCAN: Final = 400
_ALONE_FROM: Final = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of one request.

    `nodes` and `points` by GitHub's documentation ("Rate limits and query limits for the GraphQL
    API"), the first with some room left. `weight` is our own measure of the work that GitHub has
    with it: 5 for a list, 2 for an issue or pull request with what is nested in it, 1 for a commit.
    """

    nodes: int = 400_000
    points: int = 60
    pages: int = 200
    first_weight: int = 1_200
    least_weight: int = 50
    most_weight: int = 4_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PagePlan:
    """One page to ask for: `size` items after `cursor`, `seen` items having come before it."""

    reading: Reading
    size: int
    cursor: str | None = None
    seen: int = 0
    attempt: int = 0

    @property
    def connections(self) -> int:
        """The connections it costs: the list, and two nested lists for each item asked for."""
        return 1 if self.reading.entity is Entity.COMMITS else 1 + 2 * self.size

    @property
    def nodes(self) -> int:
        """The nodes it may return."""
        each = 1 if self.reading.entity is Entity.COMMITS else 1 + LABELS + ASSIGNEES
        return self.size * each

    @property
    def weight(self) -> int:
        """The work it is for GitHub, see `Limits`."""
        return _PAGE_WEIGHT + self.size * _ITEM_WEIGHT[self.reading.entity]


def points_of(pages: Iterable[PagePlan]) -> int:
    """What a request costs: a hundredth of its connections, at least 1 (GitHub, same page)."""
    return max(1, round(sum(page.connections for page in pages) / 100))


class Pace:
    """How much weight a request may have now. Halved by trouble, raised by a quarter by success.

    A slow or large answer counts as a warning: GitHub gives up after 10 seconds.
    """

    SLOW: Final = 6.0
    QUICK: Final = 3.0
    LARGE: Final = 12 * 1024 * 1024
    SMALL: Final = 6 * 1024 * 1024

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.weight = limits.first_weight

    def succeeded(self, seconds: float, size: int) -> None:
        """An answer came whole, after so many seconds, with so many bytes."""
        if seconds > self.SLOW or size > self.LARGE:
            self._set(self.weight * 3 // 4)
        elif seconds < self.QUICK and size < self.SMALL:
            self._set(self.weight * 5 // 4)

    def troubled(self) -> None:
        """GitHub timed out, answered in part, or found the request too large."""
        self._set(self.weight // 2)

    def _set(self, weight: int) -> None:
        limits = self._limits
        self.weight = min(max(weight, limits.least_weight), limits.most_weight)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    """What is left of a reading: where to go on, and how much to ask for at most."""

    reading: Reading
    cursor: str | None = None
    seen: int = 0
    attempt: int = 0
    cap: int = MOST_PER_PAGE
    guess: int = _FIRST_GUESS

    @property
    def size(self) -> int:
        """The items to ask for next: what is known to be left, else more each time."""
        wanted = self.reading.wanted
        left = wanted - self.seen if wanted is not None else 0
        size = left if left > 0 else self.guess
        if self.reading.limit is not None:
            size = min(size, self.reading.limit - self.seen)
        return max(1, min(size, self.cap, MOST_PER_PAGE))


class Planner:
    """Packs what is left to read into requests, each page of a reading after the one before it.

    `next_request` takes pages out; each has to be given back once, by `went_on`, `finished` or
    `failed`. Long readings come first, because their pages cannot be asked for side by side. A page
    that failed three times travels alone, so that it draws no others into its trouble.
    """

    def __init__(self, readings: Iterable[Reading], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.pace = Pace(self.limits)
        tasks = [_Task(reading=reading) for reading in readings if reading.wanted != 0]
        tasks.sort(key=lambda task: -_pages(task.reading))
        self._waiting = deque(tasks)
        self._under_way: dict[tuple[str, Entity], _Task] = {}

    @property
    def is_done(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._waiting and not self._under_way

    def next_request(self) -> tuple[PagePlan, ...]:
        """The pages of the next request; none when all that is left is under way."""
        chosen: list[PagePlan] = []
        passed: list[_Task] = []
        room = _Room(self.limits, self.pace.weight)
        while self._waiting and len(passed) < _SCAN and room.has_any:
            task = self._waiting.popleft()
            size = room.fitting(task)
            alone = task.attempt >= _ALONE_FROM
            if not size or _key(task.reading) in self._under_way or (alone and chosen):
                passed.append(task)
                continue
            plan = PagePlan(
                reading=task.reading,
                size=size,
                cursor=task.cursor,
                seen=task.seen,
                attempt=task.attempt,
            )
            room.take(plan)
            chosen.append(plan)
            self._under_way[_key(task.reading)] = task
            if alone:
                break
        self._waiting.extendleft(reversed(passed))
        return tuple(chosen)

    def went_on(self, plan: PagePlan, *, received: int, cursor: str) -> None:
        """The page came and there is more after `cursor`; a cap after trouble is lifted by half."""
        task = self._under_way.pop(_key(plan.reading))
        self._waiting.appendleft(
            replace(
                task,
                cursor=cursor,
                seen=plan.seen + received,
                attempt=0,
                cap=min(MOST_PER_PAGE, task.cap * 2),
                guess=min(MOST_PER_PAGE, max(plan.size, _FIRST_GUESS) * 2),
            )
        )

    def finished(self, plan: PagePlan) -> None:
        """The page came and was the last one of its reading."""
        del self._under_way[_key(plan.reading)]

    def failed(self, plan: PagePlan) -> bool:
        """The page did not come. True: it comes again; False: it is given up.

        The first time the others of its request may be to blame; from the second it gets smaller.
        """
        task = self._under_way.pop(_key(plan.reading))
        if plan.attempt + 1 >= MOST_ATTEMPTS:
            return False
        cap = max(1, plan.size // 2) if plan.attempt else task.cap
        self._waiting.appendleft(replace(task, attempt=plan.attempt + 1, cap=cap))
        return True


class _Room:
    """What is left of the bounds of one request while it is packed."""

    def __init__(self, limits: Limits, weight: int) -> None:
        self._nodes = limits.nodes
        self._connections = limits.points * 100
        self._pages = limits.pages
        self._weight = weight
        self._is_empty = True

    @property
    def has_any(self) -> bool:
        return self._pages > 0 and self._weight > _PAGE_WEIGHT and self._connections > 0

    def fitting(self, task: _Task) -> int:
        """How many items of the task fit: all it wants, or, for the first page, as many as do.

        A page that was cut to fill up a request would cost another request for its rest.
        """
        wanted = PagePlan(reading=task.reading, size=task.size)
        if self._fits(wanted):
            return wanted.size
        if not self._is_empty:
            return 0
        size = wanted.size
        while size > 1 and not self._fits(replace(wanted, size=size)):
            size //= 2
        return size

    def _fits(self, plan: PagePlan) -> bool:
        return (
            plan.weight <= self._weight
            and plan.nodes <= self._nodes
            and plan.connections <= self._connections
        )

    def take(self, plan: PagePlan) -> None:
        self._pages -= 1
        self._weight -= plan.weight
        self._nodes -= plan.nodes
        self._connections -= plan.connections
        self._is_empty = False


def _key(reading: Reading) -> tuple[str, Entity]:
    """A list is read by one page at a time, even when two readings want it."""
    return reading.node_id, reading.entity


def _pages(reading: Reading) -> int:
    return -(-(reading.wanted or 1) // MOST_PER_PAGE)
