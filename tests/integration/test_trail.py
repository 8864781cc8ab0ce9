"""The audit trail of real runs: what they did to each record, their errors, their ends, and slow ones."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import time_machine
from django.db import transaction
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from reconciliation import conductor, performance, tasks, trail
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from reconciliation.models.trail import CATEGORIES
from reconciliation.trail import Trail
from syncsvc import clock, contents, events, jobs, mirror
from syncsvc.endings import Outcome
from syncsvc.models import Commit, Installation, Issue, PullRequest, Repository, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator, World
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory
from tests.people_support import staff
from tests.support import discover, ours, roomy, run, sync

LIST = "/installation/repositories"
SECRET = "ghs_16C7e42F292c6912E7710c838347Ae178B4a"
CONTENTS = {"issues": Issue, "pull_requests": PullRequest, "commits": Commit}

database = pytest.mark.django_db
real = pytest.mark.django_db(transaction=True)


def of(job: SyncJob | UUID | str) -> AuditEntry:
    return AuditEntry.objects.get(kind="run", correlation_id=getattr(job, "pk", job))


def done(entry: AuditEntry, result: str = "done") -> dict[tuple[str, str], Counter[Any]]:
    """What the trail says, by entity and operation: each record, with its repository, how often."""
    found: defaultdict[tuple[str, str], Counter[Any]] = defaultdict(Counter)
    for row in AuditRecord.objects.filter(entry=entry, result=result):
        found[row.entity, row.operation].update((row.repository_id, key) for key in row.items)
    return found


def held(entity: str) -> Counter[Any]:
    """What the mirror holds of an entity, in the trail's words."""
    if entity == "repositories":
        rows: Any = Repository.objects.values_list("pk", "github_id")
    else:
        key = "sha" if entity == "commits" else "github_id"
        rows = CONTENTS[entity]._default_manager.values_list("repository_id", key)
    return Counter((repository, str(key)) for repository, key in rows)


def counted(job: SyncJob) -> dict[tuple[str, str], int]:
    """What the run says that it did."""
    names = {"created": "create", "updated": "update", "deleted": "delete"}
    return {
        (entity, names[name]): number
        for entity, numbers in job.counts.items()
        for name, number in numbers.items()
        if name in names and number and entity != "repository_metrics"
    }


@pytest.fixture
def filled(settings: Settings) -> Iterator[Simulator]:
    """A GitHub of eight repositories that hold something."""
    with Simulator(World.generate(seed=1, repositories=8)) as simulator:
        settings.GITHUB_API_URL = simulator.url
        settings.GITHUB_APP_ID = str(simulator.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
        yield simulator


# --- records --------------------------------------------------------------------------------------


@real
@pytest.mark.spec("R11.1", "R12.1", "P5", "P6", "P7", "P9", "P23", "P24")
def test_every_record_that_a_run_touches_is_in_its_entry(filled: Simulator) -> None:
    world, installation = filled.world, discover()
    user = staff()
    job = sync(installation, user=user)
    entry = of(job)
    written = done(entry)
    assert written == {(entity, "create"): held(entity) for entity in ("repositories", *CONTENTS)}
    assert {key: sum(items.values()) for key, items in written.items()} == counted(job)
    assert (entry.status, entry.trigger, entry.mode, entry.attempts) == (
        "succeeded", "manual", "full", 1,
    )  # fmt: skip
    assert (entry.actor_id, entry.actor_name) == (user.pk, user.username)
    assert (entry.at, entry.ended_at) == (job.started_at, job.finished_at)
    assert entry.verification == job.verification != {}
    assert entry.verification["executed"] is True
    assert (entry.counts, entry.phases_seconds) == (job.counts, job.phases_seconds)
    assert set(entry.phases_seconds) == {*performance.PHASES, "total"}
    assert all(seconds >= 0 for seconds in entry.phases_seconds.values())
    good, bad = performance.processed(job.counts)
    assert (entry.succeeded, entry.failed) == (good, bad)
    assert entry.records_per_second == pytest.approx(good / job.phases_seconds["total"])
    assert entry.api["requests"] == job.api["requests"] > 0
    assert entry.api["budget_left"]["core"] > 0

    busy = roomy(world, issues=2, commits=3)
    issue, other = world.content(busy).issues[:2]
    world.edit_issue(busy.id, issue.number, title="Another title")
    world.delete_issue(busy.id, other.number)
    world.force_push(busy.id, drop=2, add=1)
    world.rename(busy.id, "renamed")
    before = {entity: held(entity) for entity in CONTENTS}
    second = sync(installation)
    told = done(of(second))
    assert {key: sum(items.values()) for key, items in told.items()} == counted(second)
    own = ours(busy).pk
    assert told["issues", "update"] == {(own, str(issue.id)): 1}
    assert told["issues", "delete"] == {(own, str(other.id)): 1}
    assert told["commits", "create"] == held("commits") - before["commits"]
    assert told["commits", "delete"] == Counter(
        (own, row.sha) for row in Commit.objects.filter(dropped_at__isnull=False)
    )
    assert (own, str(busy.id)) in told["repositories", "update"]

    quiet = of(sync(installation))
    assert (done(quiet), quiet.failed) == ({}, 0)
    assert (
        quiet.succeeded >= sum(sum(held(entity).values()) for entity in ("issues", "commits")) - 3
    )


@real
@pytest.mark.spec("R7.5", "P7")
def test_a_dry_run_leaves_proposals(filled: Simulator) -> None:
    world, installation = filled.world, discover()
    sync(installation)
    busy = roomy(world, issues=2, commits=3)
    issue, other = world.content(busy).issues[:2]
    world.edit_issue(busy.id, issue.number, title="Another title")
    world.delete_issue(busy.id, other.number)
    world.create("octo-simulated", "brand-new")
    job = sync(installation, dry_run=True)
    proposed = done(of(job), "proposed")
    assert proposed["issues", "update"] == {(ours(busy).pk, str(issue.id)): 1}
    assert proposed["issues", "delete"] == {(ours(busy).pk, str(other.id)): 1}
    assert [repository for repository, _key in proposed["repositories", "create"]] == [None]
    assert {key: sum(items.values()) for key, items in proposed.items()} == counted(job)
    assert done(of(job)) == {}
    assert of(job).dry_run is True


@real
@pytest.mark.spec("R10.5", "P7", "P8", "P25", "P30")
@pytest.mark.parametrize(
    ("damage", "operation", "sentence"),
    [
        ({"name": None}, "skip", "GitHub's record cannot be read: name is missing or not a text."),
        ({"language": "x" * 500}, "create", "The database cannot hold what GitHub says."),
    ],
)
def test_what_was_put_aside_or_refused_is_logged_as_failed_and_the_rest_as_done(
    app_mode: Simulator, damage: dict[str, Any], operation: str, sentence: str
) -> None:
    installation = discover()
    app_mode.faults.add(
        Fault(kind="bad_record", path_regex=LIST, record=4, damage=damage, times=None),
        # Nor can it be read by itself.
        Fault(kind="status", status=451, path_regex="^/repositories/", times=None),
    )
    entry = of(sync(installation))
    [failed] = AuditRecord.objects.filter(entry=entry, result="failed")
    assert (failed.operation, failed.error, len(failed.items)) == (operation, sentence, 1)
    assert not Repository.objects.filter(github_id=failed.items[0]).exists()
    assert done(entry)["repositories", "create"] == held("repositories")
    errors = list(AuditError.objects.filter(entry=entry))
    assert {error.category for error in errors} == {"validation"}
    assert sentence in {error.message for error in errors}
    assert all(error.item and error.operation and error.trace for error in errors)
    assert entry.errors_by_category == {"validation": len(errors)}
    assert (entry.status, entry.failed) == ("partial", len(errors))


@real
@pytest.mark.spec("R7.5", "P41", "P7")
def test_a_lost_race_is_a_conflict_and_then_a_repair(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()
    sync(installation)
    row = Repository.objects.filter(installation=installation, status="active")[0]
    app_mode.world.edit(row.github_id, description="newest")
    plain = mirror.apply

    def interfere(changes: Any, author: Any) -> Any:
        monkeypatch.setattr(mirror, "apply", plain)
        Repository.objects.filter(pk=row.pk).update(stars=1, version=row.version + 1)
        return plain(changes, author)

    monkeypatch.setattr(mirror, "apply", interfere)
    entry = of(sync(installation))
    one = {("repositories", "update"): Counter({(row.pk, str(row.github_id)): 1})}
    assert done(entry, "conflict") == one
    assert done(entry) == one


@real
@pytest.mark.spec("R7.5", "P41", "P7")
def test_an_issue_that_somebody_wrote_newer_meanwhile_stays_and_is_a_conflict(
    filled: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, installation = filled.world, discover()
    sync(installation)
    busy = roomy(world, issues=1)
    issue = world.content(busy).issues[0]
    world.edit_issue(busy.id, issue.number, title="Ours")
    plain = contents.write

    def interfere(entity: Any, items: Any, author: Any) -> Any:
        later = clock.now() + timedelta(minutes=5)
        rows = Issue.objects.filter(github_id=issue.id)
        rows.update(title="Theirs, later", github_updated_at=later)
        return plain(entity, items, author)

    monkeypatch.setattr(contents, "write", interfere)
    entry = of(sync(installation))
    assert done(entry, "conflict")["issues", "update"] == {(ours(busy).pk, str(issue.id)): 1}
    assert ("issues", "update") not in done(entry)
    assert Issue.objects.get(github_id=issue.id).title == "Theirs, later"


# --- errors ---------------------------------------------------------------------------------------


@real
@pytest.mark.spec("R11.3", "P8", "P9", "P25")
def test_a_crash_is_logged_with_its_stack_and_without_its_secrets(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()

    def crash(*_: Any) -> None:
        raise RuntimeError(f"https://x-access-token:{SECRET}@github.com said no")

    monkeypatch.setattr(conductor, "_conduct", crash)
    job = sync(installation)
    entry = of(job)
    error = AuditError.objects.get(entry=entry)
    assert (error.category, error.operation, error.item) == ("unknown", "run", str(job.pk))
    assert "in crash" in error.trace
    assert "RuntimeError" in error.trace
    everything = repr(list(AuditError.objects.values())) + repr(list(AuditEntry.objects.values()))
    assert SECRET not in everything
    assert SECRET[8:] not in everything
    assert (entry.status, entry.errors_by_category) == ("failed", {"unknown": 1})
    assert entry.ended_at == job.finished_at


@real
@pytest.mark.spec("P8", "P25")
def test_a_limit_blocks_the_entry_until_the_run_goes_on(app_mode: Simulator) -> None:
    installation = discover()
    app_mode.faults.add(Fault(kind="secondary_limit", path_regex=LIST, status=403, times=1))
    job = sync(installation)
    entry = of(job)
    assert (job.status, entry.status, entry.ended_at) == ("blocked", "blocked", None)
    assert [error.category for error in entry.errors.all()] == ["rate_limit"]
    with time_machine.travel(job.run_after + timedelta(seconds=1)):
        again = run(job.pk)
    entry.refresh_from_db()
    assert (again.status, entry.status, entry.attempts) == ("succeeded", "succeeded", 1)
    assert entry.errors_by_category == {"rate_limit": 1}


@real
@pytest.mark.spec("R10.1", "P8", "P25", "P31")
def test_an_attempt_that_failed_stays_in_the_entry_of_the_run_that_recovered(
    app_mode: Simulator,
) -> None:
    installation = discover()
    job_id = SyncService.request(installation.pk, "manual").job_id
    assert job_id is not None
    app_mode.faults.add(Fault(kind="status", status=500, path_regex=LIST, times=None))
    waiting = run(job_id, last_attempt=False)
    entry = of(job_id)
    assert (waiting.status, entry.status, entry.ended_at) == ("queued", "running", None)
    [error] = entry.errors.all()
    assert error.category == "network"
    assert "Traceback" in error.trace
    app_mode.faults.clear()
    with time_machine.travel(waiting.run_after + timedelta(seconds=1)):
        run(job_id)
    entry.refresh_from_db()
    assert (entry.status, entry.attempts) == ("succeeded", 2)
    assert entry.errors_by_category == {"network": 1}


@real
@pytest.mark.spec("R10.2", "P6", "P31")
def test_a_killed_run_that_is_taken_up_again_has_one_entry(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """Nothing in the process survives to say anything."""

    installation = discover()
    plain = mirror.apply

    def kill(changes: Any, author: Any) -> Any:
        plain(changes, author)
        raise Killed

    job_id = SyncService.request(installation.pk, "manual").job_id
    assert job_id is not None
    monkeypatch.setattr(mirror, "apply", kill)
    with pytest.raises(Killed):
        run(job_id)
    monkeypatch.setattr(mirror, "apply", plain)
    entry = of(job_id)
    assert (entry.status, entry.attempts, entry.ended_at) == ("running", 1, None)
    assert done(entry) == {}  # the transaction that wrote was never committed
    with time_machine.travel(clock.now() + timedelta(minutes=5), tick=False):
        jobs.ring_waiting()
        assert trail.close_orphans(clock.now()) == 0
        job = run(job_id)
    entry = of(job_id)
    assert (job.status, entry.status, entry.attempts) == ("succeeded", "succeeded", 2)
    assert (entry.at, entry.ended_at) == (job.started_at, job.finished_at)
    assert done(entry)["repositories", "create"] == held("repositories")


@database
@pytest.mark.spec("R11.1", "P9")
def test_runs_that_nobody_can_close_are_closed() -> None:
    def begun(**values: Any) -> SyncJob:
        job: SyncJob = SyncJobFactory.create(**values)
        Trail(job, clock.now()).begin()
        return job

    dead = begun(status="dead", error=f"The worker died: {SECRET}", error_category="odd")
    cancelled = begun(status="cancelled")
    going_on = [begun(running=True), begun(waiting=True)]
    gone = begun().pk
    SyncJob.objects.filter(pk=gone).delete()
    tasks.look_after()
    assert trail.close_orphans(clock.now()) == 0
    assert (of(dead).status, of(dead).ended_at) == ("dead", dead.finished_at)
    assert of(dead).errors_by_category == {"unknown": 1}
    assert SECRET not in of(dead).errors.get().message
    assert (of(cancelled).status, of(cancelled).ended_at) == ("cancelled", cancelled.finished_at)
    assert of(gone).status == "dead"
    assert [of(job).ended_at for job in going_on] == [None, None]


@real
@pytest.mark.spec("R11.1", "P5", "P7")
def test_a_killed_run_that_is_cancelled_while_it_waits_says_what_it_wrote(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_run: Any) -> None:
        raise SystemExit  # the job is handed back

    monkeypatch.setattr(conductor, "read_contents", kill)
    job_id = SyncService.request(discover().pk, "manual").job_id
    with pytest.raises(SystemExit):
        run(job_id or "")
    job = jobs.cancel(SyncJob.objects.get(pk=job_id or ""))
    assert (job.status, job.counts) == ("cancelled", {})
    tasks.look_after()
    job.refresh_from_db()
    written = Repository.objects.count()
    assert job.counts["repositories"]["created"] == written > 0
    assert (of(job).counts, of(job).succeeded) == (job.counts, written)


@database
@pytest.mark.spec("R10.2", "P8")
def test_what_an_attempt_that_goes_on_finds_again_is_told_once() -> None:
    job = SyncJobFactory.create(running=True)
    for items in (["a", "b"], ["b", "b", "c"]):
        noted = Trail(job, clock.now())
        noted.begin()
        for item in items:
            noted.error(
                item=item, operation="read", category="network", message="No.", entity="issues"
            )
        noted.error(item=str(job.pk), operation="run", category="network", message="No.", entity="")
        noted.rest()
    told = of(job).errors.order_by("pk").values_list("item", flat=True)
    assert list(told) == ["a", "b", str(job.pk), "c", str(job.pk)]


@database
@pytest.mark.spec("P7", "P25")
def test_odd_keys_and_categories_are_kept_too() -> None:
    row = RepositoryFactory.create()
    noted = Trail(SyncJobFactory.create(installation=row.installation), clock.now())
    keys = ["record 3", 'a,"b"\\', "null", "", "\x00", 12]
    noted.wrote("issues", "skip", [(row.pk, key) for key in keys], result="failed", error="\x00")
    noted.wrote("issues", "update", [])
    noted.wrote("repositories", "update", [(None, row.github_id), (None, "record 9")])
    rows = list(AuditRecord.objects.order_by("pk").values_list("repository", "items"))
    assert rows == [
        (row.pk, ["record 3", 'a,"b"\\', "null", "", "\ufffd", "12"]),
        (row.pk, [str(row.github_id)]),
        (None, ["record 9"]),
    ]
    for category in (*CATEGORIES, "timeout", ""):
        noted.error(
            item="x\x00", operation="read", category=category, message="No.\ud800", entity="issues"
        )
    noted.end(Outcome(), "partial", clock.now())
    kept = list(AuditError.objects.values_list("category", flat=True))
    assert Counter(kept) == Counter([*CATEGORIES, "unknown", "unknown"])


# --- slow runs ------------------------------------------------------------------------------------


def ended(installation: Installation, seconds: dict[str, float], **values: Any) -> SyncJob:
    """A run that took so long, by phase."""
    phases = seconds | {"total": sum(seconds.values())}
    job: SyncJob = SyncJobFactory.create(installation=installation, **values)
    counts = {"issues": {"created": 5, "unchanged": 95, "errors": 0}}
    with transaction.atomic():
        Trail(job, clock.now()).end(
            Outcome(phases_seconds=phases, counts=counts), job.status, clock.now()
        )
    job.refresh_from_db()
    return job


@database
@pytest.mark.spec("R12.2", "P24", "P27")
def test_a_slow_run_is_told_with_its_slow_phase(
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    installation = InstallationFactory.create(last_listed_at=clock.now())
    usual = {"fetch": 2.0, "compare": 0.5, "update": 0.5, "verify": 0.0}
    slow = usual | {"update": 4.5}
    Installation.objects.filter(pk=installation.pk).update(last_listed_at=None)
    installation.refresh_from_db()
    ended(installation, {"fetch": 900.0})  # the first run is no measure
    Installation.objects.filter(pk=installation.pk).update(last_listed_at=clock.now())
    installation.refresh_from_db()
    for _ in range(4):
        ended(installation, usual)
    others: tuple[dict[str, Any], ...] = (
        {"mode": "incremental"},
        {"dry_run": True},
        {"failed": True},
        {"mode": "repo", "repository": "acme/site"},
    )
    for values in others:
        assert ended(installation, {"fetch": 0.1}, **values).warning == ""
    assert ended(installation, slow).warning == ""  # four are too few to be usual
    heard: list[tuple[str, dict[str, Any]]] = []

    def listen(*, name: str, fields: dict[str, Any], **_: Any) -> None:
        heard.append((name, fields))

    events.happened.connect(listen)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            job = ended(installation, slow)
    finally:
        events.happened.disconnect(listen)
    assert "The slow phase is update (writing): 4.50 s instead of about 0.50 s." in job.warning
    assert of(job).warning == job.warning
    assert of(job).records_per_second == pytest.approx(100 / 7.0)
    [(name, fields)] = heard
    assert (name, fields["phase"], fields["job_id"]) == ("sync.job.slow", "update", str(job.pk))
    assert (fields["seconds"], fields["usual_seconds"]) == (7.0, 3.0)
    assert ended(installation, slow, dry_run=True).warning == ""
    assert ended(installation, usual).warning == ""


@real
@pytest.mark.spec("R12.2", "P27")
def test_a_run_that_github_keeps_waiting_is_slow_in_fetch(app_mode: Simulator) -> None:
    installation = discover()
    quick = sync(installation)
    installation.refresh_from_db()
    for _ in range(5):
        ended(installation, {**quick.phases_seconds, "total": 0.0})
    app_mode.faults.add(Fault(kind="slow", path_regex=LIST, seconds=1.2, times=1))
    assert "The slow phase is fetch (reading from GitHub): 1." in sync(installation).warning
