"""`manage.py doctor`: what keeps the mirror from being right, and what to do about it.

Exit code 0 when nothing is bad, 1 otherwise.
"""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from syncsvc.doctor import checks, gather
from syncsvc.doctor.facts import Finding


class Command(BaseCommand):
    """Prints each finding, the worst first."""

    help = "Checks credentials, permissions, webhooks, clock, budget, processes and settings."
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        """The options."""
        parser.add_argument("--json", action="store_true", help="one JSON object")
        parser.add_argument("--offline", action="store_true", help="do not ask GitHub")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Exit code 1 when something is bad."""
        try:
            asked = None if options["offline"] else gather.ask_github()
            found = gather.findings(asked)
        except DatabaseError as error:
            self.stderr.write(
                "The database does not answer or is not prepared: see that PostgreSQL runs, that "
                f"DATABASE_URL leads to it, and run python manage.py prepare ({type(error).__name__})."
            )
            raise SystemExit(1) from None
        worst = checks.worst(found)
        if options["json"]:
            findings = [each.as_json() for each in found]
            self.stdout.write(json.dumps({"state": worst, "findings": findings}))
        else:
            for each in sorted(found, key=lambda each: checks.ORDER.index(each.state)):
                self.stdout.write(_line(each))
        if worst == checks.BAD:
            raise SystemExit(1)


def _line(found: Finding) -> str:
    fix = f"\n         {found.fix}" if found.fix else ""
    return f"{found.state.upper():<8} {found.title}: {found.says}{fix}"
