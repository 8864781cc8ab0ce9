"""What people decide is carried out by runs: by what GitHub says then, in the name of who decided."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from reconciliation import decisions
from reconciliation.models import Discrepancy, Review, RunFigure
from syncsvc import clock
from syncsvc.models import Installation, Issue, Recheck, Repository, SyncJob
from syncsvc.simulator import Simulator, World
from tests.factories import UserFactory
from tests.support import (
    assert_contents_equal_truth,
    assert_equal_to_truth,
    discover,
    ours,
    roomy,
    run,
    sync,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=3, repositories=10)


@pytest.fixture
def octo(app_mode: Simulator) -> Iterator[Installation]:
    with time_machine.travel(clock.now(), tick=False) as traveller:
        installation = discover()
        sync(installation, "initial")
        traveller.shift(timedelta(minutes=10))
        yield installation


def waiting() -> SyncJob:
    return SyncJob.objects.get(status="queued")


@pytest.mark.spec("R7.5", "R7.4", "P37")
def test_a_repair_by_hand_does_what_github_says_now_not_what_it_said_then(
    octo: Installation, world: World, tune: Callable[..., Any]
) -> None:
    tune(grace_seconds=0)
    repository = roomy(world, issues=2)
    number = world.content(repository).issues[0].number
    mine = Issue.objects.get(repository=ours(repository), number=number)
    Issue.objects.filter(pk=mine.pk).update(title="Ours")
    dry = sync(octo, mode="repo", repository=str(ours(repository)), dry_run=True)
    row = Discrepancy.objects.get()
    assert (row.type, row.repair_status, row.before["title"]) == ("stale_issue", "proposed", "Ours")
    assert not RunFigure.objects.filter(job=dry).exists()
    world.edit_issue(repository.id, number, title="Newer than the proposal")
    assert row.after["title"] == mine.title

    user = UserFactory.create(username="mia")
    decisions.repair(row, user)
    job = run(waiting().pk)

    assert (job.mode, job.status) == ("recheck", "succeeded")
    assert Issue.objects.get(pk=mine.pk).title == "Newer than the proposal"
    assert_contents_equal_truth(world, octo)
    row.refresh_from_db()
    assert (row.repair_status, row.repaired_by, row.repaired_in) == ("repaired", "mia", job.pk)
    assert row.verified_at is not None
    assert not Recheck.objects.exists()
    with pytest.raises(decisions.Refused, match="repaired already"):
        decisions.repair(row, user)


@pytest.mark.spec("R7.5")
def test_a_repair_by_hand_puts_right_what_githubs_counts_vouch_for(
    octo: Installation, world: World
) -> None:
    repository = roomy(world, issues=2)
    lost = Issue.objects.filter(repository=ours(repository)).first()
    assert lost is not None
    Issue.objects.filter(pk=lost.pk).update(title="Wrong")
    row = Discrepancy.objects.create(
        installation=octo,
        repository=ours(repository),
        repository_github_id=repository.id,
        entity="issues",
        item_key=str(lost.github_id),
        name=f"{ours(repository)}#{lost.number}",
        type="stale_issue",
        detected_at=clock.now(),
        proposed_action="update",
        repair_status="failed",
        reason="GitHub answered 500.",
        correlation_id=SyncJob.objects.get().pk,
        detector="run",
    )
    decisions.repair(row, UserFactory.create(username="mia"))
    run(waiting().pk)
    row.refresh_from_db()
    assert (row.repair_status, row.repaired_by, row.reason) == ("repaired", "mia", "")
    assert_contents_equal_truth(world, octo)


@pytest.mark.spec("R7.4")
def test_a_dismissal_changes_no_figure_and_what_stays_wrong_is_noted_again(
    octo: Installation, world: World
) -> None:
    repository = roomy(world, issues=2)
    Issue.objects.filter(repository=ours(repository)).update(title="Ours")
    one = {"mode": "repo", "repository": str(ours(repository))}
    sync(octo, **one, dry_run=True)
    for row in Discrepancy.objects.all():
        decisions.dismiss(row, UserFactory.create(), "Known.")
    found = Discrepancy.objects.count()
    job = sync(octo, **one)
    figure = RunFigure.objects.get(job=job, entity="issues")
    assert figure.compared - figure.matched == found > 0
    assert Discrepancy.objects.filter(repair_status="repaired").count() == found
    assert Discrepancy.objects.filter(repair_status="dismissed").count() == found


@pytest.mark.spec("R7.3")
def test_an_approved_disappearance_goes_in_the_name_of_who_approved(
    octo: Installation, world: World
) -> None:
    gone = list(
        Repository.objects.filter(installation=octo, archived=False).values_list(
            "github_id", flat=True
        )
    )[:4]
    for github_id in gone:
        world.delete(github_id)
    sync(octo, mode="reconcile")
    review = Review.objects.get()
    assert Repository.objects.filter(github_id__in=gone, status="active").count() == 4
    assert decisions.approve(review, UserFactory.create(username="mia"), 4) is True
    run(waiting().pk)
    assert_equal_to_truth(world, octo)
    assert set(Repository.objects.filter(github_id__in=gone).values_list("status", flat=True)) == {
        "deleted"
    }
    review.refresh_from_db()
    assert review.carried_out_at is not None
    kept = Discrepancy.objects.filter(type="missing_at_github")
    assert set(kept.values_list("repair_status", "repaired_by")) == {("repaired", "mia")}
    assert kept.count() == 4


@pytest.mark.spec("R7.3")
def test_a_rejected_disappearance_stays_and_asks_nobody_again_for_a_day(
    octo: Installation, world: World
) -> None:
    ids = Repository.objects.filter(installation=octo, archived=False)
    gone = list(ids.values_list("github_id", flat=True))[:4]
    for github_id in gone:
        world.delete(github_id)
    sync(octo, mode="reconcile")
    decisions.reject(Review.objects.get(), UserFactory.create(), "GitHub is ill.")
    job = sync(octo, mode="reconcile")
    assert job.status in ("succeeded", "partial")
    assert Repository.objects.filter(github_id__in=gone, status="active").count() == 4
    assert list(Review.objects.values_list("status", flat=True)) == ["rejected"]
    assert set(Discrepancy.objects.values_list("repair_status", flat=True)) == {"dismissed"}
