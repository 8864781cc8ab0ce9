"""The servers that are ours to break: PostgreSQL, and the broker (Redis, or files where there is none)."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psycopg
import redis

from config import embedded, postgres_keeper

DATABASE: Final = "chaos"
UP_SECONDS: Final = 30.0
GLANCE: Final = 0.02


class ServerError(Exception):
    """A server that we need does not come up; one sentence."""


class Postgres:
    """A PostgreSQL of our own, reached by a socket in a private folder; durable, as in production."""

    def __init__(self, folder: Path) -> None:
        self._home = folder / "postgres"
        self._home.mkdir(mode=0o700)
        # A socket's path may be 100 bytes long at most, the folder of the logs may be anywhere.
        self._socket = Path(tempfile.mkdtemp(prefix="chaos-", dir="/tmp"))
        account = postgres_keeper.server_account()
        if account is not None:
            for path in (self._home, self._socket):
                os.chown(path, account.pw_uid, account.pw_gid)
        self.url = f"postgres://postgres@/{self._socket}/{DATABASE}"
        self.conninfo = f"host={self._socket} user=postgres dbname={DATABASE} connect_timeout=3"
        self._users = os.open(self._home / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._users, fcntl.LOCK_SH)  # the keeper stops the server when this is let go

    @property
    def log(self) -> Path:
        return self._home / "postgres.log"

    def start(self) -> None:
        """Returns when it takes connections; a data folder that a crash left is recovered."""
        plan = {
            "home": str(self._home),
            "bin": str(embedded._binaries()),
            "socket": str(self._socket),
            "database": DATABASE,
            "fast": False,
        }
        command = [sys.executable, "-I", "-S", postgres_keeper.__file__, json.dumps(plan)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False)
        if done.stdout.decode(errors="replace").strip() != "ready":
            raise ServerError(f"PostgreSQL does not start: {done.stdout.decode(errors='replace')}")

    def halt(self, how: str) -> None:
        """`immediate`: everything is dropped where it stands; `fast`: transactions are rolled back."""
        pid = self._pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGQUIT if how == "immediate" else signal.SIGINT)
        _await(lambda: self._pid() is None and not self._is_kept(), "PostgreSQL does not stop.")

    def cut(self) -> int:
        """Ends every connection but this one; how many that were."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            row = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Stops it and removes what it made."""
        os.close(self._users)
        with contextlib.suppress(ServerError):
            _await(lambda: not self._is_kept(), "PostgreSQL does not stop.")
        shutil.rmtree(self._socket, ignore_errors=True)
        shutil.rmtree(self._home / "data", ignore_errors=True)

    def _is_kept(self) -> bool:
        return embedded._is_held(self._home / "keeper.lock")

    def _pid(self) -> int | None:
        try:
            return int((self._home / "data" / "postmaster.pid").read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            return None


class Redis:
    """A Redis of our own that keeps nothing on disk: killed, it has forgotten everything."""

    name = "Redis"

    def __init__(self, folder: Path, port: int) -> None:
        self._port, self._folder = port, folder
        self._process: subprocess.Popen[bytes] | None = None
        self.environment = {"REDIS_URL": f"redis://127.0.0.1:{port}/0"}

    def start(self) -> None:
        """Empty."""
        options = [
            "--port",
            str(self._port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        with (self._folder / "redis.log").open("ab") as output:
            self._process = subprocess.Popen(
                ["redis-server", *options, "--dir", str(self._folder)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _await(self._answers, "Redis does not start.")

    def halt(self) -> None:
        """As `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def flush(self) -> None:
        """Forgets everything and goes on."""
        with redis.Redis(port=self._port) as client:
            client.flushall()

    close = halt

    def _answers(self) -> bool:
        try:
            with redis.Redis(port=self._port) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class Files:
    """The broker of files, where no redis-server is to be had. It cannot be down, only forget."""

    name = "files"

    def __init__(self, folder: Path) -> None:
        self._queue = folder / "broker" / "queue"
        self.environment: dict[str, str] = {}

    def start(self) -> None:
        """Needs nothing."""

    def flush(self) -> None:
        """Removes every message that waits."""
        for path in self._queue.glob("*.msg"):
            path.unlink(missing_ok=True)

    halt = flush

    def close(self) -> None:
        """Nothing runs."""


def broker(folder: Path, port: int, *, files: bool = False) -> Redis | Files:
    """Redis where it is installed and `files` are not wanted, else files."""
    if files or not shutil.which("redis-server"):
        return Files(folder)
    return Redis(folder, port)


def _await(condition: Callable[[], bool], trouble: str) -> None:
    deadline = time.monotonic() + UP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ServerError(trouble)
        time.sleep(GLANCE)
