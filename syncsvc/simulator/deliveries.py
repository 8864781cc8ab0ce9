"""Webhooks on their way: signed, sent from a background thread, and written into a log.

Hides threads, HTTP and what goes wrong on purpose (loss, doubles, disorder, delay). As at
GitHub, nothing is ever sent again by itself; redelivery keeps the GUID.
"""

import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from random import Random
from threading import Condition, Thread
from typing import Any
from uuid import UUID

import urllib3

from syncsvc.simulator import app_payloads, payloads
from syncsvc.simulator.records import Event, Hook, packed, rfc3339
from syncsvc.simulator.world import World

KEPT_SECONDS = 3 * 86_400
"""GitHub keeps deliveries for three days."""
KEPT_DELIVERIES = 100_000
LARGEST_PAYLOAD = 25 * 1024 * 1024
"""Larger payloads are never sent."""
ALWAYS_SENT = {"installation", "installation_repositories", "installation_target", "ping"}
"""An App hears these without subscribing."""


@dataclass(kw_only=True)
class Weather:
    """What goes wrong with webhooks; shares are between 0 and 1, times in seconds."""

    loss: float = 0.0
    """Share that GitHub fails to deliver: logged as timed out, status code 0."""
    silent_loss: float = 0.0
    """Share that never happens at all, not even in the log."""
    duplicate: float = 0.0
    """Share that is sent twice with the same GUID."""
    shuffle: bool = False
    """Send what is waiting in random order."""
    delay: float = 0.0
    """Before each round of sending."""
    timeout: float = 10.0
    """For the receiver to answer."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One attempt to deliver one event to one hook; `delivered_at` in epoch seconds."""

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


@dataclass(frozen=True)
class _Attempt:
    hook: Hook
    event: Event
    redelivery: bool = False


class Deliveries:
    """The delivery log of every hook, and the thread that fills it."""

    def __init__(self, world: World, now: Callable[[], float]) -> None:
        """Listens to the world's events from now on; the thread starts with the first one."""
        self.weather = Weather()
        self._world = world
        self._now = now
        self._random = Random(f"deliveries {world.seed}")
        self._log: deque[Delivery] = deque(maxlen=KEPT_DELIVERIES)
        self._last_id = int(now()) * 1000
        self._waiting: deque[_Attempt] = deque()
        self._changed = Condition()
        self._busy = self._paused = self._stopped = False
        self._thread: Thread | None = None
        self._pool = urllib3.PoolManager(num_pools=4)
        world.on_event = self.hear

    # Doors

    def hear(self, event: Event) -> None:
        """Put an event on its way to every hook that wants it."""
        for hook in list(self._world.hooks.values()):
            if self._wants(hook, event):
                self._put(_Attempt(hook, event))

    def ping(self, hook: Hook) -> None:
        """Say hello to a new hook."""
        world = self._world
        payload: dict[str, Any] = {
            "zen": "Anything added dilutes everything else.",
            "hook_id": hook.id,
            "sender": payloads.simple_user(world.actor(), world.api_url),
        }
        organization = world.accounts.get(hook.organization_id or 0)
        if organization is not None:
            payload["hook"] = app_payloads.organization_hook(
                hook, organization.login, world.api_url
            )
            payload["organization"] = payloads.simple_organization(organization, world.api_url)
        guid = str(UUID(int=self._random.getrandbits(128), version=4))
        event = Event(
            guid=guid,
            event="ping",
            action=None,
            at=int(self._now()),
            packed=packed(payload),
            installation_id=None,
            repository_id=None,
            organization_id=hook.organization_id,
        )
        self._put(_Attempt(hook, event))

    def redeliver(self, delivery: Delivery) -> None:
        """Send an event once more, with its GUID, to where the hook points today."""
        hook = self._world.hooks.get(delivery.hook_id)
        if hook is not None:
            self._put(_Attempt(hook, delivery.event, redelivery=True))

    def pause(self) -> None:
        """Hold everything back until `resume`."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Send what waits."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def drain(self, seconds: float = 10.0) -> bool:
        """Wait until everything is sent; whether that happened in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def stop(self) -> None:
        """End the thread; what waits is not sent."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._pool.clear()

    # The log

    def of(self, hook_id: int) -> list[Delivery]:
        """A hook's deliveries of the last three days, newest first."""
        oldest = self._now() - KEPT_SECONDS
        with self._changed:
            kept = reversed(self._log)
            return [d for d in kept if d.hook_id == hook_id and d.delivered_at >= oldest]

    def all(self) -> list[Delivery]:
        """Every delivery of the last three days, oldest first."""
        oldest = self._now() - KEPT_SECONDS
        with self._changed:
            return [d for d in self._log if d.delivered_at >= oldest]

    # The thread

    def _put(self, attempt: _Attempt) -> None:
        with self._changed:
            if self._stopped:
                return
            self._waiting.append(attempt)
            if self._thread is None:
                self._thread = Thread(target=self._work, name="simulator webhooks", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._stopped or (self._waiting and not self._paused)
                )
                if self._stopped:
                    return
                if self.weather.delay:
                    self._changed.wait_for(lambda: self._stopped, self.weather.delay)
                round_ = list(self._waiting)
                self._waiting.clear()
                self._busy = True
                if self.weather.shuffle:
                    self._random.shuffle(round_)
            for attempt in round_:
                self._deliver(attempt)
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _deliver(self, attempt: _Attempt) -> None:
        if self._stopped or self._happens(self.weather.silent_loss):
            return
        body = attempt.event.body
        if len(body) > LARGEST_PAYLOAD:
            return
        lost = self._happens(self.weather.loss)
        times = 2 if self._happens(self.weather.duplicate) else 1
        for _ in range(times):
            self._record(self._timed_out(attempt) if lost else self._send(attempt, body))

    def _wants(self, hook: Hook, event: Event) -> bool:
        if not hook.active:
            return False
        if hook.organization_id is not None:
            subscribed = "*" in hook.events or event.event in hook.events
            return subscribed and event.organization_id == hook.organization_id
        if event.installation_id is None:
            return False
        installation = self._world.installations.get(event.installation_id)
        events = () if installation is None else installation.events
        return event.event in ALWAYS_SENT or event.event in events

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share

    def _record(self, delivery: Delivery) -> None:
        with self._changed:
            self._log.append(delivery)

    def _send(self, attempt: _Attempt, body: bytes) -> Delivery:
        headers = headers_of(attempt.hook, attempt.event, body, self._world.app.id)
        blank = replace(self._timed_out(attempt), request_headers=headers)
        began = time.monotonic()
        try:
            answer = self._pool.request(
                "POST",
                attempt.hook.url,
                body=body,
                headers=headers,
                timeout=self.weather.timeout,
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            blank = replace(blank, duration=round(time.monotonic() - began, 2))
            refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            if isinstance(error, urllib3.exceptions.TimeoutError) and not refused:
                return blank
            return replace(blank, status="failed to connect to host", status_code=502)
        return replace(
            blank,
            duration=round(time.monotonic() - began, 2),
            status=_status_text(answer.status),
            status_code=answer.status,
            response_headers=dict(answer.headers),
            response_body=answer.data.decode("utf-8", "replace")[:10_000],
        )

    def _timed_out(self, attempt: _Attempt) -> Delivery:
        # Its own chance: the world's must not depend on when a thread gets to run. The ids
        # begin at the present time, so that they grow over restarts too.
        self._last_id += self._random.randrange(1, 50)
        return Delivery(
            id=self._last_id,
            hook_id=attempt.hook.id,
            event=attempt.event,
            redelivery=attempt.redelivery,
            delivered_at=self._now(),
            duration=self.weather.timeout,
            status="timed out",
            status_code=0,
            url=attempt.hook.url,
        )


def headers_of(hook: Hook, event: Event, body: bytes, app_id: int) -> dict[str, str]:
    """The headers of a delivery (GitHub's docs, "Webhook events and payloads")."""
    of_app = hook.organization_id is None
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/51mu1a7",
        "X-GitHub-Delivery": event.guid,
        "X-GitHub-Event": event.event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(app_id if of_app else hook.organization_id),
        "X-GitHub-Hook-Installation-Target-Type": "integration" if of_app else "organization",
    }
    if hook.secret:
        headers["X-Hub-Signature-256"] = signature(hook.secret, body)
    return headers


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of a body as `X-Hub-Signature-256` carries it."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def item(delivery: Delivery) -> dict[str, Any]:
    """A delivery in a listing (`hook-delivery-item`)."""
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
        "throttled_at": None,
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


def _status_text(status: int) -> str:
    if 200 <= status < 300:
        return HTTPStatus(status).phrase if status in set(HTTPStatus) else "OK"
    return f"Invalid HTTP Response: {status}"
