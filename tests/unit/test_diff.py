"""What differs, case by case and for any pair of rows."""

from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.diff import Context, Doubt, Evidence, compare, compare_absent
from syncsvc.github.payloads import RepositoryRow
from syncsvc.plan import FIELDS, Change, Kind, MirrorRepository, Operation

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)

REMOTE = RepositoryRow(
    github_id=7,
    node_id="R_7",
    owner="octo",
    owner_id=100,
    name="hello",
    description="Says hello",
    visibility="public",
    archived=False,
    disabled=False,
    fork=False,
    default_branch="main",
    language="Python",
    topics=("a", "b"),
    stars=3,
    forks=1,
    open_issues=2,
    size=10,
    homepage=None,
    license="MIT",
    github_created_at=LONG_AGO,
    github_updated_at=LONG_AGO,
    pushed_at=LONG_AGO,
)
MIRROR = MirrorRepository(
    **{name: getattr(REMOTE, name) for name in FIELDS},
    github_id=7,
    installation_id=1,
    status="active",
    name_is_current=True,
    missing_since=None,
    version=5,
)
CONTEXT = Context(installation_id=1, account_id=100, now=NOW, grace=timedelta(seconds=60))


def change_of(verdict: Change | Doubt | None) -> Change:
    assert isinstance(verdict, Change)
    return verdict


@pytest.mark.spec("R7.1", "R5.5", "P38")
def test_equal_rows_need_nothing() -> None:
    assert compare(REMOTE, MIRROR, CONTEXT) is None


@pytest.mark.spec("R7.1", "R7.4")
@pytest.mark.parametrize(
    ("changed", "kind", "after"),
    [
        ({"name": "hi"}, Kind.WRONG_NAME, {"name": "hi"}),
        ({"owner": "octo-2"}, Kind.WRONG_OWNER, {"owner": "octo-2"}),
        ({"visibility": "internal"}, Kind.WRONG_VISIBILITY, {"visibility": "internal"}),
        ({"archived": True}, Kind.WRONG_ARCHIVED_FLAG, {"archived": True, "status": "archived"}),
        ({"stars": 4}, Kind.STALE_METADATA, {"stars": 4}),
        ({"topics": ("a",)}, Kind.STALE_METADATA, {"topics": ("a",)}),
        ({"default_branch": None}, Kind.STALE_METADATA, {"default_branch": None}),
    ],
)
def test_each_difference_has_its_type_and_both_sides(
    changed: dict[str, Any], kind: Kind, after: dict[str, Any]
) -> None:
    change = change_of(compare(replace(REMOTE, **changed), MIRROR, CONTEXT))
    assert change.kinds == (kind,)
    assert change.after == after
    assert change.before == {name: getattr(MIRROR, name) for name in after}
    assert (change.operation, change.version) == (Operation.UPDATE, 5)
    assert change.is_discrepancy


@pytest.mark.spec("R7.1")
def test_unarchived() -> None:
    archived = replace(MIRROR, archived=True, status="archived")
    change = change_of(compare(REMOTE, archived, CONTEXT))
    assert change.after == {"archived": False, "status": "active"}


@pytest.mark.spec("R7.1")
def test_topics_are_a_set() -> None:
    assert compare(replace(REMOTE, topics=("b", "a")), MIRROR, CONTEXT) is None


@pytest.mark.spec("R7.1")
def test_what_the_payload_did_not_carry_is_not_compared() -> None:
    partial = replace(REMOTE, topics=(), stars=0, absent=frozenset({"topics", "stars"}))
    assert compare(partial, MIRROR, CONTEXT) is None


@pytest.mark.spec("R7.1")
@pytest.mark.parametrize(
    ("policy", "baseline", "status"),
    [
        ("create", False, "active"),
        ("log", False, "unmanaged"),
        ("log", True, "active"),
    ],
)
def test_a_repository_that_the_mirror_lacks(policy: str, baseline: bool, status: str) -> None:
    context = replace(CONTEXT, unmanaged_policy=policy, baseline=baseline)
    change = change_of(compare(REMOTE, None, context))
    assert change.operation is Operation.CREATE
    assert change.kinds == (Kind.MISSING_REPO,)
    assert change.after["status"] == status
    assert {name: change.after[name] for name in FIELDS} == {
        name: getattr(REMOTE, name) for name in FIELDS
    }


@pytest.mark.spec("R7.1")
def test_an_unmanaged_repository_stays_unmanaged_and_up_to_date() -> None:
    unmanaged = replace(MIRROR, status="unmanaged")
    assert compare(REMOTE, unmanaged, CONTEXT) is None
    change = change_of(compare(replace(REMOTE, archived=True), unmanaged, CONTEXT))
    assert change.after == {"archived": True}


@pytest.mark.spec("R7.1")
@pytest.mark.parametrize("status", ["deleted", "transferred", "access_removed"])
def test_a_repository_that_came_back_is_restored(status: str) -> None:
    change = change_of(compare(REMOTE, replace(MIRROR, status=status), CONTEXT))
    assert change.after == {"status": "active"}
    assert change.kinds == (Kind.MISSING_REPO,)


@pytest.mark.spec("R7.1")
def test_a_repository_of_another_of_our_installations_moves_here() -> None:
    elsewhere = replace(MIRROR, installation_id=2, owner="old", owner_id=99)
    assert isinstance(compare(REMOTE, elsewhere, CONTEXT), Doubt)  # a list may be stale
    change = change_of(compare(REMOTE, elsewhere, CONTEXT, proven=True))
    assert change.kinds == (Kind.WRONG_OWNER,)
    assert change.after == {"installation_id": 1, "owner": "octo", "owner_id": 100}


@pytest.mark.spec("R7.5", "P41")
def test_a_listing_older_than_the_mirror_is_doubted_until_proven() -> None:
    newer = replace(MIRROR, github_updated_at=LONG_AGO + timedelta(seconds=1), stars=9)
    assert compare(REMOTE, newer, CONTEXT) == Doubt(github_id=7, full_name="octo/hello")
    change = change_of(compare(REMOTE, newer, CONTEXT, proven=True))
    assert change.after == {"stars": 3, "github_updated_at": LONG_AGO}


@pytest.mark.spec("R7.5")
def test_a_time_in_the_future_shields_no_row() -> None:
    odd = replace(MIRROR, github_updated_at=NOW + timedelta(days=365), stars=9)
    assert change_of(compare(REMOTE, odd, CONTEXT)).after["stars"] == 3


@pytest.mark.spec("R7.6")
@pytest.mark.parametrize(("age", "in_flight"), [(59, True), (60, False), (-5, True), (-61, False)])
def test_a_change_within_the_grace_period_is_no_discrepancy(age: int, in_flight: bool) -> None:
    remote = replace(REMOTE, stars=4, github_updated_at=NOW - timedelta(seconds=age))
    change = change_of(compare(remote, MIRROR, CONTEXT))
    assert change.in_flight is in_flight
    assert change.is_discrepancy is not in_flight


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize(
    ("evidence", "selection", "visibility", "status"),
    [
        (Evidence.NOT_FOUND, "all", "private", "deleted"),
        (Evidence.NOT_FOUND, "all", "public", "deleted"),
        (Evidence.NOT_FOUND, "selected", "public", "deleted"),
        (Evidence.NOT_FOUND, "selected", "private", "access_removed"),
        (Evidence.FORBIDDEN, "all", "private", "access_removed"),
    ],
)
def test_evidence_of_absence(
    evidence: Evidence, selection: str, visibility: str, status: str
) -> None:
    context = replace(CONTEXT, repository_selection=selection)
    change = compare_absent(replace(MIRROR, visibility=visibility), evidence, context)
    assert change is not None
    assert change.operation is Operation.DELETE
    assert change.after == {"status": status}
    assert change.kinds == (Kind.MISSING_AT_GITHUB,)


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize("evidence", [Evidence.UNAVAILABLE, Evidence.BLOCKED])
def test_no_answer_removes_nothing(evidence: Evidence) -> None:
    change = compare_absent(MIRROR, evidence, CONTEXT)
    assert change is not None
    assert change.after == {"missing_since": NOW}
    assert not change.is_discrepancy
    assert compare_absent(replace(MIRROR, missing_since=LONG_AGO), evidence, CONTEXT) is None


@pytest.mark.spec("R7.2")
def test_moved_to_another_owner_is_transferred() -> None:
    moved = replace(REMOTE, owner="other", owner_id=200)
    change = compare_absent(MIRROR, moved, CONTEXT)
    assert change is not None
    assert change.after == {"status": "transferred", "owner": "other", "owner_id": 200}
    assert change.kinds == (Kind.WRONG_OWNER,)


@pytest.mark.spec("R7.2")
def test_still_there_but_not_in_the_selection_means_access_removed() -> None:
    context = replace(CONTEXT, repository_selection="selected")
    change = compare_absent(MIRROR, REMOTE, context)
    assert change is not None
    assert change.after == {"status": "access_removed"}


@pytest.mark.spec("R7.2")
def test_still_there_where_it_belongs_stays() -> None:
    assert compare_absent(MIRROR, REMOTE, CONTEXT) is None


_rows = st.builds(
    replace,
    st.just(REMOTE),
    name=st.sampled_from(["hello", "Hello", "x"]),
    archived=st.booleans(),
    visibility=st.sampled_from(["public", "private", "internal"]),
    stars=st.integers(0, 5),
    topics=st.lists(st.sampled_from("abc"), unique=True).map(tuple),
    description=st.none() | st.text(max_size=5),
    pushed_at=st.none() | st.just(LONG_AGO),
    owner_id=st.sampled_from([100, 200]),
    absent=st.frozensets(st.sampled_from(["topics", "stars", "description"])),
)
_mirrors = st.builds(
    replace,
    st.just(MIRROR),
    name=st.sampled_from(["hello", "x"]),
    stars=st.integers(0, 5),
    status=st.sampled_from(["active", "deleted", "transferred", "unmanaged"]),
    installation_id=st.sampled_from([1, 2]),
    name_is_current=st.booleans(),
    missing_since=st.none() | st.just(LONG_AGO),
)


@pytest.mark.spec("R7.1", "P38")
@given(remote=_rows, mirror=_mirrors)
def test_applying_a_change_leaves_no_difference_and_inputs_are_not_touched(
    remote: RepositoryRow, mirror: MirrorRepository
) -> None:
    before = (repr(remote), repr(mirror))
    verdict = compare(remote, mirror, CONTEXT, proven=True)
    after = mirror
    if verdict is not None:
        change = change_of(verdict)
        assert change.before == {name: asdict(mirror)[name] for name in change.after}
        after = replace(mirror, **change.after)
    assert compare(remote, after, CONTEXT, proven=True) is None
    assert (repr(remote), repr(mirror)) == before


@pytest.mark.spec("R7.2")
@given(mirror=_mirrors, evidence=_rows | st.sampled_from(list(Evidence)))
def test_settling_an_absentee_twice_changes_nothing_more(
    mirror: MirrorRepository, evidence: RepositoryRow | Evidence
) -> None:
    change = compare_absent(mirror, evidence, CONTEXT)
    if change is not None:
        assert compare_absent(replace(mirror, **change.after), evidence, CONTEXT) is None
