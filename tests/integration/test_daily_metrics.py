"""The day's figures: how they follow from the mirror, and that they are written only when they change."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncsvc import daily_metrics, normalizer
from syncsvc.daily_metrics import Counted, Look
from syncsvc.models import Repository, RepositoryMetric
from tests.factories import (
    CommitFactory,
    IssueFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = NOW.date()
MIDNIGHT = datetime.combine(TODAY, time.min, UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
LANGUAGES = {"Python": 34_350, "C": 350, "Shell": 300}
LOOK = Look(commits=120, languages=LANGUAGES, has_ci=True, has_tests=False)
UNASKED = Look(commits=120, languages=None, has_ci=None, has_tests=None)


def write(
    *repositories: Repository, look: Look = LOOK, now: datetime = NOW, dry_run: bool = False
) -> Counted:
    return daily_metrics.write({each.pk: look for each in repositories}, now, dry_run=dry_run)


def counted(created: int = 0, updated: int = 0, unchanged: int = 0) -> Counted:
    return Counted(created=created, updated=updated, unchanged=unchanged)


def figures(repository: Repository, day: date = TODAY) -> dict[str, Any]:
    [found] = RepositoryMetric.objects.filter(repository=repository, date=day).values()
    return {name: value for name, value in found.items() if name not in {"id", "repository_id"}}


def versions() -> dict[int, tuple[str, str]]:
    """PostgreSQL's own mark of the last write of each row."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, xmin::text, ctid::text FROM syncsvc_repositorymetric")
        return {pk: (xmin, ctid) for pk, xmin, ctid in cursor.fetchall()}


@contextmanager
def nothing_written() -> Iterator[None]:
    """Whatever happens inside changes no row and adds none."""
    before = versions()
    with transaction.atomic():  # a transaction of its own would have another mark
        yield
    assert versions() == before


def commit(repository: Repository, who: str, ago: timedelta = HOUR, **more: Any) -> None:
    moment = MIDNIGHT - ago
    CommitFactory.create(
        repository=repository,
        author_login=who,
        contributor=f"login:{who}",
        authored_at=moment,
        committed_at=moment,
        **more,
    )


# -- values ----------------------------------------------------------------------------------------


@pytest.mark.spec("R5.4")
def test_figures_follow_from_the_look_and_from_our_own_rows() -> None:
    repository, other = RepositoryFactory.create_batch(2, stars=101)
    for who in ("ann", "bob", "ann"):
        commit(repository, who, 30 * DAY)
    commit(repository, "cid", 31 * DAY)
    for _ in range(3):
        IssueFactory.create(repository=repository)
    IssueFactory.create(repository=repository, assignees=["ann"])
    IssueFactory.create(repository=repository, closed=True)
    PullRequestFactory.create(repository=repository)
    IssueFactory.create_batch(9, repository=other)
    commit(other, "eve", HOUR)
    assert write(repository) == counted(created=1)
    assert figures(repository) == {
        "date": TODAY,
        "commits": 120,
        "contributors": 3,
        "lines_of_code": 1000,
        "languages": LANGUAGES,
        "tech_stack": ["Python", "C"],
        "health_score": 100,  # 50, and 20 + 10 + 10 + 10 for recent, few issues, stars, CI
        "open_issues": 4,
        "stars": 101,
        "has_ci": True,
        "has_tests": False,
        "last_commit_at": MIDNIGHT - 30 * DAY,
        "last_written_at": NOW,
    }


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize(
    ("commits", "look", "score"),
    [
        ([], UNASKED, 60),
        ([30 * DAY], UNASKED, 80),
        ([30 * DAY + timedelta(seconds=1)], UNASKED, 60),
        ([-6 * HOUR], UNASKED, 80),  # today
        ([], replace(UNASKED, has_ci=True), 70),
        ([], replace(UNASKED, has_tests=True), 70),
        ([], replace(UNASKED, has_ci=False, has_tests=False), 60),
        ([HOUR], replace(UNASKED, has_ci=True, has_tests=True), 100),
    ],
)
def test_the_score_counts_from_the_days_beginning(
    commits: list[timedelta], look: Look, score: int
) -> None:
    repository = RepositoryFactory.create(stars=0)
    for ago in commits:
        commit(repository, "ann", ago)
    write(repository, look=look)
    assert figures(repository)["health_score"] == score


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize(("stars", "people", "issues", "score"), [
    (100, 10, 5, 70), (101, 10, 5, 80), (100, 11, 5, 80), (100, 10, 4, 80), (101, 11, 4, 100),
])  # fmt: skip
def test_each_part_of_the_score_has_its_boundary(
    stars: int, people: int, issues: int, score: int
) -> None:
    repository = RepositoryFactory.create(stars=stars)
    for number in range(people):
        commit(repository, f"user-{number}")
    IssueFactory.create_batch(issues, repository=repository)
    write(repository, look=UNASKED)
    assert figures(repository)["health_score"] == score


@pytest.mark.spec("R5.3", "R5.4")
def test_what_is_not_there_any_more_is_not_counted() -> None:
    repository = RepositoryFactory.create(stars=0)
    commit(repository, "ann", 40 * DAY)
    commit(repository, "bob", HOUR, gone=True)
    IssueFactory.create(repository=repository)
    IssueFactory.create_batch(5, repository=repository, gone=True)
    write(repository, look=UNASKED)
    found = figures(repository)
    assert (found["contributors"], found["last_commit_at"]) == (1, MIDNIGHT - 40 * DAY)
    assert (found["open_issues"], found["health_score"]) == (1, 60)


@pytest.mark.spec("R5.4")
def test_an_empty_repository_has_figures_too() -> None:
    repository = RepositoryFactory.create(stars=0)
    write(repository, look=Look(commits=0, languages={}, has_ci=None, has_tests=None))
    assert figures(repository) == {
        "date": TODAY,
        "commits": 0,
        "contributors": 0,
        "lines_of_code": 0,
        "languages": {},
        "tech_stack": [],
        "health_score": 60,
        "open_issues": 0,
        "stars": 0,
        "has_ci": None,
        "has_tests": None,
        "last_commit_at": None,
        "last_written_at": NOW,
    }


def test_a_repository_that_is_gone_meanwhile_has_no_figures() -> None:
    repository = RepositoryFactory.create()
    found = daily_metrics.write({repository.pk: LOOK, repository.pk + 1: LOOK}, NOW)
    assert found == counted(created=1)
    assert daily_metrics.write({}, NOW) == counted()


# -- once a day ------------------------------------------------------------------------------------


@pytest.mark.spec("R5.4", "R5.5", "P38")
@pytest.mark.parametrize("look", [LOOK, UNASKED])
def test_equal_figures_are_not_written_again(look: Look) -> None:
    one, other = RepositoryFactory.create_batch(2)
    commit(one, "ann")
    IssueFactory.create(repository=one)
    write(one, other)
    with nothing_written():
        assert write(one, other, look=look, now=NOW + HOUR) == counted(unchanged=2)
    assert figures(one)["last_written_at"] == NOW


@pytest.mark.spec("R5.4")
def test_only_the_row_whose_figures_changed_is_written() -> None:
    one, other = RepositoryFactory.create_batch(2)
    write(one, other)
    before = versions()
    IssueFactory.create(repository=one)
    assert write(one, other, now=NOW + HOUR) == counted(updated=1, unchanged=1)
    changed = {pk for pk, mark in versions().items() if mark != before[pk]}
    assert changed == {RepositoryMetric.objects.get(repository=one).pk}
    assert (figures(one)["open_issues"], figures(one)["last_written_at"]) == (1, NOW + HOUR)
    assert figures(other)["last_written_at"] == NOW


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize(
    "changes",
    [
        {"commits": 121},
        {"languages": {"Python": 1}},
        {"languages": {}},
        {"has_ci": False},
        {"has_tests": True},
    ],
)
def test_each_figure_of_a_look_is_compared(changes: dict[str, Any]) -> None:
    repository = RepositoryFactory.create()
    write(repository)
    assert write(repository, look=replace(LOOK, **changes)) == counted(updated=1)
    assert {name: figures(repository)[name] for name in changes} == changes
    assert write(repository, look=replace(LOOK, **changes)) == counted(unchanged=1)


@pytest.mark.spec("R5.4")
def test_each_figure_of_our_own_is_compared() -> None:
    repository = RepositoryFactory.create(stars=1)
    write(repository)
    Repository.objects.update(stars=2)
    assert write(repository) == counted(updated=1)
    commit(repository, "ann", 90 * DAY)
    assert write(repository) == counted(updated=1)
    commit(repository, "ann", 80 * DAY)  # a newer one of the same author
    assert write(repository) == counted(updated=1)
    assert write(repository) == counted(unchanged=1)


@pytest.mark.spec("R5.4")
def test_past_days_never_change_and_each_day_has_its_own_row() -> None:
    repository = RepositoryFactory.create(stars=0)
    write(repository)
    before = figures(repository)
    marks = versions()
    IssueFactory.create_batch(7, repository=repository)
    assert write(repository, now=NOW + DAY) == counted(created=1)
    assert figures(repository) == before
    assert marks.items() <= versions().items()
    later = figures(repository, TODAY + DAY)
    assert later["open_issues"] == 7
    assert later["last_written_at"] == NOW + DAY
    assert write(repository, now=NOW + DAY) == counted(unchanged=1)


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize(
    ("now", "day"),
    [
        (MIDNIGHT, TODAY),
        (MIDNIGHT - timedelta(microseconds=1), TODAY - DAY),
        (MIDNIGHT + DAY - timedelta(microseconds=1), TODAY),
        (MIDNIGHT.astimezone(timezone(timedelta(hours=-11))), TODAY),
        (MIDNIGHT.astimezone(timezone(timedelta(hours=14))) - HOUR, TODAY - DAY),
    ],
)
def test_the_day_is_that_of_utc(now: datetime, day: date) -> None:
    repository = RepositoryFactory.create()
    write(repository, now=now)
    assert RepositoryMetric.objects.get().date == day
    assert daily_metrics.all_measured([repository.pk], day)


# -- what was not looked at ------------------------------------------------------------------------


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize("later", [HOUR, DAY, 40 * DAY])
def test_what_was_not_looked_at_is_as_it_was(later: timedelta) -> None:
    repository = RepositoryFactory.create()
    write(repository)
    write(repository, look=replace(UNASKED, commits=7), now=NOW + later)
    found = figures(repository, (NOW + later).date())
    names = ("languages", "tech_stack", "lines_of_code", "has_ci", "has_tests")
    assert {name: found[name] for name in names} == {
        "languages": LANGUAGES,
        "tech_stack": ["Python", "C"],
        "lines_of_code": 1000,
        "has_ci": True,
        "has_tests": False,
    }
    assert found["commits"] == 7


@pytest.mark.spec("R5.4")
def test_each_detail_is_kept_by_itself() -> None:
    repository = RepositoryFactory.create()
    write(repository)
    write(repository, look=replace(UNASKED, languages={"Go": 35}, has_ci=False), now=NOW + DAY)
    found = figures(repository, TODAY + DAY)
    assert (found["languages"], found["has_ci"], found["has_tests"]) == ({"Go": 35}, False, False)
    assert (found["tech_stack"], found["lines_of_code"]) == (["Go"], 1)


@pytest.mark.spec("R5.4")
def test_no_languages_are_not_the_same_as_languages_that_were_not_looked_at() -> None:
    repository = RepositoryFactory.create()
    write(repository)
    write(repository, look=replace(LOOK, languages={}))
    assert figures(repository)["languages"] == {}


@pytest.mark.spec("R5.4")
def test_whether_all_were_measured_is_told_by_day() -> None:
    one, other, third = RepositoryFactory.create_batch(3)
    RepositoryMetricFactory.create(repository=third, date=TODAY)
    assert daily_metrics.all_measured([], TODAY)
    assert not daily_metrics.all_measured([one.pk], TODAY)
    write(one)
    assert daily_metrics.all_measured([one.pk], TODAY)
    assert not daily_metrics.all_measured([one.pk, other.pk], TODAY)
    assert not daily_metrics.all_measured([one.pk], TODAY + DAY)
    assert not daily_metrics.all_measured([one.pk], TODAY - DAY)


# -- dry runs and large ones -----------------------------------------------------------------------


@pytest.mark.spec("R7.5")
def test_a_dry_run_counts_and_writes_nothing() -> None:
    one, other, third = RepositoryFactory.create_batch(3)
    write(one, other)
    IssueFactory.create(repository=one)
    with nothing_written():
        assert write(one, other, third, dry_run=True) == counted(1, 1, 1)
        assert write(one, now=NOW + DAY, dry_run=True) == counted(created=1)
    assert write(one, other, third) == counted(1, 1, 1)


@pytest.mark.spec("R5.4")
def test_fifty_repositories_take_as_many_queries_as_one() -> None:
    repositories = RepositoryFactory.create_batch(51)
    for each in repositories[::10]:
        commit(each, "ann")
        IssueFactory.create(repository=each)

    def queries(*some: Repository) -> int:
        with CaptureQueriesContext(connection) as captured:
            write(*some)
        return len(captured)

    first = queries(repositories[0])
    assert first <= 7  # four readings, a savepoint around one writing
    assert queries(*repositories[1:]) == first
    again = queries(repositories[0])
    assert again == queries(*repositories[1:]) == 4


# -- whatever happens ------------------------------------------------------------------------------


@contextmanager
def forgotten() -> Iterator[None]:
    """Examples share a test's transaction; each leaves what it found."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.fixture
def repository() -> Repository:
    """One that all examples share."""
    return RepositoryFactory.create()


looks = st.builds(
    Look,
    commits=st.integers(0, 3),
    languages=st.none() | st.dictionaries(st.sampled_from(["Go", "C"]), st.integers(0, 99)),
    has_ci=st.sampled_from([None, True, False]),
    has_tests=st.sampled_from([None, True, False]),
)


@pytest.mark.spec("R5.4", "R5.5", "P38")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(looks, st.integers(0, 1)), min_size=1, max_size=3))
def test_a_day_shows_what_was_seen_last_on_it_and_a_second_look_writes_nothing(
    repository: Repository, steps: list[tuple[Look, int]]
) -> None:
    with forgotten():
        day = 0
        seen: dict[str, Any] = {"languages": None, "has_ci": None, "has_tests": None}
        expected: dict[date, dict[str, Any]] = {}
        for look, days in steps:
            day += days
            now = NOW + day * DAY
            given_ = {name: getattr(look, name) for name in seen}
            seen |= {name: value for name, value in given_.items() if value is not None}
            languages = seen["languages"] or {}
            expected[now.date()] = seen | {
                "commits": look.commits,
                "languages": languages,
                "lines_of_code": normalizer.lines_of_code(languages),
                "tech_stack": list(normalizer.tech_stack(languages)),
            }
            write(repository, look=look, now=now)
        with nothing_written():
            assert write(repository, look=look, now=now + HOUR) == counted(unchanged=1)
        rows = {row.date: row for row in RepositoryMetric.objects.all()}
        assert {
            day: {name: getattr(row, name) for name in expected[day]} for day, row in rows.items()
        } == expected
