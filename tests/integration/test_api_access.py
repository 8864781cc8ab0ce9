"""Who gets into the API, what they see there, and how it says no."""

import io
import json
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client
from rest_framework.throttling import UserRateThrottle

from syncsvc.models import Installation
from tests.factories import (
    PASSWORD,
    CommitFactory,
    DeliveryFactory,
    GapFactory,
    InstallationFactory,
    IssueFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.people_support import PROBLEM, api, browser, member_of, staff

pytestmark = pytest.mark.django_db

LISTS = ["installations", "jobs", "repositories"]
CONTENTS: dict[str, Any] = {
    "issues": IssueFactory,
    "pull-requests": PullRequestFactory,
    "commits": CommitFactory,
    "repository-metrics": RepositoryMetricFactory,
}


def addresses(installation: Installation) -> list[str]:
    repository = RepositoryFactory.create(installation=installation)
    job = SyncJobFactory.create(installation=installation)
    contents = [
        f"/api/v1/{name}/{maker.create(repository=repository).pk}/"
        for name, maker in CONTENTS.items()
    ]
    return [
        *contents,
        f"/api/v1/installations/{installation.pk}/",
        f"/api/v1/installations/{installation.pk}/status/",
        f"/api/v1/installations/{installation.pk}/webhooks/",
        f"/api/v1/deliveries/{DeliveryFactory.create(account=installation).pk}/",
        f"/api/v1/gaps/{GapFactory.create(installation=installation).pk}/",
        f"/api/v1/jobs/{job.pk}/",
        f"/api/v1/repositories/{repository.pk}/",
    ]


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize("path", [*LISTS, *CONTENTS, "installations/1", "issues/1"])
def test_a_stranger_is_asked_to_authenticate(path: str) -> None:
    response = api().get(f"/api/v1/{path}/")
    assert response.status_code == 401
    assert response["Content-Type"] == PROBLEM
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["status"] == 401


@pytest.mark.spec("R19.2")
def test_a_member_sees_their_own_installation_and_no_other() -> None:
    mine, other = InstallationFactory.create(), InstallationFactory.create()
    client = api(member_of(mine))
    assert [client.get(path).status_code for path in addresses(mine)] == [200] * 11
    assert [client.get(path).status_code for path in addresses(other)] == [404] * 11
    for name in LISTS:
        rows = client.get(f"/api/v1/{name}/").json()["results"]
        assert {row.get("installation", row["id"]) for row in rows} == {mine.pk}
    for name in CONTENTS:
        rows = client.get(f"/api/v1/{name}/").json()["results"]
        assert [row["repository_full_name"].split("/")[0] for row in rows] == [mine.account_login]


@pytest.mark.spec("R19.2")
def test_a_member_of_another_tenant_can_neither_sync_nor_cancel() -> None:
    other = InstallationFactory.create()
    job = SyncJobFactory.create(installation=other, waiting=True)
    client = api(member_of(InstallationFactory.create(), "admin"))
    assert client.post(f"/api/v1/installations/{other.pk}/sync/").status_code == 404
    assert client.post(f"/api/v1/jobs/{job.pk}/cancel/").status_code == 404
    job.refresh_from_db()
    assert job.status == "queued"


@pytest.mark.spec("R19.2")
def test_staff_see_every_tenant() -> None:
    InstallationFactory.create_batch(3)
    assert len(api(staff()).get("/api/v1/installations/").json()["results"]) == 3


@pytest.mark.spec("R19.2")
def test_a_token_from_username_and_password_opens_the_api_until_the_user_is_switched_off() -> None:
    cache.clear()
    user = UserFactory.create(username="mia")
    client = Client()
    body = {"username": "mia", "password": PASSWORD}
    pair = client.post("/api/v1/auth/token/", body, content_type="application/json").json()
    fresh = client.post(
        "/api/v1/auth/token/refresh/", {"refresh": pair["refresh"]}, content_type="application/json"
    ).json()
    bearer = {"authorization": f"Bearer {fresh['access']}"}
    assert client.get("/api/v1/installations/", headers=bearer).status_code == 200
    user.is_active = False
    user.save()
    assert client.get("/api/v1/installations/", headers=bearer).status_code == 401


@pytest.mark.spec("R19.2")
def test_a_wrong_password_is_refused_as_a_problem() -> None:
    cache.clear()
    UserFactory.create(username="mia")
    body = {"username": "mia", "password": "wrong"}
    response = Client().post("/api/v1/auth/token/", body, content_type="application/json")
    assert (response.status_code, response["Content-Type"]) == (401, PROBLEM)
    assert "No active account" in response.json()["detail"]


@pytest.mark.spec("R19.2")
def test_a_browser_session_may_read_but_needs_the_csrf_token_to_write() -> None:
    cache.clear()
    mine = InstallationFactory.create()
    client = Client(enforce_csrf_checks=True)
    client.force_login(member_of(mine))
    assert client.get("/api/v1/installations/").status_code == 200
    response = client.post(f"/api/v1/installations/{mine.pk}/sync/")
    assert (response.status_code, response["Content-Type"]) == (403, PROBLEM)


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("path", ["/api/nothing/", "/api/v1/nothing/", "/api/v1/jobs/no-uuid/"])
def test_an_unknown_address_is_a_problem_not_a_page(path: str) -> None:
    response = api(staff()).get(path)
    assert (response.status_code, response["Content-Type"]) == (404, PROBLEM)


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    "path",
    ["installations/99999999999999999999/", "repositories/0/", "issues/99999999999999999999/"],
)
def test_a_number_that_nothing_has_is_404(path: str) -> None:
    assert api(staff()).get(f"/api/v1/{path}").status_code == 404


@pytest.mark.spec("R19.1")
def test_other_methods_and_unreadable_bodies_are_problems() -> None:
    mine = InstallationFactory.create()
    client = api(staff())
    address = f"/api/v1/installations/{mine.pk}/"
    assert client.delete(address).status_code == 405
    broken = client.post(f"{address}sync/", "{not json", content_type="application/json")
    assert (broken.status_code, broken["Content-Type"]) == (400, PROBLEM)
    form = client.post(f"{address}sync/", "a=b", content_type="application/x-www-form-urlencoded")
    assert (form.status_code, form["Content-Type"]) == (415, PROBLEM)


@pytest.mark.spec("R19.1")
def test_too_many_requests_are_a_problem_that_says_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(UserRateThrottle, "THROTTLE_RATES", {"user": "2/min", "anon": "2/min"})
    client = api(staff())
    codes = [client.get("/api/v1/installations/").status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    response = client.get("/api/v1/installations/")
    assert response["Content-Type"] == PROBLEM
    assert int(response["Retry-After"]) > 0


@pytest.mark.spec("R19.1")
def test_a_failure_of_ours_is_a_problem_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_user: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("syncsvc.selectors.installations", fail)
    client = browser(staff())
    client.raise_request_exception = False
    response = client.get("/api/v1/installations/")
    assert (response.status_code, response["Content-Type"]) == (500, PROBLEM)
    assert "secret" not in response.content.decode()


@pytest.mark.spec("R19.1")
def test_the_schema_is_valid_openapi_3_1_and_comes_without_a_warning() -> None:
    text = io.StringIO()
    options = {"validate": True, "fail_on_warn": True, "format": "openapi-json"}
    call_command("spectacular", stdout=text, **options)
    schema = json.loads(text.getvalue())
    assert schema["openapi"].startswith("3.1")
    assert "/api/v1/installations/{id}/sync/" in schema["paths"]
    for name in CONTENTS:
        assert {f"/api/v1/{name}/", f"/api/v1/{name}/{{id}}/"} <= set(schema["paths"])
    for operations in schema["paths"].values():
        for operation in operations.values():
            refusals = {code for code in operation["responses"] if code >= "400"}
            assert {"401", "406", "429", "503"} <= refusals
            for code in ("401", "406", "429", "503"):
                assert PROBLEM in operation["responses"][code]["content"]
            assert operation["summary"]
            assert operation["description"]


@pytest.mark.spec("R19.1")
def test_schema_and_docs_are_open_and_the_docs_load_nothing_from_other_hosts() -> None:
    cache.clear()
    client = Client()
    assert client.get("/api/schema/").status_code == 200
    page = client.get("/api/docs/").content.decode()
    assert "swagger" in page.lower()
    assert "https://" not in page
    assert "//cdn" not in page
