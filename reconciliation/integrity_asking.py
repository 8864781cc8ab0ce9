"""Asks the database which rows of the mirror break a rule: by their keys, or window by window.

Hides the statements. Which rules there are is told by `integrity_rules`, what comes of it by `integrity`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import psycopg
from django.db import connection

from reconciliation.integrity_rules import OLDEST, RULES, TABLES
from syncsvc.content_plan import Key

WINDOW: Final = 20_000
"""Rows of a table that one statement of the whole check looks at."""
MOST: Final = 1_000
"""Broken rows that one statement tells of: a rule that all rows break is told by its first ones."""
_AHEAD: Final = timedelta(days=1)
_BY_NAME: Final = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, kw_only=True, slots=True)
class Broken:
    """One row that breaks one rule. `installation_id` is None when nobody can tell whose it is."""

    entity: str
    key: str
    rule: str
    installation_id: int | None
    repository_id: int | None

    @property
    def sentence(self) -> str:
        """The rule in words for people."""
        return _BY_NAME[self.rule].sentence


def asked(sql: str, parameters: Mapping[str, Any]) -> list[Broken]:
    """The broken rows that a statement of this module tells of."""
    return [
        Broken(entity=entity, key=key, rule=rule, installation_id=account, repository_id=home)
        for entity, key, account, home, broken in rows(sql, parameters)
        for rule in broken
    ]


def rows(sql: str, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """What a statement answers."""
    # psycopg's own cursor: Django's would write each key into the text of the statement.
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(sql, parameters).fetchall()


@cache
def sql(entity: str, source: str) -> str:
    """The rows `t` of the source that break a rule, and which ones."""
    table = TABLES[entity]
    rules = [rule for rule in RULES if rule.entity == entity]
    cases = ", ".join(f"CASE WHEN {rule.condition} THEN '{rule.name}' END" for rule in rules)
    return f"""
        SELECT '{entity}', {table.key}, {table.account}, {table.home}, t.broken
        FROM (
            SELECT t.*, array_remove(ARRAY[{cases}], NULL) AS broken FROM {source}
            WHERE {_any_of(entity)} LIMIT {MOST}
        ) AS t {table.joined}
    """  # noqa: S608  (all names are ours)


def _any_of(entity: str) -> str:
    return " OR ".join(rule.condition for rule in RULES if rule.entity == entity)


def by_keys(entity: str) -> str:
    """The statement that judges the rows with the keys of `key_columns`."""
    return sql(entity, _looked_up(entity))


@cache
def counting(entity: str) -> str:
    """How many rows of the keys are there, and how many break a rule: hardly ever any does."""
    gone = "t.dropped_at" if entity == "commits" else "t.removed_at"
    return f"""
        SELECT count(*) FILTER (WHERE {gone} IS NULL), count(*) FILTER (WHERE {_any_of(entity)})
        FROM {_looked_up(entity)}
    """  # noqa: S608  (all names are ours)


def _looked_up(entity: str) -> str:
    """Looked up one by one, so that a batch costs the same whatever the table's size."""
    name = TABLES[entity].name
    if entity == "commits":
        given = "unnest(%(homes)s::bigint[], %(keys)s::text[]) AS w(home, key)"
        same = "x.repository_id = w.home AND x.sha = w.key"
    else:
        given = "unnest(%(keys)s::bigint[]) AS w(key)"
        same = "x.github_id = w.key"
    row = f"SELECT * FROM {name} AS x WHERE {same} OFFSET 0"  # noqa: S608  (all names are ours)
    return f"{given} CROSS JOIN LATERAL ({row}) AS t"


def key_columns(entity: str, keys: Collection[Key]) -> dict[str, Any]:
    """The keys as arrays; those that need no quotes as one text, which is faster to hand over."""
    if entity != "commits":
        return {"keys": _array(keys)}
    pairs = [key for key in keys if isinstance(key, tuple)]
    shas = [sha for _, sha in pairs]
    plain = all(sha.isalnum() for sha in shas)
    return {"homes": _array(home for home, _ in pairs), "keys": _array(shas) if plain else shas}


def _array(values: Iterable[object]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def by_window(entity: str, *, one_account: bool) -> str:
    """The statement that judges the rows of a range of the primary key, of all or one account."""
    table, repositories = TABLES[entity], TABLES["repositories"].name
    mine = ""
    if one_account and entity == "repositories":
        mine = "AND x.installation_id = %(account)s"
    elif one_account:
        homes = f"SELECT id FROM {repositories} WHERE installation_id = %(account)s"  # noqa: S608  (our names)
        mine = f"AND x.repository_id IN ({homes})"
    rows = f"SELECT * FROM {table.name} AS x WHERE x.id > %(low)s AND x.id <= %(high)s {mine}"  # noqa: S608  (our names)
    return sql(entity, f"({rows}) AS t")


def windows(entity: str) -> Iterator[tuple[int, int, int]]:
    """Ranges of the primary key, each with how many rows there are in it."""
    sql = f"""
        SELECT max(id), count(*) FROM
            (SELECT id FROM {TABLES[entity].name} WHERE id > %s ORDER BY id LIMIT %s) AS w
    """  # noqa: S608  (the table's name is ours)
    low = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(sql, [low, WINDOW])
            high, rows = cursor.fetchone()
        if high is None:
            return
        yield low, high, rows
        low = high


def size(entity: str, installation_id: int) -> int:
    """How many rows an account has."""
    table = TABLES[entity]
    sql = f"""
        SELECT count(*) FROM {table.name} AS t {table.joined} WHERE {table.account} = %s
    """  # noqa: S608  (all names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, [installation_id])
        return int(cursor.fetchone()[0])


def moments(now: datetime) -> dict[str, Any]:
    """Before and after which no time can be right."""
    return {"oldest": OLDEST, "latest": now + _AHEAD}
