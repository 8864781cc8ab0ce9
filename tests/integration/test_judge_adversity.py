"""What the judge's writers make of odd data, of each other, and of rows that go away under them."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.db import connection, transaction

from reconciliation import causes, conductor, contents, decisions, deliveries, guard, named
from reconciliation.findings import Finding
from reconciliation.judge import Judge
from reconciliation.lists import Judgement
from reconciliation.models import AuditEntry, Discrepancy, Review, RunFigure
from syncsvc import clock, content_lists, jobs, rechecks
from syncsvc import contents as written_contents
from syncsvc.github.errors import RateLimited
from syncsvc.github.reading import Entity
from syncsvc.leases import Lease
from syncsvc.mirror import Author
from syncsvc.models import (
    Commit,
    ContentList,
    Delivery,
    Hook,
    Installation,
    Issue,
    MissedDelivery,
    Repository,
    SyncJob,
)
from syncsvc.plan import Kind
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.faults import Fault
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory
from tests.judge_factories import DiscrepancyFactory, ReviewFactory
from tests.support import discover, ours, roomy, run, sync
from tests.webhook_support import Post, arrive

pytestmark = pytest.mark.django_db(transaction=True)

LATER = timedelta(minutes=10)


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=3, repositories=6)


@pytest.fixture
def synced(app_mode: Simulator) -> Iterator[Installation]:
    """An account that was synced once, ten minutes ago; time stands still."""
    with time_machine.travel(clock.now(), tick=False) as traveller:
        installation = discover()
        assert sync(installation, "initial").status == "succeeded"
        traveller.shift(LATER)
        yield installation


@pytest.mark.spec("R7.4")
def test_a_text_that_spells_a_nul_ends_no_run(synced: Installation, world: World) -> None:
    repository = roomy(world, 3)
    number = world.content(repository).issues[0].number
    title = r"C:\u0000 and \\u0000, \u0000\n"
    with time_machine.travel(clock.now() - LATER / 2):
        world.edit_issue(repository.id, number, title=title)
    job = sync(synced, "cron", mode="incremental")
    assert (job.status, job.error) == ("succeeded", "")
    assert Issue.objects.get(repository=ours(repository), number=number).title == title
    assert Discrepancy.objects.get().after["title"] == title


@pytest.mark.spec("R7.4", "R9.1")
def test_one_commit_in_two_repositories_is_two_items(synced: Installation, world: World) -> None:
    one, two = (roomy(world, 0, 0, 4, skip=each) for each in range(2))
    sha = "ab" * 20
    with time_machine.travel(clock.now() - LATER / 2):
        for each in (one, two):
            world.push_commits(each.id, 1)
            content = world.content(each)
            history = content.branches[each.default_branch]
            history[-1] = replace(history[-1], sha=sha)
            content.changed()
    job = sync(synced, "cron", mode="incremental")
    assert job.status == "succeeded", job.failures
    assert Commit.objects.filter(sha=sha, dropped_at=None).count() == 2
    assert Discrepancy.objects.filter(type="missing_commit", verified_at__isnull=False).count() == 2
    figure = RunFigure.objects.get(job=job, entity="commits")
    assert (figure.compared - figure.matched, figure.by_type) == (2, {"missing_commit": 2})


def meanwhile(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Does something once, when a run has read the list of repositories and goes on."""
    once = [what]
    read = contents.read_contents

    def reading(*args: Any, **options: Any) -> None:
        while once:
            once.pop()()
        read(*args, **options)

    monkeypatch.setattr(conductor, "read_contents", reading)


@pytest.mark.spec("R3.4")
@pytest.mark.parametrize("gone", [SyncJob, Installation])
def test_a_run_whose_job_or_account_is_deleted_stops_and_leaves_nothing(
    synced: Installation, world: World, monkeypatch: pytest.MonkeyPatch, gone: type[Any]
) -> None:
    with time_machine.travel(clock.now() - LATER / 2):
        world.open_issue(roomy(world, 3).id, "Never heard of")
    job_id = SyncService.request(synced.pk, "cron", mode="incremental").job_id
    assert job_id
    pk = job_id if gone is SyncJob else synced.pk
    meanwhile(monkeypatch, gone.objects.filter(pk=pk).delete)
    lease = jobs.claim(job_id)
    assert lease
    conductor.execute(lease)
    assert not RunFigure.objects.exists()
    assert not Discrepancy.objects.exclude(entity="repositories").exists()


@pytest.mark.spec("R7.4", "R6.5")
def test_of_many_lost_deliveries_the_one_right_after_the_change_explains_it() -> None:
    installation, random = InstallationFactory.create(), Random(7)
    hook = Hook.objects.create(target_type="integration", target_id=1)
    now = clock.now()
    events = ["issues", "push", "repository", "installation", "pull_request"]
    for number in range(60):
        event = random.choice(events)
        at = now - timedelta(minutes=random.randrange(6000))
        MissedDelivery.objects.create(
            hook=hook, guid=str(number), event=event, installation=installation, kind="lost",
            repository_github_id=None if event == "installation" else random.randrange(1, 3),
            latest_id=1, detected_at=now, first_at=at, latest_at=at,
        )  # fmt: skip
    home = RepositoryFactory.create(installation=installation, github_id=1)
    for number in range(40):
        detected = now - timedelta(minutes=random.randrange(4000))
        DiscrepancyFactory.create(
            installation=installation, home=home, item_key=str(number), detected_at=detected,
            entity=random.choice(["issues", "commits", "repositories"]),
            occurred_at=random.choice([None, detected - timedelta(minutes=random.randrange(2000))]),
        )  # fmt: skip
    assert causes.explain(now) > 10
    for row in Discrepancy.objects.all():
        since = row.occurred_at or row.detected_at - causes.LOOK_BACK
        fitting = [
            each
            for each in MissedDelivery.objects.filter(
                first_at__gte=since - causes.MARGIN, first_at__lte=row.detected_at
            )
            if each.event in causes._EVENTS[row.entity] and each.repository_github_id in (1, None)
        ]
        aim = row.occurred_at or since - causes.MARGIN
        best = min(fitting, key=lambda each: abs(each.first_at - aim), default=None)
        assert row.missed_delivery == best
        assert row.cause == ("lost_delivery" if best else "unknown")
    assert causes.explain(now) == 0


class Beside:
    """Something that goes on in a connection of its own."""

    def __init__(self, what: Callable[[], object]) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._carry_out, args=(what,))
        self._thread.start()

    def _carry_out(self, what: Callable[[], object]) -> None:
        try:
            what()
        except Exception as error:  # noqa: BLE001  (told by `end`)
            self.error = error
        finally:
            connection.close()

    def wait_until_it_waits(self) -> None:
        """Until it waits for a lock that the caller holds, or has ended."""
        with connection.cursor() as cursor:
            while self._thread.is_alive():
                cursor.execute(
                    "SELECT 1 FROM pg_locks WHERE NOT granted AND pg_backend_pid() = "
                    "ANY(pg_blocking_pids(pid))"
                )
                if cursor.fetchone():
                    return

    def end(self) -> None:
        self._thread.join()
        assert self.error is None


@pytest.mark.spec("R7.5", "P37")
def test_a_decision_and_whoever_writes_the_same_rows_do_not_wait_in_a_circle() -> None:
    user = User.objects.create_user("ann")
    home = RepositoryFactory.create()
    ContentList.objects.create(repository=home, entity="issues", count=3)
    row = DiscrepancyFactory.create(installation=home.installation, home=home)
    asked = [Asked(github_id=home.github_id, reason="tie")]
    rechecks.ask(home.installation_id, asked, trigger="webhook", now=clock.now())
    with transaction.atomic():  # as when deliveries are processed
        content_lists.adjust({(home.pk, Entity.ISSUES): 1})
        beside = Beside(lambda: decisions.repair(row, user))
        beside.wait_until_it_waits()
        rechecks.ask(home.installation_id, asked, trigger="webhook", now=clock.now())
    beside.end()
    row.refresh_from_db()
    assert row.decided_by == user

    review = ReviewFactory.create(installation=home.installation)
    SyncJob.objects.all().delete()
    job = SyncJobFactory.create(installation=home.installation, running=True)
    with transaction.atomic():  # as when a run holds what it held before
        SyncJob.objects.filter(pk=job.pk).update(current=1)
        beside = Beside(lambda: decisions.approve(review, user))
        beside.wait_until_it_waits()
        Review.objects.filter(pk=review.pk, status="open").update(last_seen_at=clock.now())
    beside.end()
    job.refresh_from_db()
    review.refresh_from_db()
    assert (review.status, job.follow_up) == ("approved", "maintenance")


@pytest.mark.spec("R7.5", "R9.1")
def test_a_repository_that_the_list_shows_too_old_and_that_cannot_be_asked_is_unknown(
    synced: Installation, world: World, app_mode: Simulator
) -> None:
    mine = ours(roomy(world))
    Repository.objects.filter(pk=mine.pk).update(
        description="By hand", github_updated_at=clock.now() + timedelta(hours=1)
    )
    row = DiscrepancyFactory.create(
        installation=synced, home=mine, entity="repositories", item_key=str(mine.github_id),
        type="stale_metadata",
    )  # fmt: skip
    app_mode.faults.add(
        Fault(kind="status", path_regex=rf"^/repos/{mine.full_name}(\?|$)", times=None),
        Fault(kind="status", path_regex=rf"^/repositories/{mine.github_id}(\?|$)", times=None),
    )
    job = sync(synced, "cron", mode="reconcile")
    assert job.status == "partial"
    figure = RunFigure.objects.get(job=job)
    assert (figure.compared, figure.matched, figure.unknown) == (5, 5, 1)
    row.refresh_from_db()
    assert row.repair_status == "proposed"


@pytest.mark.spec("R9.1")
def test_a_list_that_is_never_explained_is_unknown(
    synced: Installation, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = roomy(world, 3)
    mine = ours(repository)
    present = mine.issues.filter(removed_at=None).count()
    world.delete_issue(repository.id, world.content(repository).issues[0].number)
    monkeypatch.setattr("reconciliation.lists.ListRun.judged", lambda *_: Judgement.UNEXPLAINED)
    monkeypatch.setattr("reconciliation.absent_items.settle", lambda *_: True)
    job = sync(synced, "cron", mode="repo", repository=str(mine))
    figure = RunFigure.objects.get(job=job, entity="issues")
    assert figure.unknown == present


@pytest.mark.spec("R7.3", "R7.4", "R8.2")
def test_what_was_held_and_comes_back_changed_is_no_failed_repair(
    synced: Installation, world: World, tune: Callable[..., Any]
) -> None:
    tune(mass_disappearance_minimum=1, mass_disappearance_percent=0)
    repository = roomy(world)
    everything = [row.id for row in world.owned(world.account("octo-simulated"))]
    world.select_repositories(synced.github_id, [n for n in everything if n != repository.id])
    assert sync(synced, "cron", mode="reconcile").status == "partial"
    held = Discrepancy.objects.get(repair_status="needs_manual_review")
    world.edit(repository.id, description="Another one")
    world.select_repositories(synced.github_id, everything)
    with time_machine.travel(clock.now() + LATER):
        job = sync(synced, "cron", mode="reconcile")
    assert (job.status, job.discrepancies) == ("succeeded", {"stale_metadata": 1}), job.failures
    held.refresh_from_db()
    assert (held.repair_status, held.repaired_by) == ("repaired", "github")
    assert Discrepancy.objects.get(type="stale_metadata").repaired_by == "sync"


@pytest.mark.spec("R7.4", "R7.6", "R8.2")
def test_what_the_database_refuses_stays_open_in_flight_or_not_and_counts_once(
    synced: Installation, world: World
) -> None:
    home = ours(roomy(world, 3))
    row = DiscrepancyFactory.create(installation=synced, home=home, repair_status="failed")
    finding = Finding(
        entity="issues", key=row.item_key, name=row.name, repository_github_id=home.github_id,
        kind=Kind.STALE_ISSUE, action="update", before={}, after={}, changed_at=clock.now(),
    )  # fmt: skip
    job = SyncJobFactory.create(installation=synced, running=True)
    judge = Judge(job, baseline=False, grace=timedelta(minutes=1))
    judge.begin()
    judge.refused([finding], "It cannot be written.")
    judge.list_compared("issues", home.github_id, 3, vouched=0, whole=True)
    # What verification misses is a fault of ours: no later attempt of the job counts it as measured.
    judge.not_brought([replace(finding, key="missed")], "It did not come.")
    judge.close(clock.now())
    row.refresh_from_db()
    assert row.repair_status == "failed"
    assert Discrepancy.objects.filter(repair_status="failed").count() == 2
    again = Judge(job, baseline=False, grace=timedelta(0))
    again.begin()
    assert (again.accuracy, again.by_type) == (None, {})


@pytest.mark.spec("R7.3")
def test_what_is_rejected_while_a_run_holds_it_once_more_waits_for_nobody(
    synced: Installation,
    world: World,
    tune: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tune(mass_disappearance_minimum=1, mass_disappearance_percent=0)
    world.delete(roomy(world).id)
    sync(synced, "cron", mode="reconcile")
    review, user, ask = Review.objects.get(), User.objects.create_user("ann"), guard._asked_first

    def asked(*args: Any) -> Any:
        decisions.reject(review, user, "They come back tomorrow.")
        return ask(*args)

    monkeypatch.setattr(guard, "_asked_first", asked)
    sync(synced, "cron", mode="reconcile")
    assert Discrepancy.objects.get().repair_status == "dismissed"


@pytest.mark.spec("R10.2", "R9.1", "P6")
def test_a_slow_worker_whose_job_went_to_another_adds_nothing_to_what_that_one_counts(
    synced: Installation, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciliation.proof.BATCH", 2)
    repository = roomy(world, 3)
    Repository.objects.filter(github_id=repository.id).update(description="By hand")
    Issue.objects.filter(repository=ours(repository)).update(title="By hand")
    job_id = SyncService.request(
        synced.pk, "cron", mode="repo", repository=str(ours(repository))
    ).job_id
    assert job_id
    slow = jobs.claim(job_id)
    taken: list[Lease] = []
    assert slow

    def take() -> None:
        SyncJob.objects.update(lease_expires_at=clock.now() - LATER)
        lease = jobs.claim(job_id)
        assert lease
        taken.append(lease)

    read = contents.read_contents
    once = [take]

    def reading(*args: Any) -> None:
        while once:
            once.pop()()
        read(*args)

    monkeypatch.setattr(named, "read_contents", reading)
    conductor.execute(slow)
    assert not Discrepancy.objects.exclude(entity="repositories").exists()
    assert not RunFigure.objects.exists()
    job = conductor.execute(taken[0])
    assert job.status == "succeeded"
    figures = RunFigure.objects.filter(entity__in=("repositories", "issues"))
    wrong = {each.entity: each.compared - each.matched for each in figures}
    assert wrong == {"repositories": 1, "issues": ours(repository).issues.count()}
    assert not Discrepancy.objects.filter(verified_at=None).exists()
    assert AuditEntry.objects.get(correlation_id=job_id).attempts == 2


@pytest.mark.spec("R6.3", "R7.5")
def test_webhooks_and_a_run_that_ends_a_list_do_not_wait_in_a_circle(
    synced: Installation, world: World
) -> None:
    repository = roomy(world, 1, 1)
    mine, post, ended = ours(repository), Post(world), list[int]()
    with time_machine.travel(clock.now() + LATER):
        world.open_issue(repository.id, "New")
        pull = world.content(repository).pull_requests[0]
        world.edit_pull_request(repository.id, pull.number, title="Other")
        for event in post.take():
            arrive(event.event, event.body, event.guid)
        row = mine.pull_requests.get(number=pull.number)
        with transaction.atomic():  # as when a run writes pull requests and ends the list of issues
            written_contents.remove(
                Entity.PULL_REQUESTS,
                {row.pk: "deleted"},
                Author(trigger="cron", job_id=None, now=clock.now()),
            )
            beside = Beside(lambda: ended.append(deliveries.drain()))
            beside.wait_until_it_waits()
            content_lists.forget_whole([(mine.pk, Entity.ISSUES)])
        beside.end()
    assert ended == [Delivery.objects.count()]
    assert mine.issues.filter(title="New").exists()


@pytest.mark.spec("R4.2", "R9.1")
def test_what_was_removed_before_a_limit_blocked_the_run_counts_once_and_was_compared(
    synced: Installation, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited() -> None:
        raise RateLimited(until=clock.now() + LATER, secondary=False)

    with time_machine.travel(clock.now() + LATER) as traveller:
        world.delete(roomy(world).id)
        traveller.shift(LATER)
        job_id = SyncService.request(synced.pk, "cron", mode="incremental").job_id
        meanwhile(monkeypatch, limited)
        assert job_id
        assert run(job_id).status == "blocked"
        assert not RunFigure.objects.exists()
        traveller.shift(timedelta(hours=1))
        job = run(job_id)
    assert (job.status, job.discrepancies) == ("succeeded", {"missing_at_github": 1})
    figure = RunFigure.objects.get(entity="repositories")
    assert (figure.compared, figure.matched) == (6, 5)
