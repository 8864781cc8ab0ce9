"""A GitHub without sockets for tests of the client: an adapter that answers from a function."""

import io
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import orjson
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

from syncsvc.github.auth import Auth, TokenAuth
from syncsvc.github.budget import BudgetGuard
from syncsvc.github.client import GitHubClient
from syncsvc.github.memory import MemoryBudgetStore, MemoryEtagStore
from syncsvc.github.session import new_session
from syncsvc.github.transport import Transport

API = "https://api.github.com"
START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

Reply = tuple[int, Mapping[str, str], Any]
Handler = Callable[[requests.PreparedRequest], Reply | Exception]


class FakeClock:
    """A clock that moves when it is told to."""

    def __init__(self, start: datetime = START) -> None:
        self.now = start

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> None:
        self.now += timedelta(**delta)


class FakeGitHub(BaseAdapter):
    """Answers requests from `handler` and keeps them in `sent`."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler
        self.sent: list[requests.PreparedRequest] = []
        self._lock = threading.Lock()

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        with self._lock:
            self.sent.append(request)
        reply = self.handler(request)
        if isinstance(reply, Exception):
            raise reply
        status, headers, content = reply
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        response = requests.Response()
        response.status_code = status
        response.headers.update(headers)
        response.url = request.url or ""
        response.request = request
        response.raw = HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
        return response

    def close(self) -> None:
        """Nothing is open."""

    def session(self, pool_size: int = 1) -> requests.Session:
        """A session that leads here instead of to the network."""
        session = new_session(pool_size)
        session.mount("https://", self)
        session.mount("http://", self)
        return session

    @property
    def urls(self) -> list[str]:
        return [request.url or "" for request in self.sent]


class Desk:
    """A client at a fake GitHub, with everything that a test may want to look at."""

    def __init__(
        self,
        handler: Handler,
        *,
        auth: Auth | None = None,
        reserve: int = 0,
        concurrency: int = 5,
        api_url: str = API,
        clock: FakeClock | None = None,
        etags: MemoryEtagStore | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.github = FakeGitHub(handler)
        self.budgets = MemoryBudgetStore()
        self.budget = BudgetGuard(self.budgets, reserve, self.clock, lambda: 0.0)
        self.etags = etags or MemoryEtagStore()
        self.slept: list[float] = []
        self.transport = Transport(
            api_url,
            self.budget,
            clock=self.clock,
            concurrency=concurrency,
            session_factory=self.github.session,
            sleep=self.slept.append,
            rng=lambda: 0.5,
            **options,
        )
        self.auth = auth or TokenAuth("ghp_example")
        self.client = GitHubClient(self.transport, self.auth, self.etags)


def limit_headers(
    remaining: int = 4000, *, limit: int = 5000, reset: datetime | None = None, **more: str
) -> dict[str, str]:
    """The budget headers of an answer."""
    moment = reset or START + timedelta(minutes=30)
    return {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Used": str(limit - remaining),
        "X-RateLimit-Reset": str(int(moment.timestamp())),
        "X-RateLimit-Resource": "core",
        "Content-Type": "application/json; charset=utf-8",
        **{name.replace("_", "-"): value for name, value in more.items()},
    }


def repository(github_id: int = 1, **changes: Any) -> dict[str, Any]:
    """A repository as GitHub's lists show it."""
    name = changes.pop("name", f"repo-{github_id}")
    owner = changes.pop("owner", {"login": "octo", "id": 7, "type": "Organization"})
    return {
        "id": github_id,
        "node_id": f"R_{github_id}",
        "name": name,
        "full_name": f"octo/{name}",
        "owner": owner,
        "private": False,
        "visibility": "public",
        "description": "An example",
        "fork": False,
        "archived": False,
        "disabled": False,
        "default_branch": "main",
        "language": "Python",
        "topics": ["a", "b"],
        "stargazers_count": 3,
        "forks_count": 2,
        "open_issues_count": 1,
        "size": 108,
        "homepage": "",
        "license": {"key": "mit", "spdx_id": "MIT"},
        "created_at": "2020-01-02T03:04:05Z",
        "updated_at": "2024-01-02T03:04:05Z",
        "pushed_at": "2024-01-02T03:04:06Z",
        **changes,
    }


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """One key for all tests; making one is slow."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any = None) -> str:
    """A private key as GitHub hands it out."""
    return (
        (key or rsa_key())
        .private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
        .decode()
    )
