"""`python -m tests.bench`: the product against a bare loop, side by side in one run.

Writes `bench.json` and prints a table; judges nothing, so it is no test.
"""

import json
import os
import platform
import sys
import time
from argparse import ArgumentParser, Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import report, stage

PAGES = 400
CHANGED = 0.01
PACKAGES = ("django", "psycopg", "requests", "orjson")


def main() -> None:
    """Measures, writes and prints."""
    options = _options()
    with stage.environment(), stage.database() as postgres:
        results: dict[str, Any] = {
            "measured_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "repositories": options.repos,
            "repeats": options.repeats,
            "machine": _machine(postgres),
            "latencies": {str(each): _measure(options, each) for each in options.latency},
        }
    results["goals"] = [
        dict(zip(("goal", "bound", "measured", "met"), goal, strict=True))
        for goal in report.goals(results)
    ]
    options.output.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(report.as_text(results) + "\n")
    if options.markdown:
        report.rewrite(stage.ROOT / "docs" / "performance.md", report.as_markdown(results))


def _measure(options: Namespace, latency_ms: int) -> dict[str, Any]:
    """All cases in turn, as often as asked: what disturbs the machine disturbs all of them."""
    runs: dict[str, list[dict[str, Any]]] = {case: [] for case in report.CASES}
    token = ""
    with stage.simulator(options.repos, latency_ms) as simulated:
        for number in range(options.repeats):
            _say(f"latency {latency_ms} ms, round {number + 1} of {options.repeats}")
            stage.empty_bare_table()
            runs["bare_first"].append(stage.child("bare"))
            token = runs["bare_first"][-1].pop("token")
            runs["bare_again"].append(stage.child("bare", token))
            runs["bare_again"][-1].pop("token")
            for case in ("ours_first", "ours_again", "ours_changed"):
                if case == "ours_changed":
                    simulated.change(CHANGED)
                runs[case].append(stage.child("ours", "first" if case == "ours_first" else "again"))
                if wrong := stage.differences(simulated):
                    raise SystemExit(f"{case}: {wrong} repositories are not what GitHub says.")
        pages = simulated.pages_per_second(token, PAGES)
    figures: dict[str, Any] = {"runs": runs, "pages_per_second": pages}
    return figures | {"ratios": report.ratios(figures)}


def _machine(postgres: str) -> dict[str, Any]:
    versions = {"Python": platform.python_version(), "PostgreSQL": postgres.split(maxsplit=1)[0]}
    return {
        "cpus": os.cpu_count(),
        "cpu": _cpu(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions | {name: version(name) for name in PACKAGES},
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--repos", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--latency", type=lambda text: [int(x) for x in text.split(",")], default=[0, 50],
        metavar="MS,MS", help="the simulator's delay before each answer",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=stage.ROOT / "bench.json")
    parser.add_argument(
        "--markdown", action="store_true", help="also put the tables into docs/performance.md"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
