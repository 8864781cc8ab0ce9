"""Whether the mirror believes what a webhook tells. Pure: values in, verdicts out (R6.3).

A webhook shows a state of the past: by the time it arrives GitHub may have moved on, and so may we,
through a later webhook or a reading of our own. So it is believed when GitHub's own times say that it
is newer than all we know, dropped when they say that it is older, and where they cannot tell (two
changes within one second, an event that moves no time, a reading at about that time) GitHub is asked.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from reconciliation.diff import Context, compare, noted
from syncsvc.content_plan import Item, Key, MirrorItem
from syncsvc.github.payloads import RepositoryRow
from syncsvc.plan import Change, MirrorRepository

MARGIN: Final = timedelta(seconds=2)
"""GitHub's times have whole seconds, and clocks differ a little."""
_FUTURE: Final = timedelta(days=1)
_PRESENT: Final = frozenset({"active", "archived", "unmanaged"})


class Verdict(StrEnum):
    """What is done with something that a webhook told."""

    APPLY = "apply"
    SAME = "same"
    STALE = "stale"
    ASK = "ask"


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A repository as webhooks showed it last; see `syncsvc.webhooks.told.Told` for the times.

    `unsure`: another webhook of the same time showed it differently; `close`: one of nearly the same,
    or one whose time does not tell.
    """

    row: RepositoryRow
    as_of: datetime | None
    timed: bool
    unsure: bool = False
    close: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """The verdict on a snapshot, and the change of the mirror that follows from it, if one does.

    `confirm`: it is believed, and so close to what was known that GitHub is asked afterwards.
    """

    verdict: Verdict
    change: Change | None = None
    confirm: bool = False


def latest(snapshots: Iterable[Snapshot]) -> dict[int, Snapshot]:
    """The newest of each repository; they come in the order in which they are to be believed."""
    found: dict[int, Snapshot] = {}
    for each in snapshots:
        known = found.get(each.row.github_id)
        if known is None or known.as_of is None or each.as_of is None:
            found[each.row.github_id] = each if known is None or known.as_of is None else known
            continue
        newest, other = (each, known) if each.as_of >= known.as_of else (known, each)
        differs = each.row != known.row
        tied = each.as_of == known.as_of
        # One that moves no time may be later than its times say.
        near = differs and (abs(each.as_of - known.as_of) < MARGIN or not other.timed)
        found[each.row.github_id] = replace(
            newest,
            unsure=(newest.unsure or (tied and other.unsure) or (tied and differs)),
            close=newest.close or other.close or near,
        )
    return found


def judge(
    snapshot: Snapshot,
    mine: MirrorRepository | None,
    context: Context,
    read_at: datetime | None,
) -> Judged:
    """What to do with a repository as a webhook shows it.

    `read_at` is until when readings of ours may have seen something newer. The owner of the row has
    to be the context's account.
    """
    change = compare(snapshot.row, mine, context, proven=True)
    if change is not None and not isinstance(change, Change):
        raise TypeError("what is proven leaves no doubt")
    if mine is None:
        # A hook of an organization tells of repositories that the token may not see, and a late
        # webhook of one that was taken out of the selection meanwhile.
        unseen = context.mode == "token" or context.repository_selection == "selected"
        return Judged(
            verdict=Verdict.ASK if unseen else Verdict.APPLY,
            change=None if unseen else _told(change, snapshot),
        )
    # It was gone, or another account's: a webhook from before that looks the same.
    if mine.status not in _PRESENT or mine.installation_id != context.installation_id:
        return Judged(verdict=Verdict.ASK)
    as_of, known = snapshot.as_of, _known(mine)
    if as_of is None or as_of > context.now + _FUTURE:
        return Judged(verdict=Verdict.SAME if change is None else Verdict.ASK)
    if snapshot.unsure and (known is None or as_of >= known):
        return Judged(verdict=Verdict.ASK)
    if change is None:
        newer = mine.told_at is None or as_of > mine.told_at
        # From now on what is older than this is known to be older.
        change = noted(mine, told_at=as_of) if newer else None
        return Judged(verdict=Verdict.SAME, change=change, confirm=snapshot.close)
    if known is not None and as_of < known:
        older = snapshot.timed and not snapshot.close and known - as_of >= MARGIN
        return Judged(verdict=Verdict.STALE if older else Verdict.ASK)
    if as_of == known or (read_at is not None and as_of <= read_at + MARGIN):
        return Judged(verdict=Verdict.ASK)
    near = known is not None and as_of - known < MARGIN
    return Judged(
        verdict=Verdict.APPLY, change=_told(change, snapshot), confirm=snapshot.close or near
    )


def _known(mine: MirrorRepository) -> datetime | None:
    times = (mine.github_updated_at, mine.pushed_at, mine.told_at)
    return max((each for each in times if each is not None), default=None)


def _told(change: Change | None, snapshot: Snapshot) -> Change | None:
    if change is None or snapshot.as_of is None:
        return change
    return replace(change, after={**change.after, "told_at": snapshot.as_of})


# -- issues and pull requests ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Hint:
    """An issue or pull request as webhooks showed it last. `unsure` as in `Snapshot`."""

    item: Item
    unsure: bool = False


def latest_items(items: Iterable[Item]) -> dict[Key, Hint]:
    """The newest of each item; of one time, the last, and it is not certain."""
    found: dict[Key, Hint] = {}
    for item in items:
        known = found.get(item.key)
        if known is None:
            found[item.key] = Hint(item=item)
            continue
        mine, theirs = known.item.updated_at, item.updated_at
        if mine is None or (theirs is not None and theirs > mine):
            found[item.key] = Hint(item=item)
        elif theirs == mine:
            unsure = known.unsure or item.values != known.item.values
            found[item.key] = Hint(item=item, unsure=unsure)
    return found


def judge_item(item: Item, mine: MirrorItem | None, now: datetime) -> Verdict:
    """What to do with an issue or pull request as a webhook shows it (R6.3, R7.5)."""
    theirs = item.updated_at
    if theirs is None or theirs > now + _FUTURE:
        return Verdict.ASK
    if mine is None:
        return Verdict.APPLY
    ours = mine.updated_at
    if ours is not None and ours > now + _FUTURE:
        return Verdict.APPLY  # that is no time of GitHub's: it must not shield the row for ever
    if not mine.present:
        # Ids of deleted and transferred items never come back; what is newer than that is odd.
        return Verdict.STALE if ours is not None and theirs <= ours else Verdict.ASK
    if mine.values == item.values and mine.repository_id == item.repository_id:
        return Verdict.SAME
    if ours is not None and theirs < ours:
        return Verdict.STALE
    return Verdict.ASK if theirs == ours else Verdict.APPLY
