"""One webhook on its way over HTTP: signed, with GitHub's headers.

Hides the client and how its errors become what GitHub's delivery log says.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass, field
from http import HTTPStatus

import urllib3

from syncsvc.simulator.records import Event, Hook


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What came of one attempt, in the words of the log; `status_code` 0: no answer in time."""

    status: str
    status_code: int
    duration: float
    request_headers: dict[str, str] = field(default_factory=dict)
    response_headers: dict[str, str] = field(default_factory=dict)
    response_body: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it."""
        return 200 <= self.status_code < 300


class Sender:
    """Sends to receivers, over connections that are kept."""

    def __init__(self) -> None:
        """Without a connection as yet."""
        self._pool = urllib3.PoolManager(num_pools=4)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.clear()

    def send(
        self, url: str, body: bytes, headers: dict[str, str], timeout: float, *, down: bool = False
    ) -> Sent:
        """Post a body and wait so long for the answer; `down`: as if nobody listened there."""
        refused = Sent(
            status="failed to connect to host",
            status_code=502,
            duration=0.0,
            request_headers=headers,
        )
        if down:
            return refused
        began = time.monotonic()
        try:
            answer = self._pool.request(
                "POST",
                url,
                body=body,
                headers=headers,
                timeout=timeout,
                retries=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            unconnected = isinstance(error, urllib3.exceptions.NewConnectionError)
            if isinstance(error, urllib3.exceptions.TimeoutError) and not unconnected:
                return timed_out(round(time.monotonic() - began, 2), headers)
            return refused
        return Sent(
            status=status_text(answer.status),
            status_code=answer.status,
            duration=round(time.monotonic() - began, 2),
            request_headers=headers,
            response_headers=dict(answer.headers),
            response_body=answer.data.decode("utf-8", "replace")[:10_000],
        )


def timed_out(seconds: float, headers: dict[str, str] | None = None) -> Sent:
    """No answer within so many seconds."""
    return Sent(status="timed out", status_code=0, duration=seconds, request_headers=headers or {})


def answered(code: int) -> Sent:
    """As if something between GitHub and the receiver had answered."""
    return Sent(status=status_text(code), status_code=code, duration=0.1)


def headers_of(hook: Hook, event: Event, body: bytes, app_id: int) -> dict[str, str]:
    """The headers of a delivery (GitHub's docs, "Webhook events and payloads")."""
    target, kind = app_id, "integration"
    if hook.repository_id is not None:
        target, kind = hook.repository_id, "repository"
    elif hook.organization_id is not None:
        target, kind = hook.organization_id, "organization"
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/51mu1a7",
        "X-GitHub-Delivery": event.guid,
        "X-GitHub-Event": event.event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(target),
        "X-GitHub-Hook-Installation-Target-Type": kind,
    }
    if hook.secret:
        headers["X-Hub-Signature-256"] = signature(hook.secret, body)
    return headers


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of a body as `X-Hub-Signature-256` carries it."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def status_text(status: int) -> str:
    """A status code in the words of the log."""
    if 200 <= status < 300:
        return HTTPStatus(status).phrase if status in set(HTTPStatus) else "OK"
    return f"Invalid HTTP Response: {status}"
