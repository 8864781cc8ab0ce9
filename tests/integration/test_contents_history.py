"""Long random histories: whatever happens at GitHub between two runs, the next one finds it."""

from datetime import timedelta

import pytest
import time_machine

from syncsvc import clock, discovery
from syncsvc.models import Installation, Repository
from syncsvc.simulator import Simulator, World
from tests.support import (
    PRESENT,
    all_mirrored_contents,
    assert_equal_to_truth,
    sync,
    true_contents,
)

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = (11,)
STEPS = 2000
CHUNK = 250


@pytest.fixture(params=SEEDS)
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def world(seed: int) -> World:
    """An organization and a user, whose repositories move between them now and then."""
    return World.generate(seed=seed, repositories=25)


def assert_equal(world: World, installation: Installation, said: list[str]) -> None:
    """The mirror equals GitHub field by field; else what happened there is told."""
    assert_equal_to_truth(world, installation)
    rows = list(Repository.objects.filter(installation=installation, status__in=PRESENT))
    mine = all_mirrored_contents(rows)
    for row in rows:
        ours, theirs = mine[row.pk], true_contents(world, row)
        happened = [line for line in said if row.name in line]
        for entity in theirs:
            assert ours[entity] == theirs[entity], f"{entity} of {row}: {happened}"


@pytest.mark.spec("R5.2", "R5.3", "R5.5", "R7.2", "P37", "P38")
def test_after_each_run_the_mirror_equals_github(app_mode: Simulator, seed: int) -> None:
    world, now = app_mode.world, clock.now()
    discovery.discover()
    installations = list(Installation.objects.all())
    assert len(installations) == 2

    def run(mode: str, said: list[str]) -> None:
        for installation in installations:
            job = sync(installation, "cron", mode=mode)
            assert (job.status, job.failures) == ("succeeded", [])
        for installation in installations:
            assert_equal(world, installation, said)

    run("full", [])
    for turn in range(STEPS // CHUNK):
        said = []
        for part in range(5):  # spread over the quarter of an hour
            now += timedelta(minutes=3)
            with time_machine.travel(now):
                said += world.random_history(1000 * seed + 10 * turn + part, CHUNK // 5)
        assert len(said) == CHUNK
        with time_machine.travel(now):
            run("incremental", said)
    with time_machine.travel(now + timedelta(minutes=15)):
        run("incremental", [])
        run("full", [])
