"""What has to be read of a list: each cause, and the boundaries at which it begins and ends."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.needs import MARGIN, Cause, Facts, Known, Need, Rules, Wait, again, need
from syncsvc.github.reading import MOST_PER_PAGE, Entity

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
OVERLAP = timedelta(seconds=120)
LATEST = NOW - 5 * HOUR
READ = NOW - HOUR
HEAD, OTHER = "a" * 40, "b" * 40
ITEMS = (Entity.ISSUES, Entity.PULL_REQUESTS)

WINDOWS = Rules(now=NOW, overlap=OVERLAP, whole_after=DAY, windows=True, patient=True)
WHOLE = replace(WINDOWS, windows=False)

KNOWN = Known(
    present=10, count=10, mirrored=10, latest_at=LATEST, read_at=READ, whole_at=NOW - 2 * HOUR
)
FACTS = Facts(count=10, latest_at=LATEST)
BRANCH = Known(
    present=1000,
    count=1000,
    mirrored=1000,
    head_sha=HEAD,
    read_at=READ,
    whole_at=NOW - 2 * HOUR,
)
COMMITS = Facts(count=1000, head_sha=HEAD)

entities = pytest.mark.parametrize("entity", Entity)
items = pytest.mark.parametrize("entity", ITEMS)
either = pytest.mark.parametrize("rules", [WINDOWS, WHOLE], ids=["windows", "whole"])


def known_of(entity: Entity) -> Known:
    return BRANCH if entity is Entity.COMMITS else KNOWN


def facts_of(entity: Entity) -> Facts:
    return COMMITS if entity is Entity.COMMITS else FACTS


# -- every list ------------------------------------------------------------------------------------


@pytest.mark.spec("R5.5", "P38")
@entities
@either
def test_what_did_not_change_is_not_read(entity: Entity, rules: Rules) -> None:
    assert need(entity, known_of(entity), facts_of(entity), rules) is None


@pytest.mark.spec("R5.5")
@entities
@either
@pytest.mark.parametrize(
    "known",
    [
        Known(),
        Known(present=3),
        replace(KNOWN, count=None),
        replace(KNOWN, whole_at=None),
        replace(KNOWN, whole_at=None, failures=2, retry_at=NOW - SECOND),
    ],
)
def test_what_was_never_read_is_read_whole(entity: Entity, rules: Rules, known: Known) -> None:
    found = need(entity, known, facts_of(entity), rules)
    assert found == Need(cause=Cause.FIRST)


@pytest.mark.spec("R5.5")
@entities
def test_an_empty_list_that_was_read_is_known(entity: Entity) -> None:
    known = Known(count=0, read_at=READ, whole_at=READ)
    assert need(entity, known, Facts(count=0), WINDOWS) is None


@pytest.mark.spec("R5.5")
@entities
@either
@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"failures": 1, "retry_at": NOW}, Cause.RETRY),
        ({"failures": 3, "retry_at": NOW - DAY}, Cause.RETRY),
        ({"failures": 1}, Cause.RETRY),
        ({"mirrored": 9}, Cause.OURS),
        ({"present": 9}, Cause.OURS),
        ({"whole_at": NOW - DAY}, Cause.EXPIRED),
    ],
)
def test_what_says_nothing_about_a_part_is_read_whole(
    entity: Entity, rules: Rules, changes: dict[str, object], cause: Cause
) -> None:
    known = replace(known_of(entity), **changes)  # type: ignore[arg-type]
    assert need(entity, known, facts_of(entity), rules) == Need(cause=cause)


@pytest.mark.spec("R5.5")
@entities
@either
def test_everything_is_read_whole_where_it_is_asked_for(entity: Entity, rules: Rules) -> None:
    asked = replace(rules, everything=True)
    assert need(entity, known_of(entity), facts_of(entity), asked) == Need(cause=Cause.ASKED)
    assert need(entity, Known(), facts_of(entity), asked) == Need(cause=Cause.FIRST)


@pytest.mark.spec("R5.6")
@entities
@pytest.mark.parametrize(
    ("retry_in", "patient", "waits"),
    [
        (SECOND, True, True),
        (timedelta(microseconds=1), True, True),
        (timedelta(0), True, False),
        (-SECOND, True, False),
        (SECOND, False, False),
    ],
)
def test_a_list_that_failed_waits_until_exactly_its_time(
    entity: Entity, retry_in: timedelta, *, patient: bool, waits: bool
) -> None:
    known = replace(known_of(entity), failures=1, retry_at=NOW + retry_in)
    found = need(entity, known, facts_of(entity), replace(WINDOWS, patient=patient))
    assert found == (Wait(until=NOW + retry_in) if waits else Need(cause=Cause.RETRY))


@pytest.mark.spec("R5.6")
@entities
def test_a_list_that_failed_at_first_waits_as_well(entity: Entity) -> None:
    known = Known(failures=1, retry_at=NOW + SECOND)
    assert need(entity, known, facts_of(entity), WINDOWS) == Wait(until=NOW + SECOND)
    impatient = replace(WINDOWS, patient=False, everything=True)
    assert need(entity, known, facts_of(entity), impatient) == Need(cause=Cause.FIRST)


@pytest.mark.spec("R5.5")
@entities
@pytest.mark.parametrize(
    ("spread", "hours"), [(0.0, 18), (0.25, 21), (0.5, 24), (0.75, 27), (1.0, 30)]
)
def test_each_list_expires_at_its_own_time_around_the_set_one(
    entity: Entity, spread: float, hours: int
) -> None:
    def found(age: timedelta) -> Need | Wait | None:
        known = replace(known_of(entity), whole_at=NOW - age)
        return need(entity, known, facts_of(entity), WINDOWS, spread)

    assert found(hours * HOUR) == Need(cause=Cause.EXPIRED)
    assert found(hours * HOUR - SECOND) is None


@pytest.mark.spec("R5.5")
@entities
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("age", [timedelta(0), SECOND])
def test_with_no_time_to_rest_every_list_is_read_whole_each_time(
    entity: Entity, spread: float, age: timedelta
) -> None:
    rules = replace(WINDOWS, whole_after=timedelta(0))
    known = replace(known_of(entity), whole_at=NOW - age)
    found = need(entity, known, facts_of(entity), rules, spread)
    assert found == Need(cause=Cause.EXPIRED)


# -- issues and pull requests ----------------------------------------------------------------------


@pytest.mark.spec("R5.5")
@items
@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (Facts(count=11, latest_at=NOW), Cause.COUNT),
        (Facts(count=11, latest_at=LATEST), Cause.COUNT),
        (Facts(count=10, latest_at=LATEST + SECOND), Cause.LATEST),
    ],
)
def test_what_is_new_is_read_from_the_newest_known_on_less_the_overlap(
    entity: Entity, facts: Facts, cause: Cause
) -> None:
    part = Need(cause=cause, whole=False, since=LATEST - OVERLAP)
    assert need(entity, KNOWN, facts, WINDOWS) == part
    assert need(entity, KNOWN, facts, WHOLE) == Need(cause=cause)


@pytest.mark.spec("R5.5")
@items
@either
@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (Facts(count=9, latest_at=LATEST), Cause.COUNT),
        (Facts(count=9, latest_at=NOW), Cause.COUNT),
        (Facts(count=0), Cause.COUNT),
        (Facts(count=10, latest_at=LATEST - SECOND), Cause.LATEST),
        (Facts(count=11, latest_at=LATEST - SECOND), Cause.COUNT),
        (Facts(count=10), Cause.LATEST),
        (Facts(count=11), Cause.COUNT),
    ],
)
def test_what_is_gone_is_in_no_part_of_the_list(
    entity: Entity, rules: Rules, facts: Facts, cause: Cause
) -> None:
    assert need(entity, KNOWN, facts, rules) == Need(cause=cause)


@pytest.mark.spec("R5.5")
@items
def test_the_first_items_of_an_empty_list_have_no_known_time_to_begin_with(entity: Entity) -> None:
    known = Known(count=0, read_at=READ, whole_at=READ)
    found = need(entity, known, Facts(count=1, latest_at=NOW), WINDOWS)
    assert found == Need(cause=Cause.COUNT)


@pytest.mark.spec("R5.5")
@items
@pytest.mark.parametrize(
    ("ago", "settled"),
    [
        (OVERLAP + SECOND, True),
        (OVERLAP, True),
        (OVERLAP - timedelta(microseconds=1), False),
        (OVERLAP - SECOND, False),
        (timedelta(0), False),
        (-SECOND, False),
    ],
)
def test_a_change_is_settled_once_it_was_read_an_overlap_later(
    entity: Entity, ago: timedelta, *, settled: bool
) -> None:
    latest = READ - ago
    known = replace(KNOWN, latest_at=latest)
    facts = replace(FACTS, latest_at=latest)
    found = need(entity, known, facts, WINDOWS)
    whole = need(entity, known, facts, WHOLE)
    if settled:
        assert found is whole is None
        return
    assert whole == Need(cause=Cause.UNSETTLED)
    since = min(latest, READ) - OVERLAP  # a time after the reading is none of GitHub's
    assert found == Need(cause=Cause.UNSETTLED, whole=False, since=since)


@pytest.mark.spec("R5.5")
@items
def test_without_an_overlap_only_the_second_of_the_reading_is_unsettled(entity: Entity) -> None:
    rules = replace(WINDOWS, overlap=timedelta(0))
    for latest, settled in ((READ, True), (READ + SECOND, False)):
        known, facts = replace(KNOWN, latest_at=latest), replace(FACTS, latest_at=latest)
        assert (need(entity, known, facts, rules) is None) is settled


@items
def test_a_list_whose_reading_has_no_time_is_judged_by_count_and_newest_change(
    entity: Entity,
) -> None:
    assert need(entity, replace(KNOWN, read_at=None), FACTS, WINDOWS) is None


# -- commits ---------------------------------------------------------------------------------------


def branch(limit: int) -> Known:
    """A branch of 1000 commits of which so many are wanted, and are there."""
    held = min(limit or 1000, 1000)
    return replace(BRANCH, item_limit=limit, present=held, mirrored=held)


def limited(limit: int, *, windows: bool = True) -> Rules:
    return replace(WINDOWS, commit_limit=limit, windows=windows)


@pytest.mark.spec("R5.3", "R5.5")
@either
@pytest.mark.parametrize(
    ("limit", "asked"), [(0, None), (1, 1), (999, 999), (1000, 1000), (1001, 1001)]
)
@pytest.mark.parametrize(
    ("known", "cause"),
    [
        (Known(), Cause.FIRST),
        (replace(BRANCH, failures=1), Cause.RETRY),
        (replace(BRANCH, mirrored=1), Cause.OURS),
        (replace(BRANCH, whole_at=NOW - 2 * DAY), Cause.EXPIRED),
    ],
)
def test_whole_means_as_many_as_are_wanted(
    rules: Rules, limit: int, asked: int | None, known: Known, cause: Cause
) -> None:
    found = need(Entity.COMMITS, known, COMMITS, replace(rules, commit_limit=limit))
    assert found == Need(cause=cause, limit=asked)


@pytest.mark.spec("R5.3", "R5.5")
@either
@pytest.mark.parametrize(
    ("read_with", "wanted", "more"),
    [
        (100, 101, 101),  # raised
        (100, 0, None),  # all
        (999, 1000, 1000),
        (100, 100, False),
        (1000, 1000, False),
        (1000, 2000, False),  # it was not cut
        (1000, 0, False),
        (1001, 0, False),
        (0, 0, False),
    ],
)
def test_more_commits_are_read_where_more_are_wanted_and_there_are_more(
    rules: Rules, read_with: int, wanted: int, more: int | None
) -> None:
    known = replace(BRANCH, item_limit=read_with)
    found = need(Entity.COMMITS, known, COMMITS, replace(rules, commit_limit=wanted))
    assert found == (None if more is False else Need(cause=Cause.LIMIT, limit=more))


@pytest.mark.spec("R5.3", "R5.5")
@either
@pytest.mark.parametrize(
    ("read_with", "held", "wanted", "fewer"),
    [
        (0, 1000, 1000, False),
        (0, 1000, 999, True),
        (1000, 1000, 999, True),
        (100, 100, 99, True),
        (100, 105, 100, False),  # what came since stays until all is read
        (100, 105, 104, True),  # more, in fact
        (100, 99, 99, False),
    ],
)
def test_a_branch_is_read_whole_where_fewer_commits_are_wanted(
    rules: Rules, read_with: int, held: int, wanted: int, *, fewer: bool
) -> None:
    known = replace(BRANCH, item_limit=read_with, present=held, mirrored=held)
    found = need(Entity.COMMITS, known, COMMITS, replace(rules, commit_limit=wanted))
    assert found == (Need(cause=Cause.LIMIT, limit=wanted) if fewer else None)


@pytest.mark.spec("R5.5")
@either
@pytest.mark.parametrize("count", [999, 1001, 0])
@pytest.mark.parametrize("limit", [0, 50])
def test_the_same_head_with_another_count_is_read_whole(
    rules: Rules, count: int, limit: int
) -> None:
    facts = replace(COMMITS, count=count)
    found = need(Entity.COMMITS, branch(limit), facts, replace(rules, commit_limit=limit))
    assert found == Need(cause=Cause.COUNT, limit=limit or None)


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize(
    ("new", "limit", "most"),
    [
        (1, 0, 1 + MARGIN),
        (MARGIN - 1, 0, 2 * MARGIN - 1),
        (MARGIN, 0, 2 * MARGIN),
        (MARGIN + 1, 0, 2 * MARGIN + 2),
        (250, 0, 5 * MOST_PER_PAGE),
        (1, 1 + MARGIN, 1 + MARGIN),
        (1, MARGIN, MARGIN),
        (1, 1, 1),
        (250, 499, 499),
        (250, 501, 500),
    ],
)
def test_new_commits_are_read_with_a_margin(new: int, limit: int, most: int) -> None:
    facts = Facts(count=1000 + new, head_sha=OTHER)
    part = Need(cause=Cause.HEAD, whole=False, limit=most)
    assert need(Entity.COMMITS, branch(limit), facts, limited(limit)) == part
    whole = Need(cause=Cause.HEAD, limit=limit or None)
    assert need(Entity.COMMITS, branch(limit), facts, limited(limit, windows=False)) == whole


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("limit", [0, 10, 2000])
@pytest.mark.parametrize(
    "facts",
    [
        pytest.param(Facts(count=1251, head_sha=OTHER), id="too many for a part"),
        pytest.param(Facts(count=1000, head_sha=OTHER), id="as many others"),
        pytest.param(Facts(count=999, head_sha=OTHER), id="fewer"),
        pytest.param(Facts(count=0), id="emptied"),
    ],
)
def test_where_the_former_head_is_out_of_sight_the_branch_is_read_whole(
    facts: Facts, limit: int
) -> None:
    found = need(Entity.COMMITS, branch(limit), facts, limited(limit))
    assert found == Need(cause=Cause.HEAD, limit=limit or None)


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("limit", [0, 10])
def test_the_first_commits_of_an_empty_branch_are_read_whole(limit: int) -> None:
    known = Known(count=0, item_limit=limit, read_at=READ, whole_at=READ)
    found = need(Entity.COMMITS, known, Facts(count=1, head_sha=OTHER), limited(limit))
    assert found == Need(cause=Cause.HEAD, limit=limit or None)


@pytest.mark.spec("R5.3", "R5.5")
def test_a_cut_branch_is_read_on_in_parts() -> None:
    known = replace(BRANCH, item_limit=100, present=100, mirrored=100)
    facts = Facts(count=1001, head_sha=OTHER)
    part = Need(cause=Cause.HEAD, whole=False, limit=51)
    assert need(Entity.COMMITS, known, facts, limited(100)) == part
    assert need(Entity.COMMITS, known, facts, limited(200)) == Need(cause=Cause.LIMIT, limit=200)


# -- once more -------------------------------------------------------------------------------------


@pytest.mark.spec("R5.5")
@entities
@pytest.mark.parametrize("limit", [0, 1, 1000])
def test_what_was_not_explained_is_read_whole(entity: Entity, limit: int) -> None:
    asked = limit or None if entity is Entity.COMMITS else None
    assert again(entity, limited(limit)) == Need(cause=Cause.UNPROVEN, limit=asked)


# -- whatever is known -----------------------------------------------------------------------------

counts = st.integers(0, 3000)
moments = st.none() | st.integers(-10_000, 10_000).map(lambda n: NOW + n * SECOND)
heads = st.none() | st.sampled_from([HEAD, OTHER])
knowns = st.builds(
    Known,
    present=counts,
    count=st.none() | counts,
    mirrored=counts,
    unreadable=st.integers(-3, 3),
    latest_at=moments,
    head_sha=heads,
    item_limit=counts,
    read_at=moments,
    whole_at=moments,
    failures=st.integers(0, 3),
    retry_at=moments,
)
facts_ = st.builds(Facts, count=counts, latest_at=moments, head_sha=heads)
rules_ = st.builds(
    Rules,
    now=st.just(NOW),
    overlap=st.sampled_from([timedelta(0), OVERLAP]),
    whole_after=st.sampled_from([timedelta(0), HOUR, DAY]),
    commit_limit=st.sampled_from([0, 1, 100, 1000]),
    everything=st.booleans(),
    windows=st.booleans(),
    patient=st.booleans(),
)


@pytest.mark.spec("R5.5")
@given(
    entity=st.sampled_from(Entity), known=knowns, facts=facts_, rules=rules_, spread=st.floats(0, 1)
)
def test_a_part_is_read_only_where_it_can_be_enough(
    entity: Entity, known: Known, facts: Facts, rules: Rules, spread: float
) -> None:
    found = need(entity, known, facts, rules, spread)
    if isinstance(found, Wait):
        assert rules.patient
        assert known.retry_at == found.until > rules.now
        return
    if found is None:
        assert not rules.everything
        assert not known.failures
        assert facts.count == known.count
        assert known.present == known.mirrored
        if entity is Entity.COMMITS:
            assert facts.head_sha == known.head_sha
        else:
            assert facts.latest_at == known.latest_at
        return
    if found.limit is not None:
        assert entity is Entity.COMMITS
        assert found.limit > 0
        assert not rules.commit_limit or found.limit <= rules.commit_limit
    if found.whole:
        assert found.since is None
        assert entity is not Entity.COMMITS or found.limit == (rules.commit_limit or None)
        return
    assert rules.windows
    assert not rules.everything
    assert not known.failures
    assert known.count is not None
    assert facts.count >= known.count
    if entity is Entity.COMMITS:
        assert found.since is None
        assert found.limit is not None
        assert known.head_sha is not None
        assert known.head_sha != facts.head_sha
    else:
        assert found.since is not None
        assert known.latest_at is not None
        assert facts.latest_at is not None
        assert known.latest_at <= facts.latest_at
        begin = min(known.latest_at, known.read_at or known.latest_at)
        assert found.since == begin - rules.overlap
