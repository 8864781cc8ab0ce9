"""Many open streams, read by one thread: what the test of live updates sees of the product."""

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from django.conf import settings

from config.embedded import var_dir
from tests.acceptance.served import ROOT, free_port
from tests.acceptance.test_worker import database_url


class Client:
    """One open stream."""

    def __init__(self, port: int, cookie: str, last: str = "", query: str = "") -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.received = b""
        self.arrived: list[float] = []
        self.ended = False
        lines = [
            f"GET /api/v1/jobs/stream/{query} HTTP/1.1",
            "Host: localhost",
            f"Cookie: sessionid={cookie}",
            "Accept: text/event-stream",
            *([f"Last-Event-ID: {last}"] if last else []),
        ]
        self.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())

    @property
    def last_id(self) -> str:
        """What a browser would bring back."""
        marks = [line[4:] for line in self.received.split(b"\n") if line.startswith(b"id: ")]
        return marks[-1].decode() if marks else ""

    def count(self, name: str = "sync:progress") -> int:
        """How many events of this name have come whole."""
        return self.received.count(f"event: {name}\n".encode())


class Clients:
    """All of them."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.all: list[Client] = []

    def add(self, client: Client) -> Client:
        client.connection.setblocking(False)
        self._selector.register(client.connection, selectors.EVENT_READ, client)
        self.all.append(client)
        return client

    def read(self, seconds: float) -> None:
        """What comes within a moment."""
        for key, _ in self._selector.select(seconds):
            client: Client = key.data
            data = self._got(client)
            client.received += data
            client.arrived.append(time.perf_counter())
            if not data:
                client.ended = True
                self._selector.unregister(client.connection)

    @staticmethod
    def _got(client: Client) -> bytes:
        try:
            return client.connection.recv(65_536)
        except ConnectionResetError:
            return b""

    def until(self, condition: Callable[[Client], bool], seconds: float = 60) -> float:
        """How long it takes until it holds for all."""
        began = time.perf_counter()
        while not all(map(condition, self.all)):
            waited = time.perf_counter() - began
            assert waited < seconds, [c.received[-300:] for c in self.all if not condition(c)][:2]
            self.read(0.2)
        return time.perf_counter() - began

    def close(self) -> None:
        self._selector.close()
        for client in self.all:
            client.connection.close()


class Web:
    """gunicorn with one worker."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log

    @property
    def said(self) -> str:
        return self._log.read_text()

    @property
    def worker(self) -> psutil.Process:
        [worker] = psutil.Process(self.process.pid).children()
        return worker

    def get(self, path: str) -> int:
        """The status of an ordinary page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return int(answer.status)


@contextmanager
def web(log: Path, threads: int = 2) -> Iterator[Web]:
    """One web process at this test's database."""
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "GITHUB_"))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "gunicorn", "-c", "python:config.gunicorn_conf",
                "--log-level", "info", "config.wsgi:application",
            ],
            cwd=ROOT,
            env=kept
            | {
                "PORT": str(port), "WEB_CONCURRENCY": "1", "WEB_THREADS": str(threads),
                "DATABASE_URL": database_url(), "SECRET_KEY": settings.SECRET_KEY,
                "FIELD_ENCRYPTION_KEYS": settings.FIELD_ENCRYPTION_KEYS[0],
                "SYNC_VAR_DIR": str(var_dir()), "ENV_FILE": os.devnull, "REDIS_URL": "", "CACHE_URL": "",
                "GITHUB_API_URL": "http://127.0.0.1:9", "GITHUB_WEBHOOK_SECRET": "a secret",
                "GITHUB_TOKEN": "t", "GITHUB_OWNER": "nobody",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    served = Web(process, port, log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                served.get("/healthz")
                break
            except OSError:
                assert time.monotonic() < deadline, served.said
                time.sleep(0.05)
        yield served
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
