"""Takes the next step of each open gap: redelivery, catch-up, end (R6.6).

Hides requests, jobs and rows; which step it is stands in `syncsvc.webhooks.gaps`. One account's trouble
keeps nobody else's gap waiting.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import F

from syncsvc import conf, events, rechecks
from syncsvc.github.errors import (
    Forbidden,
    GitHubError,
    Gone,
    NotFound,
    RateLimited,
    ServerError,
    ValidationFailed,
)
from syncsvc.models import Gap, Hook, MissedDelivery, Recheck, Repository, SyncJob
from syncsvc.policy import Action, Decision
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.webhooks import gap_facts, gaps, hooks, openings, silence

REDELIVERIES: Final = 60
"""In one check: GitHub takes at most 80 requests a minute that make something."""
JITTER: Final = timedelta(seconds=30)
BLOCKED_PAUSE: Final = timedelta(minutes=1)
LONGEST_BLOCK: Final = timedelta(minutes=15)

_ABOUT_ONE: Final = (NotFound, Gone, ValidationFailed, Forbidden, ServerError)

log = structlog.get_logger(__name__)


@dataclass(kw_only=True, slots=True)
class Check:
    """One round: its time, its chance (0 to 1), and how many redeliveries it may still ask for."""

    now: datetime
    rng: Callable[[], float]
    redeliveries: int = REDELIVERIES
    asked: int = 0


def heal(gap_id: int, check: Check) -> Gap | None:
    """Takes the steps of one gap that can be taken now; None when it has been closed meanwhile."""
    gap: Gap | None = None
    for _ in range(4):  # found, redelivered, read, closed: more there is not at one moment
        with transaction.atomic():
            gap = (
                Gap.objects.select_for_update(of=("self",))
                .select_related("installation", "job")
                .filter(pk=gap_id, closed_at__isnull=True)
                .first()
            )
            if gap is None:
                return None
            tuned = conf.for_installation(gap.installation)
            missed = list(gap.missed_deliveries.select_related("hook"))
            facts = gap_facts.of(gap, missed, check.now)
            step = gaps.next_step(facts, check.now, attempts=tuned.redelivery_attempts)
            if not isinstance(step, gaps.Redeliver):
                _take(gap, step, facts, check)
        if isinstance(step, gaps.Redeliver):  # speaks with GitHub: no transaction waits for that
            _redeliver(gap, step, missed, check)
        if not isinstance(step, gaps.Again):
            break
    return gap


def _take(gap: Gap, step: gaps.Step, facts: gaps.Facts, check: Check) -> None:
    before = gap.step
    match step:
        case gaps.Hold(until=until):
            gap.next_step_at = until
        case gaps.CatchUp():
            _catch_up(gap, step, facts, check)
        case gaps.Again():
            _begin_anew(gap, step, check.now)
        case gaps.Close():
            _close(gap, step, facts, check.now)
    gap.save()
    if gap.step != before:
        _emit_step(gap)


# -- steps -----------------------------------------------------------------------------------------


def _redeliver(
    gap: Gap, step: gaps.Redeliver, missed: Sequence[MissedDelivery], check: Check
) -> None:
    """Asks GitHub to send events again, as far as this check may; the rest waits for the next one."""
    rows = {row.pk: row for row in missed}
    chosen = [rows[pk] for pk in step.ids[: max(check.redeliveries, 0)]]
    asked: list[MissedDelivery] = []
    for hook in {row.hook_id: row.hook for row in chosen}.values():
        if hook.retry_at is None or hook.retry_at <= check.now:
            asked += _ask_hook(hook, [row for row in chosen if row.hook_id == hook.pk], check)
    gap.evidence.setdefault("redelivering_since", check.now.isoformat())
    before, gap.step = gap.step, Gap.Step.REDELIVERING
    gap.next_step_at = check.now
    if asked:
        number = "1 delivery" if len(asked) == 1 else f"{len(asked)} deliveries"
        openings.noted(gap, check.now, f"Asked GitHub to redeliver {number}.", asked=len(asked))
    with transaction.atomic():
        fields = ["evidence", "step", "next_step_at", "timeline"]
        Gap.objects.filter(pk=gap.pk, closed_at__isnull=True).update(
            **{name: getattr(gap, name) for name in fields}
        )
    if gap.step != before:
        _emit_step(gap)


def _ask_hook(hook: Hook, rows: Sequence[MissedDelivery], check: Check) -> list[MissedDelivery]:
    asked: list[MissedDelivery] = []
    try:
        with hooks.log_of(hook) as source:
            for row in rows:
                check.redeliveries -= 1
                try:
                    source.redeliver(row.latest_id)
                except _ABOUT_ONE as error:  # says nothing about the others
                    log.info("delivery.not_redelivered", guid=row.guid, kind=error.kind)
                asked.append(row)
    except GitHubError as error:
        until = error.until if isinstance(error, RateLimited) else check.now + BLOCKED_PAUSE
        Hook.objects.filter(pk=hook.pk).update(retry_at=until, error=error.sentence)
        hook.retry_at = until
    MissedDelivery.objects.filter(pk__in=[row.pk for row in asked]).update(
        requests=F("requests") + 1, requested_at=check.now
    )
    check.asked += len(asked)
    if asked:
        events.emit(
            "delivery.redelivery_asked",
            hook=str(hook),
            missing=[row.guid for row in asked],
            asked_at=check.now.isoformat(),
        )
    return asked


def _catch_up(gap: Gap, step: gaps.CatchUp, facts: gaps.Facts, check: Check) -> None:
    """Asks for the run that reads what was missed (P3)."""
    now, pk = check.now, gap.installation_id
    gap.attempts += step.failed
    if step.exhausted:
        _escalate(gap, now)
    if not _stands(facts.catchup, step, pk):
        _ask_rechecks(gap, step, now)
        gap.evidence |= {
            "asked_at": now.isoformat(),
            "mode": step.mode,
            "repositories": sorted(step.repositories),
        }
    gap.step = Gap.Step.CATCHING_UP
    jitter = JITTER * check.rng()
    decision = SyncService.request(
        pk, SyncJob.Trigger.GAP, mode=step.mode, remember=False, ring=not jitter
    )
    if decision.action is Action.START and decision.job_id and jitter:
        # The sweeper rings for it when its time has come.
        SyncJob.objects.filter(pk=decision.job_id, status=SyncJob.Status.QUEUED).update(
            run_after=now + jitter
        )
    gap.job = SyncJob.objects.filter(pk=decision.job_id).first() if decision.job_id else None
    gap.next_step_at = _after(decision, now)
    if decision.action is Action.SKIP and not step.repositories:
        # A run is under way: the next one has to read the whole account.
        whole = Asked(github_id=rechecks.WHOLE_LIST, itself=True, reason="gap")
        rechecks.ask(pk, [whole], trigger=SyncJob.Trigger.GAP, now=now)
    what = _asked(step, facts)
    if decision.action is Action.BLOCK:
        what = f"A run cannot start ({decision.reason}); it is asked for again."
    openings.noted(gap, now, what, mode=step.mode, job_id=decision.job_id)


def _stands(asked: gaps.Catchup | None, step: gaps.CatchUp, installation_id: int) -> bool:
    """Whether the same was asked for already and only waits for its run."""
    if asked is None or step.failed or asked.repositories != step.repositories:
        return False
    named = Recheck.objects.filter(
        installation=installation_id, github_id__in=asked.repositories, asked_at__gte=asked.asked_at
    )
    return not asked.repositories or named.count() == len(asked.repositories)


def _ask_rechecks(gap: Gap, step: gaps.CatchUp, now: datetime) -> None:
    names = dict(
        Repository.objects.filter(github_id__in=step.repositories).values_list(
            "github_id", "full_name"
        )
    )
    asked = [
        Asked(github_id=each, full_name=names.get(each, ""), itself=True, reason="gap")
        for each in sorted(step.repositories)
    ]
    rechecks.ask(gap.installation_id, asked, trigger=SyncJob.Trigger.GAP, now=now)


def _after(decision: Decision, now: datetime) -> datetime:
    """When to look at it again."""
    if decision.action is not Action.BLOCK:
        return now
    until = decision.metadata.get("until")
    if not isinstance(until, datetime):
        return now + BLOCKED_PAUSE
    return min(max(until, now + BLOCKED_PAUSE), now + LONGEST_BLOCK)


def _asked(step: gaps.CatchUp, facts: gaps.Facts) -> str:
    number = len(step.repositories)
    what = "the whole account" if not number else f"{number} repositories"
    what = "1 repository" if number == 1 else what
    if step.failed:
        return f"The run failed (attempt {facts.attempts + 1}): asked to read {what}."
    return f"Asked to read {what} again."


def _escalate(gap: Gap, now: datetime) -> None:
    """Redelivery was in vain: the gap says so, unless another of its account does already (R6.5 c)."""
    vain = Gap.Reason.EXHAUSTED
    openings.noted(gap, now, "GitHub was asked again and again to redeliver, in vain.")
    others = Gap.objects.filter(
        installation=gap.installation_id, reason=vain, closed_at__isnull=True
    )
    if gap.reason != vain and not others.exclude(pk=gap.pk).exists():
        gap.evidence.setdefault("found_as", str(gap.reason))
        gap.reason = vain


def _begin_anew(gap: Gap, step: gaps.Again, now: datetime) -> None:
    _mark_read(gap, step.read, now)
    left = gap.missed_deliveries.filter(healed_at__isnull=True)
    openings.noted(gap, now, "More was missed meanwhile: it is asked for as well.")
    gap.step, gap.job, gap.next_step_at = Gap.Step.OPEN, None, now
    gap.ended_at = max([gap.ended_at, *left.values_list("first_at", flat=True)])
    for name in ("asked_at", "mode", "repositories", "redelivering_since"):
        gap.evidence.pop(name, None)


def _close(gap: Gap, step: gaps.Close, facts: gaps.Facts, now: datetime) -> None:
    gap.healed_by = step.healed_by
    if step.healed_by == "uninstalled":
        gap.missed_deliveries.filter(healed_at__isnull=True).update(
            healed_at=now, healed_by="uninstalled"
        )
    else:
        _mark_read(gap, [each.id for each in facts.missed], now)
    if step.healed_by == "quiet":
        gap.evidence["surprise"] = round(silence.was_quiet(gap, now), 2)
    gap.step, gap.closed_at, gap.next_step_at = Gap.Step.CLOSED, now, now
    if gap.reason == Gap.Reason.SILENCE:
        gap.ended_at = now
    gap.seconds_to_repair = max((now - gap.opened_at).total_seconds(), 0.0)
    job = gap.job
    if job is not None:
        gap.evidence |= {"job_id": str(job.pk), "counts": _counts(job)}
    openings.noted(gap, now, _CLOSED.get(step.healed_by, "Closed."), healed_by=step.healed_by)
    events.emit(
        "gap.closed",
        installation_id=gap.installation_id,
        gap_id=gap.pk,
        reason=str(gap.reason),
        healed_by=gap.healed_by,
        missed=gap.missed,
        job_id=str(job.pk) if job else None,
        seconds_to_detect=gap.seconds_to_detect,
        seconds_to_repair=gap.seconds_to_repair,
    )


_CLOSED: Final = {
    "redelivery": "Everything arrived after all, and was compared with GitHub.",
    "arrived": "Everything arrived by itself, and was compared with GitHub.",
    "reread": "The repositories concerned were read from GitHub.",
    "sync": "The account was read from GitHub.",
    "quiet": "Nothing had changed: GitHub itself was quiet.",
    "uninstalled": "The App was uninstalled: there is nothing to be missed any more.",
}


def _mark_read(gap: Gap, ids: Sequence[int], now: datetime) -> None:
    by = "reread" if gap.evidence.get("repositories") else "sync"
    gap.missed_deliveries.filter(pk__in=list(ids), healed_at__isnull=True).update(
        healed_at=now, healed_by=by
    )


def _counts(job: SyncJob) -> dict[str, Any]:
    return {item: job.counts[item] for item in gap_facts.ITEMS if item in job.counts}


def _emit_step(gap: Gap) -> None:
    events.emit(
        "gap.step",
        installation_id=gap.installation_id,
        gap_id=gap.pk,
        reason=str(gap.reason),
        step=str(gap.step),
        what=gap.timeline[-1]["what"] if gap.timeline else "",
        job_id=str(gap.job_id) if gap.job_id else None,
    )
