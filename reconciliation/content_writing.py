"""Rows of issues, pull requests and commits on their way into the mirror, and the end of each list.

Hides batches: rows are compared and written some hundred at a time, and a list is judged and its mark
moved on only after the last of its rows is there.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import structlog
from django.db import DataError, IntegrityError

from reconciliation import absent_items, content_diff
from reconciliation.lists import Judgement, ListRun, Subject
from reconciliation.needs import wanted
from reconciliation.run import Run
from syncsvc import content_lists, contents, rechecks
from syncsvc.content_lists import Failed, ListKey, Settled
from syncsvc.content_plan import Item, Key, MirrorItem
from syncsvc.contents import Written
from syncsvc.github.errors import GitHubError
from syncsvc.github.reading import Entity
from syncsvc.models import SyncJob
from syncsvc.rechecks import Asked

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
            self._judged(ended)
            return
        with run.phase("update"):
            try:
                with run.lease.writing():
                    written = {name: self._write(name, items) for name, items in changes.items()}
                    self._note(self._judged(ended), failed)
            except (IntegrityError, DataError):
                # One of the rows cannot be written: each kind by itself, then halved.
                for entity, items in changes.items():
                    self._write_apart(entity, items)
                with run.lease.writing():
                    self._note(self._judged(ended), failed)
            else:
                for entity, done in written.items():
                    run.tally(entity, created=done.created, updated=done.updated)
        for entity, items in changes.items():
            self._look_back(entity, items)

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
            # Else it moved twice while it was read: its mark stays, so that the next run reads it.
        return settled

    def settle_lacking(self) -> None:
        """Finds out what became of the items that whole lists lacked, then settles these lists."""
        run = self._run
        lacking, self._lacking = self._lacking, []
        known = [each for each in lacking if absent_items.settle(run, each)]
        present = self._present(known)
        settled: list[Settled] = []
        for each in known:
            count = present.get((each.subject.pk, each.entity), 0)
            if each.judged(count) is Judgement.EXPLAINED:
                settled.append(self._settled(each, count))
            elif not each.second:
                self.again.append(each)
        if settled and not run.job.dry_run:
            with run.phase("update"), run.lease.writing():
                self._note(settled, ())

    # --- rows -------------------------------------------------------------------------------------

    def _compared(self, entity: Entity, items: Sequence[Item]) -> tuple[Item, ...]:
        """What of these has to be written."""
        if not items:
            return ()
        run = self._run
        with run.phase("compare"):
            mine = contents.read(entity, {item.key for item in items})
            compared = content_diff.compare(items, mine, run.context.now)
        for item in compared.changes:
            current = self._by_item[item.repository_id, entity]
            known = mine.get(item.key)
            noted = current.changed if known is not None and known.present else current.new
            if run.job.dry_run and item.key not in noted:
                self._propose(item, known)
            noted.add(item.key)
        self._ask_again(compared.unsure)
        return compared.changes

    def _ask_again(self, unsure: Iterable[Item]) -> None:
        """A webhook of the same second came between reading and writing: read once more (R6.3)."""
        run = self._run
        subjects = [self._by_item[item.repository_id, item.entity].subject for item in unsure]
        if not subjects or run.job.dry_run:
            return
        asked = [
            Asked(github_id=each.github_id, full_name=each.full_name, reason="tie")
            for each in subjects
        ]
        trigger = SyncJob.Trigger.WEBHOOK
        rechecks.ask(run.job.installation_id, asked, trigger=trigger, now=run.context.now)

    def _propose(self, item: Item, known: MirrorItem | None) -> None:
        before, after = content_diff.difference(item, known)
        operation = "create" if known is None else "update"
        self._run.tally(item.entity, **{f"{operation}d": 1})
        self._run.proposed_item(item.entity, operation, _name(item), before, after)

    def _write(self, entity: Entity, items: Sequence[Item]) -> Written:
        return contents.write(entity, items, self._run.author)

    def _write_apart(self, entity: Entity, items: Sequence[Item]) -> None:
        """Writes a batch; one that the database refuses is halved until what it cannot take is alone."""
        if not items:
            return
        run = self._run
        try:
            with run.lease.writing():
                written = self._write(entity, items)
        except (IntegrityError, DataError) as error:
            if len(items) == 1:
                log.warning("contents.refused", item=_name(items[0]), error=str(error))
                sentence = "The database cannot hold what GitHub says."
                run.failed(_name(items[0]), "write", "validation", sentence, entity)
                self._by_item[items[0].repository_id, entity].refused += 1
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
            missing = contents.missing(entity, {item.key for item in items})
        run.looked_back(entity, len(items), [_shown(key) for key in missing])
        if missing:
            run.failed(
                f"{len(missing)} {WORDS[entity]}",
                "verify",
                "validation",
                f"Verification found {len(missing)} {WORDS[entity]} missing after they were written.",
                entity,
            )

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
        untouched = each.known.present - len(each.changed) - len(each.removed)
        self._run.tally(each.entity, unchanged=max(0, untouched))
        limit = self._run.lease.settings.commit_limit
        expected = wanted(each.entity, each.facts.count, limit)
        self._run.counted(each.entity, github=expected, mirror=present)
        return settled

    def _note(self, settled: Sequence[Settled], failed: Sequence[Failed]) -> None:
        content_lists.settle(settled, self._run.context.now)
        content_lists.fail(failed, self._run.context.now)


def _name(item: Item) -> str:
    return f"{WORDS[item.entity]} {_shown(item.key)}"


def _shown(key: Key) -> int | str:
    return key if isinstance(key, int) else key[1]
