"""What has to be read anew of a list, by what GitHub says of it now and what we knew before (R5.5).

Hides when counts, times and branch heads prove that nothing changed, and when they do not. Pure:
every decision follows from the arguments.

A list of issues or pull requests is proven unchanged by GitHub's count and newest change, as long as
that change is older than the overlap: changes within one second look alike, and GitHub may show one
late. Commits are proven unchanged by the head of the branch. Such a proof ends after
`Rules.whole_after`: what moves no time at all, a renamed label say, is found by reading everything.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from syncsvc.github.reading import MOST_PER_PAGE, Entity

MARGIN: Final = 50
"""Commits that are read beyond the new ones: merged branches mix with what was there before."""

_SPREAD: Final = 0.25


class Cause(StrEnum):
    """Why a list is read."""

    FIRST = "never read"
    ASKED = "asked for"
    RETRY = "failed before"
    OURS = "our own rows changed"
    LIMIT = "more or fewer commits wanted"
    EXPIRED = "read long ago"
    COUNT = "another count"
    LATEST = "a newer change"
    UNSETTLED = "changed just before it was read"
    HEAD = "another head"
    UNPROVEN = "what was read does not explain the count"


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What GitHub says of a list now."""

    count: int
    latest_at: datetime | None = None
    head_sha: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the last reading left behind; `present` is what the mirror holds at this moment."""

    present: int = 0
    count: int | None = None
    mirrored: int = 0
    unreadable: int = 0
    latest_at: datetime | None = None
    head_sha: str | None = None
    item_limit: int = 0
    read_at: datetime | None = None
    whole_at: datetime | None = None
    failures: int = 0
    retry_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How much is read at this time. `patient`: a list that failed waits for its time to retry."""

    now: datetime
    overlap: timedelta
    whole_after: timedelta
    commit_limit: int = 0
    everything: bool = False
    windows: bool = False
    patient: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A list is to be read: whole, or from `since` on, or its newest `limit` commits."""

    cause: Cause
    whole: bool = True
    since: datetime | None = None
    limit: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """A list failed, and it is not yet time to try again."""

    until: datetime


def need(
    entity: Entity, known: Known, facts: Facts, rules: Rules, spread: float = 0.5
) -> Need | Wait | None:
    """What to read of a list; None when it is proven that nothing changed.

    `spread`, from 0 to 1, is the list's own place around `whole_after`, so that lists which were read
    together are not all read whole together again.
    """
    if known.retry_at is not None and is_waiting(known, rules):
        return Wait(until=known.retry_at)
    whole = _whole_cause(known, rules, spread)
    if entity is Entity.COMMITS:
        return _commits(known, facts, rules, whole)
    if whole is not None:
        return Need(cause=whole)
    return _items(known, facts, rules)


def is_waiting(known: Known, rules: Rules) -> bool:
    """Whether a list that failed is left alone until its time has come."""
    return rules.patient and known.retry_at is not None and known.retry_at > rules.now


def again(entity: Entity, rules: Rules) -> Need:
    """The whole list, because what was read of it does not explain GitHub's count."""
    limit = _limit(rules) if entity is Entity.COMMITS else None
    return Need(cause=Cause.UNPROVEN, limit=limit)


def wanted(entity: Entity, count: int, commit_limit: int) -> int:
    """How many of GitHub's items the mirror is to hold (R5.3)."""
    return min(count, commit_limit) if entity is Entity.COMMITS and commit_limit else count


def _whole_cause(known: Known, rules: Rules, spread: float) -> Cause | None:
    if known.count is None or known.whole_at is None:
        return Cause.FIRST
    if rules.everything:
        return Cause.ASKED
    if known.failures:
        return Cause.RETRY
    if known.present != known.mirrored:
        return Cause.OURS
    age = rules.now - known.whole_at
    if age >= rules.whole_after * (1 + _SPREAD * (2 * spread - 1)):
        return Cause.EXPIRED
    return None


def _items(known: Known, facts: Facts, rules: Rules) -> Need | None:
    cause = _change(known, facts, rules)
    if cause is None:
        return None
    shrunk = known.count is not None and facts.count < known.count
    if not rules.windows or shrunk or known.latest_at is None or facts.latest_at is None:
        return Need(cause=cause)
    if facts.latest_at < known.latest_at:  # what was newest is gone
        return Need(cause=cause)
    # A newest change that lies in the future is none of GitHub's times: others hide behind it.
    since = min(known.latest_at, known.read_at or known.latest_at)
    return Need(cause=cause, whole=False, since=since - rules.overlap)


def _change(known: Known, facts: Facts, rules: Rules) -> Cause | None:
    if facts.count != known.count:
        return Cause.COUNT
    if facts.latest_at != known.latest_at:
        return Cause.LATEST
    if known.latest_at is None or known.read_at is None:
        return None
    return Cause.UNSETTLED if known.latest_at > known.read_at - rules.overlap else None


def _commits(known: Known, facts: Facts, rules: Rules, whole: Cause | None) -> Need | None:
    limit = _limit(rules)
    if whole is not None:
        return Need(cause=whole, limit=limit)
    count = known.count or 0
    cut = 0 < known.item_limit < count
    more = cut and (limit is None or limit > known.item_limit)
    fewer = limit is not None and known.mirrored > limit and not 0 < known.item_limit <= limit
    if more or fewer:
        return Need(cause=Cause.LIMIT, limit=limit)
    if facts.head_sha == known.head_sha:
        return Need(cause=Cause.COUNT, limit=limit) if facts.count != count else None
    new = facts.count - count
    most = max(2 * new, new + MARGIN)
    if not rules.windows or known.head_sha is None or new <= 0 or most > 5 * MOST_PER_PAGE:
        return Need(cause=Cause.HEAD, limit=limit)
    return Need(cause=Cause.HEAD, whole=False, limit=most if limit is None else min(most, limit))


def _limit(rules: Rules) -> int | None:
    return rules.commit_limit or None
