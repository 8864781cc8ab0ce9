"""`make run`, as a person meets it: start, trouble, Ctrl-C, start again. With the embedded database."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

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


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    begun: list[Served] = []

    def begin(port: int | None = None, **environment: str) -> Served:
        begun.append(Served(tmp_path / "var", port or free_port(), **environment))
        return begun[-1]

    yield begin
    for served in begun:
        if served.process.poll() is None:
            served.process.kill()
            served.process.wait()


def gone(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_start_trouble_ctrl_c_and_start_again(serve: Callable[..., Served], tmp_path: Path) -> None:
    served = serve()
    served.await_ready()
    assert f"http://127.0.0.1:{served.port}" in served.said()
    assert "admin with the password" in served.said()
    assert "the GitHub simulator" in served.said()

    # a second one on the same folder is refused, and disturbs nothing
    second = serve()
    assert second.process.wait(timeout=20) == 1
    assert f"Process {served.process.pid} already runs from" in second.said()
    assert second.said().count("\n") == 1

    # a process that dies is replaced
    before = served.children()
    assert set(before) >= {"web", "worker", "beat", "simulator"}
    for name in ("web", "worker", "beat"):
        before[name].kill()
    replaced = ("web", "worker", "beat")
    until(
        lambda: all(
            name in served.children() and served.children()[name].pid != before[name].pid
            for name in replaced
        ),
        20,
        served.said,
    )
    until(lambda: served.status() == 200, 20, served.said)

    # Ctrl-C ends everything and leaves nothing behind but data
    everything = served.everything()
    assert len(everything) > 6
    served.ctrl_c()
    assert served.process.returncode == 0
    assert gone(everything) == []
    assert not (tmp_path / "var" / "postgres" / "data" / "postmaster.pid").exists()
    assert not list((tmp_path / "var" / "postgres").glob(".s.PGSQL*"))
    assert "Traceback" not in served.said()

    # the second start keeps the data, and says the same
    again = serve(served.port)
    again.await_ready()
    login = [line for line in served.said().splitlines() if "Log in:" in line]
    assert login[0] in again.said()

    # killed outright, it leaves nobody behind, and the next start is as good as any
    left = again.everything()
    again.process.kill()
    until(lambda: gone(left) == [], 15, lambda: str(gone(left)))
    third = serve(served.port)
    third.await_ready()
    third.ctrl_c()
    assert third.process.returncode == 0


def test_a_port_in_use_is_one_sentence_and_starts_nothing(
    serve: Callable[..., Served], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        served = serve(occupied.getsockname()[1])
        assert served.process.wait(timeout=20) == 1
    assert served.said().startswith(f"Port {served.port} is in use")
    assert served.said().count("\n") == 1
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_database_that_does_not_answer_is_one_sentence(serve: Callable[..., Served]) -> None:
    served = serve(
        DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none",
        SECRET_KEY="k" * 60,
        FIELD_ENCRYPTION_KEYS="k",
    )
    assert served.process.wait(timeout=30) == 1
    assert "The database does not answer" in served.said()
    assert "Traceback" not in served.said()
