"""What differs between GitHub's items and the mirror's. Pure: values in, values out (R7.1)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from syncsvc.content_plan import COLUMNS, Item, Key, MirrorItem

_FUTURE: Final = timedelta(days=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """A batch, sorted out. `older` is what GitHub showed in a state that the mirror has left behind;
    `unsure` what a webhook has shown differently since the run began, with the same time."""

    created: tuple[Item, ...]
    updated: tuple[Item, ...]
    unchanged: int
    older: int
    unsure: tuple[Item, ...] = ()

    @property
    def changes(self) -> tuple[Item, ...]:
        """What has to be written."""
        return self.created + self.updated


def compare(items: Iterable[Item], mirror: Mapping[Key, MirrorItem], now: datetime) -> Compared:
    """What has to be written so that the mirror says of these items what GitHub says. `now` is when
    the run began.

    The newest by GitHub's time wins (R7.5); of the same time, what was read last, unless a webhook
    came in between: then nobody knows which of the two is the later one.
    """
    created: list[Item] = []
    updated: list[Item] = []
    unsure: list[Item] = []
    unchanged = older = 0
    for item in items:
        mine = mirror.get(item.key)
        if mine is None:
            created.append(item)
        elif (
            mine.values == item.values and mine.present and mine.repository_id == item.repository_id
        ):
            unchanged += 1
        elif _is_older(item, mine, now):
            older += 1
        elif _is_tied(item, mine, now):
            unsure.append(item)
        else:
            updated.append(item)
    return Compared(
        created=tuple(created),
        updated=tuple(updated),
        unchanged=unchanged,
        older=older,
        unsure=tuple(unsure),
    )


def difference(item: Item, mine: MirrorItem | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The columns that differ, before and after."""
    after = dict(zip(COLUMNS[item.entity], item.values, strict=True))
    if mine is None:
        return {}, after
    before = dict(zip(COLUMNS[item.entity], mine.values, strict=True))
    changed = [name for name in after if before[name] != after[name]]
    return {name: before[name] for name in changed}, {name: after[name] for name in changed}


def _is_older(item: Item, mine: MirrorItem, now: datetime) -> bool:
    theirs = item.updated_at
    if theirs is None:
        return False  # a commit never changes
    ours = mine.updated_at
    # A time far in the future is no time of GitHub's: it must not shield the row for ever.
    return ours is not None and theirs < ours <= now + _FUTURE


def _is_tied(item: Item, mine: MirrorItem, began: datetime) -> bool:
    written = mine.written_at is not None and mine.written_at > began
    return written and item.updated_at is not None and item.updated_at == mine.updated_at
