"""A part of a connection: which items, and the cursors that lead on from there.

Hides the form of cursors. Where items are ordered by a time, a cursor holds that time and the
id, so that a page neither skips nor repeats what did not move in between.
"""

from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from syncsvc.simulator.graphql.errors import FieldError

PREFIX = b"cursor:v2:"
Key = tuple[Any, int]


@dataclass(slots=True, eq=False)
class Window:
    """Items from `start` up to `stop` of all."""

    items: Sequence[Any]
    start: int
    stop: int
    cursor_at: Callable[[int], str]
    sizes: Sequence[int] = ()
    """Of languages, in bytes."""

    @property
    def nodes(self) -> Sequence[Any]:
        """The items themselves."""
        return self.items[self.start : self.stop]

    @property
    def edges(self) -> list["Edge"]:
        """The items with their places."""
        return [Edge(self, index) for index in range(self.start, self.stop)]

    @property
    def start_cursor(self) -> str | None:
        """Of the first item."""
        return self.cursor_at(self.start) if self.stop > self.start else None

    @property
    def end_cursor(self) -> str | None:
        """Of the last item."""
        return self.cursor_at(self.stop - 1) if self.stop > self.start else None


@dataclass(slots=True, eq=False)
class Edge:
    """An item at its place in a window."""

    window: Window
    index: int


class Ordered:
    """Items in an order, ready to be paged through by value and id."""

    def __init__(
        self, items: Sequence[Any], key: Callable[[Any], Key], *, descending: bool
    ) -> None:
        """Sort them."""
        rising = sorted(items, key=key)
        self._keys = [key(item) for item in rising]
        self._descending = descending
        self.items = rising[::-1] if descending else rising

    def window(self, arguments: dict[str, Any]) -> Window:
        """The part that `first`, `after`, `last` and `before` ask for."""
        first, last = 0, len(self.items)
        if arguments.get("after"):
            first = self._place(arguments["after"], behind=True)
        if arguments.get("before"):
            last = self._place(arguments["before"], behind=False)
        return Window(self.items, *bounds(arguments, first, last), self._cursor)

    def _cursor(self, index: int) -> str:
        return pack(self._keys[-1 - index if self._descending else index])

    def _place(self, cursor: str, *, behind: bool) -> int:
        value = unpack(cursor)
        if not isinstance(value, list) or len(value) != 2:
            raise bad_cursor(cursor)
        key = (value[0], value[1])
        try:
            if self._descending:
                place = bisect_left if behind else bisect_right
                return len(self._keys) - place(self._keys, key)
            return (bisect_right if behind else bisect_left)(self._keys, key)
        except TypeError:
            raise bad_cursor(cursor) from None


def by_place(items: Sequence[Any], arguments: dict[str, Any], sizes: Sequence[int] = ()) -> Window:
    """A part of a list in its own order, with cursors that count."""
    first, last = 0, len(items)
    for name in ("after", "before"):
        if arguments.get(name):
            place = unpack(arguments[name])
            if type(place) is not int:
                raise bad_cursor(arguments[name])
            first, last = (place, last) if name == "after" else (first, place - 1)
    return Window(items, *bounds(arguments, first, last), lambda index: pack(index + 1), sizes)


def bounds(arguments: dict[str, Any], first: int, last: int) -> tuple[int, int]:
    """Where a window begins and ends, between two places."""
    start, stop = first, max(last, first)
    if arguments.get("first") is not None:
        stop = min(stop, start + arguments["first"])
    if arguments.get("last") is not None:
        start = max(start, stop - arguments["last"])
    return start, stop


def pack(value: Any) -> str:
    """A cursor."""
    return b64encode(PREFIX + orjson.dumps(value)).decode()


def unpack(cursor: str) -> Any:
    """What is in a cursor; FieldError when it is none."""
    try:
        text = b64decode(cursor, validate=True)
        if text.startswith(PREFIX):
            return orjson.loads(text[len(PREFIX) :])
    except ValueError:
        pass
    raise bad_cursor(cursor)


def bad_cursor(cursor: str) -> FieldError:
    """That a cursor is none."""
    return FieldError(
        "INVALID_CURSOR_ARGUMENTS", f"`{cursor}` does not appear to be a valid cursor."
    )
