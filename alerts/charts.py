"""Charts drawn on the server from real figures: a series becomes the geometry of an SVG (R18.5, P22).

Pure. What is not known is a gap in the line and a shaded stretch, never 0 and never 100 %; every chart
carries its figures as words and as the rows of a table too.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from math import ceil, floor, log10
from typing import Final

WIDTH: Final = 360
HEIGHT: Final = 150
LEFT: Final = 48
RIGHT: Final = 8
TOP: Final = 10
BOTTOM: Final = 22
SPARK_WIDTH: Final = 96
SPARK_HEIGHT: Final = 24
MARGIN: Final = 2.0

NOT_KNOWN: Final = "not known"
DAY: Final = timedelta(days=1)

Values = Sequence[float | None]
Say = Callable[[float], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a chart: a value for each of its times, None where nobody knows."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A word at an axis, and where it stands."""

    at: float
    text: str
    anchor: str = "middle"


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle; `text` says what it stands for."""

    x: float
    y: float
    width: float
    height: float
    text: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stroke:
    """How one line is drawn: a path through what is known, a dot for what is known alone."""

    name: str
    path: str
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One time of the table beside a chart."""

    label: str
    cells: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """Everything that a template draws, decided and worded."""

    title: str
    desc: str
    now: str
    strokes: tuple[Stroke, ...]
    bars: tuple[Box, ...]
    unknown: tuple[Box, ...]
    ys: tuple[Mark, ...]
    xs: tuple[Mark, ...]
    goal: Mark | None
    names: tuple[str, ...]
    rows: tuple[Row, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    base: int = HEIGHT - BOTTOM

    @property
    def middle(self) -> tuple[float, float]:
        """Where a word stands that is all there is to say."""
        return (self.left + self.right) / 2, (TOP + self.base) / 2

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is known."""
        return not self.bars and not any(each.path or each.dots for each in self.strokes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spark:
    """A line as small as a word; `text` says what it shows."""

    path: str
    dots: tuple[tuple[float, float], ...]
    text: str
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """The values of an axis from `low` to `high`, and those that are written beside it."""

    low: float
    high: float
    steps: tuple[float, ...]


def trend(
    *,
    title: str,
    times: Sequence[datetime],
    until: datetime,
    lines: Sequence[Line],
    say: Say,
    top: float | None = None,
    goal: float | None = None,
    whole: bool = False,
    bars: bool = False,
) -> Chart:
    """A chart of values over time; each of `times` lasts until the next one, the last until `until`.

    `top` bounds the axis (1 for shares) and then the axis begins where the values do, not at 0; else it
    begins at 0. `whole`: the values are counts, so is the axis. `bars`: the first line is drawn as bars.
    Where nothing is known the axis has no figures either: 100 % would be read as an answer.
    """
    known = [value for line in lines for value in line.values if value is not None]
    axis = _axis(known, top=top, goal=goal, whole=whole)
    edges = _edges(times, until)
    centres = [(start + end) / 2 for start, end in edges]
    labels = [_time(at, times) for at in times]
    values = lines[0].values if lines else ()

    def y(value: float) -> float:
        return _on(value, axis, TOP, HEIGHT - BOTTOM)

    return Chart(
        title=title,
        desc=describe(lines, labels, say),
        now=_last(values, say),
        strokes=() if bars else tuple(_stroke(line, centres, y) for line in lines),
        bars=_bars(values, edges, labels, y, say) if bars else (),
        unknown=tuple(_unknown(lines, edges)),
        ys=tuple(Mark(at=y(step), text=say(step)) for step in axis.steps) if known else (),
        xs=_time_marks(times, until),
        goal=Mark(at=y(goal), text=say(goal)) if known and goal is not None else None,
        names=tuple(line.name for line in lines),
        rows=_rows(lines, labels, say),
    )


def spark(values: Values, say: Say, what: str, *, top: float | None = None) -> Spark | None:
    """A small line of values at equal distances; None where nothing is known."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, high = min(known), max([*known, *([] if top is None else [top])])
    axis = Axis(low=low, high=high, steps=())
    step = (SPARK_WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    xs = [round(MARGIN + number * step, 1) for number in range(len(values))]
    drawn = _stroke(
        Line(name=what, values=tuple(values)),
        xs,
        lambda value: _on(value, axis, MARGIN, SPARK_HEIGHT - MARGIN),
    )
    missing = len(values) - len(known)
    text = f"{what}: lowest {say(low)}, highest {say(max(known))}, last {_last(values, say)}"
    return Spark(
        path=drawn.path,
        dots=drawn.dots,
        text=text + (f"; {missing} of {len(values)} not known" if missing else ""),
    )


def describe(lines: Sequence[Line], labels: Sequence[str], say: Say) -> str:
    """What a chart shows, for who cannot see it."""
    told = []
    for line in lines:
        known = [(value, at) for value, at in zip(line.values, labels, strict=True)
                 if value is not None]  # fmt: skip
        if not known:
            told.append(f"{line.name}: {NOT_KNOWN}.")
            continue
        low, high = min(known), max(known)
        missing = len(line.values) - len(known)
        told.append(
            f"{line.name}: lowest {say(low[0])} at {low[1]}, highest {say(high[0])} at {high[1]}, "
            f"last {_last(line.values, say)}"
            + (f"; not known {missing} times." if missing else ".")
        )
    return " ".join(told)


def _last(values: Values, say: Say) -> str:
    """The newest value, which may be unknown: an older one would be a lie."""
    if not values or values[-1] is None:
        return NOT_KNOWN
    return say(values[-1])


def _axis(known: Sequence[float], *, top: float | None, goal: float | None, whole: bool) -> Axis:
    """An axis with two to five round values that holds everything known, and the goal."""
    held = [*known, *([] if goal is None else [goal])]
    if top is not None:
        low, high = min([*held, top]), max([*held, top])
        if low == high:
            low = high * 0.9 if high else -1.0
        step = _round_step((high - low) / 3)
        first = max(floor(round(low / step, 6)), 0)
        last = ceil(round(high / step, 6))
    else:
        high = max([*held, 0.0])
        step = _round_step(high / 3) if high else 1.0
        if whole:
            step = float(max(1, ceil(step)))
        first, last = 0, max(ceil(round(high / step, 6)), 1)
    steps = tuple(round(number * step, 10) for number in range(first, last + 1))
    return Axis(low=steps[0], high=steps[-1], steps=steps)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is not below."""
    power: float = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _on(value: float, axis: Axis, top: float, base: float) -> float:
    """Where a value stands between `base` (the axis' low end) and `top`; a constant in the middle."""
    span = axis.high - axis.low
    share = (value - axis.low) / span if span else 0.5
    return round(base - share * (base - top), 1)


def _edges(times: Sequence[datetime], until: datetime) -> list[tuple[float, float]]:
    """From where to where each time reaches."""
    if not times:
        return []
    ends = [*times[1:], max(until, times[-1])]
    whole = (ends[-1] - times[0]).total_seconds() or 1.0
    room = WIDTH - RIGHT - LEFT

    def x(at: datetime) -> float:
        return round(LEFT + room * (at - times[0]).total_seconds() / whole, 1)

    return [(x(start), x(end)) for start, end in zip(times, ends, strict=True)]


def _stroke(line: Line, xs: Sequence[float], y: Callable[[float], float]) -> Stroke:
    """A path for each run of known values; one that stands alone would be no line, but is a dot."""
    paths, dots = [], []
    pairs = list(zip(xs, line.values, strict=True))
    for is_known, found in groupby(pairs, key=lambda pair: pair[1] is not None):
        if not is_known:
            continue
        points = [(x, y(value)) for x, value in found if value is not None]
        if len(points) == 1:
            dots += points
        else:
            paths.append("M" + "L".join(f"{x:g} {at:g}" for x, at in points))
    return Stroke(name=line.name, path="".join(paths), dots=tuple(dots))


def _bars(
    values: Values,
    edges: Sequence[tuple[float, float]],
    labels: Sequence[str],
    y: Callable[[float], float],
    say: Say,
) -> tuple[Box, ...]:
    """A bar for each known value; one of 0 is a hair, so that it differs from what is unknown."""
    drawn = []
    for value, (start, end), label in zip(values, edges, labels, strict=True):
        if value is None:
            continue
        gap = min(1.5, (end - start) / 5)
        head = min(y(value), HEIGHT - BOTTOM - 0.5)
        drawn.append(
            Box(
                x=round(start + gap / 2, 1),
                y=head,
                width=round(max(end - start - gap, 0.5), 1),
                height=round(HEIGHT - BOTTOM - head, 1),
                text=f"{label}: {say(value)}",
            )
        )
    return tuple(drawn)


def _unknown(lines: Sequence[Line], edges: Sequence[tuple[float, float]]) -> Iterable[Box]:
    """The stretches of which no line knows anything."""
    known = [any(line.values[number] is not None for line in lines) for number in range(len(edges))]
    for is_known, found in groupby(zip(known, edges, strict=True), key=lambda pair: pair[0]):
        if is_known:
            continue
        reach = [edge for _, edge in found]
        start, end = reach[0][0], reach[-1][1]
        yield Box(
            x=start, y=TOP, width=round(end - start, 1), height=HEIGHT - BOTTOM - TOP,
            text=NOT_KNOWN,
        )  # fmt: skip


def _time_marks(times: Sequence[datetime], until: datetime) -> tuple[Mark, ...]:
    """The first and the last time, and one between where there is room."""
    if not times:
        return ()
    end = max(until, times[-1])
    marks = [
        Mark(at=LEFT, text=_time(times[0], times), anchor="start"),
        Mark(at=WIDTH - RIGHT, text=_time(end, times), anchor="end"),
    ]
    return tuple(marks)


def _time(at: datetime, times: Sequence[datetime]) -> str:
    """A day where the times are days apart, else day and minute; in UTC."""
    at = at.astimezone(UTC)
    by_day = len(times) > 1 and times[1] - times[0] >= DAY
    return f"{at:%Y-%m-%d}" if by_day else f"{at:%b} {at.day} {at:%H:%M}"


def _rows(lines: Sequence[Line], labels: Sequence[str], say: Say) -> tuple[Row, ...]:
    """The table, the newest first."""
    columns = zip(*(line.values for line in lines), strict=True)
    rows = [
        Row(
            label=label,
            cells=tuple(NOT_KNOWN if value is None else say(value) for value in values),
        )
        for label, values in zip(labels, columns, strict=True)
    ]
    return tuple(reversed(rows))
