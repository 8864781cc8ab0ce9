"""Sums over any window, exact at any moment, quick where hours are rolled (R9.2, R18.5).

What is read: the rolled hours up to where rolling came, and the rows themselves of everything else: of the
broken hours at the edges of the windows, of what came after, and of days of which something came late.
So it does not matter when the rolling last happened, or whether it ever did, but for the time it takes.
Where all accounts are added up, the sums of all together are read, which the database keeps; but of a day
of which something of any account came late, each account's.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from django.db import connection

from reconciliation import columns
from reconciliation.columns import SOURCES, Source
from reconciliation.models import RolledUntil, StaleDay
from reconciliation.stretches import Stretch, split

Scope = Collection[int] | None
"""Our ids of the installations; None for all there are."""

_STALE: Final = StaleDay._meta.db_table
_STATE: Final = RolledUntil._meta.db_table


@dataclass(frozen=True, kw_only=True, slots=True)
class Rolled:
    """How far rolling came, and whether days wait to be rolled again."""

    between: tuple[datetime, datetime] | None = None
    stale: bool = False


NOTHING: Final = Rolled()
"""As if nothing was ever rolled: everything is read from the rows themselves."""


def state() -> Rolled:
    """As it is now, in one query. What was summed of hours to come, by a clock that was ahead, is not
    believed."""
    sql = f"""
        SELECT s.since, least(s.until, date_trunc('hour', clock_timestamp(), 'UTC')), EXISTS (SELECT 1 FROM {_STALE})
        FROM (SELECT 1) AS one LEFT JOIN {_STATE} AS s ON true
    """  # noqa: S608  (all names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql)
        since, until, stale = cursor.fetchone()
    return Rolled(between=None if since is None else (since, until), stale=stale)


class Key(NamedTuple):
    """What is grouped by; `{at}` stands for the time, `t` for the table."""

    name: str
    sql: str


ACCOUNT: Final = Key("account", "t.installation_id")


def step(hours: int) -> Key:
    """By stretches of so many hours in UTC, from which they begin."""
    return Key("step", f"date_bin('{hours} hours', {{at}}, '2000-01-01 00:00+00')")


def zone(borders: Sequence[datetime]) -> Key:
    """By the borders, in order: 0 before the first, 1 from it on, and so forth."""
    cases = " + ".join(f"({{at}} >= {_literal(each)})::int" for each in borders)
    return Key("zone", cases or "0")


class Question(NamedTuple):
    """What is to be summed: which sums, by what, of whom, between which edges.

    The edges are the beginning, all borders at which sums may be told apart, and the end. No rolled row
    that is longer than `longest` hours is used: that is for whoever groups by steps.
    """

    names: Sequence[str]
    keys: Sequence[Key]
    edges: Sequence[datetime]
    scope: Scope = None
    longest: int = 24


def ask(question: Question, rolled: Rolled) -> list[tuple[Any, ...]]:
    """A row for each value of the keys: the keys, and the sums in the order of their names."""
    sql = sql_of(question, rolled)
    if sql is None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(sql, {"scope": [] if question.scope is None else list(question.scope)})
        return list(cursor.fetchall())


def sql_of(question: Question, rolled: Rolled) -> str | None:
    """The one statement that answers it; None when there is nothing to read."""
    stretches = split(question.edges, rolled.between, question.longest)
    parts = list(_parts(question, stretches, stale=rolled.stale))
    if not parts:
        return None
    keys = [each.name for each in question.keys]
    sums = [f"coalesce(sum({each}), 0)::{columns.kind(each)} AS {each}" for each in question.names]
    grouped = f"GROUP BY {', '.join(keys)}" if keys else ""
    return (
        f"SELECT {', '.join([*keys, *sums])} FROM ({' UNION ALL '.join(parts)}) AS part {grouped}"  # noqa: S608  (all names are ours)
    )


def _parts(question: Question, stretches: Sequence[Stretch], *, stale: bool) -> Iterator[str]:
    rows = [each for each in stretches if each.hours]
    raw = [each for each in stretches if not each.hours]
    if rows and question.scope is None and ACCOUNT not in question.keys:
        yield _of_fleet(question, rows, stale=stale)
        if stale:
            yield _of_rolled(question, f"{_STALE_DAYS} JOIN {columns.TABLE} AS t {_ON_DAY}", rows)
    elif rows:
        yield _of_rolled(question, columns.TABLE, rows, stale=stale)
    for source in SOURCES:
        if not any(name in source.sums for name in question.names):
            continue
        if raw:
            yield _of_rows(question, source, raw)
        if rows and stale:
            yield _of_stale_days(question, source, rows)


#: Days of which something came late, whoever's.
_STALE_DAYS: Final = f"(SELECT DISTINCT day FROM {_STALE}) AS m"  # noqa: S608  (all names are ours)
_ON_DAY: Final = "ON t.at >= m.day AND t.at < m.day + interval '24 hours'"


def _of_fleet(question: Question, rows: Sequence[Stretch], *, stale: bool) -> str:
    believed = (
        f"AND NOT EXISTS (SELECT 1 FROM {_STALE} AS m WHERE m.day = date_trunc('day', t.at, 'UTC'))"  # noqa: S608  (all names are ours)
    )
    return _select(
        question,
        {name: columns.ROLLED[name] for name in question.names},
        columns.FLEET,
        "t.at",
        f"({_spanning(rows)}) {believed if stale else ''}",
    )


def _of_rolled(
    question: Question, source: str, rows: Sequence[Stretch], *, stale: bool = True
) -> str:
    believed = (
        f"""AND NOT EXISTS (SELECT 1 FROM {_STALE} AS n WHERE n.installation_id = t.installation_id
            AND n.day = date_trunc('day', t.at, 'UTC'))"""  # noqa: S608  (all names are ours)
        if stale
        else ""
    )
    return _select(
        question,
        {name: columns.ROLLED[name] for name in question.names},
        source,
        "t.at",
        f"({_spanning(rows)}) {believed}",
    )


def _spanning(rows: Sequence[Stretch]) -> str:
    spans = sorted({each.hours for each in rows})
    return " OR ".join(
        f"(t.hours = {hours} AND ({_during('t.at', [s for s in rows if s.hours == hours])}))"
        for hours in spans
    )


def _of_rows(question: Question, source: Source, raw: Sequence[Stretch]) -> str:
    at = f"t.{source.at}"
    return _select(
        question, source.sums, source.table, at, f"({_during(at, raw)}) AND {source.condition}"
    )


def _of_stale_days(question: Question, source: Source, rows: Sequence[Stretch]) -> str:
    """The rows of the days that are not to be believed, where what is rolled would have been read."""
    at = f"t.{source.at}"
    days = f"(SELECT DISTINCT installation_id, day FROM {_STALE}) AS m"  # noqa: S608  (all names are ours)
    joined = f"""{days} JOIN {source.table} AS t ON t.installation_id = m.installation_id
        AND {at} >= m.day AND {at} < m.day + interval '24 hours'"""
    return _select(
        question,
        source.sums,
        joined,
        at,
        f"({_during(at, rows)}) AND {source.condition}",
    )


def _select(
    question: Question, sums: Mapping[str, str], table: str, at: str, condition: str
) -> str:
    keys = [f"{each.sql.format(at=at)} AS {each.name}" for each in question.keys]
    chosen = [f"{sums.get(name, '0')} AS {name}" for name in question.names]
    source = table if " AS t " in table else f"{table} AS t"
    scope = "" if question.scope is None else "AND t.installation_id = ANY(%(scope)s::bigint[])"
    grouped = f"GROUP BY {', '.join(str(n) for n in range(1, len(keys) + 1))}" if keys else ""
    return (
        f"(SELECT {', '.join([*keys, *chosen])} FROM {source} WHERE {condition} {scope} {grouped})"  # noqa: S608  (all names are ours)
    )


def _during(at: str, stretches: Sequence[Stretch]) -> str:
    return " OR ".join(
        f"({at} >= {_literal(each.since)} AND {at} < {_literal(each.until)})" for each in stretches
    )


def _literal(at: datetime) -> str:
    """A moment that the planner knows: it chooses by how much lies between two of them."""
    if at.tzinfo is None:
        raise ValueError("naive times are refused: nobody knows what they mean")
    return f"'{at.isoformat()}'::timestamptz"
