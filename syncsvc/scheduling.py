"""Asks for every sync that is due, and keeps the periodic tasks that beat runs (R3.4)."""

import random
from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db import transaction
from django.db.models import Q

from syncsvc import clock, conf, content_lists, rechecks, schedule
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Action
from syncsvc.service import SyncService

AT_ONCE: Final = 200

#: The periodic tasks and their seconds, as first installed; operators may change them in the admin.
PERIODIC: Final[Mapping[str, int]] = {
    "syncsvc.request_due_syncs": 10,
    "syncsvc.ring_waiting_jobs": 10,
    "syncsvc.request_remembered_syncs": 30,
    "syncsvc.request_retries": 60,
    "syncsvc.request_rechecks": 5,
    "reconciliation.drain_deliveries": 5,
    "syncsvc.check_gaps": 60,
    "syncsvc.discover": 600,
    "syncsvc.prune": 86_400,
}


def request_due() -> int:
    """Asks for a sync of every active installation whose time has come and sets its next time, both
    or neither. Two schedulers at once share the work. Returns how many were asked for."""
    now = clock.now()
    with transaction.atomic():
        due = list(
            Installation.objects.select_for_update(skip_locked=True, no_key=True)
            .filter(
                Q(next_scheduled_at__lte=now) | Q(next_scheduled_at__isnull=True),
                status=Installation.Status.ACTIVE,
            )
            .order_by("next_scheduled_at")[:AT_ONCE]
        )
        for installation in due:
            interval = conf.for_installation(installation).interval
            installation.next_scheduled_at = schedule.next_run(
                installation.account_id, now, interval
            )
        Installation.objects.bulk_update(due, ["next_scheduled_at"])
        for installation in due:
            first = installation.last_listed_at is None
            SyncService.request(
                installation.pk,
                SyncJob.Trigger.INITIAL if first else SyncJob.Trigger.CRON,
                mode=SyncJob.Mode.FULL if first else SyncJob.Mode.INCREMENTAL,
            )
    return len(due)


def request_remembered() -> int:
    """Asks again for what was asked while a job ran that has ended since (see `service.REMEMBERED`).

    A request that policy blocks stays remembered. Returns how many were asked for.
    """
    asked = 0
    ended = (
        SyncJob.objects.exclude(follow_up="")
        .exclude(status__in=SyncJob.ACTIVE)
        .filter(installation__status=Installation.Status.ACTIVE)
        .order_by("finished_at")
    )
    for job_id in ended.values_list("pk", flat=True)[:AT_ONCE]:
        with transaction.atomic():
            job = ended.select_for_update(skip_locked=True, of=("self",)).filter(pk=job_id).first()
            if job is None:
                continue  # another worker got there first
            cron = job.follow_up == SyncJob.Trigger.CRON
            mode = SyncJob.Mode.INCREMENTAL if cron else SyncJob.Mode.FULL
            decision = SyncService.request(job.installation_id, job.follow_up, mode=mode)
            if decision.action is not Action.BLOCK:
                SyncJob.objects.filter(pk=job_id).update(follow_up="")
                asked += 1
    return asked


def request_retries() -> int:
    """Asks for a sync of each repository that has a list which failed and is to be tried again, one
    at a time of each account (R5.6). Returns how many were asked for.

    A request that policy turns down is made again.
    """
    now, asked = clock.now(), 0
    for repository in content_lists.due(now)[:AT_ONCE]:
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
    for each in waiting[:AT_ONCE]:
        mode = SyncJob.Mode.INCREMENTAL if each.whole else SyncJob.Mode.RECHECK
        decision = SyncService.request(
            each.installation_id, each.trigger, mode=mode, remember=False
        )
        started += decision.action is Action.START
    return started


def install_periodic_tasks(**_: Any) -> None:
    """Creates the periodic tasks that are missing; those that an operator changed stay as they are."""
    from django_celery_beat.models import IntervalSchedule, PeriodicTask  # noqa: PLC0415  (apps must be ready)

    for task, seconds in PERIODIC.items():
        every, _created = IntervalSchedule.objects.get_or_create(
            every=seconds, period=IntervalSchedule.SECONDS
        )
        PeriodicTask.objects.get_or_create(
            name=task,
            defaults={"task": task, "interval": every, "expire_seconds": max(30, seconds)},
        )
