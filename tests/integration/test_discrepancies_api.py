"""Discrepancies and reviews in the API: listed for whom they concern, decided once, by those who may."""

import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from reconciliation import decisions
from reconciliation.models import AuditEntry, Discrepancy, Review
from syncsvc import clock, events
from syncsvc.models import ContentList, Installation, Membership, Recheck, Repository, SyncJob
from tests.factories import (
    ContentListFactory,
    InstallationFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.judge_factories import DiscrepancyFactory, ReviewFactory
from tests.people_support import PROBLEM, api, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R7.4")]

MAKERS: dict[str, Any] = {"discrepancies": DiscrepancyFactory, "reviews": ReviewFactory}
ACTS = [
    ("discrepancies", "repair", {}, 202),
    ("discrepancies", "dismiss", {"reason": "Known."}, 200),
    ("reviews", "approve", {}, 202),
    ("reviews", "reject", {"reason": "They stay."}, 200),
]
acts = pytest.mark.parametrize(("name", "act", "body", "code"), ACTS)
names = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture
def happened() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events of a test."""
    heard: list[tuple[str, dict[str, Any]]] = []

    def hear(name: str, fields: dict[str, Any], **_: Any) -> None:
        heard.append((name, fields))

    events.happened.connect(hear)
    yield heard
    events.happened.disconnect(hear)


def post(row: Any, act: str, body: Any = None, user: Any = None) -> Any:
    name = "reviews" if isinstance(row, Review) else "discrepancies"
    client = api(user or staff())
    return client.post(f"/api/v1/{name}/{row.pk}/{act}/", body or {}, format="json")


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def home(row: Discrepancy) -> Repository:
    """The repository as it now is."""
    return Repository.objects.get(github_id=row.repository_github_id)


def found(query: str) -> list[int]:
    answer = api(staff()).get(f"/api/v1/discrepancies/?{query}")
    assert answer.status_code == 200, answer.json()
    return [row["id"] for row in answer.json()["results"]]


# -- lists -----------------------------------------------------------------------------------------


def test_a_discrepancy_says_what_its_row_says() -> None:
    row = DiscrepancyFactory.create(
        occurred_at=clock.now() - timedelta(hours=1), cause="lost_delivery", detector="audit"
    )
    expected = {
        "id": row.pk,
        "installation": row.installation_id,
        "repository": row.repository_id,
        "repository_github_id": row.repository_github_id,
        "entity": "issues",
        "item_key": row.item_key,
        "name": f"{home(row).full_name}#12",
        "type": "stale_issue",
        "cause": "lost_delivery",
        "detector": "audit",
        "trigger": "manual",
        "detected_at": text(row.detected_at),
        "occurred_at": text(row.occurred_at),
        "before": {"title": "Old"},
        "after": {"title": "New"},
        "proposed_action": "update",
        "repair_status": "proposed",
        "open": True,
        "correlation_id": str(row.correlation_id),
        "missed_delivery": None,
        "repaired_at": None,
        "repaired_by": "",
        "repaired_in": None,
        "verified_at": None,
        "decided_by": None,
        "decided_at": None,
        "reason": "",
    }
    client = api(staff())
    assert client.get("/api/v1/discrepancies/").json()["results"] == [expected]
    assert client.get(f"/api/v1/discrepancies/{row.pk}/").json() == expected


@pytest.mark.spec("R7.3")
def test_a_review_shows_what_would_go_when_it_is_opened() -> None:
    row = ReviewFactory.create()
    expected = {
        "id": row.pk,
        "installation": row.installation_id,
        "status": "open",
        "opened_at": text(row.opened_at),
        "last_seen_at": text(row.last_seen_at),
        "correlation_id": str(row.correlation_id),
        "vanished": 3,
        "present": 10,
        "threshold_percent": 20.0,
        "decided_at": None,
        "decided_by": None,
        "reason": "",
        "carried_out_at": None,
    }
    client = api(staff())
    assert client.get("/api/v1/reviews/?status=open").json()["results"] == [expected]
    assert client.get(f"/api/v1/reviews/{row.pk}/").json() == expected | {
        "items": row.items,
        "fingerprint": row.fingerprint,
    }


@pytest.mark.spec("R19.1")
def test_discrepancies_are_narrowed_by_each_filter() -> None:
    old = DiscrepancyFactory.create(
        repaired=True, detected_at=datetime(2026, 1, 1, tzinfo=UTC), detector="run"
    )
    vanished = DiscrepancyFactory.create(held=True, cause="lost_delivery")
    dismissed = DiscrepancyFactory.create(
        repair_status="dismissed", reason="Known.", decided_at=clock.now()
    )
    assert found("") == [dismissed.pk, vanished.pk, old.pk]
    assert found("ordering=detected_at")[0] == old.pk
    assert found(f"installation={old.installation_id}") == [old.pk]
    assert found(f"repository={vanished.repository_id}") == [vanished.pk]
    assert found("type=missing_at_github") == [vanished.pk]
    assert found("entity=repositories") == [vanished.pk]
    assert found("repair_status=dismissed") == [dismissed.pk]
    assert found("cause=lost_delivery") == [vanished.pk]
    assert found("detector=run") == [old.pk]
    assert found(f"correlation_id={old.correlation_id}") == [old.pk]
    assert found("since=2026-01-02") == [dismissed.pk, vanished.pk]
    assert found("until=2026-01-02T00:00:00Z") == [old.pk]
    assert found("open=true") == [vanished.pk]
    assert found("open=false") == [dismissed.pk, old.pk]


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("type=wrong", "type"),
        ("repair_status=done", "repair_status"),
        ("entity=teams", "entity"),
        ("cause=x", "cause"),
        ("detector=x", "detector"),
        ("correlation_id=1", "correlation_id"),
        ("installation=acme", "installation"),
        ("since=yesterday", "since"),
        ("open=maybe", "open"),
        ("opened=true", "opened"),
        ("ordering=name", "ordering"),
    ],
)
def test_a_wrong_filter_is_a_problem_that_names_it(query: str, field: str) -> None:
    answer = api(staff()).get(f"/api/v1/discrepancies/?{query}")
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
    assert set(answer.json()["errors"]) == {field}


@names
@pytest.mark.spec("R19.1")
def test_a_list_costs_one_query_however_long_it_is(
    name: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mine = InstallationFactory.create()
    MAKERS[name].create(installation=mine)
    MAKERS[name].create()
    client = api(member_of(mine))
    with django_assert_num_queries(1):
        assert len(client.get(f"/api/v1/{name}/").json()["results"]) == 1
    closed = {"status": "rejected", "decided_at": clock.now()} if name == "reviews" else {}
    MAKERS[name].create_batch(49, installation=mine, **closed)
    with django_assert_num_queries(1):
        assert len(client.get(f"/api/v1/{name}/").json()["results"]) == 50


# -- who may ---------------------------------------------------------------------------------------


@pytest.mark.spec("R19.2")
@acts
def test_who_may_decide_and_who_may_only_look(name: str, act: str, body: Any, code: int) -> None:
    mine = InstallationFactory.create()
    row = MAKERS[name].create(installation=mine)
    before = type(row).objects.values().get(pk=row.pk)
    for role in (Membership.Role.MEMBER, Membership.Role.SUPPORT):
        answer = post(row, act, body, member_of(mine, role))
        assert (answer.status_code, answer["Content-Type"]) == (403, PROBLEM)
        assert "operator or admin" in answer.json()["detail"]
    stranger = member_of(InstallationFactory.create(), "admin")
    assert post(row, act, body, stranger).status_code == 404
    assert api(stranger).get(f"/api/v1/{name}/{row.pk}/").status_code == 404
    assert api(stranger).get(f"/api/v1/{name}/").json()["results"] == []
    assert api().post(f"/api/v1/{name}/{row.pk}/{act}/").status_code == 401
    assert type(row).objects.values().get(pk=row.pk) == before
    assert not AuditEntry.objects.exists()
    assert post(row, act, body, member_of(mine, "operator")).status_code == code
    other = MAKERS[name].create()
    assert post(other, act, body, member_of(other.installation, "admin")).status_code == code


# -- repair and dismissal --------------------------------------------------------------------------


@pytest.mark.spec("R7.5", "R11.2")
def test_a_repair_by_hand_asks_github_again_and_writes_nothing_old() -> None:
    row = DiscrepancyFactory.create()
    listed = {"repository": row.repository, "whole_at": clock.now(), "count": 3}
    issues = ContentListFactory.create(entity="issues", **listed)
    commits = ContentListFactory.create(entity="commits", **listed)
    operator = member_of(row.installation, "operator")
    answer = post(row, "repair", user=operator)
    assert answer.status_code == 202
    shown = answer.json()
    assert (shown["repair_status"], shown["open"]) == ("proposed", True)
    assert (shown["decided_by"], shown["decided_at"]) == (operator.username, text(_now(row)))
    asked = Recheck.objects.get()
    assert (asked.github_id, asked.full_name) == (
        row.repository_github_id,
        home(row).full_name,
    )
    assert (asked.itself, asked.reason, asked.trigger) == (True, "repair", "maintenance")
    job = SyncJob.objects.get()
    assert (job.installation, job.mode, job.status) == (row.installation, "recheck", "queued")
    assert ContentList.objects.get(pk=issues.pk).whole_at is None
    assert ContentList.objects.get(pk=commits.pk).whole_at is not None
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.actor, entry.installation) == ("repair", operator, row.installation)
    assert entry.repository == home(row).full_name
    assert entry.detail == {"discrepancy": row.pk, "type": "stale_issue", "item": row.name}
    again = post(row, "repair")
    assert (again.status_code, AuditEntry.objects.count()) == (409, 1)
    assert "has asked for this repair already" in again.json()["detail"]
    assert Recheck.objects.count() == SyncJob.objects.count() == 1


def _now(row: Discrepancy) -> datetime | None:
    row.refresh_from_db()
    return row.decided_at


@pytest.mark.spec("R7.5")
def test_a_repair_while_a_run_goes_on_waits_for_the_next_one() -> None:
    running = SyncJobFactory.create(running=True)
    row = DiscrepancyFactory.create(installation=running.installation, repository=None)
    assert post(row, "repair").status_code == 202
    assert SyncJob.objects.get() == running
    assert Recheck.objects.get().reason == "repair"


@pytest.mark.spec("R7.5")
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"repaired": True}, "It is repaired already."),
        ({"repair_status": "dismissed", "reason": "x"}, "It is dismissed already."),
    ],
)
@pytest.mark.parametrize("act", ["repair", "dismiss"])
def test_what_has_ended_is_a_conflict(act: str, values: dict[str, Any], sentence: str) -> None:
    row = DiscrepancyFactory.create(**values, decided_at=clock.now())
    answer = post(row, act, {"reason": "Known."})
    assert (answer.status_code, answer["Content-Type"]) == (409, PROBLEM)
    assert answer.json()["detail"] == sentence
    assert not Recheck.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.spec("R7.5")
def test_an_account_that_may_not_be_read_repairs_nothing() -> None:
    row = DiscrepancyFactory.create(installation__status=Installation.Status.SUSPENDED)
    answer = post(row, "repair")
    assert answer.status_code == 409
    assert "suspended" in answer.json()["detail"]
    row.refresh_from_db()
    assert row.decided_at is None


@pytest.mark.spec("R7.4", "R11.2")
def test_a_dismissal_ends_it_for_a_reason_and_is_audited() -> None:
    row = DiscrepancyFactory.create(repair_status="failed", reason="GitHub answered 500.")
    admin = member_of(row.installation, "admin")
    answer = post(row, "dismiss", {"reason": "  Only a test account. "}, admin)
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["repair_status"], shown["open"]) == ("dismissed", False)
    assert (shown["reason"], shown["decided_by"]) == ("Only a test account.", admin.username)
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.actor) == ("dismissal", admin)
    assert entry.detail["reason"] == "Only a test account."
    assert not SyncJob.objects.exists()


@pytest.mark.spec("R7.4", "R7.3")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"reason": None}, "reason"),
        ({"reason": "x" * 2_001}, "reason"),
        ({"reason": "x", "why": "y"}, "why"),
        (["x"], "non_field_errors"),
    ],
)
@pytest.mark.parametrize(("name", "act"), [("discrepancies", "dismiss"), ("reviews", "reject")])
def test_without_a_reason_nothing_is_dismissed_or_rejected(
    name: str, act: str, body: Any, field: str
) -> None:
    row = MAKERS[name].create()
    answer = post(row, act, body)
    assert (answer.status_code, answer["Content-Type"]) == (400, PROBLEM)
    assert set(answer.json()["errors"]) == {field}
    row.refresh_from_db()
    assert row.decided_at is None


@pytest.mark.spec("R7.3")
@pytest.mark.parametrize("act", ["repair", "dismiss"])
def test_what_a_review_holds_is_decided_there(act: str) -> None:
    row = DiscrepancyFactory.create(held=True)
    review = ReviewFactory.create(installation=row.installation)
    answer = post(row, act, {"reason": "x"})
    assert answer.status_code == 409
    assert "approve or reject the open review" in answer.json()["detail"]
    Review.objects.filter(pk=review.pk).update(status="withdrawn", decided_at=clock.now())
    assert post(row, act, {"reason": "x"}).status_code in (200, 202)


# -- reviews ---------------------------------------------------------------------------------------


@pytest.mark.spec("R7.3", "R11.2")
def test_an_approval_starts_the_run_that_carries_it_out(
    happened: list[tuple[str, dict[str, Any]]],
) -> None:
    held = DiscrepancyFactory.create(held=True)
    mine = {"installation": held.installation}
    other = DiscrepancyFactory.create(held=True, **mine)
    items = [{"github_id": held.repository_github_id, "full_name": held.name}]
    review = ReviewFactory.create(items=items, vanished=1, **mine)
    operator = member_of(held.installation, "operator")
    answer = post(review, "approve", user=operator)
    assert (answer.status_code, answer.json()["status"]) == (202, "approved")
    assert answer.json()["decided_by"] == operator.username
    job = SyncJob.objects.get()
    assert (job.trigger, job.mode, job.requested_by) == ("maintenance", "reconcile", operator)
    decided = dict(Discrepancy.objects.values_list("pk", "decided_by"))
    assert decided == {held.pk: operator.pk, other.pk: None}
    held.refresh_from_db()
    assert held.repair_status == "needs_manual_review"  # the run ends it
    entry = AuditEntry.objects.get()
    assert (entry.kind, entry.actor, entry.detail["decision"]) == ("review", operator, "approved")
    assert ("review.decided", "approved") in [
        (name, fields.get("decision")) for name, fields in happened
    ]


@pytest.mark.spec("R7.3")
def test_an_approval_while_a_run_goes_on_is_remembered() -> None:
    running = SyncJobFactory.create(running=True)
    review = ReviewFactory.create(installation=running.installation)
    assert post(review, "approve").status_code == 202
    running.refresh_from_db()
    assert running.follow_up == "maintenance"


@pytest.mark.spec("R7.3")
def test_a_rejection_keeps_everything_and_ends_what_was_held(
    happened: list[tuple[str, dict[str, Any]]],
) -> None:
    held = DiscrepancyFactory.create(held=True)
    items = [{"github_id": held.repository_github_id, "full_name": held.name}]
    review = ReviewFactory.create(installation=held.installation, items=items, vanished=1)
    answer = post(review, "reject", {"reason": "GitHub is ill today."})
    assert (answer.status_code, answer.json()["status"]) == (200, "rejected")
    held.refresh_from_db()
    assert (held.repair_status, held.reason) == ("dismissed", "GitHub is ill today.")
    assert home(held).status == "active"
    assert not SyncJob.objects.exists()
    assert happened[-1][0] == "review.decided"
    assert happened[-1][1]["decision"] == "rejected"


@pytest.mark.spec("R7.3")
@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("approved", "It is approved already."),
        ("rejected", "It is rejected already."),
        ("withdrawn", "The repositories came back: there is nothing left to decide."),
    ],
)
@pytest.mark.parametrize("act", ["approve", "reject"])
def test_a_review_is_decided_once(act: str, status: str, sentence: str) -> None:
    review = ReviewFactory.create(status=status, decided_at=clock.now())
    answer = post(review, act, {"reason": "x"} if act == "reject" else {})
    assert (answer.status_code, answer.json()["detail"]) == (409, sentence)
    assert not SyncJob.objects.exists()
    assert not AuditEntry.objects.exists()


@pytest.mark.spec("R7.3")
def test_nobody_approves_what_they_did_not_see() -> None:
    review = ReviewFactory.create()
    Review.objects.filter(pk=review.pk).update(vanished=9)
    answer = post(review, "approve", {"vanished": 3})
    assert answer.status_code == 409
    assert "look at it again" in answer.json()["detail"]
    with pytest.raises(decisions.Refused):
        decisions.approve(review, UserFactory.create())  # read before the run refreshed it
    assert post(review, "approve", {"vanished": "many"}).status_code == 400
    before = review.fingerprint
    Review.objects.filter(pk=review.pk).update(items=[*review.items[1:], {"github_id": 4}])
    assert post(review, "approve", {"vanished": 9, "fingerprint": before}).status_code == 409
    with pytest.raises(decisions.Refused):
        decisions.approve(review, UserFactory.create())  # as many, but others
    review.refresh_from_db()
    body = {"vanished": 9, "fingerprint": review.fingerprint}
    assert post(review, "approve", body).status_code == 202


# -- at once ---------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
@pytest.mark.spec("R7.4", "R7.3", "P39")
@pytest.mark.parametrize("name", MAKERS)
def test_of_two_decisions_at_once_one_wins(name: str) -> None:
    row, users = MAKERS[name].create(), [UserFactory.create() for _ in range(4)]
    act: Callable[..., Any] = decisions.reject if name == "reviews" else decisions.dismiss
    start, outcomes = threading.Barrier(len(users)), []

    def decide(user: Any) -> None:
        start.wait()
        try:
            act(type(row).objects.get(pk=row.pk), user, f"by {user.username}")
            outcomes.append(user.username)
        except decisions.Refused as refused:
            outcomes.append(str(refused))
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[user]) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    row.refresh_from_db()
    winners = [each for each in outcomes if each.startswith("user-")]
    assert winners == [row.decided_by.username]
    assert row.reason == f"by {winners[0]}"
    assert len(outcomes) == len(users)
    assert AuditEntry.objects.count() == 1


def test_a_row_that_is_gone_is_told_so() -> None:
    row = DiscrepancyFactory.create()
    Discrepancy.objects.all().delete()
    row.pk, row.correlation_id = 999_999, uuid.uuid4()
    with pytest.raises(decisions.Refused, match="gone"):
        decisions.dismiss(row, staff(), "x")
    with pytest.raises(ValueError, match="reason"):
        decisions.dismiss(row, staff(), "  ")
