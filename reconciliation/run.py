"""What one run knows and counts while it goes on; the conductor moves it, nothing else does."""

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import Any, Final, TypeVar

from reconciliation.checkpoints import Checkpoint
from reconciliation.diff import Context
from reconciliation.earlier import Earlier
from reconciliation.findings import REPOSITORIES, plain
from reconciliation.judge import Judge
from reconciliation.looking_back import LookBack
from reconciliation.trail import Trail
from syncsvc import clock, connect, rechecks
from syncsvc.connect import Connection
from syncsvc.endings import Outcome
from syncsvc.github.client import GitHubClient, RepositorySource
from syncsvc.github.content_reader import ContentReader
from syncsvc.github.payloads import BadRecord
from syncsvc.github.rest_content import RestReader
from syncsvc.leases import Lease
from syncsvc.mirror import Applied, Author
from syncsvc.models import EtagEntry, Installation, Recheck, SyncJob
from syncsvc.plan import Change, Operation

Item = TypeVar("Item")

COUNTED: Final = ("created", "updated", "unchanged", "deleted", "errors")
ENTITIES: Final = ("repositories", "issues", "pull_requests", "commits", "repository_metrics")
PHASES: Final = ("fetch", "compare", "update", "verify")
PLAN_SHOWN: Final = 1000
FAILURES_SHOWN: Final = 200


class Run:
    """The figures of a run. `seen` holds every repository id that the present listing named."""

    connection: Connection | None = None
    #: What is kept of the run for another attempt; None before its list is carried out.
    checkpoint: Checkpoint | None = None
    #: The wishes (key, version) to read something again that this run will have answered.
    asked_before: frozenset[tuple[int, int]] = frozenset()
    #: What is answered when the run has come to a good end, and not before.
    answered: Sequence[Recheck] = ()
    #: When the attempt began that read the list of repositories, if that was whole.
    listed_at: datetime | None = None
    #: How many absent issues and pull requests were asked for by themselves.
    asked = 0

    def __init__(self, lease: Lease, spent: Mapping[str, Any] | None = None) -> None:
        """`spent` is what the job has used up before, where its row does not say so yet."""
        self.lease = lease
        self.job: SyncJob = lease.job
        self.seen: set[int] = set()
        #: Lacked by the listing, and asked for by themselves.
        self.explained: set[int] = set()
        installation: Installation = lease.job.installation
        now = clock.now()
        self.baseline = installation.last_listed_at is None
        self.context = Context(
            installation_id=installation.pk,
            account_id=installation.account_id,
            now=now,
            grace=timedelta(seconds=lease.settings.grace_seconds),
            repository_selection=installation.repository_selection,
            unmanaged_policy=lease.settings.unmanaged_policy,
            baseline=self.baseline,
        )
        self.judge = Judge(lease.job, baseline=self.baseline, grace=self.context.grace)
        self.trail = Trail(lease.job, now)
        #: Until when the mirror was last known to agree with the list of repositories.
        self.right_at = installation.last_listed_at
        self.author = Author(trigger=lease.job.trigger, job_id=lease.job.pk, now=now)
        self._started = time.monotonic()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._inside = 0.0
        self.tallies: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._counts = self.tallies["repositories"]
        self._compared: set[int] = set()
        self._doubted: set[int] = set()
        self.failures: list[dict[str, Any]] = []
        self._plan: list[dict[str, Any]] = []
        self.look = LookBack(lease.job.installation_id)
        self.earlier = Earlier()
        self.fresh: set[tuple[str, int]] = set()
        before = spent or {"api": lease.job.api, "phases_seconds": lease.job.phases_seconds}
        self._used_before = (_sums(before["api"]), _sums(before["phases_seconds"]))
        lease.spent = self.spent
        lease.errors = 0  # what goes on with the same lease takes its failures from the checkpoint
        self._source: RepositorySource | None = None

    @property
    def client(self) -> GitHubClient:
        """The connection's client; there is one as long as the run is being conducted."""
        if self.connection is None:
            raise RuntimeError("the run is not connected")
        return self.connection.client

    @cached_property
    def contents(self) -> ContentReader:
        """The way to issues, pull requests and commits; whether GraphQL serves is learnt once."""
        if self.connection is None:
            raise RuntimeError("the run is not connected")
        return ContentReader(self.connection.graphql(), self.rest)

    @property
    def rest(self) -> RestReader:
        """The way to single items."""
        if self.connection is None:
            raise RuntimeError("the run is not connected")
        return self.connection.rest()

    def source(self) -> RepositorySource:
        """The list that holds all repositories of this account, asked for once."""
        if self._source is None:
            self._source = connect.source_of(self.job.installation, self.client)
        return self._source

    @cached_property
    def vouched_at(self) -> datetime | None:
        """When every list of the account was last looked at and found right, or put right."""
        rows = SyncJob.objects.filter(
            installation=self.job.installation_id,
            mode__in=(SyncJob.Mode.FULL, SyncJob.Mode.INCREMENTAL),
            status=SyncJob.Status.SUCCEEDED,
            dry_run=False,
        ).exclude(pk=self.job.pk)
        newest: datetime | None = (
            rows.order_by("-created_at").values_list("started_at", flat=True).first()
        )
        return newest

    # --- time -------------------------------------------------------------------------------------

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the seconds inside to the phase; those of a phase within it count there alone."""
        before, outside, self._inside = time.monotonic(), self._inside, 0.0
        try:
            yield
        finally:
            seconds = time.monotonic() - before
            self._seconds[name] += seconds - self._inside
            self._inside = outside + seconds

    def timed(self, name: str, items: Iterable[Item]) -> Iterator[Item]:
        """The items, with the time spent waiting for each added to the phase."""
        iterator = iter(items)
        while True:
            with self.phase(name):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    # --- counts -----------------------------------------------------------------------------------

    def starts_listing(self) -> None:
        """A new reading of the list begins: what an earlier one named may be gone since."""
        self.seen = set()

    def count_seen(self, github_id: int, change: Change | None) -> bool:
        """Counts one repository that GitHub showed; a second sight of it counts no second time.

        Returns whether it was the first.
        """
        self.seen.add(github_id)
        if github_id in self._compared:
            return False
        self._compared.add(github_id)
        if change is None:
            self._counts["unchanged"] += github_id not in self.earlier.repositories
            if self.judge.has_open:
                self.judge.right(REPOSITORIES, [(str(github_id), github_id)])
        return True

    def count_doubt(self, github_id: int) -> None:
        """Counts one of which nobody can tell whether the mirror is right about it."""
        self.seen.add(github_id)
        if github_id not in self._compared and github_id not in self._doubted:
            self._doubted.add(github_id)
            self.judge.unknown(REPOSITORIES, 1)

    def count_absent(self, github_id: int) -> None:
        """Counts one repository that the mirror had and the listing lacked, and whose fate is known."""
        self._compared.add(github_id)

    @property
    def compared_ids(self) -> Collection[int]:
        """The repositories that this attempt has compared so far, by GitHub's ids."""
        return self._compared

    def applied(self, applied: Applied) -> None:
        """Counts what a batch changed."""
        self._counts["created"] += applied.created
        self._counts["updated"] += applied.updated
        self._counts["deleted"] += applied.deleted

    def tally(self, entity: str, **counts: int) -> None:
        """Adds to the figures of what repositories hold."""
        if self.look.is_resyncing:
            counts.pop("unchanged", None)  # they were counted when they were read first
        self.tallies[entity].update(counts)

    def proposed_item(
        self, entity: str, operation: str, item: str, before: Any = None, after: Any = None
    ) -> None:
        """Keeps what a dry run would do to an issue, a pull request or a commit."""
        if len(self._plan) < PLAN_SHOWN:
            self._plan.append(
                {
                    "operation": operation,
                    "entity": entity,
                    "item": item,
                    "before": plain(before or {}),
                    "after": plain(after or {}),
                }
            )

    def proposed(self, changes: Sequence[Change]) -> None:
        """Counts and keeps what a dry run would change."""
        names = {
            Operation.CREATE: "created",
            Operation.UPDATE: "updated",
            Operation.DELETE: "deleted",
        }
        self.trail.changed(changes, result="proposed")
        for change in changes:
            self._counts[names[change.operation]] += 1
            if len(self._plan) < PLAN_SHOWN:
                self._plan.append(
                    {
                        "operation": str(change.operation),
                        "github_id": change.github_id,
                        "repository": change.name,
                        "types": [str(kind) for kind in change.kinds],
                        "before": plain(change.before),
                        "after": plain(change.after),
                    }
                )

    def put_aside(self, records: Iterable[BadRecord]) -> None:
        """Notes records that could not be read; they are there, so they are not absent (P30)."""
        for record in records:
            if record.github_id is not None:
                self.seen.add(record.github_id)
            key = record.github_id or f"record {record.index}"
            sentence = f"GitHub's record cannot be read: {record.field or 'it'} is {record.reason}."
            if self.failed(str(key), "read", "validation", sentence):
                self.skipped(REPOSITORIES, None, key, sentence)

    def failed(
        self,
        item: str,
        operation: str,
        category: str,
        message: str,
        entity: str = "repositories",
    ) -> bool:
        """Notes something that went wrong without ending the run (R5.6); returns whether it is new."""
        if any(
            known["item"] == item and known["operation"] == operation for known in self.failures
        ):
            return False
        self.tallies[entity]["errors"] += 1
        self.lease.errors += 1
        if len(self.failures) < FAILURES_SHOWN:
            self.failures.append(
                {
                    "item": item,
                    "operation": operation,
                    "category": category,
                    "message": message,
                    "at": clock.now().isoformat(),
                }
            )
        self.trail.error(
            item=item, operation=operation, category=category, message=message, entity=entity
        )
        return True

    def skipped(self, entity: str, repository: int | None, key: object, why: str) -> None:
        """Says in the trail that a record was put aside (P7, P30)."""
        self.trail.wrote(entity, "skip", [(repository, key)], result="failed", error=why)

    @property
    def is_listed(self) -> bool:
        """Whether the list of repositories was read, and was whole."""
        return self.listed_at is not None

    @property
    def has_failures(self) -> bool:
        """Whether something went wrong on the way."""
        return bool(self.failures)

    def listed_under(self, selection: str | None) -> None:
        """The listing itself says whether it is of all or of selected repositories, and says it
        later than discovery did."""
        if selection is None or selection == self.context.repository_selection:
            return
        self.context = replace(self.context, repository_selection=selection)
        if self.job.dry_run:
            return
        with self.lease.writing():
            Installation.objects.filter(pk=self.context.installation_id).update(
                repository_selection=selection
            )

    def forgets_pages(self) -> None:
        """The next reading is unconditional."""
        self.client.flush()
        EtagEntry.objects.filter(installation=self.job.installation).delete()

    def listed_whole(self, at: datetime | None = None) -> None:
        """Says that the listing was whole: every repository it named was seen at this run's time, or
        at that of the attempt which read it."""
        self.listed_at = at or self.context.now

    @property
    def moments(self) -> tuple[datetime, ...]:
        """The times under which the run noted lists of contents as read: one for each attempt."""
        return (*self.earlier.moments, self.context.now)

    @contextmanager
    def resyncing(self) -> Iterator[None]:
        """What is read inside was read before: it enters no figure of accuracy a second time."""
        judge, self.judge = (
            self.judge,
            Judge(self.job, baseline=True, grace=self.context.grace),
        )
        self.look.is_resyncing = True
        try:
            yield
        finally:
            self.judge, self.look.is_resyncing = judge, False

    # --- the end ----------------------------------------------------------------------------------

    @property
    def accuracy(self) -> float | None:
        """Matched / compared, before repair; None for the first run, and when the list was not whole."""
        narrow = self.job.mode in SyncJob.NARROW
        return self.judge.accuracy if self.is_listed or narrow else None

    def spent(self) -> dict[str, dict[str, float]]:
        """Requests and seconds that the job has used up so far, all attempts of it together."""
        usage = self.connection.usage() if self.connection else {}
        now = {name: self._seconds[name] for name in PHASES}
        now["total"] = time.monotonic() - self._started
        api, seconds = self._used_before
        return {
            "api": {"requests": 0, "not_modified": 0, "graphql_points": 0}
            | api
            | {name: round(api.get(name, 0)) + number for name, number in usage.items()},
            "phases_seconds": {
                name: round(seconds.get(name, 0.0) + number, 4) for name, number in now.items()
            },
        }

    def outcome(self) -> Outcome:
        """Everything that the job keeps of this run."""
        self.judge.set_repositories(self._compared)
        spent = self.spent()
        found = Outcome(
            counts={
                entity: {name: self.tallies[entity][name] for name in COUNTED}
                for entity in ENTITIES
                if entity in self.tallies
            },
            api=spent["api"],
            phases_seconds=spent["phases_seconds"],
            discrepancies=self.judge.by_type,
            verification=self.look.result(),
            failures=tuple(self.failures),
            plan=tuple(self._plan),
            accuracy=self.accuracy,
            listed_at=self.listed_at,
        )
        return replace(found, within=partial(self._ends, found))

    def _ends(self, outcome: Outcome, status: str, at: datetime) -> None:
        if status in (SyncJob.Status.SUCCEEDED, SyncJob.Status.PARTIAL):
            rechecks.done(self.answered)
        self.judge.close(at, listed=self.is_listed)
        self.trail.end(outcome, status, at)


def _sums(kept: Any) -> dict[str, float]:
    """What a job says that its earlier attempts used up, as far as these are numbers."""
    items = kept.items() if isinstance(kept, dict) else ()
    return {name: number for name, number in items if type(number) in (int, float) and number >= 0}
