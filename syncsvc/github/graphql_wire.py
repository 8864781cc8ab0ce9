"""One GraphQL query and its answer, sent here or by a thread.

Hides how a query becomes a request of the transport, and how its cost is kept in the budget.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final

from syncsvc.github import graphql
from syncsvc.github.client import GitHubClient
from syncsvc.github.errors import AuthenticationFailed, ServerError
from syncsvc.github.graphql import Query, QueryAnswer
from syncsvc.github.protocol import graphql_url
from syncsvc.github.transport import Answer, Request

_NOT_AGAIN: Final = frozenset({502, 504})
"""GitHub's time-outs: the same query would time out again, a smaller one may not."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """An answer, and the seconds that it took."""

    answer: QueryAnswer
    seconds: float


class Wire:
    """Sends queries to one GraphQL address as one client. `timer` counts seconds."""

    def __init__(
        self, client: GitHubClient, url: str = "", timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._url = url or graphql_url(client.transport.api_url)
        self._timer = timer

    def ask(self, query: Query) -> Exchange:
        """The answer to a query; any `GitHubError`. GitHub's time-outs are not tried again."""
        started = self._timer()
        answer = self._client.ask(self._request(query))
        return self._exchange(answer, self._timer() - started)

    def submit(
        self, lines: ThreadPoolExecutor, query: Query, stop: threading.Event
    ) -> Callable[[], Exchange]:
        """Have the query sent by a thread; the result is a function that waits for the exchange.

        The credential is taken here, by the thread that may touch storage; a refused one is
        replaced here too.
        """
        request, transport = self._request(query), self._client.transport
        credential = self._client.auth.credential()

        def send() -> Exchange:
            started = self._timer()
            answer = transport.send(request, credential, stop=stop)
            return self._exchange(answer, self._timer() - started)

        future: Future[Exchange] = lines.submit(copy_context().run, send)

        def wait() -> Exchange:
            try:
                return future.result()
            except AuthenticationFailed:
                return self.ask(query)

        return wait

    def pause(self, attempt: int, stop: threading.Event) -> None:
        """Wait before the next request, longer each time."""
        self._client.transport.pause(attempt, stop)

    def _request(self, query: Query) -> Request[QueryAnswer]:
        return Request(
            url=self._url,
            parse=graphql.read_answer,
            method="POST",
            resource=graphql.RESOURCE,
            body=query.body,
            cost=query.points,
            judge=graphql.judge,
            not_again=_NOT_AGAIN,
        )

    def _exchange(self, answer: Answer[QueryAnswer], seconds: float) -> Exchange:
        if answer.value is None:  # a 304, which a POST never gets
            raise ServerError(status=answer.status)
        transport = self._client.transport
        if not any(name.lower() == "x-ratelimit-remaining" for name in answer.headers):
            transport.budget.observe(graphql.budget_headers(answer.value.rate_limit))
        transport.usage.spent(answer.value.points or 0)
        return Exchange(answer.value, seconds)
