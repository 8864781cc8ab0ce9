"""Keeps one embedded PostgreSQL alive exactly as long as somebody uses it.

Run as a script by `config.embedded`. Whoever uses the database holds a shared lock on `users.lock`;
the keeper starts the server, then waits for the exclusive lock. The kernel grants it when the last
user is gone, however it went (`kill -9` included), and the keeper stops the server. Only the
standard library is imported, so that it is up in milliseconds.
"""

import ctypes
import fcntl
import json
import os
import pwd
import shlex
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

START_SECONDS = 30.0
STOP_SECONDS = 10.0
LOG_BYTES = 5_000_000
POLL_SECONDS = 0.005

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
CAP_DAC_OVERRIDE, CAPABILITY_VERSION_3 = 1, 0x20080522

DURABLE = {"fsync": "on"}
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SERVER_OPTIONS = {
    "listen_addresses": "",  # the socket in a private folder is the only door
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "wal_level": "minimal",  # nobody replicates from here
    "max_wal_senders": "0",
    "io_method": "sync",  # three processes fewer
    "jit": "off",
    "log_checkpoints": "off",
    "log_min_messages": "error",
    "log_min_error_statement": "panic",  # statements may hold secrets
    "cluster_name": "github-mirror",
}


class KeeperError(Exception):
    """Why the server does not start, as one sentence."""


def server_account() -> pwd.struct_passwd | None:
    """Whom the server runs as when we are root, which PostgreSQL refuses; None: as ourselves."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "_postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise KeeperError(
        "PostgreSQL refuses to run as root and this machine has neither a user postgres nor "
        "nobody: run as an ordinary user or set DATABASE_URL."
    )


def become(account: pwd.struct_passwd | None) -> None:
    """In the child, before exec: give up root and die with the keeper.

    On Linux the right to pass private folders is kept (and only that), so that a server below
    /root works without opening anybody's folders to the world.
    """
    linux = sys.platform.startswith("linux")
    libc = ctypes.CDLL(None, use_errno=True) if linux else None
    if account is not None:
        if libc is not None:
            libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
            # else access(2), with which initdb looks for its companions, forgets the right again
            libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
        if libc is not None:
            bit = 1 << CAP_DAC_OVERRIDE
            header = struct.pack("Ii", CAPABILITY_VERSION_3, 0)
            libc.capset(header, struct.pack("6I", bit, bit, bit, 0, 0, 0))
            libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)
    if libc is not None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)


class Keeper:
    """One data folder, its server, and the two locks around them."""

    def __init__(
        self, home: Path, bin_dir: Path, socket_dir: Path, database: str, *, fast: bool
    ) -> None:
        self.home, self.bin_dir, self.socket_dir = home, bin_dir, socket_dir
        self.database, self.fast = database, fast
        self.data = home / "data"
        self.log_path = home / "postgres.log"
        self.account = server_account()
        self.server: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """A running server that takes connections, or `KeeperError`."""
        self._stop_leftover()
        self._create()
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))
        deadline = time.monotonic() + START_SECONDS
        while not self._start_once(deadline):
            # backends of a killed server take a moment to notice, and hold its memory until then
            if "still in use" not in self._last_failure() or time.monotonic() > deadline:
                raise KeeperError(f"The embedded PostgreSQL does not start: {self._last_failure()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server: politely, then not."""
        if self.server is not None:
            end(self.server.pid, lambda: self.server is not None and self.server.poll() is None)

    def _start_once(self, deadline: float) -> bool:
        options = {**SERVER_OPTIONS, **(FAST if self.fast else DURABLE)}
        options["unix_socket_directories"] = str(self.socket_dir)
        command = [str(self.bin_dir / "postgres"), "-D", str(self.data)]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        self.server = self._spawn(command)
        while self.server.poll() is None:
            if self._is_ready(self.server.pid):
                return True
            if time.monotonic() > deadline:
                self.stop()
                raise KeeperError(
                    f"The embedded PostgreSQL was not ready after {START_SECONDS:.0f} seconds."
                )
            time.sleep(POLL_SECONDS)
        return False

    def _is_ready(self, pid: int) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    def _spawn(self, command: list[str]) -> "subprocess.Popen[bytes]":
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  (our own command, no shell)
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "LC_ALL": "C",
                    "PGTZ": "UTC",
                    "TZ": "UTC",
                },
                preexec_fn=lambda: become(self.account),  # noqa: PLW1509  the keeper has one thread
            )

    def _create(self) -> None:
        """The data folder, made aside and renamed: an interrupted start leaves none half-made."""
        if (self.data / "PG_VERSION").exists():
            return
        fresh = self.home / "data.new"
        self._run(["/bin/rm", "-rf", str(fresh)])
        create = [
            "-D",
            str(fresh),
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-instructions",
        ]
        create += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        self._run([str(self.bin_dir / "initdb"), *create, *(["--no-sync"] if self.fast else [])])
        single = [
            str(self.bin_dir / "postgres"),
            "--single",
            "-D",
            str(fresh),
            "-c",
            "log_checkpoints=off",
        ]
        statement = f"CREATE DATABASE {self.database}"
        script = f"echo {shlex.quote(statement)} | {shlex.join([*single, 'postgres'])}"
        self._run(["/bin/sh", "-c", script])
        fresh.rename(self.data)

    def _run(self, command: list[str]) -> None:
        if self._spawn(command).wait() != 0:
            raise KeeperError(f"The embedded PostgreSQL cannot be created: {self._last_failure()}")

    def _last_failure(self) -> str:
        """The server's own words, for a sentence to a person."""
        try:
            lines = [
                line.strip()
                for line in self.log_path.read_text(errors="replace").splitlines()[-40:]
            ]
        except OSError:
            lines = []
        telling = [
            line for line in lines if "FATAL:" in line or "rror:" in line or "PANIC:" in line
        ]
        reason = telling[-1] if telling else (lines[-1] if lines else "it says nothing")
        return f"{reason.partition('FATAL:')[2].strip() or reason} (see {self.log_path})"

    def _stop_leftover(self) -> None:
        """Stops a server whose keeper was killed; removes a lock file that names a stranger."""
        pid_file = self.data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().splitlines()[0])
        except (OSError, ValueError, IndexError):
            pid = 0
        if pid > 0 and self._is_our_server(pid):
            end(pid, lambda: self._is_our_server(pid))
        for stale in (pid_file, *self.socket_dir.glob(".s.PGSQL.*")):
            stale.unlink(missing_ok=True)

    def _is_our_server(self, pid: int) -> bool:
        found = subprocess.run(  # noqa: S603  (our own command, no shell)
            ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return "postgres" in found and str(self.data) in found


def end(pid: int, is_alive: Callable[[], bool]) -> None:
    """SIGINT (fast shutdown), then SIGQUIT (recover at next start), then SIGKILL."""
    for number, seconds in (
        (signal.SIGINT, STOP_SECONDS),
        (signal.SIGQUIT, 3.0),
        (signal.SIGKILL, 3.0),
    ):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_alive():
                return
            time.sleep(POLL_SECONDS)


def keep(keeper: Keeper, users: int, answer: int) -> None:
    """Starts the server, says so, and stops it when nobody holds the users' lock any more."""
    try:
        keeper.start()
    except (KeeperError, OSError) as error:
        os.write(answer, f"{error}\n".encode())
        return
    os.write(answer, b"ready\n")
    os.close(answer)

    def leave(*_: object) -> NoReturn:
        raise SystemExit

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    signal.signal(signal.SIGCHLD, leave)  # the server died: the next user starts another
    try:
        if keeper.server is not None and keeper.server.poll() is None:
            fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        keeper.stop()


def main() -> int:
    """`postgres_keeper.py PLAN`: answers `ready` or what is wrong, and stays behind."""
    plan = json.loads(sys.argv[1])
    home = Path(plan["home"])
    if os.fork():
        return 0
    os.setsid()  # a Ctrl-C in the terminal is not for the database
    os.chdir("/")
    answer = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    users = os.open(home / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
    own = os.open(home / "keeper.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(own, fcntl.LOCK_EX)
    try:
        keeper = Keeper(
            home, Path(plan["bin"]), Path(plan["socket"]), plan["database"], fast=plan["fast"]
        )
    except KeeperError as error:
        os.write(answer, f"{error}\n".encode())
        return 1
    keep(keeper, users, answer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
