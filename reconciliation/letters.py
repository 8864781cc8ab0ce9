"""One delivery on its way through a batch: opened, perhaps set aside, and what became of it written down.

Hides when a delivery is tried again, and that what is given up gets its dead letter in the same
transaction (R10.4).
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from django.db import DatabaseError, connection
from django.db.models import Q

from syncsvc import dead_letters, retrying, safe_text
from syncsvc.dead_letters import Buried
from syncsvc.github.values import InvalidRecord, MalformedBody
from syncsvc.models import Delivery, Installation
from syncsvc.webhooks import payloads, told
from syncsvc.webhooks.told import Subject, Told

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 5
MALFORMED: Final = "malformed"
REFUSED: Final = "refused"

_TABLE: Final = Delivery._meta.db_table


@dataclass(slots=True)
class Letter:
    """One delivery on its way through a batch, and what becomes of it."""

    row: Delivery
    told: Told
    outcome: str = ""
    detail: str = ""
    status: str = Delivery.Status.PROCESSED
    retry_at: datetime | None = None
    error: Exception | None = None


def opened(row: Delivery, now: datetime) -> Letter:
    """The delivery with what it tells; one that cannot be read is failed, not in the way."""
    outcome = told.not_ours(row.event, row.action)
    if outcome:
        letter = Letter(row=row, told=Told(subject=Subject.NOTHING, outcome=outcome))
        letter.outcome = outcome
        letter.status = (
            Delivery.Status.PROCESSED if outcome == told.PING else Delivery.Status.IGNORED
        )
        return letter
    try:
        return Letter(
            row=row, told=told.read(row.event, row.action, payloads.load(row.payload or b""))
        )
    except (InvalidRecord, MalformedBody, zlib.error, TypeError) as error:
        field = getattr(error, "field", "") or "payload"
        reason = getattr(error, "reason", "not readable")
        return Letter(
            row=row,
            told=Told(subject=Subject.NOTHING, outcome=MALFORMED),
            outcome=MALFORMED,
            detail=f"What it is about cannot be read: {field} is {reason}.",
            status=Delivery.Status.FAILED,
            error=error,
        )
    except Exception as error:  # noqa: BLE001  (one delivery's trouble, whatever it is, is its own)
        letter = Letter(row=row, told=Told(subject=Subject.NOTHING, outcome=REFUSED))
        set_aside(letter, error, now)
        return letter


def moment(letter: Letter) -> tuple[datetime, int]:
    """GitHub's own time; where there is none, ours. Of one time, the order in which they came."""
    return letter.told.as_of or letter.row.received_at, letter.row.pk


def set_aside(letter: Letter, error: Exception, now: datetime) -> None:
    """It could not be processed: logged once for each attempt, tried again later, or given up."""
    row = letter.row
    log.error(
        "delivery.failed",
        guid=row.guid,
        delivery_event=row.event,
        attempt=row.attempts + 1,
        exc_info=error,
    )
    letter.outcome, letter.status, letter.error = REFUSED, Delivery.Status.FAILED, error
    letter.detail = f"It could not be written ({type(error).__name__}); the log has the details."
    row.installation = installations([letter]).get(row.pk)
    if row.attempts + 1 < ATTEMPTS:
        letter.retry_at = now + retrying.delay(retrying.DELIVERIES, row.attempts + 1)


def installations(letters: Sequence[Letter]) -> dict[int, Installation]:
    """Whose each delivery is, by its primary key: by the account, else by the installation."""
    accounts = {letter.row.account_id for letter in letters}
    numbers = {letter.row.installation_github_id for letter in letters}
    rows = list(
        Installation.objects.filter(
            Q(account_id__in=accounts - {None})
            | Q(mode=Installation.Mode.APP, github_id__in=numbers - {None})
        )
    )
    by_account = {row.account_id: row for row in rows}
    by_number = {row.github_id: row for row in rows if row.mode == Installation.Mode.APP}
    found: dict[int, Installation] = {}
    for letter in letters:
        account_id, number = letter.row.account_id, letter.row.installation_github_id
        row = by_account.get(account_id or 0)
        if row is None and account_id is None:
            row = by_number.get(number or 0)
        if row is not None:
            found[letter.row.pk] = row
    return found


def write_down(letters: Sequence[Letter], now: datetime) -> int:
    """Writes down what became of each; those that are tried again keep waiting. One statement: the ORM
    would name each row in each column."""
    kinds = {
        "id": "bigint", "outcome": "text", "detail": "text", "happened_at": "timestamptz",
        "installation_id": "bigint", "due_at": "timestamptz", "status": "text",
        "processed_at": "timestamptz",
    }  # fmt: skip
    if not letters:
        return 0
    rows = [
        (
            letter.row.pk,
            letter.outcome,
            safe_text.clean(letter.detail),
            letter.told.as_of,
            letter.row.installation.pk if letter.row.installation else None,
            letter.retry_at or letter.row.due_at,
            letter.status if letter.retry_at is None else Delivery.Status.RECEIVED,
            now if letter.retry_at is None else None,
        )
        for letter in letters
    ]
    assigned = ", ".join(f"{name} = w.{name}" for name in kinds if name != "id")
    arrays = ", ".join(f"%s::{kind}[]" for kind in kinds.values())
    sql = f"""
        UPDATE {_TABLE} AS d SET {assigned}, attempts = d.attempts + 1
        FROM unnest({arrays}) AS w({", ".join(kinds)}) WHERE d.id = w.id
    """  # noqa: S608  (all names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(column) for column in zip(*rows, strict=True)])
    ended = [letter for letter in letters if letter.retry_at is None]
    if failed := [letter for letter in ended if letter.status == Delivery.Status.FAILED]:
        dead_letters.bury_deliveries([_buried(letter) for letter in failed], now)
    return len(ended)


def _buried(letter: Letter) -> Buried:
    category = dead_letters.UNKNOWN
    if letter.outcome == MALFORMED:
        category = "validation"
    elif isinstance(letter.error, DatabaseError):
        category = "database"
    return Buried(
        row=letter.row,
        attempts=letter.row.attempts + 1,
        outcome=letter.outcome,
        detail=letter.detail,
        category=category,
        happened_at=letter.told.as_of,
        error=letter.error,
    )
