"""What the fleet's figures come to over time: sums from `reconciliation.rolled` as values.

A window is what ended, was found or was opened after its start and not after its end (R9.2).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil
from typing import Any, Final

from django.db import connection

from alerts.fleet_values import FleetFilters, Window
from reconciliation import rolled
from reconciliation.accuracy import DAY, HOUR, WEEK, Figure, Tally
from reconciliation.columns import (
    AUDIT,
    BY_ENTITY,
    BY_TYPE,
    CLASSES,
    COUNTED,
    ENTITIES,
    RUNS,
    TIMES,
    TYPES,
)
from reconciliation.measuring import SHARES, Spread, Times
from reconciliation.models import Discrepancy
from reconciliation.rolled import ACCOUNT, Question, Rolled, Scope
from reconciliation.sampling import Weights
from reconciliation.stretches import floor
from reconciliation.sums import Audits, ByType, Durations, Point, Runs, Sums

TICK: Final = timedelta(microseconds=1)
"""The smallest step of a time: a run that ended exactly at a window's start is outside of it."""
#: Whole seconds from the second to the first; greatest() alone would make 0 of what is not known.
_SECONDS: Final = (
    "CASE WHEN {0} > {1} THEN ceil(date_part('epoch', {0} - {1})) WHEN {0} <= {1} THEN 0 END"
)
_WHOLE: Final = (*TIMES, *CLASSES, *BY_TYPE, *AUDIT)
#: The places of these are known to `_detail` and `_sums`.
_EVERY: Final = (*_WHOLE, *RUNS, *COUNTED, "found", "gaps")


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """Of one account: runs and tallies of day and week, and of the window."""

    runs_day: Runs = field(default_factory=Runs)
    runs_week: Runs = field(default_factory=Runs)
    day: Tally = field(default_factory=Tally)
    week: Tally = field(default_factory=Tally)
    durations: Durations = field(default_factory=Durations)
    found: int = 0
    of_type: int = 0
    """Discrepancies of the type that was asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """Of one account, or of several together, over the window."""

    audits: Audits = field(default_factory=Audits)
    by_type: ByType = field(default_factory=dict)
    durations: Durations = field(default_factory=Durations)
    series: tuple[Point, ...] = ()


def of_accounts(
    scope: Scope, filters: FleetFilters, now: datetime, known: Rolled
) -> dict[int, Past]:
    """By our id; those of which nothing happened are missing."""
    begins = {length: now - length + TICK for length in (DAY, WEEK, filters.window.length)}
    edges = sorted(begins.values())
    names = [*RUNS, *COUNTED, *TIMES, "found"]
    if filters.type:
        names.append(BY_TYPE[[str(each) for each in TYPES].index(filters.type)])
    rows = rolled.ask(
        Question(names, (ACCOUNT, rolled.zone(edges[1:])), (*edges, now + TICK), scope), known
    )
    zones: dict[int, list[Sequence[int] | None]] = {}
    for account, zone, *sums in rows:
        zones.setdefault(account, [None] * len(edges))[zone] = sums
    places = {length: edges.index(at) for length, at in begins.items()}
    window = places[filters.window.length]
    return {
        account: _past(
            _added(found[places[DAY] :], len(names)),
            _added(found[places[WEEK] :], len(names)),
            _added(found[window:], len(names)),
        )
        for account, found in zones.items()
    }


def _added(sums: Sequence[Sequence[int] | None], number: int) -> list[int]:
    known = [each for each in sums if each is not None]
    return [sum(column) for column in zip(*known, strict=True)] if known else [0] * number


def _past(day: Sequence[int], week: Sequence[int], window: Sequence[int]) -> Past:
    return Past(
        runs_day=_runs(day),
        runs_week=_runs(week),
        day=_tally(day[4:8]),
        week=_tally(week[4:8]),
        durations=Durations(number=window[8], milliseconds=window[9]),
        found=window[10],
        of_type=window[11] if len(window) > 11 else 0,
    )


def figures(scope: Scope, now: datetime, known: Rolled) -> tuple[list[Figure], Audits]:
    """What was measured in the last 7 days, added up as `accuracy.measure` allows it, and what independent
    audits found in them."""
    begins = [now - length + TICK for length in (WEEK, DAY, HOUR)]
    keys = (rolled.step(24), rolled.zone(begins[1:]))
    found, audits = [], Audits()
    for day, zone, *sums in rolled.ask(
        Question((*BY_ENTITY, *AUDIT), keys, (*begins, now + TICK), scope), known
    ):
        audits += _audits(sums[len(BY_ENTITY) :])
        for place, entity in enumerate(ENTITIES):
            tally = _tally(sums[4 * place : 4 * place + 4])
            if tally != Tally():
                found.append(Figure(at=max(day, begins[zone]), entity=str(entity), tally=tally))
    return found, audits


def together(
    scope: Scope, window: Window, now: datetime, known: Rolled
) -> tuple[Detail, tuple[Point, ...]]:
    """Of all together, and a point for each step of the window (P22); where nothing happened, nothing is
    known."""
    hours = window.step // HOUR
    question = Question(_EVERY, (rolled.step(hours),), _edges(window, now), scope, hours)
    return _detailed({at: sums for at, *sums in rolled.ask(question, known)}, window, now)


def details(
    scope: Scope, window: Window, now: datetime, known: Rolled, *, series: bool
) -> dict[int, Detail]:
    """Of each account, by our id; those of which nothing happened are missing."""
    edges = _edges(window, now)
    if not series:
        rows = rolled.ask(Question(_WHOLE, (ACCOUNT,), edges, scope), known)
        return {account: _detail(sums) for account, *sums in rows}
    hours = window.step // HOUR
    question = Question(_EVERY, (ACCOUNT, rolled.step(hours)), edges, scope, hours)
    found: dict[int, dict[datetime, Sequence[Any]]] = {}
    for account, at, *sums in rolled.ask(question, known):
        found.setdefault(account, {})[at] = sums
    details = {}
    for account, steps in found.items():
        detail, points = _detailed(steps, window, now)
        details[account] = replace(detail, series=points)
    return details


def _edges(window: Window, now: datetime) -> tuple[datetime, datetime]:
    return now - window.length + TICK, now + TICK


def _detailed(
    steps: Mapping[datetime, Sequence[Any]], window: Window, now: datetime
) -> tuple[Detail, tuple[Point, ...]]:
    """What the steps come to, and each of them."""
    if not steps:
        return Detail(), _points({}, window, now)
    added = [sum(column) for column in zip(*steps.values(), strict=True)]
    return _detail(added), _points({at: _sums(sums) for at, sums in steps.items()}, window, now)


def audited(scope: Scope, now: datetime, known: Rolled) -> dict[int, Audits]:
    """What independent audits of the last 7 days found of each account, by our id."""
    edges = (now - WEEK + TICK, now + TICK)
    rows = rolled.ask(Question(AUDIT, (ACCOUNT,), edges, scope), known)
    return {account: _audits(sums) for account, *sums in rows}


def _audits(sums: Sequence[Any]) -> Audits:
    counts = [int(each) for each in sums[:6]]
    return Audits(
        audits=counts[0],
        sampled=counts[1],
        matched=counts[2],
        wrong=counts[3],
        in_flight=counts[4],
        unknown=counts[5],
        weights=Weights(total=sums[6], matched=sums[7], squares=sums[8], squares_wrong=sums[9]),
    )


def nothing(window: Window, now: datetime, *, series: bool) -> Detail:
    """Of an account of which nothing happened."""
    return Detail(series=_points({}, window, now) if series else ())


def times(scope: Scope, window: Window, now: datetime) -> Times:
    """To detect and to repair, of the discrepancies found within the window (R9.3), in whole seconds,
    rounded up: so they can be counted instead of sorted, which for a third of a million is quicker."""
    sql = f"""
        SELECT grouping(detect) = 0, coalesce(detect, repair), count(*) FROM (
            SELECT {_SECONDS.format("d.detected_at", "d.occurred_at")} AS detect,
                   {_SECONDS.format("d.repaired_at", "d.detected_at")} AS repair
            FROM {Discrepancy._meta.db_table} AS d
            WHERE d.detected_at > %(since)s AND d.detected_at <= %(until)s
              {"" if scope is None else "AND d.installation_id = ANY(%(scope)s::bigint[])"}
        ) AS took GROUP BY GROUPING SETS ((detect), (repair))
    """  # noqa: S608  (all names are ours)
    given: dict[str, Any] = {"since": now - window.length, "until": now}
    with connection.cursor() as cursor:
        cursor.execute(sql, given | {"scope": [] if scope is None else list(scope)})
        rows = cursor.fetchall()
    return Times(
        detect=_spread({took: number for is_detect, took, number in rows if is_detect}),
        repair=_spread({took: number for is_detect, took, number in rows if not is_detect}),
    )


def _spread(counted: dict[int | None, int]) -> Spread:
    """Nearest ranks, as everywhere."""
    unknown = counted.pop(None, 0)
    seconds = sorted((took, number) for took, number in counted.items() if took is not None)
    known = sum(number for _, number in seconds)
    found: list[float | None] = []
    for share in SHARES:
        rank = ceil(Fraction(str(share)) * known)
        for took, number in seconds:
            rank -= number
            if rank <= 0:
                found.append(float(took))
                break
        else:
            found.append(None)
    return Spread(p50=found[0], p95=found[1], p99=found[2], count=known, unknown=unknown)


def _points(found: Mapping[datetime, Sums], window: Window, now: datetime) -> tuple[Point, ...]:
    since, until = now - window.length + TICK, now + TICK
    at, points = floor(since, window.step // HOUR), []
    while at < until:
        end = at + window.step
        points.append(
            Point(since=max(at, since), until=min(end, until), sums=found.get(at, Sums()))
        )
        at = end
    return tuple(points)


def _sums(sums: Sequence[int]) -> Sums:
    """Of the sums in the order of `_EVERY`."""
    runs = len(_WHOLE)
    counted = runs + len(RUNS)
    found, gaps = sums[-2:]
    return Sums(
        runs=_runs(sums[runs:counted]),
        durations=Durations(
            number=sums[0],
            milliseconds=sums[1],
            classes=tuple(sums[2 : 2 + len(CLASSES)]) if sums[0] else (),
        ),
        tally=_tally(sums[counted : counted + len(COUNTED)]),
        found=found,
        gaps=gaps,
    )


def _detail(sums: Sequence[Any]) -> Detail:
    """Of the sums in the order of `_WHOLE`, whatever follows them."""
    classes, types = len(TIMES), len(TIMES) + len(CLASSES)
    audit = types + len(BY_TYPE)
    numbers = zip(TYPES, sums[types:audit], strict=True)
    by_type = {str(kind): number for kind, number in numbers if number}
    return Detail(
        audits=_audits(sums[audit : audit + len(AUDIT)]),
        by_type=dict(sorted(by_type.items(), key=lambda each: (-each[1], each[0]))),
        durations=Durations(
            number=sums[0],
            milliseconds=sums[1],
            classes=tuple(sums[classes:types]) if sums[0] else (),
        ),
    )


def _runs(sums: Sequence[int]) -> Runs:
    return Runs(succeeded=sums[0], partial=sums[1], failed=sums[2], cancelled=sums[3])


def _tally(sums: Sequence[int]) -> Tally:
    return Tally(compared=sums[0], matched=sums[1], vouched=sums[2], unknown=sums[3])
