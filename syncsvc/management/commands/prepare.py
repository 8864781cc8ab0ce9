"""`manage.py prepare`: the tables are up to date and the first administrator exists.

Runs at every start, and is quick when there is nothing to do.
"""

import contextlib
import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.migrations.executor import MigrationExecutor

from config import administrator
from syncsvc.setup import store


class Command(BaseCommand):
    """Migrates, and creates the administrator of ADMIN_USERNAME and ADMIN_PASSWORD."""

    help = "Brings the tables up to date and creates the first administrator."
    requires_system_checks = ()

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Exit code 1 and one sentence when the database cannot be prepared."""
        try:
            _migrate()
            administrator.ensure()
            store.renew_encryption()
        except OperationalError as error:
            where = "" if settings.EMBEDDED else " Check DATABASE_URL."
            _fail(f"The database does not answer: {_one_line(error)}{where}")
        except DatabaseError as error:
            _fail(f"The database cannot be prepared: {_one_line(error)}")


def _migrate() -> None:
    """Brings the tables up to date; an interruption leaves them as they were.

    Django applies one migration at a time and notes some only afterwards: killed in between, it
    would never start again. So all of them share one transaction, where all of them can.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if not plan:
        return
    whole = all(migration.atomic for migration, _ in plan)
    with transaction.atomic() if whole else contextlib.nullcontext():
        call_command("migrate", interactive=False, verbosity=0)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).removesuffix(".") + "."


def _fail(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    raise SystemExit(1)
