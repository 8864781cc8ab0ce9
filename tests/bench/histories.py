"""Histories by chance: is every discrepancy explained, and does the mirror end right whatever happens?"""

import json
import logging
import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final

from tests.bench import stage
from tests.bench.figures import Figures, Goal, Options, Table

TITLE: Final = "Histories by chance"
HISTORIES: Final = int(os.environ.get("BENCH_HISTORIES", "200"))
STEPS: Final = 30
PROCESSES: Final = 2
COUNTED: Final = (
    "steps", "runs", "fields", "different", "wrong_deletions", "discrepancies", "untimed",
    "unexplained",
)  # fmt: skip


def measure(options: Options) -> Figures:
    """All histories, shared by a few processes, each with a database of its own."""
    began = time.perf_counter()
    with ThreadPoolExecutor(PROCESSES) as pool:
        parts = list(pool.map(_part, range(PROCESSES)))
    found = {name: sum(part[name] for part in parts) for name in ("histories", "broken", *COUNTED)}
    kinds: Counter[str] = Counter()
    for part in parts:
        kinds.update(part["by_type"])
    problems = [problem for part in parts for problem in part["problems"]]
    wall = time.perf_counter() - began
    return found | {"by_type": dict(kinds), "problems": problems, "wall_seconds": wall}


def _part(number: int) -> dict[str, Any]:
    stage.say(f"histories: part {number + 1} of {PROCESSES}")
    return stage.child("histories", str(number))


def about(figures: Figures) -> str:
    """What a history is, and what is checked of it."""
    return (
        f"{figures['histories']} lives of {STEPS} acts each on two accounts in {figures['wall_seconds']:.0f} s: "
        "GitHub changes (renames, swaps, transfers, deletions, selections, forced pushes), webhooks are "
        "lost, late, doubled and reordered; syncs of every mode, dry runs, killed workers, cancels, errors "
        "and limits of GitHub's, rows edited by hand. After each act, all of the mirror is compared with all of "
        "GitHub."
    )


def tables(figures: Figures) -> list[Table]:
    """What was compared and found."""
    shown = ("histories", *COUNTED)
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in sorted(figures["by_type"].items()))
    return [
        Table(
            "What was compared in the end, and found on the way",
            tuple(name.replace("_", " ") for name in shown),
            [tuple(f"{figures[name]:,}" for name in shown)],
            [f"Found: {kinds or 'nothing'}.", *figures["problems"]],
            words=0,
        )
    ]


def goals(figures: Figures) -> list[Goal]:
    """Nothing is different, deleted wrongly or without an explanation."""
    work = "histories"
    return [
        Goal(work, "fields that differ at the end", "<= 0", figures["different"]),
        Goal(work, "wrong deletions", "<= 0", figures["wrong_deletions"]),
        Goal(work, "discrepancies without an explanation", "<= 0", figures["unexplained"]),
        Goal(work, "histories in which something did not hold", "<= 0", figures["broken"]),
    ]


def main(number: int) -> None:
    """Lives through one part of the histories, and prints what they came to."""
    import django  # noqa: PLC0415  (in this process only)
    from django.db import connection  # noqa: PLC0415

    django.setup()
    logging.disable(logging.CRITICAL)
    name = f"{os.environ['BENCH_DATABASE']}_{number}"
    connection.settings_dict["TEST"]["NAME"] = name
    before = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        from tests.judge_support import random_history  # noqa: PLC0415  (after `setup`)

        told = [random_history(seed, STEPS) for seed in range(number, HISTORIES, PROCESSES)]
    finally:
        connection.creation.destroy_test_db(before, verbosity=0)
    kinds: Counter[str] = Counter()
    for each in told:
        kinds.update(each.found.by_type)
    counts = {key: sum(asdict(each.found)[key] for each in told) for key in COUNTED}
    problems = [f"Seed {each.seed}: {each.problem}"[:2000] for each in told if each.problem]
    figures = {"histories": len(told), "broken": len(problems), "by_type": kinds}
    sys.stdout.write("\n" + json.dumps(figures | counts | {"problems": problems}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]))
