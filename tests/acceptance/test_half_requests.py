"""Clients that send half a request, or nothing, hold up nobody: webhooks are taken all the same (R6.1)."""

import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.acceptance.streams import web
from tests.acceptance.test_live import deliver

pytestmark = pytest.mark.django_db(transaction=True)

HEAD = b"POST /login/ HTTP/1.1\r\nHost: localhost\r\n"
HALVES = (b"", b"GET /lo", HEAD, HEAD + b"Content-Length: 500\r\n\r\nabc")
EACH = 5


@contextmanager
def connected(port: int, data: bytes) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
        connection.sendall(data)
        yield connection


@pytest.mark.spec("R6.1", "R18.4")
def test_half_a_request_holds_no_thread(tmp_path: Path) -> None:
    with web(tmp_path / "web.log", threads=2) as served, ExitStack() as held:
        for half in HALVES * EACH:
            held.enter_context(connected(served.port, half))
        began = time.monotonic()
        assert deliver(served.port) == 202
        assert time.monotonic() - began < 4  # five seconds are those of one idle connection

        # One that is only slow is answered, and so are two requests that come at once.
        slow = held.enter_context(connected(served.port, b""))
        for byte in b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n":
            slow.sendall(bytes([byte]))
        assert slow.recv(100).startswith(b"HTTP/1.1 200")
        both = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
        twice = held.enter_context(
            connected(
                served.port, both + both.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
            )
        )
        answers = b""
        while part := twice.recv(4096):
            answers += part
        assert answers.count(b"HTTP/1.1 200") == 2

        # A large body is waited for by whoever reads it, an end in the midst is an end.
        keep = http.client.HTTPConnection("127.0.0.1", served.port, timeout=8)
        for size in (100_000, 5):
            keep.request("POST", "/webhooks/github/", b"x" * size)
            answer = keep.getresponse()
            assert answer.status == 401
            answer.read()
        keep.close()
        cut = held.enter_context(connected(served.port, b"GET /hea"))
        cut.shutdown(socket.SHUT_WR)
        assert cut.recv(100) == b""
