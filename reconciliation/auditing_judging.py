"""Whether the mirror is right about the items of a sample (R8.3).

GitHub was asked first, the mirror is looked at now: what it has caught up with meanwhile is right, and
what changed too late for its webhook to have come is neither right nor wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from reconciliation import pending
from reconciliation.auditing_asking import Sight
from reconciliation.content_diff import difference
from reconciliation.diff import Context, Evidence, compare, compare_absent
from reconciliation.findings import (
    REPOSITORIES,
    Finding,
    is_in_flight,
    of_absence,
    of_change,
    of_item,
)
from syncsvc import contents, mirror
from syncsvc.content_plan import MirrorItem
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.reading import Entity
from syncsvc.models import Installation, Repository
from syncsvc.plan import Change, MirrorRepository

MATCHED: Final = "matched"
WRONG: Final = "wrong"
IN_FLIGHT: Final = "in_flight"
UNKNOWN: Final = "unknown"

Opinion = Callable[[int], RepositoryRow | Evidence | None]
"""What REST says of the repository with this id of GitHub's; None where it could not be asked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What an item of a sample turned out to be. `alone`: wrong because only one side has it."""

    sight: Sight
    result: str
    alone: bool = False
    findings: tuple[Finding, ...] = ()
    differences: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What judging needs: the present, whose account it is, and a second opinion on repositories."""

    context: Context
    opinion: Opinion

    @property
    def now(self) -> datetime:
        """When the mirror is looked at."""
        return self.context.now


def judge(sights: Sequence[Sight], bench: Bench) -> list[Verdict]:
    """The verdict on each, in their order. Reads the mirror once for each entity."""
    rows = mirror.read(
        [s.key for s in sights if s.entity == REPOSITORIES and isinstance(s.key, int)]
    )
    items: dict[tuple[str, Any], MirrorItem] = {}
    for entity in Entity:
        keys = [s.key for s in sights if s.entity == entity and s.key is not None]
        items |= {(str(entity), key): row for key, row in contents.read(entity, keys).items()}
    verdicts = []
    for sight in sights:
        if sight.unknown:
            verdict = Verdict(sight=sight, result=UNKNOWN, differences={"why": sight.unknown})
        elif sight.entity == REPOSITORIES:
            verdict = _of_repository(sight, rows.get(_id(sight)), bench)
        else:
            verdict = _of_item(sight, items.get((sight.entity, sight.key)), bench)
        verdicts.append(verdict)
    return _without_what_was_told(verdicts, bench.context)


# -- issues, pull requests and commits -------------------------------------------------------------


def _of_item(sight: Sight, mine: MirrorItem | None, bench: Bench) -> Verdict:
    present = mine if mine is not None and mine.present else None
    if sight.item is None:
        if present is None:  # the mirror has heard of it since it was drawn
            return Verdict(sight=sight, result=IN_FLIGHT)
        return _wrong(sight, (_absence(sight),), alone=True, written_at=present.written_at)
    item = sight.item
    if (
        present is not None
        and present.values == item.values
        and present.repository_id == item.repository_id
    ):
        return Verdict(sight=sight, result=MATCHED)
    before, after = difference(item, present)
    finding = of_item(
        item,
        mine,
        full_name=sight.home.full_name if sight.home else "",
        repository_github_id=sight.home.github_id if sight.home else 0,
        right_at=None,
        pushed_at=sight.pushed_at,
        before=before,
        after=after,
    )
    young = finding.is_in_flight(bench.now, bench.context.grace) or (
        present is not None
        and item.entity is not Entity.COMMITS
        and is_in_flight(present.updated_at, bench.now, bench.context.grace)
    )
    if young or (mine is not None and present is None and sight.side == "mirror"):
        return Verdict(sight=sight, result=IN_FLIGHT, differences=_told(finding))
    written_at = mine.written_at if mine is not None else None
    return _wrong(sight, (finding,), alone=present is None, written_at=written_at)


def _absence(sight: Sight) -> Finding:
    if sight.home is None or sight.key is None:
        raise ValueError("what is gone was drawn from the mirror")
    return of_absence(
        Entity(sight.entity),
        sight.key,
        number=sight.number,
        full_name=sight.home.full_name,
        repository_github_id=sight.home.github_id,
        reason=sight.gone,
        right_at=None,
    )


def _wrong(
    sight: Sight, findings: tuple[Finding, ...], *, alone: bool, written_at: datetime | None
) -> Verdict:
    """Wrong, unless somebody has written the row since GitHub was asked."""
    overtaken = written_at is not None and written_at > sight.asked_at
    return Verdict(
        sight=sight,
        result=IN_FLIGHT if overtaken else WRONG,
        alone=alone,
        findings=() if overtaken else findings,
        differences=_told(*findings),
    )


def _told(*findings: Finding) -> dict[str, Any]:
    """What the mirror said and what GitHub says, of all types together."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for each in findings:
        before |= each.before
        after |= each.after
    return {"before": before, "after": after}


# -- repositories ----------------------------------------------------------------------------------


def _of_repository(sight: Sight, mine: MirrorRepository | None, bench: Bench) -> Verdict:
    context, alone = bench.context, mine is None or mine.status not in Repository.PRESENT
    if sight.row is None:
        if mine is None or alone:
            return Verdict(sight=sight, result=IN_FLIGHT)
        change = compare_absent(mine, Evidence(sight.gone), context)
        if change is None:
            return Verdict(sight=sight, result=UNKNOWN, differences={"why": sight.gone})
        return _wrong(sight, of_change(change), alone=True, written_at=mine.last_written_at)
    first = compare(sight.row, mine, context, proven=True)
    if not isinstance(first, Change) or not first.kinds:  # our own bookkeeping is no difference
        return Verdict(sight=sight, result=MATCHED)
    times = (sight.row.github_updated_at, sight.row.pushed_at)
    created = sight.row.github_created_at if alone else None
    if any(is_in_flight(each, bench.now, context.grace) for each in (*times, created)):
        return Verdict(sight=sight, result=IN_FLIGHT, differences=_told(*of_change(first)))
    second = bench.opinion(first.github_id)
    change = _agreed(first, second, mine, context)
    if change is None:
        told = _told(*of_change(first)) | {"why": "contradiction" if second else "unconfirmed"}
        return Verdict(sight=sight, result=UNKNOWN, differences=told)
    written_at = mine.last_written_at if mine is not None else None
    return _wrong(sight, of_change(change), alone=alone, written_at=written_at)


def _agreed(
    first: Change,
    opinion: RepositoryRow | Evidence | None,
    mine: MirrorRepository | None,
    context: Context,
) -> Change | None:
    """What of a difference REST confirms: where GitHub's two ways differ, nobody knows what is right."""
    if not isinstance(opinion, RepositoryRow):
        return None
    second = compare(opinion, mine, context, proven=True)
    if not isinstance(second, Change):
        return None
    after = {name: value for name, value in second.after.items() if name in first.after}
    kinds = tuple(each for each in second.kinds if each in first.kinds)
    if not after or not kinds:
        return None
    before = {name: value for name, value in second.before.items() if name in after}
    return replace(second, before=before, after=after, kinds=kinds)


# -- what was told ---------------------------------------------------------------------------------


def _without_what_was_told(verdicts: list[Verdict], context: Context) -> list[Verdict]:
    """A webhook has told of some repositories, and its turn has not come: those are in flight (R7.6)."""
    doubted = {_github_id(each) for each in verdicts if each.result == WRONG}
    if not doubted:
        return verdicts
    installation = Installation.objects.get(pk=context.installation_id)
    told = pending.told_of(installation, doubted)
    return [
        replace(each, result=IN_FLIGHT, findings=(), alone=False)
        if each.result == WRONG and pending.is_told(told, each.sight.entity, _github_id(each))
        else each
        for each in verdicts
    ]


def _github_id(verdict: Verdict) -> int:
    return verdict.sight.home.github_id if verdict.sight.home else _id(verdict.sight)


def _id(sight: Sight) -> int:
    return sight.key if isinstance(sight.key, int) else 0
