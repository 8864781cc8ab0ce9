"""How far each list was read: what a reading, a failure and a repetition leave behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncsvc import content_lists
from syncsvc.content_lists import Failed, Settled
from syncsvc.github.reading import Entity
from syncsvc.models import ContentList, Installation, Repository
from syncsvc.retrying import LISTS, delay
from tests.factories import ContentListFactory, InstallationFactory, RepositoryFactory

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
SHA = "a" * 40
NO_FAILURE = {
    "failures": 0, "failed_at": None, "retry_at": None, "error_category": "", "error": "",
}  # fmt: skip


def settled(repository: Repository, entity: Entity = Entity.COMMITS, **changes: Any) -> Settled:
    plain = Settled(
        repository_id=repository.pk,
        entity=entity,
        count=12,
        mirrored=10,
        unreadable=2,
        latest_at=NOW - HOUR,
        head_sha=SHA,
        item_limit=10,
        whole=True,
    )
    return replace(plain, **changes)


def failed(repository: Repository, entity: Entity = Entity.COMMITS, **changes: Any) -> Failed:
    plain = Failed(
        repository_id=repository.pk,
        entity=entity,
        category="network",
        sentence="It is tried again later.",
    )
    return replace(plain, **changes)


def row(**which: Any) -> dict[str, Any]:
    [found] = ContentList.objects.filter(**which).values()
    return {name: value for name, value in found.items() if name not in {"id", "repository_id"}}


KEPT = {
    "entity": "commits",
    "count": 12,
    "mirrored": 10,
    "unreadable": 2,
    "latest_at": NOW - HOUR,
    "head_sha": SHA,
    "item_limit": 10,
    "read_at": NOW,
    "whole_at": NOW,
    **NO_FAILURE,
}


# -- what was read ---------------------------------------------------------------------------------


@pytest.mark.spec("R5.5")
def test_what_a_reading_leaves_behind_is_kept_as_it_is() -> None:
    repository = RepositoryFactory.create()
    content_lists.settle([settled(repository)], NOW)
    assert row() == KEPT
    [(key, found)] = content_lists.read([repository.pk]).items()
    assert key == (repository.pk, Entity.COMMITS)
    assert found.count == 12


@pytest.mark.spec("R5.5")
def test_a_part_keeps_the_time_of_the_last_whole_reading() -> None:
    repository = RepositoryFactory.create()
    content_lists.settle([settled(repository)], NOW)
    later = settled(repository, whole=False, count=13, mirrored=11, latest_at=None, head_sha=None)
    content_lists.settle([later], NOW + HOUR)
    assert row() == KEPT | {
        "count": 13, "mirrored": 11, "latest_at": None, "head_sha": None, "read_at": NOW + HOUR,
    }  # fmt: skip
    content_lists.settle([replace(later, whole=True)], NOW + 2 * HOUR)
    assert (row()["read_at"], row()["whole_at"]) == (NOW + 2 * HOUR, NOW + 2 * HOUR)


@pytest.mark.spec("R5.5")
def test_a_part_alone_is_no_whole_reading() -> None:
    content_lists.settle([settled(RepositoryFactory.create(), whole=False)], NOW)
    assert row() == KEPT | {"whole_at": None}


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize("whole", [True, False])
def test_what_was_read_has_not_failed_any_more(*, whole: bool) -> None:
    repository = RepositoryFactory.create()
    content_lists.settle([settled(repository)], NOW - HOUR)
    content_lists.fail([failed(repository)], NOW - HOUR / 2)
    content_lists.settle([settled(repository, whole=whole)], NOW)
    assert row() == KEPT | ({} if whole else {"whole_at": NOW - HOUR})


@pytest.mark.spec("R5.5", "P37")
def test_each_list_of_each_repository_has_one_row() -> None:
    one, other = RepositoryFactory.create_batch(2)
    every = [
        settled(each, entity, whole=whole)
        for each in (one, other)
        for entity, whole in zip(Entity, (True, False, True), strict=True)
    ]
    content_lists.settle(every, NOW)
    content_lists.settle(every, NOW)
    assert ContentList.objects.count() == 6
    found = content_lists.read([one.pk])
    assert set(found) == {(one.pk, entity) for entity in Entity}
    assert found[one.pk, Entity.PULL_REQUESTS].whole_at is None
    assert content_lists.read([]) == {}
    with pytest.raises(IntegrityError), transaction.atomic():
        ContentListFactory.create(repository=one, entity="commits")


@pytest.mark.spec("R5.5")
def test_counts_have_64_bits_and_unreadable_ones_may_be_fewer_than_none() -> None:
    repository = RepositoryFactory.create()
    content_lists.settle([settled(repository, count=2**40, mirrored=2**41, unreadable=-1)], NOW)
    assert row() == KEPT | {"count": 2**40, "mirrored": 2**41, "unreadable": -1}


@pytest.mark.spec("R5.5")
def test_what_is_many_takes_no_more_queries() -> None:
    repositories = RepositoryFactory.create_batch(31)

    def queries(some: list[Repository]) -> list[int]:
        found = []
        parts = [settled(each, Entity.ISSUES, whole=False) for each in some]
        for step in (
            lambda: content_lists.settle([*map(settled, some), *parts], NOW),
            lambda: content_lists.fail([failed(each) for each in some], NOW),
            lambda: content_lists.read([each.pk for each in some]),
        ):
            with CaptureQueriesContext(connection) as captured:
                step()
            found.append(len(captured))
        return found

    few = queries(repositories[:1])
    assert queries(repositories[1:]) == few
    assert sum(few) <= 5


def test_where_nothing_was_read_nothing_is_written() -> None:
    content_lists.settle([], NOW)
    content_lists.fail([], NOW)
    assert not ContentList.objects.exists()


# -- what failed -----------------------------------------------------------------------------------


@pytest.mark.spec("R5.6")
def test_a_failure_keeps_what_was_known() -> None:
    repository = RepositoryFactory.create()
    content_lists.settle([settled(repository)], NOW)
    content_lists.fail([failed(repository)], NOW + HOUR)
    found = row()
    retry_at = found.pop("retry_at")
    assert found == {name: value for name, value in KEPT.items() if name != "retry_at"} | {
        "failures": 1,
        "failed_at": NOW + HOUR,
        "error_category": "network",
        "error": "It is tried again later.",
    }
    assert 0.75 * LISTS.base <= retry_at - (NOW + HOUR) <= 1.25 * LISTS.base


@pytest.mark.spec("R5.6")
def test_the_first_reading_may_fail() -> None:
    repository = RepositoryFactory.create()
    content_lists.fail([failed(repository, Entity.ISSUES)], NOW)
    found = row()
    assert (found["entity"], found["count"], found["read_at"], found["whole_at"]) == (
        "issues", None, None, None,
    )  # fmt: skip
    assert found["failures"] == 1


@pytest.mark.spec("R5.6")
def test_a_failure_of_the_account_that_had_it_keeps_the_new_account_from_nothing() -> None:
    """GitHub answers 404 to the old account from the moment of the transfer on."""
    repository, other = RepositoryFactory.create_batch(2)
    content_lists.fail([failed(repository)], NOW, other.installation_id)
    assert not ContentList.objects.exists()
    content_lists.fail([failed(repository)], NOW, repository.installation_id)
    assert row()["failures"] == 1
    content_lists.forgive([other.github_id])
    assert row()["failures"] == 1
    content_lists.forgive([repository.github_id])
    assert {name: row()[name] for name in NO_FAILURE} == NO_FAILURE


@pytest.mark.spec("R5.6")
def test_failures_in_a_row_are_counted_and_the_last_one_is_told() -> None:
    repository, other = RepositoryFactory.create_batch(2)
    for number in range(1, 4):
        content_lists.fail([failed(repository, sentence=str(number))], NOW + number * HOUR)
    found = row(repository=repository)
    assert (found["failures"], found["error"]) == (3, "3")
    assert found["failed_at"] == NOW + 3 * HOUR
    assert not ContentList.objects.filter(repository=other).exists()
    content_lists.settle([settled(repository)], NOW)
    content_lists.fail([failed(repository)], NOW)
    assert row(repository=repository)["failures"] == 1


@pytest.mark.spec("R5.6")
def test_a_list_that_fails_twice_in_one_run_has_failed_once() -> None:
    repository = RepositoryFactory.create()
    content_lists.fail([failed(repository), failed(repository, sentence="The last.")], NOW)
    assert (row()["failures"], row()["error"]) == (1, "The last.")


@pytest.mark.spec("R5.6")
def test_each_list_fails_by_itself() -> None:
    repository = RepositoryFactory.create()
    content_lists.settle([settled(repository, entity) for entity in Entity], NOW)
    content_lists.fail([failed(repository, Entity.ISSUES)], NOW)
    failures = {key[1]: each.failures for key, each in content_lists.read([repository.pk]).items()}
    assert failures == {Entity.ISSUES: 1, Entity.PULL_REQUESTS: 0, Entity.COMMITS: 0}


# -- what is to be tried again ---------------------------------------------------------------------


def due_list(retry_at: datetime = NOW, **repository: Any) -> Repository:
    """A repository with a list that failed."""
    found = RepositoryFactory.create(**repository)
    fail_at(found, retry_at)
    return found


def fail_at(repository: Repository, retry_at: datetime, entity: str = "issues") -> None:
    ContentListFactory.create(
        repository=repository, entity=entity, failures=1, failed_at=NOW - HOUR, retry_at=retry_at
    )


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize(
    ("retry_at", "is_due"), [(NOW - HOUR, True), (NOW, True), (NOW + SECOND, False)]
)
def test_a_list_is_due_at_exactly_its_time(retry_at: datetime, *, is_due: bool) -> None:
    repository = due_list(retry_at)
    assert list(content_lists.due(NOW)) == ([repository] if is_due else [])


@pytest.mark.spec("R5.6")
def test_of_each_installation_the_one_that_waits_longest_is_due() -> None:
    one, other, third = InstallationFactory.create_batch(3)
    due_list(NOW - SECOND, installation=one)
    first = due_list(NOW - HOUR, installation=one)
    fail_at(first, NOW - HOUR / 2, "commits")
    fail_at(first, NOW, "pull_requests")
    second = due_list(NOW, installation=other)
    due_list(NOW + SECOND, installation=third)
    assert list(content_lists.due(NOW)) == [first, second]


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize("status", Installation.Status.values)
def test_only_active_installations_are_asked(status: str) -> None:
    repository = due_list(installation=InstallationFactory.create(status=status))
    expected = [repository] if status == Installation.Status.ACTIVE else []
    assert list(content_lists.due(NOW)) == expected


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize("status", Repository.Status.values)
def test_only_repositories_that_are_there_are_asked_for(status: str) -> None:
    repository = due_list(status=status, archived=status == "archived")
    expected = [repository] if status in {"active", "archived"} else []
    assert list(content_lists.due(NOW)) == expected


@pytest.mark.spec("R5.6", "R7.2")
@pytest.mark.parametrize("doubt", [{"name_is_current": False}, {"missing_since": NOW}])
def test_a_repository_in_doubt_is_not_asked_for(doubt: dict[str, Any]) -> None:
    due_list(**doubt)
    assert list(content_lists.due(NOW)) == []


def test_what_is_not_due_hides_nothing_that_is() -> None:
    installation = InstallationFactory.create()
    due_list(NOW - HOUR, installation=installation, status=Repository.Status.DELETED)
    due_list(NOW - HOUR, installation=installation, name_is_current=False)
    repository = due_list(NOW - SECOND, installation=installation)
    assert list(content_lists.due(NOW)) == [repository]


@pytest.mark.spec("R5.6")
def test_what_was_read_is_not_due_any_more() -> None:
    repository = due_list()
    content_lists.settle([settled(repository, Entity.ISSUES, whole=False)], NOW)
    assert list(content_lists.due(NOW + 1000 * HOUR)) == []


# -- in any order ----------------------------------------------------------------------------------


@pytest.fixture
def repository() -> Repository:
    """One that all examples share."""
    return RepositoryFactory.create()


@contextmanager
def forgotten() -> Iterator[None]:
    """Examples share a test's transaction; each leaves what it found."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@pytest.mark.spec("R5.5", "R5.6")
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["whole", "part", "fail"]), min_size=1, max_size=6))
def test_a_list_remembers_its_last_reading_and_the_failures_since(
    repository: Repository, steps: list[str]
) -> None:
    with forgotten():
        count = read_at = whole_at = None
        failures = 0
        for number, step in enumerate(steps):
            now = NOW + number * HOUR
            if step == "fail":
                content_lists.fail([failed(repository)], now)
                failures += 1
                continue
            content_lists.settle([settled(repository, count=number, whole=step == "whole")], now)
            count, read_at, failures = number, now, 0
            whole_at = now if step == "whole" else whole_at
        found = row()
        assert (found["count"], found["read_at"], found["whole_at"]) == (count, read_at, whole_at)
        assert found["failures"] == failures
        assert (found["retry_at"] is None) is (failures == 0)
        if failures:
            assert 0.75 * delay(LISTS, failures) <= found["retry_at"] - now
            assert found["retry_at"] - now <= 1.25 * delay(LISTS, failures)
