"""The breaker of an account in the database, and what failed runs leave on the account (R10.1, R10.3).

Hides the row's lock, the columns, and that each turn is said once, after its commit. Every function is
called inside the transaction of what happened: the end of a job, its start, an operator's act.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from syncsvc import breaker, conf, events
from syncsvc.breaker import Breaker, State
from syncsvc.models import Installation, SyncJob
from syncsvc.retrying import Trouble

_EVENTS: Final = {
    State.OPEN: "sync.breaker.opened",
    State.HALF_OPEN: "sync.breaker.half_open",
    State.CLOSED: "sync.breaker.closed",
}
#: What `closed` leaves of it, for whoever writes the row anyway.
CLOSED: Final[Mapping[str, Any]] = {
    "consecutive_failures": 0,
    "breaker_state": str(State.CLOSED),
    "breaker_openings": 0,
    "breaker_opened_at": None,
    "breaker_open_until": None,
}


def of(row: Installation) -> Breaker:
    """The breaker of this account as the row says."""
    state = State(row.breaker_state)
    if state is State.CLOSED and row.breaker_open_until is not None:
        state = State.OPEN  # written by code from before the state was kept
    return Breaker(
        state=state,
        failures=row.consecutive_failures,
        openings=max(row.breaker_openings, int(state is not State.CLOSED)),
        opened_at=row.breaker_opened_at,
        open_until=row.breaker_open_until,
    )


def counts(job: SyncJob, trouble: Trouble) -> bool:
    """Whether a failure of this run is the account's: a run for some repositories says so only when it
    was refused as a whole, never by what one repository is or does to us (R10.3)."""
    return job.mode not in SyncJob.NARROW or trouble.is_about_the_account


def is_trial(job: SyncJob) -> bool:
    """Whether this run decides if the account's syncs go on: it has one attempt."""
    return of(job.installation).state is State.HALF_OPEN and job.mode not in SyncJob.NARROW


def hold(installation_id: int) -> None:
    """Locks the account's row, for whoever will write it after a job of its: the schedule holds the
    account while it writes to a job, and in another order the two would wait for each other."""
    held = Installation.objects.select_for_update(no_key=True).filter(pk=installation_id)
    list(held.values_list("pk"))


def began(job: SyncJob, now: datetime) -> bool:
    """A job of the account is being created; after a pause it is the trial. False: the breaker opened
    since policy looked, and the job must not be."""
    row = (
        Installation.objects.select_for_update(no_key=True)
        .filter(pk=job.installation_id)
        .exclude(breaker_state=State.CLOSED, breaker_open_until=None)
        .first()
    )
    if row is None:
        return True
    before = of(row)
    if not breaker.may_start(before, now):
        return False
    _turn(row, before, breaker.started(before, now), job.pk)
    job.installation.breaker_state = row.breaker_state
    return True


def failed(job: SyncJob, trouble: Trouble, now: datetime) -> None:
    """A run failed for good: its sentence, what a person has to do, the count, and in time an open
    breaker. What is one repository's trouble leaves nothing on the account."""
    if not counts(job, trouble):
        return
    row = Installation.objects.select_for_update(no_key=True).get(pk=job.installation_id)
    before = of(row)
    after = breaker.failed(before, now, conf.for_installation(row).breaker_failures)
    # Who uninstalled us wants no sync: nobody has to do anything.
    gone = row.status == Installation.Status.UNINSTALLED
    _turn(
        row,
        before,
        after,
        job.pk,
        last_error=trouble.sentence,
        last_error_at=now,
        action_needed="" if gone else trouble.action_needed,
    )


def succeeded(job: SyncJob) -> None:
    """A run over the whole account went well: whatever was wrong is over."""
    row = Installation.objects.select_for_update(no_key=True).get(pk=job.installation_id)
    before = of(row)
    _turn(row, before, breaker.succeeded(before), job.pk, action_needed="")


def reset(installation_id: int, user: Any) -> bool:
    """Closes the breaker because `user` says that the reason is mended; True when this call did it."""
    with transaction.atomic():
        row = Installation.objects.select_for_update(no_key=True).get(pk=installation_id)
        before = of(row)
        if before.state is State.CLOSED:
            return False
        _turn(row, before, breaker.succeeded(before), None)
        _say(
            "sync.breaker.reset",
            row,
            None,
            user_id=user.pk,
            failures=before.failures,
            was=str(before.state),
        )
    return True


def _turn(
    row: Installation, before: Breaker, after: Breaker, job_id: UUID | None, **more: Any
) -> None:
    """Writes what has changed of the row, and says so where the state turned."""
    columns = more | {
        "consecutive_failures": after.failures,
        "breaker_state": str(after.state),
        "breaker_openings": after.openings,
        "breaker_opened_at": after.opened_at,
        "breaker_open_until": after.open_until,
    }
    changed = {name: value for name, value in columns.items() if getattr(row, name) != value}
    if not changed:
        return
    Installation.objects.filter(pk=row.pk).update(**changed)
    for name, value in changed.items():
        setattr(row, name, value)
    # A trial that fails opens it again: that is an opening too, though it was never closed.
    if (after.state, after.openings) != (before.state, before.openings):
        _say(
            _EVENTS[after.state],
            row,
            job_id,
            failures=after.failures,
            until=after.open_until.isoformat() if after.open_until else None,
        )


def _say(name: str, row: Installation, job_id: UUID | None, **fields: Any) -> None:
    job = str(job_id) if job_id else None
    emit = partial(events.emit, name, installation_id=row.pk, job_id=job, **fields)
    transaction.on_commit(emit)


def now_closed(installation_id: int) -> None:
    """Says that whoever wrote `CLOSED` closed a breaker that was not (an account came back)."""
    emit = partial(
        events.emit,
        _EVENTS[State.CLOSED],
        installation_id=installation_id,
        job_id=None,
        failures=0,
        until=None,
    )
    transaction.on_commit(emit)
