"""The watchman is watched: by the page System, the banner, and a service outside."""

import re
from datetime import timedelta
from typing import Any

import pytest
import requests
import responses
from django.db import connection
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from config import logs
from syncsvc import clock, heartbeats, pinging, tasks, watchman
from syncsvc.models import Heartbeat
from tests.factories import DeliveryFactory, InstallationFactory, SyncJobFactory
from tests.integration.test_health import beat
from tests.people_support import browser, member_of, staff

URL = "https://hc.example/ping/a-secret-uuid"
ALL = ("worker", "beat", "sweeper")

pytestmark = [pytest.mark.spec("R19.3"), pytest.mark.django_db]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What pinging logged; it has not failed yet."""
    said: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            said.append({"event": event} | fields)

        info = warning

    monkeypatch.setattr(pinging, "log", Log())
    monkeypatch.setattr(pinging, "_memory", pinging._Memory())
    return said


@pytest.fixture
def outside(settings: Settings) -> Any:
    settings.HEALTHCHECK_PING_URL = URL
    with responses.RequestsMock(assert_all_requests_are_fired=False) as service:
        yield service


def asked(service: Any) -> list[str]:
    return [call.request.url for call in service.calls]


# -- signs of life -------------------------------------------------------------------------------


def test_each_process_has_a_row_and_the_youngest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeats.record("worker", queues=["a"], slots=4)
    first = Heartbeat.objects.get()
    heartbeats.record("worker", queues=["a", "b"], slots=4)
    again = Heartbeat.objects.get()
    assert again.started_at == first.started_at
    assert again.detail == {"queues": ["a", "b"], "slots": 4}
    monkeypatch.setattr(heartbeats, "_this_process", lambda: "other:1")
    heartbeats.record("worker")
    assert Heartbeat.objects.filter(component="worker").count() == 2
    Heartbeat.objects.filter(instance="other:1").update(beaten_at=clock.now() - timedelta(hours=1))
    assert heartbeats.alive("worker", clock.now())
    assert [sign.alive for sign in heartbeats.read(clock.now())] == [True, False]
    heartbeats.farewell("worker")  # of the other one, as which this process speaks
    assert Heartbeat.objects.get().instance == first.instance


def test_the_dead_are_forgotten_after_a_day() -> None:
    beat("worker", seconds_ago=86_399)
    beat("clerk", seconds_ago=86_401)
    tasks.ring_waiting_jobs()
    found = set(Heartbeat.objects.values_list("component", flat=True))
    assert found - {"sweeper"} == {"worker"}


def test_the_sweeper_signs_when_it_comes_to_an_end_and_not_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hangs() -> int:
        raise TimeoutError

    monkeypatch.setattr(heartbeats, "_signed_at", {})
    with monkeypatch.context() as patch:
        patch.setattr("syncsvc.jobs.ring_waiting", hangs)
        with pytest.raises(TimeoutError):
            tasks.ring_waiting_jobs()
    assert not heartbeats.alive("sweeper", clock.now())
    tasks.ring_waiting_jobs()
    assert heartbeats.alive("sweeper", clock.now())


@pytest.mark.parametrize("silent", ALL)
def test_what_is_silent_is_named_with_what_to_do(silent: str) -> None:
    beat(*ALL)
    assert watchman.silent(clock.now()) == {}
    beat(silent, seconds_ago=91)
    assert list(watchman.silent(clock.now())) == [silent]
    assert "start" in watchman.SILENT[silent] or "needs" in watchman.SILENT[silent]


# -- the page and the banner ---------------------------------------------------------------------


def test_the_page_shows_who_lives_what_waits_and_what_to_do() -> None:
    now = clock.now()
    beat(*ALL)
    beat("worker", seconds_ago=600)
    heartbeats.record("clerk", queues=["mirror-short"], slots=4)
    SyncJobFactory.create(waiting=True, run_after=now - timedelta(minutes=9))
    SyncJobFactory.create(waiting=True, run_after=now + timedelta(hours=1))
    SyncJobFactory.create(running=True)
    DeliveryFactory.create(waiting=True)
    found = watchman.read(now)
    assert (found.jobs_due.number, found.jobs_running, found.jobs_later) == (1, 1, 1)
    assert found.jobs_due.since == now - timedelta(minutes=9)
    assert found.deliveries_waiting.number == 1
    assert found.database_bytes > 1_000_000
    assert 1 <= found.connections <= found.connections_most
    page = browser(staff()).get(reverse("system")).content.decode()
    assert "start a Celery worker" in page
    assert "4 slots for mirror-short" in page
    assert "Gone" in page
    assert "Alive" in page


def test_the_page_is_for_those_who_run_the_server() -> None:
    assert browser(member_of(InstallationFactory.create())).get("/system/").status_code == 403
    home = browser(member_of(InstallationFactory.create())).get("/").content.decode()
    assert "/system/" not in home
    assert "/system/" in browser(staff()).get("/").content.decode()


def test_the_page_costs_the_same_queries_however_many_processes_there_are(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(7):
        watchman.read(clock.now())
    for number in range(20):
        heartbeats.record("worker", instance=f"host:{number}")
    with django_assert_num_queries(7):
        watchman.read(clock.now())


@pytest.mark.parametrize("silent", ALL)
def test_the_home_page_says_that_nothing_is_synced(silent: str) -> None:
    member = browser(member_of(InstallationFactory.create()))
    beat(*ALL)
    assert "Nothing is being synced" not in member.get("/").content.decode()
    beat(silent, seconds_ago=91)
    page = member.get("/").content.decode()
    assert "Nothing is being synced" in page
    assert "Celery" not in page  # what to do is for those who can
    words = re.sub(r"\s+", " ", browser(staff()).get("/").content.decode())
    assert watchman.SILENT[silent].replace("'", "&#x27;") in words


# -- the service outside -------------------------------------------------------------------------


def test_nobody_is_told_where_nobody_is_named(settings: Settings) -> None:
    settings.HEALTHCHECK_PING_URL = ""
    assert pinging.ping(clock.now()) is None


def test_a_service_outside_hears_that_all_is_well_or_not(
    outside: Any, lines: list[dict[str, Any]]
) -> None:
    outside.get(URL, body="OK")
    outside.get(URL + "/fail", body="OK")
    beat(*ALL)
    tasks.ping()
    beat("beat", seconds_ago=60)
    assert pinging.ping(clock.now()) is True
    assert asked(outside) == [URL, URL + "/fail"]
    assert lines == []


def test_a_query_stays_behind_the_word_fail() -> None:
    assert pinging._address("http://h/p/?rid=1", failed=True) == "http://h/p/fail?rid=1"


@pytest.mark.parametrize(
    "trouble", [requests.ConnectionError(f"refused {URL}"), requests.Timeout(URL), 500, 404]
)
def test_a_service_that_does_not_listen_is_logged_once_and_never_raises(
    outside: Any, lines: list[dict[str, Any]], trouble: Exception | int
) -> None:
    beat(*ALL)
    how = {"status": trouble} if isinstance(trouble, int) else {"body": trouble}
    outside.get(URL, **how)
    assert [pinging.ping(clock.now()) for _ in range(3)] == [False] * 3
    assert [line["event"] for line in lines] == ["ping.failed"]
    outside.replace(responses.GET, URL, body="OK")
    assert [pinging.ping(clock.now()) for _ in range(2)] == [True] * 2
    assert [line["event"] for line in lines] == ["ping.failed", "ping.heard"]
    assert "secret" not in str(lines)


def test_redirects_stay_on_their_host(outside: Any, lines: list[dict[str, Any]]) -> None:
    beat(*ALL)
    outside.get(URL, status=302, headers={"location": "/moved"})
    outside.get("https://hc.example/moved", body="OK")
    assert pinging.ping(clock.now()) is True
    for elsewhere in ("http://169.254.169.254/", "http://hc.example/moved", "http://[", URL):
        outside.replace(responses.GET, URL, status=302, headers={"location": elsewhere})
        assert pinging.ping(clock.now()) is False
    assert not [url for url in asked(outside) if "169.254" in url or url.startswith("http:")]


def test_sentry_hears_of_no_request_to_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setenv("HEALTHCHECK_PING_URL", URL)
    monkeypatch.setattr("sentry_sdk.init", lambda **options: given.update(options))
    logs.configure_sentry("https://key@sentry.example/1")
    assert given["max_request_body_size"] == "never"  # people paste keys into forms
    keep = given["before_breadcrumb"]
    assert keep({"category": "httplib", "data": {"url": URL}}, None) is None
    other = {"category": "httplib", "data": {"url": "https://api.github.com/user"}}
    assert keep(other, None) is other
    assert keep({"message": "plain"}, None) == {"message": "plain"}


# --- upgrades -------------------------------------------------------------------------------------


@pytest.mark.spec("R19.5")
def test_code_from_before_finds_its_own_sign_and_no_other() -> None:
    """It asks for the one row of its component and ends where there are two, as beat did."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO syncsvc_heartbeat (component, beaten_at) VALUES ('beat', now())"
        )
        heartbeats.record("beat")
        heartbeats.record("beat", instance="elsewhere:1")
        cursor.execute("SELECT count(*) FROM syncsvc_heartbeat WHERE component = 'beat'")
        assert cursor.fetchone() == (1,)
    assert Heartbeat.objects.filter(component="beat").count() == 2


def test_a_sign_from_the_future_hides_nobody_s_death() -> None:
    now = clock.now()
    Heartbeat.objects.all().delete()
    Heartbeat.objects.create(
        component=heartbeats.BEAT,
        instance="a",
        beaten_at=now + timedelta(hours=1),
        started_at=now,
        detail={},
    )
    assert heartbeats.BEAT in watchman.silent(now)
