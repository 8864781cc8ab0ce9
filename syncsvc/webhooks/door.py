"""The address that GitHub sends webhooks to: verify, store, answer, nothing else (R6.1).

It stands before Django's own machinery, which would cost more than the work itself, and once more
as a view for servers that know only Django. Hides bodies that come slowly, in pieces or not at all.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from syncsvc import credentials
from syncsvc.webhooks import inbox
from syncsvc.webhooks.arrival import (
    LARGEST,
    TOO_LARGE,
    Arrival,
    Refused,
    judge,
    refusal_before_body,
    sane_guid,
)
from syncsvc.webhooks.inbox import Stored

log = structlog.get_logger(__name__)

PATHS: Final = frozenset({"/webhooks/github/", "/webhooks/github"})
BODY_SECONDS: Final = 9.0
"""GitHub hangs up after 10 s; who needs longer to send is not GitHub."""
_STEP: Final = 1024 * 1024
_DISCARDED: Final = 2 * LARGEST

WRONG_METHOD: Final = Refused(
    status=405,
    reason="method",
    sentence="Deliveries are sent by POST; nothing else is served here.",
)
WRONG_LENGTH: Final = Refused(
    status=400,
    reason="length",
    sentence="Content-Length must be the number of bytes of the body.",
)
CUT: Final = Refused(
    status=400, reason="body", sentence="The body ended early, or came too slowly: send it again."
)
UNAVAILABLE: Final = Refused(
    status=503,
    reason="unavailable",
    sentence="The database does not answer: redeliver it later (we ask GitHub to, by ourselves).",
)
UNSTORABLE: Final = Refused(
    status=400, reason="unstorable", sentence="The database cannot hold this delivery."
)

Wsgi = Callable[[dict[str, Any], Any], Any]
"""PEP 3333; its answers are iterables of bytes, which Django's type does not say."""
Store = Callable[[Arrival], Stored]


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and its JSON."""

    status: int
    body: bytes


_LINES: Final = {
    200: "200 OK", 202: "202 Accepted", 400: "400 Bad Request", 401: "401 Unauthorized",
    405: "405 Method Not Allowed", 413: "413 Content Too Large", 503: "503 Service Unavailable",
}  # fmt: skip
_TAKEN: Final = {
    Stored.NEW: Answer(202, b'{"status":"accepted"}'),
    Stored.SEEN: Answer(200, b'{"status":"seen"}'),
}
_NOT_TAKEN: Final = {Stored.UNAVAILABLE: UNAVAILABLE, Stored.IMPOSSIBLE: UNSTORABLE}


def before(application: Wsgi) -> Wsgi:
    """`application`, with this door before it."""

    def door(environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO") not in PATHS:
            return application(environ, start_response)
        answer = respond(environ, inbox.store)
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(answer.body))),
        ]
        if answer.status == 405:
            headers.append(("Allow", "POST"))
        start_response(_LINES[answer.status], headers)
        return [answer.body]

    return door


@csrf_exempt
def view(request: HttpRequest) -> HttpResponse:
    """The same as a view of Django's, in the transaction that may be open there."""
    answer = respond(request.META, inbox.store_now)
    response = HttpResponse(answer.body, status=answer.status, content_type="application/json")
    if answer.status == 405:
        response["Allow"] = "POST"
    return response


def respond(environ: Mapping[str, Any], store: Store) -> Answer:
    """What is answered to a request; what is acknowledged has been stored."""
    headers = _headers(environ)
    judged = _judged(environ, headers)
    if isinstance(judged, Arrival):
        stored = store(judged)
        if stored in _TAKEN:
            return _TAKEN[stored]
        judged = _NOT_TAKEN[stored]
    log.warning(
        "webhook.refused",
        status=judged.status,
        reason=judged.reason,
        sentence=judged.sentence,
        guid=sane_guid(headers),
    )
    return Answer(
        judged.status,
        orjson.dumps({"status": "refused", "reason": judged.reason, "detail": judged.sentence}),
    )


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    found = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    found["content-type"] = environ.get("CONTENT_TYPE") or ""
    return found


def _judged(environ: Mapping[str, Any], headers: Mapping[str, str]) -> Arrival | Refused:
    if environ.get("REQUEST_METHOD") != "POST":
        return WRONG_METHOD
    length = _length(environ)
    if isinstance(length, Refused):
        return length
    try:
        secrets = credentials.webhook_secrets()
    except Exception as error:  # noqa: BLE001  (whatever keeps us from knowing, GitHub is told to come back)
        log.warning("webhook.no_secrets_read", error=type(error).__name__)
        _in_time(environ, lambda source: _discard(source, length))
        return UNAVAILABLE
    refused = refusal_before_body(headers, length, secrets)
    if refused is not None:
        _in_time(environ, lambda source: _discard(source, length))
        return refused
    body = _body(environ, length)
    return body if isinstance(body, Refused) else judge(headers, body, secrets)


def _length(environ: Mapping[str, Any]) -> int | Refused | None:
    """Bytes of the body; None where it comes in chunks, whose end the server knows."""
    text = str(environ.get("CONTENT_LENGTH") or "").strip()
    if text:
        usable = text.isascii() and text.isdigit() and len(text) < 19
        return int(text) if usable else WRONG_LENGTH
    chunked = "chunked" in str(environ.get("HTTP_TRANSFER_ENCODING") or "").lower()
    return None if chunked and environ.get("wsgi.input_terminated") else WRONG_LENGTH


# -- the body ------------------------------------------------------------------------------------


def _body(environ: Mapping[str, Any], length: int | None) -> bytes | Refused:
    """The raw body, never more of it in memory than GitHub would send."""
    body = _in_time(environ, lambda source: _read(source, length))
    if length is not None:
        return body if body is not None and len(body) == length else CUT
    if body is None:
        return CUT
    return TOO_LARGE if len(body) > LARGEST else body


def _in_time(environ: Mapping[str, Any], read: Callable[[Any], bytes]) -> bytes | None:
    """What was read of the body; None when that failed or took too long."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        hourglass.turn(connection)
    try:
        body: bytes | None = read(environ["wsgi.input"])
    except Exception:  # noqa: BLE001  (whatever the server raises: what it read is no whole body)
        body = None
    if connection is not None and hourglass.take(connection):
        return None
    return body


def _read(source: Any, length: int | None) -> bytes:
    if length is not None:
        whole: bytes = source.read(length) if length else b""
        return whole
    parts, size = [], 0
    while size <= LARGEST:
        part = source.read(_STEP)
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _discard(source: Any, length: int | None) -> bytes:
    """Lets the sender finish, within reason: most listen for an answer only when all is sent."""
    left = _DISCARDED if length is None else min(length, _DISCARDED)
    while left > 0:
        part = source.read(min(left, _STEP))
        if not part:
            break
        left -= len(part)
    return b""


class Hourglass:
    """Ends the reading of bodies that take too long in all, however often a byte of them comes.

    A time-out of the socket begins anew with each byte. So one thread looks after all connections
    that are being read, and shuts those that are overdue: the read then ends as at their end.
    """

    def __init__(self, seconds: float = BODY_SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._running: dict[socket.socket, float] = {}
        self._some = threading.Event()
        self._thread: threading.Thread | None = None

    def turn(self, connection: socket.socket) -> None:
        """The time of this connection begins."""
        with self._lock:
            self._running[connection] = time.monotonic() + self._seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="hourglass", daemon=True)
                self._thread.start()
        self._some.set()

    def take(self, connection: socket.socket) -> bool:
        """It was read; True when its time had run out."""
        with self._lock:
            return self._running.pop(connection, None) is None

    def _watch(self) -> None:
        tick = threading.Event()
        while True:
            self._some.wait()
            tick.wait(self._seconds / 20)
            now = time.monotonic()
            with self._lock:
                for each in [each for each, until in self._running.items() if until < now]:
                    del self._running[each]
                    _shut(each)
                if not self._running:
                    self._some.clear()


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # gone by itself
        connection.shutdown(socket.SHUT_RD)


hourglass = Hourglass()
