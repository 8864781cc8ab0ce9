"""Our writer of contents against a bare COPY and a bare upsert of the same rows, on one database.

The three take turns, batch by batch, so that what disturbs the machine disturbs all of them.
"""

import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from django.db import connection, transaction

from syncsvc import contents
from syncsvc.content_plan import COLUMNS, Item, item_of
from syncsvc.github.content import CommitRow, IssueRow, PullRequestRow
from syncsvc.github.reading import ContentRow, Entity
from syncsvc.mirror import Author
from syncsvc.models import Commit, Issue, PullRequest, Repository
from tests.factories import RepositoryFactory

BATCH: Final = 1000
NOW: Final = datetime(2026, 3, 1, tzinfo=UTC)
AUTHOR: Final = Author(trigger="initial", job_id=None, now=NOW)
MODELS: Final = {
    Entity.ISSUES: Issue,
    Entity.PULL_REQUESTS: PullRequest,
    Entity.COMMITS: Commit,
}

Step = Callable[[Sequence[Item]], None]


def measure(rows: int = 20_000) -> dict[str, dict[str, float]]:
    """Rows a second, by entity: of new rows, and of the same rows once more with a later time.

    `ours` reads, then writes, as a run does; a bare COPY cannot write what is there already.
    Needs Django's connection and its tables; leaves nothing behind.
    """
    repository = RepositoryFactory.create()
    try:
        return {str(entity): _measure(entity, repository, rows) for entity in Entity}
    finally:
        Repository.objects.filter(pk=repository.pk).delete()
        repository.installation.delete()


def _measure(entity: Entity, repository: Repository, rows: int) -> dict[str, float]:
    items = [item_of(row, repository.pk) for row in _rows(entity, rows)]
    later = [_later(item) for item in items]
    table = MODELS[entity]._meta.db_table
    twins = f"{table}_copied", f"{table}_upserted"
    steps: dict[str, Step] = {
        "ours": _ours,
        "copy": lambda batch: _copy(twins[0], batch),
        "upsert": lambda batch: _upsert(twins[1], batch),
    }
    with connection.cursor() as cursor:
        for twin in twins:
            cursor.execute(f"CREATE TABLE {twin} (LIKE {table} INCLUDING ALL)")
        try:
            cursor.execute("CHECKPOINT")
            new = _seconds(items, steps)
            steps.pop("copy")
            again = _seconds(later, steps)
            for each in (table, twins[1]):
                cursor.execute(f"SELECT count(*) FROM {each}")
                assert cursor.fetchone() == (rows,), each
        finally:
            cursor.execute(f"DROP TABLE {', '.join(twins)}")
            cursor.execute(f"DELETE FROM {table} WHERE repository_id = %s", [repository.pk])
    return {
        **{name: rows / seconds for name, seconds in new.items()},
        **{f"{name}_again": rows / seconds for name, seconds in again.items()},
        "ours_to_copy": new["copy"] / new["ours"],
        "ours_to_upsert": new["upsert"] / new["ours"],
        "ours_to_upsert_again": again["upsert"] / again["ours"],
    }


def _seconds(items: Sequence[Item], steps: dict[str, Step]) -> dict[str, float]:
    """How long each took for all items; they take turns in who comes first."""
    spent = dict.fromkeys(steps, 0.0)
    order = list(steps)
    for start in range(0, len(items), BATCH):
        for name in order:
            before = time.perf_counter()
            steps[name](items[start : start + BATCH])
            spent[name] += time.perf_counter() - before
        order.append(order.pop(0))
    return spent


# -- the three ways --------------------------------------------------------------------------------


def _ours(batch: Sequence[Item]) -> None:
    entity = batch[0].entity
    contents.read(entity, [item.key for item in batch])
    with transaction.atomic():
        contents.write(entity, batch, AUTHOR)


def _copy(table: str, batch: Sequence[Item]) -> None:
    """Binary, the fastest way into PostgreSQL that psycopg has."""
    columns, values = _flat(batch)
    names = [_type_of(batch[0].entity, column) for column in columns]
    statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN (FORMAT binary)"
    with (
        transaction.atomic(),
        psycopg.Cursor(connection.connection) as cursor,
        cursor.copy(statement) as copy,
    ):
        copy.set_types(names)
        for row in values:
            copy.write_row(row)


def _upsert(table: str, batch: Sequence[Item]) -> None:
    """Prepared, and sent in one go."""
    columns, values = _flat(batch)
    keys = ("repository_id", "sha") if batch[0].entity is Entity.COMMITS else ("github_id",)
    assigned = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
    statement = f"""
        INSERT INTO {table} ({", ".join(columns)}) VALUES ({", ".join(["%s"] * len(columns))})
        ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {assigned}
    """
    plain = connection.connection.prepare_threshold
    connection.connection.prepare_threshold = 0
    try:
        with transaction.atomic(), psycopg.Cursor(connection.connection) as cursor:
            cursor.executemany(statement, values)
    finally:
        connection.connection.prepare_threshold = plain


def _flat(batch: Sequence[Item]) -> tuple[tuple[str, ...], list[list[Any]]]:
    entity = batch[0].entity
    commits = entity is Entity.COMMITS
    own = {"last_written_at": NOW, "changed_by": "initial"} | ({} if commits else {"removal": ""})
    identity = ("repository_id", "sha") if commits else ("github_id", "repository_id")
    return (*identity, *COLUMNS[entity], *own), [
        [
            *(item.key if isinstance(item.key, tuple) else (item.key, item.repository_id)),
            *(list(value) if type(value) is tuple else value for value in item.values),
            *own.values(),
        ]
        for item in batch
    ]


def _type_of(entity: Entity, column: str) -> str:
    types = {field.column: field.db_type(connection) for field in MODELS[entity]._meta.fields}
    return re.sub(r"\(\d+\)", "", str(types[column]))


# -- the rows --------------------------------------------------------------------------------------


def _rows(entity: Entity, count: int) -> Iterator[ContentRow]:
    """The same ones each time: texts of 200 to 2,000 letters, some of them much longer."""
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(3000)]

    def text(length: float) -> str:
        return " ".join(chance.choices(words, k=round(length / 7)))[:65_536]

    for number in range(1, count + 1):
        at = NOW - timedelta(minutes=number)
        sha = f"{chance.getrandbits(160):040x}"
        if entity is Entity.COMMITS:
            yield CommitRow(
                sha=sha, author_login=words[number % 300], author_name=text(14),
                author_email=f"{text(7)}@example.com", authored_at=at, committed_at=at,
                message=text(chance.lognormvariate(4.6, 0.9)),
            )  # fmt: skip
            continue
        shared: dict[str, Any] = {
            "github_id": 5_000_000_000 + number, "node_id": f"I_kwDO{number:012d}",
            "number": number, "title": text(50), "body": text(chance.lognormvariate(6.4, 0.9)),
            "author": words[number % 300], "assignees": ("octocat",) if number % 3 else (),
            "labels": tuple(sorted(set(chance.sample(words, number % 4)))),
            "created_at": at, "updated_at": at,
        }  # fmt: skip
        if entity is Entity.ISSUES:
            yield IssueRow(**shared, state="open", state_reason=None, closed_at=None)
        else:
            yield PullRequestRow(
                **shared, state="closed", draft=False, merged=True, base_ref="main",
                head_ref=words[number % 900], head_sha=sha, merge_commit_sha=sha, closed_at=at,
                merged_at=at,
            )  # fmt: skip


def _later(item: Item) -> Item:
    if item.entity is Entity.COMMITS:
        return item
    index = COLUMNS[item.entity].index("github_updated_at")
    values = list(item.values)
    values[index] += timedelta(hours=1)
    return replace(item, values=tuple(values))
