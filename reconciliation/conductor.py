"""The conductor of a run: what does GitHub say, what do we say, what is the difference (R5.5).

Every run is a reconciliation, the first one against an empty mirror. What a mode reads stands in
`_conduct`; what each failure makes of the job, in `_attempt`.
"""

import traceback
from collections.abc import Callable, Sequence
from typing import Final

import psycopg
import structlog
from django.db import DatabaseError
from django.db import connection as database

from reconciliation.contents import read_contents
from reconciliation.named import read_one, read_rechecks
from reconciliation.repositories import read_list
from reconciliation.run import Run
from syncsvc import connect, discovery, rechecks, scheduling
from syncsvc.connect import Connection
from syncsvc.github.errors import GitHubError, RateLimited
from syncsvc.leases import Cancelled, Lease, LeaseLost
from syncsvc.models import Installation, Recheck, SyncJob

log = structlog.get_logger(__name__)

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
    if not lease.job.is_active:
        if lease.job.follow_up:
            scheduling.request_remembered()
        scheduling.request_rechecks({lease.job.installation_id})
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
        read_one(run)
    elif run.job.mode == SyncJob.Mode.RECHECK:
        read_rechecks(run)
    else:
        _read_account(run)


def _read_account(run: Run) -> None:
    """The list of repositories and, but in mode `reconcile`, what they hold. What was asked to be read
    again before is answered by that."""
    asked = [] if run.job.dry_run else rechecks.all_of(run.job.installation_id)
    read_list(run)
    lists = [each for each in asked if each.github_id == rechecks.WHOLE_LIST]
    if run.is_listed:
        _answered(run, lists)
    elif lists:
        with run.lease.writing():
            rechecks.failed(lists, run.context.now)
    if run.job.mode == SyncJob.Mode.RECONCILE:
        return
    read_contents(run)
    if not run.has_failures:
        _answered(run, [each for each in asked if each.github_id != rechecks.WHOLE_LIST])


def _answered(run: Run, asked: Sequence[Recheck]) -> None:
    if asked:
        with run.lease.writing():
            rechecks.done(asked)
