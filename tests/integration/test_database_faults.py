"""PostgreSQL restarted, connections cut, the disk full: said with 503, healthy again at once, nothing lost."""

import io
import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.core.signals import request_finished, request_started
from django.db import OperationalError, close_old_connections, connection, connections
from django.test import Client
from django.test.client import RequestFactory
from pytest_django import Settings

from config import beat
from config.celery import app
from config.wsgi import application
from reconciliation import deliveries
from reconciliation import tasks as reconciliation_tasks
from syncsvc import heartbeats, ringing
from syncsvc import tasks as syncsvc_tasks
from syncsvc.models import Delivery, Heartbeat
from syncsvc.webhooks import inbox
from syncsvc.webhooks.inbox import GroupCommit
from tests.factories import DeliveryFactory
from tests.integration.test_webhook_door import SECRET, through_door
from tests.people_support import browser, staff

pytestmark = pytest.mark.spec("R10.5", "P29")

SWEEP = "syncsvc.ring_waiting_jobs"
FULL = """
    CREATE FUNCTION pg_temp.full() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
"""


@pytest.fixture
def group(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[GroupCommit]:
    """The door's own connection, which must not outlive the test's rows."""
    settings.GITHUB_WEBHOOK_SECRET = [SECRET]
    fresh = GroupCommit()
    monkeypatch.setattr(inbox, "group", fresh)
    yield fresh
    fresh.close()


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Instead of the broker: what was rung."""
    tasks: list[str] = []

    class Heard(ringing.Bell):
        def ring(self, task: str, *_: Any, **__: Any) -> bool:
            tasks.append(task)
            return True

    monkeypatch.setattr(ringing, "_bell", Heard())
    return tasks


def cut() -> None:
    """Ends every connection to this database but the one that asks: as a restart does."""
    given = connection.get_connection_params()
    wanted = ("dbname", "user", "password", "host", "port")
    with psycopg.connect(
        **{name: given[name] for name in wanted if given.get(name)}, autocommit=True
    ) as raw:
        raw.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@contextmanager
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The server is stopped: what is open is cut, and nothing new is let in."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise psycopg.OperationalError("connection refused")

    connection.ensure_connection()
    cut()
    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "get_new_connection", refuse)
        yield


@contextmanager
def full_disk(table: str) -> Iterator[None]:
    """Nothing can be added to the table for a while."""
    with connection.cursor() as cursor:
        cursor.execute(FULL.replace("pg_temp", "public"))
        cursor.execute(
            f"CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION public.full()"
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION public.full() CASCADE")


def ask(path: str, client: Client) -> tuple[int, bytes]:
    """Asks as a server does: with the signals at which connections are looked after."""
    request = RequestFactory().get(
        path, headers={"cookie": client.cookies.output(header="", sep=";")}
    )
    environ = request.environ | {"wsgi.input": io.BytesIO()}
    said: list[str] = []
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)  # the test client of another test took them off
    answer = application(environ, lambda status, _headers: said.append(status))
    body = b"".join(answer)
    answer.close()
    return int(said[0].split()[0]), body


@pytest.fixture
def client_of_staff(transactional_db: None) -> Client:
    return browser(staff())


def test_pages_and_api_say_503_while_the_database_is_away_and_are_right_at_once_afterwards(
    client_of_staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask("/", client_of_staff)[0] == 200
    with away(monkeypatch):
        code, page = ask("/", client_of_staff)
        assert code == 503
        assert b"The database does not answer" in page
        code, problem = ask("/api/v1/installations/", client_of_staff)
        assert code == 503
        assert b"try again in a minute" in problem
        assert b"refused" not in page + problem
        assert ask("/admin/", client_of_staff)[0] == 503
        assert ask("/readyz", client_of_staff)[0] == 503
        assert ask("/healthz", client_of_staff)[0] == 200
    assert ask("/", client_of_staff)[0] == 200


def test_the_first_request_after_a_restart_does_not_fail(client_of_staff: Client) -> None:
    assert ask("/", client_of_staff)[0] == 200
    cut()
    assert ask("/", client_of_staff)[0] == 200


def test_a_fault_of_ours_is_still_a_500(
    client_of_staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: Any) -> Any:
        raise ValueError

    monkeypatch.setattr("syncsvc.selectors.installations", bug)
    assert ask("/", client_of_staff)[0] == 500


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_a_full_disk_acknowledges_nothing_and_is_over_when_it_is_over(group: GroupCommit) -> None:
    assert through_door(guid="before") == 202
    with full_disk("syncsvc_delivery"):
        assert through_door(guid="during") == 503
    assert through_door(guid="during") == 202
    assert set(Delivery.objects.values_list("guid", flat=True)) == {"before", "during"}


@pytest.mark.spec("R6.3")
@pytest.mark.django_db(transaction=True)
def test_deliveries_wait_while_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(deliveries.log, "warning", lambda event, **_: said.append(event))
    row = DeliveryFactory.create(waiting=True, event="ping", action="")
    with full_disk("syncsvc_delivery"):
        reconciliation_tasks.drain_deliveries()
        row.refresh_from_db()
        assert row.status == "received"
        assert said == ["delivery.drain_failed"]
    reconciliation_tasks.drain_deliveries()
    row.refresh_from_db()
    assert row.status != "received"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "task",
    [
        syncsvc_tasks.ring_waiting_jobs,
        syncsvc_tasks.request_due_syncs,
        reconciliation_tasks.drain_deliveries,
    ],
)
def test_a_task_fails_once_at_a_cut_and_goes_on_with_the_next(task: Any) -> None:
    task()
    cut()
    for attempt in itertools.count():
        close_old_connections()  # what Celery does before and after each task
        try:
            task()
        except OperationalError:
            assert attempt == 0
        else:
            break


@pytest.mark.django_db(transaction=True)
def test_beat_survives_a_cut_and_a_database_that_is_away(
    rung: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(heartbeats.log, "warning", lambda event, **_: said.append(event))
    scheduler = beat.HeartbeatScheduler(app=app)
    scheduler._finalize.cancel()  # else it writes when the tests end
    scheduler.tick()
    cut()
    for _ in range(3):
        scheduler.tick()
    sent = len(rung)
    with away(monkeypatch):
        scheduler._recorded_at = float("-inf")  # five seconds later
        for _ in range(5):
            assert scheduler.tick() == beat.AWAY_SECONDS
        assert said == ["heartbeat.not_recorded"]  # once
        assert len(rung) == sent
    scheduler.tick()
    assert Heartbeat.objects.get(component="beat").detail == {}
    scheduler.apply_entry(scheduler.schedule[SWEEP])
    assert rung[-1] == SWEEP
    scheduler.close()
    assert not Heartbeat.objects.filter(component="beat").exists()


@pytest.mark.django_db(transaction=True)
def test_signs_of_life_are_written_over_a_cut_and_taken_back_over_one() -> None:
    for _ in range(2):
        assert heartbeats.record("worker")
        cut()
    heartbeats.farewell("worker")
    assert not Heartbeat.objects.exists()


@pytest.mark.spec("R10.5")
def test_a_periodic_task_says_in_one_line_that_the_database_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    @app.task(name="test.meets_no_database", shared=False)
    def meets_no_database() -> None:
        raise OperationalError("the server said: secret")

    with caplog.at_level(logging.INFO):
        outcome = meets_no_database.apply()
    assert isinstance(outcome.result, OperationalError)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    [line] = said
    assert "task.database_failed" in str(line.msg)
    assert line.exc_info is None
