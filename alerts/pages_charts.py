"""The trends of the dashboard: what is drawn of a series of points, and in which words (R18.5, P22). Pure."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from alerts import charts
from alerts.charts import Chart, Line, Spark
from reconciliation.accuracy import SLO
from reconciliation.sums import Point, Sums
from syncsvc import words

Read = Callable[[Point], float | None]
PERFECT: Final = 1.0
MINUTE: Final = 60
HOUR: Final = 3_600
NEVER: Final = datetime.min.replace(tzinfo=UTC)
"""Where a chart without points ends; nothing is drawn of it."""


def share(value: float) -> str:
    """A share in percent, never rounded up; without zeros that say nothing."""
    return f"{words.percent(value).removesuffix(' %').rstrip('0').rstrip('.')} %"


def number(value: float) -> str:
    """A count."""
    return f"{round(value):,}"


def seconds(value: float) -> str:
    """How long something took, as short as an axis needs it."""
    if value < 10:
        return f"{value:.1f}".rstrip("0").rstrip(".") + " s"
    if value < 2 * MINUTE:
        return f"{value:.0f} s"
    if value < 2 * HOUR:
        return f"{value / MINUTE:.3g} min"
    return f"{value / HOUR:,.1f} h"


def trends(points: Sequence[Point]) -> list[Chart]:
    """All charts of the page, in the order in which they are looked at."""
    return [
        _chart("Accuracy", points, {"Accuracy": _accuracy}, share, top=PERFECT, goal=SLO),
        _chart("Runs that succeeded", points, {"Succeeded": _success}, share, top=PERFECT),
        _chart("Discrepancies found", points, {"Found": _found}, number, bars=True),
        _chart("Gaps opened", points, {"Opened": _gaps(points)}, number, bars=True),
        _chart("Time a run takes", points, {"Mean": _mean, "95 % at most": _p95}, seconds),
        _chart("Runs that ended", points, {"Ended": _runs(points)}, number, bars=True),
    ]


def spark(points: Sequence[Point]) -> Spark | None:
    """The accuracy of one account, as small as a word."""
    return charts.spark([point.accuracy for point in points], share, "Accuracy", top=PERFECT)


def _chart(
    title: str,
    points: Sequence[Point],
    lines: dict[str, Read],
    say: charts.Say,
    *,
    top: float | None = None,
    goal: float | None = None,
    bars: bool = False,
) -> Chart:
    return charts.trend(
        title=title,
        times=[point.since for point in points],
        until=points[-1].until if points else NEVER,
        lines=[
            Line(name=name, values=tuple(read(point) for point in points))
            for name, read in lines.items()
        ],
        say=say,
        top=top,
        goal=goal,
        whole=say is number,
        bars=bars,
    )


def _accuracy(point: Point) -> float | None:
    return point.accuracy


def _success(point: Point) -> float | None:
    return point.success_rate


def _mean(point: Point) -> float | None:
    return point.seconds_mean


def _p95(point: Point) -> float | None:
    return point.seconds_p95


def _found(point: Point) -> float | None:
    """Nothing found where nothing was compared is not known, not 0."""
    found = point.sums.found
    return float(found) if found or point.sums.tally.compared else None


def _gaps(points: Sequence[Point]) -> Read:
    """Gaps are looked for all the time from the first sign of life on; before it nobody looked."""
    return _from_the_first(points, lambda sums: sums.gaps)


def _runs(points: Sequence[Point]) -> Read:
    return _from_the_first(points, lambda sums: sums.runs.ended)


def _from_the_first(points: Sequence[Point], count: Callable[[Sums], int]) -> Read:
    first = next((point.since for point in points if point.sums != Sums()), None)
    return lambda point: None if first is None or point.since < first else float(count(point.sums))
