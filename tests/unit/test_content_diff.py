"""What differs between GitHub's items and the mirror's, at every boundary of time."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.content_diff import Compared, compare, difference
from syncsvc.content_plan import COLUMNS, Item, Key, MirrorItem, item_of
from syncsvc.github.content import parse_commit, parse_issue, parse_pull_request
from syncsvc.github.reading import Entity
from tests.content_support import rest_commit, rest_issue, rest_pull_request

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
MINE, ANOTHER = 7, 8
ITEMS = (Entity.ISSUES, Entity.PULL_REQUESTS)

entities = pytest.mark.parametrize("entity", Entity)
items = pytest.mark.parametrize("entity", ITEMS)


def item(entity: Entity, number: int = 1, updated_at: datetime = NOW, **changes: Any) -> Item:
    """An item of our repository 7. Commits have no time of change."""
    if entity is Entity.COMMITS:
        return item_of(parse_commit(rest_commit(f"{number:040x}", **changes)), MINE)
    changes |= {"updated_at": updated_at.isoformat()}
    if entity is Entity.ISSUES:
        return item_of(parse_issue(rest_issue(number, **changes)), MINE)
    return item_of(parse_pull_request(rest_pull_request(number, **changes)), MINE)


def other(entity: Entity, updated_at: datetime = NOW) -> Item:
    """The same item with another text."""
    if entity is Entity.COMMITS:
        return item(entity, author={"login": "somebody", "type": "User"})
    return item(entity, updated_at=updated_at, title="Another")


def mirrored(given: Item, *, present: bool = True, repository_id: int = MINE) -> MirrorItem:
    return MirrorItem(pk=1, repository_id=repository_id, values=given.values, present=present)


def mirror_of(*given: Item) -> dict[Key, MirrorItem]:
    return {each.key: mirrored(each) for each in given}


def compared(
    *, created: int = 0, updated: int = 0, unchanged: int = 0, older: int = 0
) -> tuple[int, int, int, int]:
    return created, updated, unchanged, older


def counts(found: Compared) -> tuple[int, int, int, int]:
    assert found.changes == found.created + found.updated
    return len(found.created), len(found.updated), found.unchanged, found.older


# -- compare ---------------------------------------------------------------------------------------


@pytest.mark.spec("R7.1")
@entities
def test_what_the_mirror_lacks_is_created(entity: Entity) -> None:
    one, two = item(entity, 1), item(entity, 2)
    found = compare([one, two], mirror_of(one), NOW)
    assert found == Compared(created=(two,), updated=(), unchanged=1, older=0)
    assert compare([], mirror_of(one), NOW) == Compared(
        created=(), updated=(), unchanged=0, older=0
    )


@pytest.mark.spec("R5.5", "R7.1", "P38")
@entities
def test_what_is_equal_is_not_written(entity: Entity) -> None:
    same = item(entity)
    assert counts(compare([same], mirror_of(same), NOW)) == compared(unchanged=1)


@pytest.mark.spec("R7.1", "R7.5", "P41")
@items
@pytest.mark.parametrize(
    ("ahead", "written"),
    [
        (timedelta(0), True),  # of the same time, what was read last
        (SECOND, True),
        (DAY, True),
        (-timedelta(microseconds=1), False),
        (-SECOND, False),
        (-400 * DAY, False),
    ],
)
def test_the_newest_by_githubs_time_wins(
    entity: Entity, ahead: timedelta, *, written: bool
) -> None:
    theirs = other(entity, NOW + ahead)
    found = counts(compare([theirs], mirror_of(item(entity)), NOW))
    assert found == (compared(updated=1) if written else compared(older=1))


@pytest.mark.spec("R7.5")
@items
@pytest.mark.parametrize(
    ("ours", "shields"),
    [
        (timedelta(0), True),
        (DAY - SECOND, True),
        (DAY, True),
        (DAY + timedelta(microseconds=1), False),
        (1000 * DAY, False),
    ],
)
def test_a_time_in_the_far_future_shields_no_row(
    entity: Entity, ours: timedelta, *, shields: bool
) -> None:
    mine = item(entity, updated_at=NOW + ours)
    found = counts(compare([other(entity, NOW - SECOND)], mirror_of(mine), NOW))
    assert found == (compared(older=1) if shields else compared(updated=1))


@pytest.mark.spec("R5.3", "R7.5")
def test_a_commit_has_no_older_state() -> None:
    mine, theirs = item(Entity.COMMITS), other(Entity.COMMITS)
    assert compare([theirs], mirror_of(mine), NOW).updated == (theirs,)


@pytest.mark.spec("R5.3", "R7.1")
@entities
def test_what_was_gone_and_is_shown_again_is_there_again(entity: Entity) -> None:
    same = item(entity)
    found = compare([same], {same.key: mirrored(same, present=False)}, NOW)
    assert found.updated == (same,)


@pytest.mark.spec("R7.5")
@items
def test_what_is_gone_does_not_come_back_in_an_older_state(entity: Entity) -> None:
    mine = mirrored(item(entity), present=False)
    theirs = other(entity, NOW - SECOND)
    assert counts(compare([theirs], {theirs.key: mine}, NOW)) == compared(older=1)


@pytest.mark.spec("R7.1")
@items
@pytest.mark.parametrize(("age", "written"), [(timedelta(0), True), (-SECOND, False)])
def test_an_item_that_moved_to_another_repository_moves_here_as_well(
    entity: Entity, age: timedelta, *, written: bool
) -> None:
    theirs = item(entity, updated_at=NOW + age)
    mine = mirrored(item(entity), repository_id=ANOTHER)
    found = counts(compare([theirs], {theirs.key: mine}, NOW))
    assert found == (compared(updated=1) if written else compared(older=1))


@pytest.mark.spec("R5.3")
def test_the_same_commit_of_another_repository_is_another_one() -> None:
    theirs = replace(item(Entity.COMMITS), repository_id=ANOTHER)
    theirs = replace(theirs, key=(ANOTHER, f"{1:040x}"))
    found = compare([theirs], mirror_of(item(Entity.COMMITS)), NOW)
    assert counts(found) == compared(created=1)


@pytest.mark.spec("R5.5", "R7.1")
@entities
def test_an_item_that_comes_twice_is_judged_twice_in_its_order(entity: Entity) -> None:
    one, two = item(entity), other(entity)
    assert compare([one, two], {}, NOW).created == (one, two)
    found = compare([two, one, two], mirror_of(one), NOW)
    assert found.updated == (two, two)
    assert found.unchanged == 1


# -- difference ------------------------------------------------------------------------------------


@pytest.mark.spec("R7.4")
@entities
def test_what_is_new_differs_in_every_column(entity: Entity) -> None:
    before, after = difference(item(entity), None)
    assert before == {}
    assert after == dict(zip(COLUMNS[entity], item(entity).values, strict=True))


@pytest.mark.spec("R7.4")
def test_only_what_differs_is_told_before_and_after() -> None:
    mine = item(Entity.ISSUES)
    theirs = item(Entity.ISSUES, title="Another", labels=["critical"], updated_at=NOW + SECOND)
    before, after = difference(theirs, mirrored(mine))
    assert after == {
        "title": "Another",
        "labels": ("critical",),
        "github_updated_at": NOW + SECOND,
        "severity": "critical",
        "due_at": datetime(2025, 1, 1, 4, tzinfo=UTC),
        "priority_base": 90,
    }
    assert before == {
        "title": "Issue 1",
        "labels": (),
        "github_updated_at": NOW,
        "severity": "medium",
        "due_at": datetime(2025, 1, 4, tzinfo=UTC),
        "priority_base": 70,
    }


@pytest.mark.spec("R7.4")
@entities
def test_what_is_equal_or_only_gone_differs_in_no_column(entity: Entity) -> None:
    same = item(entity)
    assert difference(same, mirrored(same)) == ({}, {})
    assert difference(same, mirrored(same, present=False, repository_id=ANOTHER)) == ({}, {})


# -- whatever comes --------------------------------------------------------------------------------

versions = st.builds(
    lambda entity, number, second, label: item(
        entity,
        number,
        NOW + second * SECOND,
        **(
            {"author": {"login": label, "type": "User"}}
            if entity is Entity.COMMITS
            else {"labels": [label]}
        ),
    ),
    st.just(Entity.ISSUES) | st.sampled_from(Entity),
    st.integers(1, 3),
    st.sampled_from([-1, 0, 1, 86_400, 86_401]),
    st.sampled_from(["bug", "critical"]),
)
mirrors = st.lists(
    st.tuples(versions, st.booleans(), st.sampled_from([MINE, MINE, ANOTHER])), max_size=6
).map(
    lambda rows: {
        each.key: mirrored(each, present=present, repository_id=repository_id)
        for each, present, repository_id in rows
        if isinstance(each.key, int) or repository_id == MINE
    }
)


@pytest.mark.spec("R7.1", "R7.5", "P38", "P41")
@given(given_items=st.lists(versions, max_size=6, unique_by=lambda each: each.key), mirror=mirrors)
def test_each_item_is_judged_once_and_writing_leaves_no_difference(
    given_items: list[Item], mirror: Mapping[Key, MirrorItem]
) -> None:
    before = repr((given_items, mirror))
    found = compare(given_items, mirror, NOW)
    assert sum(counts(found)) == len(given_items)
    assert {each.key for each in found.created}.isdisjoint(mirror)
    after = dict(mirror) | {each.key: mirrored(each) for each in found.changes}
    again = compare(given_items, after, NOW)
    assert counts(again) == compared(unchanged=len(given_items) - found.older, older=found.older)
    for each in found.updated:
        mine = mirror[each.key]
        old, new = difference(each, mine)
        assert old.keys() == new.keys()
        assert new or not mine.present or mine.repository_id != each.repository_id
        if each.entity is not Entity.COMMITS:
            assert each.updated_at is not None
            assert mine.updated_at is not None
            assert each.updated_at >= mine.updated_at or mine.updated_at > NOW + DAY
    assert repr((given_items, mirror)) == before
