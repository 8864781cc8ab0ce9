"""The simulated GitHub of the chaos suite, a process of its own: `python -m tests.chaos.github PLAN`.

It is the product's simulator with several accounts, whose world never rests, and which notes of every
request which process sent it, when it began and when its answer was on its way. Its own doors are
under `/_chaos/`.
"""

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from random import Random
from typing import Any, Final, cast

import psutil

from syncsvc.simulator import AccountPlan, Simulator, Weather, World, limits
from syncsvc.simulator.activity import stir
from syncsvc.simulator.http import Outcome
from syncsvc.simulator.messages import Request, json_answer

PREFIX: Final = "/_chaos/"
MOVED_SECONDS: Final = 120.0
READING_SECONDS: Final = 0.5
WINDOW_SECONDS: Final = 40
"""Of a budget, an hour at GitHub. It must not be set for one account: windows never end sooner than
GitHub said before, and the product relies on that."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request of ours; times in epoch seconds."""

    began: float
    answered: float
    principal: str
    group: int
    """The group of the process that sent it: its leader's pid; 0 where it was gone already."""
    pid: int
    method: str
    path: str
    resource: str
    status: int
    refused: bool
    """A limit was reached when it arrived."""
    until: float
    """Its answer said that a limit is reached until then; 0: it did not."""
    secondary: bool
    """That limit is a secondary one, and holds for every resource."""


class Life(threading.Thread):
    """Lets things happen, so many a second."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(name="life", daemon=True)
        self.rate = 0.0
        self.happened = 0
        self._world, self._random = world, Random(f"chaos life {seed}")
        self.ended = threading.Event()
        self._owners = {each.id: each.owner_id for each in world.repositories.values()}
        self._moved: dict[int, float] = {}

    def run(self) -> None:
        while not self.ended.wait(1 / self.rate if self.rate else 0.05):
            if self.rate:
                self._happen()

    def moved_lately(self, repository: int) -> bool:
        """Whether it changed hands in the last minutes."""
        return time.monotonic() - self._moved.get(repository, -math.inf) < MOVED_SECONDS

    def _happen(self) -> None:
        with self._world.lock:
            stir(self._world, self._random)
            owners = {each.id: each.owner_id for each in self._world.repositories.values()}
        for repository in owners.keys() & self._owners.keys():
            if owners[repository] != self._owners[repository]:
                self._moved[repository] = time.monotonic()
        self._owners = owners
        self.happened += 1


class Watched:
    """The simulator's responder, with our notes and doors in front of it."""

    def __init__(self, simulator: Simulator, life: Life) -> None:
        self._simulator, self._life = simulator, life
        self._inner: Callable[[Request], Outcome] = simulator._server.respond
        self._asked: list[Asked] = []
        self._local = threading.local()
        self._doors: dict[str, Callable[[dict[str, Any]], Any]] = {
            "life": self._rate,
            "requests": lambda _: [asdict(each) for each in self._asked],
            "reading": self._reading,
            "deliveries": self._deliveries,
            "waiting": lambda _: {"drained": simulator.deliveries.drain(0.01)},
            "contents": self._contents,
            "exist": self._exist,
            "secondary": self._secondary,
            "figures": self._figures,
            "weather": self._weather,
        }
        simulator._server.respond = self.respond

    def respond(self, request: Request) -> Outcome:
        """One request: our own doors, or the simulator's answer, noted."""
        if request.path.startswith(PREFIX):
            door = self._doors[request.path.removeprefix(PREFIX)]
            values = json.loads(request.body) if request.body else {}
            headers = {"content-type": "application/json"}
            return Outcome(json_answer(door(values), headers=headers))
        if request.path.startswith("/_simulator/"):
            return self._inner(request)
        began = time.time()
        pid, group = self._sender()
        outcome = self._inner(request)
        self._asked.append(self._noted(request, outcome, began, pid, group))
        return outcome

    def _noted(
        self, request: Request, outcome: Outcome, began: float, pid: int, group: int
    ) -> Asked:
        try:
            principal = self._simulator.keys.identify(
                request.headers.get("authorization"), self._simulator.now()
            ).name
        except Exception:  # noqa: BLE001  (whoever it was, it was refused)
            principal = "unknown"
        answer, headers = outcome.answer, outcome.answer.headers
        refused, secondary = limited(answer.status, answer.body)
        until = 0.0
        if secondary:
            until = began + float(headers.get("retry-after", 60))
        elif refused or headers.get("x-ratelimit-remaining") == "0":
            until = float(headers.get("x-ratelimit-reset", 0))
        return Asked(
            began=began,
            answered=time.time(),
            principal=principal,
            group=group,
            pid=pid,
            method=request.method,
            path=request.path,
            resource="graphql" if request.path == "/graphql" else "core",
            status=0 if outcome.wire in ("silence", "reset") else answer.status,
            refused=refused,
            until=until,
            secondary=secondary,
        )

    def _sender(self) -> tuple[int, int]:
        """Whose connection this is: looked up once, when its first request is under way."""
        if not hasattr(self._local, "sender"):
            self._local.sender = self._looked_up()
        return cast("tuple[int, int]", self._local.sender)

    def _looked_up(self) -> tuple[int, int]:
        me = threading.current_thread()
        server = self._simulator._server
        with server._lock:
            ours = [each for each, thread in server._open.items() if thread is me]
        try:
            peer = ours[0].getpeername()[1]
            for each in psutil.net_connections("tcp4"):
                if each.laddr and each.laddr.port == peer and each.pid:
                    return each.pid, os.getpgid(each.pid)
        except (OSError, IndexError, psutil.Error):
            pass
        return 0, 0

    def _rate(self, values: dict[str, Any]) -> Any:
        self._life.rate = float(values["rate"])
        return {}

    def _reading(self, _: dict[str, Any]) -> Any:
        """Which processes read an account in the last moments: their groups and pids."""
        since = time.time() - READING_SECONDS
        return [
            [each.group, each.pid]
            for each in self._asked[-20:]
            if each.answered > since and each.principal.startswith("installation:")
        ]

    def _weather(self, values: dict[str, Any]) -> Any:
        self._simulator.deliveries.weather = Weather(**values)
        return {}

    def _deliveries(self, _: dict[str, Any]) -> Any:
        return [
            {
                "guid": each.event.guid,
                "hook_id": each.hook_id,
                "at": each.delivered_at,
                "arrived": each.arrived,
                "status_code": each.status_code,
                "redelivery": each.redelivery,
                "fate": each.fate,
            }
            for each in self._simulator.deliveries.truth()
        ]

    def _contents(self, _: dict[str, Any]) -> Any:
        world = self._simulator.world
        with world.lock:
            return {str(key): world.truth_content(key) for key in world.repositories}

    def _exist(self, _: dict[str, Any]) -> Any:
        """What there is at this moment: the account of each repository, and the repository of each issue
        and pull request. Those that changed hands lately are left out: who may see them changed too."""
        world = self._simulator.world
        with world.lock:
            settled = [
                each for each in world.repositories.values() if not self._life.moved_lately(each.id)
            ]
            return {
                "repositories": {each.id: each.owner_id for each in settled},
                "items": {
                    item.id: each.id
                    for each in settled
                    for item in world.content(each).items.values()
                },
            }

    def _secondary(self, values: dict[str, Any]) -> Any:
        self._simulator.limits.secondary(values["owner"], seconds=values["seconds"])
        return {}

    def _figures(self, _: dict[str, Any]) -> Any:
        return self._simulator.counters() | {
            "happened": self._life.happened,
            "revision": self._simulator.world.revision,
        }


def limited(status: int, body: bytes) -> tuple[bool, bool]:
    """Whether this answer is a refusal by a limit, and whether by a secondary one."""
    begin = body[:400].lower()
    refused = b"rate limit" in begin and (status in (403, 429) or begin.startswith(b'{"errors"'))
    return refused, refused and b"secondary rate limit" in begin


def main() -> None:
    """Serves until SIGTERM."""
    plan = json.loads(sys.argv[1])
    accounts = [AccountPlan(**each) for each in plan["accounts"]]
    world = World.generate(plan["seed"], accounts=accounts, **plan["contents"])
    limits.WINDOW = WINDOW_SECONDS
    simulator = Simulator(
        world,
        port=plan["port"],
        latency=plan["latency"],
        webhook_url=plan["webhook_url"],
        webhook_secret=plan["webhook_secret"],
        log_size=0,
    )
    for installation in list(world.installations):
        for resource in ("core", "graphql"):
            simulator.limits.set(installation, resource=resource, limit=plan["limit"])
    life = Life(world, plan["seed"])
    Watched(simulator, life)
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with simulator:
        life.start()
        sys.stdout.write(json.dumps(simulator.describe()) + "\n")
        sys.stdout.flush()
        stopping.wait()
        life.ended.set()
        life.join()


if __name__ == "__main__":
    main()
