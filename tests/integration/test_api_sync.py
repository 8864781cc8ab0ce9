"""Asking for a sync, watching it, and stopping it through the API."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils.dateparse import parse_datetime

from syncsvc import clock
from syncsvc.models import Installation, SyncJob
from tests.factories import InstallationFactory, RateBudgetFactory, SyncJobFactory
from tests.people_support import PROBLEM, api, member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create(account_login="acme")


def ask(installation: Installation, user: Any = None, **body: Any) -> Any:
    client = api(user or member_of(installation))
    return client.post(f"/api/v1/installations/{installation.pk}/sync/", body, format="json")


@pytest.mark.spec("R3.2", "R19.2")
@pytest.mark.parametrize("role", ["member", "support", "operator", "admin"])
@pytest.mark.django_db(transaction=True)
def test_every_role_may_start_a_sync(mine: Installation, bells: list[UUID], role: str) -> None:
    user = member_of(mine, role)
    response = ask(mine, user)
    assert response.status_code == 202
    job = SyncJob.objects.get()
    assert response.json() == {
        "decision": {"action": "start", "reason": "accepted", "metadata": {}},
        "job_id": str(job.pk),
    }
    assert (job.trigger, job.mode, job.requested_by) == ("manual", "full", user)
    assert bells == [job.pk]


@pytest.mark.spec("R3.2")
@pytest.mark.parametrize(
    ("body", "mode", "repository", "dry_run"),
    [
        ({"mode": "reconcile"}, "reconcile", "", False),
        ({"mode": "incremental", "dry_run": True}, "incremental", "", True),
        ({"repository": "Acme/site.js"}, "repo", "Acme/site.js", False),
    ],
)
def test_a_request_says_what_to_read(
    mine: Installation, body: dict[str, Any], mode: str, repository: str, dry_run: bool
) -> None:
    assert ask(mine, **body).status_code == 202
    job = SyncJob.objects.get()
    assert (job.mode, job.repository, job.dry_run) == (mode, repository, dry_run)


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"mode": "everything"}, "mode"),
        ({"mode": "repo"}, "mode"),
        ({"mode": None}, "mode"),
        ({"repository": "no-slash"}, "repository"),
        ({"repository": "acme/../etc"}, "repository"),
        ({"repository": "other/site"}, "repository"),
        ({"repository": "acme/x", "mode": "full"}, "mode"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"dryrun": True}, "dryrun"),
    ],
)
def test_a_wrong_wish_starts_nothing_and_names_the_field(
    mine: Installation, body: dict[str, Any], field: str
) -> None:
    response = ask(mine, **body)
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert field in response.json()["errors"]
    assert field in response.json()["detail"]
    assert not SyncJob.objects.exists()


@pytest.mark.parametrize("body", [[], "full", 3, None])
def test_a_body_that_is_no_object_is_refused(mine: Installation, body: Any) -> None:
    client = api(staff())
    response = client.post(f"/api/v1/installations/{mine.pk}/sync/", body, format="json")
    assert response.status_code in ((202,) if body is None else (400,))


@pytest.mark.spec("R19.1")
def test_a_body_that_is_nested_too_deeply_is_the_senders_mistake(mine: Installation) -> None:
    client, address = api(staff()), f"/api/v1/installations/{mine.pk}/sync/"
    response = client.post(address, "[" * 100_000, content_type="application/json")
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert not SyncJob.objects.exists()


@pytest.mark.spec("R3.3")
def test_a_second_request_is_answered_with_the_running_job(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine, running=True)
    response = ask(mine)
    assert response.status_code == 409
    assert response.json()["job_id"] == str(job.pk)
    assert response.json()["decision"]["reason"] == "already_syncing"


@pytest.mark.spec("R3.1")
def test_a_request_during_the_cooldown_says_how_long_to_wait(
    mine: Installation, tune: Callable[..., Any]
) -> None:
    tune(manual_cooldown_seconds=60)
    mine.last_synced_at = clock.now() - timedelta(seconds=10)
    mine.save()
    response = ask(mine)
    assert response.status_code == 409
    assert response.json()["decision"]["reason"] == "cooldown"
    assert 0 < response.json()["decision"]["metadata"]["cooldown_ms"] <= 50_000
    assert 0 < int(response["Retry-After"]) <= 51


@pytest.mark.spec("R3.1")
@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({"status": "suspended"}, 423, "suspended"),
        ({"status": "uninstalled"}, 423, "uninstalled"),
        ({"breaker_open_until": timedelta(minutes=5)}, 423, "breaker_open"),
        ({"blocked_until": timedelta(minutes=5)}, 429, "blocked_until"),
    ],
)
def test_a_blocked_installation_says_why_and_until_when(
    mine: Installation, changes: dict[str, Any], code: int, reason: str
) -> None:
    for name, value in changes.items():
        later = clock.now() + value if isinstance(value, timedelta) else value
        setattr(mine, name, later)
    mine.save()
    response = ask(mine)
    assert response.status_code == code
    assert response.json()["decision"]["action"] == "block"
    assert response.json()["decision"]["reason"] == reason
    assert response.json()["job_id"] is None
    assert ("Retry-After" in response) == ("until" in response.json()["decision"]["metadata"])


@pytest.mark.spec("R3.1")
def test_a_spent_budget_is_429_with_the_time_of_its_reset(mine: Installation) -> None:
    RateBudgetFactory.create(installation=mine, remaining=0)
    response = ask(mine)
    assert response.status_code == 429
    assert response.json()["decision"]["reason"] == "budget"
    assert 0 < int(response["Retry-After"]) <= 2401


@pytest.mark.spec("R3.5", "P13")
def test_the_status_of_an_idle_installation(mine: Installation) -> None:
    mine.last_synced_at = clock.now() - timedelta(minutes=5)
    mine.next_scheduled_at = clock.now() + timedelta(minutes=10)
    mine.save()
    shown = api(member_of(mine)).get(f"/api/v1/installations/{mine.pk}/status/").json()
    assert shown["state"] == "idle"
    assert shown["can_sync_now"] is True
    assert shown["active_job_progress"] is None
    assert parse_datetime(shown["last_synced_at"]) == mine.last_synced_at
    assert parse_datetime(shown["next_scheduled_at"]) == mine.next_scheduled_at
    assert shown["last_synced_at"].endswith("Z")
    assert shown["last_sync_error"] is None


@pytest.mark.spec("R3.5", "P15")
def test_the_status_of_a_running_sync_has_its_progress(mine: Installation) -> None:
    SyncJobFactory.create(
        installation=mine,
        running=True,
        stage="reading repositories",
        current=50,
        total=200,
        current_item="acme/site",
        started_at=clock.now() - timedelta(seconds=10),
    )
    shown = api(member_of(mine)).get(f"/api/v1/installations/{mine.pk}/status/").json()
    assert (shown["state"], shown["can_sync_now"]) == ("syncing", False)
    eta = shown["active_job_progress"].pop("eta_seconds")
    assert 25 <= eta <= 35
    assert shown["active_job_progress"] == {
        "current": 50,
        "total": 200,
        "stage": "reading repositories",
        "errors": 0,
        "item": "acme/site",
    }


@pytest.mark.spec("R3.7", "R19.2")
@pytest.mark.parametrize(
    ("role", "code", "status"),
    [
        ("member", 403, "queued"),
        ("support", 403, "queued"),
        ("operator", 200, "cancelled"),
        ("admin", 200, "cancelled"),
    ],
)
def test_operators_and_admins_cancel_a_waiting_job(
    mine: Installation, role: str, code: int, status: str
) -> None:
    job = SyncJobFactory.create(installation=mine, waiting=True)
    response = api(member_of(mine, role)).post(f"/api/v1/jobs/{job.pk}/cancel/")
    assert response.status_code == code
    job.refresh_from_db()
    assert job.status == status


@pytest.mark.spec("R3.7")
def test_whoever_started_a_job_may_cancel_it(mine: Installation) -> None:
    user = member_of(mine)
    job = SyncJobFactory.create(installation=mine, waiting=True, requested_by=user)
    assert api(user).post(f"/api/v1/jobs/{job.pk}/cancel/").json()["status"] == "cancelled"


@pytest.mark.spec("R3.7")
def test_a_running_job_is_asked_to_stop_once(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine, running=True)
    client = api(staff())
    first = client.post(f"/api/v1/jobs/{job.pk}/cancel/")
    again = client.post(f"/api/v1/jobs/{job.pk}/cancel/")
    assert [first.status_code, again.status_code] == [202, 202]
    assert first.json()["status"] == "running"
    assert first.json()["cancel_requested_at"] == again.json()["cancel_requested_at"] is not None


@pytest.mark.spec("R3.7")
def test_a_job_that_has_ended_cannot_be_cancelled(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine)
    response = api(staff()).post(f"/api/v1/jobs/{job.pk}/cancel/")
    assert (response.status_code, response["Content-Type"]) == (409, PROBLEM)
    assert "ended" in response.json()["detail"]
