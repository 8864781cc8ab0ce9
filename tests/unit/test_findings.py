"""What was wrong, said as findings: for any difference between any two rows."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import content_diff
from reconciliation.diff import Context, compare, compare_absent, kind_of, removal
from reconciliation.findings import (
    LONGEST,
    Finding,
    is_in_flight,
    key_of,
    named,
    of_absence,
    of_change,
    of_item,
    plain,
)
from reconciliation.models import Discrepancy
from syncsvc.content_plan import COLUMNS, Item, MirrorItem
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.reading import Entity
from syncsvc.plan import Change, Kind, MirrorRepository, Operation
from tests.unit.test_content_diff import MINE, item, mirrored
from tests.unit.test_diff import CONTEXT, LONG_AGO, MIRROR, NOW, REMOTE, change_of
from tests.unit.test_diff_properties import mirrors, rows

GRACE = CONTEXT.grace
SECOND = timedelta(seconds=1)
MOMENTS = st.datetimes(
    min_value=datetime(2026, 2, 27), max_value=datetime(2026, 3, 3), timezones=st.just(UTC)
)


def finding(**values: Any) -> Finding:
    given: dict[str, Any] = {
        "entity": "issues", "key": "1", "name": "octo/hello#1", "repository_github_id": 7,
        "kind": Kind.STALE_ISSUE, "action": "update", "before": {}, "after": {},
    }  # fmt: skip
    return Finding(**(given | values))


# -- repositories ----------------------------------------------------------------------------------


@pytest.mark.spec("R7.1", "R7.4")
@given(remote=rows, mirror=mirrors)
def test_findings_cover_exactly_the_fields_that_changed_and_each_type_once(
    remote: RepositoryRow, mirror: MirrorRepository
) -> None:
    verdict = compare(remote, mirror, CONTEXT, proven=True)
    if verdict is None:
        return
    change = change_of(verdict)
    found = of_change(change)
    assert [each.kind for each in found] == list(change.kinds)
    assert len({each.kind for each in found}) == len(found)
    covered: set[str] = set()
    for each in found:
        assert (each.entity, each.key) == ("repositories", str(mirror.github_id))
        assert each.repository_github_id == mirror.github_id
        assert each.after == plain({name: change.after[name] for name in each.after})
        assert each.before == plain({name: getattr(mirror, name) for name in each.before})
        assert each.before.keys() == each.after.keys()
        covered |= each.after.keys()
        if len(found) > 1:  # what belongs to another type stands there
            assert {kind_of(name) for name in each.after} <= {each.kind, None}
    assert covered == (change.after.keys() if found else set())
    noted = replace(change, after={**change.after, "read_at": NOW, "told_at": NOW})
    assert of_change(noted) == found  # our own notes are no difference


@pytest.mark.spec("R7.4")
@given(evidence=rows, mirror=mirrors)
def test_a_removal_is_one_finding_with_all_that_it_changes(
    evidence: RepositoryRow, mirror: MirrorRepository
) -> None:
    change = compare_absent(mirror, evidence, CONTEXT)
    if change is None or change.operation is not Operation.DELETE:
        return
    (found,) = of_change(change)
    moved = change.after.get("status", mirror.status) == "transferred"
    assert found.kind == (Kind.WRONG_OWNER if moved else Kind.MISSING_AT_GITHUB)
    assert (found.action, found.after.keys()) == ("remove", change.after.keys())


@pytest.mark.spec("R7.4")
def test_what_comes_and_what_comes_back_is_created() -> None:
    new = change_of(compare(REMOTE, None, CONTEXT))
    back = change_of(compare(REMOTE, replace(MIRROR, status="deleted"), CONTEXT))
    for change in (new, back):
        (found,) = of_change(change)
        assert (found.kind, found.action) == (Kind.MISSING_REPO, "create")
    assert (new.is_return, back.is_return) == (False, True)
    assert [each.action for each in of_change(change_of(_renamed()))] == ["update"]


def _renamed() -> Any:
    return compare(replace(REMOTE, name="other"), MIRROR, CONTEXT)


@pytest.mark.spec("R7.6", "R9.3")
@pytest.mark.parametrize(
    ("after", "operation", "changed_at"),
    [
        ({"stars": 4}, Operation.UPDATE, None),
        ({"stars": 4, "github_updated_at": NOW}, Operation.UPDATE, NOW),
        ({"pushed_at": NOW, "github_updated_at": LONG_AGO}, Operation.UPDATE, NOW),
        ({"github_created_at": LONG_AGO, "github_updated_at": NOW}, Operation.CREATE, LONG_AGO),
        ({"status": "deleted"}, Operation.DELETE, None),
        ({"status": "access_removed", "github_updated_at": NOW}, Operation.DELETE, None),
        ({"status": "transferred", "github_updated_at": NOW}, Operation.DELETE, NOW),
    ],
)
def test_when_a_repository_changed_is_githubs_time_where_it_tells_one(
    after: dict[str, Any], operation: Operation, changed_at: datetime | None
) -> None:
    change = Change(
        operation=operation, github_id=7, name="octo/hello", kinds=(Kind.STALE_METADATA,),
        before={}, after=after,
    )  # fmt: skip
    assert [each.changed_at for each in of_change(change)] == [changed_at]


@pytest.mark.spec("R7.6")
@given(age=st.integers(0, 300))
def test_a_repository_that_moved_away_within_the_grace_period_is_in_flight(age: int) -> None:
    moved = replace(
        REMOTE, owner="other", owner_id=200, github_updated_at=NOW - timedelta(seconds=age)
    )
    change = compare_absent(MIRROR, moved, CONTEXT)
    assert change is not None
    (found,) = of_change(change)
    assert found.is_in_flight(NOW, GRACE) is (age < 60)


@pytest.mark.spec("R7.4")
@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"stars": 9}, "never_told"),
        ({"stars": 9, "github_updated_at": NOW}, "never_told"),
        ({"stars": 9, "description": "x"}, "unknown"),
        ({"open_issues": 9}, "unknown"),  # webhooks of issues and pull requests carry it
        ({"name": "x"}, "unknown"),
        ({"archived": True, "stars": 9}, "unknown"),
    ],
)
def test_what_github_tells_nobody_is_known_as_such(changed: dict[str, Any], cause: str) -> None:
    found = of_change(change_of(compare(replace(REMOTE, **changed), MIRROR, CONTEXT)))
    assert {each.cause for each in found} == {cause}


# -- items -----------------------------------------------------------------------------------------


def found_of(theirs: Item, mine: MirrorItem | None, **more: Any) -> Finding:
    before, after = content_diff.difference(theirs, mine)
    return of_item(
        theirs, mine, full_name="octo/hello", repository_github_id=7,
        right_at=more.pop("right_at", None), before=before, after=after, **more,
    )  # fmt: skip


titles = st.sampled_from(["One", "Two"])
seconds = st.integers(-5, 5).map(lambda n: NOW + n * SECOND)
issues = st.builds(
    lambda title, at, labels: item(Entity.ISSUES, updated_at=at, title=title, labels=labels),
    titles, seconds, st.lists(st.sampled_from(["bug", "critical"]), unique=True),
)  # fmt: skip


@pytest.mark.spec("R7.1", "R7.4")
@given(theirs=issues, ours=issues, present=st.booleans())
def test_an_item_is_found_wrong_in_exactly_the_columns_that_differ(
    theirs: Item, ours: Item, present: bool
) -> None:
    mine = mirrored(ours, present=present)
    found = found_of(theirs, mine)
    columns = COLUMNS[Entity.ISSUES]
    differ = {
        name
        for name, one, other in zip(columns, ours.values, theirs.values, strict=True)
        if one != other
    }
    assert found.before.keys() == found.after.keys() == differ
    assert found.kind == (Kind.STALE_ISSUE if present else Kind.MISSING_ISSUE)
    assert found.action == ("update" if present else "create")
    assert found.changed_at == theirs.updated_at
    if found.cause == "our_side":
        assert present
        assert ours.updated_at == theirs.updated_at


@pytest.mark.spec("R7.4")
@pytest.mark.parametrize("entity", Entity)
def test_each_list_has_types_of_its_own_and_the_model_knows_them_all(entity: Entity) -> None:
    one = item(entity)
    kinds = [
        found_of(one, None).kind,
        found_of(one, mirrored(one)).kind,
        of_absence(
            entity, one.key, number=1, full_name="octo/hello", repository_github_id=7,
            reason="deleted", right_at=None,
        ).kind,
    ]  # fmt: skip
    assert len(set(kinds)) == 3
    assert {str(kind) for kind in kinds} <= set(Discrepancy.Type.values)
    assert {str(kind) for kind in Kind} == set(Discrepancy.Type.values)


@pytest.mark.spec("R7.6", "R9.3")
def test_a_commit_with_old_dates_changed_when_it_was_pushed() -> None:
    commit = item(Entity.COMMITS)
    assert found_of(commit, None).changed_at == datetime(2025, 1, 1, 0, 1, tzinfo=UTC)
    assert found_of(commit, None, pushed_at=NOW).changed_at == NOW
    assert found_of(commit, None, pushed_at=NOW).is_in_flight(NOW, GRACE)


def test_items_are_named_for_people_and_keyed_for_good() -> None:
    assert (key_of(5), named("o/r", 5, 7)) == ("5", "o/r#7")
    assert (key_of((MINE, "f" * 40)), named("o/r", (MINE, "f" * 40), None)) == (
        "f" * 40,
        f"o/r@{'f' * 10}",
    )


# -- times -----------------------------------------------------------------------------------------


@pytest.mark.spec("R9.3")
@given(changed_at=st.none() | MOMENTS, right_at=st.none() | MOMENTS, now=MOMENTS)
def test_a_difference_began_never_in_the_future_and_never_before_the_mirror_was_right(
    changed_at: datetime | None, right_at: datetime | None, now: datetime
) -> None:
    began = finding(changed_at=changed_at, right_at=right_at).began_at(now)
    if changed_at is None:
        assert began is None
        return
    assert began is not None
    assert began <= now
    assert right_at is None or began >= min(right_at, now)
    assert began in (changed_at, right_at, now)


@pytest.mark.spec("R7.6")
@given(changed_at=MOMENTS, now=MOMENTS, grace=st.integers(0, 3600))
def test_in_flight_is_what_is_younger_than_the_grace_period_and_no_time_of_the_future(
    changed_at: datetime, now: datetime, grace: int
) -> None:
    period = timedelta(seconds=grace)
    age = now - changed_at
    assert is_in_flight(changed_at, now, period) is (-period <= age < period)
    assert not is_in_flight(None, now, period)


@pytest.mark.spec("R7.6")
@pytest.mark.parametrize(
    ("age", "young"), [(0, True), (59, True), (60, False), (-60, True), (-61, False)]
)
def test_the_grace_period_ends_on_the_second(age: int, young: bool) -> None:
    changed_at = NOW - timedelta(seconds=age)
    assert finding(changed_at=changed_at).is_in_flight(NOW, GRACE) is young
    remote = replace(REMOTE, stars=4, github_updated_at=changed_at)
    assert change_of(compare(remote, MIRROR, CONTEXT)).in_flight is young


# -- snapshots -------------------------------------------------------------------------------------

values = st.dictionaries(
    st.text(st.characters(categories=["Ll"]), min_size=1, max_size=4),
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    | st.integers(0, 3 * LONGEST).map(lambda n: "ä" * n)
    | MOMENTS
    | st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)).map(tuple),
    max_size=6,
)


@pytest.mark.spec("R7.4")
@given(given_values=values)
def test_a_snapshot_is_json_and_no_longer_than_need_be(given_values: Mapping[str, Any]) -> None:
    before = dict(given_values)
    said = plain(given_values)
    assert orjson.loads(orjson.dumps(said)) == said
    assert dict(given_values) == before
    for name, value in said.items():
        original = given_values[name]
        if isinstance(original, str) and len(original) > LONGEST:
            assert value == f"{original[:LONGEST]}… ({len(original)} characters)"
        elif isinstance(original, datetime):
            assert datetime.fromisoformat(value) == original
        elif not isinstance(original, tuple):
            assert value == original
    assert plain(said) == plain(plain(said)) or any(
        isinstance(value, str) and len(value) > LONGEST for value in said.values()
    )


def test_findings_do_not_touch_what_they_are_made_of() -> None:
    change = removal(MIRROR, "deleted")
    assert change is not None
    before = repr(asdict(change))
    of_change(change, NOW)
    assert repr(asdict(change)) == before
    assert Context(**asdict(CONTEXT)) == CONTEXT
