"""The diff as a value, for any pair of rows: what it changes, what it leaves, and when it doubts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.content_diff import compare as compare_items
from reconciliation.content_diff import difference
from reconciliation.diff import Context, Doubt, Evidence, compare, compare_absent
from syncsvc.content_plan import COLUMNS, Item, MirrorItem
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.reading import Entity
from syncsvc.plan import FIELDS, Change, MirrorRepository, Operation
from tests.unit.test_content_diff import item, mirrored
from tests.unit.test_diff import CONTEXT, LONG_AGO, MIRROR, NOW, REMOTE, change_of

DAY = timedelta(days=1)
_texts = st.none() | st.sampled_from(["", "one", "two"])
_times = st.none() | st.sampled_from([LONG_AGO, NOW - DAY, NOW - timedelta(seconds=5), NOW])
_fields: dict[str, st.SearchStrategy[Any]] = {
    "node_id": st.sampled_from(["R_7", "MDEwOlJlcG9zaXRvcnk3"]),
    "owner": st.sampled_from(["octo", "Octo"]),
    "owner_id": st.sampled_from([100, 200]),
    "name": st.sampled_from(["hello", "Hello", "x"]),
    "description": _texts,
    "visibility": st.sampled_from(["public", "private", "internal"]),
    "archived": st.booleans(),
    "disabled": st.booleans(),
    "fork": st.booleans(),
    "default_branch": _texts,
    "language": _texts,
    "topics": st.lists(st.sampled_from("abc"), unique=True).map(tuple),
    "stars": st.integers(0, 3),
    "forks": st.integers(0, 3),
    "open_issues": st.integers(0, 3),
    "size": st.integers(0, 3),
    "homepage": _texts,
    "license": _texts,
    "github_created_at": _times,
    "github_updated_at": _times,
    "pushed_at": _times,
}
#: Few fields at a time, so that what differs differs in few ways.
_changes = st.dictionaries(st.sampled_from(FIELDS), st.just(None), max_size=4).flatmap(
    lambda names: st.fixed_dictionaries({name: _fields[name] for name in names})
)
rows = st.builds(
    lambda changes, absent: replace(REMOTE, **changes, absent=absent),
    _changes,
    st.frozensets(st.sampled_from(["topics", "stars", "license"])),
)
_states = st.fixed_dictionaries(
    {
        "status": st.sampled_from(
            ["active", "deleted", "transferred", "access_removed", "unmanaged"]
        ),
        "installation_id": st.sampled_from([1, 1, 1, 2]),
        "name_is_current": st.sampled_from([True, True, False]),
        "missing_since": st.none() | st.just(LONG_AGO),
        "last_written_at": st.none() | st.sampled_from([LONG_AGO, NOW + timedelta(seconds=1)]),
    }
)


def _mirror(changes: dict[str, Any], state: dict[str, Any]) -> MirrorRepository:
    made = replace(MIRROR, **changes, **state)
    if made.status == "active" and made.archived:
        return replace(made, status="archived")
    return made


mirrors = st.builds(_mirror, _changes, _states)


def applied(mirror: MirrorRepository, change: Change | None) -> MirrorRepository:
    return mirror if change is None else replace(mirror, **change.after)


@pytest.mark.spec("R7.1", "P38")
@given(remote=rows, mirror=mirrors)
def test_applying_the_diff_gives_github_in_every_field_and_leaves_no_diff(
    remote: RepositoryRow, mirror: MirrorRepository
) -> None:
    before = (repr(remote), repr(mirror))
    verdict = compare(remote, mirror, CONTEXT, proven=True)
    change = None if verdict is None else change_of(verdict)
    after = applied(mirror, change)
    for name in FIELDS:
        if name in remote.absent:  # what was not carried is not touched
            assert getattr(after, name) == getattr(mirror, name)
        elif name == "topics":
            assert set(after.topics) == set(remote.topics)
        else:
            assert getattr(after, name) == getattr(remote, name)
    assert (after.installation_id, after.name_is_current, after.missing_since) == (1, True, None)
    assert after.status == (
        "unmanaged" if mirror.status == "unmanaged" else "archived" if after.archived else "active"
    )
    assert compare(remote, after, CONTEXT, proven=True) is None
    if change is not None:
        assert change.before.keys() == change.after.keys()
        assert change.version == mirror.version
        assert all(change.before[name] != change.after[name] for name in change.after)
    assert (repr(remote), repr(mirror)) == before


@pytest.mark.spec("R7.1")
@given(remote=rows, policy=st.sampled_from(["create", "log"]), baseline=st.booleans())
def test_what_the_mirror_lacks_is_created_as_github_shows_it(
    remote: RepositoryRow, policy: str, baseline: bool
) -> None:
    context = replace(CONTEXT, unmanaged_policy=policy, baseline=baseline)
    change = change_of(compare(remote, None, context))
    assert (change.operation, change.before, change.version) == (Operation.CREATE, {}, None)
    assert all(change.after[name] == getattr(remote, name) for name in FIELDS)
    kept = {name: value for name, value in change.after.items() if name not in FIELDS}
    made = replace(MIRROR, **{name: change.after[name] for name in FIELDS}, **kept)
    assert compare(replace(remote, absent=frozenset()), made, context, proven=True) is None


@pytest.mark.spec("R7.5", "P41")
@given(remote=rows, mirror=mirrors)
def test_a_list_that_is_older_than_the_mirror_writes_nothing_on_its_own_word(
    remote: RepositoryRow, mirror: MirrorRepository
) -> None:
    verdict = compare(remote, mirror, CONTEXT)
    ours, theirs = mirror.github_updated_at, remote.github_updated_at
    is_older = ours is not None and theirs is not None and theirs < ours <= NOW + DAY
    is_late = mirror.last_written_at is not None and mirror.last_written_at > NOW
    if isinstance(verdict, Doubt):
        assert is_older or is_late or mirror.installation_id != CONTEXT.installation_id
    elif verdict is not None:
        assert not is_older
        assert not is_late
        assert verdict == compare(remote, mirror, CONTEXT, proven=True)


@pytest.mark.spec("R7.1", "R7.2")
@given(
    mirror=mirrors,
    evidence=rows | st.sampled_from(list(Evidence)),
    selection=st.sampled_from(["all", "selected"]),
)
def test_whatever_became_of_an_absentee_is_settled_once_and_nothing_is_invented(
    mirror: MirrorRepository, evidence: RepositoryRow | Evidence, selection: str
) -> None:
    context = replace(CONTEXT, repository_selection=selection)
    before = (repr(mirror), repr(evidence))
    change = compare_absent(mirror, evidence, context)
    after = applied(mirror, change)
    assert compare_absent(after, evidence, context) is None
    if evidence in (Evidence.BLOCKED, Evidence.UNAVAILABLE):
        assert after.status == mirror.status  # no answer removes nothing
    if isinstance(evidence, RepositoryRow) and selection == "all" and evidence.owner_id == 100:
        assert after.status in ("active", "archived", "unmanaged")
    if change is not None:
        assert change.before == {name: getattr(mirror, name) for name in change.after}
    assert (repr(mirror), repr(evidence)) == before


@pytest.mark.spec("R7.6")
@given(
    updated=st.none() | st.integers(-200, 200),
    pushed=st.none() | st.integers(-200, 200),
    grace=st.integers(0, 120),
    late=st.integers(0, 120),
)
def test_a_change_is_in_flight_by_its_newest_time_when_it_was_seen(
    updated: int | None, pushed: int | None, grace: int, late: int
) -> None:
    moments = [None if age is None else NOW - timedelta(seconds=age) for age in (updated, pushed)]
    remote = replace(REMOTE, stars=4, github_updated_at=moments[0], pushed_at=moments[1])
    seen_at = NOW + timedelta(seconds=late)
    context = Context(
        installation_id=1, account_id=100, now=NOW, grace=timedelta(seconds=grace), seen_at=seen_at
    )
    change = change_of(compare(remote, MIRROR, context, proven=True))
    ages = [(seen_at - each).total_seconds() for each in moments if each is not None]
    assert change.in_flight is bool(ages and -grace <= min(ages) < grace)
    assert change.is_discrepancy is not change.in_flight


items = st.builds(
    lambda entity, title, second: item(
        entity,
        updated_at=NOW + timedelta(seconds=second),
        **(
            {"author": {"login": title, "type": "User"}}
            if entity is Entity.COMMITS
            else {"title": title}
        ),
    ),
    st.sampled_from(Entity),
    st.sampled_from(["one", "two"]),
    st.integers(-2, 2),
)


@pytest.mark.spec("R7.1", "R7.5", "P38")
@given(theirs=items, ours=items, present=st.booleans(), written=st.none() | st.integers(-1, 1))
def test_the_columns_that_differ_turn_our_item_into_githubs(
    theirs: Item, ours: Item, present: bool, written: int | None
) -> None:
    ours = replace(ours, entity=theirs.entity, key=theirs.key) if _alike(theirs, ours) else theirs
    at = None if written is None else NOW + timedelta(seconds=written)
    mine = replace(mirrored(ours, present=present), written_at=at)
    before = (repr(theirs), repr(mine))
    old, new = difference(theirs, mine)
    columns = COLUMNS[theirs.entity]
    row = dict(zip(columns, mine.values, strict=True))
    assert old == {name: row[name] for name in new}
    assert tuple((row | new).values()) == theirs.values
    found = compare_items([theirs], {theirs.key: mine}, NOW)
    again = MirrorItem(
        pk=1, repository_id=theirs.repository_id, values=theirs.values, present=True, written_at=at
    )
    if found.changes:
        assert compare_items([theirs], {theirs.key: again}, NOW).unchanged == 1
    assert (repr(theirs), repr(mine)) == before


def _alike(one: Item, other: Item) -> bool:
    return one.entity is other.entity
