"""A storm of webhooks while processes are killed: what was acknowledged is kept, and applied once."""

import http.client
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import urllib.request
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest

from syncsvc.simulator.sending import signature
from tests.acceptance.served import ROOT, Served, until
from tests.acceptance.test_mirror_of_a_run import LOGIN, ask, github
from tests.content_support import rest_issue

DELIVERIES = 3000
SENDERS = 16
SECRET = "the secret of the storm"
HOOK = 77
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=6)


class Storm:
    """Deliveries that are sent until each is acknowledged, as GitHub would on our asking."""

    def __init__(self, port: int, bodies: list[bytes]) -> None:
        self.port = port
        self.acknowledged: dict[str, int] = {}
        self.answers: dict[int, int] = {}
        self._waiting: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        for body in bodies:
            self._waiting.put((str(uuid.uuid4()), body))
        self._total = len(bodies)
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]
        for thread in self._threads:
            thread.start()

    def reached(self, share: float) -> bool:
        return len(self.acknowledged) >= share * self._total

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _send(self) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self.reached(1):
            try:
                guid, body = self._waiting.get(timeout=0.05)
            except queue.Empty:
                continue  # another sender may yet put one back
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                connection.request("POST", "/webhooks/github/", body, _headers(guid, body))
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                if connection is not None:
                    connection.close()
                connection = None
                self._waiting.put((guid, body))
                threading.Event().wait(0.05)  # the door is shut: the supervisor opens it again
                continue
            with self._lock:
                self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
                if answer.status in (200, 202):
                    self.acknowledged[guid] = answer.status
            if answer.status not in (200, 202):
                self._waiting.put((guid, body))
        if connection is not None:
            connection.close()


def _headers(guid: str, body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": "issues",
        "X-GitHub-Delivery": guid,
        "X-GitHub-Hook-ID": str(HOOK),
        "X-Hub-Signature-256": signature(SECRET, body),
    }


def opened(repository: dict[str, Any], number: int) -> bytes:
    """A webhook that tells of a new issue, each a second after the one before."""
    moment = (BEGAN + timedelta(seconds=number)).isoformat()
    issue = rest_issue(number, id=7_000_000_000 + number, created_at=moment, updated_at=moment)
    owner = {"login": repository["owner"], "id": repository["owner_id"], "type": "Organization"}
    shown = {
        "id": repository["github_id"],
        "name": repository["name"],
        "full_name": repository["full_name"],
        "owner": owner,
        "private": repository["visibility"] != "public",
    }
    return orjson.dumps({"action": "opened", "issue": issue, "repository": shown})


def rows(served: Served) -> dict[str, Any]:
    """What the database says once all is processed or a minute over, asked by a process of its own."""
    code = (
        "import json, time\n"
        "from django.db.models import Count\n"
        "from syncsvc.models import Delivery, Issue\n"
        f"mine = Delivery.objects.filter(hook_id={HOOK})\n"
        "end = time.monotonic() + 60\n"
        "while mine.filter(status='received').exists() and time.monotonic() < end:\n"
        "    time.sleep(0.1)\n"
        "print(json.dumps({'guids': list(mine.values_list('guid', flat=True)),"
        " 'status': dict(mine.values_list('status').annotate(Count('pk'))),"
        " 'outcome': dict(mine.values_list('outcome').annotate(Count('pk'))),"
        " 'attempts': sorted(set(mine.values_list('attempts', flat=True))),"
        " 'issues': Issue.objects.filter(github_id__gt=7_000_000_000).count()}))"
    )
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", code]
    done = subprocess.run(
        command, cwd=ROOT, env=served.environment, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def knows_the_accounts(served: Served) -> bool:
    """Whether they were discovered: what a stranger's webhook tells waits for a minute."""
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=10) as answer:
        said = answer.read().decode()
    return re.search(r'^mirror_installations\{status="active"\} [1-9]', said, re.M) is not None


def kill(process: psutil.Process) -> None:
    """As the kernel does when memory runs out: the process and all it started."""
    for each in (*process.children(recursive=True), process):
        try:
            os.kill(each.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


@pytest.mark.spec("R6.1", "R6.3", "R10.2", "P37")
def test_kills_in_a_storm_lose_nothing_and_double_nothing(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    with github(tmp_path, 3) as known:
        served = serve(
            GITHUB_API_URL=known["url"],
            GITHUB_APP_ID=str(known["app_id"]),
            GITHUB_APP_PRIVATE_KEY=str(tmp_path / "key.pem"),
            GITHUB_WEBHOOK_SECRET=SECRET,
            SYNC_INTERVAL_MINUTES="600",
            WEB_CONCURRENCY="2",
            WORKER_CONCURRENCY="2",
            **LOGIN,
        )
        served.await_ready()
        until(lambda: knows_the_accounts(served), 60, served.said)
        truth = ask(f"{known['url']}/_simulator/truth")
        repository = next(row for found in truth.values() for row in found if not row["archived"])
        storm = Storm(
            served.port, [opened(repository, 1000 + number) for number in range(DELIVERIES)]
        )
        for share in (0.25, 0.6):
            until(lambda share=share: storm.reached(share), 60, lambda: str(storm.answers))  # type: ignore[misc]
            for name in ("web", "clerk"):
                kill(served.children()[name])
        storm.join()
        found = rows(served)
        served.ctrl_c()
    assert storm.answers.keys() <= {200, 202, 502, 503}
    assert sorted(found["guids"]) == sorted(storm.acknowledged)
    assert found["status"] == {"processed": DELIVERIES}
    assert found["outcome"].keys() <= {"updated", "unchanged"}
    assert found["attempts"] == [1]
    assert found["issues"] == DELIVERIES
