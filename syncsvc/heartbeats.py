"""Signs of life: who leaves them, and how old they may be before `/readyz` says no.

A *process* (worker, clerk, beat) leaves one every few seconds, in a row of its own. A *duty* (the sweeper,
the drain of deliveries) leaves one when it comes to an end, whoever did it: so one that hangs, or never
gets its turn, falls silent although every process lives.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, connection

from syncsvc import clock
from syncsvc.models import Heartbeat

log = structlog.get_logger(__name__)

WORKER: Final = "worker"
CLERK: Final = "clerk"
BEAT: Final = "beat"
SWEEPER: Final = "sweeper"
DRAIN: Final = "drain"

MAX_AGE: Final = timedelta(seconds=30)
#: Duties are asked for every 5 to 10 s; a few may come late or be lost with the broker.
DUTY_MAX_AGE: Final = timedelta(seconds=90)
DUTIES: Final = frozenset({SWEEPER, DRAIN})
KEPT: Final = timedelta(days=1)
SIGN_SECONDS: Final = 5.0

_unrecorded: set[str] = set()
_signed_at: dict[str, float] = {}
_guard = threading.Lock()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sign:
    """The last sign of one process or duty, as of `age` seconds ago."""

    component: str
    instance: str
    age: float
    alive: bool
    started_at: datetime | None
    detail: Mapping[str, Any]


def record(component: str, *, instance: str | None = None, **detail: Any) -> bool:
    """Leaves a sign of life of this process in `component`. A database that is down is logged once and
    never raised: the component must outlive it. Whether it was written."""
    now = clock.now()
    row = Heartbeat(
        component=component,
        instance=_this_process() if instance is None else instance,
        beaten_at=now,
        started_at=now,
        detail=detail,
    )
    try:
        _reconnecting(
            lambda: Heartbeat.objects.bulk_create(
                [row],
                update_conflicts=True,
                unique_fields=["component", "instance"],
                update_fields=["beaten_at", "detail"],
            )
        )
    except Exception as error:  # noqa: BLE001  (whatever it is, the next sign may succeed)
        if component not in _unrecorded:  # said once, not every few seconds
            _unrecorded.add(component)
            log.warning("heartbeat.not_recorded", component=component, error=type(error).__name__)
        return False
    _unrecorded.discard(component)
    return True


def sign(duty: str, **detail: Any) -> None:
    """A duty came to an end. Often is as good as every few seconds."""
    with _guard:
        now = time.monotonic()
        if now - _signed_at.get(duty, float("-inf")) < SIGN_SECONDS:
            return
        _signed_at[duty] = now
    if not record(duty, instance="", **detail):
        _signed_at.pop(duty, None)


def farewell(component: str) -> None:
    """This process ends as it should: nobody need wonder where it is."""
    try:
        _reconnecting(
            Heartbeat.objects.filter(component=component, instance=_this_process()).delete
        )
    except Exception as error:  # noqa: BLE001  (it ends all the same, and is seen to be silent)
        log.info("heartbeat.not_removed", component=component, error=type(error).__name__)


def prune(now: datetime) -> int:
    """Forgets processes that have been silent for a day. Returns how many."""
    return Heartbeat.objects.filter(beaten_at__lt=now - KEPT).delete()[0]


def max_age(component: str) -> timedelta:
    """How old the last sign may be."""
    return DUTY_MAX_AGE if component in DUTIES else MAX_AGE


def alive(component: str, now: datetime) -> bool:
    """Whether any process of `component` gave a sign of life lately; one from the future, which a clock
    wrote that was wrong, is none."""
    age = max_age(component)
    return Heartbeat.objects.filter(
        component=component, beaten_at__gte=now - age, beaten_at__lte=now + age
    ).exists()


def read(now: datetime) -> list[Sign]:
    """The last sign of each, those of one component together, the youngest first."""
    return [
        Sign(
            component=row.component,
            instance=row.instance,
            age=max(0.0, (now - row.beaten_at).total_seconds()),
            alive=abs(now - row.beaten_at) <= max_age(row.component),
            started_at=row.started_at,
            detail=row.detail,
        )
        for row in Heartbeat.objects.order_by("component", "-beaten_at", "instance")
    ]


def _reconnecting(write: Callable[[], object]) -> None:
    """Writes; once more on a new connection where the kept one was cut, as by a restart (R10.5)."""
    try:
        write()
    except (OperationalError, InterfaceError):
        if connection.in_atomic_block:
            raise  # somebody else's transaction, which is lost
        connection.close()
        write()


def _this_process() -> str:
    return f"{socket.gethostname()[:100]}:{os.getpid()}"
