"""The reader and the one writer of issues, pull requests and commits.

Hides how rows reach PostgreSQL fast, and how two writers of one item end with the newer of the two:
the statement that writes asks for GitHub's time itself, so nobody has to lock what was read.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import orjson
import psycopg
from django.db import connection, models

from syncsvc.content_plan import COLUMNS, Item, Key, MirrorItem
from syncsvc.github.reading import Entity
from syncsvc.mirror import Author
from syncsvc.models import Commit, Issue, PullRequest

_Parameters = Sequence[Any] | Mapping[str, Any]
_MODELS: Final[Mapping[Entity, type[models.Model]]] = {
    Entity.ISSUES: Issue,
    Entity.PULL_REQUESTS: PullRequest,
    Entity.COMMITS: Commit,
}
_ARRAYS: Final = ("assignees", "labels")
_LOCKS: Final = 256
_LOCKED: Final = {entity: number for number, entity in enumerate(Entity, 7_401)}
_SIGNED: Final = """
    last_written_at = %(now)s, changed_by = %(trigger)s, changed_by_job = %(job)s::uuid
"""
_CLAIMS: Final = """
    unnest(%(ids)s::bigint[], %(repositories)s::bigint[], %(numbers)s::bigint[],
           %(times)s::timestamptz[]) AS w(github_id, repository_id, number, updated_at)
"""
_AHEAD: Final = timedelta(days=1)
"""A time of GitHub's that lies further ahead is none: it must not shield its row for ever."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What became of a batch. `passed_over` were written by somebody else with newer data."""

    created: int
    updated: int
    passed_over: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What has to be known of an item that is there to tell whether it still should be."""

    pk: int
    number: int | None
    committed_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    """How one entity's table is called and what identifies its rows."""

    name: str
    keys: tuple[str, ...]
    gone: str
    """The column with the time since when it is not there any more."""

    @property
    def given(self) -> str:
        """Keys that are given as one array a column, as `w`."""
        arrays = ", ".join("%s::text[]" if name == "sha" else "%s::bigint[]" for name in self.keys)
        return f"unnest({arrays}) AS w({', '.join(self.keys)})"

    @property
    def same(self) -> str:
        """Whether row `t` is the one that is meant by `w`."""
        return " AND ".join(f"t.{name} = w.{name}" for name in self.keys)

    @property
    def columns(self) -> tuple[str, ...]:
        """What identifies an item, and whose it is."""
        return self.keys if "repository_id" in self.keys else (*self.keys, "repository_id")


def _table(entity: Entity) -> _Table:
    name = _MODELS[entity]._meta.db_table
    if entity is Entity.COMMITS:
        return _Table(name=name, keys=("repository_id", "sha"), gone="dropped_at")
    return _Table(name=name, keys=("github_id",), gone="removed_at")


# -- reading ---------------------------------------------------------------------------------------


def read(entity: Entity, keys: Collection[Key]) -> dict[Key, MirrorItem]:
    """The mirror's items of these keys, removed and dropped ones included (R5.5).

    `values` come in the order of `COLUMNS`, arrays as tuples, so that they compare with an `Item`'s.
    """
    if not keys:
        return {}
    table, columns = _table(entity), COLUMNS[entity]
    arrays = [columns.index(name) for name in _ARRAYS if name in columns]
    found: dict[Key, MirrorItem] = {}
    for pk, repository_id, present, written_at, *rest in _rows(_read_sql(entity), _by_column(keys)):
        key = _key(table, rest)
        values = rest[len(table.keys) :]
        for index in arrays:
            values[index] = tuple(values[index])
        found[key] = MirrorItem(
            pk=pk,
            repository_id=repository_id,
            values=tuple(values),
            present=present,
            written_at=written_at,
        )
    return found


@cache
def _read_sql(entity: Entity) -> str:
    table = _table(entity)
    listed = ", ".join(f"r.{name}" for name in (*table.keys, *COLUMNS[entity]))
    return f"""
        SELECT r.id, r.repository_id, r.{table.gone} IS NULL, r.last_written_at, {listed}
        FROM {_found(table)}
    """  # noqa: S608  (all names are ours)


def missing(entity: Entity, keys: Collection[Key]) -> list[Key]:
    """Which of these keys the mirror does not say are there (R8.1)."""
    if not keys:
        return []
    table = _table(entity)
    sql = f"""
        SELECT w.* FROM {_found(table)} WHERE r.{table.gone} IS NULL
    """  # noqa: S608  (all names are ours)
    there = {_key(table, row) for row in _rows(sql, _by_column(keys))}
    return [key for key in keys if key not in there]


def _found(table: _Table) -> str:
    """The keys that are given, as `w`, and the row of each as `r`.

    OFFSET 0 keeps PostgreSQL from reading the whole table where it thinks that cheaper than so many
    look-ups in the index of the keys: the cost of a batch is not to grow with the table.
    """
    return f"""{table.given}
        CROSS JOIN LATERAL (SELECT * FROM {table.name} AS t WHERE {table.same} OFFSET 0) AS r
    """  # noqa: S608  (all names are ours)


def _by_column(keys: Collection[Key]) -> list[str]:
    return [
        _array(part)
        for part in zip(*(k if isinstance(k, tuple) else (k,) for k in keys), strict=True)
    ]


def _array(values: Iterable[object]) -> str:
    """An array of numbers, shas or times, none of which needs quotes: psycopg would look at every
    value in Python, which takes as long as a quarter of the writing."""
    return f"{{{','.join(map(str, values))}}}"


def _key(table: _Table, values: Sequence[Any]) -> Key:
    return (values[0], values[1]) if len(table.keys) > 1 else values[0]


def present(entity: Entity, repository_id: int) -> dict[Key, Held]:
    """What the mirror says is in that list of the repository now; texts are not loaded."""
    table, commits = _table(entity), entity is Entity.COMMITS
    columns = "NULL::integer, t.committed_at" if commits else "t.number, NULL::timestamptz"
    sql = f"""
        SELECT t.id, {columns}, {", ".join(f"t.{name}" for name in table.keys)}
        FROM {table.name} AS t WHERE t.repository_id = %s AND t.{table.gone} IS NULL
    """  # noqa: S608  (all names are ours)
    return {
        _key(table, key): Held(pk=pk, number=number, committed_at=committed_at)
        for pk, number, committed_at, *key in _rows(sql, [repository_id])
    }


def counts(
    repository_ids: Collection[int], entities: Collection[Entity] = tuple(Entity)
) -> dict[tuple[int, Entity], int]:
    """How many items the mirror says are there, by repository and list; nothing where none is."""
    if not entities:
        return {}
    parts = " UNION ALL ".join(
        f"""
        SELECT repository_id, '{entity}', count(*) FROM {_table(entity).name}
        WHERE repository_id = ANY(%(ids)s::bigint[]) AND {_table(entity).gone} IS NULL GROUP BY repository_id
        """  # noqa: S608  (all names are ours)
        for entity in entities
    )
    rows = _rows(parts, {"ids": _array(repository_ids)})
    return {(repository_id, Entity(entity)): count for repository_id, entity, count in rows}


def _rows(sql: str, parameters: _Parameters) -> list[tuple[Any, ...]]:
    # psycopg's own cursor with binary results takes a third of the time of the ORM.
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(sql, parameters, binary=True).fetchall()


# -- writing ---------------------------------------------------------------------------------------


def write(entity: Entity, items: Sequence[Item], author: Author) -> Written:
    """Inserts or updates each item, and lets what was removed or dropped be there again (R5.5).

    The newest by GitHub's time wins, the later of two with one time; commits never change. Whoever
    else holds the number of an item is marked as replaced. Must run inside a transaction, one batch
    in each: whoever else writes to one of these lists waits for its end, and never in a circle.

    Raises Django's database errors, `DataError` and `IntegrityError` among them, when one of the
    items cannot be written; then none is.
    """
    batch = _batch(entity, items, author)
    if not batch:
        return Written(created=0, updated=0, passed_over=0)
    _alone(entity, (item.repository_id for item in batch))
    if entity is not Entity.COMMITS:
        _free_numbers(entity, batch, author)
    columns = (*_table(entity).columns, *COLUMNS[entity])
    rows = [dict(zip(columns, (*_identity(item), *item.values), strict=True)) for item in batch]
    parameters = _book(author) | {"rows": orjson.dumps(rows).decode()}
    [(created, total)] = _rows(_write_sql(entity), parameters)
    given = len({item.key for item in items})
    return Written(created=created, updated=total - created, passed_over=given - total)


def _identity(item: Item) -> tuple[Any, ...]:
    return item.key if isinstance(item.key, tuple) else (item.key, item.repository_id)


def _book(author: Author) -> dict[str, Any]:
    book = {"now": author.now, "ahead": author.now + _AHEAD}
    return book | {"trigger": author.trigger, "job": author.job_id}


def _batch(entity: Entity, items: Sequence[Item], author: Author) -> list[Item]:
    """What is left of the items when they are written one after the other, in the order of keys."""
    latest: dict[Key, Item] = {}
    for item in items:
        known = latest.pop(item.key, item)
        latest[item.key] = known if _is_newer(known, item, author) else item
    if entity is not Entity.COMMITS:
        # GitHub gives a number once: of two items with one number, the list moved in between.
        number = COLUMNS[entity].index("number")
        holders = {(item.repository_id, item.values[number]): item for item in latest.values()}
        latest = {item.key: item for item in holders.values()}
    return sorted(latest.values(), key=_identity)


def _is_newer(item: Item, other: Item, author: Author) -> bool:
    """Whether the other must not overwrite the item: the same as `_yields` says of rows."""
    mine, others = item.updated_at, other.updated_at
    return mine is not None and others is not None and others < mine <= author.now + _AHEAD


def _yields(theirs: str) -> str:
    """The condition that row `r` may be overwritten with an item of that time."""
    return f"(r.github_updated_at <= {theirs} OR r.github_updated_at > %(ahead)s::timestamptz)"


@cache
def _write_sql(entity: Entity) -> str:
    table, model = _table(entity), _MODELS[entity]
    types = {field.column: field.db_type(connection) for field in model._meta.local_fields}
    columns = (*table.columns, *COLUMNS[entity])
    listed = ", ".join(columns)
    record = ", ".join(f"{column} {types[column]}" for column in columns)
    own = {
        "last_written_at": "%(now)s::timestamptz",
        "changed_by": "%(trigger)s::text",
        "changed_by_job": "%(job)s::uuid",
        table.gone: "NULL",
    } | ({} if entity is Entity.COMMITS else {"removal": "''"})
    assigned = ", ".join(
        f"{column} = excluded.{column}" for column in (*columns, *own) if column not in table.keys
    )
    newest = "" if entity is Entity.COMMITS else f"WHERE {_yields('excluded.github_updated_at')}"
    # `json`, not `jsonb`, which would be parsed into a tree first. A temporary table filled by COPY is
    # no faster, and would have to be made anew in each transaction behind a pool of connections.
    return f"""
        WITH written AS (
            INSERT INTO {table.name} AS r ({listed}, {", ".join(own)})
            SELECT {listed}, {", ".join(own.values())}
            FROM json_to_recordset(%(rows)s::json) AS w({record})
            ON CONFLICT ({", ".join(table.keys)}) DO UPDATE SET {assigned} {newest}
            RETURNING xmax = 0 AS created
        )
        SELECT count(*) FILTER (WHERE created), count(*) FROM written
    """  # noqa: S608  (all names are ours)


def _free_numbers(entity: Entity, batch: Sequence[Item], author: Author) -> None:
    """Takes each number that is about to be given from whoever holds it now, so that items may swap
    numbers. Hardly ever finds one: GitHub gives a number once."""
    name, index = _table(entity).name, COLUMNS[entity].index("number")
    claims = [(i.key, i.repository_id, i.values[index], i.updated_at) for i in batch]
    columns = ("ids", "repositories", "numbers", "times")
    held = f"""
        SELECT h.github_id FROM {_CLAIMS} CROSS JOIN LATERAL (
            SELECT t.github_id FROM {name} AS t
            WHERE t.repository_id = w.repository_id AND t.number = w.number
              AND t.removed_at IS NULL OFFSET 0
        ) AS h WHERE h.github_id <> w.github_id
    """  # noqa: S608  (all names are ours)
    parameters = _book(author) | dict(
        zip(columns, map(_array, zip(*claims, strict=True)), strict=True)
    )
    holders = [row[0] for row in _rows(held, parameters)]
    if not holders:
        return
    sql = f"""
        UPDATE {name} AS h SET removed_at = %(now)s, removal = 'replaced', {_SIGNED}
        FROM {_CLAIMS} LEFT JOIN {name} AS r ON r.github_id = w.github_id
        WHERE h.github_id = ANY(%(holders)s::bigint[]) AND h.repository_id = w.repository_id
          AND h.number = w.number AND h.github_id <> w.github_id AND h.removed_at IS NULL
          AND (r.id IS NULL OR {_yields("w.updated_at")})
    """  # noqa: S608  (all names are ours)
    _execute(sql, parameters | {"holders": _array(holders)})


def remove(entity: Entity, removals: Mapping[int, str], author: Author) -> int:
    """Marks issues or pull requests, by primary key, as gone for the reason given; returns how many.

    The rows stay. What is marked already keeps its time and its reason. Must run in a transaction.
    """
    _alone_with(entity, removals)
    sql = f"""
        UPDATE {_table(entity).name} AS r
        SET removed_at = %(now)s, removal = w.removal, {_SIGNED}
        FROM unnest(%(ids)s::bigint[], %(removals)s::text[]) AS w(id, removal)
        WHERE r.id = w.id AND r.removed_at IS NULL
    """  # noqa: S608  (all names are ours)
    reasons = [str(reason) for reason in removals.values()]
    return _execute(sql, _book(author) | {"ids": _array(removals), "removals": reasons})


def drop(pks: Collection[int], author: Author) -> int:
    """Marks commits, by primary key, as gone from their branch; returns how many. The rows stay.

    What is marked already keeps its time. Must run in a transaction.
    """
    _alone_with(Entity.COMMITS, pks)
    sql = f"""
        UPDATE {_table(Entity.COMMITS).name} SET dropped_at = %(now)s, {_SIGNED}
        WHERE id = ANY(%(ids)s::bigint[]) AND dropped_at IS NULL
    """  # noqa: S608  (all names are ours)
    return _execute(sql, _book(author) | {"ids": _array(pks)})


def prune(pks: Collection[int]) -> int:
    """Deletes commits, by primary key, that fell out of the window of the newest; returns how many.

    Must run in a transaction.
    """
    _alone_with(Entity.COMMITS, pks)
    sql = f"DELETE FROM {_table(Entity.COMMITS).name} WHERE id = ANY(%s::bigint[])"  # noqa: S608  (all names are ours)
    return _execute(sql, [_array(pks)])


def _alone(entity: Entity, repository_ids: Iterable[int]) -> None:
    """Waits until nobody else writes these lists, and keeps others waiting until the transaction ends.

    Rows locked in order are not enough: of two that insert the same rows, PostgreSQL may let each
    wait for the other as soon as the table has a second unique index. Lists share a fixed number of
    locks, because the server has only so many.
    """
    slots = sorted({pk % _LOCKS for pk in repository_ids})
    sql = "SELECT pg_advisory_xact_lock(%s::integer, slot) FROM unnest(%s::integer[]) AS w(slot)"
    _execute(sql, [_LOCKED[entity], _array(slots)])


def _alone_with(entity: Entity, pks: Iterable[int]) -> None:
    sql = f"""
        SELECT DISTINCT repository_id FROM {_table(entity).name} WHERE id = ANY(%s::bigint[])
    """  # noqa: S608  (all names are ours)
    _alone(entity, (row[0] for row in _rows(sql, [_array(pks)])))


def _execute(sql: str, parameters: _Parameters) -> int:
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        return cursor.execute(sql, parameters).rowcount
