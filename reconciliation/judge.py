"""The judge of a run: which differences are discrepancies, and how right the mirror was (R7.6, R9.1).

Hides what is told but not yet done, what is in flight, and how items of killed attempts are counted.
Stages report what they compared and what they found; the figures follow in the end.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final

from reconciliation import discrepancies, pending
from reconciliation.discrepancies import Finder, Open
from reconciliation.findings import REPOSITORIES, Finding, Identity, identity
from reconciliation.models import Discrepancy, RunFigure
from reconciliation.pending import Told
from syncsvc import clock, mirror
from syncsvc.models import SyncJob
from syncsvc.version import VERSION

_Write = Callable[[Sequence[Finding], Finder], None]

ORPHANS: Final = timedelta(days=1)
ORPHANS_AT_ONCE: Final = 200

ENTITIES: Final = ("repositories", "issues", "pull_requests", "commits")


@dataclass(slots=True)
class Figure:
    """What a run measured of one entity: see docs/accuracy.md for each word."""

    compared: int = 0
    matched: int = 0
    vouched: int = 0
    unknown: int = 0
    by_type: dict[str, int] = field(default_factory=dict)


class Judge:
    """Judges one run. Of a baseline nothing is a discrepancy, and there are no figures (R7.7)."""

    def __init__(self, job: SyncJob, *, baseline: bool, grace: timedelta) -> None:
        self._job = job
        self._grace = grace
        self.is_silent = baseline
        self._compared: Counter[str] = Counter()
        self._vouched: Counter[str] = Counter()
        self._unknown: Counter[str] = Counter()
        self._kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
        #: The wrong items, each with the repository that it is in.
        self._wrong: defaultdict[str, dict[Identity, int]] = defaultdict(dict)
        self._noted: set[tuple[Identity, str]] = set()
        self._left: set[tuple[Identity, str]] = set()
        self._settled: set[tuple[str, int]] = set()
        self._whole: set[tuple[str, int]] = set()
        self._right: set[int] = set()
        self.baseline_lists: set[tuple[str, int]] = set()
        #: Repositories that earlier attempts compared, and this one need not.
        self._before = 0

    # -- what stages report ------------------------------------------------------------------------

    def compared(self, entity: str, items: int, *, vouched: int = 0) -> None:
        """So many items were compared; of these, GitHub's counts and times vouched for `vouched`."""
        self._compared[entity] += items
        self._vouched[entity] += vouched

    def set_repositories(self, github_ids: Collection[int]) -> None:
        """These repositories were compared so far; all of them by value."""
        self._compared[REPOSITORIES] = self._before + len(github_ids)
        self._settled.update((REPOSITORIES, each) for each in github_ids)

    def list_compared(
        self,
        entity: str,
        repository_github_id: int,
        items: int,
        *,
        vouched: int,
        whole: bool = False,
    ) -> None:
        """A list of a repository is explained to its end; its first reading is its baseline."""
        if whole:
            self._whole.add((entity, repository_github_id))
        key = (entity, repository_github_id)
        # A batch that is written once more, after the database refused it, judges its lists again.
        if key in self.baseline_lists or key in self._settled:
            return
        self._settled.add(key)
        self.compared(entity, items, vouched=vouched)

    def unknown(self, entity: str, items: int) -> None:
        """Of so many items this run cannot tell whether they are right."""
        self._unknown[entity] += items

    def repaired(self, findings: Iterable[Finding]) -> None:
        """Takes what has just been repaired; to be called in the transaction of the repair."""
        found = list(findings)
        judged = self._judged(found)
        self._note(judged, discrepancies.repaired)
        counted = {each.item for each in judged}
        others = [each for each in found if each.item not in counted]
        if others and not self.is_silent and self.has_open:
            # Told by now, or in flight: yet what was found open before anybody told of it counts
            # when it is repaired, and ends with that.
            known = self._open_types
            late = [each for each in others if (each.item, str(each.kind)) in known]
            self._note(late, discrepancies.close)
            rest = [each for each in others if (each.item, str(each.kind)) not in known]
            discrepancies.close(rest, self.finder())

    def proposed(self, findings: Iterable[Finding]) -> None:
        """Takes what a dry run would repair."""
        self._note(self._judged(findings), discrepancies.proposed)

    def refused(self, findings: Iterable[Finding], reason: str) -> None:
        """Takes what could not be repaired; in flight or not, it is still wrong."""
        findings = list(findings)
        self._left.update((each.item, str(each.kind)) for each in findings)
        judged = self._judged(findings)
        self._note(judged, lambda found, finder: discrepancies.failed(found, finder, reason))

    def held(self, findings: Iterable[Finding]) -> None:
        """Takes what waits for a person: it is unknown, not wrong (R7.3)."""
        found = list(findings)
        discrepancies.hold(found, self.finder())
        self._noted.update((each.item, str(each.kind)) for each in found)

    def not_brought(self, findings: Iterable[Finding], reason: str) -> None:
        """Takes what verification found missing and reading it again did not bring: a fault of ours,
        and none of the accuracy that was measured before (R8.2)."""
        found = list(findings)
        finder = replace(self.finder(), detector=str(Discrepancy.Detector.VERIFICATION))
        discrepancies.failed(found, finder, reason)
        self._noted.update((each.item, str(each.kind)) for each in found)
        self._left.update((each.item, str(each.kind)) for each in found)

    def right(self, entity: str, items: Iterable[tuple[str, int]]) -> None:
        """These items, each a key and GitHub's id of its repository, were compared and are right: what
        was open of them has ended."""
        if self._open:
            for key, home in items:
                self._right.update(self._open_by_item.get(identity(entity, key, home), ()))

    @property
    def has_open(self) -> bool:
        """Whether anything of this account is open that may turn out to be right."""
        return bool(self._open)

    def finder(self) -> Finder:
        """On whose behalf rows are written now."""
        dry_run, audit = self._job.dry_run, self._job.mode == SyncJob.Mode.AUDIT
        detector = Discrepancy.Detector.DRY_RUN if dry_run else Discrepancy.Detector.RUN
        return Finder(
            installation_id=self._job.installation_id,
            job_id=self._job.pk,
            detector=str(Discrepancy.Detector.AUDIT if audit else detector),
            trigger=self._job.trigger,
            now=clock.now(),
        )

    # -- what is a discrepancy ---------------------------------------------------------------------

    def _judged(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those that no event had told of, and that are old enough for one to have come (R7.6)."""
        if self.is_silent:
            return []
        now = clock.now()
        candidates = [
            each
            for each in findings
            if not each.is_in_flight(now, self._grace)
            and (each.entity, each.repository_github_id) not in self.baseline_lists
        ]
        if not candidates:
            return []
        told = self._told | pending.told_of(
            self._job.installation, {each.repository_github_id for each in candidates}
        )
        return [
            each
            for each in candidates
            if not pending.is_told(told, each.entity, each.repository_github_id)
        ]

    @cached_property
    def _told(self) -> Told:
        """What an event had told of when the run began, and that waited to be read."""
        return pending.told_of(self._job.installation)

    def begin(self) -> None:
        """Looks at what waits now: the run itself is about to answer it."""
        if self.is_silent:
            return
        _ = self._told, self._open
        if self._job.mode == SyncJob.Mode.AUDIT:
            return  # what it finds stands in its own figures
        # What killed or blocked attempts of this job found wrong looks right by now, and counts.
        for entity, key, kind, home in discrepancies.of_run(self._job.pk):
            self._count(identity(entity, key, home), kind, home)

    @cached_property
    def _open(self) -> tuple[Open, ...]:
        return discrepancies.open_of(self._job.installation_id)

    @cached_property
    def _open_types(self) -> frozenset[tuple[Identity, str]]:
        return frozenset((each.item, each.kind) for each in self._open)

    @cached_property
    def _open_by_item(self) -> dict[Identity, list[int]]:
        found: defaultdict[Identity, list[int]] = defaultdict(list)
        for each in self._open:
            found[each.item].append(each.pk)
        return dict(found)

    def _ended(self, *, listed: bool) -> set[int]:
        """The open rows that are over: their items are right, or nowhere to be seen any more although
        the whole list was."""
        whole = listed and not self._unknown[REPOSITORIES]
        held = (
            mirror.present_ids(self._job.installation_id) if whole and self._open else frozenset()
        )
        wrong = self._noted | self._left
        return (
            self._right
            | self._ended_in_whole_lists()
            | {
                each.pk
                for each in self._open
                if (each.item, each.kind) not in wrong
                and whole
                # What is in a repository that has left nobody compares any more.
                and (each.entity == REPOSITORIES or each.repository_github_id not in held)
            }
        )

    def _ended_in_whole_lists(self) -> set[int]:
        wrong = self._noted | self._left
        return {
            each.pk
            for each in self._open
            if (each.entity, each.repository_github_id) in self._whole
            and (each.item, each.kind) not in wrong
        }

    def _note(self, found: Sequence[Finding], write: _Write) -> None:
        if not found:
            return
        write(found, self.finder())
        for each in found:
            self._count(each.item, str(each.kind), each.repository_github_id)

    def _count(self, item: Identity, kind: str, home: int) -> None:
        entity = item[0]
        self._wrong[entity][item] = home
        if (item, kind) not in self._noted:
            self._noted.add((item, kind))
            self._kinds[entity][kind] += 1

    # -- from attempt to attempt -------------------------------------------------------------------

    @property
    def homes_of_wrong(self) -> frozenset[int]:
        """GitHub's ids of the repositories in which something was found wrong so far."""
        return frozenset(home for wrong in self._wrong.values() for home in wrong.values())

    def state(self, entities: Collection[str], done: Container[int]) -> dict[str, Any]:
        """What was measured of these entities, for an attempt that need not do it again. `done` are
        the repositories, of those in which something was wrong, whose lists are done with."""
        figures = {}
        for entity in entities:
            apart = sum(
                (entity, home) not in self._settled and (entity == REPOSITORIES or home in done)
                for home in self._wrong[entity].values()
            )
            figures[entity] = {
                "compared": self._compared[entity] + apart,
                "vouched": self._vouched[entity],
                "unknown": self._unknown[entity],
            }
        mine = {each.pk for each in self._open if each.entity in entities}
        return {
            "figures": figures,
            "ended": sorted((self._right | self._ended_in_whole_lists()) & mine),
            "left": sorted([list(item), kind] for item, kind in self._left if item[0] in entities),
        }

    def restore(self, state: Mapping[str, Any], done: Container[int]) -> None:
        """Takes over what `state` said, after `begin`; `done` as there, from what is known now."""
        for entity, figures in state["figures"].items():
            self._compared[entity] += figures["compared"]
            self._vouched[entity] += figures["vouched"]
            self._unknown[entity] += figures["unknown"]
            if entity == REPOSITORIES:
                self._before = figures["compared"]
            # What was wrong there is among those compared.
            self._settled.update(
                (entity, home)
                for home in self._wrong[entity].values()
                if entity == REPOSITORIES or home in done
            )
        self._right.update(set(state["ended"]) & {each.pk for each in self._open})
        self._left.update(
            ((entity, key, home), kind) for (entity, key, home), kind in state["left"]
        )

    # -- the figures -------------------------------------------------------------------------------

    def figures(self) -> dict[str, Figure]:
        """What was measured so far, by entity; nothing of a baseline."""
        if self.is_silent:
            return {}
        found = {}
        for entity in ENTITIES:
            wrong = self._wrong[entity]
            # Those in lists that were not read to their end were compared all the same, and so were
            # repositories that an earlier attempt removed.
            apart = sum((entity, home) not in self._settled for home in wrong.values())
            compared = max(self._compared[entity] + apart, len(wrong))
            if compared or self._unknown[entity]:
                found[entity] = Figure(
                    compared=compared,
                    matched=compared - len(wrong),
                    vouched=min(self._vouched[entity], compared),
                    unknown=self._unknown[entity],
                    by_type=dict(self._kinds[entity]),
                )
        return found

    @property
    def by_type(self) -> dict[str, int]:
        """Discrepancies by type, of all entities."""
        total: Counter[str] = Counter()
        for kinds in self._kinds.values():
            total.update(kinds)
        return dict(total)

    @property
    def accuracy(self) -> float | None:
        """Matched / compared, before repair, of all entities; None when nothing was compared."""
        figures = self.figures().values()
        compared = sum(each.compared for each in figures)
        return sum(each.matched for each in figures) / compared if compared else None

    def close(self, at: datetime, *, listed: bool = False) -> None:
        """Writes the figures, in the transaction that ends the job (R9.1). `listed`: the list of
        repositories was whole."""
        if self.is_silent or self._job.dry_run or self._job.mode == SyncJob.Mode.AUDIT:
            return
        discrepancies.obsolete(self._ended(listed=listed), self.finder())
        RunFigure.objects.bulk_create(
            [
                RunFigure(
                    job=self._job,
                    installation_id=self._job.installation_id,
                    entity=entity,
                    at=at,
                    trigger=self._job.trigger,
                    mode=self._job.mode,
                    version=VERSION,
                    compared=figure.compared,
                    matched=figure.matched,
                    vouched=figure.vouched,
                    unknown=figure.unknown,
                    by_type=figure.by_type,
                )
                for entity, figure in self.figures().items()
            ],
            update_conflicts=True,
            unique_fields=["job", "entity"],
            update_fields=["at", "compared", "matched", "vouched", "unknown", "by_type"],
        )


def close_orphans(now: datetime) -> int:
    """Gives figures to jobs that ended while nobody held them (a worker that died for the last time):
    what they found wrong must count. Of what they found right nothing is known, and nothing counts.

    Returns how many figures were written.
    """
    since = now - ORPHANS
    found = Discrepancy.objects.filter(detected_at__gte=since, detector=Discrepancy.Detector.RUN)
    jobs = SyncJob.objects.filter(
        pk__in=found.values("correlation_id"), finished_at__isnull=False, figures__isnull=True
    ).exclude(mode=SyncJob.Mode.AUDIT)
    written = 0
    newest = jobs.select_related("installation").defer("plan").order_by("-finished_at")
    for job in newest[:ORPHANS_AT_ONCE]:
        judge = Judge(job, baseline=False, grace=timedelta(0))
        judge.begin()
        judge.close(job.finished_at or now)
        written += len(judge.figures())
    return written
