"""One open stream: a socket that was a request of gunicorn's, and what its client wants to hear."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from syncsvc.live.telling import Wish

#: Bytes that wait for a client. One that is slower is cut off: it comes back and resumes by its id.
MOST_WAITING: Final = 512 * 1024
MOST_AT_FIRST: Final = 4 * 1024 * 1024
#: A peer that confirms nothing for so long is gone (milliseconds).
SILENT_PEER: Final = 45_000


class Stream(asyncio.Protocol):
    """Its client never says anything; that it went is all that is read."""

    def __init__(self, wish: Wish, *, ends_at: float, left: Callable[["Stream"], None]) -> None:
        self.wish, self.ends_at, self._left = wish, ends_at, left
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is the loop's now."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (streams of bytes have no other)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the protocol's)
        """Closed, by whichever side."""
        self._transport = None
        self._left(self)

    def send(self, data: bytes, most: int = MOST_WAITING) -> None:
        """Never waits. Who does not read is cut off."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(data)
        if transport.get_write_buffer_size() > most:
            transport.abort()

    def close(self) -> None:
        """Ends it after what is under way; the client comes back by itself."""
        if self._transport is not None:
            self._transport.close()


def tune(connection: socket.socket) -> None:
    """Has the kernel notice a browser that went without a word."""
    if sys.platform.startswith("linux") and connection.family != getattr(socket, "AF_UNIX", None):
        with contextlib.suppress(OSError):
            option: Any = socket.TCP_USER_TIMEOUT
            connection.setsockopt(socket.IPPROTO_TCP, option, SILENT_PEER)
