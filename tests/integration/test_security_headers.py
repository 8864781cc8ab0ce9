"""What browsers are told they may do, on every kind of answer; and that nothing comes from others."""

import re
from typing import Any

import pytest
from csp.decorators import csp_update
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from config.security_headers import SecurityHeaders
from syncsvc.models import SyncJob
from tests.factories import InstallationFactory, SyncJobFactory
from tests.people_support import browser, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.6", "R19.4")]

STRICT = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
    "object-src": "'none'",
}


def policy(response: Any) -> dict[str, str]:
    """The policy of an answer by directive."""
    parts = (part.strip().partition(" ") for part in response["Content-Security-Policy"].split(";"))
    return {name: sources for name, _, sources in parts}


@pytest.fixture
def client() -> Client:
    client = browser(staff())
    client.raise_request_exception = False
    return client


@pytest.fixture
def job() -> SyncJob:
    return SyncJobFactory.create(installation=InstallationFactory.create(account_login="acme"))


@pytest.mark.parametrize(
    "address",
    ["/", "/login/", "/issues/", "/system/", "/deliveries/", "/api/docs/", "/api/docs/?script=",
     "/api/schema/", "/api/v1/installations/", "/nothing-here/", "/admin/sync-health/",
     "/static/syncsvc/mirror.css"],
)  # fmt: skip
def test_every_kind_of_answer_is_strict(client: Client, address: str) -> None:
    response = client.get(address)
    response.close()
    assert policy(response) == STRICT
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert response["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in response["Permissions-Policy"]


@pytest.mark.parametrize(
    ("error", "status"), [(RuntimeError("broken"), 500), (OperationalError("away"), 503)]
)
def test_answers_to_our_own_failures_are_strict(
    client: Client, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", fail)
    response = client.get("/")
    assert response.status_code == status
    assert policy(response) == STRICT


def test_a_form_that_is_too_old_is_answered_strictly() -> None:
    response = Client(enforce_csrf_checks=True).post("/login/", {})
    assert response.status_code == 403
    assert policy(response) == STRICT


def test_only_the_admin_may_compile_expressions(client: Client) -> None:
    found = policy(client.get(reverse("admin:index")))
    assert found["script-src"] == "'self' 'unsafe-eval'"
    assert found | {"script-src": ""} == STRICT | {"script-src": ""}


def test_a_view_may_add_to_the_policy() -> None:
    @csp_update({"form-action": ["https://github.com"]})  # type: ignore[untyped-decorator, unused-ignore]
    def view(_: HttpRequest) -> HttpResponse:
        return HttpResponse()

    response = SecurityHeaders(view)(RequestFactory().get("/setup/"))
    assert policy(response)["form-action"] == "'self' https://github.com"


FOREIGN = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed|object|use|image)\b[^>]*?(?:src|href|data)=["']?(?:https?:)?//"""
    r"""|<link\b[^>]*?href=["']?(?:https?:)?//|url\(["']?(?:https?:)?//|@import""",
    re.IGNORECASE,
)
INLINE = re.compile(r"""<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=["']""", re.IGNORECASE)


@pytest.fixture
def addresses(job: SyncJob) -> list[str]:
    return [
        "/", f"/installations/{job.installation_id}/", f"/jobs/{job.pk}/", "/issues/", "/pull-requests/",
        "/commits/", "/deliveries/", "/gaps/", "/discrepancies/", "/dead-letters/", "/system/", "/login/",
        "/api/docs/", "/nothing-here/", "/static/syncsvc/mirror.css", "/admin/", "/admin/sync-health/",
    ]  # fmt: skip


def test_no_asset_comes_from_another_host_and_nothing_is_inline(
    client: Client, addresses: list[str]
) -> None:
    for address in addresses:
        response = client.get(address)
        body = b"".join(response) if response.streaming else response.content
        response.close()
        text = body.decode()
        assert FOREIGN.search(text) is None, address
        assert INLINE.search(text) is None, address
