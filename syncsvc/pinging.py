"""Tells a service outside that all is well, or that it is not: who watches when this machine is gone.

`HEALTHCHECK_PING_URL` is asked for once a minute, with `/fail` behind it while something here is silent
(as healthchecks.io and its like understand it). When nothing is said at all, its silence tells.
The address holds a secret: neither it nor the text of an error, which would quote it, is ever logged.
"""

from datetime import datetime
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import requests
import structlog
from django.conf import settings

from syncsvc import watchman

log = structlog.get_logger(__name__)

SECONDS: Final = (5.0, 5.0)
REDIRECTS: Final = 3
SCHEMES: Final = frozenset({"http", "https"})


class _Memory:
    """What was said last, so that each change is logged once."""

    failing = False


_memory = _Memory()


def ping(now: datetime) -> bool | None:
    """Says how things are. Whether that was heard; None where nobody is to be told. Never raises."""
    url = settings.HEALTHCHECK_PING_URL
    if not url:
        return None
    silent = watchman.silent(now)
    try:
        trouble = _say(_address(url, failed=bool(silent)))
    except (requests.RequestException, ValueError) as error:  # also a redirect to nonsense
        trouble = type(error).__name__
    if bool(trouble) != _memory.failing:
        _memory.failing = bool(trouble)
        if trouble:
            log.warning("ping.failed", host=urlsplit(url).hostname, error=trouble)
        else:
            log.info("ping.heard", host=urlsplit(url).hostname)
    return not trouble


def _address(url: str, *, failed: bool) -> str:
    """The address, with `/fail` at the end of its path where something failed."""
    parts = urlsplit(url)
    if failed:
        parts = parts._replace(path=parts.path.rstrip("/") + "/fail")
    return urlunsplit(parts)


def _say(url: str) -> str:
    """Asks for the address and follows redirects on the same host only; what went wrong, or nothing."""
    with requests.Session() as session:
        session.headers["User-Agent"] = "github-mirror"
        for _ in range(REDIRECTS + 1):
            with session.get(url, timeout=SECONDS, allow_redirects=False, stream=True) as answer:
                if not answer.is_redirect:
                    return "" if answer.ok else f"HTTP {answer.status_code}"
                following = urljoin(url, answer.headers["location"])
            if not _is_same_place(urlsplit(url), urlsplit(following)):
                return "redirect to another host"
            url = following
    return "too many redirects"


def _is_same_place(here: SplitResult, there: SplitResult) -> bool:
    """The same host, and never from https back to http."""
    return (
        there.hostname == here.hostname
        and there.scheme in SCHEMES
        and (there.scheme == "https" or here.scheme == "http")
    )
