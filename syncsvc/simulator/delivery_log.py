"""GitHub's log of deliveries: what it says, and what it does not say.

Hides that the simulator remembers what the log leaves out, so that tests know the truth.
"""

from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from syncsvc.simulator.records import Event, rfc3339
from syncsvc.simulator.weather import Kind

KEPT_SECONDS = 3 * 86_400
"""GitHub keeps deliveries for three days."""
KEPT_DELIVERIES = 100_000


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt to deliver one event to one hook; times in epoch seconds."""

    id: int
    hook_id: int
    event: Event
    redelivery: bool
    delivered_at: float
    duration: float
    status: str
    status_code: int
    url: str
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str | None = None
    throttled_at: float | None = None
    fate: Kind = "sent"
    """The truth, which no log tells: what was to become of it."""
    arrived: bool = False
    """The truth: whether the receiver accepted it."""

    @property
    def logged(self) -> bool:
        """Whether GitHub's log tells of it."""
        return self.fate != "silent"


class DeliveryLog:
    """Every attempt, oldest first."""

    def __init__(self, first_id: int) -> None:
        """Empty; the ids of deliveries grow from this one on."""
        self._lock = Lock()
        self._attempts: deque[Delivery] = deque(maxlen=KEPT_DELIVERIES)
        self.last_id = first_id

    def add(self, delivery: Delivery) -> None:
        """One more."""
        with self._lock:
            self._attempts.append(delivery)

    def truth(self) -> list[Delivery]:
        """Everything, also what GitHub does not log, or no longer."""
        with self._lock:
            return list(self._attempts)

    def since(self, oldest: float, hook_id: int | None = None) -> list[Delivery]:
        """What GitHub tells: attempts from this moment on, of one hook or of all."""
        return [
            each
            for each in self.truth()
            if each.logged
            and each.delivered_at >= oldest
            and (hook_id is None or each.hook_id == hook_id)
        ]


def item(delivery: Delivery) -> dict[str, Any]:
    """A delivery in a listing (`hook-delivery-item`)."""
    throttled = delivery.throttled_at
    return {
        "id": delivery.id,
        "guid": delivery.event.guid,
        "delivered_at": rfc3339(int(delivery.delivered_at)),
        "redelivery": delivery.redelivery,
        "duration": delivery.duration,
        "status": delivery.status,
        "status_code": delivery.status_code,
        "event": delivery.event.event,
        "action": delivery.event.action,
        "installation_id": delivery.event.installation_id,
        "repository_id": delivery.event.repository_id,
        "throttled_at": None if throttled is None else rfc3339(int(throttled)),
    }


def full(delivery: Delivery) -> dict[str, Any]:
    """A delivery on its own (`hook-delivery`), with what was sent and answered."""
    return item(delivery) | {
        "url": delivery.url,
        "request": {
            "headers": delivery.request_headers or None,
            "payload": delivery.event.payload,
        },
        "response": {
            "headers": delivery.response_headers or None,
            "payload": delivery.response_body,
        },
    }
