"""What becomes of the figures that the benchmark measured: ratios, goals, tables, a page."""

from pathlib import Path
from typing import Any

import pytest

from tests.bench import full_mirror, large_mirror, long_day, report, repository_list, writing
from tests.bench.figures import Case, Figures, Goal, phases, ratios, spread, worst

PHASES = {"fetch": 0.5, "compare": 0.1, "update": 0.2, "verify": 0.05, "total": 1.0}

WRITING = {
    "ours": 6000.0,
    "copy": 10_000.0,
    "upsert": 8000.0,
    "ours_again": 4000.0,
    "upsert_again": 5000.0,
    "ours_to_copy": 0.6,
    "ours_to_upsert": 0.75,
    "ours_to_upsert_again": 0.8,
}


def run(wall: float = 1.0, **more: Any) -> Figures:
    """One measurement, as a child reports it."""
    return {
        "wall_seconds": wall,
        "cpu_seconds": 0.5,
        "peak_mb": 100.4,
        "requests": 723,
        "points": 0,
        "kinds": {"issues": 180, "token": 1},
        **more,
    }


def mine(wall: float = 1.0, **more: Any) -> Figures:
    """One measurement of ours."""
    figures = {
        "requests": 4,
        "not_modified": 2,
        "rows": 0,
        "other_rows": 3,
        "statements": 20,
        "differences": 0,
        "phases_seconds": PHASES,
    }
    return run(wall, **figures | more)


def latency(cases: dict[str, Case], **changed: Figures) -> Figures:
    """All cases twice, ours in half the time; `changed` are the second runs of some."""
    runs = {
        case: [mine(1.0), changed.get(case, mine(1.0))]
        if case.startswith("ours")
        else [run(2.0), run(2.0)]
        for case in cases
    }
    held = {"issues": 1000, "pull_requests": 700, "commits": 5400}
    return {
        "runs": runs,
        "ratios": ratios(cases, runs),
        "pages_per_second": 900.0,
        "held": held,
        "changed": 2,
    }


def mirrored(**changed: Figures) -> Figures:
    """The figures of the full mirror at both latencies, the changed ones at the second."""
    cases = full_mirror.CASES
    return {
        "repeats": 2,
        "latencies": {"0": latency(cases), "50": latency(cases, **changed)},
    }


def by_name(goals: list[Goal]) -> dict[str, Goal]:
    return {goal.what: goal for goal in goals}


def test_a_ratio_is_of_medians() -> None:
    cases = {"bare": Case("bare"), "ours": Case("ours", "bare")}
    runs = {"bare": [run(2), run(4), run(90)], "ours": [run(1), run(1), run(50)]}
    assert ratios(cases, runs) == {"ours": 0.25}


def test_the_worst_is_the_greatest_of_all_latencies_and_runs() -> None:
    figures = mirrored(ours_again=mine(requests=9))
    assert worst(figures["latencies"], ["ours_first", "ours_again"], "requests") == 9
    assert worst(figures["latencies"], ["ours_first"], "requests") == 4


@pytest.mark.parametrize(
    ("bound", "measured", "met"),
    [
        ("<= 30", 30, True),
        ("<= 30", 31, False),
        ("< 300", 300, False),
        ("< 300", 299.9, True),
        (">= 0.5", 0.5, True),
        (">= 0.5", 0.49, False),
    ],
)
def test_goals_are_judged_by_their_bound(bound: str, measured: float, met: bool) -> None:
    assert Goal("work", "what", bound, measured).met is met


def test_a_mirror_that_wrote_differs_or_asked_too_much_misses_its_goals() -> None:
    bad = mine(requests=5, rows=1, differences=2, phases_seconds=PHASES | {"verify": 0.35})
    goals = by_name(full_mirror.goals(mirrored(ours_again=bad)))
    missed = {name for name, goal in goals.items() if not goal.met}
    assert missed == {
        "nothing changed, requests",
        "nothing changed, rows of the mirror",
        "verification, % of a run",
        "differences from the truth",
    }
    assert goals["verification, % of a run"].measured == pytest.approx(20)
    assert all(goal.met for goal in full_mirror.goals(mirrored()))


def test_time_is_judged_at_the_latency_of_the_real_one_only() -> None:
    figures = mirrored()
    assert "first sync / bare loop, 50 ms" in by_name(full_mirror.goals(figures))
    del figures["latencies"]["50"]
    assert "first sync / bare loop, 50 ms" not in by_name(full_mirror.goals(figures))


def test_the_large_world_has_the_averages_of_the_small_one() -> None:
    small, large = full_mirror.SIZE, large_mirror.SIZE
    assert large.issues / large.repositories == pytest.approx(1000 / 180, rel=1e-3)
    assert large.pull_requests / large.repositories == pytest.approx(700 / 180, rel=1e-3)
    assert large.commits / large.repositories == small.commits / small.repositories == 30
    assert small.arguments == [
        "--repos", "180", "--issues", "5.555556", "--pull-requests", "3.888889",
        "--commits", "30.000000",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "shown"), [([1.234], "1.23"), ([1.0, 3.0, 2.0], "2.00 (1.00..3.00)")]
)
def test_a_spread_names_the_least_and_the_greatest(values: list[float], shown: str) -> None:
    assert spread(values) == shown


def test_phases_are_told_of_our_runs_only() -> None:
    cases = {"bare_first": Case("bare"), "ours_first": Case("ours", "bare_first")}
    text = phases(cases, latency(cases)["runs"])
    assert text.count("ours: fetch 0.50, compare 0.10") == 1
    assert "bare" not in text


def test_writing_is_judged_by_the_entity_that_is_worst() -> None:
    slow = WRITING | {"ours_to_copy": 0.4}
    goals = writing.goals({"entities": {"issues": WRITING, "commits": slow}})
    assert [goal.met for goal in goals] == [False, True, True]
    assert goals[0].measured == 0.4


def test_writing_is_told_in_medians() -> None:
    runs = [{"issues": {"ours": speed}} for speed in (5.0, 100.0, 7.0)]
    assert writing.medians(runs) == {"issues": {"ours": 7.0}}


def lived(**changed: Any) -> Figures:
    """A long day's figures, as its child reports them."""
    figures = {
        "events": 1650,
        "lost": 2,
        "lost_by_kind": {"swallowed": 2},
        "lost_silently": 0,
        "healed_by": {"redelivery": 2},
        "unhealed": 0,
        "gaps": 1,
        "gaps_by_reason": {"missing_deliveries": 1},
        "gaps_open": 0,
        "redeliveries": 3,
        "differences": 0,
        "differences_after_sync": 0,
        "detect_seconds": [30.0, 10.0],
        "repair_seconds": [90.0, 95.0],
        "requests": 1600,
        "requests_by_kind": {"delivery log": 1440, "GraphQL": 160},
        "jobs_by_mode": {"recheck": 150},
        "wall_seconds": 50.0,
        "cpu_seconds": 40.0,
        "peak_mb": 130.0,
    }
    return figures | changed


def days(**changed: Figures) -> Figures:
    """The figures of all of them; in a quiet week nothing is lost."""
    nothing = {"lost": 0, "lost_by_kind": {}, "healed_by": {}, "gaps": 0, "gaps_by_reason": {}}
    calm = lived(**nothing, detect_seconds=[], repair_seconds=[])
    return {"days": {"storm": lived(), "silent": lived(lost_silently=4), "week": calm} | changed}


def test_a_long_day_is_judged_by_truth_healing_and_false_alarms() -> None:
    assert all(goal.met for goal in long_day.goals(days()))
    for wrong in (
        {"storm": lived(differences=1)},
        {"storm": lived(unhealed=1)},
        {"storm": lived(gaps_open=1)},
        {"week": lived()},
        {"silent": lived(differences_after_sync=1)},
    ):
        assert [goal.met for goal in long_day.goals(days(**wrong))].count(False) == 1


def results() -> Figures:
    """A whole run of the benchmark."""
    listed = repository_list.CASES
    return {
        "measured_at": "2026-01-01 00:00 UTC",
        "machine": {"cpus": 2, "cpu": "Abacus", "system": "Linux", "versions": {"Python": "3"}},
        "scenarios": {
            "list": {
                "repositories": 10_000,
                "repeats": 2,
                "latencies": {"0": latency(listed)},
            },
            "mirror": mirrored(ours_first=mine(requests=31)),
            "large": {"latencies": {"0": latency(large_mirror.CASES)}},
            "writes": {
                "rows": 10_000,
                "runs": [{}],
                "entities": {"pull_requests": WRITING, "commits": WRITING},
            },
            "day": days(),
        },
    }


def test_the_report_shows_every_case_and_every_verdict() -> None:
    for text in (report.as_text(results()), report.as_markdown(results())):
        for scenario in (repository_list, full_mirror, large_mirror):
            assert scenario.TITLE in text
            assert all(case.name in text for case in scenario.CASES.values())
        assert all(case in text for case in long_day.CASES.values())
        assert "2 + 4 in no log" in text
        assert "pull requests" in text
        assert text.count("MISSED") == 1
        assert "4..31" in text
        assert "1,000 issues, 700 pull requests, 5,400 commits" in text


def test_tables_of_markdown_are_whole() -> None:
    rows = [line for line in report.as_markdown(results()).splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows if "MISSED" in row or " met " in row} == {6}
    assert all(row.endswith("|") for row in rows)


def test_only_what_stands_between_the_markers_is_rewritten(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.rewrite(page, "new")
    assert page.read_text() == f"before\n{report.BEGIN}\nnew\n{report.END}\nafter\n"
    page.write_text("no markers")
    with pytest.raises(SystemExit, match="lacks the markers"):
        report.rewrite(page, "new")
