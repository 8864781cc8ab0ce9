"""One row of everything that belongs to a tenant, and one visitor of every role."""

from typing import Any

from django.contrib.auth.models import Group
from django.test import Client
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask

from alerts.models import Incident
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from syncsvc import clock
from syncsvc.models import (
    Credential,
    EtagEntry,
    Heartbeat,
    Installation,
    Membership,
    Recheck,
    WebhookState,
)
from tests.factories import (
    CommitFactory,
    ContentListFactory,
    DeadLetterFactory,
    DeliveryFactory,
    GapFactory,
    HookFactory,
    IssueFactory,
    MembershipFactory,
    MissedDeliveryFactory,
    PullRequestFactory,
    RateBudgetFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.judge_factories import (
    DiscrepancyFactory,
    IntegrityIssueFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)
from tests.people_support import browser, member_of, staff

#: Nobody; the administrator of another tenant; each role in this one; staff without any permission of
#: Django's; and who may do everything.
ROLES = (
    "anonymous",
    "outsider",
    "member",
    "support",
    "operator",
    "admin",
    "viewer",
    "superuser",
)


def person(role: str, mine: Installation, other: Installation) -> Any:
    """Somebody of that role; None for nobody."""
    if role == "anonymous":
        return None
    if role == "outsider":
        return member_of(other, Membership.Role.ADMIN)
    if role == "viewer":
        return UserFactory.create(is_staff=True)
    return staff() if role == "superuser" else member_of(mine, role)


def client_of(user: Any) -> Client:
    """Their browser."""
    return Client() if user is None else browser(user)


def populate(home: Installation) -> dict[str, Any]:
    """A row of each kind, all of this tenant: their ids by the resource's name in addresses."""
    repository = RepositoryFactory.create(installation=home)
    job = SyncJobFactory.create(installation=home, waiting=True)
    audit = AuditEntry.objects.create(
        kind="run", at=clock.now(), installation=home, correlation_id=job.pk
    )
    AuditRecord.objects.create(
        entry=audit, at=clock.now(), entity="issues", operation="update", result="done", items=["1"]
    )
    AuditError.objects.create(entry=audit, at=clock.now(), category="network", message="No answer.")
    Heartbeat.objects.create(component="worker", instance="w", beaten_at=clock.now())
    incident = Incident.objects.create(
        key=f"breaker:{home.pk}",
        kind="breaker_open",
        severity="high",
        installation=home,
        title="Paused",
        opened_at=clock.now(),
        last_seen_at=clock.now(),
    )
    rows: dict[str, Any] = {
        "installations": home,
        "repositories": repository,
        "jobs": job,
        "issues": IssueFactory.create(repository=repository),
        "pull-requests": PullRequestFactory.create(repository=repository),
        "commits": CommitFactory.create(repository=repository),
        "repository-metrics": RepositoryMetricFactory.create(repository=repository),
        "deliveries": DeliveryFactory.create(account=home),
        "gaps": GapFactory.create(installation=home),
        "missed-deliveries": MissedDeliveryFactory.create(installation=home),
        "dead-letters": DeadLetterFactory.create(installation=home),
        "hooks": HookFactory.create(installation=home),
        "discrepancies": DiscrepancyFactory.create(installation=home, home=repository),
        "reviews": ReviewFactory.create(installation=home),
        "run-figures": RunFigureFactory.create(installation=home),
        "sample-audits": SampleAuditFactory.create(installation=home),
        "integrity-issues": IntegrityIssueFactory.create(installation=home),
        "audit-log": audit,
        "incidents": incident,
    }
    return {name: row.pk for name, row in rows.items()}


def populate_admin(home: Installation) -> None:
    """What only the admin shows."""
    Group.objects.create(name="A group")
    MembershipFactory.create(installation=home)
    Credential.objects.create(kind="token", owner="acme", token=b"encrypted")
    repository = RepositoryFactory.create(installation=home)
    RateBudgetFactory.create(installation=home)
    ContentListFactory.create(repository=repository)
    WebhookState.objects.get_or_create(installation=home)
    Recheck.objects.create(installation=home, github_id=1, asked_at=clock.now(), due_at=clock.now())
    EtagEntry.objects.create(
        installation=home,
        url="https://api.github.com/",
        etag='"abc"',
        token_fingerprint="f",
        rows=b"",
        has_next=False,
        version=1,
        stored_at=clock.now(),
    )
    every, _ = IntervalSchedule.objects.get_or_create(every=7, period="minutes")
    CrontabSchedule.objects.get_or_create(minute="7")
    PeriodicTask.objects.get_or_create(name="A task", task="x", interval=every)
