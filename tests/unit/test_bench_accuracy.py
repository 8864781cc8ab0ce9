"""What becomes of the figures of the simulated weeks and of the comparison alone."""

from typing import Any

import pytest

from tests.bench import accuracy, diffing, report
from tests.bench.figures import Figures, percentile


def lived(loss: float, *, detection: bool, **changed: Any) -> Figures:
    """A week's figures, as its child reports them."""
    lost = round(1000 * loss)
    repair = ([30.0] if detection else [450.0]) if lost else []
    return {
        "loss": loss,
        "detection": detection,
        "happened": 600,
        "events": 1000,
        "lost": lost,
        "items": 500,
        "accuracy": 0.999,
        "lowest": 0.98,
        "measured": {"compared": 200_000, "matched": 200_000 if not lost else 199_000},
        "lost_detect_seconds": repair,
        "lost_repair_seconds": repair,
        "told_seconds": [7.0],
        "discrepancies": lost,
        "discrepancy_detect_seconds": repair,
        "discrepancy_repair_seconds": [0.0] if lost else [],
        "missed": lost if detection else 0,
        "gaps": 1 if lost and detection else 0,
        "requests": 2_345,
        "jobs_by_mode": {"incremental": 700},
        "differences": 0,
        "wall_seconds": 100.0,
    } | changed


def weeks(**changed: Any) -> Figures:
    """All of them; `changed` is true of the first that loses something without gap detection."""
    found = [
        lived(loss, detection=detection) for loss in accuracy.LOSSES for detection in (True, False)
    ]
    for each in found:
        if not each["loss"]:
            each["accuracy"] = 0.99995
    found[3] |= changed
    return {"hours": 168, "weeks": found}


def missed(figures: Figures) -> set[str]:
    """The goals that were missed."""
    return {goal.what for goal in accuracy.goals(figures) if not goal.met}


@pytest.mark.spec("R9.2")
@pytest.mark.parametrize(
    ("changed", "goal"),
    [
        ({}, set()),
        ({"accuracy": 0.99}, {"without, %", "no gap detection: measured better than true, %"}),
        ({"differences": 2}, {"fields that differ at the end"}),
        (
            {"measured": {"compared": 100_000, "matched": 99_950}},
            {"no gap detection: measured better than true, %"},
        ),
        (
            {"lost_repair_seconds": [50.0]},
            {"up to a fifth lost: time to repair with gap detection / without"},
        ),
    ],
)
def test_a_week_is_judged_by_the_truth_and_by_what_was_said_of_it(
    changed: dict[str, Any], goal: set[str]
) -> None:
    assert missed(weeks(**changed)) == goal


def test_a_product_that_measures_nothing_is_not_judged_by_it() -> None:
    figures = weeks()
    for each in figures["weeks"]:
        each["measured"] = {"compared": 0, "matched": 0}
    assert missed(figures) == set()
    assert accuracy.tables(figures)[1].rows[0][2] == "-"


def test_each_share_of_lost_webhooks_has_a_line_with_gap_detection_and_one_without() -> None:
    true, said = accuracy.tables(weeks())
    assert [row[:2] for row in true.rows] == [row[:2] for row in said.rows]
    assert [row[0] for row in true.rows[::2]] == ["0%", "1%", "5%", "20%", "100%"]
    assert {len(row) for row in true.rows} == {len(true.headings)}
    assert {len(row) for row in said.rows} == {len(said.headings)}
    assert true.rows[3] == (
        "1%", "no", "10 / 1,000", "99.9000", "98.00", "450", "450", "450", "450", "2,345", "0",
    )  # fmt: skip


def compared(size: int, unchanged: float, changed: float) -> Figures:
    """One size's figures: everything took so long."""

    def each(ours: float, written: int) -> Figures:
        return {"ours": ours, "bare": ours / 2, "written": written}

    return {
        "repositories": size,
        "first": each(10 * unchanged, size),
        "unchanged": [each(unchanged, 0)] * 2,
        "changed": [each(changed, size // 100)] * 2,
    }


@pytest.mark.parametrize(
    ("changed", "large", "met"),
    [
        (0.4, 3.0, [True, True, True]),
        (0.8, 3.0, [False, True, True]),
        (0.4, 4.6, [True, False, True]),
    ],
)
def test_comparing_is_judged_by_what_changes_cost_and_by_growth(
    changed: float, large: float, met: list[bool]
) -> None:
    figures = {
        "sizes": {
            "10000": compared(10_000, 0.3, changed),
            "100000": compared(100_000, large, 4.0),
        }
    }
    assert [goal.met for goal in diffing.goals(figures)] == met
    (table,) = diffing.tables(figures)
    assert table.rows[0][4:7] == (f"{changed / 0.3:.2f}", "30.0", f"{changed * 100:.1f}")


def test_a_scenario_with_a_page_of_its_own_stands_there_alone() -> None:
    results: Figures = {
        "measured_at": "2026-01-01 00:00 UTC",
        "machine": {"cpus": 2, "cpu": "Abacus", "system": "Linux", "versions": {"Python": "3"}},
        "scenarios": {
            "diff": {"sizes": {"10000": compared(10_000, 0.3, 0.4)}},
            "accuracy": weeks(),
        },
    }
    pages = report.pages(results)
    assert accuracy.TITLE in pages["accuracy.md"]
    assert diffing.TITLE not in pages["accuracy.md"]
    assert diffing.TITLE in pages["performance.md"]
    assert accuracy.TITLE not in pages["performance.md"]
    for page, goal in (("accuracy.md", "nothing lost, %"), ("performance.md", "1 % changed / not")):
        assert [name for name, text in pages.items() if goal in text] == [page]
    del results["scenarios"]["diff"]
    assert report.pages(results).keys() == {"accuracy.md"}


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([], 0.5, 0.0), ([3.0], 0.99, 3.0), ([30.0, 10.0, 20.0], 0.5, 20.0), ([1.0, 2.0], 0.99, 2.0)],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], share: float, found: float
) -> None:
    assert percentile(values, share) == found
