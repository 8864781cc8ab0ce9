"""What is known of a gap, read from the database for the decision in `syncsvc.webhooks.gaps`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from django.db.models import Q

from syncsvc import rechecks
from syncsvc.github.values import parse_time
from syncsvc.models import ContentList, Gap, Hook, MissedDelivery, Recheck, SyncJob
from syncsvc.webhooks import gaps

ITEMS: Final = ("repositories", "issues", "pull_requests", "commits")
_CHANGES: Final = ("created", "updated", "deleted")


def of(gap: Gap, missed: Sequence[MissedDelivery], now: datetime) -> gaps.Facts:
    """The facts of a gap with these missed deliveries; notes on the gap which run has covered it."""
    catchup = _catchup(gap)
    return gaps.Facts(
        reason=str(gap.reason),
        step=str(gap.step),
        status=gap.installation.status,
        opened_at=gap.opened_at,
        redelivering_since=_past(parse_time(gap.evidence.get("redelivering_since")), now),
        missed=tuple(_missed(each, now) for each in missed if _is_waiting(each)),
        catchup=catchup,
        job=_job(gap.job, now),
        covering=_covering(gap, catchup),
        attempts=gap.attempts,
    )


def _is_waiting(missed: MissedDelivery) -> bool:
    """Whether it is still to be read: what arrived is, because its redelivery may tell old news."""
    return missed.healed_at is None or missed.healed_by in ("arrived", "redelivery")


def _missed(row: MissedDelivery, now: datetime) -> gaps.Missed:
    return gaps.Missed(
        id=row.pk,
        kind=row.kind,
        event=row.event,
        repository_id=row.repository_github_id,
        first_at=row.first_at,
        detected_at=row.detected_at,
        requests=row.requests,
        requested_at=_past(row.requested_at, now),
        askable=_is_askable(row.hook, now),
        arrived=row.healed_at is not None,
    )


def _is_askable(hook: Hook, now: datetime) -> bool:
    """Not where GitHub refuses the log for the rest of the day; a limit passes sooner."""
    return hook.retry_at is None or hook.retry_at <= now + gaps.REDELIVERY_WAIT


def _catchup(gap: Gap) -> gaps.Catchup | None:
    asked_at = parse_time(gap.evidence.get("asked_at"))
    if asked_at is None:
        return None
    return gaps.Catchup(
        asked_at=asked_at,
        mode=str(gap.evidence.get("mode", "")),
        repositories=frozenset(gap.evidence.get("repositories", ())),
    )


def _past(moment: datetime | None, now: datetime) -> datetime | None:
    """The moment, unless it has not come yet: a clock that was wrong wrote it, and nobody may wait
    for it."""
    return moment if moment is None or moment <= now else None


def _job(job: SyncJob | None, now: datetime) -> gaps.Job | None:
    if job is None:
        return None
    ended = _past(job.finished_at or job.created_at, now) or now - gaps.KEPT
    return gaps.Job(
        started_at=job.started_at,
        ended_at=None if job.is_active else ended,
        succeeded=job.status == SyncJob.Status.SUCCEEDED,
    )


def _covering(gap: Gap, asked: gaps.Catchup | None) -> gaps.Covering | None:
    """The newest run that read all that was asked for, whoever had asked for it.

    A run that failed somewhere else counts as well: an account that lacks one permission, or holds one
    repository that always fails, has no other runs. What it could not read is noted on its lists.
    """
    if asked is None:
        return None
    ended = SyncJob.objects.filter(
        installation=gap.installation_id, dry_run=False, started_at__gte=asked.asked_at
    ).filter(status__in=(SyncJob.Status.SUCCEEDED, SyncJob.Status.PARTIAL))
    whole = ended.filter(
        Q(status=SyncJob.Status.SUCCEEDED) | Q(verification__complete=True),
        mode__in=(SyncJob.Mode.INCREMENTAL, SyncJob.Mode.FULL),
    )
    job = whole.order_by("-started_at").first()
    if job is None and asked.repositories:
        job = ended.filter(mode=SyncJob.Mode.RECHECK).order_by("-started_at").first()
        if job is None or _is_left(gap, asked, job):
            return None
    if job is None or job.started_at is None or _is_unreadable(gap, asked):
        return None
    gap.job = job
    return gaps.Covering(started_at=job.started_at, changed=_changes(job))


def _is_left(gap: Gap, asked: gaps.Catchup, job: SyncJob) -> bool:
    """Whether something that was asked for still waits: by name, or by the whole list instead."""
    waiting = Recheck.objects.filter(installation=gap.installation_id)
    named = waiting.filter(github_id__in=asked.repositories, asked_at__lte=job.started_at)
    return named.exists() or waiting.filter(github_id=rechecks.WHOLE_LIST).exists()


def _is_unreadable(gap: Gap, asked: gaps.Catchup) -> bool:
    """Whether a list of a repository that is concerned failed, and has not been read since."""
    concerned = set(asked.repositories)
    for github_id in gap.missed_deliveries.values_list("repository_github_id", flat=True):
        concerned.add(github_id or 0)
    return ContentList.objects.filter(
        repository__installation=gap.installation_id,
        repository__github_id__in=concerned,
        failures__gt=0,
    ).exists()


def _changes(job: SyncJob) -> int:
    return sum(int(job.counts.get(item, {}).get(name) or 0) for item in ITEMS for name in _CHANGES)
