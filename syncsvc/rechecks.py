"""Repositories that a webhook or a gap named and that have to be read again: the table's one writer.

Hides that asking often for one repository is asking once. A run takes what is due, and deletes it in
the end unless somebody asked again meanwhile: what was asked for is never lost, at worst done twice.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q

from syncsvc.models import Installation, Recheck, SyncJob

AT_ONCE: Final = 500
WHOLE_LIST: Final = 0
"""Instead of GitHub's id of a repository: the account's whole list has to be read again."""
PAUSE: timedelta = timedelta(seconds=5)
"""Between two runs of one account: what is pushed all the time must not eat the account's budget."""
RETRY_BASE: Final = timedelta(minutes=1)
RETRY_CAP: Final = timedelta(hours=6)

_TABLE: Final = Recheck._meta.db_table


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One repository that is to be read again. `itself`: its own record too, not only its contents."""

    github_id: int
    full_name: str = ""
    itself: bool = False
    reason: str


def ask(
    installation_id: int,
    asked: Iterable[Asked],
    *,
    trigger: str,
    now: datetime,
    due_at: datetime | None = None,
) -> int:
    """Notes that these repositories have to be read again; returns how many.

    What was asked for before stays asked for: the earlier time and the urgent trigger win. A job has
    to be requested beside it (mode `recheck`); without one `syncsvc.request_rechecks` does so.
    """
    rows = {each.github_id: each for each in asked}
    if not rows:
        return 0
    given = sorted(rows.values(), key=lambda each: each.github_id)
    sql = f"""
        INSERT INTO {_TABLE} AS r (installation_id, github_id, full_name, itself, trigger, reason,
                                   asked_at, due_at, attempts, version)
        SELECT %(installation)s, w.github_id, w.full_name, w.itself, %(trigger)s, w.reason,
               %(now)s, %(due)s, 0, 1
        FROM unnest(%(ids)s::bigint[], %(names)s::text[], %(selves)s::boolean[], %(reasons)s::text[])
             AS w(github_id, full_name, itself, reason)
        ON CONFLICT (installation_id, github_id) DO UPDATE SET
            full_name = coalesce(nullif(excluded.full_name, ''), r.full_name),
            itself = r.itself OR excluded.itself,
            trigger = CASE WHEN r.trigger = 'gap' THEN r.trigger ELSE excluded.trigger END,
            reason = excluded.reason, asked_at = excluded.asked_at,
            due_at = least(r.due_at, excluded.due_at), attempts = 0, version = r.version + 1
    """  # noqa: S608  (the table's name is ours)
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            {
                "installation": installation_id,
                "trigger": trigger,
                "now": now,
                "due": due_at or now,
                "ids": [each.github_id for each in given],
                "names": [each.full_name for each in given],
                "selves": [each.itself for each in given],
                "reasons": [each.reason for each in given],
            },
        )
    return len(given)


def due(installation_id: int, now: datetime) -> list[Recheck]:
    """The repositories that are to be read now, the oldest first, some hundred at most."""
    waiting = Recheck.objects.filter(installation_id=installation_id, due_at__lte=now)
    return list(waiting.exclude(github_id=WHOLE_LIST).order_by("due_at", "pk")[:AT_ONCE])


def all_of(installation_id: int) -> list[Recheck]:
    """Everything that is to be read again, due or not: what a run over the whole account answers."""
    return list(Recheck.objects.filter(installation_id=installation_id))


def done(taken: Sequence[Recheck]) -> int:
    """Forgets what was read, unless somebody has asked for it again since it was taken."""
    return _each("DELETE FROM {table} AS r USING {taken} WHERE {same}", taken)


def failed(taken: Sequence[Recheck], now: datetime) -> int:
    """Lets what could not be read wait: a minute, doubling up to six hours."""
    return _each(
        """UPDATE {table} AS r SET attempts = r.attempts + 1, due_at = %(now)s::timestamptz + least(
               %(cap)s::interval, %(base)s::interval * power(2, least(r.attempts, 12)))
           FROM {taken} WHERE {same}""",
        taken,
        now=now,
        base=RETRY_BASE,
        cap=RETRY_CAP,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """An account with something to be read again. `whole`: its list of repositories too."""

    installation_id: int
    trigger: str
    whole: bool


def waiting(now: datetime, installation_ids: Collection[int] | None = None) -> list[Waiting]:
    """The active accounts that have something to be read again, no job that runs or waits, and no
    such run behind them that is younger than `PAUSE`."""
    jobs = SyncJob.objects.filter(installation=OuterRef("installation"))
    busy = jobs.filter(status__in=SyncJob.ACTIVE)
    urgent = (SyncJob.Trigger.WEBHOOK, SyncJob.Trigger.GAP)
    just_read = jobs.filter(trigger__in=urgent, created_at__gt=now - PAUSE)
    rows = Recheck.objects.filter(
        ~Exists(busy),
        ~Exists(just_read),
        due_at__lte=now,
        installation__status=Installation.Status.ACTIVE,
    )
    if installation_ids is not None:
        rows = rows.filter(installation_id__in=installation_ids)
    found = rows.values("installation_id").annotate(
        gaps=Count("pk", filter=Q(trigger=SyncJob.Trigger.GAP)),
        lists=Count("pk", filter=Q(github_id=WHOLE_LIST)),
    )
    return [
        Waiting(
            installation_id=row["installation_id"],
            trigger=str(SyncJob.Trigger.GAP if row["gaps"] else SyncJob.Trigger.WEBHOOK),
            whole=bool(row["lists"]),
        )
        for row in found.order_by("installation_id")
    ]


def _each(sql: str, taken: Sequence[Recheck], **more: Any) -> int:
    if not taken:
        return 0
    parts = {
        "table": _TABLE,
        "taken": "unnest(%(pks)s::bigint[], %(versions)s::bigint[]) AS w(id, version)",
        "same": "r.id = w.id AND r.version = w.version",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            sql.format(**parts),
            {
                "pks": [each.pk for each in taken],
                "versions": [each.version for each in taken],
                **more,
            },
        )
        return int(cursor.rowcount)
