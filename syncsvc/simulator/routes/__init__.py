"""The routes of the simulated API by area, in the order in which they are tried."""

from syncsvc.simulator.routes import (
    accounts,
    apps,
    commits,
    files,
    graphql,
    hooks,
    issues,
    manifests,
    meta,
    pulls,
    repositories,
    repository_hooks,
)
from syncsvc.simulator.routing import Route

TABLES = (
    apps.routes,
    manifests.routes,
    graphql.routes,
    hooks.routes,
    repository_hooks.routes,
    accounts.routes,
    meta.routes,
    issues.routes,
    pulls.routes,
    commits.routes,
    files.routes,
    repositories.routes,
)

ALL: list[Route] = [route for routes in TABLES for route in routes.table]
