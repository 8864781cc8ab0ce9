"""The long day: how soon what GitHub lost is found and healed, and what that costs."""

from collections.abc import Mapping
from typing import Any, Final

from tests.bench import stage
from tests.bench.figures import Figures, Goal, Options, Table, percentile

TITLE: Final = "The long day"
CASES: Final = {
    "storm": "a day of storm",
    "silent": "half a day, 2 % in no log",
    "week": "two quiet weeks",
}


def measure(options: Options) -> Figures:
    """Each day once: it is the same each time."""
    found = {}
    for name in CASES:
        stage.say(f"day: {name}")
        found[name] = stage.child("living", name)
    return {"days": found}


def about(figures: Figures) -> str:
    """What is compressed, and into how much."""
    seconds = sum(each["wall_seconds"] for each in figures["days"].values())
    return (
        f"Simulated time, compressed into {seconds:.0f} s; webhooks and API over HTTP, PostgreSQL. "
        "*Storm*: 4 % answered with an error or timed out, 2 % throttled (half of them for good), 2 % "
        "that GitHub calls delivered and that never arrived, 3 % twice, all late by up to a minute, our "
        "door shut for 20 and for 45 minutes; redeliveries have the same weather. *In no log*: nothing "
        "else is lost. There is no periodic sync. *Quiet*: 16 happenings on a working day, none at "
        "weekends, checked at the end of every silence."
    )


def tables(figures: Figures) -> list[Table]:
    """What was lost and healed, how soon, and at what cost."""
    days: Mapping[str, Figures] = figures["days"]
    return [
        Table(
            "What was lost, and how it was healed",
            (
                "", "events", "lost", "healed by", "unhealed", "gaps", "redeliveries",
                "fields that differ", "after the next sync",
            ),
            [_healed(CASES[name], each) for name, each in days.items()],
            [f"{CASES[n]}, lost: {_words(d['lost_by_kind'])}" for n, d in days.items() if d["lost"]],
        ),
        Table(
            "How soon, and at what cost",
            (
                "", "seconds to detect p50", "p99", "to repair p50", "p99", "requests",
                "runs", "wall s", "CPU s", "peak MB",
            ),
            [_cost(CASES[name], each) for name, each in days.items()],
            [f"{CASES[n]}, requests: {_words(d['requests_by_kind'])}" for n, d in days.items()],
        ),
    ]  # fmt: skip


def goals(figures: Figures) -> list[Goal]:
    """Of truth, healing and false alarms."""
    days, work = figures["days"], "long day"
    storm = days["storm"]
    return [
        Goal(work, "fields that differ at the end", "<= 0", storm["differences"]),
        Goal(work, "lost deliveries without their healing", "<= 0", storm["unhealed"]),
        Goal(work, "gaps that stay open", "<= 0", storm["gaps_open"]),
        Goal(work, "false gaps of a quiet account", "<= 0", days["week"]["gaps"]),
        Goal(
            work,
            "lost without a trace: fields that differ after a sync",
            "<= 0",
            days["silent"]["differences_after_sync"],
        ),
    ]


def _healed(name: str, day: Figures) -> tuple[str, ...]:
    lost = f"{day['lost']:,}"
    if day["lost_silently"]:
        lost += f" + {day['lost_silently']:,} in no log"
    return (
        name,
        f"{day['events']:,}",
        lost,
        _words(day["healed_by"]),
        str(day["unhealed"]),
        _words(day["gaps_by_reason"]) or "0",
        str(day["redeliveries"]),
        str(day["differences"]),
        str(day["differences_after_sync"]),
    )


def _cost(name: str, day: Figures) -> tuple[str, ...]:
    seconds = [
        f"{percentile(day[which], share):.0f}" if day[which] else ""
        for which in ("detect_seconds", "repair_seconds")
        for share in (0.5, 0.99)
    ]
    return (
        name,
        *seconds,
        f"{day['requests']:,}",
        _words(day["jobs_by_mode"]) or "0",
        f"{day['wall_seconds']:.0f}",
        f"{day['cpu_seconds']:.0f}",
        f"{day['peak_mb']:.0f}",
    )


def _words(counted: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(counted.items())
    )
