"""Comparing and repairing generated lists of repositories, without GitHub, against a bare comparison.

Ours is what a run does with each batch of a list. The bare one reads the same rows with one binary
SELECT and compares tuples; it decides nothing and writes nothing. They take turns, batch by batch.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import psycopg
from django.db import connection

from reconciliation.repositories import BATCH
from reconciliation.run import Run
from reconciliation.settling import settle
from syncsvc import clock, jobs
from syncsvc.github.payloads import RepositoryRow
from syncsvc.models import Installation
from syncsvc.plan import FIELDS
from syncsvc.service import SyncService
from tests.factories import InstallationFactory

CHANGED: Final = 100
"""One of so many repositories changed."""
COLUMNS: Final = ("github_id", *FIELDS)
TOPICS: Final = COLUMNS.index("topics")
LONG_AGO: Final = datetime(2026, 1, 1, tzinfo=UTC)
LANGUAGES: Final = ("Python", "Go", "Rust", None)


def measure(repositories: int, repeats: int) -> dict[str, Any]:
    """Seconds of the first run (everything is new), of `repeats` runs that find nothing changed, and of
    as many that find 1 % changed, ours and bare. Leaves nothing behind."""
    installation = InstallationFactory.create()
    try:
        first = _pass(installation, repositories, 0)
        Installation.objects.update(last_listed_at=clock.now())
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE syncsvc_repository")  # as autovacuum does within a minute
        same, some = [], []
        for number in range(1, repeats + 1):
            same.append(_pass(installation, repositories, number - 1))
            some.append(_pass(installation, repositories, number))
    finally:
        installation.delete()
    return {"repositories": repositories, "first": first, "unchanged": same, "changed": some}


def _pass(installation: Installation, repositories: int, round_: int) -> dict[str, Any]:
    """One run over the whole list as it is in this round; what was written is what had changed."""
    installation.refresh_from_db()
    decision = SyncService.request(installation.pk, "cron", mode="reconcile", ring=False)
    lease = jobs.claim(decision.job_id or "")
    if lease is None:
        raise SystemExit(f"There is no job to run: {decision}")
    run = Run(lease)
    run.starts_listing()
    run.judge.begin()
    spent = dict.fromkeys(("ours", "bare"), 0.0)
    differing = 0
    for number, batch in enumerate(_batches(installation, repositories, round_)):
        # The bare one comes first: afterwards nothing differs any more.
        steps: list[tuple[str, Callable[[], int]]] = [
            ("bare", lambda batch=batch: _bare(batch)),  # type: ignore[misc]
            ("ours", lambda batch=batch: _ours(run, batch)),  # type: ignore[misc]
        ]
        if number == 0:
            _bare(batch)  # the statement's first execution pays for its plan
        for name, step in steps:
            before = time.perf_counter()
            found = step()
            spent[name] += time.perf_counter() - before
            differing += found
    lease.succeed(run.outcome())
    counts = lease.job.counts["repositories"]
    written = counts["created"] + counts["updated"]
    if written != differing:
        raise SystemExit(f"{differing} differed and {written} were written.")
    return {**spent, "written": written}


def _ours(run: Run, batch: Sequence[RepositoryRow]) -> int:
    settle(run, batch)
    run.lease.progress("reading repositories", len(run.seen))
    return 0


def _bare(batch: Sequence[RepositoryRow]) -> int:
    sql = f"SELECT {', '.join(COLUMNS)} FROM syncsvc_repository WHERE github_id = ANY(%s)"
    with psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(sql, [[row.github_id for row in batch]], binary=True)
        mirror = {row[0]: row for row in cursor}
    differing = 0
    for row in batch:
        mine = mirror.get(row.github_id)
        true = tuple(getattr(row, name) for name in COLUMNS)
        if mine is None or (*mine[:TOPICS], tuple(mine[TOPICS]), *mine[TOPICS + 1 :]) != true:
            differing += 1
    return differing


def _batches(
    installation: Installation, repositories: int, round_: int
) -> Iterator[list[RepositoryRow]]:
    """The list as GitHub tells it in this round, in batches as a run takes them. In each round one of a
    hundred has changed since the last, spread evenly."""
    for start in range(0, repositories, BATCH):
        numbers = range(start, min(start + BATCH, repositories))
        yield [_row(installation, number, round_) for number in numbers]


def _row(installation: Installation, number: int, round_: int) -> RepositoryRow:
    created = LONG_AGO - timedelta(minutes=number)
    row = RepositoryRow(
        github_id=10_000_000 + 7 * number,
        node_id=f"R_kgDO{number:08d}",
        owner=installation.account_login,
        owner_id=installation.account_id,
        name=f"repository-{number:06d}",
        description=f"The repository with the number {number}, and what it is good for",
        visibility=("public", "private", "internal")[number % 3],
        archived=number % 10 == 0,
        disabled=False,
        fork=number % 7 == 0,
        default_branch="main",
        language=LANGUAGES[number % len(LANGUAGES)],
        topics=("backend", "mirror", "tools")[: number % 4],
        stars=number % 1000,
        forks=number % 50,
        open_issues=number % 20,
        size=number,
        homepage=None,
        license="mit",
        github_created_at=created,
        github_updated_at=LONG_AGO,
        pushed_at=LONG_AGO,
    )
    changes = (round_ + CHANGED - 1 - number % CHANGED) // CHANGED
    if not changes:
        return row
    return replace(
        row,
        description=f"{row.description}, changed",
        stars=row.stars + changes,
        github_updated_at=LONG_AGO + timedelta(hours=changes),
    )
