"""How far each list of each repository was read: the table's reader and its one writer.

Hides how failures are counted and when they are tried again.
"""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import orjson
from django.db import connection
from django.db.models import QuerySet

from syncsvc.github.reading import Entity
from syncsvc.models import ContentList, Installation, Repository

RETRY_BASE: Final = timedelta(minutes=5)
RETRY_CAP: Final = timedelta(hours=6)

_TABLE: Final = ContentList._meta.db_table
_KEYS: Final = ("repository_id", "entity")
_SETTLED: Final = {
    "repository_id": "bigint",
    "entity": "text",
    "count": "bigint",
    "mirrored": "bigint",
    "unreadable": "integer",
    "latest_at": "timestamptz",
    "head_sha": "text",
    "item_limit": "integer",
}

ListKey = tuple[int, Entity]
"""The primary key of our repository, and which of its lists."""

#: Statuses of repositories whose lists are read.
READ: Final = (str(Repository.Status.ACTIVE), str(Repository.Status.ARCHIVED))


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """A list that was read, and how GitHub counted it then."""

    repository_id: int
    entity: Entity
    count: int
    mirrored: int
    unreadable: int
    latest_at: datetime | None
    head_sha: str | None
    item_limit: int
    whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A list that could not be read, and why."""

    repository_id: int
    entity: Entity
    category: str
    sentence: str


def read(repository_ids: Collection[int]) -> dict[ListKey, ContentList]:
    """What is known of the lists of these repositories."""
    rows = ContentList.objects.filter(repository_id__in=repository_ids)
    return {(row.repository_id, Entity(row.entity)): row for row in rows}


def heads(github_ids: Collection[int]) -> dict[int, str | None]:
    """Up to which head the commits of these repositories, by GitHub's ids, were read."""
    rows = ContentList.objects.filter(
        repository__github_id__in=github_ids, entity=str(Entity.COMMITS)
    )
    return dict(rows.values_list("repository__github_id", "head_sha"))


def settle(settled: Sequence[Settled], now: datetime) -> None:
    """Notes what was read at `now`, the start of the run; an earlier failure is over (R5.6)."""
    if not settled:
        return
    columns = ", ".join(f"{name} {kind}" for name, kind in _SETTLED.items())
    names = ", ".join(_SETTLED)
    assigned = ", ".join(f"{name} = excluded.{name}" for name in _SETTLED if name not in _KEYS)
    sql = f"""
        INSERT INTO {_TABLE} AS l ({names}, read_at, whole_at, failures, error_category, error)
        SELECT {names}, %(now)s, CASE WHEN whole THEN %(now)s::timestamptz END, 0, '', ''
        FROM json_to_recordset(%(rows)s::json) AS w({columns}, whole boolean)
        ON CONFLICT ({", ".join(_KEYS)}) DO UPDATE SET {assigned},
            read_at = excluded.read_at, whole_at = coalesce(excluded.whole_at, l.whole_at),
            failures = 0, failed_at = NULL, retry_at = NULL, error_category = '', error = ''
    """  # noqa: S608  (all names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, {"now": now, "rows": orjson.dumps(settled).decode()})


def adjust(changed: Mapping[ListKey, int]) -> None:
    """Notes that somebody other than a reading added (or, negative, removed) so many items.

    How far the list was read stays: a webhook tells of its own item, and proves nothing of others.
    """
    rows = sorted((pk, str(entity), by) for (pk, entity), by in changed.items() if by)
    if not rows:
        return
    sql = f"""
        UPDATE {_TABLE} AS l SET count = greatest(0, l.count + w.by),
                                 mirrored = greatest(0, l.mirrored + w.by)
        FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS w(repository_id, entity, by)
        WHERE l.repository_id = w.repository_id AND l.entity = w.entity AND l.count IS NOT NULL
    """  # noqa: S608  (the table's name is ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, [list(column) for column in zip(*rows, strict=True)])


def fail(failed: Sequence[Failed], now: datetime) -> None:
    """Notes what could not be read, to be tried again after a while: 5 minutes, doubling up to 6
    hours, with jitter. What was known of the list before stays (R5.6)."""
    failures = {(each.repository_id, each.entity): each for each in failed}
    if not failures:
        return
    known = read({repository_id for repository_id, _ in failures})
    rows = []
    for key, each in failures.items():
        before = known[key].failures if key in known else 0
        rows.append(
            ContentList(
                repository_id=each.repository_id,
                entity=str(each.entity),
                failures=before + 1,
                failed_at=now,
                retry_at=now + retry_delay(before + 1, random.uniform(0.75, 1.25)),
                error_category=each.category,
                error=each.sentence,
            )
        )
    ContentList.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["repository", "entity"],
        update_fields=["failures", "failed_at", "retry_at", "error_category", "error"],
    )


def postpone(repository_id: int, now: datetime) -> None:
    """Lets the lists of a repository that are due wait as long as after their last failure."""
    due = ContentList.objects.filter(repository_id=repository_id, retry_at__lte=now)
    for row in due:
        row.retry_at = now + retry_delay(row.failures)
        row.save(update_fields=["retry_at"])


def retry_delay(failures: int, jitter: float = 1.0) -> timedelta:
    """How long after failure number `failures` (from 1) the list is tried again."""
    return min(RETRY_CAP, RETRY_BASE * (1 << min(failures - 1, 10))) * jitter


def due(now: datetime) -> QuerySet[Repository]:
    """Repositories with a list whose time to be tried again has come, one of each installation."""
    return (
        Repository.objects.filter(
            lists__retry_at__lte=now,
            status__in=READ,
            name_is_current=True,
            missing_since__isnull=True,
            installation__status=Installation.Status.ACTIVE,
        )
        .order_by("installation_id", "lists__retry_at")
        .distinct("installation_id")
    )
