"""Looks over a browser's shoulder: what nobody reports and a test must not miss.

An error in the console, a violation of the Content-Security-Policy, a request that fails or goes
to another host fails the test, unless the test says that it expects it.
"""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

# A page that is left while it loads, or a stream that ends with its page, cancels its requests.
_LEFT = ("net::ERR_ABORTED",)
# So does htmx, aloud, where a newer request for the same card takes the place of an older one.
# And an answer for a card that another answer has replaced finds nothing near it to tell the news to.
_REPLACED = re.compile(r"^htmx:(afterRequest\b|sendAbort\b|oobErrorNoTarget #news-)")


class Troubles:
    """What went wrong in the browsers of one test."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._seen: list[str] = []
        self._expected: list[re.Pattern[str]] = []

    def watch(self, context: BrowserContext) -> None:
        """Listen to all pages of this context, present and future."""
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("requestfailed", self._failed)
        context.on("request", self._asked)
        context.on("response", self._answered)

    def expect(self, pattern: str) -> None:
        """Trouble that matches belongs to the test."""
        self._expected.append(re.compile(pattern))

    def found(self) -> list[str]:
        """What nobody expected."""
        return [one for one in self._seen if not any(known.search(one) for known in self._expected)]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _REPLACED.search(message.text):
            self._seen.append(f"console {message.type}: {message.text}")

    def _error(self, error: WebError) -> None:
        self._seen.append(f"script: {error.error}")

    def _failed(self, request: Request) -> None:
        if request.failure not in _LEFT:
            self._seen.append(f"failed: {request.method} {request.url} ({request.failure})")

    def _asked(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc != self._host:
            self._seen.append(f"another host: {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 500:
            self._seen.append(f"answered {response.status}: {response.url}")
