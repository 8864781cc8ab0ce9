"""Runs that are killed, stopped or cut off, and go on: the end is as if nothing had happened."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import time_machine
from django.db import OperationalError, connection

from config import stopping
from reconciliation import contents
from reconciliation.models import AuditEntry, RunFigure
from reconciliation.tasks import run_job
from syncsvc import clock, content_lists, jobs, rechecks, scheduling
from syncsvc.github.reading import Entity
from syncsvc.leases import Lease, heartbeat_seconds
from syncsvc.models import Installation, Issue, Recheck, Repository, SyncJob
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from tests.factories import SyncJobFactory
from tests.support import (
    assert_contents_equal_truth,
    assert_equal_to_truth,
    discover,
    run,
    sync,
)

pytestmark = pytest.mark.django_db(transaction=True)

#: Every one of some seventy safe points takes a minute: `EVERY_STEP=1` in the environment.
EVERY = bool(os.environ.get("EVERY_STEP"))
FIRST, STRIDE = (1, 1) if EVERY else (3, 13)
SLOW_FIRST, SLOW_STRIDE = (1, 1) if EVERY else (2, 7)
HEARTBEAT = timedelta(seconds=20)


class Killed(BaseException):
    """The process is gone: nobody tidies up."""


@pytest.fixture
def world() -> World:
    """A GitHub whose organization has three chunks of repositories."""
    return World.generate(
        seed=4, repositories=6, issues_per_repository=3, pull_requests_per_repository=1,
        commits_per_repository=4,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "CHUNK", 2)


@pytest.fixture
def traveller() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(clock.now(), tick=False) as moved:
        yield moved


class Steps:
    """The safe points of runs, counted: before and after each write, and at each sign of progress."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0
        self.fatal = 0
        self.ends: Callable[[], None] = self._die
        progress, writing = Lease.progress, Lease.writing

        def told(lease: Lease, *args: Any, **more: Any) -> None:
            self._step()
            progress(lease, *args, **more)

        @contextmanager
        def written(lease: Lease) -> Iterator[None]:
            self._step()
            with writing(lease):
                yield
            self._step()

        monkeypatch.setattr(Lease, "progress", told)
        monkeypatch.setattr(Lease, "writing", written)

    def _step(self) -> None:
        self.at += 1
        if self.at == self.fatal:
            self.ends()

    def _die(self) -> None:
        raise Killed

    def begin(self, fatal: int = 0) -> None:
        self.at, self.fatal = 0, fatal


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    return Steps(monkeypatch)


def change(world: World, number: int) -> None:
    """Something of each kind happens at GitHub, all over the account."""
    open_ones = [each for each in world.owned(world.account("octo-simulated")) if not each.archived]
    for each in open_ones:
        held = world.content(each)
        if number % 3 == 0 and len(held.issues) > 3:
            world.delete_issue(each.id, held.issues[0].number)
        if held.issues:
            world.edit_issue(each.id, held.issues[-1].number, title=f"Edited {number}")
        if held.pull_requests:
            world.comment(each.id, held.pull_requests[0].number)
        world.open_issue(each.id, f"New {number}")
        world.push_commits(each.id, 2)
    world.edit(open_ones[0].id, description=f"Changed {number}")


def figures(job: SyncJob) -> dict[str, Any]:
    """What a job came to, as far as it does not depend on how often it was begun."""
    seen = job.verification["contents"]
    return {
        "status": job.status,
        "counts": job.counts,
        "discrepancies": job.discrepancies,
        "accuracy": job.accuracy,
        "failures": job.failures,
        "verification": {
            "ok": job.verification["ok"],
            "counts": job.verification["counts"],
            **{entity: (seen[entity]["github"], seen[entity]["ok"]) for entity in seen},
        },
    }


def taken_up(job_id: Any, traveller: time_machine.Traveller) -> SyncJob:
    """The job of a worker that died right after a heartbeat, two heartbeats later."""
    traveller.shift(2 * HEARTBEAT - timedelta(seconds=1))
    assert jobs.ring_waiting() == 1
    return run(job_id)


@pytest.mark.spec("R10.2", "P37")
def test_killed_at_any_safe_point_a_run_ends_as_if_it_had_not_been(
    app_mode: Simulator, traveller: time_machine.Traveller, steps: Steps
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, "initial")
    fatal, undisturbed = FIRST - STRIDE, False
    while not undisturbed:
        fatal += STRIDE
        change(world, fatal)
        traveller.shift(timedelta(minutes=5))
        steps.begin()
        wanted = figures(sync(installation, dry_run=True))
        job_id = SyncService.request(installation.pk, "manual").job_id
        steps.begin(fatal)
        try:
            job = run(job_id or "")
            undisturbed = True
        except Killed:
            steps.begin()
            job = taken_up(job_id, traveller)
        assert figures(job) == wanted, fatal
        assert_equal_to_truth(world, installation)
        assert_contents_equal_truth(world, installation)
        figure = RunFigure.objects.filter(job=job)
        assert sum(each.compared - each.matched for each in figure) == sum(
            wanted["discrepancies"].values()
        )
        assert job.checkpoint == {}
    assert fatal > 30


@pytest.mark.spec("R10.2")
def test_what_was_done_is_not_asked_for_again_and_what_was_used_up_adds_up(
    app_mode: Simulator, traveller: time_machine.Traveller, steps: Steps
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, "initial")
    change(world, 1)
    job_id = SyncService.request(installation.pk, "manual").job_id
    chunks: list[int] = []

    def die_after_the_second_chunk(lease: Lease, checkpoint: Any) -> None:
        keep(lease, checkpoint)
        if checkpoint["done_to"]:
            chunks.append(checkpoint["done_to"])
        if len(chunks) == 2:
            steps.begin(2)  # the transaction is committed, and then it is over

    keep = Lease.keep
    app_mode.reset_log()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lease, "keep", die_after_the_second_chunk)
        with pytest.raises(Killed):
            run(job_id or "")
    before = len(app_mode.log)
    used = SyncJob.objects.get(pk=job_id or "")
    assert 0 < used.api["requests"] <= before
    steps.begin()
    app_mode.reset_log()
    job = taken_up(job_id, traveller)
    assert (job.status, job.attempt) == ("succeeded", 2)
    assert not app_mode.requests("/installation/repositories")
    assert len(app_mode.log) <= before / 2
    assert job.api["requests"] == used.api["requests"] + len(app_mode.log)
    assert all(
        job.phases_seconds[name] >= used.phases_seconds[name] for name in used.phases_seconds
    )
    assert_contents_equal_truth(world, installation)
    detail = AuditEntry.objects.get(correlation_id=job_id, kind="run").detail
    assert [each["attempt"] for each in detail["recoveries"]] == [2]
    assert "went on after" in detail["recoveries"][0]["what"]
    installation.refresh_from_db()
    assert installation.last_listed_at == job.started_at


def killed_after_the_list(installation: Installation, steps: Steps, **asked: Any) -> SyncJob:
    """A job whose worker died in the middle of the contents."""
    job_id = SyncService.request(installation.pk, "manual", **asked).job_id
    chunks: list[Any] = []
    keep = Lease.keep

    def die_after_a_chunk(lease: Lease, checkpoint: Any) -> None:
        keep(lease, checkpoint)
        chunks.append(checkpoint)
        if len(chunks) == 2:
            steps.begin(2)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Lease, "keep", die_after_a_chunk)
        with pytest.raises(Killed):
            run(job_id or "")
    steps.begin()
    return SyncJob.objects.get(pk=job_id or "")


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize(
    ("later", "listed", "begun"),
    [(14 * 60, True, True), (20 * 60, False, True), (3 * 3600, False, False)],
)
def test_a_checkpoint_is_good_for_a_while(
    app_mode: Simulator,
    traveller: time_machine.Traveller,
    steps: Steps,
    later: int,
    listed: bool,
    begun: bool,
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, "initial")
    job = killed_after_the_list(installation, steps)
    change(world, 1)
    traveller.shift(later)
    jobs.ring_waiting()
    app_mode.reset_log()
    job = run(job.pk)
    assert (job.status, job.failures) == ("succeeded", [])
    assert bool(app_mode.requests("/installation/repositories")) is not listed
    done = Repository.objects.filter(installation=installation).order_by("pk")[:2]
    edited = Issue.objects.filter(repository__in=done, title="Edited 1").exists()
    assert edited is not begun  # what was done is not looked at again
    job = sync(installation)
    assert_equal_to_truth(world, installation)
    assert_contents_equal_truth(world, installation)


@pytest.mark.spec("R10.2")
def test_what_was_asked_for_meanwhile_is_not_answered_by_what_was_read_before(
    app_mode: Simulator, traveller: time_machine.Traveller, steps: Steps
) -> None:
    installation = discover()
    sync(installation, "initial")
    first, second = Repository.objects.filter(installation=installation).order_by("pk")[:2]

    def ask(repository: Repository) -> None:
        asked = [Asked(github_id=repository.github_id, reason="push")]
        rechecks.ask(installation.pk, asked, trigger="webhook", now=clock.now())

    ask(first)
    job = killed_after_the_list(installation, steps)
    ask(second)
    assert taken_up(job.pk, traveller).status == "succeeded"
    left = Recheck.objects.filter(installation=installation)
    assert [each.github_id for each in left] == [second.github_id]


@pytest.mark.spec("R10.2")
def test_one_that_came_back_among_those_that_are_done_is_read(
    app_mode: Simulator, traveller: time_machine.Traveller, steps: Steps
) -> None:
    installation = discover()
    sync(installation, "initial")
    job = killed_after_the_list(installation, steps)
    first = Repository.objects.filter(installation=installation).order_by("pk")[0]
    first.lists.all().delete()
    Issue.objects.filter(repository=first).delete()
    assert taken_up(job.pk, traveller).status == "succeeded"
    assert_contents_equal_truth(app_mode.world, installation)


@pytest.fixture
def dies_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker of the next run that comes to a good end dies right before it is written down."""
    plain, deaths = Lease.succeed, [Killed]

    def succeed(lease: Lease, outcome: Any) -> None:
        if deaths:
            raise deaths.pop()
        plain(lease, outcome)

    monkeypatch.setattr(Lease, "succeed", succeed)


@pytest.mark.spec("R6.3", "R10.2")
def test_what_was_asked_for_is_answered_with_the_end_and_measured_as_if_nothing_had_happened(
    app_mode: Simulator, traveller: time_machine.Traveller, request: pytest.FixtureRequest
) -> None:
    installation = discover()
    sync(installation, "initial")
    request.getfixturevalue("dies_at_the_end")
    traveller.shift(timedelta(hours=1))
    rows = Repository.objects.filter(installation=installation, lists__mirrored__gte=3)
    new, known = rows.distinct().order_by("pk")[:2]
    new.lists.all().delete()  # it is read for the first time
    Issue.objects.filter(repository=new).delete()
    spoilt = known.issues.all()[0]
    Issue.objects.filter(pk=spoilt.pk).update(title="Not GitHub's")
    content_lists.forget_whole([(known.pk, Entity.ISSUES)])
    asked = [Asked(github_id=each.github_id, reason="audit") for each in (new, known)]
    rechecks.ask(installation.pk, asked, trigger="maintenance", now=clock.now())
    job_id = SyncService.request(installation.pk, "maintenance", mode="recheck").job_id
    with pytest.raises(Killed):
        run(job_id or "")
    assert Recheck.objects.count() == 2
    job = taken_up(job_id, traveller)
    assert (job.status, job.discrepancies) == ("succeeded", {"stale_issue": 1})
    figure = RunFigure.objects.get(job=job, entity="issues")
    assert figure.compared == known.issues.count()  # none of those that came for the first time
    assert figure.compared - figure.matched == 1
    assert not Recheck.objects.exists()


# --- stopping -------------------------------------------------------------------------------------


@pytest.fixture
def told_to_stop() -> Iterator[Callable[[], None]]:
    stopping.begin()
    yield stopping.want
    stopping.begin()


@pytest.mark.spec("R10.2")
@pytest.mark.parametrize("fatal", [2, 12])
def test_a_run_that_is_to_stop_hands_its_job_back_at_once(
    app_mode: Simulator,
    traveller: time_machine.Traveller,
    steps: Steps,
    told_to_stop: Callable[[], None],
    bells: list[UUID],
    fatal: int,
) -> None:
    installation, world = discover(), app_mode.world
    steps.ends = told_to_stop
    job_id = SyncService.request(installation.pk, "manual").job_id
    bells.clear()
    steps.begin(fatal)
    job = run(job_id or "", last_attempt=False)
    assert (job.status, job.attempt, job.lease) == ("queued", 0, None)
    assert bells == [job.pk]
    held = AuditEntry.objects.get(correlation_id=job_id, kind="run")
    assert (held.status, held.ended_at) == ("running", None)
    # A message that comes to a worker that is closing is left to another one.
    run_job(str(job.pk))
    assert SyncJob.objects.get().status == "queued"
    assert jobs.ring_waiting() == 1
    stopping.begin()
    steps.begin()
    job = run(job.pk)
    assert (job.status, job.attempt, job.failures) == ("succeeded", 1, [])
    assert_equal_to_truth(world, installation)
    assert_contents_equal_truth(world, installation)


# --- a database that is lost ----------------------------------------------------------------------


def cut() -> None:
    """Somebody ends this connection at the server."""
    with psycopg.connect(**connection.get_connection_params()) as other:
        pid = connection.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


@pytest.mark.spec("R10.5", "P29", "P31")
@pytest.mark.parametrize("fatal", [1, 7, 16])
def test_a_run_goes_on_when_its_connection_was_cut(
    app_mode: Simulator, steps: Steps, fatal: int
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, "initial")
    change(world, 1)
    steps.ends = cut
    job_id = SyncService.request(installation.pk, "manual").job_id
    steps.begin(fatal)
    job = run(job_id or "")
    assert steps.at > fatal
    assert (job.status, job.attempt, job.failures) == ("succeeded", 1, [])
    assert_equal_to_truth(world, installation)
    assert_contents_equal_truth(world, installation)
    entry = AuditEntry.objects.get(correlation_id=job_id, kind="run")
    if fatal > 2:  # before that nothing was begun
        [recovery] = entry.detail["recoveries"]
        assert recovery["what"].startswith("The database failed (")
        assert "Connected again: the run " in recovery["what"]


@pytest.mark.spec("R10.5", "P29")
def test_a_connection_that_is_cut_right_after_the_end_takes_nothing_back(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = scheduling.request_rechecks

    def cut_and_ask(installation_ids: Any) -> int:
        cut()
        return ask(installation_ids)

    monkeypatch.setattr(scheduling, "request_rechecks", cut_and_ask)
    job = sync(discover(), mode="reconcile")
    assert job.status == "succeeded"
    assert SyncJob.objects.get().status == "succeeded"


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Lets that many writes of repositories fail as if the disk were full."""

    def fill(times: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute("CREATE SEQUENCE IF NOT EXISTS test_full_disk")
            cursor.execute(f"""
                CREATE OR REPLACE FUNCTION test_full_disk() RETURNS trigger AS $$ BEGIN
                IF nextval('test_full_disk') <= {times} THEN
                    RAISE 'could not extend file' USING ERRCODE = 'disk_full';
                END IF; RETURN NEW; END $$ LANGUAGE plpgsql
            """)
            cursor.execute("""
                CREATE OR REPLACE TRIGGER test_full_disk BEFORE INSERT OR UPDATE
                ON syncsvc_issue FOR EACH STATEMENT EXECUTE FUNCTION test_full_disk()
            """)

    yield fill
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER IF EXISTS test_full_disk ON syncsvc_issue")
        cursor.execute("DROP FUNCTION IF EXISTS test_full_disk")
        cursor.execute("DROP SEQUENCE IF EXISTS test_full_disk")


@pytest.mark.spec("R10.5", "P29")
def test_a_disk_that_is_full_for_a_moment_costs_nothing_and_for_longer_an_attempt(
    app_mode: Simulator, traveller: time_machine.Traveller, full_disk: Callable[[int], None]
) -> None:
    installation, world = discover(), app_mode.world
    full_disk(1)
    job = sync(installation, "initial")
    assert (job.status, job.attempt, job.failures) == ("succeeded", 1, [])
    assert_contents_equal_truth(world, installation)
    change(world, 1)
    full_disk(10**6)
    job_id = SyncService.request(installation.pk, "manual").job_id
    job = run(job_id or "", last_attempt=False)
    assert (job.status, job.attempt, job.error_category) == ("queued", 1, "database")
    full_disk(0)
    traveller.move_to(job.run_after)
    job = run(job.pk)
    assert (job.status, job.attempt) == ("succeeded", 2)
    assert_contents_equal_truth(world, installation)


# --- leases ---------------------------------------------------------------------------------------

#: What a slow worker may still touch: what GitHub said of its budget and its pages is true for everybody.
SHARED = {"syncsvc_ratebudget", "syncsvc_etagentry", "syncsvc_installationtoken"}


def everything() -> dict[str, list[str]]:
    """All rows of the mirror, the judge, the trail and the jobs, as PostgreSQL shows them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            " AND (tablename LIKE 'syncsvc%' OR tablename LIKE 'reconciliation%') ORDER BY 1"
        )
        tables = [row[0] for row in cursor.fetchall() if row[0] not in SHARED]
        found = {}
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {table} AS t ORDER BY 1")
            found[table] = [row[0] for row in cursor.fetchall()]
    return found


@pytest.mark.spec("R10.2")
def test_a_slow_worker_changes_nothing_after_another_did_its_job(
    app_mode: Simulator, traveller: time_machine.Traveller, steps: Steps
) -> None:
    installation, world = discover(), app_mode.world
    sync(installation, "initial")
    at, reached, left = SLOW_FIRST, True, dict[str, list[str]]()
    while reached:
        change(world, at)
        homes = world.owned(world.account("octo-simulated"))
        if at == SLOW_FIRST:  # so many at once that a person has to decide
            for each in homes[-3:]:
                world.delete(each.id)
        asked = [Asked(github_id=homes[0].id, reason="push")]
        rechecks.ask(installation.pk, asked, trigger="webhook", now=clock.now())
        traveller.shift(timedelta(minutes=5))
        job_id = SyncService.request(installation.pk, "manual").job_id or ""
        left.clear()

        def overtake(job_id: Any = job_id) -> None:
            steps.begin()
            job = taken_up(job_id, traveller)
            assert job.attempt == 2
            traveller.shift(1)
            left.update(everything())

        steps.ends = overtake
        steps.begin(at)
        run(job_id)
        reached = bool(left)
        assert not reached or everything() == left, at
        at += SLOW_STRIDE
    assert at > 15


@pytest.mark.spec("R10.2")
def test_a_job_whose_worker_died_right_after_a_heartbeat_waits_no_two_heartbeats(
    traveller: time_machine.Traveller, bells: list[UUID]
) -> None:
    job = SyncJobFactory.create(waiting=True, created_at=clock.now(), run_after=clock.now())
    lease = jobs.claim(job.pk)
    assert lease is not None
    lease.progress("reading")  # and then it dies
    heartbeat = heartbeat_seconds(lease.settings.lease_seconds)
    assert heartbeat == 20
    sweep = scheduling.PERIODIC["syncsvc.ring_waiting_jobs"]
    waited = 0
    while job.pk not in bells:
        traveller.shift(sweep)
        waited += sweep
        jobs.ring_waiting()
    assert waited <= 2 * heartbeat
    assert jobs.claim(job.pk) is not None


@pytest.mark.spec("R10.2", "R10.5")
def test_a_heartbeat_that_the_database_did_not_take_is_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lease = jobs.claim(SyncJobFactory.create(waiting=True).pk)
    assert lease is not None
    waits: list[float] = []
    tries = iter([OperationalError("away"), OperationalError("away"), None])

    class Ended:
        """Counts what would have been waited; the run ends after five rounds."""

        def wait(self, seconds: float) -> bool:
            waits.append(seconds)
            return len(waits) == 5

    class Rows:
        def update(self, **_: Any) -> int:
            trouble = next(tries, None)
            if trouble is not None:
                raise trouble
            return 1

    monkeypatch.setattr(lease, "_mine", Rows)
    lease._keep_alive(Ended())  # type: ignore[arg-type]
    assert waits == [20, 1, 1, 20, 20]
