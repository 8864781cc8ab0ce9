"""Redis killed, flushed, silent; the folder of the file broker emptied: nobody waits, nothing is lost."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.conf import settings
from kombu import Connection

from config import beat, redis_cache
from config.celery import app
from syncsvc import jobs, ringing
from syncsvc.models import SyncJob
from syncsvc.service import SyncService
from tests.acceptance.served import free_port
from tests.factories import InstallationFactory

SHORT = "syncsvc.ring_waiting_jobs"
real_ring = jobs.ring  # as it is before the fixtures replace the broker by a list


class OwnRedis:
    """A Redis of the test's own, which may do with it what it likes."""

    def __init__(self, binary: str) -> None:
        self.binary, self.port = binary, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port)
        self.start()

    def start(self) -> None:
        command = [self.binary, "--port", str(self.port), "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client.ping()
            except redis.ConnectionError:
                assert time.monotonic() < deadline
            else:
                return

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()

    def waiting(self, queue: str = "") -> int:
        return int(self.client.llen(queue or ringing.queue_of(SHORT)))


@pytest.fixture
def own_redis() -> Iterator[OwnRedis]:
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("There is no redis-server on this machine: install Redis to run this test.")
    server = OwnRedis(binary)
    yield server
    server.kill()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the bell logged."""
    said: list[str] = []

    class Log:
        def warning(self, event: str, **_: Any) -> None:
            said.append(event)

        info = debug = warning

    monkeypatch.setattr(ringing, "log", Log())
    return said


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is forgotten at once."""
    monkeypatch.setattr(ringing, "PAUSE_SECONDS", 0.0)


def bell_of(server: OwnRedis) -> ringing.Bell:
    return ringing.Bell(lambda: ringing.connect(server.url))


@pytest.mark.spec("R10.5")
def test_a_kept_connection_outlives_a_redis_that_was_flushed_and_one_that_was_restarted(
    own_redis: OwnRedis, impatient: None, lines: list[str]
) -> None:
    bell = bell_of(own_redis)
    assert bell.ring(SHORT)
    own_redis.client.flushall()
    assert bell.ring(SHORT)
    assert own_redis.waiting() == 1
    own_redis.kill()
    assert not bell.ring(SHORT)
    assert not bell.ring(SHORT)
    own_redis.start()
    assert bell.ring(SHORT)
    assert own_redis.waiting() == 1
    assert lines == ["broker.unreachable", "broker.back"]  # each once
    own_redis.kill()
    own_redis.start()
    assert bell.ring(SHORT)  # cut unnoticed, and there again: the second attempt of the same ring
    assert lines == ["broker.unreachable", "broker.back"]


@pytest.mark.spec("R10.5")
def test_a_broker_that_takes_the_connection_and_never_answers_costs_a_second_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ringing, "SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        bell = ringing.Bell(lambda: ringing.connect(url))
        began = time.monotonic()
        assert not bell.ring(SHORT)
        first = time.monotonic() - began
        assert 0.1 < first < 1.5
        for _ in range(50):  # those that come after it do not even try
            assert not bell.ring(SHORT)
        assert time.monotonic() - began < first + 0.1


@pytest.mark.spec("R10.5")
def test_a_redis_that_hangs_in_the_middle_is_left_and_found_again(
    own_redis: OwnRedis, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringing, "SECONDS", 0.2)
    bell = bell_of(own_redis)
    assert bell.ring(SHORT)
    own_redis.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert not bell.ring(SHORT)
    assert time.monotonic() - began < 1.5
    own_redis.process.send_signal(signal.SIGCONT)
    assert bell.ring(SHORT)


@pytest.mark.spec("R10.5", "R3.4")
@pytest.mark.django_db(transaction=True)
def test_a_job_that_could_not_be_rung_is_rung_when_redis_is_back(
    own_redis: OwnRedis, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ring", real_ring)
    monkeypatch.setattr(ringing, "_bell", bell_of(own_redis))
    own_redis.kill()
    decision = SyncService.request(InstallationFactory.create().pk, "manual")
    assert str(decision.action) == "start"
    assert SyncJob.objects.get().rung_at is None
    assert jobs.ring_waiting() == 0
    own_redis.start()
    assert jobs.ring_waiting() == 1
    assert own_redis.waiting(ringing.queue_of(ringing.RUN_JOB)) == 1
    assert own_redis.waiting() == 0  # runs and what is short do not share a queue


@pytest.mark.spec("R3.4", "R10.5")
@pytest.mark.django_db(transaction=True)
def test_beat_goes_on_without_its_broker_and_sends_what_was_due_once(
    own_redis: OwnRedis, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ringing, "_bell", bell_of(own_redis))
    scheduler = beat.HeartbeatScheduler(app=app)
    scheduler._finalize.cancel()  # else it writes when the tests end
    entry = scheduler.schedule[SHORT]
    own_redis.kill()
    for _ in range(3):
        scheduler.apply_entry(entry)  # due thrice while the broker is away
    assert scheduler.tick() <= 5
    own_redis.start()
    scheduler._heap = []  # nothing else is due
    scheduler._send_unsent()
    assert not scheduler._unsent
    raw = own_redis.client.lrange(ringing.queue_of(SHORT), 0, -1)
    assert sum(SHORT.encode() in message for message in raw) == 1


@pytest.mark.spec("R10.5")
def test_the_file_broker_may_be_emptied_and_its_folders_removed(tmp_path: Path) -> None:
    options = {
        "data_folder_in": str(tmp_path / "queue"),
        "data_folder_out": str(tmp_path / "queue"),
        "control_folder": str(tmp_path / "control"),
        "processed_folder": str(tmp_path / "processed"),
    }
    for folder in {*options.values()}:
        Path(folder).mkdir()

    def connect() -> Any:
        return Connection(
            "filesystem://",
            transport="config.filesystem_broker:Transport",
            transport_options=options,
        )

    bell = ringing.Bell(connect)
    with connect() as taking:
        queue = taking.SimpleQueue(ringing.queue_of(SHORT))
        assert bell.ring(SHORT)
        for folder in {*options.values()}:
            shutil.rmtree(folder)
        with pytest.raises(queue.Empty):
            queue.get(block=False)
        assert bell.ring(SHORT)
        assert queue.get(block=False).headers["task"] == SHORT


@pytest.fixture
def forgetful(own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch) -> redis_cache.Cache:
    """The cache of production, in a Redis of the test's own."""
    monkeypatch.setattr(redis_cache, "_State", type("_State", (redis_cache._State,), {}))
    monkeypatch.setattr(redis_cache, "PAUSE_SECONDS", 0.0)
    return redis_cache.Cache(own_redis.url, {})


@pytest.mark.spec("R10.5")
def test_a_cache_that_is_away_remembers_nothing_and_fails_nobody(
    own_redis: OwnRedis, forgetful: redis_cache.Cache
) -> None:
    forgetful.set("key", 1)
    assert (forgetful.get("key"), forgetful.add("key", 2)) == (1, False)
    own_redis.kill()
    own_redis.start()
    assert forgetful.get("key") is None  # cut unnoticed, and there again
    assert forgetful.add("key", 2)
    own_redis.kill()
    assert forgetful.get("key", "nothing") == "nothing"
    assert forgetful.add("key", 2)
    forgetful.set("key", 1)
    assert (forgetful.get_many(["key"]), forgetful.has_key("key")) == ({}, False)
    assert (forgetful.incr("key"), forgetful.touch("key"), forgetful.delete("key")) == (
        1,
        False,
        False,
    )
    assert forgetful.set_many({"key": 1}) == ["key"]
    forgetful.delete_many(["key"])
    forgetful.clear()
    own_redis.start()
    assert forgetful.add("key", 3)
    assert forgetful.get("key") == 3


@pytest.mark.spec("R10.5")
def test_a_cache_that_never_answers_costs_half_a_second_once(
    own_redis: OwnRedis, forgetful: redis_cache.Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_cache, "PAUSE_SECONDS", 60.0)
    forgetful.set("key", 1)
    own_redis.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    assert [forgetful.get("key") for _ in range(50)] == [None] * 50
    assert time.monotonic() - began < 2


def test_runs_and_what_is_short_have_queues_of_their_own_and_a_plain_worker_takes_both() -> None:
    runs, short = (
        f"{app.conf.task_default_queue}",
        f"{app.conf.task_default_queue}{settings.SHORT_QUEUE_ENDING}",
    )
    assert set(app.amqp.queues.consume_from) == {runs, short}
    route = app.amqp.router.route
    assert route({}, ringing.RUN_JOB)["queue"].name == runs
    others = [task for task in app.tasks if task != ringing.RUN_JOB]
    assert {route({}, task)["queue"].name for task in others} == {short}
    assert app.conf.broker_connection_max_retries is None  # workers wait, however long


def test_a_fork_has_a_bell_of_its_own() -> None:
    before = id(ringing._bell)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, b"own" if id(ringing._bell) != before else b"shared")
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        assert said.read() == b"own"
