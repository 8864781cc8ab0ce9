"""`manage.py simulate_github`: the GitHub simulator as a process of its own.

Hides signals, the key file and the ready line. It touches no database.
"""

import json
import signal
from argparse import ArgumentTypeError
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from threading import Event
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandParser

from syncsvc.simulator import Simulator, World
from syncsvc.simulator.activity import stir
from syncsvc.simulator.auth import process_key
from syncsvc.simulator.history import History, HistoryError

DEFAULT_PORT = 8900
DEFAULT_SECRET = "simulated-webhook-secret"  # noqa: S105 (it guards nothing)
LARGEST_WORLD = 1_000_000
LARGEST_AVERAGE = 10_000
CONTENTS = (
    ("--issues", 6.0, "issues"),
    ("--pull-requests", 4.0, "pull requests"),
    ("--commits", 12.0, "commits"),
)


class Command(BaseCommand):
    """Serve a simulated GitHub until SIGTERM or Ctrl-C."""

    help = "Serves a simulated GitHub: an organization and a user that have the App installed."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        port = _whole(0, 65_535)
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument("--port", type=port, default=DEFAULT_PORT, help="0: any free one")
        parser.add_argument(
            "--repos", type=_whole(0, LARGEST_WORLD), default=30, help="of the organization"
        )
        for option, default, what in CONTENTS:
            parser.add_argument(
                option, type=_average, default=default, metavar="N",
                help=f"{what} of a repository on average, fractions too",
            )  # fmt: skip
        parser.add_argument("--seed", type=_whole(0, 2**31), default=1, help="another world each")
        parser.add_argument(
            "--latency-ms", type=_whole(0, 600_000), default=0, help="before each answer"
        )
        parser.add_argument(
            "--private-key-file",
            type=Path,
            help="the App's private key (PEM); written there when there is no such file",
        )
        parser.add_argument("--webhook-url", type=_web_address, help="where the App's webhooks go")
        parser.add_argument("--webhook-secret", default=DEFAULT_SECRET, help="signs the webhooks")
        parser.add_argument(
            "--activity",
            type=_seconds,
            metavar="SECONDS",
            help="let something happen every so often",
        )
        parser.add_argument(
            "--history", type=Path, help="remember changes there, and repeat them at the next start"
        )
        parser.add_argument("--json", action="store_true", help="the ready line as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        """Serve; exit code 1 with one sentence when that is not possible."""
        world = World.generate(
            options["seed"],
            options["repos"],
            issues_per_repository=options["issues"],
            pull_requests_per_repository=options["pull_requests"],
            commits_per_repository=options["commits"],
        )
        with ExitStack() as stack:
            try:
                if options["history"] is not None:
                    stack.enter_context(History(options["history"], world, **_origin(options)))
                simulator = stack.enter_context(_simulator(world, options))
            except OSError as error:
                reason = error.strerror or str(error)
                where = error.filename or f"port {options['port']}"
                self._fail(f"Cannot use {where}: {reason}. Choose another one.")
            except HistoryError as error:
                self._fail(str(error))
            except ValueError:
                self._fail(f"{options['private_key_file']} is no private RSA key in PEM form.")
            stopping = _stop_event()
            self._ready(simulator, options)
            self._live(world, options["activity"], stopping)

    def _ready(self, simulator: Simulator, options: dict[str, Any]) -> None:
        state = simulator.describe()
        if options["json"]:
            if options["private_key_file"] is not None:
                state["private_key_file"] = str(options["private_key_file"].resolve())
            line = json.dumps(state)
        else:
            accounts = ", ".join(f"{a['login']} ({a['repositories']})" for a in state["accounts"])
            line = (
                f"GitHub simulator ready at {state['url']}: App {state['app_id']}, "
                f"token {state['token']}, repositories of {accounts}."
            )
        self.stdout.write(line)
        self.stdout.flush()

    def _live(self, world: World, every: float | None, stopping: Event) -> None:
        """Wait for the end, with or without things happening meanwhile."""
        random = Random(f"activity {world.seed} {world.revision}")
        while not stopping.wait(every):
            if every is not None:
                stir(world, random)

    def _fail(self, sentence: str) -> None:
        self.stderr.write(sentence)
        raise SystemExit(1)


def _origin(options: dict[str, Any]) -> dict[str, int]:
    """What tells one world from another; what is as it always was goes unsaid, as in older files."""
    origin = {"seed": options["seed"], "repos": options["repos"]}
    for option, default, _ in CONTENTS:
        name = option.strip("-").replace("-", "_")
        if options[name] != default:
            origin[f"{name}_of_1000_repositories"] = round(1000 * options[name])
    return origin


def _simulator(world: World, options: dict[str, Any]) -> Simulator:
    return Simulator(
        world,
        host=options["host"],
        port=options["port"],
        latency=options["latency_ms"] / 1000,
        private_key_pem=_private_key(options["private_key_file"]),
        webhook_url=options["webhook_url"],
        webhook_secret=options["webhook_secret"],
        log_size=10_000,
    )


def _stop_event() -> Event:
    """An event that SIGTERM and Ctrl-C set."""
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def _private_key(path: Path | None) -> str:
    """The key in that file, or a new one that is written there, readable by its owner only."""
    if path is None:
        return process_key()
    if path.exists():
        return path.read_text()
    path.touch(mode=0o600)
    path.write_text(process_key())
    return path.read_text()


def _whole(lowest: int, highest: int) -> Callable[[str], int]:
    """A whole number between two bounds, for argparse."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise ArgumentTypeError(f"{text} is no whole number from {lowest} to {highest}")
        return int(text)

    return parse


def _average(text: str) -> float:
    """How many on average, for argparse."""
    try:
        average = float(text)
    except ValueError:
        average = -1.0
    if not 0 <= average <= LARGEST_AVERAGE:
        raise ArgumentTypeError(f"{text} is no number from 0 to {LARGEST_AVERAGE}")
    return average


def _web_address(text: str) -> str:
    """An http or https URL, for argparse."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ArgumentTypeError(f"{text} is no web address")
    return text


def _seconds(text: str) -> float:
    """A positive number of seconds, for argparse."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 86_400:
        raise ArgumentTypeError(f"{text} is no number of seconds between 0 and 86400")
    return seconds
