"""The full mirror of a large account, once at each latency: does cost grow no faster than content?"""

from typing import Final

from tests.bench import full_mirror, stage
from tests.bench.figures import (
    Case,
    Figures,
    Goal,
    Options,
    Table,
    kinds,
    ours,
    phases,
    ratios,
    runs_table,
    worst,
)
from tests.bench.simulated import Size, simulator

TITLE: Final = "The full mirror of a large account"
_REPOSITORIES: Final = 2_000
SIZE: Final = Size(
    repositories=_REPOSITORIES,
    issues=round(_REPOSITORIES * full_mirror.SIZE.issues / full_mirror.SIZE.repositories),
    pull_requests=round(
        _REPOSITORIES * full_mirror.SIZE.pull_requests / full_mirror.SIZE.repositories
    ),
    commits=_REPOSITORIES * 30,
)
CASES: Final = {
    "bare_first": Case("bare loop, first pass"),
    "ours_first": Case("ours, first sync", "bare_first"),
    "ours_again": Case("ours, nothing changed"),
}


def measure(options: Options) -> Figures:
    """Each case once: it is long enough to be no accident."""
    return {"latencies": {str(each): _measure(each) for each in options.latencies}}


def _measure(latency_ms: int) -> Figures:
    stage.say(f"large: latency {latency_ms} ms")
    with simulator(SIZE.arguments, latency_ms) as simulated:
        held = simulated.prepare()
        runs = {
            "bare_first": [full_mirror.bare(simulated)],
            "ours_first": [full_mirror.sync(simulated, "first", "full")],
            "ours_again": [full_mirror.sync(simulated, "again", "incremental")],
        }
    return {"held": held, "runs": runs, "ratios": ratios(CASES, runs)}


def about(figures: Figures) -> str:
    """How much was measured."""
    return f"{SIZE.repositories:,} repositories with {full_mirror.amount(figures)}; once."


def tables(figures: Figures) -> list[Table]:
    """One for each latency."""
    return [
        runs_table(
            f"Latency {latency} ms",
            CASES,
            each,
            notes=[kinds(CASES, each["runs"]), phases(CASES, each["runs"])],
        )
        for latency, each in figures["latencies"].items()
    ]


def goals(figures: Figures) -> list[Goal]:
    """Of requests, points, memory and truth."""
    latencies, first = figures["latencies"], ["ours_first"]
    work = "large account"
    return [
        Goal(work, "first sync, requests", "<= 320", worst(latencies, first, "requests")),
        Goal(work, "first sync, points", "<= 1300", worst(latencies, first, "points")),
        Goal(work, "peak memory, MB", "< 300", worst(latencies, ours(CASES), "peak_mb")),
        Goal(
            work,
            "differences from the truth",
            "<= 0",
            worst(latencies, ours(CASES), "differences"),
        ),
    ]
