"""The Celery application, and the heartbeats by which `/readyz` sees that worker and beat live."""

import os
import threading
import warnings
from typing import Any

import structlog
from celery import Celery, Task
from celery.exceptions import CPendingDeprecationWarning
from celery.signals import (
    setup_logging,
    worker_init,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from django.db.utils import InterfaceError, OperationalError

from config import stopping

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

HEARTBEAT_SECONDS = 5.0
SWEEP_EXPIRES_SECONDS = 60
FAREWELL_SECONDS = 2.0

log = structlog.get_logger(__name__)


class OurTask(Task):  # type: ignore[type-arg]  # generic in the stubs alone
    """A task whose failure for the database's sake is a line and no stack: while the database is away each
    periodic task fails so, every few seconds, and comes again by itself."""

    throws = (OperationalError, InterfaceError)

    def on_failure(self, exc: BaseException, *_: Any) -> None:
        """Said by us, because Celery says what is expected where nobody looks."""
        if isinstance(exc, self.throws):
            cause = type(exc.__cause__ or exc).__name__
            log.warning("task.database_failed", task=self.name, error=cause)


app = Celery("config", task_cls=OurTask)
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_stopping = threading.Event()
_heart: threading.Thread | None = None


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Connected so that Celery leaves the logging of `config.logs` alone."""


@worker_init.connect
def _begin_to_listen_for_the_end(**_: Any) -> None:
    stopping.begin()  # before the children are forked


@worker_ready.connect
def _start_worker_heartbeat(sender: Any, **_: Any) -> None:
    from syncsvc import heartbeats, ringing  # noqa: PLC0415  (Django must be set up first)

    # Said at each loss of the broker, of a default that the settings decide. Celery asks for it at its start.
    warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
    queues = sorted(app.amqp.queues.consume_from)
    component = (
        heartbeats.WORKER if ringing.queue_of(ringing.RUN_JOB) in queues else heartbeats.CLERK
    )
    about = {"queues": queues, "slots": sender.pool.num_processes}
    global _heart  # noqa: PLW0603  (Celery's signals pass no object of ours on)
    _heart = threading.Thread(
        target=_beat_forever, args=(component, about), name="heartbeat", daemon=True
    )
    _heart.start()
    if ringing.short_queue() in queues:  # whatever was rung for in vain is found at once
        ringing.ring("syncsvc.ring_waiting_jobs", expires=SWEEP_EXPIRES_SECONDS)


@worker_shutting_down.connect
def _stop_worker_heartbeat(**_: Any) -> None:
    stopping.want()  # runs hand their jobs back
    _stopping.set()


@worker_shutdown.connect
def _let_the_heart_say_farewell(**_: Any) -> None:
    if _heart is not None:
        _heart.join(FAREWELL_SECONDS)


def _beat_forever(component: str, about: dict[str, Any]) -> None:
    from syncsvc import heartbeats  # noqa: PLC0415  (Django must be set up first)

    while not _stopping.is_set():
        heartbeats.record(component, **about)
        _stopping.wait(HEARTBEAT_SECONDS)
    heartbeats.farewell(component)
