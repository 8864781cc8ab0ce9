"""Django's PostgreSQL backend, with one habit more: connecting starts the embedded server.

So every way into the product (`manage.py`, web, worker, tests) finds a database, and those that
need none start none.
"""

from typing import Any

from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQLWrapper
from django.db.utils import OperationalError

from config import embedded


class DatabaseWrapper(PostgreSQLWrapper):
    """Connects as PostgreSQL's own backend does, once the server is up."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """A new connection; a server that does not start is an ordinary `OperationalError`."""
        try:
            embedded.ensure_postgres()
        except embedded.EmbeddedDatabaseError as error:
            raise OperationalError(str(error)) from error
        return super().get_new_connection(conn_params)
