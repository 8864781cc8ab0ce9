"""A stream where none can be held (another server than gunicorn, TLS without a proxy): what was missed
or how things stand, and the end. An EventSource comes back by itself, so this is polling."""

from collections.abc import Sequence
from typing import Any, Final

from django.db import connection

from syncsvc.live import frames, reading, telling
from syncsvc.live.cursor import Cursor, advance, begin
from syncsvc.live.switchboard import anew_from, can_resume, caught_up
from syncsvc.live.telling import Wish

RETRY_MILLISECONDS: Final = 2_000


def answer(wish: Wish) -> bytes:
    """All of the answer's body."""
    oldest, newest = _rows(reading.ENDS)[0]
    told = begin([number for (number,) in _rows(reading.RECENT)], newest)
    cursor = wish.cursor
    if cursor is None or not can_resume(cursor, told, oldest):
        said = anew_from(wish, [telling.of(reading.row(each)) for each in _rows(reading.PRESENT)])
        return _closed(said, told)
    most = reading.MOST_MISSED + reading.BATCH
    found = _rows(reading.SINCE, [list(cursor.holes), cursor.newest, most])
    rows = [telling.of(reading.row(each)) for each in found]
    *_, after = (cursor, *(at for at, _ in advance(cursor, rows)))
    old = [hole for hole in after.holes if told.has_seen(hole)]  # nobody waits for them any longer
    return _closed(caught_up(wish, cursor, after, rows), after.forget(old))


def _closed(said: bytes, mark: Cursor) -> bytes:
    return frames.retry(RETRY_MILLISECONDS) + said + frames.mark(str(mark))


def _rows(query: str, values: Sequence[Any] = ()) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        rows: list[Any] = cursor.fetchall()
    return rows
