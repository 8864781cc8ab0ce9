"""What somebody of ill will tries at the people's side: to see what is another tenant's, to guess
passwords, to have a secret shown."""

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from reconciliation.models import AuditEntry, AuditRecord
from syncsvc import clock, vault
from syncsvc.models import Credential, Installation, Membership, Repository, SyncJob
from tests.factories import (
    PASSWORD,
    InstallationFactory,
    RepositoryFactory,
    SyncJobFactory,
    UserFactory,
)
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


# -- secrets in the wrong place ----------------------------------------------------------------------

TOKEN = "ghp_" + "c4n4rY" * 6
KEY = "-----BEGIN RSA PRIVATE KEY-----\r\nc4n4rY\r\n-----END RSA PRIVATE KEY-----"


@pytest.mark.spec("R19.4")
@pytest.mark.parametrize("secret", [TOKEN, f" {TOKEN}", KEY, KEY.replace("RSA ", "")])
@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("/setup/app/", ("app_id",)),
        ("/setup/app/new/", ("name", "organization", "webhook_url")),
        ("/setup/token/", ("owner",)),
    ],
)
def test_a_secret_pasted_into_the_wrong_field_is_forgotten(
    page: str, fields: tuple[str, ...], secret: str
) -> None:
    boss = browser(staff())
    right = {"seen": "none", "token": "x", "key": KEY, "app_id": "1", "name": "Mirror"}
    for field in fields:
        answer = boss.post(page, right | {field: secret})
        text = answer.content.decode()
        assert answer.status_code == 400
        assert "looks like a key or a token" in text
        assert "c4n4rY" not in text


@pytest.mark.spec("R19.4")
def test_no_address_but_one_of_the_web_becomes_a_link() -> None:
    Credential.objects.create(
        kind="app", app_id="1", html_url="javascript:alert(1)", private_key=vault.encrypt("x")
    )
    page = browser(staff()).get("/setup/").content.decode()
    assert "GitHub App" in page
    assert "javascript:" not in page


# -- what is kept where ------------------------------------------------------------------------------


@pytest.mark.spec("R19.2", "R19.4")
@pytest.mark.parametrize(
    "address", ["/api/v1/installations/", "/api/v1/sync-health/summary/", "/nothing/", "/admin/x/"]
)
def test_what_is_somebodys_is_kept_in_no_cache(address: str) -> None:
    assert "no-store" in browser(staff()).get(address)["Cache-Control"]


@pytest.mark.spec("R19.2", "R19.4")
def test_tokens_are_kept_in_no_cache_and_styles_may_be() -> None:
    UserFactory.create(username="mia")
    given = {"username": "mia", "password": PASSWORD}
    answer = Client().post("/api/v1/auth/token/", given, content_type="application/json")
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    styles = Client().get("/static/syncsvc/mirror.css")
    styles.close()
    assert "no-store" not in styles["Cache-Control"]


# -- more power than was given -----------------------------------------------------------------------


@pytest.mark.spec("R19.2")
def test_who_may_change_users_makes_nobody_a_superuser_and_takes_no_superusers_place() -> None:
    boss = staff()
    clerk = UserFactory.create(username="clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(content_type__model="user"))
    browsing = browser(clerk)
    mine, theirs = (f"/admin/auth/user/{user.pk}/" for user in (clerk, boss))
    form = {
        "username": "clerk", "first_name": "Mia", "is_active": "on", "is_staff": "on", "is_superuser": "on",
        "date_joined_0": "2026-01-01", "date_joined_1": "00:00", "_save": "Save",
        "user_permissions": [each.pk for each in Permission.objects.all()[:9]],
    }  # fmt: skip
    assert browsing.post(f"{mine}change/", form).status_code == 302
    clerk.refresh_from_db()
    assert (clerk.first_name, clerk.is_superuser) == ("Mia", False)
    assert clerk.user_permissions.count() == 4
    new = {
        "password1": "a long enough one",
        "password2": "a long enough one",
        "usable_password": "true",
    }
    assert browsing.post(f"{theirs}password/", new).status_code == 403
    assert browsing.post(f"{theirs}change/", form).status_code == 403
    assert browsing.post(f"{theirs}delete/", {"post": "yes"}).status_code == 403
    boss.refresh_from_db()
    assert boss.check_password(PASSWORD)
    assert browser(boss).get(f"{mine}change/").status_code == 200
