"""Deliveries into the database, each once: on their own, or many at a time with one commit.

Hides what a duplicate is, how request threads share the cost of a commit, what a database that is
down or was restarted means for the answer, and the bell for the workers.
"""

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import orjson
import psycopg
import structlog
from django.db import DatabaseError, connection, connections, transaction

from syncsvc import clock, ringing
from syncsvc.webhooks.arrival import Arrival

log = structlog.get_logger(__name__)

DRAIN: Final = "reconciliation.drain_deliveries"
BELL_SECONDS: Final = 0.25
BELL_SECONDS_AFTER_FAILURE: Final = 5.0
BELL_EXPIRES_SECONDS: Final = 60
"""A message that nobody took meanwhile is of no use: a periodic task looks anyway."""
STATEMENT_SECONDS: Final = 4
"""GitHub hangs up after 10 s; by then two attempts must have come to an end."""
CONNECT_SECONDS: Final = 3
LARGEST_BATCH: Final = 200


class Stored(StrEnum):
    """What became of an arrival."""

    NEW = "accepted"
    SEEN = "seen"
    IMPOSSIBLE = "unstorable"
    UNAVAILABLE = "unavailable"


# One parameter for the short columns: psycopg takes longer over nine arrays than over the rest.
# The rows come in order of their keys: two processes that store the same ones wait for each other
# in the same order, and cannot deadlock.
_INSERT: Final = """
    INSERT INTO syncsvc_delivery (
        guid, hook_id, target_type, target_id, event, action, installation_github_id, account_id,
        repository_github_id, payload, payload_bytes,
        received_at, due_at, status, outcome, detail, attempts
    )
    SELECT *, %s::timestamptz, %s::timestamptz, 'received', '', '', 0
    FROM ROWS FROM (
        json_to_recordset(%s::json) AS (
            guid text, hook_id bigint, target_type text, target_id bigint, event text, action text,
            installation_github_id bigint, account_id bigint, repository_github_id bigint
        ),
        unnest(%b::bytea[], %s::int[])
    )
    ON CONFLICT (guid, hook_id) DO NOTHING
    RETURNING guid, hook_id
"""
_SHORT: Final = tuple(
    name for name in Arrival.__dataclass_fields__ if name not in ("payload", "payload_bytes")
)
_ON_THE_DISK: Final = (
    "SELECT set_config('synchronous_commit', 'on', %s)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)


def _insert(
    raw: "psycopg.Connection[Any]", arrivals: Sequence[Arrival], now: datetime
) -> list[Stored]:
    """One statement for all of them; of equal ones the first is new. Raises psycopg's errors."""
    ordered = sorted(arrivals, key=lambda each: each.key)
    short = [{name: getattr(each, name) for name in _SHORT} for each in ordered]
    parameters = (
        now,
        now,
        orjson.dumps(short).decode(),
        [each.payload for each in ordered],
        [each.payload_bytes for each in ordered],
    )
    with psycopg.Cursor(raw) as cursor:
        cursor.execute(_INSERT, parameters)
        new = Counter(cursor.fetchall())
    outcomes = []
    for each in arrivals:
        outcomes.append(Stored.NEW if new[each.key] else Stored.SEEN)
        new[each.key] = 0
    return outcomes


def _insert_what_can_be(
    raw: "psycopg.Connection[Any]", arrivals: Sequence[Arrival], now: datetime
) -> list[Stored]:
    """A row that the database refuses does not take the others with it: they are halved apart."""
    try:
        return _insert(raw, arrivals, now)
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        if len(arrivals) == 1:
            kind = type(error).__name__  # its text may quote what was sent
            log.warning("webhook.unstorable", guid=arrivals[0].guid, error=kind)
            return [Stored.IMPOSSIBLE]
    middle = len(arrivals) // 2
    return [
        *_insert_what_can_be(raw, arrivals[:middle], now),
        *_insert_what_can_be(raw, arrivals[middle:], now),
    ]


def store_now(arrival: Arrival) -> Stored:
    """Stores through Django's connection, within the transaction that may be open there."""
    try:
        with transaction.atomic(), connection.wrap_database_errors:
            connection.ensure_connection()
            with psycopg.Cursor(connection.connection) as cursor:
                cursor.execute(_ON_THE_DISK, [True])
            [stored] = _insert(connection.connection, [arrival], clock.now())
    except DatabaseError as error:
        return _told(error, [arrival])
    if stored is Stored.NEW:
        transaction.on_commit(bell.note)
    return stored


def _told(error: Exception, arrivals: Sequence[Arrival]) -> Stored:
    """One line for all that could not be stored: GitHub calls them failed, and is asked for them."""
    log.error(
        "webhook.not_stored",
        error=type(error).__name__,
        deliveries=len(arrivals),
        guid=arrivals[0].guid,
    )
    return Stored.UNAVAILABLE


# -- many with one commit ------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Waiting:
    """An arrival in its request's thread. The gate opens when it is settled or has to lead."""

    arrival: Arrival
    gate: threading.Lock = field(default_factory=threading.Lock)
    stored: Stored | None = None

    def __post_init__(self) -> None:
        self.gate.acquire()


class GroupCommit:
    """One connection for all threads of a process: what arrives during a commit shares the next one.

    There is no thread of its own: of those that wait, the first writes for all, and then hands on to
    the first of those that came meanwhile. So a lone delivery costs no change of threads.
    """

    def __init__(self, connect: Callable[[], "psycopg.Connection[Any]"] | None = None) -> None:
        self._connect = connect or _connect
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()
        self._queue: list[_Waiting] = []
        self._busy = False

    def store(self, arrival: Arrival) -> Stored:
        """Returns once it is known what became of it: `NEW` and `SEEN` are on the disk."""
        mine = _Waiting(arrival)
        with self._lock:
            self._queue.append(mine)
            leads, self._busy = not self._busy, True
        if not leads:
            mine.gate.acquire()
        if mine.stored is None:
            self._lead()
        assert mine.stored is not None  # noqa: S101  (the leader is the first of its own batch)
        return mine.stored

    def close(self) -> None:
        """Gives the connection back; the next delivery opens another one."""
        with self._lock:
            held, self._connection = self._connection, None
        if held is not None:
            held.close()

    def _lead(self) -> None:
        """Writes for all that wait, wakes them, and hands on to one that came meanwhile."""
        with self._lock:
            batch, self._queue = self._queue[:LARGEST_BATCH], self._queue[LARGEST_BATCH:]
        outcomes = [Stored.UNAVAILABLE] * len(batch)
        try:
            outcomes = self._write([each.arrival for each in batch])
        finally:
            with self._lock:
                following = self._queue[0] if self._queue else None
                self._busy = following is not None
            if following is not None:
                following.gate.release()
            for each, stored in zip(batch, outcomes, strict=True):
                each.stored = stored
                each.gate.release()
        if Stored.NEW in outcomes:
            bell.note()

    def _write(self, arrivals: Sequence[Arrival]) -> list[Stored]:
        """Once more on a new connection where the database was restarted: what the first attempt had
        committed already is found as seen."""
        error: Exception | None = None
        for _ in range(2):
            fresh = self._connection is None
            try:
                if self._connection is None:
                    self._connection = self._connect()
                return _insert_what_can_be(self._connection, arrivals, clock.now())
            except (psycopg.Error, DatabaseError) as caught:
                error = caught
                held, self._connection = self._connection, None
                if held is not None:
                    held.close()
                if fresh or isinstance(error, psycopg.errors.QueryCanceled):
                    break  # no third wait: the sender hangs up after 10 s
        assert error is not None  # noqa: S101  (each way out of the loop but the return sets it)
        return [_told(error, arrivals)] * len(arrivals)


def _connect() -> "psycopg.Connection[Any]":
    """A connection of its own, made as Django makes its own, but never one that commits in memory."""
    wrapper = connections.create_connection("default")
    limits = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": 1000 * STATEMENT_SECONDS}
    parameters = wrapper.get_connection_params() | limits
    made: psycopg.Connection[Any] = wrapper.get_new_connection(parameters)
    try:
        made.autocommit = True
        made.execute(_ON_THE_DISK, [False])
        made.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    except BaseException:
        made.close()
        raise
    return made


# -- the bell ------------------------------------------------------------------------------------


def ring_bell() -> bool:
    """Tells the workers through the broker that there is something to process; False if it is down.

    Nothing is lost by that: a periodic task processes what waits.
    """
    return ringing.ring(DRAIN, expires=BELL_EXPIRES_SECONDS)


class Bell:
    """Rings after deliveries were stored, from a thread of its own, and not for each of them."""

    def __init__(self, pause: float = BELL_SECONDS) -> None:
        self._pause = pause
        self._wanted = threading.Event()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def note(self) -> None:
        """Something was stored: the workers are told soon. Never waits, never fails."""
        self._wanted.set()
        if self._thread is None:
            with self._guard:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            pause.wait(self._pause if ring_bell() else BELL_SECONDS_AFTER_FAILURE)


group = GroupCommit()
bell = Bell()


def store(arrival: Arrival) -> Stored:
    """Stores together with whatever else arrives in this process at that moment."""
    return group.store(arrival)


def _begin_anew() -> None:
    """In a forked child: the parent's connection and threads are not its own.

    psycopg does not close a connection in another process than the one that opened it.
    """
    global group, bell
    group, bell = GroupCommit(), Bell()


os.register_at_fork(after_in_child=_begin_anew)
