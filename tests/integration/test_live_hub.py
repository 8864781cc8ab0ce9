"""The event loop that tells open streams: order, breaks, rights, slow browsers, and its end (R18.4)."""

import json
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from syncsvc import clock
from syncsvc.live import hub as hubs
from syncsvc.live import listener, rights, stream
from syncsvc.live.cursor import Cursor
from syncsvc.live.hub import MOST_A_USER, Hub
from syncsvc.live.switchboard import Connection, Pace
from syncsvc.live.telling import Wish
from syncsvc.models import Installation, LiveEvent, Membership, SyncJob
from tests.factories import SyncJobFactory
from tests.people_support import member_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R18.4")]

QUICK = Pace(beat=60, rights=0.02, look=0.05, tick=0.02)
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Ear:
    """The browser's side of a stream."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.heard, self.ended = connection, b"", False
        connection.settimeout(0.02)

    def until(self, condition: Callable[["Ear"], object], seconds: float = 5) -> "Ear":
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, self.heard
            try:
                data = self.connection.recv(65_536)
            except TimeoutError:
                continue
            except ConnectionResetError:
                data = b""
            self.heard += data
            self.ended = self.ended or not data
            if self.ended:
                assert condition(self), self.heard
        return self

    def ready(self) -> "Ear":
        """Told all that was to be told at first."""
        return self.until(lambda ear: re.search(rb"\n\nid: [0-9-]+\n\n", ear.heard))

    @property
    def currents(self) -> list[int]:
        return [json.loads(data)["current"] for data in re.findall(rb"data: (.+)\n", self.heard)]

    @property
    def marks(self) -> list[str]:
        return [mark.decode() for mark in re.findall(rb"^id: (\S+)$", self.heard, re.MULTILINE)]


@pytest.fixture
def job() -> SyncJob:
    return SyncJobFactory.create(running=True, total=100)


@pytest.fixture
def wish(job: SyncJob) -> Wish:
    user = member_of(job.installation)
    request: Any = type("Request", (), {"user": user, "auth": None, "session": None})
    return Wish(viewer=rights.of(request))


@pytest.fixture
def opened() -> Iterator[Callable[..., Ear]]:
    """Opens streams at a hub of its own."""
    begun: list[Hub] = []
    ears: list[Ear] = []

    def listen(wish: Wish, hub: Hub | None = None, **pace: Any) -> Ear:
        if hub is None and not begun:
            hub = Hub(pace=replace(QUICK, **pace))
        if hub is not None and hub not in begun:
            begun.append(hub)
        mine, its = socket.socketpair()
        ears.append(Ear(mine))
        assert begun[-1].reserve(wish.viewer.user_id)
        begun[-1].adopt(its, HEAD, wish)
        return ears[-1]

    listen.hubs = begun  # type: ignore[attr-defined]
    yield listen
    for hub in begun:
        hub.stop()
        assert hub.open_streams == 0
    for ear in ears:
        ear.connection.close()


def step(job: SyncJob, current: int) -> None:
    SyncJob.objects.filter(pk=job.pk).update(current=current)


@pytest.fixture
def another() -> Iterator["psycopg.Connection[Any]"]:
    """A worker's transaction that takes its time."""
    made = connections.create_connection("default")
    made.connect()
    made.set_autocommit(False)
    yield made.connection
    made.close()


def test_a_change_is_heard_by_those_whom_it_concerns(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear]
) -> None:
    stranger = SyncJobFactory.create(running=True)
    ears = [
        opened(wish),
        opened(replace(wish, job=job.pk)),
        opened(replace(wish, job=uuid.uuid4())),
    ]
    for ear in ears:
        assert ear.ready().heard.startswith(HEAD + b"retry: ")
    step(stranger, 5)
    step(job, 1)
    step(job, 2)
    for ear in ears[:2]:
        assert ear.until(lambda ear: 2 in ear.currents).currents == [0, 1, 2]
    assert ears[2].currents == []


def test_what_commits_late_is_heard_late_and_once(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear], another: "psycopg.Connection[Any]"
) -> None:
    other = SyncJobFactory.create(running=True)
    Membership.objects.create(user_id=wish.viewer.user_id, installation=other.installation)
    wish = replace(wish, viewer=replace(wish.viewer, installations=frozenset(Installation.objects.values_list("pk", flat=True))))  # fmt: skip  # noqa: E501
    ear = opened(wish).ready()
    another.execute("UPDATE syncsvc_syncjob SET current = 7 WHERE id = %s", [other.pk])
    step(job, 8)
    ear.until(lambda ear: 8 in ear.currents)
    newest = LiveEvent.objects.latest("pk").pk
    assert ear.marks[-1] == f"{newest}-{newest - 1}"
    # One that comes while the hole is open, with and without an id.
    again = opened(replace(wish, cursor=Cursor(newest - 2))).ready()
    at_hole = opened(replace(wish, cursor=Cursor(newest, (newest - 1,)))).ready()
    another.commit()
    for each in (ear, again, at_hole):
        each.until(lambda ear: 7 in ear.currents)
        assert each.marks[-1] == str(newest)
    assert (ear.currents[2:], again.currents, at_hole.currents) == ([8, 7], [8, 7], [7])


def test_a_process_that_begins_while_a_hole_is_open_knows_it(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear], another: "psycopg.Connection[Any]"
) -> None:
    step(job, 1)
    another.execute("SELECT nextval(pg_get_serial_sequence('syncsvc_liveevent', 'id'))")
    step(job, 2)
    newest = LiveEvent.objects.latest("pk").pk
    ear = opened(wish).ready()
    assert ear.marks[-1] == f"{newest}-{newest - 1}"


def test_what_is_rolled_back_is_not_waited_for_for_ever(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear], another: "psycopg.Connection[Any]"
) -> None:
    ear = opened(wish, holes=0.05).ready()
    another.execute("SELECT nextval(pg_get_serial_sequence('syncsvc_liveevent', 'id'))")
    step(job, 1)
    ear.until(lambda ear: 1 in ear.currents)
    assert "-" in ear.marks[-1]
    time.sleep(0.2)
    step(job, 2)
    ear.until(lambda ear: 2 in ear.currents)
    assert "-" not in ear.marks[-1]


def test_events_go_on_after_the_connection_was_cut(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear]
) -> None:
    ear = opened(wish).ready()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'live'"
        )
        assert cursor.fetchone()[0] == 1
    step(job, 1)
    assert ear.until(lambda ear: 1 in ear.currents).currents == [0, 1]


def test_a_database_that_is_not_there_yet_is_waited_for(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "LEAST_PAUSE", 0.01)
    failures = [OSError("no route"), psycopg.OperationalError("starting up"), TimeoutError()]

    async def connect() -> Connection:
        if failures:
            raise failures.pop()
        return await listener.connect()

    ear = opened(wish, Hub(connect=connect, pace=QUICK))
    assert ear.ready().currents == [0]


def test_a_database_that_was_restored_is_looked_at_anew(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear]
) -> None:
    ear = opened(replace(wish, cursor=Cursor(10**9))).ready()
    assert ear.heard.index(b"sync:reset") < ear.heard.index(b"sync:progress")


@pytest.mark.spec("R19.2")
def test_a_stream_ends_with_the_rights_to_it(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear]
) -> None:
    ear = opened(wish).ready()
    Membership.objects.all().delete()
    ear.until(lambda ear: ear.ended)
    step(job, 1)
    assert 1 not in ear.currents


def test_a_browser_that_does_not_read_is_cut_off_and_the_others_are_not(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream.Stream.send, "__defaults__", (1_000,))
    slow, quick = opened(wish).ready(), opened(wish).ready()
    slow.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    number = 0
    while opened.hubs[0].open_streams == 2:  # type: ignore[attr-defined]
        number += 1
        SyncJob.objects.filter(pk=job.pk).update(current=number, current_item="x" * 500)
        if number % 50 == 0:
            quick.until(partial(_has_heard, number))
        assert number < 2_000
    step(job, 10_000)
    quick.until(lambda ear: 10_000 in ear.currents)
    assert not quick.ended


def _has_heard(current: int, ear: Ear) -> bool:
    return current in ear.currents


@pytest.mark.parametrize("why", ["life", "stop", "left"])
def test_a_stream_ends(job: SyncJob, wish: Wish, opened: Callable[..., Ear], why: str) -> None:
    ear = opened(wish, **({"life": (0.3, 0.3)} if why == "life" else {})).ready()
    hub: Hub = opened.hubs[0]  # type: ignore[attr-defined]
    if why == "stop":
        hub.lives_while(lambda: False)
    if why == "left":
        ear.connection.shutdown(socket.SHUT_WR)
    ear.until(lambda ear: ear.ended)
    assert hub.open_streams == 0


def test_a_quiet_stream_is_kept_awake_and_its_mark_goes_on(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear]
) -> None:
    ear = opened(wish, beat=0.05).ready()
    step(SyncJobFactory.create(running=True), 3)  # another tenant's
    newest = LiveEvent.objects.latest("pk").pk
    ear.until(lambda ear: ear.marks[-1] == str(newest))
    assert b"\n:\n\n" in ear.heard
    assert ear.currents == [0]


def test_a_row_that_a_hand_wrote_is_passed_over(
    job: SyncJob, wish: Wish, opened: Callable[..., Ear]
) -> None:
    ear = opened(wish).ready()
    LiveEvent.objects.create(
        installation_id=job.installation_id, job_id=job.pk, kind="sync:progress", at=clock.now()
    )
    with connection.cursor() as cursor:
        cursor.execute("NOTIFY syncsvc_live, 'nonsense'")
    step(job, 1)
    assert ear.until(lambda ear: 1 in ear.currents).currents == [0, 1]


def test_nobody_takes_all_places(wish: Wish, monkeypatch: pytest.MonkeyPatch) -> None:
    hub, user_id = Hub(), wish.viewer.user_id
    assert [hub.reserve(user_id) for _ in range(MOST_A_USER + 1)] == [True] * MOST_A_USER + [False]
    assert hub.reserve(user_id + 1)
    hub.release(wish)
    assert hub.reserve(user_id)
    monkeypatch.setattr(hubs, "MOST_A_PROCESS", MOST_A_USER + 1)
    assert not hub.reserve(user_id + 2)
