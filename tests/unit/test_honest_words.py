"""What must never be said: that the mirror is right when nobody can know, and a figure better than it is."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.fleet_values import FleetTotals, Open
from alerts.pages_charts import share
from alerts.pages_verdict import judge, only
from alerts.pages_words import where_not
from reconciliation.accuracy import WEEK
from reconciliation.showing import LONG
from syncsvc import words
from tests.unit.test_sync_health_words import AUDITED, NO_AUDIT, NOW, accuracy, totals

pytestmark = pytest.mark.spec("R18.1", "R9.2")

AGES = st.sampled_from(
    [None, timedelta(0), timedelta(hours=1), LONG + timedelta(seconds=1), -timedelta(days=1)]
)


def said(**more: Any) -> tuple[str, str]:
    found = judge(totals(**more), {})
    return found.badge, found.sentence


def test_nothing_is_right_of_accounts_that_nobody_reads() -> None:
    badge, sentence = said(installations=2, active=0)

    assert badge == "Not known"
    assert "2 accounts are suspended or uninstalled, so nothing is read" in sentence
    assert sentence.endswith("What was measured last: 99.98 % over 24 h.")
    assert where_not(totals(active=1)).endswith("2 are not read at all: suspended or uninstalled.")
    assert (
        "1 account is suspended or uninstalled: what is kept of it grows old." in said(active=2)[1]
    )


def test_what_was_right_hours_ago_is_not_right_now() -> None:
    assert said(last_success=NOW - LONG)[0] == "Right"
    badge, sentence = said(last_success=NOW - timedelta(hours=7))

    assert badge == "Not known lately"
    assert "the last sync that read all of an account ended 7 h ago" in sentence
    assert "no sync has read all of an account yet" in said(last_success=None)[1]
    assert "a clock was or is wrong" in said(last_success=NOW + timedelta(hours=1))[1]


def test_audits_of_the_week_make_it_doubtful_whatever_the_window_shows() -> None:
    assert totals().audit.estimate is None
    badge, sentence = said(audit_week=AUDITED)

    assert badge == "In doubt"
    assert "independent audits of 960 items find between 99.24 % and 99.94 % right" in sentence
    assert said(audit=AUDITED, audit_week=NO_AUDIT)[0] == "Right"  # of a month, and mended since


def test_a_part_of_the_accounts_says_nothing_of_the_others() -> None:
    found = only(judge(totals(installations=1, active=1), {}), 1)
    assert found.sentence.startswith("Of the 1 account that matches: the mirror is right")
    assert only(judge(totals(installations=0), {}), 0).sentence.startswith("No account matches")


@given(
    installations=st.integers(0, 4),
    inactive=st.integers(0, 4),
    unmeasured=st.integers(0, 4),
    compared=st.sampled_from([0, 1, 1_000, 100_000]),
    wrong=st.integers(0, 600),
    age=AGES,
    reviews=st.integers(0, 1),
    silent=st.booleans(),
)
def test_right_is_said_only_of_what_is_known(
    installations: int,
    inactive: int,
    unmeasured: int,
    compared: int,
    wrong: int,
    age: timedelta | None,
    reviews: int,
    silent: bool,
) -> None:
    active = max(0, installations - inactive)
    wrong = min(wrong, compared)
    state: FleetTotals = totals(
        installations=installations,
        active=active,
        unmeasured=min(unmeasured, active),
        attention=min(reviews, active),
        open=Open(reviews=reviews),
        day=accuracy(compared, compared - wrong),
        week=accuracy(compared, compared - wrong, window=WEEK),
        last_success=None if age is None else NOW - age,
    )
    found = judge(state, {"worker": "No worker."} if silent else {})
    if found.tone != "good":
        assert found.badge != "Right"
        return
    assert not silent
    assert active
    assert compared
    assert wrong * 1_000 <= compared * 5
    assert age is not None
    assert timedelta(0) <= age <= LONG
    assert min(unmeasured, active) <= active / 10
    if installations > active:
        assert "suspended or uninstalled" in found.sentence


@given(st.integers(1, 10**7), st.data())
def test_no_share_is_said_to_be_more_than_it_is(compared: int, data: st.DataObject) -> None:
    matched = data.draw(st.integers(0, compared))
    for say in (words.percent, share):
        number = float(say(matched / compared).removesuffix(" %"))
        assert number * compared <= 100 * matched + 1e-6 * compared
        assert (number == 100) is (matched == compared)


def test_what_just_misses_the_goal_does_not_look_as_if_it_kept_it() -> None:
    assert words.percent(0.994_999) == "99.49 %"
    assert share(0.994_996) == "99.49 %"
    assert (words.percent(0.57), words.percent(0.29), words.percent(1)) == (
        "57.00 %",
        "29.00 %",
        "100.00 %",
    )
    assert words.share(0.9996) == "above 99.9 %"
    assert (words.share(1), words.share(0), words.share(0.0001)) == (
        "100.0 %",
        "0.0 %",
        "below 0.1 %",
    )
