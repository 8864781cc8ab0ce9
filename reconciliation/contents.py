"""The stage of a run that reads what repositories hold: issues, pull requests, commits (R5.5).

One look at each repository tells which of its lists changed; only those are read, many repositories
in a request. Rows stream through compare and write in batches, so that memory does not grow with the
account; a list's own mark moves on only after its rows are written, so that a run which is killed or
blocked goes on where it was. One repository's failure is noted and tried again by itself (R5.6).
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, timedelta
from typing import Final

import structlog
from django.db import DataError, IntegrityError

from reconciliation import absent_items, content_diff
from reconciliation.lists import Judgement, ListRun, Subject
from reconciliation.needs import Facts, Known, Need, Rules, Wait, again, need
from reconciliation.run import Run
from syncsvc import content_lists, contents, daily_metrics
from syncsvc.content_lists import Failed, ListKey, Settled
from syncsvc.content_plan import Item, Key, item_of
from syncsvc.daily_metrics import Look
from syncsvc.github.errors import GitHubError
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import ContentPage, Entity, Failure
from syncsvc.models import ContentList, Installation, Repository, SyncJob

log = structlog.get_logger(__name__)

CHUNK: Final = 500
BATCH: Final = 1000
WRITE_SECONDS: Final = 2.0
STAGE: Final = "reading contents"

WORDS: Final = {
    Entity.ISSUES: "issues",
    Entity.PULL_REQUESTS: "pull requests",
    Entity.COMMITS: "commits",
}
#: The permission of a GitHub App that each list needs, by GitHub's name and as GitHub shows it.
_PERMISSIONS: Final = {
    Entity.ISSUES: ("issues", "Issues"),
    Entity.PULL_REQUESTS: ("pull_requests", "Pull requests"),
    Entity.COMMITS: ("contents", "Contents"),
}
_GOLDEN: Final = 2_654_435_761  # Knuth's multiplier: spreads consecutive keys over 32 bits


def read_contents(run: Run, only: int | None = None) -> None:
    """Reads what the installation's repositories hold, or the one with this id of GitHub's.

    Raises `GitHubError` for what concerns everything, `Cancelled` and `LeaseLost`.
    """
    subjects = _subjects(run, only)
    wanted = _permitted(run)
    done = 0
    for start in range(0, len(subjects), CHUNK):
        chunk = _Chunk(run, subjects[start : start + CHUNK], wanted, done, len(subjects))
        chunk.read()
        done += CHUNK


def _subjects(run: Run, only: int | None) -> list[Subject]:
    rows = Repository.objects.filter(
        installation_id=run.job.installation_id,
        status__in=content_lists.READ,
        name_is_current=True,
        missing_since__isnull=True,  # the list lacked it, and the run has said so already
    ).order_by("pk")
    if only is not None:
        rows = rows.filter(github_id=only)
    names = ("pk", "github_id", "node_id", "full_name")
    return [
        Subject(pk=pk, github_id=github_id, node_id=node_id, full_name=full_name)
        for pk, github_id, node_id, full_name in rows.values_list(*names)
    ]


def _permitted(run: Run) -> tuple[Entity, ...]:
    """The lists that the App may read; one that it may not is one failure, not one a repository."""
    granted = run.job.installation.permissions
    if run.job.installation.mode != Installation.Mode.APP or not granted:
        return tuple(Entity)
    missing = [each for each in Entity if _PERMISSIONS[each][0] not in granted]
    for entity in missing:
        run.failed(
            run.job.installation.account_login,
            f"read {WORDS[entity]}",
            "authentication",
            f"The GitHub App may not read {WORDS[entity]}: grant it the repository permission "
            f"{_PERMISSIONS[entity][1]}: read, and approve that for the account.",
            entity,
        )
    return tuple(each for each in Entity if each not in missing)


def _rules(run: Run) -> Rules:
    settings = run.lease.settings
    return Rules(
        now=run.context.now,
        overlap=timedelta(seconds=settings.overlap_seconds),
        whole_after=timedelta(hours=settings.full_read_hours),
        commit_limit=settings.commit_limit,
        everything=run.job.mode == SyncJob.Mode.REPO,
        windows=run.job.mode == SyncJob.Mode.INCREMENTAL,
        patient=run.job.trigger != SyncJob.Trigger.MANUAL and run.job.mode != SyncJob.Mode.REPO,
    )


def _known(row: ContentList | None, present: int) -> Known:
    if row is None:
        return Known(present=present)
    return Known(
        present=present,
        count=row.count,
        mirrored=row.mirrored,
        unreadable=row.unreadable,
        latest_at=row.latest_at,
        head_sha=row.head_sha,
        item_limit=row.item_limit,
        read_at=row.read_at,
        whole_at=row.whole_at,
        failures=row.failures,
        retry_at=row.retry_at,
    )


def facts_of(seen: RepositoryOverview, entity: Entity) -> Facts:
    """What one look at a repository says of one of its lists."""
    if entity is Entity.ISSUES:
        return Facts(count=seen.issues, latest_at=seen.latest_issue_at)
    if entity is Entity.PULL_REQUESTS:
        return Facts(count=seen.pull_requests, latest_at=seen.latest_pull_request_at)
    return Facts(count=seen.commits, head_sha=seen.head_oid)


class _Chunk:
    """Some hundred repositories: what has to be read of them, and how far that is."""

    def __init__(
        self,
        run: Run,
        subjects: Sequence[Subject],
        wanted: tuple[Entity, ...],
        done: int,
        total: int,
    ) -> None:
        self._run = run
        self._subjects = {each.node_id or each.full_name: each for each in subjects}
        self._wanted = wanted
        self._rules = _rules(run)
        self._done, self._total = done, total
        self._seen: dict[int, RepositoryOverview] = {}
        self._open: dict[int, int] = {}
        self._present: dict[ListKey, int] = {}
        self._rows: defaultdict[Entity, list[Item]] = defaultdict(list)
        self._waiting = 0
        self._written_at = time.monotonic()
        self._ended: list[ListRun] = []
        self._failed: list[Failed] = []
        self._again: list[ListRun] = []
        self._lacking: list[ListRun] = []
        self._by_item: dict[tuple[int, Entity], ListRun] = {}

    def read(self) -> None:
        """Looks, reads what changed, and writes the day's figures."""
        self._progress("")
        for _ in self._run.timed("fetch", self._look()):
            pass
        work = self._needed()
        self._flush()
        self._follow(work)
        self._follow([self._successor(each) for each in self._again])
        self._measure()

    def _measure(self) -> None:
        """Writes the day's figures of what was seen (R5.4)."""
        run = self._run
        looks = {
            pk: Look(
                commits=seen.commits,
                languages=seen.languages,
                has_ci=seen.has_ci,
                has_tests=seen.has_tests,
            )
            for pk, seen in self._seen.items()
        }
        with run.phase("update"), run.lease.writing():
            counted = daily_metrics.write(looks, run.context.now, dry_run=run.job.dry_run)
        run.tally("repository_metrics", **asdict(counted))

    # --- what has to be read ----------------------------------------------------------------------

    def _look(self) -> Iterator[None]:
        # Languages, CI and tests cost a point for a hundred repositories and many bytes: once a day.
        pks = [each.pk for each in self._subjects.values()]
        today = self._run.context.now.astimezone(UTC).date()
        detailed = not daily_metrics.all_measured(pks, today)
        pairs = [(key, each.full_name) for key, each in self._subjects.items()]
        for found in self._run.contents.overview(pairs, details=detailed):
            subject = self._subjects[found.node_id]
            if isinstance(found, RepositoryOverview):
                self._seen[subject.pk] = found
            else:
                for entity in self._wanted:
                    self._fail(subject, entity, found.error)
            self._progress(subject.full_name)
            yield

    def _needed(self) -> list[ListRun]:
        run, pks = self._run, list(self._seen)
        with run.phase("compare"):
            known = content_lists.read(pks)
            self._present = contents.counts(pks)
        work: list[ListRun] = []
        for subject in self._subjects.values():
            seen = self._seen.get(subject.pk)
            if seen is None:
                continue
            for entity in self._wanted:
                key = (subject.pk, entity)
                before = _known(known.get(key), self._present.get(key, 0))
                facts = facts_of(seen, entity)
                found = need(entity, before, facts, self._rules, _spread(subject.pk))
                if isinstance(found, Need):
                    work.append(
                        ListRun(
                            subject=subject, entity=entity, need=found, facts=facts, known=before
                        )
                    )
                elif isinstance(found, Wait):
                    self._still_waits(subject, entity, known[key])
                else:
                    run.tally(entity, unchanged=before.present)
        for each in work:
            self._open[each.subject.pk] = self._open.get(each.subject.pk, 0) + 1
        self._done += len(self._subjects) - len(self._open)
        return work

    def _still_waits(self, subject: Subject, entity: Entity, row: ContentList) -> None:
        self._run.failed(
            subject.full_name,
            f"read {WORDS[entity]}",
            row.error_category,
            f"Its {WORDS[entity]} could not be read ({row.failures} times so far): {row.error} "
            f"Next attempt at {row.retry_at:%Y-%m-%d %H:%M} UTC.",
            entity,
        )

    def _successor(self, part: ListRun) -> ListRun:
        """The whole list, after a part of it did not explain GitHub's count."""
        return ListRun(
            subject=part.subject,
            entity=part.entity,
            need=again(part.entity, self._rules),
            facts=part.facts,
            known=part.known,
            changed=part.changed,
        )

    # --- reading ----------------------------------------------------------------------------------

    def _follow(self, work: Sequence[ListRun]) -> None:
        """Reads the lists, page by page, and judges each at its end."""
        if not work:
            return
        run = self._run
        by_reading = {each.reading: each for each in work}
        self._by_item = {(each.subject.pk, each.entity): each for each in work}
        self._written_at = time.monotonic()
        try:
            for page in run.timed("fetch", run.contents.contents(list(by_reading))):
                if page.reading is None:
                    continue
                current = by_reading[page.reading]
                if isinstance(page, Failure):
                    self._fail(current.subject, current.entity, page.error)
                    self._closed(current)
                else:
                    self._take(current, page)
                late = time.monotonic() - self._written_at >= WRITE_SECONDS
                if self._waiting >= BATCH or late:
                    self._flush()
                self._progress(current.subject.full_name)
        finally:
            # Also after an error: what came before it is true and kept.
            self._flush()
        self._settle_lacking()

    def _take(self, current: ListRun, page: ContentPage) -> None:
        run = self._run
        for bad in page.bad:
            run.failed(
                f"{current.subject.full_name} {bad.github_id or bad.index}",
                f"read {WORDS[current.entity]}",
                "validation",
                f"GitHub's record cannot be read: {bad.field or 'it'} is {bad.reason}.",
                current.entity,
            )
        items = [item_of(row, current.subject.pk) for row in page.rows]
        current.take(page, items)
        self._rows[current.entity] += items
        self._waiting += len(items)
        if not page.more:
            self._ended.append(current)
            self._closed(current)

    def _closed(self, current: ListRun) -> None:
        pk = current.subject.pk
        self._open[pk] -= 1
        if not self._open[pk]:
            self._done += 1

    def _fail(self, subject: Subject, entity: Entity, error: GitHubError) -> None:
        sentence = error.sentence
        self._failed.append(
            Failed(
                repository_id=subject.pk, entity=entity, category=error.category, sentence=sentence
            )
        )
        self._run.failed(
            subject.full_name,
            f"read {WORDS[entity]}",
            error.category,
            f"Its {WORDS[entity]} could not be read: {sentence}",
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

    # --- writing ----------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Writes what has come, then judges the lists that have ended; all of it or nothing."""
        rows, self._rows = self._rows, defaultdict(list)
        ended, self._ended = self._ended, []
        failed, self._failed = self._failed, []
        self._waiting, self._written_at = 0, time.monotonic()
        for entity, items in rows.items():
            self._write(entity, items)
        if not ended and not failed:
            return
        present = self._now_present(ended)
        settled: list[Settled] = []
        for each in ended:
            count = present.get((each.subject.pk, each.entity), 0)
            if each.need.whole and count != len(each.keys):
                self._lacking.append(each)
            elif each.judged(count) is Judgement.EXPLAINED:
                settled.append(each.settled(count))
                self._unchanged(each)
            else:
                self._again.append(each)
        self._note(settled, failed)

    def _note(self, settled: Sequence[Settled], failed: Sequence[Failed] = ()) -> None:
        run = self._run
        if not run.job.dry_run and (settled or failed):
            with run.phase("update"), run.lease.writing():
                content_lists.settle(settled, run.context.now)
                content_lists.fail(failed, run.context.now)

    def _write(self, entity: Entity, items: Sequence[Item]) -> None:
        run = self._run
        with run.phase("compare"):
            mine = contents.read(entity, [item.key for item in items])
            compared = content_diff.compare(items, mine, run.context.now)
        for item in compared.created:
            self._by_item[item.repository_id, entity].new.add(item.key)
        for item in compared.updated:
            current = self._by_item[item.repository_id, entity]
            known = mine[item.key]
            (current.changed if known.present else current.new).add(item.key)
        if run.job.dry_run:
            run.tally(entity, created=len(compared.created), updated=len(compared.updated))
            for item in compared.changes:
                before, after = content_diff.difference(item, mine.get(item.key))
                run.proposed_item(
                    entity, "update" if before else "create", _name(item), before, after
                )
            return
        with run.phase("update"):
            self._carry_out(entity, compared.changes)
        self._verify(entity, items)

    def _carry_out(self, entity: Entity, items: Sequence[Item]) -> None:
        """Writes a batch; one that the database refuses is halved until what it cannot take is alone."""
        if not items:
            return
        run = self._run
        try:
            with run.lease.writing():
                written = contents.write(entity, items, run.author)
        except (IntegrityError, DataError) as error:
            if len(items) == 1:
                log.warning("contents.refused", item=_name(items[0]), error=str(error))
                run.failed(
                    _name(items[0]),
                    "write",
                    "validation",
                    "The database cannot hold what GitHub says.",
                    entity,
                )
                return
            middle = len(items) // 2
            self._carry_out(entity, items[:middle])
            self._carry_out(entity, items[middle:])
            return
        run.tally(entity, created=written.created, updated=written.updated)

    def _verify(self, entity: Entity, items: Sequence[Item]) -> None:
        """Looks back: is everything there that GitHub showed (R8.1)?"""
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

    def _now_present(self, ended: Sequence[ListRun]) -> dict[ListKey, int]:
        if self._run.job.dry_run:
            return {
                (each.subject.pk, each.entity): each.known.present + len(each.new) for each in ended
            }
        with self._run.phase("verify"):
            return contents.counts({each.subject.pk for each in ended})

    # --- what whole lists lacked ------------------------------------------------------------------

    def _settle_lacking(self) -> None:
        """Finds out what became of the items that a whole list lacked, then settles it."""
        lacking, self._lacking = self._lacking, []
        explained = [each for each in lacking if absent_items.settle(self._run, each)]
        present = self._now_present(explained)
        settled = []
        for each in explained:
            settled.append(each.settled(present.get((each.subject.pk, each.entity), 0)))
            self._unchanged(each)
        self._note(settled)

    def _unchanged(self, each: ListRun) -> None:
        """Counts what was there before and still is, read or proven."""
        untouched = each.known.present - len(each.changed) - each.removed
        self._run.tally(each.entity, unchanged=max(0, untouched))

    def _progress(self, item: str) -> None:
        self._run.lease.progress(STAGE, min(self._done, self._total), self._total, item)


def _name(item: Item) -> str:
    return f"{WORDS[item.entity]} {_shown(item.key)}"


def _shown(key: Key) -> int | str:
    return key if isinstance(key, int) else key[1]


def _spread(pk: int) -> float:
    """A list's own place between 0 and 1, the same each time."""
    return (pk * _GOLDEN % 2**32) / 2**32
