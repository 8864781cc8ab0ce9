"""Severities, deadlines and scores: the formulas at their boundaries, and what always holds."""

from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import normalizer
from syncsvc.github.content import parse_commit, parse_issue
from syncsvc.normalizer import SLA_HOURS, Severity, State
from tests.content_support import rest_commit, rest_issue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
WEEK = timedelta(weeks=1)

labels_known = [
    "critical", "severity: high", "sev-3", "P3", "blocker", "security", "regression",
    "documentation", "good first issue", "bug", "in progress", "🦀", "",
]  # fmt: skip
label_lists = st.lists(st.sampled_from(labels_known) | st.text(max_size=12), max_size=8)
moments = st.datetimes(
    min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)


# -- labels ----------------------------------------------------------------------------------------


@pytest.mark.spec("R5.2")
@pytest.mark.parametrize(
    ("label", "expected"),
    [
        *((each.value, each) for each in Severity),
        ("Severity: High", Severity.HIGH),
        ("priority/critical", Severity.CRITICAL),
        ("Low Priority", Severity.LOW),
        ("bug: critical", Severity.CRITICAL),
        ("sev-1", Severity.CRITICAL),
        ("SEV2", Severity.HIGH),
        ("severity 3", Severity.MEDIUM),
        ("sev_4", Severity.LOW),
        ("P0", Severity.CRITICAL),
        ("p1", Severity.HIGH),
        ("priority: P2", Severity.MEDIUM),
        ("priority-3", Severity.LOW),
        ("HIGH", Severity.HIGH),
    ],
)
def test_a_severity_is_read_however_it_is_written(label: str, expected: Severity) -> None:
    assert normalizer.severity(["x", label]) is expected


@pytest.mark.parametrize(
    "label",
    ["", "bug", "high contrast", "low-code", "critical-path", "sev-9", "p7", "heights", "priority"],
)
def test_a_label_that_says_something_else_leaves_the_severity_in_the_middle(label: str) -> None:
    assert normalizer.severity([label]) is Severity.MEDIUM
    assert normalizer.severity([]) is Severity.MEDIUM


def test_the_highest_severity_wins() -> None:
    assert normalizer.severity(["low", "P1", "medium"]) is Severity.HIGH


@pytest.mark.parametrize(
    ("label", "expected"),
    [("blocker", True), ("release-blocker", True), ("Priority: Blocker", True), ("blocking", True),
     ("non-blocking", False), ("blocked", False), ("unblocker", False)],
)  # fmt: skip
def test_a_blocker_blocks_others(label: str, expected: bool) -> None:
    assert normalizer.is_blocker([label]) is expected


# -- issues ----------------------------------------------------------------------------------------


@pytest.mark.spec("R5.2")
@pytest.mark.parametrize(
    ("state", "assignees", "labels", "expected"),
    [
        ("closed", ("zoe",), ("wip",), State.CLOSED),
        ("open", ("zoe",), (), State.IN_PROGRESS),
        ("open", (), ("In Progress",), State.IN_PROGRESS),
        ("open", (), ("in-progress",), State.IN_PROGRESS),
        ("open", (), ("status: in progress",), State.IN_PROGRESS),
        ("open", (), ("WIP",), State.IN_PROGRESS),
        ("open", (), ("not in progress", "progress"), State.PENDING),
        ("open", (), (), State.PENDING),
    ],
)
def test_the_state_says_whether_somebody_has_it(
    state: str, assignees: tuple[str, ...], labels: tuple[str, ...], expected: State
) -> None:
    assert normalizer.issue_state(state, assignees, labels) is expected


@pytest.mark.spec("R5.2")
@pytest.mark.parametrize(
    ("level", "hours"), [("critical", 4), ("high", 24), ("medium", 72), ("low", 168)]
)
def test_the_sla_ends_at_its_hour_and_not_before(level: str, hours: int) -> None:
    due = normalizer.due_at(NOW, Severity(level))
    assert due == NOW + timedelta(hours=hours)
    for moment, late in ((due - SECOND, False), (due, False), (due + SECOND, True)):
        judge = normalizer.is_breached
        assert judge(due, state="open", closed_at=None, now=moment) is late
        assert judge(due, state="closed", closed_at=moment, now=NOW + 9 * WEEK) is late
    assert not normalizer.is_breached(due, state="closed", closed_at=None, now=due + WEEK)


def test_a_reopened_issue_is_judged_as_open() -> None:
    due = normalizer.due_at(NOW, Severity.LOW)
    assert normalizer.is_breached(due, state="open", closed_at=NOW, now=due + SECOND)


def test_the_end_of_time_is_no_error() -> None:
    last = datetime.max.replace(tzinfo=UTC)
    assert normalizer.due_at(last, Severity.LOW) == last


@pytest.mark.spec("R5.2")
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["critical"], 90),
        (["high"], 80),
        (["medium"], 70),
        (["low"], 60),
        ([], 70),
        (["low", "blocker"], 90),
        (["low", "security"], 85),
        (["low", "regression"], 80),
        (["low", "documentation"], 45),
        (["low", "docs"], 45),
        (["low", "good first issue"], 40),
        (["low", "good-first-issue", "documentation"], 25),
        (["low", "regression", "documentation"], 65),
        (["critical", "blocker", "security", "regression"], 100),
        (["low", "low", "P3"], 60),
    ],
)
def test_the_score_adds_up(labels: list[str], expected: int) -> None:
    assert normalizer.priority_score(labels, NOW, NOW) == expected


@pytest.mark.spec("R5.2")
@pytest.mark.parametrize(
    ("age", "extra"),
    [(-WEEK, 0), (timedelta(0), 0), (WEEK - SECOND, 0), (WEEK, 1), (20 * WEEK - SECOND, 19),
     (20 * WEEK, 20), (21 * WEEK, 20), (500 * WEEK, 20)],
)  # fmt: skip
def test_each_full_week_of_age_adds_one_up_to_twenty(age: timedelta, extra: int) -> None:
    assert normalizer.priority_score(["low"], NOW - age, NOW) == 60 + extra


@given(labels=label_lists, created=moments, now=moments)
def test_a_score_lies_between_0_and_100(
    labels: list[str], created: datetime, now: datetime
) -> None:
    assert 0 <= normalizer.priority_score(labels, created, now) <= 100


@given(labels=label_lists, created=moments, now=moments, data=st.data())
def test_the_order_of_labels_means_nothing(
    labels: list[str], created: datetime, now: datetime, data: st.DataObject
) -> None:
    other = data.draw(st.permutations(labels))
    score = normalizer.priority_score
    assert score(labels, created, now) == score(other, created, now)
    assert normalizer.severity(labels) is normalizer.severity(other)
    assert normalizer.issue_state("open", (), labels) is normalizer.issue_state("open", (), other)


@given(
    labels=label_lists, created=moments, now=moments, later=st.timedeltas(timedelta(0), 99 * WEEK)
)
def test_waiting_never_lowers_a_score(
    labels: list[str], created: datetime, now: datetime, later: timedelta
) -> None:
    before = normalizer.priority_score(labels, created, now)
    assert before <= normalizer.priority_score(labels, created, now + later)


@given(labels=label_lists, extra=st.sampled_from(["critical", "blocker", "security", "regression"]))
def test_an_alarming_label_never_lowers_a_score(labels: list[str], extra: str) -> None:
    before = normalizer.priority_score(labels, NOW, NOW)
    assert before <= normalizer.priority_score([*labels, extra], NOW, NOW)


@given(labels=label_lists, extra=st.sampled_from(list(Severity)))
def test_one_more_severity_never_prolongs_a_labelled_sla(
    labels: list[str], extra: Severity
) -> None:
    before = SLA_HOURS[normalizer.severity([*labels, "low"])]
    assert SLA_HOURS[normalizer.severity([*labels, "low", extra])] <= before


@pytest.mark.spec("R5.2")
def test_an_issue_is_normalized_whole() -> None:
    item = rest_issue(7, labels=["P1", "blocker"], created_at="2026-02-22T12:00:00Z")
    assert normalizer.normalize_issue(parse_issue(item), NOW) == normalizer.NormalizedIssue(
        label="GH-7",
        state=State.PENDING,
        severity=Severity.HIGH,
        sla_hours=24,
        due_at=datetime(2026, 2, 23, 12, tzinfo=UTC),
        breached=True,
        priority_score=100,
        is_blocker=True,
    )


# -- repositories ----------------------------------------------------------------------------------


def health(**changes: object) -> int:
    plain = {
        "last_commit_at": None, "open_issues": 5, "stars": 100, "contributors": 10,
        "has_ci": False, "has_tests": False, "now": NOW,
    }  # fmt: skip
    return normalizer.health_score(**{**plain, **changes})  # type: ignore[arg-type]


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 50),
        ({"last_commit_at": NOW - timedelta(days=30)}, 70),
        ({"last_commit_at": NOW - timedelta(days=30, seconds=1)}, 50),
        ({"last_commit_at": NOW + timedelta(days=1)}, 70),
        ({"open_issues": 4}, 60),
        ({"stars": 101}, 60),
        ({"contributors": 11}, 60),
        ({"has_ci": True}, 60),
        ({"has_tests": True}, 60),
        ({"last_commit_at": NOW, "open_issues": 0, "stars": 999, "contributors": 99,
          "has_ci": True, "has_tests": True}, 100),
    ],
)  # fmt: skip
def test_the_health_score_adds_up(changes: dict[str, object], expected: int) -> None:
    assert health(**changes) == expected


@given(
    st.none() | moments,
    st.integers(0),
    st.integers(0),
    st.integers(0),
    st.booleans(),
    st.booleans(),
)
def test_a_health_score_lies_between_50_and_100(
    last: datetime | None, issues: int, stars: int, people: int, ci: bool, tests: bool
) -> None:
    score = normalizer.health_score(
        last_commit_at=last, open_issues=issues, stars=stars, contributors=people,
        has_ci=ci, has_tests=tests, now=NOW,
    )  # fmt: skip
    assert 50 <= score <= 100


@pytest.mark.spec("R5.4")
def test_the_tech_stack_starts_with_the_largest_and_leaves_traces_out() -> None:
    languages = MappingProxyType({"Shell": 9, "C": 11, "Python": 900, "Ada": 80, "None": 0})
    assert normalizer.tech_stack(languages) == ("Python", "Ada", "C")
    assert normalizer.tech_stack({}) == normalizer.tech_stack({"C": 0}) == ()


@given(st.dictionaries(st.text(max_size=5), st.integers(0, 10**9), max_size=8))
def test_a_tech_stack_depends_on_no_order(languages: dict[str, int]) -> None:
    other = dict(reversed(languages.items()))
    assert normalizer.tech_stack(languages) == normalizer.tech_stack(other)
    assert bool(normalizer.tech_stack(languages)) == any(languages.values())
    assert normalizer.lines_of_code(languages) == normalizer.lines_of_code(other) >= 0


def test_lines_of_code_follow_from_bytes() -> None:
    assert normalizer.lines_of_code({"Python": 3500, "C": 350}) == 110
    assert normalizer.lines_of_code({}) == 0


@pytest.mark.spec("R5.4")
def test_contributors_are_counted_once() -> None:
    def by(login: str | None, email: str, name: str) -> dict[str, object]:
        item = rest_commit(author=login and {"login": login, "type": "User"})
        item["commit"]["author"] |= {"email": email, "name": name}
        return item

    commits = [
        by("Zoe", "a@x", "Zoe"), by("zoe", "b@x", "Z"), by(None, "C@x", "Carl"),
        by(None, "c@x", "C"), by(None, "", "Nobody"),
    ]  # fmt: skip
    assert normalizer.count_contributors(map(parse_commit, commits)) == 3
