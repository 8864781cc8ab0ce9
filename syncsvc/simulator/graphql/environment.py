"""What fields may use while a query runs: the world, the reader, the price of the query.

Hides who may see what; errors of single fields are collected here with their paths.
"""

from dataclasses import dataclass, field
from typing import Any

from syncsvc.simulator.graphql.errors import FieldError
from syncsvc.simulator.limits import Budget
from syncsvc.simulator.payloads import HTML_URL
from syncsvc.simulator.records import Account, Repository
from syncsvc.simulator.routes.access import granted, may_read, viewer
from syncsvc.simulator.routing import Context
from syncsvc.simulator.world import World


@dataclass(slots=True)
class Environment:
    """One running query."""

    context: Context
    cost: int = 1
    node_count: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    path: list[str | int] = field(default_factory=list)

    @property
    def world(self) -> World:
        """What everything is read from."""
        return self.context.world

    @property
    def budget(self) -> Budget:
        """What is left for the reader when this query is paid."""
        left = self.context.limits.peek(self.context.principal, "graphql")
        left.used += self.cost
        return left

    def viewer(self) -> Account:
        """The user who asks; for an installation the App's own bot, which owns nothing."""
        app = self.world.app
        bot = Account(
            app.id, f"{app.slug}[bot]", "User", app.name, None, None, app.created_at, app.created_at
        )
        return viewer(self.context) or bot

    def readable(self, repository: Repository) -> bool:
        """Whether the reader sees this repository."""
        return may_read(self.context, repository)

    def allowed(self, repository: Repository, permission: str) -> None:
        """Raise FieldError where an App lacks a permission for private things."""
        principal = self.context.principal
        if principal.kind != "installation" or repository.visibility == "public":
            return
        if permission not in self.world.installations[principal.id].permissions:
            raise FieldError("FORBIDDEN", "Resource not accessible by integration")

    def opened(self, repository: Repository) -> Repository:
        """The repository, unless it is blocked."""
        if repository.blocked is not None:
            raise FieldError("FORBIDDEN", "Repository access blocked")
        return repository

    def owned(self, account: Account) -> list[Repository]:
        """Which repositories of an account the reader sees."""
        principal = self.context.principal
        owned = self.world.owned(account)
        if principal.kind == "installation":
            return [
                r for r in owned if r.visibility == "public" or granted(self.context, principal, r)
            ]
        return self.world.visible(viewer(self.context), [account])

    def html_url(self, repository: Repository) -> str:
        """Where people find a repository."""
        return f"{HTML_URL}/{self.world.full_name(repository)}"
