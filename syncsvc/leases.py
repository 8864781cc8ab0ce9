"""A job in the hands of one worker: lease, progress, writes, and every way in which a run ends.

A worker holds a lease while it runs; every write it makes is fenced by that lease, so a worker that
was only slow cannot write after its job went to another.
"""

import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, connection, transaction
from django.db.models import F

from syncsvc import clock, conf, events
from syncsvc.models import Installation, SyncJob

log = structlog.get_logger(__name__)

PROGRESS_SECONDS = 1.0
STUCK_SECONDS = 900.0
ITEM_SHOWN = 511
RETRY_BASE = timedelta(seconds=30)
RETRY_CAP = timedelta(minutes=15)
BREAKER_BASE = timedelta(minutes=5)
BREAKER_CAP = timedelta(hours=1)


class LeaseLost(Exception):
    """The job went to another worker, or ended: this one must stop and write nothing more."""


class Cancelled(Exception):
    """Somebody asked to stop: raised at a safe point, what was written stays (R3.7)."""


def failure_of(job: SyncJob, sentence: str) -> dict[str, Any]:
    """What a failed run leaves on its installation: the count, and in time an open breaker."""
    now = clock.now()
    failures = Installation.objects.values_list("consecutive_failures", flat=True).get(
        pk=job.installation_id
    )
    changes: dict[str, Any] = {
        "consecutive_failures": F("consecutive_failures") + 1,
        "last_error": sentence,
        "last_error_at": now,
    }
    beyond = failures + 1 - conf.for_installation(job.installation).breaker_failures
    if beyond >= 0:
        delay = min(BREAKER_CAP, BREAKER_BASE * (1 << min(beyond, 10)))
        changes["breaker_open_until"] = now + delay
    return changes


def retry_delay(attempt: int, rng: random.Random) -> timedelta:
    """How long attempt number `attempt` (from 1) waits before the next: base 2, jitter, capped (R10.1)."""
    delay = min(RETRY_CAP, RETRY_BASE * (1 << min(attempt - 1, 10)))
    return delay * rng.uniform(0.75, 1.25)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What a run came to; the conductor makes it, `Lease.finish` writes it down."""

    counts: Mapping[str, Any] = field(default_factory=dict)
    api: Mapping[str, Any] = field(default_factory=dict)
    phases_seconds: Mapping[str, float] = field(default_factory=dict)
    discrepancies: Mapping[str, int] = field(default_factory=dict)
    verification: Mapping[str, Any] = field(default_factory=dict)
    failures: tuple[Mapping[str, Any], ...] = ()
    plan: tuple[Mapping[str, Any], ...] = ()
    accuracy: float | None = None
    listed_at: datetime | None = None

    def as_columns(self) -> dict[str, Any]:
        """The columns of the job that hold it."""
        return {
            "counts": dict(self.counts),
            "api": dict(self.api),
            "phases_seconds": dict(self.phases_seconds),
            "discrepancies": dict(self.discrepancies),
            "verification": dict(self.verification),
            "failures": list(self.failures),
            "plan": list(self.plan),
            "accuracy": self.accuracy,
        }


class Lease:
    """A running job in the hands of one worker."""

    def __init__(self, job: SyncJob, token: uuid.UUID) -> None:
        self.job = job
        self.settings = conf.for_installation(job.installation)
        self._token = token
        self._said_at = time.monotonic()
        self._shown_at = 0.0
        self._rng = random.Random()
        self._progress: dict[str, Any] = {}

    def progress(
        self, stage: str, current: int = 0, total: int | None = None, item: str = ""
    ) -> None:
        """Notes how far the run is; persisted at a new stage and else about once a second.

        Raises `LeaseLost` and `Cancelled`: this is the safe point.
        """
        new_stage = stage != self._progress.get("stage")
        began = clock.now() if new_stage else self._progress["stage_started_at"]
        self._progress = {
            "stage": stage,
            "stage_started_at": began,
            "current": current,
            "total": total,
            "current_item": item[:ITEM_SHOWN],
        }
        self._said_at = time.monotonic()
        if new_stage or self._said_at - self._shown_at >= PROGRESS_SECONDS:
            self._renew()
            events.emit(
                "sync.job.progress",
                installation_id=self.job.installation_id,
                job_id=str(self.job.pk),
                stage=stage,
                current=current,
                total=total,
            )

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Renews the lease from a thread of its own, for a page may take longer than a lease lasts:
        time-outs, retries and `Retry-After` add up to minutes. A run that says nothing at all for
        `STUCK_SECONDS` is given up to others."""
        ended = threading.Event()
        thread = threading.Thread(target=self._keep_alive, args=(ended,), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=STUCK_SECONDS)

    def _keep_alive(self, ended: threading.Event) -> None:
        while not ended.wait(self.settings.lease_seconds / 3):
            if time.monotonic() - self._said_at > STUCK_SECONDS:
                log.error("sync.job.stuck", job_id=str(self.job.pk))
                break
            try:
                if not self._mine().update(lease_expires_at=self._until()):
                    break  # not ours any more: the run notices at its next write
            except DatabaseError as error:
                log.warning("sync.job.lease_not_renewed", job_id=str(self.job.pk), error=str(error))
                connection.close()
        connection.close()

    def _until(self) -> datetime:
        return clock.now() + timedelta(seconds=self.settings.lease_seconds)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A transaction fenced by the lease: it commits only while the job is still ours.

        Its end does not wait for the disk: PostgreSQL loses transactions only from the end, as if the
        run had been killed a moment before, and the end of the job waits for all of them.
        """
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL synchronous_commit TO off")
            self._renew()
            yield

    def _renew(self) -> None:
        if not self._mine().update(lease_expires_at=self._until(), **self._progress):
            raise LeaseLost(f"job {self.job.pk} is no longer ours")
        self._shown_at = time.monotonic()
        if self._mine().filter(cancel_requested_at__isnull=False).exists():
            raise Cancelled

    def _mine(self) -> Any:
        return SyncJob.objects.filter(
            pk=self.job.pk, lease=self._token, status=SyncJob.Status.RUNNING
        )

    def succeed(self, outcome: Outcome) -> None:
        """Ends the run well, or `partial` when something on the way failed (R5.6)."""
        status = SyncJob.Status.PARTIAL if outcome.failures else SyncJob.Status.SUCCEEDED
        sentence = str(outcome.failures[0]["message"]) if outcome.failures else ""
        category = str(outcome.failures[0]["category"]) if outcome.failures else ""
        now = clock.now()
        changes: dict[str, Any] = {}
        # A dry run, or a run for some repositories, says nothing about the account as a whole.
        if not self.job.dry_run and self.job.mode not in SyncJob.NARROW:
            changes = {
                "consecutive_failures": 0,
                "breaker_open_until": None,
                "last_error": sentence,
                "last_error_at": now if sentence else None,
            }
            if outcome.listed_at is not None:
                changes["last_listed_at"] = outcome.listed_at
            if status == SyncJob.Status.SUCCEEDED:
                changes["last_synced_at"] = now
        self._end(status, outcome, changes, error=sentence, error_category=category)

    def cancelled(self, outcome: Outcome) -> None:
        """Ends the run because somebody asked for it; what was written stays."""
        self._end(
            SyncJob.Status.CANCELLED, outcome, {}, error="Cancelled: what was read so far is kept."
        )

    def block(self, until: datetime, reason: str, outcome: Outcome) -> None:
        """Sets the job aside until GitHub lets us go on; uses up no attempt (R4.2)."""
        if not self._uncancelled().update(
            status=SyncJob.Status.BLOCKED,
            lease=None,
            lease_expires_at=None,
            run_after=until,
            blocked_reason=reason,
            stage="blocked",
            stage_started_at=clock.now(),
            attempt=F("attempt") - 1,
            api=dict(outcome.api),
        ):
            self.cancelled(outcome)
            return
        self._emit("sync.job.blocked", blocked_until=until.isoformat(), reason=reason)
        self.job.refresh_from_db()

    def hand_back(self) -> None:
        """The process is told to stop: the job waits for another worker and uses up no attempt."""
        self._mine().update(
            status=SyncJob.Status.QUEUED,
            lease=None,
            lease_expires_at=None,
            run_after=clock.now(),
            rung_at=None,
            stage="waiting for a worker",
            stage_started_at=clock.now(),
            attempt=F("attempt") - 1,
        )

    def fail(
        self,
        outcome: Outcome,
        *,
        sentence: str,
        category: str,
        retryable: bool,
        last: bool = False,
        item_only: bool = False,
    ) -> None:
        """Ends the attempt: another follows after a while, unless retrying cannot help (`failed`),
        the attempts are used up (`dead`), or the caller says that this was the last.

        `item_only`: the failure is one repository's and says nothing about the installation.
        """
        exhausted = self.job.attempt >= self.settings.job_attempts
        if retryable and not exhausted and not last:
            delay = retry_delay(self.job.attempt, self._rng)
            self._retry_later(outcome, delay, sentence, category)
            return
        changes = {} if item_only else failure_of(self.job, sentence)
        status = SyncJob.Status.DEAD if retryable and exhausted else SyncJob.Status.FAILED
        self._end(status, outcome, changes, error=sentence, error_category=category)

    def _uncancelled(self) -> Any:
        return self._mine().filter(cancel_requested_at__isnull=True)

    def _retry_later(
        self, outcome: Outcome, delay: timedelta, sentence: str, category: str
    ) -> None:
        if not self._uncancelled().update(
            status=SyncJob.Status.QUEUED,
            lease=None,
            lease_expires_at=None,
            run_after=clock.now() + delay,
            stage="waiting to retry",
            stage_started_at=clock.now(),
            error=sentence,
            error_category=category,
            api=dict(outcome.api),
        ):
            self.cancelled(outcome)
            return
        self._emit("sync.job.failed", error=sentence, retry_in_seconds=round(delay.total_seconds()))
        self.job.refresh_from_db()

    def _end(
        self,
        status: str,
        outcome: Outcome,
        installation_changes: Mapping[str, Any],
        *,
        error: str = "",
        error_category: str = "",
    ) -> None:
        now = clock.now()
        with transaction.atomic():
            ended = self._mine().update(
                status=status,
                finished_at=now,
                lease=None,
                lease_expires_at=None,
                stage=status,
                current_item="",
                error=error,
                error_category=error_category,
                **outcome.as_columns(),
            )
            if not ended:
                raise LeaseLost(f"job {self.job.pk} is no longer ours")
            if installation_changes:
                Installation.objects.filter(pk=self.job.installation_id).update(
                    **installation_changes
                )
        self.job.refresh_from_db()
        started = self.job.started_at or now
        name = "sync.job.failed" if status in ("failed", "dead") else "sync.job.completed"
        self._emit(
            name,
            status=status,
            counts=self.job.counts,
            items_ingested=sum(
                entity.get("created", 0) + entity.get("updated", 0)
                for entity in self.job.counts.values()
            ),
            duration_ms=round((now - started).total_seconds() * 1000),
            **({"error": error} if error else {}),
        )

    def _emit(self, name: str, **fields: Any) -> None:
        events.emit(
            name, installation_id=self.job.installation_id, job_id=str(self.job.pk), **fields
        )
