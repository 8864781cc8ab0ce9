"""Repositories that are to be read again: asked for often, read once, never forgotten."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine

from syncsvc import clock, rechecks, scheduling
from syncsvc.models import Installation, Recheck, Repository, SyncJob
from syncsvc.rechecks import Asked
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.faults import Fault
from tests.support import assert_equal_to_truth, discover, ours, roomy, run, sync

pytestmark = pytest.mark.django_db


def ask(
    installation: Installation, *github_ids: int, trigger: str = "webhook", **more: Any
) -> None:
    asked = [Asked(github_id=each, reason="test", itself=True) for each in github_ids]
    rechecks.ask(installation.pk, asked, trigger=trigger, now=clock.now(), **more)


@pytest.fixture
def octo(app_mode: Simulator) -> Installation:
    installation = discover()
    sync(installation, mode="reconcile")
    app_mode.reset_log()
    return installation


@pytest.mark.spec("R6.3")
def test_asking_often_is_asking_once_and_the_urgent_one_wins(octo: Installation) -> None:
    soon, now = clock.now() + timedelta(minutes=5), clock.now()
    ask(octo, 7, due_at=soon)
    ask(octo, 7, trigger="gap", due_at=now)
    ask(octo, 7, due_at=soon)
    row = Recheck.objects.get()
    assert (row.trigger, row.due_at, row.version) == ("gap", now, 3)


@pytest.mark.spec("R6.3", "R10.2")
def test_what_is_asked_for_while_it_is_read_stays(octo: Installation) -> None:
    ask(octo, 7, 8)
    taken = rechecks.due(octo.pk, clock.now())
    ask(octo, 8)
    assert rechecks.done(taken) == 1
    assert [row.github_id for row in Recheck.objects.all()] == [8]


@pytest.mark.spec("R5.6", "R10.1")
def test_what_could_not_be_read_waits_longer_each_time(octo: Installation) -> None:
    ask(octo, 7)
    now, waits = clock.now(), []
    for _ in range(12):
        rechecks.failed(list(Recheck.objects.all()), now)
        waits.append(Recheck.objects.get().due_at - now)
    assert waits[:4] == [timedelta(minutes=each) for each in (1, 2, 4, 8)]
    assert waits[-1] == timedelta(hours=6)
    assert rechecks.due(octo.pk, now) == []


@pytest.mark.spec("R6.3", "R7.2")
def test_a_run_reads_what_was_named_and_nothing_else(
    octo: Installation, world: World, app_mode: Simulator
) -> None:
    changed, gone, left = (roomy(world, skip=n) for n in range(3))
    world.edit(changed.id, description="Now described")
    world.edit(left.id, description="Nobody told")
    world.delete(gone.id)
    ask(octo, changed.id, gone.id, 424242)
    [job] = [run(pk) for pk in started()]
    assert (job.mode, job.trigger, job.status) == ("recheck", "webhook", "succeeded")
    assert ours(changed).description == "Now described"
    assert ours(gone).status == "deleted"
    assert ours(left).description != "Nobody told"
    assert not Recheck.objects.exists()
    octo.refresh_from_db()
    assert octo.last_synced_at is None or octo.last_synced_at < job.created_at
    assert not app_mode.requests("/installation/repositories")


def started() -> list[Any]:
    scheduling.request_rechecks()
    return list(SyncJob.objects.filter(status="queued").values_list("pk", flat=True))


@pytest.mark.spec("R5.6")
def test_one_that_cannot_be_read_is_kept_and_the_others_are_read(
    octo: Installation, world: World, app_mode: Simulator
) -> None:
    sick, well = roomy(world), roomy(world, skip=1)
    world.edit(well.id, description="Read")
    paths = f"/repos/{world.full_name(sick)}|/repositories/{sick.id}"
    app_mode.faults.add(Fault(kind="status", path_regex=paths, status=502, times=None))
    ask(octo, sick.id, well.id)
    [job] = [run(pk) for pk in started()]
    assert job.status == "partial"
    assert ours(well).description == "Read"
    row = Recheck.objects.get()
    assert (row.github_id, row.attempts) == (sick.id, 1)
    assert started() == []


@pytest.mark.spec("R6.2", "R7.2")
def test_the_whole_list_is_read_where_only_it_can_tell(
    octo: Installation, world: World, tune: Any
) -> None:
    tune(mass_disappearance_percent=100)  # that many at once would be held
    world.select_repositories("octo-simulated", [roomy(world).id])
    ask(octo, rechecks.WHOLE_LIST)
    ask(octo, roomy(world, skip=1).id)
    [job] = [run(pk) for pk in started()]
    assert (job.mode, job.status) == ("incremental", "succeeded")
    assert not Recheck.objects.exists()
    assert_equal_to_truth(world, octo)


@pytest.mark.spec("R7.2")
def test_a_public_repository_outside_the_selection_does_not_come_back(
    octo: Installation, world: World
) -> None:
    public = next(
        r for r in world.owned(world.account("octo-simulated")) if r.visibility == "public"
    )
    chosen = [r.id for r in world.owned(world.account("octo-simulated")) if r.id != public.id]
    world.select_repositories("octo-simulated", chosen)
    sync(octo, mode="reconcile")
    assert ours(public).status == "access_removed"
    ask(octo, public.id)
    run(started()[0])
    for pk in started():
        run(pk)
    assert ours(public).status == "access_removed"
    assert not Recheck.objects.exists()


@pytest.mark.spec("R3.3", "R6.3")
def test_nothing_is_asked_for_while_a_job_runs_or_the_account_is_suspended(
    octo: Installation,
) -> None:
    ask(octo, 7)
    assert len(started()) == 1
    assert scheduling.request_rechecks() == 0
    SyncJob.objects.all().delete()
    Installation.objects.update(status="suspended")
    assert started() == []
    assert Recheck.objects.count() == 1


@pytest.mark.spec("R4.2", "R6.3")
def test_an_account_that_changes_all_the_time_is_not_read_all_the_time(
    octo: Installation, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecks, "PAUSE", timedelta(seconds=5))
    with time_machine.travel(clock.now(), tick=False) as time:
        ran = 0
        for _ in range(30):
            ask(octo, roomy(world).id)
            for pk in started():
                run(pk)
                ran += 1
            time.shift(1)
        assert ran == 6


@pytest.mark.spec("R6.3")
def test_a_run_over_the_whole_account_answers_what_was_asked_before(
    octo: Installation, world: World
) -> None:
    ask(octo, roomy(world).id, due_at=clock.now() + timedelta(hours=1))
    assert sync(octo, mode="incremental").status == "succeeded"
    assert not Recheck.objects.exists()
    assert Repository.objects.filter(installation=octo).count() > 0


@pytest.mark.spec("R5.6", "R6.3")
def test_a_list_that_was_read_is_not_asked_for_again_because_contents_failed(
    octo: Installation, world: World, app_mode: Simulator
) -> None:
    sick = roomy(world)
    world.open_issue(sick.id, "Unreadable")
    name = world.full_name(sick)
    app_mode.faults.add(
        Fault(kind="status", status=404, path_regex="^/graphql$", times=None),
        Fault(kind="status", status=502, path_regex=f"{name}/issues.*per_page=100", times=None),
    )
    ask(octo, rechecks.WHOLE_LIST, sick.id)
    [job] = [run(pk) for pk in started()]
    assert job.status == "partial"
    assert Recheck.objects.get().github_id == sick.id
    [job] = [run(pk) for pk in started()]
    assert (job.mode, job.status) == ("recheck", "partial")
    assert started() == []  # its list has a time of its own for the next attempt
