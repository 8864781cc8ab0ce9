"""One run as its page tells it: stage after stage from asking to end, where its seconds went, what it cost
of GitHub's budget, what led to it, and when its failures are tried again. Everything decided and worded.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db.models import CharField, F, Q, QuerySet, Value, Window
from django.db.models.fields.json import KT
from django.db.models.functions import Concat, Lag

from syncsvc import selectors, selectors_webhooks, words
from syncsvc.models import ContentList, Delivery, Gap, LiveEvent, RateBudget, SyncJob
from syncsvc.selectors import Viewer

PHASES: Final = ("fetch", "compare", "update", "verify")
MOST_STEPS: Final = 100
DELIVERIES_SHOWN: Final = 20
#: What asked for a reading arrived so long before it at most: webhooks are dealt with in seconds.
LOOKED_BACK: Final = timedelta(hours=1)
WAITS: Final = {
    SyncJob.Status.QUEUED: "Waiting for a worker",
    SyncJob.Status.BLOCKED: "Waiting: GitHub asked for it",
}
#: What ended a run early, behind what it came to.
BEFORE_IT: Final[Mapping[str, str]] = {
    SyncJob.Status.FAILED: " before it failed",
    SyncJob.Status.DEAD: " before it was given up",
    SyncJob.Status.CANCELLED: " before it was cancelled",
}
_LISTS: Final = {f"read {entity.label.lower()}": entity for entity in ContentList.Entity}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One stage of a run; `start` and `width` place it in the bar, in percent."""

    label: str
    began: datetime
    seconds: float
    share: str
    start: float
    width: float
    hue: int
    goes_on: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What one kind of work took of the run; the kinds take turns."""

    name: str
    seconds: float
    share: str
    start: float
    width: float
    hue: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a run used of one of GitHub's budgets."""

    name: str
    used: int
    limit: int
    share: str
    left: int
    resets_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Something that went wrong without ending the run, and what becomes of it."""

    item: str
    operation: str
    category: str
    message: str
    at: datetime | None
    again: str


def steps(job: SyncJob, now: datetime) -> tuple[Step, ...]:
    """The stages from the moment the run was asked for to its end, waiting included; one query.

    What the database told open pages is kept for a while; of an older run only asking, start and end
    are known, and of one that takes long its beginning is one stage.
    """
    end = job.finished_at or now
    told = [each for each in _told(job) if each.at <= end]
    known = [
        (each.at, _label(each.status, each.stage)) for each in told if each.status in SyncJob.ACTIVE
    ]
    if not known:
        known = _beginning(job, end, "Running")
    elif told[0].kind == LiveEvent.Kind.START:
        known[0] = (min(job.created_at, known[0][0]), known[0][1])
    else:
        first = max(told[0].since or known[0][0], job.started_at or known[0][0])
        known[0] = (min(first, known[0][0]), known[0][1])
        known = [*_beginning(job, known[0][0], "Earlier stages"), *known]
    if len(told) == MOST_STEPS:
        known[-1] = (known[-1][0], "Later stages")
    whole = max((end - known[0][0]).total_seconds(), 0.0)
    ends = [at for at, _ in known[1:]] + [end]
    hues: dict[str, int] = {}
    placed = []
    for (at, label), until in zip(known, ends, strict=True):
        waits = label.startswith("Waiting")
        hue = 7 if waits else hues.setdefault(label, len(hues) % 6 + 1)
        seconds = max((until - at).total_seconds(), 0.0)
        placed.append(
            Step(
                label=label,
                began=at,
                seconds=seconds,
                share=_share(seconds, whole),
                start=_percent((at - known[0][0]).total_seconds(), whole),
                width=_percent(seconds, whole),
                hue=hue,
            )
        )
    if job.is_active:
        placed[-1] = replace(placed[-1], goes_on=True)
    return tuple(placed)


def _beginning(job: SyncJob, until: datetime, label: str) -> list[tuple[datetime, str]]:
    """What is known of a run, or of its beginning, without having been told."""
    known = [(job.created_at, WAITS[SyncJob.Status.QUEUED])]
    if job.started_at and job.started_at < until:
        known.append((job.started_at, label))
    return known


class _Told(NamedTuple):
    """A change; `since` is when its stage began, where that is known."""

    at: datetime
    status: str
    stage: str
    kind: str
    since: datetime | None


def _told(job: SyncJob) -> list[_Told]:
    """When status or stage of the job changed: hours of progress within a stage are one row."""
    key = Concat(KT("data__status"), Value("|"), KT("data__stage"), output_field=CharField())
    rows = (
        LiveEvent.objects.filter(job_id=job.pk)
        .annotate(key=key, status=KT("data__status"), stage=KT("data__stage"))
        .annotate(before=Window(Lag("key"), order_by="id"))
        .filter(Q(before=None) | ~Q(before=F("key")))
        .order_by("id")
    )
    found = rows.values_list("at", "status", "stage", "kind", KT("data__stage_started_at"))
    return [
        _Told(at, status, stage, kind, _moment(since))
        for at, status, stage, kind, since in found[:MOST_STEPS]
    ]


def _label(status: str, stage: str) -> str:
    waits = WAITS.get(SyncJob.Status(status))
    if waits is None:
        return (stage or "running").capitalize()
    return "Waiting to retry" if stage == "waiting to retry" else waits


def _share(part: float, whole: float) -> str:
    return words.share(part / whole) if whole else ""


def _percent(part: float, whole: float) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def phases(seconds: Mapping[str, float]) -> tuple[Phase, ...]:
    """How the seconds of the run divide; what is none of the four is called the rest."""
    if not seconds:
        return ()
    known = [(name, float(seconds.get(name, 0.0))) for name in PHASES if name in seconds]
    known += [(name, float(seconds[name])) for name in sorted({*seconds} - {*PHASES, "total"})]
    spent = sum(each for _, each in known)
    total = max(float(seconds.get("total", spent)), spent)
    if total - spent > 0.005:
        known.append(("rest", total - spent))
    shown, start = [], 0.0
    for number, (name, each) in enumerate(known):
        shown.append(
            Phase(
                name=name,
                seconds=each,
                share=_share(each, total),
                start=_percent(start, total),
                width=_percent(each, total),
                hue=7 if name == "rest" else number % 6 + 1,
            )
        )
        start += each
    return tuple(shown)


def costs(job: SyncJob, now: datetime) -> tuple[Cost, ...]:
    """What the run used of the account's budgets at GitHub; what came as "not modified" is free."""
    if not job.api:
        return ()
    # How many of the requests were GraphQL is not kept: together they are the most that REST can be.
    used = {
        "core": max(0, int(job.api.get("requests", 0)) - int(job.api.get("not_modified", 0))),
        "graphql": int(job.api.get("graphql_points", 0)),
    }
    names = {"core": "Requests, at most", "graphql": "GraphQL points"}
    rows = RateBudget.objects.filter(installation=job.installation_id, resource__in=used)
    return tuple(
        Cost(
            name=names[row.resource],
            used=used[row.resource],
            limit=row.limit,
            share=_share(used[row.resource], row.limit),
            left=row.remaining if row.reset_at > now else row.limit,
            resets_at=row.reset_at,
        )
        for row in rows.order_by("resource")
    )


def failures(job: SyncJob, now: datetime) -> tuple[Failure, ...]:
    """What went wrong on the way, each with what becomes of it; one query, none without failures."""
    told = [each for each in job.failures if isinstance(each, dict)]
    waiting = _waiting(job, [str(each.get("item", "")) for each in told]) if told else {}
    return tuple(
        Failure(
            item=str(each.get("item", "")),
            operation=str(each.get("operation", "")),
            category=str(each.get("category", "")),
            message=str(each.get("message", "")),
            at=_moment(each.get("at")),
            again=_again(job, each, waiting, now),
        )
        for each in told
    )


def _waiting(job: SyncJob, names: Sequence[str]) -> dict[tuple[str, str], datetime]:
    rows = ContentList.objects.filter(
        repository__installation=job.installation_id,
        repository__full_name__in=set(names),
        retry_at__isnull=False,
    )
    found = rows.values_list("repository__full_name", "entity", "retry_at")
    return {(name, entity): at for name, entity, at in found if at is not None}


def _again(
    job: SyncJob,
    failure: Mapping[str, Any],
    waiting: Mapping[tuple[str, str], datetime],
    now: datetime,
) -> str:
    """When it is tried again, as far as anybody knows."""
    entity = _LISTS.get(str(failure.get("operation", "")))
    if entity is None or job.dry_run:
        return "With the next sync"
    at = waiting.get((str(failure.get("item", "")), entity))
    if at is None:
        return "Nothing waits: it was read since, or is gone"
    return f"With the first sync after {words.exact(at)}" if at > now else "With the next sync"


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None


# -- what led to it, and what stands beside it -----------------------------------------------------


def gaps(job: SyncJob, user: Viewer) -> QuerySet[Gap]:
    """The gaps for which this run was the catch-up."""
    return selectors_webhooks.gaps(user).filter(job=job)


def deliveries(job: SyncJob, user: Viewer) -> list[Delivery]:
    """The deliveries after which only GitHub could say what is true, since the run before that asked
    it: what this run was asked for by. Of other runs none are known."""
    if job.mode != SyncJob.Mode.RECHECK or job.started_at is None:
        return []
    before = SyncJob.objects.filter(
        installation=job.installation_id, mode=job.mode, created_at__lt=job.created_at
    )
    last = before.order_by("-created_at").values_list("started_at", flat=True).first()
    rows = selectors_webhooks.deliveries(user).filter(
        installation=job.installation_id,
        outcome="recheck",
        received_at__gt=job.started_at - LOOKED_BACK,
        received_at__lte=job.started_at,
        processed_at__lte=job.started_at,
    )
    if last is not None:
        rows = rows.filter(processed_at__gt=last)
    return list(rows.order_by("-received_at", "-pk")[:DELIVERIES_SHOWN])


def neighbours(job: SyncJob, user: Viewer) -> dict[str, SyncJob | None]:
    """The runs of the account before and after this one; those that nobody asks for stand among
    themselves."""
    rows = selectors.jobs(user).filter(installation=job.installation_id)
    unasked = job.mode in SyncJob.UNASKED
    alike = rows.filter(mode=job.mode) if unasked else rows.exclude(mode__in=SyncJob.UNASKED)
    rows = alike.only("pk", "created_at", "status", "installation", "requested_by")
    return {
        "previous": rows.filter(created_at__lt=job.created_at).order_by("-created_at").first(),
        "next": rows.filter(created_at__gt=job.created_at).order_by("created_at").first(),
    }


def summary(counts: Iterable[Mapping[str, int]], *, dry_run: bool = False, status: str = "") -> str:
    """What a run came to, in a sentence (P16): new, updated, gone, errors.

    One that failed may have had no error in what it read: that alone would read as good news.
    """
    known = list(counts)
    if not known:
        return ""
    new, updated, gone, errors = (
        sum(each.get(name, 0) for each in known)
        for name in ("created", "updated", "deleted", "errors")
    )
    told = [f"{new:,} new", f"{updated:,} updated"]
    if gone:
        told.append(f"{gone:,} gone")
    wrong = "no errors" if not errors else f"{errors:,} error{'' if errors == 1 else 's'}"
    would = "It would be " if dry_run else ""
    return f"{would}{', '.join(told)}, {wrong}{BEFORE_IT.get(status, '')}."
