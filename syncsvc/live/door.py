"""Takes a request's socket out of gunicorn's hands, so that a stream holds no thread.

Django answers the request as any other: who is it, what may they see, how often. When the view wants a
stream, the connection is duplicated and given to the hub with the head of the answer; gunicorn's own
descriptor is pointed to a socket that leads nowhere, so that whatever it does to end the request
(it shuts the connection down) reaches nobody.
"""

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog

from syncsvc.live import frames
from syncsvc.live import hub as hubs
from syncsvc.live.telling import Wish

log = structlog.get_logger(__name__)

PATH: Final = "/api/v1/jobs/stream/"
OFFER: Final = "syncsvc.live.offer"
#: A connection that ends the answer with itself is HTTP of both versions; nginx speaks the older one.
_PROTOCOLS: Final = frozenset({"HTTP/1.0", "HTTP/1.1"})

Wsgi = Callable[[dict[str, Any], Any], Any]


class Offer:
    """In a request's environ: its socket could be taken over. The view fills in for whom."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._wish: Wish | None = None
        self.status, self.headers = "", list[tuple[str, str]]()

    def accept(self, wish: Wish) -> bool:
        """The view wants a stream; False when there is no place for one more."""
        if not hubs.hub.reserve(wish.viewer.user_id):
            return False
        self._wish = wish
        return True

    @property
    def is_accepted(self) -> bool:
        """Whether the answer is a stream: something after the view may have made it another one."""
        if self._wish is not None and not self.status.startswith("200 "):
            self.give_up()
        return self._wish is not None

    def give_up(self) -> None:
        """There will be no stream."""
        if self._wish is not None:
            hubs.hub.release(self._wish)
            self._wish = None

    def note(self, status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
        """Django's word to the server, kept until it is known who answers."""
        self.status, self.headers = status, headers
        return _written

    def hand_over(self) -> None:
        """Gives the connection to the hub. Raises OSError where no descriptor is left."""
        assert self._wish is not None  # noqa: S101  (asked before)
        descriptor = self._connection.fileno()
        taken = socket.socket(fileno=os.dup(descriptor))
        try:
            nowhere, other = socket.socketpair()
        except OSError:
            taken.close()
            raise
        with nowhere, other:
            os.dup2(nowhere.fileno(), descriptor, inheritable=False)
        hubs.hub.adopt(taken, frames.head(self.status, self.headers), self._wish)
        self._wish = None


def after(application: Wsgi) -> Wsgi:
    """`application`, whose streams are taken over."""

    def door(environ: dict[str, Any], start_response: Any) -> Any:
        connection = _takeable(environ)
        if connection is None:
            return application(environ, start_response)
        offer = environ[OFFER] = Offer(connection)
        try:
            answer = application(environ, offer.note)
        except BaseException:
            offer.give_up()
            raise
        accepted = offer.is_accepted
        start_response(offer.status, offer.headers)
        if not accepted:
            return answer
        answer.close()
        try:
            offer.hand_over()
        except OSError as error:
            offer.give_up()
            log.exception("live.not_handed_over", error=type(error).__name__)
            return [frames.retry(10_000)]
        return _Gone()

    return door


def _takeable(environ: dict[str, Any]) -> socket.socket | None:
    """The socket of a request for a stream that could be taken over: plain, and gunicorn's."""
    if environ.get("PATH_INFO") != PATH or environ.get("REQUEST_METHOD") != "GET":
        return None
    connection = environ.get("gunicorn.socket")
    if not isinstance(connection, socket.socket) or isinstance(connection, ssl.SSLSocket):
        return None
    plain = environ.get("SERVER_PROTOCOL") in _PROTOCOLS and "HTTP_VERSION" not in environ
    return connection if plain and hubs.hub.is_serving else None


class _Gone:
    """An answer that is written elsewhere: to gunicorn its client has left, which ends the request
    at once and is logged nowhere. (Sentry would report it, but stands further inside.)"""

    def __iter__(self) -> Iterator[bytes]:
        raise ConnectionResetError(errno.ECONNRESET, "the connection was handed over")

    def close(self) -> None:
        """Nothing is held."""


def _written(_data: bytes) -> None:
    """PEP 3333's old way of writing, which Django does not use."""
