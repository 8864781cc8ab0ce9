"""Server-sent events as bytes (the WHATWG's `text/event-stream`). Pure."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

CONTENT_TYPE: Final = "text/event-stream"
RESET: Final = "sync:reset"
COMMENT: Final = b":\n\n"


def body(name: str, data: dict[str, Any]) -> bytes:
    """One event without its id: the same for all who hear of it. JSON has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (
        name.encode(),
        orjson.dumps(data, option=orjson.OPT_UTC_Z),
    )


def event(body: bytes, mark: str = "") -> bytes:
    """One event; `mark` is what a client brings back as `Last-Event-ID`."""
    return (b"id: %b\n" % mark.encode() if mark else b"") + (body or b"\n" * bool(mark))


def mark(text: str) -> bytes:
    """Moves a client's `Last-Event-ID` on without an event."""
    return b"id: %b\n\n" % text.encode()


def retry(milliseconds: int) -> bytes:
    """How long a client waits before it comes back."""
    return b"retry: %d\n\n" % milliseconds


def head(status: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """The beginning of an HTTP answer that ends with its connection."""
    kept = [
        f"{name}: {value}"
        for name, value in headers
        if name.lower() not in ("connection", "content-length", "keep-alive", "transfer-encoding")
    ]
    return "\r\n".join([f"HTTP/1.1 {status}", *kept, "Connection: close", "", ""]).encode("latin-1")
