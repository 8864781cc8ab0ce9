"""Webhooks for tests: what the simulated GitHub told, put through our own door, in any order."""

from collections.abc import Iterable
from typing import Any

import orjson

from reconciliation import deliveries
from syncsvc.models import Delivery
from syncsvc.simulator import World
from syncsvc.simulator.records import Event
from syncsvc.simulator.sending import signature
from syncsvc.webhooks import arrival, inbox
from syncsvc.webhooks.arrival import Arrival

SECRET = "a secret of tests"


def headers_for(event: str, guid: str, body: bytes, hook_id: int = 1) -> dict[str, str]:
    """The headers with which GitHub sends this body."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": guid,
        "X-GitHub-Hook-ID": str(hook_id),
        "X-GitHub-Hook-Installation-Target-ID": "1",
        "X-GitHub-Hook-Installation-Target-Type": "integration",
        "X-Hub-Signature-256": signature(SECRET, body),
    }


def arrive(event: str, payload: Any, guid: str, hook_id: int = 1) -> str:
    """Stores one delivery as the door does; returns what the door says of it."""
    body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
    found = arrival.judge(headers_for(event, guid, body, hook_id), body, [SECRET])
    assert isinstance(found, Arrival), found
    return str(inbox.store_now(found))


class Post:
    """The mailbag of a simulated GitHub: what it has told since the last look."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = {event.guid for event in world.events}

    def take(self, *names: str) -> list[Event]:
        """What was told since, in order; all of it, or these events only."""
        new = [event for event in self._world.events if event.guid not in self._seen]
        self._seen |= {event.guid for event in new}
        return [event for event in new if not names or event.event in names]

    def deliver(self, events: Iterable[Event] | None = None) -> list[Delivery]:
        """Stores and processes them (or all that is new); returns the rows in the same order."""
        sent = self.take() if events is None else list(events)
        for event in sent:
            arrive(event.event, event.body, event.guid)
        deliveries.drain()
        rows = {row.guid: row for row in Delivery.objects.filter(guid__in=[e.guid for e in sent])}
        return [rows[event.guid] for event in sent]


def outcomes(rows: Iterable[Delivery]) -> list[str]:
    """What became of each, in a word."""
    return [row.outcome for row in rows]
