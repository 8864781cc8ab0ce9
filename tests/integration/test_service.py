"""The one door, on real PostgreSQL with real threads."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from syncsvc import clock, events
from syncsvc.models import Installation, SyncJob
from syncsvc.policy import Action, Decision, Reason
from syncsvc.service import SyncService
from tests.factories import InstallationFactory, SyncJobFactory


@pytest.mark.spec("R3.2")
@pytest.mark.django_db(transaction=True)
def test_a_request_creates_the_job_and_rings_after_commit(bells: list[UUID]) -> None:
    installation = InstallationFactory.create()
    with transaction.atomic():
        decision = SyncService.request(installation.pk, "manual")
        assert bells == []
    job = SyncJob.objects.get()
    assert (decision.action, decision.job_id) == (Action.START, str(job.pk))
    assert bells == [job.pk]
    assert (job.status, job.trigger, job.mode) == ("queued", "manual", "full")


@pytest.mark.spec("R3.2")
@pytest.mark.django_db(transaction=True)
def test_a_request_that_is_rolled_back_rings_for_nobody(bells: list[UUID]) -> None:
    installation = InstallationFactory.create()
    with transaction.atomic():
        SyncService.request(installation.pk, "manual")
        transaction.set_rollback(True)
    assert bells == []
    assert not SyncJob.objects.exists()


@pytest.mark.spec("R3.3", "P17", "P39")
@pytest.mark.django_db(transaction=True)
def test_fifty_concurrent_requests_give_one_job(bells: list[UUID]) -> None:
    installation = InstallationFactory.create()
    barrier = threading.Barrier(50)

    def ask(number: int) -> Decision:
        barrier.wait(timeout=30)
        try:
            return SyncService.request(installation.pk, ["manual", "cron", "gap"][number % 3])
        finally:
            connection.close()

    with ThreadPoolExecutor(50) as pool:
        decisions = list(pool.map(ask, range(50)))
    job = SyncJob.objects.get()
    assert {decision.job_id for decision in decisions} == {str(job.pk)}
    actions = Counter(decision.action for decision in decisions)
    assert actions == {Action.START: 1, Action.SKIP: 49}
    assert bells == [job.pk]


@pytest.mark.spec("R3.3")
@pytest.mark.django_db
@pytest.mark.parametrize("status", ["queued", "running", "blocked"])
def test_the_database_itself_refuses_a_second_active_job(status: str) -> None:
    first = (
        SyncJobFactory.create(running=True)
        if status == "running"
        else SyncJobFactory.create(waiting=True)
    )
    SyncJob.objects.filter(pk=first.pk).update(status=status)
    with pytest.raises(IntegrityError), transaction.atomic():
        SyncJobFactory.create(waiting=True, installation=first.installation)


@pytest.mark.spec("R3.3")
@pytest.mark.django_db
def test_a_request_that_must_not_be_lost_is_remembered_by_the_running_job() -> None:
    job = SyncJobFactory.create(running=True)
    assert SyncService.request(job.installation_id, "cron").job_id == str(job.pk)
    job.refresh_from_db()
    assert job.follow_up == ""
    assert SyncService.request(job.installation_id, "gap").reason is Reason.ALREADY_SYNCING
    job.refresh_from_db()
    assert job.follow_up == "gap"


@pytest.mark.spec("R3.1", "R3.2")
@pytest.mark.django_db
def test_the_cooldown_counts_from_the_last_sync(tune: Any) -> None:
    tune(manual_cooldown_seconds=60)
    installation = InstallationFactory.create(last_synced_at=clock.now() - timedelta(seconds=10))
    decision = SyncService.request(installation.pk, "manual")
    assert (decision.action, decision.reason) == (Action.SKIP, Reason.COOLDOWN)
    assert not SyncJob.objects.exists()
    assert SyncService.request(installation.pk, "cron").action is Action.START


@pytest.mark.spec("R3.6")
@pytest.mark.django_db
def test_each_request_is_an_event_with_its_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    def listen(name: str, fields: dict[str, Any], **_: Any) -> None:
        heard.append((name, fields))

    events.happened.connect(listen)
    try:
        installation = InstallationFactory.create(status="suspended")
        SyncService.request(installation.pk, "webhook")
    finally:
        events.happened.disconnect(listen)
    assert heard == [
        (
            "sync.request",
            {
                "installation_id": installation.pk,
                "trigger": "webhook",
                "decision": "block",
                "reason": "suspended",
                "job_id": None,
            },
        )
    ]


@pytest.mark.spec("R3.6")
@pytest.mark.django_db
def test_a_listener_that_fails_stops_nothing() -> None:
    def fail(**_: Any) -> None:
        raise RuntimeError("listener")

    events.happened.connect(fail)
    try:
        decision = SyncService.request(InstallationFactory.create().pk, "manual")
    finally:
        events.happened.disconnect(fail)
    assert decision.action is Action.START


@pytest.mark.django_db
def test_an_unknown_installation_is_an_error_of_its_own() -> None:
    with pytest.raises(Installation.DoesNotExist):
        SyncService.request(12345, "manual")
