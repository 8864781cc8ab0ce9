"""From a request to its answer: faults, who asks, limits, route, conditional requests.

Hides the order in which GitHub looks at these, and the headers that every answer carries.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any

from syncsvc.simulator import control
from syncsvc.simulator.auth import Keys, Principal, fingerprint
from syncsvc.simulator.deliveries import Deliveries
from syncsvc.simulator.faults import IN_PLACE, Fault, Faults, applied, in_place
from syncsvc.simulator.fragments import Fragments
from syncsvc.simulator.http import Outcome, http_date
from syncsvc.simulator.limits import Limits
from syncsvc.simulator.log import LOGGED_HEADERS, Exchange, RequestLog
from syncsvc.simulator.messages import Answer, Refusal, Request, not_found
from syncsvc.simulator.routes import ALL, manifests
from syncsvc.simulator.routing import Context, find
from syncsvc.simulator.world import World

VERSIONS = ("2022-11-28", "2026-03-10")
RETIRED_VERSIONS = ("2021-01-01",)
EXPOSED = (
    "ETag, Link, Location, Retry-After, X-RateLimit-Limit, X-RateLimit-Remaining, "
    "X-RateLimit-Used, X-RateLimit-Resource, X-RateLimit-Reset, X-GitHub-Request-Id"
)


@dataclass
class Dispatcher:
    """Answers requests to the simulated API."""

    world: World
    keys: Keys
    limits: Limits
    faults: Faults
    log: RequestLog
    deliveries: Deliveries
    fragments: Fragments
    remote: "control.Control"
    now: Callable[[], float]
    change: Callable[[str, Mapping[str, Any]], object]
    api_url: str
    prefix: str = ""
    latency: float = 0.0
    retired_versions: tuple[str, ...] = RETIRED_VERSIONS
    random: Random = field(default_factory=lambda: Random(0))

    def respond(self, request: Request) -> Outcome:
        """The whole way of one request."""
        if request.path.startswith(control.PREFIX):
            return Outcome(self.remote.answer(request))
        request = self._without_prefix(request)
        fault = self.faults.take(request)
        principal, refusal = self._identified(request)
        resource = "graphql" if request.path == "/graphql" else "core"
        outcome = self._outcome(request, principal, refusal, resource, fault)
        if self.latency:
            outcome.wait += self.latency
        self._headers(request, outcome.answer, principal, resource)
        self.log.add(self._exchange(request, outcome, principal) if self.log.keeping else None)
        return outcome

    def _outcome(
        self,
        request: Request,
        principal: Principal,
        refusal: Refusal | None,
        resource: str,
        fault: Fault | None,
    ) -> Outcome:
        if fault is not None and fault.kind in IN_PLACE:
            self.limits.charge(principal, resource)
            return in_place(fault)
        try:
            if refusal is not None:
                raise refusal
            answer = self._routed(request, principal, resource)
        except Refusal as refused:
            answer = refused.answer()
        if answer.status == 200 and answer.cacheable:
            self._conditional(request, answer, principal)
        if not _free(answer, principal):
            self.limits.charge(principal, resource, answer.cost)
        return Outcome(answer) if fault is None else applied(fault, answer, self.change)

    def _routed(self, request: Request, principal: Principal, resource: str) -> Answer:
        self._check_agent_and_version(request)
        found = find(ALL, request)
        refusal = self.limits.check(principal, resource) if request.path != "/rate_limit" else None
        if refusal is not None:
            raise refusal
        if found is None:
            raise not_found()
        route, path = found
        with self.world.lock:
            return route.handler(
                Context(
                    world=self.world,
                    keys=self.keys,
                    limits=self.limits,
                    fragments=self.fragments,
                    deliveries=self.deliveries,
                    request=request,
                    principal=principal,
                    now=self.now(),
                    api_url=self.api_url,
                    path=path,
                )
            )

    def _without_prefix(self, request: Request) -> Request:
        """Under a prefix (`/api/v3`, as on GitHub Enterprise Server) nothing else exists.

        But for GraphQL, which is beside it (`/api/graphql`), and for pages.
        """
        if not self.prefix or manifests.IS_PAGE.fullmatch(request.path):
            return request
        if request.path == self.prefix.removesuffix("/v3") + "/graphql":
            return Request(request.method, "/graphql", "", request.headers, request.body)
        inside = request.path.startswith(self.prefix + "/") or request.path == self.prefix
        path = (request.path[len(self.prefix) :] or "/") if inside else "/-" + request.path
        return Request(request.method, path, request.query_string, request.headers, request.body)

    def _identified(self, request: Request) -> tuple[Principal, Refusal | None]:
        try:
            with self.world.lock:
                return self.keys.identify(request.headers.get("authorization"), self.now()), None
        except Refusal as refusal:
            return Principal("anonymous"), refusal

    def _check_agent_and_version(self, request: Request) -> None:
        if not request.headers.get("user-agent"):
            raise Refusal(
                403,
                "Request forbidden by administrative rules. Please make sure your request has "
                "a User-Agent header.",
            )
        version = request.headers.get("x-github-api-version")
        if version in self.retired_versions:
            raise Refusal(410, f"The API version {version} is no longer supported.")
        if version is not None and version not in VERSIONS:
            raise Refusal(400, f"{version} is not a valid API version.")

    def _conditional(self, request: Request, answer: Answer, principal: Principal) -> None:
        """Give the answer its ETag, and turn it into a 304 when the client has it already.

        ETags depend on the token: after a renewal of an installation token none fits.
        """
        mark = hashlib.blake2b(answer.version or answer.body, digest_size=32)
        mark.update(fingerprint(principal.token))
        mark.update(f"{request.path}?{request.query_string}".encode())
        etag = f'W/"{mark.hexdigest()}"'
        answer.headers["etag"] = etag
        answer.headers["cache-control"] = "private, max-age=60, s-maxage=60"
        answer.headers["vary"] = "Accept, Authorization, Cookie, X-GitHub-OTP"
        if answer.modified_at is not None:
            answer.headers["last-modified"] = http_date(answer.modified_at)
        if _unchanged(request, etag, answer.modified_at):
            answer.status, answer.body = 304, b""

    def _headers(
        self, request: Request, answer: Answer, principal: Principal, resource: str
    ) -> None:
        """What every answer of GitHub carries."""
        now, budget = self.now(), self.limits.peek(principal, resource)
        version = request.headers.get("x-github-api-version")
        number = self.random.getrandbits(64)
        common = {
            "server": "github.com",
            "date": http_date(int(now)),
            "content-type": "application/json; charset=utf-8",
            "x-github-media-type": "github.v3; format=json",
            "x-github-api-version-selected": version if version in VERSIONS else VERSIONS[0],
            "x-ratelimit-limit": str(budget.limit),
            "x-ratelimit-remaining": str(budget.remaining),
            "x-ratelimit-reset": str(budget.reset),
            "x-ratelimit-used": str(budget.used),
            "x-ratelimit-resource": resource,
            "access-control-expose-headers": EXPOSED,
            "access-control-allow-origin": "*",
            "x-github-request-id": f"{number >> 32:08X}:{number & 0xFFFFFFFF:08X}",
        }
        answer.headers = common | answer.headers

    def _exchange(self, request: Request, outcome: Outcome, principal: Principal) -> Exchange:
        silent = outcome.wire in {"silence", "reset"}
        return Exchange(
            method=request.method,
            path=request.path,
            query=request.query_string,
            headers={k: request.headers[k] for k in LOGGED_HEADERS if k in request.headers},
            status=0 if silent else outcome.answer.status,
            at=self.now(),
            bytes_sent=0 if silent else len(outcome.answer.body),
            cost=0 if _free(outcome.answer, principal) else outcome.answer.cost,
            principal=principal.name,
        )


def _free(answer: Answer, principal: Principal) -> bool:
    """Whether an answer takes nothing of the limit."""
    return answer.free or (answer.status == 304 and principal.kind != "anonymous")


def _unchanged(request: Request, etag: str, modified_at: int | None) -> bool:
    """Whether If-None-Match or, without it, If-Modified-Since says that the client has this."""
    known = request.headers.get("if-none-match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return "*" in tags or etag.removeprefix("W/") in tags
    since = request.headers.get("if-modified-since")
    if since is None or modified_at is None:
        return False
    try:
        return parsedate_to_datetime(since).timestamp() >= modified_at
    except ValueError:
        return False
