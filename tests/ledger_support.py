"""A hook whose deliveries a test lets arrive, fail or vanish, and the log that GitHub keeps of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import orjson

from syncsvc import clock
from syncsvc.models import Delivery, Hook, Installation, MissedDelivery
from syncsvc.simulator import Simulator, Weather
from syncsvc.simulator.delivery_log import Delivery as Attempt
from syncsvc.webhooks import watch
from syncsvc.webhooks.watch import Report
from tests.contract import validate_request


class Post:
    """Our end of the hook: `answer` is the status that it gives; only a 2xx is kept."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.answer = 202
        self._kept: list[tuple[dict[str, str], bytes]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks/github/"

    def _handler(post: "Post") -> type[BaseHTTPRequestHandler]:  # noqa: N805  (two selves here)
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if 200 <= post.answer < 300:
                    post._kept.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(post.answer)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler

    def weather(self, **weather: Any) -> None:
        """What becomes of the deliveries of all that happens from now on."""
        self.sim.deliveries.weather = Weather(**weather)

    def deliver(self) -> None:
        """GitHub sends what has happened; what arrives is stored."""
        self.sim.deliveries.pump(float("inf"))
        while self._kept:
            received(*self._kept.pop(0))

    def happens(self, repository: int, **weather: Any) -> str:
        """Something happens to a repository and is told in this weather; the GUID of what is told."""
        self.weather(**weather)
        before = len(self.log())
        self.sim.world.edit(repository, description=f"change {before}")
        self.deliver()
        self.weather()
        return self.log()[before].event.guid

    def log(self) -> list[Attempt]:
        """Every attempt, oldest first, the silent ones too."""
        return self.sim.deliveries.truth()

    def redelivered(self) -> list[str]:
        return [each.event.guid for each in self.log() if each.redelivery]


def received(headers: dict[str, str], body: bytes) -> None:
    """What our door does with a delivery, in short."""
    payload = orjson.loads(body)
    installation = Installation.objects.filter(
        github_id=payload.get("installation", {}).get("id", 0)
    ).first()
    Delivery.objects.get_or_create(
        guid=headers["x-github-delivery"],
        hook_id=int(headers["x-github-hook-id"]),
        defaults={
            "target_type": headers["x-github-hook-installation-target-type"],
            "target_id": int(headers["x-github-hook-installation-target-id"]),
            "event": headers["x-github-event"],
            "action": payload.get("action") or "",
            "received_at": clock.now(),
            "due_at": clock.now(),
            "account_id": installation.account_id
            if installation
            else payload.get("organization", {}).get("id"),
            "repository_github_id": payload.get("repository", {}).get("id"),
        },
    )


@contextmanager
def post_of(sim: Simulator) -> Iterator[Post]:
    """The App's hook leads to a `Post` until the block ends."""
    post = Post(sim)
    thread = Thread(target=post.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    sim.world.set_app_hook(post.url, sim.webhook_secret)
    try:
        yield post
    finally:
        post.server.shutdown()
        thread.join()
        post.server.server_close()


def check(now: datetime | None = None) -> Report:
    """A check whose catch-ups are not spread."""
    return watch.check(now, rng=lambda: 0.0)


def hook() -> Hook:
    return Hook.objects.get()


def missed(guid: str) -> MissedDelivery:
    return MissedDelivery.objects.get(guid=guid)


def asked_of_logs(sim: Simulator) -> list[tuple[str, str]]:
    """Method and address of every request that concerned hooks; each is valid by GitHub's word."""
    found = []
    for exchange in sim.log:
        if "/hook" in exchange.path:
            query = f"?{exchange.query}" if exchange.query else ""
            validate_request(exchange.method, exchange.path + query)
            found.append((exchange.method, exchange.path + query))
    return found
