"""The doctor against the real simulator, as a page and as a command."""

import json
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from io import StringIO

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from syncsvc import clock, credentials, discovery, heartbeats, vault
from syncsvc.doctor import gather
from syncsvc.models import Credential
from syncsvc.simulator import Fault, Simulator
from syncsvc.webhooks import door, inbox
from tests.factories import UserFactory
from tests.people_support import browser, staff

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("socket_enabled")]


@pytest.fixture
def well(app_mode: Simulator, settings: Settings) -> Simulator:
    """Everything is set up as it should be."""
    settings.BASE_URL = "http://testserver"
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.GITHUB_WEBHOOK_SECRET = ["s"]
    app_mode.world.set_app_hook("http://testserver/webhooks/github/", "s")
    discovery.discover()
    for component in (heartbeats.WORKER, heartbeats.BEAT, heartbeats.SWEEPER):
        heartbeats.record(component)
    app_mode.reset_log()
    return app_mode


def wait_for(there: Callable[[], bool]) -> bool:
    """Whether it came about within seconds: another thread does it."""
    end = time.monotonic() + 10
    while not there() and time.monotonic() < end:
        threading.Event().wait(0.01)
    return there()


def examined(*args: str) -> tuple[dict[str, dict[str, str]], int]:
    """The command's findings by key, and its exit code."""
    out, code = StringIO(), 0
    try:
        call_command("doctor", "--json", *args, stdout=out)
    except SystemExit as ended:
        code = int(str(ended.code))
    return {each["key"]: each for each in json.loads(out.getvalue())["findings"]}, code


def test_a_mirror_that_is_well_is_told_so_in_four_requests(well: Simulator) -> None:
    found, code = examined()
    assert code == 0
    assert {key for key, each in found.items() if each["state"] == "bad"} == set()
    for key in (
        "accepted_app",
        "clock",
        "hook",
        "worker",
        "beat",
        "sweeper",
        "broker",
        "migrations",
    ):
        assert found[key]["state"] == "ok", found[key]
    assert len(well.requests()) <= 4


def test_what_is_broken_ends_the_command_with_one(well: Simulator) -> None:
    well.world.set_app_hook("https://elsewhere.example/hook", "s")
    found, code = examined()
    assert (code, found["hook"]["state"]) == (1, "bad")
    well.reset_log()
    _, code = examined("--offline")
    assert (code, well.requests()) == (0, [])


def test_a_github_that_is_away_is_asked_once(well: Simulator) -> None:
    well.faults.add(Fault(kind="status", status=502, path_regex="/app", times=None))
    found, code = examined()
    assert (code, found["accepted_app"]["state"]) == (1, "bad")
    assert len(well.requests()) == 1


def test_the_page_keeps_what_github_said(well: Simulator) -> None:
    client = browser(staff())
    page = client.get("/doctor/").content.decode()
    assert "GitHub takes the App" not in page
    assert not well.requests()
    client.post("/doctor/")
    asked = len(well.requests())
    client.post("/doctor/")  # a double click
    page = client.get("/doctor/").content.decode()
    assert "GitHub takes the App" in page
    assert "GitHub was asked seconds ago" in page
    assert len(well.requests()) == asked


def test_what_github_said_hours_ago_is_not_shown_as_if_it_were_so(well: Simulator) -> None:
    client = browser(staff())
    assert client.get("/doctor/").context["is_well"] is False  # nobody has asked GitHub
    client.post("/doctor/")
    assert "GitHub was asked" in client.get("/doctor/").content.decode()
    for moved in (timedelta(hours=2), -timedelta(hours=2)):
        with time_machine.travel(clock.now() + moved):
            old = client.get("/doctor/")
        assert "GitHub was asked" not in old.content.decode()
        assert "GitHub takes the App" not in old.content.decode()
        assert old.context["is_well"] is False


def test_github_sends_a_webhook_again_at_the_press_of_a_button(well: Simulator) -> None:
    client = browser(staff())
    client.post("/doctor/", {"do": "send-again"})
    assert "nothing to send again" in client.get("/doctor/").content.decode()
    hook = well.world.app_hook()
    assert hook is not None
    well.deliveries.ping(hook)
    assert wait_for(lambda: bool(well.deliveries.all()))
    client.post("/doctor/", {"do": "send-again"})
    assert "asked to send its event “ping” again" in client.get("/doctor/").content.decode()
    assert [each.status for each in well.requests() if each.path.endswith("/attempts")] == [202]


def test_only_staff_see_the_doctor(well: Simulator) -> None:
    assert Client().get("/doctor/").status_code == 302
    assert browser(UserFactory.create()).get("/doctor/").status_code == 403
    assert browser(UserFactory.create(is_staff=True)).get("/doctor/").status_code == 200


def test_the_page_takes_a_bounded_number_of_queries(
    well: Simulator, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = browser(staff())
    client.get("/doctor/")
    with django_assert_max_num_queries(16):
        client.get("/doctor/")


@pytest.mark.spec("R6.1", "R19.4")
def test_the_door_asks_the_database_for_no_secret_of_a_delivery(
    settings: Settings, django_assert_num_queries: DjangoAssertNumQueries, client: Client
) -> None:
    settings.GITHUB_WEBHOOK_SECRET = []
    Credential.objects.create(
        kind="token", owner="octo", token=vault.encrypt("ghp_x"), webhook_secret=vault.encrypt("s")
    )
    environ = {"REQUEST_METHOD": "POST", "CONTENT_LENGTH": "0"}
    door.respond(environ, inbox.store_now)
    with django_assert_num_queries(0):
        for _ in range(50):
            assert door.respond(environ, inbox.store_now).status in (400, 401)
    assert credentials.webhook_secrets() == ("s",)


def test_the_facts_name_what_is_lost(settings: Settings) -> None:
    assert gather.local().ways == ()
    settings.FIELD_ENCRYPTION_KEYS = [settings.SECRET_KEY]
    assert gather.local().derived_key
    assert gather.local().now.utcoffset() == timedelta(0)
