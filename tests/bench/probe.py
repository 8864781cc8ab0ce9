"""What one measurement is: wall and CPU time, what the simulator was asked, the peak of memory.

Each runs in a process of its own and ends by printing one line of JSON.
"""

import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import Request, urlopen

_STATUS = Path("/proc/self/status")


class Probe:
    """Measures what happens inside `with`; `report` prints it."""

    def __init__(self, simulator_url: str) -> None:
        self._url = simulator_url
        self._figures: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._ask("DELETE", "log")
        self._requests, self._points = self._served(), self._spent()
        self._cpu = time.process_time()
        self._wall = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._figures = {
            "wall_seconds": time.perf_counter() - self._wall,
            "cpu_seconds": time.process_time() - self._cpu,
            "peak_mb": peak_mb(),
        }
        self._figures |= {
            "requests": self._served() - self._requests,
            "points": self._spent() - self._points,
            "kinds": kinds(self._ask("GET", "log")),
        }

    def report(self, **more: Any) -> None:
        """Prints all figures as the process's last line."""
        sys.stdout.write(json.dumps(self._figures | more) + "\n")

    def _served(self) -> int:
        return int(self._ask("GET", "counters")["requests"])

    def _spent(self) -> int:
        """Points of GraphQL, as the simulator counts them."""
        owner = int(os.environ["BENCH_INSTALLATION"])
        return int(self._ask("POST", "limits", {"owner": owner, "resource": "graphql"})["used"])

    def _ask(self, method: str, door: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(f"{self._url}/_simulator/{door}", data, headers, method=method)
        with urlopen(request) as answer:
            return json.load(answer)


def kinds(log: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """How many requests there were of each kind, most first."""
    return dict(Counter(kind_of(entry["path"]) for entry in log).most_common())


def kind_of(path: str) -> str:
    """What a request to this path is for, in a word or two."""
    first, *rest = path.strip("/").split("/")
    if path.endswith("/access_tokens"):
        return "token"
    if path == "/installation/repositories":
        return "repository list"
    if first == "repos":
        return rest[2] if len(rest) == 3 else "single"
    return "GraphQL" if first == "graphql" else path


def peak_mb() -> float:
    """The most memory that this process ever held.

    On Linux `ru_maxrss` begins with the parent's peak, which exec hands down; `VmHWM` does not.
    """
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
