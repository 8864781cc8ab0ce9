"""`python -m tests.bench`: the product against bare loops, side by side in one run.

Writes `bench.json` and prints tables and goals; asserts nothing, so it is no test.
"""

import json
import os
import platform
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench import report, stage
from tests.bench.figures import Options

PACKAGES = ("django", "psycopg", "requests", "orjson")


def main() -> None:
    """Measures, writes and prints."""
    given = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Told to end."))  # and end what was started
    options = Options(given.repos, given.repeats, given.latency, given.quick, given.minutes)
    usual = [name for name in report.SCENARIOS if name not in report.LONG]
    chosen = [given.only] if given.only else usual
    with stage.environment(), stage.server() as postgres:
        results: dict[str, Any] = {
            "measured_at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "machine": _machine(postgres),
            "scenarios": {},
        }
        for name in chosen:
            # A database for each: statistics that one scenario leaves would mislead the next.
            with stage.database():
                results["scenarios"][name] = report.SCENARIOS[name].measure(options)
            results["goals"] = [
                goal._asdict() | {"met": goal.met} for goal in report.goals(results)
            ]
            # Each as soon as it is there: the next one may fail, and minutes would be lost.
            given.output.write_text(json.dumps(results, indent=1) + "\n")
    sys.stdout.write(report.as_text(results) + "\n")
    if given.markdown:
        for page, text in report.pages(results).items():
            report.rewrite(stage.ROOT / "docs" / page, text)


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


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only", choices=list(report.SCENARIOS), help="one scenario instead of all"
    )
    parser.add_argument("--repos", type=int, default=10_000, help="how many the list of `list` has")
    parser.add_argument("--repeats", type=int, default=3, help="of `list` and `mirror`")
    parser.add_argument(
        "--latency", type=lambda text: [int(x) for x in text.split(",")], default=[0, 50],
        metavar="MS,MS", help="the simulator's delay before each answer",
    )  # fmt: skip
    parser.add_argument(
        "--minutes", type=float, default=20, help="of `soak`, which is only measured with --only"
    )
    parser.add_argument("--output", type=Path, default=stage.ROOT / "bench.json")
    parser.add_argument(
        "--quick", action="store_true", help="a day instead of a week, and nothing large: to try it"
    )
    parser.add_argument(
        "--markdown", action="store_true", help="also put the tables into the pages of docs/"
    )
    given = parser.parse_args()
    if given.markdown and given.quick:
        parser.error("--markdown shows figures that count: leave --quick out.")
    if given.markdown and given.only and given.only not in report.PAGES:
        parser.error(f"--markdown shows one run of everything: leave --only out ({given.only}).")
    return given


if __name__ == "__main__":
    main()
