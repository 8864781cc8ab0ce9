"""A request's socket leaves gunicorn's hands: what then happens to the request harms nobody (R18.4)."""

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from syncsvc.live import door
from syncsvc.live import hub as hubs
from syncsvc.live.rights import Viewer
from syncsvc.live.telling import Wish

pytestmark = pytest.mark.spec("R18.4")
WISH = Wish(viewer=Viewer(user_id=1, installations=frozenset(), password=""))


class Hub(hubs.Hub):
    """Notes what it is given, and serves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[socket.socket, bytes, Wish]] = []

    def adopt(self, connection: socket.socket, head: bytes, wish: Wish) -> None:
        self.given.append((connection, head, wish))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub()
    monkeypatch.setattr(hubs, "hub", made)
    yield made
    for connection, _, _ in made.given:
        connection.close()


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    server, browser = socket.socketpair()
    with server, browser:
        browser.settimeout(1)
        yield server, browser


class Body(list[bytes]):
    closed = False

    def close(self) -> None:
        self.closed = True


def application(status: str = "200 OK", wants: bool = True, fails: bool = False) -> Any:
    def answer(environ: dict[str, Any], start_response: Any) -> Body:
        offer = environ.get(door.OFFER)
        environ["accepted"] = offer is not None and wants and offer.accept(WISH)
        if fails:
            raise RuntimeError
        start_response(status, [("Content-Type", "text/event-stream"), ("X-Frame-Options", "DENY")])
        environ["body"] = Body([b"short"])
        return environ["body"]  # type: ignore[no-any-return]

    return door.after(answer)


def environ(server: Any, **more: Any) -> dict[str, Any]:
    return {
        "PATH_INFO": door.PATH, "REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "gunicorn.socket": server,
    } | more  # fmt: skip


def ask(app: Any, asked: dict[str, Any]) -> tuple[str, Any]:
    said: list[str] = []
    answer = app(asked, lambda status, headers: said.append(status))
    return said[0], answer


def test_the_connection_goes_on_after_gunicorn_has_shut_its_own_down(
    hub: Hub, ends: tuple[socket.socket, socket.socket]
) -> None:
    server, browser = ends
    asked = environ(server)
    status, answer = ask(application(), asked)
    assert (status, asked["body"].closed) == ("200 OK", True)
    with pytest.raises(ConnectionResetError) as raised:
        iter(answer)
    assert raised.value.errno == errno.ECONNRESET  # gunicorn takes it for a client that left
    answer.close()
    server.setblocking(True)
    server.shutdown(socket.SHUT_WR)
    server.settimeout(1)
    assert server.recv(100) == b""
    server.close()
    [(taken, head, wish)] = hub.given
    assert wish is WISH
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nX-Frame-Options: DENY\r\n" in head
    assert head.endswith(b"Connection: close\r\n\r\n")
    taken.sendall(b"still there")
    assert browser.recv(100) == b"still there"
    browser.sendall(b"and back")
    assert taken.recv(100) == b"and back"
    assert hub.open_streams == 1


@pytest.mark.parametrize(
    "more",
    [
        {"PATH_INFO": "/api/v1/jobs/"}, {"REQUEST_METHOD": "HEAD"}, {"SERVER_PROTOCOL": "HTTP/2"},
        {"HTTP_VERSION": "2"}, {"gunicorn.socket": None}, {"gunicorn.socket": object()},
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_answered_as_ever(
    hub: Hub, ends: tuple[socket.socket, socket.socket], more: dict[str, Any]
) -> None:
    status, answer = ask(application(), environ(ends[0]) | more)
    assert (status, list(answer), hub.given) == ("200 OK", [b"short"], [])


def test_a_socket_with_tls_is_not_taken_over(
    hub: Hub, ends: tuple[socket.socket, socket.socket]
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with context.wrap_socket(ends[0], server_side=True, do_handshake_on_connect=False) as secured:
        assert ask(application(), environ(secured))[1] == [b"short"]
    assert hub.given == []


def test_a_process_that_stops_takes_nothing_over(
    hub: Hub, ends: tuple[socket.socket, socket.socket]
) -> None:
    hub.lives_while(lambda: False)
    assert ask(application(), environ(ends[0]))[1] == [b"short"]


@pytest.mark.parametrize("how", [{"status": "503 Service Unavailable"}, {"wants": False}])
def test_another_answer_than_a_stream_gives_the_place_back(
    hub: Hub, ends: tuple[socket.socket, socket.socket], how: dict[str, Any]
) -> None:
    assert ask(application(**how), environ(ends[0]))[1] == [b"short"]
    assert (hub.open_streams, hub.given) == (0, [])


def test_a_failure_gives_the_place_back(
    hub: Hub, ends: tuple[socket.socket, socket.socket]
) -> None:
    with pytest.raises(RuntimeError):
        ask(application(fails=True), environ(ends[0]))
    assert hub.open_streams == 0


def test_without_descriptors_the_client_is_told_to_come_back(
    hub: Hub, ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "dup", none_left)
    assert ask(application(), environ(ends[0]))[1] == [b"retry: 10000\n\n"]
    assert (hub.open_streams, hub.given) == (0, [])
