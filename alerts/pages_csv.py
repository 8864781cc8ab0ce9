"""The fleet as a file: the columns of the CSV, and what stands in each (R18.1). docs/sync-health.md explains
each column; a test holds the two together."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from alerts import fleet
from alerts.fleet_values import FleetFilters, FleetRow
from reconciliation.accuracy import Tally
from reconciliation.sums import Runs

Get = Callable[[FleetRow], Any]


def header() -> list[str]:
    """The names of the columns."""
    return list(COLUMNS)


def read(filters: FleetFilters, now: datetime) -> Iterator[list[Any]]:
    """A line for each account that matches, in the order of the page. Nothing is read before the first
    line is asked for, so that the header leaves at once."""
    yield from lines(fleet.read(filters, now, series=False).rows)


def lines(rows: Iterable[FleetRow]) -> Iterator[list[Any]]:
    """The cells of each account."""
    for row in rows:
        yield [get(row) for get in COLUMNS.values()]


def _tally(which: Callable[[FleetRow], Tally], window: str) -> dict[str, Get]:
    return {
        f"accuracy_{window}": lambda row: which(row).accuracy,
        f"compared_{window}": lambda row: which(row).compared,
        f"wrong_{window}": lambda row: which(row).wrong,
        f"unknown_{window}": lambda row: which(row).unknown,
    }


def _runs(which: Callable[[FleetRow], Runs], window: str) -> dict[str, Get]:
    return {
        f"success_rate_{window}": lambda row: which(row).success_rate,
        f"runs_succeeded_{window}": lambda row: which(row).succeeded,
        f"runs_judged_{window}": lambda row: which(row).judged,
    }


def _audited(name: str) -> Get:
    """An audit's bound is known only where something was judged."""
    return lambda row: None if row.audit.estimate is None else getattr(row.audit, name)


def _budget(resource: str, name: str) -> Get:
    return lambda row: getattr(row.budgets.get(resource), name, None)


def _last(name: str) -> Get:
    return lambda row: getattr(row.last_run, name, None)


def _types(row: FleetRow) -> str:
    return "; ".join(f"{name} {number}" for name, number in row.by_type.items())


COLUMNS: Final[dict[str, Get]] = {
    "account": lambda row: row.login,
    "installation": lambda row: row.pk,
    "account_type": lambda row: row.account_type,
    "status": lambda row: row.status,
    "state": lambda row: str(row.state),
    "attention": lambda row: "; ".join(row.attention),
    **_tally(lambda row: row.day, "24h"),
    **_tally(lambda row: row.week, "7d"),
    "audit_low": _audited("low"),
    "audit_high": _audited("high"),
    "audit_items": lambda row: row.audit.sampled,
    "audits_disagree": lambda row: row.disagrees if row.audit.estimate is not None else None,
    **_runs(lambda row: row.runs_day, "24h"),
    **_runs(lambda row: row.runs_week, "7d"),
    "discrepancies_found": lambda row: row.found,
    "discrepancies_by_type": _types,
    "open_discrepancies": lambda row: row.open.discrepancies,
    "open_reviews": lambda row: row.open.reviews,
    "open_gaps": lambda row: row.open.gaps,
    "open_incidents": lambda row: row.open.incidents,
    "worst_severity": lambda row: row.worst_severity,
    "open_dead_letters": lambda row: row.open.dead_letters,
    "running": lambda row: row.running,
    "jobs_queued": lambda row: row.backlog.queued,
    "jobs_blocked": lambda row: row.backlog.blocked,
    "deliveries_waiting": lambda row: row.backlog.deliveries,
    "breaker": lambda row: row.breaker,
    "breaker_until": lambda row: row.breaker_until,
    "consecutive_failures": lambda row: row.consecutive_failures,
    "budget_share": lambda row: row.budget_share,
    "core_remaining": _budget("core", "remaining"),
    "core_limit": _budget("core", "limit"),
    "graphql_remaining": _budget("graphql", "remaining"),
    "graphql_limit": _budget("graphql", "limit"),
    "run_seconds_mean": lambda row: row.durations.mean,
    "run_seconds_p95": lambda row: row.durations.at_most(0.95),
    "last_run": _last("job_id"),
    "last_run_status": _last("status"),
    "last_run_at": _last("finished_at"),
    "last_success_at": lambda row: row.last_success,
    "next_sync_at": lambda row: row.next_scheduled_at,
    "action_needed": lambda row: row.action_needed,
    "last_error": lambda row: row.last_error,
}
