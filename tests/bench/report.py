"""Figures -> what people read: a table on the terminal, the same table in docs/performance.md.

Medians with the least and the greatest beside them; goals are judged here and asserted nowhere.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

Figures = dict[str, Any]

#: Each measurement, what it is called, and the bare pass it is compared with.
CASES: Final = {
    "bare_first": ("bare loop, first pass", None),
    "ours_first": ("ours, first sync", "bare_first"),
    "bare_again": ("bare loop, nothing changed", None),
    "ours_again": ("ours, nothing changed", "bare_again"),
    "ours_changed": ("ours, 1 % changed", "bare_again"),
}
HEADINGS: Final = (
    "", "wall s", "ratio", "CPU s", "requests", "304s", "rows", "other rows", "SQL", "peak MB",
)  # fmt: skip
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def ratios(latency: Figures) -> dict[str, float]:
    """Ours / bare, median by median."""
    wall = {case: median(run["wall_seconds"] for run in latency["runs"][case]) for case in CASES}
    return {case: wall[case] / wall[bare] for case, (_, bare) in CASES.items() if bare}


def goals(results: Figures) -> list[tuple[str, str, float, bool]]:
    """Each goal: its name, its bound, the worst that was measured, and whether it is met."""
    latencies = results["latencies"].values()
    ours = [
        run for each in latencies for case in CASES for run in each["runs"][case] if "rows" in run
    ]
    measured = {
        ("first sync / bare loop", "<= 1.5"): max(
            each["ratios"]["ours_first"] for each in latencies
        ),
        ("nothing changed / bare loop", "<= 1.2"): max(
            each["ratios"]["ours_again"] for each in latencies
        ),
        ("API requests", "<= 102"): max(run["requests"] for run in ours),
        ("peak memory, MB", "< 300"): max(run["peak_mb"] for run in ours),
        ("simulator, pages/s", ">= 300"): max(each["pages_per_second"] for each in latencies),
    }
    return [(name, bound, value, _holds(value, bound)) for (name, bound), value in measured.items()]


def table(latency: Figures) -> list[tuple[str, ...]]:
    """One row a measurement, in the order of `HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for case, (name, bare) in CASES.items():
        runs = latency["runs"][case]
        pick = _picker(runs)
        rows.append(
            (
                name,
                _spread([run["wall_seconds"] for run in runs]),
                f"{latency['ratios'][case]:.2f}" if bare else "",
                f"{median(run['cpu_seconds'] for run in runs):.2f}",
                pick("requests"),
                pick("not_modified"),
                pick("rows"),
                pick("other_rows"),
                pick("statements"),
                f"{max(run['peak_mb'] for run in runs):.0f}",
            )
        )
    return rows


def as_text(results: Figures) -> str:
    """For the terminal."""
    parts = [_about(results)]
    for latency, figures in results["latencies"].items():
        rows = [HEADINGS, *table(figures)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        parts.append(f"\nlatency {latency} ms")
        parts += [
            "  ".join(
                cell.ljust(widths[0]) if not i else cell.rjust(widths[i])
                for i, cell in enumerate(row)
            )
            for row in rows
        ]
    parts.append("")
    parts += [
        f"{_word(met)}  {name} {bound}: {value:.4g}" for name, bound, value, met in goals(results)
    ]
    return "\n".join(parts)


def as_markdown(results: Figures) -> str:
    """For docs/performance.md."""
    lines = [_about(results)]
    for latency, figures in results["latencies"].items():
        lines += ["", f"### Latency {latency} ms", ""]
        lines += [_line(HEADINGS), _line(["---"] + ["---:"] * (len(HEADINGS) - 1))]
        lines += map(_line, table(figures))
        lines += ["", _phases(figures)]
    lines += [
        "",
        "### Goals",
        "",
        _line(["goal", "bound", "measured (worst)", ""]),
        "|---|---|---:|---|",
    ]
    lines += [
        _line([name, bound, f"{value:.4g}", _word(met)])
        for name, bound, value, met in goals(results)
    ]
    return "\n".join(lines)


def rewrite(page: Path, text: str) -> None:
    """Puts the text between the two markers of the page."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{page.name} lacks the markers {BEGIN} and {END}.")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _about(results: Figures) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured {results['measured_at']}: {results['repositories']:,} repositories, "
        f"{results['repeats']} repetitions, {machine['cpus']} CPUs ({machine['cpu']}), "
        f"{machine['system']}; {versions}."
    )


def _phases(figures: Figures) -> str:
    """Where the time of our first and of our second run goes."""
    parts = []
    for case in ("ours_first", "ours_again"):
        runs = [run["phases_seconds"] for run in figures["runs"][case]]
        phases = ", ".join(f"{name} {median(run[name] for run in runs):.2f}" for name in runs[0])
        parts.append(f"{CASES[case][0]}: {phases}")
    return f"Seconds by phase (median) - {'; '.join(parts)}."


def _picker(runs: Sequence[Figures]) -> Callable[[str], str]:
    def pick(name: str) -> str:
        values = sorted({run[name] for run in runs if name in run})
        if not values:
            return ""
        return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,}..{values[-1]:,}"

    return pick


def _spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f}..{max(values):.2f})"


def _holds(value: float, bound: str) -> bool:
    sign, limit = bound.split()
    if sign == ">=":
        return value >= float(limit)
    return value <= float(limit) if sign == "<=" else value < float(limit)


def _word(met: bool) -> str:
    return "met" if met else "MISSED"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
