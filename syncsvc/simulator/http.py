"""A small threaded HTTP/1.1 server: keep-alive, one send per answer, stoppable.

Hides sockets and the wire format. What to answer is decided by the callable it is given;
what goes wrong on purpose (resets, silence) is asked for by an `Outcome`.
"""

import socket
import socketserver
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache, partial
from http import HTTPStatus
from threading import Event, Lock, Thread, current_thread
from typing import Any, Literal, cast

from syncsvc.simulator.messages import Answer, Request

MAX_HEADERS = 100
MAX_BODY = 25 * 1024 * 1024
HOLD_LIMIT = 3600.0
LAST_WORDS = 2.0
"""Seconds that a connection may take to notice the end."""


@dataclass
class Outcome:
    """An answer and how it reaches the client."""

    answer: Answer
    wait: float = 0.0
    """Seconds before it is sent."""
    wire: Literal["whole", "reset", "reset_midway", "silence"] = "whole"


Responder = Callable[[Request], Outcome]


class Server:
    """Serves on loopback in background threads until stopped."""

    def __init__(self, respond: Responder, *, host: str, port: int) -> None:
        """Bind at once (OSError when the port is taken); port 0 takes any free one."""
        self.stopping = Event()
        self._open: dict[socket.socket, Thread] = {}
        self._lock = Lock()
        self._tcp = _Tcp((host, port), _Connection)
        self._tcp.owner = self
        self.respond = respond
        self.host, self.port = self._tcp.server_address[0], self._tcp.server_address[1]
        self._thread = Thread(
            target=self._tcp.serve_forever,
            kwargs={"poll_interval": 0.05},
            name="simulator",
            daemon=True,
        )

    def start(self) -> None:
        """Begin to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Close everything, kept-alive and hanging connections included, and wait for it."""
        self.stopping.set()
        if self._thread.is_alive():
            self._tcp.shutdown()
            self._thread.join()
        with self._lock:
            serving = list(self._open.items())
        for connection, thread in serving:
            _quietly(partial(connection.shutdown, socket.SHUT_RDWR))
            thread.join(LAST_WORDS)
        self._tcp.server_close()

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection, so that `stop` can end it."""
        with self._lock:
            self._open[connection] = current_thread()

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._lock:
            self._open.pop(connection, None)


class _Tcp(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256
    owner: Server

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; a mistake of the simulator's own is."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True
    rbufsize = 64 * 1024
    wbufsize = 0

    def handle(self) -> None:
        server = cast("_Tcp", self.server).owner
        server.opened(self.connection)
        try:
            while not server.stopping.is_set():
                request = self._read()
                if request is None or not self._answer(server, request):
                    return
        except (ConnectionError, TimeoutError):
            return
        finally:
            server.closed(self.connection)

    def _read(self) -> Request | None:
        """The next request, or None when the client closed or speaks no HTTP."""
        words = self.rfile.readline(65_537).decode("latin-1").split()
        if len(words) != 3:
            return None
        headers: dict[str, str] = {}
        for _ in range(MAX_HEADERS):
            line = self.rfile.readline(65_537).decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MAX_BODY or "transfer-encoding" in headers:
            return None
        body = self.rfile.read(int(length)) if length != "0" else b""
        path, _, query = words[1].partition("?")
        return Request(words[0], path, query, headers, body)

    def _answer(self, server: Server, request: Request) -> bool:
        """Send what the responder says; whether the connection stays open."""
        outcome = server.respond(request)
        if outcome.wire == "silence":
            server.stopping.wait(outcome.wait or HOLD_LIMIT)
            return False
        if outcome.wait:
            server.stopping.wait(outcome.wait)
        if outcome.wire == "reset":
            return self._reset()
        close = request.headers.get("connection", "").lower() == "close"
        data = wire(outcome.answer, head=request.method == "HEAD", close=close)
        if outcome.wire == "reset_midway":
            self.connection.sendall(data[: len(data) - max(len(outcome.answer.body) // 2, 1)])
            return self._reset()
        self.connection.sendall(data)
        if outcome.answer.after is not None:
            outcome.answer.after()
        return not close

    def _reset(self) -> bool:
        """End with RST instead of FIN: what a client sees as `connection reset by peer`."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        return False

    def finish(self) -> None:
        _quietly(super().finish)


def wire(answer: Answer, *, head: bool, close: bool) -> bytes:
    """An answer as the bytes of an HTTP/1.1 response."""
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    if answer.status not in {204, 304}:
        lines.append(f"content-length: {len(answer.body)}")
    if close:
        lines.append("connection: close")
    headers = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    return headers if head or answer.status in {204, 304} else headers + answer.body


@lru_cache(maxsize=4)
def http_date(moment: int) -> str:
    """Epoch seconds as HTTP writes dates."""
    return formatdate(moment, usegmt=True)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _quietly(action: Callable[[], object]) -> None:
    """Do something to a socket that may be gone already."""
    try:
        action()
    except OSError:
        return
