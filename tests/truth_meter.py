"""How right the mirror is at every moment of a long day, measured beside the product.

Hides when what was compared. Looks when something happened and when the mirror may have changed,
so nothing between two looks is guessed; what the product believes of itself plays no part.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from django.db import connection

from syncsvc.models import Repository
from syncsvc.plan import FIELDS
from syncsvc.simulator.records import Event
from tests.long_day import LongDay
from tests.support import (
    COMMIT_FIELDS,
    ITEM_FIELDS,
    PRESENT,
    PULL_REQUEST_FIELDS,
    true_contents,
    truth,
)

#: The identity comes first, and the only value whose order means nothing last.
REPOSITORY: Final = (
    "github_id", "full_name", *(name for name in FIELDS if name != "topics"), "topics",
)  # fmt: skip
CONTENTS: Final = {
    "issues": ("syncsvc_issue", (*ITEM_FIELDS, "github_state", "state_reason"), "removed_at"),
    "pull_requests": ("syncsvc_pullrequest", ITEM_FIELDS + PULL_REQUEST_FIELDS, "removed_at"),
    "commits": ("syncsvc_commit", COMMIT_FIELDS, "dropped_at"),
}
"""Kind -> table, compared columns, and the column that says when an item went."""

Item = tuple[str, Hashable, Hashable]
"""Of which kind, in which repository, and its id."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wrong:
    """An item that the mirror had wrong, missing or too much for a while; epoch seconds."""

    item: Item
    since: float
    until: float | None
    """None: it still is."""
    guids: frozenset[str]
    """The events that told of what made it wrong; none: nothing had happened."""

    @property
    def seconds(self) -> float:
        """How long it lasted; infinite when it did not end."""
        return float("inf") if self.until is None else self.until - self.since


class Meter:
    """Compares all of the mirror with all of GitHub, time-weighted. Begin after the first sync."""

    def __init__(self, day: LongDay) -> None:
        self._day, self._world = day, day.world
        self._guids: list[str] = []
        self._wrong: dict[Item, tuple[float, frozenset[str]]] = {}
        self._ended: list[Wrong] = []
        self._truth: dict[Item, Any] = {}
        self._revision = -1
        self._at = day.now
        self._share = 1.0
        self._weighted = self._seconds = 0.0
        self.lowest = 1.0
        self.items = 0
        self.looks = 0
        self._listen()
        day.look = self.look
        self.look()

    def _listen(self) -> None:
        hear = self._world.on_event

        def heard(event: Event) -> None:
            self._guids.append(event.guid)
            if hear is not None:
                hear(event)

        self._world.on_event = heard

    def look(self) -> None:
        """Compares now; until this moment all was as it was at the last look."""
        self._pass(self._day.now)
        guids, self._guids = frozenset(self._guids), []
        if self._world.revision != self._revision:
            self._truth, self._revision = self._true(), self._world.revision
        mirror = self._mirror()
        every = mirror.keys() | self._truth.keys()
        wrong = {item for item in every if mirror.get(item) != self._truth.get(item)}
        for item in self._wrong.keys() - wrong:
            since, told = self._wrong.pop(item)
            self._ended.append(Wrong(item=item, since=since, until=self._at, guids=told))
        for item in wrong:
            since, told = self._wrong.get(item, (self._at, frozenset()))
            self._wrong[item] = since, told or guids
        self._share = 1 - len(wrong) / len(every) if every else 1.0
        self.lowest = min(self.lowest, self._share)
        self.items, self.looks = len(self._truth), self.looks + 1

    def _pass(self, now: float) -> None:
        self._weighted += self._share * (now - self._at)
        self._seconds += now - self._at
        self._at = now

    def accuracy(self) -> float:
        """The share of items that were right, averaged over the time until now."""
        self._pass(self._day.now)
        return self._weighted / self._seconds if self._seconds else 1.0

    def wrong(self) -> list[Wrong]:
        """Every stretch of time in which an item was wrong; those that did not end, too."""
        return self._ended + [
            Wrong(item=item, since=since, until=None, guids=told)
            for item, (since, told) in self._wrong.items()
        ]

    def _true(self) -> dict[Item, Any]:
        found: dict[Item, Any] = {}
        for installation in self._day.installations:
            rows = truth(self._world, installation)
            for key, row in rows.items():
                found["repositories", key, key] = _values(row, REPOSITORY)
                contents = true_contents(self._world, Repository(github_id=key))
                for entity, items in contents.items():
                    names = CONTENTS[entity][1]
                    for item, fields in items.items():
                        found[entity, key, item] = _values(fields, names)
        return found

    def _mirror(self) -> dict[Item, Any]:
        found: dict[Item, Any] = {}
        owners = [each.pk for each in self._day.installations]
        present = "r.installation_id = ANY(%s) AND r.status = ANY(%s)"
        connection.ensure_connection()
        # A thousand looks: the ORM would take most of the day's time.
        with psycopg.Cursor(connection.connection) as cursor:
            rows = cursor.execute(
                f"SELECT {_columns('r', REPOSITORY)} FROM syncsvc_repository r "
                f"WHERE {present} AND r.name_is_current",
                [owners, PRESENT],
                binary=True,
            )
            for row in rows:
                values = (*row[:-1], sorted(row[-1]))
                found["repositories", row[0], row[0]] = values
            for entity, (table, names, gone) in CONTENTS.items():
                rows = cursor.execute(
                    f"SELECT r.github_id, {_columns('i', names)} FROM {table} i "
                    f"JOIN syncsvc_repository r ON r.id = i.repository_id "
                    f"WHERE {present} AND i.{gone} IS NULL",
                    [owners, PRESENT],
                    binary=True,
                )
                for repository, *values in rows:
                    found[entity, repository, values[0]] = tuple(values)
        return found


def _columns(table: str, names: tuple[str, ...]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)


def _values(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)
