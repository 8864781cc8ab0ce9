"""What one run knows and counts while it goes on; the conductor moves it, nothing else does."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import Any, Final, TypeVar

from reconciliation.diff import Context
from syncsvc import clock, connect
from syncsvc.connect import Connection
from syncsvc.github.client import GitHubClient, RepositorySource
from syncsvc.github.content_reader import ContentReader
from syncsvc.github.payloads import BadRecord
from syncsvc.github.rest_content import RestReader
from syncsvc.leases import Lease, Outcome
from syncsvc.mirror import Applied, Author
from syncsvc.models import EtagEntry, Installation, SyncJob
from syncsvc.plan import Change, Operation

Item = TypeVar("Item")

COUNTED: Final = ("created", "updated", "unchanged", "deleted", "errors")
ENTITIES: Final = ("repositories", "issues", "pull_requests", "commits", "repository_metrics")
PLAN_SHOWN: Final = 1000
FAILURES_SHOWN: Final = 200
MISSING_SHOWN: Final = 100


class Run:
    """The figures of a run. `seen` holds every repository id that the present listing named."""

    connection: Connection | None = None
    #: How many absent issues and pull requests were asked for by themselves.
    asked = 0

    def __init__(self, lease: Lease) -> None:
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
        self.author = Author(trigger=lease.job.trigger, job_id=lease.job.pk, now=now)
        self._started = time.monotonic()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._inside = 0.0
        self._tallies: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._counts = self._tallies["repositories"]
        self._kinds: Counter[str] = Counter()
        self._compared: set[int] = set()
        self._discrepant: set[int] = set()
        self._failures: list[dict[str, Any]] = []
        self._plan: list[dict[str, Any]] = []
        self._verification: dict[str, Any] = {}
        self._contents: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._missing: defaultdict[str, list[Any]] = defaultdict(list)
        self._listed = False
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
            self._counts["unchanged"] += 1
        else:
            self._note(change)
        return True

    def count_absent(self, github_id: int, change: Change | None) -> None:
        """Counts one repository that the mirror had and the listing lacked."""
        self._compared.add(github_id)
        if change is not None:
            self._note(change)

    def _note(self, change: Change) -> None:
        if change.is_discrepancy and not self.baseline:
            self._discrepant.add(change.github_id)
            self._kinds.update(str(kind) for kind in change.kinds)

    def applied(self, applied: Applied) -> None:
        """Counts what a batch changed."""
        self._counts["created"] += applied.created
        self._counts["updated"] += applied.updated
        self._counts["deleted"] += applied.deleted

    def tally(self, entity: str, **counts: int) -> None:
        """Adds to the figures of what repositories hold."""
        self._tallies[entity].update(counts)

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
                    "before": _plain(before or {}),
                    "after": _plain(after or {}),
                }
            )

    def proposed(self, changes: Sequence[Change]) -> None:
        """Counts and keeps what a dry run would change."""
        names = {
            Operation.CREATE: "created",
            Operation.UPDATE: "updated",
            Operation.DELETE: "deleted",
        }
        for change in changes:
            self._counts[names[change.operation]] += 1
            if len(self._plan) < PLAN_SHOWN:
                self._plan.append(
                    {
                        "operation": str(change.operation),
                        "github_id": change.github_id,
                        "repository": change.name,
                        "types": [str(kind) for kind in change.kinds],
                        "before": _plain(change.before),
                        "after": _plain(change.after),
                    }
                )

    def put_aside(self, records: Iterable[BadRecord]) -> None:
        """Notes records that could not be read; they are there, so they are not absent (P30)."""
        for record in records:
            if record.github_id is not None:
                self.seen.add(record.github_id)
            self.failed(
                str(record.github_id or f"record {record.index}"),
                "read",
                "validation",
                f"GitHub's record cannot be read: {record.field or 'it'} is {record.reason}.",
            )

    def failed(
        self,
        item: str,
        operation: str,
        category: str,
        message: str,
        entity: str = "repositories",
    ) -> None:
        """Notes something that went wrong without ending the run (R5.6)."""
        if any(
            known["item"] == item and known["operation"] == operation for known in self._failures
        ):
            return
        self._tallies[entity]["errors"] += 1
        if len(self._failures) < FAILURES_SHOWN:
            self._failures.append(
                {
                    "item": item,
                    "operation": operation,
                    "category": category,
                    "message": message,
                    "at": clock.now().isoformat(),
                }
            )

    @property
    def is_listed(self) -> bool:
        """Whether the list of repositories was read, and was whole."""
        return self._listed

    @property
    def has_failures(self) -> bool:
        """Whether something went wrong on the way."""
        return bool(self._failures)

    def listed_under(self, selection: str | None) -> None:
        """The listing itself says whether it is of all or of selected repositories, and says it
        later than discovery did."""
        if selection is None or selection == self.context.repository_selection:
            return
        self.context = replace(self.context, repository_selection=selection)
        if not self.job.dry_run:
            Installation.objects.filter(pk=self.context.installation_id).update(
                repository_selection=selection
            )

    def forgets_pages(self) -> None:
        """The next reading is unconditional."""
        self.client.flush()
        EtagEntry.objects.filter(installation=self.job.installation).delete()

    def listed_whole(self) -> None:
        """Says that the listing was whole: every repository it named was seen at this run's time."""
        self._listed = True

    def counted(self, entity: str, *, github: int, mirror: int) -> None:
        """Adds how many items GitHub and the mirror have in one list (R8.1)."""
        found = self._contents[entity]
        found["github"] += github
        found["mirror"] += mirror

    def looked_back(self, entity: str, written: int, missing: Sequence[Any]) -> None:
        """Adds what verification found of written items: those that are missing after all (R8.1)."""
        found = self._contents[entity]
        found["written"] += written
        found["missing"] += len(missing)
        self._missing[entity] = (self._missing[entity] + list(missing))[:MISSING_SHOWN]

    def verified(self, result: dict[str, Any]) -> None:
        """Keeps what verification found (R8.1)."""
        self._verification |= result

    # --- the end ----------------------------------------------------------------------------------

    @property
    def accuracy(self) -> float | None:
        """Matched / compared, before repair; None for the first run, and when the list was not whole."""
        if self.baseline or not self._compared or not self._listed:
            return None
        return 1 - len(self._discrepant) / len(self._compared)

    def outcome(self) -> Outcome:
        """Everything that the job keeps of this run."""
        total = time.monotonic() - self._started
        phases = ("fetch", "compare", "update", "verify")
        usage = self.connection.usage() if self.connection else {}
        return Outcome(
            counts={
                entity: {name: self._tallies[entity][name] for name in COUNTED}
                for entity in ENTITIES
                if entity in self._tallies
            },
            api={"requests": 0, "not_modified": 0, "graphql_points": 0} | usage,
            phases_seconds={name: round(self._seconds[name], 4) for name in phases}
            | {"total": round(total, 4)},
            discrepancies=dict(self._kinds),
            verification=self._verification | self._verified_contents(),
            failures=tuple(self._failures),
            plan=tuple(self._plan),
            accuracy=self.accuracy,
            listed_at=self.context.now if self._listed else None,
        )

    def _verified_contents(self) -> dict[str, Any]:
        if not self._contents:
            return {}
        names = ("github", "mirror", "written", "missing")
        return {
            "contents": {
                entity: {name: found[name] for name in names}
                | {
                    # More commits than are wanted may be left until the next whole reading.
                    "ok": not found["missing"]
                    and (
                        found["github"] == found["mirror"]
                        or (entity == "commits" and found["mirror"] > found["github"])
                    ),
                    "missing_ids": self._missing[entity],
                }
                for entity, found in self._contents.items()
            }
        }


def _plain(values: Any) -> dict[str, Any]:
    return {
        name: value.isoformat() if hasattr(value, "isoformat") else value
        for name, value in values.items()
    }
