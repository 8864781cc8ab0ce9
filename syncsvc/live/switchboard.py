"""Which stream is told what: lives in the event loop of one web process, and reads what the listener's
connection gives it. Hides how a stream that joins meets the others without a gap or an echo."""

import asyncio
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from syncsvc.live import frames, reading, rights, telling
from syncsvc.live.cursor import Cursor, advance, begin, missed
from syncsvc.live.reading import Row
from syncsvc.live.stream import MOST_AT_FIRST, Stream, tune
from syncsvc.live.telling import Telling, Wish

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often what happens, in seconds."""

    beat: float = 15.0
    rights: float = 5.0
    #: Without a word from the database, it is asked.
    look: float = 5.0
    #: A stream ends by itself after so long, drawn between the two: processes share them anew.
    life: tuple[float, float] = (240.0, 360.0)
    holes: float = 300.0
    tick: float = 0.25
    #: The connection is kept for so long after the last stream.
    linger: float = 60.0


class Switchboard:
    """All streams of this process, and how far they were told."""

    def __init__(self, pace: Pace, left: Callable[[Wish], None]) -> None:
        self.pace, self._release = pace, left
        self.wake = asyncio.Event()
        self.streams: set[Stream] = set()
        self.joining: set[Stream] = set()
        self._cursor: Cursor | None = None
        self._holes: dict[int, float] = {}
        self._rights_at = self._beat_at = self._busy_at = 0.0

    # -- coming and going --------------------------------------------------------------------------

    async def welcome(self, connection: socket.socket, head: bytes, wish: Wish) -> None:
        """A socket is handed over; its client is told what it missed at the next turn."""
        ends_at = time.monotonic() + random.uniform(*self.pace.life)
        stream = Stream(wish, ends_at=ends_at, left=self._gone)
        try:
            tune(connection)
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: stream, connection)
        except OSError:
            connection.close()
            self._release(wish)
            return
        # Each has its own patience: after a restart they do not come back all at once.
        stream.send(head + frames.retry(random.randint(1000, 3000)))
        self.joining.add(stream)
        self._busy_at = time.monotonic()
        self.wake.set()

    def _gone(self, stream: Stream) -> None:
        self.streams.discard(stream)
        self.joining.discard(stream)
        self._release(stream.wish)

    @property
    def is_busy(self) -> bool:
        """Whether the database has to be listened to."""
        if self.streams or self.joining:
            self._busy_at = time.monotonic()
        return time.monotonic() - self._busy_at < self.pace.linger

    def close(self) -> None:
        """Ends all streams: their clients go to another process."""
        for stream in (*self.streams, *self.joining):
            stream.close()

    def tick(self) -> None:
        """What the clock asks for."""
        now = time.monotonic()
        for stream in [each for each in (*self.streams, *self.joining) if each.ends_at <= now]:
            stream.close()
        if now - self._beat_at >= self.pace.beat:
            self._beat_at = now
            mark = frames.mark(str(self._cursor)) if self._cursor else b""
            for stream in self.streams:
                stream.send(frames.COMMENT + mark)
            for stream in self.joining:
                stream.send(frames.COMMENT)

    # -- a turn with the database ------------------------------------------------------------------

    async def connected(self, connection: Connection) -> None:
        """The connection is new. What happened since the last one is read by its ids, after it was
        asked who may still hear it; unless this is not the database that it was."""
        self._rights_at = 0.0
        _, newest = (await _rows(connection, reading.ENDS))[0]
        nobody_waits = not self.streams
        if self._cursor is not None and (nobody_waits or newest < self._cursor.newest):
            self._cursor = None
            self.joining |= self.streams
            self.streams.clear()

    async def turn(self, connection: Connection) -> None:
        """Tells all streams what is new, and those that joined what they missed."""
        if time.monotonic() - self._rights_at >= self.pace.rights:
            await self._check_rights(connection)
        await self._tell_new(connection)
        if self.joining:
            await self._bring_up(connection)

    async def _check_rights(self, connection: Connection) -> None:
        asked = {stream.wish.viewer for stream in (*self.streams, *self.joining)}
        people = await _rows(connection, rights.PEOPLE, [[each.user_id for each in asked]])
        keys = [each.session for each in asked if each.session is not None]
        ended = rights.ended(asked, people, await _rows(connection, rights.SESSIONS, [keys]))
        for stream in [*self.streams, *self.joining]:
            if stream.wish.viewer in ended:
                self.streams.discard(stream)  # not a word more
                self.joining.discard(stream)
                stream.close()
        self._rights_at = time.monotonic()

    async def _tell_new(self, connection: Connection) -> None:
        if self._cursor is None:
            recent = [number for (number,) in await _rows(connection, reading.RECENT)]
            _, newest = (await _rows(connection, reading.ENDS))[0]
            self._cursor = begin(recent, newest)
        self._forget_holes(self._cursor)
        read = reading.BATCH
        while read >= reading.BATCH:
            since = [list(self._cursor.holes), self._cursor.newest, reading.BATCH]
            rows = [reading.row(each) for each in await _rows(connection, reading.SINCE, since)]
            read = len(rows)
            for cursor, row in advance(self._cursor, rows):
                self._cursor = cursor
                self._tell(row, str(cursor))

    def _tell(self, row: Row, mark: str) -> None:
        listening = [stream for stream in self.streams if stream.wish.wants(row)]
        frame = frames.event(telling.of(row).body, mark) if listening else b""
        for stream in listening:
            stream.send(frame)

    def _forget_holes(self, cursor: Cursor) -> None:
        """What has not appeared for minutes was rolled back."""
        now = time.monotonic()
        self._holes = {hole: self._holes.get(hole, now) for hole in cursor.holes}
        old = {hole for hole, since in self._holes.items() if now - since > self.pace.holes}
        self._cursor = cursor.forget(old) if old else cursor

    async def _bring_up(self, connection: Connection) -> None:
        """What those that joined have missed of what was told so far, or how things stand."""
        told = self._cursor
        assert told is not None  # noqa: S101  (a turn begins with it)
        joining = list(self.joining)
        oldest, _ = (await _rows(connection, reading.ENDS))[0]
        cursors = [stream.wish.cursor for stream in joining]
        fitting = [each for each in cursors if each and can_resume(each, told, oldest)]
        rows = await _missed(connection, fitting)
        anew = len(fitting) < len(joining)
        present = await _rows(connection, reading.PRESENT) if anew else []
        standing = [telling.of(reading.row(each)) for each in present]
        for number, stream in enumerate(joining):
            if number % 50 == 0:
                await asyncio.sleep(0)  # many come back at once after a restart
            if stream not in self.joining:
                continue  # it left meanwhile
            cursor = stream.wish.cursor
            resumes = cursor is not None and can_resume(cursor, told, oldest)
            said = (
                caught_up(stream.wish, cursor, told, rows)
                if cursor is not None and resumes
                else anew_from(stream.wish, standing)
            )
            self.joining.discard(stream)
            self.streams.add(stream)
            stream.send(said + frames.mark(str(told)), MOST_AT_FIRST)


def can_resume(cursor: Cursor, told: Cursor, oldest: int) -> bool:
    """Whether all that a client missed is still there, and not more than is worth telling."""
    behind = told.newest - cursor.newest
    return 0 <= behind <= reading.MOST_MISSED and cursor.newest + 1 >= oldest


def caught_up(wish: Wish, cursor: Cursor, told: Cursor, events: Sequence[Telling]) -> bytes:
    """What a client that comes back has missed."""
    since = missed(cursor, told, (each for each in events if not cursor.has_seen(each.number)))
    return b"".join(frames.event(each.body, str(at)) for at, each in since if wish.wants(each.row))


def anew_from(wish: Wish, standing: Sequence[Telling]) -> bytes:
    """How things stand, without marks: whoever is cut off in the midst of it begins anew. Who had an
    id is told first that what came after it is lost."""
    lost = wish.cursor is not None
    reset = frames.body(frames.RESET, {"id": None, "reason": "events_lost"}) if lost else b""
    return reset + b"".join(each.body for each in standing if wish.wants(each.row))


async def _missed(connection: Connection, cursors: Sequence[Cursor]) -> list[Telling]:
    if not cursors:
        return []
    holes = sorted({hole for cursor in cursors for hole in cursor.holes})
    since = [holes, min(cursor.newest for cursor in cursors)]
    most = reading.MOST_MISSED + reading.BATCH
    rows = await _rows(connection, reading.SINCE, [*since, most])
    # A hole of one may lie after the newest of another: then it came with both parts.
    return [telling.of(reading.row(row)) for row in {row[0]: row for row in rows}.values()]


async def _rows(connection: Connection, query: str, values: Sequence[Any] = ()) -> list[Any]:
    cursor = await connection.execute(query.encode(), values)  # bytes: nothing is put into the text
    return await cursor.fetchall()
