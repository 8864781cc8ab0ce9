"""The one writer of issues, pull requests and commits: the newest wins, and nothing is lost."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import transaction

from syncsvc import contents
from syncsvc.content_plan import Item, item_of
from syncsvc.contents import Written
from syncsvc.github.content import parse_commit, parse_issue, parse_pull_request
from syncsvc.github.reading import Entity
from syncsvc.mirror import Author
from syncsvc.models import Repository
from tests.content_support import rest_commit, rest_issue, rest_pull_request
from tests.factories import RepositoryFactory

pytestmark = pytest.mark.django_db

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


@pytest.mark.spec("R5.2", "R5.3", "R5.5")
@pytest.mark.parametrize("entity", Entity)
def test_what_was_written_is_read_as_it_was_given(entity: Entity) -> None:
    repository = RepositoryFactory.create()
    items = [MAKERS[entity](repository, number) for number in range(1, 6)]
    assert write(*items) == Written(created=5, updated=0, passed_over=0)
    found = contents.read(entity, [item.key for item in items])
    assert {key: mine.values for key, mine in found.items()} == {i.key: i.values for i in items}
    assert all(mine.present and mine.repository_id == repository.pk for mine in found.values())
    assert write(*items) == Written(created=0, updated=5, passed_over=0)
    assert contents.read(entity, [item.key for item in items]) == found


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", [Entity.ISSUES, Entity.PULL_REQUESTS])
def test_two_items_swap_numbers_in_one_batch(entity: Entity) -> None:
    repository = RepositoryFactory.create()
    make = MAKERS[entity]
    write(make(repository, 1, id=1), make(repository, 2, id=2))
    done = write(make(repository, 2, id=1), make(repository, 1, id=2))
    assert done == Written(created=0, updated=2, passed_over=0)
    held = contents.present(entity, repository.pk)
    assert {key: each.number for key, each in held.items()} == {1: 2, 2: 1}
