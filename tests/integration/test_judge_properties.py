"""What holds for any data, any order and any number of writers: the mirror and its judge on PostgreSQL.

Rows are made, not fetched: each example compares, writes and judges as a run does, and is rolled back.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from unittest import mock

import pytest
import time_machine
from django.db import connection, transaction
from django.db.models import Q
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from reconciliation import discrepancies, evidence, poison, settling
from reconciliation.diff import Context, compare
from reconciliation.discrepancies import Finder
from reconciliation.findings import of_change
from reconciliation.judge import Judge
from reconciliation.models import Discrepancy
from reconciliation.run import Run
from syncsvc import clock, contents, jobs, mirror, rechecks
from syncsvc.content_plan import COLUMNS, Item, item_of
from syncsvc.endings import LeaseLost
from syncsvc.github.content import parse_commit, parse_issue, parse_pull_request
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.reading import Entity
from syncsvc.mirror import Author
from syncsvc.models import ContentList, Installation, Repository, SyncJob
from syncsvc.plan import Change
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from tests.content_support import rest_commit, rest_issue, rest_pull_request
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory
from tests.integration.test_mirror import reconcile
from tests.support import discover, roomy, sync
from tests.unit.test_diff import LONG_AGO, REMOTE, change_of

examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ITEMS = (Entity.ISSUES, Entity.PULL_REQUESTS)
TABLES = ("syncsvc_repository", "syncsvc_issue", "syncsvc_pullrequest", "syncsvc_commit")


@contextmanager
def forgotten() -> Iterator[None]:
    """Examples share a test's transaction; each leaves what it found."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def installation() -> Installation:
    return InstallationFactory.create(account_id=100, last_listed_at=LONG_AGO)


def begun(installation: Installation) -> Run:
    """A run that a worker has just claimed."""
    lease = jobs.claim(SyncJobFactory.create(installation=installation, waiting=True).pk)
    assert lease is not None
    return Run(lease)


def author() -> Author:
    return Author(trigger="cron", job_id=None, now=clock.now())


def marks() -> list[Any]:
    """PostgreSQL's own marks of the last write of each row of the mirror."""
    parts = [f"SELECT '{table}', id, xmin::text, ctid::text FROM {table}" for table in TABLES]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts) + " ORDER BY 1, 2")
        return list(cursor.fetchall())


def made(entity: Entity, repository: Repository, number: int, **changes: Any) -> Item:
    """An item of a repository as GitHub shows it."""
    if entity is Entity.COMMITS:
        return item_of(parse_commit(rest_commit(f"{number:040x}", **changes)), repository.pk)
    parse, rest = parse_issue, rest_issue
    if entity is Entity.PULL_REQUESTS:
        return item_of(parse_pull_request(rest_pull_request(number, **changes)), repository.pk)
    return item_of(parse(rest(number, **changes)), repository.pk)


# -- bad records (P30) -----------------------------------------------------------------------------


@pytest.mark.spec("P30", "R10.5", "R7.4")
@pytest.mark.django_db
@examples
@given(bad=st.lists(st.booleans(), min_size=1, max_size=8))
def test_of_any_batch_only_the_records_that_cannot_be_held_are_skipped_and_logged(
    installation: Installation, bad: list[bool]
) -> None:
    rows = [
        replace(REMOTE, github_id=n, name=f"r{n}", license="x" * 5000 if spoiled else "MIT")
        for n, spoiled in enumerate(bad, 1)
    ]
    spoiled = {row.github_id for row in rows if row.license != "MIT"}
    with forgotten(), capture_logs() as logs:
        run = begun(installation)
        settling.settle(run, rows)
        held = set(Repository.objects.values_list("github_id", flat=True))
        refused = Discrepancy.objects.filter(repair_status="failed")
        assert held == {row.github_id for row in rows} - spoiled
        assert {int(row.item_key) for row in refused} == spoiled
        assert {row.reason for row in refused} <= {poison.REFUSED}
        logged = [line["item"] for line in logs if line["event"] == "row.refused"]
        assert sorted(logged) == sorted(f"octo/r{github_id}" for github_id in spoiled)
        said = {each["item"] for each in run.outcome().failures}
        assert said == {f"octo/r{github_id}" for github_id in spoiled}
        repaired = Discrepancy.objects.filter(repair_status="repaired")
        assert {int(row.item_key) for row in repaired} == held


# -- what the mirror holds (P32, P33, P34) ---------------------------------------------------------

_texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
_logins = st.none() | st.sampled_from(["octocat", "renovate[bot]"]).map(
    lambda login: {"login": login, "type": "User"}
)
#: Of each table: what may never be null, and GitHub's formats of it.
REQUIRED = {
    "syncsvc_repository": ("github_id", "node_id", "owner", "name", "visibility", "status", "version"),
    "syncsvc_issue": ("github_id", "number", "title", "github_state", "state", "severity", "repository_id"),
    "syncsvc_pullrequest": ("github_id", "number", "title", "state", "base_ref", "repository_id"),
    "syncsvc_commit": ("sha", "message", "contributor", "repository_id"),
}  # fmt: skip
FORMATS = {
    "syncsvc_repository": r"github_id > 0 AND owner ~ '^[A-Za-z0-9-]+$' AND name ~ '^[A-Za-z0-9._-]+$'",
    "syncsvc_issue": "github_id > 0 AND number > 0 AND github_state IN ('open', 'closed')",
    "syncsvc_pullrequest": "github_id > 0 AND number > 0 AND state IN ('open', 'closed')",
    "syncsvc_commit": "sha ~ '^[0-9a-f]{40}$'",
}


@pytest.mark.spec("P32", "P33", "P34")
@pytest.mark.django_db
@examples
@given(
    title=_texts,
    body=st.none() | _texts,
    author_=_logins,
    number=st.integers(1, 2**31 - 1),
    wide=st.integers(1, 2**62),
    closed=st.booleans(),
    message=_texts,
    sha=st.integers(0, 16**40 - 1),
)
def test_whatever_github_says_no_required_field_is_null_and_every_item_has_its_repository(
    installation: Installation, title: str, body: str | None, author_: Any, number: int, wide: int,
    closed: bool, message: str, sha: int,
) -> None:  # fmt: skip
    fields = {"id": wide, "title": title or "x", "body": body, "user": author_}
    fields |= {"state": "closed" if closed else "open"}
    with forgotten():
        reconcile(installation, replace(REMOTE, github_id=wide))
        home = Repository.objects.get()
        commit = rest_commit(f"{sha:040x}", author=author_)
        commit["commit"]["message"] = message
        contents.write(Entity.ISSUES, [made(Entity.ISSUES, home, number, **fields)], author())
        contents.write(
            Entity.PULL_REQUESTS, [made(Entity.PULL_REQUESTS, home, number, **fields)], author()
        )
        contents.write(Entity.COMMITS, [item_of(parse_commit(commit), home.pk)], author())
        for table in TABLES:
            there = " AND ".join(f"{name} IS NOT NULL" for name in REQUIRED[table])
            homed = "repository_id IN (SELECT id FROM syncsvc_repository)"
            is_home = table == "syncsvc_repository"
            sql = f"""SELECT count(*), count(*) FILTER (WHERE {there} AND {FORMATS[table]}
                AND {"true" if is_home else homed}) FROM {table}"""
            with connection.cursor() as cursor:
                cursor.execute(sql)
                assert cursor.fetchone() == (1, 1), table


# -- updated, never doubled; the same twice (P37, P38) ---------------------------------------------

_versions = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 5)), min_size=1, max_size=8
)  # which item, and how many days ago it was changed


@pytest.mark.spec("P37", "P38", "R5.5")
@pytest.mark.django_db
@examples
@given(versions=_versions)
def test_what_is_known_is_updated_and_the_same_again_writes_nothing(
    installation: Installation, versions: list[tuple[int, int]]
) -> None:
    with forgotten():
        home = RepositoryFactory.create(installation=installation, github_id=10**9)
        newest: dict[int, int] = {}
        for number, age in versions:
            at = LONG_AGO - timedelta(days=age)
            row = replace(
                REMOTE, github_id=number, name=f"r{number}", github_updated_at=at, size=age
            )
            reconcile(installation, row)
            for entity in Entity:
                stamp = {} if entity is Entity.COMMITS else {"updated_at": at.isoformat()}
                contents.write(entity, [made(entity, home, number, **stamp)], author())
            newest[number] = min(age, newest.get(number, age))
        count = len(newest)
        assert Repository.objects.exclude(pk=home.pk).count() == count
        assert contents.counts([home.pk]) == {(home.pk, entity): count for entity in Entity}
        before = marks()
        for _ in range(2):
            for mine in mirror.read(list(newest)).values():
                same = replace(
                    REMOTE, github_id=mine.github_id, name=mine.name, size=mine.size,
                    github_updated_at=mine.github_updated_at,
                )  # fmt: skip
                reconcile(installation, same)
        assert marks() == before
        for entity in ITEMS:
            held = contents.read(
                entity, [1000 * (1 + (entity is not Entity.ISSUES)) + n for n in newest]
            )
            ages = {
                item.values[COLUMNS[entity].index("number")]: item.updated_at
                for item in held.values()
            }
            assert ages == {n: LONG_AGO - timedelta(days=age) for n, age in newest.items()}


# -- one of several (P17, P39) ---------------------------------------------------------------------


@pytest.mark.spec("P17", "R3.3")
@pytest.mark.django_db
@examples
@given(
    triggers=st.lists(st.sampled_from(SyncJob.Trigger.values), min_size=1, max_size=4),
    modes=st.lists(st.sampled_from(["full", "incremental", "reconcile"]), min_size=4, max_size=4),
    state=st.sampled_from(["queued", "running", "blocked"]),
)
def test_whoever_asks_while_a_job_is_active_is_told_of_that_job(
    installation: Installation, triggers: list[str], modes: list[str], state: str
) -> None:
    with forgotten():
        job = SyncJobFactory.create(installation=installation, waiting=True, status="queued")
        if state == "running":
            assert jobs.claim(job.pk) is not None
        elif state == "blocked":
            SyncJob.objects.filter(pk=job.pk).update(status="blocked")
        for trigger, mode in zip(triggers, modes, strict=False):
            decision = SyncService.request(installation.pk, trigger, mode=mode)
            assert (str(decision.action), decision.job_id) == ("skip", str(job.pk))
        assert SyncJob.objects.count() == 1
        job.refresh_from_db()
        assert job.status == state


@pytest.mark.spec("P39", "R10.2")
@pytest.mark.django_db
@examples
@given(
    acts=st.lists(st.sampled_from(["claim", "expire", "write"]), min_size=3, max_size=12),
    seed=st.integers(0, 9),
)
def test_of_the_workers_that_ever_had_a_job_only_the_last_can_write(
    installation: Installation, acts: list[str], seed: int
) -> None:
    chance = Random(seed)
    with forgotten():
        job = SyncJobFactory.create(installation=installation, waiting=True)
        leases = []
        for act in acts:
            if act == "claim" and (lease := jobs.claim(job.pk)) is not None:
                leases.append(lease)
            elif act == "expire":
                past = clock.now() - timedelta(seconds=1)
                SyncJob.objects.filter(pk=job.pk, status="running").update(lease_expires_at=past)
            elif act == "write" and leases:
                lease = chance.choice(leases)
                try:
                    with lease.writing():
                        pass
                except LeaseLost:
                    assert lease is not leases[-1]
                else:
                    assert lease is leases[-1]


@contextmanager
def two_workers() -> Iterator[ThreadPoolExecutor]:
    """Two threads, each with a connection of its own."""
    pool = ThreadPoolExecutor(2)
    try:
        yield pool
    finally:
        barrier = threading.Barrier(2)

        def leave(_: int) -> None:
            barrier.wait(timeout=30)
            connection.close()

        list(pool.map(leave, range(2)))
        pool.shutdown()


@pytest.mark.spec("P39", "P40", "P41")
@pytest.mark.django_db(transaction=True)
def test_of_two_that_write_at_once_one_wins_and_the_newest_stays_a_hundred_times() -> None:
    """Both are begun together; whoever loses compares again with what is there then."""
    installation = InstallationFactory.create(account_id=100)
    home = RepositoryFactory.create(installation=installation, github_id=10**9)
    barrier = threading.Barrier(2)
    chance = Random(1)

    def repository(given: tuple[int, int]) -> None:
        barrier.wait(timeout=30)
        number, stars = given
        for _ in range(5):
            mine = mirror.read([number]).get(number)
            verdict = compare(_at(number, stars), mine, context(installation))
            if not isinstance(verdict, Change):
                return  # what is there is newer
            with transaction.atomic():
                if not mirror.apply([verdict], author()).conflicts:
                    return
        raise AssertionError("it never gets through")

    def issue(given: tuple[int, int]) -> None:
        barrier.wait(timeout=30)
        number, age = given
        stamp = (LONG_AGO + timedelta(seconds=age)).isoformat()
        item = made(Entity.ISSUES, home, number, updated_at=stamp, title=str(age))
        with transaction.atomic():
            contents.write(Entity.ISSUES, [item], author())

    with two_workers() as pool:
        for number in range(1, 101):
            rivals = [(number, 1), (number, 2)]
            chance.shuffle(rivals)
            list(pool.map(repository, rivals))
            list(pool.map(issue, rivals))
    rows = Repository.objects.exclude(pk=home.pk)
    assert set(rows.values_list("stars", flat=True)) == {2}
    assert rows.count() == 100
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*), min(title), max(title) FROM syncsvc_issue")
        assert cursor.fetchone() == (100, "2", "2")


def _at(number: int, stars: int) -> RepositoryRow:
    at = LONG_AGO + timedelta(seconds=stars)
    return replace(REMOTE, github_id=number, name=f"r{number}", stars=stars, github_updated_at=at)


@pytest.mark.spec("P41", "P40", "R7.5")
@pytest.mark.django_db
@examples
@given(theirs=st.integers(1, 4), rival=st.integers(1, 4), truth_newer=st.booleans())
def test_a_conflict_is_logged_and_the_newest_by_githubs_time_wins(
    installation: Installation, theirs: int, rival: int, truth_newer: bool
) -> None:
    """Somebody writes between our reading and our writing."""
    last = _at(7, max(theirs, rival) + truth_newer)
    with forgotten(), capture_logs() as logs:
        reconcile(installation, _at(7, 0))
        run = begun(installation)
        plain, calls = mirror.apply, iter([True])

        def raced(changes: Any, by: Author) -> Any:
            if next(calls, False):
                mine = mirror.read([7])[7]
                other = compare(_at(7, rival), mine, run.context, proven=True)
                assert isinstance(other, Change)
                plain([other], author())
            return plain(changes, by)

        with (
            mock.patch.object(mirror, "apply", raced),
            # What GitHub itself says when it is asked.
            mock.patch.object(evidence, "ask", return_value=last),
        ):
            run.connection = mock.Mock()
            run.connection.usage.return_value = {}
            settling.settle(run, [_at(7, theirs)])
        conflicts = [line for line in logs if line["event"] == "mirror.conflict"]
        assert [line["github_ids"] for line in conflicts] == [[7]]
        assert Repository.objects.get().stars >= max(theirs, rival)
        assert not run.has_failures


# -- the judge's rows ------------------------------------------------------------------------------


def _finder(installation: Installation, job: SyncJob) -> Finder:
    return Finder(
        installation_id=installation.pk,
        job_id=job.pk,
        detector="run",
        trigger="cron",
        now=clock.now(),
    )


@pytest.mark.spec("R7.4", "R9.1")
@pytest.mark.django_db
@examples
@given(
    acts=st.lists(
        st.tuples(
            st.sampled_from(["proposed", "repaired", "failed", "hold"]),
            st.sampled_from([{"name": "x"}, {"stars": 9}, {"name": "x", "stars": 9}]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_an_item_is_open_once_a_type_and_whoever_repairs_it_closes_all(
    installation: Installation, acts: list[tuple[str, dict[str, Any]]]
) -> None:
    with forgotten():
        job = SyncJobFactory.create(installation=installation)
        reconcile(installation, REMOTE)
        mine = mirror.read([7])[7]
        for what, changed in acts:
            change = change_of(
                compare(replace(REMOTE, **changed), mine, context(installation), proven=True)
            )
            found, finder = of_change(change), _finder(installation, job)
            if what == "failed":
                discrepancies.failed(found, finder, "why")
            else:
                getattr(discrepancies, what)(found, finder)
            still = Discrepancy.objects.filter(repair_status__in=Discrepancy.OPEN)
            kinds = list(still.values_list("type", flat=True))
            assert len(kinds) == len(set(kinds))
            if what == "repaired":
                assert kinds == []
            else:
                assert {str(each.kind) for each in found} <= set(kinds)
        held = Discrepancy.objects.filter(repair_status="needs_manual_review")
        judge = Judge(job, baseline=False, grace=timedelta(seconds=60))
        judge.begin()
        # What was wrong in another way than what was repaired had gone by itself.
        gone = Q(repaired_by=discrepancies.SINCE_THEN)
        wrong = Discrepancy.objects.exclude(pk__in=held).exclude(gone)
        assert sum(judge.by_type.values()) == wrong.values("type").distinct().count()


def context(installation: Installation) -> Context:
    return Context(
        installation_id=installation.pk, account_id=100, now=clock.now(), grace=timedelta(0)
    )


# -- found by histories, and right since -----------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World.generate(
        seed=5, repositories=6, issues_per_repository=2, pull_requests_per_repository=1,
        commits_per_repository=2,
    )  # fmt: skip


@pytest.mark.spec("R7.2", "R7.4")
@pytest.mark.django_db(transaction=True)
def test_a_run_for_a_repository_outside_the_selection_does_not_bring_it_back(
    app_mode: Simulator,
) -> None:
    world, octo = app_mode.world, discover()
    sync(octo)
    gone = next(
        each for each in world.owned(world.account("octo-simulated")) if each.visibility == "public"
    )
    kept = [each.id for each in world.owned(world.account("octo-simulated")) if each is not gone]
    world.select_repositories("octo-simulated", kept)
    sync(octo)
    assert Repository.objects.get(github_id=gone.id).status == "access_removed"
    job = sync(octo, mode="repo", repository=world.full_name(gone))
    assert Repository.objects.get(github_id=gone.id).status == "access_removed"
    assert (job.status, job.discrepancies) == ("partial", {})


@pytest.mark.spec("R7.6", "R9.1")
@pytest.mark.django_db(transaction=True)
def test_what_happened_in_a_repository_while_it_was_hidden_is_no_discrepancy(
    app_mode: Simulator,
) -> None:
    """Nobody could have told us; what it holds is read anew, as if for the first time."""
    world, octo = app_mode.world, discover()
    sync(octo)
    hidden = roomy(world, issues=1)
    kept = [each.id for each in world.owned(world.account("octo-simulated")) if each is not hidden]
    world.select_repositories("octo-simulated", kept)
    sync(octo)
    world.edit_issue(hidden.id, world.content(hidden).issues[0].number, title="While hidden")
    world.select_all("octo-simulated")
    job = sync(octo)
    assert set(job.discrepancies) <= {"missing_repo", "stale_metadata"}
    lists = ContentList.objects.filter(repository__github_id=hidden.id, count__isnull=False)
    assert lists.count() == 3


@pytest.mark.spec("R7.1", "R7.2")
@pytest.mark.django_db(transaction=True)
def test_a_run_for_a_repository_whose_name_another_one_took_removes_neither(
    app_mode: Simulator,
) -> None:
    world, octo = app_mode.world, discover()
    one, two, *_ = owned = world.owned(world.account("octo-simulated"))
    world.select_repositories("octo-simulated", [each.id for each in owned])
    sync(octo)
    asked = world.full_name(one)
    world.swap_names(one.id, two.id)
    job = sync(octo, mode="repo", repository=asked)
    assert job.counts["repositories"]["deleted"] == 0
    rows = Repository.objects.filter(github_id__in=[one.id, two.id])
    assert {row.github_id: row.full_name for row in rows} == {
        each.id: world.full_name(each) for each in (one, two)
    }
    assert {row.status for row in rows} <= {"active", "archived"}


@pytest.mark.spec("R6.3", "R9.1")
@pytest.mark.django_db(transaction=True)
def test_a_push_is_read_although_another_repository_has_taken_the_name(
    app_mode: Simulator,
) -> None:
    """Else it would be forgotten unread, and the next run would call it a discrepancy."""
    world, octo = app_mode.world, discover()
    sync(octo)
    pushed = roomy(world)
    world.push_commits(pushed.id, 2)
    world.rename(pushed.id, "its-new-name")
    asked = [Asked(github_id=pushed.id, reason="push", told=rechecks.HISTORY)]
    rechecks.ask(octo.pk, asked, trigger="webhook", now=clock.now())
    Repository.objects.filter(github_id=pushed.id).update(name_is_current=False)
    job = sync(octo, trigger="webhook", mode="recheck")
    assert job.counts["commits"]["created"] == 2
    row = Repository.objects.get(github_id=pushed.id)
    assert (row.name, row.name_is_current) == ("its-new-name", True)


@pytest.mark.spec("R7.4")
@pytest.mark.django_db(transaction=True)
def test_what_a_dry_run_found_and_neither_side_has_any_more_is_over(app_mode: Simulator) -> None:
    """Nobody compares what is nowhere: else it would stay open for ever."""
    world, octo = app_mode.world, discover()
    sync(octo)
    home = roomy(world, issues=2)
    other = roomy(world, skip=1)
    with time_machine.travel(clock.now() + timedelta(hours=1)) as now:
        made = world.open_issue(home.id, "Soon gone")
        world.edit_issue(home.id, world.content(home).issues[0].number, title="Changed")
        world.create("octo-simulated", "short-lived")
        now.shift(timedelta(hours=1))
        dry = sync(octo, dry_run=True)
        assert dry.discrepancies["missing_issue"] == dry.discrepancies["missing_repo"] == 1
        world.delete_issue(home.id, made.number)
        world.delete("octo-simulated/short-lived")
        world.delete(other.id)
        now.shift(timedelta(hours=1))
        sync(octo)
    still = Discrepancy.objects.filter(repair_status__in=Discrepancy.OPEN)
    assert list(still.values_list("type", "name")) == []
