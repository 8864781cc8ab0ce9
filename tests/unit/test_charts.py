"""Charts: what is known is where it is said to be, what is not known is never drawn as a value."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import charts
from alerts.charts import Chart, Line

START = datetime(2026, 11, 15, 12, tzinfo=UTC)
SHARES = st.one_of(st.none(), st.floats(0, 1))


def percent(share: float) -> str:
    return f"{share * 100:.2f} %"


def chart(*values: float | None, bars: bool = False, top: float | None = 1.0) -> Chart:
    times = [START + timedelta(hours=number) for number in range(len(values))]
    return charts.trend(
        title="Accuracy",
        times=times,
        until=START + timedelta(hours=len(values)),
        lines=[Line(name="Accuracy", values=tuple(values))],
        say=percent,
        top=top,
        goal=None if bars else 0.995,
        bars=bars,
    )


def points(drawn: Chart) -> list[tuple[float, float]]:
    [stroke] = drawn.strokes
    pairs = re.findall(r"[ML]([\d.]+) ([\d.]+)", stroke.path)
    return sorted([(float(x), float(y)) for x, y in pairs] + list(stroke.dots))


@pytest.mark.spec("R18.5")
def test_a_line_has_a_gap_where_nobody_knows() -> None:
    drawn = chart(1.0, 0.99, None, None, 0.98, 1.0)

    [stroke] = drawn.strokes
    assert stroke.path.count("M") == 2
    assert len(points(drawn)) == 4
    [unknown] = drawn.unknown
    assert (unknown.x, unknown.width) == pytest.approx((149.3, 101.4), abs=0.2)
    assert [row.cells for row in drawn.rows][2:4] == [("not known",), ("not known",)]


def test_a_value_between_two_unknown_ones_is_a_dot() -> None:
    drawn = chart(None, 0.99, None)

    assert drawn.strokes[0].path == ""
    assert len(drawn.strokes[0].dots) == 1
    assert len(drawn.unknown) == 2


def test_nothing_known_is_an_empty_chart_that_says_so() -> None:
    drawn = chart(None, None)

    assert drawn.is_empty
    assert drawn.now == "not known"
    assert "100" not in drawn.desc
    assert drawn.desc == "Accuracy: not known."


def test_no_times_at_all_make_an_empty_chart() -> None:
    drawn = chart()

    assert drawn.is_empty
    assert (drawn.xs, drawn.rows, drawn.unknown) == ((), (), ())


def test_a_constant_and_a_single_value_can_be_drawn() -> None:
    assert len(points(chart(1.0, 1.0, 1.0))) == 3
    [one] = points(chart(0.995))
    assert charts.LEFT < one[0] < charts.WIDTH - charts.RIGHT


def test_the_newest_value_is_not_an_older_one() -> None:
    assert chart(1.0, None).now == "not known"


def test_what_is_better_stands_higher_and_the_goal_between() -> None:
    drawn = chart(0.99, 1.0)

    (_, worse), (_, better) = points(drawn)
    assert drawn.goal is not None
    assert better < drawn.goal.at < worse
    assert drawn.goal.text == "99.50 %"


def test_a_bar_of_zero_is_a_hair_and_an_unknown_one_is_none() -> None:
    drawn = chart(0, None, 4, bars=True, top=None)

    assert [bar.text for bar in drawn.bars] == ["Nov 15 12:00: 0.00 %", "Nov 15 14:00: 400.00 %"]
    assert 0 < drawn.bars[0].height < 1 < drawn.bars[1].height
    assert len(drawn.unknown) == 1


def test_days_are_written_as_days_and_hours_in_utc() -> None:
    times = [START + timedelta(days=number) for number in range(3)]
    drawn = charts.trend(
        title="Runs", times=times, until=times[-1], lines=[Line(name="Runs", values=(1, 2, 3))],
        say=str, whole=True,
    )  # fmt: skip

    assert [row.label for row in drawn.rows] == ["2026-11-17", "2026-11-16", "2026-11-15"]
    assert chart(1.0).xs[0].text == "Nov 15 12:00"


def test_two_lines_are_unknown_only_where_neither_knows() -> None:
    times = [START + timedelta(hours=number) for number in range(3)]
    drawn = charts.trend(
        title="Seconds", times=times, until=times[-1], say=str,
        lines=[Line(name="p50", values=(1.0, None, None)), Line(name="p99", values=(9.0, 8.0, None))],
    )  # fmt: skip

    assert len(drawn.unknown) == 1
    assert drawn.rows[-1].cells == ("1.0", "9.0")
    assert "p50: lowest 1.0" in drawn.desc


def test_a_small_line_says_what_it_shows_and_what_is_missing() -> None:
    drawn = charts.spark([1.0, None, 0.5, 0.75], percent, "Accuracy", top=1.0)

    assert drawn is not None
    assert drawn.text == (
        "Accuracy: lowest 50.00 %, highest 100.00 %, last 75.00 %; 1 of 4 not known"
    )
    assert charts.spark([None, None], percent, "Accuracy") is None
    assert charts.spark([], percent, "Accuracy") is None


@given(st.lists(SHARES, max_size=40), st.booleans())
def test_any_series_is_drawn_inside_and_as_often_as_it_is_known(
    values: list[float | None], bars: bool
) -> None:
    drawn = chart(*values, bars=bars)

    known = sum(value is not None for value in values)
    boxes = [(bar.x, bar.y) for bar in drawn.bars] if bars else points(drawn)
    assert len(boxes) == known
    assert all(charts.LEFT <= x <= charts.WIDTH - charts.RIGHT for x, _ in boxes)
    assert all(charts.TOP <= y <= charts.HEIGHT - charts.BOTTOM for _, y in boxes)
    assert sum("not known" in row.cells for row in drawn.rows) == len(values) - known
    assert not drawn.ys if drawn.is_empty else 1 < len(drawn.ys) <= 6
    assert all(charts.TOP <= mark.at <= charts.HEIGHT - charts.BOTTOM for mark in drawn.ys)
