"""The mirror's reader and its one writer.

The writer takes a batch of changes and carries it out in three statements, whatever its size; rows
travel as one JSON parameter. Each update names the version it was computed from: a row that somebody
else wrote meanwhile is left alone and reported, never overwritten (R7.5).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
import psycopg
from django.db import connection

from syncsvc.models import Repository
from syncsvc.plan import FIELDS, Change, MirrorRepository, Operation

_COLUMNS: Final = tuple(field.name for field in fields(MirrorRepository))
_TOPICS: Final = _COLUMNS.index("topics")
_TABLE: Final = Repository._meta.db_table
#: What a change may set; everything else in the row is the writer's own bookkeeping.
_WRITABLE: Final = (
    *FIELDS, "status", "installation_id", "missing_since", "name_is_current", "told_at", "read_at",
)  # fmt: skip
_PRESENT: Final = tuple(str(status) for status in Repository.PRESENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Author:
    """On whose behalf rows are written: the trigger and the job of the run."""

    trigger: str
    job_id: UUID | None
    now: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What became of a batch; bookkeeping such as `missing_since` is written but not counted.

    `conflicts` holds the ids that somebody else wrote meanwhile.
    """

    created: int
    updated: int
    deleted: int
    conflicts: frozenset[int]


def read(github_ids: Collection[int]) -> dict[int, MirrorRepository]:
    """The mirror's rows of these repositories, wherever they belong, by id."""
    return {row.github_id: row for row in _rows("github_id = ANY(%s)", [list(github_ids)])}


def read_named(owner: str, name: str) -> MirrorRepository | None:
    """The row that currently goes by this name."""
    where = "lower(owner) = lower(%s) AND lower(name) = lower(%s) AND name_is_current"
    return next(_rows(f"{where} AND status = ANY(%s)", [owner, name, list(_PRESENT)]), None)


def present_ids(installation_id: int) -> frozenset[int]:
    """The ids of all repositories that the mirror says are there."""
    return frozenset(
        Repository.objects.filter(installation_id=installation_id, status__in=_PRESENT).values_list(
            "github_id", flat=True
        )
    )


def _rows(where: str, parameters: list[Any]) -> Iterator[MirrorRepository]:
    # Half of a run that finds nothing changed is spent here: psycopg's own cursor with binary
    # results takes a third of the time of the ORM, which loads each timestamp in Python.
    sql = f"SELECT {', '.join(_COLUMNS)} FROM {_TABLE} WHERE {where}"  # noqa: S608  (names are ours)
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        for values in cursor.execute(sql, parameters, binary=True):
            row = dict(zip(_COLUMNS, values, strict=True))
            row["topics"] = tuple(values[_TOPICS])
            yield MirrorRepository(**row)


def apply(changes: Sequence[Change], author: Author) -> Applied:
    """Carries the changes out. Must run inside a transaction; a change of an id may come once only."""
    if not changes:
        return Applied(created=0, updated=0, deleted=0, conflicts=frozenset())
    names = _free_names(changes)
    created = _insert([c for c in changes if c.operation is Operation.CREATE], names, author)
    written = _update([c for c in changes if c.operation is not Operation.CREATE], names, author)
    done = created | written
    deletions = {c.github_id for c in changes if c.operation is Operation.DELETE}
    updates = {c.github_id for c in changes if c.operation is Operation.UPDATE and c.kinds}
    return Applied(
        created=len(created),
        updated=len(written & updates),
        deleted=len(written & deletions),
        conflicts=frozenset(c.github_id for c in changes) - done,
    )


def _free_names(changes: Sequence[Change]) -> dict[int, bool]:
    """Takes each name that is about to be given from whoever holds it now, so that two repositories
    may swap names. Returns, for each change that gives a name, whether it is the one to keep it."""
    wanted = [
        change
        for change in changes
        if change.operation is not Operation.DELETE
        and not change.after.keys().isdisjoint({"name", "owner", "name_is_current", "status"})
    ]
    if not wanted:
        return {}
    last = {c.name.lower(): c.github_id for c in wanted}
    pairs = [(c.github_id, *c.name.lower().split("/", 1)) for c in wanted]
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            UPDATE {_TABLE} AS r SET name_is_current = false
            FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS w(github_id, owner, name)
            WHERE lower(r.owner) = w.owner AND lower(r.name) = w.name
              AND r.github_id <> w.github_id AND r.name_is_current AND r.status = ANY(%s)
            """,  # noqa: S608  (the table's name is ours)
            [*map(list, zip(*pairs, strict=True)), list(_PRESENT)],
        )
    return {c.github_id: last[c.name.lower()] == c.github_id for c in wanted}


def _insert(changes: Sequence[Change], names: dict[int, bool], author: Author) -> set[int]:
    if not changes:
        return set()
    rows = [
        dict(change.after)
        | {"github_id": change.github_id, "name_is_current": names[change.github_id]}
        for change in changes
    ]
    columns = ("github_id", *_WRITABLE)
    types = {field.column: field.db_type(connection) for field in Repository._meta.local_fields}
    record = ", ".join(f'"{column}" {types[column]}' for column in columns)
    listed = ", ".join(f'"{column}"' for column in columns)
    sql = f"""
        INSERT INTO {_TABLE} ({listed}, automations_allowed, version, created_at,
                              last_written_at, changed_by, changed_by_job)
        SELECT {listed}, true, 1, %s, %s, %s, %s::uuid
        FROM jsonb_to_recordset(%s::jsonb) AS w({record})
        ON CONFLICT DO NOTHING
        RETURNING github_id
    """  # noqa: S608  (all names are ours)
    return _ids(sql, [author.now, author.now, author.trigger, author.job_id, _json(rows)])


def _update(changes: Sequence[Change], names: dict[int, bool], author: Author) -> set[int]:
    if not changes:
        return set()
    rows = [
        {
            "github_id": change.github_id,
            "version": change.version,
            "after": dict(change.after)
            | ({"name_is_current": names[change.github_id]} if change.github_id in names else {}),
        }
        for change in changes
    ]
    assignments = ", ".join(f'"{column}" = new."{column}"' for column in _WRITABLE)
    sql = f"""
        UPDATE {_TABLE} AS r
        SET {assignments}, version = r.version + 1, last_written_at = %s,
            changed_by = %s, changed_by_job = %s::uuid
        FROM jsonb_to_recordset(%s::jsonb) AS w(github_id bigint, version bigint, after jsonb)
        JOIN {_TABLE} AS old ON old.github_id = w.github_id
        CROSS JOIN LATERAL jsonb_populate_record(old, w.after) AS new
        WHERE r.github_id = w.github_id AND r.version = w.version
        RETURNING r.github_id
    """  # noqa: S608  (all names are ours)
    return _ids(sql, [author.now, author.trigger, author.job_id, _json(rows)])


def _ids(sql: str, parameters: list[Any]) -> set[int]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {row[0] for row in cursor.fetchall()}


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()
