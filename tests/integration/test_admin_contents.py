"""Issues, pull requests, commits, metrics and readings in the admin: found, read, and never changed."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from reconciliation.models import AuditEntry
from syncsvc import clock
from syncsvc.models import ContentList
from tests.factories import (
    CommitFactory,
    ContentListFactory,
    InstallationFactory,
    IssueFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
    UserFactory,
)
from tests.people_support import browser, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.2")]

MAKERS: dict[str, Any] = {
    "issue": IssueFactory,
    "pullrequest": PullRequestFactory,
    "commit": CommitFactory,
    "repositorymetric": RepositoryMetricFactory,
    "contentlist": ContentListFactory,
}
names = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture
def client() -> Client:
    return browser(staff())


def failing(**values: Any) -> ContentList:
    now = clock.now()
    told: dict[str, Any] = {
        "failures": 2,
        "failed_at": now,
        "retry_at": now + timedelta(hours=1),
        "error": "GitHub did not answer.",
        "error_category": "network",
    }
    return ContentListFactory.create(**told | values)


def found(client: Client, name: str, query: str) -> list[Any]:
    page = client.get(f"/admin/syncsvc/{name}/?{query}")
    assert page.status_code == 200
    return list(page.context["cl"].queryset)


@names
def test_each_row_opens_and_nobody_writes_it(name: str, client: Client) -> None:
    row = MAKERS[name].create()
    address = f"/admin/syncsvc/{name}"
    page = client.get(f"{address}/{row.pk}/change/")
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert client.post(f"{address}/{row.pk}/change/", {"title": "Mine"}).status_code == 403
    assert client.get(f"{address}/add/").status_code == 403
    assert client.post(f"{address}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    body = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(f"{address}/", body)
    assert type(row).objects.filter(pk=row.pk).exists()


@names
@pytest.mark.parametrize("query", ["acme", "12345", "4f1c", "acme/site", "GH-1"])
def test_every_list_can_be_searched(name: str, query: str, client: Client) -> None:
    MAKERS[name].create()
    assert found(client, name, f"q={query}") == []


@names
def test_every_list_is_narrowed_by_account_and_by_repository(name: str, client: Client) -> None:
    row = MAKERS[name].create()
    MAKERS[name].create()
    repository = row.repository
    assert found(client, name, f"repository__id__exact={repository.pk}") == [row]
    account = f"repository__installation__id__exact={repository.installation_id}"
    assert found(client, name, account) == [row]


@pytest.mark.parametrize("name", ["issue", "pullrequest", "commit"])
def test_what_is_gone_can_be_told_from_what_is_there(name: str, client: Client) -> None:
    there = MAKERS[name].create()
    gone = MAKERS[name].create(gone=True)
    lost = MAKERS[name].create(repository__status="deleted")
    assert found(client, name, "presence=present") == [there]
    assert set(found(client, name, "presence=gone")) == {gone, lost}
    assert len(found(client, name, "")) == 3


def test_issues_are_filtered_searched_and_ordered(client: Client) -> None:
    old = clock.now() - timedelta(days=70)
    urgent = IssueFactory.create(labels=["critical"], number=70_707)
    late = IssueFactory.create(labels=["low"], title="Crash at start", github_created_at=old)
    assert found(client, "issue", "severity__exact=critical") == [urgent]
    assert found(client, "issue", "state__exact=closed") == []
    assert found(client, "issue", "q=crash") == [late]
    assert found(client, "issue", "q=70707") == [urgent]
    columns = list(client.get("/admin/syncsvc/issue/").context["cl"].list_display)
    priority = columns.index("shown_priority")
    assert found(client, "issue", f"o={priority}") == [late, urgent]
    page = client.get("/admin/syncsvc/issue/").content.decode()
    for part in ("GH-70707", "Crash at start", str(late.repository), "90", "70"):
        assert part in page


def test_no_list_reads_the_bodies(client: Client) -> None:
    IssueFactory.create(body="private-words")
    PullRequestFactory.create(body="private-words")
    for name in ("issue", "pullrequest"):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(f"/admin/syncsvc/{name}/")
        assert not any('."body"' in query["sql"] for query in queries)
    row = IssueFactory.create(body="private-words")
    assert b"private-words" in client.get(f"/admin/syncsvc/issue/{row.pk}/change/").content


@pytest.mark.spec("R19.4")
@names
def test_what_github_says_is_text_not_markup(name: str, client: Client) -> None:
    row = MAKERS[name].create(repository__name="<script>alert(1)</script>")
    hostile: dict[str, dict[str, Any]] = {
        "issue": {"title": "<script>alert(2)</script>", "labels": ["<script>alert(3)</script>"]},
        "commit": {"message": "<script>alert(2)</script>"},
        "contentlist": {"error": "<script>alert(2)</script>"},
    }
    for field, value in hostile.get(name, {}).items():
        setattr(row, field, value)
    row.save()
    for address in (f"/admin/syncsvc/{name}/", f"/admin/syncsvc/{name}/{row.pk}/change/"):
        page = client.get(address).content
        assert b"<script>alert" not in page
        assert b"&lt;script&gt;alert(1)" in page


@pytest.mark.spec("R5.6")
def test_what_could_not_be_read_is_found_and_read_again(client: Client) -> None:
    broken, fine = failing(), ContentListFactory.create(read_at=clock.now(), count=3)
    due = failing(retry_at=clock.now() - timedelta(minutes=1))
    unread = ContentListFactory.create()
    short = ContentListFactory.create(read_at=clock.now(), unreadable=2)

    def kind(name: str) -> set[Any]:
        return set(found(client, "contentlist", f"reading={name}"))

    assert kind("failing") == {broken, due}
    assert kind("waiting") == {broken}
    assert kind("due") == {due}
    assert kind("unread") == {broken, due, unread}
    assert kind("short") == {short}
    assert kind("fine") == {fine, short}

    body = {"action": "read_again", "_selected_action": [broken.pk, fine.pk], "decided": "yes"}
    page = client.post("/admin/syncsvc/contentlist/?reading=", body, follow=True)
    assert {str(message) for message in page.context["messages"]} == {
        f"{broken}: the next sync reads it again.",
        f"{fine}: it does not fail: nothing to read again.",
    }
    assert AuditEntry.objects.get(kind="read_again").detail["entity"] == broken.entity
    broken.refresh_from_db()
    fine.refresh_from_db()
    assert broken.retry_at is not None
    assert broken.retry_at <= clock.now()
    assert (broken.failures, broken.error) == (2, "GitHub did not answer.")
    assert fine.retry_at is None


@pytest.mark.spec("R19.2")
def test_who_may_only_look_cannot_ask_to_read_again() -> None:
    row = failing()
    looker = UserFactory.create(is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_contentlist"))
    client = browser(looker)
    assert client.get("/admin/syncsvc/contentlist/").status_code == 200
    client.post(
        "/admin/syncsvc/contentlist/", {"action": "read_again", "_selected_action": [row.pk]}
    )
    before = row.retry_at
    row.refresh_from_db()
    assert row.retry_at == before


@pytest.mark.parametrize("kind", ["installation", "repository"])
def test_accounts_and_repositories_lead_to_what_they_hold(kind: str, client: Client) -> None:
    issue = IssueFactory.create()
    IssueFactory.create()
    repository = issue.repository
    row, lookup = {
        "installation": (repository.installation, "repository__installation"),
        "repository": (repository, "repository"),
    }[kind]
    page = client.get(f"/admin/syncsvc/{kind}/{row.pk}/change/").content.decode()
    for name in MAKERS:
        link = f"/admin/syncsvc/{name}/?{lookup}__id__exact={row.pk}"
        assert link in page
    assert found(client, "issue", f"{lookup}__id__exact={row.pk}") == [issue]


def test_the_switch_of_a_repository_can_still_be_turned(client: Client) -> None:
    row = RepositoryFactory.create(installation=InstallationFactory.create())
    assert client.post(f"/admin/syncsvc/repository/{row.pk}/change/", {}).status_code == 302
    row.refresh_from_db()
    assert row.automations_allowed is False
