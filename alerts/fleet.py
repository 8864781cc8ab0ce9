"""Reads the figures of the whole fleet: one call, a fixed number of queries, whatever its size (R18.1).

What adds up over time comes from `reconciliation.rolled`, what is open or waits now from
`alerts.fleet_present`. Only the rows of the page that is asked for get what costs more than a sum.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from alerts import fleet_past, fleet_present
from alerts.fleet_past import Detail, Past
from alerts.fleet_rows import ordered, row_of
from alerts.fleet_values import (
    ACTIVE,
    ATTENTION,
    Backlog,
    Fleet,
    FleetFilters,
    FleetRow,
    FleetTotals,
    Open,
)
from alerts.values import Severity
from reconciliation import rolled
from reconciliation.accuracy import DAY, WEEK, measure
from reconciliation.rolled import Rolled
from reconciliation.sums import Audits, Runs
from syncsvc.breaker import State as Breaker


def read(
    filters: FleetFilters,
    now: datetime,
    *,
    offset: int = 0,
    limit: int | None = None,
    series: bool = True,
) -> Fleet:
    """The fleet as it is at `now`: the rows from `offset` on, `limit` at most, and the totals of all that
    match. `series=False` for whom the rows' sparklines are of no use, as of the CSV."""
    known = rolled.state()
    every = list(fleet_present.installations(filters))
    present = fleet_present.read(every, now)
    past = fleet_past.of_accounts(_scope(filters, [row.pk for row in every]), filters, now, known)
    rows = [row_of(row, present[row.pk], past.get(row.pk, Past()), now) for row in every]
    matching = ordered([row for row in rows if _matches(row, past.get(row.pk), filters)], filters)
    page = matching[offset : None if limit is None else offset + limit]
    # All there are need not be named one by one.
    scope = None if len(matching) == len(rows) and _is_everybody(filters) else _pks(matching)
    whole, trend = fleet_past.together(scope, filters.window, now, known)
    return Fleet(
        as_of=now,
        filters=filters,
        rows=tuple(_in_detail(page, filters, now, known, series=series)),
        matching=len(matching),
        totals=_totals(matching, scope, filters, now, known, whole=whole),
        trend=trend,
        incidents=fleet_present.incidents(scope),
    )


def _is_everybody(filters: FleetFilters) -> bool:
    return not filters.q and filters.installation is None and filters.among is None


def _scope(filters: FleetFilters, pks: Sequence[int]) -> Sequence[int] | None:
    return None if _is_everybody(filters) else pks


def _pks(rows: Sequence[FleetRow]) -> list[int]:
    return [row.pk for row in rows]


def _matches(row: FleetRow, past: Past | None, filters: FleetFilters) -> bool:
    if filters.type and (past is None or not past.of_type):
        return False
    if not filters.status:
        return True
    if filters.status == ATTENTION:
        return bool(row.attention)
    if filters.status == ACTIVE:
        return row.status == ACTIVE
    return row.state == filters.status


def _in_detail(
    page: Sequence[FleetRow], filters: FleetFilters, now: datetime, known: Rolled, *, series: bool
) -> list[FleetRow]:
    if not page:
        return []
    details = fleet_past.details(_pks(page), filters.window, now, known, series=series)
    audited = fleet_past.audited(_pks(page), now, known)
    nothing = fleet_past.nothing(filters.window, now, series=series)
    found = []
    for row in page:
        detail = details.get(row.pk, nothing)
        found.append(
            replace(
                row,
                audit=detail.audits.standing,
                audit_week=audited.get(row.pk, Audits()).standing,
                by_type=detail.by_type,
                durations=detail.durations,
                series=detail.series,
            )
        )
    return found


def _totals(
    rows: Sequence[FleetRow],
    scope: Sequence[int] | None,
    filters: FleetFilters,
    now: datetime,
    known: Rolled,
    *,
    whole: Detail,
) -> FleetTotals:
    figures, audited = fleet_past.figures(scope, now, known)
    worst = [row.worst_severity for row in rows if row.worst_severity]
    synced = [row.last_synced_at for row in rows if row.last_synced_at]
    planned = [row.next_scheduled_at for row in rows if row.next_scheduled_at]
    return FleetTotals(
        installations=len(rows),
        active=sum(row.status == ACTIVE for row in rows),
        attention=sum(bool(row.attention) for row in rows),
        unmeasured=sum(row.status == ACTIVE and not row.day.compared for row in rows),
        day=measure(figures, now, DAY),
        week=measure(figures, now, WEEK),
        audit=whole.audits.standing,
        audit_week=audited.standing,
        times=fleet_past.times(scope, filters.window, now),
        runs_day=sum((row.runs_day for row in rows), Runs()),
        runs_week=sum((row.runs_week for row in rows), Runs()),
        durations=whole.durations,
        found=sum(row.found for row in rows),
        by_type=whole.by_type,
        open=sum((row.open for row in rows), Open()),
        worst_severity=max(worst, key=lambda each: Severity(each).rank) if worst else None,
        backlog=sum((row.backlog for row in rows), Backlog()),
        running=sum(row.running for row in rows),
        breakers=sum(row.breaker != Breaker.CLOSED for row in rows),
        last_success=max(synced, default=None),
        next_scheduled_at=min(planned, default=None),
    )
