"""What was asked of the simulator: a bounded record of exchanges, safe across threads."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock

LOGGED_HEADERS = (
    "accept",
    "if-modified-since",
    "if-none-match",
    "user-agent",
    "x-github-api-version",
)
"""Never `authorization`: secrets do not enter a log."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and how it was answered; `at` is the simulator's time in epoch seconds."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int
    at: float
    bytes_sent: int
    cost: int = 1
    """What it took of the limit: requests, or points of GraphQL; 0 for what was free."""
    principal: str
    """Who asked: `installation:<id>`, `user:<id>`, `app:<id>` or `anonymous`."""

    @property
    def url(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


class RequestLog:
    """The newest exchanges; a size of 0 keeps none (for benches)."""

    def __init__(self, size: int) -> None:
        """Keep at most `size` exchanges."""
        self._lock = Lock()
        self._entries: deque[Exchange] = deque(maxlen=size)
        self.total = 0

    @property
    def keeping(self) -> bool:
        """Whether exchanges are kept at all."""
        return self._entries.maxlen != 0

    def add(self, exchange: Exchange | None) -> None:
        """Count an exchange, and keep it unless it is None."""
        with self._lock:
            self.total += 1
            if exchange is not None:
                self._entries.append(exchange)

    def entries(self, path_prefix: str = "") -> list[Exchange]:
        """Exchanges whose path begins so, oldest first."""
        with self._lock:
            return [e for e in self._entries if e.path.startswith(path_prefix)]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._entries.clear()
