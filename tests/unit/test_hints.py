"""What is believed of webhooks: pure, for any order, any ties, any batches."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.diff import Context
from reconciliation.hints import (
    Judged,
    Snapshot,
    Verdict,
    judge,
    judge_item,
    latest,
    latest_items,
)
from syncsvc.content_plan import COLUMNS, Item, MirrorItem
from syncsvc.github.payloads import RepositoryRow, parse_repository
from syncsvc.github.reading import Entity
from syncsvc.plan import FIELDS, MirrorRepository

T0 = datetime(2027, 1, 1, tzinfo=UTC)
NOW = T0 + timedelta(days=1)
CONTEXT = Context(installation_id=1, account_id=7, now=NOW, grace=timedelta(0))
COLUMN = COLUMNS[Entity.ISSUES]


def row(description: str = "", second: int = 0, **changes: Any) -> RepositoryRow:
    parsed = parse_repository(
        {
            "id": 5, "node_id": "R", "name": "r", "owner": {"id": 7, "login": "o"},
            "description": description or None, "private": False, "archived": False,
            "disabled": False, "fork": False, "default_branch": "main", "language": None,
            "topics": [], "stargazers_count": 0, "forks_count": 0, "open_issues_count": 0,
            "size": 1, "homepage": None, "license": None,
            "created_at": "2020-01-01T00:00:00Z", "pushed_at": "2020-01-01T00:00:00Z",
            "updated_at": (T0 + timedelta(seconds=second)).isoformat(),
        }
    )  # fmt: skip
    return replace(parsed, **changes)


def mirror_of(remote: RepositoryRow, **changes: Any) -> MirrorRepository:
    values: dict[str, Any] = {name: getattr(remote, name) for name in FIELDS}
    values |= {"status": "active", "name_is_current": True, "missing_since": None, "version": 1}
    values |= {"github_id": remote.github_id, "installation_id": 1}
    return MirrorRepository(**(values | changes))


def snapshot(remote: RepositoryRow, *, timed: bool = True, **changes: Any) -> Snapshot:
    return Snapshot(row=remote, as_of=remote.github_updated_at, timed=timed, **changes)


def item(second: int, title: str, number: int = 1) -> Item:
    values = dict.fromkeys(COLUMN)
    values |= {
        "number": number,
        "title": title,
        "github_updated_at": T0 + timedelta(seconds=second),
    }
    return Item(
        entity=Entity.ISSUES, repository_id=1, key=11, values=tuple(values[c] for c in COLUMN)
    )


def as_mirrored(told: Item, *, present: bool = True) -> MirrorItem:
    return MirrorItem(pk=1, repository_id=1, values=told.values, present=present)


@dataclass
class Outcome:
    """What became of an item after all deliveries: what the mirror says, and whether it asked."""

    held: Item | None = None
    asked: bool = False

    def hear(self, batch: Sequence[Item]) -> None:
        for hint in latest_items(batch).values():
            mine = as_mirrored(self.held) if self.held is not None else None
            verdict = judge_item(hint.item, mine, NOW)
            self.asked |= verdict is Verdict.ASK or (verdict is not Verdict.STALE and hint.unsure)
            if verdict is Verdict.APPLY:
                self.held = hint.item


@st.composite
def histories(draw: st.DrawFn) -> list[list[Item]]:
    """States of one issue, several within a second, delivered in any order, often twice, in batches."""
    seconds = sorted(draw(st.lists(st.integers(0, 6), min_size=1, max_size=8)))
    states = [item(second, f"title {number}") for number, second in enumerate(seconds)]
    sent = draw(st.permutations(states + draw(st.lists(st.sampled_from(states), max_size=4))))
    cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=4)))
    edges = [0, *cuts, len(sent)]
    return [list(sent[a:b]) for a, b in pairwise(edges)]


@pytest.mark.spec("R6.3", "P41")
@given(histories())
def test_whatever_the_order_the_newest_is_held_or_github_is_asked(
    batches: list[list[Item]],
) -> None:
    outcome = Outcome()
    times = []
    for batch in batches:
        outcome.hear(batch)
        held = outcome.held
        if held is not None and held.updated_at is not None:
            times.append(held.updated_at)
    assert times == sorted(times)  # never back in time
    everything = [each for batch in batches for each in batch]
    newest = max(each.updated_at for each in everything if each.updated_at)
    of_newest = {each.values for each in everything if each.updated_at == newest}
    assert outcome.held is not None
    assert outcome.held.updated_at == newest
    assert outcome.asked or len(of_newest) == 1


@pytest.mark.spec("R6.3", "P38")
@given(histories())
def test_what_was_heard_already_changes_nothing(batches: list[list[Item]]) -> None:
    outcome = Outcome()
    for batch in batches:
        outcome.hear(batch)
    before = outcome.held
    assert before is not None
    for batch in batches:
        for told in batch:
            assert judge_item(told, as_mirrored(before), NOW) is not Verdict.APPLY


@pytest.mark.spec("R6.3")
def test_what_was_removed_is_not_brought_back_by_what_is_older() -> None:
    gone = as_mirrored(item(5, "at its end"), present=False)
    assert judge_item(item(4, "before"), gone, NOW) is Verdict.STALE
    assert judge_item(item(5, "at its end"), gone, NOW) is Verdict.STALE
    assert judge_item(item(6, "after"), gone, NOW) is Verdict.ASK


@pytest.mark.spec("R7.5")
def test_a_time_that_cannot_be_githubs_shields_nothing() -> None:
    far = as_mirrored(item(90 * 86_400, "from the future"))
    assert judge_item(item(5, "now"), far, NOW) is Verdict.APPLY
    assert judge_item(item(90 * 86_400, "from the future"), None, NOW) is Verdict.ASK


# -- repositories ----------------------------------------------------------------------------------


def verdict(
    told: Snapshot, mine: MirrorRepository | None, read_at: datetime | None = None
) -> Verdict:
    return judge(told, mine, CONTEXT, read_at).verdict


@pytest.mark.spec("R6.3", "R6.6")
def test_newer_is_applied_older_is_dropped_and_the_rest_is_asked() -> None:
    mine = mirror_of(row("known", 10))
    assert verdict(snapshot(row("newer", 11)), mine) is Verdict.APPLY
    assert verdict(snapshot(row("older", 8)), mine) is Verdict.STALE
    assert verdict(snapshot(row("just before", 9)), mine) is Verdict.ASK
    assert judge(snapshot(row("newer", 11)), mine, CONTEXT, None).confirm
    assert not judge(snapshot(row("newer", 12)), mine, CONTEXT, None).confirm
    assert verdict(snapshot(row("as old", 10)), mine) is Verdict.ASK
    assert verdict(snapshot(row("older, perhaps", 9), timed=False), mine) is Verdict.ASK
    assert verdict(snapshot(row("known", 10)), mine) is Verdict.SAME
    assert verdict(snapshot(row("newer", 11), unsure=True), mine) is Verdict.ASK
    assert verdict(snapshot(row("new", 1)), None) is Verdict.APPLY
    assert verdict(snapshot(row("newer", 11)), mirror_of(row(), status="deleted")) is Verdict.ASK


@pytest.mark.spec("R6.3")
def test_a_reading_of_ours_at_about_that_time_leaves_it_to_github() -> None:
    mine = mirror_of(row("known", 10))
    told = snapshot(row("newer", 20))
    assert verdict(told, mine, T0 + timedelta(seconds=15)) is Verdict.APPLY
    assert verdict(told, mine, T0 + timedelta(seconds=18)) is Verdict.ASK
    assert verdict(told, mine, T0 + timedelta(seconds=60)) is Verdict.ASK


@pytest.mark.spec("R6.3")
def test_what_changes_nothing_still_says_from_when_it_is() -> None:
    mine = mirror_of(row("known", 10), told_at=T0 + timedelta(seconds=12))
    pushed = replace(snapshot(row("known", 10)), as_of=T0 + timedelta(seconds=30))
    judged: Judged = judge(pushed, mine, CONTEXT, None)
    assert judged.change is not None
    assert dict(judged.change.after) == {"told_at": T0 + timedelta(seconds=30)}
    assert judged.change.kinds == ()
    again = mirror_of(row("known", 10), told_at=T0 + timedelta(seconds=30))
    assert judge(pushed, again, CONTEXT, None).change is None
    late = snapshot(row("between", 11))
    assert verdict(late, again) is Verdict.STALE


@pytest.mark.spec("R6.3")
@given(st.permutations([0, 1, 2, 3]), st.booleans())
def test_of_many_snapshots_the_newest_counts(order: list[int], tie: bool) -> None:
    seconds = [1, 2, 3, 3 if tie else 4]
    shown = [snapshot(row(f"state {n}", seconds[n])) for n in range(4)]
    best = latest([shown[n] for n in order])[5]
    assert best.as_of == T0 + timedelta(seconds=seconds[3])
    assert best.unsure == tie
    assert best.close  # the last two are a second apart
    assert tie or best.row.description == "state 3"
