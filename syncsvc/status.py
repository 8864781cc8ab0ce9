"""The only thing that pages and API read about the state of a sync (R3.5)."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from syncsvc import circuit, conf, policy, state
from syncsvc.models import SyncJob
from syncsvc.policy import Action, Decision, Reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far the active job is; `eta_seconds` is None until there is something to judge from."""

    current: int
    total: int | None
    stage: str
    item: str
    errors: int
    eta_seconds: int | None

    @property
    def percent(self) -> int | None:
        """0 to 100, or None while nobody knows the total."""
        if not self.total:
            return None
        return min(100, self.current * 100 // self.total)


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncStatus:
    """The state of one installation's sync, ready to show."""

    state: str
    can_sync_now: bool
    reason: str
    sentence: str
    cooldown_ms: int | None
    blocked_until: datetime | None
    active_job_id: str | None
    active_job_progress: Progress | None
    last_synced_at: datetime | None
    last_sync_error: str | None
    #: What a person has to do before the next run can succeed (R10.1).
    action_needed: str | None
    breaker_state: str
    consecutive_failures: int
    next_scheduled_at: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def of(snapshot: state.Snapshot, now: datetime) -> SyncStatus:
    """The status of one installation at `now`; pure, given the snapshot."""
    row, job = snapshot.installation, snapshot.active_job
    decision = policy.evaluate(
        snapshot.state, SyncJob.Trigger.MANUAL, now, conf.for_installation(row)
    )
    blocked_until = decision.metadata.get("until") if decision.action is Action.BLOCK else None
    if job is not None and job.status == SyncJob.Status.BLOCKED:
        blocked_until = job.run_after
    cooldown = decision.metadata.get("cooldown_ms")
    return SyncStatus(
        state=_state(job, decision, failed=bool(row.last_error)),
        can_sync_now=decision.action is Action.START,
        reason=str(decision.reason),
        sentence=explain(decision),
        cooldown_ms=cooldown if isinstance(cooldown, int) else None,
        blocked_until=blocked_until if isinstance(blocked_until, datetime) else None,
        active_job_id=str(job.pk) if job else None,
        active_job_progress=progress(job, now) if job else None,
        last_synced_at=row.last_synced_at,
        last_sync_error=row.last_error or None,
        action_needed=row.action_needed or None,
        breaker_state=str(circuit.of(row).state),
        consecutive_failures=row.consecutive_failures,
        next_scheduled_at=row.next_scheduled_at if row.status == "active" else None,
    )


def _state(job: SyncJob | None, decision: Decision, *, failed: bool) -> str:
    if job is not None:
        return "blocked" if job.status == SyncJob.Status.BLOCKED else "syncing"
    if decision.action is Action.BLOCK:
        return "blocked"
    return "error" if failed else "idle"


def progress(job: SyncJob, now: datetime) -> Progress:
    """How far `job` is, with the time that this stage will still need at its pace so far (R5.7); while it
    waits it has no pace."""
    eta = None
    began = job.stage_started_at or job.started_at
    if job.status == SyncJob.Status.RUNNING and job.total and job.current and began:
        elapsed = (now - began).total_seconds()
        eta = max(0, round(elapsed / job.current * (job.total - job.current)))
    return Progress(
        current=job.current,
        total=job.total,
        stage=job.stage or "queued",
        item=job.current_item,
        errors=job.errors,
        eta_seconds=eta,
    )


_SENTENCES = {
    Reason.ACCEPTED: "Ready to sync.",
    Reason.ALREADY_SYNCING: "A sync is running already.",
    Reason.COOLDOWN: "The mirror was synced a moment ago.",
    Reason.NO_REPOSITORIES: "This account has no repositories to read.",
    Reason.SUSPENDED: "GitHub has suspended this installation: unsuspend it on GitHub to go on.",
    Reason.UNINSTALLED: "The App is no longer installed on this account: install it again to go on.",
    Reason.BREAKER_OPEN: "Syncs failed several times in a row and are paused for a while.",
    Reason.BLOCKED_UNTIL: "GitHub asked us to wait.",
    Reason.BUDGET: "This hour's request budget at GitHub is used up, but for a reserve.",
}


def explain(decision: Decision) -> str:
    """One sentence for people."""
    return _SENTENCES[decision.reason]
