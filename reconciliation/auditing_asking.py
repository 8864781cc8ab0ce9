"""How GitHub is asked about a sample: within an allowance, and with doubts kept as doubts (R8.3).

Hides what questions cost, how a place in a list is turned into what is there, and that a limit of
GitHub's ends the asking for good.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, Final, Self, TypeVar

from reconciliation.auditing_drawing import Drawn, Home, Side
from reconciliation.diff import Evidence
from reconciliation.evidence import said_by
from reconciliation.run import Run
from reconciliation.sampling import beyond
from syncsvc import clock
from syncsvc.content_plan import Item, Key
from syncsvc.github.errors import GitHubError, RateLimited
from syncsvc.github.graphql_repositories import Known
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.protocol import Links
from syncsvc.github.reading import Entity
from syncsvc.github.transport import MAX_RETRIES, Answer, Request
from syncsvc.github.values import InvalidRecord

Value = TypeVar("Value")

OUTRIGHT: Final = ("authentication", "suspended")
"""Errors that say something about us: the run ends with them."""
MOST_A_QUESTION: Final = 2 * (MAX_RETRIES + 1)
"""Exchanges that one question may take: each attempt with a redirect."""
GIVE_UP_AFTER: Final = 5
"""Questions in a row to which GitHub, or the network, failed: then it is not the item."""
ONE: Final = "per_page=1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sight:
    """What GitHub said of one item. At most one of `item`, `row`, `gone` and `unknown` is set.

    `gone` is why GitHub does not have it, `unknown` why nobody can tell; `pushed_at` is when its
    repository was last pushed to, as far as that was asked.
    """

    entity: str
    side: Side
    home: Home | None
    key: Key | None
    asked_at: datetime
    path: str = "rest"
    number: int | None = None
    item: Item | None = None
    row: RepositoryRow | None = None
    gone: str = ""
    unknown: str = ""
    pushed_at: datetime | None = None

    @classmethod
    def of(cls, drawn: Drawn, **more: Any) -> Self:
        """What is known of it when GitHub is asked, which is now."""
        known = {
            "entity": drawn.entity,
            "side": drawn.side,
            "home": drawn.home,
            "key": drawn.key,
            "number": drawn.number,
            "asked_at": clock.now(),
        }
        return cls(**known | more)


class Spent(Exception):
    """The allowance is used up: what was not asked for yet is no part of the sample."""


class Asking:
    """Asks within an allowance of requests."""

    def __init__(self, run: Run, allowance: int, random: Random) -> None:
        self.run = run
        self._allowance = allowance
        self._random = random
        self._before = run.client.usage.snapshot()
        self._opinions: dict[int, RepositoryRow | Evidence | None] = {}
        self._stumbles = 0
        #: Why nothing more is asked: GitHub has said that it is enough, or fails again and again.
        self.ended = ""

    @property
    def requests(self) -> int:
        """Exchanges so far, retries and redirects included."""
        return self.run.client.usage.requests - self._before.requests

    @property
    def points(self) -> int:
        """GraphQL points so far."""
        return self.run.client.usage.snapshot().points - self._before.points

    def affords(self) -> bool:
        """Whether one more question keeps within the allowance, whatever it takes."""
        return not self.ended and self.requests + MOST_A_QUESTION <= self._allowance

    def begin(self) -> None:
        """Before the first question about an item; raises `Spent`."""
        if not self.affords():
            raise Spent

    def through_graphql(
        self, asked: Sequence[Known], entities: Collection[Entity]
    ) -> dict[int, RepositoryRow | GitHubError]:
        """What GraphQL says of these repositories; nothing once the asking has ended."""
        connection = self.run.connection
        if connection is None or not self.affords():
            return {}
        try:
            with self.run.phase("fetch"):
                return connection.graphql().repositories(asked, entities)
        except GitHubError as error:
            self._failed(error)
            return {}

    def ask(self, path: str, parse: Callable[[bytes], Value]) -> Answer[Value]:
        """The answer to a path of REST's; any `GitHubError`."""
        with self.run.phase("fetch"):
            url = self.run.client.transport.url(path)
            return self.run.client.ask(Request(url=url, parse=parse))

    def guarded(self, each: Drawn, read: Callable[[Drawn], Value]) -> Value | Sight:
        """What came of it; whatever GitHub could not answer is unknown, never wrong."""
        if self.ended:
            return Sight.of(each, unknown=self.ended)
        before = self.requests
        try:
            found = read(each)
        except InvalidRecord as error:
            return Sight.of(each, unknown=f"unreadable {error.field}".strip())
        except GitHubError as error:
            self._failed(error)
            return Sight.of(each, unknown=error.kind)
        if self.requests > before:
            self._stumbles = 0
        return found

    def _failed(self, error: GitHubError) -> None:
        """Raises what says something about us. A limit, or GitHub failing again and again, ends it."""
        if error.kind in OUTRIGHT:
            raise error
        self._stumbles = self._stumbles + 1 if error.category == "network" else 0
        if isinstance(error, RateLimited) or self._stumbles >= GIVE_UP_AFTER:
            self.ended = error.kind

    def chosen(
        self, each: Drawn, read: Callable[[int], tuple[Value | None, int | None]]
    ) -> Value | None:
        """What is at that place. A list that has grown since has places that could not be drawn: one of
        those takes its place as often as each of all places is equally likely."""
        self.begin()
        found, total = read(each.offset)
        if found is None or total is None:
            return found
        other = beyond(each.known, total, self._random)
        return read(other)[0] if other is not None and self.affords() else found

    def opinion(self, github_id: int) -> RepositoryRow | Evidence | None:
        """What REST says of a repository under its id, asked for once; None where it could not say."""
        if github_id not in self._opinions:
            self._opinions[github_id] = self._opinion(github_id) if self.affords() else None
        return self._opinions[github_id]

    def _opinion(self, github_id: int) -> RepositoryRow | Evidence | None:
        try:
            with self.run.phase("fetch"):
                return self.run.client.get_repository_by_id(github_id)
        except GitHubError as error:
            found = said_by(error)
            if found is None:
                self._failed(error)
            return found


def total_of(links: Links, offset: int) -> int | None:
    """How many entries a list has, with one a page; None where its end is not told."""
    if links.last_page is not None:
        return links.last_page
    return offset + 1 if links.next is None else None
