"""GitHub's HTTP rules as pure functions: what an answer means, when to ask again, where to go next.

Hides header names, GitHub's wording and its oddities (a 403 may be a limit, a permission, a
suspension or a block; a 410 may be about the API version). Only the standard library is used.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qs, urljoin, urlsplit

from syncsvc.github.errors import (
    AuthenticationFailed,
    Forbidden,
    GitHubError,
    Gone,
    LegallyBlocked,
    NotFound,
    RateLimited,
    ServerError,
    Suspended,
    ValidationFailed,
    VersionRetired,
)
from syncsvc.github.redaction import redact

__all__ = [
    "Links",
    "RateLimit",
    "classify",
    "graphql_url",
    "limit_of",
    "origin",
    "page_number",
    "parse_links",
    "parse_rate_limit",
    "parse_retry_after",
    "redact",
    "same_host_url",
    "verify_signature",
]

API_VERSION: Final = "2022-11-28"

_SECONDARY_WAIT: Final = timedelta(seconds=60)
_LONGEST_WAIT: Final = timedelta(hours=24)
_CLOCKS_AGREE: Final = timedelta(seconds=5)
_READ_AT_MOST: Final = 64 * 1024

# -- headers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class RateLimit:
    """The hourly budget of one resource, as one answer tells it; `reset_at` by our own clock."""

    resource: str
    limit: int
    remaining: int
    used: int
    reset_at: datetime


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def _http_date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def parse_rate_limit(headers: Mapping[str, str], now: datetime) -> RateLimit | None:
    """The `X-RateLimit-*` headers of an answer (R4.2), None where they are missing or senseless.

    The reset may be given in seconds or in milliseconds. It is GitHub's time: the answer's own
    `Date` tells how far our clock is off, and `reset_at` is corrected by that.
    """
    lowered = _lowered(headers)
    limit = _number(lowered.get("x-ratelimit-limit"))
    remaining = _number(lowered.get("x-ratelimit-remaining"))
    reset = _number(lowered.get("x-ratelimit-reset"))
    if limit is None or remaining is None or reset is None:
        return None
    try:
        reset_at = datetime.fromtimestamp(reset / 1000 if reset > 10**11 else reset, UTC)
        theirs = _http_date(lowered.get("date"))
        if theirs is not None and abs(now - theirs) > _CLOCKS_AGREE:
            reset_at += now - theirs
    except (ValueError, OverflowError, OSError):
        return None
    used = _number(lowered.get("x-ratelimit-used"))
    return RateLimit(
        resource=lowered.get("x-ratelimit-resource", "").strip() or "core",
        limit=limit,
        remaining=remaining,
        used=used if used is not None else max(0, limit - remaining),
        reset_at=reset_at,
    )


def parse_retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Seconds to wait by `Retry-After` (a number or a date), 0 at least and a day at most."""
    lowered = _lowered(headers)
    text = lowered.get("retry-after")
    seconds: float | None = _number(text)
    if seconds is None:
        moment = _http_date(text)
        if moment is None:
            return None
        seconds = (moment - (_http_date(lowered.get("date")) or now)).total_seconds()
    return min(max(0.0, float(seconds)), _LONGEST_WAIT.total_seconds())


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """The pages that a `Link` header leads to; only addresses on the API's own host get here."""

    next: str | None = None
    last: str | None = None
    prev: str | None = None
    first: str | None = None

    @property
    def last_page(self) -> int | None:
        """The number of the last page, where it is known."""
        return page_number(self.last)

    @property
    def cursor(self) -> str | None:
        """The cursor of the next page, for lists that have cursors instead of numbers."""
        return _query_value(self.next, "cursor")


_LINK: Final = re.compile(r"<([^<>]*)>([^<]*)")
_REL: Final = re.compile(r";\s*rel\s*=\s*(?:\"([^\"]*)\"|([^\s;,\"]+))", re.IGNORECASE)


def parse_links(header: str | None, api_url: str) -> Links:
    """The `Link` header (GitHub: "Using pagination in the REST API"); foreign hosts are dropped."""
    found: dict[str, str] = {}
    for address, parameters in _LINK.findall(header or ""):
        url = same_host_url(api_url, address)
        relation = _REL.search(parameters)
        if url is None or relation is None:
            continue
        for name in (relation[1] or relation[2] or "").lower().split():
            found.setdefault(name, url)
    return Links(
        next=found.get("next"),
        last=found.get("last"),
        prev=found.get("prev"),
        first=found.get("first"),
    )


def _query_value(url: str | None, name: str) -> str | None:
    try:
        return parse_qs(urlsplit(url or "").query).get(name, [None])[0]
    except ValueError:
        return None


def page_number(url: str | None) -> int | None:
    """The `page` parameter of an address, None without one."""
    return _number(_query_value(url, "page"))


# -- addresses -------------------------------------------------------------------------------------

_PORTS: Final = {"http": 80, "https": 443}
_UNSAFE_IN_URL: Final = re.compile(r"[\x00-\x20\\\x7f]")


def origin(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port of an absolute http(s) address; None for anything else.

    Addresses with user names or with characters that parsers read differently count as unusable.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        return None
    if _UNSAFE_IN_URL.search(url):
        return None
    return parts.scheme, parts.hostname.lower(), port if port is not None else _PORTS[parts.scheme]


def same_host_url(base_url: str, location: str | None) -> str | None:
    """`location`, absolute, when it is on the very host of `base_url`; else None (R4.5)."""
    try:
        url = urljoin(base_url, location) if location else ""
    except ValueError:
        return None
    return url if url and origin(url) is not None and origin(url) == origin(base_url) else None


def graphql_url(api_url: str) -> str:
    """The GraphQL address that belongs to a REST root (R2.2)."""
    root = api_url.rstrip("/")
    return f"{root.removesuffix('/v3')}/graphql" if root.endswith("/api/v3") else f"{root}/graphql"


# -- answers ---------------------------------------------------------------------------------------


def _message_of(body: bytes) -> tuple[str, Mapping[str, Any] | None]:
    """GitHub's message and documentation address in lower case, and the error object itself."""
    try:
        value = json.loads(body[:_READ_AT_MOST])
    except (ValueError, RecursionError):
        return "", None
    if not isinstance(value, dict):
        return "", None
    texts = (value.get("message"), value.get("documentation_url"))
    return " ".join(text for text in texts if isinstance(text, str)).lower(), value


def limit_of(
    status: int, headers: Mapping[str, str], message: str, detail: str, now: datetime
) -> RateLimited | None:
    """The limit behind a 403 or 429: Retry-After first, then remaining = 0, then a minute."""
    lowered = _lowered(headers)
    limit = parse_rate_limit(headers, now)
    exhausted = _number(lowered.get("x-ratelimit-remaining")) == 0
    retry_after = parse_retry_after(headers, now)
    hinted = True
    if retry_after is not None:
        until = now + timedelta(seconds=max(1.0, retry_after))
    elif exhausted and limit is not None:
        until = max(limit.reset_at, now + timedelta(seconds=1))
    elif exhausted or status == 429 or "rate limit" in message or "abuse detection" in message:
        until, hinted = now + _SECONDARY_WAIT, False
    else:
        return None
    return RateLimited(
        until=until,
        resource=lowered.get("x-ratelimit-resource", "").strip() or "core",
        secondary=not exhausted or limit is None,
        hinted=hinted,
        status=status,
        detail=detail,
    )


def _classify_403(
    headers: Mapping[str, str], body: bytes, message: str, detail: str, now: datetime
) -> GitHubError:
    _, value = _message_of(body)
    if "suspended" in message:
        return Suspended(status=403, detail=detail)
    if "access blocked" in message or (value is not None and isinstance(value.get("block"), dict)):
        return LegallyBlocked(status=403, detail=detail)
    return limit_of(403, headers, message, detail, now) or Forbidden(status=403, detail=detail)


def _classify_absence(
    status: int, headers: Mapping[str, str], message: str, detail: str
) -> GitHubError:
    """404 and 410. Only GitHub's own, plain word is evidence that an item is gone.

    A page in HTML is a proxy's or another server's word; "disabled" is a switched-off feature.
    """
    html = "html" in _lowered(headers).get("content-type", "").lower()
    if status == 404:
        return NotFound(status=status, detail=detail, is_evidence_of_absence=not html)
    if "version" in message:
        return VersionRetired(status=status, detail=detail)
    readable = bool(message) and not html and "disabled" not in message
    return Gone(status=status, detail=detail, is_evidence_of_absence=readable)


def classify(
    status: int, headers: Mapping[str, str], body: bytes, now: datetime
) -> GitHubError | None:
    """What an answer means: None when it can be used (2xx, 3xx), else the error to raise (R4.1).

    A limit, a permission, a suspension and a block all come as 403 and are told apart by headers
    and body; a retired API version comes as 410 and says nothing about the item asked for.
    """
    if 200 <= status < 400:
        return None
    message, value = _message_of(body)
    detail = redact(str((value or {}).get("message") or ""))[:300]
    if status == 401:
        return AuthenticationFailed(status=status, detail=detail)
    if status == 403:
        return _classify_403(headers, body, message, detail, now)
    if status == 429:
        return limit_of(status, headers, message, detail, now)
    if status in (404, 410):
        return _classify_absence(status, headers, message, detail)
    if status == 451:
        return LegallyBlocked(status=status, detail=detail)
    if status >= 500:
        retry_after = parse_retry_after(headers, now)
        return ServerError(status=status, detail=detail, retry_after=retry_after)
    if status == 400 and "version" in message:
        return VersionRetired(status=status, detail=detail)
    return ValidationFailed(status=status, detail=detail)


# -- webhooks --------------------------------------------------------------------------------------


def verify_signature(body: bytes, header: str | None, secrets: Sequence[str]) -> bool:
    """Whether `X-Hub-Signature-256` signs the raw body with one of the secrets (R6.1).

    Several secrets are in force while one is being replaced. All of them are tried, in constant
    time each; an empty secret signs nothing.
    """
    given = (header or "").strip().encode("utf-8", "replace")
    valid = False
    for secret in secrets:
        if secret:
            digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            valid |= hmac.compare_digest(f"sha256={digest}".encode(), given)
    return valid
