"""The simulator: a world behind a server, with keys, limits, faults and a log.

Hides how the parts are put together and how time runs. In-process for tests
(`with Simulator(World.generate()) as sim:`), behind `manage.py simulate_github` otherwise.
"""

import time
from collections.abc import Callable
from random import Random
from typing import Any, Self

from syncsvc.simulator.auth import Keys, process_key
from syncsvc.simulator.control import Control, run_change
from syncsvc.simulator.deliveries import Deliveries
from syncsvc.simulator.dispatch import RETIRED_VERSIONS, Dispatcher
from syncsvc.simulator.faults import Faults
from syncsvc.simulator.fragments import Fragments
from syncsvc.simulator.http import Server
from syncsvc.simulator.limits import Limits
from syncsvc.simulator.log import Exchange, RequestLog
from syncsvc.simulator.world import World

TOKEN_SECONDS = 3600


class Simulator:
    """A running GitHub. Start it, or use it as a context manager."""

    def __init__(
        self,
        world: World,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        prefix: str = "",
        latency: float = 0.0,
        clock: Callable[[], float] = time.time,
        private_key_pem: str | None = None,
        webhook_secret: str = "simulated-webhook-secret",  # noqa: S107 (it guards nothing)
        webhook_url: str | None = None,
        token_seconds: int = TOKEN_SECONDS,
        long_tokens: bool = False,
        retired_versions: tuple[str, ...] = RETIRED_VERSIONS,
        log_size: int = 100_000,
        webhooks_by_hand: bool = False,
    ) -> None:
        """Put a world behind a server and bind its port (OSError when it is taken).

        `port` 0 takes a free one. `prefix`: a root like `/api/v3`. `latency`: seconds before each
        answer. `clock`: epoch seconds. `private_key_pem`: of the App; by default one key per
        process. `token_seconds`: life of installation tokens. `log_size` 0 keeps no log.
        `webhooks_by_hand`: no thread sends webhooks, only `deliveries.pump()` does.
        """
        self.world = world
        self.webhook_secret = webhook_secret
        self.private_key_pem = private_key_pem or process_key()
        self._clock, self._ahead = clock, 0.0
        world.follow(self.now)
        self.keys = Keys(
            world, self.private_key_pem, token_seconds=token_seconds, long_tokens=long_tokens
        )
        self.limits = Limits(self.now, self._repositories_of, self.keys.owner_of)
        self.faults = Faults()
        self.request_log = RequestLog(log_size)
        self.deliveries = Deliveries(world, self.now, by_hand=webhooks_by_hand)
        self._server = Server(self._respond, host=host, port=port)
        shown_host = f"[{host}]" if ":" in host else host
        self.root_url = f"http://{shown_host}:{self._server.port}"
        self.url = world.api_url = self.root_url + prefix
        self._dispatcher = Dispatcher(
            world=world,
            keys=self.keys,
            limits=self.limits,
            faults=self.faults,
            log=self.request_log,
            deliveries=self.deliveries,
            fragments=Fragments(world, self.url),
            remote=Control(self),
            now=self.now,
            change=lambda name, arguments: run_change(world, name, arguments),
            api_url=self.url,
            prefix=prefix,
            latency=latency,
            retired_versions=retired_versions,
            random=Random(f"requests {world.seed}"),
        )
        if webhook_url is not None:
            world.set_app_hook(webhook_url, webhook_secret)

    # Life

    def start(self) -> Self:
        """Serve in background threads."""
        self._server.start()
        return self

    def stop(self) -> None:
        """Stop serving: open connections end, no thread and no socket stays."""
        self._server.stop()
        self.deliveries.stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    # Time

    def now(self) -> float:
        """The simulator's time in epoch seconds: its clock's, plus what was advanced."""
        return self._clock() + self._ahead

    def advance(self, seconds: float) -> float:
        """Let time pass at once; returns the new time."""
        self._ahead += seconds
        return self.now()

    # Credentials

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._server.port

    @property
    def app_id(self) -> int:
        """The App's id: the issuer of its JSON web tokens."""
        return self.world.app.id

    @property
    def token(self) -> str:
        """The personal access token of the world's first user."""
        return self.keys.personal_token(self.world.actor())

    @property
    def token_owner(self) -> str:
        """The login of the user whose token `token` is."""
        return self.world.actor().login

    def token_for(self, login: str) -> str:
        """The personal access token of any user; WorldError when there is no such account."""
        return self.keys.personal_token(self.world.account(login))

    def installation_token(self, installation: int | str) -> str:
        """A fresh installation token, without a request (for tests that need only a token)."""
        found = self.world.installation(installation)
        return self.keys.issue(found, self.now(), permissions=dict(found.permissions)).token

    def describe(self) -> dict[str, Any]:
        """Where it is, what is in it and which credentials it takes."""
        world = self.world
        return {
            "url": self.url,
            "app_id": self.app_id,
            "app_slug": world.app.slug,
            "private_key_pem": self.private_key_pem,
            "webhook_secret": self.webhook_secret,
            "token": self.token,
            "token_owner": self.token_owner,
            "now": self.now(),
            "revision": world.revision,
            "accounts": [
                {"id": a.id, "login": a.login, "type": a.type, "repositories": len(world.owned(a))}
                for a in world.accounts.values()
            ],
            "installations": [
                {
                    "id": i.id,
                    "account": world.accounts[i.account_id].login,
                    "selection": i.selection,
                    "suspended": i.suspended_at is not None,
                    "repositories": len(world.installed(i)),
                }
                for i in world.installations.values()
            ],
        }

    # What was asked

    @property
    def log(self) -> list[Exchange]:
        """Every kept exchange, oldest first."""
        return self.request_log.entries()

    @property
    def requests_while_exhausted(self) -> int:
        """Requests that were sent although a limit was known to be reached."""
        return self.limits.requests_while_exhausted

    def requests(self, path_prefix: str = "") -> list[Exchange]:
        """Exchanges whose path begins so, oldest first."""
        return self.request_log.entries(path_prefix)

    def reset_log(self) -> None:
        """Forget the exchanges so far."""
        self.request_log.clear()

    def counters(self) -> dict[str, int]:
        """Counts since the start."""
        return {
            "requests": self.request_log.total,
            "requests_while_exhausted": self.requests_while_exhausted,
            "deliveries": len(self.deliveries.all()),
        }

    # Helpers

    def _respond(self, request: Any) -> Any:
        return self._dispatcher.respond(request)

    def _repositories_of(self, installation_id: int) -> int:
        installation = self.world.installations.get(installation_id)
        return len(self.world.installed(installation)) if installation is not None else 0
