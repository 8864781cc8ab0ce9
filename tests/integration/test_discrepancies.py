"""What a run finds wrong is stored, explained, repaired and counted; what it was told of is not."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection

from reconciliation import causes, content_writing, judge
from reconciliation.models import Discrepancy, RunFigure
from syncsvc import clock, contents, mirror, rechecks
from syncsvc.models import (
    Commit,
    Delivery,
    Hook,
    Installation,
    Issue,
    MissedDelivery,
    Repository,
    SyncJob,
)
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.faults import Fault
from syncsvc.simulator.records import Repository as Simulated
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

LATER = timedelta(minutes=10)


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=3, repositories=6)


class Scene:
    """An account that was synced once; afterwards time passes only when told."""

    def __init__(self, simulator: Simulator, traveller: time_machine.Traveller) -> None:
        self.world, self.clock = simulator.world, traveller
        self.installation: Installation = discover()
        assert sync(self.installation, "initial").status == "succeeded"
        self.later()

    def later(self, by: timedelta = LATER) -> datetime:
        self.clock.shift(by)
        return clock.now()

    def repository(self, issues: int = 3, pulls: int = 2, commits: int = 6) -> Simulated:
        return roomy(self.world, issues, pulls, commits)

    def found(self, **filters: Any) -> dict[str, Discrepancy]:
        """The discrepancies by type; of each at most one."""
        rows = list(Discrepancy.objects.filter(**filters))
        by_type = {row.type: row for row in rows}
        assert len(by_type) == len(rows), [str(row) for row in rows]
        return by_type

    def assert_right(self) -> None:
        assert_equal_to_truth(self.world, self.installation)
        assert_contents_equal_truth(self.world, self.installation)


@pytest.fixture
def scene(app_mode: Simulator) -> Iterator[Scene]:
    with time_machine.travel(clock.now(), tick=False) as traveller:
        yield Scene(app_mode, traveller)


def extent(installation: Installation) -> dict[str, int]:
    """How many items of each kind the mirror says are there."""
    inside = {
        "repository__installation": installation,
        "repository__status__in": ("active", "archived"),
    }
    return {
        "repositories": Repository.objects.filter(
            installation=installation, status__in=("active", "archived")
        ).count(),
        "issues": Issue.objects.filter(removed_at=None, **inside).count(),
        "commits": Commit.objects.filter(dropped_at=None, **inside).count(),
    }


@pytest.mark.spec("R7.7", "R9.1")
def test_the_first_run_finds_nothing_wrong_and_has_no_figures(scene: Scene) -> None:
    assert not Discrepancy.objects.exists()
    assert not RunFigure.objects.exists()


@pytest.mark.spec("R7.1", "R7.4", "R9.1")
def test_each_difference_that_nobody_told_of_is_stored_repaired_verified_and_counted(
    scene: Scene,
) -> None:
    world, repository = scene.world, scene.repository()
    content = world.content(repository)
    before = extent(scene.installation)
    edited, deleted = content.issues[0].number, content.issues[1].number
    changed_at = clock.now()
    world.edit(repository.id, description="Another one")
    world.edit_issue(repository.id, edited, title="Another title")
    world.delete_issue(repository.id, deleted)
    world.open_issue(repository.id, "Never heard of")
    world.edit_pull_request(repository.id, content.pull_requests[0].number, title="Other")
    world.force_push(repository.id, drop=2)
    scene.later()

    job = sync(scene.installation, "cron", mode="incremental")

    assert job.status == "succeeded", job.failures
    scene.assert_right()
    rows = list(Discrepancy.objects.all())
    kinds = sorted(row.type for row in rows)
    assert kinds.count("commit_missing_at_github") == 2
    assert set(kinds) == {
        "stale_metadata", "stale_issue", "issue_missing_at_github", "missing_issue",
        "stale_pull_request", "commit_missing_at_github", "missing_commit",
    }  # fmt: skip
    for row in rows:
        assert (row.repair_status, row.repaired_by, row.detector) == ("repaired", "sync", "run")
        assert row.correlation_id == row.repaired_in == job.pk
        assert row.verified_at is not None
        assert row.repository == ours(repository)
        assert row.installation == scene.installation
    stale = Discrepancy.objects.get(type="stale_issue")
    assert stale.name == f"{ours(repository)}#{edited}"
    assert stale.after["title"] == "Another title"
    assert stale.before["title"] != "Another title"
    assert stale.before.keys() == stale.after.keys() == {"title", "github_updated_at"}
    assert stale.occurred_at is not None
    assert abs(stale.occurred_at - changed_at) < timedelta(seconds=60)
    gone = Discrepancy.objects.get(type="issue_missing_at_github")
    assert (gone.proposed_action, gone.occurred_at) == ("remove", None)
    assert gone.after == {"present": False, "removal": "deleted"}

    figures = {each.entity: each for each in RunFigure.objects.filter(job=job)}
    # What the mirror had, and what it lacked: each of them was compared.
    assert figures["repositories"].compared == before["repositories"]
    assert figures["issues"].compared == before["issues"] + 1
    assert figures["issues"].compared - figures["issues"].matched == 3
    assert figures["repositories"].by_type == {"stale_metadata": 1}
    commits = figures["commits"]
    assert commits.compared - commits.matched == kinds.count("missing_commit") + 2
    assert job.discrepancies["issue_missing_at_github"] == 1
    total = [
        sum(getattr(each, name) for each in figures.values()) for name in ("matched", "compared")
    ]
    assert job.accuracy == pytest.approx(total[0] / total[1])

    # The next one finds nothing.
    scene.later()
    again = sync(scene.installation, "cron", mode="incremental")
    assert (again.accuracy, again.discrepancies) == (1.0, {})


@pytest.mark.spec("R7.6")
def test_what_is_in_flight_or_was_told_is_no_discrepancy(
    scene: Scene, tune: Callable[..., Any]
) -> None:
    world, repository = scene.world, scene.repository()
    tune(grace_seconds=3600)
    world.open_issue(repository.id, "Just now")
    world.push_commits(repository.id, 2)
    scene.later()
    job = sync(scene.installation, "cron", mode="incremental")
    assert (job.accuracy, job.discrepancies) == (1.0, {})
    tune(grace_seconds=0)

    # A webhook told of it, and it waits to be read.
    world.push_commits(repository.id, 1)
    scene.later()
    name = str(ours(repository))
    asked = Asked(github_id=repository.id, full_name=name, reason="push", told=rechecks.HISTORY)
    rechecks.ask(scene.installation.pk, [asked], trigger="webhook", now=clock.now())
    job = sync(scene.installation, "webhook", mode="recheck")
    assert (job.status, job.accuracy, job.discrepancies) == ("succeeded", 1.0, {})

    # One is stored and not yet processed.
    world.open_issue(repository.id, "In the mailbox")
    scene.later()
    Delivery.objects.create(
        guid="g", event="issues", received_at=clock.now(), due_at=clock.now(),
        account_id=scene.installation.account_id, repository_github_id=repository.id,
    )  # fmt: skip
    job = sync(scene.installation, "cron", mode="incremental")
    assert (job.accuracy, job.discrepancies) == (1.0, {})
    scene.assert_right()

    # What a gap asks for was lost: nobody told of it.
    world.push_commits(repository.id, 1)
    scene.later()
    Delivery.objects.all().delete()
    asked = Asked(github_id=repository.id, full_name=name, reason="gap")
    rechecks.ask(scene.installation.pk, [asked], trigger="gap", now=clock.now())
    job = sync(scene.installation, "gap", mode="recheck")
    assert job.discrepancies == {"missing_commit": 1}


@pytest.mark.spec("R7.6", "R9.1")
def test_what_one_webhook_tells_excuses_nothing_else_of_its_repository(scene: Scene) -> None:
    world, repository = scene.world, scene.repository()
    world.edit_issue(repository.id, world.content(repository).issues[0].number, title="Lost")
    scene.later(timedelta(days=2))
    world.push_commits(repository.id, 1)
    scene.later()
    told = Asked(github_id=repository.id, itself=True, reason="push", told=rechecks.HISTORY)
    for reason in ("push", "later"):  # asked for once more, for another reason
        rechecks.ask(scene.installation.pk, [told], trigger="webhook", now=clock.now())
        told = Asked(github_id=repository.id, reason=reason)
    job = sync(scene.installation, "webhook", mode="recheck")
    assert job.discrepancies == {"stale_issue": 1}
    scene.assert_right()


@pytest.mark.spec("R7.5", "R7.4")
def test_a_dry_run_proposes_and_the_next_run_repairs_the_same_rows(scene: Scene) -> None:
    world, repository = scene.world, scene.repository()
    world.edit(repository.id, description="Another one")
    world.open_issue(repository.id, "Never heard of")
    world.delete_issue(repository.id, world.content(repository).issues[0].number)
    proposed_at = scene.later()
    for _ in range(2):  # proposed twice, stored once
        job = sync(scene.installation, "manual", dry_run=True)
        assert job.accuracy is not None
        assert job.accuracy < 1
    rows = scene.found()
    assert {row.repair_status for row in rows.values()} == {"proposed"}
    assert {row.detector for row in rows.values()} == {"dry_run"}
    assert rows.keys() == {"stale_metadata", "missing_issue", "issue_missing_at_github"}
    assert not RunFigure.objects.exists()

    scene.later()
    job = sync(scene.installation, "cron", mode="incremental")
    after = scene.found()
    assert {kind: row.pk for kind, row in after.items()} == {k: r.pk for k, r in rows.items()}
    for row in after.values():
        assert (row.repair_status, row.repaired_in) == ("repaired", job.pk)
        assert row.detected_at == proposed_at
        assert row.verified_at is not None
    assert job.discrepancies == dict.fromkeys(rows, 1)
    assert sum(each.compared - each.matched for each in RunFigure.objects.filter(job=job)) == 3
    scene.assert_right()


@pytest.mark.spec("R7.4")
def test_a_proposal_ends_when_its_item_is_found_right(scene: Scene) -> None:
    world, repository = scene.world, scene.repository()
    title = world.content(repository).issues[0].title
    number = world.content(repository).issues[0].number
    Issue.objects.filter(repository=ours(repository), number=number).update(title="By hand")
    scene.later()
    job = sync(
        scene.installation, "manual", mode="repo", repository=str(ours(repository)), dry_run=True
    )
    row = scene.found()["stale_issue"]
    assert (row.repair_status, row.cause) == ("proposed", "our_side")
    # Somebody puts it right before the product does.
    Issue.objects.filter(repository=ours(repository), number=number).update(title=title)
    job = sync(scene.installation, "manual", mode="repo", repository=str(ours(repository)))
    row.refresh_from_db()
    assert (row.repair_status, row.repaired_by, row.repaired_in) == ("repaired", "github", job.pk)
    assert job.accuracy == 1.0


@pytest.mark.spec("R7.4")
def test_a_proposal_ends_when_its_item_is_nowhere_any_more(scene: Scene) -> None:
    world, repository = scene.world, scene.repository()
    number = world.content(repository).issues[0].number
    world.delete_issue(repository.id, number)
    scene.later()
    name = str(ours(repository))
    sync(scene.installation, "manual", mode="repo", repository=name, dry_run=True)
    # The late webhook says so before the next run does.
    Issue.objects.filter(repository=ours(repository), number=number).update(
        removed_at=clock.now(), removal="deleted"
    )
    job = sync(scene.installation, "manual", mode="repo", repository=name)
    assert job.discrepancies == {}
    row = scene.found()["issue_missing_at_github"]
    assert (row.repair_status, row.repaired_by) == ("repaired", "github")


@pytest.mark.spec("R7.5", "P41")
def test_a_mirror_edited_by_hand_is_found_recorded_and_repaired(scene: Scene) -> None:
    repository = ours(scene.repository())
    Repository.objects.filter(pk=repository.pk).update(description="By hand", topics=["mine"])
    Issue.objects.filter(repository=repository).update(title="By hand", body=None)
    Commit.objects.filter(repository=repository).update(message="By hand")
    hand_made = Issue.objects.filter(repository=repository).order_by("number").last()
    assert hand_made is not None
    lost = Commit.objects.filter(repository=repository).order_by("committed_at").first()
    assert lost is not None
    lost.delete()
    Issue.objects.create(
        repository=repository, github_id=1, number=9999, title="Ours alone", github_state="open",
        state="pending", severity="low", priority_base=50, due_at=clock.now(),
        github_created_at=clock.now(), github_updated_at=clock.now(), last_written_at=clock.now(),
    )  # fmt: skip
    scene.later()
    job = sync(scene.installation, "manual", mode="repo", repository=str(repository))
    assert job.status == "succeeded", job.failures
    scene.assert_right()
    assert job.discrepancies.keys() == {
        "stale_metadata", "stale_issue", "stale_commit", "missing_commit", "issue_missing_at_github",
    }  # fmt: skip
    assert set(
        Discrepancy.objects.filter(type__in=("stale_issue", "stale_commit")).values_list(
            "cause", flat=True
        )
    ) == {"our_side"}


@pytest.mark.spec("R7.4", "R6.5")
def test_the_lost_delivery_that_explains_a_discrepancy_is_named_even_if_found_later(
    scene: Scene,
) -> None:
    world, repository = scene.world, scene.repository()
    lost_at = clock.now()
    issue = world.open_issue(repository.id, "Never heard of")
    world.edit(repository.id, description="Nobody knows why")
    scene.later()
    sync(scene.installation, "cron", mode="incremental")
    assert scene.found()["missing_issue"].cause == "unknown"
    hook = Hook.objects.create(target_type="integration", target_id=1)
    for guid, minutes in (("other", 9), ("lost", 0)):
        missed = MissedDelivery.objects.create(
            hook=hook, guid=guid, event="issues", action="opened", installation=scene.installation,
            repository_github_id=repository.id, kind="lost", latest_id=1, detected_at=clock.now(),
            first_at=lost_at + timedelta(minutes=minutes, seconds=2),
            latest_at=lost_at + timedelta(minutes=minutes),
        )  # fmt: skip
    assert (
        causes.explain(clock.now()) == 2
    )  # of the repository's metadata an event of it tells, too
    found = scene.found()["missing_issue"]
    assert (found.cause, found.missed_delivery) == ("lost_delivery", missed)
    assert found.name.endswith(f"#{issue.number}")
    assert causes.explain(clock.now()) == 0


@pytest.mark.spec("R9.1", "R10.2")
def test_what_a_killed_attempt_repaired_still_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, repository = scene.world, scene.repository()
    world.edit(repository.id, description="Another one")
    world.open_issue(repository.id, "Never heard of")
    scene.later()
    decision = SyncService.request(scene.installation.pk, "cron", mode="incremental")
    assert decision.job_id is not None

    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(content_writing.Writing, "settle_lacking", killed)
        with pytest.raises(SystemExit):
            run(decision.job_id)
    assert Discrepancy.objects.count() == 2
    assert not RunFigure.objects.exists()
    job = run(decision.job_id)
    assert job.status == "succeeded"
    assert job.discrepancies == {"stale_metadata": 1, "missing_issue": 1}
    wrong = {
        each.entity: each.compared - each.matched for each in RunFigure.objects.filter(job=job)
    }
    assert {name: n for name, n in wrong.items() if n} == {"repositories": 1, "issues": 1}


@pytest.mark.spec("R9.1", "R10.2")
def test_a_job_that_died_for_good_counts_what_it_found_wrong_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.world.edit(scene.repository().id, description="Another one")
    scene.later()
    decision = SyncService.request(scene.installation.pk, "cron", mode="incremental")

    def killed(*_: Any, **__: Any) -> None:
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(content_writing.Writing, "flush", killed)
        with pytest.raises(SystemExit):
            run(str(decision.job_id))
    SyncJob.objects.filter(pk=str(decision.job_id)).update(
        status="dead", finished_at=clock.now(), lease=None
    )
    assert judge.close_orphans(clock.now()) == 1
    assert judge.close_orphans(clock.now()) == 0
    figure = RunFigure.objects.get()
    assert (figure.entity, figure.compared, figure.matched) == ("repositories", 1, 0)


@pytest.mark.spec("R7.4", "R5.6")
def test_what_the_database_refuses_is_a_failed_repair_until_it_can_be_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, repository = scene.world, scene.repository()
    world.edit_issue(repository.id, world.content(repository).issues[0].number, title="Poison")
    world.open_issue(repository.id, "Harmless")
    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE syncsvc_issue ADD CONSTRAINT no_poison CHECK (title <> 'Poison')"
        )
    try:
        scene.later()
        job = sync(scene.installation, "cron", mode="incremental")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE syncsvc_issue DROP CONSTRAINT no_poison")
    assert job.status == "partial"
    rows = scene.found()
    assert (rows["stale_issue"].repair_status, rows["missing_issue"].repair_status) == (
        "failed",
        "repaired",
    )
    assert "cannot hold" in rows["stale_issue"].reason
    scene.later()
    name = str(ours(repository))
    job = sync(scene.installation, "manual", mode="repo", repository=name)
    assert job.status == "succeeded", job.failures
    row = scene.found()["stale_issue"]
    assert (row.repair_status, row.reason, row.repaired_in) == ("repaired", "", job.pk)
    scene.assert_right()


@pytest.mark.spec("R9.1")
def test_what_could_not_be_read_is_unknown_and_not_right(scene: Scene, app_mode: Simulator) -> None:
    app_mode.faults.add(
        Fault(kind="truncated", path_regex="/installation/repositories", times=None)
    )
    job = sync(scene.installation, "cron", mode="incremental")
    app_mode.faults.clear()
    assert job.status in ("partial", "succeeded")
    figure = RunFigure.objects.filter(job=job, entity="repositories").first()
    assert figure is not None
    assert figure.compared + figure.unknown >= extent(scene.installation)["repositories"]


@pytest.mark.spec("P40", "P41", "R7.5")
def test_a_writer_that_came_between_wins_if_it_is_newer_and_nothing_is_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, repository = scene.world, scene.repository()
    world.edit(repository.id, description="From the list")
    scene.later()
    plain, mine = mirror.apply, ours(repository)
    once = iter([True])

    def late(changes: Any, author: Any) -> Any:
        if next(once, False):  # a webhook writes at this very moment, with GitHub's latest word
            Repository.objects.filter(pk=mine.pk).update(
                description="From the webhook", version=mine.version + 1
            )
            world.edit(repository.id, description="From the webhook")
        return plain(changes, author)

    monkeypatch.setattr(mirror, "apply", late)
    job = sync(scene.installation, "cron", mode="reconcile")
    assert job.status == "succeeded"
    monkeypatch.setattr(mirror, "apply", plain)
    scene.later()
    sync(scene.installation, "cron", mode="reconcile")
    scene.assert_right()


@pytest.mark.spec("R7.5", "R7.6", "R9.3")
@pytest.mark.parametrize("ahead", [timedelta(hours=-2), timedelta(minutes=-5), timedelta(hours=2)])
def test_clocks_that_disagree_hide_no_difference_and_make_no_time_negative(
    scene: Scene, ahead: timedelta
) -> None:
    world, repository = scene.world, scene.repository()

    def theirs() -> float:
        return (clock.now() + ahead).timestamp()

    world.follow(theirs)
    world.edit(repository.id, description="Another one")
    world.open_issue(repository.id, "Never heard of")
    world.push_commits(repository.id, 1)
    scene.later()
    job = sync(scene.installation, "cron", mode="incremental")
    assert job.status == "succeeded", job.failures
    scene.assert_right()
    rows = scene.found()
    assert {"stale_metadata", "missing_issue", "missing_commit"} <= rows.keys()
    for row in rows.values():
        assert row.occurred_at is None or row.occurred_at <= row.detected_at


@pytest.mark.spec("R9.1")
def test_lists_that_may_not_be_read_and_repositories_out_of_reach_are_unknown(scene: Scene) -> None:
    issues = extent(scene.installation)["issues"]
    scene.installation.refresh_from_db()
    allowed = dict(scene.installation.permissions)
    allowed.pop("issues")
    Installation.objects.filter(pk=scene.installation.pk).update(permissions=allowed)
    job = sync(scene.installation, "cron", mode="incremental")
    figures = {each.entity: each for each in RunFigure.objects.filter(job=job)}
    assert (figures["issues"].compared, figures["issues"].unknown) == (0, issues)
    assert figures["pull_requests"].unknown == 0


@pytest.mark.spec("R9.3")
def test_what_a_run_vouched_for_was_not_wrong_before_it(scene: Scene) -> None:
    world, repository = scene.world, scene.repository()
    scene.later()
    vouched = sync(scene.installation, "cron", mode="incremental")
    scene.later()
    world.push_commits(repository.id, 1, age=30 * 86_400)  # made a month ago, pushed now
    with connection.cursor() as cursor:  # nobody knows of the push but by the commit's own time
        cursor.execute("UPDATE syncsvc_repository SET pushed_at = NULL")
    scene.later()
    sync(scene.installation, "cron", mode="incremental")
    row = Discrepancy.objects.get(type="missing_commit")
    assert row.occurred_at is not None
    assert row.occurred_at >= (vouched.started_at or row.detected_at)


@pytest.mark.spec("R7.4")
def test_proposals_of_a_repository_that_left_end_with_it(scene: Scene) -> None:
    world, repository = scene.world, scene.repository()
    world.open_issue(repository.id, "Never heard of")
    scene.later()
    sync(scene.installation, "manual", dry_run=True)
    assert scene.found()["missing_issue"].repair_status == "proposed"
    world.delete(repository.id)
    scene.later()
    sync(scene.installation, "cron", mode="incremental")
    assert scene.found()["missing_issue"].repair_status == "repaired"


@pytest.mark.spec("R7.4", "R7.6")
def test_a_proposal_is_closed_by_the_run_that_repairs_it_even_if_that_is_in_flight(
    scene: Scene, tune: Callable[..., Any]
) -> None:
    world, repository = scene.world, scene.repository()
    issue = world.content(repository).issues[0].number
    world.edit_issue(repository.id, issue, title="Once")
    scene.later()
    sync(scene.installation, "manual", dry_run=True)
    tune(grace_seconds=3600)
    world.edit_issue(repository.id, issue, title="Twice")
    scene.clock.shift(timedelta(seconds=30))
    job = sync(scene.installation, "cron", mode="incremental")
    row = scene.found()["stale_issue"]
    assert (row.repair_status, row.repaired_by, row.repaired_in) == ("repaired", "sync", job.pk)
    # It was found before anything was in flight, so it counts where it is repaired.
    assert job.discrepancies == {"stale_issue": 1}


@pytest.mark.spec("P41", "R7.4", "R9.1")
def test_what_a_webhook_wrote_newer_meanwhile_was_not_repaired_by_the_run(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, repository = scene.world, scene.repository()
    number = world.content(repository).issues[0].number
    world.edit_issue(repository.id, number, title="Read by the run")
    now = scene.later()
    plain = contents.write

    def late(entity: Any, items: Any, author: Any) -> Any:
        if entity == "issues" and items:
            Issue.objects.filter(repository=ours(repository), number=number).update(
                title="Told by a webhook", github_updated_at=now
            )
        return plain(entity, items, author)

    monkeypatch.setattr(contents, "write", late)
    job = sync(scene.installation, "cron", mode="incremental")
    assert job.discrepancies == {}
    assert not Discrepancy.objects.exists()
    row = Issue.objects.get(repository=ours(repository), number=number)
    assert row.title == "Told by a webhook"
