"""Who writes both an account and a job locks the account first: in another order two would wait for each other."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction

from syncsvc import clock, jobs, rechecks
from syncsvc.endings import Outcome
from syncsvc.models import Installation, Recheck, SyncJob
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from tests.factories import InstallationFactory

pytestmark = pytest.mark.django_db(transaction=True)


def while_held(act: Callable[[], Any], then: Callable[[], Any]) -> tuple[Any, Any]:
    """What `act` and `then` return: `act` runs into the lock of the account that is held here, and `then`
    runs under that lock."""
    begun = threading.Event()

    def acting() -> Any:
        try:
            begun.set()
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            list(Installation.objects.select_for_update(no_key=True).values_list("pk"))
            other: Future[Any] = pool.submit(acting)
            begun.wait()
            until_waiting(other)
            mine = then()
        return other.result(), mine


def until_waiting(other: Future[Any], number: int = 1) -> None:
    """Until so many wait for locks of ours or of each other, or this one is through."""
    for _ in range(1000):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND pid IN"
                " (SELECT pid FROM pg_locks WHERE database ="
                " (SELECT oid FROM pg_database WHERE datname = current_database()))"
            )
            if cursor.fetchone()[0] >= number or other.done():
                return
        time.sleep(0.005)
    raise AssertionError("it never came to the lock")


@pytest.fixture
def acme() -> Installation:
    return InstallationFactory.create(account_login="acme")


@pytest.mark.spec("R3.3")
@pytest.mark.parametrize("state", ["half_open", "open"])
def test_two_ask_at_once_for_the_trial_of_a_breaker(acme: Installation, state: str) -> None:
    now = clock.now()
    Installation.objects.update(
        breaker_state=state,
        breaker_openings=1,
        breaker_opened_at=now - timedelta(minutes=6),
        breaker_open_until=now - timedelta(minutes=1) if state == "open" else None,
    )
    by_hand, by_time = while_held(
        lambda: SyncService.request(acme.pk, "manual"), lambda: SyncService.request(acme.pk, "cron")
    )
    assert (by_time.action, by_hand.reason) == ("start", "already_syncing")
    assert SyncJob.objects.count() == 1


@pytest.mark.spec("R10.1")
def test_a_run_ends_while_the_schedule_asks_for_another(acme: Installation) -> None:
    decision = SyncService.request(acme.pk, "maintenance", mode="audit")
    lease = jobs.claim(decision.job_id or "")
    assert lease is not None
    wrong: dict[str, Any] = {
        "sentence": "Renew the token.",
        "category": "authentication",
        "kind": "authentication",
        "retryable": False,
    }
    _, asked = while_held(
        lambda: lease.fail(Outcome(), **wrong), lambda: SyncService.request(acme.pk, "cron")
    )
    assert asked.reason == "already_syncing"
    job = SyncJob.objects.get()
    assert (job.status, job.follow_up) == ("failed", "cron")


@pytest.mark.spec("R6.3")
def test_webhooks_ask_for_what_a_run_has_just_read(acme: Installation) -> None:
    now = clock.now()
    for github_id in (2, 1):  # the one with the larger number came first
        rechecks.ask(
            acme.pk, [Asked(github_id=github_id, reason="push")], trigger="webhook", now=now
        )
    taken = rechecks.due(acme.pk, now)
    both = [Asked(github_id=github_id, reason="push") for github_id in (1, 2)]

    def in_thread(act: Callable[[], Any]) -> Any:
        try:
            return act()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        with transaction.atomic():
            list(Recheck.objects.select_for_update().filter(github_id=1))
            webhooks = pool.submit(
                in_thread, lambda: rechecks.ask(acme.pk, both, trigger="webhook", now=now)
            )
            until_waiting(webhooks)
            run = pool.submit(in_thread, lambda: rechecks.done(taken))
            until_waiting(run, number=2)
        assert (webhooks.result(), run.result()) == (2, 0)
    assert Recheck.objects.count() == 2
