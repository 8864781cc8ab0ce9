"""The check for gaps: reads GitHub's logs, finds silences, and takes every open gap a step further.

Hides the order, and that only one check runs at a time. Whatever fails is shown where it belongs and
keeps nothing else from being checked.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from django.db import DatabaseError, connection

from syncsvc import clock, discovery
from syncsvc.github.errors import GitHubError
from syncsvc.models import Gap, Installation, MissedDelivery
from syncsvc.webhooks import healing, hooks, ledger, openings, silence

AT_ONCE: Final = 500
_ACCOUNT_EVENTS: Final = frozenset({"installation", "installation_target"})
_LOCK: Final = 0x67617073
"""Of this check, among PostgreSQL's advisory locks."""

log = structlog.get_logger(__name__)


@dataclass(kw_only=True, slots=True)
class Report:
    """What one check did. `skipped`: another one was under way."""

    skipped: bool = False
    hooks: int = 0
    unreadable: int = 0
    pages: int = 0
    entries: int = 0
    missed: int = 0
    arrived: int = 0
    opened: int = 0
    asked: int = 0
    closed: int = 0


def check(now: datetime | None = None, rng: Callable[[], float] | None = None) -> Report:
    """Looks for gaps and heals them (R6.5, R6.6). Cheap when nothing is wrong: one request a hook.

    `rng` gives numbers from 0 to 1 and spreads catch-ups over half a minute. While another check
    runs this one does nothing.
    """
    moment = now or clock.now()
    report = Report()
    with _alone() as alone:
        if not alone:
            return Report(skipped=True)
        silence.note_last_deliveries()
        hooks.learn(moment)
        _hourly(moment)
        _read_ledgers(moment, report)
        report.opened = _open(moment)
        _heal(healing.Check(now=moment, rng=rng or random.random), report)
    if report.missed or report.opened or report.closed:
        log.info("gaps.checked", missed=report.missed, opened=report.opened, closed=report.closed)
    return report


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other check runs; the lock ends with the connection at the latest."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        row = cursor.fetchone()
    got = bool(row and row[0])
    try:
        yield got
    finally:
        if got and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _hourly(now: datetime) -> None:
    """What changes slowly: rhythms, and which hooks of organizations lead here."""
    states = silence.due_for_rhythm(now)
    for state in states:
        if state.installation.status == Installation.Status.ACTIVE:
            _look_up(state.installation)
    silence.work_out_rhythms(states, now)


def _look_up(installation: Installation) -> None:
    try:
        hooks.look_up(installation)
    except (GitHubError, DatabaseError, ValueError) as error:  # one account's trouble is its own
        log.warning(
            "hooks.lookup_failed", installation_id=installation.pk, error=type(error).__name__
        )


def _read_ledgers(now: datetime, report: Report) -> None:
    for hook in hooks.due(now):
        try:
            reading = ledger.read(hook, now)
        except Exception as error:  # one log's trouble keeps no other from being read
            log.exception("ledger.failed", hook=str(hook), error=type(error).__name__)
            continue
        report.hooks += 1
        report.unreadable += reading.error is not None
        report.pages += reading.pages
        report.entries += len(reading.entries)
        report.missed += len(reading.missed)
        if any(each.event in _ACCOUNT_EVENTS for each in reading.missed):
            _discover()
    report.arrived = ledger.heal_arrived()
    strangers = MissedDelivery.objects.filter(installation__isnull=True, healed_at__isnull=True)
    if strangers.exists() and _discover():
        # New accounts are about to be read as a whole; what is still unknown is not ours.
        strangers.update(healed_at=now, healed_by="discovery")


def _discover() -> bool:
    """Lets GitHub say which accounts there are; one that was heard of may be new, or changed."""
    try:
        discovery.discover()
    except GitHubError as error:
        log.warning("discovery.failed", kind=error.kind, sentence=error.sentence)
        return False
    return True


def _open(now: datetime) -> int:
    opened = len(openings.open_for_missed(now))
    for each in silence.strange(now):
        openings.open_for_silence(each, now)
        opened += 1
    return opened


def _heal(check: healing.Check, report: Report) -> None:
    due = Gap.objects.filter(closed_at__isnull=True, next_step_at__lte=check.now)
    for gap_id in list(due.order_by("next_step_at", "pk").values_list("pk", flat=True)[:AT_ONCE]):
        try:
            gap = healing.heal(gap_id, check)
        except Exception as error:  # one account's trouble keeps no other's gap waiting
            log.exception("gap.failed", gap_id=gap_id, error=type(error).__name__)
            continue
        report.closed += gap is not None and gap.closed_at is not None
    report.asked = check.asked
