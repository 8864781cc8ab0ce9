"""What somebody of ill will tries at the people's side: to see what is another tenant's, to guess
passwords, to have a secret shown."""

import pytest

from reconciliation.models import AuditEntry, AuditRecord
from syncsvc import clock
from syncsvc.models import Installation, Membership, Repository, SyncJob
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory
from tests.judge_factories import DiscrepancyFactory, IntegrityIssueFactory, SampleAuditFactory
from tests.people_support import browser, member_of, staff

pytestmark = pytest.mark.django_db

SECRET_NAME = "project-that-nobody-knows-of"


# -- a repository that went to another tenant --------------------------------------------------------


class Moved:
    """A repository that once was `former`'s, with what a run of theirs left, and is `present`'s now."""

    def __init__(self) -> None:
        self.former: Installation = InstallationFactory.create(account_login="former")
        self.present: Installation = InstallationFactory.create(account_login="present")
        self.repository: Repository = RepositoryFactory.create(
            installation=self.present, owner="present", name=SECRET_NAME
        )
        self.job: SyncJob = SyncJobFactory.create(installation=self.former, mode=SyncJob.Mode.AUDIT)
        self.entry = AuditEntry.objects.create(
            kind="run", at=clock.now(), installation=self.former, correlation_id=self.job.pk
        )
        AuditRecord.objects.create(
            entry=self.entry,
            at=clock.now(),
            repository=self.repository,
            entity="issues",
            operation="update",
            result="failed",
            items=["1"],
            error="what went wrong at the former",
        )
        self.discrepancy = DiscrepancyFactory.create(
            installation=self.former,
            home=self.repository,
            correlation_id=self.job.pk,
            name="former/as-it-was#12",
        )
        IntegrityIssueFactory.create(
            installation=self.former, repository=self.repository, correlation_id=self.job.pk
        )
        audit = SampleAuditFactory.create(installation=self.former, job=self.job)
        audit.items.create(
            repository=self.repository, entity="issues", item_key="1", result="wrong", path="rest"
        )


@pytest.fixture
def moved() -> Moved:
    return Moved()


def addresses(moved: Moved) -> list[str]:
    log = f"/api/v1/audit-log/{moved.entry.pk}/"
    return [
        f"/jobs/{moved.job.pk}/",
        f"/jobs/{moved.job.pk}/trail/",
        f"/discrepancies/{moved.discrepancy.pk}/",
        log,
        f"{log}records/",
    ]


@pytest.mark.spec("R19.2")
def test_what_a_repository_is_called_at_another_tenant_stays_there(moved: Moved) -> None:
    admin = browser(member_of(moved.former, Membership.Role.ADMIN))
    everybody = browser(staff())
    for address in addresses(moved):
        answer = admin.get(address)
        assert answer.status_code == 200, address
        assert SECRET_NAME not in answer.content.decode(), address
        assert SECRET_NAME in everybody.get(address).content.decode(), address


@pytest.mark.spec("R19.2")
def test_who_sees_both_tenants_sees_the_name(moved: Moved) -> None:
    user = member_of(moved.former, Membership.Role.ADMIN)
    Membership.objects.create(user=user, installation=moved.present, role="member")
    for address in addresses(moved):
        assert SECRET_NAME in browser(user).get(address).content.decode(), address


@pytest.mark.spec("R19.2")
def test_what_the_former_tenants_runs_did_stays_theirs(moved: Moved) -> None:
    page = f"/repositories/{moved.repository.pk}/"
    admin = browser(member_of(moved.present, Membership.Role.ADMIN)).get(page)
    assert admin.status_code == 200
    assert "at the former" not in admin.content.decode()
    assert str(moved.job.pk) not in admin.content.decode()
    assert "at the former" in browser(staff()).get(page).content.decode()


@pytest.mark.spec("R19.2")
def test_names_at_other_tenants_cannot_be_guessed_by_filtering_the_trail(moved: Moved) -> None:
    admin = browser(member_of(moved.former, Membership.Role.ADMIN))
    asked = f"/api/v1/audit-log/?repository=present/{SECRET_NAME}"
    assert admin.get(asked).json()["results"] == []
    found = browser(staff()).get(asked).json()["results"]
    assert [each["id"] for each in found] == [moved.entry.pk]
