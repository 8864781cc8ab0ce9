"""The words of the dashboard: what may be said of a fleet, and what may never be."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import pages_charts, pages_filters, pages_tiles
from alerts.fleet_values import (
    Backlog,
    BudgetLeft,
    FleetFilters,
    FleetIncident,
    FleetTotals,
    Open,
    Order,
    Window,
)
from alerts.pages_table import columns
from alerts.pages_tiles import Cost
from alerts.pages_verdict import judge
from alerts.pages_words import ordered_by, since_when, where_not, worst_first
from reconciliation.accuracy import DAY, WEEK, Accuracy, Figure, Tally, measure
from reconciliation.measuring import Spread, Times
from reconciliation.sampling import Standing
from reconciliation.sums import Durations, Point, Runs, Sums

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
NOTHING = Spread(p50=None, p95=None, p99=None, count=0, unknown=0)
NO_AUDIT = Standing(
    audits=0, sampled=0, matched=0, wrong=0, in_flight=0, unknown=0, estimate=None, low=0, high=1
)
AUDITED = Standing(
    audits=24, sampled=960, matched=958, wrong=2, in_flight=0, unknown=0,
    estimate=0.998, low=0.9924, high=0.9994,
)  # fmt: skip


def accuracy(compared: int, matched: int, unknown: int = 0, window: timedelta = DAY) -> Accuracy:
    tally = Tally(compared=compared, matched=matched, unknown=unknown)
    return measure([Figure(at=NOW, entity="issues", tally=tally)], NOW, window)


def totals(**more: Any) -> FleetTotals:
    known: dict[str, Any] = {
        "installations": 3,
        "active": 3,
        "attention": 0,
        "day": accuracy(10_000, 9_998),
        "week": accuracy(70_000, 69_998, window=WEEK),
        "audit": NO_AUDIT,
        "times": Times(detect=NOTHING, repair=NOTHING),
        "runs_day": Runs(),
        "runs_week": Runs(),
        "durations": Durations(),
        "found": 0,
        "by_type": {},
        "open": Open(),
        "worst_severity": None,
        "backlog": Backlog(),
        "running": 0,
        "breakers": 0,
        "last_success": NOW,
        "next_scheduled_at": NOW,
    }
    return FleetTotals(**(known | more))


def sentence(silent: dict[str, str] | None = None, **more: Any) -> tuple[str, str]:
    found = judge(totals(**more), silent or {})
    return found.badge, found.sentence


# -- the verdict -----------------------------------------------------------------------------------


@pytest.mark.spec("R18.1")
def test_right_is_said_with_the_figure_the_window_and_the_goal() -> None:
    assert sentence() == ("Right", "The mirror is right: 99.98 % over 24 h, goal 99.5 %.")


def test_right_does_not_hide_what_is_open_and_who_needs_somebody() -> None:
    badge, said = sentence(open=Open(discrepancies=2), attention=1)

    assert badge == "Right"
    assert said.endswith("; 2 discrepancies still open. 1 of 3 accounts needs somebody.")


def test_right_does_not_hide_a_critical_incident() -> None:
    _, said = sentence(open=Open(incidents=2), worst_severity="critical")

    assert said.endswith("2 incidents are open, the worst critical.")


def test_right_says_of_how_many_accounts_nothing_is_known() -> None:
    badge, said = sentence(unmeasured=1, installations=40, active=40)

    assert badge == "Right"
    assert said.startswith("The mirror is right where it was looked at: 99.98 % over 24 h")
    assert said.endswith("Of 1 account nothing was compared in that time.")
    assert sentence(unmeasured=1)[0] == "Partly known"
    assert where_not(totals(attention=1, unmeasured=2)) == (
        "1 of 3 accounts needs somebody. Of 2 nothing was compared in 24 hours."
    )


def test_a_figure_that_misses_the_goal_by_an_item_is_not_rounded_to_it() -> None:
    badge, said = sentence(day=accuracy(100_000, 99_499), open=Open(discrepancies=4))

    assert badge == "Not right"
    assert "99.49 % over 24 h, goal 99.5 %; 501 items were wrong when looked at" in said
    assert said.endswith("4 discrepancies are still open.")


def test_nothing_compared_is_not_known() -> None:
    nothing: dict[str, Any] = {"day": accuracy(0, 0), "week": accuracy(0, 0, window=WEEK)}

    assert sentence(**nothing)[0] == "Not known"
    assert "nothing was compared in the last 7 days" in sentence(**nothing)[1]
    assert "the first one fills the mirror" in sentence(**nothing, last_success=None)[1]
    assert sentence(**nothing, installations=0) == (
        "Not known",
        "The mirror is not known to be right: there is no account to look at.",
    )


def test_a_week_that_was_right_says_nothing_of_a_day_without_runs() -> None:
    badge, said = sentence(day=accuracy(0, 0))

    assert badge == "Not known lately"
    assert "nothing was compared in the last 24 h" in said
    assert "was right: 99.99 % over 7 d" in said


def test_a_silent_server_knows_nothing_of_now_and_says_what_to_do() -> None:
    badge, said = sentence({"worker": "No worker lives: start one."})

    assert badge == "Not known"
    assert "No worker lives: start one. What was measured last: 99.98 % over 24 h." in said


@pytest.mark.spec("R8.3")
def test_audits_that_disagree_are_believed() -> None:
    badge, said = sentence(audit=AUDITED)

    assert badge == "In doubt"
    assert "they measured 99.99 % over 7 d" in said
    assert "960 items find between 99.24 % and 99.94 % right. Believe the audits" in said


def test_more_unknown_than_may_be_wrong_is_only_partly_known() -> None:
    badge, said = sentence(day=accuracy(10_000, 10_000, unknown=51))

    assert badge == "Partly known"
    assert "51 items could not be told" in said
    assert sentence(day=accuracy(10_000, 10_000, unknown=50))[0] == "Right"


@given(
    st.integers(0, 3), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_only_what_was_looked_at_and_keeps_the_goal_is_called_right(
    installations: int, compared: int, wrong: int, unknown: int, asleep: bool, audited: bool
) -> None:
    wrong = min(wrong, compared)
    day = accuracy(compared, compared - wrong, unknown)
    badge, said = sentence(
        {"worker": "Asleep."} if asleep else {},
        installations=installations,
        day=day,
        week=accuracy(compared, compared - wrong, unknown, WEEK),
        audit=AUDITED if audited else NO_AUDIT,
    )

    if badge == "Right":
        assert min(compared, installations) > 0
        assert not asleep
        assert day.compliant
        assert unknown <= 0.005 * compared
    assert "100.00 %" not in said or not wrong


# -- the figures at the head -----------------------------------------------------------------------


def values(tiles: Sequence[pages_tiles.Tile]) -> dict[str, str]:
    return {tile.label: tile.value for tile in tiles}


def test_of_nothing_no_figure_is_known_and_none_is_good() -> None:
    empty = totals(
        day=accuracy(0, 0), week=accuracy(0, 0, window=WEEK), last_success=None,
        next_scheduled_at=None,
    )  # fmt: skip

    right = pages_tiles.is_right(empty, Window.DAY)
    assert set(values(right).values()) == {"not known"}
    done = values(pages_tiles.is_done(empty))
    assert done["Runs that succeeded, 24 h"] == done["Runs that succeeded, 7 d"] == "not known"
    assert (done["Last successful sync"], done["Next sync"]) == ("never", "not planned")
    costs = pages_tiles.it_costs(empty, Cost(budgets={}), Window.DAY)
    assert set(values(costs).values()) == {"not known"}
    assert not [tile for tile in [*right, *costs] if tile.tone]


def test_the_figures_say_what_they_are_of() -> None:
    spread = Spread(p50=22.0, p95=60.0, p99=95.4, count=29, unknown=3)
    found = totals(
        audit=AUDITED, times=Times(detect=spread, repair=spread),
        runs_day=Runs(succeeded=9_999, failed=1), backlog=Backlog(queued=1, deliveries=2),
    )  # fmt: skip

    right = {tile.label: tile for tile in pages_tiles.is_right(found, Window.DAY)}
    assert right["Accuracy, 24 hours"].about == "2 wrong of 10,000 items compared"
    audits = right["Independent audits, 24 hours"]
    assert (audits.value, audits.tone) == ("99.24 % to 99.94 %", "bad")
    assert right["Found after"].value == "22 s"
    assert "99 % within 95 s; 3 without a time" in right["Found after"].about
    done = {tile.label: tile for tile in pages_tiles.is_done(found)}
    assert done["Runs that succeeded, 24 h"].value == "99.99 %"
    assert done["Waiting"].about == "1 sync for a worker, 2 deliveries"


def test_an_overdrawn_budget_and_a_fast_fire_are_told_apart_from_a_good_one() -> None:
    def left(compared: int, matched: int) -> tuple[str, str]:
        week = accuracy(compared, matched, window=WEEK)
        tiles = pages_tiles.is_right(totals(week=week), Window.DAY)
        [tile] = [tile for tile in tiles if tile.label.startswith("Error budget")]
        return tile.value, tile.tone

    assert left(10_000, 9_900) == ("overdrawn", "bad")
    assert left(10_000, 10_000) == ("100.00 %", "good")


def test_what_is_nearly_used_up_at_github_is_named() -> None:
    low = BudgetLeft(limit=5_000, remaining=100, reset_at=NOW)
    cost = Cost(
        budgets={"core": low}, tightest=low, tightest_of="acme", tightest_resource="core",
        a_round=12.4, asked={"core": 1}, round_of=3,
    )  # fmt: skip

    tiles = {tile.label: tile for tile in pages_tiles.it_costs(totals(), cost, Window.DAY)}

    assert tiles["Requests used of this hour"].value == "4,900"
    assert (tiles["Least left"].value, tiles["Least left"].tone) == ("2.0 %", "warn")
    assert tiles["Least left"].about == "Requests of acme, until 12:30 UTC"
    assert tiles["Requests used of this hour"].about.startswith("of 5,000 that GitHub allows 1 acc")
    assert tiles["A sync of every account takes"].value == "12 requests"
    assert "of 3 accounts" in tiles["A sync of every account takes"].about


def test_since_when_names_the_oldest_that_lasts_and_the_days_below_the_goal() -> None:
    incident = FleetIncident(
        pk=1, kind="stale", severity="warning", status="open", title="t", installation=None,
        opened_at=NOW - timedelta(hours=3), login="", correlation_id=None,
    )  # fmt: skip
    bad = totals(open=Open(incidents=1), week=accuracy(100, 50, window=WEEK))

    assert since_when(bad, [incident], NOW) == (
        "1 problem lasts; the oldest began 3 h ago. Below the goal this week: 2026-11-22."
    )
    assert since_when(totals(), [replace(incident, status="resolved")], NOW) == "No problem lasts."


@pytest.mark.spec("P21")
def test_what_lasts_comes_before_what_ended_and_the_worst_before_the_newest() -> None:
    def incident(pk: int, severity: str, status: str, hours: int) -> FleetIncident:
        return FleetIncident(
            pk=pk, kind="stale", severity=severity, status=status, title="t", installation=None,
            opened_at=NOW - timedelta(hours=hours), login="", correlation_id=None,
        )  # fmt: skip

    shown = worst_first(
        [
            incident(1, "critical", "resolved", 0),
            incident(2, "warning", "open", 1),
            incident(3, "critical", "acknowledged", 9),
            incident(4, "warning", "open", 0),
        ]
    )

    assert [each.pk for each in shown] == [3, 4, 2, 1]


# -- trends ----------------------------------------------------------------------------------------


@pytest.mark.spec("P22")
def test_trends_know_nothing_before_the_first_sign_of_life_and_nothing_right_of_nothing() -> None:
    def point(hour: int, **sums: Any) -> Point:
        since = NOW + timedelta(hours=hour)
        return Point(since=since, until=since + timedelta(hours=1), sums=Sums(**sums))

    points = [
        point(0),
        point(1, tally=Tally(compared=10, matched=9), found=1, runs=Runs(succeeded=1)),
        point(2),
    ]

    drawn = {chart.title: chart for chart in pages_charts.trends(points)}

    cells = {
        title: [row.cells[0] for row in reversed(chart.rows)] for title, chart in drawn.items()
    }
    assert cells["Accuracy"] == ["not known", "90 %", "not known"]
    assert cells["Runs that succeeded"] == ["not known", "100 %", "not known"]
    assert cells["Discrepancies found"] == ["not known", "1", "not known"]
    assert cells["Gaps opened"] == ["not known", "0", "0"]
    assert cells["Runs that ended"] == ["not known", "1", "0"]
    assert all(chart.is_empty for chart in pages_charts.trends([]))


def test_a_share_is_never_rounded_up_to_a_perfect_one() -> None:
    assert pages_charts.share(0.999999) == "99.99 %"
    assert pages_charts.share(1.0) == "100 %"
    assert pages_charts.share(0.995) == "99.5 %"


# -- filters and columns ---------------------------------------------------------------------------


def test_filters_are_read_from_the_address() -> None:
    asked = pages_filters.read(
        {"q": " acme ", "window": "7d", "status": "error", "type": "stale_issue", "order": "-open"}
    )

    assert not asked.errors
    assert asked.filters == FleetFilters(
        q="acme", window=Window.WEEK, status="error", type="stale_issue", order=Order.OPEN,
        descending=True,
    )  # fmt: skip
    assert asked.is_narrowed
    assert not pages_filters.read({}).is_narrowed
    assert pages_filters.read({}).filters == FleetFilters()


def test_an_account_is_named_by_number_or_by_login() -> None:
    assert pages_filters.read({"installation": "7"}).filters.installation == 7
    assert pages_filters.read({"installation": "acme"}).filters.q == "acme"
    assert pages_filters.read({"q": "7"}).filters == FleetFilters(q="7")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", "1y"),
        ("status", "<script>"),
        ("type", "stale"),
        ("order", "--login"),
        ("order", "x" * 10_000),
        ("q", "x" * 10_000),
        ("installation", "0"),
        ("installation", "9" * 10_000),
        ("installation", "x" * 300),
    ],
)
def test_what_is_wrong_is_said_at_its_field_shortly_and_kept(name: str, value: str) -> None:
    asked = pages_filters.read({"status": "error", name: value})

    assert list(asked.errors) == [name]
    assert len(asked.errors[name]) < 400
    assert asked.written[name] == value


@given(
    st.dictionaries(
        st.sampled_from(["q", "installation", "window", "status", "type", "order"]), st.text()
    )
)
def test_no_address_breaks_the_filters(query: dict[str, str]) -> None:
    asked = pages_filters.read(query)

    assert asked.filters.installation is None or 0 < asked.filters.installation < 2**63
    assert "\0" not in asked.filters.q


def test_a_head_orders_by_its_column_and_turns_it_round() -> None:
    heads = columns(FleetFilters(order=Order.ACCURACY, descending=False), lambda order: order)
    by_order = {head["order"]: head for head in heads}

    assert by_order["accuracy"]["sorted"] == "ascending"
    assert by_order["accuracy"]["query"] == "-accuracy"
    assert by_order["open"]["query"] == "-open"
    assert by_order["login"]["query"] == "login"
    assert [head["order"] for head in heads if head["sorted"]] == ["accuracy"]
    assert {head["order"] for head in heads} == {str(order) for order in Order} - {"attention"}
    assert ordered_by(FleetFilters(order=Order.OPEN)) == "open, the highest first"
    assert ordered_by(FleetFilters()) == "what needs somebody most"
