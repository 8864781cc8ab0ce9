"""A week in a process of its own: `python -m tests.bench.weeks LOSS detection|none HOURS`.

Simulated time. The truth is measured beside the product, which knows nothing of it; what the product
says of itself is read from its own tables afterwards.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import django
from django.db import connection

from tests.bench.probe import peak_mb

if TYPE_CHECKING:
    from tests.long_day import LongDay, Plan
    from tests.truth_meter import Meter, Wrong

REPOSITORIES: Final = 12
PER_DAY: Final = 80
"""On a working day; a tenth of it at weekends."""
RESYNC_MINUTES: Final = 15
STEP: Final = 5
LATE: Final = 10
REST_HOURS: Final = 2


def live(loss: float, *, detection: bool, hours: float) -> dict[str, Any]:
    """Lives through so many hours in which GitHub loses so great a share (0 to 1) of all webhooks."""
    from syncsvc.models import Hook  # noqa: PLC0415  (models need Django to be set up)
    from tests.long_day import long_day  # noqa: PLC0415
    from tests.truth_meter import Meter  # noqa: PLC0415

    cpu, wall = time.process_time(), time.perf_counter()
    with long_day(_plan(loss, detection=detection, hours=hours)) as day:
        day.begin()
        meter = Meter(day)
        day.live(day.now + 3600 * hours)
        figures: dict[str, Any] = {
            "accuracy": meter.accuracy(),
            "lowest": meter.lowest,
            "items": meter.items,
            "measured": _measured(day.now),
        }
        day.live(day.now + 3600 * REST_HOURS)
        figures |= day.figures() | _told(day, meter) | {"differences": len(day.different())}
        # A round that was skipped would have asked each hook's log for its first page.
        figures["requests"] += day.skipped_rounds * Hook.objects.count() if detection else 0
    return figures | {
        "loss": loss,
        "detection": detection,
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mb": peak_mb(),
    }


def _plan(loss: float, *, detection: bool, hours: float) -> "Plan":
    from syncsvc.simulator import Weather  # noqa: PLC0415
    from syncsvc.simulator.days import Load  # noqa: PLC0415
    from tests.long_day import BUSY, Plan  # noqa: PLC0415

    each = loss / 3
    return Plan(
        loads={BUSY: Load(per_day=PER_DAY)},
        repositories={BUSY: REPOSITORIES},
        hours=hours,
        weather=Weather(failed=each, loss=each, swallowed=each, reorder=LATE),
        step=STEP,
        prompt=True,
        idle_beat=900,
        gap_detection=detection,
        resync_minutes=RESYNC_MINUTES,
    )


def _measured(now: float) -> dict[str, int]:
    """What the runs of the last seven days measured, by the product's own figures."""
    from django.db.models import Sum  # noqa: PLC0415

    from reconciliation.models import RunFigure  # noqa: PLC0415

    since = datetime.fromtimestamp(now, UTC) - timedelta(days=7)
    rows = RunFigure.objects.filter(at__gt=since)
    found = rows.aggregate(compared=Sum("compared"), matched=Sum("matched"))
    return {name: int(found[name] or 0) for name in ("compared", "matched")}


def _told(day: "LongDay", meter: "Meter") -> dict[str, Any]:
    """How long items were wrong, apart for changes whose webhook was lost, and when each was noticed."""
    from reconciliation.models import Discrepancy  # noqa: PLC0415
    from syncsvc.models import MissedDelivery  # noqa: PLC0415

    lost = set(day.lost())
    wrong = meter.wrong()
    untold = [each for each in wrong if each.guids & lost]
    missed = {each.guid: each.detected_at.timestamp() for each in MissedDelivery.objects.all()}
    rows = list(Discrepancy.objects.all())
    noticed: dict[tuple[str, int, str], list[float]] = {}
    for row in rows:
        key = (row.entity, row.repository_github_id, row.item_key)
        noticed.setdefault(key, []).append(row.detected_at.timestamp())
    return {
        "told_seconds": [each.seconds for each in wrong if not each.guids & lost],
        "lost_repair_seconds": [each.seconds for each in untold],
        "lost_detect_seconds": list(_detected(untold, missed, noticed)),
        "never_right": sum(each.until is None for each in wrong),
        "discrepancies": len(rows),
        "discrepancy_detect_seconds": [
            (row.detected_at - row.occurred_at).total_seconds()
            for row in rows
            if row.occurred_at is not None
        ],
        "discrepancy_repair_seconds": [
            (row.repaired_at - row.detected_at).total_seconds()
            for row in rows
            if row.repaired_at is not None
        ],
    }


def _detected(
    wrong: Iterable["Wrong"],
    missed: Mapping[str, float],
    noticed: Mapping[tuple[str, int, str], Iterable[float]],
) -> Iterable[float]:
    """Seconds until the product noticed, by its own first note of the webhook or of the item; nothing
    of what became right before anybody noticed."""
    for each in wrong:
        entity, repository, key = each.item
        until = float("inf") if each.until is None else each.until
        notes = [missed[guid] for guid in each.guids if guid in missed]
        notes += noticed.get((entity, int(str(repository)), str(key)), [])
        times = [at - each.since for at in notes if each.since <= at <= until]
        if times:
            yield min(times)


def main(loss: str, detection: str, hours: str) -> None:
    """Lives, and prints what it was like."""
    django.setup()
    logging.disable(logging.WARNING)
    connection.settings_dict["NAME"] = os.environ["BENCH_DATABASE"]
    found = live(float(loss), detection=detection == "detection", hours=float(hours))
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
