"""The operators' page of incidents: how bad, since when, what to do, and who has taken it on."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from alerts.models import Incident
from reconciliation.models import AuditEntry
from syncsvc import clock
from syncsvc.models import Installation
from tests.factories import InstallationFactory, SyncJobFactory
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.1"), pytest.mark.spec("R14.3")]

ADDRESS = "/admin/sync-health/incidents/"


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create(account_login="acme")


def incident(installation: Installation | None, kind: str = "accuracy", **more: Any) -> Incident:
    now = clock.now()
    told = {
        "key": f"{kind}:{Incident.objects.count()}",
        "severity": "high",
        "title": f"Something about {kind}",
        "detail": "It is wrong. Next: do this.",
        "opened_at": now - timedelta(minutes=20),
        "last_seen_at": now,
    }
    return Incident.objects.create(installation=installation, kind=kind, **(told | more))


def text(client: Client, query: str = "") -> str:
    answer = client.get(f"{ADDRESS}{query}")
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def titles(client: Client, query: str = "") -> list[str]:
    answer = client.get(f"{ADDRESS}{query}")
    return [row.title for row in answer.context["page"].object_list]


def said(answer: Any) -> list[str]:
    return [str(message) for message in answer.context["messages"]]


def test_lasting_ones_come_first_the_worst_of_them_before_the_newest(mine: Installation) -> None:
    now = clock.now()
    incident(mine, title="mild", severity="warning")
    incident(mine, title="ended", severity="critical", status="resolved", resolved_at=now)
    incident(mine, title="critical", severity="critical", opened_at=now - timedelta(days=2))
    incident(None, title="of the product", opened_at=now - timedelta(hours=1))

    client = browser(staff())

    assert titles(client) == ["critical", "of the product", "mild", "ended"]
    assert titles(client, "?open=true") == ["critical", "of the product", "mild"]
    assert titles(client, "?open=false") == ["ended"]
    assert titles(client, "?severity=warning") == ["mild"]
    assert titles(client, f"?installation={mine.pk}&order=oldest") == ["critical", "mild", "ended"]


def test_a_wrong_filter_is_said_at_its_field_and_loses_nothing(mine: Installation) -> None:
    incident(mine)

    page = text(browser(staff()), "?severity=dreadful&kind=accuracy")

    assert 'id="error-severity"' in page
    assert "Something about accuracy" not in page
    assert '<option value="accuracy" selected>' in page


def test_each_says_what_to_do_and_leads_to_the_proof(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine)
    incident(mine, "accuracy", correlation_id=job.pk)
    incident(mine, "gaps")
    incident(mine, "dead_letters")
    incident(mine, "mass_disappearance", figures={"review": 7})
    incident(None, "unheard_of")

    page = text(browser(staff()))

    assert "Next: do this." in page
    assert f'href="/admin/sync-health/find/?q={job.pk}"' in page
    assert f'href="/discrepancies/?installation={mine.pk}&amp;open=true"' in page
    assert f'href="/gaps/?installation={mine.pk}&amp;open=true"' in page
    assert f'href="/dead-letters/?installation={mine.pk}&amp;status=open"' in page
    assert 'href="/reviews/7/"' in page


def test_acknowledging_is_once_and_by_one(mine: Installation) -> None:
    row = incident(mine)
    first, second = staff(), staff()
    client, other = browser(first), browser(second)
    address = f"{ADDRESS}{row.pk}/acknowledge/"

    done = client.post(address, {"back": "open=true&severity=high"}, follow=True)
    twice = client.post(address, follow=True)
    late = other.post(address, follow=True)

    assert done.redirect_chain == [(f"{ADDRESS}?open=true&severity=high", 302)]
    assert said(done)[0].startswith("You have taken it on:")
    assert said(twice)[0].startswith("You have taken it on already:")
    assert said(late)[0].startswith(f"{first.username} has taken it on already:")
    row.refresh_from_db()
    assert (row.status, row.acknowledged_by) == ("acknowledged", first)
    assert AuditEntry.objects.filter(kind=AuditEntry.Kind.ACKNOWLEDGEMENT).count() == 1
    assert f"by {first.username}" in text(client)


def test_what_has_ended_is_not_taken_on(mine: Installation) -> None:
    row = incident(mine, status="resolved", resolved_at=clock.now())

    answer = browser(staff()).post(f"{ADDRESS}{row.pk}/acknowledge/", follow=True)

    assert said(answer)[0].startswith("It has ended meanwhile:")
    row.refresh_from_db()
    assert row.status == "resolved"


@pytest.mark.parametrize(
    "back", ["//evil.example/", "https://evil.example", "\r\nX: y", "a" * 9_000]
)
def test_the_way_back_is_never_another_address(mine: Installation, back: str) -> None:
    row = incident(mine)

    answer = browser(staff()).post(f"{ADDRESS}{row.pk}/acknowledge/", {"back": back})

    assert answer.status_code == 302
    assert str(answer["Location"]).startswith(ADDRESS)
    assert "\r" not in str(answer["Location"])
    assert len(str(answer["Location"])) < 3_000


def test_others_come_to_the_admins_log_in_and_change_nothing(mine: Installation) -> None:
    row = incident(mine)
    for client in (Client(), browser(member_of(mine, "admin"))):
        for answer in (client.get(ADDRESS), client.post(f"{ADDRESS}{row.pk}/acknowledge/")):
            assert answer.status_code == 302
            assert str(answer["Location"]).startswith("/admin/login/?next=/admin/sync-health/")
    row.refresh_from_db()
    assert row.status == "open"


def test_an_unknown_incident_is_not_found() -> None:
    client = browser(staff())

    assert client.post(f"{ADDRESS}999999/acknowledge/").status_code == 404
    assert client.get(f"{ADDRESS}999999/acknowledge/").status_code == 405


def test_a_long_list_costs_as_many_queries_as_a_short_one(mine: Installation) -> None:
    client = browser(staff())
    incident(mine)
    client.get(ADDRESS)
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            page = text(client)
        counts.append(len(queries))
        for number in range(60):
            incident(mine, title=f"<b>{number}</b>", acknowledged_at=clock.now(),
                     status="acknowledged", acknowledged_by=None)  # fmt: skip
    assert counts[0] == counts[1] <= 8
    assert not re.search(r"<b>\d+</b>", page)
