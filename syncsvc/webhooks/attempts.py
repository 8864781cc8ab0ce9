"""GitHub's attempts to deliver, put together by event: what reached us and what did not. Pure.

Hides that the GUID names the event and not the attempt: one success among several attempts is enough,
and what GitHub calls delivered still counts as lost when nothing of it arrived.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from syncsvc.github.hook_log import LogEntry

Kind = Literal["failed", "timed_out", "throttled", "lost"]

NEEDLESS: Final = frozenset({"ping"})
"""Events that change nothing: nobody misses them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One event and GitHub's attempts to deliver it to one hook, as far as its log was read."""

    guid: str
    newest: LogEntry
    first_at: datetime
    attempts: int
    succeeded: bool
    throttled: bool

    @property
    def kind(self) -> Kind:
        """What became of it, given that it did not arrive."""
        if self.succeeded:
            return "lost"
        if self.throttled:
            return "throttled"
        return "timed_out" if self.newest.status_code == 0 else "failed"


def by_event(entries: Iterable[LogEntry]) -> dict[str, Sent]:
    """The attempts of each event by its GUID; the same attempt twice counts once."""
    grouped: dict[str, dict[int, LogEntry]] = {}
    for entry in entries:
        grouped.setdefault(entry.guid, {})[entry.id] = entry
    return {guid: _sent(guid, list(attempts.values())) for guid, attempts in grouped.items()}


def missing(sent: Mapping[str, Sent], arrived: Collection[str]) -> list[Sent]:
    """The events of which nothing arrived, whatever GitHub's log says of them (R6.5 b, d)."""
    return [
        each
        for guid, each in sent.items()
        if guid not in arrived and each.newest.event not in NEEDLESS
    ]


def failures_in_a_row(sent: Iterable[Sent], after_id: int | None, before: int) -> int:
    """How many of an account's events in a row GitHub could not deliver, the newest first (R6.4).

    `before` is that number up to the attempt `after_id`; what is not newer says nothing new.
    """
    news = [each for each in sent if after_id is None or each.newest.id > after_id]
    run = 0
    for each in sorted(news, key=lambda each: each.newest.id, reverse=True):
        if each.succeeded:
            return run
        run += 1
    return run + before


def _sent(guid: str, attempts: list[LogEntry]) -> Sent:
    return Sent(
        guid=guid,
        newest=max(attempts, key=lambda each: each.id),
        first_at=min(each.delivered_at for each in attempts),
        attempts=len(attempts),
        succeeded=any(each.succeeded for each in attempts),
        throttled=any(each.throttled_at is not None for each in attempts),
    )
