"""The bell: a message through the broker, sent in a second or given up.

Hides what a broker is that is down, was restarted or flushed, or takes a connection and never answers.
Nothing depends on a message: what it tells of stands in the database, and is found there by whoever
looks next. So no request waits for the broker, and none fails because of it.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from celery import current_app
from django.conf import settings

log = structlog.get_logger(__name__)

RUN_JOB: Final = "reconciliation.run_job"
SECONDS: Final = 1.0
"""What a caller may wait for the broker."""
PAUSE_SECONDS: Final = 5.0
"""How long nobody tries after a failure: of all callers of a process, one waits."""

_SOCKET_LIMITS: Final[Mapping[str, tuple[str, ...]]] = {
    "redis": ("socket_timeout", "socket_connect_timeout"),
    "rediss": ("socket_timeout", "socket_connect_timeout"),
    "sentinel": ("socket_timeout", "socket_connect_timeout"),
    "amqp": ("read_timeout", "write_timeout"),
    "amqps": ("read_timeout", "write_timeout"),
}


def queue_of(task: str) -> str:
    """Runs may take hours and have a queue of their own, so that nothing short waits behind them."""
    runs: str = settings.CELERY_TASK_DEFAULT_QUEUE
    return runs if task == RUN_JOB else short_queue()


def short_queue() -> str:
    """The queue of what takes seconds: the sweeper, the schedule, deliveries."""
    return f"{settings.CELERY_TASK_DEFAULT_QUEUE}{settings.SHORT_QUEUE_ENDING}"


def connect(url: str = "") -> Any:
    """A connection for sending (kombu's), each of whose steps ends within `SECONDS`; to our broker, or to
    that of `url`. Opens nothing yet."""
    scheme = (url or str(current_app.conf.broker_url)).partition("://")[0]
    limits: dict[str, Any] = dict.fromkeys(_SOCKET_LIMITS.get(scheme, ()), SECONDS)
    if scheme in _SOCKET_LIMITS:
        limits |= {"max_retries": 0}
    return current_app.connection_for_write(
        url or None,
        connect_timeout=SECONDS,
        transport=scheme if url else None,
        transport_options=limits,
    )


class Bell:
    """One connection for all threads of a process, made anew after each failure."""

    def __init__(self, connect: Callable[[], Any] = connect) -> None:
        self._connect = connect
        self._connection: Any = None
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._is_down = False

    def ring(self, task: str, args: Sequence[Any] = (), kwargs: Any = None, **options: Any) -> bool:
        """Sends the message; False where the broker did not take it, which loses nothing.

        `options` are Celery's (`expires`, `queue`, ...); without a queue it goes where the task belongs.
        """
        if time.monotonic() < self._quiet_until or not self._lock.acquire(timeout=SECONDS):
            return False
        try:
            if time.monotonic() < self._quiet_until:
                return False  # another thread has just found out
            options["queue"] = options.get("queue") or queue_of(task)
            self._send(task, args, kwargs, options)
        except Exception as error:  # noqa: BLE001  (each transport has its own; a bell raises none)
            self._failed(error)
            return False
        finally:
            self._lock.release()
        if self._is_down:
            self._is_down = False
            log.info("broker.back")
        return True

    def _send(
        self, task: str, args: Sequence[Any], kwargs: Any, options: Mapping[str, Any]
    ) -> None:
        """Once more on a new connection where a kept one turned out to be cut: most brokers show
        that only now."""
        began, kept = time.monotonic(), self._connection is not None
        try:
            self._send_once(task, args, kwargs, options)
        except Exception:
            self._drop()
            if not kept or time.monotonic() - began > SECONDS / 2:
                raise
            self._send_once(task, args, kwargs, options)

    def _send_once(
        self, task: str, args: Sequence[Any], kwargs: Any, options: Mapping[str, Any]
    ) -> None:
        if self._connection is None:
            self._connection = self._connect()
        current_app.send_task(
            task, args=args, kwargs=kwargs, connection=self._connection, retry=False, **options
        )

    def _failed(self, error: Exception) -> None:
        self._drop()
        self._quiet_until = time.monotonic() + PAUSE_SECONDS
        if not self._is_down:  # said once, not for each message
            self._is_down = True
            log.warning("broker.unreachable", error=type(error).__name__)

    def _drop(self) -> None:
        held, self._connection = self._connection, None
        if held is not None:
            try:
                held.release()
            except Exception as error:  # noqa: BLE001  (it is being thrown away)
                log.debug("broker.not_closed", error=type(error).__name__)


_bell = Bell()


def ring(task: str, args: Sequence[Any] = (), kwargs: Any = None, **options: Any) -> bool:
    """Rings the bell of this process (see `Bell.ring`). Never raises, waits a second at most."""
    return _bell.ring(task, args, kwargs, **options)


def _begin_anew() -> None:
    """In a forked child: the parent's connection and lock are not its own."""
    global _bell  # noqa: PLW0603  one bell, one process
    _bell = Bell()


os.register_at_fork(after_in_child=_begin_anew)
