"""The decision whether a sync may start. Pure: the caller brings the state and the time (R3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from syncsvc import breaker


class Action(StrEnum):
    START = "start"
    SKIP = "skip"
    BLOCK = "block"


class Reason(StrEnum):
    """Why. `start` always has the reason `accepted`."""

    ACCEPTED = "accepted"
    ALREADY_SYNCING = "already_syncing"
    COOLDOWN = "cooldown"
    NO_REPOSITORIES = "no_repositories"
    SUSPENDED = "suspended"
    UNINSTALLED = "uninstalled"
    BREAKER_OPEN = "breaker_open"
    BLOCKED_UNTIL = "blocked_until"
    BUDGET = "budget"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The answer to a request for a sync, with what a reader needs to understand it."""

    action: Action
    reason: Reason
    metadata: Mapping[str, object] = field(default_factory=dict)
    #: The job that was started, or the one that is running already.
    job_id: str | None = None

    def as_dict(self) -> dict[str, object]:
        """For JSON; times as RFC 3339 text."""
        metadata = {
            key: value.isoformat() if isinstance(value, datetime) else value
            for key, value in self.metadata.items()
        }
        return {"action": str(self.action), "reason": str(self.reason), "metadata": metadata}


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetState:
    """What GitHub said is left of one resource."""

    limit: int
    remaining: int
    reset_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class InstallationState:
    """Everything about an installation that a decision depends on, as it is now."""

    status: str
    active_job_id: str | None = None
    last_synced_at: datetime | None = None
    last_listed_at: datetime | None = None
    repositories: int = 0
    blocked_until: datetime | None = None
    blocked_reason: str = ""
    breaker_open_until: datetime | None = None
    budgets: Mapping[str, BudgetState] = field(default_factory=dict)

    def __post_init__(self) -> None:
        times = (
            self.last_synced_at,
            self.last_listed_at,
            self.blocked_until,
            self.breaker_open_until,
            *(budget.reset_at for budget in self.budgets.values()),
        )
        if any(time is not None and time.tzinfo is None for time in times):
            raise ValueError("naive times are refused: nobody knows what they mean")


class Settings(Protocol):
    """The part of the settings that decisions depend on."""

    @property
    def manual_cooldown_seconds(self) -> int: ...
    @property
    def stale_minutes(self) -> int: ...
    @property
    def budget_reserve(self) -> int: ...
    @property
    def webhook_reserve(self) -> int: ...


# Work that a webhook or a gap asked for may spend what periodic work must leave over.
URGENT_TRIGGERS = frozenset({"webhook", "gap"})


def reserve(limit: int, trigger: str, settings: Settings) -> int:
    """Requests that `trigger` must leave unspent of a budget of `limit` (R3.1).

    On small budgets the reserves shrink to 2 % and 5 %, so that they never eat the whole.
    """
    least = min(settings.budget_reserve, limit // 50)
    if trigger in URGENT_TRIGGERS:
        return least
    return least + min(settings.webhook_reserve, limit // 20)


def evaluate(state: InstallationState, trigger: str, now: datetime, settings: Settings) -> Decision:
    """Whether a sync asked for by `trigger` may start at `now`; the first reason against it wins."""
    for judge in (_not_installed, _already_syncing, _blocked, _over_budget, _needless):
        decision = judge(state, trigger, now, settings)
        if decision is not None:
            return decision
    return Decision(action=Action.START, reason=Reason.ACCEPTED)


def _not_installed(
    state: InstallationState, _trigger: str, _now: datetime, _settings: Settings
) -> Decision | None:
    if state.status == "suspended":
        return Decision(action=Action.BLOCK, reason=Reason.SUSPENDED)
    if state.status == "uninstalled":
        return Decision(action=Action.BLOCK, reason=Reason.UNINSTALLED)
    return None


def _already_syncing(
    state: InstallationState, _trigger: str, _now: datetime, _settings: Settings
) -> Decision | None:
    if state.active_job_id is None:
        return None
    return Decision(action=Action.SKIP, reason=Reason.ALREADY_SYNCING, job_id=state.active_job_id)


def _blocked(
    state: InstallationState, _trigger: str, now: datetime, _settings: Settings
) -> Decision | None:
    if not breaker.is_over(state.breaker_open_until, now):
        return Decision(
            action=Action.BLOCK,
            reason=Reason.BREAKER_OPEN,
            metadata={"until": state.breaker_open_until},
        )
    if state.blocked_until is not None and state.blocked_until > now:
        return Decision(
            action=Action.BLOCK,
            reason=Reason.BLOCKED_UNTIL,
            metadata={"until": state.blocked_until, "cause": state.blocked_reason},
        )
    return None


def _over_budget(
    state: InstallationState, trigger: str, now: datetime, settings: Settings
) -> Decision | None:
    for resource, budget in sorted(state.budgets.items()):
        kept = reserve(budget.limit, trigger, settings)
        if budget.reset_at > now and budget.remaining <= kept:
            return Decision(
                action=Action.BLOCK,
                reason=Reason.BUDGET,
                metadata={
                    "resource": resource,
                    "remaining": budget.remaining,
                    "reserve": kept,
                    "until": budget.reset_at,
                },
            )
    return None


def _needless(
    state: InstallationState, trigger: str, now: datetime, settings: Settings
) -> Decision | None:
    # An empty account is still listed by every other trigger: that is how its first repository is found.
    if trigger == "backfill" and state.last_listed_at is not None and state.repositories == 0:
        return Decision(action=Action.SKIP, reason=Reason.NO_REPOSITORIES)
    if trigger != "manual" or state.last_synced_at is None:
        return None
    age = now - state.last_synced_at
    cooldown = timedelta(seconds=settings.manual_cooldown_seconds)
    stale = age >= timedelta(minutes=settings.stale_minutes)
    # A last sync in the future (the clock was set back) is no reason to wait longer than the cooldown.
    if stale or age >= cooldown or age < timedelta(0):
        return None
    return Decision(
        action=Action.SKIP,
        reason=Reason.COOLDOWN,
        metadata={
            "cooldown_ms": int((cooldown - age).total_seconds() * 1000),
            "until": state.last_synced_at + cooldown,
        },
    )
