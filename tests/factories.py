"""How tests make rows: each factory gives a valid row, named arguments say what a test is about."""

import json
from datetime import datetime, timedelta
from typing import Any

import factory
from django.contrib.auth.models import User
from factory.django import DjangoModelFactory

from syncsvc import clock, normalizer
from syncsvc.models import (
    Commit,
    ContentList,
    DeadLetter,
    Delivery,
    Gap,
    Hook,
    Installation,
    Issue,
    Membership,
    MissedDelivery,
    PullRequest,
    RateBudget,
    Repository,
    RepositoryMetric,
    SyncJob,
)
from syncsvc.webhooks import payloads

PASSWORD = "correct horse battery staple"


def _now() -> datetime:
    """The present, also where a test replaced `clock.now` after this module was imported."""
    return clock.now()


class UserFactory(DjangoModelFactory[User]):
    """A user without rights; `is_staff=True` for the admin. The password is `PASSWORD`."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"user-{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")
    password = factory.django.Password(PASSWORD)


class InstallationFactory(DjangoModelFactory[Installation]):
    """An active organization that was never synced."""

    class Meta:
        model = Installation

    account_id = factory.Sequence(lambda n: 1_000 + n)
    github_id = factory.Sequence(lambda n: 50_000 + n)
    mode = Installation.Mode.APP
    account_login = factory.Sequence(lambda n: f"account-{n:04d}")
    account_type = Installation.AccountType.ORGANIZATION


class MembershipFactory(DjangoModelFactory[Membership]):
    """A plain member of an installation."""

    class Meta:
        model = Membership

    user = factory.SubFactory(UserFactory)
    installation = factory.SubFactory(InstallationFactory)
    role = Membership.Role.MEMBER


class RepositoryFactory(DjangoModelFactory[Repository]):
    """An active public repository of its installation's account."""

    class Meta:
        model = Repository

    installation = factory.SubFactory(InstallationFactory)
    github_id = factory.Sequence(lambda n: 900_000 + n)
    node_id = factory.LazyAttribute(lambda row: f"R_{row.github_id}")
    owner = factory.LazyAttribute(lambda row: row.installation.account_login)
    owner_id = factory.LazyAttribute(lambda row: row.installation.account_id)
    name = factory.Sequence(lambda n: f"repository-{n:05d}")
    description = "Made for a test"
    visibility = Repository.Visibility.PUBLIC
    archived = False
    status = factory.LazyAttribute(
        lambda row: Repository.Status.ARCHIVED if row.archived else Repository.Status.ACTIVE
    )
    default_branch = "main"
    language = "Python"
    github_created_at = factory.LazyFunction(lambda: clock.now() - timedelta(days=400))
    github_updated_at = factory.LazyFunction(lambda: clock.now() - timedelta(days=1))
    pushed_at = factory.LazyFunction(lambda: clock.now() - timedelta(days=1))
    last_written_at = factory.LazyFunction(_now)
    changed_by = SyncJob.Trigger.INITIAL


class SyncJobFactory(DjangoModelFactory[SyncJob]):
    """A job that succeeded a moment ago; the traits make it one that waits, runs or failed."""

    class Meta:
        model = SyncJob

    class Params:
        waiting = factory.Trait(
            status=SyncJob.Status.QUEUED, started_at=None, finished_at=None, stage=""
        )
        running = factory.Trait(
            status=SyncJob.Status.RUNNING,
            finished_at=None,
            stage="repositories",
            lease=factory.Faker("uuid4", cast_to=None),
            lease_expires_at=factory.LazyFunction(lambda: clock.now() + timedelta(seconds=60)),
        )
        failed = factory.Trait(
            status=SyncJob.Status.FAILED,
            error="GitHub did not answer: try again in a few minutes.",
            error_category="network",
        )

    installation = factory.SubFactory(InstallationFactory)
    trigger = SyncJob.Trigger.MANUAL
    mode = SyncJob.Mode.FULL
    status = SyncJob.Status.SUCCEEDED
    created_at = factory.LazyFunction(lambda: clock.now() - timedelta(seconds=40))
    run_after = factory.SelfAttribute("created_at")
    started_at = factory.SelfAttribute("created_at")
    finished_at = factory.LazyFunction(lambda: clock.now() - timedelta(seconds=10))


class RateBudgetFactory(DjangoModelFactory[RateBudget]):
    """A budget that has most of its requests left."""

    class Meta:
        model = RateBudget

    installation = factory.SubFactory(InstallationFactory)
    resource = "core"
    limit = 5_000
    remaining = 4_800
    used = 200
    reset_at = factory.LazyFunction(lambda: clock.now() + timedelta(minutes=40))
    observed_at = factory.LazyFunction(_now)


class ItemFactory(DjangoModelFactory[Any]):
    """What issues and pull requests have in common; `gone=True` for one that GitHub deleted."""

    class Meta:
        abstract = True

    class Params:
        gone = factory.Trait(removed_at=factory.LazyFunction(_now), removal="deleted")

    repository = factory.SubFactory(RepositoryFactory)
    number = factory.Sequence(lambda n: 1 + n)
    title = factory.LazyAttribute(lambda row: f"Title {row.number}")
    body = "It fails."
    author = "octocat"
    github_created_at = factory.LazyFunction(lambda: clock.now() - timedelta(hours=1))
    github_updated_at = factory.SelfAttribute("github_created_at")
    last_written_at = factory.LazyFunction(_now)
    changed_by = SyncJob.Trigger.INITIAL


class IssueFactory(ItemFactory):
    """An open issue of an hour ago. What is derived follows from the labels and assignees.

    `closed=True` closes it now.
    """

    class Meta:
        model = Issue

    class Params:
        closed = factory.Trait(
            github_state="closed",
            state_reason="completed",
            closed_at=factory.LazyFunction(_now),
        )

    github_id = factory.Sequence(lambda n: 3_000_000_000 + n)
    node_id = factory.LazyAttribute(lambda row: f"I_{row.github_id}")
    labels = factory.LazyFunction(list)
    assignees = factory.LazyFunction(list)
    github_state = "open"
    state = factory.LazyAttribute(
        lambda row: str(normalizer.issue_state(row.github_state, row.assignees, row.labels))
    )
    severity = factory.LazyAttribute(lambda row: str(normalizer.severity(row.labels)))
    due_at = factory.LazyAttribute(
        lambda row: normalizer.due_at(row.github_created_at, normalizer.Severity(row.severity))
    )
    is_blocker = factory.LazyAttribute(lambda row: normalizer.is_blocker(row.labels))
    priority_base = factory.LazyAttribute(lambda row: normalizer.priority_base(row.labels))


class PullRequestFactory(ItemFactory):
    """An open pull request of an hour ago; `was_merged=True` merges it now."""

    class Meta:
        model = PullRequest

    class Params:
        was_merged = factory.Trait(
            state="closed",
            merged=True,
            merged_at=factory.LazyFunction(_now),
            closed_at=factory.SelfAttribute("merged_at"),
            merge_commit_sha="f" * 40,
        )

    github_id = factory.Sequence(lambda n: 4_000_000_000 + n)
    node_id = factory.LazyAttribute(lambda row: f"PR_{row.github_id}")
    state = "open"
    base_ref = "main"
    head_ref = factory.LazyAttribute(lambda row: f"topic-{row.number}")
    head_sha = factory.LazyAttribute(lambda row: f"{row.github_id:040x}")


class CommitFactory(DjangoModelFactory[Commit]):
    """A commit of an hour ago; `gone=True` for one that a forced push dropped."""

    class Meta:
        model = Commit

    class Params:
        gone = factory.Trait(dropped_at=factory.LazyFunction(_now))

    repository = factory.SubFactory(RepositoryFactory)
    sha = factory.Sequence(lambda n: f"{n + 1:040x}")
    author_login = "octocat"
    author_name = "Octo Cat"
    author_email = "octo@example.com"
    contributor = factory.LazyAttribute(lambda row: f"login:{row.author_login}")
    authored_at = factory.LazyFunction(lambda: clock.now() - timedelta(hours=1))
    committed_at = factory.SelfAttribute("authored_at")
    message = factory.LazyAttribute(lambda row: f"Change {row.sha[-4:]}")
    last_written_at = factory.LazyFunction(_now)
    changed_by = SyncJob.Trigger.INITIAL


class ContentListFactory(DjangoModelFactory[ContentList]):
    """A list of commits that was never read; name its entity, and its count once it was."""

    class Meta:
        model = ContentList

    repository = factory.SubFactory(RepositoryFactory)
    entity = ContentList.Entity.COMMITS


class RepositoryMetricFactory(DjangoModelFactory[RepositoryMetric]):
    """What a repository comes to today; another day of the same one needs its `date`."""

    class Meta:
        model = RepositoryMetric

    repository = factory.SubFactory(RepositoryFactory)
    date = factory.LazyFunction(lambda: clock.now().date())
    commits = 120
    contributors = 3
    lines_of_code = 4_000
    languages = factory.LazyFunction(lambda: {"Python": 140_000})
    tech_stack = factory.LazyFunction(lambda: ["Python"])
    health_score = 80
    open_issues = 2
    stars = 7
    has_ci = True
    has_tests = None
    last_commit_at = factory.LazyFunction(lambda: clock.now() - timedelta(hours=1))
    last_written_at = factory.LazyFunction(_now)


class HookFactory(DjangoModelFactory[Hook]):
    """The hook of the App, whose log was read a moment ago; `failing=True` for one that cannot be."""

    class Meta:
        model = Hook

    class Params:
        failing = factory.Trait(
            failures=3,
            error="GitHub refuses access: check what the App may do.",
            retry_at=factory.LazyFunction(lambda: clock.now() + timedelta(minutes=5)),
        )

    target_type = Hook.Target.INTEGRATION
    target_id = factory.Sequence(lambda n: 100 + n)
    newest_id = factory.Sequence(lambda n: 70_000_000 + n)
    newest_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=3))
    read_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=1))


class DeliveryFactory(DjangoModelFactory[Delivery]):
    """An issue that was opened, processed two minutes ago. `body` is what its payload holds.

    `waiting=True` for one that nobody looked at yet, `pruned=True` for one without its payload.
    """

    class Meta:
        model = Delivery

    class Params:
        body = factory.LazyFunction(lambda: {"action": "opened", "issue": {"number": 1}})
        waiting = factory.Trait(
            status=Delivery.Status.RECEIVED, outcome="", processed_at=None, installation=None
        )
        pruned = factory.Trait(payload=None, payload_bytes=13_000)
        account = factory.SubFactory(InstallationFactory)

    guid = factory.Sequence(lambda n: f"0b989ba4-242f-11e5-81e1-{n:012x}")
    hook_id = 292_430_182
    target_type = Hook.Target.INTEGRATION
    target_id = 100
    event = "issues"
    action = "opened"
    received_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=2))
    installation = factory.SelfAttribute("account")
    installation_github_id = factory.SelfAttribute("account.github_id")
    account_id = factory.SelfAttribute("account.account_id")
    payload = factory.LazyAttribute(lambda row: payloads.pack(json.dumps(row.body).encode()))
    payload_bytes = factory.LazyAttribute(lambda row: len(json.dumps(row.body)))
    status = Delivery.Status.PROCESSED
    outcome = "updated"
    happened_at = factory.SelfAttribute("received_at")
    processed_at = factory.LazyAttribute(lambda row: row.received_at + timedelta(seconds=1))
    due_at = factory.SelfAttribute("received_at")


class GapFactory(DjangoModelFactory[Gap]):
    """A gap that was found ten minutes ago and is open; `closed=True` for one that was healed."""

    class Meta:
        model = Gap

    class Params:
        closed = factory.Trait(
            step=Gap.Step.CLOSED,
            closed_at=factory.LazyAttribute(lambda row: row.opened_at + timedelta(minutes=4)),
            healed_by="redelivery",
            seconds_to_repair=240.0,
        )

    installation = factory.SubFactory(InstallationFactory)
    reason = Gap.Reason.FAILED
    began_at = factory.LazyAttribute(lambda row: row.opened_at - timedelta(minutes=5))
    ended_at = factory.SelfAttribute("opened_at")
    opened_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=10))
    next_step_at = factory.SelfAttribute("opened_at")
    missed = 1
    seconds_to_detect = 300.0


class MissedDeliveryFactory(DjangoModelFactory[MissedDelivery]):
    """A push that was answered with an error; `healed=True` for one that GitHub redelivered."""

    class Meta:
        model = MissedDelivery

    class Params:
        healed = factory.Trait(healed_at=factory.LazyFunction(_now), healed_by="redelivery")

    hook = factory.SubFactory(HookFactory)
    guid = factory.Sequence(lambda n: f"5f2b8a10-242f-11e5-81e1-{n:012x}")
    event = "push"
    installation = factory.SubFactory(InstallationFactory)
    kind = MissedDelivery.Kind.FAILED
    status_code = 502
    status_text = "Bad Gateway"
    first_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=15))
    latest_id = factory.Sequence(lambda n: 70_000_000 + n)
    latest_at = factory.SelfAttribute("first_at")
    detected_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=10))


class DeadLetterFactory(DjangoModelFactory[DeadLetter]):
    """The open letter of a job that was given up; `of_delivery=True` for one of a delivery."""

    class Meta:
        model = DeadLetter

    class Params:
        of_delivery = factory.Trait(
            kind=DeadLetter.Kind.DELIVERY,
            job=None,
            delivery=factory.SubFactory(
                DeliveryFactory,
                account=factory.SelfAttribute("..installation"),
                status=Delivery.Status.FAILED,
                outcome="refused",
                attempts=5,
            ),
            context=factory.LazyAttribute(lambda row: {"guid": row.delivery.guid}),
        )

    kind = DeadLetter.Kind.JOB
    installation = factory.SubFactory(InstallationFactory)
    job = factory.SubFactory(
        SyncJobFactory,
        installation=factory.SelfAttribute("..installation"),
        status=SyncJob.Status.DEAD,
        error="GitHub did not answer.",
        error_category="network",
        attempt=5,
    )
    created_at = factory.LazyFunction(_now)
    attempts = 5
    category = "network"
    error = "GitHub did not answer."
    stack = "NetworkError: GitHub did not answer."
    context = factory.LazyFunction(lambda: {"mode": "full", "stage": "repositories"})
