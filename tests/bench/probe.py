"""What one measurement is: wall and CPU time, the simulator's count of requests, the peak of memory.

Each runs in a process of its own and ends by printing one line of JSON.
"""

import json
import resource
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

_STATUS = Path("/proc/self/status")


class Probe:
    """Measures what happens inside `with`; `report` prints it."""

    def __init__(self, simulator_url: str) -> None:
        self._url = simulator_url
        self._figures: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._requests = self._served()
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
        self._figures["requests"] = self._served() - self._requests

    def report(self, **more: Any) -> None:
        """Prints all figures as the process's last line."""
        sys.stdout.write(json.dumps(self._figures | more) + "\n")

    def _served(self) -> int:
        with urlopen(f"{self._url}/_simulator/counters") as answer:
            return int(json.load(answer)["requests"])


def peak_mb() -> float:
    """The most memory that this process ever held.

    On Linux `ru_maxrss` begins with the parent's peak, which exec hands down; `VmHWM` does not.
    """
    if _STATUS.exists():
        line = next(x for x in _STATUS.read_text().splitlines() if x.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)
