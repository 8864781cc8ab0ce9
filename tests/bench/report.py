"""Figures -> what people read: tables on the terminal, the same tables in docs/performance.md.

Goals are judged here and asserted nowhere.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.bench import (
    accuracy,
    diffing,
    fleet,
    full_mirror,
    histories,
    large_mirror,
    long_day,
    repository_list,
    soak,
    webhooks,
    workers,
    writing,
)
from tests.bench.figures import Figures, Goal, Scenario, Table

#: In this order they are measured and shown.
SCENARIOS: Final[dict[str, Scenario]] = {
    "list": repository_list,
    "mirror": full_mirror,
    "large": large_mirror,
    "writes": writing,
    "diff": diffing,
    "webhooks": webhooks,
    "day": long_day,
    "accuracy": accuracy,
    "histories": histories,
    "workers": workers,
    "fleet": fleet,
    "soak": soak,
}
#: Only measured when they are named: what they measure is how long they take.
LONG: Final = frozenset({"soak"})
#: Of everything that was measured at once, and of scenarios that have a page of their own.
PAGE: Final = "performance.md"
PAGES: Final[dict[str, str]] = {"accuracy": "accuracy.md"}
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
GOALS: Final = ("work", "goal", "bound", "measured (worst)", "")


def goals(results: Figures, names: Iterable[str] | None = None) -> list[Goal]:
    """The goals of these scenarios, or of everything that was measured."""
    measured = results["scenarios"]
    return [
        goal
        for name in (measured if names is None else names)
        for goal in SCENARIOS[name].goals(measured[name])
    ]


def as_text(results: Figures) -> str:
    """For the terminal."""
    parts = [_machine(results)]
    for name, figures in results["scenarios"].items():
        scenario = SCENARIOS[name]
        parts += ["", f"== {scenario.TITLE}: {scenario.about(figures)}"]
        for table in scenario.tables(figures):
            parts += ["", table.title, *_aligned(table), *table.notes]
    parts += ["", *_aligned(_goal_table(goals(results)))]
    return "\n".join(parts)


def pages(results: Figures) -> dict[str, str]:
    """The name of each page of docs/ -> what stands there between the markers: a scenario that has a
    page of its own stands there alone."""
    found: dict[str, list[str]] = {}
    for name in results["scenarios"]:
        found.setdefault(PAGES.get(name, PAGE), []).append(name)
    return {page: as_markdown(results, names) for page, names in found.items()}


def as_markdown(results: Figures, names: Sequence[str] | None = None) -> str:
    """These scenarios, or all of them, for a page of docs/."""
    chosen = list(results["scenarios"]) if names is None else names
    parts = [_machine(results), "", "### Goals", "", *_lines(_goal_table(goals(results, chosen)))]
    for name in chosen:
        scenario, figures = SCENARIOS[name], results["scenarios"][name]
        parts += ["", f"### {scenario.TITLE}", "", scenario.about(figures)]
        for table in scenario.tables(figures):
            parts += ["", f"**{table.title}**", "", *_lines(table)]
            for note in table.notes:
                parts += ["", note]
    return "\n".join(parts)


def rewrite(page: Path, text: str) -> None:
    """Puts the text between the two markers of the page."""
    if not page.exists():
        raise SystemExit(f"There is no {page.name} to put the figures into.")
    before, _, rest = page.read_text().partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise SystemExit(f"{page.name} lacks the markers {BEGIN} and {END}.")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def _goal_table(found: Iterable[Goal]) -> Table:
    return Table("Goals", GOALS, [_judged(goal) for goal in found], words=2)


def _judged(goal: Goal) -> tuple[str, ...]:
    verdict = "met" if goal.met else "MISSED"
    return goal.work, goal.what, goal.bound, f"{goal.measured:,.4g}", verdict


def _machine(results: Figures) -> str:
    machine = results["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured {results['measured_at']}: {machine['cpus']} CPUs ({machine['cpu']}), "
        f"{machine['system']}; {versions}."
    )


def _aligned(table: Table) -> list[str]:
    rows = (table.headings, *table.rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if place < table.words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _lines(table: Table) -> list[str]:
    rule = ["---"] * table.words + ["---:"] * (len(table.headings) - table.words)
    return [f"| {' | '.join(cells)} |" for cells in (table.headings, rule, *table.rows)]
