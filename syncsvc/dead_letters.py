"""Dead letters: what the product gave up, with all that somebody needs to decide about it (R10.4).

The one writer of new ones. A letter is written in the transaction in which its job or delivery is given
up, so that there is never the one without the other; what people decide about it stands in
`syncsvc.dead_letter_decisions`.
"""

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from syncsvc import events, safe_text
from syncsvc.models import DeadLetter, Delivery, SyncJob
from syncsvc.webhooks import wording

UNKNOWN: Final = "unknown"


def standing(job_id: UUID | str) -> dict[str, Any]:
    """Where a job is now: for `bury_job`, asked for before the end of the job overwrites it."""
    row = SyncJob.objects.filter(pk=job_id).values("stage", "current_item").first()
    return dict(row or {})


def bury_job(job_id: UUID | str, now: datetime, where: Mapping[str, Any]) -> None:
    """Writes the letter of a job that has just ended as `dead`; call it in that transaction.

    `where` is what `standing` said of it before. Called while an exception is handled, its stack is
    kept; of a worker that died there is none. A job that has an open letter gets no second one; a
    job that is not dead gets none.
    """
    job = (
        SyncJob.objects.filter(pk=job_id, status=SyncJob.Status.DEAD)
        .select_related("requested_by")
        .defer("plan", "verification")
        .first()
    )
    if job is None:
        return
    error = sys.exception()
    letter = DeadLetter(
        kind=DeadLetter.Kind.JOB,
        installation_id=job.installation_id,
        job=job,
        created_at=now,
        attempts=job.attempt,
        category=job.error_category or UNKNOWN,
        error=safe_text.shown(job.error) or "It was tried as often as is allowed, and failed.",
        stack=safe_text.chain(error) if error is not None else "",
        context=safe_text.bounded(_of_job(job, where)),
    )
    _write([letter])


def _of_job(job: SyncJob, where: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "correlation_id": str(job.pk),
        "trigger": job.trigger,
        "mode": job.mode,
        "repository": job.repository,
        "dry_run": job.dry_run,
        "requested_by": job.requested_by.get_username() if job.requested_by else None,
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "stage": where.get("stage", job.stage),
        "progress": {
            "current": job.current,
            "total": job.total,
            "item": where.get("current_item", job.current_item),
        },
        "errors": job.errors,
        "blocked_reason": job.blocked_reason,
        "action_needed": job.action_needed,
        "counts": job.counts,
        "failures": job.failures,
        "checkpoint": job.checkpoint,
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Buried:
    """A delivery that is given up. `row` says already what became of it; it needs no payload."""

    row: Delivery
    attempts: int
    outcome: str
    detail: str
    category: str = UNKNOWN
    happened_at: datetime | None = None
    error: BaseException | None = None


def bury_deliveries(given_up: Collection[Buried], now: datetime) -> None:
    """Writes the letters of deliveries that have just become `failed`; call it in that transaction.

    One statement for all of them. A delivery that has an open letter gets no second one.
    """
    _write(
        [
            DeadLetter(
                kind=DeadLetter.Kind.DELIVERY,
                installation_id=each.row.installation_id,
                delivery_id=each.row.pk,
                created_at=now,
                attempts=each.attempts,
                category=each.category,
                error=safe_text.shown(wording.outcome(each.outcome, each.detail)),
                stack=safe_text.chain(each.error) if each.error is not None else "",
                context=safe_text.bounded(_of_delivery(each)),
            )
            for each in given_up
        ]
    )


def _of_delivery(each: Buried) -> Mapping[str, Any]:
    """What it was: of its payload only the size, for nobody knows what a payload holds."""
    row = each.row
    return {
        "guid": row.guid,
        "hook_id": row.hook_id,
        "hook_of": row.target_type,
        "event": row.event,
        "action": row.action,
        "received_at": row.received_at.isoformat(),
        "happened_at": each.happened_at.isoformat() if each.happened_at else None,
        "account_id": row.account_id,
        "installation_github_id": row.installation_github_id,
        "repository_github_id": row.repository_github_id,
        "payload_bytes": row.payload_bytes,
        "outcome": each.outcome,
        "detail": each.detail,
    }


def _write(letters: Collection[DeadLetter]) -> None:
    # ON CONFLICT DO NOTHING: at most one of a job or a delivery is open.
    DeadLetter.objects.bulk_create(letters, ignore_conflicts=True)
    transaction.on_commit(lambda: _tell(letters))


def _tell(letters: Collection[DeadLetter]) -> None:
    for letter in letters:
        events.emit(
            "dead_letter.opened",
            kind=str(letter.kind),
            installation_id=letter.installation_id,
            job_id=str(letter.job_id) if letter.job_id else None,
            delivery_id=letter.delivery_id,
            attempts=letter.attempts,
            category=letter.category,
            error=letter.error,
        )
