"""Deliveries, gaps, missed deliveries, hooks and rechecks in the admin: found, read, and never changed."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from reconciliation.models import AuditEntry
from syncsvc import clock
from syncsvc.models import Delivery, Recheck, WebhookState
from syncsvc.webhooks import inbox
from syncsvc.webhooks.replay import Refusal
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    HookFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    RepositoryFactory,
    UserFactory,
)
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.2")]

HOSTILE = "<script>alert(1)</script>"


def recheck(**values: Any) -> Recheck:
    row = RepositoryFactory.create()
    made: dict[str, Any] = {
        "installation": row.installation,
        "github_id": row.github_id,
        "full_name": row.full_name,
        "trigger": "webhook",
        "reason": "push",
        "asked_at": clock.now(),
        "due_at": clock.now(),
    }
    return Recheck.objects.create(**made | values)


def state(**values: Any) -> WebhookState:
    return WebhookState.objects.create(**{"installation": InstallationFactory.create()} | values)


MAKERS: dict[str, Any] = {
    "delivery": DeliveryFactory.create,
    "gap": GapFactory.create,
    "misseddelivery": MissedDeliveryFactory.create,
    "hook": HookFactory.create,
    "webhookstate": state,
    "recheck": recheck,
}
names = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Instead of the broker."""
    rings: list[bool] = []
    monkeypatch.setattr(inbox, "ring_bell", lambda: rings.append(True))
    return rings


@pytest.fixture
def client() -> Client:
    return browser(staff())


def found(client: Client, name: str, query: str) -> list[Any]:
    page = client.get(f"/admin/syncsvc/{name}/?{query}")
    assert page.status_code == 200
    return list(page.context["cl"].queryset)


@names
def test_each_row_opens_and_nobody_writes_it(name: str, client: Client) -> None:
    row = MAKERS[name]()
    address = f"/admin/syncsvc/{name}"
    page = client.get(f"{address}/{row.pk}/change/")
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert client.post(f"{address}/{row.pk}/change/", {"status": "x"}).status_code == 403
    assert client.get(f"{address}/add/").status_code == 403
    assert client.post(f"{address}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    body = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(f"{address}/", body)
    assert type(row).objects.filter(pk=row.pk).exists()


@names
@pytest.mark.parametrize("query", ["acme", "12345", "0b989ba4-242f", "acme/site"])
def test_every_list_can_be_searched(name: str, query: str, client: Client) -> None:
    MAKERS[name]()
    assert found(client, name, f"q={query}") == []


def test_deliveries_are_searched_and_filtered(client: Client) -> None:
    row = DeliveryFactory.create(repository_github_id=77, event="push")
    waiting = DeliveryFactory.create(waiting=True)
    assert found(client, "delivery", f"q={row.guid}") == [row]
    assert found(client, "delivery", "q=push") == [row]
    assert found(client, "delivery", "q=77") == [row]
    assert found(client, "delivery", "status__exact=received") == [waiting]
    assert found(client, "delivery", f"installation__id__exact={row.installation_id}") == [row]


def test_gaps_and_missed_deliveries_are_filtered(client: Client) -> None:
    is_open, shut = GapFactory.create(), GapFactory.create(closed=True)
    assert found(client, "gap", "open=yes") == [is_open]
    assert found(client, "gap", "open=no") == [shut]
    assert found(client, "gap", "reason__exact=silence") == []
    lost = MissedDeliveryFactory.create(gap=is_open)
    healed = MissedDeliveryFactory.create(healed=True)
    assert found(client, "misseddelivery", "unhealed=yes") == [lost]
    assert found(client, "misseddelivery", "unhealed=no") == [healed]
    assert found(client, "misseddelivery", f"gap__id__exact={is_open.pk}") == [lost]
    page = client.get("/admin/syncsvc/gap/").content.decode()
    assert f"/admin/syncsvc/misseddelivery/?gap__id__exact={is_open.pk}" in page


def test_no_list_reads_the_payloads(client: Client) -> None:
    DeliveryFactory.create(body={"text": "private-words"})
    with CaptureQueriesContext(connection) as queries:
        page = client.get("/admin/syncsvc/delivery/")
    assert b"private-words" not in page.content
    read = [query["sql"] for query in queries if '"payload"' in query["sql"]]
    assert all('"payload" IS NOT NULL' in sql for sql in read)
    assert not any('"syncsvc_delivery"."payload",' in sql for sql in read)


@pytest.mark.spec("R11.3")
def test_a_single_delivery_shows_its_payload_masked(client: Client) -> None:
    row = DeliveryFactory.create(
        body={"text": HOSTILE, "secret": "correct horse", "email": "ann@example.com"}
    )
    page = client.get(f"/admin/syncsvc/delivery/{row.pk}/change/").content.decode()
    assert "a***@example.com" in page
    for hidden in ("correct horse", "ann@example.com", HOSTILE):
        assert hidden not in page
    pruned = DeliveryFactory.create(pruned=True)
    page = client.get(f"/admin/syncsvc/delivery/{pruned.pk}/change/").content.decode()
    assert "Payloads are kept for 14 days" in page


@pytest.mark.spec("R19.4")
def test_what_others_say_is_text_not_markup(client: Client) -> None:
    row = DeliveryFactory.create(event=HOSTILE, detail=HOSTILE, outcome="refused")
    HookFactory.create(error=HOSTILE)
    MissedDeliveryFactory.create(event=HOSTILE, status_text=HOSTILE)
    for name in ("delivery", "hook", "misseddelivery"):
        assert HOSTILE not in client.get(f"/admin/syncsvc/{name}/").content.decode()
    page = client.get(f"/admin/syncsvc/delivery/{row.pk}/change/").content.decode()
    assert HOSTILE not in page


@pytest.mark.spec("R6.1")
def test_deliveries_are_replayed_and_what_cannot_be_is_said(
    client: Client, rung: list[bool], django_capture_on_commit_callbacks: Any
) -> None:
    failed = DeliveryFactory.create(status="failed", attempts=5)
    ignored = DeliveryFactory.create(status="ignored")
    waiting, pruned = DeliveryFactory.create(waiting=True), DeliveryFactory.create(pruned=True)
    rows = [failed, ignored, waiting, pruned]
    body: dict[str, Any] = {"action": "replay", "_selected_action": [row.pk for row in rows]}
    asked = client.post("/admin/syncsvc/delivery/", body)
    assert "4 deliveries" in asked.context["title"]
    assert not rung
    body |= {"decided": "yes", **dict(asked.context["seen"])}
    with django_capture_on_commit_callbacks(execute=True):
        page = client.post("/admin/syncsvc/delivery/", body, follow=True)
    told = {str(message) for message in page.context["messages"]}
    assert told == {
        f"{failed}: it waits to be processed once more.",
        f"{ignored}: it waits to be processed once more.",
        f"{waiting}: {Refusal.WAITING}",
        f"{pruned}: {Refusal.PRUNED}",
    }
    assert AuditEntry.objects.filter(kind="replay").count() == 2
    statuses = dict(Delivery.objects.values_list("pk", "status"))
    assert statuses == {
        failed.pk: "received",
        ignored.pk: "received",
        waiting.pk: "received",
        pruned.pk: "processed",
    }
    assert rung == [True, True]


@pytest.mark.spec("R11.2")
def test_whoever_presses_twice_replays_once(client: Client) -> None:
    row = DeliveryFactory.create()
    asked = client.get(f"/admin/syncsvc/delivery/{row.pk}/replay_one/")
    body = {"decided": "yes", **dict(asked.context["seen"])}
    client.post(f"/admin/syncsvc/delivery/{row.pk}/replay_one/", body)
    done = {"status": "processed", "processed_at": clock.now(), "outcome": "updated"}
    Delivery.objects.filter(pk=row.pk).update(**done)  # a worker was quick
    page = client.post(f"/admin/syncsvc/delivery/{row.pk}/replay_one/", body, follow=True)
    assert "nothing was done again" in str(list(page.context["messages"])[-1])
    row.refresh_from_db()
    assert row.status == "processed"
    noted = AuditEntry.objects.get(kind="replay")
    assert (noted.detail["guid"], noted.installation) == (row.guid, row.installation)


@pytest.mark.spec("R19.2")
def test_who_may_only_look_cannot_replay(client: Client) -> None:
    row = DeliveryFactory.create()
    looker = UserFactory.create(is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    body = {"action": "replay", "_selected_action": [row.pk]}
    browser(looker).post("/admin/syncsvc/delivery/", body)
    member = browser(member_of(InstallationFactory.create(), "admin"))
    assert member.get("/admin/syncsvc/delivery/").status_code == 302
    member.post("/admin/syncsvc/delivery/", body)
    row.refresh_from_db()
    assert row.status == "processed"


def test_rows_lead_to_their_pages(client: Client) -> None:
    row, gap = DeliveryFactory.create(), GapFactory.create()
    assert f"/deliveries/{row.pk}/" in client.get("/admin/syncsvc/delivery/").content.decode()
    assert f"/gaps/{gap.pk}/" in client.get("/admin/syncsvc/gap/").content.decode()


def test_hooks_and_rechecks_say_how_they_are(client: Client) -> None:
    HookFactory.create(failing=True)
    recheck(due_at=clock.now() + timedelta(hours=1), full_name="acme/site")
    assert "GitHub refuses access" in client.get("/admin/syncsvc/hook/").content.decode()
    assert "acme/site" in client.get("/admin/syncsvc/recheck/").content.decode()
