"""Whether this process has been told to stop: runs look at each safe point, and hand their job back (R10.2).

Celery's warm shutdown waits for the tasks under way, and a run may take hours. The main process hears
the signal and its children do the work, so the word goes through a byte of memory that they share: a
page made before the children are forked. With `--pool threads` or `solo` it is the same process.
"""

import mmap
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_page = mmap.mmap(-1, 1)


def begin() -> None:
    """Starts anew, for this process and the children that it forks from now on: what its own parent
    and siblings share is not told of its end."""
    global _page  # noqa: PLW0603  (one page a process; no object could be handed through Celery's fork)
    _page = mmap.mmap(-1, 1)


def want() -> None:
    """Says that this process, its children included, is to stop. Safe in a signal handler."""
    _page[0] = 1


def is_wanted() -> bool:
    """Whether this process has been told to stop."""
    return _page[0] != 0


@contextmanager
def on_sigterm() -> Iterator[None]:
    """Within it SIGTERM lets what is under way come to its next safe point instead of ending the
    process at once; for commands that run a job themselves. Only the main thread hears signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def hear(_number: int, _frame: FrameType | None) -> None:
        want()

    begin()
    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        begin()
