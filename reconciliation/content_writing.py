"""Rows of issues, pull requests and commits on their way into the mirror, and the end of each list.

Hides batches: rows are compared and written some hundred at a time, and a list is judged and its mark
moved on only after the last of its rows is there.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog

from reconciliation import absent_items, content_diff, integrity, poison, resuming
from reconciliation.findings import Finding, key_of
from reconciliation.lists import Judgement, ListRun, Subject, found
from reconciliation.needs import wanted
from reconciliation.run import Run
from syncsvc import content_lists, contents, rechecks
from syncsvc.content_lists import Failed, ListKey, Settled
from syncsvc.content_plan import Item, Key, MirrorItem
from syncsvc.contents import Written
from syncsvc.github.content import CommitRow
from syncsvc.github.errors import GitHubError
from syncsvc.github.reading import ContentRow, Entity
from syncsvc.models import SyncJob
from syncsvc.rechecks import ITEMS, Asked

log = structlog.get_logger(__name__)

BATCH: Final = 1000
WRITE_SECONDS: Final = 2.0

WORDS: Final = {
    Entity.ISSUES: "issues",
    Entity.PULL_REQUESTS: "pull requests",
    Entity.COMMITS: "commits",
}


class Writing:
    """What has come of some repositories and is not yet written; `again` holds the lists of which
    only a part was read and that part does not explain GitHub's count."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.again: list[ListRun] = []
        self._by_item: dict[ListKey, ListRun] = {}
        self._rows: defaultdict[Entity, list[Item]] = defaultdict(list)
        self._waiting = 0
        self._written_at = time.monotonic()
        self._ended: list[ListRun] = []
        self._lacking: list[ListRun] = []
        self._failed: list[Failed] = []
        self._findings: dict[tuple[Entity, Key], Finding] = {}
        #: Of the rows that are being written those that the mirror lacked; what a dry run would do.
        self._unknown: defaultdict[Entity, set[Key]] = defaultdict(set)
        self._proposed: defaultdict[Entity, list[Item]] = defaultdict(list)

    def expect(self, work: Iterable[ListRun]) -> None:
        """Says which lists are about to be read."""
        self._by_item = {(each.subject.pk, each.entity): each for each in work}
        self._written_at = time.monotonic()

    def add(self, current: ListRun, items: Sequence[Item], *, ended: bool) -> None:
        """Takes a page of a list, and whether it was the last one."""
        self._rows[current.entity] += items
        self._waiting += len(items)
        if ended:
            self._ended.append(current)

    def refused(self, current: ListRun, row: ContentRow, error: Exception) -> None:
        """Takes a row that our own code cannot make an item of: it is there, so it is not absent, and
        its list goes on without it."""
        run, entity = self._run, current.entity
        key: Key = (current.subject.pk, row.sha) if isinstance(row, CommitRow) else row.github_id
        name = f"{current.subject.full_name} {_shown(key)}"
        told = poison.put_aside(run, name, f"read {WORDS[entity]}", error, entity)
        current.keys.add(key)
        current.refused += 1
        run.skipped(entity, current.subject.pk, _shown(key), told)

    def failed(self, subject: Subject, entity: Entity, error: GitHubError) -> None:
        """Takes a list that could not be read: it is told, kept and tried again later (R5.6)."""
        self._failed.append(
            Failed(
                repository_id=subject.pk,
                entity=entity,
                category=error.category,
                sentence=error.sentence,
            )
        )
        self._run.failed(
            subject.full_name,
            f"read {WORDS[entity]}",
            error.category,
            f"Its {WORDS[entity]} could not be read: {error.sentence}",
            entity,
        )
        log.warning(
            "contents.unreadable",
            repository=subject.full_name,
            entity=str(entity),
            kind=error.kind,
            status=error.status,
            detail=error.detail,
        )

    @property
    def is_due(self) -> bool:
        """Whether so much, or for so long, is waiting that it should be written."""
        late = time.monotonic() - self._written_at >= WRITE_SECONDS
        return self._waiting >= BATCH or (late and self._waiting > 0)

    def flush(self) -> None:
        """Writes what has come and judges the lists that have ended, all of it or nothing."""
        rows, self._rows = self._rows, defaultdict(list)
        ended, self._ended = self._ended, []
        failed, self._failed = self._failed, []
        self._waiting, self._written_at = 0, time.monotonic()
        changes = {entity: self._compared(entity, rows[entity]) for entity in Entity}
        if not any((ended, failed, *changes.values())):
            return
        run = self._run
        if run.job.dry_run:
            with run.lease.writing():
                for entity, items in changes.items():
                    run.judge.proposed(self._found(items))
                    self._noted(entity, self._proposed[entity], result="proposed")
            self._judged(ended)
            self._forget()
            return
        with run.phase("update"):
            try:
                with run.lease.writing():
                    written = {name: self._write(name, items) for name, items in changes.items()}
                    self._note(self._judged(ended), failed)
                    resuming.keep_fresh(run, ended)
            except Exception as error:
                if not poison.is_poison(error):
                    raise
                # One of the rows cannot be written: each kind by itself, then halved.
                for entity, items in changes.items():
                    self._write_apart(entity, items)
                with run.lease.writing():
                    self._note(self._judged(ended), failed)
                    resuming.keep_fresh(run, ended)
            else:
                for entity, done in written.items():
                    run.tally(entity, created=done.created, updated=done.updated)
        for entity, items in changes.items():
            self._look_back(entity, items)
        self._forget()

    def _forget(self) -> None:
        self._findings.clear()
        self._proposed.clear()
        self._unknown.clear()

    def _judged(self, ended: Sequence[ListRun]) -> list[Settled]:
        """The lists that are explained; the others are put where they are gone on with."""
        present = self._present(ended)
        settled: list[Settled] = []
        for each in ended:
            count = present.get((each.subject.pk, each.entity), 0)
            if each.need.whole and count != len(each.keys) - each.refused:
                self._lacking.append(each)
            elif each.judged(count) is Judgement.EXPLAINED:
                settled.append(self._settled(each, count))
            elif not each.second:
                self.again.append(each)
            else:
                # It moved twice while it was read: its mark stays, so that the next run reads it.
                self._run.judge.unknown(each.entity, each.known.present)
        return settled

    def settle_lacking(self) -> None:
        """Finds out what became of the items that whole lists lacked, then settles these lists."""
        run = self._run
        lacking, self._lacking = self._lacking, []
        known = []
        for each in lacking:
            if absent_items.settle(run, each):
                known.append(each)
            else:
                run.judge.unknown(each.entity, each.known.present)
        present = self._present(known)
        settled: list[Settled] = []
        for each in known:
            count = present.get((each.subject.pk, each.entity), 0)
            if each.judged(count) is Judgement.EXPLAINED:
                settled.append(self._settled(each, count))
            elif not each.second:
                self.again.append(each)
            else:
                run.judge.unknown(each.entity, each.known.present)
        if settled and not run.job.dry_run:
            with run.phase("update"), run.lease.writing():
                self._note(settled, ())
                resuming.keep_fresh(run, known)

    # --- rows -------------------------------------------------------------------------------------

    def _compared(self, entity: Entity, items: Sequence[Item]) -> tuple[Item, ...]:
        """What of these has to be written."""
        if not items:
            return ()
        run = self._run
        if run.look.is_resyncing:
            run.look.shown.update(item.key for item in items)
        with run.phase("compare"):
            mine = contents.read(entity, {item.key for item in items})
            try:
                compared = content_diff.compare(items, mine, run.context.now)
            except Exception as error:
                if not poison.is_poison(error):
                    raise
                items = self._comparable(items, mine)
                compared = content_diff.compare(items, mine, run.context.now)
        self._unknown[entity].update(item.key for item in compared.created)
        for item in compared.changes:
            current = self._by_item[item.repository_id, entity]
            known = mine.get(item.key)
            noted = current.changed if known is not None and known.present else current.new
            if run.job.dry_run and item.key not in noted:
                self._propose(item, known)
            noted.add(item.key)
            if not current.is_baseline:
                self._findings[entity, item.key] = found(current, item, known)
        if run.judge.has_open:
            wrong = {item.key for item in (*compared.changes, *compared.unsure)}
            right = [item for item in items if item.key not in wrong]
            homes = [self._by_item[item.repository_id, entity].subject for item in right]
            pairs = ((key_of(i.key), home.github_id) for i, home in zip(right, homes, strict=True))
            run.judge.right(entity, pairs)
        self._ask_again(compared.unsure)
        return compared.changes

    def _comparable(self, items: Sequence[Item], mine: Mapping[Key, MirrorItem]) -> Sequence[Item]:
        """The items without those that cannot be compared: these are put aside."""
        good: list[Item] = []
        for item in items:
            try:
                content_diff.compare([item], mine, self._run.context.now)
            except Exception as error:  # noqa: BLE001  (whatever one row does is its own trouble)
                self._put_aside(item, "compare", error)
            else:
                good.append(item)
        return good

    def _put_aside(self, item: Item, operation: str, error: Exception) -> None:
        """Takes an item that cannot be brought into the mirror: its list goes on without it."""
        run, entity = self._run, item.entity
        told = poison.put_aside(run, _name(item), operation, error, entity)
        self._by_item[item.repository_id, entity].refused += 1
        with run.lease.writing():
            run.judge.refused(self._found([item]), told)
            self._noted(entity, [item], result="failed", error=told)

    def _ask_again(self, unsure: Iterable[Item]) -> None:
        """A webhook of the same second came between reading and writing: read once more (R6.3)."""
        run = self._run
        subjects = [self._by_item[item.repository_id, item.entity].subject for item in unsure]
        if not subjects or run.job.dry_run:
            return
        asked = [
            Asked(github_id=each.github_id, full_name=each.full_name, reason="tie", told=ITEMS)
            for each in subjects
        ]
        trigger = SyncJob.Trigger.WEBHOOK
        rechecks.ask(run.job.installation_id, asked, trigger=trigger, now=run.context.now)

    def _propose(self, item: Item, known: MirrorItem | None) -> None:
        before, after = content_diff.difference(item, known)
        operation = "create" if known is None else "update"
        self._run.tally(item.entity, **{f"{operation}d": 1})
        self._run.proposed_item(item.entity, operation, _name(item), before, after)
        self._proposed[item.entity].append(item)

    def _write(self, entity: Entity, items: Sequence[Item]) -> Written:
        written = contents.write(entity, items, self._run.author)
        if written.passed_over:
            # A webhook told of these while they were read: we repaired nothing about them.
            kept = self._kept(entity, items)
            self._noted(entity, [item for item in items if item.key in kept], result="conflict")
            items = [item for item in items if item.key not in kept]
        self._run.judge.repaired(self._found(items))
        self._noted(entity, items)
        return written

    def _kept(self, entity: Entity, items: Sequence[Item]) -> set[Key]:
        """Which of these somebody else had written meanwhile, with newer data."""
        mine = contents.read(entity, {item.key for item in items})
        return {
            item.key
            for item in items
            if item.key not in mine or mine[item.key].values != item.values
        }

    def _noted(
        self, entity: Entity, items: Sequence[Item], *, result: str = "done", error: str = ""
    ) -> None:
        """Says in the trail what became of items (P7)."""
        unknown = self._unknown[entity]
        done: dict[str, list[tuple[int | None, object]]] = {"create": [], "update": []}
        for item in items:
            operation = "create" if item.key in unknown else "update"
            done[operation].append((item.repository_id, _shown(item.key)))
        for operation, pairs in done.items():
            self._run.trail.wrote(entity, operation, pairs, result=result, error=error)

    def _found(self, items: Sequence[Item]) -> list[Finding]:
        """What was wrong about these items, if that is a discrepancy at all."""
        known = (self._findings.get((item.entity, item.key)) for item in items)
        return [each for each in known if each is not None]

    def _write_apart(self, entity: Entity, items: Sequence[Item]) -> None:
        """Writes a batch; one that the database, or our own code, refuses is halved until what it
        cannot take is alone."""
        if not items:
            return
        run = self._run
        try:
            with run.lease.writing():
                written = self._write(entity, items)
        except Exception as error:
            if not poison.is_poison(error):
                raise
            if len(items) == 1:
                self._put_aside(items[0], "write", error)
                return
            middle = len(items) // 2
            self._write_apart(entity, items[:middle])
            self._write_apart(entity, items[middle:])
            return
        run.tally(entity, created=written.created, updated=written.updated)

    def _look_back(self, entity: Entity, items: Sequence[Item]) -> None:
        """Is everything there that was written (R8.1)?"""
        if not items:
            return
        run = self._run
        with run.phase("verify"):
            keys = {item.key for item in items}
            checked = integrity.check_written(
                entity, keys, run.look.integrity_issues, job_id=run.job.pk, now=run.context.now
            )
            lost = checked.present < len(keys)
            missing = set(contents.missing(entity, keys)) if lost else set()
        run.look.checked_rows(checked)
        run.look.looked_back(entity, len(items))
        for item in items:
            if item.key in missing:
                run.look.gaps[item.repository_id, entity].add(item.key)

    # --- lists ------------------------------------------------------------------------------------

    def _present(self, ended: Sequence[ListRun]) -> dict[ListKey, int]:
        if self._run.job.dry_run:
            return {
                (each.subject.pk, each.entity): each.known.present
                + len(each.new)
                - len(each.removed)
                for each in ended
            }
        if not ended:
            return {}
        with self._run.phase("verify"):
            return contents.counts(
                {each.subject.pk for each in ended}, {each.entity for each in ended}
            )

    def _settled(self, each: ListRun, present: int) -> Settled:
        settled = each.settled(present)
        written = self._run.earlier.written((each.subject.pk, each.entity))
        untouched = each.known.present - len(each.changed) - len(each.removed) - written
        self._run.tally(each.entity, unchanged=max(0, untouched))
        limit = self._run.lease.settings.commit_limit
        expected = wanted(each.entity, each.facts.count, limit)
        key = (each.subject.pk, each.entity)
        self._run.look.counted(each.entity, github=expected, mirror=present, of=key)
        if (
            each.need.whole
            and present < len(each.keys) - each.refused
            and not self._run.job.dry_run
        ):
            # The whole list showed more than there is, though all that differed was written.
            self._run.look.gaps[key].update(contents.missing(each.entity, each.keys))
        read = len(each.keys)
        self._run.judge.list_compared(
            each.entity,
            each.subject.github_id,
            each.extent + self._run.earlier.removed(key),
            vouched=max(0, each.extent - read),
            whole=each.need.whole,
        )
        return settled

    def _note(self, settled: Sequence[Settled], failed: Sequence[Failed]) -> None:
        content_lists.settle(settled, self._run.context.now)
        content_lists.fail(failed, self._run.context.now, self._run.job.installation_id)


def _name(item: Item) -> str:
    return f"{WORDS[item.entity]} {_shown(item.key)}"


def _shown(key: Key) -> int | str:
    return key if isinstance(key, int) else key[1]
