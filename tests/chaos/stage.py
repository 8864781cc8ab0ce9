"""Everything that runs: servers, simulated GitHub, web, workers and beat, in one folder, and its end.

Nothing of the operator's is touched: `.env` is not read, ports and folders are our own.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.chaos.observing import TRIGGER, connect
from tests.chaos.processes import ROOT, Crew, Service
from tests.chaos.servers import Files, Postgres, Redis, broker
from tests.chaos.weather import WORKERS

LEASE_SECONDS: Final = 6
LATENCY: Final = 0.3
"""Seconds before GitHub answers: runs last long enough to be killed in their midst."""
READY_SECONDS: Final = 150.0
QUEUE: Final = "chaos"
SECRET: Final = "the secret of the storm"
ACCOUNTS: Final = (
    ("octo-simulated", "Organization", 0.45),
    ("rough-seas", "Organization", 0.3),
    ("storm-petrel", "Organization", 0.17),
    ("octocat", "User", 0.08),
)
#: What GitHub and people see once a minute is looked at more often here: minutes are long in a storm.
PERIODIC: Final = {
    "syncsvc.ring_waiting_jobs": 1,  # every 5 s where a lease lasts a minute
    "syncsvc.check_gaps": 10,
    "reconciliation.look_after": 15,
    "syncsvc.discover": 30,
    "syncsvc.request_retries": 10,
    "syncsvc.request_remembered_syncs": 10,
    "alerts.review_incidents": 30,
}
SETTINGS: Final = {
    "SYNC_INTERVAL_MINUTES": "1",
    "SYNC_LEASE_SECONDS": str(LEASE_SECONDS),
    "SYNC_GRACE_SECONDS": "5",
    "SYNC_OVERLAP_SECONDS": "60",
    "SYNC_MANUAL_COOLDOWN_SECONDS": "0",
    "SYNC_AUDIT_INTERVAL_MINUTES": "1",
    "SYNC_AUDIT_SAMPLE": "20",
    "WEB_CONCURRENCY": "1",
}
_FOREIGN: Final = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "HOST", "PORT")
_PREFIXES: Final = ("GITHUB_", "SYNC_", "ADMIN_", "PYTEST", "PG", "SENTRY_", "SLACK_", "PAGERDUTY_")


class StageError(Exception):
    """Something does not start; one sentence."""


class GitHub:
    """The simulator's process, spoken to over HTTP."""

    def __init__(self, process: "subprocess.Popen[bytes]", state: dict[str, Any]) -> None:
        self._process, self.state = process, state
        self.url: str = state["url"]
        self.installations: list[int] = [each["id"] for each in state["installations"]]

    def ask(self, door: str, values: dict[str, Any] | None = None) -> Any:
        """What a door of ours says; `/_simulator/...` names one of the simulator's own."""
        path = door if door.startswith("/") else f"/_chaos/{door}"
        body = None if values is None else json.dumps(values).encode()
        with urllib.request.urlopen(
            urllib.request.Request(self.url + path, data=body), timeout=30
        ) as answer:
            return json.load(answer)

    def close(self) -> None:
        """Ends it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(kw_only=True)
class Stage:
    """What runs, to be broken."""

    folder: Path
    environment: dict[str, str]
    postgres: Postgres
    broker: Redis | Files
    github: GitHub
    crew: Crew
    web_url: str
    keep_logs: bool = False
    """They are worth to be read afterwards."""


@contextmanager
def stage(
    seed: int, repositories: int, *, keep: bool = False, files: bool = False
) -> Iterator[Stage]:
    """Everything up and ready; everything put away afterwards, but the logs where `keep` says so, the
    block sets `keep_logs`, or something fails. Who interrupts wants nothing left."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=_base()))
    folder.chmod(0o755)
    (folder / "log").mkdir()
    up: Stage | None = None
    try:
        with ExitStack() as stack:
            up = _begin(stack, folder, seed, repositories, files=files)
            yield up
    except Exception:
        keep = True
        raise
    finally:
        _tidy(folder, keep=keep or (up is not None and up.keep_logs))


def _tidy(folder: Path, *, keep: bool) -> None:
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)
        return
    for path in folder.glob("**/*.log"):
        path.replace(folder / "log" / path.name)
    for path in folder.iterdir():
        if path.name != "log":
            shutil.rmtree(path, ignore_errors=True)
    _say(f"The logs are in {folder}/log.")


def _begin(stack: ExitStack, folder: Path, seed: int, repositories: int, *, files: bool) -> Stage:
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    port = int(listener.getsockname()[1])
    postgres = Postgres(folder)
    stack.callback(postgres.close)
    postgres.start()
    bell = broker(folder, _free_port(), files=files)
    stack.callback(bell.close)
    bell.start()
    github = _github(folder, seed, repositories, port)
    stack.callback(github.close)
    environment = _environment() | bell.environment | {
        "DATABASE_URL": postgres.url,
        "SYNC_VAR_DIR": str(folder),
        "PORT": str(port),
        "SYNC_LISTEN_FD": str(listener.fileno()),
        "GITHUB_API_URL": github.url,
        "GITHUB_APP_ID": str(github.state["app_id"]),
        "GITHUB_APP_PRIVATE_KEY": github.state["private_key_pem"],
        "GITHUB_WEBHOOK_SECRET": SECRET,
    }  # fmt: skip
    _prepare(folder, environment, postgres)
    crew = Crew()
    stack.callback(crew.stop)
    for name, command in _commands().items():
        crew.add(
            Service(
                name=name,
                command=command,
                environment=environment | {"PGAPPNAME": name},
                log=folder / "log" / f"{name}.log",
                descriptors=(listener.fileno(),) if name == "web" else (),
            )
        )
    found = Stage(
        folder=folder, environment=environment, postgres=postgres, broker=bell, github=github,
        crew=crew, web_url=f"http://127.0.0.1:{port}",
    )  # fmt: skip
    try:
        until(lambda: is_ready(found.web_url), READY_SECONDS, "It is not ready (/readyz).")
    except StageError as error:
        died = {name: each.unplanned for name, each in crew.services.items() if each.unplanned}
        raise StageError(f"{error} Died by themselves: {died or 'none'}.") from None
    return found


def _commands() -> dict[str, list[str]]:
    """As `manage.py serve` starts them; the second worker is a plain one, which does everything."""
    python = sys.executable
    celery, level = [python, "-m", "celery", "-A", "config"], "--loglevel=INFO"
    worker = [
        *celery,
        "worker",
        level,
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]
    processes, threads = "--concurrency=2", ["--concurrency=4", "--pool=threads"]
    plain = WORKERS[1]
    return {
        "web": [
            python, "-m", "gunicorn", "-c", "python:config.gunicorn_conf", "config.wsgi:application",
        ],
        WORKERS[0]: [*worker, processes, "-n", f"{WORKERS[0]}@chaos", f"--queues={QUEUE}"],
        plain: [*worker, processes, "-n", f"{plain}@chaos"],
        "clerk": [*worker, *threads, "-n", "clerk@chaos", f"--queues={QUEUE}-short"],
        "beat": [*celery, "beat", level, "--pidfile="],
    }  # fmt: skip


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in _FOREIGN and not name.startswith(_PREFIXES)
    }
    return kept | SETTINGS | {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "ENV_FILE": os.devnull,
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": secrets.token_urlsafe(50),
        "CELERY_QUEUE": QUEUE,
        "LOG_LEVEL": "INFO",
    }  # fmt: skip


def _github(folder: Path, seed: int, repositories: int, port: int) -> GitHub:
    plan = {
        "seed": seed,
        "port": 0,
        "latency": LATENCY,
        "limit": 100_000,
        "webhook_url": f"http://127.0.0.1:{port}/webhooks/github/",
        "webhook_secret": SECRET,
        "accounts": [
            {"login": login, "type": kind, "repositories": max(3, round(repositories * share))}
            for login, kind, share in ACCOUNTS
        ],
        "contents": {
            "issues_per_repository": 5.0,
            "pull_requests_per_repository": 3.0,
            "commits_per_repository": 8.0,
        },
    }
    with (folder / "log" / "github.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.github", json.dumps(plan)],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
        )
    line = process.stdout.readline() if process.stdout else b""
    if not line:
        raise StageError("The simulated GitHub does not start.")
    return GitHub(process, json.loads(line))


def _prepare(folder: Path, environment: dict[str, str], postgres: Postgres) -> None:
    """Tables, the trigger that takes notes, and a quicker pace of what runs once a minute."""
    with (folder / "log" / "prepare.log").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "manage.py", "prepare"],
            cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
        )  # fmt: skip
    if done.returncode:
        raise StageError("The database cannot be prepared.")
    with connect(postgres.conninfo) as connection:
        connection.execute(TRIGGER)
        for task, seconds in PERIODIC.items():
            row = connection.execute(
                "INSERT INTO django_celery_beat_intervalschedule (every, period) "
                "VALUES (%s, 'seconds') RETURNING id",
                [seconds],
            ).fetchone()
            connection.execute(
                "UPDATE django_celery_beat_periodictask SET interval_id = %s WHERE task = %s",
                [row["id"] if row else None, task],
            )


def is_ready(url: str) -> bool:
    """What `/readyz` says."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return int(answer.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def until(condition: Callable[[], object], seconds: float, trouble: str) -> float:
    """Polls until it is so; returns the seconds that took. StageError with that sentence if never."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise StageError(f"{trouble} Waited for {seconds:.0f} s.")
        time.sleep(0.2)
    return time.monotonic() - began


def _base() -> Path | None:
    base = os.environ.get("SYNC_VAR_DIR")
    if base is None:
        return None
    Path(base).mkdir(parents=True, exist_ok=True)
    return Path(base)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
