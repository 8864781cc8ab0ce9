"""When a request is worth a thread."""

import pytest

from config.gunicorn_worker import MOST, MOST_BODY, wanted

HEAD = b"POST /login/ HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.spec("R6.1", "R18.4")
@pytest.mark.parametrize(
    ("seen", "needed"),
    [
        (b"", 1),
        (b"GET", 4),
        (HEAD, len(HEAD) + 1),
        (HEAD + b"\r\n", len(HEAD) + 2),
        (HEAD + b"Content-Length: 5\r\n\r\n", len(HEAD) + 21 + 5),
        (HEAD + b"content-length:5\r\n\r\nabc", len(HEAD) + 20 + 5),
        (HEAD + b"Content-Length: 99999999\r\n\r\n", MOST_BODY),
        (b"POST /webhooks/github/ HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 54),
        (HEAD + b"Content-Length: x\r\n\r\n", len(HEAD) + 21),
        (HEAD + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n", len(HEAD) + 43),
        (HEAD + b"\r\nContent-Length: 5\r\n\r\n", len(HEAD) + 2),
        (b"x" * MOST, MOST),
    ],
)
def test_a_request_is_worth_a_thread_once_head_and_short_body_are_there(
    seen: bytes, needed: int
) -> None:
    assert wanted(seen) == needed
