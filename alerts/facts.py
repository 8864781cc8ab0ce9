"""What is true of one account, or of all, read in the same few queries however many there are.

Hides the tables below; what is made of it stands in `alerts.causes`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

from django.db.models import (
    Case,
    Count,
    F,
    Model,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    When,
    Window,
)
from django.db.models.fields.json import KT
from django.db.models.functions import RowNumber

from alerts.values import Audited, Facts, Held, Rows, Run, Share
from reconciliation.accuracy import DAY, WEEK
from reconciliation.models import Discrepancy, IntegrityIssue, Review, RunFigure, SampleAudit
from reconciliation.sampling import Weights, wilson
from syncsvc import conf
from syncsvc.models import DeadLetter, Gap, Installation, SyncJob

EXAMPLES: Final = 10
"""How many rows of a kind are named."""
VANISHED_EXAMPLES: Final = 5
_NOUNS: Final = {"repositories": "repository", "issues": "issue", "pull_requests": "pull request"}

Row = TypeVar("Row", bound=Model)


def read(now: datetime, installation_id: int | None = None) -> list[Facts]:
    """The facts of one account, none if there is no such account, or of all, by our id."""
    rows = list(_installations(installation_id, now))
    jobs = {job for row in rows for job in (row.read_job, row.short_job) if job}
    world = _World.read(installation_id, now, jobs)
    return [_facts(row, world, now) for row in rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class _World:
    """Everything that accounts have, by our ids of them."""

    runs: dict[UUID, Run]
    short: dict[UUID, Rows]
    held: dict[int, Held]
    not_resynced: dict[int, Rows]
    not_repaired: dict[int, Rows]
    broken: dict[int, Rows]
    accuracy: dict[int, Share]
    audits: dict[int, Audited]
    gaps: dict[int, tuple[int, int]]

    @classmethod
    def read(cls, installation_id: int | None, now: datetime, jobs: Iterable[UUID]) -> "_World":
        by_verification = Q(detector=Discrepancy.Detector.VERIFICATION)
        runs, short = _runs(jobs)
        return cls(
            runs=runs,
            short=short,
            held=_held(installation_id),
            not_resynced=_failed_repairs(installation_id, by_verification),
            not_repaired=_failed_repairs(installation_id, ~by_verification),
            broken=_broken(installation_id),
            accuracy=_accuracy(installation_id, now),
            audits=_audits(installation_id, now),
            gaps=_gaps(installation_id),
        )


def _facts(row: Any, world: _World, now: datetime) -> Facts:
    open_gaps, missed = world.gaps.get(row.pk, (0, 0))
    times = (row.last_synced_at, row.last_listed_at, row.read_whole_at)
    read = [at for at in times if at is not None]
    return Facts(
        installation_id=row.pk,
        login=row.account_login,
        now=now,
        active=row.status == Installation.Status.ACTIVE,
        interval=conf.for_installation(row).interval,
        read_at=max(read, default=None),
        run=world.runs.get(row.read_job),
        failed_job_id=row.failed_job,
        action_needed=row.action_needed,
        dead_letters=row.open_letters or 0,
        half_open=row.breaker_state == Installation.Breaker.HALF_OPEN,
        breaker_open_until=row.breaker_open_until,
        consecutive_failures=row.consecutive_failures,
        last_error=row.last_error,
        held=world.held.get(row.pk),
        not_resynced=_either(world.not_resynced.get(row.pk), world.short.get(row.short_job)),
        not_repaired=world.not_repaired.get(row.pk),
        broken=world.broken.get(row.pk),
        accuracy=world.accuracy.get(row.pk),
        audit=world.audits.get(row.pk),
        open_gaps=open_gaps,
        missed=missed,
    )


def _of(rows: QuerySet[Row], installation_id: int | None) -> QuerySet[Row]:
    return rows if installation_id is None else rows.filter(installation=installation_id)


def _either(named: Rows | None, counted: Rows | None) -> Rows | None:
    """The items that have names, and as many more as are known by their number only."""
    if named is None or counted is None:
        return named or counted
    return replace(named, number=max(named.number, counted.number))


def _installations(installation_id: int | None, now: datetime) -> Any:
    """The accounts, each with, of the last 7 days: its last run over all of it that came to its end
    (`read_job`), the end of the last one that read all of it (`read_whole_at`), the last one that failed
    (`failed_job`), and the last of whatever mode whose resync failed, unless a run over all of it came
    later (`short_job`); and how many dead letters wait (`open_letters`).

    Where one repository always fails, every run is `partial`: that is no reason to call the rest old.
    """
    # Older ones say nothing of now, and a suspended account may have no newer ones to stop at.
    runs = SyncJob.objects.filter(
        installation=OuterRef("pk"), created_at__gt=now - WEEK, dry_run=False
    ).order_by("-created_at")
    whole = runs.exclude(mode__in=SyncJob.NARROW)
    ended = whole.filter(status__in=[SyncJob.Status.SUCCEEDED, SyncJob.Status.PARTIAL])
    complete = ended.filter(Q(status=SyncJob.Status.SUCCEEDED) | Q(verification__complete=True))
    failed = whole.filter(status__in=[SyncJob.Status.FAILED, SyncJob.Status.DEAD])
    short = runs.filter(created_at__gte=OuterRef("read_since"), verification__resync__failed__gt=0)
    letters = DeadLetter.objects.filter(
        installation=OuterRef("pk"), status=DeadLetter.Status.OPEN
    ).order_by()
    rows = Installation.objects.order_by("pk").annotate(
        open_letters=Subquery(letters.values("installation").values(number=Count("pk"))),
        read_job=Subquery(ended.values("pk")[:1]),
        read_since=Subquery(ended.values("created_at")[:1]),
        read_whole_at=Subquery(complete.values("finished_at")[:1]),
        short_job=Subquery(short.values("pk")[:1]),
        # Whose runs succeed has none near the top, and would be looked for through a whole week.
        failed_job=Case(When(consecutive_failures__gt=0, then=Subquery(failed.values("pk")[:1]))),
    )
    return rows if installation_id is None else rows.filter(pk=installation_id)


def _runs(jobs: Iterable[UUID]) -> tuple[dict[UUID, Run], dict[UUID, Rows]]:
    """These runs, and how many items each of them found missing and could not bring."""
    runs, short = {}, {}
    rows = SyncJob.objects.filter(pk__in=list(jobs))
    for row in rows.only("warning", "phases_seconds", "verification"):
        seconds = row.phases_seconds.get("total")
        runs[row.pk] = Run(job_id=row.pk, warning=row.warning, seconds=seconds)
        if left := row.verification.get("resync", {}).get("failed"):
            short[row.pk] = Rows(number=left, correlation_id=row.pk)
    return runs, short


def _held(installation_id: int | None) -> dict[int, Held]:
    names = [f"name_{number}" for number in range(VANISHED_EXAMPLES)]
    rows: Iterable[Mapping[str, Any]] = _of(
        Review.objects.filter(status=Review.Status.OPEN), installation_id
    ).values(
        "pk",
        "installation_id",
        "vanished",
        "present",
        "threshold_percent",
        "correlation_id",
        # Thousands may have vanished: the first few are enough.
        **{name: KT(f"items__{number}__full_name") for number, name in enumerate(names)},
    )
    return {
        row["installation_id"]: Held(
            review_id=row["pk"],
            vanished=Rows(
                number=row["vanished"],
                examples=tuple(row[name] for name in names if row[name]),
                correlation_id=row["correlation_id"],
            ),
            present=row["present"],
            limit_percent=row["threshold_percent"],
        )
        for row in rows
    }


def _failed_repairs(installation_id: int | None, by: Q) -> dict[int, Rows]:
    """The discrepancies that wait because their repair failed, of those whose detector fits."""
    failed = Discrepancy.objects.filter(by, repair_status=Discrepancy.Status.FAILED)
    return _newest(failed, installation_id, lambda row: str(row["name"]), "name")


def _broken(installation_id: int | None) -> dict[int, Rows]:
    def name(row: Mapping[str, Any]) -> str:
        noun = _NOUNS.get(row["entity"], "commit")
        place = f" of {row['full_name']}" if row["full_name"] else ""
        return f"{noun} {row['item_key']}{place} ({row['rule'].replace('_', ' ')})"

    rows = IntegrityIssue.objects.filter(resolved_at=None)
    columns = {"full_name": F("repository__full_name")}
    return _newest(rows, installation_id, name, "entity", "item_key", "rule", **columns)


def _newest(
    rows: QuerySet[Any],
    installation_id: int | None,
    name: Callable[[Mapping[str, Any]], str],
    *columns: str,
    **named: F,
) -> dict[int, Rows]:
    """How many of these rows each account has, and the last found of them by name."""
    ranked = (
        _of(rows, installation_id)
        .order_by()
        .annotate(
            number=Window(Count("pk"), partition_by="installation_id"),
            place=Window(
                RowNumber(),
                partition_by="installation_id",
                order_by=[F("detected_at").desc(), F("pk").desc()],
            ),
        )
        .filter(place__lte=EXAMPLES)
        .order_by("installation_id", "place")
        .values("installation_id", "number", "correlation_id", *columns, **named)
    )
    return {
        account: Rows(
            number=found[0]["number"],
            examples=tuple(name(row) for row in found),
            correlation_id=found[0]["correlation_id"],
        )
        for account, found in _by_account(ranked).items()
    }


def _by_account(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row in rows:
        found.setdefault(row["installation_id"], []).append(row)
    return found


def _accuracy(installation_id: int | None, now: datetime) -> dict[int, Share]:
    """What the runs of the last 24 hours measured, weighted by items (R9.2)."""
    rows = _of(RunFigure.objects.filter(at__gt=now - DAY, at__lte=now), installation_id)
    sums = rows.order_by().values_list("installation_id").annotate(Sum("matched"), Sum("compared"))
    return {
        account: Share(good=int(matched), total=int(compared))
        for account, matched, compared in sums
        if compared
    }


def _audits(installation_id: int | None, now: datetime) -> dict[int, Audited]:
    """What the samples of the last 7 days found together; what could not be told counts neither way
    (R8.3). Where no weights were kept each item counts the same."""
    rows = _of(SampleAudit.objects.filter(at__gt=now - WEEK, at__lte=now), installation_id)
    sums = (
        rows.order_by()
        .values_list("installation_id")
        .annotate(
            Sum("matched"),
            Sum("wrong"),
            Sum("weight"),
            Sum("weight_matched"),
            Sum("weight_squares"),
            Sum("weight_squares_wrong"),
        )
    )
    found = {}
    for account, matched, wrong, total, weight_matched, squares, squares_wrong in sums:
        if not matched + wrong:
            continue
        weights = Weights(
            total=total, matched=weight_matched, squares=squares, squares_wrong=squares_wrong
        )
        low, high = weights.interval if total > 0 else wilson(matched, matched + wrong)
        found[account] = Audited(judged=matched + wrong, wrong=wrong, low=low, high=high)
    return found


def _gaps(installation_id: int | None) -> dict[int, tuple[int, int]]:
    """How many gaps are open, and how many deliveries of them are not made up for yet."""
    rows = _of(Gap.objects.filter(closed_at=None), installation_id).order_by()
    unhealed = Q(missed_deliveries__isnull=False, missed_deliveries__healed_at__isnull=True)
    counted = rows.values("installation_id").annotate(
        number=Count("pk", distinct=True), waiting=Count("missed_deliveries", filter=unhealed)
    )
    return {row["installation_id"]: (row["number"], row["waiting"]) for row in counted}
