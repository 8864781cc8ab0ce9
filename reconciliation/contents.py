"""The stage of a run that reads what repositories hold: issues, pull requests, commits (R5.5).

One look at each repository tells which of its lists changed; only those are read, many repositories
in a request. Rows stream through compare and write in batches, so that memory does not grow with the
account; a list's own mark moves on only after its rows are written, so that a run which is killed or
blocked goes on where it was. One repository's failure is noted and tried again by itself (R5.6).
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC
from typing import Final

from reconciliation import content_subjects, poison, resuming
from reconciliation.content_writing import WORDS, Writing
from reconciliation.lists import ListRun, Subject
from reconciliation.needs import Need, Wait, again, is_waiting, need, wanted
from reconciliation.run import Run
from syncsvc import content_lists, contents, daily_metrics
from syncsvc.content_plan import Item, item_of
from syncsvc.daily_metrics import Look
from syncsvc.github.errors import GitHubError, NotFound
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import ContentPage, ContentRow, Entity, Failure
from syncsvc.models import ContentList

CHUNK: Final = 500
STAGE: Final = "reading contents"

_MEASURED: Final = (Entity.ISSUES, Entity.COMMITS)
_GOLDEN: Final = 2_654_435_761  # Knuth's multiplier: spreads consecutive keys over 32 bits


def read_contents(run: Run, only: Collection[int] | None = None) -> None:
    """Reads what the installation's repositories hold, or those with these ids of GitHub's.

    Raises `GitHubError` for what concerns everything, `Cancelled` and `LeaseLost`.
    """
    subjects, done = content_subjects.subjects(run, only)
    permitted = content_subjects.permitted(run)
    if only is None and not run.earlier.done_to:  # else an earlier attempt has told
        content_subjects.tell_unread(run, permitted)
    total = done + len(subjects)
    for start in range(0, len(subjects), CHUNK):
        part = subjects[start : start + CHUNK]
        _Chunk(run, part, permitted, done, total, is_kept=only is None).read()
        done += CHUNK


class _Chunk:
    """Some hundred repositories: what has to be read of them, and how far that is."""

    def __init__(
        self,
        run: Run,
        subjects: Sequence[Subject],
        wanted: tuple[Entity, ...],
        done: int,
        total: int,
        *,
        is_kept: bool,
    ) -> None:
        self._run = run
        #: Up to which primary key all is done with this chunk; None when nobody is to be told.
        self._done_to = subjects[-1].pk if is_kept else None
        self._subjects = {each.node_id or each.full_name: each for each in subjects}
        self._wanted = wanted
        self._rules = content_subjects.rules(run)
        self._done, self._total = done, total
        self._seen: dict[int, RepositoryOverview] = {}
        self._unseen: dict[Subject, GitHubError] = {}
        self._open: dict[int, int] = {}
        self._writing = Writing(run)

    def read(self) -> None:
        """Looks, reads what changed, and writes the day's figures."""
        self._run.earlier.look_at([each.pk for each in self._subjects.values()])
        self._look()
        self._tell_unseen()
        work = self._needed()
        self._writing.flush()
        self._follow(work)
        self._follow([self._successor(each) for each in self._writing.again])
        self._measure()

    # --- what has to be read ----------------------------------------------------------------------

    def _look(self) -> None:
        run = self._run
        # Languages, CI and tests cost a point for a hundred repositories and many bytes: once a day.
        pks = [each.pk for each in self._subjects.values()]
        today = run.context.now.astimezone(UTC).date()
        detailed = self._measurable and not daily_metrics.all_measured(pks, today)
        pairs = [(key, each.full_name) for key, each in self._subjects.items()]
        self._progress("")
        looks = run.contents.overview(pairs, details=detailed, entities=self._wanted)
        for found in run.timed("fetch", looks):
            subject = self._subjects[found.node_id]
            if isinstance(found, Failure):
                self._unseen[subject] = found.error
            elif found.github_id not in (None, subject.github_id):
                detail = f"{subject.full_name} is another repository by now"
                self._unseen[subject] = NotFound(detail=detail)
            else:
                self._seen[subject.pk] = found
            self._progress(subject.full_name)

    def _needed(self) -> list[ListRun]:
        """The lists that have to be read; of the others it is known that nothing changed."""
        run, pks = self._run, list(self._seen)
        with run.phase("compare"):
            known = content_lists.read(pks)
            present = contents.counts(pks, self._wanted)
        work: list[ListRun] = []
        for subject in self._subjects.values():
            seen = self._seen.get(subject.pk)
            if seen is None:
                continue
            for entity in self._wanted:
                row = known.get((subject.pk, entity))
                before = content_subjects.known(row, present.get((subject.pk, entity), 0))
                facts = content_subjects.facts_of(seen, entity)
                found = need(entity, before, facts, self._rules, _spread(subject.pk))
                if isinstance(found, Need):
                    work.append(
                        ListRun(
                            subject=subject,
                            entity=entity,
                            need=found,
                            facts=facts,
                            known=before,
                            vouched_at=run.vouched_at,
                        )
                    )
                elif isinstance(found, Wait) and row is not None:
                    self._still_waits(subject, entity, row)
                    run.judge.unknown(entity, before.present)
                else:
                    key = (subject.pk, entity)
                    written, removed = run.earlier.written(key), run.earlier.removed(key)
                    run.tally(entity, unchanged=max(0, before.present - written))
                    run.judge.list_compared(
                        entity,
                        subject.github_id,
                        before.present + removed,
                        vouched=before.present,
                    )
                    expected = wanted(entity, facts.count, self._rules.commit_limit)
                    run.look.counted(entity, github=expected, mirror=before.present)
        for each in work:
            self._open[each.subject.pk] = self._open.get(each.subject.pk, 0) + 1
            if each.is_baseline:
                run.judge.baseline_lists.add((each.entity, each.subject.github_id))
        self._done += len(self._subjects) - len(self._open)
        return work

    def _tell_unseen(self) -> None:
        """What could not even be looked at failed, unless it is not yet time to try it again."""
        pks = [each.pk for each in self._unseen]
        known = content_lists.read(pks)
        present = contents.counts(pks, self._wanted) if pks else {}
        for subject, error in self._unseen.items():
            for entity in self._wanted:
                self._run.judge.unknown(entity, present.get((subject.pk, entity), 0))
                row = known.get((subject.pk, entity))
                if row is not None and is_waiting(content_subjects.known(row, 0), self._rules):
                    self._still_waits(subject, entity, row)
                else:
                    self._writing.failed(subject, entity, error)

    def _still_waits(self, subject: Subject, entity: Entity, row: ContentList) -> None:
        self._run.failed(
            subject.full_name,
            f"read {WORDS[entity]}",
            row.error_category,
            f"Its {WORDS[entity]} could not be read, {row.failures} times so far: {row.error} "
            f"The next attempt is at {row.retry_at:%Y-%m-%d %H:%M} UTC.",
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
            new=part.new,
            changed=part.changed,
            removed=part.removed,
            second=True,
            vouched_at=part.vouched_at,
        )

    # --- reading ----------------------------------------------------------------------------------

    def _follow(self, work: Sequence[ListRun]) -> None:
        """Reads the lists, page by page; each is judged at its end."""
        if not work:
            return
        run, writing = self._run, self._writing
        by_reading = {each.reading: each for each in work}
        writing.expect(work)
        try:
            for page in run.timed("fetch", run.contents.contents(list(by_reading))):
                current = by_reading[page.reading]  # type: ignore[index]  # of contents, so of a reading
                if isinstance(page, Failure):
                    writing.failed(current.subject, current.entity, page.error)
                    run.judge.unknown(current.entity, current.known.present)
                else:
                    self._take(current, page)
                if isinstance(page, Failure) or not page.more:
                    self._closed(current)
                if writing.is_due:
                    writing.flush()
                self._progress(current.subject.full_name)
        finally:
            # Also after an error: what came before it is true and kept.
            writing.flush()
        writing.settle_lacking()

    def _take(self, current: ListRun, page: ContentPage) -> None:
        before = 0 if page.restarts else len(current.keys) + current.bad
        for bad in page.bad:
            where = bad.github_id or f"record {before + max(0, bad.index) + 1}"
            sentence = f"GitHub's record cannot be read: {bad.field or 'it'} is {bad.reason}."
            if self._run.failed(
                f"{current.subject.full_name} {where}",
                f"read {WORDS[current.entity]}",
                "validation",
                sentence,
                current.entity,
            ):
                self._run.skipped(current.entity, current.subject.pk, where, sentence)
        items: list[Item] = []
        poisoned: list[tuple[ContentRow, Exception]] = []
        for row in page.rows:
            try:
                items.append(item_of(row, current.subject.pk))
            except Exception as error:  # noqa: BLE001  (whatever one row does is its own trouble)
                poisoned.append((row, error))
        current.take(page, items)
        for row, trouble in poisoned:
            self._writing.refused(current, row, trouble)
        self._writing.add(current, items, ended=not page.more)

    def _closed(self, current: ListRun) -> None:
        """A repository is done with the last of its lists; one that is read again stays done."""
        left = self._open.get(current.subject.pk, 0) - 1
        self._open[current.subject.pk] = left
        self._done += left == 0

    # --- the day's figures ------------------------------------------------------------------------

    @property
    def _measurable(self) -> bool:
        """Whether all may be read that figures are made of."""
        return set(_MEASURED) <= set(self._wanted)

    def _measure(self) -> None:
        """Writes the day's figures of what was seen and read (R5.4): what was never read is not
        known, and no figure would be made of it but a wrong one. With that the chunk is done."""
        run = self._run
        if not self._measurable:
            with run.lease.writing():
                self._keep()
            return
        known = {
            key
            for key, row in content_lists.read(list(self._seen)).items()
            if row.count is not None
        }
        looks = {
            pk: Look(
                commits=seen.commits,
                languages=seen.languages,
                has_ci=seen.has_ci,
                has_tests=seen.has_tests,
            )
            for pk, seen in self._seen.items()
            if known.issuperset((pk, entity) for entity in _MEASURED)
        }
        with run.phase("update"):
            try:
                with run.lease.writing():
                    self._write_figures(looks)
                    self._keep()
            except Exception as error:
                if not poison.is_poison(error):
                    raise
                self._measure_apart(looks)
                with run.lease.writing():
                    self._keep()

    def _write_figures(self, looks: Mapping[int, Look]) -> None:
        run = self._run
        counted = daily_metrics.write(looks, run.context.now, dry_run=run.job.dry_run)
        run.tally("repository_metrics", **asdict(counted))

    def _measure_apart(self, looks: Mapping[int, Look]) -> None:
        """Writes the figures of each repository by itself: one cannot be had, the others can."""
        names = {each.pk: each.full_name for each in self._subjects.values()}
        for pk, look in looks.items():
            try:
                with self._run.lease.writing():
                    self._write_figures({pk: look})
            except Exception as error:  # noqa: BLE001  (whatever one repository does is its own trouble)
                poison.put_aside(self._run, names[pk], "measure", error, "repository_metrics")

    def _keep(self) -> None:
        """The chunk is done: another attempt need not look at it (R10.2)."""
        if self._done_to is not None:
            resuming.keep(self._run, self._done_to)

    def _progress(self, item: str) -> None:
        self._run.lease.progress(STAGE, min(self._done, self._total), self._total, item)


def _spread(pk: int) -> float:
    """A list's own place between 0 and 1, the same each time."""
    return (pk * _GOLDEN % 2**32) / 2**32
