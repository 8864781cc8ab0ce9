"""Who empties which mailbox, and which deliveries are suspected of killing whoever takes them up (R10.4).

A worker that is killed takes its transaction with it, so nothing of a batch would tell that it was ever
begun. Hence it is written down before, and the note goes with the batch, in its transaction. Where the
note is still there and nobody holds the mailbox, a worker died: what it had taken is taken in parts half
as large each time, until a single delivery is left and pays for the death with an attempt.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import QuerySet

from syncsvc.models import Mailbox

#: So long after it was begun a batch may still wait for its first statement; no death is counted then.
GRACE: Final = timedelta(seconds=5)
NOBODYS: Final = 0

_LOCK: Final = 7_410
_TABLE: Final = Mailbox._meta.db_table
#: One round trip, with a commit that waits for no disk: what a crash of the server takes with it is only
#: that a batch was begun. Whoever holds the mailbox, or changed the note since it was read, keeps it.
_CLAIM: Final = f"""
    INSERT INTO {_TABLE} AS m
        (account_id, token, begun_at, taken, last_id, deaths, part, suspect_until)
    SELECT %s, %s, %s, %s, %s, %s, %s, %s
    FROM (SELECT set_config('synchronous_commit', 'off', true)) AS s
    WHERE pg_try_advisory_xact_lock({_LOCK}, %s)
    ON CONFLICT (account_id) DO UPDATE SET
        token = excluded.token, begun_at = excluded.begun_at, taken = excluded.taken,
        last_id = excluded.last_id, deaths = excluded.deaths, part = excluded.part,
        suspect_until = excluded.suspect_until
    WHERE m.token = %s
"""  # noqa: S608  (all names are ours)


class NotOurs(Exception):
    """Another worker took the mailbox meanwhile: nothing may be written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspicion:
    """What is known of deaths over a mailbox. Pure.

    `part` is how many deliveries are taken at once, up to number `until`; None: as many as ever.
    """

    deaths: int = 0
    part: int | None = None
    until: int | None = None

    def after_death(self, taken: int, last_id: int) -> "Suspicion":
        """A worker died over `taken` deliveries: half as many are taken next."""
        return Suspicion(
            deaths=self.deaths + 1,
            part=max(1, taken // 2),
            until=max(last_id, self.until or last_id),
        )

    def after_success(self, last_id: int) -> "Suspicion":
        """A part did no harm: what is left of the suspects is about as large, so half of it follows.
        Parts that halve each time add up to the whole, so this takes few more batches than one."""
        if self.part is None or self.until is None or last_id >= self.until:
            return Suspicion()
        return Suspicion(deaths=self.deaths, part=max(1, self.part // 2), until=self.until)


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """What stands written of a mailbox. Pure."""

    token: uuid.UUID | None = None
    begun_at: datetime | None = None
    taken: int = 0
    last_id: int = 0
    suspicion: Suspicion = Suspicion()

    def is_fresh(self, now: datetime) -> bool:
        """Whether somebody may just have begun. A clock that was set back must not make it so for long."""
        return self.begun_at is not None and abs(now - self.begun_at) < GRACE

    @property
    def killer(self) -> int | None:
        """The delivery that was alone in a batch over which a worker died, if nobody holds the mailbox."""
        return self.last_id if self.begun_at is not None and self.taken == 1 else None

    @property
    def suspects(self) -> Suspicion:
        """What is suspected now, if nobody holds the mailbox."""
        if self.begun_at is None:
            return self.suspicion
        return self.suspicion.after_death(self.taken, self.last_id)


def read(account_id: int | None) -> Note:
    """What stands written of the mailbox of this account."""
    row = Mailbox.objects.filter(pk=account_id or NOBODYS).first()
    if row is None:
        return Note()
    return Note(
        token=row.token,
        begun_at=row.begun_at,
        taken=row.taken,
        last_id=row.last_id,
        suspicion=Suspicion(deaths=row.deaths, part=row.part, until=row.suspect_until),
    )


def claim(
    account_id: int | None,
    known: Note,
    batch: Sequence[int],
    suspicion: Suspicion,
    now: datetime,
) -> Note | None:
    """Writes down, for good, that this worker begins `batch` (nothing: only what is suspected).

    None when another worker holds the mailbox, or has changed the note since `known` was read.
    """
    token, begun_at = uuid.uuid4(), now if batch else None
    last_id = batch[-1] if batch else 0
    columns = (
        account_id or NOBODYS,
        token,
        begun_at,
        len(batch),
        last_id,
        suspicion.deaths,
        suspicion.part,
        suspicion.until,
    )
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [*columns, _key(account_id), known.token])
        if cursor.rowcount != 1:
            return None
    return Note(
        token=token, begun_at=begun_at, taken=len(batch), last_id=last_id, suspicion=suspicion
    )


def hold(account_id: int | None) -> None:
    """Holds the mailbox until the transaction ends, which then waits for no disk: what a crash of the
    server takes with it still waits, and is processed again."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('synchronous_commit', 'off', true), pg_advisory_xact_lock(%s, %s)",
            [_LOCK, _key(account_id)],
        )


def release(account_id: int | None, note: Note) -> None:
    """The batch was processed: in its transaction. Raises `NotOurs` if the note is another's."""
    left = note.suspicion.after_success(note.last_id)
    mine = _written(account_id, note)
    if not mine.update(
        begun_at=None, taken=0, deaths=left.deaths, part=left.part, suspect_until=left.until
    ):
        raise NotOurs(f"mailbox {account_id} was taken by another worker")


def spare(account_id: int | None, note: Note) -> None:
    """The batch was not processed, and nothing in it was to blame: no death is counted."""
    _written(account_id, note).update(begun_at=None, taken=0)


def suspected() -> set[int]:
    """The accounts whose mailboxes are under suspicion, or were begun and not ended."""
    rows = Mailbox.objects.exclude(begun_at=None, suspect_until=None)
    return set(rows.values_list("account_id", flat=True))


def _written(account_id: int | None, note: Note) -> QuerySet[Mailbox]:
    return Mailbox.objects.filter(pk=account_id or NOBODYS, token=str(note.token))


def _key(account_id: int | None) -> int:
    return (account_id or NOBODYS) % 2**31
