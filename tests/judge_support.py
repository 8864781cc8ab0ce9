"""Histories: a GitHub, the product beside it, and everything that may go wrong between the two.

An act lets something happen; what must hold after each act is checked by `tests.judge_truth`. All
chance comes from the `Random` that an act is given, so that a history is the same for the same seed.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final
from unittest import mock
from uuid import UUID

import time_machine
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection, transaction
from django.test import override_settings

from reconciliation import conductor, deliveries
from reconciliation.models import Review
from syncsvc import clock, conf, connect, discovery, jobs, rechecks, scheduling
from syncsvc.github.budget import BudgetGuard
from syncsvc.github.transport import Transport
from syncsvc.models import Commit, Delivery, Installation, Issue, Recheck, Repository, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import AccountPlan, Simulator, World
from syncsvc.simulator.records import WorldError
from syncsvc.webhooks import inbox
from tests.judge_troubles import TROUBLES, Killed
from tests.judge_truth import Found, Ledger
from tests.webhook_support import arrive

BEGIN: Final = datetime(2027, 3, 1, 9, tzinfo=UTC)
ORGANIZATION, USER, STRANGER = "octo-simulated", "octocat", "somebody-else"
SIZES: Final = {ORGANIZATION: 8, USER: 6}
KEPT: Final = (
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "django_celery_beat_%",
)
MODES: Final = ("incremental", "incremental", "incremental", "full", "full", "reconcile", "repo")
PAUSES: Final = (5, 30, 59, 61, 130, 600, 1800, 7200)


class History:
    """One life of a small GitHub and of its mirror. Begins after the first sync of each account."""

    def __init__(self, seed: int, world: World, simulator: Simulator, traveller: Any) -> None:
        self.seed, self.world, self.simulator = seed, world, simulator
        self._traveller, self._now = traveller, BEGIN
        self.bells: list[UUID] = []
        self.ledger = Ledger(world)
        self.steps: list[str] = []
        #: An act did not end as it should: there is no point in going on.
        self.is_broken = False

    # -- life --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The first sync of every account, in which nothing is a discrepancy."""
        discovery.discover()
        self.installations = list(Installation.objects.order_by("pk"))
        for installation in self.installations:
            self._ask(installation, "initial", "full")
        self.ledger.begin()
        self.ledger.assert_right("the first sync")

    def act(self, name: str, seed: int) -> None:
        """Lets one thing happen, and checks what must hold afterwards."""
        self.steps.append(f"{name}({seed})")
        self.is_broken = True
        ACTS[name](self, Random(f"{name} {seed}"))
        self.ledger.check_always()
        self.is_broken = False

    def pass_time(self, seconds: float) -> None:
        """Time goes by, and nothing else."""
        self._now += timedelta(seconds=seconds)
        self._traveller.move_to(self._now, tick=False)

    def end(self) -> None:
        """Quiet at last: everything is heard, what is due is done, and two full syncs follow."""
        self.simulator.faults.clear()
        self.deliver(Random(0), share=1.0)
        for _ in range(12):
            self.pass_time(900)
            self.work()
            waiting = Delivery.objects.filter(status=Delivery.Status.RECEIVED).exists()
            if not (waiting or Recheck.objects.exists() or self._active()):
                break
        self.pass_time(40 * 3600)
        for _ in range(3):
            for installation in self.installations:
                self._ask(installation, "cron", "full")
            self._approve()
            self.pass_time(120)
        self.ledger.assert_right("the first quiet sync")
        for installation in self.installations:
            job = self._ask(installation, "cron", "full", writes_nothing=True)
            assert (job.status, job.failures) == ("succeeded", []), (job.status, job.failures)
            assert (job.accuracy, job.discrepancies) == (1.0, {}), job.discrepancies
        self.ledger.assert_right("the second quiet sync")
        self.ledger.check_end()

    def _approve(self) -> None:
        Review.objects.filter(status="open").update(status="approved", decided_at=clock.now())

    @staticmethod
    def _active() -> bool:
        return SyncJob.objects.filter(status__in=SyncJob.ACTIVE).exists()

    # -- GitHub ------------------------------------------------------------------------------------

    def happen(self, chance: Random, what: Callable[[], object]) -> None:
        """Something happens at GitHub, or is refused by it; it may tell of it or not."""
        self.pass_time(chance.choice((0, 0, 1, 2, 20)))
        with self.ledger.changing():
            try:
                what()
            except WorldError:
                return

    def live(self, chance: Random) -> None:
        """A few things happen, whatever they are."""
        for _ in range(chance.randrange(1, 5)):
            seed = chance.randrange(10**6)
            self.happen(chance, lambda seed=seed: self.world.random_history(seed, 1))  # type: ignore[misc]  # a lambda with a default

    def move(self, chance: Random) -> None:
        """Repositories swap names, leave for a stranger, come back from there, or move next door."""
        world, what = self.world, chance.randrange(4)
        accounts = [world.account(each) for each in (ORGANIZATION, USER, STRANGER)]
        owned = world.owned(accounts[chance.randrange(2)])
        if what == 0 and len(owned) > 1:
            one, two = chance.sample(owned, 2)
            self.happen(chance, lambda: world.swap_names(one.id, two.id))
        elif what == 1 and world.owned(accounts[2]):
            back = chance.choice(world.owned(accounts[2]))
            to = accounts[chance.randrange(2)].id
            name = chance.choice((None, f"{back.name}-again"))
            self.happen(chance, lambda: world.transfer(back.id, to, name))
        elif len(owned) > 4:
            gone = chance.choice(owned)
            to = accounts[2 if what == 2 else chance.randrange(2)].id
            self.happen(chance, lambda: world.transfer(gone.id, to))

    def reselect(self, chance: Random) -> None:
        """The account lets the App see others of its repositories; rarely only very few."""
        world = self.world
        account = world.account(chance.choice((ORGANIZATION, USER)))
        installation = world.installation_of(account)
        assert installation is not None
        if installation.selection == "selected" and chance.random() < 0.4:
            self.happen(chance, lambda: world.select_all(installation.id))
            return
        seen = [each.id for each in world.installed(installation)]
        away = chance.choice((1, 1, 2, 2, 2, len(seen) // 2))
        kept = chance.sample(seen, max(1, len(seen) - away))
        others = [each.id for each in world.owned(account) if each.id not in seen]
        kept += chance.sample(others, min(len(others), chance.randrange(3)))
        self.happen(chance, lambda: world.select_repositories(installation.id, kept))

    def whisper(self, chance: Random) -> None:
        """Changes of which GitHub tells nobody."""
        world = self.world
        repository = chance.choice(world.owned(world.account(ORGANIZATION)))
        numbers = list(world.content(repository).items)
        what: list[Callable[[], object]] = [
            lambda: world.set_internal(repository.id),
            lambda: world.edit(repository.id, stars=repository.stars + 1),
            lambda: world.edit(repository.id, license=chance.choice((None, "mit"))),
        ]
        if numbers:
            what.append(lambda: world.comment(repository.id, chance.choice(numbers)))
        self.happen(chance, chance.choice(what))

    # -- the post ----------------------------------------------------------------------------------

    def deliver(self, chance: Random, share: float | None = None) -> None:
        """Some of what was told arrives, in any order, some of it twice, and is processed."""
        wanted = chance.choice((0.3, 0.7, 1.0)) if share is None else share
        taken = self.ledger.take(chance, wanted)
        for letter in taken:
            for hook in range(1 + (chance.random() < 0.1)):
                event = letter.event
                arrive(event.event, event.body, event.guid, hook_id=hook + 1)
        with self.ledger.hearing():
            deliveries.drain()

    def lose(self, chance: Random) -> None:
        """Some of what was told never arrives."""
        self.ledger.lose(self.ledger.take(chance, chance.choice((0.2, 0.5, 1.0))))

    # -- the product -------------------------------------------------------------------------------

    def sync(self, chance: Random) -> None:
        """A sync of any mode, as people, the clock or a gap ask for it."""
        installation = chance.choice(self.installations)
        mode = chance.choice(MODES)
        trigger = chance.choice(("cron", "cron", "manual", "gap", "maintenance"))
        self._ask(installation, trigger, mode, chance)

    def try_out(self, chance: Random) -> None:
        """A dry run."""
        installation, mode = chance.choice(self.installations), chance.choice(MODES)
        self._ask(installation, "manual", mode, chance, dry_run=True)

    def suffer(self, chance: Random) -> None:
        """A sync in whose middle something goes wrong."""
        with TROUBLES[chance.choice(list(TROUBLES))](self, chance):
            self.sync(chance)

    def work(self) -> None:
        """What beat and the workers do when they look round once."""
        with self.ledger.hearing():
            deliveries.drain()
        scheduling.request_rechecks()
        scheduling.request_remembered()
        scheduling.request_retries()
        jobs.ring_waiting()
        while self.bells:
            self._run(self.bells.pop(0))

    def tamper(self, chance: Random) -> None:
        """Somebody edits a row of the mirror by hand."""
        repository = chance.choice(list(Repository.objects.order_by("pk")))
        what = chance.randrange(5)
        with self.ledger.tampering():
            if what == 0:
                Repository.objects.filter(pk=repository.pk).update(description="by hand")
            elif what == 1:
                if repository.status in ("active", "archived"):
                    status = "active" if repository.archived else "archived"
                    Repository.objects.filter(pk=repository.pk).update(
                        archived=not repository.archived, status=status
                    )
            elif what == 2:
                Issue.objects.filter(repository=repository).update(title="by hand")
            elif what == 3:
                _delete_one(Issue, repository)
            else:
                _delete_one(Commit, repository)

    def cancel(self, chance: Random) -> None:
        """Somebody stops what waits or runs."""
        active = list(SyncJob.objects.filter(status__in=SyncJob.ACTIVE).order_by("created_at"))
        if active:
            jobs.cancel(chance.choice(active))

    def wait(self, chance: Random) -> None:
        """Time passes and the periodic tasks look round."""
        self.pass_time(chance.choice(PAUSES) if chance.random() < 0.95 else 31 * 3600)
        self.work()

    def _ask(
        self,
        installation: Installation,
        trigger: str,
        mode: str,
        chance: Random | None = None,
        *,
        dry_run: bool = False,
        writes_nothing: bool = False,
    ) -> SyncJob:
        options: dict[str, Any] = {"mode": mode, "dry_run": dry_run}
        if mode == "repo":
            rows = Repository.objects.filter(installation=installation).order_by("pk")
            names = list(rows.values_list("full_name", flat=True))
            options["repository"] = (chance or Random(0)).choice(names)
        decision = SyncService.request(installation.pk, trigger, **options)
        if decision.job_id is None:  # blocked: the breaker is open, or GitHub asked us to wait
            return SyncJob(installation=installation, status="refused")
        self.bells = [each for each in self.bells if str(each) != decision.job_id]
        return self._run(decision.job_id, writes_nothing=writes_nothing)

    def _run(self, job_id: UUID | str, *, writes_nothing: bool = False) -> SyncJob:
        lease = jobs.claim(job_id)
        if lease is None:
            return SyncJob.objects.get(pk=job_id)
        with self.ledger.running(lease.job, writes_nothing=writes_nothing or lease.job.dry_run):
            try:
                conductor.execute(lease)
            except (Killed, SystemExit):
                connection.close()
        return SyncJob.objects.get(pk=job_id)


def _delete_one(model: Any, repository: Repository) -> None:
    first = model.objects.filter(repository=repository).order_by("pk").first()
    if first is not None:
        first.delete()


ACTS: Final[dict[str, Callable[[History, Random], None]]] = {
    "live": History.live,
    "move": History.move,
    "reselect": History.reselect,
    "whisper": History.whisper,
    "deliver": History.deliver,
    "lose": History.lose,
    "sync": History.sync,
    "try_out": History.try_out,
    "suffer": History.suffer,
    "tamper": History.tamper,
    "cancel": History.cancel,
    "wait": History.wait,
}
LIKELY: Final = {
    "live": 10, "move": 3, "reselect": 2, "whisper": 2, "deliver": 6, "lose": 4, "sync": 5,
    "try_out": 3, "suffer": 4, "tamper": 2, "cancel": 1, "wait": 5,
}  # fmt: skip
"""How often each act comes in a random history."""


# -- the stage -----------------------------------------------------------------------------------------


def forget_everything() -> None:
    """Empties the database, but for what Django itself needs."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE schemaname = 'public' AND NOT tablename LIKE ANY(%s)",
            [list(KEPT)],
        )
        tables = [row[0] for row in cursor.fetchall()]
        cursor.execute(";".join(f'DELETE FROM "{table}"' for table in tables))


def _without_pauses(budget: BudgetGuard, concurrency: int) -> Transport:
    """The way to GitHub; waiting between retries takes no time."""
    return Transport(
        django_settings.GITHUB_API_URL,
        budget,
        clock=clock.now,
        concurrency=concurrency,
        sleep=lambda _: None,
    )


@contextmanager
def history(seed: int) -> Iterator[History]:
    """A world, its simulator, the clock and the product, with both accounts synced once. Needs a
    database in which transactions are real; what is in it is lost."""
    forget_everything()
    cache.clear()
    connect._app_auth.cache_clear()
    tuned = replace(conf.defaults(), manual_cooldown_seconds=0)
    accounts = [
        AccountPlan(
            login=login, repositories=count, type="User" if login == USER else "Organization"
        )
        for login, count in SIZES.items()
    ]
    with ExitStack() as stack:
        enter = stack.enter_context
        traveller = enter(time_machine.travel(BEGIN, tick=False))
        world = World.generate(
            seed=seed,
            accounts=[*accounts, AccountPlan(login=STRANGER, repositories=1, installed=False)],
            issues_per_repository=2,
            pull_requests_per_repository=1,
            commits_per_repository=4,
            base_time=int((BEGIN - timedelta(days=1)).timestamp()),
        )
        world.ties = True
        simulator = enter(Simulator(world, webhooks_by_hand=True))
        made = History(seed, world, simulator, traveller)

        def ring(job_id: UUID) -> bool:
            made.bells.append(job_id)
            return True

        enter(
            override_settings(
                GITHUB_API_URL=simulator.url,
                GITHUB_APP_ID=str(simulator.app_id),
                GITHUB_APP_PRIVATE_KEY=simulator.private_key_pem,
            )
        )
        enter(mock.patch.object(jobs, "ring", ring))
        enter(mock.patch.object(inbox, "ring_bell", return_value=True))
        enter(mock.patch.object(rechecks, "PAUSE", timedelta(0)))
        enter(mock.patch.object(conf, "defaults", return_value=tuned))
        enter(mock.patch.object(connect, "transport_for", _without_pauses))
        made.begin()
        yield made
    connect._app_auth.cache_clear()


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """How a history went. `problem`: what did not hold, and after which acts."""

    seed: int
    found: Found
    problem: str = ""


def random_history(seed: int, steps: int) -> Told:
    """A whole life of so many acts chosen by chance, everything checked on the way."""
    chance = Random(f"history {seed}")
    names, weights = list(LIKELY), list(LIKELY.values())
    with history(seed) as made:
        try:
            for _ in range(steps):
                made.act(chance.choices(names, weights)[0], chance.randrange(10**6))
            made.end()
        except Exception as error:  # noqa: BLE001  (whatever it is, the other histories go on)
            problem = f"{type(error).__name__}: {error}; {' '.join(made.steps)}"
            return Told(seed=seed, found=made.ledger.found, problem=problem)
    return Told(seed=seed, found=made.ledger.found)
