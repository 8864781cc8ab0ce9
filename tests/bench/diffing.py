"""Comparing alone, without GitHub: what 1 % of changes costs, and what ten times as many repositories do."""

import json
import os
import sys
from collections.abc import Sequence
from statistics import median
from typing import Final

from tests.bench import stage
from tests.bench.figures import Figures, Goal, Options, Table, spread

TITLE: Final = "Comparing and repairing"
SIZES: Final = {1_000: 10, 10_000: 5, 100_000: 2}
"""Repositories -> how often."""
JUDGED: Final = 10_000


def measure(options: Options) -> Figures:
    """Each size in a process of its own."""
    sizes = {size: n for size, n in SIZES.items() if size <= JUDGED or not options.quick}
    found = {}
    for size, repeats in sizes.items():
        stage.say(f"diff: {size:,} repositories")
        found[str(size)] = stage.child("diffing", str(size), str(repeats))
    return {"sizes": found}


def about(figures: Figures) -> str:
    """How it was measured."""
    times = ", ".join(f"{len(f['unchanged'])} times" for f in figures["sizes"].values())
    return (
        "Generated lists of repositories, no GitHub: reading the mirror, comparing, writing and noting "
        "discrepancies in batches of 2,000, as a run does; medians. Beside it, in turn, batch by "
        "batch, the least that can be done: one binary `SELECT` of the same rows and a comparison of "
        f"tuples, without a write. The sizes were measured {times}."
    )


def tables(figures: Figures) -> list[Table]:
    """Seconds, microseconds for each repository, and ratios."""
    rows = []
    for size, each in figures["sizes"].items():
        same, some = _ours(each["unchanged"]), _ours(each["changed"])
        rows.append(
            (
                f"{int(size):,}",
                f"{each['first']['ours']:.3f}",
                spread(same),
                spread(some),
                f"{median(some) / median(same):.2f}",
                f"{1e6 * median(same) / int(size):.1f}",
                f"{1e6 * median(some) / int(size):.1f}",
                f"{median(_bare(each['unchanged'])):.3f}",
                f"{median(same) / median(_bare(each['unchanged'])):.2f}",
                f"{median(run['written'] for run in each['changed']):,.0f}",
            )
        )
    return [
        Table(
            "Seconds, by the number of repositories",
            (
                "repositories", "all new", "nothing changed", "1 % changed", "changed / not",
                "µs each, not", "µs each, changed", "bare", "ours / bare", "rows written",
            ),
            rows,
        )
    ]  # fmt: skip


def goals(figures: Figures) -> list[Goal]:
    """Of what changes cost, and of growth."""
    sizes = figures["sizes"]
    judged = sizes[str(JUDGED)]
    found = [
        Goal(
            "comparing",
            "1 % changed / nothing changed",
            "<= 2",
            median(_ours(judged["changed"])) / median(_ours(judged["unchanged"])),
        )
    ]
    largest = max(map(int, sizes))
    if largest > JUDGED:
        for kind, word in (("unchanged", "nothing changed"), ("changed", "1 % changed")):
            each = {
                size: median(_ours(sizes[str(size)][kind])) / size for size in (JUDGED, largest)
            }
            found.append(
                Goal(
                    "comparing",
                    f"{word}: time for each, {largest:,} / {JUDGED:,}",
                    "<= 1.5",
                    each[largest] / each[JUDGED],
                )
            )
    return found


def _ours(passes: Sequence[Figures]) -> list[float]:
    return [each["ours"] for each in passes]


def _bare(passes: Sequence[Figures]) -> list[float]:
    return [each["bare"] for each in passes]


def main(repositories: int, repeats: int) -> None:
    """Measures in the benchmark's database."""
    import logging  # noqa: PLC0415

    import django  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    django.setup()
    logging.disable(logging.WARNING)
    connection.settings_dict["NAME"] = os.environ["BENCH_DATABASE"]
    from tests.bench import diffs  # noqa: PLC0415  (models need Django to be set up)

    sys.stdout.write(json.dumps(diffs.measure(repositories, repeats)) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
