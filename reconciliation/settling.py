"""What GitHub says of repositories, compared with the mirror and carried out: batch by batch.

Hides races and what the database refuses: a row that somebody else wrote meanwhile is compared again,
one that cannot be written is set aside.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from reconciliation import evidence, poison
from reconciliation.diff import Doubt, compare, compare_absent
from reconciliation.findings import Finding, of_change
from reconciliation.run import Run
from syncsvc import clock, content_lists, mirror
from syncsvc.github.payloads import RepositoryRow
from syncsvc.plan import Change, MirrorRepository, Operation

log = structlog.get_logger(__name__)

RACES: Final = 3
RACED: Final = "Somebody else kept writing it: left for the next run."


def settle(run: Run, rows: Sequence[RepositoryRow]) -> None:
    """Compares a batch with the mirror and carries the changes out."""
    fresh = {row.github_id: row for row in rows if not _is_foreign(run, row)}
    changes: list[Change] = []
    with run.phase("compare"):
        mine = mirror.read(fresh)
        context = replace(run.context, seen_at=clock.now())
        for github_id, row in fresh.items():
            try:
                verdict = compare(row, mine.get(github_id), context)
                if isinstance(verdict, Doubt):
                    verdict = _ask(run, row, mine[github_id])
            except Exception as error:  # noqa: BLE001  (whatever one row does is its own trouble)
                poison.put_aside(run, row.full_name, "compare", error)
                verdict = Doubt(github_id=github_id, full_name=row.full_name)
            if isinstance(verdict, Doubt):
                run.count_doubt(github_id)
                continue
            first_sight = run.count_seen(github_id, verdict)
            if verdict is not None and (first_sight or not run.job.dry_run):
                changes.append(verdict)
    apply(run, changes, fresh)
    if changes:
        run.lease.progress(
            "reading repositories", len(run.seen), run.lease.job.total, changes[-1].name
        )


def _is_foreign(run: Run, row: RepositoryRow) -> bool:
    """Another account's repository is never claimed, whatever list it stands in."""
    if row.owner_id in (None, run.context.account_id):
        return False
    run.seen.add(row.github_id)
    run.failed(
        row.full_name,
        "read",
        "validation",
        "It stands in this account's list and belongs to another.",
    )
    return True


def _ask(run: Run, row: RepositoryRow, mine: MirrorRepository) -> Change | Doubt | None:
    """The list is older than the mirror: the repository itself has the last word. Where it says
    nothing, the doubt stays."""
    answer = evidence.ask(run.client, mine)
    if not isinstance(answer, RepositoryRow):
        run.failed(
            row.full_name, "confirm", "unknown", "Its own page could not be read: left as it was."
        )
        return Doubt(github_id=row.github_id, full_name=row.full_name)
    if answer.owner_id not in (None, run.context.account_id):
        # It moved to somebody else while we read: their run has the word, if it is theirs already.
        ours = mine.installation_id == run.context.installation_id
        return compare_absent(mine, answer, run.context) if ours else None
    verdict = compare(answer, mine, run.context, proven=True)
    return verdict if isinstance(verdict, Change) else None


def apply(run: Run, changes: Sequence[Change], rows: dict[int, RepositoryRow]) -> None:
    """Writes the changes; those that lost a race are compared again with what is there now."""
    if run.job.dry_run:
        run.proposed(changes)
        with run.lease.writing():
            run.judge.proposed(_findings(run, changes))
        return
    with run.phase("update"):
        for _ in range(RACES):
            if not changes:
                return
            changes = _compared_again(run, _write(run, changes), rows)
    for change in changes:
        run.failed(change.name, "update", "database", RACED)
    if changes:
        with run.lease.writing():
            run.judge.refused(_findings(run, changes), RACED)


def _compared_again(
    run: Run, lost: Sequence[Change], rows: dict[int, RepositoryRow]
) -> list[Change]:
    """What is still to be done for changes that lost a race, by what the mirror says now."""
    mine = mirror.read([change.github_id for change in lost])
    again: list[Change] = []
    for change in lost:
        row, now = rows.get(change.github_id), mine.get(change.github_id)
        verdict: Change | Doubt | None = None
        if row is not None:
            verdict = compare(row, now, run.context)
            if isinstance(verdict, Doubt) and now is not None:
                verdict = _ask(run, row, now)
        elif now is not None and now.installation_id == run.context.installation_id:
            verdict = compare_absent(now, evidence.ask(run.client, now), run.context)
        if isinstance(verdict, Change):
            again.append(verdict)
    return again


def _write(run: Run, changes: Sequence[Change]) -> list[Change]:
    """Writes a batch; returns the changes whose rows somebody else wrote meanwhile.

    A batch that the database, or our own code, refuses is halved until the one that it cannot take
    stands alone.
    """
    try:
        with run.lease.writing():
            applied = mirror.apply(changes, run.author)
            done = [each for each in changes if each.github_id not in applied.conflicts]
            content_lists.forget([each.github_id for each in done if each.is_return])
            content_lists.forgive([each.github_id for each in done if each.is_move])
            run.judge.repaired(_findings(run, done))
            run.trail.changed([each for each in done if _is_counted(each)])
            lost = [each for each in changes if each.github_id in applied.conflicts]
            run.trail.changed(lost, result="conflict")
    except Exception as error:
        if not poison.is_poison(error):
            raise
        if len(changes) == 1:
            told = poison.put_aside(run, changes[0].name, "write", error)
            with run.lease.writing():
                run.judge.refused(_findings(run, changes), told)
                run.trail.changed(changes, result="failed", error=told)
            return []
        middle = len(changes) // 2
        return _write(run, changes[:middle]) + _write(run, changes[middle:])
    run.applied(applied)
    if applied.conflicts:
        log.warning("mirror.conflict", github_ids=sorted(applied.conflicts)[:100])
    return lost


def _is_counted(change: Change) -> bool:
    """Whether it says something of the repository; the rest is our own bookkeeping."""
    return bool(change.kinds) or change.operation is not Operation.UPDATE


def _findings(run: Run, changes: Sequence[Change]) -> list[Finding]:
    """What these changes end: differences between GitHub and the mirror."""
    return [
        found
        for change in changes
        if change.is_discrepancy
        for found in of_change(change, run.right_at)
    ]
