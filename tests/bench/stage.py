"""What a benchmark stands on: a database of its own, and the simulator in a process of its own.

Nothing of the operator's is touched: `.env` is not read, and whatever was made is removed again.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[2]
ACCOUNT = "octo-simulated"
BARE_TABLE = "bench_bare"
READERS = 4
#: The operator's, and none of the benchmark's business; DATABASE_URL alone is used where it is set.
_FOREIGN = ("REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "GITHUB_TOKEN", "GITHUB_OWNER")


@contextmanager
def environment() -> Iterator[None]:
    """A folder, secrets and settings of our own for this process and its children."""
    base = Path(os.environ.get("SYNC_VAR_DIR") or ROOT / "var")
    base.mkdir(parents=True, exist_ok=True)
    folder = tempfile.mkdtemp(prefix="bench-", dir=base)
    for name in _FOREIGN:
        os.environ.pop(name, None)
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "ENV_FILE": os.devnull,
        "SYNC_VAR_DIR": folder,
        "SYNC_EMBEDDED_FSYNC": "on",  # we commit more often than the bare loop: no flattery
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": secrets.token_urlsafe(50),
        "LOG_LEVEL": "WARNING",
    }
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database() -> Iterator[str]:
    """A migrated, empty database and beside the mirror's table its twin for the bare loop.

    Yields PostgreSQL's version; the children find the database through the environment.
    """
    import django  # noqa: PLC0415  (after `environment`)
    from django.db import connection  # noqa: PLC0415
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    from config import embedded  # noqa: PLC0415

    django.setup()
    before = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"bench_{os.getpid()}"
    name = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE TABLE {BARE_TABLE} (LIKE syncsvc_repository INCLUDING ALL)")
            cursor.execute("SHOW server_version")
            version = str(cursor.fetchone()[0])
        given = connection.get_connection_params()
        wanted = ("dbname", "user", "password", "host", "port")
        os.environ |= {
            "BENCH_DATABASE": name,
            "BENCH_TABLE": BARE_TABLE,
            "BENCH_DSN": make_conninfo("", **{k: given[k] for k in wanted if given.get(k)}),
        }
        yield version
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)
        connection.close()
        embedded.release_postgres()


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """The running simulator, seen from outside."""

    url: str
    installation: int

    def truth(self) -> list[dict[str, Any]]:
        """What a perfect mirror of the account holds."""
        found = _ask(f"{self.url}/_simulator/truth?installation={ACCOUNT}")
        rows: list[dict[str, Any]] = found[str(self.installation)]
        return rows

    def change(self, share: float) -> int:
        """Changes that share of the repositories; returns how many."""
        rows = self.truth()[:: round(1 / share)]
        for row in rows:
            arguments = {"repo": row["github_id"], "stars": row["stars"] + 1}
            _ask(f"{self.url}/_simulator/mutate", {"name": "edit", "args": arguments})
        return len(rows)

    def pages_per_second(self, token: str, pages: int) -> float:
        """How fast it can serve when nobody does anything with what it serves."""
        shares = [range(start, pages, READERS) for start in range(READERS)]
        readers = [threading.Thread(target=self._read, args=(token, share)) for share in shares]
        before = time.perf_counter()
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        return pages / (time.perf_counter() - before)

    def _read(self, token: str, numbers: range) -> None:
        link = HTTPConnection(urlsplit(self.url).netloc)
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "bench"}
        for number in numbers:
            page = number % 100 + 1
            link.request(
                "GET", f"/installation/repositories?per_page=100&page={page}", headers=headers
            )
            link.getresponse().read()
        link.close()


@contextmanager
def simulator(repositories: int, latency_ms: int) -> Iterator[Simulated]:
    """Serves that many repositories; the children find it through the environment."""
    command = [sys.executable, "manage.py", "simulate_github", "--json", "--port", "0"]
    command += ["--repos", str(repositories), "--latency-ms", str(latency_ms)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise SystemExit("The simulator did not start.")
        state = json.loads(line)
        installation = next(x["id"] for x in state["installations"] if x["account"] == ACCOUNT)
        os.environ |= {
            "GITHUB_API_URL": state["url"],
            "GITHUB_APP_ID": str(state["app_id"]),
            "GITHUB_APP_PRIVATE_KEY": state["private_key_pem"],
            "BENCH_INSTALLATION": str(installation),
        }
        simulated = Simulated(url=state["url"], installation=installation)
        # Any number of repetitions fits into the hour; every other rule of GitHub's stays.
        _ask(f"{simulated.url}/_simulator/limits", {"owner": installation, "limit": 1_000_000})
        yield simulated
    finally:
        process.terminate()
        process.wait(10)


def empty_bare_table() -> None:
    """The bare loop's first pass begins like ours: with nothing."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {BARE_TABLE}")


def differences(simulated: Simulated) -> int:
    """Repositories of which mirror and simulator do not say the same, field by field."""
    from syncsvc.models import Repository  # noqa: PLC0415

    truth = {row["github_id"]: row for row in simulated.truth()}
    present = Repository.objects.filter(status__in=Repository.PRESENT)
    fields = tuple(next(iter(truth.values()), {}))
    mirror = {row["github_id"]: _plain(row) for row in present.values(*fields)}
    return sum(truth.get(key) != mirror.get(key) for key in truth.keys() | mirror.keys())


def child(module: str, *arguments: str) -> dict[str, Any]:
    """Runs one measurement in a process of its own."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)[:20]} failed.")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.strftime("%Y-%m-%dT%H:%M:%SZ") if hasattr(value, "strftime") else value
        for name, value in row.items()
    }


def _ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(url, data, {"Content-Type": "application/json"})) as answer:
        return json.load(answer)
