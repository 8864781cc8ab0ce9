"""The webhook's door behind the real server: bodies that trickle, break off, lie about their length."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncsvc.webhooks.arrival import LARGEST
from tests.acceptance.served import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 0.6
SERVER = f"""
import sys
from config import wsgi
from syncsvc.webhooks import door
door.hourglass = door.Hourglass({PATIENCE})
from gunicorn.app.wsgiapp import run
sys.argv = ["gunicorn", "-c", "python:config.gunicorn_conf", "config.wsgi:application"]
run()
"""
SIGNED = "X-Hub-Signature-256: sha256=" + "0" * 64


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One process with two threads. No request of these tests gets as far as the database."""
    chosen = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        env=os.environ
        | {
            "PORT": str(chosen), "WEB_CONCURRENCY": "1", "WEB_THREADS": "2",
            "DATABASE_URL": "postgres://nobody@127.0.0.1:9/nothing", "SECRET_KEY": "x" * 50,
            "GITHUB_WEBHOOK_SECRET": "a secret", "ENV_FILE": os.devnull,
        },
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", chosen)):
                break
            time.sleep(0.05)
        yield chosen
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def connect(port: int, *headers: str) -> socket.socket:
    lines = ["POST /webhooks/github/ HTTP/1.1", "Host: localhost", *headers, "", ""]
    made = socket.create_connection(("127.0.0.1", port), timeout=20)
    made.sendall("\r\n".join(lines).encode())
    return made


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and reason of the next answer."""
    got = b""
    while b"}" not in got:
        part = connection.recv(65_536)
        assert part, got
        got += part
    head, _, body = got.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["reason"]


def trickle(connection: socket.socket, seconds: float) -> None:
    """A byte each 50 ms, until the other side has had enough."""
    connection.settimeout(0.05)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection.sendall(b" ")
        with contextlib.suppress(TimeoutError):
            if connection.recv(1, socket.MSG_PEEK):
                break
    connection.settimeout(20)


@pytest.mark.spec("R6.1")
@pytest.mark.parametrize("how", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
def test_a_sender_that_trickles_holds_a_thread_for_a_while_only(port: int, how: str) -> None:
    slow = [connect(port, SIGNED, how) for _ in range(2)]  # all threads there are
    began = time.monotonic()
    if "chunked" in how:
        for each in slow:
            each.sendall(b"1388\r\n")
    trickle(slow[0], 10)
    assert answer(slow[0]) == (400, "body")
    assert PATIENCE * 0.9 < time.monotonic() - began < 5 * PATIENCE
    assert answer(slow[1]) == (400, "body")
    with connect(port, SIGNED, "Content-Length: 2") as other:
        other.sendall(b"{}")
        assert answer(other) == (401, "signature_wrong")
    for each in slow:
        each.close()


@pytest.mark.spec("R6.1")
def test_a_body_that_breaks_off_is_malformed(port: int) -> None:
    with connect(port, SIGNED, "Content-Length: 5000") as made:
        made.sendall(b"{}")
        made.shutdown(socket.SHUT_WR)
        assert answer(made) == (400, "body")


@pytest.mark.parametrize("chunks", [b"zz\r\n{}\r\n", b"2\r\n{}xx", b"-1\r\n", b"5\r\n{}"])
def test_chunks_that_are_none_are_malformed(port: int, chunks: bytes) -> None:
    with connect(port, SIGNED, "Transfer-Encoding: chunked") as made:
        made.sendall(chunks)
        made.shutdown(socket.SHUT_WR)
        assert answer(made) == (400, "body")


@pytest.mark.spec("R6.1")
def test_a_body_that_is_too_large_is_told_so_although_nobody_keeps_it(port: int) -> None:
    with connect(port, SIGNED, f"Content-Length: {LARGEST + 1}") as made:
        made.sendall(b" " * (LARGEST + 1))
        assert answer(made) == (413, "too_large")


@pytest.mark.parametrize("length", ["-1", "x", "1, 2", ""])
def test_a_length_that_is_none_is_malformed(port: int, length: str) -> None:
    with connect(port, SIGNED, f"Content-Length: {length}") as made:
        made.shutdown(socket.SHUT_WR)
        assert made.recv(100).startswith(b"HTTP/1.1 400 ")


def test_a_connection_goes_on_after_a_refusal(port: int) -> None:
    with connect(port, "Content-Length: 2") as made:
        made.sendall(b"{}")
        assert answer(made) == (401, "signature_missing")
        made.sendall(
            f"POST /webhooks/github HTTP/1.1\r\nHost: x\r\n{SIGNED}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        )
        assert answer(made) == (401, "signature_wrong")
