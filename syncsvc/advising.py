"""What somebody who looks at an account can do now: one sentence for each state, the worst first. Pure."""

from typing import Final

from syncsvc.breaker import State
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Reason
from syncsvc.status import SyncStatus

NOTHING: Final = "Nothing: it is kept up to date by itself."
UNSUSPEND: Final = (
    "Unsuspend the App in the account's settings at GitHub. What is mirrored is kept."
)
INSTALL: Final = "Install the App on the account again. What is mirrored is kept."
ACT: Final = "Do what stands above under “Needs somebody”, then sync."
TRY: Final = "Mend what the last run failed of, then press “Try now”."
ASK: Final = (
    "Ask an operator of this account to look at the last run; else it is tried again by itself."
)
WAIT: Final = "Nothing: it goes on by itself as soon as GitHub allows."
WATCH: Final = "Nothing: it is being read; this page follows by itself."
QUEUED: Final = "Nothing: it begins as soon as a worker is free."
FIRST: Final = "Press “Sync now” to read it for the first time."
EMPTY: Final = "See at GitHub which repositories the App may read: it shows none."
FAILED: Final = (
    "Look at the details of the last run; what failed is tried again with the next sync."
)
OVERDUE: Final = (
    "A sync was due and none came: press “Sync now”; if that waits too, have an operator see on the page "
    "System whether scheduler and workers live."
)

_STATUSES: Final = {
    Installation.Status.SUSPENDED: UNSUSPEND,
    Installation.Status.UNINSTALLED: INSTALL,
}
_WRONG: Final = (SyncJob.Status.PARTIAL, SyncJob.Status.FAILED, SyncJob.Status.DEAD)


def advice(
    row: Installation,
    shown: SyncStatus,
    job: SyncJob | None,
    last: SyncJob | None,
    *,
    may_operate: bool,
    is_late: bool = False,
) -> str:
    """What to do about this account, for somebody who may or may not operate it."""
    if row.status != Installation.Status.ACTIVE:
        return _STATUSES[Installation.Status(row.status)]
    if job is not None:
        waiting = {SyncJob.Status.BLOCKED: WAIT, SyncJob.Status.QUEUED: QUEUED}
        return waiting.get(SyncJob.Status(job.status), WATCH)
    if shown.action_needed:
        return ACT
    if shown.breaker_state == State.OPEN:
        return TRY if may_operate else ASK
    if shown.reason in (Reason.BLOCKED_UNTIL, Reason.BUDGET):
        return WAIT
    if shown.reason == Reason.NO_REPOSITORIES:
        return EMPTY
    if last is not None and last.status in _WRONG:
        return FAILED
    if is_late and shown.last_synced_at:
        return OVERDUE
    return NOTHING if shown.last_synced_at else FIRST
