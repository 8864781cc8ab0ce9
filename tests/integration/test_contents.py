"""The one writer of issues, pull requests and commits: the newest wins, and nothing is lost."""

import random
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syncsvc import contents
from syncsvc.content_plan import COLUMNS, Item, item_of
from syncsvc.contents import Held, Written
from syncsvc.github.content import parse_commit, parse_issue, parse_pull_request
from syncsvc.github.reading import Entity
from syncsvc.mirror import Author
from syncsvc.models import Commit, Issue, PullRequest, Repository
from tests.content_support import rest_commit, rest_issue, rest_pull_request
from tests.factories import RepositoryFactory

pytestmark = pytest.mark.django_db

ITEMS = (Entity.ISSUES, Entity.PULL_REQUESTS)
MODELS: dict[Entity, Any] = {
    Entity.ISSUES: Issue,
    Entity.PULL_REQUESTS: PullRequest,
    Entity.COMMITS: Commit,
}
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHOR = Author(trigger="cron", job_id=None, now=NOW)


def issue(repository: Repository, number: int = 1, **changes: Any) -> Item:
    return item_of(parse_issue(rest_issue(number, **changes)), repository.pk)


def pull_request(repository: Repository, number: int = 1, **changes: Any) -> Item:
    return item_of(parse_pull_request(rest_pull_request(number, **changes)), repository.pk)


def commit(repository: Repository, n: int = 1, **changes: Any) -> Item:
    return item_of(parse_commit(rest_commit(f"{n:040x}", **changes)), repository.pk)


MAKERS = {
    Entity.ISSUES: issue,
    Entity.PULL_REQUESTS: pull_request,
    Entity.COMMITS: commit,
}


def write(*items: Item, author: Author = AUTHOR) -> Written:
    with transaction.atomic():
        return contents.write(items[0].entity, items, author)


def at(minutes: float) -> str:
    """GitHub's time, so many minutes before the present."""
    return (NOW - timedelta(minutes=minutes)).isoformat()


def written(created: int = 0, updated: int = 0, passed_over: int = 0) -> Written:
    return Written(created=created, updated=updated, passed_over=passed_over)


def titles(entity: Entity = Entity.ISSUES) -> dict[int, str]:
    """Of all rows, by GitHub's id, those that are there and those that are not."""
    return dict(MODELS[entity].objects.values_list("github_id", "title"))


def removals(entity: Entity = Entity.ISSUES) -> dict[int, str]:
    return dict(MODELS[entity].objects.values_list("github_id", "removal"))


# -- what comes out is what went in ----------------------------------------------------------------


@pytest.mark.spec("R5.2", "R5.3", "R5.5")
@pytest.mark.parametrize("entity", Entity)
def test_what_was_written_is_read_as_it_was_given(entity: Entity) -> None:
    repository = RepositoryFactory.create()
    items = [MAKERS[entity](repository, number) for number in range(1, 6)]
    assert write(*items) == written(created=5)
    found = contents.read(entity, [item.key for item in items])
    assert {key: mine.values for key, mine in found.items()} == {i.key: i.values for i in items}
    assert all(mine.present and mine.repository_id == repository.pk for mine in found.values())
    assert write(*items) == written(updated=5)
    assert contents.read(entity, [item.key for item in items]) == found


@pytest.mark.spec("R5.2", "R5.3")
@pytest.mark.parametrize("entity", ITEMS)
def test_no_text_is_too_long_or_too_strange(entity: Entity) -> None:
    repository = RepositoryFactory.create()
    texts = [
        "\N{PILE OF POO}" * 16_384,
        "é" * 65_536,
        'a "quoted" \\ {brace}, \\N and \t\n\x01\x7f\u2028 NULL',
        None,
        "",
    ]
    labels = [{"name": f'{n} "x", {{}} \\ \N{FIRE} NULL'} for n in range(120)]
    items = [
        MAKERS[entity](repository, number, title=str(text)[:300], body=text, labels=labels)
        for number, text in enumerate(texts, 1)
    ]
    assert write(*items) == written(created=5)
    found = contents.read(entity, [item.key for item in items])
    assert {key: mine.values for key, mine in found.items()} == {i.key: i.values for i in items}


@pytest.mark.spec("R5.3")
def test_a_commit_is_read_by_its_repository_and_its_sha() -> None:
    one, other = RepositoryFactory.create_batch(2)
    strange = commit(
        one,
        2,
        commit={
            "author": {"name": "\N{CAT}"},
            "committer": {"date": at(1)},
            "message": "m\n" * 30_000,
        },
    )
    write(commit(one), commit(other), strange)
    found = contents.read(Entity.COMMITS, [commit(one).key, strange.key, commit(other, 2).key])
    assert {key: mine.values for key, mine in found.items()} == {
        each.key: each.values for each in (commit(one), strange)
    }


@pytest.mark.spec("R5.2", "R5.3")
@pytest.mark.parametrize("entity", ITEMS)
def test_ids_have_64_bits(entity: Entity) -> None:
    item = MAKERS[entity](RepositoryFactory.create(), number=2**31 - 1, id=2**63 - 1)
    write(item)
    assert contents.read(entity, [2**63 - 1])[2**63 - 1].values == item.values


@pytest.mark.parametrize("entity", Entity)
def test_nothing_is_read_and_written_where_nothing_is_given(entity: Entity) -> None:
    assert contents.read(entity, []) == {}
    assert contents.missing(entity, []) == []
    assert contents.write(entity, [], AUTHOR) == written()
    assert contents.remove(Entity.ISSUES, {}, AUTHOR) == 0
    assert contents.drop([], AUTHOR) == contents.prune([]) == 0
    assert contents.counts([]) == {}


def test_each_write_says_who_made_it() -> None:
    repository = RepositoryFactory.create()
    write(issue(repository))
    write(issue(repository, title="New"), author=replace(AUTHOR, trigger="webhook", now=at_(1)))
    row = Issue.objects.get()
    assert (row.changed_by, row.changed_by_job, row.last_written_at) == ("webhook", None, at_(1))


def at_(minutes: int) -> datetime:
    return NOW + timedelta(minutes=minutes)


# -- the newest wins -------------------------------------------------------------------------------


@pytest.mark.spec("R5.5", "R7.5")
@pytest.mark.parametrize("entity", ITEMS)
def test_what_is_older_overwrites_nothing(entity: Entity) -> None:
    repository, make = RepositoryFactory.create(), MAKERS[entity]
    write(make(repository, title="new", updated_at=at(1)))
    done = write(make(repository, title="old", updated_at=at(2)), make(repository, 2))
    assert done == written(created=1, passed_over=1)
    assert "new" in titles(entity).values()
    assert "old" not in titles(entity).values()


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", ITEMS)
def test_of_two_with_one_time_the_later_reading_wins(entity: Entity) -> None:
    repository, make = RepositoryFactory.create(), MAKERS[entity]
    write(make(repository, title="first"))
    assert write(make(repository, title="second")) == written(updated=1)
    assert list(titles(entity).values()) == ["second"]


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", ITEMS)
@pytest.mark.parametrize(("ahead", "shields"), [(86_400, True), (86_401, False)])
def test_a_time_in_the_far_future_shields_no_row(
    entity: Entity, ahead: int, *, shields: bool
) -> None:
    repository, make = RepositoryFactory.create(), MAKERS[entity]
    write(make(repository, title="ahead", updated_at=at(-ahead / 60)))
    done = write(make(repository, title="now", updated_at=at(0)))
    assert done == (written(passed_over=1) if shields else written(updated=1))
    assert list(titles(entity).values()) == ["ahead" if shields else "now"]


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize(
    ("times", "kept"),
    [((3, 2, 1), 2), ((1, 2, 3), 0), ((1, 1, 1), 2), ((2, 1, 1), 2), ((-2000, 2, 3), 1)],
)
def test_an_item_that_comes_more_than_once_is_written_once(times: Sequence[int], kept: int) -> None:
    repository = RepositoryFactory.create()
    items = [issue(repository, title=str(n), updated_at=at(each)) for n, each in enumerate(times)]
    assert write(*items) == written(created=1)
    assert list(titles().values()) == [str(kept)]


@pytest.mark.spec("R5.3")
def test_a_commit_that_comes_twice_is_written_once() -> None:
    repository = RepositoryFactory.create()
    assert write(commit(repository), commit(repository)) == written(created=1)
    assert Commit.objects.count() == 1


# -- what goes and comes back ----------------------------------------------------------------------


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", ITEMS)
def test_what_was_removed_stays_with_its_reason_and_may_come_back(entity: Entity) -> None:
    repository, make = RepositoryFactory.create(), MAKERS[entity]
    write(make(repository, 1), make(repository, 2))
    mine = contents.read(entity, [make(repository).key])[make(repository).key]
    assert contents.remove(entity, {mine.pk: "deleted"}, AUTHOR) == 1
    assert contents.remove(entity, {mine.pk: "transferred"}, AUTHOR) == 0
    row = MODELS[entity].objects.values("removed_at", "removal", "last_written_at")
    assert row.get(pk=mine.pk) == {"removed_at": NOW, "removal": "deleted", "last_written_at": NOW}
    assert not contents.read(entity, [make(repository).key])[make(repository).key].present
    assert contents.missing(entity, [make(repository).key]) == [make(repository).key]
    assert list(contents.present(entity, repository.pk)) == [make(repository, 2).key]
    assert contents.counts([repository.pk]) == {(repository.pk, entity): 1}
    assert write(make(repository)) == written(updated=1)
    assert contents.read(entity, [make(repository).key])[make(repository).key] == mine
    assert set(removals(entity).values()) == {""}


@pytest.mark.spec("R5.3")
def test_what_was_dropped_stays_and_may_come_back() -> None:
    repository = RepositoryFactory.create()
    write(commit(repository, 1), commit(repository, 2))
    pk = Commit.objects.get(sha=f"{1:040x}").pk
    assert contents.drop([pk], AUTHOR) == 1
    assert contents.drop([pk], replace(AUTHOR, now=at_(1))) == 0
    assert Commit.objects.get(pk=pk).dropped_at == NOW
    assert contents.counts([repository.pk]) == {(repository.pk, Entity.COMMITS): 1}
    assert contents.missing(Entity.COMMITS, [commit(repository, n).key for n in (1, 2, 3)]) == [
        commit(repository, 1).key, commit(repository, 3).key,
    ]  # fmt: skip
    assert write(commit(repository, 1)) == written(updated=1)
    assert Commit.objects.get(pk=pk).dropped_at is None


@pytest.mark.spec("R5.3")
def test_commits_beyond_the_window_are_deleted() -> None:
    repository = RepositoryFactory.create()
    write(*(commit(repository, n) for n in range(1, 6)))
    held = contents.present(Entity.COMMITS, repository.pk)
    assert contents.prune([held[commit(repository, n).key].pk for n in (1, 2)]) == 2
    assert {row.sha for row in Commit.objects.all()} == {f"{n:040x}" for n in (3, 4, 5)}


def test_what_is_there_is_told_by_list_and_repository() -> None:
    one, other, empty = RepositoryFactory.create_batch(3)
    write(issue(one, 1), issue(one, 2), issue(other, 3))
    write(pull_request(one, 3))
    write(commit(one), commit(other))
    assert contents.counts([one.pk, empty.pk]) == {
        (one.pk, Entity.ISSUES): 2,
        (one.pk, Entity.PULL_REQUESTS): 1,
        (one.pk, Entity.COMMITS): 1,
    }
    row = Commit.objects.get(repository=one)
    assert contents.present(Entity.COMMITS, one.pk) == {
        (one.pk, row.sha): Held(pk=row.pk, number=None, committed_at=row.committed_at)
    }
    assert contents.present(Entity.ISSUES, other.pk) == {
        1003: Held(pk=Issue.objects.get(github_id=1003).pk, number=3, committed_at=None)
    }
    assert contents.present(Entity.ISSUES, empty.pk) == {}


# -- numbers ---------------------------------------------------------------------------------------


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", ITEMS)
def test_two_items_swap_numbers_in_one_batch(entity: Entity) -> None:
    repository, make = RepositoryFactory.create(), MAKERS[entity]
    write(make(repository, 1, id=1), make(repository, 2, id=2))
    assert write(make(repository, 2, id=1), make(repository, 1, id=2)) == written(updated=2)
    held = contents.present(entity, repository.pk)
    assert {key: each.number for key, each in held.items()} == {1: 2, 2: 1}


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", ITEMS)
def test_who_lost_its_number_to_another_was_replaced(entity: Entity) -> None:
    one, other = RepositoryFactory.create_batch(2)
    make = MAKERS[entity]
    write(make(one, 5, id=1), make(other, 5, id=2), make(one, 6, id=3))
    assert write(make(one, 5, id=4)) == written(created=1)
    assert removals(entity) == {1: "replaced", 2: "", 3: "", 4: ""}
    assert write(make(one, 7, id=1)) == written(updated=1)  # it is somewhere else
    assert removals(entity) == {1: "", 2: "", 3: "", 4: ""}


@pytest.mark.spec("R5.5")
def test_a_stale_item_takes_no_number() -> None:
    repository = RepositoryFactory.create()
    write(issue(repository, 1, id=1), issue(repository, 2, id=2, updated_at=at(1)))
    assert write(issue(repository, 1, id=2, updated_at=at(2))) == written(passed_over=1)
    assert removals() == {1: "", 2: ""}


@pytest.mark.spec("R5.5")
def test_of_two_items_with_one_number_in_a_batch_the_later_has_it() -> None:
    repository = RepositoryFactory.create()
    write(issue(repository, 1, id=1))
    done = write(issue(repository, 1, id=1), issue(repository, 1, id=2))
    assert done == written(created=1, passed_over=1)
    assert removals() == {1: "replaced", 2: ""}


@pytest.mark.spec("R5.5")
def test_an_item_that_moves_to_another_repository_keeps_its_row() -> None:
    one, other = RepositoryFactory.create_batch(2)
    write(issue(one, 1, id=1), issue(other, 1, id=2))
    assert write(issue(other, 9, id=1)) == written(updated=1)
    assert contents.counts([one.pk, other.pk]) == {(other.pk, Entity.ISSUES): 2}


# -- what cannot be written ------------------------------------------------------------------------


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize(
    ("column", "value", "error"),
    [
        ("author", "x" * 256, DataError),
        ("number", 2**31, DataError),
        ("title", None, IntegrityError),
        ("severity", "none", IntegrityError),
    ],
)
def test_one_bad_item_is_told_by_an_error_and_nothing_is_written(
    column: str, value: object, error: type[Exception]
) -> None:
    repository = RepositoryFactory.create()
    bad = issue(repository, 2)
    values = dict(zip(COLUMNS[Entity.ISSUES], bad.values, strict=True)) | {column: value}
    with pytest.raises(error):
        write(issue(repository), replace(bad, values=tuple(values.values())))
    assert titles() == {}


# -- many at once ----------------------------------------------------------------------------------


@pytest.mark.spec("R5.5", "R7.5")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("entity", Entity)
def test_writers_of_the_same_items_never_wait_in_a_circle_and_the_newest_stays(
    entity: Entity,
) -> None:
    repository, make = RepositoryFactory.create(), MAKERS[entity]
    barrier = threading.Barrier(4)

    def work(number: int) -> Written:
        # All swap numbers in pairs as well, so that every way of locking rows is taken.
        chance = random.Random(number)
        total = written()
        try:
            barrier.wait(timeout=30)
            for lap in range(5):
                age = 100 - 4 * lap - number
                stamp = (
                    {} if entity is Entity.COMMITS else {"updated_at": at(age), "title": str(age)}
                )
                swap = lap % 2 if entity in ITEMS else 0
                items = [
                    replace(make(repository, n, **stamp), key=make(repository, n ^ swap).key)
                    for n in chance.sample(range(2, 62), 60)
                ]
                done = write(*items)
                total = Written(
                    created=total.created + done.created,
                    updated=total.updated + done.updated,
                    passed_over=total.passed_over + done.passed_over,
                )
            return total
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert sum(each.created for each in results) == 60
    assert sum(each.created + each.updated + each.passed_over for each in results) == 4 * 5 * 60
    assert contents.counts([repository.pk]) == {(repository.pk, entity): 60}
    if entity in ITEMS:
        assert set(titles(entity).values()) == {"81"}


@pytest.mark.spec("R5.5", "R7.5")
@pytest.mark.django_db(transaction=True)
def test_a_writer_that_waited_for_another_sees_what_that_one_wrote() -> None:
    repository = RepositoryFactory.create()
    write(issue(repository, title="first", updated_at=at(9)))

    def late() -> Written:
        try:
            return write(issue(repository, title="old", updated_at=at(5)))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            contents.write(
                Entity.ISSUES, [issue(repository, title="new", updated_at=at(1))], AUTHOR
            )
            waiting = pool.submit(late)
            wait_for_a_waiter()
        assert waiting.result(timeout=30) == written(passed_over=1)
    assert list(titles().values()) == ["new"]


def wait_for_a_waiter() -> None:
    """Until somebody waits for a writer of this database to end."""
    with connection.cursor() as cursor:
        for _ in range(3000):
            cursor.execute(
                "SELECT pg_sleep(0.01), count(*) FROM pg_locks"
                " JOIN pg_database ON pg_database.oid = pg_locks.database"
                " WHERE NOT granted AND locktype = 'advisory' AND datname = current_database()"
            )
            if cursor.fetchone()[1]:
                return
    raise AssertionError("nobody waits")


@contextmanager
def forgotten() -> Iterator[None]:
    """Examples share a test's transaction; each leaves what it found."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


versions = st.tuples(st.integers(1, 4), st.integers(0, 6))


@pytest.mark.spec("R5.5", "R7.5")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(versions, min_size=1, max_size=6), min_size=1, max_size=5))
@pytest.mark.parametrize("entity", ITEMS)
def test_in_whatever_order_versions_come_the_newest_stays(
    entity: Entity, batches: list[list[tuple[int, int]]]
) -> None:
    with forgotten():
        repository, serial = RepositoryFactory.create(), count()
        newest: dict[int, tuple[int, str]] = {}
        for batch in batches:
            items = []
            for number, time in batch:
                title = str(next(serial))
                stamp = at(100 - time)
                items.append(
                    MAKERS[entity](repository, number, id=number, title=title, updated_at=stamp)
                )
                if number not in newest or time >= newest[number][0]:
                    newest[number] = (time, title)
            done = write(*items)
            assert done.created + done.updated + done.passed_over == len({n for n, _ in batch})
        assert titles(entity) == {number: title for number, (_, title) in newest.items()}


@pytest.mark.spec("R5.5")
def test_commits_are_found_by_their_shas_whatever_the_statistics_say() -> None:
    write(*(commit(repository) for repository in RepositoryFactory.create_batch(300)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE syncsvc_commit")  # one commit in each repository, it now thinks
    large = RepositoryFactory.create()
    items = [commit(large, n) for n in range(2000)]
    write(*items)
    keys = [item.key for item in items[:200]]
    for look, most in ((contents.read, 200), (contents.missing, 200)):
        before = rows_fetched()
        look(Entity.COMMITS, keys)
        assert rows_fetched() - before <= most


def rows_fetched() -> int:
    """How many commits were fetched through an index so far in this transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'syncsvc_commit'"
        )
        return int(cursor.fetchone()[0])
