"""Accuracy over a simulated week, for each share of lost webhooks, with gap detection and without."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import fmean
from typing import Final

from tests.bench import stage
from tests.bench.figures import Figures, Goal, Options, Table, percentile

TITLE: Final = "Accuracy of a week"
LOSSES: Final = (0.0, 0.01, 0.05, 0.2, 1.0)
WEEK: Final = 7 * 24
DAY: Final = 24
AT_ONCE: Final = 2
MANY: Final = 0.2
"""When more is lost than this, redeliveries are lost as well, and little but the sync is left."""
TRUE_NOTE: Final = (
    "*Accuracy*: repositories, issues, pull requests and commits of which mirror and GitHub say the "
    "same in every compared field, among all that either of them has, averaged over the time; "
    "*lowest*: at its worst moment. It is taken whenever something happened and whenever the mirror "
    "was written. *To detect* and *to repair*: items that were wrong because a webhook was lost, from "
    "the change until the product first noted the loss or the difference, and until the item was "
    "right. Not in *to detect*: what became right before anybody noticed."
)
SAID_NOTE: Final = (
    "*Measured*: matched / compared of all runs of the week, weighted by items, before their repairs. "
    "*Lost, found*: webhooks that GitHub's log was found to have lost. *To detect*: from GitHub's time of "
    "the change, where it tells one; *to repair*: from there on."
)


def measure(options: Options) -> Figures:
    """Each week once: it is the same each time. Two at once, each in a database of its own."""
    hours = DAY if options.quick else WEEK
    cases = [(loss, detection) for loss in LOSSES for detection in (True, False)]
    # What takes longest first, so that none is left alone in the end.
    longest = sorted(cases, key=lambda case: (case[1], case[0]), reverse=True)

    def lived(case: tuple[float, bool], database: str) -> Figures:
        loss, detection = case
        word = "detection" if detection else "none"
        stage.say(f"accuracy: {loss:.0%} lost, gap detection: {word}")
        return stage.child("weeks", str(loss), word, str(hours), database=database)

    with ExitStack() as stack:
        databases = [stack.enter_context(stage.copy_of_database()) for _ in longest]
        with ThreadPoolExecutor(min(AT_ONCE, os.cpu_count() or 1)) as pool:
            found = dict(zip(longest, pool.map(lived, longest, databases), strict=True))
    return {"hours": hours, "weeks": [found[case] for case in cases]}


def about(figures: Figures) -> str:
    """What was simulated, and what the figures leave out."""
    weeks = figures["weeks"]
    days = figures["hours"] // 24
    happened = {each["happened"] for each in weeks}
    return (
        f"Simulated time, {'a week' if days == 7 else f'{days} day'} for each line, from a Monday on: one "
        f"organization of 12 repositories, {weeks[0]['items']} items in the end, {min(happened)} happenings "
        "at the hours of an office, a tenth of them at weekends; webhooks and API over HTTP, PostgreSQL. "
        "Of the lost webhooks a third each was answered with an error on the way, timed out, or was called "
        "delivered by GitHub's log and never arrived; redeliveries are lost as often. Those that arrive "
        "come up to ten seconds late. A sync of mode `incremental` every 15 minutes, GitHub's log read "
        "every minute (a reading that could find nothing new is counted and not made). Time moves in "
        "steps of five seconds, and a run takes none of it: seconds are right to five, and what a run "
        "itself takes comes on top."
    )


def tables(figures: Figures) -> list[Table]:
    """What was true, and what the product said of it."""
    weeks: Sequence[Figures] = figures["weeks"]
    return [
        Table(
            "What was true",
            (
                "webhooks lost", "gap detection", "lost / all", "accuracy %", "lowest %",
                "s to detect p50", "p99", "s to repair p50", "p99", "API requests", "wrong in the end",
            ),
            [_true(each) for each in weeks],
            [
                TRUE_NOTE,
                _told_note(weeks),
            ],
            words=2,
        ),
        Table(
            "What the product said",
            (
                "webhooks lost", "gap detection", "measured accuracy %", "items compared",
                "discrepancies", "s to detect p50", "p99", "s to repair p50", "p99", "lost, found",
                "gaps", "runs",
            ),
            [_said(each) for each in weeks],
            [SAID_NOTE],
            words=2,
        ),
    ]  # fmt: skip


def goals(figures: Figures) -> list[Goal]:
    """Of the service level, of the truth in the end, and of what the product says of itself."""
    weeks, work = figures["weeks"], "accuracy"
    detecting = [each for each in weeks if each["detection"]]
    lossless = [each for each in weeks if not each["loss"]]
    lossy = [each for each in weeks if each["loss"] and not each["detection"]]
    found = [
        Goal(work, "with gap detection, %", ">= 99.5", 100 * _least(detecting, "accuracy")),
        Goal(work, "without, %", ">= 99.5", 100 * _least(weeks, "accuracy")),
        Goal(work, "nothing lost, %", ">= 99.99", 100 * _least(lossless, "accuracy")),
        Goal(work, "fields that differ at the end", "<= 0", sum(e["differences"] for e in weeks)),
        Goal(
            work,
            "up to a fifth lost: time to repair with gap detection / without",
            "<= 0.5",
            _of_time_to_repair([each for each in detecting if each["loss"] <= MANY], lossy),
        ),
    ]
    measured = [each for each in weeks if each["measured"]["compared"]]
    if measured:
        said = [_share(each["measured"]) for each in lossless if each["measured"]["compared"]]
        found += [
            Goal(work, "nothing lost: measured, %", ">= 100", 100 * min(said, default=1.0)),
            Goal(
                work,
                "no gap detection: measured better than true, %",
                "<= 0",
                100 * max(_share(e["measured"]) - e["accuracy"] for e in lossy),
            ),
        ]
    return found


def _least(weeks: Sequence[Figures], name: str) -> float:
    return float(min(each[name] for each in weeks))


def _of_time_to_repair(detecting: Sequence[Figures], lossy: Sequence[Figures]) -> float:
    """Means of the seconds with gap detection by those without, of the worst share that is lost."""
    without = {each["loss"]: each["lost_repair_seconds"] for each in lossy}
    return max(
        (
            fmean(each["lost_repair_seconds"]) / fmean(without[each["loss"]])
            for each in detecting
            if each["loss"] and each["lost_repair_seconds"] and without.get(each["loss"])
        ),
        default=0.0,
    )


def _share(measured: Mapping[str, int]) -> float:
    return measured["matched"] / measured["compared"]


def _percent(share: float) -> str:
    return f"{100 * share:.4f}"


def _seconds(values: Sequence[float]) -> tuple[str, str]:
    if not values:
        return "-", "-"
    return f"{percentile(values, 0.5):,.0f}", f"{percentile(values, 0.99):,.0f}"


def _case(week: Figures) -> tuple[str, str]:
    return f"{week['loss']:.0%}", "yes" if week["detection"] else "no"


def _true(week: Figures) -> tuple[str, ...]:
    return (
        *_case(week),
        f"{week['lost']:,} / {week['events']:,}",
        _percent(week["accuracy"]),
        f"{100 * week['lowest']:.2f}",
        *_seconds(week["lost_detect_seconds"]),
        *_seconds(week["lost_repair_seconds"]),
        f"{week['requests']:,}",
        str(week["differences"]),
    )


def _said(week: Figures) -> tuple[str, ...]:
    measured = week["measured"]
    return (
        *_case(week),
        _percent(_share(measured)) if measured["compared"] else "-",
        f"{measured['compared']:,}",
        f"{week['discrepancies']:,}",
        *_seconds(week["discrepancy_detect_seconds"]),
        *_seconds(week["discrepancy_repair_seconds"]),
        f"{week['missed']:,}",
        f"{week['gaps']:,}",
        ", ".join(f"{count:,} {mode}" for mode, count in sorted(week["jobs_by_mode"].items())),
    )


def _told_note(weeks: Sequence[Figures]) -> str:
    told = [value for each in weeks for value in each["told_seconds"]]
    p50, p99 = _seconds(told)
    wall = [each["wall_seconds"] for each in weeks]
    processes = min(AT_ONCE, os.cpu_count() or 1)
    return (
        f"Items whose webhook arrived were wrong for {p50} s (p50) and {p99} s (p99). All lines took "
        f"{sum(wall):,.0f} s, {processes} of them at once, {max(wall):,.0f} s the longest."
    )
