"""Writing alone, without GitHub: rows a second of our writer, of a bare COPY, of a bare upsert."""

import json
import os
import sys
from collections.abc import Sequence
from statistics import median
from typing import Final

from tests.bench import stage
from tests.bench.figures import Figures, Goal, Options, Table

TITLE: Final = "Writing"
ROWS: Final = 10_000
SPEEDS: Final = {
    "COPY": "copy",
    "upsert": "upsert",
    "ours": "ours",
    "upsert again": "upsert_again",
    "ours again": "ours_again",
}
RATIOS: Final = {
    "ours / COPY": "ours_to_copy",
    "ours / upsert": "ours_to_upsert",
    "ours / upsert, again": "ours_to_upsert_again",
}


def measure(options: Options) -> Figures:
    """Each time in a process of its own; what is shown and judged are the medians."""
    runs = []
    for number in range(options.repeats):
        stage.say(f"writes: round {number + 1} of {options.repeats}")
        runs.append(stage.child("writing", str(ROWS)))
    return {"rows": ROWS, "runs": runs, "entities": medians(runs)}


def medians(runs: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Of each entity's figures in all runs."""
    return {
        entity: {name: median(run[entity][name] for run in runs) for name in figures}
        for entity, figures in runs[0].items()
    }


def about(figures: Figures) -> str:
    """How much was measured."""
    return f"{figures['rows']:,} rows of each kind, medians of {len(figures['runs'])} repetitions."


def tables(figures: Figures) -> list[Table]:
    """Thousands of rows a second, by entity: of new rows, and of the same ones with a later time."""
    rows = [
        (
            entity.replace("_", " "),
            *(f"{each[name] / 1000:.1f}" for name in SPEEDS.values()),
            *(f"{each[name]:.2f}" for name in RATIOS.values()),
        )
        for entity, each in figures["entities"].items()
    ]
    return [Table("Thousands of rows a second", ("", *SPEEDS, *RATIOS), rows)]


def goals(figures: Figures) -> list[Goal]:
    """Ours / bare, of the entity in which ours is worst."""
    return [
        Goal(
            "writing",
            f"rows/s, {what}",
            ">= 0.5",
            min(e[name] for e in figures["entities"].values()),
        )
        for what, name in RATIOS.items()
    ]


def main(rows: int) -> None:
    """Measures in the benchmark's database."""
    import django  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    django.setup()
    connection.settings_dict["NAME"] = os.environ["BENCH_DATABASE"]
    from tests.bench import writes  # noqa: PLC0415  (models need Django to be set up)

    sys.stdout.write(json.dumps(writes.measure(rows)) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
