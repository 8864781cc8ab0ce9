"""Soak: what grows while the product runs for long and all that happens is more of the same."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from tests.bench import soaking, stage
from tests.bench.figures import Figures, Goal, Options, Table

TITLE: Final = "Soak"
WARM_UP: Final = 300.0
"""Seconds: caches fill, and each process comes by all its code once."""
ACTIVITY: Final = 1.0
#: One row for each thing that is there, or for what goes on right now; nothing of what has been.
BOUNDED: Final = (
    "syncsvc_etagentry", "syncsvc_ratebudget", "syncsvc_installationtoken", "syncsvc_contentlist",
    "syncsvc_recheck", "syncsvc_process_heartbeat", "syncsvc_webhookstate", "syncsvc_hook",
    "syncsvc_installation", "syncsvc_deadletter", "django_celery_beat_periodictask",
    "django_celery_beat_periodictasks", "django_celery_beat_intervalschedule", "django_session",
)  # fmt: skip
#: These have so many rows for each repository of the world, which grows meanwhile.
A_REPOSITORY: Final = {"syncsvc_contentlist": 3}
NOTE: Final = (
    "RSS: what a service's processes have in memory; what leaks shows there. USS: what would be free without "
    "them; it also grows when a process touches a page that it has shared with its parent since the fork, "
    "which takes memory and is no leak. Both of all processes of a service together, after the warm-up; the "
    "slope is a straight line through all samples."
)


def measure(options: Options) -> Figures:
    """One soak of `options.minutes`."""
    base = Path(os.environ["SYNC_VAR_DIR"])
    with tempfile.TemporaryDirectory(prefix="soak-", dir=base) as folder:
        stage.say(f"soak: {options.minutes:g} minutes")
        samples = soaking.soak(options.minutes, Path(folder), ACTIVITY)
    return figures_of(samples, options.minutes)


def figures_of(samples: Sequence[soaking.Sample], minutes: float) -> Figures:
    """What the samples come to; all of them are kept as well."""
    warm = min(WARM_UP, minutes * 60 / 4)
    late = [each for each in samples if each["seconds"] >= warm]
    counted = [each for each in late if "tables" in each]
    names = sorted({name for each in late for name in each["services"]})
    return {
        "minutes": minutes,
        "warm_up_seconds": warm,
        "services": {name: _service(late, name) for name in names},
        "connections": {
            "most": max((sum(each["connections"].values()) for each in samples), default=0),
            "an_hour": slope(
                [(each["seconds"], float(sum(each["connections"].values()))) for each in late]
            ),
        },
        "tables": _tables(counted),
        "files": {
            name: {
                key: [each["files"][name][key] for each in (late[0], late[-1])]
                for key in ("count", "bytes")
            }
            for name in ("broker", "log")
        }
        if late
        else {},
        "jobs": counted[-1]["jobs"] if counted else {},
        "samples": list(samples),
    }


def slope(points: Sequence[tuple[float, float]]) -> float:
    """How much the second grows in an hour of the first (seconds), by least squares; 0 of one point."""
    if len(points) < 2:
        return 0.0
    x, y = fmean(p[0] for p in points), fmean(p[1] for p in points)
    spread = sum((p[0] - x) ** 2 for p in points)
    return 3600 * sum((p[0] - x) * (p[1] - y) for p in points) / spread if spread else 0.0


def _service(samples: Sequence[soaking.Sample], name: str) -> dict[str, float]:
    rows = [
        (each["seconds"], each["services"][name]) for each in samples if name in each["services"]
    ]
    third = max(len(rows) // 5, 1)
    found: dict[str, float] = {}
    for figure in ("uss_mb", "pss_mb", "rss_mb", "files", "threads"):
        values = [row[figure] for _, row in rows]
        found |= {
            f"{figure}_first": fmean(values[:third]),
            f"{figure}_last": fmean(values[-third:]),
            f"{figure}_an_hour": slope([(at, row[figure]) for at, row in rows]),
        }
    return found


def _tables(counted: Sequence[soaking.Sample]) -> dict[str, dict[str, float]]:
    if not counted:
        return {}
    first, last = counted[0]["tables"], counted[-1]["tables"]
    runs = sum(counted[-1]["jobs"].values()) - sum(counted[0]["jobs"].values())
    return {
        name: {
            "rows_first": first[name]["rows"],
            "rows_last": last[name]["rows"],
            "rows_a_run": (last[name]["rows"] - first[name]["rows"]) / max(runs, 1),
            "bytes_first": first[name]["bytes"],
            "bytes_last": last[name]["bytes"],
        }
        for name in last
        if name in first
    }


def about(figures: Figures) -> str:
    """What ran, and for how long."""
    jobs = sum(figures["jobs"].values())
    return (
        f"`manage.py serve` for {figures['minutes']:g} minutes: 2 web processes, 4 workers, beat and the embedded "
        f"PostgreSQL; an organization of {soaking.REPOSITORIES} repositories and a user, something happening on "
        f"GitHub every {ACTIVITY:g} s, webhooks on, a sync a minute, somebody who looks at five pages every ten "
        f"seconds. {jobs:,} runs. What is compared begins after {figures['warm_up_seconds'] / 60:.0f} minutes."
    )


def tables(figures: Figures) -> list[Table]:
    """Memory by service, rows by table, files."""
    services = [
        (
            name,
            *(f"{row[f'rss_mb_{when}']:.1f}" for when in ("first", "last", "an_hour")),
            *(f"{row[f'uss_mb_{when}']:.1f}" for when in ("first", "last")),
            *(f"{row[f'files_{when}']:.0f}" for when in ("first", "last")),
            *(f"{row[f'threads_{when}']:.0f}" for when in ("first", "last")),
        )
        for name, row in figures["services"].items()
        if row["rss_mb_last"]
    ]
    grown = [
        (
            name,
            f"{row['rows_first']:,}",
            f"{row['rows_last']:,}",
            f"{row['rows_a_run']:.2f}",
            f"{row['bytes_first'] / 1024:,.0f}",
            f"{row['bytes_last'] / 1024:,.0f}",
        )
        for name, row in figures["tables"].items()
        if row["rows_first"] != row["rows_last"] or name in BOUNDED
    ]
    connections = figures["connections"]
    files = "; ".join(
        f"{name}: {row['count'][0]} -> {row['count'][1]} files, "
        f"{row['bytes'][0] / 1024:,.0f} -> {row['bytes'][1] / 1024:,.0f} KB"
        for name, row in figures["files"].items()
    )
    return [
        Table(
            "Services",
            (
                "", "RSS MB", "at the end", "MB/h", "USS MB", "at the end",
                "files", "at the end", "threads", "at the end",
            ),
            services,
            [
                NOTE,
                (
                    f"Connections to PostgreSQL: {connections['most']} at most, "
                    f"{connections['an_hour']:+.1f} an hour. Folders: {files}."
                ),
            ],
        ),
        Table(
            "Tables",
            ("", "rows", "at the end", "a run", "KB", "at the end"),
            grown,
            ["Only those that grew or shrank, and those that may not grow."],
        ),
    ]  # fmt: skip


def goals(figures: Figures) -> list[Goal]:
    """Nothing grows that should not."""
    services = figures["services"].values()
    grown = [
        100 * (row["rss_mb_last"] / row["rss_mb_first"] - 1)
        for row in services
        if row["rss_mb_first"]
    ]
    files = [row["files_last"] - row["files_first"] for row in services]
    threads = [row["threads_last"] - row["threads_first"] for row in services]
    rows = [_beyond(figures["tables"], name) for name in BOUNDED if name in figures["tables"]]
    return [
        Goal("soak", "memory of a service grew, %", "<= 5", max(grown, default=0.0)),
        Goal("soak", "open files of a service grew", "<= 3", max(files, default=0.0)),
        Goal("soak", "threads of a service grew", "<= 3", max(threads, default=0.0)),
        Goal("soak", "connections to PostgreSQL", "<= 60", figures["connections"]["most"]),
        Goal(
            "soak",
            "rows a run that bounded tables grew",
            "<= 0.05",
            max(rows, default=0.0),
        ),
        Goal(
            "soak",
            "messages left with the broker",
            "<= 20",
            max((row["count"][1] for name, row in figures["files"].items() if name == "broker"), default=0),
        ),
    ]  # fmt: skip


def _beyond(found: Figures, name: str) -> float:
    """Rows a run that this table grew, beyond what new repositories have."""
    repositories = found["syncsvc_repository"]["rows_a_run"]
    return float(found[name]["rows_a_run"] - A_REPOSITORY.get(name, 0) * repositories)
