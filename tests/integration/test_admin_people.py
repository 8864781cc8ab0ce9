"""The admin: lists that stay fast, history that cannot be changed, actions through the usual doors."""

import re
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from syncsvc import clock
from syncsvc.models import (
    EtagEntry,
    Heartbeat,
    Membership,
    Repository,
    SyncJob,
)
from tests.factories import (
    InstallationFactory,
    MembershipFactory,
    RateBudgetFactory,
    RepositoryFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.2")]


def etag() -> EtagEntry:
    return EtagEntry.objects.create(
        installation=InstallationFactory.create(),
        url=f"https://api.github.com/{EtagEntry.objects.count()}",
        etag='"abc"',
        token_fingerprint="f",
        rows=b"private-name",
        has_next=False,
        version=1,
        stored_at=clock.now(),
    )


MAKERS: dict[str, Any] = {
    "installation": InstallationFactory.create,
    "repository": RepositoryFactory.create,
    "syncjob": SyncJobFactory.create,
    "membership": MembershipFactory.create,
    "ratebudget": RateBudgetFactory.create,
    "etagentry": etag,
}


def messages(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


@pytest.fixture
def client() -> Client:
    return browser(staff())


@pytest.mark.parametrize("name", MAKERS)
def test_each_row_opens(name: str, client: Client) -> None:
    row = MAKERS[name]()
    page = client.get(f"/admin/syncsvc/{name}/{row.pk}/change/")
    assert page.status_code == 200
    assert b"private-name" not in page.content


@pytest.mark.parametrize("query", ["acme", "12345", "4f1c", "acme/site"])
@pytest.mark.parametrize("name", MAKERS)
def test_every_list_can_be_searched(name: str, query: str, client: Client) -> None:
    MAKERS[name]()
    assert client.get(f"/admin/syncsvc/{name}/?q={query}").status_code == 200


@pytest.mark.parametrize("name", ["installation", "syncjob", "ratebudget", "repository"])
def test_what_a_run_wrote_cannot_be_added_or_deleted(name: str, client: Client) -> None:
    row = MAKERS[name]()
    assert client.get(f"/admin/syncsvc/{name}/add/").status_code == 403
    assert (
        client.post(f"/admin/syncsvc/{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    )
    assert type(row).objects.filter(pk=row.pk).exists()


def test_a_job_cannot_be_changed(client: Client) -> None:
    job = SyncJobFactory.create()
    assert (
        client.post(f"/admin/syncsvc/syncjob/{job.pk}/change/", {"status": "failed"}).status_code
        == 403
    )
    job.refresh_from_db()
    assert job.status == "succeeded"


def test_only_the_operators_switch_of_a_repository_can_be_changed(client: Client) -> None:
    row = RepositoryFactory.create(name="site")
    address = f"/admin/syncsvc/repository/{row.pk}/change/"
    Repository.objects.filter(pk=row.pk).update(stars=7)  # a run writes meanwhile
    assert client.post(address, {"name": "other", "stars": "3"}).status_code == 302
    row = Repository.objects.get(pk=row.pk)
    assert (row.name, row.stars) == ("site", 7)
    assert (row.automations_allowed, row.automations_enabled) == (False, False)


def test_sync_now_says_each_decision_in_a_sentence(client: Client) -> None:
    ready, suspended = (
        InstallationFactory.create(account_login="ready"),
        InstallationFactory.create(account_login="stopped", status="suspended"),
    )
    body: dict[str, Any] = {"action": "sync_now", "_selected_action": [ready.pk, suspended.pk]}
    page = client.post("/admin/syncsvc/installation/", body)
    assert "2 installations" in page.context["title"]
    assert not SyncJob.objects.exists()
    body["decided"] = "yes"
    page = client.post("/admin/syncsvc/installation/", body, follow=True)
    assert messages(page) == [
        "ready: The sync has started.",
        "stopped: GitHub has suspended this installation: unsuspend it on GitHub to go on.",
    ]
    job = SyncJob.objects.get()
    assert (job.installation, job.trigger, job.dry_run) == (ready, "manual", False)
    assert job.requested_by is not None


def test_a_dry_run_is_asked_for_in_the_same_way(client: Client) -> None:
    row = InstallationFactory.create(account_login="ready")
    body = {"action": "dry_run", "_selected_action": [row.pk], "decided": "yes"}
    page = client.post("/admin/syncsvc/installation/", body, follow=True)
    assert messages(page) == ["ready: The dry run has started."]
    assert SyncJob.objects.get().dry_run is True


def test_cancel_stops_what_can_be_stopped(client: Client) -> None:
    waiting, running, ended = (
        SyncJobFactory.create(waiting=True),
        SyncJobFactory.create(running=True),
        SyncJobFactory.create(),
    )
    body: dict[str, Any] = {"action": "cancel", "decided": "yes"}
    body["_selected_action"] = [waiting.pk, running.pk, ended.pk]
    page = client.post("/admin/syncsvc/syncjob/", body, follow=True)
    endings = sorted(message.split(": ")[1] for message in messages(page))
    assert endings == [
        "the run had ended already.",
        "the run is cancelled.",
        "the run stops at its next safe point.",
    ]
    for job in (waiting, running, ended):
        job.refresh_from_db()
    assert (waiting.status, running.status, ended.status) == ("cancelled", "running", "succeeded")
    assert running.cancel_requested_at is not None


def test_an_installation_leads_to_its_repositories_and_runs(client: Client) -> None:
    row = InstallationFactory.create()
    RepositoryFactory.create_batch(2, installation=row)
    RepositoryFactory.create()
    page = client.get("/admin/syncsvc/installation/").content.decode()
    link = re.search(
        rf'"(/admin/syncsvc/repository/\?installation__id__exact={row.pk})">2</a>', page
    )
    assert link is not None
    assert client.get(link.group(1)).context["cl"].result_count == 2
    runs = f"/admin/syncsvc/syncjob/?installation__id__exact={row.pk}"
    assert runs in page
    assert client.get(runs).status_code == 200


def test_memberships_are_edited_here(client: Client) -> None:
    user, installation = UserFactory.create(), InstallationFactory.create()
    body = {"user": user.pk, "installation": installation.pk, "role": "operator"}
    assert client.post("/admin/syncsvc/membership/add/", body).status_code == 302
    assert Membership.objects.get().role == "operator"


def test_the_schedule_is_edited_here(client: Client) -> None:
    interval = IntervalSchedule.objects.create(every=15, period="minutes")
    task = PeriodicTask.objects.create(name="mine", task="some.task", interval=interval)
    for path in ("periodictask", "intervalschedule", "crontabschedule"):
        assert client.get(f"/admin/django_celery_beat/{path}/").status_code == 200
        assert client.get(f"/admin/django_celery_beat/{path}/add/").status_code == 200
    address = f"/admin/django_celery_beat/intervalschedule/{interval.pk}/change/"
    assert client.post(address, {"every": 5, "period": "minutes"}).status_code == 302
    interval.refresh_from_db()
    assert interval.every == 5
    assert (
        client.get(f"/admin/django_celery_beat/periodictask/{task.pk}/change/").status_code == 200
    )


def test_users_are_edited_here(client: Client) -> None:
    user = UserFactory.create()
    assert client.get("/admin/auth/user/").status_code == 200
    assert client.get(f"/admin/auth/user/{user.pk}/change/").status_code == 200
    assert client.get("/admin/auth/group/").status_code == 200
    password = "correct horse battery"
    body = {"username": "new", "password1": password, "password2": password}
    body["usable_password"] = "true"
    assert client.post("/admin/auth/user/add/", body).status_code == 302
    assert get_user_model().objects.get(username="new").check_password(password)


def test_heartbeats_are_shown(client: Client) -> None:
    Heartbeat.objects.create(component="worker", beaten_at=clock.now())
    assert b"worker" in client.get("/admin/syncsvc/heartbeat/").content


@pytest.mark.spec("R19.2")
def test_members_do_not_get_into_the_admin() -> None:
    response = browser(member_of(InstallationFactory.create(), "admin")).get("/admin/")
    assert response.headers["Location"].startswith("/admin/login/")
