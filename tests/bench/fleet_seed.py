# ruff: noqa: E501  (a column and what it holds stand on one line)
"""Fills an empty, migrated database with a large fleet, in minutes: rows are made by the database itself.

Also for developers: `python -m tests.bench.fleet_seed --installations 100` fills the database of the
settings, if it holds no installation yet.
"""

import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Final

from tests.bench import stage

ENTITIES: Final = ("repositories", "issues", "pull_requests", "commits")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    """How much there is. Runs and their figures go back `run_days`, everything else `days`; what is rolled
    goes back as far, the older part as a copy of the newer."""

    installations: int = 1_000
    repositories: int = 1_000_000
    discrepancies: int = 1_000_000
    deliveries: int = 5_000_000
    issues: int = 200_000
    pull_requests: int = 100_000
    commits: int = 300_000
    gaps: int = 10_000
    incidents: int = 5_000
    dead_letters: int = 3_000
    days: int = 90
    run_days: int = 7


#: What a NOT NULL column without a default holds unless a table says otherwise.
_EMPTY: Final = {
    "bigint": "0", "integer": "0", "smallint": "0", "double precision": "0", "boolean": "false",
    "jsonb": "'{}'", "ARRAY": "'{}'", "timestamp with time zone": "now()", "uuid": "gen_random_uuid()",
    "date": "current_date",
}  # fmt: skip


def fill(size: Fleet) -> dict[str, float]:
    """Makes all rows and rolls the hours; returns the seconds that each table took."""
    from django.db import connection  # noqa: PLC0415  (after `environment`)

    took: dict[str, float] = {}
    with connection.cursor() as cursor:
        # Neither triggers nor foreign keys: what is made is right, and nobody listens.
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        cursor.execute("SET maintenance_work_mem = '512MB'; SET work_mem = '128MB'")
        for table, number, columns in _tables(size):
            began = time.monotonic()
            with _without_indexes(cursor, table):
                cursor.execute(_insert(cursor, table, number, columns))
                rows = cursor.rowcount
            took[table] = time.monotonic() - began
            stage.say(f"fleet: {table}, {rows:,} rows, {took[table]:.1f} s")
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("RESET work_mem; RESET maintenance_work_mem")
    took["rolled"] = _roll(size)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return took


def _insert(cursor: Any, table: str, number: str, columns: Mapping[str, str]) -> str:
    """One statement: `number` rows `n` from 0 on, or those of a query, each with these columns."""
    cursor.execute(
        """SELECT quote_ident(column_name), data_type FROM information_schema.columns
        WHERE table_name = %s AND is_nullable = 'NO' AND column_default IS NULL
          AND is_identity = 'NO' AND is_generated = 'NEVER'""",
        [table],
    )
    given = {name: _EMPTY.get(kind, "''") for name, kind in cursor.fetchall()} | dict(columns)
    source = f"generate_series(0, {number} - 1) AS n" if number.isdigit() else number
    return (
        f"INSERT INTO {table} ({', '.join(given)}) SELECT {', '.join(given.values())} FROM {source}"
    )


@contextmanager
def _without_indexes(cursor: Any, table: str) -> Iterator[None]:
    """Indexes are made once at the end: many times quicker than row by row."""
    cursor.execute(
        """SELECT i.indexdef, i.indexname FROM pg_indexes AS i
        LEFT JOIN pg_constraint AS c ON c.conname = i.indexname
        WHERE i.schemaname = 'public' AND i.tablename = %s AND c.oid IS NULL""",
        [table],
    )
    indexes = cursor.fetchall()
    for _, name in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    for definition, _ in indexes:
        cursor.execute(definition)


def _roll(size: Fleet) -> float:
    """As the periodic task does it; then the weeks without runs get those of the last."""
    from django.db import connection  # noqa: PLC0415

    from reconciliation import columns, rolling  # noqa: PLC0415
    from syncsvc import clock  # noqa: PLC0415

    began = time.monotonic()
    while rolling.roll(clock.now(), seconds=600):
        pass
    runs = ", ".join(
        [*columns.RUNS, *columns.TIMES, *columns.COUNTED, "classes", "by_entity", "audited"]
    )
    changed = ", ".join(f"{name} = EXCLUDED.{name}" for name in runs.split(", "))
    with connection.cursor() as cursor:
        for week in range(1, size.days // size.run_days):
            back = f"interval '{week * size.run_days} days'"
            cursor.execute(
                f"""INSERT INTO {columns.TABLE} (installation_id, hours, at, found, gaps, by_type, {runs})
                SELECT installation_id, hours, at - {back}, 0, 0, '{{}}', {runs} FROM {columns.TABLE}
                WHERE at >= date_trunc('day', now(), 'UTC') - interval '{size.run_days} days'
                  AND at < date_trunc('day', now(), 'UTC')
                ON CONFLICT (hours, at, installation_id) DO UPDATE SET {changed}"""
            )
    return time.monotonic() - began


def _spread(days: int, number: int) -> str:
    """The moment of row `n` of so many: the newest is a second old."""
    return f"now() - interval '1 second' - (n * {days * 86_400}.0 / {max(1, number)}) * interval '1 second'"


def _tables(size: Fleet) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Table, how many rows or from where, and what the columns hold. Ids count from 1."""
    accounts = size.installations
    per_account = max(1, size.repositories // accounts)
    account = f"1 + n % {accounts}"
    yield "syncsvc_installation", str(accounts), {
        "id": "n + 1", "account_id": "1000 + n", "github_id": "50000 + n", "mode": "'app'",
        "account_login": "'account-' || lpad(n::text, 4, '0')", "account_type": "'Organization'",
        "status": "CASE WHEN n % 40 = 7 THEN 'suspended' WHEN n % 50 = 9 THEN 'uninstalled' ELSE 'active' END",
        "repository_selection": "'all'", "events": "'[]'",
        "last_synced_at": "now() - (n % 900) * interval '1 second'",
        "last_listed_at": "now() - (n % 900) * interval '1 second'",
        "next_scheduled_at": "now() + (n % 900) * interval '1 second'",
        "breaker_state": "CASE WHEN n % 100 = 3 THEN 'half_open' ELSE 'closed' END",
    }  # fmt: skip
    yield "syncsvc_ratebudget", f"generate_series(0, {accounts - 1}) AS n, unnest(ARRAY['core', 'graphql']) AS r", {
        "installation_id": "n + 1", "resource": "r", '"limit"': "5000", "remaining": "5000 - n % 5000",
        "reset_at": "now() + interval '30 minutes'",
    }  # fmt: skip
    yield "syncsvc_repository", str(size.repositories), {
        "installation_id": account, "github_id": "1000000 + n", "owner": f"'account-' || lpad((n % {accounts})::text, 4, '0')",
        "name": "'repository-' || n", "visibility": "'public'", "status": "'active'", "default_branch": "'main'",
        "name_is_current": "true", "automations_allowed": "true", "github_updated_at": "now()",
        "pushed_at": "now() - (n % 1000) * interval '1 hour'", "changed_by": "'initial'",
    }  # fmt: skip
    jobs = accounts * size.run_days * 96
    yield "syncsvc_syncjob", str(jobs), {
        "installation_id": account, "trigger": "'cron'", "mode": "'incremental'",
        "status": "CASE WHEN n % 97 = 5 THEN 'partial' WHEN n % 89 = 7 THEN 'failed' WHEN n % 491 = 3 THEN 'cancelled' ELSE 'succeeded' END",
        "created_at": f"{_spread(size.run_days, jobs)} - interval '20 seconds'",
        "run_after": "now()",
        "started_at": f"{_spread(size.run_days, jobs)} - (1 + n % 19) * interval '1 second'",
        "finished_at": _spread(size.run_days, jobs), "attempt": "1",
        "counts": """'{"repositories": {"updated": 2, "unchanged": 998}}'""", "failures": "'[]'", "plan": "'[]'",
    }  # fmt: skip
    entities = ", ".join(f"'{each}'" for each in ENTITIES)
    yield "reconciliation_runfigure", f"syncsvc_syncjob AS j, unnest(ARRAY[{entities}]) AS e WHERE j.status IN ('succeeded', 'partial') ORDER BY j.finished_at", {
        "job_id": "j.id", "installation_id": "j.installation_id", "entity": "e", "at": "j.finished_at",
        "trigger": "'cron'", "mode": "'incremental'", "compared": "1000",
        "matched": "1000 - (hashtext(j.id::text || e) & 3)", "vouched": "900",
    }  # fmt: skip
    kinds = "(ARRAY['stale_issue', 'missing_issue', 'stale_metadata', 'wrong_name', 'missing_commit', 'stale_pull_request', 'wrong_visibility', 'missing_repo'])[1 + n % 8]"
    repaired = "n % 50 <> 0"
    yield "reconciliation_discrepancy", str(size.discrepancies), {
        "installation_id": account, "repository_id": f"1 + n % {size.repositories}",
        "repository_github_id": f"1000000 + n % {size.repositories}", "entity": "'issues'",
        "item_key": "n::text", "name": "'account/repository#' || n", "type": kinds,
        "detected_at": _spread(size.days, size.discrepancies),
        "occurred_at": f"{_spread(size.days, size.discrepancies)} - (n % 900) * interval '1 second'",
        "proposed_action": "'update'", "repair_status": f"CASE WHEN {repaired} THEN 'repaired' ELSE 'proposed' END",
        "repaired_at": f"CASE WHEN {repaired} THEN {_spread(size.days, size.discrepancies)} + (n % 60) * interval '1 second' END",
        "detector": "'run'", "cause": "'unknown'", "before": """'{"title": "Old"}'""", "after": """'{"title": "New"}'""",
    }  # fmt: skip
    waiting = "n < 500"
    yield "syncsvc_delivery", str(size.deliveries), {
        "guid": "'guid-' || n", "hook_id": "1", "event": "(ARRAY['push', 'issues', 'pull_request'])[1 + n % 3]",
        "action": "'opened'", "received_at": _spread(size.days, size.deliveries), "due_at": _spread(size.days, size.deliveries),
        "account_id": f"1000 + n % {accounts}", "installation_id": f"CASE WHEN {waiting} THEN NULL ELSE {account} END",
        "repository_github_id": f"1000000 + n % {size.repositories}",
        "status": f"CASE WHEN {waiting} THEN 'received' WHEN n % 500 = 1 THEN 'failed' WHEN n % 7 = 1 THEN 'ignored' ELSE 'processed' END",
        "processed_at": f"CASE WHEN {waiting} THEN NULL ELSE {_spread(size.days, size.deliveries)} END",
        "outcome": "'applied'",
    }  # fmt: skip
    yield "reconciliation_sampleaudit", str(accounts * size.run_days * 24), {
        "installation_id": account, "at": _spread(size.run_days, accounts * size.run_days * 24),
        "seed": "n", "sampled": "40", "matched": "40", "estimate": "1", "low": "0.9", "high": "1",
        "weight": "1000", "weight_matched": "1000", "weight_squares": "25000",
    }  # fmt: skip
    closed = f"n >= {accounts // 20}"
    yield "syncsvc_gap", str(size.gaps), {
        "installation_id": account, "reason": "'silence'",
        "step": f"CASE WHEN {closed} THEN 'closed' ELSE 'open' END",
        "opened_at": _spread(size.days, size.gaps), "began_at": _spread(size.days, size.gaps),
        "ended_at": _spread(size.days, size.gaps), "next_step_at": "now()",
        "closed_at": f"CASE WHEN {closed} THEN now() END", "timeline": "'[]'",
    }  # fmt: skip
    yield "alerts_incident", str(size.incidents), {
        "key": "'stale/' || n", "kind": "'stale'", "severity": "(ARRAY['warning', 'high', 'critical'])[1 + n % 3]",
        "status": "CASE WHEN n < 60 THEN 'open' ELSE 'resolved' END", "installation_id": account,
        "title": "'No sync for ' || n || ' minutes'", "opened_at": _spread(size.days, size.incidents),
        "resolved_at": "CASE WHEN n < 60 THEN NULL ELSE now() END",
    }  # fmt: skip
    yield "syncsvc_deadletter", str(size.dead_letters), {
        "kind": "'delivery'", "status": "CASE WHEN n % 10 = 0 THEN 'open' ELSE 'discarded' END",
        "installation_id": account, "delivery_id": "n + 1000", "created_at": _spread(size.days, size.dead_letters),
        "reason": "'Old'", "decided_at": "now()", "error": "'It could not be read.'",
    }  # fmt: skip
    yield "reconciliation_review", str(accounts // 100), {
        "installation_id": "1 + n * 3", "status": "'open'", "items": "'[]'", "vanished": "3", "present": "10",
    }  # fmt: skip
    yield from _contents(size, per_account)


def _contents(size: Fleet, _per_account: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    repository = f"1 + (n * 7) % {size.repositories}"
    item = {
        "repository_id": repository, "node_id": "'N_' || n", "number": "n + 1", "title": "'Title ' || n",
        "author": "'octocat'", "github_created_at": "now() - (n % 9000) * interval '1 hour'",
        "github_updated_at": "now() - (n % 9000) * interval '1 minute'", "changed_by": "'initial'",
    }  # fmt: skip
    yield "syncsvc_issue", str(size.issues), item | {
        "github_id": "3000000000 + n", "github_state": "'open'", "state": "'pending'", "severity": "'low'",
        "due_at": "now()", "priority_base": "50",
    }  # fmt: skip
    yield "syncsvc_pullrequest", str(size.pull_requests), item | {
        "github_id": "4000000000 + n", "state": "'open'", "base_ref": "'main'", "head_ref": "'topic'",
        "head_sha": "lpad(to_hex(n), 40, '0')",
    }  # fmt: skip
    yield "syncsvc_commit", str(size.commits), {
        "repository_id": repository, "sha": "lpad(to_hex(n), 40, '0')", "message": "'Change ' || n",
        "authored_at": "now() - n * interval '1 minute'", "committed_at": "now() - n * interval '1 minute'",
        "changed_by": "'initial'",
    }  # fmt: skip


def main() -> None:
    """Fills the database of the settings, if it is empty."""
    import django  # noqa: PLC0415

    parser = ArgumentParser(prog="python -m tests.bench.fleet_seed", description=__doc__)
    for field in fields(Fleet):
        default: Any = field.default
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=int, default=default)
    size = Fleet(**vars(parser.parse_args()))
    django.setup()
    from syncsvc.models import Installation  # noqa: PLC0415

    if Installation.objects.exists():
        raise SystemExit("There are installations already: only an empty database is filled.")
    stage.say(f"fleet: filled in {sum(fill(size).values()):.0f} s")


if __name__ == "__main__":
    main()
