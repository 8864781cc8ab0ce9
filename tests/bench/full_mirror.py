"""The full mirror of an account: list, overview, issues, pull requests, commits, daily metrics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Final

from tests.bench import stage, truth
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
from tests.bench.simulated import Simulated, Size, simulator

TITLE: Final = "The full mirror"
SIZE: Final = Size(repositories=180, issues=1_000, pull_requests=700, commits=180 * 30)
CASES: Final = {
    "bare_first": Case("bare loop, first pass"),
    "ours_first": Case("ours, first sync", "bare_first"),
    "bare_again": Case("bare loop, nothing changed"),
    "ours_again": Case("ours, nothing changed", "bare_again"),
    "ours_changed": Case("ours, 1 % changed", "bare_again"),
}
CHANGED: Final = 0.01
#: The latency, like GitHub's, at which the goal for time is judged.
REAL_MS: Final = "50"


def measure(options: Options) -> Figures:
    """All cases in turn, as often as asked."""
    return {
        "repeats": options.repeats,
        "latencies": {str(each): _measure(options.repeats, each) for each in options.latencies},
    }


def _measure(repeats: int, latency_ms: int) -> Figures:
    """Each time in a new world: what has just changed is read once more by the next run."""
    runs: dict[str, list[Figures]] = {case: [] for case in CASES}
    held, changed = {}, 0
    for number in range(repeats):
        stage.say(f"mirror: latency {latency_ms} ms, round {number + 1} of {repeats}")
        with simulator(SIZE.arguments, latency_ms) as simulated:
            held = simulated.prepare()
            runs["bare_first"].append(bare(simulated))
            runs["bare_again"].append(bare(simulated, runs["bare_first"][-1].pop("token")))
            runs["bare_again"][-1].pop("token")
            runs["ours_first"].append(sync(simulated, "first", "full"))
            runs["ours_again"].append(sync(simulated, "again", "incremental"))
            changed = simulated.work(CHANGED)
            runs["ours_changed"].append(sync(simulated, "again", "incremental"))
    return {"held": held, "changed": changed, "runs": runs, "ratios": ratios(CASES, runs)}


def bare(simulated: Simulated, token: str | None = None) -> Figures:
    """One pass of the bare loop, the first without a token; it must not have lost anything."""
    if token is None:
        stage.empty_twins()
    figures = stage.child("bare_mirror", *([token] if token else []))
    rows, held = stage.twin_rows(), simulated.prepare()
    found = (rows["bench_issue"], rows["bench_pullrequest"], rows["bench_commit"])
    if found != (held["issues"], held["pull_requests"], held["commits"]):
        raise SystemExit(f"The bare loop has {found} where GitHub has {held}.")
    return figures


def sync(simulated: Simulated, kind: str, mode: str) -> Figures:
    """One run of ours, and how far the mirror is from the truth after it."""
    figures = stage.child("ours", kind, mode)
    different = truth.everything(simulated)
    return figures | {
        "different": different,
        "differences": sum(different.values()),
    }


def verified(latencies: Mapping[str, Figures], cases: Iterable[str]) -> float:
    """The share of its seconds that a run verified: of the medians of all cases the greatest."""

    def share(runs: Sequence[Figures]) -> float:
        seconds = [run["phases_seconds"] for run in runs]
        return float(median(each["verify"] / each["total"] for each in seconds))

    chosen = list(cases)
    return max(share(each["runs"][case]) for each in latencies.values() for case in chosen)


def amount(figures: Figures) -> str:
    """How much the world held at the start."""
    held = next(iter(figures["latencies"].values()))["held"]
    return (
        f"{held['issues']:,} issues, {held['pull_requests']:,} pull requests, "
        f"{held['commits']:,} commits"
    )


def about(figures: Figures) -> str:
    """How much was measured."""
    changed = next(iter(figures["latencies"].values()))["changed"]
    return (
        f"{SIZE.repositories:,} repositories with {amount(figures)}; {figures['repeats']} "
        f"repetitions. *1 % changed*: in {changed} repositories an old issue was edited, one was "
        "opened, a pull request was opened, three commits were pushed."
    )


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
    """Of requests, points, time, silence and truth."""
    latencies = figures["latencies"]

    def most(name: str) -> Callable[[str], float]:
        return lambda case: worst(latencies, [case], name)

    requests, points, rows = most("requests"), most("points"), most("rows")
    work = "full mirror"
    found = [
        Goal(work, "first sync, requests", "<= 30", requests("ours_first")),
        Goal(work, "first sync, points", "<= 120", points("ours_first")),
        Goal(work, "nothing changed, requests", "<= 4", requests("ours_again")),
        Goal(work, "nothing changed, rows of the mirror", "<= 0", rows("ours_again")),
        Goal(work, "1 % changed, requests", "<= 8", requests("ours_changed")),
    ]
    if REAL_MS in latencies:
        ratio = latencies[REAL_MS]["ratios"]["ours_first"]
        found.append(Goal(work, f"first sync / bare loop, {REAL_MS} ms", "<= 0.5", ratio))
    mine = ours(CASES)
    return [
        *found,
        Goal(work, "verification, % of a run", "< 10", 100 * verified(latencies, mine)),
        Goal(work, "differences from the truth", "<= 0", worst(latencies, mine, "differences")),
    ]
