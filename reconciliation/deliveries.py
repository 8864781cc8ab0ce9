"""Drains the deliveries that were stored: mailbox by mailbox, in the order of GitHub's own times (R6.3).

An account is a mailbox: one worker at a time empties it, any number of workers empty different ones. A
batch, its outcomes and what it asks for are one transaction, so a delivery is applied once or waits.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Min, Q

from reconciliation import account_events
from reconciliation.account_events import Wishes
from reconciliation.hearing import Heard, hear
from syncsvc import clock, rechecks
from syncsvc.github.values import InvalidRecord, MalformedBody
from syncsvc.models import Delivery, Installation, SyncJob
from syncsvc.rechecks import Asked
from syncsvc.webhooks import payloads, told
from syncsvc.webhooks.told import Subject, Told

log = structlog.get_logger(__name__)

BATCH: Final = 300
BATCH_BYTES: Final = 32 * 1024 * 1024
ACCOUNTS: Final = 200
ATTEMPTS: Final = 5
RETRY_BASE: Final = timedelta(seconds=10)
STRANGER_WAITS: Final = timedelta(seconds=60)

_LOCK: Final = 7_410
_TABLE: Final = Delivery._meta.db_table
#: Nothing was done, and nothing had to be.
_IGNORED: Final = frozenset({"unknown_installation", "other_account", "suspended", "unmanaged"})


@dataclass(slots=True)
class Letter:
    """One delivery on its way through a batch, and what becomes of it."""

    row: Delivery
    told: Told
    outcome: str = ""
    detail: str = ""
    status: str = Delivery.Status.PROCESSED
    retry_at: datetime | None = None


def drain(now: datetime | None = None) -> int:
    """Processes every delivery that waits and is due; returns how many got a final status.

    Safe to call from any number of workers at once, and to be killed at any moment.
    """
    done = 0
    for account_id in _mailboxes(now or clock.now()):
        while True:
            try:
                handled, ended = _empty(account_id, now or clock.now())
            except (OperationalError, InterfaceError) as error:
                # The database's trouble, or a deadlock: nothing was written, the next round tries.
                log.warning("delivery.drain_failed", account_id=account_id, error=str(error))
                connection.close()
                break
            done += ended
            if not handled:
                break
    return done


def _mailboxes(now: datetime) -> list[int | None]:
    """The accounts that have deliveries waiting, the one that waits longest first."""
    waiting = Delivery.objects.filter(status=Delivery.Status.RECEIVED, due_at__lte=now)
    rows = waiting.values("account_id").annotate(first=Min("pk")).order_by("first")
    return [row["account_id"] for row in rows[:ACCOUNTS]]


def _empty(account_id: int | None, now: datetime) -> tuple[int, int]:
    """Processes one batch of a mailbox; how many were looked at, and how many are done with.

    (0, 0) when nothing waits, or another worker is at it.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            # What a crash of the server takes with it still waits, and is processed again.
            cursor.execute("SET LOCAL synchronous_commit TO off")
            cursor.execute(
                "SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK, (account_id or 0) % 2**31]
            )
            if not cursor.fetchone()[0]:
                return 0, 0
        letters = [_opened(row) for row in _batch(account_id, now)]
        if not letters:
            return 0, 0
        letters.sort(key=_moment)
        wishes = Wishes()
        _process(letters, now, wishes)
        ended = _note(letters, now)
    wishes.carry_out()
    return len(letters), ended


def _batch(account_id: int | None, now: datetime) -> list[Delivery]:
    waiting = Delivery.objects.filter(
        status=Delivery.Status.RECEIVED, account_id=account_id, due_at__lte=now
    ).order_by("pk")
    taken: list[int] = []
    size = 0
    for pk, payload_bytes in waiting.values_list("pk", "payload_bytes")[:BATCH]:
        size += payload_bytes
        if taken and size > BATCH_BYTES:
            break
        taken.append(pk)
    return list(Delivery.objects.filter(pk__in=taken).order_by("pk"))


def _opened(row: Delivery) -> Letter:
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
            told=Told(subject=Subject.NOTHING, outcome="malformed"),
            outcome="malformed",
            detail=f"What it is about cannot be read: {field} is {reason}.",
            status=Delivery.Status.FAILED,
        )


def _moment(letter: Letter) -> tuple[datetime, int]:
    """GitHub's own time; where there is none, ours. Of one time, the order in which they came."""
    return letter.told.as_of or letter.row.received_at, letter.row.pk


# -- what they tell --------------------------------------------------------------------------------


def _process(letters: Sequence[Letter], now: datetime, wishes: Wishes) -> None:
    """Carries out what the letters tell. One that the database refuses is found by halving and set
    aside, so that it keeps nobody else waiting."""
    try:
        with transaction.atomic():
            _carry_out(letters, now, wishes)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:  # noqa: BLE001  (one delivery's trouble, whatever it is, is its own)
        if len(letters) > 1:
            middle = len(letters) // 2
            _process(letters[:middle], now, wishes)
            _process(letters[middle:], now, wishes)
            return
        _set_aside(letters[0], error, now)


def _set_aside(letter: Letter, error: Exception, now: datetime) -> None:
    row = letter.row
    log.error(
        "delivery.failed",
        guid=row.guid,
        delivery_event=row.event,
        attempt=row.attempts + 1,
        exc_info=error,
    )
    letter.outcome, letter.status = "refused", Delivery.Status.FAILED
    letter.detail = f"It could not be written ({type(error).__name__}); the log has the details."
    if row.attempts + 1 < ATTEMPTS:
        letter.retry_at = now + RETRY_BASE * (1 << row.attempts)


def _carry_out(letters: Sequence[Letter], now: datetime, wishes: Wishes) -> None:
    for about_account, group in groupby(letters, key=_is_about_account):
        part = list(group)
        if about_account:
            for letter in part:
                letter.outcome = account_events.hear(letter.told, letter.row.action, now, wishes)
                letter.status = _status_of(letter.outcome)
                letter.row.installation = _installations([letter]).get(letter.row.pk)
        else:
            _hear(part, now, wishes)


def _is_about_account(letter: Letter) -> bool:
    return letter.told.subject in (Subject.INSTALLATION, Subject.SELECTION, Subject.ACCOUNT)


def _status_of(outcome: str) -> str:
    return Delivery.Status.IGNORED if outcome in _IGNORED else Delivery.Status.PROCESSED


def _hear(letters: Sequence[Letter], now: datetime, wishes: Wishes) -> None:
    """Deliveries about repositories: those of each account together."""
    known = _installations(letters)
    by_account: dict[int, list[Letter]] = {}
    accounts: dict[int, Installation] = {}
    for letter in letters:
        found = known.get(letter.row.pk)
        letter.row.installation = found
        if letter.told.subject is Subject.NOTHING:
            _ask_instead(letter, now, wishes)
        elif found is None:
            _unknown(letter, now, wishes)
        elif found.status != Installation.Status.ACTIVE:
            letter.outcome, letter.status = "suspended", Delivery.Status.IGNORED
        else:
            accounts[found.pk] = found
            by_account.setdefault(found.pk, []).append(letter)
    for pk, part in by_account.items():
        heard = [Heard(order=order, told=letter.told) for order, letter in enumerate(part)]
        result = hear(accounts[pk], heard, now, _listed_until(pk, now))
        for order, letter in enumerate(part):
            letter.outcome = result.outcomes[order]
            letter.status = _status_of(letter.outcome)
            letter.detail = letter.told.unclear
        if result.asked:
            wishes.rechecks.add(pk)


def _installations(letters: Sequence[Letter]) -> dict[int, Installation]:
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


def _ask_instead(letter: Letter, now: datetime, wishes: Wishes) -> None:
    """A delivery that cannot be read still says that something happened to its repository."""
    row = letter.row
    if letter.outcome != "malformed" or row.installation is None or not row.repository_github_id:
        return
    asked = Asked(github_id=row.repository_github_id, itself=True, reason="malformed")
    rechecks.ask(row.installation.pk, [asked], trigger=SyncJob.Trigger.WEBHOOK, now=now)
    wishes.rechecks.add(row.installation.pk)


def _unknown(letter: Letter, now: datetime, wishes: Wishes) -> None:
    """Nobody's yet: the webhook that says who it is may come late, and discovery may know."""
    letter.outcome, letter.status = "unknown_installation", Delivery.Status.IGNORED
    if letter.row.attempts + 1 < ATTEMPTS:
        letter.retry_at = now + STRANGER_WAITS
        wishes.discover = True
    else:
        log.info(
            "delivery.unknown_installation",
            guid=letter.row.guid,
            account_id=letter.row.account_id,
            installation=letter.row.installation_github_id,
        )


def _listed_until(installation_id: int, now: datetime) -> datetime | None:
    """Until when runs of ours may have read something that is newer than a webhook."""
    job = (
        SyncJob.objects.filter(
            installation=installation_id, started_at__isnull=False, dry_run=False
        )
        .exclude(mode__in=SyncJob.NARROW)
        .order_by("-created_at")
        .values_list("status", "finished_at", "stage_started_at", named=True)
        .first()
    )
    if job is None:
        return None
    if job.status == SyncJob.Status.RUNNING:
        return now
    return job.finished_at or job.stage_started_at or now


# -- the end ---------------------------------------------------------------------------------------


def _note(letters: Sequence[Letter], now: datetime) -> int:
    """Writes down what became of each; those that are tried again keep waiting. One statement: the ORM
    would name each row in each column."""
    kinds = {
        "id": "bigint", "outcome": "text", "detail": "text", "happened_at": "timestamptz",
        "installation_id": "bigint", "due_at": "timestamptz", "status": "text",
        "processed_at": "timestamptz",
    }  # fmt: skip
    rows = [
        (
            letter.row.pk,
            letter.outcome,
            letter.detail,
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
    return sum(letter.retry_at is None for letter in letters)
