"""The figures of the whole fleet as values: what the sync-health dashboard, its CSV and the API show.

Pure, nothing worded but names that are the field's own. What is not known is None. docs/sync-health-figures.md
says what each figure counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from reconciliation.accuracy import Accuracy, Tally
from reconciliation.measuring import Times
from reconciliation.sampling import Standing, disagrees
from reconciliation.sums import ByType, Durations, Point, Runs


class Window(StrEnum):
    """How far the page looks back."""

    DAY = "24h"
    WEEK = "7d"
    MONTH = "30d"

    @property
    def length(self) -> timedelta:
        """The time that it spans."""
        return {"24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}[self]

    @property
    def step(self) -> timedelta:
        """The time from one point of a trend to the next: both start at whole steps in UTC."""
        hours = {"24h": 1, "7d": 6, "30d": 24}[self]
        return timedelta(hours=hours)


class State(StrEnum):
    """How one installation stands, as its card's badge says it (`syncsvc.cards.badge`)."""

    OK = "ok"
    SYNCING = "syncing"
    WAITING = "waiting"
    NEVER = "never"
    PAUSED = "paused"
    ERROR = "error"
    SUSPENDED = "suspended"
    UNINSTALLED = "uninstalled"


class Order(StrEnum):
    """By what the rows are ordered; equal ones by name. Unknown figures come last, either way."""

    ATTENTION = "attention"
    LOGIN = "login"
    STATE = "state"
    ACCURACY = "accuracy"
    ACCURACY_WEEK = "accuracy_week"
    SUCCESS = "success"
    DISCREPANCIES = "discrepancies"
    OPEN = "open"
    GAPS = "gaps"
    INCIDENTS = "incidents"
    BACKLOG = "backlog"
    BUDGET = "budget"
    DURATION = "duration"
    LAST_RUN = "last_run"
    LAST_SYNCED = "last_synced"
    NEXT = "next"


#: What `FleetFilters.status` takes: the status of the installation, a state, or `attention`.
ACTIVE: Final = "active"
ATTENTION: Final = "attention"
STATUSES: Final = (ACTIVE, ATTENTION, *State)


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetFilters:
    """What is asked for. Whoever fills it has checked it: every value is one of those named above.

    `status`: one of `STATUSES`, or empty for all; `type`: accounts with a discrepancy of that type within
    the window, or empty. `q`: part of a login, in any case. `among`: the accounts that the viewer may see,
    by our id; None for all.
    """

    q: str = ""
    among: frozenset[int] | None = None
    installation: int | None = None
    window: Window = Window.DAY
    status: str = ""
    type: str = ""
    order: Order = Order.ATTENTION
    descending: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetLeft:
    """GitHub's last word on one budget; `remaining` is the whole limit once `reset_at` is past."""

    limit: int
    remaining: int
    reset_at: datetime

    @property
    def share(self) -> float | None:
        """0 to 1; None when GitHub allows nothing at all."""
        return self.remaining / self.limit if self.limit else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """What waits: jobs for a worker or for GitHub, deliveries to be processed."""

    queued: int = 0
    blocked: int = 0
    deliveries: int = 0

    def __add__(self, other: "Backlog") -> "Backlog":
        return Backlog(
            queued=self.queued + other.queued,
            blocked=self.blocked + other.blocked,
            deliveries=self.deliveries + other.deliveries,
        )

    @property
    def total(self) -> int:
        """All of it."""
        return self.queued + self.blocked + self.deliveries


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """What is open: nobody has repaired, decided, closed, resolved or requeued it."""

    discrepancies: int = 0
    reviews: int = 0
    gaps: int = 0
    incidents: int = 0
    dead_letters: int = 0

    def __add__(self, other: "Open") -> "Open":
        return Open(
            discrepancies=self.discrepancies + other.discrepancies,
            reviews=self.reviews + other.reviews,
            gaps=self.gaps + other.gaps,
            incidents=self.incidents + other.incidents,
            dead_letters=self.dead_letters + other.dead_letters,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetRun:
    """The last run of an account that has ended (no recheck, no audit), or its last one that succeeded."""

    job_id: str
    status: str
    mode: str
    trigger: str
    dry_run: bool
    finished_at: datetime
    seconds: float | None
    """From its start to its end; None when it never started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetRow:
    """One installation."""

    pk: int
    login: str
    account_type: str
    mode: str
    status: str
    """active, suspended or uninstalled."""
    state: State
    badge: str
    """The state in the words of the card, and `tone` its colour: good, busy, warn, bad, quiet."""
    tone: str
    attention: tuple[str, ...]
    """Why somebody should look, the gravest first, in a few words each; empty when all is well."""
    urgency: int
    """How grave that is: 0 for nothing, more for worse. Orders by it start with the gravest."""

    day: Tally
    week: Tally
    audit: Standing
    """Independent audits over the window (R8.3); `estimate` None: nothing was audited."""
    runs_day: Runs
    runs_week: Runs
    durations: Durations
    """Of the window's runs."""
    found: int
    """Discrepancies that were detected within the window, of all types."""
    by_type: ByType
    """The same by type, the most frequent first."""
    open: Open
    worst_severity: str | None
    """Of the open incidents."""
    backlog: Backlog
    running: bool
    """Whether a run goes on right now."""
    breaker: str
    """closed, open or half_open."""
    breaker_until: datetime | None
    consecutive_failures: int
    budgets: Mapping[str, BudgetLeft]
    """By resource: core, graphql."""
    last_run: FleetRun | None
    last_success: datetime | None
    """End of the last run that read everything it set out to (P18): the same as `last_synced_at`."""
    last_synced_at: datetime | None
    next_scheduled_at: datetime | None
    action_needed: str
    last_error: str
    audit_week: Standing | None = None
    """Independent audits over 7 days, whatever the window; None where it is the same as `audit`."""
    series: tuple[Point, ...] = ()
    """A point for each step of the window, only in rows of the page that was asked for."""

    @property
    def disagrees(self) -> bool:
        """Whether the audits contradict what the runs of the week measured."""
        return disagrees(self.week.accuracy, self.audit_week or self.audit)

    @property
    def budget_share(self) -> float | None:
        """What is left of the budget that is nearest to its end."""
        shares = [each.share for each in self.budgets.values() if each.share is not None]
        return min(shares) if shares else None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetIncident:
    """One incident, newest first in `Fleet.incidents` (P21)."""

    pk: int
    kind: str
    severity: str
    status: str
    title: str
    opened_at: datetime
    installation: int | None
    login: str
    correlation_id: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FleetTotals:
    """The matching installations together: a large account counts more than a small one."""

    installations: int
    active: int
    attention: int
    """How many of them want somebody to look."""
    unmeasured: int = 0
    """Active ones of which nothing was compared in 24 hours: what is said of all says nothing of them."""
    day: Accuracy
    week: Accuracy
    """With SLO, error budget, burn rates, days (R9.2)."""
    audit: Standing
    times: Times
    """To detect and to repair, of the discrepancies found within the window (R9.3)."""
    runs_day: Runs
    runs_week: Runs
    durations: Durations
    """Of the window's runs."""
    found: int
    by_type: ByType
    open: Open
    worst_severity: str | None
    backlog: Backlog
    running: int
    breakers: int
    """Accounts whose breaker is open or half open."""
    last_success: datetime | None
    """The newest of all accounts, and the next sync that is planned of any (P18)."""
    next_scheduled_at: datetime | None
    audit_week: Standing | None = None
    """Independent audits over 7 days, whatever the window: the runs of a week are held against these."""

    @property
    def disagrees(self) -> bool:
        """Whether the audits contradict what the runs of the week measured."""
        return disagrees(self.week.tally.accuracy, self.audit_week or self.audit)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """The answer: the rows of the page that was asked for, and what all matching ones come to."""

    as_of: datetime
    filters: FleetFilters
    rows: tuple[FleetRow, ...]
    matching: int
    """Installations that match, on all pages."""
    totals: FleetTotals
    trend: tuple[Point, ...]
    """Of all matching ones: a point for each step of the window, the first and last seldom whole."""
    incidents: tuple[FleetIncident, ...] = field(default=())
