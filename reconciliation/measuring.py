"""Reads the figures of accuracy from the tables: added up by the database, judged by `accuracy`.

A window costs four queries, however many runs, discrepancies, audits and accounts it holds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Sum

from reconciliation import accuracy, auditing, sampling
from reconciliation.accuracy import BURN_WINDOWS, DAY, WEEK, Accuracy, Figure, Tally
from reconciliation.models import Discrepancy, RunFigure

SHARES: Final = (0.5, 0.95, 0.99)
"""The percentiles that are told: nearest rank, by PostgreSQL's `percentile_disc`."""

TICK: Final = timedelta(microseconds=1)
"""The smallest step of a time, in PostgreSQL as here."""

_COUNTED: Final = ("compared", "matched", "vouched", "unknown")

Scope = Collection[int] | None
"""Our ids of the installations; None for all there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How long something took, in seconds; `unknown` are those of which that is not known."""

    p50: float | None
    p95: float | None
    p99: float | None
    count: int
    unknown: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """How long the discrepancies took that were found in a window (R9.3)."""

    detect: Spread
    """From GitHub's time of the change to its discovery; unknown where GitHub tells none."""
    repair: Spread
    """From its discovery to its repair; unknown while there was none, as of dismissed ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How right the mirror was in a window, by what runs measured and by what audits found."""

    accuracy: Accuracy
    by_type: Mapping[str, int]
    times: Times
    audit: sampling.Standing

    @property
    def disagrees(self) -> bool:
        """Whether the audits contradict what the runs measured (R8.3)."""
        return sampling.disagrees(self.accuracy.tally.accuracy, self.audit)


def read(scope: Scope, window: timedelta, now: datetime) -> Standing:
    """The figures of these installations together, over the window that ends now (R9.2, R9.3)."""
    return Standing(
        accuracy=accuracy.measure(_figures(scope, now), now, window),
        by_type=_by_type(scope, now - window, now),
        times=times(scope, now - window, now),
        audit=auditing.standing(scope, now - window, now),
    )


def day_and_week(scope: Scope, now: datetime) -> tuple[Accuracy, Accuracy]:
    """The last 24 hours and the last 7 days, from one query."""
    figures = _figures(scope, now)
    return accuracy.measure(figures, now, DAY), accuracy.measure(figures, now, WEEK)


def of_each(scope: Scope, window: timedelta, now: datetime) -> dict[int, Tally]:
    """What was measured of each installation in the window, by our id, in one query; those of which
    nothing was measured are missing."""
    rows = RunFigure.objects.filter(at__gt=now - window, at__lte=now)
    if scope is not None:
        rows = rows.filter(installation__in=scope)
    sums = rows.order_by().values_list("installation_id").annotate(*map(Sum, _COUNTED))
    return {pk: Tally(**dict(zip(_COUNTED, map(int, found), strict=True))) for pk, *found in sums}


def _figures(scope: Scope, now: datetime) -> list[Figure]:
    """The figures of the last 7 days, those of one entity and day and of the same windows added up.

    Each stretch of time is added up by itself: grouping by it would sort all rows first.
    """
    sql = f"""
        SELECT f.entity, f.last, f.compared, f.matched, f.vouched, f.unknown
        FROM unnest(%(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS stretch(since, until),
             LATERAL (
                SELECT entity, max(at) AS last, sum(compared) AS compared, sum(matched) AS matched,
                       sum(vouched) AS vouched, sum(unknown) AS unknown
                FROM {RunFigure._meta.db_table} AS f
                WHERE f.at >= stretch.since AND f.at < stretch.until {_of("f", scope)}
                GROUP BY entity
             ) AS f
    """  # noqa: S608  (all names are ours)
    edges = _edges(now)
    parameters: dict[str, Any] = {"begins": edges[:-1], "ends": edges[1:], "scope": _ids(scope)}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    return [
        Figure(
            at=last,
            entity=entity,
            tally=Tally(
                compared=int(compared),
                matched=int(matched),
                vouched=int(vouched),
                unknown=int(unknown),
            ),
        )
        for entity, last, compared, matched, vouched, unknown in rows
    ]


def _edges(now: datetime) -> list[datetime]:
    """Where the last 7 days are cut: at each midnight in UTC, and at the border of each window. A run
    that ended exactly at a window's start is outside of it, one that ended at its end is inside."""
    borders = [now - length + TICK for length in BURN_WINDOWS.values()]
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    midnights = [today - number * DAY for number in range(WEEK.days)]
    return sorted({*borders, *midnights, now + TICK})


def _by_type(scope: Scope, since: datetime, until: datetime) -> dict[str, int]:
    sql = f"""
        SELECT kind.key, sum(kind.value::bigint)
        FROM {RunFigure._meta.db_table} AS f, jsonb_each_text(f.by_type) AS kind
        WHERE f.at > %(since)s AND f.at <= %(until)s AND f.by_type <> '{{}}' {_of("f", scope)}
        GROUP BY kind.key ORDER BY sum(kind.value::bigint) DESC, kind.key
    """  # noqa: S608  (all names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, _parameters(scope, since, until))
        return {kind: int(number) for kind, number in cursor.fetchall()}


def times(scope: Scope, since: datetime, until: datetime) -> Times:
    """How long those took that were found after `since` and not after `until` (R9.3)."""
    spread = """
        percentile_disc(%(shares)s::float8[]) WITHIN GROUP (ORDER BY greatest(0, {took}))
            FILTER (WHERE {took} IS NOT NULL),
        count({took}), count(*) - count({took})
    """
    detect = spread.format(took="extract(epoch FROM d.detected_at - d.occurred_at)::float8")
    repair = spread.format(took="extract(epoch FROM d.repaired_at - d.detected_at)::float8")
    sql = f"""
        SELECT {detect}, {repair} FROM {Discrepancy._meta.db_table} AS d
        WHERE d.detected_at > %(since)s AND d.detected_at <= %(until)s {_of("d", scope)}
    """  # noqa: S608  (all names are ours)
    with connection.cursor() as cursor:
        cursor.execute(sql, _parameters(scope, since, until) | {"shares": list(SHARES)})
        row = cursor.fetchone()
    return Times(detect=_spread(row[:3]), repair=_spread(row[3:]))


def _spread(row: Sequence[Any]) -> Spread:
    shares, count, unknown = row
    p50, p95, p99 = shares or (None, None, None)
    return Spread(p50=p50, p95=p95, p99=p99, count=count, unknown=unknown)


def _of(table: str, scope: Scope) -> str:
    return "" if scope is None else f"AND {table}.installation_id = ANY(%(scope)s::bigint[])"


def _parameters(scope: Scope, since: datetime, until: datetime) -> dict[str, Any]:
    return {"since": since, "until": until, "scope": _ids(scope)}


def _ids(scope: Scope) -> list[int]:
    return [] if scope is None else list(scope)
