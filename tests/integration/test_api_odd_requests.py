"""What strangers and broken clients send to the API: an answer that says what is wrong, never a failure."""

from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from rest_framework.test import APIClient

from syncsvc.models import SyncJob
from tests.access_table import API, AUDITORS, TABLE
from tests.factories import InstallationFactory
from tests.people_support import PROBLEM, api, staff
from tests.tenant_support import populate

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R19.1")]

LISTS = [
    f"/{address}"
    for address, line in TABLE.items()
    if address.startswith("api/v1/") and line.get in (API, AUDITORS) and "stream" not in address
]
ODD = [
    "cursor=%00",
    "cursor=" + "A" * 3_000,
    "cursor=cD0lMDA%3D",  # a position with a NUL
    "cursor=" + quote("bz05OTk5OTk5OTk5OTk5OTk5OTk5OTk="),  # an offset beyond all rows
    "page_size=-1",
    "page_size=0",
    "page_size=99999999999999999999999",
    "page_size=%D9%A3",  # an Arabic 3
    "installation=99999999999999999999999",
    "installation=-1",
    "installation=1e3",
    "installation=%00",
    "q=%00",
    "q=%ED%A0%80",  # half a character
    "ordering=pk;drop",
    "since=0000-00-00",
    "since=9999-12-31T23:59:59-23:59",
    "until=0001-01-01T00:00:00%2B23:59",
    "nothing=1",
    "%00=1",
]


@pytest.fixture
def client() -> APIClient:
    populate(InstallationFactory.create())
    return api(staff())


def told(response: Any) -> int:
    """The status; whatever is refused is refused in problem details."""
    if response.status_code >= 400:
        assert response["Content-Type"] == PROBLEM
        assert response.json()["detail"]
    return int(response.status_code)


def test_no_parameter_makes_a_list_fail(client: APIClient) -> None:
    for address in LISTS:
        for odd in ODD:
            with transaction.atomic():  # PostgreSQL itself refuses some
                code = told(client.get(f"{address}?{odd}"))
                transaction.set_rollback(True)
            assert code in {200, 400, 404}, (address, odd)
        assert told(client.get(f"{address}?nothing=1")) in {200, 400}


@pytest.mark.parametrize("accept", ["text/csv", "image/*", "application/json;q=nonsense, text/x"])
def test_what_is_not_json_cannot_be_had(accept: str, client: APIClient) -> None:
    assert told(client.get("/api/v1/jobs/", headers={"accept": accept})) in {200, 406}
    assert told(client.get("/api/v1/jobs/", headers={"accept": "text/csv"})) == 406


@pytest.mark.parametrize(
    ("kind", "body", "code"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'"text"', 400),
        ("application/json", b"null", 400),
        ("application/json", b"NaN", 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'{"mode": "\\u0000"}', 400),
        ("application/json", b'{"mode": ["full"]}', 400),
        ("application/json", b'{"repository": "' + b"a" * 100_000 + b'"}', 400),
        ("application/json", b'{"dry_run": 1e999}', 400),
        ("application/json; charset=nonsense", b"{}", 202),
        ("application/json; charset=utf-16", b"{}", 400),
        ("text/plain", b"{}", 415),
        ("multipart/form-data", b"{}", 415),
        ("nonsense", b"{}", 415),
        ("", b"{}", 415),
    ],
)
def test_a_body_that_cannot_be_used_starts_nothing(
    kind: str, body: bytes, code: int, client: APIClient
) -> None:
    SyncJob.objects.all().delete()
    pk = InstallationFactory.create().pk
    address = f"/api/v1/installations/{pk}/sync/"
    response = client.generic("POST", address, body, content_type=kind)  # type: ignore[arg-type]  # bytes
    assert response.status_code == code, response.content
    assert SyncJob.objects.count() == (1 if code == 202 else 0)


@pytest.mark.parametrize("name", ["-1", "0", "1.5", "٣", "9" * 30, "%00", "1%00", "None", "../1"])
def test_an_id_that_nothing_can_have_is_not_there(name: str, client: APIClient) -> None:
    for address in LISTS:
        assert told(client.get(f"{address}{name}/")) == 404, address
