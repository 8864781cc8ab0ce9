"""What a run keeps for another attempt: what is not ours, or old, is nothing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import checkpoints
from reconciliation.checkpoints import CONTENTS_FRESH, LIST_FRESH, Checkpoint

pytestmark = pytest.mark.spec("R10.2")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEPT = Checkpoint(
    listed_at=NOON - timedelta(minutes=1),
    settled_at=NOON,
    contents_at=NOON,
    done_to=17,
    moments=(NOON,),
    asked=frozenset({(1, 2), (3, 4)}),
    fresh=frozenset({("issues", 9)}),
    list={"failures": [], "tallies": {"repositories": {"created": 1}}},
    contents={"failures": [{"item": "ö"}], "share": 0.1},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def stored(kept: dict[str, Any]) -> Any:
    """As it comes back from the database: PostgreSQL keeps neither the order nor the spaces."""
    return json.loads(json.dumps(kept, sort_keys=True))


def test_what_was_kept_is_read_again() -> None:
    assert checkpoints.read(stored(KEPT.as_json("full", "1")), "full", "1") == KEPT
    begun = Checkpoint(listed_at=NOON, settled_at=NOON)
    assert checkpoints.read(stored(begun.as_json("full", "1")), "full", "1") == begun
    assert not begun.is_begun(NOON)


@pytest.mark.parametrize(("mode", "version"), [("incremental", "1"), ("full", "2")])
def test_another_mode_or_version_begins_anew(mode: str, version: str) -> None:
    assert checkpoints.read(stored(KEPT.as_json("full", "1")), mode, version) is None


@given(kept=JSON)
def test_anything_else_is_nothing(kept: Any) -> None:
    assert checkpoints.read(kept, "full", "1") is None


@given(name=st.sampled_from(sorted(KEPT.as_json("full", "1"))), value=JSON)
def test_one_that_was_edited_is_nothing(name: str, value: Any) -> None:
    kept = KEPT.as_json("full", "1")
    found = checkpoints.read(stored(kept | {name: value}), "full", "1")
    assert found is None or stored(kept)[name] == value


@given(seconds=st.integers(-200, 20_000))
def test_it_is_good_for_a_while_and_not_from_the_future(seconds: int) -> None:
    age = timedelta(seconds=seconds)
    assert KEPT.is_listed(NOON + age) == (timedelta(minutes=-1) <= age <= LIST_FRESH)
    assert KEPT.is_begun(NOON + age) == (timedelta(minutes=-1) <= age <= CONTENTS_FRESH)
