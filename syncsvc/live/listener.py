"""The one connection of a web process on which the database calls, and how it comes back."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Final

import psycopg
import structlog
from django.db import connections

from syncsvc.live.switchboard import Connection, Switchboard
from syncsvc.models import LiveEvent

log = structlog.get_logger(__name__)

CONNECT_SECONDS: Final = 5
#: A turn that takes longer has lost its database.
TURN_SECONDS: Final = 15
LEAST_PAUSE: Final = 0.1
LONGEST_PAUSE: Final = 10.0
#: Turns follow each other no faster; what comes meanwhile is told together.
BREATH: Final = 0.01

Connect = Callable[[], Awaitable[Connection]]


async def connect() -> Connection:
    """A connection like Django's own, for an event loop."""
    parameters = connections.create_connection("default").get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    limits = {
        "connect_timeout": CONNECT_SECONDS,
        "tcp_user_timeout": 1000 * TURN_SECONDS,
        "application_name": "live",  # so that an operator knows whose it is
    }
    made: Connection = await psycopg.AsyncConnection.connect(
        **parameters | limits, autocommit=True, prepare_threshold=None
    )
    await made.execute("SET TIME ZONE 'UTC'")
    return made


async def listen(board: Switchboard, connect: Connect) -> None:
    """Tells the board's streams what happens, for ever; comes back whatever the database does."""
    pause = LEAST_PAUSE
    while True:
        while not board.is_busy:
            board.wake.clear()
            await board.wake.wait()
        try:
            async with contextlib.AsyncExitStack() as stack:
                connection = await connect()
                stack.push_async_callback(connection.close)
                await _begin(board, connection)
                pause = LEAST_PAUSE
                await _serve(board, connection)
        except (psycopg.Error, OSError, TimeoutError) as error:
            log.warning("live.database_lost", error=type(error).__name__, again_in_seconds=pause)
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(LONGEST_PAUSE, 2 * pause)


async def _begin(board: Switchboard, connection: Connection) -> None:
    # A handler, and be it an idle one: without any, psycopg would keep all calls.
    connection.add_notify_handler(lambda _: board.wake.set())
    async with asyncio.timeout(TURN_SECONDS):
        await connection.execute(f"LISTEN {LiveEvent.CHANNEL}")
        await board.connected(connection)


async def _serve(board: Switchboard, connection: Connection) -> None:
    while board.is_busy:
        board.wake.clear()
        async with asyncio.timeout(TURN_SECONDS):
            await board.turn(connection)
        await asyncio.sleep(BREATH)
        while connection.pgconn.notifies():  # came with the last answer's bytes
            board.wake.set()
        if not board.wake.is_set():
            await _call(board.wake, connection.fileno(), board.pace.look)


async def _call(wake: asyncio.Event, descriptor: int, seconds: float) -> None:
    """Returns when the database has something to say (the next turn reads it), when somebody joins,
    or after `seconds`."""
    loop: Any = asyncio.get_running_loop()
    loop.add_reader(descriptor, wake.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await wake.wait()
    finally:
        loop.remove_reader(descriptor)
