"""The one writer: swaps, races, and what the database refuses."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciliation.diff import Context, compare
from syncsvc import mirror
from syncsvc.github.payloads import RepositoryRow
from syncsvc.mirror import Applied, Author
from syncsvc.models import Installation, Repository
from syncsvc.plan import Change
from tests.factories import InstallationFactory, RepositoryFactory
from tests.support import row_versions
from tests.unit.test_diff import REMOTE

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def context(installation: Installation) -> Context:
    return Context(
        installation_id=installation.pk, account_id=100, now=NOW, grace=timedelta(seconds=0)
    )


def author(trigger: str = "cron") -> Author:
    return Author(trigger=trigger, job_id=None, now=NOW)


def reconcile(installation: Installation, *rows: RepositoryRow) -> Applied:
    """Compares and applies, as a run does with one page."""
    mine = mirror.read([row.github_id for row in rows])
    verdicts = (
        compare(row, mine.get(row.github_id), context(installation), proven=True) for row in rows
    )
    changes = [change for change in verdicts if isinstance(change, Change)]
    with transaction.atomic():
        return mirror.apply(changes, author())


@pytest.mark.spec("R5.5", "P37", "P38")
@pytest.mark.django_db
def test_the_same_rows_twice_write_nothing_the_second_time() -> None:
    installation = InstallationFactory.create()
    rows = [replace(REMOTE, github_id=n, name=f"r{n}") for n in range(1, 6)]
    assert reconcile(installation, *rows).created == 5
    before = row_versions()
    assert reconcile(installation, *rows) == Applied(
        created=0, updated=0, deleted=0, conflicts=frozenset()
    )
    assert row_versions() == before


@pytest.mark.spec("R7.1")
@pytest.mark.django_db
def test_two_repositories_swap_names_in_one_batch() -> None:
    installation = InstallationFactory.create()
    a, b = replace(REMOTE, github_id=1, name="a"), replace(REMOTE, github_id=2, name="b")
    reconcile(installation, a, b)
    assert reconcile(installation, replace(a, name="b"), replace(b, name="a")).updated == 2
    assert names() == {1: ("octo/b", True), 2: ("octo/a", True)}


@pytest.mark.spec("R7.1")
@pytest.mark.django_db
def test_two_repositories_swap_names_across_two_batches() -> None:
    installation = InstallationFactory.create()
    a, b = replace(REMOTE, github_id=1, name="a"), replace(REMOTE, github_id=2, name="b")
    reconcile(installation, a, b)
    reconcile(installation, replace(a, name="b"))
    assert names() == {1: ("octo/b", True), 2: ("octo/b", False)}  # honest in between
    reconcile(installation, replace(b, name="a"))
    assert names() == {1: ("octo/b", True), 2: ("octo/a", True)}


@pytest.mark.spec("R7.1")
@pytest.mark.django_db
def test_names_rotate_among_many_whatever_the_case_of_their_letters() -> None:
    installation = InstallationFactory.create()
    rows = [replace(REMOTE, github_id=n, name=f"R{n}") for n in range(20)]
    reconcile(installation, *rows)
    turned = [replace(row, name=f"r{(n + 7) % 20}") for n, row in enumerate(rows)]
    assert reconcile(installation, *turned).updated == 20
    assert names() == {n: (f"octo/r{(n + 7) % 20}", True) for n in range(20)}


@pytest.mark.spec("R7.1")
@pytest.mark.django_db
def test_a_new_repository_takes_the_name_of_one_that_was_renamed_unnoticed() -> None:
    installation = InstallationFactory.create()
    reconcile(installation, replace(REMOTE, github_id=1, name="a"))
    reconcile(installation, replace(REMOTE, github_id=2, name="a"))
    assert names() == {1: ("octo/a", False), 2: ("octo/a", True)}


def names() -> dict[int, tuple[str, bool]]:
    return {row.github_id: (row.full_name, row.name_is_current) for row in Repository.objects.all()}


@pytest.mark.spec("R7.5", "P40", "P41")
@pytest.mark.django_db
def test_a_change_computed_from_an_older_row_is_reported_and_not_written() -> None:
    installation = InstallationFactory.create()
    reconcile(installation, REMOTE)
    mine = mirror.read([7])[7]
    late = compare(replace(REMOTE, stars=8), mine, context(installation))
    reconcile(installation, replace(REMOTE, stars=9))
    assert isinstance(late, Change)
    assert mirror.apply([late], author()).conflicts == {7}
    assert Repository.objects.get().stars == 9


@pytest.mark.spec("P37", "P39")
@pytest.mark.django_db(transaction=True)
def test_two_writers_that_create_the_same_repository_make_one() -> None:
    installation = InstallationFactory.create()
    barrier = threading.Barrier(4)

    def create(_: int) -> Applied:
        barrier.wait(timeout=30)
        try:
            return reconcile(installation, REMOTE)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(create, range(4)))
    assert sum(result.created for result in results) == 1
    assert Repository.objects.count() == 1


@pytest.mark.spec("P40")
@pytest.mark.django_db(transaction=True)
def test_of_concurrent_updates_none_is_lost_silently() -> None:
    installation = InstallationFactory.create()
    reconcile(installation, REMOTE)
    barrier = threading.Barrier(4)

    def update(number: int) -> bool:
        mine = mirror.read([7])[7]
        change = compare(replace(REMOTE, stars=100 + number), mine, context(installation))
        assert isinstance(change, Change)
        barrier.wait(timeout=30)
        try:
            with transaction.atomic():
                return not mirror.apply([change], author()).conflicts
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(update, range(4)))
    assert sum(won) == 1
    row = Repository.objects.get()
    assert (row.stars, row.version) == (100 + won.index(True), 2)


@pytest.mark.django_db
def test_each_write_says_who_made_it_and_why() -> None:
    reconcile(InstallationFactory.create(), REMOTE)
    row = Repository.objects.get()
    assert (row.changed_by, row.last_written_at, row.version) == ("cron", NOW, 1)


@pytest.mark.spec("R5.1")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("allowed", "archived", "status", "enabled"),
    [
        (True, False, "active", True),
        (True, True, "archived", False),
        (False, False, "active", False),
        (True, False, "deleted", False),
        (True, False, "unmanaged", False),
    ],
)
def test_automations_run_only_on_what_is_active_and_allowed(
    allowed: bool, archived: bool, status: str, enabled: bool
) -> None:
    row = RepositoryFactory.create(automations_allowed=allowed, archived=archived, status=status)
    row.refresh_from_db()
    assert row.automations_enabled is enabled


@pytest.mark.spec("P32", "P33", "P34")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        {"status": "gone"},
        {"visibility": "secret"},
        {"name": ""},
        {"owner": ""},
        {"archived": True, "status": "active"},
        {"archived": False, "status": "archived"},
        {"github_id": None},
        {"stars": -1},
    ],
)
def test_the_database_refuses_rows_that_cannot_be_true(wrong: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        RepositoryFactory.create(**wrong)


@pytest.mark.django_db
def test_a_current_name_belongs_to_one_repository() -> None:
    first = RepositoryFactory.create(name="Hello")
    with pytest.raises(IntegrityError), transaction.atomic():
        RepositoryFactory.create(installation=first.installation, name="hello")
    RepositoryFactory.create(installation=first.installation, name="hello", status="deleted")
    RepositoryFactory.create(installation=first.installation, name="hello", name_is_current=False)


@pytest.fixture
def installation() -> Installation:
    return InstallationFactory.create()


_texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)


@pytest.mark.spec("P32", "P37", "P38")
@pytest.mark.django_db
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    description=st.none() | _texts,
    topics=st.lists(_texts.filter(bool), max_size=3, unique=True).map(tuple),
    stars=st.integers(0, 2**31 - 1),
    pushed_at=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1, 1, 2)),
    license=st.none() | _texts,
)
def test_whatever_github_says_is_read_back_as_it_was_written(
    installation: Installation, **fields: Any
) -> None:
    row = replace(REMOTE, **fields)
    reconcile(installation, row)
    assert compare(row, mirror.read([7])[7], context(installation)) is None
