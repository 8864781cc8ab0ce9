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

from syncsvc import retrying
from syncsvc.models import Installation, Recheck, SyncJob

AT_ONCE: Final = 500
WHOLE_LIST: Final = 0
"""Instead of GitHub's id of a repository: the account's whole list has to be read again."""
PAUSE: timedelta = timedelta(seconds=5)
"""Between two runs of one account: what is pushed all the time must not eat the account's budget."""

REPOSITORY: Final = frozenset({"repositories"})
ITEMS: Final = frozenset({"issues", "pull_requests"})
HISTORY: Final = frozenset({"commits", "repositories"})
EVERYTHING: Final = REPOSITORY | ITEMS | HISTORY

_TABLE: Final = Recheck._meta.db_table


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One repository that is to be read again. `itself`: its own record too, not only its contents.

    `told` is what a webhook has told of it (`EVERYTHING`, or some of it): a difference there is no
    surprise. What a gap or a doubt of our own asks for was told by nobody.
    """

    github_id: int
    full_name: str = ""
    itself: bool = False
    reason: str
    told: frozenset[str] = frozenset()


def ask(
    installation_id: int,
    asked: Iterable[Asked],
    *,
    trigger: str,
    now: datetime,
    due_at: datetime | None = None,
) -> int:
    """Notes that these repositories have to be read again; returns how many.

    What was asked for before stays asked for: the earlier time wins, and the more urgent trigger, first
    a gap's, then a webhook's. A job has
    to be requested beside it (mode `recheck`); without one `syncsvc.request_rechecks` does so.
    """
    rows = {each.github_id: each for each in asked}
    if not rows:
        return 0
    given = sorted(rows.values(), key=lambda each: each.github_id)
    sql = f"""
        INSERT INTO {_TABLE} AS r (installation_id, github_id, full_name, itself, trigger, reason,
                                   told, asked_at, due_at, attempts, version)
        SELECT %(installation)s, w.github_id, w.full_name, w.itself, %(trigger)s, w.reason,
               string_to_array(w.told, ','), %(now)s, %(due)s, 0, 1
        FROM unnest(%(ids)s::bigint[], %(names)s::text[], %(selves)s::boolean[], %(reasons)s::text[],
                    %(told)s::text[]) AS w(github_id, full_name, itself, reason, told)
        ON CONFLICT (installation_id, github_id) DO UPDATE SET
            full_name = coalesce(nullif(excluded.full_name, ''), r.full_name),
            itself = r.itself OR excluded.itself,
            trigger = CASE WHEN 'gap' IN (r.trigger, excluded.trigger) THEN 'gap'
                           WHEN 'webhook' IN (r.trigger, excluded.trigger) THEN 'webhook'
                           ELSE excluded.trigger END,
            told = ARRAY(SELECT DISTINCT unnest(coalesce(r.told, excluded.told) || excluded.told)),
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
                "told": [",".join(sorted(each.told)) for each in given],
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
        "UPDATE {table} AS r SET attempts = r.attempts + 1, due_at = w.due_at FROM {taken} WHERE {same}",
        taken,
        due=[now + retrying.delay(retrying.RECHECKS, each.attempts + 1) for each in taken],
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
    # What a clock that was wrong created ahead of now is no reason to wait.
    just_read = jobs.filter(trigger__in=urgent, created_at__gt=now - PAUSE, created_at__lte=now)
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
        others=Count("pk", filter=~Q(trigger=SyncJob.Trigger.MAINTENANCE)),
        lists=Count("pk", filter=Q(github_id=WHOLE_LIST)),
    )
    return [
        Waiting(
            installation_id=row["installation_id"],
            trigger=_urgent(gaps=row["gaps"], others=row["others"]),
            whole=bool(row["lists"]),
        )
        for row in found.order_by("installation_id")
    ]


def _urgent(*, gaps: int, others: int) -> str:
    """The trigger of a run for all that waits: what only our own doubts ask for may not touch the
    reserve that is kept for webhooks."""
    if gaps:
        return str(SyncJob.Trigger.GAP)
    return str(SyncJob.Trigger.WEBHOOK if others else SyncJob.Trigger.MAINTENANCE)


def _each(sql: str, taken: Sequence[Recheck], **more: Any) -> int:
    if not taken:
        return 0
    parts = {
        "table": _TABLE,
        # Locked in the order in which webhooks ask for them: else the two would wait for each other.
        "taken": "(SELECT h.id, t.due_at FROM {table} AS h"
        " JOIN unnest(%(pks)s::bigint[], %(versions)s::bigint[], %(due)s::timestamptz[])"
        " AS t(id, version, due_at) ON h.id = t.id AND h.version = t.version"
        " ORDER BY h.installation_id, h.github_id FOR UPDATE OF h) AS w",
        "same": "r.id = w.id",
    }
    with connection.cursor() as cursor:
        cursor.execute(
            sql.format(**parts).format(table=_TABLE),
            {
                "pks": [each.pk for each in taken],
                "versions": [each.version for each in taken],
                "due": [None] * len(taken),
                **more,
            },
        )
        return int(cursor.rowcount)
