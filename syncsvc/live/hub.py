"""The live updates of one web process: a thread with an event loop, begun with the first stream.

Any thread may hand over a socket. What gunicorn forks begins anew, and never in its master."""

import asyncio
import contextlib
import os
import resource
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from syncsvc.live import listener
from syncsvc.live.switchboard import Pace, Switchboard
from syncsvc.live.telling import Wish

log = structlog.get_logger(__name__)

MOST_A_USER: Final = 20
MOST_A_PROCESS: Final = 1_000
START_SECONDS: Final = 5


class Hub:
    """Takes sockets, counts them, and ends when the process does."""

    def __init__(
        self, *, connect: listener.Connect = listener.connect, pace: Pace | None = None
    ) -> None:
        self._connect, self._pace = connect, pace or Pace()
        self._guard = threading.Lock()
        self._places: Counter[int] = Counter()
        self._is_serving: Callable[[], bool] = lambda: True
        self._loop: asyncio.AbstractEventLoop | None = None
        self._board: Switchboard | None = None
        self._thread: threading.Thread | None = None
        self._main: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def open_streams(self) -> int:
        """How many there are, those that are being handed over included."""
        return self._places.total()

    @property
    def is_serving(self) -> bool:
        """Whether this process goes on; one that stops takes no streams."""
        return self._is_serving()

    def lives_while(self, is_serving: Callable[[], bool]) -> None:
        """Has all streams end as soon as the process is told to stop."""
        self._is_serving = is_serving

    def reserve(self, user_id: int) -> bool:
        """A place for one more stream of this user, unless there are too many."""
        with self._guard:
            full = self._places.total() >= _room() or self._places[user_id] >= MOST_A_USER
            if not full:
                self._places[user_id] += 1
        return not full

    def release(self, wish: Wish) -> None:
        """Gives a place back."""
        with self._guard:
            self._places[wish.viewer.user_id] -= 1
            self._places += Counter()  # without those that have none left

    def adopt(self, connection: socket.socket, head: bytes, wish: Wish) -> None:
        """Serves this socket from now on, and gives its place back in the end."""
        loop, board = self._begin()

        def take() -> None:
            self._tasks.add(task := loop.create_task(board.welcome(connection, head, wish)))
            task.add_done_callback(self._tasks.discard)

        try:
            loop.call_soon_threadsafe(take)
        except RuntimeError:  # it ended meanwhile; the client comes back
            connection.close()
            self.release(wish)

    def stop(self) -> None:
        """Ends the thread and all streams."""
        with self._guard:
            thread, loop, main = self._thread, self._loop, self._main
            self._thread = self._loop = self._board = self._main = None
        if thread and loop and main:
            loop.call_soon_threadsafe(main.cancel)
            thread.join(START_SECONDS)

    def _begin(self) -> tuple[asyncio.AbstractEventLoop, Switchboard]:
        with self._guard:
            if self._loop is None or self._board is None:
                begun = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(begun,), name="live", daemon=True
                )
                self._thread.start()
                begun.wait(START_SECONDS)
            assert self._loop is not None  # noqa: S101  (the thread has set both)
            assert self._board is not None  # noqa: S101  (as above)
            return self._loop, self._board

    def _run(self, begun: threading.Event) -> None:
        try:
            with contextlib.suppress(asyncio.CancelledError):
                asyncio.run(self._serve(begun))
        except Exception:
            log.exception("live.hub_failed")  # the next stream begins another one
        finally:
            with self._guard:
                if self._thread is threading.current_thread():
                    self._thread = self._loop = self._board = self._main = None
                    self._places.clear()

    async def _serve(self, begun: threading.Event) -> None:
        board = Switchboard(self._pace, self.release)
        self._loop, self._board = asyncio.get_running_loop(), board
        self._main = asyncio.current_task()
        begun.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.listen(board, self._connect))
            tasks.create_task(self._watch(board))

    async def _watch(self, board: Switchboard) -> None:
        try:
            while True:
                await asyncio.sleep(self._pace.tick)
                if self._is_serving():
                    board.tick()
                else:
                    board.close()
        finally:
            board.close()
            await asyncio.sleep(0)


def _room() -> int:
    """How many streams this process may hold: half of its file descriptors at most."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = descriptors == resource.RLIM_INFINITY
    return MOST_A_PROCESS if unlimited else min(MOST_A_PROCESS, descriptors // 2)


hub = Hub()


def _begin_anew() -> None:
    """In a forked child: the parent's loop and sockets are not its own."""
    global hub  # noqa: PLW0603  (one a process)
    hub = Hub()


os.register_at_fork(after_in_child=_begin_anew)
