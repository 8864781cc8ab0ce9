"""Looks at the database while it storms, on a connection of its own, and outlives its restarts.

Hides the trigger by which the database itself notes every change of a job: what happens between two
looks is not missed.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from tests.chaos.judging import Step

EVERY: Final = 0.1
"""Seconds between two looks."""
DELETIONS_EVERY: Final = 1.0

# Noted in the transaction that makes the change: what is rolled back, or lost by a crash, never was.
TRIGGER: Final = """
    CREATE TABLE chaos_step (
        id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp(),
        by text NOT NULL DEFAULT current_setting('application_name'),
        job uuid NOT NULL, installation bigint NOT NULL, old_status text, status text,
        old_lease uuid, lease uuid, old_expires timestamptz, expires timestamptz, attempt int
    );
    CREATE INDEX chaos_step_job ON chaos_step (job);
    CREATE FUNCTION chaos_note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO chaos_step (job, installation, old_status, status, old_lease, lease,
                                old_expires, expires, attempt)
        VALUES (NEW.id, NEW.installation_id, OLD.status, NEW.status, OLD.lease, NEW.lease,
                OLD.lease_expires_at, NEW.lease_expires_at, NEW.attempt);
        RETURN NULL;
    END $$;
    CREATE TRIGGER chaos_note AFTER UPDATE ON syncsvc_syncjob FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status OR OLD.lease IS DISTINCT FROM NEW.lease
          OR OLD.lease_expires_at IS DISTINCT FROM NEW.lease_expires_at)
    EXECUTE FUNCTION chaos_note();
"""
_ACTIVE: Final = """
    SELECT id::text, installation_id, status, lease::text
    FROM syncsvc_syncjob WHERE status IN ('queued', 'running', 'blocked')
"""
_HOLDERS: Final = """
    SELECT s.by, i.github_id AS installation FROM syncsvc_syncjob j
    JOIN syncsvc_installation i ON i.id = j.installation_id
    JOIN chaos_step s ON s.job = j.id AND s.lease = j.lease AND s.old_lease IS DISTINCT FROM s.lease
    WHERE j.status = 'running'
"""
_STEPS: Final = """
    SELECT s.id, extract(epoch FROM s.at)::float8 AS at, by, job::text,
        i.github_id AS installation, old_status, s.status,
        coalesce(old_lease::text, '') AS old_lease, coalesce(lease::text, '') AS lease,
        coalesce(extract(epoch FROM old_expires), 0)::float8 AS old_expires,
        coalesce(extract(epoch FROM expires), 0)::float8 AS expires, attempt
    FROM chaos_step s JOIN syncsvc_installation i ON i.id = s.installation ORDER BY s.id
"""
#: What the mirror calls deleted: GitHub's id, and where the mirror says that it was.
_GONE: Final = {
    "repositories": """
        SELECT r.github_id AS key, i.account_id AS home
        FROM syncsvc_repository r JOIN syncsvc_installation i ON i.id = r.installation_id
        WHERE r.status = 'deleted'
    """,
    "items": """
        SELECT x.github_id AS key, r.github_id AS home FROM (
            SELECT github_id, repository_id FROM syncsvc_issue WHERE removal = 'deleted'
            UNION ALL
            SELECT github_id, repository_id FROM syncsvc_pullrequest WHERE removal = 'deleted'
        ) x JOIN syncsvc_repository r ON r.id = x.repository_id
    """,
}


class Observer:
    """A thread that looks all the time. `violations` are sentences, each once."""

    def __init__(self, conninfo: str, exist: Callable[[], dict[str, dict[str, int]]]) -> None:
        """`exist` tells what there is at GitHub at this moment, by kind: id and home."""
        self._conninfo, self._exist = conninfo, exist
        self.violations: list[str] = []
        self.looks = self.deletion_looks = 0
        self.blind_seconds = 0.0
        self.holders: dict[int, str] = {}
        """The service that runs a job of an installation, by GitHub's id of that, at the last look."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        self._began = time.monotonic()
        self._looked_for_deletions = 0.0

    def start(self) -> None:
        """From now on."""
        self._began = time.monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(10)
        self.seconds = time.monotonic() - self._began

    seconds = 0.0

    @property
    def looks_per_second(self) -> float:
        """Over the time in which there was a database to look at."""
        return self.looks / max(0.001, self.seconds - self.blind_seconds)

    def _watch(self) -> None:
        connection: psycopg.Connection[Any] | None = None
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                if connection is None:
                    connection = connect(self._conninfo)
                self._look(connection)
                self._stopping.wait(max(0.0, EVERY - (time.monotonic() - began)))
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
                self._stopping.wait(0.05)
                self.blind_seconds += time.monotonic() - began
        if connection is not None:
            connection.close()

    def _look(self, connection: "psycopg.Connection[Any]") -> None:
        active: dict[int, str] = {}
        tokens: dict[str, str] = {}
        for row in connection.execute(_ACTIVE):
            if row["installation_id"] in active:
                self._say(f"Installation {row['installation_id']} has two active jobs.")
            active[row["installation_id"]] = row["id"]
            if row["lease"] is not None and tokens.setdefault(row["lease"], row["id"]) != row["id"]:
                self._say(f"Lease {row['lease']} is on two jobs.")
            if (row["status"] == "running") != (row["lease"] is not None):
                self._say(f"Job {row['id']} is {row['status']}, lease {row['lease']}.")
        self.holders = {row["installation"]: row["by"] for row in connection.execute(_HOLDERS)}
        self.looks += 1
        if time.monotonic() - self._looked_for_deletions > DELETIONS_EVERY:
            self._looked_for_deletions = time.monotonic()
            self._look_for_deletions(connection)

    def _look_for_deletions(self, connection: "psycopg.Connection[Any]") -> None:
        """First what the mirror calls deleted, then what there is: GitHub's ids never come back."""
        gone = {
            kind: {str(row["key"]): row["home"] for row in connection.execute(query)}
            for kind, query in _GONE.items()
        }
        there = self._exist()
        for kind, rows in gone.items():
            for key, home in sorted(rows.items()):
                if there[kind].get(key) == home:
                    self._say(f"Of the {kind} {key} is called deleted, and GitHub has it.")
        self.deletion_looks += 1

    def _say(self, sentence: str) -> None:
        if sentence not in self.violations:
            self.violations.append(sentence)


def connect(conninfo: str) -> "psycopg.Connection[Any]":
    """A connection that says whose it is and commits at once; rows are dictionaries."""
    return psycopg.connect(
        conninfo, autocommit=True, application_name="observer", row_factory=dict_row
    )


def steps(connection: "psycopg.Connection[Any]") -> list[Step]:
    """Every change of a job that the trigger noted; installations by GitHub's ids."""
    return [Step(**row) for row in connection.execute(_STEPS)]
