"""The whole product as `manage.py serve` runs it, for minutes, with somebody looking on.

What is looked at: memory, open files and threads of each service, connections and rows of the database,
the files of the broker and the logs.
"""

import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final
from unittest import mock

import psutil
import psycopg
from psycopg import sql

from config import embedded
from tests.acceptance.served import Served, free_port
from tests.bench.stage import ROOT, say

SECRET: Final = "the secret of the soak"
LOGIN: Final = {"ADMIN_USERNAME": "operator", "ADMIN_PASSWORD": "correct horse battery staple"}
REPOSITORIES: Final = 60
EVERY: Final = 10.0
#: Rows are counted one by one: less often.
COUNTED_EVERY: Final = 60.0
PAGES: Final = ("/healthz", "/readyz", "/metrics", "/api/v1/jobs/", "/api/v1/repositories/")
WARM_VISITORS: Final = 8
WARM_ROUNDS: Final = 50
FULL_PAGES: Final = 300
MEGABYTE: Final = 1024 * 1024

Sample = dict[str, Any]


def soak(minutes: float, folder: Path, activity: float) -> list[Sample]:
    """Serves for so long while something happens on GitHub every `activity` seconds; what was seen."""
    port = free_port()
    with _github(port, activity) as known:
        key = folder / "key.pem"
        key.write_text(known["private_key_pem"])
        served = Served(
            folder / "var",
            port,
            GITHUB_API_URL=known["url"],
            GITHUB_APP_ID=str(known["app_id"]),
            GITHUB_APP_PRIVATE_KEY=str(key),
            GITHUB_WEBHOOK_SECRET=SECRET,
            SYNC_INTERVAL_MINUTES="1",
            WEB_CONCURRENCY="2",
            WORKER_CONCURRENCY="4",
            LOG_LEVEL="INFO",
            API_THROTTLE_USER="100000/min",
            **LOGIN,
        )
        try:
            served.await_ready()
            _fill_pages(served)
            _warm_up(port)
            return list(_watch(served, minutes))
        finally:
            if served.process.poll() is None:
                with suppress(subprocess.TimeoutExpired):
                    served.ctrl_c()
            if served.process.poll() is None:
                served.process.kill()


@contextmanager
def _github(port: int, activity: float) -> Iterator[dict[str, Any]]:
    command = [sys.executable, "manage.py", "simulate_github", "--json", "--port", "0"]
    command += ["--repos", str(REPOSITORIES), "--activity", str(activity)]
    command += ["--webhook-url", f"http://127.0.0.1:{port}/webhooks/github/"]
    command += ["--webhook-secret", SECRET]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit("The simulator did not start.")
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(10)


def _watch(served: Served, minutes: float) -> Iterator[Sample]:
    began = time.monotonic()
    visitor = _Visitor(served.port)
    counted = float("-inf")
    while (passed := time.monotonic() - began) < minutes * 60:
        visitor.look_around()
        sample: Sample = {"seconds": round(passed, 1), "services": _services(served)}
        with _link(served) as link:
            sample["connections"] = _connections(link)
            if passed - counted >= COUNTED_EVERY:
                counted = passed
                sample["tables"] = _tables(link)
                sample["jobs"] = _jobs(link)
                say(f"soak: {passed / 60:.0f} of {minutes:g} minutes")
        sample["files"] = {name: _files(served.var / name) for name in ("broker", "log")}
        yield sample
        rest = EVERY - (time.monotonic() - began - passed)
        time.sleep(max(rest, 0.0))


def _fill_pages(served: Served) -> None:
    """Gives the list of jobs a full page from the start, of copies of one that ended: else pages, and
    what a process needs to make one, would grow for an hour, and not because of a leak."""
    with _link(served) as link:
        deadline = time.monotonic() + 60
        while not _jobs(link).get("full succeeded"):
            if time.monotonic() > deadline:
                raise SystemExit("No sync succeeded within a minute.")
            time.sleep(0.2)
        columns = link.execute(
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_name = 'syncsvc_syncjob' AND column_name NOT IN ('id', 'created_at')"
            " AND is_generated = 'NEVER'"
        ).fetchall()
        names = sql.SQL(", ").join(sql.Identifier(row[0]) for row in columns)
        link.execute(
            sql.SQL(
                "INSERT INTO syncsvc_syncjob (id, created_at, {names})"
                " SELECT gen_random_uuid(), now() - n * interval '1 hour', {names}"
                " FROM (SELECT * FROM syncsvc_syncjob"
                " WHERE mode = 'full' AND status = 'succeeded' LIMIT 1) AS one,"
                " generate_series(1, %s) AS n"
            ).format(names=names),
            [FULL_PAGES],
        )


def _link(served: Served) -> psycopg.Connection[Any]:
    with mock.patch.dict(os.environ, {"SYNC_VAR_DIR": str(served.var)}):
        host = str(embedded.socket_dir())
    return psycopg.connect(host=host, port=embedded.PORT, user="postgres", dbname=embedded.DATABASE)


def _warm_up(port: int) -> None:
    """Many visitors at once, before anything is measured: a process takes most of its memory while it
    comes by its code, its threads and their connections for the first time."""

    def visit() -> None:
        visitor = _Visitor(port)
        for _ in range(WARM_ROUNDS):
            visitor.look_around()

    visitors = [threading.Thread(target=visit) for _ in range(WARM_VISITORS)]
    for each in visitors:
        each.start()
    for each in visitors:
        each.join()


class _Visitor:
    """Somebody who looks at a few pages every few seconds."""

    def __init__(self, port: int) -> None:
        self._root = f"http://127.0.0.1:{port}"
        self._token, self._since = "", float("-inf")

    def look_around(self) -> None:
        """Reads each page once; what does not answer is no leak, and seen elsewhere."""
        with suppress(OSError, ValueError):
            if time.monotonic() - self._since > 600:
                self._token, self._since = self._log_in(), time.monotonic()
            for page in PAGES:
                request = urllib.request.Request(self._root + page)
                request.add_header("Authorization", f"Bearer {self._token}")
                with urllib.request.urlopen(request, timeout=10) as answer:
                    answer.read()

    def _log_in(self) -> str:
        login = {"username": LOGIN["ADMIN_USERNAME"], "password": LOGIN["ADMIN_PASSWORD"]}
        request = urllib.request.Request(
            f"{self._root}/api/v1/auth/token/",
            json.dumps(login).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.load(answer)["access"])


def _services(served: Served) -> dict[str, dict[str, float]]:
    found = {"supervisor": [psutil.Process(served.process.pid)]}
    for name, process in served.children().items():
        with suppress(psutil.NoSuchProcess):
            found[name] = [process, *process.children(recursive=True)]
    return {name: _of(processes) for name, processes in found.items()}


def _of(processes: list[psutil.Process]) -> dict[str, float]:
    """What the processes of one service take together; USS is what would be free without them."""
    total = dict.fromkeys(("processes", "uss_mb", "pss_mb", "rss_mb", "files", "threads"), 0.0)
    for process in processes:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            memory = process.memory_full_info()
            total["uss_mb"] += memory.uss / MEGABYTE
            total["pss_mb"] += getattr(memory, "pss", memory.uss) / MEGABYTE
            total["rss_mb"] += memory.rss / MEGABYTE
            total["files"] += process.num_fds()
            total["threads"] += process.num_threads()
            total["processes"] += 1
    return {name: round(value, 2) for name, value in total.items()}


def _connections(link: psycopg.Connection[Any]) -> dict[str, int]:
    """By state, ours left out."""
    rows = link.execute(
        "SELECT coalesce(state, 'none'), count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() GROUP BY 1"
    ).fetchall()
    return dict(rows)


def _tables(link: psycopg.Connection[Any]) -> dict[str, dict[str, int]]:
    names = [
        row[0]
        for row in link.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
        )
    ]
    found = {}
    for name in names:
        table = sql.Identifier(name)
        row = link.execute(sql.SQL("SELECT count(*) FROM {}").format(table)).fetchone()
        size = link.execute("SELECT pg_total_relation_size(%s::regclass)", [f'"{name}"']).fetchone()
        found[name] = {"rows": row[0] if row else 0, "bytes": size[0] if size else 0}
    return found


def _jobs(link: psycopg.Connection[Any]) -> dict[str, int]:
    rows = link.execute(
        "SELECT mode || ' ' || status, count(*) FROM syncsvc_syncjob GROUP BY 1"
    ).fetchall()
    return dict(rows)


def _files(folder: Path) -> dict[str, int]:
    sizes = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # taken by a worker meanwhile
            if path.is_file():
                sizes.append(path.stat().st_size)
    return {"count": len(sizes), "bytes": sum(sizes)}
