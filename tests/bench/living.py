"""A long day in a process of its own: `python -m tests.bench.living storm|silent|week`.

Simulated time; only its length on this machine's clock depends on the machine.
"""

import json
import logging
import os
import sys
import time
from datetime import timedelta
from typing import Any, Final

import django
from django.db import connection

from tests.bench.probe import peak_mb


def storm() -> dict[str, Any]:
    """A busy and a quiet account from early morning to late evening, in the weather of the test."""
    from syncsvc.simulator.days import STRICT, Load  # noqa: PLC0415
    from tests.long_day import BUSY, MONDAY, QUIET, STORMY, Plan  # noqa: PLC0415

    return _lived(
        Plan(
            loads={BUSY: Load(per_day=1200), QUIET: Load(per_day=12, hours=STRICT)},
            repositories={BUSY: 40, QUIET: 6},
            begin=MONDAY + timedelta(hours=6),
            hours=14,
            weather=STORMY,
            outages=((3.5, 20), (8.0, 45)),
            rest_hours=1,
            step=60,
        )
    )


def silent() -> dict[str, Any]:
    """Some hours in which two of a hundred deliveries are in no log: nobody can know of them."""
    from syncsvc.simulator import Weather  # noqa: PLC0415
    from syncsvc.simulator.days import STRICT, Load  # noqa: PLC0415
    from tests.long_day import BUSY, QUIET, Plan  # noqa: PLC0415

    return _lived(
        Plan(
            loads={BUSY: Load(per_day=1000), QUIET: Load(per_day=12, hours=STRICT)},
            repositories={BUSY: 40, QUIET: 6},
            weather=Weather(silent_loss=0.02, duplicate=0.03, reorder=60),
            hours=12,
            rest_hours=1,
            step=60,
            beat=300,
            seed=2,
        )
    )


def week() -> dict[str, Any]:
    """A quiet account in fair weather for two weeks: the first teaches its rhythm."""
    from syncsvc.simulator.days import STRICT, Load  # noqa: PLC0415
    from tests.long_day import QUIET, Plan  # noqa: PLC0415

    return _lived(
        Plan(
            loads={QUIET: Load(per_day=16, hours=STRICT, weekend=0)},
            repositories={QUIET: 4},
            hours=14 * 24,
            rest_hours=0,
            step=60,
            beat=float("inf"),
        ),
        quiet=True,
    )


def _lived(plan: Any, *, quiet: bool = False) -> dict[str, Any]:
    from tests.long_day import long_day  # noqa: PLC0415
    from tests.support import sync  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE syncsvc_installation, syncsvc_delivery, syncsvc_hook CASCADE")
    cpu, wall = time.process_time(), time.perf_counter()
    with long_day(plan) as day:
        day.begin()
        (day.live_to_each_silence if quiet else day.live_through)()
        figures = day.figures() | {
            "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "unhealed": len(day.unhealed()),
            "different": day.different(),
        }
        for installation in day.installations:
            sync(installation, "cron", mode="incremental")
        figures["differences_after_sync"] = len(day.different())
    figures["differences"] = len(figures["different"])
    return figures | {"peak_mb": peak_mb()}


DAYS: Final = {"storm": storm, "silent": silent, "week": week}


def main(name: str) -> None:
    """Lives through one of the days, and prints what it was like."""
    django.setup()
    logging.disable(logging.WARNING)
    connection.settings_dict["NAME"] = os.environ["BENCH_DATABASE"]
    sys.stdout.write(json.dumps(DAYS[name]()) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
