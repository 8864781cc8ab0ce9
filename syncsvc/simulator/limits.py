"""Rate limits: hourly budgets per owner of a token, and secondary limits.

Hides windows, counting and GitHub's words. Rules from GitHub's docs, "Rate limits for the
REST API": 5,000 an hour for a user, an installation 50 more per repository above 20 up to
12,500, 60 without a token; the answer is 403 or 429.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from syncsvc.simulator.auth import Principal
from syncsvc.simulator.messages import DOCS, Refusal

WINDOW = 3600
RESOURCES = ("core", "graphql", "search")
SEARCH_LIMIT = 30
ANONYMOUS_LIMIT = 60
USER_LIMIT = 5_000
LARGEST_LIMIT = 12_500

PRIMARY_DOCS = f"{DOCS}/overview/rate-limits-for-the-rest-api"
SECONDARY_DOCS = f"{PRIMARY_DOCS}#about-secondary-rate-limits"
SECONDARY_TEXT = (
    "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
)


@dataclass
class Budget:
    """What is left of one resource for one owner; `reset` in epoch seconds."""

    limit: int
    used: int
    reset: int

    @property
    def remaining(self) -> int:
        """Requests left in this window."""
        return max(self.limit - self.used, 0)


@dataclass
class Secondary:
    """A secondary limit that holds until a moment."""

    until: float
    retry_after: int | None
    status: int


class Limits:
    """The budgets of everybody who asks."""

    def __init__(
        self,
        now: Callable[[], float],
        repositories_of: Callable[[int], int],
        owner_of: Callable[[str], Principal | None],
    ) -> None:
        """`repositories_of`: count per installation id; `owner_of`: principal of a token."""
        self.exhausted_status: Literal[403, 429] = 403
        self.graphql_type: Literal["RATE_LIMIT", "RATE_LIMITED"] = "RATE_LIMIT"
        """How GraphQL calls an exhausted limit: GitHub has done both."""
        self.requests_while_exhausted = 0
        self._now = now
        self._repositories_of = repositories_of
        self._owner_of = owner_of
        self._lock = Lock()
        self._budgets: dict[tuple[str, str], Budget] = {}
        self._fixed: dict[tuple[str, str], int] = {}
        self._secondary: dict[str, Secondary] = {}

    def set(
        self,
        owner: int | str,
        *,
        resource: str = "core",
        limit: int | None = None,
        remaining: int | None = None,
        reset_in: float | None = None,
    ) -> None:
        """Set the budget of an installation (by id) or of a token's owner.

        `limit` stays in later windows; `remaining` and `reset_in` (seconds) hold for this one.
        Raises ValueError for an unknown token, resource or a negative number.
        """
        if resource not in RESOURCES:
            raise ValueError(f"{resource!r} is no resource; choose one of {', '.join(RESOURCES)}.")
        if any(value is not None and value < 0 for value in (limit, remaining)):
            raise ValueError("A limit is not negative.")
        principal = self._principal(owner)
        with self._lock:
            if limit is not None:
                self._fixed[principal.name, resource] = limit
            budget = self._budget(principal, resource)
            if limit is not None:
                budget.limit = limit
            if remaining is not None:
                budget.limit = max(budget.limit, remaining)
                budget.used = budget.limit - remaining
            if reset_in is not None:
                budget.reset = int(self._now() + reset_in)

    def get(self, owner: int | str, resource: str = "core") -> Budget:
        """A copy of the present budget of an installation or a token's owner."""
        return self.peek(self._principal(owner), resource)

    def secondary(
        self,
        owner: int | str,
        *,
        seconds: float,
        retry_after: bool = True,
        status: Literal[403, 429] = 403,
    ) -> None:
        """A secondary limit for so long, with or without Retry-After."""
        after = max(int(seconds), 1) if retry_after else None
        with self._lock:
            until = self._now() + seconds
            self._secondary[self._principal(owner).name] = Secondary(until, after, status)

    def peek(self, principal: Principal, resource: str) -> Budget:
        """A copy of the present budget, without using it."""
        with self._lock:
            budget = self._budget(principal, resource)
            return Budget(budget.limit, budget.used, budget.reset)

    def check(self, principal: Principal, resource: str) -> Refusal | None:
        """Why this request may not pass, if so; counts the requests that should have waited."""
        if resource == "graphql" and principal.kind == "anonymous":
            return None  # It is refused for another reason.
        with self._lock:
            secondary = self._secondary.get(principal.name)
            if secondary is not None and secondary.until <= self._now():
                del self._secondary[principal.name]
                secondary = None
            exhausted = self._budget(principal, resource).remaining == 0
            if secondary is None and not exhausted:
                return None
            self.requests_while_exhausted += 1
        if secondary is not None:
            return secondary_refusal(secondary.status, secondary.retry_after)
        if resource == "graphql":
            return self._graphql_refusal(principal)
        return Refusal(self.exhausted_status, _primary_text(principal), docs=PRIMARY_DOCS)

    def _graphql_refusal(self, principal: Principal) -> Refusal:
        """GraphQL says with status 200 that nothing is left."""
        who = {"installation": "installation ID", "user": "user ID"}.get(principal.kind, "ID")
        text = f"API rate limit already exceeded for {who} {principal.id}."
        refusal = Refusal(200, text)
        refusal.content = {"errors": [{"type": self.graphql_type, "message": text}]}
        return refusal

    def charge(self, principal: Principal, resource: str, cost: int = 1) -> None:
        """Use up a part of the budget."""
        with self._lock:
            self._budget(principal, resource).used += cost

    def _budget(self, principal: Principal, resource: str) -> Budget:
        now = int(self._now())
        key = (principal.name, resource)
        budget = self._budgets.get(key)
        if budget is None or budget.reset <= now:
            budget = self._budgets[key] = Budget(self._limit(principal, resource), 0, now + WINDOW)
        return budget

    def _limit(self, principal: Principal, resource: str) -> int:
        fixed = self._fixed.get((principal.name, resource))
        if fixed is not None:
            return fixed
        if resource == "search":
            return SEARCH_LIMIT
        if principal.kind == "installation":
            extra = 50 * max(self._repositories_of(principal.id) - 20, 0)
            return min(USER_LIMIT + extra, LARGEST_LIMIT)
        if principal.kind == "anonymous":
            return ANONYMOUS_LIMIT if resource == "core" else 0
        return USER_LIMIT

    def _principal(self, owner: int | str) -> Principal:
        if isinstance(owner, int):
            return Principal("installation", owner)
        principal = self._owner_of(owner)
        if principal is None:
            raise ValueError("There is no such token.")
        return principal


def secondary_refusal(status: int, retry_after: int | None) -> Refusal:
    """The answer to a secondary limit."""
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Refusal(status, SECONDARY_TEXT, docs=SECONDARY_DOCS, headers=headers)


def _primary_text(principal: Principal) -> str:
    if principal.kind == "anonymous":
        return (
            "API rate limit exceeded for 127.0.0.1. (But here's the good news: Authenticated "
            "requests get a higher rate limit. Check out the documentation for more details.)"
        )
    who = {"installation": "installation ID", "user": "user ID", "app": "app ID"}[principal.kind]
    return (
        f"API rate limit exceeded for {who} {principal.id}. If you reach out to GitHub Support "
        "for help, please include the request ID."
    )
