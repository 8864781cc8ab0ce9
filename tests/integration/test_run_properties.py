"""What holds for any run, whatever it reads, finds, loses and is told: it looks back and writes it down."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import structlog.testing
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciliation import integrity
from reconciliation.models import AuditEntry, AuditRecord, IntegrityIssue
from reconciliation.models.trail import CATEGORIES
from syncsvc import clock, contents, status
from syncsvc.leases import Lease
from syncsvc.models import Installation, Issue, Repository, SyncJob
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.faults import Fault
from tests.support import discover, ours, roomy, sync

pytestmark = pytest.mark.django_db(transaction=True)

PHASES = ("fetch", "compare", "update", "verify")
OPERATIONS = {"create": "created", "update": "updated", "delete": "deleted"}

any_run = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def world() -> World:
    """A GitHub of two repositories with little in them."""
    return World.generate(
        seed=11, repositories=2, issues_per_repository=3, pull_requests_per_repository=1,
        commits_per_repository=3,
    )  # fmt: skip


@pytest.fixture
def mirrored(app_mode: Simulator) -> Iterator[tuple[Installation, time_machine.Traveller]]:
    """The account, synced once; time passes only when told."""
    with time_machine.travel(clock.now(), tick=False) as traveller:
        installation = discover()
        assert sync(installation, "initial").status == "succeeded"
        yield installation, traveller


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """GitHub's ids of issues whose row is lost in the next write, as if it had never been made."""
    left: list[int] = []
    plain = contents.write

    def write(entity: Any, items: Any, author: Any) -> Any:
        written = plain(entity, items, author)
        if left and entity == "issues":
            lost = [item.key for item in items][: left.pop()]
            Issue.objects.filter(github_id__in=lost).delete()
        return written

    monkeypatch.setattr(contents, "write", write)
    return left


def happens(world: World, what: list[str]) -> None:
    """Lets these things happen at GitHub."""
    repository = roomy(world)
    for each in what:
        if each == "edit":
            world.edit(repository.id, description=f"{world.time} {len(what)}")
        elif each == "open":
            world.open_issue(repository.id, "Another one")
        elif each == "push":
            world.push_commits(repository.id, 1)
        else:
            issues = world.content(repository).issues
            if len(issues) > 2:
                world.delete_issue(repository.id, issues[0].number)


@pytest.mark.spec("P1", "P2", "P3", "P5", "P6", "P7", "P8", "P9", "P16", "P23", "P24", "P25")
@any_run
@given(
    what=st.lists(st.sampled_from(["edit", "open", "push", "delete"]), max_size=3),
    mode=st.sampled_from(["full", "incremental", "incremental", "reconcile", "repo"]),
    trigger=st.sampled_from(["cron", "manual", "maintenance"]),
    lost=st.integers(0, 2),
    unreadable=st.booleans(),
    dry_run=st.booleans(),
)
def test_any_run_looks_back_and_its_entry_says_all_of_it(
    app_mode: Simulator,
    mirrored: tuple[Installation, time_machine.Traveller],
    losses: list[int],
    what: list[str],
    mode: str,
    trigger: str,
    lost: int,
    unreadable: bool,
    dry_run: bool,
) -> None:
    installation, traveller = mirrored
    happens(app_mode.world, what)
    traveller.shift(timedelta(minutes=5))
    began = clock.now()
    losses[:] = [lost] if lost and not dry_run else []
    if unreadable:
        app_mode.faults.add(Fault(kind="status", path_regex="/repos/.*", status=404, times=1))
    name = str(ours(roomy(app_mode.world))) if mode == "repo" else ""
    with structlog.testing.capture_logs() as logs:
        job = sync(installation, trigger, mode=mode, repository=name, dry_run=dry_run)
    app_mode.faults.clear()
    losses.clear()
    gaps = [each for each in logs if each["event"] == "verification.gap"]
    tries = [each for each in logs if each["event"] == "resync.attempted"]

    # P6: who, when and why.
    entry = AuditEntry.objects.get(correlation_id=job.pk, kind=AuditEntry.Kind.RUN)
    assert (entry.kind, entry.at, entry.trigger, entry.mode) == ("run", began, trigger, mode)
    # P5, P9: how it ended, and what verification said.
    assert (entry.status, entry.ended_at) == (job.status, job.finished_at)
    assert (entry.counts, entry.verification) == (job.counts, job.verification)
    # P23, P24: the time of each phase, and records per second.
    assert job.phases_seconds.keys() == {*PHASES, "total"}
    assert sum(job.phases_seconds[each] for each in PHASES) <= job.phases_seconds["total"] + 0.01
    if job.status in ("succeeded", "partial"):
        # P1: it looked back, and counted: the account, or the one repository.
        assert job.verification["executed"] is True
        rows = Repository.objects.filter(installation=installation, status__in=Repository.PRESENT)
        there = 1 if mode == "repo" else rows.count()
        assert job.verification["counts"]["mirror"] == there
        assert entry.records_per_second is not None
        assert entry.records_per_second >= 0
    # P2, P3: what was lost is named, with the time, and read again.
    for gap in gaps:
        assert gap["missing_ids"]
        assert gap["at"]
    assert len(tries) == len(gaps)
    assert job.verification.get("resync", {}).get("attempted", False) == bool(gaps)
    # P7: each record that was written stands in the trail, under what was done to it.
    done: Counter[tuple[str, str]] = Counter()
    wanted = "proposed" if dry_run else "done"
    for record in AuditRecord.objects.filter(entry=entry, result=wanted):
        done[record.entity, OPERATIONS.get(record.operation, "")] += len(record.items)
    for entity, counts in job.counts.items():
        if entity != "repository_metrics":
            for made in OPERATIONS.values():
                assert done[entity, made] >= counts[made], (entity, made, job.counts)
    # P8, P25: each error with its message, stack, item and one category.
    errors = list(entry.errors.all())
    assert len(errors) >= len(job.failures)
    for error in errors:
        assert error.message
        assert error.trace
        assert error.item
        assert error.category in CATEGORIES
    # P16: what a person who asked for it is told.
    assert all({"created", "updated", "errors"} <= each.keys() for each in job.counts.values())


@pytest.mark.spec("P15")
@any_run
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 500), st.one_of(st.none(), st.integers(1, 500)), st.integers(0, 3)),
        min_size=1, max_size=4,
    )
)  # fmt: skip
def test_whatever_a_run_has_done_so_far_its_progress_says_how_much_and_how_many_errors(
    mirrored: tuple[Installation, time_machine.Traveller], steps: list[tuple[int, int | None, int]]
) -> None:
    installation, _ = mirrored
    job = SyncJob.objects.create(
        installation=installation, trigger="cron", mode="full", status="running",
        created_at=clock.now(), run_after=clock.now(), started_at=clock.now(),
        lease=uuid4(), lease_expires_at=clock.now(),
    )  # fmt: skip
    assert job.lease is not None
    lease = Lease(job, job.lease)
    for number, (current, total, errors) in enumerate(steps):
        lease.errors += errors
        lease.progress(f"stage {number}", current, total)
        job.refresh_from_db()
        shown = status.progress(job, clock.now())
        assert (shown.current, shown.total, shown.errors) == (current, total, lease.errors)
    job.delete()


@pytest.mark.spec("P35")
@any_run
@given(spoilt=st.sets(st.integers(0, 5), max_size=4))
def test_any_broken_rows_are_told_with_details_and_items_and_no_others(
    mirrored: tuple[Installation, time_machine.Traveller], spoilt: set[int]
) -> None:
    installation, _ = mirrored
    keys = list(
        Issue.objects.filter(repository__installation=installation)
        .order_by("github_id")
        .values_list("github_id", flat=True)
    )
    wrong = {keys[each % len(keys)] for each in spoilt}
    Issue.objects.update(author="octocat")
    Issue.objects.filter(github_id__in=wrong).update(author="no login at all")
    known = set(IntegrityIssue.objects.filter(resolved_at=None).values_list("item_key", flat=True))
    with structlog.testing.capture_logs() as logs:
        integrity.check_all(clock.now())
    rows = IntegrityIssue.objects.filter(resolved_at=None)
    assert {int(row.item_key) for row in rows} == wrong
    assert all(row.detail and row.rule and row.installation == installation for row in rows)
    told = [each for each in logs if each["event"] == "integrity.found"]
    new = {str(key) for key in wrong} - known
    assert bool(told) >= bool(new)
    assert all(key in str(told) for key in new)
