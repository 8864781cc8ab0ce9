"""Jobs that wait: the bell, the sweeper that rings for what was forgotten, claim and cancel.

Hides how of any number of workers one gets a job, and what becomes of the job of a worker that died;
what a worker does with its job stands in `syncsvc.leases`.
"""

import uuid
from datetime import datetime, timedelta

import structlog
from celery import current_app
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from kombu.exceptions import OperationalError

from syncsvc import clock, conf, events
from syncsvc.leases import Lease, failure_of
from syncsvc.models import Installation, Repository, SyncJob

log = structlog.get_logger(__name__)

RUN_JOB = "reconciliation.run_job"
RING_AGAIN = timedelta(seconds=60)


def ring(job_id: uuid.UUID) -> bool:
    """Tells the workers of a job through the broker. A broker that is down loses nothing: the job
    stands in the database and the sweeper rings again."""
    try:
        current_app.send_task(RUN_JOB, args=[str(job_id)], queue=settings.CELERY_TASK_DEFAULT_QUEUE)
    except (OperationalError, OSError) as error:
        log.warning("broker.unreachable", job_id=str(job_id), error=str(error))
        return False
    SyncJob.objects.filter(pk=job_id).update(rung_at=clock.now())
    return True


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
    """Takes a job from a worker that is gone; one that kills every worker is given up (R10.1)."""
    held = SyncJob.objects.filter(
        pk=job.pk, lease=job.lease, status=SyncJob.Status.RUNNING, lease_expires_at__lt=now
    )
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
        sentence = f"The worker died {job.attempt} times in the middle of this run."
        with transaction.atomic():
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
                Installation.objects.filter(pk=job.installation_id).update(
                    **failure_of(job, sentence)
                )
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
    )
    if not claimed:
        return None
    job = SyncJob.objects.select_related("installation").get(pk=job_id)
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


def cancel(job: SyncJob) -> SyncJob:
    """Asks a job to stop. One that waits ends at once, a running one at its next safe point (R3.7)."""
    now = clock.now()
    # First the wish, which every later step of the job reads; then the end of one that waits.
    active = SyncJob.objects.filter(pk=job.pk, status__in=SyncJob.ACTIVE)
    active.filter(cancel_requested_at__isnull=True).update(cancel_requested_at=now)
    SyncJob.objects.filter(
        pk=job.pk, status__in=[SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED]
    ).update(status=SyncJob.Status.CANCELLED, finished_at=now, stage="cancelled")
    job.refresh_from_db()
    return job
