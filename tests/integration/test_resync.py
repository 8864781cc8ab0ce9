"""What verification finds missing is told, brought at once, and else not forgotten (R8.1, R8.2)."""

from collections.abc import Callable, Collection, Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog.testing
import time_machine
from django.db import connection

from reconciliation import resync
from reconciliation.models import AuditEntry, Discrepancy, IntegrityIssue
from syncsvc import clock, contents, daily_metrics, mirror, rechecks
from syncsvc.github.reading import Entity
from syncsvc.models import (
    Commit,
    ContentList,
    Issue,
    PullRequest,
    Recheck,
    Repository,
    SyncJob,
)
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator, World
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

MODELS: dict[Entity, Any] = {
    Entity.ISSUES: Issue,
    Entity.PULL_REQUESTS: PullRequest,
    Entity.COMMITS: Commit,
}
Lose = Callable[..., None]


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=3, repositories=6)


@pytest.fixture
def logs() -> Iterator[list[Any]]:
    """What was logged."""
    with structlog.testing.capture_logs() as entries:
        yield entries


@pytest.fixture
def lose_repositories(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """Makes rows of repositories vanish right after they were written, as if never written."""
    plain = mirror.apply

    def arrange(ids: Collection[int], times: int = 10**6) -> None:
        left = [times]

        def apply(*arguments: Any) -> Any:
            applied = plain(*arguments)
            if left[0] > 0:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "DELETE FROM syncsvc_repository WHERE github_id = ANY(%s) RETURNING 1",
                        [list(ids)],
                    )
                    left[0] -= bool(cursor.fetchall())
            return applied

        monkeypatch.setattr(mirror, "apply", apply)

    return arrange


@pytest.fixture
def lose_items(monkeypatch: pytest.MonkeyPatch) -> Lose:
    """The same of the first item that is written of an entity in a repository."""
    plain = contents.write

    def arrange(of: Entity, repository: int, times: int = 10**6) -> None:
        left = [times]

        def write(entity: Entity, items: Any, author: Any) -> Any:
            written = plain(entity, items, author)
            mine = [item for item in items if item.repository_id == repository]
            if entity is of and mine and left[0] > 0:
                left[0] -= 1
                row = MODELS[of].objects.filter(repository=repository).order_by("pk")[:1]
                MODELS[of].objects.filter(pk__in=row.values("pk")).delete()
            return written

        monkeypatch.setattr(contents, "write", write)

    return arrange


def told(logs: list[Any], event: str) -> list[dict[str, Any]]:
    return [entry for entry in logs if entry["event"] == event]


def assert_written_down(job: SyncJob) -> None:
    """The audit entry of the run holds what verification found (P5)."""
    entry = AuditEntry.objects.get(correlation_id=job.pk, kind=AuditEntry.Kind.RUN)
    assert entry.verification == job.verification


def later(**delta: float) -> Any:
    return time_machine.travel(clock.now() + timedelta(**delta))


# --- repositories ---------------------------------------------------------------------------------


@pytest.mark.spec("R8.1", "R8.2", "P1", "P2", "P3", "P5")
def test_repositories_that_a_lost_write_left_out_are_told_and_brought_in_the_same_run(
    app_mode: Simulator, lose_repositories: Lose, logs: list[Any]
) -> None:
    installation = discover()
    lost = sorted(r.id for r in app_mode.world.owned(app_mode.world.account("octo-simulated")))[:3]
    lose_repositories(lost, times=1)
    job = sync(installation, mode="reconcile")
    assert (job.status, job.error) == ("succeeded", "")
    assert_equal_to_truth(app_mode.world, installation)
    [gap] = told(logs, "verification.gap")
    assert (gap["entity"], gap["missing_ids"], gap["missing"]) == ("repositories", lost, 3)
    assert job.created_at.isoformat() < gap["at"] <= clock.now().isoformat()
    [attempt] = told(logs, "resync.attempted")
    assert (attempt["tried"], attempt["resolved"], attempt["failed"]) == (lost, 3, 0)
    check = job.verification
    assert check["resync"] == {"attempted": True, "items": 3, "resolved": 3, "failed": 0}
    assert (check["executed"], check["ok"], check["missing"]) == (True, True, 0)
    assert check["counts"]["github"] == check["counts"]["mirror"]
    assert_written_down(job)
    assert (Discrepancy.objects.count(), Recheck.objects.count()) == (0, 0)


@pytest.mark.spec("R7.4", "R8.2", "P3", "P4")
def test_repositories_that_do_not_come_are_a_discrepancy_a_failure_and_tried_again(
    app_mode: Simulator, lose_repositories: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()
    world = app_mode.world
    lost = sorted(r.id for r in world.owned(world.account("octo-simulated")))[:2]
    plain = mirror.apply
    lose_repositories(lost)
    job = sync(installation, mode="reconcile")
    assert (job.status, job.error_category) == ("partial", "validation")
    assert job.error.startswith("Verification found 2 repositories missing")
    assert job.verification["resync"] | {"attempted": 0} == {
        "attempted": 0, "items": 2, "resolved": 0, "failed": 2,
    }  # fmt: skip
    assert (job.verification["ok"], job.verification["missing_ids"]) == (False, lost)
    rows = Discrepancy.objects.order_by("item_key")
    assert [(row.item_key, row.type, row.repair_status, row.detector) for row in rows] == [
        (str(each), "missing_repo", "failed", "verification") for each in lost
    ]
    assert all(row.correlation_id == job.pk and "did not bring it" in row.reason for row in rows)
    asked = Recheck.objects.order_by("github_id")
    assert [(each.github_id, each.itself, each.trigger) for each in asked] == [
        (each, True, "maintenance") for each in lost
    ]
    assert all(
        timedelta(seconds=50) < each.due_at - clock.now() <= timedelta(minutes=1) for each in asked
    )
    # The retry fails, too, and waits longer.
    with later(minutes=2):
        again = sync(installation, "maintenance", mode="recheck")
        assert (again.status, again.verification["missing"]) == ("partial", 2)
        assert [each.attempts for each in asked.all()] == [1, 1]
        assert all(each.due_at > clock.now() + timedelta(seconds=50) for each in asked.all())
    monkeypatch.setattr(mirror, "apply", plain)
    with later(minutes=10):
        job = sync(installation, "maintenance", mode="recheck")
        assert job.status == "succeeded"
        assert_equal_to_truth(world, installation)
        assert not Recheck.objects.exists()
        sync(installation, mode="reconcile")
    assert set(rows.all().values_list("repair_status", flat=True)) == {"repaired"}


@pytest.mark.spec("R8.2")
def test_a_repository_that_went_since_the_list_showed_it_is_not_missing(
    app_mode: Simulator, lose_repositories: Lose
) -> None:
    installation, world = discover(), app_mode.world
    lost = roomy(world).id
    lose_repositories([lost], times=1)
    gone = Fault(
        kind="drift", path_regex="^/installation/repositories", change=lambda: world.delete(lost)
    )
    app_mode.faults.add(gone)
    job = sync(installation, mode="reconcile")
    assert job.status == "succeeded"
    assert not Repository.objects.filter(github_id=lost).exists()
    assert not Recheck.objects.exists()


@pytest.mark.spec("R8.2")
def test_one_run_brings_a_few_and_the_next_ones_the_others(
    app_mode: Simulator, lose_repositories: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resync, "MOST", 2)
    installation = discover()
    lost = sorted(r.id for r in app_mode.world.owned(app_mode.world.account("octo-simulated")))[:3]
    lose_repositories(lost, times=1)
    job = sync(installation, mode="reconcile")
    assert (job.status, job.verification["missing_ids"]) == ("partial", lost[2:])
    assert [each.github_id for each in Recheck.objects.all()] == lost[2:]
    with later(minutes=2):
        assert sync(installation, "maintenance", mode="recheck").status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)


# --- what repositories hold -----------------------------------------------------------------------


@pytest.mark.spec("R8.1", "R8.2", "P1", "P2", "P3", "P5")
@pytest.mark.parametrize("entity", list(Entity))
def test_items_that_a_lost_write_left_out_are_told_and_brought_in_the_same_run(
    app_mode: Simulator, lose_items: Lose, logs: list[Any], entity: Entity
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, mode="reconcile")
    home = ours(roomy(world, 3, 2, 4))
    lose_items(entity, home.pk, times=1)
    job = sync(installation)
    assert (job.status, job.error) == ("succeeded", "")
    assert_contents_equal_truth(world, installation)
    [gap] = told(logs, "verification.gap")
    assert (gap["entity"], gap["missing"], gap["repositories"]) == (entity, 1, [home.full_name])
    first = MODELS[entity].objects.filter(repository=home)
    key = "sha" if entity is Entity.COMMITS else "github_id"
    assert gap["missing_ids"][0] in {str(each) for each in first.values_list(key, flat=True)}
    [attempt] = told(logs, "resync.attempted")
    assert (attempt["tried"], attempt["failed"]) == ([home.full_name], 0)
    check = job.verification
    assert check["resync"] == {"attempted": True, "items": 1, "resolved": 1, "failed": 0}
    assert all(found["ok"] and not found["missing"] for found in check["contents"].values())
    for of, found in check["contents"].items():
        held = MODELS[Entity(of)].objects.filter(repository__installation=installation).count()
        assert found["github"] == found["mirror"] == held
    assert (Discrepancy.objects.count(), Recheck.objects.count()) == (0, 0)
    before = SyncJob.objects.count()
    assert sync(installation, "cron", mode="incremental").counts["issues"]["created"] == 0
    assert SyncJob.objects.count() == before + 1


@pytest.mark.spec("R8.1", "R8.2")
def test_rows_that_vanish_after_their_list_was_read_are_missed_by_their_number(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, logs: list[Any]
) -> None:
    installation, world = discover(), app_mode.world
    home = roomy(world, 3)
    plain = daily_metrics.write

    def vanish(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(daily_metrics, "write", plain)
        some = Issue.objects.filter(repository__github_id=home.id).values("pk")[:2]
        Issue.objects.filter(pk__in=some).delete()
        return plain(*arguments, **options)

    monkeypatch.setattr(daily_metrics, "write", vanish)
    job = sync(installation)
    assert job.status == "succeeded"
    assert_contents_equal_truth(world, installation)
    [gap] = told(logs, "verification.gap")
    assert (gap["missing"], gap["repositories"]) == (2, [ours(home).full_name])
    assert job.verification["resync"]["resolved"] == 2


@pytest.mark.spec("R7.4", "R8.2", "P3", "P4")
@pytest.mark.parametrize("entity", list(Entity))
def test_items_that_do_not_come_are_a_discrepancy_a_failure_and_tried_again(
    app_mode: Simulator,
    lose_items: Lose,
    monkeypatch: pytest.MonkeyPatch,
    entity: Entity,
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, mode="reconcile")
    home = ours(roomy(world, 3, 2, 4))
    plain = contents.write
    lose_items(entity, home.pk)
    job = sync(installation)
    assert job.status == "partial"
    assert job.failures[0]["operation"] == "verify"
    assert "reading them again did not bring them" in job.failures[0]["message"]
    assert job.verification["resync"]["failed"] >= 1
    found = job.verification["contents"][entity]
    assert (found["ok"], found["missing"]) == (False, len(found["missing_ids"]))
    row = Discrepancy.objects.filter(detector="verification").first()
    assert row is not None
    assert (row.repair_status, row.entity, row.repository_github_id) == (
        "failed", entity, home.github_id,
    )  # fmt: skip
    [asked] = Recheck.objects.all()
    assert (asked.github_id, asked.itself, asked.trigger) == (home.github_id, False, "maintenance")
    assert ContentList.objects.get(repository=home, entity=entity).whole_at is None
    with later(minutes=2):
        again = sync(installation, "maintenance", mode="recheck")
        assert again.status == "partial"
        assert Recheck.objects.get().due_at > clock.now() + timedelta(seconds=50)
    monkeypatch.setattr(contents, "write", plain)
    with later(minutes=10):
        assert sync(installation, "maintenance", mode="recheck").status == "succeeded"
    assert_contents_equal_truth(world, installation)
    assert not Recheck.objects.exists()
    assert set(Discrepancy.objects.values_list("repair_status", flat=True)) == {"repaired"}


@pytest.mark.spec("R8.2", "R10.2")
def test_a_run_that_dies_while_it_reads_again_leaves_it_to_its_next_attempt(
    app_mode: Simulator, lose_items: Lose, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, mode="reconcile")
    home = ours(roomy(world, 3))
    lose_items(Entity.ISSUES, home.pk, times=1)

    def dies(*_: Any) -> None:
        raise SystemExit

    job_id = SyncService.request(installation.pk, "manual").job_id or ""
    with monkeypatch.context() as patch:
        patch.setattr(resync, "read_contents", dies)
        with pytest.raises(SystemExit):
            run(job_id)
    assert run(job_id).status == "succeeded"
    assert_contents_equal_truth(world, installation)


# --- every run ------------------------------------------------------------------------------------


@pytest.mark.spec("R8.1", "P1", "P5")
def test_every_completed_run_was_verified_and_compared_counts(app_mode: Simulator) -> None:
    installation, world = discover(), app_mode.world
    home = roomy(world, 3)
    ask = [Asked(github_id=home.id, itself=True, reason="test")]
    runs = [sync(installation, dry_run=True), sync(installation)]
    name = ours(home).full_name
    for mode in ("incremental", "reconcile"):
        runs += [sync(installation, mode=mode), sync(installation, mode=mode, dry_run=True)]
    for dry_run in (False, True):
        runs.append(sync(installation, mode="repo", repository=name, dry_run=dry_run))
    rechecks.ask(installation.pk, ask, trigger="webhook", now=clock.now())
    runs.append(sync(installation, "webhook", mode="recheck"))
    for job in runs:
        where = (job.mode, job.dry_run)
        assert job.status in ("succeeded", "partial"), where
        check = job.verification
        assert check["executed"] is True, where
        assert check["at"] >= job.created_at.isoformat(), where
        github, mine = check["counts"]["github"], check["counts"]["mirror"]
        if not (job.dry_run and job is runs[0]):
            assert github == mine, where
        assert check["scope"] == ("account" if check["complete"] else "shown"), where
        assert_written_down(job)
    whole = sum(1 for _ in world.owned(world.account("octo-simulated")))
    assert runs[0].verification["counts"] == {"github": whole, "mirror": 0}
    assert runs[0].verification["missing"] == whole  # reported, and not brought: it is a dry run
    assert {job.verification["counts"]["github"] for job in runs[6:9]} == {1}


@pytest.mark.spec("R8.1", "P32", "P35")
def test_rows_that_a_run_wrote_are_checked_against_the_rules(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, world = discover(), app_mode.world
    home = roomy(world, 3)
    plain = contents.write

    def spoil(entity: Entity, items: Any, author: Any) -> Any:
        written = plain(entity, items, author)
        one = Issue.objects.filter(repository__github_id=home.id).values("pk")[:1]
        Issue.objects.filter(pk__in=one).update(author="not a login")
        return written

    monkeypatch.setattr(contents, "write", spoil)
    job = sync(installation)
    check = job.verification["integrity"]
    assert check["checked"] > 20
    assert (check["found"], check["rules"]) == (1, {"issue_author_is_malformed": 1})
    issue = IntegrityIssue.objects.get()
    assert (issue.correlation_id, issue.repository) == (job.pk, ours(home))
    assert job.status == "succeeded"  # the run did what it should; the row is told of by itself
