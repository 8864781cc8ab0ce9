"""Data that makes our own code fail: it is put aside as its repository's failure, the rest goes on.

What GitHub says of one repository must never end the run of an account, not even by an error that nobody
foresaw (R5.6, R10.3, P30). Hides which errors are the data's and which are the world's.
"""

import traceback

import psycopg
import structlog
from django.db import DatabaseError, DataError, IntegrityError

from reconciliation.run import Run
from syncsvc.endings import LeaseLost
from syncsvc.github.errors import GitHubError
from syncsvc.leases import Cancelled

log = structlog.get_logger(__name__)

REFUSED = "The database cannot hold what GitHub says."
CRASHED = (
    "This program failed over what GitHub says of it, and left it as it was. Report that, with the log "
    "of the run."
)

_THE_DATABASES = (IntegrityError, DataError)
#: These say something of us or of the world, not of the row that was at hand.
_THE_WORLDS = (
    DatabaseError,
    psycopg.Error,
    GitHubError,
    LeaseLost,
    Cancelled,
    OSError,
    MemoryError,
)


def is_poison(error: Exception) -> bool:
    """Whether the error may be due to the rows at hand, so that without one of them all goes well."""
    return isinstance(error, _THE_DATABASES) or not isinstance(error, _THE_WORLDS)


def sentence(error: Exception) -> str:
    """What people are told of it."""
    return REFUSED if isinstance(error, _THE_DATABASES) else CRASHED


def put_aside(
    run: Run, item: str, operation: str, error: Exception, entity: str = "repositories"
) -> str:
    """Notes the one row that was at fault, among the failures of the run and in the log; returns what
    people are told of it. An error that is not a row's is raised again."""
    if not is_poison(error):
        raise error
    refused = isinstance(error, _THE_DATABASES)
    log.warning(
        "row.refused" if refused else "row.poisoned",
        item=item,
        operation=operation,
        error=f"{type(error).__name__}: {error}",
        trace="" if refused else "".join(traceback.format_exception(error)),
    )
    told = sentence(error)
    run.failed(item, operation, "validation" if refused else "unknown", told, entity)
    return told
