"""The conductor of a run: what does GitHub say, what do we say, what is the difference (R5.5).

Every run is a reconciliation, the first one against an empty mirror. What a mode reads stands in
`_conduct`; what each failure makes of the job, in `_attempt`.
"""

import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import sleep as pause
from typing import Final

import psycopg
import structlog
from django.db import DatabaseError, InterfaceError, OperationalError
from django.db import connection as database

from config import stopping
from reconciliation import causes, resuming
from reconciliation.auditing import audit
from reconciliation.contents import read_contents
from reconciliation.named import read_one, read_rechecks
from reconciliation.proof import verify_repairs
from reconciliation.repositories import read_list
from reconciliation.resync import verify_contents
from reconciliation.run import Run
from syncsvc import clock, connect, discovery, jobs, rechecks, scheduling
from syncsvc.connect import Connection
from syncsvc.endings import LeaseLost
from syncsvc.github.errors import GitHubError, RateLimited
from syncsvc.leases import Cancelled, Lease, Stopping
from syncsvc.models import Installation, Recheck, SyncJob

log = structlog.get_logger(__name__)

# Of one repository these say nothing about the installation: nobody asks GitHub about that.
ITEM_ERRORS: Final = frozenset({"not_found", "gone", "forbidden", "legally_blocked", "validation"})

#: The database's own trouble: a connection that was cut, a restart, a full disk. It may pass.
LOST: Final = (
    OperationalError,
    InterfaceError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
)
RECONNECT_TRIES: Final = 10
RECONNECT_SECONDS: Final = 1.0

Connect = Callable[[Installation, str], Connection]


def execute(
    lease: Lease, *, last_attempt: bool = False, to: Connect = connect.connection_for
) -> SyncJob:
    """Runs the job to its end, whatever that is, and returns it as it then stands.

    `last_attempt` says that nobody will retry: a failure is final. Raises nothing but what kills
    the process; an error that nobody foresaw ends the job as failed.
    """
    try:
        with (
            structlog.contextvars.bound_contextvars(
                job_id=str(lease.job.pk), installation_id=lease.job.installation_id
            ),
            lease.kept_alive(),
        ):
            run = _attempt(lease, last_attempt=last_attempt, to=to)
            if lease.job.is_active:
                run.trail.rest()
        if lease.job.status == SyncJob.Status.QUEUED and stopping.is_wanted():
            jobs.ring(lease.job.pk)  # another worker need not wait for the sweeper
    except LeaseLost:
        log.warning("sync.job.lease_lost", job_id=str(lease.job.pk))
        with suppress(SyncJob.DoesNotExist):  # somebody deleted it, perhaps with its account
            lease.job.refresh_from_db()
    except (KeyboardInterrupt, SystemExit):
        lease.hand_back()
        raise
    except DatabaseError:
        # Not even the failure could be written: the lease runs out and the sweeper takes over.
        log.exception("sync.job.database_error")
        return lease.job
    if not lease.job.is_active:
        _look_after(lease.job)
    return lease.job


def _look_after(job: SyncJob) -> None:
    """Looks for causes and asks at once for what waited for the job's end. The job has ended, however
    this does: beat's tasks make up for what fails here."""
    try:
        if job.discrepancies:
            causes.explain(clock.now(), job.installation_id)
        if job.follow_up:
            scheduling.request_remembered()
        scheduling.request_rechecks({job.installation_id})
    except DatabaseError:
        log.exception("sync.job.not_looked_after", job_id=str(job.pk))
        database.close()  # it may be dead


def _attempt(lease: Lease, *, last_attempt: bool, to: Connect) -> Run:
    """Runs the job; where the connection to the database is lost, once more from the checkpoint, by a
    new connection (R10.5, P29). Returns the run that came to an end."""
    run = Run(lease)
    try:
        _try(run, last_attempt=last_attempt, to=to)
    except LOST as error:
        name = type(error.__cause__ or error).__name__
        log.warning("sync.job.database_lost", error=name, exc_info=error)
        _reconnect()
        _stop_unless_ours(run)
        lease.job.refresh_from_db()
        before, run = run, Run(lease, spent=run.spent())
        run.trail.follows(before.trail)
        _try(run, last_attempt=last_attempt, to=to, lost=name)
    return run


def _reconnect() -> None:
    """Waits some seconds, as long as a restart takes, for a database that is away."""
    database.close()
    for left in reversed(range(RECONNECT_TRIES)):
        try:
            database.ensure_connection()
        except DatabaseError:
            if not left:
                raise
            pause(RECONNECT_SECONDS)
        else:
            return


def _begin(run: Run, lost: str) -> None:
    """Opens the run's books, or those of earlier attempts, and goes on where they ended."""
    with run.lease.writing():
        is_taken_up = run.trail.begin()
    run.judge.begin()
    if not is_taken_up:
        return
    where = resuming.take_up(run, run.trail.entry)
    what = f"The database failed ({lost}). Connected again" if lost else "Taken up again"
    with run.lease.writing():
        run.trail.recovered(f"{what}: the run {where}.")
    if lost:
        log.info("sync.job.database_recovered", where=where)


def _try(run: Run, *, last_attempt: bool, to: Connect, lost: str = "") -> None:
    """One go at the job. Raises `LeaseLost`, and what says that the connection to the database is lost,
    unless that is the reason why it was `lost` before."""
    lease = run.lease
    try:
        _begin(run, lost)
        with to(lease.job.installation, lease.job.trigger) as connection:
            run.connection = connection
            connection.client.transport.permit = lease.insist
            _conduct(run)
            verify_repairs(run)
        lease.succeed(run.outcome())
    except Stopping:
        lease.hand_back()
    except Cancelled:
        lease.cancelled(run.outcome())
    except RateLimited as error:
        _stop_unless_ours(run)
        _failed(run, error.category, error.sentence, error)
        lease.block(error.until, "secondary_limit" if error.secondary else "budget", run.outcome())
    except GitHubError as error:
        _stop_unless_ours(run)
        _failed(run, error.category, error.sentence, error)
        item_only = lease.job.mode == SyncJob.Mode.REPO and error.kind in ITEM_ERRORS
        if connect.says_access_ended(error) and not item_only:
            discovery.recheck(lease.job.installation)
        lease.fail(
            run.outcome(),
            sentence=error.sentence,
            category=error.category,
            retryable=error.retryable,
            kind=error.kind,
            retry_after=error.trouble.retry_after,
            last=last_attempt,
        )
    except (DatabaseError, psycopg.Error) as error:
        if isinstance(error, LOST) and not lost:
            raise
        database.close()  # it may be dead, and the failure has to be written down
        _stop_unless_ours(run)
        log.exception("sync.job.database_error")
        what = "The database failed in the middle of the run."
        _give_up(run, "database", what, error, last=last_attempt)
    except LeaseLost:
        raise
    except Exception as error:  # the job must end, whatever happened; the trace is logged, redacted
        database.close()
        _stop_unless_ours(run)
        log.exception("sync.job.crashed", trace=traceback.format_exc())
        what = "An error that nobody foresaw ended the run."
        _give_up(run, "unknown", what, error, last=last_attempt)


def _stop_unless_ours(run: Run) -> None:
    """Where somebody has ended or deleted the job, or its account, what fails fails for that: nobody
    need be told of it. Raises `LeaseLost`."""
    if not run.lease.is_ours():
        raise LeaseLost(f"job {run.job.pk} is no longer ours")


def _failed(run: Run, category: str, what: str, error: Exception) -> None:
    """Says in the trail what ended the attempt."""
    run.trail.error(
        item=str(run.job.pk),
        operation="run",
        category=category,
        message=what,
        entity="",
        exception=error,
    )


def _give_up(run: Run, category: str, what: str, error: Exception, *, last: bool) -> None:
    _failed(run, category, f"{what} {type(error).__name__}: {error}", error)
    sentence = f"{what} The log has the details under job {run.lease.job.pk}."
    run.lease.fail(
        run.outcome(),
        sentence=sentence,
        category=category,
        retryable=True,
        last=last,
    )


def _conduct(run: Run) -> None:
    if run.job.mode == SyncJob.Mode.REPO:
        read_one(run)
    elif run.job.mode == SyncJob.Mode.RECHECK:
        read_rechecks(run)
    elif run.job.mode == SyncJob.Mode.AUDIT:
        audit(run)
    else:
        _read_account(run)


def _read_account(run: Run) -> None:
    """The list of repositories and, but in mode `reconcile`, what they hold. What was asked to be read
    again before is answered by that; an attempt that goes on answers what was asked before its first."""
    asked = [] if run.job.dry_run else rechecks.all_of(run.job.installation_id)
    if run.earlier.is_listed or run.earlier.done_to:
        asked = [each for each in asked if (each.pk, each.version) in run.asked_before]
    run.asked_before = frozenset((each.pk, each.version) for each in asked)
    if not run.earlier.is_listed:
        read_list(run)
        with run.lease.writing():
            resuming.keep(run)
    lists = [each for each in asked if each.github_id == rechecks.WHOLE_LIST]
    if run.is_listed:
        _answered(run, lists)
    elif lists:
        with run.lease.writing():
            rechecks.failed(lists, run.context.now)
    if run.job.mode == SyncJob.Mode.RECONCILE:
        return
    read_contents(run)
    verify_contents(run)
    if not run.has_failures:
        _answered(run, [each for each in asked if each.github_id != rechecks.WHOLE_LIST])


def _answered(run: Run, asked: Sequence[Recheck]) -> None:
    if asked:
        with run.lease.writing():
            rechecks.done(asked)
