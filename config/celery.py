"""The Celery application, and the heartbeats by which `/readyz` sees that worker and beat live."""

import os
import threading
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_ready, worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

HEARTBEAT_SECONDS = 5.0

app = Celery("config")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

_stopping = threading.Event()


@setup_logging.connect
def _keep_our_logging(**_: Any) -> None:
    """Connected so that Celery leaves the logging of `config.logs` alone."""


@worker_ready.connect
def _start_worker_heartbeat(**_: Any) -> None:
    threading.Thread(target=_beat_forever, name="heartbeat", daemon=True).start()


@worker_shutting_down.connect
def _stop_worker_heartbeat(**_: Any) -> None:
    _stopping.set()


def _beat_forever() -> None:
    from syncsvc import heartbeats  # noqa: PLC0415  (Django must be set up first)

    while not _stopping.is_set():
        heartbeats.record("worker")
        _stopping.wait(HEARTBEAT_SECONDS)
