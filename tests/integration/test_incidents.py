"""Incidents from the rows that cause them to their end, and everybody who meets them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from alerts import facts, incidents
from alerts.incidents import Settled
from alerts.models import Incident
from alerts.tasks import review_incidents
from alerts.values import Facts, Kind
from reconciliation import decisions
from reconciliation.models import (
    AuditEntry,
    Discrepancy,
    IntegrityIssue,
    Review,
    RunFigure,
    SampleAudit,
)
from syncsvc import events, mirror
from syncsvc.models import Installation, SyncJob
from syncsvc.simulator import Simulator
from tests.factories import (
    DeadLetterFactory,
    GapFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    RepositoryFactory,
    SyncJobFactory,
    UserFactory,
)
from tests.people_support import PROBLEM, api, browser, member_of, staff
from tests.support import discover, sync

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def clock() -> Iterator[Any]:
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events of incidents, as they happen."""
    told: list[tuple[str, dict[str, Any]]] = []

    def note(*, name: str, fields: dict[str, Any], **_: Any) -> None:
        if name.startswith("incident."):
            told.append((name, fields))

    events.happened.connect(note, weak=False, dispatch_uid="test")
    yield told
    events.happened.disconnect(dispatch_uid="test")


def discrepancy(installation: Installation, **values: Any) -> Discrepancy:
    made: dict[str, Any] = {
        "installation": installation, "repository_github_id": 5, "entity": "issues", "item_key": "77",
        "name": "acme/site#3", "type": "missing_issue", "detected_at": NOON, "proposed_action": "create",
        "repair_status": "failed", "correlation_id": uuid4(), "detector": "run",
    }  # fmt: skip
    return Discrepancy.objects.create(**made | values)


def broken(installation: Installation, **values: Any) -> IntegrityIssue:
    made: dict[str, Any] = {
        "installation": installation, "entity": "issues", "item_key": "77", "rule": "title_missing",
        "detected_at": NOON,
    }  # fmt: skip
    return IntegrityIssue.objects.create(**made | values)


def held(installation: Installation, **values: Any) -> Review:
    made: dict[str, Any] = {
        "installation": installation, "opened_at": NOON, "last_seen_at": NOON,
        "correlation_id": uuid4(), "vanished": 7, "present": 10, "threshold_percent": 20.0,
        "items": [{"github_id": n, "full_name": f"acme/r{n}"} for n in range(7)],
    }  # fmt: skip
    return Review.objects.create(**made | values)


def measured(installation: Installation, matched: int, compared: int, **values: Any) -> RunFigure:
    job = SyncJobFactory.create(installation=installation, mode="recheck")
    made: dict[str, Any] = {
        "job": job, "installation": installation, "entity": "issues", "at": NOON, "trigger": "cron",
        "mode": "full", "matched": matched, "compared": compared,
    }  # fmt: skip
    return RunFigure.objects.create(**made | values)


def audited(installation: Installation, matched: int, wrong: int, **values: Any) -> SampleAudit:
    made = {
        "installation": installation, "at": NOON, "seed": 1, "matched": matched, "wrong": wrong,
        "sampled": matched + wrong,
    }  # fmt: skip
    return SampleAudit.objects.create(**made | values)


def failing(**values: Any) -> Installation:
    """An account whose syncs fail."""
    row: Installation = InstallationFactory.create(
        **{"consecutive_failures": 3, "last_error": "GitHub did not answer."} | values
    )
    return row


def incident(**values: Any) -> Incident:
    made: dict[str, Any] = {
        "key": f"breaker_open:{uuid4()}", "kind": "breaker_open", "severity": "high", "title": "Paused",
        "opened_at": NOON, "last_seen_at": NOON, "installation": None,
    }  # fmt: skip
    return Incident.objects.create(**made | values)


def kinds(**filters: Any) -> set[str]:
    rows = Incident.objects.exclude(status="resolved").filter(**filters)
    return set(rows.values_list("kind", flat=True))


# -- what is read ----------------------------------------------------------------------------------


@pytest.mark.spec("R14.1", "R7.3", "P4", "P36")
def test_each_problem_in_the_database_opens_its_incident_and_names_what_it_is_about(
    clock: Any,
) -> None:
    site = RepositoryFactory.create(installation__account_login="acme", name="site")
    acme = site.installation
    Installation.objects.update(
        consecutive_failures=6,
        action_needed="Check the permissions.",
        breaker_open_until=NOON + timedelta(minutes=5),
        last_synced_at=NOON - timedelta(minutes=31),
    )
    run = SyncJobFactory.create(
        installation=acme,
        status="partial",
        created_at=NOON - timedelta(hours=1),
        finished_at=NOON - timedelta(minutes=50),
        warning="Fetching took 9 s where 3 s are usual.",
    )
    failed = SyncJobFactory.create(installation=acme, failed=True)
    DeadLetterFactory.create(installation=acme, job=failed)
    DeadLetterFactory.create(
        installation=acme, job=failed, status="discarded", reason="No", decided_at=NOON
    )
    review = held(acme)
    missing = discrepancy(acme, detector="verification")
    discrepancy(acme, item_key="78", name="acme/site#4")
    for number in range(12):
        broken(acme, item_key=str(number), repository=site)
    measured(acme, 990, 1000)
    measured(acme, 0, 1000, at=NOON - timedelta(hours=25))
    audited(acme, 90, 60)
    audited(acme, 0, 1000, at=NOON - timedelta(days=8))
    gap = GapFactory.create(installation=acme)
    MissedDeliveryFactory.create_batch(6, installation=acme, gap=gap)
    MissedDeliveryFactory.create(installation=acme, gap=gap, healed=True)

    assert incidents.review() == Settled(opened=13)

    found = {row.kind: row for row in Incident.objects.all()}
    assert set(found) == set(Kind)
    assert {row.installation for row in found.values()} == {acme}
    assert found["mass_disappearance"].figures["examples"] == [f"acme/r{n}" for n in range(5)]
    assert "and 2 more" in found["mass_disappearance"].detail
    assert found["mass_disappearance"].correlation_id == review.correlation_id
    assert found["resync_failed"].correlation_id == missing.correlation_id
    assert "acme/site#3" in found["resync_failed"].detail
    assert "acme/site#4" in found["repair_failed"].detail
    assert "acme/site#3" not in found["repair_failed"].detail
    assert "issue 11 of acme/site (title missing), " in found["integrity"].detail
    assert "and 2 more" in found["integrity"].detail
    assert found["accuracy"].figures["accuracy"] == 0.99
    assert found["audit_disagreement"].figures["judged"] == 150
    assert found["performance"].correlation_id == run.pk
    assert found["consecutive_failures"].correlation_id == failed.pk
    assert "Check the permissions." in found["action_needed"].detail
    assert found["dead_letters"].figures == {"open_letters": 1}
    assert found["gaps"].figures == {"open_gaps": 1, "missed": 6}
    assert incidents.review() == Settled()


def test_reading_costs_the_same_queries_however_many_accounts_there_are(
    clock: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert facts.read(NOON) == []
    for _ in range(3):
        row = failing()
        SyncJobFactory.create(installation=row)
        held(row)
        discrepancy(row)
        broken(row)
        measured(row, 1, 2)
        audited(row, 1, 2)
        GapFactory.create(installation=row)
    with django_assert_num_queries(9):
        three = facts.read(NOON)
    with django_assert_num_queries(9):
        [one] = facts.read(NOON, row.pk)
    assert one == three[-1]
    assert [each.not_repaired.number for each in three if each.not_repaired] == [1, 1, 1]
    assert facts.read(NOON, 0) == []


@pytest.mark.spec("R14.1", "R5.6")
@pytest.mark.parametrize(
    ("run", "stale"),
    [
        ({}, False),
        # One repository that always fails makes every run partial; the rest was read.
        ({"status": "partial", "verification": {"complete": True}}, False),
        ({"status": "partial", "verification": {"complete": False}}, True),
        ({"status": "failed"}, True),
        ({"dry_run": True}, True),
        ({"mode": "recheck"}, True),
        ({"finished_at": NOON - timedelta(minutes=31)}, True),
    ],
)
def test_an_account_is_old_when_no_run_has_read_all_of_it_lately(
    run: dict[str, Any], stale: bool, clock: Any
) -> None:
    long_ago = NOON - timedelta(days=3)
    row = InstallationFactory.create(last_synced_at=long_ago, last_listed_at=long_ago)
    SyncJobFactory.create(installation=row, **run)
    incidents.review(row.pk)
    assert kinds() == ({"stale"} if stale else set())


@pytest.mark.spec("R8.3")
def test_an_audit_counts_by_its_weights_where_it_has_any(clock: Any) -> None:
    row = InstallationFactory.create()
    measured(row, 1000, 1000)
    # The wrong ones stand for few of the whole: by their number alone it would be 80 %.
    audited(row, 160, 40, weight=20_000.0, weight_matched=19_999.0, weight_squares=4_000_000.0)
    [read] = facts.read(NOON)
    assert read.audit is not None
    assert read.audit.low > 0.9
    assert (read.audit.judged, read.audit.wrong) == (200, 40)


# -- the life of an incident -----------------------------------------------------------------------


@pytest.mark.spec("R14.3", "R11.2")
def test_an_incident_lives_from_its_cause_to_the_end_of_it(
    clock: Any, heard: Any, django_capture_on_commit_callbacks: Any
) -> None:
    row = failing()
    person = UserFactory.create(username="ann")
    with django_capture_on_commit_callbacks(execute=True):
        assert [incidents.review(row.pk).opened for _ in range(3)] == [1, 0, 0]
        first = Incident.objects.get()
        assert incidents.acknowledge(first, person)
        assert not incidents.acknowledge(first, UserFactory.create())
    assert (first.status, first.acknowledged_by, first.acknowledged_at) == (
        "acknowledged", person, NOON,
    )  # fmt: skip
    [entry] = AuditEntry.objects.filter(kind="acknowledgement")
    assert (entry.kind, entry.actor_name, entry.installation) == ("acknowledgement", "ann", row)
    assert entry.detail["incident"] == first.pk
    clock.shift(60)
    assert incidents.review(row.pk) == Settled()

    Installation.objects.update(consecutive_failures=0)
    with django_capture_on_commit_callbacks(execute=True):
        assert incidents.review(row.pk) == Settled(resolved=1)
        assert incidents.review(row.pk) == Settled()
    first.refresh_from_db()
    assert (first.status, first.resolved_at) == ("resolved", NOON + timedelta(seconds=60))
    assert first.acknowledged_by == person
    assert not incidents.acknowledge(first, person)
    assert first.status == "resolved"

    clock.shift(60)
    Installation.objects.update(consecutive_failures=3)
    with django_capture_on_commit_callbacks(execute=True):
        assert incidents.review() == Settled(opened=1)
    again = Incident.objects.get(status="open")
    assert (again.key, again.acknowledged_at) == (first.key, None)
    assert [name for name, _ in heard] == [
        "incident.opened", "incident.acknowledged", "incident.resolved", "incident.opened",
    ]  # fmt: skip
    assert heard[2][1]["seconds"] == 60
    assert {fields["installation_id"] for _, fields in heard} == {row.pk}
    assert AuditEntry.objects.filter(kind="acknowledgement").count() == 1


@pytest.mark.spec("R14.3")
def test_an_open_incident_follows_its_problem_and_writes_only_what_changed(
    clock: Any,
    heard: Any,
    django_capture_on_commit_callbacks: Any,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    row = failing()
    incidents.review(row.pk)
    clock.shift(60)
    with django_assert_num_queries(9):  # known incidents and the facts; there is no run to look at
        assert incidents.review(row.pk) == Settled()
    shown = Incident.objects.get()
    assert shown.last_seen_at == NOON
    clock.shift(240)
    assert incidents.review(row.pk) == Settled()
    shown.refresh_from_db()
    assert shown.last_seen_at == NOON + timedelta(minutes=5)

    Installation.objects.update(consecutive_failures=6)
    with django_capture_on_commit_callbacks(execute=True):
        assert incidents.review(row.pk) == Settled(updated=1)
    shown.refresh_from_db()
    assert (shown.severity, shown.figures) == ("high", {"failures": 6})
    assert shown.title.startswith("6 syncs")
    assert shown.opened_at == NOON
    assert [name for name, _ in heard] == ["incident.escalated"]


@pytest.mark.spec("R14.3")
def test_looking_at_one_account_ends_nobody_elses_incident(clock: Any) -> None:
    one, other = failing(), failing()
    incidents.review()
    about_us = incident(kind="freshness")
    Installation.objects.update(consecutive_failures=0)
    assert incidents.review(one.pk) == Settled(resolved=1)
    assert kinds(installation=other) == {"consecutive_failures"}
    assert incidents.review() == Settled(resolved=1)
    about_us.refresh_from_db()
    assert about_us.status == "open"


@pytest.mark.spec("R14.3", "P39")
@pytest.mark.django_db(transaction=True)
def test_of_eight_looks_at_once_one_opens_and_one_ends_an_incident(heard: Any) -> None:
    for _ in range(4):
        failing(breaker_open_until=NOON)
    barrier = threading.Barrier(8)

    def look(_: int) -> Settled:
        barrier.wait(timeout=30)
        try:
            return incidents.review()
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(each.opened for each in pool.map(look, range(8))) == 8
        assert Incident.objects.count() == 8
        Installation.objects.update(consecutive_failures=0, breaker_open_until=None)
        assert sum(each.resolved for each in pool.map(look, range(8))) == 8
    assert Incident.objects.filter(status="resolved").count() == 8
    assert sorted(name for name, _ in heard) == ["incident.opened"] * 8 + ["incident.resolved"] * 8


@pytest.mark.spec("R14.3", "P39")
def test_of_two_looks_the_later_one_knows_better(
    clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = failing()
    incidents.review(row.pk)
    late = NOON + timedelta(minutes=1)

    def meanwhile(look: Any) -> None:
        """Has another look, a minute later, come between this one's reading and its writing."""
        read = facts.read

        def interrupted(now: datetime, pk: int | None = None) -> list[Facts]:
            found = read(now, pk)
            if now == NOON:
                look()
            return found

        monkeypatch.setattr(facts, "read", interrupted)

    def ends() -> None:
        Installation.objects.update(consecutive_failures=0)
        assert incidents.review(row.pk, late).resolved == 1

    Incident.objects.all().delete()
    incidents.review(row.pk, late - timedelta(seconds=90))
    meanwhile(ends)
    assert incidents.review(row.pk, NOON) == Settled()
    assert kinds() == set()
    monkeypatch.undo()

    def opens() -> None:
        Installation.objects.update(consecutive_failures=3)
        assert incidents.review(row.pk, late).opened == 1

    meanwhile(opens)
    Incident.objects.all().delete()
    assert incidents.review(row.pk, NOON) == Settled()
    assert kinds() == {"consecutive_failures"}


@pytest.mark.spec("P4")
def test_a_failed_resync_in_the_database_has_an_incident_and_an_ended_one_has_none() -> None:
    row = InstallationFactory.create()
    found = discrepancy(row, detector="verification")
    for status in ("proposed", "needs_manual_review"):
        discrepancy(row, detector="verification", repair_status=status, item_key=status)
    incidents.review(row.pk, NOON)
    [opened] = Incident.objects.all()
    assert (opened.kind, opened.severity, opened.installation) == ("resync_failed", "high", row)
    assert opened.figures == {"items": 1, "examples": ["acme/site#3"]}
    Discrepancy.objects.filter(pk=found.pk).update(repair_status="repaired", repaired_at=NOON)
    incidents.review(row.pk, NOON)
    assert kinds() == set()


@pytest.mark.spec("P4")
def test_a_failed_resync_known_by_number_only_lasts_until_a_whole_run_says_otherwise(
    clock: Any,
) -> None:
    def ran(minutes: int, failed: int, **values: Any) -> SyncJob:
        resync = {"attempted": True, "items": 4, "resolved": 4 - failed, "failed": failed}
        at = NOON + timedelta(minutes=minutes)
        job: SyncJob = SyncJobFactory.create(
            installation=row, created_at=at, verification={"resync": resync}, **values
        )
        return job

    row = InstallationFactory.create()
    ran(0, 4)
    incidents.review(row.pk)
    shown = Incident.objects.get()
    assert (shown.kind, shown.figures["items"]) == ("resync_failed", 4)
    narrow = ran(1, 3, mode="recheck", status="partial")
    ran(2, 0, mode="recheck")
    ran(3, 2, dry_run=True)
    discrepancy(row, detector="verification")
    assert incidents.review(row.pk) == Settled(updated=1)
    shown.refresh_from_db()
    assert (shown.figures["items"], shown.figures["examples"]) == (3, ["acme/site#3"])
    Discrepancy.objects.all().delete()
    incidents.review(row.pk)
    shown.refresh_from_db()
    assert shown.correlation_id == narrow.pk
    ran(4, 0)
    assert incidents.review(row.pk) == Settled(resolved=1)


@pytest.mark.spec("P36")
def test_integrity_issues_in_the_database_have_an_incident_until_the_last_is_solved() -> None:
    row = InstallationFactory.create()
    for entity in ("repositories", "issues", "pull_requests", "commits"):
        broken(row, entity=entity)
    incidents.review(row.pk, NOON)
    [opened] = Incident.objects.all()
    assert opened.figures["examples"] == [
        f"{noun} 77 (title missing)" for noun in ("commit", "pull request", "issue", "repository")
    ]
    IntegrityIssue.objects.exclude(entity="issues").update(resolved_at=NOON)
    assert incidents.review(row.pk, NOON) == Settled(updated=1)
    opened.refresh_from_db()
    assert opened.figures == {"issues": 1, "examples": ["issue 77 (title missing)"]}
    IntegrityIssue.objects.update(resolved_at=NOON)
    assert incidents.review(row.pk, NOON) == Settled(resolved=1)


# -- those who listen ------------------------------------------------------------------------------


@pytest.mark.spec("R14.3", "R10.3")
@pytest.mark.parametrize(
    "name",
    ["sync.job.completed", "sync.job.failed", "review.opened", "review.decided", "review.withdrawn",
     "integrity.found", "audit.completed"],
)  # fmt: skip
def test_what_happens_below_is_looked_at_once_it_is_committed(
    name: str, django_capture_on_commit_callbacks: Any
) -> None:
    row = failing()
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        events.emit(name, installation_id=row.pk)
        assert kinds() == set()
    assert kinds() == {"consecutive_failures"}


@pytest.mark.spec("R7.3", "R14.3")
@pytest.mark.django_db(transaction=True)
def test_repositories_that_vanish_at_once_are_an_incident_until_somebody_decides(
    app_mode: Simulator, heard: Any
) -> None:
    account = discover()
    sync(account, mode="reconcile")
    assert kinds() == set()
    for row in account.repositories.order_by("github_id")[:12]:
        app_mode.world.delete(row.github_id)
    job = sync(account, mode="reconcile")
    review = Review.objects.get()
    shown = Incident.objects.get(kind="mass_disappearance")
    assert (shown.status, shown.severity, shown.correlation_id) == ("open", "critical", job.pk)
    assert shown.title.startswith(f"{review.vanished} of {review.present} repositories")
    assert review.items[0]["full_name"] in shown.detail
    decisions.reject(review, staff(), "The token had expired.")
    shown.refresh_from_db()
    assert shown.status == "resolved"
    told = [name for name, fields in heard if fields["kind"] == "mass_disappearance"]
    assert told == ["incident.opened", "incident.resolved"]


@pytest.mark.spec("P4", "R8.2")
@pytest.mark.django_db(transaction=True)
def test_a_run_whose_resync_fails_opens_an_incident_and_the_run_that_brings_it_ends_it(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = discover()
    sync(account, mode="reconcile")
    lost = account.repositories.order_by("github_id").values_list("github_id", flat=True)[0]
    plain = mirror.apply

    def forgets(*arguments: Any) -> Any:
        """Writes, and loses one row of it."""
        applied = plain(*arguments)
        account.repositories.filter(github_id=lost).delete()
        return applied

    account.repositories.filter(github_id=lost).delete()
    with monkeypatch.context() as patch:
        patch.setattr(mirror, "apply", forgets)
        job = sync(account, mode="reconcile")
    assert job.verification["resync"]["failed"] == 1
    shown = Incident.objects.get(kind="resync_failed")
    assert (shown.status, shown.severity, shown.figures["items"]) == ("open", "high", 1)
    assert str(lost) in shown.detail
    sync(account, mode="reconcile")
    shown.refresh_from_db()
    assert shown.status == "resolved"


def test_other_events_are_not_looked_at(
    django_capture_on_commit_callbacks: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    row = failing()
    with django_assert_num_queries(0), django_capture_on_commit_callbacks(execute=True):
        events.emit("sync.job.progress", installation_id=row.pk)
        events.emit("sync.job.completed")


@pytest.mark.spec("R14.4")
@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), DatabaseError("gone")])
def test_a_look_that_fails_fails_nobody_and_is_made_up_for(
    error: Exception, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    row = failing()

    def fail(*_: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(facts, "read", fail)
        with django_capture_on_commit_callbacks(execute=True):
            events.emit("sync.job.failed", installation_id=row.pk)
    assert kinds() == set()
    review_incidents()
    assert kinds() == {"consecutive_failures"}


@pytest.mark.spec("R19.3")
def test_metrics_count_the_problems_that_last(client: Client) -> None:
    incident(severity="critical")
    incident(severity="critical", status="acknowledged", acknowledged_at=NOON)
    incident(severity="critical", status="resolved", resolved_at=NOON)
    shown = client.get("/metrics").content.decode()
    assert 'mirror_incidents_open{severity="critical"} 2.0' in shown
    assert 'mirror_incidents_open{severity="warning"} 0.0' in shown


@pytest.mark.spec("R14.3", "R18.3")
def test_the_page_of_an_account_shows_its_incidents_the_worst_first() -> None:
    row = InstallationFactory.create()
    client, boss = browser(member_of(row)), browser(staff())
    address = f"/installations/{row.pk}/"
    assert b"Open incidents" not in client.get(address).content
    incident(
        installation=row, title="Grows <old>", severity="warning", opened_at=NOON + timedelta(1)
    )
    bad = incident(installation=row, title="Vanished at once", severity="critical")
    incident(installation=row, title="Long over", status="resolved", resolved_at=NOON)
    incident(title="Somebody else's")
    page = client.get(address).content.decode()
    assert page.index("Vanished at once") < page.index("Grows &lt;old&gt;")
    assert "Long over" not in page
    assert "Somebody else" not in page
    assert "/admin/" not in page
    assert f"/admin/alerts/incident/{bad.pk}/change/" in boss.get(address).content.decode()


# -- the API ---------------------------------------------------------------------------------------


def listed(query: str = "", user: Any = None) -> list[int]:
    response = api(user or staff()).get(f"/api/v1/sync-health/incidents/?{query}")
    assert response.status_code == 200, response.json()
    return [row["id"] for row in response.json()["results"]]


@pytest.mark.spec("R14.3", "R19.1")
def test_an_incident_says_what_its_row_says() -> None:
    person = UserFactory.create(username="ann")
    row = incident(
        installation=InstallationFactory.create(),
        status="acknowledged",
        acknowledged_at=NOON,
        acknowledged_by=person,
        correlation_id=uuid4(),
        detail="It is paused. Next: wait.",
        figures={"failures": 5},
    )
    expected = {
        "id": row.pk,
        "key": row.key,
        "kind": "breaker_open",
        "severity": "high",
        "status": "acknowledged",
        "installation": row.installation_id,
        "correlation_id": str(row.correlation_id),
        "title": "Paused",
        "detail": "It is paused. Next: wait.",
        "figures": {"failures": 5},
        "opened_at": "2026-03-01T12:00:00Z",
        "last_seen_at": "2026-03-01T12:00:00Z",
        "acknowledged_at": "2026-03-01T12:00:00Z",
        "acknowledged_by": "ann",
        "resolved_at": None,
    }
    client = api(staff())
    assert client.get("/api/v1/sync-health/incidents/").json()["results"] == [expected]
    assert client.get(f"/api/v1/sync-health/incidents/{row.pk}/").json() == expected


@pytest.mark.spec("R19.1")
def test_the_list_costs_one_query_and_is_narrowed_by_each_filter(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    acme = InstallationFactory.create()
    one = incident(installation=acme, severity="critical", kind="gaps")
    taken = incident(
        status="acknowledged", acknowledged_at=NOON, opened_at=NOON - timedelta(hours=1)
    )
    over = incident(status="resolved", resolved_at=NOON, opened_at=NOON + timedelta(hours=1))
    assert listed() == [over.pk, one.pk, taken.pk]
    assert listed("ordering=opened_at") == [taken.pk, one.pk, over.pk]
    assert listed(f"installation={acme.pk}") == [one.pk]
    assert listed("status=open") == [one.pk]
    assert listed("severity=critical") == listed("kind=gaps") == [one.pk]
    assert listed("open=true") == [one.pk, taken.pk]
    assert listed("open=false") == [over.pk]
    assert listed("opened_after=2026-03-01T12:30:00Z") == [over.pk]
    assert listed("opened_before=2026-03-01T11:30:00Z") == [taken.pk]
    for query in (
        "status=x",
        "severity=low",
        "kind=rain",
        "open=1",
        "installation=0",
        "colour=red",
    ):
        response = api(staff()).get(f"/api/v1/sync-health/incidents/?{query}")
        assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
        assert list(response.json()["errors"]) == [query.partition("=")[0]]
    client = api(staff())
    for _ in range(47):
        incident(acknowledged_by=UserFactory.create())
    for user, number in ((client, 50), (api(member_of(acme)), 1)):
        with django_assert_num_queries(1):
            shown = user.get("/api/v1/sync-health/incidents/").json()["results"]
        assert len(shown) == number


@pytest.mark.spec("R19.2")
def test_a_tenant_sees_its_own_incidents_and_staff_those_of_the_product() -> None:
    here, there = InstallationFactory.create(), InstallationFactory.create()
    mine, other, nobodys = incident(installation=here), incident(installation=there), incident()
    user = member_of(here, "admin")
    assert listed(user=user) == [mine.pk]
    assert listed(f"installation={there.pk}", user) == []
    for row in (other, nobodys):
        address = f"/api/v1/sync-health/incidents/{row.pk}/"
        assert api(user).get(address).status_code == 404
        assert api(user).post(f"{address}acknowledge/").status_code == 404
    assert set(listed()) == {mine.pk, other.pk, nobodys.pk}
    assert api().get("/api/v1/sync-health/incidents/").status_code == 401
    assert set(Incident.objects.values_list("status", flat=True)) == {"open"}


@pytest.mark.spec("R14.3", "R19.2", "R11.2")
@pytest.mark.parametrize(
    ("role", "code"),
    [("admin", 200), ("operator", 200), ("support", 403), ("member", 403), ("staff", 200)],
)
def test_who_operates_an_account_may_acknowledge_its_incidents(role: str, code: int) -> None:
    row = incident(installation=InstallationFactory.create())
    user = staff() if role == "staff" else member_of(row.installation, role)  # type: ignore[arg-type]
    address = f"/api/v1/sync-health/incidents/{row.pk}/acknowledge/"
    responses = [api(user).post(address) for _ in range(2)]
    assert [response.status_code for response in responses] == [code, code]
    row.refresh_from_db()
    if code == 200:
        assert responses[1].json()["acknowledged_by"] == user.username
        assert (row.status, row.acknowledged_by) == ("acknowledged", user)
        assert AuditEntry.objects.get(kind="acknowledgement").actor == user
    else:
        assert row.status == "open"
        assert not AuditEntry.objects.filter(kind="acknowledgement").exists()


@pytest.mark.spec("R14.3")
def test_what_has_ended_cannot_be_acknowledged_and_nothing_is_written_otherwise() -> None:
    row = incident(status="resolved", resolved_at=NOON)
    client, address = api(staff()), f"/api/v1/sync-health/incidents/{row.pk}/"
    response = client.post(f"{address}acknowledge/")
    assert (response.status_code, response["Content-Type"]) == (409, PROBLEM)
    assert "has ended" in response.json()["detail"]
    for method in (client.put, client.patch, client.delete, client.post):
        assert method(address, {}, format="json").status_code == 405


# -- the admin -------------------------------------------------------------------------------------


@pytest.mark.spec("R18.2")
def test_the_admin_lists_finds_and_shows_incidents() -> None:
    row = incident(installation=InstallationFactory.create(account_login="acme"), title="<b>Bad")
    client = browser(staff())
    address = "/admin/alerts/incident/"
    page = client.get(address)
    assert "&lt;b&gt;Bad" in page.content.decode()
    incident(status="resolved", resolved_at=NOON, kind="gaps")
    for _ in range(19):
        incident(installation=InstallationFactory.create(), acknowledged_by=UserFactory.create())
    assert client.get(address).context["cl"].result_count == 21
    found = {
        query: client.get(f"{address}?{query}").context["cl"].result_count
        for query in (
            "lasts=yes",
            "lasts=no",
            "kind=gaps",
            "severity=high",
            "status=open",
            "q=acme",
        )
    }
    assert found == {
        "lasts=yes": 20, "lasts=no": 1, "kind=gaps": 1, "severity=high": 21, "status=open": 20,
        "q=acme": 1,
    }  # fmt: skip
    page = client.get(f"{address}{row.pk}/change/")
    assert page.status_code == 200
    assert b'name="_save"' not in page.content
    assert client.get(f"{address}add/").status_code == 403
    assert client.post(f"{address}{row.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.spec("R18.2", "R11.2")
def test_the_admin_acknowledges_what_is_open() -> None:
    rows = [incident(), incident(status="resolved", resolved_at=NOON)]
    boss = staff()
    body: dict[str, Any] = {"action": "acknowledge", "_selected_action": [row.pk for row in rows]}
    asked = browser(boss).post("/admin/alerts/incident/", body)
    assert "2 incidents" in asked.context["title"]
    assert not AuditEntry.objects.filter(kind="acknowledgement").exists()
    body["decided"] = "yes"
    page = browser(boss).post("/admin/alerts/incident/", body, follow=True)
    said = page.content.decode()
    assert f"{rows[0]}: acknowledged." in said
    assert f"{rows[1]}: left alone: acknowledged already, or ended." in said
    assert set(Incident.objects.values_list("status", flat=True)) == {"acknowledged", "resolved"}
    assert AuditEntry.objects.get(kind="acknowledgement").actor == boss
    looker = UserFactory.create(is_staff=True)
    assert browser(looker).post("/admin/alerts/incident/", body).status_code == 403
