"""One row of each model that the admin shows, for tests that walk all of them."""

import itertools
from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from alerts.models import Incident
from reconciliation.models import AuditEntry, AuditError, AuditRecord, SampledItem
from reconciliation.models.rollup import RolledFleet, RolledHours, RolledUntil, StaleDay
from syncsvc import clock
from syncsvc.models import (
    Credential,
    EtagEntry,
    Heartbeat,
    InstallationToken,
    LiveEvent,
    Mailbox,
    Recheck,
    WebhookState,
)
from tests import factories, judge_factories
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory, UserFactory
from tests.judge_factories import SampleAuditFactory

SECRET = b"what-nobody-may-see"
_numbers = itertools.count(1)

#: Not in the admin, each for a reason.
LEFT_OUT: dict[str, str] = {
    "auth.permission": "made by Django from the models; given to users and groups on their pages",
    "contenttypes.contenttype": "Django's own list of the models",
    "sessions.session": "its key logs in whoever knows it",
    "django_celery_beat.clockedschedule": "nothing here happens once at a moment",
    "django_celery_beat.solarschedule": "nobody syncs by the sun",
    "django_celery_beat.periodictasks": "one row that tells beat that something has changed",
}


def _entry() -> AuditEntry:
    return AuditEntry.objects.create(
        kind=AuditEntry.Kind.RUN,
        at=clock.now(),
        installation=InstallationFactory.create(),
        correlation_id=SyncJobFactory.create().pk,
        status="succeeded",
        actor_name="system",
    )


def _incident() -> Incident:
    return Incident.objects.create(
        key=f"problem {next(_numbers)}",
        kind="dead_letters",
        severity="high",
        installation=InstallationFactory.create(),
        title="Something",
        opened_at=clock.now(),
        last_seen_at=clock.now(),
    )


def _credential() -> Credential:
    """There is one of a kind, so the second is the token, and more are none."""
    kept: dict[str, Any] = {"private_key": SECRET, "webhook_secret": SECRET, "app_id": "7"}
    if Credential.objects.filter(kind="app").exists():
        kept = {"token": SECRET, "owner": "acme"}
    kind = "app" if "app_id" in kept else "token"
    return Credential.objects.get_or_create(kind=kind, defaults=kept)[0]


def _etag() -> EtagEntry:
    return EtagEntry.objects.create(
        installation=InstallationFactory.create(),
        url=f"https://api.github.com/{next(_numbers)}",
        etag='"abc"',
        token_fingerprint="f",
        rows=SECRET,
        has_next=False,
        version=1,
        stored_at=clock.now(),
    )


def _recheck() -> Recheck:
    return Recheck.objects.create(
        installation=InstallationFactory.create(),
        github_id=next(_numbers),
        full_name="acme/site",
        trigger="webhook",
        reason="told",
        asked_at=clock.now(),
        due_at=clock.now(),
    )


def _logged() -> LogEntry:
    user = UserFactory.create()
    return LogEntry.objects.create(
        user=user,
        content_type=ContentType.objects.get_for_model(user),
        object_id=str(user.pk),
        object_repr=str(user),
        action_flag=CHANGE,
        change_message='[{"changed": {"fields": ["password"]}}]',
    )


def _interval() -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=next(_numbers) + 10_000, period="minutes")


def _task() -> PeriodicTask:
    return PeriodicTask.objects.create(
        name=f"task {next(_numbers)}", task="some.task", interval=_interval()
    )


def _live() -> LiveEvent:
    job = SyncJobFactory.create()
    return LiveEvent.objects.create(
        installation=job.installation, job_id=job.pk, kind="sync:start", at=clock.now()
    )


MAKERS: dict[str, Callable[[], Any]] = {
    "admin.logentry": _logged,
    "alerts.incident": _incident,
    "auth.group": lambda: Group.objects.create(name=f"group {next(_numbers)}"),
    "auth.user": UserFactory.create,
    "django_celery_beat.crontabschedule": lambda: CrontabSchedule.objects.create(
        minute=str(next(_numbers) % 60), hour=str(next(_numbers) % 24)
    ),
    "django_celery_beat.intervalschedule": _interval,
    "django_celery_beat.periodictask": _task,
    "reconciliation.auditentry": _entry,
    "reconciliation.auditerror": lambda: AuditError.objects.create(
        entry=_entry(), at=clock.now(), category="network", message="No answer"
    ),
    "reconciliation.auditrecord": lambda: AuditRecord.objects.create(
        entry=_entry(),
        at=clock.now(),
        repository=RepositoryFactory.create(),
        entity="issues",
        operation="create",
        result="done",
        items=["1"],
    ),
    "reconciliation.discrepancy": judge_factories.DiscrepancyFactory.create,
    "reconciliation.integrityissue": judge_factories.IntegrityIssueFactory.create,
    "reconciliation.review": judge_factories.ReviewFactory.create,
    "reconciliation.rolledfleet": lambda: RolledFleet.objects.create(hours=1, at=clock.now()),
    "reconciliation.rolledhours": lambda: RolledHours.objects.create(
        installation=InstallationFactory.create(), hours=1, at=clock.now()
    ),
    "reconciliation.rolleduntil": lambda: RolledUntil.objects.create(
        since=clock.now(), until=clock.now()
    ),
    "reconciliation.staleday": lambda: StaleDay.objects.create(
        installation_id=next(_numbers), day=clock.now()
    ),
    "reconciliation.runfigure": judge_factories.RunFigureFactory.create,
    "reconciliation.sampleaudit": SampleAuditFactory.create,
    "reconciliation.sampleditem": lambda: SampledItem.objects.create(
        audit=SampleAuditFactory.create(),
        repository=RepositoryFactory.create(),
        entity="issues",
        side="mirror",
        item_key="1",
        result="matched",
        path="rest",
    ),
    "syncsvc.commit": factories.CommitFactory.create,
    "syncsvc.contentlist": factories.ContentListFactory.create,
    "syncsvc.credential": _credential,
    "syncsvc.deadletter": factories.DeadLetterFactory.create,
    "syncsvc.delivery": factories.DeliveryFactory.create,
    "syncsvc.etagentry": _etag,
    "syncsvc.gap": factories.GapFactory.create,
    "syncsvc.heartbeat": lambda: Heartbeat.objects.create(
        component="worker", instance=f"host:{next(_numbers)}", beaten_at=clock.now()
    ),
    "syncsvc.hook": factories.HookFactory.create,
    "syncsvc.installation": InstallationFactory.create,
    "syncsvc.installationtoken": lambda: InstallationToken.objects.create(
        installation=InstallationFactory.create(), encrypted=SECRET, expires_at=clock.now()
    ),
    "syncsvc.issue": factories.IssueFactory.create,
    "syncsvc.liveevent": _live,
    "syncsvc.mailbox": lambda: Mailbox.objects.create(
        account_id=next(_numbers), token=SyncJobFactory.create().pk
    ),
    "syncsvc.membership": factories.MembershipFactory.create,
    "syncsvc.misseddelivery": factories.MissedDeliveryFactory.create,
    "syncsvc.pullrequest": factories.PullRequestFactory.create,
    "syncsvc.ratebudget": factories.RateBudgetFactory.create,
    "syncsvc.recheck": _recheck,
    "syncsvc.repository": RepositoryFactory.create,
    "syncsvc.repositorymetric": factories.RepositoryMetricFactory.create,
    "syncsvc.syncjob": SyncJobFactory.create,
    "syncsvc.webhookstate": lambda: WebhookState.objects.create(
        installation=InstallationFactory.create()
    ),
}

#: What people add, change and delete here. Everything else only the product writes.
EDITED = frozenset(
    {
        "auth.group",
        "auth.user",
        "django_celery_beat.crontabschedule",
        "django_celery_beat.intervalschedule",
        "django_celery_beat.periodictask",
        "syncsvc.membership",
    }
)
#: What only a superuser deletes, or whose loss only makes the product read it again.
DELETED = frozenset({"syncsvc.credential", "syncsvc.etagentry"})


def labels() -> list[str]:
    """All models that the admin shows, by their labels."""
    return sorted(model._meta.label_lower for model in admin.site._registry)


def model_of(label: str) -> type[Model]:
    """The model of that label."""
    return apps.get_model(label)


def address(label: str, *more: object) -> str:
    """Where the admin shows it."""
    app, name = label.split(".")
    return "/".join(["/admin", app, name, *map(str, more), ""])
