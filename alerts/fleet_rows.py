"""One installation as a row of the fleet: how it stands, and why somebody should look. Pure."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from alerts.fleet_past import Past
from alerts.fleet_present import Present
from alerts.fleet_values import FleetFilters, FleetRow, Order, State
from alerts.values import Severity
from reconciliation.accuracy import is_compliant
from reconciliation.sums import Audits
from syncsvc import cards, circuit, status
from syncsvc.breaker import State as Breaker
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import BudgetState, InstallationState
from syncsvc.state import Snapshot

_INCIDENT: Final = {Severity.CRITICAL: 100, Severity.HIGH: 60, Severity.WARNING: 20}
_BAD: Final = (SyncJob.Status.FAILED, SyncJob.Status.DEAD, SyncJob.Status.PARTIAL)
_NOTHING: Final = Audits().standing


def row_of(row: Installation, present: Present, past: Past, now: datetime) -> FleetRow:
    """The row, without what only those of the page shown have."""
    snapshot = _snapshot(row, present)
    shown = status.of(snapshot, now)
    badge, tone = cards.badge(row, shown, present.active_job, now)
    breaker = circuit.of(row)
    state = _state(row, shown, present.active_job)
    reasons = sorted(_reasons(row, present, past, state, breaker.state), reverse=True)
    return FleetRow(
        pk=row.pk,
        login=row.account_login,
        account_type=row.account_type,
        mode=row.mode,
        status=row.status,
        state=state,
        badge=badge,
        tone=tone,
        attention=tuple(words for _, words in reasons),
        urgency=sum(weight for weight, _ in reasons),
        day=past.day,
        week=past.week,
        audit=_NOTHING,
        runs_day=past.runs_day,
        runs_week=past.runs_week,
        durations=past.durations,
        found=past.found,
        by_type={},
        open=present.open,
        worst_severity=present.worst_severity,
        backlog=present.backlog,
        running=present.active_job is not None
        and present.active_job.status == SyncJob.Status.RUNNING,
        breaker=str(breaker.state),
        breaker_until=breaker.open_until,
        consecutive_failures=row.consecutive_failures,
        budgets=present.budgets,
        last_run=present.last_run,
        last_success=row.last_synced_at,
        last_synced_at=row.last_synced_at,
        next_scheduled_at=shown.next_scheduled_at,
        action_needed=row.action_needed,
        last_error=row.last_error,
    )


def _snapshot(row: Installation, present: Present) -> Snapshot:
    job = present.active_job
    return Snapshot(
        installation=row,
        active_job=job,
        state=InstallationState(
            status=row.status,
            active_job_id=str(job.pk) if job else None,
            last_synced_at=row.last_synced_at,
            last_listed_at=row.last_listed_at,
            blocked_until=row.blocked_until,
            blocked_reason=row.blocked_reason,
            breaker_open_until=row.breaker_open_until,
            budgets={
                name: BudgetState(
                    limit=each.limit, remaining=each.remaining, reset_at=each.reset_at
                )
                for name, each in present.budgets.items()
            },
        ),
    )


def _state(row: Installation, shown: status.SyncStatus, job: SyncJob | None) -> State:
    """The same cases as those of the card's badge."""
    if row.status != Installation.Status.ACTIVE:
        return State(row.status)
    if job is not None and job.status == SyncJob.Status.QUEUED:
        return State.WAITING
    if shown.state == "idle" and shown.last_synced_at is None:
        return State.NEVER
    return {
        "syncing": State.SYNCING,
        "blocked": State.PAUSED,
        "error": State.ERROR,
        "idle": State.OK,
    }[shown.state]


def _reasons(
    row: Installation, present: Present, past: Past, state: State, breaker: Breaker
) -> Iterator[tuple[int, str]]:
    """Why somebody should look at the account, each with its weight."""
    if row.status != Installation.Status.ACTIVE:
        return
    if present.worst_severity is not None:
        severity = Severity(present.worst_severity)
        yield _INCIDENT[severity], f"{severity} incident"
    if present.open.reviews:
        yield 80, "waits for a decision"
    if row.action_needed:
        yield 70, "somebody has to act"
    if past.day.wrong and is_compliant(past.day) is False:
        yield 55, "below the goal"
    if breaker is not Breaker.CLOSED:
        yield 50, "syncs are paused"
    if row.last_error or (present.last_run and present.last_run.status in _BAD):
        yield 40, "last sync had errors"
    if present.open.dead_letters:
        yield 30, "dead letters"
    if present.open.gaps:
        yield 25, "open gaps"
    if state is State.NEVER:
        yield 10, "never synced"


# -- order -----------------------------------------------------------------------------------------


def _by_time(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


_KEYS: Final[dict[Order, Callable[[FleetRow], Any]]] = {
    Order.ATTENTION: lambda row: row.urgency,
    Order.LOGIN: lambda row: row.login.lower(),
    Order.STATE: lambda row: str(row.state),
    Order.ACCURACY: lambda row: row.day.accuracy,
    Order.ACCURACY_WEEK: lambda row: row.week.accuracy,
    Order.SUCCESS: lambda row: row.runs_day.success_rate,
    Order.DISCREPANCIES: lambda row: row.found,
    Order.OPEN: lambda row: row.open.discrepancies,
    Order.GAPS: lambda row: row.open.gaps,
    Order.INCIDENTS: lambda row: row.open.incidents,
    Order.BACKLOG: lambda row: row.backlog.total,
    Order.BUDGET: lambda row: row.budget_share,
    Order.DURATION: lambda row: row.durations.mean,
    Order.LAST_RUN: lambda row: _by_time(row.last_run.finished_at if row.last_run else None),
    Order.LAST_SYNCED: lambda row: _by_time(row.last_synced_at),
    Order.NEXT: lambda row: _by_time(row.next_scheduled_at),
}


def ordered(rows: Sequence[FleetRow], filters: FleetFilters) -> list[FleetRow]:
    """In the order that was asked for; equal rows by name, unknown figures last either way."""
    key = _KEYS[filters.order]
    named = sorted(rows, key=lambda row: (row.login.lower(), row.pk))
    known = [row for row in named if key(row) is not None]
    unknown = [row for row in named if key(row) is None]
    # Sorting is stable, also in reverse: equal rows stay in the order of their names.
    return sorted(known, key=key, reverse=filters.descending) + unknown
