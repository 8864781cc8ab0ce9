"""`manage.py serve` as a process of its own, for the tests that meet the product from outside."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = (
    "DATABASE_URL",
    "REDIS_URL",
    "CELERY_BROKER_URL",
    "CACHE_URL",
    "HOST",
    "DJANGO_SETTINGS_MODULE",
)


class Served:
    """`manage.py serve` in its own session, as in a terminal of its own."""

    def __init__(self, var: Path, port: int, **environment: str) -> None:
        self.var, self.port = var, port
        kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
        kept = {
            name: value
            for name, value in kept.items()
            if not name.startswith(("GITHUB_", "ADMIN_"))
        }
        self.environment = kept | {
            "SYNC_VAR_DIR": str(var),
            "SYNC_EMBEDDED_FSYNC": "off",
            "PORT": str(port),
            "WEB_CONCURRENCY": "1",
            "WORKER_CONCURRENCY": "1",
            **environment,
        }
        self.output = var.with_name(f"{var.name}-{port}.out")
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "serve"],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def status(self) -> int:
        """What `/readyz` answers; 0 where nothing does."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/readyz", timeout=5
            ) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def await_ready(self) -> None:
        until(lambda: self.status() == 200 and "Ready:" in self.said(), 60, self.said)

    def said(self) -> str:
        return self.output.read_text()

    def children(self) -> dict[str, psutil.Process]:
        """The services by name, as the terminal named them last."""
        found = {}
        for line in self.said().splitlines():
            name, _, text = line.partition(" | started (process ")
            if text:
                found[name.strip()] = int(text.rstrip(")"))
        return {name: psutil.Process(pid) for name, pid in found.items() if psutil.pid_exists(pid)}

    def everything(self) -> list[psutil.Process]:
        """All processes of this run: the supervisor's, and the database's."""
        database = [
            process
            for process in psutil.process_iter(["cmdline"])
            if any(str(self.var) in part for part in process.info["cmdline"] or ())
        ]
        return [*psutil.Process(self.process.pid).children(recursive=True), *database]

    def ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=20)


def until(condition: Callable[[], object], seconds: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain:\n{explain()}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
