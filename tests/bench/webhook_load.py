"""Sends signed deliveries over HTTP from a process of its own, and counts what was answered.

One thread and one selector, requests made beforehand: the sender must not be what is measured.
"""

import hashlib
import hmac
import json
import random
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

SECRET: Final = "the secret of the benchmark's hook"
BYTES: Final = 13_000
_BODIES: Final = 64
ACCOUNT: Final = 4_000_001
INSTALLATION: Final = 9_000_001


def bodies() -> list[bytes]:
    """Payloads of `issues` as GitHub sends them: mostly addresses, some prose, 13 KB."""
    chance = random.Random(1)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(chance.choices(letters, k=chance.randint(2, 11))) for _ in range(3000)]
    return [_body(number, words, chance) for number in range(_BODIES)]


def issues(count: int) -> Iterator[bytes]:
    """So many payloads of the same kind, each of another issue, a second after the one before."""
    began = datetime(2025, 1, 1, tzinfo=UTC)
    shown = [json.loads(body) for body in bodies()]
    for number in range(count):
        payload = shown[number % _BODIES]
        moment = (began + timedelta(seconds=number)).isoformat()
        payload["issue"] |= {
            "id": 6_000_000_000 + number,
            "number": 1 + number // _BODIES,
            "created_at": moment,
            "updated_at": moment,
        }
        yield json.dumps(payload).encode()


def _body(number: int, words: list[str], chance: random.Random) -> bytes:
    names = ("html", "archive", "assignees", "blobs", "branches", "collaborators", "comments")
    root = f"https://api.github.com/repos/acme/repository-{number}"
    urls = {f"{name}_url": f"{root}/{name}{{/{name}}}" for name in (*names, *words[:40])}
    owner = {"login": "acme", "id": ACCOUNT, "type": "Organization", **urls}
    payload: dict[str, Any] = {
        "action": "opened",
        "issue": {"id": 5_000_000_000 + number, "number": number, "title": "", "state": "open"},
        "repository": {
            "id": 7_000_000 + number,
            "name": f"repository-{number}",
            "full_name": f"acme/repository-{number}",
            "private": False,
            "owner": owner,
        },
        "organization": {"login": "acme", "id": ACCOUNT},
        "sender": {"login": "octocat", "id": 583_231},
        "installation": {"id": INSTALLATION, "node_id": "MDIzOkludGVncmF0aW9u"},
    }
    room = BYTES - len(json.dumps(payload)) - len(',"body":""')
    payload["issue"]["body"] = " ".join(chance.choices(words, k=3000))[:room]
    return json.dumps(payload).encode()


def request(guid: str, body: bytes) -> bytes:
    """One delivery as it goes over the wire."""
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    head = (
        "POST /webhooks/github/ HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n"
        "User-Agent: GitHub-Hookshot/51mu1a7\r\nContent-Type: application/json\r\n"
        f"X-GitHub-Delivery: {guid}\r\nX-GitHub-Event: issues\r\nX-GitHub-Hook-ID: 1\r\n"
        "X-GitHub-Hook-Installation-Target-ID: 1\r\n"
        "X-GitHub-Hook-Installation-Target-Type: integration\r\n"
        f"X-Hub-Signature-256: sha256={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(slots=True, eq=False)
class _Line:
    """A connection, and the request that is under way on it."""

    sock: socket.socket | None = None
    answer: bytes = b""
    due: float = 0.0
    number: int = -1
    left: memoryview = field(default_factory=lambda: memoryview(b""))


class Load:
    """Sends `requests` in order over `concurrency` connections, all at once or `rate` a second."""

    def __init__(
        self, port: int, requests: list[bytes], concurrency: int, *, rate: float, keep: bool
    ) -> None:
        self._port, self._requests, self._rate, self._keep = port, requests, rate, keep
        self._selector = selectors.DefaultSelector()
        self._idle = [_Line() for _ in range(concurrency)]
        self._next = self._open = 0
        self.statuses: list[int] = [0] * len(requests)
        self.seconds: list[float] = []

    def run(self) -> float:
        """Seconds from the first request to the last answer."""
        self._began = time.perf_counter()
        while self._next < len(self._requests) or self._open:
            wait = self._start_what_is_due()
            for key, _ in self._selector.select(wait):
                self._go_on(key.data)
        return time.perf_counter() - self._began

    def _start_what_is_due(self) -> float | None:
        while self._idle and self._next < len(self._requests):
            now = time.perf_counter()
            # A late request counts from when it was due: a slow server delays what follows too.
            due = self._began + self._next / self._rate if self._rate else now
            if due > now:
                return due - now
            line = self._idle.pop()
            line.due, line.number = due, self._next
            self._next += 1
            self._send(line)
        return None

    def _send(self, line: _Line) -> None:
        if line.sock is None:
            line.sock = socket.create_connection(("127.0.0.1", self._port))
            line.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open += 1
        line.answer = b""
        line.sock.sendall(self._requests[line.number])
        self._selector.register(line.sock, selectors.EVENT_READ, line)

    def _go_on(self, line: _Line) -> None:
        assert line.sock is not None
        try:
            part = line.sock.recv(65_536)
        except ConnectionError:
            part = b""
        line.answer += part
        head, found, rest = line.answer.partition(b"\r\n\r\n")
        fields = dict(_field(text) for text in head.split(b"\r\n")[1:]) if found else {}
        length = int(fields.get(b"content-length", b"0"))
        if part and (not found or len(rest) < length):
            return
        self._selector.unregister(line.sock)
        self._open -= 1
        self.seconds.append(time.perf_counter() - line.due)
        self.statuses[line.number] = int(head[9:12]) if found else 0
        if not self._keep or not part or fields.get(b"connection", b"").lower() == b"close":
            line.sock.close()
            line.sock = None
        self._idle.append(line)


def _field(text: bytes) -> tuple[bytes, bytes]:
    name, _, value = text.partition(b":")
    return name.strip().lower(), value.strip()


def main(given: dict[str, Any]) -> None:
    """Prints figures as JSON: `port`, `count`, `first`; `rate` 0 is as fast as it goes."""
    made, first = bodies(), int(given["first"])
    requests = [
        request(f"bench-{first + n:08d}", made[n % len(made)]) for n in range(given["count"])
    ]
    load = Load(
        given["port"], requests, given.get("concurrency", 16),
        rate=given.get("rate", 0), keep=given.get("keep", True),
    )  # fmt: skip
    seconds = load.run()
    ordered = sorted(load.seconds)
    sys.stdout.write(
        json.dumps(
            {
                "per_second": len(requests) / seconds,
                "p50_ms": 1000 * ordered[len(ordered) // 2],
                "p99_ms": 1000 * ordered[int(len(ordered) * 0.99)],
                "max_ms": 1000 * ordered[-1],
                "statuses": dict(Counter(map(str, load.statuses))),
                "acknowledged": [first + n for n, s in enumerate(load.statuses) if s in (200, 202)],
                "cpu_seconds": time.process_time(),
            }
        )
        + "\n"
    )


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
