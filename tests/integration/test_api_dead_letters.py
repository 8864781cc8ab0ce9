"""Dead letters for people: in the API, on pages, in the admin, and in `/metrics` (R10.4)."""

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.html import escape
from jsonschema import Draft202012Validator

from alerts import incidents
from alerts.models import Incident
from syncsvc import clock, jobs
from syncsvc.models import DeadLetter, Installation, SyncJob
from syncsvc.webhooks import inbox
from tests.factories import (
    DeadLetterFactory,
    DeliveryFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.people_support import PROBLEM, api, browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R10.4", "R19.1")]

ADDRESS = "/api/v1/dead-letters/"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker."""
    monkeypatch.setattr(inbox, "ring_bell", lambda: True)
    monkeypatch.setattr(jobs, "ring", lambda _job_id: True)


def ids(user: Any, query: str = "") -> list[int]:
    answer = api(user).get(f"{ADDRESS}?{query}")
    assert answer.status_code == 200, answer.json()
    return [row["id"] for row in answer.json()["results"]]


def of(letter: DeadLetter, role: str = "member") -> Any:
    """Somebody of the account that the letter belongs to."""
    assert letter.installation is not None
    return member_of(letter.installation, role)


def nobodys() -> DeadLetter:
    delivery = DeliveryFactory.create(status="failed", installation=None)
    return DeadLetterFactory.create(of_delivery=True, installation=None, delivery=delivery)


# -- the API ---------------------------------------------------------------------------------------


def test_a_letter_says_what_its_row_says_and_what_the_schema_describes() -> None:
    letter = DeadLetterFactory.create()
    [listed] = api(staff()).get(ADDRESS).json()["results"]
    assert listed == {
        "id": letter.pk,
        "kind": "job",
        "status": "open",
        "installation": letter.installation_id,
        "job": str(letter.job_id),
        "delivery": None,
        "created_at": letter.created_at.isoformat().replace("+00:00", "Z"),
        "attempts": 5,
        "category": "network",
        "error": "GitHub did not answer.",
        "decided_at": None,
        "decided_by": None,
        "reason": "",
        "requeued_job": None,
    }
    single = api(staff()).get(f"{ADDRESS}{letter.pk}/").json()
    assert single == listed | {
        "context": {"mode": "full", "stage": "repositories"},
        "stack": "NetworkError: GitHub did not answer.",
    }
    printed = io.StringIO()
    call_command("spectacular", stdout=printed, format="openapi-json", fail_on_warn=True)
    schema = json.loads(printed.getvalue())
    for name, shown in (("DeadLetter", listed), ("DeadLetterDetail", single)):
        described = schema["components"]["schemas"][name] | {"components": schema["components"]}
        assert [error.message for error in Draft202012Validator(described).iter_errors(shown)] == []
    answers = schema["paths"]["/api/v1/dead-letters/{id}/requeue/"]["post"]["responses"]
    assert {"200", "403", "404", "409", "423", "429"} <= set(answers)


def test_the_list_is_narrowed_and_ordered() -> None:
    now, user = clock.now(), staff()
    old = DeadLetterFactory.create(created_at=now - timedelta(days=2), category="database")
    done = DeadLetterFactory.create(status="discarded", reason="No", decided_at=now)
    delivery = DeadLetterFactory.create(of_delivery=True)
    assert set(ids(user, "ordering=-created_at")) == {old.pk, done.pk, delivery.pk}
    assert ids(user, "ordering=created_at")[0] == old.pk
    assert ids(user, "kind=delivery") == [delivery.pk]
    assert ids(user, "status=discarded") == [done.pk]
    assert ids(user, "category=database") == [old.pk]
    assert ids(user, f"installation={done.installation_id}") == [done.pk]
    before = (now - timedelta(days=1)).isoformat().replace("+00:00", "Z")
    assert ids(user, f"created_before={before}") == [old.pk]
    assert set(ids(user, f"created_after={before}")) == {done.pk, delivery.pk}
    refused = api(user).get(f"{ADDRESS}?kind=letter")
    assert (refused.status_code, "kind" in refused.json()["errors"]) == (400, True)


@pytest.mark.spec("R19.2")
def test_each_sees_their_own_and_only_operators_decide() -> None:
    mine, other, nobody = DeadLetterFactory.create(), DeadLetterFactory.create(), nobodys()
    member, operator = of(mine), of(mine, "operator")
    assert ids(member) == [mine.pk]
    assert set(ids(staff())) == {mine.pk, other.pk, nobody.pk}
    assert api().get(ADDRESS).status_code == 401
    for act, body in (("requeue", {}), ("discard", {"reason": "No"})):
        for user, letter, code in (
            (member, mine, 403),
            (operator, other, 404),
            (operator, nobody, 404),
            (UserFactory.create(), mine, 404),
        ):
            answer = api(user).post(f"{ADDRESS}{letter.pk}/{act}/", body, format="json")
            assert (answer.status_code, answer["Content-Type"]) == (code, PROBLEM)
    assert set(DeadLetter.objects.values_list("status", flat=True)) == {"open"}
    assert api(operator).post(f"{ADDRESS}{mine.pk}/requeue/").status_code == 200


def test_requeue_answers_with_what_came_of_it() -> None:
    letter, user = DeadLetterFactory.create(), staff()
    answer = api(user).post(f"{ADDRESS}{letter.pk}/requeue/")
    assert answer.status_code == 200
    job = SyncJob.objects.get(status="queued")
    assert (answer.json()["status"], answer.json()["requeued_job"]) == ("requeued", str(job.pk))
    assert answer.json()["decided_by"] == user.username
    again = api(user).post(f"{ADDRESS}{letter.pk}/requeue/")
    assert (again.status_code, again["Content-Type"]) == (409, PROBLEM)
    assert "already" in again.json()["detail"]


def test_requeue_of_a_blocked_account_answers_as_sync_does() -> None:
    user = staff()
    suspended = DeadLetterFactory.create(installation__status=Installation.Status.SUSPENDED)
    answer = api(user).post(f"{ADDRESS}{suspended.pk}/requeue/")
    assert answer.status_code == 423
    assert answer.json()["decision"]["reason"] == "suspended"
    until = clock.now() + timedelta(minutes=5)
    asked_to_wait = DeadLetterFactory.create(installation__blocked_until=until)
    answer = api(user).post(f"{ADDRESS}{asked_to_wait.pk}/requeue/")
    assert answer.status_code == 429
    assert 290 < int(answer["Retry-After"]) <= 301
    assert set(DeadLetter.objects.values_list("status", flat=True)) == {"open"}


def test_discard_needs_a_reason_and_happens_once() -> None:
    letter, user = DeadLetterFactory.create(), staff()
    for body in ({}, {"reason": " "}, {"reason": "x" * 2001}, {"reason": "No", "more": 1}):
        answer = api(user).post(f"{ADDRESS}{letter.pk}/discard/", body, format="json")
        assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
        assert set(answer.json()["errors"]) <= {"reason", "more"}
    answer = api(user).post(f"{ADDRESS}{letter.pk}/discard/", {"reason": "Known"}, format="json")
    assert (answer.status_code, answer.json()["status"]) == (200, "discarded")
    assert answer.json()["reason"] == "Known"
    for act, body in (("discard", {"reason": "Known"}), ("requeue", {})):
        assert (
            api(user).post(f"{ADDRESS}{letter.pk}/{act}/", body, format="json").status_code == 409
        )


# -- pages -----------------------------------------------------------------------------------------


def page(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.spec("R17.1")
def test_the_account_s_page_shows_what_was_given_up_until_it_is_decided() -> None:
    letter = DeadLetterFactory.create(error=HOSTILE)
    client = browser(of(letter))
    home = f"/installations/{letter.installation_id}/"
    shown = page(client, home)
    assert "Given up: 1 job or delivery" in shown
    incidents.review()
    assert Incident.objects.filter(kind="dead_letters").exists()
    assert page(client, home).count("iven up") == shown.count("iven up")  # said once
    assert escape(HOSTILE) in shown
    assert f"/dead-letters/{letter.pk}/" in shown
    DeadLetter.objects.update(status="discarded", reason="No", decided_at=clock.now())
    assert "Given up" not in page(client, home)


@pytest.mark.spec("R17.1", "R19.2")
def test_the_pages_show_letters_and_offer_the_decision_to_those_who_may() -> None:
    letter = DeadLetterFactory.create(context={"item": HOSTILE}, stack=HOSTILE)
    other = DeadLetterFactory.create(of_delivery=True)
    member = browser(of(letter))
    operator = browser(of(letter, "operator"))
    listed = page(member, "/dead-letters/?status=open")
    assert f"/dead-letters/{letter.pk}/" in listed
    assert f"/dead-letters/{other.pk}/" not in listed
    shown = page(member, f"/dead-letters/{letter.pk}/")
    assert HOSTILE not in shown
    assert "requeue/" not in shown
    assert "role operator or admin" in shown
    assert member.get(f"/dead-letters/{other.pk}/").status_code == 404
    assert member.post(f"/dead-letters/{letter.pk}/requeue/").status_code == 403
    assert operator.post(f"/dead-letters/{other.pk}/discard/", {"reason": "x"}).status_code == 404
    assert f"/dead-letters/{letter.pk}/requeue/" in page(operator, f"/dead-letters/{letter.pk}/")
    operator.post(f"/dead-letters/{letter.pk}/discard/", {"reason": ""})
    letter.refresh_from_db()
    assert letter.status == "open"
    done = operator.post(f"/dead-letters/{letter.pk}/requeue/", follow=True).content.decode()
    assert "A new job takes it up again." in done
    assert "The run that took it up" in done
    assert "Nothing was given up" in page(browser(UserFactory.create()), "/dead-letters/")
    page(browser(staff()), f"/dead-letters/{other.pk}/")


@pytest.mark.spec("R20.1")
def test_metrics_count_what_is_open(client: Client) -> None:
    DeadLetterFactory.create()
    DeadLetterFactory.create(status="discarded", reason="No", decided_at=clock.now())
    shown = page(client, "/metrics")
    assert 'mirror_dead_letters_open{kind="job"} 1.0' in shown
    assert 'mirror_dead_letters_open{kind="delivery"} 0.0' in shown


# -- the admin -------------------------------------------------------------------------------------


@pytest.mark.spec("R18.2")
def test_the_admin_finds_shows_and_decides() -> None:
    client = browser(staff())
    letter = DeadLetterFactory.create(context={"item": HOSTILE}, stack=HOSTILE)
    other = DeadLetterFactory.create(of_delivery=True)
    for query, expected in (
        ("kind__exact=delivery", [other]),
        ("status__exact=open&kind__exact=job", [letter]),
        (f"q={other.delivery.guid}" if other.delivery else "", [other]),
        (f"q={letter.job_id}", [letter]),
        (f"q={letter.installation.account_login}" if letter.installation else "", [letter]),
    ):
        answer = client.get(f"/admin/syncsvc/deadletter/?{query}")
        assert list(answer.context["cl"].queryset) == expected
    single = page(client, f"/admin/syncsvc/deadletter/{letter.pk}/change/")
    assert HOSTILE not in single
    assert escape(HOSTILE) in single
    act = {"action": "discard", "_selected_action": [letter.pk], "decided": "yes"}
    asked = client.post("/admin/syncsvc/deadletter/", act | {"reason": " "})
    assert "A reason is needed." in asked.content.decode()
    client.post("/admin/syncsvc/deadletter/", act | {"reason": "Known"})
    client.post(
        "/admin/syncsvc/deadletter/",
        {"action": "requeue", "_selected_action": [letter.pk, other.pk], "decided": "yes"},
    )
    letter.refresh_from_db()
    other.refresh_from_db()
    assert (letter.status, letter.reason, other.status) == ("discarded", "Known", "requeued")


@pytest.mark.spec("R18.2")
def test_lists_take_the_same_number_of_queries_however_long() -> None:
    user = staff()
    client = browser(user)
    counts: dict[str, set[int]] = {}
    for _ in range(2):
        DeadLetterFactory.create()
        DeadLetterFactory.create(of_delivery=True)
        for address in ("/admin/syncsvc/deadletter/", "/dead-letters/", ADDRESS):
            asker = api(user) if address == ADDRESS else client
            asker.get(address)
            with CaptureQueriesContext(connection) as queries:
                assert asker.get(address).status_code == 200
            counts.setdefault(address, set()).add(len(queries))
    assert {address: len(found) for address, found in counts.items()} == dict.fromkeys(counts, 1)


def test_a_letter_outlives_neither_its_job_nor_its_account() -> None:
    letter = DeadLetterFactory.create()
    SyncJobFactory.create(installation=letter.installation)
    Installation.objects.all().delete()
    assert not DeadLetter.objects.exists()
