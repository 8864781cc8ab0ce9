"""Hides how a child of the supervisor is made: own session, own output, no life without it."""

import contextlib
import ctypes
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PR_SET_PDEATHSIG = 1


def fork_session(
    run: Callable[[], object], *, output: int, lifeline: int, forget: Callable[[], None]
) -> int:
    """Forks a process that leads its own session and writes to `output`; returns its id.

    `forget` closes in the child what belongs to the parent alone. The child dies with its parent,
    even when that is killed outright; `lifeline` is a pipe of which the parent holds the other end.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # the child must not miss one
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        return pid
    code = 1
    try:
        _settle(output, forget)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _die_with(parent, lifeline)
        code = _run(run)
    finally:
        _leave(code)


def _settle(output: int, forget: Callable[[], None]) -> None:
    signal.set_wakeup_fd(-1)
    # SIGQUIT too: a shell that starts us in the background has it ignored, and it is how we die.
    for number in (*STOP_SIGNALS, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    forget()
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def _die_with(parent: int, lifeline: int) -> None:
    if not sys.platform.startswith("linux"):
        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)  # it died before we asked


def _watch(lifeline: int) -> None:
    """Systems without a parent-death signal: the pipe ends when the parent does."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGQUIT)


def _run(run: Callable[[], object]) -> int:
    try:
        run()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    except KeyboardInterrupt:
        return 130
    except BaseException:  # noqa: BLE001  the last line before the process ends
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> NoReturn:
    """Ends without unwinding: everything above on the stack belongs to the parent."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
