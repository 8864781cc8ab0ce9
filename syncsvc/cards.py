"""One installation as its card shows it: everything decided and worded, nothing left to the template."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import QuerySet

from syncsvc import (
    advising,
    clock,
    mirrored,
    pacing,
    run_story,
    selectors,
    state,
    status,
    words,
)
from syncsvc.breaker import State
from syncsvc.mirrored import Amounts
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Reason
from syncsvc.state import Snapshot
from syncsvc.status import Progress

#: How often an open page asks for news, in seconds.
POLL_ACTIVE, POLL_COOLING, POLL_IDLE = 1, 2, 15
#: So long after its time a sync is overdue, and the mirror no longer called up to date.
LATE: Final = timedelta(minutes=30)
COUNTED: Final = ("created", "updated", "unchanged", "deleted", "errors")
ENTITIES: Final = ("repositories", "issues", "pull_requests", "commits", "repository_metrics")


@dataclass(frozen=True, kw_only=True, slots=True)
class LastRun:
    """What the last run that ended came to."""

    job_id: str
    status: str
    label: str
    finished_at: datetime | None
    dry_run: bool
    counts: tuple[tuple[str, int], ...]
    #: Who asked for it; empty when nobody did.
    asked_by: str
    #: What it came to, in a sentence (P16).
    summary: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """Ready to show. Cards that read the same have the same `fingerprint`."""

    pk: int
    login: str
    kind: str
    badge: str
    tone: str
    repositories: int
    #: What else is mirrored, by kind.
    amounts: Amounts
    last_synced_at: datetime | None
    next_scheduled_at: datetime | None
    rhythm: str
    error: str
    #: What a person has to do; it stands in the place of the error that says the same.
    action_needed: str
    #: Why syncs are paused, or that the next one is a trial; empty while the breaker is closed.
    breaker: str
    #: Whether the viewer may end that pause.
    may_try: bool
    hint: str
    #: What the viewer can do now, in a sentence (R15.5).
    advice: str
    can_sync: bool
    job_id: str | None
    job_status: str
    may_cancel: bool
    cancelling: bool
    progress: Progress | None
    last_run: LastRun | None
    poll_seconds: int
    now: datetime

    @property
    def eta(self) -> str:
        """The time the running sync will still need, in words."""
        left = self.progress.eta_seconds if self.progress else None
        return "" if left is None else words.span(left)

    @property
    def news(self) -> str:
        """The sentence for people who listen: it changes with the stage, not with every number."""
        if self.progress is not None:
            return f"{self.login}: {self.progress.stage}."
        return f"{self.login}: {self.badge}. {self.hint if not self.can_sync else ''}".strip()

    @property
    def said(self) -> str:
        """Tells whether the listeners have heard the present state."""
        return _digest(self.login, self.badge, self.progress and self.progress.stage)

    @property
    def fingerprint(self) -> str:
        """Tells whether a page shows this card already, relative times included."""
        times = (self.last_synced_at, self.next_scheduled_at)
        shown = [words.relative(at, self.now) for at in times if at]
        if self.last_run is not None and self.last_run.finished_at is not None:
            shown.append(words.relative(self.last_run.finished_at, self.now))
        texts = (
            self.badge,
            self.error,
            self.action_needed,
            self.breaker,
            self.may_try,
            self.hint,
            self.rhythm,
            self.can_sync,
            self.may_cancel,
        )
        return _digest(
            *shown,
            texts,
            self.advice,
            self.repositories,
            self.amounts,
            self.cancelling,
            self.progress,
            self.last_run,
        )


def read(user: Any, installations: QuerySet[Installation]) -> list[Card]:
    """The cards of these installations, in their order, in a fixed number of queries."""
    now = clock.now()
    snapshots = state.read(installations)
    active = [snapshot.active_job for snapshot in snapshots if snapshot.active_job]
    cancellable = selectors.cancellable(user, active)
    rows = [snapshot.installation for snapshot in snapshots]
    latest = selectors.latest_jobs(rows)
    paused = [row.pk for row in rows if row.breaker_open_until and row.breaker_open_until > now]
    tried = selectors.operated(user, paused)
    held = mirrored.amounts({row.pk: latest[row.pk].pk if row.pk in latest else "" for row in rows})
    return [
        _card(
            snapshot,
            latest.get(snapshot.installation.pk),
            held[snapshot.installation.pk],
            may_cancel=snapshot.active_job is not None and snapshot.active_job.pk in cancellable,
            may_operate=snapshot.installation.pk in tried,
            now=now,
        )
        for snapshot in snapshots
    ]


def _card(
    snapshot: Snapshot,
    last: SyncJob | None,
    amounts: Amounts,
    *,
    may_cancel: bool,
    may_operate: bool,
    now: datetime,
) -> Card:
    row, job = snapshot.installation, snapshot.active_job
    shown = status.of(snapshot, now)
    word, tone = badge(row, shown, job, now)
    cooling = shown.reason == Reason.COOLDOWN
    idle_poll = POLL_COOLING if cooling else POLL_IDLE
    return Card(
        pk=row.pk,
        login=row.account_login,
        kind=f"{row.get_account_type_display()} · {row.get_mode_display()}",
        badge=word,
        tone=tone,
        repositories=snapshot.state.repositories,
        amounts=amounts,
        last_synced_at=shown.last_synced_at,
        next_scheduled_at=shown.next_scheduled_at,
        rhythm=_rhythm(row),
        error=shown.last_sync_error or "",
        action_needed=shown.action_needed or "",
        breaker=_breaker(row, shown, now),
        may_try=may_operate and shown.reason == Reason.BREAKER_OPEN,
        hint=hint(shown, now),
        advice=advising.advice(
            row, shown, job, last, may_operate=may_operate, is_late=is_late(row, now)
        ),
        can_sync=shown.can_sync_now,
        job_id=shown.active_job_id,
        job_status=job.status if job else "",
        may_cancel=may_cancel,
        cancelling=job is not None and job.cancel_requested_at is not None,
        progress=shown.active_job_progress,
        last_run=_last_run(last),
        poll_seconds=POLL_ACTIVE if shown.state == "syncing" else idle_poll,
        now=now,
    )


def _rhythm(row: Installation) -> str:
    """How often it is synced and why, of one that is."""
    if row.status != Installation.Status.ACTIVE:
        return ""
    return f"Synced {pacing.rhythm(row).sentence}."


def is_late(row: Installation, now: datetime) -> bool:
    """Whether a sync was due long ago, and none came: the scheduler or the workers do not get to it."""
    due = row.waiting_since or row.next_scheduled_at
    return due is not None and now - due > LATE


def badge(
    row: Installation, shown: status.SyncStatus, job: SyncJob | None, now: datetime
) -> tuple[str, str]:
    """The word that says how the account stands, and its tone."""
    if row.status != Installation.Status.ACTIVE:
        return row.get_status_display(), "warn"
    if job is not None and job.status == SyncJob.Status.QUEUED:
        return "Waiting for a worker", "busy"
    if shown.state == "idle" and shown.last_synced_at is None:
        return "Not synced yet", "quiet"
    if shown.state == "idle" and is_late(row, now):
        return "Sync overdue", "warn"
    return {
        "syncing": ("Syncing", "busy"),
        "blocked": ("Paused", "warn"),
        "error": ("Last sync had errors", "bad"),
        "idle": ("Up to date", "good"),
    }[shown.state]


def _breaker(row: Installation, shown: status.SyncStatus, now: datetime) -> str:
    """What the breaker does to this account's syncs."""
    if shown.breaker_state == State.CLOSED:
        return ""
    failures = row.consecutive_failures
    many = f"after {failures} failure{'' if failures == 1 else 's'} in a row"
    until = row.breaker_open_until
    if shown.breaker_state == State.OPEN and until is not None and until > now:
        return f"Syncs are paused {many}. A trial may start at {words.exact(until)}."
    return (
        f"Syncs were paused {many}. The next one is a trial: if it succeeds, they go on as usual."
    )


def hint(shown: status.SyncStatus, now: datetime) -> str:
    """Why a sync cannot start now, and when it can."""
    if shown.can_sync_now:
        return ""
    if shown.cooldown_ms is not None:
        return f"{shown.sentence} You can sync again in {words.span(shown.cooldown_ms / 1000)}."
    if shown.blocked_until is not None:
        when = words.relative(shown.blocked_until, now)
        waiting = "Goes on" if shown.active_job_id else "You can sync again"
        sentence = "GitHub asked us to wait." if shown.active_job_id else shown.sentence
        return f"{sentence} {waiting} {when} ({words.exact(shown.blocked_until)})."
    return shown.sentence


def _last_run(job: SyncJob | None) -> LastRun | None:
    if job is None:
        return None
    return LastRun(
        job_id=str(job.pk),
        status=job.status,
        label=job.get_status_display(),
        finished_at=job.finished_at,
        dry_run=job.dry_run,
        counts=totals(job.counts.values()),
        asked_by=job.requested_by.get_username() if job.requested_by else "",
        summary=run_story.summary(job.counts.values(), dry_run=job.dry_run, status=job.status),
    )


def totals(entities: Iterable[dict[str, int]]) -> tuple[tuple[str, int], ...]:
    """Created, updated and so on, over all kinds of things that a run reads."""
    counted = list(entities)
    if not counted:
        return ()
    return tuple((name, sum(entity.get(name, 0) for entity in counted)) for name in COUNTED)


def errors(counts: dict[str, dict[str, int]]) -> int:
    """How much went wrong, over all kinds of things."""
    return sum(entity.get("errors", 0) for entity in counts.values())


def by_entity(
    counts: dict[str, dict[str, int]],
) -> list[tuple[str, tuple[tuple[str, int], ...]]]:
    """The same for each kind of things by itself."""
    known = [name for name in ENTITIES if name in counts]
    names = known + sorted(name for name in counts if name not in ENTITIES)
    return [(name, totals([counts[name]])) for name in names]


def _digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
