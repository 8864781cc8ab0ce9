"""Which function answers which path.

Hides matching. A module of routes declares its functions with `@routes.add(method, path)`;
a new area is one more module in `routes.TABLES`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from syncsvc.simulator.auth import Keys, Principal
from syncsvc.simulator.deliveries import Deliveries
from syncsvc.simulator.fragments import Fragments
from syncsvc.simulator.limits import Limits
from syncsvc.simulator.messages import Answer, Request
from syncsvc.simulator.world import World


@dataclass(frozen=True)
class Context:
    """What a route may use to answer one request."""

    world: World
    keys: Keys
    limits: Limits
    fragments: Fragments
    deliveries: Deliveries
    request: Request
    principal: Principal
    now: float
    api_url: str
    path: dict[str, str] = field(default_factory=dict)
    """The values of the path's placeholders."""


Handler = Callable[[Context], Answer]


@dataclass(frozen=True)
class Route:
    """A handler and what it answers to; method `*` is any."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    resource: str


class Routes:
    """The routes of one area, tried in the order of their declaration."""

    def __init__(self) -> None:
        """Without routes as yet."""
        self.table: list[Route] = []

    def add(
        self, method: str, path: str, *, resource: str = "core"
    ) -> Callable[[Handler], Handler]:
        """Declare a handler: `{a}` is one part of a path, `{a:int}` a number, `{a:rest}` all."""
        pattern = re.compile(re.sub(r"\\{(\w+)(?::(\w+))?\\}", _group, re.escape(path)))

        def declare(handler: Handler) -> Handler:
            self.table.append(Route(method, pattern, handler, resource))
            return handler

        return declare


def find(table: list[Route], request: Request) -> tuple[Route, dict[str, str]] | None:
    """The first route for a request, with the values of its placeholders."""
    method = "GET" if request.method == "HEAD" else request.method
    for route in table:
        if route.method in {method, "*"}:
            match = route.pattern.fullmatch(request.path)
            if match is not None:
                return route, match.groupdict()
    return None


def _group(match: re.Match[str]) -> str:
    kinds = {None: "[^/]+", "int": "[0-9]+", "rest": ".+"}
    return f"(?P<{match[1]}>{kinds[match[2]]})"
