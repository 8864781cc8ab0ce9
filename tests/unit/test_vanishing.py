"""When repositories that vanished may go unasked: pure, against a model that is as plain as the rule."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciliation import vanishing
from reconciliation.diff import Context, Evidence
from reconciliation.vanishing import ACCOUNTED, Absence, Answer, Limits, judge, questions
from syncsvc.github.payloads import RepositoryRow, parse_repository
from syncsvc.plan import FIELDS, MirrorRepository

NOW = datetime(2027, 1, 1, tzinfo=UTC)
LIMITS = Limits(percent=20, minimum=3)
IDS = st.integers(1, 60)
SETS = st.frozensets(IDS, max_size=60)


@st.composite
def absences(draw: Any) -> Absence:
    absent = draw(SETS)
    return Absence(
        absent=absent,
        present=len(absent) + draw(st.integers(0, 200)),
        approved=draw(SETS),
        rejected=draw(SETS),
    )


LIMITATIONS = st.builds(
    Limits, percent=st.floats(0, 100, allow_nan=False), minimum=st.integers(0, 8)
)
ANSWERS = st.dictionaries(IDS, st.sampled_from(Answer))


def is_too_many(vanished: int, present: int, limits: Limits) -> bool:
    """The rule in the words of the specification, in exact numbers."""
    if vanished == 0 or vanished < limits.minimum:
        return False
    return Fraction(vanished, present) > Fraction(limits.percent) / 100


@pytest.mark.spec("R7.3")
@given(absence=absences(), answers=ANSWERS, limits=LIMITATIONS)
def test_nothing_goes_unasked_when_the_share_is_exceeded(
    absence: Absence, answers: dict[int, Answer], limits: Limits
) -> None:
    # Shares on the edge, where floats and fractions may part, are for the examples below.
    verdict = judge(absence, answers, limits)
    settled, held, kept = verdict.settled, verdict.held, verdict.kept
    assert settled | held | kept == absence.absent
    assert not settled & held
    assert not (settled | held) & kept
    undecided = absence.absent - absence.approved - absence.rejected
    vanished = {each for each in undecided if answers.get(each) not in ACCOUNTED}
    rest = absence.present - len(absence.absent & absence.approved)
    exact = vanished and abs(len(vanished) * 100 - limits.percent * rest) < 1e-9
    assume(not exact)
    too_many = is_too_many(len(vanished), rest, limits)
    assert held == (vanished if too_many else frozenset())
    # What people decided stands, whatever the figures; who approved last has the word.
    assert absence.absent & absence.approved <= settled
    assert kept == absence.absent & absence.rejected - absence.approved
    if too_many:
        assert settled == absence.absent & absence.approved | (undecided - vanished)


@pytest.mark.spec("R7.3")
@given(absence=absences(), limits=LIMITATIONS, answers=ANSWERS)
def test_more_evidence_never_holds_more_and_only_githubs_word_frees(
    absence: Absence, limits: Limits, answers: dict[int, Answer]
) -> None:
    silent = judge(absence, {}, limits)
    heard = judge(absence, answers, limits)
    assert heard.held <= silent.held
    if not any(answer in ACCOUNTED for answer in answers.values()):
        assert heard == silent


@pytest.mark.spec("R7.3")
@given(
    absence=absences(),
    limits=LIMITATIONS,
    minutes=st.dictionaries(IDS, st.integers(-30, 200)),
)
def test_questions_are_few_and_none_is_repeated_within_the_hour(
    absence: Absence, limits: Limits, minutes: dict[int, int]
) -> None:
    asked = {each: NOW - timedelta(minutes=ago) for each, ago in minutes.items()}
    chosen = questions(absence, limits, asked, NOW)
    assert len(chosen) == len(set(chosen)) <= vanishing.MOST_ASKED
    assert set(chosen) <= absence.absent - absence.approved - absence.rejected
    assert all(not 0 <= minutes[each] < 60 for each in chosen if each in minutes)
    if not judge(absence, {}, limits).held:
        assert chosen == []
    elif new := absence.unjudged - asked.keys():
        assert set(chosen) & asked.keys() == set() or new <= set(chosen)


@pytest.mark.spec("R7.3")
@pytest.mark.parametrize(
    ("vanished", "present", "held"),
    [
        (2, 2, False),  # fewer than the minimum, though all
        (3, 3, True),
        (3, 15, False),  # 20 % exactly is not more than 20 %
        (3, 14, True),
        (200, 1000, False),
        (201, 1000, True),
        (0, 0, False),
    ],
)
def test_the_edges_of_the_limits(vanished: int, present: int, held: bool) -> None:
    absence = Absence(absent=frozenset(range(vanished)), present=present)
    assert bool(judge(absence, {}, LIMITS).held) is held
    assert bool(questions(absence, LIMITS, {}, NOW)) is held
    assert not judge(absence, {}, replace(LIMITS, percent=100)).held


@pytest.mark.spec("R7.3")
def test_what_is_approved_makes_what_is_left_smaller() -> None:
    gone = frozenset(range(90))
    absence = Absence(absent=gone | frozenset(range(100, 103)), present=100, approved=gone)
    verdict = judge(absence, {}, LIMITS)  # 3 of the 10 that are left
    assert (verdict.settled, verdict.held) == (gone, frozenset({100, 101, 102}))


def mine(**changes: Any) -> MirrorRepository:
    row = theirs()
    values: dict[str, Any] = {name: getattr(row, name) for name in FIELDS}
    values |= {"github_id": 5, "installation_id": 1, "status": "active", "name_is_current": True}
    return MirrorRepository(**(values | {"missing_since": None, "version": 1} | changes))


def theirs(owner_id: int = 7, login: str = "o") -> RepositoryRow:
    return parse_repository(
        {
            "id": 5, "node_id": "R", "name": "r", "owner": {"id": owner_id, "login": login},
            "description": None, "private": False, "archived": False, "disabled": False,
            "fork": False, "default_branch": "main", "language": None, "topics": [],
            "stargazers_count": 0, "forks_count": 0, "open_issues_count": 0, "size": 1,
            "homepage": None, "license": None, "created_at": "2020-01-01T00:00:00Z",
            "pushed_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z",
        }
    )  # fmt: skip


@pytest.mark.spec("R7.2", "R7.3")
@pytest.mark.parametrize(
    ("said", "selection", "answer", "words"),
    [
        (Evidence.NOT_FOUND, "all", Answer.NOT_FOUND, "not found"),
        (Evidence.FORBIDDEN, "all", Answer.FORBIDDEN, "forbidden"),
        (Evidence.BLOCKED, "all", Answer.BLOCKED, "blocked for legal reasons"),
        (Evidence.UNAVAILABLE, "all", Answer.UNAVAILABLE, "no usable answer"),
        (theirs(), "all", Answer.OURS, "still there"),
        (theirs(), "selected", Answer.DESELECTED, "still there, outside the App's selection"),
        (theirs(9, "somebody"), "all", Answer.MOVED, "moved to somebody"),
        (theirs(9, "somebody"), "selected", Answer.MOVED, "moved to somebody"),
    ],
)
def test_githubs_word_in_plain_words(said: Any, selection: str, answer: Answer, words: str) -> None:
    context = Context(
        installation_id=1,
        account_id=7,
        now=NOW,
        grace=timedelta(0),
        repository_selection=selection,
    )
    assert vanishing.answer_of(mine(), said, context) == (answer, words)


def test_the_sentence_has_the_figures_and_the_next_step() -> None:
    told = vanishing.sentence(12, 30, LIMITS, ["o/c", "o/a", "o/b", "o/d"])
    assert told.startswith("12 of 30 repositories (o/a, o/b, o/c, ...) are missing")
    assert "40 % where 20 % may be: nothing was removed. Approve the open review" in told
    told = vanishing.sentence(12, 30, LIMITS, ["o/c"], review=False)
    assert "open review" not in told
    assert "A sync opens a review" in told
