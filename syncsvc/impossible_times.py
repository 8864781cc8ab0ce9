"""Times that cannot be: what a wrong clock, or a hand in the database, wrote far ahead is put right.

Whatever waits, waits for a time in a column. Each of these columns has a longest wait that our own code
gives it, and some have another beside them that says when they were written. A time beyond the
longest wait, or written at a moment that has not come yet, is nobody's: it would hold an account
back for as long as the clock was wrong, a day as easily as a year. So a sweep cuts such times, with one
UPDATE for each column, which also says how many rows it was: what is cut once is not cut again.

Rows are not loaded: Python cannot read what PostgreSQL can store, the year 20000 or `infinity`.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog
from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Coalesce, Greatest

from syncsvc import conf, schedule
from syncsvc.models import (
    ContentList,
    Delivery,
    Gap,
    Heartbeat,
    Hook,
    Installation,
    RateBudget,
    Recheck,
    Repository,
    SyncJob,
    WebhookState,
)

log = structlog.get_logger(__name__)

TOLERANCE: Final = timedelta(minutes=5)
"""By so much the clocks of two machines of ours may differ."""
OF_GITHUB: Final = timedelta(hours=24)
"""As long as GitHub may ask us to wait (`protocol.parse_retry_after`)."""
OF_OURS: Final = timedelta(hours=2)
"""Longer than any pause of our own: retries end at 15 minutes, breakers and gaps at an hour."""
OF_RETRIES: Final = timedelta(hours=8)
"""Longer than the pauses of what is read again until it works: six hours, and a quarter of jitter."""
BEGINNING: Final = datetime(2008, 1, 1, tzinfo=UTC)
"""Before GitHub itself nothing was to be done: `-infinity` and the years BC are put right as well."""
MOST_ATTEMPTS: Final = 1_000_000

_WAITING: Final = Q(status__in=[SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED])


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """One column that holds work back. `written`: the column that says when it was set, if one does;
    `to`: what the row is given instead, from the present time."""

    model: type[models.Model]
    column: str
    longest: timedelta
    written: str = ""
    within: Q = field(default_factory=Q)
    to: Callable[[datetime], Mapping[str, Any]] | None = None

    def impossible(self, now: datetime) -> Q:
        """Which rows have a time that nobody of ours meant."""
        ahead = Q(**{f"{self.column}__gt": now + self.longest + TOLERANCE})
        found = ahead | Q(**{f"{self.column}__lt": BEGINNING})
        if self.written:
            found |= Q(
                **{f"{self.written}__gt": now + TOLERANCE, f"{self.column}__gt": now + TOLERANCE}
            )
        return found & self.within

    def instead(self, now: datetime) -> dict[str, Any]:
        """The columns that are written."""
        return dict(self.to(now)) if self.to else {self.column: now}


def put_right(now: datetime) -> dict[str, int]:
    """Cuts every such time; returns how many rows by `table.column`, and logs each once.

    Harmless twice and beside running jobs: a worker that lives renews its lease, and what is asked
    for too early is turned away again by GitHub or by policy.
    """
    done: Counter[str] = Counter()
    for bound in _bounds():
        late = models.QuerySet[Any](bound.model).filter(bound.impossible(now))
        name = f"{bound.model._meta.db_table}.{bound.column}"
        done[name] += late.update(**bound.instead(now))
    done.update(_forgotten(now))
    done["syncsvc_installation.next_scheduled_at"] = _schedules(now)
    done["syncsvc_syncjob.attempt"] = SyncJob.objects.filter(
        attempt__gt=MOST_ATTEMPTS, status__in=SyncJob.ACTIVE
    ).update(attempt=conf.for_installation(None).job_attempts)
    found = {name: rows for name, rows in done.items() if rows}
    for name, rows in found.items():
        log.warning("time.put_right", column=name, rows=rows, at=now.isoformat())
    return found


def _bounds() -> tuple[Bound, ...]:
    lease = timedelta(seconds=conf.for_installation(None).lease_seconds)
    none = timedelta(0)
    ring_again: dict[str, Any] = {"rung_at": None}
    return (
        # First what is known by another column, which stays as it is until its own line.
        Bound(
            model=SyncJob,
            column="run_after",
            longest=OF_GITHUB,
            written="stage_started_at",
            within=_WAITING,
            to=lambda now: {"run_after": now, **ring_again},
        ),
        Bound(
            model=SyncJob,
            column="run_after",
            longest=OF_OURS,
            written="created_at",
            within=Q(status=SyncJob.Status.QUEUED),
            to=lambda now: {"run_after": now, **ring_again},
        ),
        Bound(
            model=SyncJob,
            column="rung_at",
            longest=none,
            within=_WAITING,
            to=lambda _: ring_again,
        ),
        Bound(
            model=SyncJob,
            column="lease_expires_at",
            longest=lease,
            within=Q(status=SyncJob.Status.RUNNING),
            to=lambda now: {"lease_expires_at": now + lease},
        ),
        Bound(
            model=Installation,
            column="breaker_open_until",
            longest=OF_OURS,
            written="breaker_opened_at",
        ),
        Bound(model=Installation, column="last_synced_at", longest=none),
        Bound(model=Installation, column="last_listed_at", longest=none),
        Bound(
            model=Recheck,
            column="due_at",
            longest=OF_RETRIES,
            written="asked_at",
            to=lambda now: {"due_at": now, "asked_at": now},
        ),
        Bound(
            model=ContentList,
            column="retry_at",
            longest=OF_RETRIES,
            written="failed_at",
        ),
        Bound(
            model=Delivery,
            column="due_at",
            longest=OF_OURS,
            written="received_at",
            within=Q(status=Delivery.Status.RECEIVED),
        ),
        Bound(
            model=Gap,
            column="next_step_at",
            longest=OF_OURS,
            written="opened_at",
            within=Q(closed_at__isnull=True),
        ),
        Bound(model=Hook, column="retry_at", longest=OF_GITHUB, written="read_at"),
        Bound(
            model=WebhookState,
            column="rhythm_at",
            longest=none,
            to=lambda _: {"rhythm_at": None},
        ),
        Bound(model=Repository, column="read_at", longest=none),
    )


def _forgotten(now: datetime) -> dict[str, int]:
    """Rows that are worth nothing with a wrong time: they are made anew by whoever needs them.

    A budget's window ends within an hour; a list that was read in the future would be believed to
    have been read after changes that nobody has seen.
    """
    seen_ahead = Q(observed_at__gt=now + TOLERANCE)
    of_account = RateBudget.objects.filter(seen_ahead, installation=OuterRef("pk"))
    beyond = Q(blocked_until__gt=now + OF_GITHUB + TOLERANCE) | Q(blocked_until__lt=BEGINNING)
    lists = ContentList.objects.filter(
        Q(read_at__gt=now + TOLERANCE) | Q(whole_at__gt=now + TOLERANCE)
    )
    return {
        # The pause was learned with the budgets, by the same clock.
        "syncsvc_installation.blocked_until": Installation.objects.filter(
            beyond | (Q(blocked_until__gt=now) & Exists(of_account))
        ).update(blocked_until=None, blocked_reason="", secondary_strikes=0),
        "syncsvc_ratebudget.reset_at": RateBudget.objects.filter(
            seen_ahead | Q(reset_at__gt=now + OF_OURS)
        ).delete()[0],
        "syncsvc_contentlist.read_at": lists.delete()[0],
        "syncsvc_process_heartbeat.beaten_at": Heartbeat.objects.filter(
            beaten_at__gt=now + TOLERANCE
        ).delete()[0],
    }


def _schedules(now: datetime) -> int:
    """Accounts whose next sync is farther away than their interval get their place in it again: all
    at once would be a herd."""
    bounds = conf.for_installation(None).bounds
    usual, least = bounds.most, bounds.least
    seconds_of = Greatest(
        # What was learnt before the shortest interval became longer is not in force.
        Coalesce(F("interval_seconds"), round(usual.total_seconds())),
        round(least.total_seconds()),
    )
    theirs = models.ExpressionWrapper(
        seconds_of * models.Value(timedelta(seconds=1)),
        output_field=models.DurationField(),
    )
    latest = models.ExpressionWrapper(
        models.Value(now + TOLERANCE) + theirs, output_field=models.DateTimeField()
    )
    rows = Installation.objects.filter(
        Q(next_scheduled_at__gt=latest) | Q(next_scheduled_at__lt=BEGINNING),
        status=Installation.Status.ACTIVE,
        # One that waits for its share of the budget may wait longer, and is looked at all the time.
        waiting_since__isnull=True,
    ).values_list("pk", "account_id", "interval_seconds")
    return sum(
        Installation.objects.filter(pk=pk).update(
            next_scheduled_at=schedule.next_run(
                account_id, now, max(timedelta(seconds=seconds), least) if seconds else usual
            )
        )
        for pk, account_id, seconds in rows
    )
