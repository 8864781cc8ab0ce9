"""Deliveries, runs and drains at the same time, on real connections."""

import random
import threading
from collections.abc import Callable

import pytest
from django.db import connection

from reconciliation import deliveries
from syncsvc import clock, scheduling
from syncsvc.models import Delivery, Installation, Recheck, SyncJob
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.days import Load, Moment, happen
from tests.support import (
    assert_contents_equal_truth,
    assert_equal_to_truth,
    discover,
    roomy,
    run,
    sync,
)
from tests.webhook_support import Post, arrive

SEEDS = (2, 21)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    made = World.generate(
        seed=4,
        repositories=5,
        issues_per_repository=3,
        pull_requests_per_repository=1,
        commits_per_repository=2,
    )
    made.ties = True  # as at GitHub, what happens within a second has one time
    return made


@pytest.fixture
def octo(app_mode: Simulator) -> Installation:
    installation = discover()
    for each in Installation.objects.all():
        sync(each, mode="full")
    return installation


def at_once(*acts: Callable[[], None]) -> None:
    """Runs these in threads of their own, begun together; raises what one of them raises."""
    begin, trouble = threading.Barrier(len(acts)), list[BaseException]()

    def do(act: Callable[[], None]) -> None:
        try:
            begin.wait()
            act()
        except BaseException as error:  # noqa: BLE001  (raised again by whoever waits)
            trouble.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=do, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if trouble:
        raise trouble[0]


def settle() -> None:
    """What the workers do until nothing is left to do."""
    for _ in range(20):
        deliveries.drain()
        Recheck.objects.update(due_at=clock.now())  # as if the ten seconds after a burst were over
        scheduling.request_rechecks()
        scheduling.request_remembered()
        waiting = list(SyncJob.objects.filter(status="queued").values_list("pk", flat=True))
        for pk in waiting:
            run(pk, last_attempt=False)
        if not waiting and not Recheck.objects.exists():
            return
    raise AssertionError("It does not come to rest.")


@pytest.mark.spec("R6.1", "R6.3", "P39", "P40")
def test_any_number_of_workers_process_each_delivery_once(octo: Installation, world: World) -> None:
    post, repository = Post(world), roomy(world, issues=3)
    for number in range(30):
        world.edit_issue(repository.id, number % 3 + 1, title=f"Title {number}")
    sent = post.take()
    random.Random(1).shuffle(sent)
    for event in sent:
        arrive(event.event, event.body, event.guid)
    ended: list[int] = []
    at_once(*[lambda: ended.append(deliveries.drain()) for _ in range(4)])
    settle()
    assert sum(ended) <= len(sent)
    rows = Delivery.objects.all()
    assert {row.status for row in rows} == {"processed"}
    assert {row.attempts for row in rows} == {1}
    assert_contents_equal_truth(world, octo)


@pytest.mark.spec("R6.3", "R7.5", "P40", "P41")
@pytest.mark.parametrize("seed", SEEDS)
def test_webhooks_and_runs_at_the_same_time_end_with_the_truth(
    octo: Installation, world: World, seed: int
) -> None:
    """GitHub changes, tells in disorder and twice, while full and incremental runs read it."""
    post, chance, over = Post(world), random.Random(seed), threading.Event()
    octo_user = Installation.objects.exclude(pk=octo.pk).get().account_login
    loads = {login: Load(per_day=1) for login in ("octo-simulated", octo_user)}

    def live() -> None:
        try:
            for step in range(12):
                for number in range(5):
                    login = chance.choice(["octo-simulated", octo_user])
                    happen(world, Moment(0, login, 1000 * seed + 10 * step + number), loads)
                sent = post.take()
                chance.shuffle(sent)
                for event in sent:
                    for hook in range(1 + (chance.random() < 0.1)):
                        arrive(event.event, event.body, event.guid, hook_id=hook + 1)
        finally:
            over.set()

    def work() -> None:
        while not over.is_set():
            deliveries.drain()

    def read() -> None:
        while not over.is_set():
            for each in Installation.objects.filter(status="active"):
                mode = chance.choice(["full", "incremental", "reconcile"])
                if not SyncJob.objects.filter(
                    installation=each, status__in=SyncJob.ACTIVE
                ).exists():
                    sync(each, "cron", mode=mode)

    at_once(live, work, work, read)
    settle()
    for installation in Installation.objects.all():
        assert_equal_to_truth(world, installation)
        assert_contents_equal_truth(world, installation)
