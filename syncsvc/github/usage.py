"""What a client has spent: requests, answers, retries, bytes; counted from all threads (R12.1)."""

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageSnapshot:
    """What was spent so far. `requests` counts every exchange, redirects and retries included;
    `points` is what GraphQL said that its answers cost.
    """

    requests: int = 0
    not_modified: int = 0
    retries: int = 0
    bytes: int = 0
    points: int = 0
    by_status: Mapping[int, int] = field(default_factory=dict)


class Usage:
    """Counts exchanges, from all threads (R12.1)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_status: Counter[int] = Counter()
        self._retries = 0
        self._bytes = 0
        self._points = 0
        self._sent = 0

    def sent(self) -> None:
        """A request left."""
        with self._lock:
            self._sent += 1

    def answered(self, status: int, size: int) -> None:
        """An answer came, with that many bytes of (unpacked) body."""
        with self._lock:
            self._by_status[status] += 1
            self._bytes += size

    def spent(self, points: int) -> None:
        """A GraphQL answer cost that many points."""
        with self._lock:
            self._points += points

    def retried(self) -> None:
        """A request is about to be sent again."""
        with self._lock:
            self._retries += 1

    def snapshot(self) -> UsageSnapshot:
        """All counters at one moment."""
        with self._lock:
            return UsageSnapshot(
                requests=self._sent,
                not_modified=self._by_status[304],
                retries=self._retries,
                bytes=self._bytes,
                points=self._points,
                by_status=dict(+self._by_status),
            )

    @property
    def requests(self) -> int:
        """Requests sent so far."""
        return self.snapshot().requests

    @property
    def not_modified(self) -> int:
        """304s among the answers."""
        return self.snapshot().not_modified
