"""How tests make rows: each factory gives a valid row, named arguments say what a test is about."""

from datetime import timedelta

import factory
from django.contrib.auth.models import User
from factory.django import DjangoModelFactory

from syncsvc import clock
from syncsvc.models import Installation, Membership, RateBudget, Repository, SyncJob

PASSWORD = "correct horse battery staple"


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
    last_written_at = factory.LazyFunction(clock.now)
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
    observed_at = factory.LazyFunction(clock.now)
