"""One request to GitHub and its usable answer, or a typed error.

Hides pooling, time-outs, retries, redirects, body bounds, budgets and the reading of failures. It
touches no storage, so any thread may use it.
"""

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Generic, TypeVar

import requests
import structlog

from syncsvc import retrying
from syncsvc.github.auth import Credential
from syncsvc.github.budget import BudgetGuard
from syncsvc.github.errors import (
    AnswerTooLarge,
    ConfigurationError,
    GitHubError,
    NetworkError,
    RateLimited,
    ServerError,
)
from syncsvc.github.protocol import (
    API_VERSION,
    Links,
    classify,
    origin,
    parse_links,
    same_host_url,
)
from syncsvc.github.session import (
    Authorization,
    new_session,
    settle_environment,
    unreachable,
)
from syncsvc.github.usage import Usage
from syncsvc.github.values import MalformedBody

Value = TypeVar("Value")
Clock = Callable[[], datetime]

CONNECT_TIMEOUT: Final = 5.0
READ_TIMEOUT: Final = 30.0
MAX_RETRIES: Final = (retrying.REQUESTS.attempts or 1) - 1
MAX_REDIRECTS: Final = 3
MAX_BODY: Final = 64 * 1024 * 1024
_CHUNK: Final = 256 * 1024
_REDIRECTS: Final = frozenset({301, 302, 307, 308})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request(Generic[Value]):
    """What to ask. `parse` makes the value of a 2xx body and may raise `MalformedBody`.

    `body` is JSON; `cost` is what the answer will take of the budget of `resource`. `judge` finds
    the failure in an answer of status 200: it gets the value, the headers and the time. A status in
    `not_again` is not worth asking the very same thing once more.
    """

    url: str
    parse: Callable[[bytes], Value]
    method: str = "GET"
    etag: str | None = None
    resource: str = "core"
    body: bytes | None = None
    cost: int = 1
    judge: Callable[[Value, Mapping[str, str], datetime], GitHubError | None] | None = None
    not_again: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer(Generic[Value]):
    """An answer that can be used. `value` is None exactly when it is a 304."""

    status: int
    value: Value | None
    links: Links
    etag: str
    headers: Mapping[str, str] = field(default_factory=dict)


class Transport:
    """Sends requests to one API root. Threads may share it.

    `concurrency` is how many requests a listing has under way at once (R4.6), and the size of the
    connection pool; `timeouts` are seconds to connect and to read, `max_body` is bytes. `sleep`
    takes seconds; without one, waiting ends at once when the caller's stop event is set.
    """

    def __init__(
        self,
        api_url: str,
        budget: BudgetGuard,
        *,
        clock: Clock,
        concurrency: int = 5,
        session_factory: Callable[[int], requests.Session] = new_session,
        timeouts: tuple[float, float] = (CONNECT_TIMEOUT, READ_TIMEOUT),
        sleep: Callable[[float], object] | None = None,
        rng: Callable[[], float] = random.random,
        user_agent: str = "github-mirror",
        max_body: int = MAX_BODY,
    ) -> None:
        self.api_url = api_url.strip().rstrip("/")
        where = origin(self.api_url)
        if where is None:
            raise ConfigurationError(
                "GITHUB_API_URL is not an http or https address. Set it to the API root, for "
                "example https://api.github.com."
            )
        self.host = where[1]
        self.budget = budget
        self.usage = Usage()
        self.clock = clock
        self.concurrency = max(1, concurrency)
        self._session = session_factory(max(1, concurrency))
        settle_environment(self._session, self.api_url)
        self._timeouts = timeouts
        self._sleep = sleep
        self._rng = rng
        self._max_body = max_body
        #: Called before each request, from whichever thread sends it; what it raises keeps it back.
        self.permit: Callable[[], object] = bool
        self._headers = {
            "Accept": "application/vnd.github+json",
            "Accept-Encoding": "gzip",
            "User-Agent": user_agent,
            "X-GitHub-Api-Version": API_VERSION,
        }

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()

    def url(self, path: str) -> str:
        """The address of a path below the API root."""
        return f"{self.api_url}{path}"

    def send(
        self,
        request: Request[Value],
        credential: Credential,
        *,
        stop: threading.Event | None = None,
    ) -> Answer[Value]:
        """Send a request, up to three times again after network errors and 5xx (R4.5, P28).

        A body that `parse` cannot read counts as a network error: it was cut on its way. Raises
        `GitHubError`; every 4xx at once. No attempt begins after `stop` is set.
        """
        stop = stop or threading.Event()
        attempt = 0
        while True:
            try:
                return self._follow(request, credential)
            except (NetworkError, ServerError) as error:
                delay = None if error.status in request.not_again else self._delay(error, attempt)
                if delay is None or stop.is_set():
                    raise
                log.warning(
                    "github.retry",
                    kind=error.kind,
                    status=error.status,
                    detail=error.detail,
                    attempt=attempt + 1,
                    delay_seconds=round(delay, 2),
                )
            self.usage.retried()
            attempt += 1
            (self._sleep or stop.wait)(delay)

    def pause(self, attempt: int, stop: threading.Event) -> None:
        """Wait as before retry number `attempt`, from 0 (R4.5)."""
        wait = retrying.delay(retrying.REQUESTS, attempt + 1, self._rng())
        (self._sleep or stop.wait)(wait.total_seconds())

    def _delay(self, error: NetworkError | ServerError, attempt: int) -> float | None:
        """Seconds until the next attempt, None when there is to be none."""
        found = retrying.decide(
            retrying.REQUESTS, attempt + 1, error.trouble, self.clock(), self._rng()
        )
        return found.wait.total_seconds() if isinstance(found, retrying.RetryAt) else None

    def _follow(self, request: Request[Value], credential: Credential) -> Answer[Value]:
        """One attempt: an exchange and the redirects behind it, on the same host only."""
        url = request.url
        for _ in range(MAX_REDIRECTS + 1):
            status, headers, body = self._exchange(request, url, credential)
            if status not in _REDIRECTS:
                return self._answer(request, status, headers, body)
            target = same_host_url(url, headers.get("Location"))
            if target is None:
                raise NetworkError(
                    "GitHub redirected to another host, which is not followed. "
                    "Check GITHUB_API_URL.",
                    status=status,
                    retryable=False,
                )
            log.info("github.redirected", status=status)
            url = target
        raise NetworkError(
            "GitHub redirected too often. Check GITHUB_API_URL.", status=status, retryable=False
        )

    def _answer(
        self, request: Request[Value], status: int, headers: Mapping[str, str], body: bytes
    ) -> Answer[Value]:
        error = classify(status, headers, body, self.clock())
        value: Value | None = None
        if error is None and status != 304:
            value = self._value(request, status, body)
            error = request.judge and request.judge(value, headers, self.clock())
        if isinstance(error, RateLimited):
            error = self.budget.limited(error)
            log.warning(
                "github.rate_limited",
                status=status,
                secondary=error.secondary,
                resource=error.resource,
                until=error.until.isoformat(),
            )
        if error is not None:
            raise error
        self.budget.succeeded()
        if status == 304 and not request.etag:
            raise NetworkError(
                "GitHub's answer was empty although nothing was known before. Check for a proxy "
                "that caches.",
                status=status,
            )
        return Answer(
            status=status,
            value=value,
            links=parse_links(headers.get("Link"), self.api_url),
            etag=headers.get("ETag", ""),
            headers=headers,
        )

    def _value(self, request: Request[Value], status: int, body: bytes) -> Value:
        try:
            return request.parse(body)
        except MalformedBody as problem:
            self.budget.succeeded()  # garbled, but no limit
            raise NetworkError(
                "GitHub's answer was cut or is not what the API promises. If it lasts, check "
                "the proxy and GITHUB_API_URL.",
                status=status,
                detail=str(problem),
            ) from None

    def _exchange(
        self, request: Request[Value], url: str, credential: Credential
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = self._headers | ({"If-None-Match": request.etag} if request.etag else {})
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        self.permit()
        with self.budget.request(request.resource, request.cost) as answered:
            self.usage.sent()
            try:
                with self._session.request(
                    request.method,
                    url,
                    headers=headers,
                    data=request.body,
                    auth=Authorization(credential),
                    timeout=self._timeouts,
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    # A 401 tells the budget of strangers from our address, not ours.
                    answered({} if response.status_code == 401 else response.headers)
                    body = self._read(response)
            except requests.RequestException as error:
                raise unreachable(self.host, error) from None  # its text may quote headers
        self.usage.answered(response.status_code, len(body))
        return response.status_code, response.headers, body

    def _read(self, response: requests.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        deadline = time.monotonic() + 4 * self._timeouts[1]  # for a body that merely trickles
        for chunk in response.iter_content(_CHUNK):
            chunks.append(chunk)
            size += len(chunk)
            if size > self._max_body:
                raise AnswerTooLarge(status=response.status_code)
            if time.monotonic() > deadline:
                raise requests.ReadTimeout("the body took too long")
        return b"".join(chunks)
