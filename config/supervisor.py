"""Hides the processes of `make run`: forks them, forwards their words, revives them, ends them.

The supervisor has imported everything once and forks, so a service is up in milliseconds. It keeps
no thread and no database connection of its own, which is what makes forking safe. Every service
leads a session, so that Ctrl-C reaches only the supervisor and a group can be ended as a whole.
"""

import contextlib
import fcntl
import json
import os
import re
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import psutil

from config.forking import STOP_SIGNALS, fork_session

TERM_SECONDS = 6.0
QUIT_SECONDS = 2.0
FIRST_PAUSE, LONGEST_PAUSE, HEALTHY_SECONDS = 0.5, 30.0, 30.0
LOG_BYTES = 5_000_000
NOTABLE = re.compile(r'"level": ?"(warning|error|critical)"|\b(WARNING|ERROR|CRITICAL)\b|Traceback')


class SupervisorError(Exception):
    """Why the processes cannot be started; one sentence for people."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A process: what it runs, and how the supervisor treats it."""

    name: str
    run: Callable[[], object]
    restart: bool = True
    speaks: bool = False  # its words go to the terminal as they are
    serves_others: bool = False  # stopped after all that may call it


@dataclass(kw_only=True)
class _Child:
    service: Service
    pid: int
    output: int
    started: float
    tail: bytes = b""
    silent: bool = False  # it closed its output


@dataclass
class _Log:
    """A log file that stays within two times `LOG_BYTES`."""

    path: Path
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = self.path.stat().st_size if self.path.exists() else 0

    def write(self, data: bytes) -> None:
        if self.size > LOG_BYTES:
            self.path.replace(self.path.with_suffix(".log.1"))
            self.size = 0
        with self.path.open("ab") as file:
            self.size += file.write(data)


class Supervisor:
    """Runs services until told to stop. One per folder: the second one is refused."""

    def __init__(self, folder: Path, *, verbose: bool = False) -> None:
        self.folder = folder
        self.verbose = verbose
        self.stopping = False
        self._asked_at = 0.0
        self._impatient = False
        self._children: dict[int, _Child] = {}
        self._due: dict[str, tuple[float, Service]] = {}
        self._pauses: dict[str, float] = {}
        self._exit_codes: dict[str, int] = {}
        self._logs: dict[str, _Log] = {}
        (folder / "log").mkdir(parents=True, exist_ok=True)
        self._lock = self._claim(folder / "serve.lock")
        self._lifeline, self._lifeline_end = os.pipe()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._selector = selectors.PollSelector()  # holds no descriptor that a fork would share
        self._selector.register(self._wake, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._asked_to_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the selector
        self._end_leftovers()

    def start(self, service: Service) -> None:
        """Forks the service. Nothing happens once the supervisor is stopping."""
        if self.stopping:
            return
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        pid = fork_session(service.run, output=writer, lifeline=self._lifeline, forget=self._forget)
        os.close(writer)
        child = _Child(service=service, pid=pid, output=reader, started=time.monotonic())
        self._children[pid] = child
        self._selector.register(reader, selectors.EVENT_READ, child)
        self._exit_codes.pop(service.name, None)
        self._write_state()
        if not service.speaks:
            self.say(service.name, f"started (process {pid})")

    def wait_for(self, name: str) -> int | None:
        """Runs until the service of that name has ended: its exit code, or None when stopped."""
        while name not in self._exit_codes and not self.stopping:
            self._step()
        return self._exit_codes.get(name)

    def run(self) -> None:
        """Runs until somebody says stop."""
        while not self.stopping:
            self._step()

    def stop(self) -> None:
        """Ends every service, politely, then not; callers first, then those they call."""
        self.stopping = True
        self._due.clear()
        if self._children:
            self.say("serve", "stopping")
        everything = list(self._children.values())
        self._end([child for child in everything if not child.service.serves_others])
        self._end([child for child in everything if child.service.serves_others])
        self._state_path.unlink(missing_ok=True)

    def say(self, name: str, text: str) -> None:
        """One prefixed line to the terminal. A terminal that went away is no reason to fail."""
        with contextlib.suppress(OSError, ValueError):
            print(f"{name:<9} | {text}", flush=True)  # noqa: T201  the supervisor's only output

    # --- the loop -----------------------------------------------------------------------------

    def _step(self, at_most: float = 60.0) -> None:
        due = min((due for due, _ in self._due.values()), default=float("inf"))
        timeout = min(at_most, due - time.monotonic())
        for key, _ in self._selector.select(max(0.0, timeout)):
            if isinstance(key.data, _Child):
                self._forward(key.data)
            else:
                with contextlib.suppress(BlockingIOError):
                    self._wake.recv(4096)
        self._reap()
        if not self.stopping:
            self._start_due()

    def _start_due(self) -> None:
        now = time.monotonic()
        for name, (due, service) in list(self._due.items()):
            if due <= now:
                del self._due[name]
                self.start(service)

    def _reap(self) -> None:
        for child in list(self._children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                self._buried(child, os.waitstatus_to_exitcode(status))

    def _buried(self, child: _Child, code: int) -> None:
        """Notes an end, ends what the child started itself, and plans its successor."""
        _kill_group(child.pid)
        self._forward(child)
        if not child.silent:
            self._selector.unregister(child.output)
        os.close(child.output)
        del self._children[child.pid]
        self._write_state()
        name = child.service.name
        self._exit_codes[name] = code
        if self.stopping or not child.service.restart:
            return
        if time.monotonic() - child.started > HEALTHY_SECONDS:
            self._pauses.pop(name, None)
        pause = self._pauses.get(name, FIRST_PAUSE)
        self._pauses[name] = min(pause * 2, LONGEST_PAUSE)
        self._due[name] = (time.monotonic() + pause, child.service)
        how = (
            f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        )
        self.say(name, f"{how}; starts again in {pause:g} s (see {self.folder}/log/{name}.log)")

    def _forward(self, child: _Child) -> None:
        """What the child said: all of it to its log, what people should see to the terminal."""
        if child.silent:
            return
        try:
            while data := os.read(child.output, 65536):
                *lines, child.tail = (child.tail + data).split(b"\n")
                if lines:
                    self._heard(child.service, b"\n".join(lines) + b"\n")
        except BlockingIOError:
            return
        if child.tail:
            self._heard(child.service, child.tail + b"\n")
        child.silent = True
        self._selector.unregister(child.output)

    def _heard(self, service: Service, data: bytes) -> None:
        if service.speaks:
            with contextlib.suppress(OSError, ValueError):
                sys.stdout.write(data.decode(errors="replace"))
                sys.stdout.flush()
            return
        log = self._logs.setdefault(service.name, _Log(self.folder / "log" / f"{service.name}.log"))
        log.write(data)
        for line in data.decode(errors="replace").splitlines():
            if self.verbose or NOTABLE.search(line):
                self.say(service.name, line)

    def _forget(self) -> None:
        """In a new child: close what is the supervisor's alone."""
        self._selector.close()
        for descriptor in (self._lock, self._lifeline_end):
            os.close(descriptor)
        for child in self._children.values():
            os.close(child.output)
        self._wake.close()
        self._waker.close()

    # --- the end ------------------------------------------------------------------------------

    def _asked_to_stop(self, number: int, _frame: FrameType | None) -> None:
        """A second Ctrl-C is impatience; the same one told twice, by terminal and make, is not."""
        now = time.monotonic()
        if self.stopping and number == signal.SIGINT and now - self._asked_at > 1:
            self._impatient = True
        self._asked_at = self._asked_at or now
        self.stopping = True

    def _end(self, children: list[_Child]) -> None:
        stages = ((signal.SIGTERM, TERM_SECONDS), (signal.SIGQUIT, QUIT_SECONDS))
        for number, seconds in stages:
            alive = [child for child in children if child.pid in self._children]
            if not alive or self._impatient:
                break
            for child in alive:
                os.kill(child.pid, number)
            self._await(alive, time.monotonic() + seconds)
        rest = [child for child in children if child.pid in self._children]
        for child in rest:
            self.say(child.service.name, "does not stop: killed")
            os.kill(child.pid, signal.SIGKILL)  # its group follows when it is buried
        self._impatient = False
        self._await(rest, time.monotonic() + 2.0)

    def _await(self, children: list[_Child], deadline: float) -> None:
        while any(child.pid in self._children for child in children):
            left = deadline - time.monotonic()
            if left <= 0 or self._impatient:
                return
            self._step(left)

    # --- other lives of ours ------------------------------------------------------------------

    @property
    def _state_path(self) -> Path:
        return self.folder / "serve.json"

    def _claim(self, path: Path) -> int:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            other = os.read(descriptor, 20).decode() or "unknown"
            os.close(descriptor)
            raise SupervisorError(
                f"Process {other} already runs from {self.folder}: stop it first, "
                "or set SYNC_VAR_DIR to another folder."
            ) from error
        os.truncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor

    def _write_state(self) -> None:
        """Who our children are, for a successor that has to clean up after a kill -9."""
        state = {}
        for pid in self._children:
            with contextlib.suppress(psutil.NoSuchProcess):
                state[str(pid)] = psutil.Process(pid).create_time()
        self._state_path.write_text(json.dumps(state))

    def _end_leftovers(self) -> None:
        try:
            state = json.loads(self._state_path.read_text())
        except (OSError, ValueError):
            return
        for pid, started in state.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(int(pid))
                if abs(process.create_time() - started) < 1:  # else the number was given to others
                    self.say("serve", f"ends process {pid}, left behind by a run that was killed")
                    _kill_group(process.pid)
                    with contextlib.suppress(psutil.TimeoutExpired):
                        process.wait(5)
        self._state_path.unlink(missing_ok=True)


def _kill_group(pid: int) -> None:
    """Ends whatever is left of the session that this process led."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
