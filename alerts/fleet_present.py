"""What is true of each account right now: what is open, what waits, what runs, what it ran last.

Each query reads indexes of what is open or newest, never a table of what was.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection
from django.db.models import F, Q, QuerySet

from alerts.fleet_values import Backlog, BudgetLeft, FleetFilters, FleetIncident, FleetRun, Open
from alerts.models import Incident
from alerts.values import Severity
from reconciliation.models import Discrepancy, Review
from reconciliation.rolled import Scope
from syncsvc.models import DeadLetter, Delivery, Gap, Installation, RateBudget, SyncJob

RESOURCES: Final = ("core", "graphql")
INCIDENTS_SHOWN: Final = 20
#: What no figure needs; to read a thousand times of each takes longer than to ask for them.
_UNUSED: Final = (
    "permissions", "events", "suspended_at", "uninstalled_at", "github_created_at",
    "github_updated_at", "created_at", "updated_at", "last_error_at",
)  # fmt: skip


@dataclass(kw_only=True, slots=True)
class Present:
    """Of one account."""

    open: Open = field(default_factory=Open)
    worst_severity: str | None = None
    backlog: Backlog = field(default_factory=Backlog)
    active_job: SyncJob | None = None
    last_run: FleetRun | None = None
    budgets: dict[str, BudgetLeft] = field(default_factory=dict)


def installations(filters: FleetFilters) -> QuerySet[Installation]:
    """Those that match by name or id."""
    rows = Installation.objects.defer(*_UNUSED).order_by("account_login", "pk")
    if filters.among is not None:
        rows = rows.filter(pk__in=filters.among)
    if filters.installation is not None:
        rows = rows.filter(pk=filters.installation)
    if filters.q:
        rows = rows.filter(account_login__icontains=filters.q)
    return rows


def read(rows: Sequence[Installation], now: datetime) -> dict[int, Present]:
    """Of each of these accounts, by our id."""
    found = {row.pk: Present() for row in rows}
    _count(found, {row.account_id: row.pk for row in rows})
    _runs(found, now)
    return found


# -- what is open and what waits -------------------------------------------------------------------

_OPEN: Final = tuple(str(each) for each in Discrepancy.OPEN)
_COUNTS: Final = f"""
    SELECT 'discrepancies', installation_id, count(*) FROM {Discrepancy._meta.db_table}
    WHERE repair_status IN {_OPEN} GROUP BY installation_id
    UNION ALL
    SELECT 'reviews', installation_id, count(*) FROM {Review._meta.db_table}
    WHERE status = 'open' GROUP BY installation_id
    UNION ALL
    SELECT 'gaps', installation_id, count(*) FROM {Gap._meta.db_table}
    WHERE closed_at IS NULL GROUP BY installation_id
    UNION ALL
    SELECT 'dead_letters', installation_id, count(*) FROM {DeadLetter._meta.db_table}
    WHERE status = 'open' AND installation_id IS NOT NULL GROUP BY installation_id
    UNION ALL
    SELECT 'incidents/' || severity, installation_id, count(*) FROM {Incident._meta.db_table}
    WHERE NOT (status = 'resolved') AND installation_id IS NOT NULL
    GROUP BY severity, installation_id
    UNION ALL
    SELECT 'deliveries', account_id, count(*) FROM {Delivery._meta.db_table}
    WHERE status = 'received' AND account_id IS NOT NULL GROUP BY account_id
"""  # noqa: S608  (all names are ours)


def _count(found: dict[int, Present], accounts: dict[int, int]) -> None:
    """Deliveries that wait know GitHub's id of the account only."""
    with connection.cursor() as cursor:
        cursor.execute(_COUNTS)
        rows = cursor.fetchall()
    opened: dict[int, dict[str, int]] = {}
    for what, key, number in rows:
        pk = accounts.get(key) if what == "deliveries" else key
        present = found.get(pk) if pk is not None else None
        if present is None or pk is None:
            continue
        if what == "deliveries":
            present.backlog = Backlog(deliveries=number)
            continue
        kind, _, severity = what.partition("/")
        counts = opened.setdefault(pk, {})
        counts[kind] = counts.get(kind, 0) + number
        worst = present.worst_severity
        if severity and (worst is None or Severity(severity).rank > Severity(worst).rank):
            present.worst_severity = severity
    for pk, counts in opened.items():
        found[pk].open = Open(**counts)


# -- what runs, what ran, and what may still be asked ----------------------------------------------

_RUNS: Final = f"""
    SELECT i.id, a.id, a.status, a.run_after, a.mode, a.trigger,
           l.id, l.status, l.mode, l.trigger, l.dry_run, l.finished_at, l.started_at,
           c.limit, c.remaining, c.reset_at, g.limit, g.remaining, g.reset_at
    FROM unnest(%(pks)s::bigint[]) AS i(id)
    LEFT JOIN {SyncJob._meta.db_table} AS a
        ON a.installation_id = i.id AND a.status IN ('queued', 'running', 'blocked')
    LEFT JOIN LATERAL (
        SELECT id, status, mode, trigger, dry_run, finished_at, started_at
        FROM {SyncJob._meta.db_table} AS j
        WHERE j.installation_id = i.id AND j.finished_at IS NOT NULL
          AND j.mode NOT IN ('recheck', 'audit')
        ORDER BY j.finished_at DESC LIMIT 1
    ) AS l ON true
    LEFT JOIN {RateBudget._meta.db_table} AS c
        ON c.installation_id = i.id AND c.resource = 'core'
    LEFT JOIN {RateBudget._meta.db_table} AS g
        ON g.installation_id = i.id AND g.resource = 'graphql'
"""  # noqa: S608  (all names are ours)


def _runs(found: dict[int, Present], now: datetime) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RUNS, {"pks": list(found)})
        rows = cursor.fetchall()
    for row in rows:
        present = found[row[0]]
        if row[1] is not None:
            _active(present, row[1:6])
        if row[6] is not None:
            present.last_run = _run(row[6:13])
        for resource, budget in zip(RESOURCES, (row[13:16], row[16:19]), strict=True):
            limit, remaining, reset_at = budget
            if limit is not None:
                left = remaining if reset_at > now else limit
                present.budgets[resource] = BudgetLeft(
                    limit=limit, remaining=left, reset_at=reset_at
                )


def _active(present: Present, job: Sequence[Any]) -> None:
    pk, status, run_after, mode, trigger = job
    present.active_job = SyncJob(
        pk=pk, status=status, run_after=run_after, mode=mode, trigger=trigger
    )
    waiting = present.backlog
    present.backlog = Backlog(
        queued=int(status == SyncJob.Status.QUEUED),
        blocked=int(status == SyncJob.Status.BLOCKED),
        deliveries=waiting.deliveries,
    )


def _run(job: Sequence[Any]) -> FleetRun:
    pk, status, mode, trigger, dry_run, finished_at, started_at = job
    seconds = None if started_at is None else max(0.0, (finished_at - started_at).total_seconds())
    return FleetRun(
        job_id=str(pk),
        status=status,
        mode=mode,
        trigger=trigger,
        dry_run=dry_run,
        finished_at=finished_at,
        seconds=seconds,
    )


# -- incidents -------------------------------------------------------------------------------------


def incidents(scope: Scope) -> tuple[FleetIncident, ...]:
    """The newest, resolved ones too (P21); of all, also those of the product itself."""
    rows = Incident.objects.order_by(F("opened_at").desc(), F("id").desc())
    if scope is not None:
        rows = rows.filter(Q(installation__in=list(scope)))
    names = (
        "pk", "kind", "severity", "status", "title", "opened_at", "installation_id",
        "installation__account_login", "correlation_id",
    )  # fmt: skip
    return tuple(
        FleetIncident(
            pk=pk,
            kind=kind,
            severity=severity,
            status=status,
            title=title,
            opened_at=opened_at,
            installation=installation,
            login=login or "",
            correlation_id=str(correlation_id) if correlation_id else None,
        )
        for (
            pk, kind, severity, status, title, opened_at, installation, login, correlation_id,
        ) in rows.values_list(*names)[:INCIDENTS_SHOWN]
    )  # fmt: skip
