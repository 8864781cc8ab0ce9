"""The repository list alone: pages of a hundred, compared and written, against a bare loop."""

from typing import Any, Final

from tests.bench import stage, truth
from tests.bench.figures import (
    Case,
    Figures,
    Goal,
    Options,
    Table,
    ours,
    phases,
    ratios,
    runs_table,
    worst,
)
from tests.bench.simulated import Simulated, simulator

TITLE: Final = "The repository list"
CASES: Final = {
    "bare_first": Case("bare loop, first pass"),
    "ours_first": Case("ours, first sync", "bare_first"),
    "bare_again": Case("bare loop, nothing changed"),
    "ours_again": Case("ours, nothing changed", "bare_again"),
    "ours_changed": Case("ours, 1 % changed", "bare_again"),
}
COUNTS: Final = {
    "requests": "requests",
    "304s": "not_modified",
    "rows": "rows",
    "other rows": "other_rows",
    "SQL": "statements",
}
PAGES: Final = 400
CHANGED: Final = 0.01


def measure(options: Options) -> Figures:
    """All cases in turn, as often as asked: what disturbs the machine disturbs all of them."""
    return {
        "repositories": options.repositories,
        "repeats": options.repeats,
        "latencies": {str(each): _measure(options, each) for each in options.latencies},
    }


def _measure(options: Options, latency_ms: int) -> Figures:
    runs: dict[str, list[Figures]] = {case: [] for case in CASES}
    token = ""
    with simulator(["--repos", str(options.repositories)], latency_ms) as simulated:
        for number in range(options.repeats):
            stage.say(f"list: latency {latency_ms} ms, round {number + 1} of {options.repeats}")
            stage.empty_twins()
            runs["bare_first"].append(stage.child("bare"))
            token = runs["bare_first"][-1].pop("token")
            runs["bare_again"].append(stage.child("bare", token))
            runs["bare_again"][-1].pop("token")
            runs["ours_first"].append(_ours(simulated, "first"))
            runs["ours_again"].append(_ours(simulated, "again"))
            simulated.star(CHANGED)
            runs["ours_changed"].append(_ours(simulated, "again"))
        pages = simulated.pages_per_second(token, PAGES)
    return {"runs": runs, "pages_per_second": pages, "ratios": ratios(CASES, runs)}


def _ours(simulated: Simulated, kind: str) -> dict[str, Any]:
    figures = stage.child("ours", kind, "reconcile")
    return figures | {"differences": truth.repositories(simulated)}


def about(figures: Figures) -> str:
    """How much was measured."""
    return f"{figures['repositories']:,} repositories, {figures['repeats']} repetitions."


def tables(figures: Figures) -> list[Table]:
    """One for each latency."""
    return [
        runs_table(f"Latency {latency} ms", CASES, each, COUNTS, [phases(CASES, each["runs"])])
        for latency, each in figures["latencies"].items()
    ]


def goals(figures: Figures) -> list[Goal]:
    """Meant for 10,000 repositories."""
    latencies = figures["latencies"]
    mine = ours(CASES)
    first = max(each["ratios"]["ours_first"] for each in latencies.values())
    again = max(each["ratios"]["ours_again"] for each in latencies.values())
    served = max(each["pages_per_second"] for each in latencies.values())
    work = "repository list"
    return [
        Goal(work, "first sync / bare loop", "<= 1.5", first),
        Goal(work, "nothing changed / bare loop", "<= 1.2", again),
        Goal(work, "requests", "<= 102", worst(latencies, mine, "requests")),
        Goal(work, "peak memory, MB", "< 300", worst(latencies, mine, "peak_mb")),
        Goal(work, "differences from the truth", "<= 0", worst(latencies, mine, "differences")),
        Goal(work, "simulator, pages/s", ">= 300", served),
    ]
