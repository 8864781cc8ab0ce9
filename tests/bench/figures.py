"""What the figures of a scenario become: tables, and goals that are judged. Pure.

Medians with the least and the greatest beside them; of several runs a goal counts the worst.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any, Final, NamedTuple, Protocol

Figures = dict[str, Any]
Runs = Mapping[str, Sequence[Figures]]


class Case(NamedTuple):
    """One measurement: what it is called, and the bare pass that it is compared with."""

    name: str
    against: str | None = None


class Goal(NamedTuple):
    """What was wanted of a scenario, and the worst that was measured."""

    work: str
    what: str
    bound: str
    measured: float

    @property
    def met(self) -> bool:
        """Whether the figure keeps its bound."""
        sign, limit = self.bound.split()
        if sign == ">=":
            return self.measured >= float(limit)
        return self.measured <= float(limit) if sign == "<=" else self.measured < float(limit)


class Table(NamedTuple):
    """A table with a title above and sentences below; its first columns are `words`."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    words: int = 1


class Options(NamedTuple):
    """How much is measured: latencies in milliseconds, `repositories` of the list; `quick`: a day
    instead of a week, and nothing large; `minutes` of the soak."""

    repositories: int
    repeats: int
    latencies: Sequence[int]
    quick: bool = False
    minutes: float = 20


class Scenario(Protocol):
    """What a module of a scenario offers; all but `measure` is pure."""

    @property
    def TITLE(self) -> str: ...  # noqa: N802  (a constant of the module)
    def measure(self, options: Options) -> Figures: ...
    def about(self, figures: Figures) -> str: ...
    def tables(self, figures: Figures) -> list[Table]: ...
    def goals(self, figures: Figures) -> list[Goal]: ...


def ratios(cases: Mapping[str, Case], runs: Runs) -> dict[str, float]:
    """Ours / bare, median by median."""
    wall = {case: median(run["wall_seconds"] for run in runs[case]) for case in cases}
    return {
        case: wall[case] / wall[known.against] for case, known in cases.items() if known.against
    }


def ours(cases: Iterable[str]) -> list[str]:
    """The cases that measure the product, and not the bare loop."""
    return [case for case in cases if case.startswith("ours")]


def worst(latencies: Mapping[str, Figures], cases: Iterable[str], name: str) -> float:
    """The greatest that any run of these cases came to, at whatever latency."""
    chosen = list(cases)
    return float(
        max(run[name] for each in latencies.values() for c in chosen for run in each["runs"][c])
    )


#: Heading -> the figure of a run that stands below it, as it is or as least..greatest.
COUNTS: Final = {
    "requests": "requests",
    "points": "points",
    "304s": "not_modified",
    "rows": "rows",
    "other rows": "other_rows",
    "SQL": "statements",
}


def runs_table(
    title: str,
    cases: Mapping[str, Case],
    figures: Figures,
    counts: Mapping[str, str] = COUNTS,
    notes: Sequence[str] = (),
) -> Table:
    """One row a case, of all that was measured at one latency."""
    rows: list[tuple[str, ...]] = []
    for case, known in cases.items():
        runs = figures["runs"][case]
        pick = _picker(runs)
        rows.append(
            (
                known.name,
                spread([run["wall_seconds"] for run in runs]),
                f"{figures['ratios'][case]:.2f}" if known.against else "",
                f"{median(run['cpu_seconds'] for run in runs):.2f}",
                *(pick(name) for name in counts.values()),
                f"{max(run['peak_mb'] for run in runs):.0f}",
                pick("differences"),
            )
        )
    headings = ("", "wall s", "ratio", "CPU s", *counts, "peak MB", "differences")
    return Table(title, headings, rows, notes)


def phases(cases: Mapping[str, Case], runs: Runs) -> str:
    """Where the time of our runs goes, as a sentence."""
    parts = []
    for case in ours(cases):
        seconds = [run["phases_seconds"] for run in runs[case]]
        words = ", ".join(
            f"{name} {median(each[name] for each in seconds):.2f}" for name in seconds[0]
        )
        parts.append(f"{cases[case].name}: {words}")
    return f"Seconds by phase (median) - {'; '.join(parts)}."


def kinds(cases: Mapping[str, Case], runs: Runs) -> str:
    """What the requests of each case's first run were, as a sentence."""
    parts = []
    for case, known in cases.items():
        counted = runs[case][0]["kinds"]
        parts.append(
            f"{known.name}: {', '.join(f'{count:,} {kind}' for kind, count in counted.items())}"
        )
    return f"Requests - {'; '.join(parts)}."


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; 0 of nothing."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float]) -> str:
    """The median, and beside it the least and the greatest where there are several."""
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def _picker(runs: Sequence[Figures]) -> Callable[[str], str]:
    def pick(name: str) -> str:
        values = sorted({run[name] for run in runs if run.get(name) is not None})
        if not values:
            return ""
        return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,}..{values[-1]:,}"

    return pick
