"""500 open streams on one web process with two threads (R18.4)."""

import hashlib
import hmac
import json
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser

from syncsvc.models import SyncJob
from tests.acceptance.streams import Client, Clients, Web, web
from tests.factories import InstallationFactory, MembershipFactory, SyncJobFactory, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)

STREAMS = 500


@pytest.fixture
def clients() -> Iterator[Clients]:
    made = Clients()
    yield made
    made.close()


def cookies(installation: Any, count: int) -> list[str]:
    """The sessions of so many members: each may have twenty streams."""
    found = []
    for user in UserFactory.create_batch(count):
        MembershipFactory.create(installation=installation, user=user)
        browser = Browser()
        browser.force_login(user)
        found.append(browser.cookies["sessionid"].value)
    return found


def step(job: SyncJob, current: int) -> None:
    """What a worker does at a safe point."""
    SyncJob.objects.filter(pk=job.pk).update(current=current)


def cut_listeners() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'live'"
        )
        return int(cursor.fetchone()[0])


def deliver(port: int) -> int:
    body = json.dumps({"zen": "Keep it logically awesome.", "hook_id": 1}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/webhooks/github/",
        body,
        {
            "X-GitHub-Event": "ping",
            "X-GitHub-Delivery": "0b989ba4-242f-11e5-81e1-0123456789ab",
            "X-GitHub-Hook-ID": "1",
            "Content-Type": "application/json",
            "X-Hub-Signature-256": "sha256=" + hmac.new(b"a secret", body, hashlib.sha256).hexdigest(),
        },
    )  # fmt: skip
    with urllib.request.urlopen(request, timeout=5) as answer:
        return int(answer.status)


def open_all(served: Web, clients: Clients, keys: list[str]) -> None:
    for number in range(STREAMS):
        clients.add(Client(served.port, keys[number % len(keys)]))
        clients.read(0)
    clients.until(lambda client: client.count() == 1)  # the run that is under way


@pytest.mark.spec("R18.4")
def test_five_hundred_streams_cost_no_threads(tmp_path: Path, clients: Clients) -> None:
    account = InstallationFactory.create()
    job = SyncJobFactory.create(installation=account, running=True, total=1_000)
    keys = cookies(account, STREAMS // 20)
    with web(tmp_path / "web.log", threads=2) as served:
        served.get("/login/")
        before, memory = served.worker.num_threads(), served.worker.memory_info().rss
        began = time.perf_counter()
        open_all(served, clients, keys)
        opened = time.perf_counter() - began
        threads, more = served.worker.num_threads(), served.worker.memory_info().rss - memory
        assert threads <= max(before, 1 + 2) + 2, "two threads of gunicorn's, one of ours"

        began = time.perf_counter()
        step(job, 1)
        reached = clients.until(lambda client: client.count() == 2)
        took = time.perf_counter() - began

        began = time.perf_counter()
        assert [served.get(path) for path in ("/healthz", "/login/")] == [200, 200]
        assert deliver(served.port) == 202
        pages = time.perf_counter() - began

        assert cut_listeners() == 1
        step(job, 2)
        back = clients.until(lambda client: client.count() == 3)
        assert all(client.received.count(b'"current":2,') == 1 for client in clients.all)

        served.process.send_signal(signal.SIGTERM)
        closed = clients.until(lambda client: client.ended)
        served.process.wait(10)
        log = served.said
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log
    print(  # noqa: T201  (seen with `-s`)
        f"\n{STREAMS} streams: opened in {opened:.2f} s, threads {before} -> {threads},"
        f" memory +{more / 2**20:.1f} MiB; all told after {took * 1000:.0f} ms ({reached * 1000:.0f});"
        f" three answers in {pages * 1000:.0f} ms; told {back:.2f} s after the connection was cut;"
        f" closed {closed:.2f} s after SIGTERM"
    )
