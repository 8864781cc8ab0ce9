"""The webhook's address over Django's view and over the WSGI door: stored once, acknowledged late
enough, refused with the documented status."""

import hashlib
import hmac
import io
import json
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from config.wsgi import application
from syncsvc import ringing
from syncsvc.models import Delivery
from syncsvc.webhooks import inbox
from syncsvc.webhooks.arrival import LARGEST, Arrival
from syncsvc.webhooks.inbox import GroupCommit, Stored
from tests.contract import contract_dir

SECRET = "the secret of the hook"
URL = "/webhooks/github/"


@pytest.fixture(autouse=True)
def secret(settings: Settings) -> None:
    settings.GITHUB_WEBHOOK_SECRET = [SECRET]


@pytest.fixture(autouse=True)
def group(monkeypatch: pytest.MonkeyPatch) -> Iterator[GroupCommit]:
    """One for each test: its connection must not outlive the test's rows."""
    fresh = GroupCommit()
    monkeypatch.setattr(inbox, "group", fresh)
    yield fresh
    fresh.close()


def sign(body: bytes) -> str:
    return "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def arrival(number: int = 1, **changed: Any) -> Arrival:
    values: dict[str, Any] = {
        "guid": f"guid-{number}", "hook_id": 7, "target_type": "integration", "target_id": 1,
        "event": "issues", "action": "opened", "installation_github_id": 11, "account_id": 33,
        "repository_github_id": None, "payload": zlib.compress(b"{}"), "payload_bytes": 2,
    }  # fmt: skip
    return Arrival(**values | changed)


Send = Callable[..., int]


@cache
def client() -> Client:
    """One for all: each new one collects the static files, which takes longer than a test."""
    return Client()


def through_view(body: bytes = b"{}", guid: str = "g-1", event: str = "issues", **more: str) -> int:
    headers = {
        "X-GitHub-Event": event, "X-GitHub-Delivery": guid, "X-GitHub-Hook-ID": "7",
        "X-Hub-Signature-256": sign(body), **more,
    }  # fmt: skip
    kind = headers.pop("Content-Type", "application/json")
    answer = client().post(URL, data=body, content_type=kind, headers=headers)
    assert answer["Content-Type"] == "application/json"
    assert answer.json()["status"] in ("accepted", "seen", "refused")
    return answer.status_code


def environ_of(body: bytes, headers: dict[str, str], method: str = "POST") -> dict[str, Any]:
    named = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    return {
        "REQUEST_METHOD": method, "PATH_INFO": URL, "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": named.pop("HTTP_CONTENT_TYPE", "application/json"), **named,
    }  # fmt: skip


def call(environ: dict[str, Any]) -> tuple[int, dict[str, str], dict[str, Any]]:
    """What the door answers to an environ: status, headers, JSON."""
    said: list[Any] = []
    parts = application(environ, lambda status, headers, *_: said.extend([status, headers]))
    return int(said[0][:3]), dict(said[1]), json.loads(b"".join(parts))


def through_door(body: bytes = b"{}", guid: str = "g-1", event: str = "issues", **more: str) -> int:
    headers = {
        "X-GitHub-Event": event, "X-GitHub-Delivery": guid, "X-GitHub-Hook-ID": "7",
        "X-Hub-Signature-256": sign(body), **more,
    }  # fmt: skip
    status, answered, said = call(environ_of(body, headers))
    assert answered["Content-Type"] == "application/json"
    assert said["status"] in ("accepted", "seen", "refused")
    return status


both = pytest.mark.parametrize("send", [through_view, through_door], ids=["view", "door"])


# -- what is stored ------------------------------------------------------------------------------


@both
@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_a_delivery_is_stored_once_and_waits_to_be_processed(send: Send) -> None:
    body = json.dumps({"action": "opened", "repository": {"id": 5, "owner": {"id": 6}}}).encode()
    assert send(body) == 202
    assert send(body) == 200
    row = Delivery.objects.get()
    assert (row.guid, row.hook_id, row.event, row.action) == ("g-1", 7, "issues", "opened")
    assert (row.repository_github_id, row.account_id) == (5, 6)
    assert (row.status, row.outcome, row.attempts, row.processed_at) == ("received", "", 0, None)
    assert row.due_at == row.received_at
    assert abs((row.received_at - datetime.now(UTC)).total_seconds()) < 60
    assert zlib.decompress(row.payload or b"") == body
    assert row.payload_bytes == len(body)


@both
@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_the_same_event_over_another_hook_is_another_delivery(send: Send) -> None:
    assert send() == 202
    assert send(**{"X-GitHub-Hook-ID": "8"}) == 202
    assert send(b'{"other":1}') == 200
    assert set(Delivery.objects.values_list("guid", "hook_id")) == {("g-1", 7), ("g-1", 8)}


def examples() -> list[Path]:
    return sorted((contract_dir() / "webhooks").glob("*/*.json"))


@both
@pytest.mark.spec("R6.1", "R6.2")
@pytest.mark.django_db(transaction=True)
def test_every_example_of_githubs_is_stored_as_what_it_is(send: Send) -> None:
    for number, path in enumerate(examples()):
        body = path.read_bytes()
        event = path.parent.name
        assert send(body, guid=f"e-{number}", event=event) == 202, path
        assert send(body, guid=f"e-{number}", event=event) == 200, path
        said = json.loads(body)
        row = Delivery.objects.get(guid=f"e-{number}")
        assert row.event == event
        assert row.action == said.get("action", ""), path
        assert row.installation_github_id == said.get("installation", {}).get("id"), path
        assert row.repository_github_id == (said.get("repository") or {}).get("id"), path
        if row.repository_github_id or row.installation_github_id:
            assert row.account_id, path
        assert zlib.decompress(row.payload or b"") == body
    assert Delivery.objects.count() == len(examples()) > 50


@both
@pytest.mark.django_db(transaction=True)
def test_characters_that_postgresql_cannot_hold_break_nothing(send: Send) -> None:
    body = b'{"action":"a\\u0000b\\ud800","title":"\\u0000"}'
    assert send(body) == 202
    assert Delivery.objects.get().action == "a\ufffdb\ufffd"


# -- what is refused -----------------------------------------------------------------------------

REFUSED: list[tuple[int, dict[str, str]]] = [
    (401, {"X-Hub-Signature-256": "sha256=" + "0" * 64}),
    (401, {"X-Hub-Signature-256": ""}),
    (401, {"X-Hub-Signature-256": "sha1=" + "0" * 40}),
    (400, {"Content-Type": "text/plain"}),
    (400, {"Content-Type": "multipart/form-data; boundary=x"}),
    (400, {"X-GitHub-Event": "no name"}),
    (400, {"X-GitHub-Event": ""}),
    (400, {"X-GitHub-Delivery": "x" * 65}),
    (400, {"X-GitHub-Delivery": ""}),
    (400, {"Content-Type": "application/x-www-form-urlencoded"}),
]


@both
@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_what_is_refused_has_its_status_one_log_line_and_no_row(
    send: Send, log_lines: list[dict[str, Any]]
) -> None:
    for status, changed in REFUSED:
        log_lines.clear()
        assert send(**changed) == status, changed
        [line] = log_lines
        assert (line["event"], line["status"]) == ("webhook.refused", status)
        assert line["reason"]
        assert "sha256=0" not in json.dumps(line)
    for body in (b"", b"{", b"[]", b"[" * 50_000):
        assert send(body) == 400
    assert not Delivery.objects.exists()


@pytest.fixture
def log_lines(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the door logged."""
    lines: list[dict[str, Any]] = []

    class Log:
        def warning(self, event: str, **fields: Any) -> None:
            lines.append({"event": event, **fields})

        error = warning

    monkeypatch.setattr("syncsvc.webhooks.door.log", Log())
    monkeypatch.setattr("syncsvc.webhooks.inbox.log", Log())
    monkeypatch.setattr("syncsvc.ringing.log", Log())
    return lines


@both
@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_without_a_secret_the_log_says_which_setting_is_missing(
    send: Send, settings: Settings, log_lines: list[dict[str, Any]]
) -> None:
    settings.GITHUB_WEBHOOK_SECRET = []
    assert send() == 401
    assert "GITHUB_WEBHOOK_SECRET" in log_lines[0]["sentence"]


@both
@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_25_mb_are_stored_and_one_byte_more_is_refused(send: Send) -> None:
    largest = b'{"a":"' + b"x" * (LARGEST - 8) + b'"}'
    assert send(largest) == 202
    assert Delivery.objects.get().payload_bytes == LARGEST
    assert send(largest + b" ", guid="g-2") == 413
    assert Delivery.objects.count() == 1


class Endless(io.BytesIO):
    """A body without an end; remembers how much of it was held at once and in all."""

    most = total = 0

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        self.most, self.total = max(self.most, size), self.total + size
        return b" " * size


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize(
    ("length", "signature", "status"),
    [(LARGEST + 1, sign(b""), 413), (10**17, sign(b""), 413), (LARGEST, "", 401)],
)
def test_what_must_be_refused_is_not_held_in_memory(
    length: int, signature: str, status: int
) -> None:
    environ, body = environ_of(b"", {"X-Hub-Signature-256": signature}), Endless()
    answered = call(environ | {"CONTENT_LENGTH": str(length), "wsgi.input": body})
    assert answered[0] == status
    assert body.most <= 1024 * 1024
    assert body.total == min(length, 2 * LARGEST)  # read all the same, so that the sender listens


@pytest.mark.parametrize("length", ["", "-1", "1x", "٣", "9" * 30, "+2", " "])
def test_a_senseless_length_is_malformed(length: str) -> None:
    environ = environ_of(b"{}", {"X-Hub-Signature-256": sign(b"{}")})
    status, _, said = call(environ | {"CONTENT_LENGTH": length})
    assert (status, said["reason"]) == (400, "length")


def test_a_body_that_ends_early_is_malformed() -> None:
    environ = environ_of(b"{}", {"X-Hub-Signature-256": sign(b"{}")})
    status, _, said = call(environ | {"CONTENT_LENGTH": "3"})
    assert (status, said["reason"]) == (400, "body")


def test_a_body_that_cannot_be_read_is_malformed() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError

    environ = environ_of(b"{}", {"X-Hub-Signature-256": sign(b"{}")})
    status, _, said = call(environ | {"wsgi.input": Broken()})
    assert (status, said["reason"]) == (400, "body")


def chunked(body: bytes) -> dict[str, Any]:
    environ = environ_of(
        body,
        {
            "X-Hub-Signature-256": sign(body), "Transfer-Encoding": "chunked",
            "X-GitHub-Event": "issues", "X-GitHub-Delivery": "g-1",
        },
    )  # fmt: skip
    return environ | {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_chunks_are_read_up_to_the_limit_and_no_further() -> None:
    assert call(chunked(b'{"a":1}'))[0] == 202
    endless = chunked(b" " * (LARGEST + 5_000_000))
    assert call(endless)[0] == 413
    assert endless["wsgi.input"].tell() <= LARGEST + 1024 * 1024
    assert call(chunked(b"{}") | {"wsgi.input_terminated": False})[0] == 400


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"])
def test_other_methods_are_told_which_one_to_use(method: str) -> None:
    status, headers, said = call(environ_of(b"", {}, method))
    assert (status, headers["Allow"], said["reason"]) == (405, "POST", "method")


def test_the_view_too_serves_posts_only() -> None:
    answer = Client().get(URL)
    assert (answer.status_code, answer["Allow"]) == (405, "POST")


@pytest.mark.django_db(transaction=True)
def test_a_missing_slash_does_not_matter_and_other_addresses_are_djangos() -> None:
    body = b"{}"
    headers = {
        "X-Hub-Signature-256": sign(body), "X-GitHub-Event": "ping", "X-GitHub-Delivery": "g",
    }  # fmt: skip
    environ = environ_of(body, headers) | {"PATH_INFO": "/webhooks/github"}
    assert call(environ)[0] == 202
    assert Client().post("/webhooks/github", body, "application/json").status_code == 401
    said: list[str] = []
    other = environ_of(b"", {}, "GET") | {
        "PATH_INFO": "/healthz", "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "wsgi.url_scheme": "http", "HTTP_HOST": "localhost",
    }  # fmt: skip
    application(other, lambda status, *_: said.append(status)).close()
    assert said == ["200 OK"]


# -- many at once --------------------------------------------------------------------------------


def in_threads(work: Callable[[int], Any], count: int) -> list[Any]:
    """What `work` returned in as many threads, all let go at one moment."""
    begin, found = threading.Barrier(count), [None] * count

    def run(number: int) -> None:
        begin.wait()
        found[number] = work(number)

    threads = [threading.Thread(target=run, args=[number]) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_of_fifty_at_one_moment_one_is_new() -> None:
    found = in_threads(lambda _: through_door(), 50)
    assert Counter(found) == {202: 1, 200: 49}
    assert Delivery.objects.count() == 1


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_two_processes_that_store_the_same_agree_on_who_was_first() -> None:
    groups = [GroupCommit(), GroupCommit(), GroupCommit()]
    try:
        found = in_threads(lambda n: groups[n % 3].store(arrival(n // 3 % 8)), 48)
    finally:
        for each in groups:
            each.close()
    assert Counter(found) == {Stored.NEW: 8, Stored.SEEN: 40}
    assert Delivery.objects.count() == 8


@pytest.mark.django_db(transaction=True)
def test_what_waits_during_a_commit_shares_the_next_one(
    group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, batches, entered, go_on = inbox._insert, [], threading.Event(), threading.Event()

    def slow(raw: Any, arrivals: list[Arrival], now: datetime) -> list[Stored]:
        batches.append(len(arrivals))
        if len(batches) == 1:
            entered.set()
            go_on.wait(10)
        return plain(raw, arrivals, now)

    monkeypatch.setattr(inbox, "_insert", slow)
    first = threading.Thread(target=group.store, args=[arrival(100)])
    first.start()
    entered.wait(10)
    others = [threading.Thread(target=group.store, args=[arrival(n)]) for n in range(20)]
    for thread in others:
        thread.start()
    while len(group._queue) < 20:
        pass
    go_on.set()
    for thread in [first, *others]:
        thread.join()
    assert batches == [1, 20]
    assert Delivery.objects.count() == 21


@pytest.mark.django_db(transaction=True)
def test_a_row_that_the_database_refuses_takes_no_other_with_it(group: GroupCommit) -> None:
    with psycopg.connect(**_plain_parameters()) as raw:
        raw.autocommit = True
        batch = [arrival(n, event="" if n == 3 else "issues") for n in range(8)]
        batch[6] = arrival(6, payload_bytes=2**40)
        stored = inbox._insert_what_can_be(raw, batch, datetime.now(UTC))
    bad = [n for n, each in enumerate(stored) if each is Stored.IMPOSSIBLE]
    assert bad == [3, 6]
    assert Delivery.objects.count() == 6
    assert group.store(arrival(50, event="")) is Stored.IMPOSSIBLE
    assert group.store(arrival(51)) is Stored.NEW


def _plain_parameters() -> dict[str, Any]:
    wanted = ("dbname", "user", "password", "host", "port")
    given = connection.get_connection_params()
    return {name: given[name] for name in wanted if given.get(name)}


@pytest.mark.django_db(transaction=True)
def test_the_connection_never_commits_in_memory_only(group: GroupCommit) -> None:
    assert group.store(arrival()) is Stored.NEW
    assert group._connection is not None
    [[value]] = group._connection.execute("SHOW synchronous_commit").fetchall()
    assert value != "off"


@pytest.mark.django_db(transaction=True)
def test_the_view_stores_within_the_transaction_that_is_open() -> None:
    with transaction.atomic():
        assert through_view() == 202
        transaction.set_rollback(True)
    assert not Delivery.objects.exists()


# -- what fails ----------------------------------------------------------------------------------


def kill(held: "psycopg.Connection[Any] | None") -> None:
    assert held is not None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [held.info.backend_pid])


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_a_connection_that_was_cut_is_replaced_without_anybody_noticing(group: GroupCommit) -> None:
    assert through_door(guid="before") == 202
    kill(group._connection)
    assert through_door(guid="after") == 202
    assert Delivery.objects.count() == 2


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_what_is_acknowledged_while_connections_are_cut_is_there(group: GroupCommit) -> None:
    done = threading.Event()

    def cut() -> None:
        with psycopg.connect(**_plain_parameters()) as raw:
            while not done.wait(0.01):
                held = group._connection
                if held is not None and not held.closed:
                    raw.execute("SELECT pg_terminate_backend(%s)", [held.info.backend_pid])

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        found = in_threads(
            lambda n: [(f"{n}-{m}", through_door(guid=f"{n}-{m}")) for m in range(15)], 8
        )
    finally:
        done.set()
        cutter.join()
    answers = dict(pair for each in found for pair in each)
    assert set(answers.values()) <= {200, 202, 503}
    acknowledged = {guid for guid, status in answers.items() if status in (200, 202)}
    assert acknowledged
    assert acknowledged <= set(Delivery.objects.values_list("guid", flat=True))


@pytest.mark.spec("R6.1")
def test_a_database_that_is_down_is_no_acknowledgement(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[dict[str, Any]]
) -> None:
    def down() -> Any:
        raise psycopg.OperationalError("connection refused")

    down_group = GroupCommit(down)
    monkeypatch.setattr(inbox, "group", down_group)
    assert in_threads(lambda n: through_door(guid=f"g-{n}"), 6) == [503] * 6
    assert {line["event"] for line in log_lines} == {"webhook.not_stored", "webhook.refused"}
    assert not down_group._busy
    assert not down_group._queue


@pytest.mark.django_db(transaction=True)
def test_an_error_that_nobody_foresaw_leaves_nobody_waiting(
    group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bug(*_: Any) -> Any:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(inbox, "_insert", bug)
        with pytest.raises(RuntimeError):
            group.store(arrival())
    assert group.store(arrival()) is Stored.NEW


@pytest.mark.django_db(transaction=True)
def test_a_lock_that_is_held_for_long_is_not_waited_for(
    group: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "STATEMENT_SECONDS", 1)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE syncsvc_delivery IN EXCLUSIVE MODE")
        assert group.store(arrival()) is Stored.UNAVAILABLE
    assert group.store(arrival()) is Stored.NEW


# -- the bell ------------------------------------------------------------------------------------


def test_a_broker_that_is_down_is_told_in_the_log_and_fails_nothing(
    monkeypatch: pytest.MonkeyPatch, log_lines: list[dict[str, Any]], real_ring: Callable[[], bool]
) -> None:
    def refused() -> Any:
        raise ConnectionRefusedError

    monkeypatch.setattr(ringing, "_bell", ringing.Bell(refused))
    assert real_ring() is False
    assert log_lines == [{"event": "broker.unreachable", "error": "ConnectionRefusedError"}]


@pytest.mark.spec("R6.1")
@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_after_new_deliveries_and_less_often_than_they_come(
    monkeypatch: pytest.MonkeyPatch, group: GroupCommit
) -> None:
    rung, heard = [], threading.Event()

    def ring() -> bool:
        rung.append(Delivery.objects.count())
        connection.close()
        heard.set()
        return True

    monkeypatch.setattr(inbox, "ring_bell", ring)
    monkeypatch.setattr(inbox, "bell", inbox.Bell(pause=60))
    for number in range(20):
        group.store(arrival(number))
    assert heard.wait(10)
    assert len(rung) == 1
    assert rung[0] >= 1
    heard.clear()
    monkeypatch.setattr(inbox, "bell", inbox.Bell(pause=60))
    assert group.store(arrival(1)) is Stored.SEEN
    assert inbox.bell._thread is None
