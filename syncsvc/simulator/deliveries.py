"""Webhooks on their way: who hears of an event, when it is sent, and what the log says of it.

Hides the thread that sends, and that tests may send by hand instead, in the simulator's own
time. As at GitHub, nothing is ever sent again by itself; redelivery keeps the GUID.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from threading import Condition, Thread
from typing import Any
from uuid import UUID

from syncsvc.simulator import app_payloads, payloads, sending
from syncsvc.simulator.delivery_log import KEPT_SECONDS, Delivery, DeliveryLog
from syncsvc.simulator.records import Event, Hook, packed
from syncsvc.simulator.sending import Sender, Sent, headers_of
from syncsvc.simulator.weather import Fate, Outage, Sky, Weather
from syncsvc.simulator.world import World

LARGEST_PAYLOAD = 25 * 1024 * 1024
"""Larger payloads are never sent."""
ALWAYS_SENT = {"installation", "installation_repositories", "installation_target", "ping"}
"""An App hears these without subscribing."""
GLANCE = 0.05
"""Seconds after which the thread looks at the simulator's clock again, which tests may move."""


@dataclass(frozen=True, order=True)
class _Attempt:
    due: float
    """Epoch seconds of the simulator."""
    number: int
    """Attempts of one moment go in the order in which they were asked for."""
    hook: Hook = field(compare=False)
    event: Event = field(compare=False)
    fate: Fate = field(compare=False)
    redelivery: bool = field(default=False, compare=False)
    throttled_at: float | None = field(default=None, compare=False)


class Deliveries:
    """What waits to be sent, and the log of what was."""

    def __init__(self, world: World, now: Callable[[], float], *, by_hand: bool = False) -> None:
        """Listens to the world's events from now on.

        A thread, started with the first one, sends them; `by_hand`: only `pump` does.
        """
        self.weather = Weather()
        self._world = world
        self.now = now
        self._by_hand = by_hand
        self._random = Random(f"deliveries {world.seed}")
        self._sky = Sky(world.seed)
        # The ids begin at the present time, so that they grow over restarts too.
        self._log = DeliveryLog(int(now()) * 1000)
        self._waiting: list[_Attempt] = []
        self._number = 0
        self._changed = Condition()
        self._busy = self._paused = self._stopped = False
        self._thread: Thread | None = None
        self._sender = Sender()
        world.on_event = self.hear

    # Doors

    def hear(self, event: Event) -> None:
        """Put an event on its way to every hook that wants it."""
        for hook in list(self._world.hooks.values()):
            if self._wants(hook, event):
                self._put(hook, event)

    def ping(self, hook: Hook) -> None:
        """Say hello to a new hook."""
        world = self._world
        payload: dict[str, Any] = {
            "zen": "Anything added dilutes everything else.",
            "hook_id": hook.id,
            "sender": payloads.simple_user(world.actor(), world.api_url),
        }
        organization = world.accounts.get(hook.organization_id or 0)
        repository = world.repositories.get(hook.repository_id or 0)
        if organization is not None:
            payload["hook"] = app_payloads.organization_hook(
                hook, organization.login, world.api_url
            )
            payload["organization"] = payloads.simple_organization(organization, world.api_url)
        if repository is not None:
            owner = world.accounts[repository.owner_id]
            payload["hook"] = app_payloads.repository_hook(
                hook, world.full_name(repository), world.api_url
            )
            payload["repository"] = payloads.repository(repository, owner, world.api_url)
        event = Event(
            guid=str(UUID(int=self._random.getrandbits(128), version=4)),
            event="ping",
            action=None,
            at=int(self.now()),
            packed=packed(payload),
            installation_id=None,
            repository_id=hook.repository_id,
            organization_id=hook.organization_id,
        )
        self._put(hook, event)

    def redeliver(self, delivery: Delivery) -> None:
        """Send an event once more, with its GUID, to where the hook points today."""
        hook = self._world.hooks.get(delivery.hook_id)
        if hook is not None:
            self._put(hook, delivery.event, redelivery=True)

    def outage(self, seconds: float, begin: float | None = None) -> Outage:
        """Let the receiver be out for so long, from now on or from `begin` (epoch seconds)."""
        return self._sky.outage(self.now() if begin is None else begin, seconds)

    @property
    def outages(self) -> list[Outage]:
        """All of them, in the order in which they were announced."""
        return list(self._sky.outages)

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
        if self._by_hand:
            self.pump()
            return not self._waiting
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._busy, seconds)

    def pump(self, until: float | None = None) -> int:
        """Send, here and one by one, what is due until this moment (default: now).

        In the order of the moments, which the log gives as those of the deliveries. Returns how
        many attempts that were.
        """
        until, sent = self.now() if until is None else until, 0
        while True:
            with self._changed:
                if self._paused or not self._waiting or self._waiting[0].due > until:
                    return sent
                attempt = heapq.heappop(self._waiting)
            self._deliver(attempt, attempt.due)
            sent += 1

    def next_due(self) -> float | None:
        """When the next attempt is due, in epoch seconds; None when nothing waits."""
        with self._changed:
            return self._waiting[0].due if self._waiting else None

    def stop(self) -> None:
        """End the thread; what waits is not sent."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._sender.close()

    # The log

    def of(self, hook_id: int) -> list[Delivery]:
        """A hook's deliveries of the last three days, newest first."""
        return self._log.since(self.now() - KEPT_SECONDS, hook_id)[::-1]

    def all(self) -> list[Delivery]:
        """Every delivery of the last three days, oldest first."""
        return self._log.since(self.now() - KEPT_SECONDS)

    def truth(self) -> list[Delivery]:
        """Every attempt with what really became of it, also those that no log tells of."""
        return self._log.truth()

    # Sending

    def _put(self, hook: Hook, event: Event, *, redelivery: bool = False) -> None:
        with self._changed:
            if self._stopped:
                return
            fate, now = self._sky.fate(self.weather, redelivery=redelivery), self.now()
            for delay in fate.delays:
                self._push(_Attempt(now + delay, 0, hook, event, fate, redelivery))
            if self._thread is None and not self._by_hand:
                self._thread = Thread(target=self._work, name="simulator webhooks", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def _push(self, attempt: _Attempt) -> None:
        self._number += 1
        heapq.heappush(self._waiting, replace(attempt, number=self._number))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopped and (self._paused or not self._waiting):
                    self._changed.wait()
                if self._stopped:
                    return
                if self.weather.delay:
                    self._changed.wait_for(lambda: self._stopped, self.weather.delay)
                round_, now = [], self.now()
                while self._waiting and self._waiting[0].due <= now:
                    round_.append(heapq.heappop(self._waiting))
                if not round_:
                    self._changed.wait(GLANCE)
                    continue
                self._busy = True
                if self.weather.shuffle:
                    self._random.shuffle(round_)
            for attempt in round_:
                if not self._stopped:
                    self._deliver(attempt, self.now())
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _deliver(self, attempt: _Attempt, moment: float) -> None:
        fate = attempt.fate
        if len(attempt.event.body) > LARGEST_PAYLOAD:
            return
        if fate.kind == "throttled" and fate.held is not None and attempt.throttled_at is None:
            with self._changed:
                self._push(replace(attempt, due=moment + fate.held, throttled_at=moment))
            return
        self._log.add(self._logged(attempt, moment, self._outcome(attempt, moment)))

    def _outcome(self, attempt: _Attempt, moment: float) -> Sent:
        fate = attempt.fate
        if fate.kind in {"lost", "silent"}:
            return sending.timed_out(self.weather.timeout)
        if fate.kind == "failed":
            return sending.answered(fate.code)
        if fate.kind == "swallowed":
            return sending.answered(200)
        if fate.kind == "throttled" and attempt.throttled_at is None:
            return Sent(status="throttled", status_code=0, duration=0.0)
        body = attempt.event.body
        headers = headers_of(attempt.hook, attempt.event, body, self._world.app.id)
        down = self._sky.is_down(moment)
        return self._sender.send(attempt.hook.url, body, headers, self.weather.timeout, down=down)

    def _logged(self, attempt: _Attempt, moment: float, sent: Sent) -> Delivery:
        fate = attempt.fate
        never = fate.kind == "throttled" and attempt.throttled_at is None
        truly_sent = fate.kind in {"sent", "throttled"} and not never
        # Its own chance: the world's must not depend on when a thread gets to run.
        self._log.last_id += self._random.randrange(1, 50)
        return Delivery(
            id=self._log.last_id,
            hook_id=attempt.hook.id,
            event=attempt.event,
            redelivery=attempt.redelivery,
            delivered_at=moment,
            duration=sent.duration,
            status=sent.status,
            status_code=sent.status_code,
            url=attempt.hook.url,
            request_headers=sent.request_headers,
            response_headers=sent.response_headers,
            response_body=sent.response_body,
            throttled_at=moment if never else attempt.throttled_at,
            fate=fate.kind,
            arrived=truly_sent and sent.accepted,
        )

    def _wants(self, hook: Hook, event: Event) -> bool:
        if not hook.active:
            return False
        subscribed = "*" in hook.events or event.event in hook.events
        if hook.repository_id is not None:
            return subscribed and event.repository_id == hook.repository_id
        if hook.organization_id is not None:
            return subscribed and event.organization_id == hook.organization_id
        if event.installation_id is None:
            return False
        installation = self._world.installations.get(event.installation_id)
        events = () if installation is None else installation.events
        return event.event in ALWAYS_SENT or event.event in events
