"""Deliveries, gaps, missed deliveries and hooks in the API: what they say, to whom, and the replay."""

import io
import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from jsonschema import Draft202012Validator
from pytest_django import DjangoAssertNumQueries

from syncsvc import clock
from syncsvc.models import Delivery, Hook, Installation
from syncsvc.webhooks import inbox, replay
from syncsvc.webhooks.payloads import pack
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    HookFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    RepositoryFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.people_support import PROBLEM, api, member_of, staff

pytestmark = pytest.mark.django_db

MAKERS: dict[str, Any] = {
    "deliveries": DeliveryFactory,
    "gaps": GapFactory,
    "missed-deliveries": MissedDeliveryFactory,
    "hooks": HookFactory,
}
names = pytest.mark.parametrize("name", MAKERS)
SECRET = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Instead of the broker: one entry for each time that the workers were rung."""
    rings: list[bool] = []

    def ring() -> bool:
        rings.append(True)
        return True

    monkeypatch.setattr(inbox, "ring_bell", ring)
    return rings


def of(name: str, installation: Installation) -> Any:
    """One row of that kind that belongs to this account."""
    if name == "deliveries":
        return DeliveryFactory.create(account=installation)
    if name == "hooks":
        return HookFactory.create(
            installation=installation, target_type=Hook.Target.ORGANIZATION, github_id=5
        )
    return MAKERS[name].create(installation=installation)


def rows(address: str, user: Any = None) -> list[dict[str, Any]]:
    response = api(user or staff()).get(f"/api/v1/{address}")
    assert response.status_code == 200, response.json()
    found = response.json()["results"]
    assert isinstance(found, list)
    return found


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


# -- what they say ---------------------------------------------------------------------------------


@pytest.mark.spec("R19.1")
def test_a_delivery_says_what_its_row_says() -> None:
    site = RepositoryFactory.create(name="site")
    row = DeliveryFactory.create(
        account=site.installation,
        repository_github_id=site.github_id,
        body={"pusher": {"email": "ann@example.com"}, "hook": {"secret": "x"}, "text": SECRET},
    )
    expected = {
        "id": row.pk,
        "guid": row.guid,
        "hook_id": row.hook_id,
        "event": "issues",
        "action": "opened",
        "status": "processed",
        "outcome": "updated",
        "explanation": "The mirror was changed by what it told.",
        "received_at": text(row.received_at),
        "happened_at": text(row.happened_at),
        "processed_at": text(row.processed_at),
        "attempts": 0,
        "due_at": text(row.due_at),
        "installation": site.installation_id,
        "installation_github_id": site.installation.github_id,
        "account_id": site.installation.account_id,
        "repository": site.pk,
        "repository_github_id": site.github_id,
        "repository_full_name": site.full_name,
        "payload_bytes": row.payload_bytes,
        "payload_kept": True,
    }
    assert rows("deliveries/") == [expected]
    masked = {
        "pusher": {"email": "a***@example.com"},
        "hook": {"secret": "[redacted]"},
        "text": "[redacted]",
    }
    single = api(staff()).get(f"/api/v1/deliveries/{row.pk}/").json()
    assert single == expected | {"payload": masked}


@pytest.mark.spec("R19.1", "R17.1")
def test_a_payload_that_is_gone_or_broken_is_null() -> None:
    pruned = DeliveryFactory.create(pruned=True, detail="Its own sentence.")
    broken = DeliveryFactory.create(payload=b"no zlib")
    shown = api(staff()).get(f"/api/v1/deliveries/{pruned.pk}/").json()
    assert (shown["payload"], shown["payload_kept"]) == (None, False)
    assert shown["explanation"] == "Its own sentence."
    shown = api(staff()).get(f"/api/v1/deliveries/{broken.pk}/").json()
    assert (shown["payload"], shown["payload_kept"]) == (None, True)


@pytest.mark.spec("R19.1", "R17.1")
@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"t":"\\ud83d cut"}', {"t": "\ufffd cut"}),
        (b'{"n":NaN}', {"n": "NaN"}),
        (b'{"n":1e999}', {"n": "Infinity"}),
        (b'{"\\ud83d":1}', {"\ufffd": 1}),
    ],
)
def test_a_payload_with_what_json_cannot_say_is_shown_all_the_same(
    body: bytes, shown: dict[str, Any]
) -> None:
    row = DeliveryFactory.create(payload=pack(body), payload_bytes=len(body))
    answer = api(staff()).get(f"/api/v1/deliveries/{row.pk}/")
    assert answer.status_code == 200
    assert answer.json()["payload"] == shown


@pytest.mark.spec("R19.1")
def test_what_waits_says_so_and_what_was_tried_says_that() -> None:
    fresh = DeliveryFactory.create(waiting=True)
    tried = DeliveryFactory.create(waiting=True, attempts=1)
    stranger = DeliveryFactory.create(waiting=True, attempts=1)
    Delivery.objects.filter(pk=stranger.pk).update(outcome="unknown_installation")
    told = {row["id"]: row["explanation"] for row in rows("deliveries/")}
    assert told == {
        fresh.pk: "It waits for a worker.",
        tried.pk: "An attempt failed. It is tried again by itself.",
        stranger.pk: "No mirrored account is known for it yet. It is looked for again by itself.",
    }


@pytest.mark.spec("R6.6", "R19.1")
def test_a_gap_says_what_its_row_says() -> None:
    job = SyncJobFactory.create(trigger="gap")
    timeline = [{"at": "2026-03-01T12:00:00Z", "what": "asked"}]
    row = GapFactory.create(
        installation=job.installation,
        job=job,
        closed=True,
        evidence={"failed": 3},
        timeline=timeline,
    )
    expected = {
        "id": row.pk,
        "installation": row.installation_id,
        "reason": "failed_deliveries",
        "open": False,
        "step": "closed",
        "began_at": text(row.began_at),
        "ended_at": text(row.ended_at),
        "opened_at": text(row.opened_at),
        "closed_at": text(row.closed_at),
        "next_step_at": text(row.next_step_at),
        "attempts": 0,
        "job": str(job.pk),
        "missed": 1,
        "healed_by": "redelivery",
        "seconds_to_detect": 300.0,
        "seconds_to_repair": 240.0,
    }
    assert rows("gaps/") == [expected]
    single = api(staff()).get(f"/api/v1/gaps/{row.pk}/").json()
    assert single == expected | {"evidence": {"failed": 3}, "timeline": timeline}


@pytest.mark.spec("R6.5", "R19.1")
def test_a_missed_delivery_and_a_hook_say_what_their_rows_say() -> None:
    gap = GapFactory.create()
    row = MissedDeliveryFactory.create(
        gap=gap, installation=gap.installation, repository_github_id=9, requests=2, healed=True
    )
    [missed] = rows("missed-deliveries/")
    assert missed["healed_at"] == text(row.healed_at)
    assert (missed["gap"], missed["hook"], missed["requests"]) == (gap.pk, row.hook_id, 2)
    assert (missed["kind"], missed["status_code"], missed["healed_by"]) == (
        "failed",
        502,
        "redelivery",
    )
    [hook] = rows("hooks/")
    assert hook["read_at"] == text(row.hook.read_at)
    assert (hook["target_type"], hook["failures"], hook["error"]) == ("integration", 0, "")


@pytest.mark.spec("R19.1")
def test_what_is_shown_is_what_the_schema_describes() -> None:
    printed = io.StringIO()
    call_command("spectacular", stdout=printed, format="openapi-json", fail_on_warn=True)
    schema = json.loads(printed.getvalue())
    DeliveryFactory.create(waiting=True)
    GapFactory.create(closed=True, timeline=[{"at": "x"}])
    made = {name: maker.create() for name, maker in MAKERS.items()}
    DeliveryFactory.create(pruned=True)
    for name, row in made.items():
        for address, path in (
            (f"/api/v1/{name}/", f"/api/v1/{name}/"),
            (f"/api/v1/{name}/{row.pk}/", f"/api/v1/{name}/{{id}}/"),
        ):
            operation = schema["paths"][path]["get"]
            described = operation["responses"]["200"]["content"]["application/json"]["schema"]
            validator = Draft202012Validator(described | {"components": schema["components"]})
            shown = api(staff()).get(address).json()
            assert [error.message for error in validator.iter_errors(shown)] == []


@pytest.mark.spec("R6.4", "R19.1")
def test_an_account_tells_how_its_webhooks_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    gap = GapFactory.create()
    DeliveryFactory.create(account=gap.installation, waiting=True)
    DeliveryFactory.create(account=gap.installation)
    MissedDeliveryFactory.create(installation=gap.installation, healed=True)
    client = api(staff())
    with django_assert_num_queries(6):
        shown = client.get(f"/api/v1/installations/{gap.installation_id}/webhooks/").json()
    assert shown["state"] == "Gap open"
    assert shown["open_gaps"] == [gap.pk]
    assert (shown["missed_7d"], shown["healed_7d"], shown["failures_in_row"]) == (1, 1, 0)
    counts = {"received": 1, "processed": 1, "ignored": 0, "failed": 0}
    assert shown["deliveries_24h"] == counts
    assert [log["label"] for log in shown["logs"]] == ["GitHub App's webhook"]
    assert shown["last_delivery_at"] is None


# -- who sees them ---------------------------------------------------------------------------------


@pytest.mark.spec("R19.2")
@names
def test_another_tenants_rows_are_absent_even_when_asked_for_by_name(name: str) -> None:
    here, there = InstallationFactory.create(), InstallationFactory.create()
    mine, other = of(name, here), of(name, there)
    user = member_of(here)
    assert [row["id"] for row in rows(f"{name}/", user)] == [mine.pk]
    if name != "hooks":
        assert rows(f"{name}/?installation={there.pk}", user) == []
    assert api(user).get(f"/api/v1/{name}/{other.pk}/").status_code == 404
    assert api(user).get(f"/api/v1/{name}/{mine.pk}/").status_code == 200
    assert rows(f"{name}/", UserFactory.create()) == []
    assert len(rows(f"{name}/")) == 2
    assert api().get(f"/api/v1/{name}/").status_code == 401


@pytest.mark.spec("R19.2")
def test_a_delivery_that_waits_is_seen_by_the_account_that_it_is_about() -> None:
    here = InstallationFactory.create()
    mine = DeliveryFactory.create(waiting=True, account=here)
    other = DeliveryFactory.create(waiting=True)
    nobodys = DeliveryFactory.create(waiting=True, account_id=None)
    # Processed for another account, whatever account the payload named.
    moved = DeliveryFactory.create(account_id=here.account_id)
    user = member_of(here)
    assert [row["id"] for row in rows("deliveries/", user)] == [mine.pk]
    assert [row["id"] for row in rows(f"deliveries/?installation={here.pk}", user)] == [mine.pk]
    for row in (other, nobodys, moved):
        assert api(user).get(f"/api/v1/deliveries/{row.pk}/").status_code == 404
    assert len(rows("deliveries/")) == 4


@pytest.mark.spec("R19.2")
def test_a_repository_of_another_tenant_is_not_named() -> None:
    elsewhere = RepositoryFactory.create()
    row: Any = DeliveryFactory.create(repository_github_id=elsewhere.github_id)
    [shown] = rows("deliveries/", member_of(row.installation))
    assert (shown["repository"], shown["repository_full_name"]) == (None, None)
    assert rows("deliveries/")[0]["repository_full_name"] == elsewhere.full_name


@pytest.mark.spec("R19.2")
def test_the_hook_of_the_app_is_seen_by_those_whose_deliveries_come_by_it() -> None:
    hook = HookFactory.create()
    by_app, by_token = InstallationFactory.create(), InstallationFactory.create(mode="token")
    assert [row["id"] for row in rows("hooks/", member_of(by_app))] == [hook.pk]
    assert rows("hooks/", member_of(by_token)) == []
    assert api(member_of(by_token)).get(f"/api/v1/hooks/{hook.pk}/").status_code == 404


@pytest.mark.spec("R19.2")
@names
def test_they_are_there_to_be_read_only(name: str) -> None:
    row = MAKERS[name].create()
    client = api(staff())
    assert client.post(f"/api/v1/{name}/", {}, format="json").status_code == 405
    for method in (client.put, client.patch, client.delete):
        assert method(f"/api/v1/{name}/{row.pk}/", {}, format="json").status_code == 405


# -- lists -----------------------------------------------------------------------------------------


@pytest.mark.spec("R19.1")
@names
def test_a_list_costs_one_query_for_one_row_and_for_fifty(
    name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = api(staff())
    MAKERS[name].create()
    with django_assert_num_queries(1):
        client.get(f"/api/v1/{name}/")
    MAKERS[name].create_batch(49)
    with CaptureQueriesContext(connection) as queries:
        page = client.get(f"/api/v1/{name}/?page_size=100").json()
    assert len(page["results"]) == 50
    assert len(queries) == 1
    assert '"payload" ,' not in queries[0]["sql"]
    assert '"syncsvc_delivery"."payload",' not in queries[0]["sql"]


@pytest.mark.spec("R19.1")
@names
def test_a_list_is_paged_without_losing_or_doubling_rows(name: str) -> None:
    MAKERS[name].create_batch(7)
    seen: list[int] = []
    address: str | None = f"/api/v1/{name}/?page_size=3"
    client = api(staff())
    while address:
        page = client.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.spec("R19.1")
def test_the_newest_come_first_unless_asked_otherwise() -> None:
    now = clock.now()
    old = DeliveryFactory.create(received_at=now - timedelta(hours=2))
    new = DeliveryFactory.create(received_at=now)
    assert [row["id"] for row in rows("deliveries/")] == [new.pk, old.pk]
    assert [row["id"] for row in rows("deliveries/?ordering=received_at")] == [old.pk, new.pk]
    first = GapFactory.create(opened_at=now - timedelta(hours=2))
    last = GapFactory.create(opened_at=now)
    assert [row["id"] for row in rows("gaps/")] == [last.pk, first.pk]


@pytest.mark.spec("R19.1")
def test_deliveries_are_narrowed_by_each_filter() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    one = DeliveryFactory.create(
        event="push", action="", repository_github_id=77, received_at=moment, outcome="recheck"
    )
    waiting = DeliveryFactory.create(
        waiting=True, account=one.installation, received_at=moment - timedelta(hours=1)
    )
    failed = DeliveryFactory.create(status="failed", received_at=moment + timedelta(hours=1))

    def found(query: str) -> set[int]:
        return {row["id"] for row in rows(f"deliveries/?{query}")}

    assert found(f"installation={one.installation_id}") == {one.pk, waiting.pk}
    assert found("status=received") == {waiting.pk}
    assert found("status=failed&event=issues&action=opened") == {failed.pk}
    assert found("event=push") == {one.pk}
    assert found("outcome=recheck") == {one.pk}
    assert found("repository=77") == {one.pk}
    assert found(f"guid={failed.guid}") == {failed.pk}
    assert found("received_after=2026-03-01T12:00:00Z") == {one.pk, failed.pk}
    assert found("received_before=2026-03-01T12:00:00Z") == {waiting.pk}


@pytest.mark.spec("R19.1")
def test_gaps_and_missed_deliveries_are_narrowed_by_each_filter() -> None:
    is_open, shut = GapFactory.create(), GapFactory.create(closed=True, reason="silence")
    lost = MissedDeliveryFactory.create(gap=is_open, kind="lost", installation=is_open.installation)
    healed = MissedDeliveryFactory.create(healed=True, event="issues", repository_github_id=5)

    def found(address: str) -> list[int]:
        return [row["id"] for row in rows(address)]

    assert found("gaps/?open=true") == [is_open.pk]
    assert found("gaps/?open=false") == [shut.pk]
    assert found("gaps/?reason=silence") == [shut.pk]
    assert found(f"gaps/?installation={is_open.installation_id}") == [is_open.pk]
    assert found(f"missed-deliveries/?gap={is_open.pk}") == [lost.pk]
    assert found("missed-deliveries/?kind=lost") == [lost.pk]
    assert found("missed-deliveries/?healed=true") == [healed.pk]
    assert found("missed-deliveries/?healed=false") == [lost.pk]
    assert found(f"missed-deliveries/?installation={lost.installation_id}") == [lost.pk]
    assert found(f"missed-deliveries/?guid={healed.guid}&event=issues&repository=5") == [healed.pk]


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("deliveries/?status=done", "status"),
        ("deliveries/?received_after=yesterday", "received_after"),
        ("deliveries/?installation=x", "installation"),
        ("deliveries/?repository=0", "repository"),
        ("deliveries/?ordering=payload", "ordering"),
        ("deliveries/?colour=red", "colour"),
        ("deliveries/?guid=%00", "guid"),
        ("gaps/?open=maybe", "open"),
        ("gaps/?reason=rain", "reason"),
        ("missed-deliveries/?healed=1", "healed"),
        ("missed-deliveries/?kind=eaten", "kind"),
        ("hooks/?cursor=nonsense", "cursor"),
    ],
)
def test_a_wrong_question_is_named(address: str, field: str) -> None:
    response = api(staff()).get(f"/api/v1/{address}")
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert list(response.json()["errors"]) == [field]


# -- replay ----------------------------------------------------------------------------------------


@pytest.mark.spec("R6.1", "R19.1")
@pytest.mark.parametrize("status", ["processed", "ignored", "failed"])
def test_a_replay_sets_a_delivery_back_to_waiting_and_rings(
    status: str, rung: list[bool], django_capture_on_commit_callbacks: Any
) -> None:
    row: Any = DeliveryFactory.create(
        status=status, attempts=5, outcome="refused", detail="It could not be written."
    )
    client = api(member_of(row.installation, "operator"))
    before = clock.now()
    with django_capture_on_commit_callbacks(execute=True):
        response = client.post(f"/api/v1/deliveries/{row.pk}/replay/")
    assert response.status_code == 202
    assert response.json()["status"] == "received"
    row.refresh_from_db()
    assert (row.status, row.attempts, row.outcome, row.detail) == ("received", 0, "", "")
    assert row.processed_at is None
    assert before <= row.due_at <= clock.now()
    assert row.payload is not None
    assert rung == [True]


@pytest.mark.spec("R19.1")
def test_a_replay_that_cannot_be_is_a_conflict_that_says_why(rung: list[bool]) -> None:
    waiting, pruned = DeliveryFactory.create(waiting=True), DeliveryFactory.create(pruned=True)
    for row, words in ((waiting, "still waits"), (pruned, "payload was removed")):
        response = api(staff()).post(f"/api/v1/deliveries/{row.pk}/replay/")
        assert (response.status_code, response["Content-Type"]) == (409, PROBLEM)
        assert words in response.json()["detail"]
    pruned.refresh_from_db()
    assert pruned.status == "processed"
    assert rung == []


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize(
    ("role", "code"), [("admin", 202), ("operator", 202), ("support", 403), ("member", 403)]
)
@pytest.mark.parametrize("processed_for", [True, False])
def test_who_operates_an_account_may_replay_its_deliveries(
    role: str, code: int, processed_for: bool
) -> None:
    row: Any = DeliveryFactory.create(status="ignored", outcome="unknown_installation")
    user = member_of(row.installation, role)
    if not processed_for:
        Delivery.objects.update(installation=None)
    assert api(user).post(f"/api/v1/deliveries/{row.pk}/replay/").status_code == code
    row.refresh_from_db()
    assert row.status == ("received" if code == 202 else "ignored")


@pytest.mark.spec("R19.2")
def test_another_tenants_delivery_cannot_be_replayed() -> None:
    row = DeliveryFactory.create()
    operator = member_of(InstallationFactory.create(), "admin")
    assert api(operator).post(f"/api/v1/deliveries/{row.pk}/replay/").status_code == 404
    assert api().post(f"/api/v1/deliveries/{row.pk}/replay/").status_code == 401
    row.refresh_from_db()
    assert row.status == "processed"


@pytest.mark.spec("R19.1")
def test_a_replay_that_is_pressed_twice_happens_once() -> None:
    row = DeliveryFactory.create()
    client = api(staff())
    address = f"/api/v1/deliveries/{row.pk}/replay/"
    assert [client.post(address).status_code for _ in range(2)] == [202, 409]


@pytest.mark.spec("R19.1", "P39")
@pytest.mark.django_db(transaction=True)
def test_of_many_who_replay_at_once_one_wins(rung: list[bool]) -> None:
    row = DeliveryFactory.create()
    start = threading.Barrier(4)
    won: list[set[int]] = []

    def press() -> None:
        start.wait()
        try:
            won.append(replay.replay([row.pk], user_id=None))
        finally:
            connection.close()

    presses = [threading.Thread(target=press) for _ in range(4)]
    for each in presses:
        each.start()
    for each in presses:
        each.join()
    assert sorted(won, key=len) == [set(), set(), set(), {row.pk}]
    assert rung == [True]
