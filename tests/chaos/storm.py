"""Lets the weather happen: each act at its time, and what ends it later."""

import contextlib
import heapq
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.error import URLError

import psycopg

from tests.chaos.stage import LEASE_SECONDS, Stage
from tests.chaos.weather import WORKERS, Act

USUAL_RATE: Final = 4.0
"""Things that happen at GitHub in a second, when there is no storm of webhooks."""
#: Of the webhooks some come twice, late, or not at all: GitHub promises none of it.
SKY: Final = {
    "failed": 0.02, "loss": 0.01, "swallowed": 0.01, "silent_loss": 0.01, "throttled": 0.0,
    "duplicate": 0.08, "reorder": 3.0, "timeout": 5.0,
}  # fmt: skip
AIM_SECONDS: Final = 6.0
LEFT: Final = 120
"""Of a budget that is used up nearly: below what periodic work must leave over."""


@dataclass
class Storm:
    """Carries out a forecast on a stage; afterwards it knows what was done."""

    stage: Stage
    acts: Sequence[Act]
    holders: Callable[[], Mapping[int, str]] = dict
    """Which service runs a job of an installation at this moment."""
    done: Counter[str] = field(default_factory=Counter)
    outages: list[tuple[float, float]] = field(default_factory=list)
    """When the database was down or lost its connections; epoch seconds."""
    losses: list[tuple[float, float]] = field(default_factory=list)
    """When the broker was down, or forgot its messages; epoch seconds."""
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _number: Any = field(default_factory=count)

    def rage(self) -> None:
        """From the first act to the last, and everything ended that was to end later."""
        github = self.stage.github
        github.ask("weather", SKY)
        github.ask("life", {"rate": USUAL_RATE})
        began = time.monotonic()
        for act in self.acts:
            self._after(act.at, lambda act=act: self._perform(act))  # type: ignore[misc]
        while self._later:
            at, _, what = heapq.heappop(self._later)
            time.sleep(max(0.0, began + at - time.monotonic()))
            self._now = time.monotonic() - began
            what()

    def calm(self) -> None:
        """Nothing happens any more; webhooks that are on their way arrive, every limit is lifted."""
        github = self.stage.github
        github.ask("life", {"rate": 0})
        github.ask("weather", {})

    _now = 0.0

    def _after(self, at: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._later, (at, next(self._number), what))

    def _perform(self, act: Act) -> None:
        perform = getattr(self, "_" + act.kind.replace(" ", "_"))
        label = " ".join(each for each in (act.kind, act.target, act.how) if each)
        done = perform(act)
        sys.stdout.write(f"{self._now:6.1f} s  {label}{'' if done else ': not possible now'}\n")
        sys.stdout.flush()
        if done:
            self.done[act.kind] += 1
            if act.how:
                self.done[f"{act.kind}: {act.how}"] += 1
            if act.kind == "kill":
                self.done[f"kill {act.target}"] += 1

    # -- acts --------------------------------------------------------------------------------------

    def _kill(self, act: Act) -> bool:
        """One that is down already is killed when it is up again; of workers five in six are killed
        while they read, where that happens soon."""
        reading: list[int] = []
        if act.target in WORKERS and act.number % 6:
            self._aim(lambda: self._reading(act.target))
            reading = self._reading(act.target)
        victim = reading[0] if reading else None
        if self.stage.crew.end(act.target, act.how, act.number, victim):
            return True
        self._after(self._now + 1.0, lambda: self._perform(act))
        return False

    def _reading(self, name: str) -> list[int]:
        """The processes of a service that read an account at this moment."""
        leader = self.stage.crew.leader(name)
        return [pid for group, pid in self.stage.github.ask("reading") if group == leader]

    def _freeze(self, act: Act) -> bool:
        self._aim(lambda: bool(self._reading(act.target)))
        leader = self.stage.crew.freeze(act.target)
        if leader is None:
            return False
        self._after(self._now + act.seconds * LEASE_SECONDS, lambda: self.stage.crew.thaw(leader))
        return True

    def _broker_lost(self, act: Act) -> bool:
        self.stage.broker.halt()
        self.losses.append((time.time(), time.time() + act.seconds + 1))
        self._after(self._now + act.seconds, self.stage.broker.start)
        return True

    def _broker_flushed(self, _: Act) -> bool:
        with contextlib.suppress(Exception):  # it may be down
            self.stage.broker.flush()
        self.losses.append((time.time(), time.time()))
        return True

    def _database(self, how: str, seconds: float) -> bool:
        began = time.time()
        self.stage.postgres.halt(how)
        time.sleep(seconds)
        self.stage.postgres.start()
        self.outages.append((began, time.time()))
        return True

    def _database_immediate(self, act: Act) -> bool:
        return self._database("immediate", act.seconds)

    def _database_fast(self, act: Act) -> bool:
        return self._database("fast", act.seconds)

    def _connections_cut(self, _: Act) -> bool:
        began = time.time()
        try:
            cut = self.stage.postgres.cut() > 0
        except psycopg.Error:
            return False
        self.outages.append((began, time.time()))
        return cut

    def _budget(self, act: Act) -> bool:
        """Others use up what an account has until its window ends, wholly or but for the reserve."""
        values = {
            "owner": self._installation(act),
            "resource": act.target,
            "remaining": 0 if act.number % 2 else LEFT,
        }
        return self._asked("/_simulator/limits", values)

    def _secondary_limit(self, act: Act) -> bool:
        values = {"owner": self._installation(act), "seconds": act.seconds}
        return self._asked("secondary", values)

    def _storm(self, act: Act) -> bool:
        self._after(self._now + act.seconds, self._usual)
        return self._rate(act.number)

    def _usual(self) -> None:
        self._rate(USUAL_RATE)

    def _network(self, act: Act) -> bool:
        """The next requests to GitHub go wrong."""
        faults = {"reset": {"kind": "reset"}, "truncated": {"kind": "truncated"}}
        values = faults.get(act.how, {"kind": "status", "status": 502, "html": True})
        wanted = values | {"times": act.number, "path_regex": "^/(graphql|repos|installation)"}
        return self._asked("/_simulator/faults", wanted)

    def _rate(self, rate: float) -> bool:
        return self._asked("life", {"rate": rate})

    def _installation(self, act: Act) -> int:
        """One for which a job runs, where there is one soon."""
        self._aim(lambda: bool(self.holders()))
        installations = sorted(self.holders()) or self.stage.github.installations
        return installations[act.number // 2 % len(installations)]

    @staticmethod
    def _aim(at: Callable[[], object]) -> None:
        limit = time.monotonic() + AIM_SECONDS
        while not at() and time.monotonic() < limit:
            time.sleep(0.05)

    def _asked(self, door: str, values: dict[str, Any]) -> bool:
        try:
            self.stage.github.ask(door, values)
        except (URLError, OSError):
            return False
        return True
