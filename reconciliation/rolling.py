"""Sums hours that are over, once, into `RolledHours`; what reads them is `reconciliation.rolled`.

Hides when an hour is over. Nothing may be rolled of which a part is still to be written, so an hour is
over when the database's clock says so and every transaction that has written anything began after it.
What is written of it later marks its day (a trigger, in the same transaction), and the day is rolled again.
Every function may be killed at any moment, and called at any: what was committed is right by itself.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final

from django.db import connection, transaction

from reconciliation import rolled
from reconciliation.columns import ARRAYS, EVERYTHING, SCALARS, SOURCES
from reconciliation.models import RolledHours, RolledUntil, StaleDay
from reconciliation.rolled import NOTHING, Question, Rolled
from reconciliation.stretches import SPANS, floor

DAY: Final = timedelta(hours=24)
SECONDS: Final = 20.0
"""How long one call goes on: a history of years is rolled by many."""
STALE_AT_ONCE: Final = 200
DAYS_AT_ONCE: Final = 3
_TABLE: Final = RolledHours._meta.db_table
_LOCK: Final = 0x526F6C6C
"""Of the advisory lock: two that roll at once would only do the same."""


def roll(now: datetime, seconds: float = SECONDS) -> int:
    """Rolls what is over and what is stale, for so long at most; returns how many stretches that were."""
    ends, done = monotonic() + seconds, 0
    while monotonic() < ends:
        with transaction.atomic():
            if not _alone():
                return done
            step = _back() or _again() or _onwards(now)
        if not step:
            return done
        done += step
    return done


def _alone() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


# -- back ------------------------------------------------------------------------------------------


def _back() -> int:
    """Forgets hours that are still to come: the database's clock was ahead when they were summed, and
    what is written of them now is not late, so it would mark nothing."""
    known = RolledUntil.objects.first()
    if known is None:
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        until = max(floor(cursor.fetchone()[0]), known.since)
        if known.until <= until:
            return 0
        cursor.execute(
            f"DELETE FROM {_TABLE} WHERE at > %s AND at + hours * interval '1 hour' > %s",  # noqa: S608  (all names are ours)
            [until - DAY, until],
        )
    RolledUntil.objects.filter(pk=known.pk).update(until=until)
    return 1


# -- onwards ---------------------------------------------------------------------------------------


def _onwards(now: datetime) -> int:
    """The next whole hours, as far as a midnight not far away."""
    known = RolledUntil.objects.first()
    oldest = None if known is not None else _oldest()
    since = known.until if known is not None else oldest and floor(oldest, 24)
    if since is None:
        return 0
    over, midnight = _over(now), floor(since, 24) + DAYS_AT_ONCE * DAY
    following = _oldest(since)
    # Days of nothing are passed over at once; a day that was begun is summed to its end.
    nothing = since == floor(since, 24) and (following is None or following >= midnight)
    until = min(over, midnight)
    if nothing:
        until = over if following is None else min(over, floor(following, 24))
    if until <= since:
        return 0
    if not nothing:
        _write(since, until)
    if known is None:
        RolledUntil.objects.create(since=since, until=until)
    else:
        RolledUntil.objects.filter(pk=known.pk).update(until=until)
    return 1


def _over(now: datetime) -> datetime:
    """The end of the last hour of which nothing more can be written without marking its day.

    A transaction counts from its first write on: who only reads, however long, writes nothing of
    the past without the trigger seeing that it is the past.
    """
    sql = """
        SELECT least(clock_timestamp(), min(xact_start)) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    """
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    return floor(min(now, row[0]))


def _oldest(since: datetime | None = None) -> datetime | None:
    """The time of the oldest that there is to sum, from then on."""
    later = "true" if since is None else f"t.{{at}} >= '{since.isoformat()}'::timestamptz"
    oldest = " UNION ALL ".join(
        f"""SELECT min(t.{each.at}) AS at FROM {each.table} AS t
        WHERE {each.condition} AND {later.format(at=each.at)}"""  # noqa: S608  (all names are ours)
        for each in SOURCES
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT min(at) FROM ({oldest}) AS all_of_them")  # noqa: S608  (all names are ours)
        at: datetime | None = cursor.fetchone()[0]
    return at


# -- once more -------------------------------------------------------------------------------------


def _again() -> int:
    """Days of which something came late, the oldest marks first."""
    # Read before the rows are: a mark that comes meanwhile stays for the next time.
    marks = list(
        StaleDay.objects.order_by("pk").values_list("pk", "installation_id", "day")[:STALE_AT_ONCE]
    )
    known = RolledUntil.objects.first()
    if not marks or known is None:
        return 0
    days: dict[datetime, set[int]] = {}
    for _, account, day in marks:
        days.setdefault(day, set()).add(account)
    for day, accounts in days.items():
        since, until = max(day, known.since), min(day + DAY, known.until)
        if since < until:
            stale = RolledHours.objects.filter(
                installation__in=accounts, at__gte=day, at__lt=day + DAY
            )
            stale.delete()
            _write(since, until, sorted(accounts))
    StaleDay.objects.filter(pk__in=[pk for pk, _, _ in marks]).delete()
    return len(days)


# -- writing ---------------------------------------------------------------------------------------


def _write(since: datetime, until: datetime, accounts: Sequence[int] | None = None) -> None:
    """Sums the hours between the two, and the longer stretches that end there."""
    _insert(
        1, Question(EVERYTHING, (rolled.ACCOUNT, rolled.step(1)), (since, until), accounts), NOTHING
    )
    day = floor(since, 24)
    for hours in sorted(set(SPANS) - {1}):
        # From its beginning: its first hours may have been rolled before.
        begin, end = floor(since, hours), floor(until, hours)
        if begin < end:
            question = Question(
                EVERYTHING, (rolled.ACCOUNT, rolled.step(hours)), (begin, end), accounts, longest=1
            )
            _insert(hours, question, Rolled(between=(day, until)))


def _insert(hours: int, question: Question, known: Rolled) -> None:
    sql = rolled.sql_of(question, known)
    arrays = [
        f"""CASE WHEN {" OR ".join(f"{name} <> 0" for name in names)}
            THEN ARRAY[{", ".join(names)}]::{_element(array)}[] ELSE '{{}}' END"""
        for array, names in ARRAYS.items()
    ]
    statement = f"""
        INSERT INTO {_TABLE} (installation_id, hours, at, {", ".join([*SCALARS, *ARRAYS])})
        SELECT s.account, {hours}, s.step, {", ".join([*SCALARS, *arrays])} FROM ({sql}) AS s
        JOIN syncsvc_installation AS i ON i.id = s.account
    """  # noqa: S608  (all names are ours)
    scope: list[Any] = [] if question.scope is None else list(question.scope)
    with connection.cursor() as cursor:
        cursor.execute(statement, {"scope": scope})


def _element(array: str) -> str:
    field: Any = RolledHours._meta.get_field(array)
    return str(field.base_field.db_type(connection))
