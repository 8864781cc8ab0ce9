"""The conductor of a run: what does GitHub say, what do we say, what is the difference (R5.5).

Every run is a reconciliation, the first one against an empty mirror. Pages stream through compare and
apply in batches, so memory stays bounded; nothing is concluded from what a listing lacks unless the
listing is whole and the repository itself was asked.
"""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final

import psycopg
import structlog
from django.db import DatabaseError, DataError, IntegrityError
from django.db import connection as database

from reconciliation import evidence, verification
from reconciliation.contents import read_contents
from reconciliation.diff import Doubt, Evidence, compare, compare_absent
from reconciliation.run import Run
from syncsvc import connect, discovery, mirror, scheduling
from syncsvc.connect import Connection
from syncsvc.github.errors import GitHubError, RateLimited
from syncsvc.github.listing import Listing
from syncsvc.github.payloads import RepositoryRow
from syncsvc.leases import Cancelled, Lease, LeaseLost
from syncsvc.models import Installation, SyncJob
from syncsvc.plan import Change, MirrorRepository

log = structlog.get_logger(__name__)

BATCH: Final = 2000
WRITE_SECONDS: Final = 2.0
RACES: Final = 3
# Of one repository these say nothing about the installation: a mistyped name opens no breaker.
ITEM_ERRORS: Final = frozenset({"not_found", "gone", "forbidden", "legally_blocked", "validation"})

Connect = Callable[[Installation, str], Connection]


def execute(
    lease: Lease, *, last_attempt: bool = False, to: Connect = connect.connection_for
) -> SyncJob:
    """Runs the job to its end, whatever that is, and returns it as it then stands.

    `last_attempt` says that nobody will retry: a failure is final. Raises nothing but what kills
    the process; an error that nobody foresaw ends the job as failed.
    """
    run = Run(lease)
    try:
        with (
            structlog.contextvars.bound_contextvars(
                job_id=str(lease.job.pk), installation_id=lease.job.installation_id
            ),
            lease.kept_alive(),
        ):
            _attempt(run, last_attempt=last_attempt, to=to)
    except LeaseLost:
        log.warning("sync.job.lease_lost", job_id=str(lease.job.pk))
        lease.job.refresh_from_db()
    except (KeyboardInterrupt, SystemExit):
        lease.hand_back()
        raise
    except DatabaseError:
        # Not even the failure could be written: the lease runs out and the sweeper takes over.
        log.exception("sync.job.database_error")
        return lease.job
    if lease.job.follow_up and not lease.job.is_active:
        scheduling.request_remembered()
    return lease.job


def _attempt(run: Run, *, last_attempt: bool, to: Connect) -> None:
    lease = run.lease
    try:
        with to(lease.job.installation, lease.job.trigger) as connection:
            run.connection = connection
            _conduct(run)
        lease.succeed(run.outcome())
    except Cancelled:
        lease.cancelled(run.outcome())
    except RateLimited as error:
        lease.block(error.until, "secondary_limit" if error.secondary else "budget", run.outcome())
    except GitHubError as error:
        item_only = lease.job.mode == SyncJob.Mode.REPO and error.kind in ITEM_ERRORS
        if connect.says_access_ended(error) and not item_only:
            discovery.recheck(lease.job.installation)
        lease.fail(
            run.outcome(),
            sentence=error.sentence,
            category=error.category,
            retryable=error.retryable,
            last=last_attempt,
            item_only=item_only,
        )
    except (DatabaseError, psycopg.Error):
        log.exception("sync.job.database_error")
        database.close()  # it may be dead, and the failure has to be written down
        _give_up(run, "database", "The database failed in the middle of the run.", last_attempt)
    except LeaseLost:
        raise
    except Exception:  # the job must end, whatever happened; the trace is logged, redacted
        log.exception("sync.job.crashed", trace=traceback.format_exc())
        database.close()
        _give_up(run, "unknown", "An error that nobody foresaw ended the run.", last_attempt)


def _give_up(run: Run, category: str, what: str, last_attempt: bool) -> None:
    sentence = f"{what} The log has the details under job {run.lease.job.pk}."
    run.lease.fail(
        run.outcome(), sentence=sentence, category=category, retryable=True, last=last_attempt
    )


def _conduct(run: Run) -> None:
    if run.job.mode == SyncJob.Mode.REPO:
        github_id = _read_one(run)
        if github_id is not None:
            read_contents(run, github_id)
        return
    _read_list(run)
    if run.job.mode != SyncJob.Mode.RECONCILE:
        read_contents(run)


# --- the repository list --------------------------------------------------------------------------


def _read_list(run: Run) -> None:
    listing = _stream(run)
    if not listing.complete:
        # Pages shift while they are read: what was seen is kept, and the list is read once more.
        log.info("listing.incomplete", reason=listing.incomplete_reason)
        run.forgets_pages()  # a page behind a 304 may remember a list of another length
        listing = _stream(run)
    if listing.complete:
        run.listed_under(listing.repository_selection)
        _settle_absent(run)
        run.listed_whole()
    else:
        run.failed(
            "repositories",
            "list",
            "validation",
            f"GitHub's list was not whole ({listing.incomplete_reason}): nothing was removed on its word.",
        )
    _verify(run, complete=listing.complete)


def _verify(run: Run, *, complete: bool) -> None:
    """Looks back; what is still wrong after a repair is a failure of the run (R8.1)."""
    with run.phase("verify"):
        run.lease.progress("verifying", len(run.seen), len(run.seen))
        result = verification.verify_repositories(run, complete=complete)
        run.verified(result)
    if result["ok"] is False and not run.job.dry_run:
        run.failed(
            "mirror",
            "verify",
            "validation",
            f"Verification found {result['missing']} repositories missing, {result['unexplained']} "
            f"unexplained and {len(result['integrity_issues'])} malformed after the repair.",
        )


def _stream(run: Run) -> Listing:
    """Reads the whole list, applying as it goes; the listing then knows whether it was whole."""
    run.starts_listing()
    run.lease.progress("reading repositories")
    waiting: list[RepositoryRow] = []
    written_at = time.monotonic()
    with run.client.list_repositories(run.source()) as listing:
        try:
            for page in run.timed("fetch", listing):
                run.put_aside(page.bad)
                waiting += page.rows
                # Few large writes where GitHub is fast, early ones where it is slow: a run that
                # is killed has then lost two seconds of work at most.
                if len(waiting) >= BATCH or time.monotonic() - written_at >= WRITE_SECONDS:
                    _settle(run, waiting)
                    waiting, written_at = [], time.monotonic()
                run.lease.progress(
                    "reading repositories", len(run.seen) + len(waiting), listing.total_count
                )
        finally:
            # Also after an error: what came before it is true and kept.
            if waiting:
                _settle(run, waiting)
    return listing


def _settle(run: Run, rows: Sequence[RepositoryRow]) -> None:
    """Compares a batch with the mirror and carries the changes out."""
    fresh = {row.github_id: row for row in rows if not _is_foreign(run, row)}
    changes: list[Change] = []
    with run.phase("compare"):
        mine = mirror.read(fresh)
        for github_id, row in fresh.items():
            verdict = compare(row, mine.get(github_id), run.context)
            if isinstance(verdict, Doubt):
                verdict = _ask(run, row, mine[github_id])
            first_sight = run.count_seen(github_id, verdict)
            if verdict is not None and (first_sight or not run.job.dry_run):
                changes.append(verdict)
    _apply(run, changes, fresh)
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


def _ask(run: Run, row: RepositoryRow, mine: MirrorRepository) -> Change | None:
    """The list is older than the mirror: the repository itself has the last word."""
    answer = evidence.ask(run.client, mine)
    if not isinstance(answer, RepositoryRow):
        run.failed(
            row.full_name, "confirm", "unknown", "Its own page could not be read: left as it was."
        )
        return None
    if answer.owner_id not in (None, run.context.account_id):
        # It moved to somebody else while we read: their run has the word, if it is theirs already.
        ours = mine.installation_id == run.context.installation_id
        return compare_absent(mine, answer, run.context) if ours else None
    verdict = compare(answer, mine, run.context, proven=True)
    return verdict if isinstance(verdict, Change) else None


def _apply(run: Run, changes: Sequence[Change], rows: dict[int, RepositoryRow]) -> None:
    """Writes the changes; those that lost a race are compared again with what is there now."""
    if run.job.dry_run:
        run.proposed(changes)
        return
    with run.phase("update"):
        for _ in range(RACES):
            if not changes:
                return
            changes = _compared_again(run, _write(run, changes), rows)
    for change in changes:
        run.failed(
            change.name,
            "update",
            "database",
            "Somebody else kept writing it: left for the next run.",
        )


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

    A batch that the database refuses is halved until the one that it cannot take stands alone.
    """
    try:
        with run.lease.writing():
            applied = mirror.apply(changes, run.author)
    except (IntegrityError, DataError) as error:
        if len(changes) == 1:
            log.warning("mirror.refused", github_id=changes[0].github_id, error=str(error))
            run.failed(
                changes[0].name, "write", "validation", "The database cannot hold what GitHub says."
            )
            return []
        middle = len(changes) // 2
        return _write(run, changes[:middle]) + _write(run, changes[middle:])
    run.applied(applied)
    if applied.conflicts:
        log.warning("mirror.conflict", github_ids=sorted(applied.conflicts)[:100])
    return [change for change in changes if change.github_id in applied.conflicts]


# --- what the list lacked -------------------------------------------------------------------------


def _settle_absent(run: Run) -> None:
    """Asks each repository that a whole listing lacked what became of it (R7.2)."""
    absent = sorted(mirror.present_ids(run.job.installation_id) - run.seen)
    for done, batch in enumerate(_batches(absent)):
        for number, mine in enumerate(mirror.read(batch).values()):
            run.lease.progress("checking absentees", done * BATCH + number, len(absent), mine.name)
            with run.phase("fetch"):
                answer = evidence.ask(run.client, mine)
            change = compare_absent(mine, answer, run.context)
            run.count_absent(mine.github_id, change)
            run.explained.add(mine.github_id)
            if answer is Evidence.UNAVAILABLE or (answer is Evidence.BLOCKED and change):
                run.failed(
                    f"{mine.owner}/{mine.name}",
                    "verify",
                    "network" if answer is Evidence.UNAVAILABLE else "unknown",
                    "GitHub's list lacked it and its own page did not say what became of it: left as it was.",
                )
            # Written at once: what cost a request survives a limit, a cancel and a kill.
            _apply(run, [change] if change is not None else [], {})


# --- one repository -------------------------------------------------------------------------------


def _read_one(run: Run) -> int | None:
    """Returns GitHub's id of the repository that the name stands for, if it is there."""
    owner, _, name = run.job.repository.partition("/")
    run.lease.progress("reading one repository", 0, 1, run.job.repository)
    known = mirror.read_named(owner, name)
    row: RepositoryRow | None = None
    try:
        with run.phase("fetch"):
            row = run.client.get_repository(owner, name)
    except GitHubError as error:
        if known is None or not error.is_evidence_of_absence:
            raise
    if row is not None and (known is None or known.github_id == row.github_id):
        _settle_one(run, row)
    elif known is not None:
        _settle_known(run, known)
        if row is not None:  # the name was used again
            _settle_one(run, row)
    _verify(run, complete=False)
    return row.github_id if row is not None else None


def _settle_one(run: Run, row: RepositoryRow) -> None:
    mine = mirror.read([row.github_id]).get(row.github_id)
    if mine is None and run.context.repository_selection == "selected":
        run.failed(
            row.full_name,
            "create",
            "validation",
            "It is not in the selection of this installation as far as we know: sync the whole list.",
        )
        return
    if row.owner_id not in (None, run.context.account_id):
        change = compare_absent(mine, row, run.context) if mine else None
        run.count_absent(row.github_id, change)
    else:
        verdict = compare(row, mine, run.context, proven=True)
        change = verdict if isinstance(verdict, Change) else None
        run.count_seen(row.github_id, change)
    _apply(run, [change] if change else [], {row.github_id: row})


def _settle_known(run: Run, known: MirrorRepository) -> None:
    change = compare_absent(known, evidence.ask(run.client, known), run.context)
    run.count_absent(known.github_id, change)
    _apply(run, [change] if change else [], {})


def _batches(ids: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
