"""The product's own way: a job is claimed, and the conductor runs it. Measured from claim to end.

Runs as a process of its own: `python -m tests.bench.ours first|again MODE`.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import django
from django.conf import settings
from django.db import connection

from tests.bench.probe import Probe

#: What people call the mirror, and what a run that finds nothing new leaves alone.
MIRROR = frozenset(
    f"syncsvc_{name}"
    for name in ("repository", "issue", "pullrequest", "commit", "contentlist", "repositorymetric")
)


class Statements:
    """Counts what is sent to the database."""

    count = 0

    def __call__(self, execute: Callable[..., Any], *args: Any) -> Any:
        self.count += 1
        return execute(*args)


def rows_written() -> dict[str, int]:
    """Rows inserted, updated and deleted so far, by table, as PostgreSQL counts them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables")
        return dict(cursor.fetchall())


def main(kind: str, mode: str) -> None:
    """Measures one run in this mode: the `first` one into an empty mirror, or one `again`."""
    django.setup()
    connection.settings_dict["NAME"] = os.environ["BENCH_DATABASE"]
    from reconciliation import conductor  # noqa: PLC0415  (models need Django to be set up)
    from syncsvc import discovery, jobs  # noqa: PLC0415
    from syncsvc.models import Installation  # noqa: PLC0415
    from syncsvc.service import SyncService  # noqa: PLC0415

    if kind == "first":
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE syncsvc_installation RESTART IDENTITY CASCADE")
        discovery.discover()
    installation = Installation.objects.get(github_id=os.environ["BENCH_INSTALLATION"])
    trigger = "initial" if kind == "first" else "cron"
    decision = SyncService.request(installation.pk, trigger, mode=mode, ring=False)
    lease = jobs.claim(decision.job_id or "")
    if lease is None:
        raise SystemExit(f"There is no job to run: {decision}")
    before, statements = rows_written(), Statements()
    with connection.execute_wrapper(statements), Probe(settings.GITHUB_API_URL) as probe:
        job = conductor.execute(lease, last_attempt=True)
    if job.status != "succeeded":
        raise SystemExit(f"The run ended {job.status}: {job.error} {job.failures[:3]}")
    written = {table: rows - before.get(table, 0) for table, rows in rows_written().items()}
    mirror = {table: rows for table, rows in written.items() if table in MIRROR and rows}
    probe.report(
        statements=statements.count,
        rows=sum(mirror.values()),
        rows_by_table=mirror,
        other_rows=sum(rows for table, rows in written.items() if table not in MIRROR),
        not_modified=job.api["not_modified"],
        told_points=job.api["graphql_points"],
        phases_seconds=job.phases_seconds,
        counts=job.counts,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
