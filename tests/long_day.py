"""A day of GitHub's life in bad weather, compressed: one clock for the simulator and the product.

Hides how time passes. The simulator sends its webhooks over HTTP to the product's own door; what the
broker, beat and the workers would do is done here, in the order of simulated time. Unless the plan says
so, nothing asks for a periodic sync: what the mirror knows, it knows from webhooks and from gaps.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Thread
from typing import Any, Final
from unittest import mock
from uuid import UUID

import time_machine
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.test import override_settings

from reconciliation import conductor, deliveries
from syncsvc import connect, discovery, jobs, rechecks, scheduling
from syncsvc.models import (
    Delivery,
    Gap,
    Installation,
    MissedDelivery,
    Recheck,
    Repository,
    SyncJob,
)
from syncsvc.service import SyncService
from syncsvc.simulator import AccountPlan, Simulator, Weather, World
from syncsvc.simulator.days import Load, Moment, days, happen
from syncsvc.simulator.delivery_log import Delivery as Attempt
from syncsvc.webhooks import door, inbox, watch
from tests.support import (
    PRESENT,
    mirrored,
    mirrored_contents,
    sync,
    true_contents,
    truth,
)

BUSY, QUIET = "octo-simulated", "octocat"
MONDAY: Final = datetime(2027, 6, 7, tzinfo=UTC)
SECRET: Final = "the secret of the long day"
#: Of a hundred deliveries five fail and are logged so, two GitHub only believes to have delivered.
STORMY: Final = Weather(
    failed=0.02, loss=0.02, throttled=0.02, swallowed=0.02, duplicate=0.03, reorder=60.0
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a day is like. `begin` is the moment of the first sync; hours count from there."""

    loads: Mapping[str, Load]
    repositories: Mapping[str, int] = field(default_factory=lambda: {BUSY: 12, QUIET: 4})
    begin: datetime = MONDAY
    hours: float = 24.0
    """For so long something happens."""
    rest_hours: float = 3.0
    """For so long nothing happens afterwards, and the checks go on."""
    weather: Weather = field(default_factory=Weather)
    outages: tuple[tuple[float, float], ...] = ()
    """Hours from the beginning, and minutes that our door is shut."""
    seed: int = 1
    step: float = 10.0
    """Seconds, in which what is due is done at once."""
    beat: float = 60.0
    """Seconds between the rounds of periodic tasks; infinite: only where the test asks for one."""
    prompt: bool = False
    """What has to be read again is asked for when it is due, not in the next round only."""
    idle_beat: float | None = None
    """Seconds between rounds as long as a round could find nothing new; None: no round is skipped."""
    gap_detection: bool = True
    """Whether rounds check for gaps."""
    resync_minutes: float = math.inf
    """Between the periodic syncs, of every account at once; infinite: there are none."""


class LongDay:
    """The day as it goes on. `live` lets time pass; afterwards it knows what was lost."""

    def __init__(
        self, plan: Plan, simulator: Simulator, clock: time_machine.Traveller, bells: list[UUID]
    ) -> None:
        self.plan, self.simulator, self.world = plan, simulator, simulator.world
        self._clock, self._bells = clock, bells
        self.now = plan.begin.timestamp()
        self._next_beat = self.now
        self._next_resync = self.now + 60 * plan.resync_minutes
        self._next_recheck = math.inf
        self._last_round = self.now
        self._calm = False
        """Nothing was sent since the last round, and that one left nothing to do."""
        self.skipped_rounds = 0
        self.look: Callable[[], None] = lambda: None
        """Called when something happened, and when the mirror may have changed."""
        self.installations: list[Installation] = []
        begin, end = self.now + 60, self.now + plan.hours * 3600
        self._moments = days(plan.seed, plan.loads, begin, end)[::-1]
        self.happened = 0
        self._random = Random(f"catch-ups {plan.seed}")
        self._first_requests = 0

    # Life

    def begin(self) -> None:
        """The first sync of every account; from here on the weather is what was planned."""
        discovery.discover()
        self.installations = list(Installation.objects.order_by("pk"))
        for installation in self.installations:
            job = sync(installation, "initial", mode="full")
            assert job.status == "succeeded", job.error
        self._bells.clear()
        self.simulator.reset_log()
        self._first_requests = self.simulator.request_log.total
        self.simulator.deliveries.weather = self.plan.weather
        for hour, minutes in self.plan.outages:
            self.simulator.deliveries.outage(60 * minutes, self.now + 3600 * hour)

    def live_through(self) -> None:
        """The whole day and the rest after it."""
        self.live(self.now + 3600 * self.plan.hours)
        self.live(self.now + 3600 * self.plan.rest_hours)

    def live(self, until: float) -> None:
        """Let time pass until this moment (epoch seconds)."""
        step = self.plan.step
        while True:
            due = min(self._due())
            if due > until:
                break
            moment = min(max(self.now, -(-due // step) * step), until)
            self._happen(moment)
            self._go(moment)
            self._send()
            if moment >= self._next_resync:
                self._resync()
                self._next_resync += 60 * self.plan.resync_minutes
            if moment >= self._next_beat:
                self._round()
                self._next_beat = moment + self.plan.beat
            else:
                if moment >= self._next_recheck:
                    scheduling.request_rechecks()
                self._work()
            if self.plan.prompt:
                self._next_recheck = self._when_to_recheck()
        self._go(until)

    def live_to_each_silence(self) -> None:
        """The whole time, with rounds of periodic tasks at the end of each silence only (no silence
        is longer than just before its end), and some at the end. For plans without a beat."""
        for moment in [each.at for each in reversed(self._moments)]:
            self.live(moment - 1)
            self.beat()
            self.live(moment + 60)
        for _ in range(3):
            self.live(self.now + 300)
            self.beat()

    def _due(self) -> Iterator[float]:
        yield min(self._next_beat, self._next_resync, self._next_recheck)
        if self._moments:
            yield self._moments[-1].at
        waiting = self.simulator.deliveries.next_due()
        if waiting is not None:
            yield waiting

    def _go(self, moment: float) -> None:
        self.now = max(self.now, moment)
        self._clock.move_to(datetime.fromtimestamp(self.now, UTC), tick=False)

    def _happen(self, until: float) -> None:
        while self._moments and self._moments[-1].at <= until:
            due: Moment = self._moments.pop()
            self._go(due.at)
            happen(self.world, due, self.plan.loads)
            self.happened += 1
            self.look()

    def _send(self) -> None:
        if self.simulator.deliveries.pump():
            self._calm = False
            if deliveries.drain():
                self.look()

    def _round(self) -> None:
        """A round of periodic tasks, or none where it could find nothing."""
        rest = self.plan.idle_beat
        if rest is not None and self._calm and self.now < self._last_round + rest:
            self.skipped_rounds += 1
            return
        self.beat()
        self._last_round = self.now
        self._calm = not self._is_unsettled()

    def _is_unsettled(self) -> bool:
        return (
            Gap.objects.filter(closed_at__isnull=True).exists()
            or MissedDelivery.objects.filter(healed_at__isnull=True).exists()
            or Delivery.objects.filter(status=Delivery.Status.RECEIVED).exists()
            or SyncJob.objects.filter(status__in=SyncJob.ACTIVE).exists()
        )

    def _resync(self) -> None:
        for installation in self.installations:
            SyncService.request(installation.pk, "cron", mode="incremental")
        self._work()

    def _when_to_recheck(self) -> float:
        """When the next of what has to be read again is due; a run that was just made is a pause."""
        first = Recheck.objects.order_by("due_at").values_list("due_at", flat=True).first()
        if first is None:
            return math.inf
        return max(first.timestamp(), self.now + rechecks.PAUSE.total_seconds())

    def beat(self) -> None:
        """What beat asks for, but for the periodic syncs."""
        if self.plan.gap_detection:
            watch.check(rng=self._random.random)
        if deliveries.drain():
            self.look()
        scheduling.request_rechecks()
        scheduling.request_remembered()
        scheduling.request_retries()
        jobs.ring_waiting()
        self._work()

    def _work(self) -> None:
        """What a worker does, until nobody rings any more."""
        while self._bells:
            lease = jobs.claim(self._bells.pop(0))
            if lease is not None:
                conductor.execute(lease, last_attempt=True)
                scheduling.request_remembered()
                self.look()

    # What really was

    def first_attempts(self) -> dict[str, list[Attempt]]:
        """Each event's attempts that nobody asked for, by GUID."""
        found: dict[str, list[Attempt]] = {}
        for attempt in self.simulator.deliveries.truth():
            if not attempt.redelivery:
                found.setdefault(attempt.event.guid, []).append(attempt)
        return found

    def lost(self, *, logged: bool = True) -> dict[str, Attempt]:
        """The events that did not reach us when they were sent, as far as the log tells of them (or
        those of which it does not), by GUID."""
        return {
            guid: attempts[0]
            for guid, attempts in self.first_attempts().items()
            if not any(each.arrived for each in attempts) and attempts[0].logged == logged
        }

    def unhealed(self) -> list[str]:
        """A sentence for each lost event of which the product does not say how it was healed."""
        known = {each.guid: each for each in MissedDelivery.objects.all()}
        found = []
        for guid, attempt in self.lost().items():
            missed = known.get(guid)
            if missed is None or missed.healed_at is None or not missed.healed_by:
                at = datetime.fromtimestamp(attempt.delivered_at, UTC)
                state = "unknown" if missed is None else f"not healed, asked {missed.requests}x"
                found.append(f"{attempt.event.event} {guid} {attempt.fate} {at:%H:%M:%S}: {state}")
        return found

    def different(self) -> list[str]:
        """Each field in which mirror and truth do not agree, in a line that says where."""
        found = []
        for installation in Installation.objects.all():
            true = truth(self.world, installation)
            found += _unequal("repository", mirrored(installation), true)
            present = Repository.objects.filter(installation=installation, status__in=PRESENT)
            for repository in present:
                ours = mirrored_contents(repository)
                theirs = true_contents(self.world, repository)
                for entity, rows in theirs.items():
                    found += _unequal(f"{repository} {entity}", ours[entity], rows)
        return found

    def figures(self) -> dict[str, Any]:
        """What the day was like and what it took, for people."""
        attempts = self.simulator.deliveries.truth()
        gaps, lost = list(Gap.objects.all()), self.lost()
        missed = MissedDelivery.objects.filter(guid__in=lost)
        return {
            "happened": self.happened,
            "events": len(self.first_attempts()),
            "lost": len(lost),
            "lost_by_kind": dict(Counter(_kind(each) for each in lost.values())),
            "lost_silently": len(self.lost(logged=False)),
            "missed": MissedDelivery.objects.count(),
            "healed_by": dict(Counter(each.healed_by for each in missed)),
            "redeliveries": sum(each.redelivery for each in attempts),
            "gaps": len(gaps),
            "gaps_by_reason": dict(Counter(each.reason for each in gaps)),
            "gaps_open": sum(each.closed_at is None for each in gaps),
            "detect_seconds": [
                (each.detected_at - each.first_at).total_seconds() for each in missed
            ],
            "repair_seconds": [
                (each.healed_at - each.first_at).total_seconds()
                for each in missed
                if each.healed_at is not None
            ],
            "requests": self.simulator.request_log.total - self._first_requests,
            "requests_by_kind": dict(Counter(_door(e.path) for e in self.simulator.log)),
            "jobs_by_mode": dict(
                Counter(SyncJob.objects.exclude(trigger="initial").values_list("mode", flat=True))
            ),
        }


def _unequal(where: str, ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> list[str]:
    found = []
    for key in ours.keys() | theirs.keys():
        mine, true = ours.get(key, {}), theirs.get(key, {})
        found += [
            f"{where} {key}: {name} is {str(mine.get(name))[:60]}, not {str(true.get(name))[:60]}"
            for name in mine.keys() | true.keys()
            if mine.get(name) != true.get(name)
        ]
    return sorted(found)


def _kind(attempt: Attempt) -> str:
    return "outage" if attempt.fate == "sent" else attempt.fate


def _door(path: str) -> str:
    """The part of the API that a request was for."""
    if path.startswith("/app/hook/deliveries"):
        return "redelivery" if path.endswith("/attempts") else "delivery log"
    if path.endswith("/access_tokens"):
        return "token"
    return "GraphQL" if path == "/graphql" else "REST"


# -- the stage -----------------------------------------------------------------------------------


class _Quiet(WSGIRequestHandler):
    """Says nothing."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


def _nothing_else(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("404 Not Found", [("Content-Length", "0")])
    return [b""]


@contextmanager
def our_door() -> Iterator[str]:
    """The product's own door for webhooks, served over HTTP; yields its address."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), _Quiet)
    server.set_app(door.before(_nothing_else))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/webhooks/github/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        inbox.group.close()


@contextmanager
def long_day(plan: Plan) -> Iterator[LongDay]:
    """A world, its simulator, our door and the clock, until the block ends. Needs an empty database
    in which transactions are real."""
    accounts = [
        AccountPlan(
            login=login, repositories=count, type="User" if login == QUIET else "Organization"
        )
        for login, count in plan.repositories.items()
    ]
    base = int((plan.begin - timedelta(hours=1)).timestamp())
    bells: list[UUID] = []
    with ExitStack() as stack:
        clock = stack.enter_context(time_machine.travel(plan.begin, tick=False))
        address = stack.enter_context(our_door())
        world = World.generate(seed=plan.seed, accounts=accounts, base_time=base)
        world.ties = True
        simulator = stack.enter_context(
            Simulator(world, webhook_url=address, webhook_secret=SECRET, webhooks_by_hand=True)
        )
        stack.enter_context(_configured(simulator, bells))
        day = LongDay(plan, simulator, clock, bells)
        yield day


@contextmanager
def _configured(simulator: Simulator, bells: list[UUID]) -> Iterator[None]:
    """The product is that GitHub's App; the broker is a list."""

    def ring(job_id: UUID) -> bool:
        bells.append(job_id)
        return True

    connect._app_auth.cache_clear()  # it holds a token of another time
    with (
        override_settings(
            GITHUB_API_URL=simulator.url,
            GITHUB_APP_ID=str(simulator.app_id),
            GITHUB_APP_PRIVATE_KEY=simulator.private_key_pem,
            GITHUB_WEBHOOK_SECRET=[SECRET],
        ),
        mock.patch.object(jobs, "ring", ring),
        mock.patch.object(inbox, "ring_bell", return_value=True),
    ):
        yield
    connect._app_auth.cache_clear()
