"""Asks for every sync that is due, and keeps the periodic tasks that beat runs (R3.4)."""

import random
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import OuterRef, Subquery

from syncsvc import clock, conf, content_lists, pacing, rechecks, schedule
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Action, Reason
from syncsvc.service import SyncService

log = structlog.get_logger(__name__)

AT_ONCE: Final = 200

#: The periodic tasks and their seconds, as first installed; operators may change them in the admin.
PERIODIC: Final[Mapping[str, int]] = {
    "syncsvc.request_due_syncs": 10,
    "syncsvc.ring_waiting_jobs": 5,
    "syncsvc.put_times_right": 30,
    "syncsvc.request_remembered_syncs": 30,
    "syncsvc.request_retries": 60,
    "syncsvc.request_rechecks": 5,
    "syncsvc.request_audits": 60,
    "reconciliation.drain_deliveries": 5,
    "syncsvc.check_gaps": 60,
    "alerts.review_incidents": 60,
    "reconciliation.look_after": 300,
    "syncsvc.ping": 60,
    "syncsvc.discover": 600,
    "syncsvc.prune_live_events": 600,
    "syncsvc.prune": 86_400,
    "reconciliation.check_integrity": 86_400,
}


def request_due() -> int:
    """Asks for a sync of every active installation whose time has come and that the planner lets start,
    the most needed first, and sets its next time, both or neither (R3.4, R4.2). The others wait.

    Two schedulers at once make the same plan, and each start is one's alone. Returns how many were
    asked for.
    """
    now = clock.now()
    plan = pacing.look(now)
    pacing.wait(plan.waits, now)
    with transaction.atomic():
        rows = pacing.due(now).filter(pk__in=plan.starts)
        # What another scheduler has begun is not due any more, or locked.
        ours = {row.pk: row for row in rows.select_for_update(skip_locked=True, no_key=True)}
        for pk in plan.starts:
            if pk in ours:
                _start(ours[pk], now)
        Installation.objects.bulk_update(ours.values(), ["next_scheduled_at", "waiting_since"])
    return len(ours)


def _start(row: Installation, now: datetime) -> None:
    """Asks for one. Should its own budget be known to be spent, it waits for the reset."""
    since = row.waiting_since or row.next_scheduled_at or now
    row.next_scheduled_at = schedule.next_run(row.account_id, now, pacing.interval_of(row))
    row.waiting_since = None
    first = row.last_listed_at is None
    decision = SyncService.request(
        row.pk,
        SyncJob.Trigger.INITIAL if first else SyncJob.Trigger.CRON,
        mode=SyncJob.Mode.FULL if first else SyncJob.Mode.INCREMENTAL,
    )
    until = decision.metadata.get("until")
    if decision.reason is Reason.BUDGET and isinstance(until, datetime):
        row.next_scheduled_at, row.waiting_since = until, since


def request_remembered() -> int:
    """Asks again for what was asked while a job ran that has ended since (see `service.REMEMBERED`).

    A request that policy blocks stays remembered. Returns how many were asked for.
    """
    asked = 0
    ended = (
        SyncJob.objects.exclude(follow_up="")
        .exclude(status__in=SyncJob.ACTIVE)
        .filter(installation__status=Installation.Status.ACTIVE)
    )
    waiting = list(ended.values_list("pk", flat=True))
    random.shuffle(waiting)  # those that policy blocks must not stand in front of the others
    for job_id in waiting[:AT_ONCE]:
        with transaction.atomic():
            job = ended.select_for_update(skip_locked=True, of=("self",)).filter(pk=job_id).first()
            if job is None:
                continue  # another worker got there first
            trigger = _trigger_of(job)
            cron = trigger == SyncJob.Trigger.CRON
            mode = SyncJob.Mode.INCREMENTAL if cron else SyncJob.Mode.FULL
            decision = SyncService.request(job.installation_id, trigger, mode=mode)
            if decision.action is not Action.BLOCK:
                SyncJob.objects.filter(pk=job_id).update(follow_up="")
                asked += 1
    return asked


def _trigger_of(job: SyncJob) -> str:
    """Whose request waits on the job; what nobody knows was typed by hand, and is a sync all the same."""
    if job.follow_up in SyncJob.Trigger.values:
        return job.follow_up
    log.warning("sync.follow_up_unknown", job_id=str(job.pk), follow_up=job.follow_up)
    return str(SyncJob.Trigger.MAINTENANCE)


def request_retries() -> int:
    """Asks for a sync of each repository that has a list which failed and is to be tried again, one
    at a time of each account (R5.6). Returns how many were asked for.

    A request that policy turns down is made again.
    """
    now, asked = clock.now(), 0
    # An account that waits for its share of the budget is synced first, and with it these lists.
    due = list(content_lists.due(now).filter(installation__waiting_since__isnull=True))
    random.shuffle(due)  # those that policy turns down must not stand in front of the others
    for repository in due[:AT_ONCE]:
        with transaction.atomic():
            decision = SyncService.request(
                repository.installation_id,
                SyncJob.Trigger.CRON,
                mode=SyncJob.Mode.REPO,
                repository=repository.full_name,
                remember=False,
            )
            if decision.action is Action.START:
                # The run may end before it comes to the lists.
                content_lists.postpone(repository.pk, now)
                asked += 1
    return asked


def request_rechecks(installation_ids: Collection[int] | None = None) -> int:
    """Asks for a run of each account that has something to be read again, or of these accounts.

    Nothing is lost when policy turns one down: what is to be read stands in its table and is asked
    for again. Returns how many were started.
    """
    started = 0
    waiting = rechecks.waiting(clock.now(), installation_ids)
    random.shuffle(waiting)  # those that policy turns down must not stand in front of the others
    waiting.sort(key=lambda each: each.trigger != SyncJob.Trigger.GAP)  # gaps before all others
    for each in waiting[:AT_ONCE]:
        mode = SyncJob.Mode.INCREMENTAL if each.whole else SyncJob.Mode.RECHECK
        decision = SyncService.request(
            each.installation_id, each.trigger, mode=mode, remember=False
        )
        started += decision.action is Action.START
    return started


def request_audits() -> int:
    """Asks for an independent audit of each active account whose time has come (R8.3).

    The last one is known by its job. Each account has its own place in the interval, another one than
    its syncs have; one that was never audited is due at once. A request that policy turns down is made
    again. Returns how many were started.
    """
    now, started = clock.now(), 0
    audits = SyncJob.objects.filter(
        installation=OuterRef("pk"),
        mode=SyncJob.Mode.AUDIT,
        created_at__lte=now,  # one that a wrong clock created is no reason to wait
    )
    rows = Installation.objects.filter(
        status=Installation.Status.ACTIVE,
        last_listed_at__isnull=False,
        waiting_since__isnull=True,  # one that waits for its share of the budget is synced first
    ).annotate(audited_at=Subquery(audits.order_by("-created_at").values("created_at")[:1]))
    due = [row.pk for row in rows if _is_audit_due(row, now)]
    random.shuffle(due)  # those that policy turns down must not stand in front of the others
    for pk in due[:AT_ONCE]:
        decision = SyncService.request(
            pk, SyncJob.Trigger.MAINTENANCE, mode=SyncJob.Mode.AUDIT, remember=False
        )
        started += decision.action is Action.START
    return started


def _is_audit_due(row: Any, now: datetime) -> bool:
    every = timedelta(minutes=conf.for_installation(row).audit_interval_minutes)
    if not every:
        return False
    # The negative id: another place in the interval than that of the account's syncs.
    return (
        row.audited_at is None or schedule.next_run(-row.account_id, row.audited_at, every) <= now
    )


def install_periodic_tasks(**_: Any) -> None:
    """Creates the periodic tasks that are missing, and changes those whose default changed since they
    were installed; those that an operator changed stay as they are.

    Which is which, a task's description tells: it names the interval that was installed.
    """
    from django_celery_beat.models import IntervalSchedule, PeriodicTask  # noqa: PLC0415  (apps must be ready)

    for task, seconds in PERIODIC.items():
        every, _created = IntervalSchedule.objects.get_or_create(
            every=seconds, period=IntervalSchedule.SECONDS
        )
        said = _DELIVERED.format(seconds)
        defaults = {"task": task, "interval": every, "description": said}
        known: Any
        known, created = PeriodicTask.objects.get_or_create(
            name=task, defaults=defaults | {"expire_seconds": max(30, seconds)}
        )
        if created or known.description == said or not _is_ours(known.description):
            continue
        if _is_untouched(known):
            known.interval, known.expire_seconds = every, max(30, seconds)
        known.description = said
        known.save()  # beat looks for what was saved


_DELIVERED: Final = "As delivered: every {} seconds."
#: What was installed before descriptions said so, where it is another interval by now.
_FORMER: Final[Mapping[str, int]] = {"syncsvc.ring_waiting_jobs": 10}


def _is_ours(description: str) -> bool:
    return not description or description.startswith(_DELIVERED.partition("{}")[0])


def _is_untouched(task: Any) -> bool:
    """Whether a task still runs as it was installed."""
    if task.interval is None or task.interval.period != task.interval.SECONDS:
        return False
    every: int = task.interval.every
    if task.description:
        return bool(task.description == _DELIVERED.format(every))
    return every == _FORMER.get(task.name, PERIODIC[task.name])
