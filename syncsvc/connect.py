"""Turns settings and credentials into clients that speak to GitHub, with our database behind them.

Which credentials are in force says `syncsvc.credentials`; they leave this module only inside clients.
"""

import hashlib
import random
from collections.abc import Callable
from functools import cached_property, lru_cache, partial
from types import TracebackType
from typing import Final, Self

import structlog
from django.conf import settings
from django.core.cache import cache as shared_cache

from syncsvc import clock, conf, credentials, policy
from syncsvc.github.auth import AppAuth, Auth, InstallationAuth, TokenAuth, load_private_key
from syncsvc.github.budget import BudgetGuard, BudgetState
from syncsvc.github.client import AppClient, GitHubClient, RepositorySource
from syncsvc.github.errors import ConfigurationError, Forbidden, GitHubError
from syncsvc.github.graphql_client import GraphQLReader
from syncsvc.github.memory import MemoryBudgetStore, MemoryEtagStore
from syncsvc.github.rest_content import RestReader
from syncsvc.github.transport import Transport
from syncsvc.models import Installation
from syncsvc.stores import DatabaseBudgetStore, DatabaseEtagStore, DatabaseTokenStore

TRIAL_TIMEOUTS: Final = (4.0, 8.0)
"""Seconds to connect and to read while somebody waits for a page."""
_OWN_ID_LIVES: Final = 3600
"""Seconds for which the id of a token's own account is believed. It only changes with the token."""

log = structlog.get_logger(__name__)


def has_app() -> bool:
    """Whether a GitHub App is configured (R2.1)."""
    return credentials.current().app is not None


def has_token() -> bool:
    """Whether a personal access token is configured (R2.1)."""
    return credentials.current().token is not None


def app_id() -> str:
    """The id (or client id) of the GitHub App; empty without one."""
    app = credentials.current().app
    return app.app_id if app else ""


def token_owner() -> str:
    """The account that the token is to mirror; empty when it is the token's own."""
    token = credentials.current().token
    return token.owner if token else ""


class Connection:
    """A client for one installation, together with what it needed to get there."""

    def __init__(self, client: GitHubClient, app: AppClient | None = None) -> None:
        self.client = client
        self._app = app

    def graphql(self) -> GraphQLReader:
        """What repositories hold, through GraphQL; always the same reader, made when needed."""
        return self._graphql

    def rest(self) -> RestReader:
        """What repositories hold, through REST; always the same reader, made when needed."""
        return self._rest

    @cached_property
    def _graphql(self) -> GraphQLReader:
        return GraphQLReader(self.client, settings.GITHUB_GRAPHQL_URL or "")

    @cached_property
    def _rest(self) -> RestReader:
        return RestReader(self.client)

    def usage(self) -> dict[str, int]:
        """Requests, 304s, retries, bytes and GraphQL points so far, the token's included (R12.1)."""
        snapshots = [each.usage.snapshot() for each in (self.client, self._app) if each]
        names = ("requests", "not_modified", "retries", "bytes")
        used = {name: sum(getattr(snapshot, name) for snapshot in snapshots) for name in names}
        return used | {"graphql_points": sum(snapshot.points for snapshot in snapshots)}

    def close(self) -> None:
        """Saves budgets and pages, and gives the connections back."""
        try:
            self.client.close()
        finally:
            if self._app is not None:
                self._app.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def app_client() -> AppClient:
    """GitHub as the App itself sees it; raises `ConfigurationError` when the key is no key."""
    return AppClient(transport_for(_spare_budget(), 1), _app_auth(*_app_settings()))


def token_client() -> GitHubClient:
    """GitHub as the personal access token sees it."""
    transport = transport_for(_spare_budget(), 1)
    return GitHubClient(transport, TokenAuth(_token()), MemoryEtagStore())


def trial_app(app_id: str = "", key: str = "") -> AppClient:
    """The same for people who wait: short time-outs. With id and key, as an App not stored yet."""
    auth = AppAuth(app_id, load_private_key(key), clock.now) if key else None
    return AppClient(trial_transport(), auth or _app_auth(*_app_settings()))


def trial_token(token: str = "") -> GitHubClient:
    """The same as a personal access token; without one, as the one that is in force."""
    return GitHubClient(trial_transport(), TokenAuth(token or _token()), MemoryEtagStore())


def trial_transport() -> Transport:
    """The way to GitHub with short time-outs, for a page that somebody waits for."""
    return Transport(
        settings.GITHUB_API_URL,
        _spare_budget(),
        clock=clock.now,
        concurrency=1,
        timeouts=TRIAL_TIMEOUTS,
    )


def connection_for(installation: Installation, trigger: str) -> Connection:
    """GitHub as this installation sees it, within the budget that `trigger` may spend (R4.2)."""
    tuned = conf.for_installation(installation)
    kept = partial(policy.reserve, trigger=trigger, settings=tuned)
    budget = BudgetGuard(DatabaseBudgetStore(installation.pk), kept, clock.now, random.random)
    app = None
    auth: Auth
    if installation.mode == Installation.Mode.APP:
        app = app_client()
        auth = InstallationAuth(
            app, installation.github_id, DatabaseTokenStore(installation.pk), clock.now
        )
    elif has_token():
        auth = TokenAuth(_token())
    else:
        raise ConfigurationError(
            "This account is reached by a token, and there is none: set GITHUB_TOKEN, or paste one "
            "on the page Set-up."
        )
    transport = transport_for(budget, tuned.concurrency)
    return Connection(GitHubClient(transport, auth, DatabaseEtagStore(installation.pk)), app)


def source_of(installation: Installation, client: GitHubClient) -> RepositorySource:
    """Which list holds all repositories of the account that these credentials may see."""
    if installation.mode == Installation.Mode.APP:
        return RepositorySource.installation()
    if installation.account_type == Installation.AccountType.ORGANIZATION:
        return RepositorySource.organization(installation.account_login)
    try:
        own = _own_id(client) == installation.account_id
    except Forbidden:  # some tokens speak for no user
        own = False
    if own:
        return RepositorySource.authenticated_user()
    return RepositorySource.user(installation.account_login)


def _own_id(client: GitHubClient) -> int:
    """The id of the account whose token this is, asked of GitHub once an hour.

    Every run needs it, and it belongs to the token for good. The cache holds the number under a
    digest, never the token. Where the cache does not work, GitHub is asked.
    """
    secret = f"{client.transport.api_url}\n{client.auth.credential().value}"
    key = f"github-own-id:{hashlib.sha256(secret.encode()).hexdigest()}"
    try:
        known = shared_cache.get(key)
    except Exception as error:  # noqa: BLE001  (each backend has its own; it only saves a request)
        log.warning("connect.cache_unavailable", error=type(error).__name__)
        return client.get_authenticated_user().github_id
    if type(known) is int:
        return known
    own_id = client.get_authenticated_user().github_id
    try:
        shared_cache.set(key, own_id, _OWN_ID_LIVES)
    except Exception as error:  # noqa: BLE001  (as above)
        log.warning("connect.cache_unavailable", error=type(error).__name__)
    return own_id


def says_access_ended(error: GitHubError) -> bool:
    """Whether a failure hints that the installation is no longer what we think it is."""
    return error.kind in ("suspended", "not_found", "authentication")


def _app_settings() -> tuple[str, str]:
    app = credentials.current().app or credentials.App(app_id="", key="")
    if app.trouble:
        raise ConfigurationError(app.trouble)
    for name, value in (("GITHUB_APP_ID", app.app_id), ("GITHUB_APP_PRIVATE_KEY", app.key)):
        if not value:
            raise ConfigurationError(f"{name} is not set: a GitHub App needs its id and its key.")
    return app.app_id, app.key


def _token() -> str:
    token = credentials.current().token or credentials.Token(token="")
    if token.trouble:
        raise ConfigurationError(token.trouble)
    return token.token


@lru_cache(maxsize=4)
def _app_auth(app_id: str, key: str) -> AppAuth:
    # Kept: reading the key costs more than signing with it.
    return AppAuth(app_id, load_private_key(key), clock.now)


def _spare_budget() -> BudgetGuard:
    return BudgetGuard(MemoryBudgetStore(BudgetState()), 0, clock.now, random.random)


def transport_for(
    budget: BudgetGuard, concurrency: int, sleep: Callable[[float], object] | None = None
) -> Transport:
    """The way to the configured GitHub; raises `ConfigurationError` for an address that is none."""
    return Transport(
        settings.GITHUB_API_URL, budget, clock=clock.now, concurrency=concurrency, sleep=sleep
    )
