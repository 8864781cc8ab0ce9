"""gunicorn's threaded worker, which gives a thread only to a request that is there.

A thread that waits for a client's next byte is a thread that answers nobody: a few dozen connections that
send half a request would stop everything, webhooks first. So what has come is looked at without taking it
(`MSG_PEEK`), and until the head and a short body are whole the connection waits where idle ones do, with
no thread; the kernel says when more is there (`SO_RCVLOWAT`).
"""

import re
import socket
import time
from typing import Any, Final

from gunicorn.workers import gthread  # type: ignore[import-untyped]

#: A whole head is shorter (gunicorn refuses longer ones); of longer bodies so much is waited for.
MOST: Final = 65_536
MOST_BODY: Final = 32_768
#: Whoever sends a request has this long until it is whole.
SECONDS: Final = 15.0
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
#: That door has an hourglass of its own, and tells whoever is too slow.
_WEBHOOKS: Final = b"POST /webhooks/"
_ASKS_FIRST: Final = re.compile(rb"\r\nexpect:", re.IGNORECASE)


def wanted(seen: bytes) -> int:
    """How many bytes have to be there before the request is worth a thread, given those that are. Pure."""
    end = seen.find(_END)
    if end < 0:
        return len(seen) + 1 if len(seen) < MOST else len(seen)
    head = seen[: end + 2]
    length = _LENGTH.search(head)
    if length is None or _ASKS_FIRST.search(head) or head.startswith(_WEBHOOKS):
        return end + len(_END)
    return min(end + len(_END) + int(length[1]), max(end + len(_END), MOST_BODY))


class Worker(gthread.ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Threads for whole requests."""

    def handle(self, conn: Any) -> Any:
        """As the parent, once the request is there."""
        if self.cfg.is_ssl or _has_read_ahead(conn) or self._is_there(conn):
            return super().handle(conn)
        began = conn.__dict__.setdefault("half_since", time.monotonic())
        if time.monotonic() - began > SECONDS:
            return False  # closed
        return gthread._DEFER  # noqa: SLF001  (there is no public name for it)

    @staticmethod
    def _is_there(conn: Any) -> bool:
        """Whether to go on; if not, the kernel is told how much has to come first."""
        try:
            seen = conn.sock.recv(MOST, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            closed = not seen
        except BlockingIOError:
            seen, closed = b"", False
        except OSError:
            return True  # the parent knows what to do
        needed = max(1, wanted(seen))
        # Woken without anything new: it was closed behind half a request, or the kernel knows no such wish.
        stuck = bool(seen) and len(seen) == conn.__dict__.get("half_seen")
        whole = closed or stuck or (bool(seen) and len(seen) >= needed)
        if whole:
            conn.__dict__.pop("half_seen", None)
            conn.__dict__.pop("half_since", None)
        elif seen:
            conn.half_seen = len(seen)
        try:
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 if whole else needed)
        except OSError:
            return True
        return whole


def _has_read_ahead(conn: Any) -> bool:
    """Whether the next request, or its beginning, was read together with the one before."""
    return bool(conn.initialized and conn.parser.unreader.buf.getvalue())
