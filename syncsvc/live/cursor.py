"""How far somebody has been told, in a text that a browser brings back. Pure.

Ids are drawn before their transactions commit, so event 7 may appear after event 8 was sent. A cursor
therefore knows the newest id and the holes below it: `8-7` has seen 8 and not yet 7. Who resumes
from it gets all that is newer, and the holes that have filled since: everything once, nothing twice.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

#: More holes than this are not remembered: what was rolled back leaves some for ever.
MOST_HOLES: Final = 100
_LONGEST: Final = 2_400
_WRITTEN: Final = re.compile(r"[0-9]{1,18}(?:-[0-9]{1,18}){0,100}")


class Numbered(Protocol):
    """Something with the id of an event."""

    @property
    def number(self) -> int: ...


Event = TypeVar("Event", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Cursor:
    """The newest id that was seen, and those below it that were not, in order."""

    newest: int = 0
    holes: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "-".join(map(str, (self.newest, *self.holes)))

    def has_seen(self, number: int) -> bool:
        """Whether this event was told, or given up."""
        return number <= self.newest and number not in self.holes

    def take(self, number: int) -> "Cursor":
        """After this event too. Ids that it skips become holes."""
        if number <= self.newest:
            return self.forget((number,))
        skipped = range(max(self.newest + 1, number - MOST_HOLES), number)
        return Cursor(number, (*self.holes, *skipped)[-MOST_HOLES:])

    def forget(self, numbers: Collection[int]) -> "Cursor":
        """Without these holes: they are filled, or nobody waits for them any longer."""
        return Cursor(self.newest, tuple(hole for hole in self.holes if hole not in numbers))


def parse(text: str | None) -> Cursor | None:
    """The cursor that a client brings back; None for anything that is none of ours."""
    text = (text or "").strip()
    if len(text) > _LONGEST or not _WRITTEN.fullmatch(text):
        return None
    newest, *holes = map(int, text.split("-"))
    if holes != sorted(set(holes)) or (holes and holes[-1] >= newest):
        return None
    return Cursor(newest, tuple(holes))


def begin(recent: Sequence[int], newest: int) -> Cursor:
    """Where to begin, given the ids that appeared of late: what lacks among them may yet appear."""
    if not recent:
        return Cursor(newest)
    cursor = Cursor(min(recent))
    for number in sorted(recent):
        cursor = cursor.take(number)
    return cursor


def advance(cursor: Cursor, events: Iterable[Event]) -> Iterator[tuple[Cursor, Event]]:
    """Each event that is new, with the cursor after it."""
    for event in events:
        if not cursor.has_seen(event.number):
            cursor = cursor.take(event.number)
            yield cursor, event


def missed(client: Cursor, told: Cursor, events: Iterable[Event]) -> Iterator[tuple[Cursor, Event]]:
    """What a client that comes back has missed of what everybody else was told already; the rest
    of `events` it will get together with them."""
    return advance(client, (event for event in events if told.has_seen(event.number)))
