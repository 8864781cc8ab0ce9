"""Drains the deliveries that were stored: mailbox by mailbox, in the order of GitHub's own times (R6.3).

An account is a mailbox: one worker at a time empties it, any number of workers empty different ones. A
batch, its outcomes and what it asks for are one transaction, so a delivery is applied once or waits.
A delivery that cannot be processed is tried again, then given up with a dead letter; so is one that kills
whoever takes it up, which `reconciliation.mailboxes` finds out (R10.4).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from django.db.models import Min, QuerySet

from config import stopping
from reconciliation import account_events, mailboxes
from reconciliation.account_events import Wishes
from reconciliation.hearing import Heard, hear
from reconciliation.letters import (
    ATTEMPTS,
    REFUSED,
    Letter,
    installations,
    moment,
    opened,
    set_aside,
    write_down,
)
from reconciliation.mailboxes import Note, Suspicion
from syncsvc import clock, rechecks, retrying
from syncsvc.models import Delivery, Installation, SyncJob
from syncsvc.rechecks import EVERYTHING, Asked
from syncsvc.webhooks.told import Subject, Told

log = structlog.get_logger(__name__)

BATCH: Final = 300
BATCH_BYTES: Final = 32 * 1024 * 1024
ACCOUNTS: Final = 200
STRANGER_WAITS: Final = timedelta(seconds=60)

#: So often a delivery may kill its worker, alone in its batch: each costs a worker all it had in hand.
DEATHS: Final = 3
INTERRUPTED: Final = "interrupted"

#: Nothing was done, and nothing had to be.
_IGNORED: Final = frozenset({"unknown_installation", "other_account", "suspended", "unmanaged"})
#: What PostgreSQL says when what it was asked for is too much, not when it is unwell: out of memory,
#: program limits, a statement that took too long. Such a delivery would stand in the way for ever.
_TOO_MUCH: Final = frozenset({"53200", "54000", "54001", "54011", "54023", "57014"})


def drain(now: datetime | None = None) -> int:
    """Processes every delivery that waits and is due; returns how many got a final status.

    Safe to call from any number of workers at once, and to be killed at any moment.
    """
    done = 0
    for account_id in _mailboxes(now or clock.now()):
        try:
            while True:
                handled, ended = _empty(account_id, now or clock.now())
                done += ended
                if not handled:
                    break
                if stopping.is_wanted():
                    return done  # what waits, waits for another worker
        except mailboxes.NotOurs as error:
            log.warning("delivery.drain_overtaken", account_id=account_id, error=str(error))
        except (OperationalError, InterfaceError) as error:
            # The database's trouble, or a deadlock: nothing was written, the next round tries.
            log.warning("delivery.drain_failed", account_id=account_id, error=str(error))
        except Exception as error:  # nobody's mailbox may keep the others waiting
            log.exception(
                "delivery.drain_failed", account_id=account_id, error=type(error).__name__
            )
    return done


def _mailboxes(now: datetime) -> list[int | None]:
    """The accounts that have deliveries waiting, the one that waits longest first; where workers died,
    last."""
    waiting = Delivery.objects.filter(status=Delivery.Status.RECEIVED, due_at__lte=now)
    rows = waiting.values("account_id").annotate(first=Min("pk")).order_by("first")
    accounts = [row["account_id"] for row in rows[:ACCOUNTS]]
    suspected = mailboxes.suspected()
    return sorted(accounts, key=lambda account_id: (account_id or mailboxes.NOBODYS) in suspected)


def _empty(account_id: int | None, now: datetime) -> tuple[int, int]:
    """Processes one batch of a mailbox; how many were looked at, and how many are done with.

    (0, 0) when nothing waits, or another worker is at it.
    """
    known = mailboxes.read(account_id)
    if known.is_fresh(now):
        return 0, 0
    if known.killer is not None:
        return _blame(account_id, known, known.killer, now)
    batch, suspicion = _batch(account_id, known.suspects, now)
    note = mailboxes.claim(account_id, known, batch, suspicion, now) if batch else None
    if note is None:
        return 0, 0
    wishes = Wishes()
    try:
        with transaction.atomic():
            mailboxes.hold(account_id)
            letters = _letters(batch, now)
            if readable := [each for each in letters if each.outcome != REFUSED]:
                _process(readable, now, wishes)
            ended = write_down(letters, now)
            mailboxes.release(account_id, note)
    except (OperationalError, InterfaceError) as error:
        connection.close()
        if getattr(error.__cause__, "sqlstate", None) not in _TOO_MUCH:
            _spare(account_id, note)
        raise
    wishes.carry_out()
    return len(letters), ended


def _spare(account_id: int | None, note: Note) -> None:
    try:
        mailboxes.spare(account_id, note)
    except DatabaseError as error:  # then it counts as a death, and one death blames nobody
        log.warning("delivery.drain_failed", account_id=account_id, error=str(error))


def _blame(account_id: int | None, known: Note, pk: int, now: datetime) -> tuple[int, int]:
    """A worker died over this delivery alone. It waits before it is taken up again, alone; in the end it
    is given up. What is left of the mailbox is free of suspicion."""
    with transaction.atomic():
        if mailboxes.claim(account_id, known, [], Suspicion(), now) is None:
            return 0, 0  # it is being worked on, for longer than usual
        waiting = Delivery.objects.filter(pk=pk, status=Delivery.Status.RECEIVED)
        row = waiting.select_for_update().defer("payload").first()
        if row is None:
            return 1, 0
        log.error(
            "delivery.killed_its_worker",
            guid=row.guid,
            delivery_event=row.event,
            attempt=row.attempts + 1,
        )
        letter = Letter(row=row, told=Told(subject=Subject.NOTHING, outcome=INTERRUPTED))
        letter.outcome, letter.status = INTERRUPTED, Delivery.Status.FAILED
        letter.detail = "The worker died each time while it processed this delivery."
        row.installation = installations([letter]).get(row.pk)
        # Other attempts of it may have failed by no death: a first one buries nothing.
        if row.outcome != INTERRUPTED or row.attempts + 1 < DEATHS:
            letter.detail = (
                "The worker died while it processed this delivery. It is tried again by itself."
            )
            letter.retry_at = now + retrying.delay(retrying.DELIVERIES, row.attempts + 1)
        return 1, write_down([letter], now)


def _batch(
    account_id: int | None, suspicion: Suspicion, now: datetime
) -> tuple[list[int], Suspicion]:
    """What is taken up next, and what is still suspected then: nothing, once all suspects are through.

    A delivery that killed its worker before is taken alone, after the others.
    """
    waiting = Delivery.objects.filter(
        status=Delivery.Status.RECEIVED, account_id=account_id, due_at__lte=now
    ).order_by("pk")
    if suspicion.until is not None:
        suspects = _fitting(waiting.filter(pk__lte=suspicion.until), suspicion.part or BATCH)
        if suspects:
            return suspects, suspicion
    return _fitting(waiting, BATCH), Suspicion()


def _fitting(waiting: QuerySet[Delivery], most: int) -> list[int]:
    taken: list[int] = []
    alone: list[int] = []
    size = 0
    for pk, payload_bytes, outcome in waiting.values_list("pk", "payload_bytes", "outcome")[:BATCH]:
        if outcome == INTERRUPTED:
            alone.append(pk)
            continue
        size += payload_bytes
        if len(taken) == most or (taken and size > BATCH_BYTES):
            break
        taken.append(pk)
    return taken or alone[:1]


def _letters(batch: Sequence[int], now: datetime) -> list[Letter]:
    """Those of the batch that still wait, opened, in the order of GitHub's own times."""
    rows = Delivery.objects.filter(pk__in=batch, status=Delivery.Status.RECEIVED).order_by("pk")
    return sorted((opened(row, now) for row in rows), key=moment)


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
        set_aside(letters[0], error, now)


def _carry_out(letters: Sequence[Letter], now: datetime, wishes: Wishes) -> None:
    for about_account, group in groupby(letters, key=_is_about_account):
        part = list(group)
        if about_account:
            for letter in part:
                letter.outcome = account_events.hear(letter.told, letter.row.action, now, wishes)
                letter.status = _status_of(letter.outcome)
                letter.row.installation = installations([letter]).get(letter.row.pk)
        else:
            _hear(part, now, wishes)


def _is_about_account(letter: Letter) -> bool:
    return letter.told.subject in (Subject.INSTALLATION, Subject.SELECTION, Subject.ACCOUNT)


def _status_of(outcome: str) -> str:
    return Delivery.Status.IGNORED if outcome in _IGNORED else Delivery.Status.PROCESSED


def _hear(letters: Sequence[Letter], now: datetime, wishes: Wishes) -> None:
    """Deliveries about repositories: those of each account together."""
    known = installations(letters)
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


def _ask_instead(letter: Letter, now: datetime, wishes: Wishes) -> None:
    """A delivery that cannot be read still says that something happened to its repository."""
    row = letter.row
    if letter.outcome != "malformed" or row.installation is None or not row.repository_github_id:
        return
    asked = Asked(
        github_id=row.repository_github_id, itself=True, reason="malformed", told=EVERYTHING
    )
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
