"""Jobs that wait: the bell, the sweeper that rings for what was forgotten, claim and cancel.

Hides how of any number of workers one gets a job, and what becomes of the job of a worker that died;
what a worker does with its job stands in `syncsvc.leases`.
"""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce

from syncsvc import circuit, clock, conf, dead_letters, events, ringing
from syncsvc.leases import Lease
from syncsvc.models import Repository, SyncJob
from syncsvc.retrying import Trouble

RUN_JOB = ringing.RUN_JOB
RING_AGAIN = timedelta(seconds=30)
"""A second ring finds nothing to claim, and a lost one costs this long."""


def ring(job_id: uuid.UUID) -> bool:
    """Tells the workers of a job through the broker. A broker that is down loses nothing: the job
    stands in the database and the sweeper rings again."""
    if not ringing.ring(RUN_JOB, [str(job_id)]):
        return False
    SyncJob.objects.filter(pk=job_id).update(rung_at=clock.now())
    return True


def not_heard(job_id: uuid.UUID) -> None:
    """Says that a message was taken by a worker that cannot do the job: the sweeper rings again."""
    SyncJob.objects.filter(pk=job_id).update(rung_at=None)


def ring_waiting() -> int:
    """Rings for every job whose time has come and whose message may be lost, and takes jobs back
    from workers that stopped giving signs of life (R10.2). Returns how many were rung."""
    now = clock.now()
    lost = SyncJob.objects.filter(status=SyncJob.Status.RUNNING, lease_expires_at__lt=now)
    for job in lost.select_related("installation").defer("plan"):
        _take_back(job, now)
    waiting = SyncJob.objects.filter(
        Q(rung_at__isnull=True) | Q(rung_at__lt=F("run_after")) | Q(rung_at__lt=now - RING_AGAIN),
        status__in=[SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED],
        run_after__lte=now,
    )
    return sum(ring(pk) for pk in waiting.order_by("run_after").values_list("pk", flat=True)[:500])


def _take_back(job: SyncJob, now: datetime) -> None:
    """Takes a job from a worker that is gone; one that kills every worker is given up (R10.1), one that
    was asked to stop has stopped (R3.7)."""
    held = SyncJob.objects.filter(
        pk=job.pk, lease=job.lease, status=SyncJob.Status.RUNNING, lease_expires_at__lt=now
    )
    if job.cancel_requested_at is not None:
        # As one that waits: that its worker died is no failure of what nobody wants any more.
        held.update(
            status=SyncJob.Status.CANCELLED,
            finished_at=now,
            lease=None,
            lease_expires_at=None,
            stage="cancelled",
        )
        return
    if job.attempt < conf.for_installation(job.installation).job_attempts:
        taken = held.update(
            status=SyncJob.Status.QUEUED,
            lease=None,
            lease_expires_at=None,
            run_after=now,
            rung_at=None,
        )
        name = "sync.job.recovered"
    else:
        often = "once" if job.attempt == 1 else f"{job.attempt} times"
        sentence = (
            f"The worker died {often} in the middle of this run. See whether its machine is short of "
            "memory; the log says more under the job's id."
        )
        with transaction.atomic():
            circuit.hold(job.installation_id)
            taken = held.update(
                status=SyncJob.Status.DEAD,
                finished_at=now,
                lease=None,
                lease_expires_at=None,
                stage="dead",
                error=sentence,
                error_category="unknown",
            )
            if taken:
                circuit.failed(job, Trouble(category="unknown", sentence=sentence), now)
                where = {"stage": job.stage, "current_item": job.current_item}
                dead_letters.bury_job(job.pk, now, where)
        name = "sync.job.failed"
    if taken:
        events.emit(
            name,
            installation_id=job.installation_id,
            trigger=SyncJob.Trigger.MAINTENANCE.value,
            job_id=str(job.pk),
        )


def claim(job_id: uuid.UUID | str) -> Lease | None:
    """Takes the job for this worker, or None when it is not to be had: unknown, ended, not yet due,
    or running elsewhere. Of any number of callers one gets it."""
    now = clock.now()
    token = uuid.uuid4()
    waiting = Q(status__in=[SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED], run_after__lte=now)
    abandoned = Q(
        status=SyncJob.Status.RUNNING,
        lease_expires_at__lt=now,
        attempt__lt=conf.for_installation(None).job_attempts,
    )
    claimed = SyncJob.objects.filter(waiting | abandoned, pk=job_id).update(
        status=SyncJob.Status.RUNNING,
        lease=token,
        lease_expires_at=now + timedelta(seconds=conf.for_installation(None).lease_seconds),
        attempt=F("attempt") + 1,
        started_at=Coalesce("started_at", now),
        blocked_reason="",
        stage="starting",
        current=0,
        total=None,
        current_item="",
        errors=0,
    )
    if not claimed:
        return None
    job = SyncJob.objects.select_related("installation").filter(pk=job_id).first()
    if job is None:
        return None  # somebody deleted it, or its account, just now
    events.emit(
        "sync.job.started",
        installation_id=job.installation_id,
        trigger=job.trigger,
        job_id=str(job.pk),
        mode=job.mode,
        attempt=job.attempt,
        repo_count=job.installation.repositories.filter(status__in=Repository.PRESENT).count(),
    )
    return Lease(job, token)


def cancel(job: SyncJob, *, user: Any = None) -> SyncJob:
    """Asks a job to stop, on behalf of `user`. One that waits ends at once, a running one at its next
    safe point (R3.7)."""
    now = clock.now()
    # First the wish, which every later step of the job reads; then the end of one that waits.
    active = SyncJob.objects.filter(pk=job.pk, status__in=SyncJob.ACTIVE)
    asked = active.filter(cancel_requested_at__isnull=True).update(cancel_requested_at=now)
    SyncJob.objects.filter(
        pk=job.pk, status__in=[SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED]
    ).update(status=SyncJob.Status.CANCELLED, finished_at=now, stage="cancelled")
    if asked:
        events.emit(
            "sync.job.cancelling",
            installation_id=job.installation_id,
            job_id=str(job.pk),
            **({"user_id": user.pk} if user else {}),
        )
    job.refresh_from_db()
    return job
