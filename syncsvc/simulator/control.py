"""Remote control: look into a simulator and change it from another process, over HTTP.

Hides how JSON becomes calls. Everything is under `/_simulator/`; nothing of it counts
against limits or enters the log. Mistakes are answered with 400 and one sentence.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from typing import Any, Protocol

from syncsvc.simulator.changes import CHANGES
from syncsvc.simulator.content import Item
from syncsvc.simulator.deliveries import Deliveries
from syncsvc.simulator.delivery_log import item
from syncsvc.simulator.faults import Fault, Faults
from syncsvc.simulator.limits import Limits
from syncsvc.simulator.log import RequestLog
from syncsvc.simulator.messages import Answer, Refusal, Request, json_answer
from syncsvc.simulator.records import Account, Hook, Installation, Repository
from syncsvc.simulator.weather import Weather
from syncsvc.simulator.world import World

PREFIX = "/_simulator/"


class MisuseError(ValueError):
    """Remote control was given something it cannot use."""


class Controlled(Protocol):
    """What remote control needs of a simulator."""

    world: World
    limits: Limits
    faults: Faults
    deliveries: Deliveries
    request_log: RequestLog

    def describe(self) -> dict[str, Any]:
        """Where it is and which credentials it takes."""

    def counters(self) -> dict[str, int]:
        """What it has counted."""

    def advance(self, seconds: float) -> float:
        """Move its clock."""


class Control:
    """Answers requests under PREFIX."""

    def __init__(self, simulator: Controlled) -> None:
        """Control this simulator."""
        self._simulator = simulator
        self._doors: dict[tuple[str, str], Callable[[Request], Any]] = {
            ("GET", "state"): lambda _: simulator.describe(),
            ("GET", "truth"): self._truth,
            ("GET", "truth/content"): self._truth_content,
            ("GET", "log"): self._log,
            ("DELETE", "log"): lambda _: simulator.request_log.clear(),
            ("GET", "counters"): lambda _: simulator.counters(),
            ("GET", "deliveries"): lambda _: [item(d) for d in simulator.deliveries.all()],
            ("POST", "mutate"): self._mutate,
            ("POST", "faults"): self._fault,
            ("DELETE", "faults"): lambda _: simulator.faults.clear(),
            ("POST", "limits"): self._limit,
            ("POST", "clock"): self._clock,
            ("POST", "webhooks"): self._weather,
            ("GET", "outages"): lambda _: [asdict(o) for o in simulator.deliveries.outages],
            ("POST", "outages"): self._outage,
        }

    def answer(self, request: Request) -> Answer:
        """What a door says; 404 for an unknown one, 400 with a sentence for a mistake."""
        door = self._doors.get((request.method, request.path.removeprefix(PREFIX)))
        headers = {"content-type": "application/json; charset=utf-8"}
        if door is None:
            known = ", ".join(f"{method} {PREFIX}{name}" for method, name in self._doors)
            return json_answer({"error": f"There is only: {known}."}, status=404, headers=headers)
        try:
            return json_answer(door(request), headers=headers)
        except (ValueError, TypeError, Refusal) as error:
            return json_answer({"error": str(error)}, status=400, headers=headers)

    def _truth(self, request: Request) -> Any:
        world, query = self._simulator.world, request.query
        if "owner" in query:
            return world.truth_of(query["owner"], query.get("viewer"))
        wanted = query.get("installation")
        if wanted is None:
            return world.truth()
        return world.truth(int(wanted) if wanted.isdecimal() else wanted)

    def _truth_content(self, request: Request) -> Any:
        wanted = request.query.get("repository", "")
        return self._simulator.world.truth_content(int(wanted) if wanted.isdecimal() else wanted)

    def _log(self, request: Request) -> Any:
        return [
            asdict(e) for e in self._simulator.request_log.entries(request.query.get("path", ""))
        ]

    def _mutate(self, request: Request) -> Any:
        wanted = request.json()
        name, arguments = wanted.get("name"), wanted.get("args", {})
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise MisuseError('Send {"name": the change, "args": {its arguments}}.')
        return shown(run_change(self._simulator.world, name, arguments))

    def _fault(self, request: Request) -> Any:
        values = request.json()
        _only(values, {f.name for f in fields(Fault)} - {"seen", "hits"})
        self._simulator.faults.add(Fault(**values))
        return {"pending": len(self._simulator.faults.pending())}

    def _limit(self, request: Request) -> Any:
        values = request.json()
        owner = values.pop("owner", None)
        if not isinstance(owner, int | str):
            raise MisuseError("Name the owner: an installation's id or a token.")
        _only(values, {"resource", "limit", "remaining", "reset_in"})
        self._simulator.limits.set(owner, **values)
        return asdict(self._simulator.limits.get(owner, values.get("resource", "core")))

    def _clock(self, request: Request) -> Any:
        seconds = request.json().get("advance")
        if not isinstance(seconds, int | float) or seconds < 0:
            raise MisuseError('Send {"advance": seconds}; time does not go back.')
        return {"now": self._simulator.advance(seconds)}

    def _weather(self, request: Request) -> Any:
        values, deliveries = request.json(), self._simulator.deliveries
        _only(values, Weather.names())
        deliveries.weather = Weather(**(asdict(deliveries.weather) | values))
        return asdict(deliveries.weather)

    def _outage(self, request: Request) -> Any:
        values = request.json()
        _only(values, {"in", "seconds"})
        wait, seconds = values.get("in", 0), values.get("seconds", 0)
        if not all(isinstance(v, int | float) and v >= 0 for v in (wait, seconds)):
            raise MisuseError('Send {"seconds": how long, "in": seconds from now}.')
        begin = self._simulator.deliveries.now() + wait
        return asdict(self._simulator.deliveries.outage(seconds, begin))


def run_change(world: World, name: str, arguments: Mapping[str, Any]) -> Any:
    """Run a change of the world by its name; ValueError says what is wrong with it."""
    if name not in CHANGES:
        raise ValueError(
            f"There is no change {name!r}; choose one of {', '.join(sorted(CHANGES))}."
        )
    method = getattr(world, name)
    try:
        inspect.signature(method).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"{name}: {error}.") from None
    return method(**arguments)


def shown(value: Any) -> Any:
    """The outcome of a change as JSON: the id of what it concerned."""
    if isinstance(value, Repository | Account | Installation | Hook):
        return {"id": value.id}
    if isinstance(value, Item):
        return {"id": value.id, "number": value.number, "repository_id": value.repository_id}
    return {}


def _only(values: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(
            f"{', '.join(unknown)} is not known; choose among {', '.join(sorted(known))}."
        )
