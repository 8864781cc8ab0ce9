"""Every way in which a run ends, or is set aside: done, retry later, give up, wait for GitHub (R10.1).

Hides which columns of a job and of its installation say so; the worker's hold on the job stands in
`syncsvc.leases`.
"""

import random
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from syncsvc import circuit, clock, dead_letters, events, pacing, retrying
from syncsvc.conf import SyncSettings
from syncsvc.models import Installation, SyncJob
from syncsvc.retrying import RetryAt, Trouble


class LeaseLost(Exception):
    """The job went to another worker, or ended: this one must stop and write nothing more."""


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
    warning: str = ""
    #: Called with status and time in the transaction that ends the job: what belongs to its end.
    within: Callable[[str, datetime], None] | None = None

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
            "warning": self.warning,
        }


class Endings:
    """How a job in the hands of one worker comes to its end; every write is fenced by the lease."""

    job: SyncJob
    settings: SyncSettings
    _token: uuid.UUID
    _rng: random.Random
    #: What the whole job has used up so far, as columns; kept whenever the lease is renewed, so that
    #: what a killed attempt used is not forgotten.
    spent: Callable[[], Mapping[str, Any]] | None = None

    def _mine(self) -> Any:
        return SyncJob.objects.filter(
            pk=self.job.pk, lease=self._token, status=SyncJob.Status.RUNNING
        )

    def is_ours(self) -> bool:
        """Whether the job still is this worker's to write to."""
        return bool(self._mine().exists())

    def succeed(self, outcome: Outcome) -> None:
        """Ends the run well, or `partial` when something on the way failed (R5.6)."""
        status = SyncJob.Status.PARTIAL if outcome.failures else SyncJob.Status.SUCCEEDED
        sentence = str(outcome.failures[0]["message"]) if outcome.failures else ""
        category = str(outcome.failures[0]["category"]) if outcome.failures else ""
        now = clock.now()
        changes: dict[str, Any] = {}
        # A dry run, or a run for some repositories, says nothing about the account as a whole.
        if not self.job.dry_run and self.job.mode not in SyncJob.NARROW:
            changes = {"last_error": sentence, "last_error_at": now if sentence else None}
            if outcome.listed_at is not None:
                changes["last_listed_at"] = outcome.listed_at
            if status == SyncJob.Status.SUCCEEDED:
                changes["last_synced_at"] = now
            changes |= pacing.learned(
                self.job,
                succeeded=status == SyncJob.Status.SUCCEEDED,
                found=sum(outcome.discrepancies.values()),
                api=outcome.api,
                now=now,
            )
        self._end(
            status,
            outcome,
            changes,
            error=sentence,
            error_category=category,
            then=partial(circuit.succeeded, self.job) if changes else None,
        )

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
            attempt=Greatest(F("attempt"), 1) - 1,
            api=dict(outcome.api),
            phases_seconds=dict(outcome.phases_seconds),
        ):
            self.cancelled(outcome)
            return
        self._emit("sync.job.blocked", blocked_until=until.isoformat(), reason=reason)
        self.job.refresh_from_db()

    def hand_back(self) -> None:
        """The process is told to stop: the job waits for another worker and uses up no attempt."""
        spent = self.spent() if self.spent is not None else {}
        if self._mine().update(
            status=SyncJob.Status.QUEUED,
            lease=None,
            lease_expires_at=None,
            run_after=clock.now(),
            rung_at=None,
            stage="waiting for a worker",
            stage_started_at=clock.now(),
            attempt=Greatest(F("attempt"), 1) - 1,
            **spent,
        ):
            self._emit("sync.job.handed_back")
            self.job.refresh_from_db()

    def fail(
        self,
        outcome: Outcome,
        *,
        sentence: str,
        category: str,
        retryable: bool,
        kind: str = "",
        retry_after: timedelta | None = None,
        last: bool = False,
    ) -> None:
        """Ends the attempt as the retry policy says: another follows after a while, unless retrying
        cannot help (`failed`), the attempts are used up (`dead`), or this was the `last` anyway, as it
        is for a breaker's trial (R10.1, R10.3).

        `kind` is one of `syncsvc.github.errors.Kind`, where GitHub was the reason.
        """
        trouble = Trouble(
            category=category,
            kind=kind,
            retryable=retryable,
            sentence=sentence,
            retry_after=retry_after,
        )
        now, attempt, limit = clock.now(), self.job.attempt, self.settings.job_attempts
        final = last or circuit.is_trial(self.job)
        policy = retrying.with_attempts(retrying.JOBS, attempt if final else limit)
        verdict = retrying.decide(policy, attempt, trouble, now, self._rng.random())
        if isinstance(verdict, RetryAt):
            self._retry_later(outcome, verdict, trouble)
            return
        exhausted = not trouble.is_hopeless and attempt >= limit
        self._end(
            SyncJob.Status.DEAD if exhausted else SyncJob.Status.FAILED,
            outcome,
            {},
            error=sentence,
            error_category=category,
            action_needed=trouble.action_needed,
            then=partial(circuit.failed, self.job, trouble, now),
        )

    def _uncancelled(self) -> Any:
        return self._mine().filter(cancel_requested_at__isnull=True)

    def _retry_later(self, outcome: Outcome, verdict: RetryAt, trouble: Trouble) -> None:
        if not self._uncancelled().update(
            status=SyncJob.Status.QUEUED,
            lease=None,
            lease_expires_at=None,
            run_after=verdict.at,
            stage="waiting to retry",
            stage_started_at=clock.now(),
            error=trouble.sentence,
            error_category=trouble.category,
            api=dict(outcome.api),
            phases_seconds=dict(outcome.phases_seconds),
        ):
            self.cancelled(outcome)
            return
        seconds = round(verdict.wait.total_seconds())
        self._emit("sync.job.failed", error=trouble.sentence, retry_in_seconds=seconds)
        self.job.refresh_from_db()

    def _end(
        self,
        status: str,
        outcome: Outcome,
        installation_changes: Mapping[str, Any],
        *,
        error: str = "",
        error_category: str = "",
        action_needed: str = "",
        then: Callable[[], None] | None = None,
    ) -> None:
        """`then` is what else belongs to this end: called in its transaction, while it is ours."""
        now = clock.now()
        is_dead = status == SyncJob.Status.DEAD
        with transaction.atomic():
            if installation_changes or then is not None:
                circuit.hold(self.job.installation_id)
            where = dead_letters.standing(self.job.pk) if is_dead else {}
            ended = self._mine().update(
                status=status,
                finished_at=now,
                lease=None,
                lease_expires_at=None,
                stage=status,
                current_item="",
                # Of one that is given up it tells how far it came.
                **({} if is_dead else {"checkpoint": {}}),
                error=error,
                error_category=error_category,
                action_needed=action_needed,
                **outcome.as_columns(),
            )
            if not ended:
                raise LeaseLost(f"job {self.job.pk} is no longer ours")
            if installation_changes:
                Installation.objects.filter(pk=self.job.installation_id).update(
                    **installation_changes
                )
            if then is not None:
                then()
            if is_dead:
                dead_letters.bury_job(self.job.pk, now, where)
            if outcome.within is not None:
                outcome.within(str(status), now)
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
