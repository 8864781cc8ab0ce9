"""What a benchmark stands on: a folder, a database and processes of its own.

Nothing of the operator's is touched: `.env` is not read, and whatever was made is removed again.
"""

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
#: Each table that the bare loops fill, and the product's table that it is a twin of.
TWINS = {
    "bench_repository": "syncsvc_repository",
    "bench_issue": "syncsvc_issue",
    "bench_pullrequest": "syncsvc_pullrequest",
    "bench_commit": "syncsvc_commit",
    "bench_repositorymetric": "syncsvc_repositorymetric",
}
#: So many of the newest commits of a repository are mirrored.
COMMIT_LIMIT = 1000
#: The operator's, and none of the benchmark's business; DATABASE_URL alone is used where it is set.
_FOREIGN = ("REDIS_URL", "CELERY_BROKER_URL", "CACHE_URL", "GITHUB_TOKEN", "GITHUB_OWNER")

_copies = count(1)


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
        "SYNC_COMMIT_LIMIT": str(COMMIT_LIMIT),
        "LOG_LEVEL": "WARNING",
    }
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def server() -> Iterator[str]:
    """A running PostgreSQL, the embedded one or that of `DATABASE_URL`; yields its version."""
    import django  # noqa: PLC0415  (after `environment`)
    from django.db import connection  # noqa: PLC0415

    from config import embedded  # noqa: PLC0415

    django.setup()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            version = str(cursor.fetchone()[0])
        yield version
    finally:
        connection.close()
        embedded.release_postgres()


@contextmanager
def database() -> Iterator[None]:
    """A migrated, empty database and beside the mirror's tables their twins for the bare loops.

    The children find it through the environment. Needs the server.
    """
    from django.db import connection  # noqa: PLC0415
    from psycopg.conninfo import make_conninfo  # noqa: PLC0415

    before = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"bench_{os.getpid()}"
    name = connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with connection.cursor() as cursor:
            for twin, table in TWINS.items():
                cursor.execute(f"CREATE TABLE {twin} (LIKE {table} INCLUDING ALL)")
        given = connection.get_connection_params()
        wanted = ("dbname", "user", "password", "host", "port")
        os.environ |= {
            "BENCH_DATABASE": name,
            "BENCH_DSN": make_conninfo("", **{k: given[k] for k in wanted if given.get(k)}),
        }
        yield
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)


@contextmanager
def copy_of_database() -> Iterator[str]:
    """A copy of `database()` as it is now, for measurements beside each other; yields its name.

    Nobody may work in the original meanwhile. Its commits do not wait for the disk: what is measured
    in it is no time.
    """
    from django.db import connection  # noqa: PLC0415

    original = os.environ["BENCH_DATABASE"]
    name = f"{original}_{next(_copies)}"
    connection.close()  # PostgreSQL copies nothing that somebody has open
    with connection._nodb_cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name} TEMPLATE {original}")
        cursor.execute(f"ALTER DATABASE {name} SET synchronous_commit TO off")
    try:
        yield name
    finally:
        with connection._nodb_cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name}")


def empty_twins() -> None:
    """The bare loop's first pass begins like ours: with nothing."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(TWINS)}")


def twin_rows() -> dict[str, int]:
    """How many rows each twin holds."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        found = {}
        for twin in TWINS:
            cursor.execute(f"SELECT count(*) FROM {twin}")
            found[twin] = int(cursor.fetchone()[0])
        return found


def child(module: str, *arguments: str, database: str | None = None) -> dict[str, Any]:
    """Runs one measurement in a process of its own, in this database or in that of `database()`."""
    command = [sys.executable, "-m", f"tests.bench.{module}", *arguments]
    given = {"BENCH_DATABASE": database} if database else {}
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | given,
    )
    if done.returncode:
        raise SystemExit(f"{module} {' '.join(arguments)[:20]} failed.")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def say(text: str) -> None:
    """Progress, for whoever waits."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
