"""What all commands share: exit codes, JSON or prose, and one clear sentence instead of a traceback."""

import json
import logging
import os
import signal
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import IntEnum
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand
from django.db import OperationalError, ProgrammingError, connection

from config.embedded import EmbeddedDatabaseError
from syncsvc.github.errors import GitHubError
from syncsvc.models import Installation


class Exit(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_STARTED = 3


class Failure(Exception):
    """Ends the command with a sentence for people."""

    def __init__(self, sentence: str, code: Exit = Exit.FAILED) -> None:
        self.sentence = sentence
        self.code = code
        super().__init__(sentence)


class ShellCommand(BaseCommand):
    """A command with `--json`; subclasses implement `run` and return an `Exit`."""

    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="Print JSON, one object a line.")

    def run(self, **options: Any) -> Exit:
        """Does the work and says how it went."""
        raise AssertionError(f"{type(self).__name__} has no run(**{sorted(options)})")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Runs the command and turns every foreseeable failure into a sentence and an exit code."""
        if "LOG_LEVEL" not in os.environ:
            logging.getLogger().setLevel(logging.ERROR)  # the command itself says what happens
        try:
            with _terminating():
                code = self.run(**options)
        except Failure as failure:
            code = self._refuse(options, failure.sentence, failure.code)
        except GitHubError as error:
            code = self._refuse(options, error.sentence, Exit.FAILED)
        except (ImproperlyConfigured, EmbeddedDatabaseError) as error:
            code = self._refuse(options, str(error), Exit.FAILED)
        except OperationalError as error:
            code = self._refuse(options, _database_sentence(error), Exit.FAILED)
        except ProgrammingError as error:
            if "does not exist" not in str(error):
                raise
            code = self._refuse(
                options,
                "The database has not been prepared: run `python manage.py migrate` first.",
                Exit.FAILED,
            )
        except KeyboardInterrupt:
            code = self._refuse(options, "Interrupted; what was written is kept.", Exit.FAILED)
        sys.exit(code)

    def say(self, options: dict[str, Any], sentence: str, **data: Any) -> None:
        """Prints the data as one JSON line, or the sentence."""
        if options["json"]:
            self.stdout.write(json.dumps(data, default=_plain))
        else:
            self.stdout.write(sentence)

    def _refuse(self, options: dict[str, Any], sentence: str, code: Exit) -> Exit:
        if options["json"]:
            self.stdout.write(json.dumps({"error": sentence}))
        self.stderr.write(sentence)
        return code


@contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM ends a command as Ctrl-C does: with what it holds given back, and with a sentence."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _plain(value: object) -> str:
    """What JSON has no form for; times as the API writes them."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    return str(value)


def _database_sentence(error: OperationalError) -> str:
    where = connection.settings_dict
    host = where.get("HOST") or "localhost"
    database = f"The database {where.get('NAME')!r} at {host}:{where.get('PORT') or 5432}"
    if "does not exist" in str(error):
        return f"{database} does not exist. Create it, or correct DATABASE_URL."
    return f"{database} does not answer. Start it, or correct DATABASE_URL."


def installation_named(login: str) -> Installation | None:
    """The installation of an account, whatever the case of its letters."""
    return Installation.objects.filter(account_login__iexact=login).order_by("status").first()
