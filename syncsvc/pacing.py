"""The planner's view of the database: who is due, what each pool has left, what a run taught.

Hides which rows the pure `syncsvc.planner` is asked with, in a fixed number of queries however many
accounts are due, and where its answers are kept.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Case, F, Q, QuerySet, When
from django.db.models.functions import Least

from syncsvc import conf, planner, policy, schedule, state, words
from syncsvc.models import Gap, Installation, RateBudget, SyncJob
from syncsvc.planner import Candidate, Plan, Pool, Wait, Why
from syncsvc.policy import Action, Reason
from syncsvc.state import Snapshot

CONSIDERED: Final = 5_000
"""Accounts that one look considers: those that are due longest."""
QUEUED: Final = 200
"""Runs that may wait for workers: those that come later are put in order by need, not by arrival."""
LOOK_BACK: Final = timedelta(minutes=10)
"""How long a run that was started counts against the pace."""
NARROW_COST: Final = 5.0
"""Requests that a run for some repositories is expected to take."""
MOVED: Final = timedelta(minutes=1)
"""By less than that an estimate is not worth writing down again."""
TOKEN: Final = "token"  # noqa: S105  (the name of a pool, no secret)
RESOURCES: Final = ("core", "graphql")
PERIODIC: Final = (SyncJob.Trigger.CRON, SyncJob.Trigger.INITIAL)


def due(now: datetime) -> QuerySet[Installation]:
    """The active accounts whose time has come, or that wait since it came."""
    return Installation.objects.filter(
        Q(next_scheduled_at__lte=now)
        | Q(next_scheduled_at__isnull=True)
        | Q(waiting_since__isnull=False),
        status=Installation.Status.ACTIVE,
    )


def look(now: datetime) -> Plan:
    """Who of those that are due is to be synced now, and who waits until when (R4.2)."""
    rows = due(now).order_by(F("next_scheduled_at").asc(nulls_first=True))[:CONSIDERED]
    snapshots = state.read(rows, count_repositories=False)
    if not snapshots:
        return Plan()
    gaps = set(
        Gap.objects.filter(
            installation__in=[each.installation.pk for each in snapshots], closed_at__isnull=True
        ).values_list("installation_id", flat=True)
    )
    books = _Books(snapshots, now)
    candidates, refused = [], {}
    for each in snapshots:
        settings = conf.for_installation(each.installation)
        asked = policy.evaluate(each.state, SyncJob.Trigger.CRON, now, settings)
        until = asked.metadata.get("until")
        if asked.reason is Reason.BUDGET and isinstance(until, datetime):
            refused[each.installation.pk] = Wait(until=until, why=Why.BUDGET)
        else:
            # Whom policy refuses for another reason is asked for all the same, and costs nothing.
            free = asked.action is not Action.START
            candidates.append(_candidate(each.installation, books, gaps, now, free=free))
    queued = SyncJob.objects.filter(status=SyncJob.Status.QUEUED, run_after__lte=now).count()
    plan = planner.plan(candidates, books.pools(), max(QUEUED - queued, 0), now)
    return Plan(starts=plan.starts, waits={**plan.waits, **refused})


def wait(waits: Mapping[int, Wait], now: datetime) -> None:
    """Writes down who waits, since when, and until about when.

    Two that write at once must not wait for each other: a row that somebody holds is left for the next
    look.
    """
    waits = {key: each for key, each in waits.items() if each.why is not Why.QUEUE}
    if not waits:
        return
    with transaction.atomic():
        rows = due(now).select_for_update(skip_locked=True, no_key=True).filter(pk__in=waits)
        known = rows.order_by("pk").values_list("pk", "waiting_since", "next_scheduled_at")
        moved = [
            (pk, min(since or at or now, now), waits[pk].until)
            for pk, since, at in known
            # A wrong clock may have written a time that is yet to come.
            if since is None or since > now or at is None or abs(waits[pk].until - at) > MOVED
        ]
        if moved:
            with connection.cursor() as cursor:
                cursor.execute(_WAIT, list(map(list, zip(*moved, strict=True))))


_WAIT: Final = f"""
    UPDATE {Installation._meta.db_table} AS i
    SET waiting_since = w.since, next_scheduled_at = w.until
    FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS w(id, since, until)
    WHERE i.id = w.id
"""  # noqa: S608  (the table's name is ours)


def _candidate(
    row: Installation, books: "_Books", gaps: set[int], now: datetime, *, free: bool
) -> Candidate:
    read = [at for at in (row.last_synced_at, row.last_listed_at) if at is not None]
    return Candidate(
        key=row.pk,
        pool=_pool_of(row),
        cost=0.0 if free else books.cost(row),
        due_at=row.waiting_since or row.next_scheduled_at or now,
        read_at=max(read, default=None),
        changes_per_hour=row.changes_per_hour,
        gap=row.pk in gaps,
    )


def _pool_of(row: Installation) -> Hashable:
    return row.pk if row.mode == Installation.Mode.APP else TOKEN


class _Books:
    """What is known of the pools of these accounts."""

    def __init__(self, snapshots: Iterable[Snapshot], now: datetime) -> None:
        self._now = now
        self._rows = [each.installation for each in snapshots]
        self._own = [row for row in self._rows if row.mode == Installation.Mode.APP]
        self._sharing: list[tuple[float | None, int | None]] = []
        if len(self._own) < len(self._rows):
            sharing = Installation.objects.filter(
                mode=Installation.Mode.TOKEN, status=Installation.Status.ACTIVE
            )
            self._sharing = list(sharing.values_list("usual_requests", "interval_seconds"))
        known = [usual for usual, _ in self._sharing if usual is not None]
        self._guess = fmean(known) if known else planner.UNKNOWN_COST

    def cost(self, row: Installation) -> float:
        """Requests that a run is expected to take: as usual, as its neighbours' do, or nobody knows."""
        if row.usual_requests is not None:
            return max(row.usual_requests, 1.0)
        return self._guess if row.mode == Installation.Mode.TOKEN else planner.UNKNOWN_COST

    def pools(self) -> dict[Hashable, Pool]:
        """All pools that these accounts spend from."""
        budgets = self._budgets()
        under_way, started = self._jobs()
        hourly: dict[Hashable, float] = {
            row.pk: self._hourly(self.cost(row), row.interval_seconds) for row in self._own
        }
        shared = sum(
            self._hourly(self._guess if usual is None else usual, seconds)
            for usual, seconds in self._sharing
        )
        return {
            key: Pool(
                budgets=tuple(budgets[key].values()),
                under_way=under_way[key],
                started=tuple(started[key]),
                per_hour=shared if key == TOKEN else hourly.get(key, 0.0),
            )
            for key in {_pool_of(row) for row in self._rows}
        }

    def _hourly(self, cost: float, seconds: int | None) -> float:
        bounds = conf.for_installation(None).bounds
        present = None if seconds is None else timedelta(seconds=seconds)
        return cost * (timedelta(hours=1) / planner.interval(present, bounds))

    def _budgets(self) -> defaultdict[Hashable, dict[str, planner.Budget]]:
        """The newest word on each resource of each pool: a token's is whichever account heard it."""
        settings = conf.for_installation(None)
        found: defaultdict[Hashable, dict[str, planner.Budget]] = defaultdict(dict)
        # Without a limit it tells of no budget: nobody would ever ask GitHub for a better one.
        rows = RateBudget.objects.filter(self._ours(), resource__in=RESOURCES, limit__gt=0)
        for row in rows.select_related("installation").order_by("observed_at"):
            found[_pool_of(row.installation)][row.resource] = planner.Budget(
                limit=row.limit,
                remaining=row.remaining,
                reset_at=row.reset_at,
                kept=policy.reserve(row.limit, SyncJob.Trigger.CRON, settings),
                # The reserve for webhooks and gaps is for what they ask for themselves.
                kept_by_gaps=policy.reserve(row.limit, SyncJob.Trigger.CRON, settings),
            )
        return found

    def _jobs(
        self,
    ) -> tuple[defaultdict[Hashable, float], defaultdict[Hashable, list[tuple[datetime, float]]]]:
        """What is under way in each pool, and what was started lately by the schedule."""
        under_way: defaultdict[Hashable, float] = defaultdict(float)
        started: defaultdict[Hashable, list[tuple[datetime, float]]] = defaultdict(list)
        recent = Q(created_at__gt=self._now - LOOK_BACK, trigger__in=PERIODIC)
        jobs = SyncJob.objects.filter(self._ours(), Q(status__in=SyncJob.ACTIVE) | recent)
        for job in jobs.select_related("installation").only(
            "mode",
            "status",
            "trigger",
            "created_at",
            "installation__mode",
            "installation__usual_requests",
        ):
            cost = self.cost(job.installation)
            if job.mode in SyncJob.NARROW:
                cost = min(cost, NARROW_COST)
            pool = _pool_of(job.installation)
            if job.is_active:
                under_way[pool] += cost
            if job.trigger in PERIODIC:
                started[pool].append((job.created_at, cost))
        return under_way, started

    def _ours(self) -> Q:
        ours = Q(installation__in=[row.pk for row in self._own])
        return ours | Q(installation__mode=Installation.Mode.TOKEN) if self._sharing else ours


# -- what a run taught -------------------------------------------------------------------------------


def learned(
    job: SyncJob, *, succeeded: bool, found: int, api: Mapping[str, Any], now: datetime
) -> dict[str, Any]:
    """The columns of the account that a run over all of it changes when it ends (R3.4).

    `found`: its discrepancies, that is what had changed and no event had told of. Only a run that read
    everything can tell that nothing had; one that came soon after another says little about that.
    """
    if job.dry_run or job.mode in SyncJob.NARROW:
        return {}
    row = job.installation
    bounds = conf.for_installation(row).bounds
    present = interval_of(row)
    interval = present
    columns: dict[str, Any] = {"waiting_since": None}
    whole = succeeded and job.mode != SyncJob.Mode.RECONCILE and row.last_synced_at is not None
    elapsed = now - row.last_synced_at if row.last_synced_at else timedelta(0)
    if found or (whole and elapsed * 2 >= present):
        interval = planner.next_interval(present, bounds, found_changes=found > 0)
        columns["interval_seconds"] = round(interval.total_seconds())
    if whole:
        columns["changes_per_hour"] = planner.learned_rate(row.changes_per_hour, found, elapsed)
    if job.mode == SyncJob.Mode.INCREMENTAL:
        columns["usual_requests"] = planner.learned_cost(row.usual_requests, spent(api))
    following = schedule.next_run(row.account_id, now, interval)
    sooner = Least(F("next_scheduled_at"), following) if interval < present else None
    columns["next_scheduled_at"] = Case(
        # It waited for its turn while somebody else's request was served: that was its turn.
        When(waiting_since__isnull=False, then=following),
        default=sooner or F("next_scheduled_at"),
    )
    return columns


def spent(api: Mapping[str, Any]) -> float:
    """What a run took of the budgets, by the larger of both: requests that were answered with something
    new, or points of GraphQL. A run needs both, so that is never too little for one of them."""
    requests = float(api.get("requests", 0)) - float(api.get("not_modified", 0))
    return max(requests, float(api.get("graphql_points", 0)))


# -- what people read --------------------------------------------------------------------------------


def interval_of(row: Installation) -> timedelta:
    """The time between two syncs of this account at present (R3.4)."""
    seconds = row.interval_seconds
    present = None if seconds is None else timedelta(seconds=seconds)
    return planner.interval(present, conf.for_installation(row).bounds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rhythm:
    """How often an account is synced, and why, in a sentence."""

    seconds: int
    sentence: str


def rhythm(row: Installation) -> Rhythm:
    """The present rhythm of an account, ready to show."""
    bounds = conf.for_installation(row).bounds
    present = interval_of(row)
    minutes = f"{present.total_seconds() / 60:g}"
    often = "every minute" if minutes == "1" else f"every {minutes} minutes"
    if row.waiting_since is not None:
        why = (
            f"due since {words.exact(row.waiting_since)}, waits for its share of GitHub's requests"
        )
    elif row.interval_seconds is None or bounds.least == bounds.most:
        why = "as configured"
    elif present < bounds.most:
        why = "the last runs found changes"
    else:
        why = "the last runs found nothing new"
    return Rhythm(seconds=round(present.total_seconds()), sentence=f"{often}: {why}")
