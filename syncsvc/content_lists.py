"""How far each list of each repository was read: the table's reader and its one writer.

Hides how failures are counted and when they are tried again.
"""

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson
from django.db import connection
from django.db.models import QuerySet

from syncsvc import clock, events, retrying
from syncsvc.github.reading import Entity
from syncsvc.models import ContentList, Installation, Repository

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


def fail(failed: Sequence[Failed], now: datetime, account: int | None = None) -> None:
    """Notes what could not be read, to be tried again after a while: 5 minutes, doubling up to 6
    hours, with jitter. What was known of the list before stays (R5.6).

    `account` is the installation whose credentials could not read it: of a repository that is
    another's by now that says nothing, and its new account need not wait.
    """
    failures = {(each.repository_id, each.entity): each for each in failed}
    if account is not None and failures:
        rows_of = Repository.objects.filter(installation_id=account)
        ours = set(rows_of.filter(pk__in=[pk for pk, _ in failures]).values_list("pk", flat=True))
        failures = {key: each for key, each in failures.items() if key[0] in ours}
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
                retry_at=now + retrying.delay(retrying.LISTS, before + 1, random.random()),
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


def forget_whole(keys: Iterable[ListKey]) -> None:
    """Has these lists read whole when their repository is next read, whatever GitHub's counts say.

    What is known of them stays; a list that was never read has nothing to forget.
    """
    found = sorted((pk, str(entity)) for pk, entity in keys)
    sql = f"""
        UPDATE {_TABLE} AS l SET whole_at = NULL
        FROM unnest(%s::bigint[], %s::text[]) AS w(repository_id, entity)
        WHERE l.repository_id = w.repository_id AND l.entity = w.entity
    """  # noqa: S608  (the table's name is ours)
    if found:
        with connection.cursor() as cursor:
            cursor.execute(sql, [list(column) for column in zip(*found, strict=True)])


def forget(github_ids: Collection[int]) -> None:
    """Forgets how far the lists of these repositories, by GitHub's ids, were read: they were out of
    sight, and what happened there meanwhile nobody told us."""
    if github_ids:
        ContentList.objects.filter(repository__github_id__in=github_ids).delete()


def forgive(github_ids: Collection[int]) -> None:
    """Forgets the failures of these repositories' lists, by GitHub's ids: they changed hands, and the
    new account's credentials may read what the old one's could not."""
    if github_ids:
        failed = ContentList.objects.filter(repository__github_id__in=github_ids, failures__gt=0)
        failed.update(failures=0, failed_at=None, retry_at=None, error_category="", error="")


def read_now(row: ContentList, user: Any) -> bool:
    """Ends the wait of a list that could not be read, because `user` asks for it; False where it does not
    fail. The next run of its account reads it."""
    waits = ContentList.objects.filter(pk=row.pk, failures__gt=0)
    done = bool(waits.update(retry_at=clock.now()))
    if done:
        events.emit(
            "content_list.read_again",
            installation_id=row.repository.installation_id,
            job_id=None,
            user_id=user.pk,
            repository=str(row.repository),
            entity=row.entity,
        )
    return done


def postpone(repository_id: int, now: datetime) -> None:
    """Lets the lists of a repository that are due wait as long as after their last failure."""
    due = ContentList.objects.filter(repository_id=repository_id, retry_at__lte=now)
    for row in due:
        row.retry_at = now + retrying.delay(retrying.LISTS, row.failures)
        row.save(update_fields=["retry_at"])


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
