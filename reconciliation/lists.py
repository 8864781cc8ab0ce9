"""One list of one repository while it is read, and the judgement whether that reading explains it.

Hides when a part of a list is enough, and what a whole list says of items that it lacks. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from reconciliation.content_diff import difference
from reconciliation.findings import Finding, of_absence, of_item
from reconciliation.needs import Facts, Known, Need
from syncsvc.content_lists import Settled
from syncsvc.content_plan import Item, Key, MirrorItem
from syncsvc.contents import Held
from syncsvc.github.reading import ContentPage, Entity, Reading


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A repository of ours whose lists are read."""

    pk: int
    github_id: int
    node_id: str
    full_name: str
    pushed_at: datetime | None = None


class Judgement(StrEnum):
    """What a reading came to."""

    EXPLAINED = "explained"
    UNEXPLAINED = "unexplained"


@dataclass(kw_only=True, slots=True)
class ListRun:
    """A list that is read in this run, and what has come of it so far."""

    subject: Subject
    entity: Entity
    need: Need
    facts: Facts
    known: Known
    keys: set[Key] = field(default_factory=set)
    new: set[Key] = field(default_factory=set)
    changed: set[Key] = field(default_factory=set)
    bad: int = 0
    bad_ids: set[int] = field(default_factory=set)
    total: int | None = None
    oldest: datetime | None = None
    head: str | None = None
    refused: int = 0
    removed: set[Key] = field(default_factory=set)
    kept: int = 0
    second: bool = False
    #: When a run last looked at the list without reading it: GitHub's counts vouched for it then.
    vouched_at: datetime | None = None

    @property
    def right_at(self) -> datetime | None:
        """When the mirror was last known to be right about the list: nothing is wrong for longer."""
        times = (self.known.read_at, self.vouched_at)
        return max((each for each in times if each is not None), default=None)

    @property
    def reading(self) -> Reading:
        """What is asked for."""
        return Reading(
            github_id=self.subject.github_id,
            node_id=self.subject.node_id,
            full_name=self.subject.full_name,
            entity=self.entity,
            expected=self.facts.count if self.need.since is None else None,
            since=self.need.since,
            limit=self.need.limit,
            head=self.facts.head_sha,
        )

    def take(self, page: ContentPage, items: list[Item]) -> None:
        """Notes what a page held."""
        if page.restarts:
            self.keys, self.bad, self.bad_ids = set(), 0, set()
            self.total, self.oldest, self.head = None, None, None
            self.refused = 0  # what could not be written comes again
        self.keys.update(item.key for item in items)
        self.bad += len(page.bad)
        self.bad_ids.update(bad.github_id for bad in page.bad if bad.github_id is not None)
        # Of issues since a time GraphQL counts those, not the list.
        if page.total is not None and (self.entity is not Entity.ISSUES or self.need.since is None):
            self.total = page.total
        # GraphQL's cursors hold on to the first page's commit, whatever is pushed meanwhile.
        self.head = self.head or page.head_oid
        for row in page.rows:
            moment = getattr(row, "committed_at", None)
            if moment is not None and (self.oldest is None or moment < self.oldest):
                self.oldest = moment

    @property
    def is_baseline(self) -> bool:
        """Whether this is the first reading of the list: there is nothing yet that could be wrong."""
        return self.known.count is None

    @property
    def extent(self) -> int:
        """How many items were compared: those that the mirror had, and those that it lacked."""
        return self.known.present + len(self.new)

    @property
    def count(self) -> int:
        """How many GitHub has, as it said last."""
        return self.facts.count if self.total is None else self.total

    @property
    def is_cut(self) -> bool:
        """Whether the history is longer than what is wanted of it."""
        limit = self.need.limit
        return self.entity is Entity.COMMITS and limit is not None and self.facts.count > limit

    def judged(self, present: int) -> Judgement:
        """Whether what was read explains GitHub's count, `present` being what the mirror now holds.

        A whole list explains itself, unless it showed more than GitHub counted at its end: something
        went while it was read. A part does when what we have now adds up to GitHub's count; for
        commits the former head must have been among them as well: then all that was there before
        still is, for a commit never comes without its ancestors.
        """
        explained = self._is_consistent(present) if self.need.whole else self._adds_up(present)
        return Judgement.EXPLAINED if explained else Judgement.UNEXPLAINED

    def _is_consistent(self, present: int) -> bool:
        if self.entity is Entity.COMMITS:
            return True
        return max(present - self.kept, len(self.keys) + self.bad) <= self.count

    def _adds_up(self, present: int) -> bool:
        if self.bad or self.refused:
            return False  # it may stand for one that is gone
        if self.entity is not Entity.COMMITS:
            return present + self.known.unreadable == self.count
        before = (self.subject.pk, self.known.head_sha or "")
        if before not in self.keys:
            return False
        was_cut = 0 < self.known.item_limit < (self.known.count or 0)
        if self.is_cut or was_cut:
            return len(self.new) == self.facts.count - (self.known.count or 0)
        return present + self.known.unreadable == self.facts.count

    def lacking(self, held: Mapping[Key, Held]) -> dict[Key, Held]:
        """What the mirror holds and the whole list did not show."""
        if not self.need.whole:
            return {}
        return {
            key: item
            for key, item in held.items()
            if key not in self.keys and key not in self.bad_ids and key not in self.removed
        }

    def is_beyond(self, commit: Held) -> bool:
        """Whether a commit that was not shown may just be older than those that were asked for.

        Where the former head was shown, all that was there before still is in the history. Elsewhere
        the times have to do, which a push with old dates turns round.
        """
        limit = self.need.limit
        cut = limit is not None and len(self.keys) + self.bad >= limit
        if cut and (self.subject.pk, self.known.head_sha or "") in self.keys:
            return True
        return cut and not (
            self.oldest is not None
            and commit.committed_at is not None
            and commit.committed_at > self.oldest
        )

    def settled(self, present: int) -> Settled:
        """What is kept of this reading, `present` being what the mirror now holds."""
        commits = self.entity is Entity.COMMITS
        if not self.need.whole:
            unreadable = self.known.unreadable
        elif commits:
            unreadable = self.bad
        else:
            unreadable = self.count - present
        return Settled(
            repository_id=self.subject.pk,
            entity=self.entity,
            count=self._length() if commits else self.count,
            mirrored=present,
            unreadable=unreadable,
            latest_at=self.facts.latest_at,
            head_sha=None if self.total == 0 else self.head or self.facts.head_sha,
            item_limit=self._item_limit(),
            whole=self.need.whole,
        )

    def _length(self) -> int:
        """How long the history of the head is that was read."""
        limit = self.need.limit
        read = len(self.keys) + self.bad
        is_other = self.head not in (None, self.facts.head_sha)
        if is_other and self.need.whole and (limit is None or read < limit):
            return read  # pushed since the look: all of it was read
        return self.facts.count

    def _item_limit(self) -> int:
        if self.entity is not Entity.COMMITS:
            return 0
        return (self.need.limit or 0) if self.need.whole else self.known.item_limit


def found(current: ListRun, item: Item, mine: MirrorItem | None) -> Finding:
    """What was wrong about an item of the list, `mine` being what the mirror had of it."""
    before, after = difference(item, mine)
    subject = current.subject
    return of_item(
        item,
        mine,
        full_name=subject.full_name,
        repository_github_id=subject.github_id,
        right_at=current.right_at,
        pushed_at=subject.pushed_at,
        before=before,
        after=after,
    )


def gone_from(current: ListRun, key: Key, held: Held, reason: str) -> Finding:
    """What was wrong about an item that the mirror has and GitHub's list has not."""
    subject = current.subject
    return of_absence(
        current.entity,
        key,
        number=held.number,
        full_name=subject.full_name,
        repository_github_id=subject.github_id,
        reason=reason,
        right_at=current.right_at,
        changed_at=subject.pushed_at if current.entity is Entity.COMMITS else None,
    )
