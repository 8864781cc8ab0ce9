"""Our processes: started in groups of their own, killed on purpose, and started again a moment later.

Hides what systemd would do: what is left of a group is ended before its successor starts, and what does
not stop when asked politely is killed.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

import psutil

ROOT: Final = Path(__file__).resolve().parents[2]
RESTART_SECONDS: Final = 0.5
STOP_SECONDS: Final = 20.0
GLANCE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One death: `at` is the moment of the signal, `back` that of the successor's start, in epoch seconds."""

    name: str
    how: str
    at: float
    leader: int


@dataclass(kw_only=True)
class Service:
    """A process that is to run, whatever happens to it."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    descriptors: tuple[int, ...] = ()
    process: "subprocess.Popen[bytes] | None" = None
    due: float = 0.0
    stop_by: float = float("inf")
    lives: list[int] = field(default_factory=list)
    unplanned: int = 0
    """Deaths that nobody caused here."""

    def start(self) -> None:
        """A new life, in a session of its own."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self.descriptors,
                start_new_session=True,
            )
        self.lives.append(self.process.pid)
        self.stop_by = float("inf")

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.poll() is None


class Crew:
    """All services, and the thread that starts again what died."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self.endings: list[Ending] = []
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="crew", daemon=True)

    def add(self, service: Service) -> None:
        """Starts it, and keeps it running from now on."""
        with self._lock:
            self.services[service.name] = service
            service.start()
        if not self._thread.is_alive():
            self._thread.start()

    def end(self, name: str, how: str, number: int = 0, victim: int | None = None) -> bool:
        """Ends a service in this way; False when it is down already. `victim`: the child to kill, where
        there is a reason to prefer one."""
        with self._lock:
            service = self.services[name]
            if service.process is None or not service.is_up:
                return False
            pid = service.process.pid
            if how != "kill child":
                victim = pid
            elif victim is None:
                victim = _child_of(pid, number)
            if victim is None:
                return False
            self.endings.append(Ending(name=name, how=how, at=time.time(), leader=pid))
            if how == "kill group":
                _signal_group(pid, signal.SIGKILL)
            elif how == "term":
                service.stop_by = time.monotonic() + STOP_SECONDS
                os.kill(pid, signal.SIGTERM)
            else:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
            return True

    def freeze(self, name: str) -> int | None:
        """Stops all of a service's group where it stands; its leader's pid for `thaw`."""
        with self._lock:
            service = self.services[name]
            if service.process is None or not service.is_up:
                return None
            pid = service.process.pid
            self.endings.append(Ending(name=name, how="freeze", at=time.time(), leader=pid))
            _signal_group(pid, signal.SIGSTOP)
            return pid

    @staticmethod
    def thaw(leader: int) -> None:
        """Lets a frozen group go on."""
        _signal_group(leader, signal.SIGCONT)

    def leader(self, name: str) -> int | None:
        """The pid of the service's leader; None when it is down."""
        with self._lock:
            service = self.services[name]
            return service.process.pid if service.process and service.is_up else None

    def all_up(self) -> bool:
        """Whether every service runs."""
        with self._lock:
            return all(each.is_up for each in self.services.values())

    def leaders(self) -> dict[int, str]:
        """Every leader there ever was, by pid: groups are named by them."""
        return {pid: each.name for each in self.services.values() for pid in each.lives}

    def stop(self) -> None:
        """Ends everything: politely, then not. Nothing is left of any group."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5)
        with self._lock:
            groups = [each.process for each in self.services.values() if each.process]
            for process in groups:
                _signal_group(process.pid, signal.SIGCONT)
                _signal_group(process.pid, signal.SIGTERM)
            deadline = time.monotonic() + 5
            for process in groups:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
            for process in groups:
                _signal_group(process.pid, signal.SIGKILL)
                process.wait()

    def _watch(self) -> None:
        while not self._stopping.wait(GLANCE):
            with self._lock:
                for service in self.services.values():
                    self._look_at(service)

    def _look_at(self, service: Service) -> None:
        process, now = service.process, time.monotonic()
        if process is not None and process.poll() is None:
            if now > service.stop_by:
                service.stop_by = float("inf")
                self.endings.append(
                    Ending(
                        name=service.name, how="would not stop", at=time.time(), leader=process.pid
                    )
                )
                _signal_group(process.pid, signal.SIGKILL)
            return
        if process is not None:
            if not any(each.leader == process.pid for each in self.endings):
                service.unplanned += 1
                self.endings.append(
                    Ending(name=service.name, how="by itself", at=time.time(), leader=process.pid)
                )
            _signal_group(process.pid, signal.SIGKILL)  # what is left of it
            service.process, service.due = None, now + RESTART_SECONDS
        elif now >= service.due:
            service.start()


def _child_of(pid: int, number: int) -> int | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        children = sorted(each.pid for each in psutil.Process(pid).children())
        if children:
            return Random(number).choice(children)
    return None


def _signal_group(leader: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
