"""A job in the hands of one worker: lease, progress, writes. How it ends stands in `syncsvc.endings`.

A worker holds a lease while it runs; every write it makes is fenced by that lease, so a worker that
was only slow cannot write after its job went to another.
"""

import random
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import DatabaseError, connection, transaction

from config import stopping
from syncsvc import clock, conf, events
from syncsvc.endings import Endings, LeaseLost
from syncsvc.models import SyncJob

log = structlog.get_logger(__name__)

PROGRESS_SECONDS = 1.0
STUCK_SECONDS = 900.0
ITEM_SHOWN = 511
RENEW_AGAIN_SECONDS = 1.0
"""How soon a heartbeat is tried again that the database did not take."""
HEARTBEATS = 1.5
"""So many heartbeat intervals a lease lasts. A worker that dies right after a heartbeat is known to be
dead after one and a half of them, and the sweeper, which comes more often than twice in one, gives the
job away within two (R10.2)."""


def heartbeat_seconds(lease_seconds: float) -> float:
    """How often a worker says that it lives, when a lease lasts so long."""
    return lease_seconds / HEARTBEATS


class Cancelled(Exception):
    """Somebody asked to stop: raised at a safe point, what was written stays (R3.7)."""


class Stopping(Cancelled):
    """This process has been told to stop: raised at a safe point; the job goes to another (R10.2)."""


class Lease(Endings):
    """A running job in the hands of one worker."""

    def __init__(self, job: SyncJob, token: uuid.UUID) -> None:
        self.job = job
        self.settings = conf.for_installation(job.installation)
        self._token = token
        self._said_at = time.monotonic()
        self._shown_at = 0.0
        self._rng = random.Random()
        self._progress: dict[str, Any] = {}
        #: What went wrong so far without ending the run: shown with the progress (R5.7).
        self.errors = 0
        self._lost = False

    def progress(
        self, stage: str, current: int = 0, total: int | None = None, item: str = ""
    ) -> None:
        """Notes how far the run is; persisted at a new stage and else about once a second.

        Raises `LeaseLost`, `Cancelled` and `Stopping`: this is the safe point.
        """
        if stopping.is_wanted():
            raise Stopping
        self.insist()
        new_stage = stage != self._progress.get("stage")
        began = clock.now() if new_stage else self._progress["stage_started_at"]
        self._progress = {
            "stage": stage,
            "stage_started_at": began,
            "current": current,
            "total": total,
            "current_item": item[:ITEM_SHOWN],
            "errors": self.errors,
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
        usual = heartbeat_seconds(self.settings.lease_seconds)
        wait = usual
        while not ended.wait(wait):
            wait = usual
            if time.monotonic() - self._said_at > STUCK_SECONDS:
                log.error("sync.job.stuck", job_id=str(self.job.pk))
                break
            try:
                if not self._mine().update(lease_expires_at=self._until()):
                    self._lost = True
                    break
            except DatabaseError as error:
                log.warning("sync.job.lease_not_renewed", job_id=str(self.job.pk), error=str(error))
                connection.close()
                wait = min(usual, RENEW_AGAIN_SECONDS)
        connection.close()

    def insist(self) -> None:
        """Raises `LeaseLost` once a heartbeat found the job in other hands: whoever takes no note of it
        would go on asking GitHub in vain. Touches no database, so any thread may call it."""
        if self._lost:
            raise LeaseLost(f"job {self.job.pk} is no longer ours")

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

    def keep(self, checkpoint: Mapping[str, Any]) -> None:
        """Keeps how far the run is, within the transaction of `writing` that brought it there: so a
        checkpoint never says more than was committed."""
        if not self._mine().update(checkpoint=checkpoint):
            raise LeaseLost(f"job {self.job.pk} is no longer ours")

    def _renew(self) -> None:
        spent = self.spent() if self.spent is not None else {}
        if not self._mine().update(lease_expires_at=self._until(), **self._progress, **spent):
            raise LeaseLost(f"job {self.job.pk} is no longer ours")
        self._shown_at = time.monotonic()
        if self._mine().filter(cancel_requested_at__isnull=False).exists():
            raise Cancelled
