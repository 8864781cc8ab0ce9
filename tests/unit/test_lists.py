"""One list while it is read, and the whole decision played through against a GitHub that moves.

The game leaves out what neither count, newest time nor branch head can show, and what is therefore
found only after `Rules.whole_after`: an item that changes without a new time (a renamed label), or
that comes, late by more than the overlap, with a time of long ago. Everything else has to be found.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation import needs
from reconciliation.content_diff import compare
from reconciliation.lists import Judgement, ListRun, Subject
from reconciliation.needs import Cause, Facts, Known, Need, Rules, Wait, again, need
from syncsvc.content_lists import Settled
from syncsvc.content_plan import Item, Key, MirrorItem, item_of
from syncsvc.contents import Held
from syncsvc.github.content import (
    CommitRow,
    IssueRow,
    PullRequestRow,
    parse_commit,
    parse_issue,
    parse_pull_request,
)
from syncsvc.github.payloads import BadRecord
from syncsvc.github.reading import ContentPage, ContentRow, Entity, Reading
from tests.content_support import rest_commit, rest_issue, rest_pull_request

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
OVERLAP = 120
RETRY = 300
PAGE = 2
ME = Subject(pk=7, github_id=70, node_id="R_7", full_name="octo/hello")
ISSUE = parse_issue(rest_issue())
PULL_REQUEST = parse_pull_request(rest_pull_request())
COMMIT = parse_commit(rest_commit())

Change = tuple[Any, ...]
"""What happens at GitHub, or to us, by name; numbers choose among what there is."""


def at(second: float) -> datetime:
    return START + timedelta(seconds=second)


def sha(number: int) -> str:
    return f"{number:040x}"


# -- a model of GitHub -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An issue in one of its states. Each change has a version of its own."""

    number: int
    stamp: int
    version: int
    readable: bool = True

    def row(self, entity: Entity) -> IssueRow | PullRequestRow:
        plain = ISSUE if entity is Entity.ISSUES else PULL_REQUEST
        return replace(
            plain,
            github_id=self.number,
            number=self.number,
            title=f"version {self.version}",
            updated_at=at(self.stamp),
        )


@dataclass
class ItemHub:
    """GitHub's list of issues or pull requests. Every change is stamped with the whole second in
    which it happened; a late one is shown only some seconds later, but within the overlap."""

    entity: Entity = Entity.ISSUES
    now: int = 0
    shown: dict[int, Thing] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    late: list[tuple[int, Thing]] = field(default_factory=list)
    serial: int = 0

    def does(self, change: Change) -> None:
        match change:
            case ("wait", seconds):
                self.now += seconds
            case ("create", count, readable, lag):
                for _ in range(count):
                    self.now += count > 1  # several come one a second
                    self.serial += 1
                    self._show(self._thing(self.serial, readable=readable), lag)
            case ("edit", which, readable, lag) if self.shown:
                number = sorted(self.shown)[which % len(self.shown)]
                self._show(self._thing(number, readable=readable), lag)
            case ("delete", which) if self.shown:
                number = sorted(self.shown)[which % len(self.shown)]
                del self.shown[number]
                self.gone.add(number)
        self._mature()

    def _thing(self, number: int, *, readable: bool) -> Thing:
        self.serial += 1  # versions and numbers come from one counter
        return Thing(number=number, stamp=self.now, version=self.serial, readable=readable)

    def _show(self, thing: Thing, lag: int) -> None:
        self.late.append((self.now + lag, thing))

    def _mature(self) -> None:
        for moment, thing in self.late:
            known = self.shown.get(thing.number)
            newer = known is None or known.version < thing.version
            if moment <= self.now and newer and thing.number not in self.gone:
                self.shown[thing.number] = thing
        self.late = [each for each in self.late if each[0] > self.now]

    @property
    def facts(self) -> Facts:
        newest = max((thing.stamp for thing in self.shown.values()), default=None)
        return Facts(count=len(self.shown), latest_at=None if newest is None else at(newest))

    @property
    def _newest_first(self) -> list[Thing]:
        return sorted(self.shown.values(), key=lambda t: (-t.stamp, -t.number))

    def pages(self, reading: Reading, way: str) -> Iterator[ContentPage]:
        """By cursor and with a count on each page, as GraphQL does, or by page number, as REST."""
        if reading.wanted == 0:
            yield ContentPage(reading=reading, rows=(), total=0)
            return
        cursor, seen, more = (-(10**9), 0), 0, True
        while more:
            things = self._newest_first
            left = things[seen:]
            if way == "graphql":
                left = [t for t in things if (-t.stamp, -t.number) > cursor]
            page, ended = left[:PAGE], len(left) <= PAGE
            seen += len(page)
            if page:
                cursor = (-page[-1].stamp, -page[-1].number)
            since = reading.since
            kept = [t for t in page if since is None or at(t.stamp) >= since]
            more = not ended and len(kept) == len(page)
            # Issues GitHub filters by itself, and counts what is left; of pull requests it does not.
            filtered = since is not None and self.entity is Entity.ISSUES
            of_all = [t for t in things if not filtered or since is None or at(t.stamp) >= since]
            whole = seen if ended and not filtered else None
            yield ContentPage(
                reading=reading,
                rows=tuple(thing.row(self.entity) for thing in kept if thing.readable),
                bad=tuple(bad(thing.number) for thing in kept if not thing.readable),
                more=more,
                total=len(of_all) if way == "graphql" else whole,
            )


def bad(github_id: int | None = None) -> BadRecord:
    return BadRecord(index=0, github_id=github_id, field="title", reason="missing")


@dataclass(frozen=True, kw_only=True)
class Node:
    """A commit. Its date is what whoever made it says."""

    date: int
    parents: tuple[int, ...]
    readable: bool = True


@dataclass
class CommitHub:
    """GitHub's default branch, whose history comes as `git log` gives it: newest date first among
    those of which a child was shown."""

    now: int = 0
    nodes: dict[int, Node] = field(default_factory=dict)
    head: int | None = None
    heads: list[int | None] = field(default_factory=lambda: [None])
    history: list[int] = field(default_factory=list)
    read: list[int] = field(default_factory=list)
    """The history that was read last."""
    honest: bool = True
    """Whether no commit says to be older than its parents."""

    entity = Entity.COMMITS

    def does(self, change: Change) -> None:
        head = self.head
        match change:
            case ("wait", seconds):
                self.now += seconds
            case ("push", number, age, readable):
                head = self._grown(head, number, self.now - age, readable=readable)
                self.honest &= not age
            case ("merge", back, number) if head is not None:
                fork = self._ancestor(head, back)
                assert fork is not None
                tip = self._grown(fork, number, self.nodes[fork].date + 1)
                assert tip is not None
                date = max(self.now, self.nodes[head].date, self.nodes[tip].date)
                head = self._commit(date, (head, tip))
            case ("force", back, number):
                head = self._grown(self._ancestor(head, back), number, self.now)
            case ("restore", which):
                head = self.heads[which % len(self.heads)]
            case ("empty",):
                head = None
        if head != self.head:
            self.head = head
            self.heads.append(head)
            self.history = self._walk()

    def _commit(self, date: int, parents: tuple[int, ...], *, readable: bool = True) -> int:
        number = len(self.nodes) + 1
        self.nodes[number] = Node(date=date, parents=parents, readable=readable)
        return number

    def _grown(
        self, tip: int | None, number: int, date: int, *, readable: bool = True
    ) -> int | None:
        if tip is not None and date == self.now:
            date = max(date, self.nodes[tip].date)
        for each in range(number):
            parents = () if tip is None else (tip,)
            tip = self._commit(date + each, parents, readable=readable or each > 0)
        return tip

    def _ancestor(self, tip: int | None, back: int) -> int | None:
        for _ in range(back):
            if tip is None or not self.nodes[tip].parents:
                break
            tip = self.nodes[tip].parents[0]
        return tip

    def _walk(self) -> list[int]:
        found: list[int] = []
        queue = [] if self.head is None else [(-self.nodes[self.head].date, 0, self.head)]
        known = {self.head}
        while queue:
            _, _, number = heapq.heappop(queue)
            found.append(number)
            for parent in self.nodes[number].parents:
                if parent not in known:
                    known.add(parent)
                    heapq.heappush(queue, (-self.nodes[parent].date, len(known), parent))
        return found

    @property
    def facts(self) -> Facts:
        head = None if self.head is None else sha(self.head)
        return Facts(count=len(self.history), head_sha=head)

    def row(self, number: int) -> CommitRow:
        date = at(self.nodes[number].date)
        return replace(COMMIT, sha=sha(number), committed_at=date, authored_at=date)

    def pages(self, reading: Reading, way: str) -> Iterator[ContentPage]:
        """From the head that there is when the reading begins, as GraphQL does, or from the one
        that is asked for, as REST."""
        if reading.wanted == 0:
            self.read = []
            yield ContentPage(reading=reading, rows=(), total=0)
            return
        history = self.history
        if way == "rest" and reading.head is not None:
            pinned = replace(self, head=int(reading.head, 16))
            history = pinned._walk()
        self.read = history
        most = len(history) if reading.limit is None else min(len(history), reading.limit)
        for start in range(0, max(1, most), PAGE):
            page = history[start : min(start + PAGE, most)]
            whole = len(history) if start + PAGE >= len(history) else None
            yield ContentPage(
                reading=reading,
                rows=tuple(self.row(number) for number in page if self.nodes[number].readable),
                bad=tuple(bad() for number in page if not self.nodes[number].readable),
                more=start + PAGE < most,
                total=len(history) if way == "graphql" else whole,
                head_oid=sha(history[0]) if history else None,
            )


Hub = ItemHub | CommitHub


# -- a model of the mirror -------------------------------------------------------------------------


@dataclass
class Mirror:
    """Our rows of one list and what is known of it. Decides by the product's own code, and does what
    `reconciliation.contents` does with a database."""

    hub: Hub
    way: str = "graphql"
    limit: int = 0
    rows: dict[Key, MirrorItem] = field(default_factory=dict)
    known: Known = field(default_factory=Known)

    @property
    def present(self) -> set[Key]:
        return {key for key, row in self.rows.items() if row.present}

    def lose(self, which: int) -> None:
        """A row goes without the run's doing."""
        if self.present:
            keys = sorted(self.present, key=str)
            del self.rows[keys[which % len(keys)]]

    def run(
        self,
        mode: str = "incremental",
        *,
        between: Sequence[Change] = (),
        break_after: int | None = None,
    ) -> Need | Wait | None:
        """One run. `between` happens at GitHub, one change before each page; `break_after` so many
        pages the list cannot be read any further."""
        rules = Rules(
            now=at(self.hub.now),
            overlap=timedelta(seconds=OVERLAP),
            whole_after=timedelta(days=1000),
            commit_limit=self.limit,
            everything=mode == "repo",
            windows=mode == "incremental",
            patient=True,
        )
        known = replace(self.known, present=len(self.present))
        facts = self.hub.facts
        found = need(self.hub.entity, known, facts, rules)
        if not isinstance(found, Need):
            return found
        first = ListRun(subject=ME, entity=self.hub.entity, need=found, facts=facts, known=known)
        changes = iter(between)
        if self._follow(first, changes, break_after, rules.now) and not self._ended(
            first, rules.now
        ):
            second = ListRun(
                subject=ME,
                entity=self.hub.entity,
                need=again(self.hub.entity, rules),
                facts=facts,
                known=known,
                changed=first.changed,
            )
            self._follow(second, changes, None, rules.now)
            self._ended(second, rules.now)  # else its mark stays, and the next run reads it
        return found

    def _follow(
        self, current: ListRun, between: Iterator[Change], break_after: int | None, now: datetime
    ) -> bool:
        """Reads to the end, or fails on the way; what came before that stays."""
        pages = self.hub.pages(current.reading, self.way)
        number = 0
        while True:
            if break_after is not None and number >= break_after:
                self.known = replace(
                    self.known,
                    failures=self.known.failures + 1,
                    retry_at=now + RETRY * SECOND,
                )
                return False
            change = next(between, None)
            if change is not None:
                self.hub.does(change)
            page = next(pages)
            items = [item_of(row, ME.pk) for row in page.rows]
            current.take(page, items)
            self._write(current, items, now)
            number += 1
            if not page.more:
                return True

    def _write(self, current: ListRun, items: Sequence[Item], now: datetime) -> None:
        compared = compare(items, self.rows, now)
        current.new.update(item.key for item in compared.created)
        for item in compared.updated:
            (current.changed if self.rows[item.key].present else current.new).add(item.key)
        for item in compared.changes:
            self.rows[item.key] = MirrorItem(
                pk=len(self.rows), repository_id=ME.pk, values=item.values, present=True
            )

    def _ended(self, current: ListRun, now: datetime) -> bool:
        """Whether what was read explains itself; then it is noted."""
        if current.need.whole and len(self.present) != len(current.keys):
            lacking = current.lacking(self._held()).values()
            here = any(not current.is_beyond(each) for each in lacking)
            if isinstance(self.hub, CommitHub) and current.bad and here:
                return True  # nobody can tell which are gone: all stay, and nothing is noted
            self._remove(current, now)
        count = len(self.present)
        if current.judged(count) is Judgement.EXPLAINED:
            self._keep(current.settled(count), now)
            return True
        return False

    def _held(self) -> dict[Key, Held]:
        held: dict[Key, Held] = {}
        for key in self.present:
            date = None
            if isinstance(self.hub, CommitHub):
                assert isinstance(key, tuple)
                date = at(self.hub.nodes[int(key[1], 16)].date)
            held[key] = Held(pk=0, number=None, committed_at=date)
        return held

    def _remove(self, current: ListRun, now: datetime) -> None:
        for key, held in current.lacking(self._held()).items():
            if isinstance(self.hub, ItemHub):
                assert isinstance(key, int)
                thing = self.hub.shown.get(key)
                if thing is None:
                    self.rows[key] = replace(self.rows[key], present=False)
                elif thing.readable:  # asked for by itself, it says how it is
                    self._write(current, [item_of(thing.row(self.hub.entity), ME.pk)], now)
            else:
                assert isinstance(key, tuple)
                number, beyond = int(key[1], 16), current.is_beyond(held)
                read = self.hub.read
                # Only where a commit says to be older than its parent may one that is beyond those
                # that were asked for look dropped.
                dropped = not beyond and self.hub.honest
                assert number not in (read if dropped else read[: current.need.limit])
                if beyond:
                    del self.rows[key]
                else:
                    self.rows[key] = replace(self.rows[key], present=False)

    def _keep(self, settled: Settled, now: datetime) -> None:
        self.known = Known(
            count=settled.count,
            mirrored=settled.mirrored,
            unreadable=settled.unreadable,
            latest_at=settled.latest_at,
            head_sha=settled.head_sha,
            item_limit=settled.item_limit,
            read_at=now,
            whole_at=now if settled.whole else self.known.whole_at,
        )


def assert_items_equal(mirror: Mirror, hub: ItemHub) -> None:
    readable = {thing.number: thing for thing in hub.shown.values() if thing.readable}
    ours = {key: mirror.rows[key].values for key in mirror.present if key in readable}
    assert ours == {
        number: item_of(t.row(hub.entity), ME.pk).values for number, t in readable.items()
    }
    assert mirror.present <= set(hub.shown)  # the last that could be read of those that cannot


def assert_commits_equal(mirror: Mirror, hub: CommitHub) -> None:
    ours = {int(key[1], 16) for key in mirror.present if isinstance(key, tuple)}
    readable = [number for number in hub.history if hub.nodes[number].readable]
    assert ours <= set(readable)
    newest = hub.history[: mirror.limit or None]
    assert {number for number in newest if hub.nodes[number].readable} <= ours


def assert_true_once_quiet(mirror: Mirror) -> None:
    """With time passing beyond the overlap, two runs find everything, and a third finds nothing."""
    hub = mirror.hub
    for _ in range(2):
        hub.does(("wait", max(OVERLAP, RETRY) + 1))
        mirror.run()
    if isinstance(hub, ItemHub):
        assert_items_equal(mirror, hub)
    else:
        assert_commits_equal(mirror, hub)
    assert mirror.run() is None
    hub.does(("wait", 3600))
    assert mirror.run() is None
    assert mirror.run("full") is None


# -- what may happen -------------------------------------------------------------------------------

small = st.integers(0, 9)
waits = st.tuples(st.just("wait"), st.sampled_from([1, 1, 30, 119, 120, 121, 900]))
sometimes = st.sampled_from([True, True, True, False])
lags = st.sampled_from([0, 0, 1, 60, OVERLAP - 1])


def arrivals(readable: st.SearchStrategy[bool]) -> st.SearchStrategy[Change]:
    return st.one_of(
        waits,
        st.tuples(st.just("create"), st.just(1), readable, lags),
        st.tuples(st.just("create"), st.integers(2, 5), st.just(True), st.just(0)),
        st.tuples(st.just("edit"), small, readable, lags),
    )


deletions: st.SearchStrategy[Change] = st.tuples(st.just("delete"), small)


def pushes(readable: st.SearchStrategy[bool]) -> st.SearchStrategy[Change]:
    return st.one_of(
        waits,
        st.tuples(st.just("push"), st.integers(1, 6), st.just(0), readable),
        st.tuples(st.just("push"), st.integers(1, 3), st.sampled_from([0, 50, 5000]), readable),
        st.tuples(st.just("merge"), st.integers(0, 6), st.integers(1, 4)),
    )


forced: st.SearchStrategy[Change] = st.one_of(
    st.tuples(st.just("force"), st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.just("restore"), st.integers(1, 9)),
)
emptied: st.SearchStrategy[Change] = st.just(("empty",))
commit_changes = pushes(st.just(True)) | forced | emptied
limits = st.tuples(st.just("limit"), st.sampled_from([0, 1, 3, 5, 8]))
ways = st.sampled_from(["graphql", "rest"])
items = st.sampled_from([Entity.ISSUES, Entity.PULL_REQUESTS])


def stories(
    changes: st.SearchStrategy[Change], between: st.SearchStrategy[Change] | None = None
) -> st.SearchStrategy[list[Change]]:
    """Changes and runs in any order, `between` happening while a list is read."""
    run = st.tuples(
        st.just("run"),
        st.sampled_from(["incremental", "incremental", "incremental", "full", "repo"]),
        st.just([]) if between is None else st.lists(between, max_size=3),
        st.sampled_from([None, None, None, None, 0, 1]),
    )
    lost = st.tuples(st.just("lose"), small)
    return st.lists(st.one_of(changes, changes, changes, run, run, lost), max_size=30)


def play(mirror: Mirror, story: Sequence[Change]) -> None:
    # Commits are few here: what is read of them has to be little, too, to be less than all.
    with patch.object(needs, "MARGIN", 2), patch.object(needs, "MOST_PER_PAGE", 2):
        for change in story:
            match change:
                case ("run", mode, between, break_after):
                    mirror.run(mode, between=between, break_after=break_after)
                case ("limit", limit):
                    mirror.limit = limit
                case ("lose", which):
                    mirror.lose(which)
                case _:
                    mirror.hub.does(change)
        assert_true_once_quiet(mirror)


def run(*between: Change, mode: str = "incremental") -> Change:
    return ("run", mode, between, None)


SOME: Change = ("create", 5, True, 0)
AFTER_A_WHILE: Change = ("wait", 900)


# -- the whole decision ----------------------------------------------------------------------------


@pytest.mark.spec("R5.5", "R8.1", "P30", "P38")
@settings(max_examples=150)
@given(story=stories(arrivals(sometimes) | deletions, arrivals(sometimes)), entity=items, way=ways)
def test_whatever_happens_to_items_the_mirror_equals_github_once_that_is_quiet(
    story: list[Change], entity: Entity, way: str
) -> None:
    play(Mirror(ItemHub(entity), way), story)


@pytest.mark.spec("R5.5", "R8.1", "P30", "P38")
@settings(max_examples=100)
@given(
    story=stories(arrivals(sometimes) | deletions, arrivals(sometimes) | deletions), entity=items
)
def test_what_goes_while_a_list_is_read_is_found_as_well(
    story: list[Change], entity: Entity
) -> None:
    play(Mirror(ItemHub(entity), "graphql"), story)


@pytest.mark.spec("R5.3", "R5.5", "R8.1", "P38")
@settings(max_examples=200)
@given(story=stories(commit_changes, commit_changes), way=ways)
def test_whatever_happens_to_a_branch_the_mirror_has_its_history_once_that_is_quiet(
    story: list[Change], way: str
) -> None:
    play(Mirror(CommitHub(), way), story)


@pytest.mark.spec("R5.3", "R5.5", "P30", "P38")
@settings(max_examples=100)
@given(story=stories(pushes(sometimes), pushes(sometimes)), way=ways)
def test_commits_that_cannot_be_read_hide_no_others(story: list[Change], way: str) -> None:
    play(Mirror(CommitHub(), way), story)


@pytest.mark.spec("R5.3", "R5.5", "P38")
@settings(max_examples=200)
@given(
    story=stories(commit_changes | limits, commit_changes),
    limit=st.integers(1, 8),
    way=ways,
)
def test_of_a_limited_branch_the_newest_commits_are_there_and_none_that_is_not_in_it(
    story: list[Change], limit: int, way: str
) -> None:
    play(Mirror(CommitHub(), way, limit), story)


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("way", ["graphql", "rest"])
@pytest.mark.parametrize(
    "story",
    [
        pytest.param([SOME, run(), ("delete", 0), ("create", 1, True, 0)], id="one for another"),
        pytest.param([SOME, run(), ("delete", 4), ("create", 2, True, 0)], id="two for the newest"),
        pytest.param([SOME, run(), ("delete", 4)], id="the newest is gone"),
        pytest.param([SOME, run(), *[("delete", 0)] * 5], id="all are gone"),
        pytest.param([SOME, run(), ("edit", 2, True, OVERLAP - 1)], id="shown late"),
        pytest.param([SOME, run(), ("edit", 4, True, 0), ("edit", 4, True, 0)], id="in one second"),
        pytest.param([("create", 1, False, 0), run(), ("edit", 0, True, 0)], id="mended"),
        pytest.param(
            [SOME, run(), ("edit", 1, False, 0), run(), ("edit", 1, True, 0)], id="spoilt"
        ),
        pytest.param([SOME, run(), ("lose", 0)], id="lost by us"),
    ],
)
@pytest.mark.parametrize("entity", [Entity.ISSUES, Entity.PULL_REQUESTS])
def test_traces_that_hide_each_other_are_told_apart(
    story: list[Change], way: str, entity: Entity
) -> None:
    play(Mirror(ItemHub(entity), way), story)


@pytest.mark.spec("R5.5")
def test_what_moves_no_time_is_found_when_the_whole_list_is_read_again() -> None:
    hub = ItemHub()
    mirror = Mirror(hub)
    play(mirror, [SOME])
    thing = hub.shown[1]
    hub.shown[1] = replace(thing, version=99)
    assert mirror.run() is None
    hub.does(("wait", 1000 * 86_400))
    found = mirror.run()
    assert isinstance(found, Need)
    assert found.cause is Cause.EXPIRED
    assert_items_equal(mirror, hub)
    assert mirror.run() is None


@pytest.mark.spec("R5.6")
def test_a_list_that_failed_waits_for_its_time_and_is_read_whole() -> None:
    mirror = Mirror(ItemHub())
    mirror.hub.does(SOME)
    mirror.run(break_after=1)
    assert len(mirror.present) == PAGE
    assert mirror.run() == Wait(until=at(5 + RETRY))
    mirror.hub.does(("wait", RETRY))
    found = mirror.run()
    assert isinstance(found, Need)
    assert found.whole
    assert len(mirror.present) == 5


@pytest.mark.spec("R5.3")
def test_a_branch_that_is_emptied_and_filled_again_leaves_and_comes_back() -> None:
    hub = CommitHub()
    mirror = Mirror(hub)
    hub.does(("push", 3, 0, True))
    mirror.run()
    hub.does(("empty",))
    mirror.run()
    assert mirror.present == set()
    assert len(mirror.rows) == 3  # marked, not forgotten
    hub.does(("restore", 1))
    mirror.run()
    assert len(mirror.present) == 3


@pytest.mark.spec("R5.3")
def test_commits_that_fall_out_of_the_newest_are_forgotten_and_not_called_dropped() -> None:
    hub = CommitHub()
    mirror = Mirror(hub, limit=3)
    hub.does(("push", 3, 0, True))
    mirror.run()
    hub.does(AFTER_A_WHILE)
    hub.does(("push", 2, 0, True))
    mirror.run("full")
    assert set(mirror.rows) == {(ME.pk, sha(number)) for number in (3, 4, 5)}


@pytest.mark.spec("R8.1")
@pytest.mark.parametrize("entity", [Entity.ISSUES, Entity.PULL_REQUESTS])
@pytest.mark.parametrize("later", [[], [("create", 1, True, 0)]])
def test_what_is_deleted_while_the_list_is_read_goes(later: list[Change], entity: Entity) -> None:
    play(Mirror(ItemHub(entity)), [SOME, run(("wait", 1), ("delete", 3)), *later])


@pytest.mark.spec("R8.1")
def test_what_is_deleted_while_another_is_overlooked_goes() -> None:
    meanwhile = run(("delete", 0), ("delete", 1), mode="full")
    play(Mirror(ItemHub(), "rest"), [("create", 4, True, 0), run(), meanwhile])


@pytest.mark.spec("R8.1")
@pytest.mark.parametrize(
    "story",
    [
        pytest.param([run(("push", 2, 0, True)), ("force", 2, 0)], id="pushed and taken back"),
        pytest.param([run(("force", 1, 0)), ("restore", 1)], id="taken back and restored"),
    ],
)
def test_a_push_between_look_and_reading_that_is_taken_back_leaves_no_trace(
    story: list[Change],
) -> None:
    play(Mirror(CommitHub()), [("push", 4, 0, True), *story])


@pytest.mark.spec("R8.1")
def test_a_branch_that_is_empty_only_while_it_is_read_is_read_again() -> None:
    play(Mirror(CommitHub()), [("push", 4, 0, True), run(("empty",)), ("restore", 1)])


@pytest.mark.spec("R5.3", "P30", "P38")
def test_an_unreadable_commit_does_not_have_a_cut_branch_read_for_ever() -> None:
    story: list[Change] = [("push", 3, 0, True), run(), ("push", 1, 0, False)]
    play(Mirror(CommitHub(), limit=3), story)


# -- one list --------------------------------------------------------------------------------------


def list_run(entity: Entity, need: Need, facts: Facts, known: Known | None = None) -> ListRun:
    return ListRun(subject=ME, entity=entity, need=need, facts=facts, known=known or Known())


def part(limit: int | None = None) -> Need:
    since = None if limit else START
    return Need(cause=Cause.HEAD, whole=False, limit=limit, since=since)


def whole(limit: int | None = None) -> Need:
    return Need(cause=Cause.FIRST, limit=limit)


def commit_row(number: int, second: float = 0) -> CommitRow:
    return replace(COMMIT, sha=sha(number), committed_at=at(second))


def issue_row(number: int) -> IssueRow:
    return replace(ISSUE, github_id=number, number=number)


def taken(
    current: ListRun,
    rows: Sequence[ContentRow] = (),
    *,
    bad: Sequence[BadRecord] = (),
    total: int | None = None,
    new: int = 0,
) -> ListRun:
    """The list with a page; of its items so many were new to us."""
    items = [item_of(row, ME.pk) for row in rows]
    page = ContentPage(
        reading=current.reading, rows=tuple(rows), bad=tuple(bad), total=total, more=False
    )
    current.take(page, items)
    current.new.update(item.key for item in items[:new])
    return current


@pytest.mark.spec("R5.5")
def test_what_is_asked_for_follows_from_the_need() -> None:
    facts = Facts(count=9, latest_at=at(5), head_sha=sha(1))
    reading = Reading(
        github_id=70, node_id="R_7", full_name="octo/hello", entity=Entity.ISSUES, expected=9
    )
    found = list_run(Entity.ISSUES, whole(), facts).reading
    assert found == replace(reading, head=sha(1))
    found = list_run(Entity.ISSUES, part(), facts).reading
    assert (found.since, found.limit, found.expected) == (START, None, None)
    found = list_run(Entity.COMMITS, part(5), facts).reading
    assert (found.since, found.limit, found.expected, found.head) == (None, 5, 9, sha(1))


@pytest.mark.spec("R5.5")
def test_pages_add_up() -> None:
    current = list_run(Entity.COMMITS, whole(), Facts(count=9))
    assert current.count == 9
    taken(current, [commit_row(1, 30), commit_row(2, 10)], bad=[bad(5)], total=8)
    taken(current, [commit_row(2, 10), commit_row(3, 20)], bad=[bad(), bad(5)])
    assert current.keys == {(ME.pk, sha(number)) for number in (1, 2, 3)}
    assert (current.bad, current.bad_ids) == (3, {5})
    assert (current.oldest, current.count, current.total) == (at(10), 8, 8)
    taken(current, total=0)
    assert current.count == 0


@pytest.mark.spec("R4.4", "R5.5")
def test_a_list_that_is_read_anew_forgets_what_came_before() -> None:
    current = list_run(Entity.COMMITS, whole(), Facts(count=9))
    taken(current, [commit_row(1, 30), commit_row(2, 10)], bad=[bad(5), bad()], total=8)
    page = ContentPage(
        reading=current.reading, rows=(commit_row(3, 20),), head_oid=sha(3), restarts=True
    )
    current.take(page, [item_of(row, ME.pk) for row in page.rows])
    assert current.keys == {(ME.pk, sha(3))}
    assert (current.bad, current.bad_ids, current.total) == (0, set(), None)
    assert (current.oldest, current.head) == (at(20), sha(3))


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", Entity)
@pytest.mark.parametrize("present", [0, 2, 3])
def test_a_whole_list_explains_itself(entity: Entity, present: int) -> None:
    current = list_run(entity, whole(), Facts(count=3, head_sha=sha(1)))
    assert current.judged(present) is Judgement.EXPLAINED


@pytest.mark.spec("R5.5", "R8.1")
@pytest.mark.parametrize("entity", [Entity.ISSUES, Entity.PULL_REQUESTS])
@pytest.mark.parametrize(
    ("present", "unreadable", "explained"),
    [(10, 0, True), (9, 0, False), (11, 0, False), (9, 1, True), (10, 1, False)],
)
def test_a_part_explains_the_count_when_what_we_have_adds_up(
    entity: Entity, present: int, unreadable: int, *, explained: bool
) -> None:
    known = Known(count=8, unreadable=unreadable)
    current = taken(list_run(entity, part(), Facts(count=10), known))
    assert (current.judged(present) is Judgement.EXPLAINED) is explained


@pytest.mark.spec("R5.5", "R8.1")
@pytest.mark.parametrize(
    ("present", "total", "explained"),
    [(10, 11, False), (11, 11, True), (10, 9, False), (0, 0, True)],
)
def test_the_count_that_came_with_the_pages_is_newer_than_that_of_the_look(
    present: int, total: int, *, explained: bool
) -> None:
    current = list_run(Entity.PULL_REQUESTS, part(), Facts(count=10), Known(count=8))
    assert (taken(current, total=total).judged(present) is Judgement.EXPLAINED) is explained


@pytest.mark.spec("R5.3", "R5.5", "R8.1")
@pytest.mark.parametrize(
    ("numbers", "new", "present", "known", "explained"),
    [
        pytest.param([3, 2, 1], 2, 3, {}, True, id="all of it"),
        pytest.param([3, 2], 2, 3, {}, False, id="the former head is missing"),
        pytest.param([3, 2, 1], 2, 4, {}, False, id="one too many"),
        pytest.param([3, 2, 1], 2, 2, {}, False, id="one too few"),
        pytest.param([3, 2, 1], 2, 2, {"unreadable": 1}, True, id="one is unreadable"),
        pytest.param([3, 2, 1], 2, 3, {"head_sha": None}, False, id="no former head"),
        pytest.param([3, 2, 1], 2, 3, {"head_sha": sha(9)}, False, id="another former head"),
        pytest.param([3, 2, 1], 2, 3, {"item_limit": 1}, True, id="as many as could be had"),
    ],
)
def test_a_part_of_a_branch_has_to_reach_the_former_head(
    numbers: list[int], new: int, present: int, known: dict[str, Any], *, explained: bool
) -> None:
    before = replace(Known(count=1, head_sha=sha(1)), **known)
    current = list_run(Entity.COMMITS, part(60), Facts(count=3, head_sha=sha(3)), before)
    taken(current, [commit_row(number) for number in numbers], new=new)
    assert (current.judged(present) is Judgement.EXPLAINED) is explained


@pytest.mark.spec("R5.3", "R5.5", "R8.1")
@pytest.mark.parametrize(
    ("item_limit", "limit", "new", "explained"),
    [
        (10, 60, 2, True),
        (10, 60, 1, False),
        (10, 60, 3, False),
        (100, 101, 2, True),  # cut by what is asked for now
        (100, 101, 1, False),
    ],
)
def test_of_a_cut_branch_the_new_commits_are_counted(
    item_limit: int, limit: int, new: int, *, explained: bool
) -> None:
    known = Known(count=100, head_sha=sha(1), item_limit=item_limit)
    current = list_run(Entity.COMMITS, part(limit), Facts(count=102, head_sha=sha(3)), known)
    taken(current, [commit_row(number) for number in (4, 3, 2, 1)], new=new)
    assert (current.judged(7) is Judgement.EXPLAINED) is explained


@pytest.mark.spec("R5.5", "R8.1")
@pytest.mark.parametrize("bad_ones", [0, 1])
def test_a_whole_list_that_showed_more_than_there_is_at_its_end_is_read_again(
    bad_ones: int,
) -> None:
    rows = [issue_row(number) for number in range(1, 4 - bad_ones)]
    for total, judgement in ((3, Judgement.EXPLAINED), (2, Judgement.UNEXPLAINED)):
        current = list_run(Entity.ISSUES, whole(), Facts(count=3))
        taken(current, rows, bad=[bad(9)] * bad_ones, total=total)
        assert current.judged(len(rows)) is judgement


@pytest.mark.spec("R5.3", "R5.5", "R8.1")
@pytest.mark.parametrize(
    ("limit", "count"), [(None, 3), (4, 3), (3, 10), (2, 10)], ids=["all", "more", "cut", "fewer"]
)
def test_the_head_that_was_read_is_the_one_that_is_noted(limit: int | None, count: int) -> None:
    current = list_run(Entity.COMMITS, whole(limit), Facts(count=10, head_sha=sha(9)))
    rows = tuple(commit_row(number) for number in (3, 2, 1))
    page = ContentPage(reading=current.reading, rows=rows, head_oid=sha(3))
    current.take(page, [item_of(row, ME.pk) for row in rows])
    current.take(replace(page, head_oid=sha(4), rows=()), [])  # the first page says whose it is
    settled = current.settled(3)
    assert (settled.head_sha, settled.count) == (sha(3), count)


@pytest.mark.spec("R5.5", "R7.2", "P30")
def test_a_whole_list_lacks_what_it_neither_showed_nor_stumbled_over() -> None:
    held: dict[Key, Held] = {
        key: Held(pk=key, number=key, committed_at=None) for key in range(1, 5)
    }
    current = list_run(Entity.ISSUES, whole(), Facts(count=4))
    taken(current, [issue_row(1)], bad=[bad(2), bad()])
    assert set(current.lacking(held)) == {3, 4}
    assert list_run(Entity.ISSUES, whole(), Facts(count=0)).lacking(held) == held
    partly = list_run(Entity.ISSUES, part(), Facts(count=4))
    assert taken(partly, [issue_row(1)]).lacking(held) == {}


@pytest.mark.spec("R5.3")
@pytest.mark.parametrize(
    ("limit", "bad_ones", "committed", "beyond"),
    [
        pytest.param(None, 0, 0, False, id="all was asked for"),
        pytest.param(3, 0, 0, False, id="fewer came than were asked for"),
        pytest.param(2, 0, 9, True, id="older"),
        pytest.param(2, 0, 10, True, id="as old as the oldest"),
        pytest.param(2, 0, 11, False, id="newer than the oldest"),
        pytest.param(2, 0, 99, False, id="newer than all"),
        pytest.param(3, 1, 9, True, id="what is unreadable came as well"),
        pytest.param(2, 0, None, True, id="without a time"),
    ],
)
def test_a_commit_that_was_not_shown_may_be_beyond_what_was_asked_for(
    limit: int | None, bad_ones: int, committed: int | None, *, beyond: bool
) -> None:
    current = list_run(Entity.COMMITS, whole(limit), Facts(count=9, head_sha=sha(9)))
    taken(current, [commit_row(9, 20), commit_row(8, 10)], bad=[bad()] * bad_ones)
    held = Held(pk=1, number=None, committed_at=None if committed is None else at(committed))
    assert current.is_beyond(held) is beyond


@pytest.mark.spec("R5.3", "P30")
def test_where_nothing_could_be_read_nothing_is_called_dropped() -> None:
    current = list_run(Entity.COMMITS, whole(2), Facts(count=9, head_sha=sha(9)))
    taken(current, bad=[bad(), bad()])
    assert current.is_beyond(Held(pk=1, number=None, committed_at=at(0)))


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("entity", [Entity.ISSUES, Entity.PULL_REQUESTS])
def test_a_reading_leaves_behind_what_the_next_one_compares_with(entity: Entity) -> None:
    facts = Facts(count=10, latest_at=at(5))
    expected = Settled(
        repository_id=ME.pk,
        entity=entity,
        count=10,
        mirrored=8,
        unreadable=2,
        latest_at=at(5),
        head_sha=None,
        item_limit=0,
        whole=True,
    )
    known = Known(count=9, unreadable=1, item_limit=0)
    assert list_run(entity, whole(), facts, known).settled(8) == expected
    partly = list_run(entity, part(), facts, known).settled(9)
    assert partly == replace(expected, whole=False, mirrored=9, unreadable=1)


@pytest.mark.spec("R5.3", "R5.5")
@pytest.mark.parametrize("limit", [None, 4])
def test_a_reading_of_commits_leaves_its_head_and_its_limit_behind(limit: int | None) -> None:
    facts = Facts(count=10, head_sha=sha(10))
    known = Known(count=9, unreadable=3, item_limit=6)
    expected = Settled(
        repository_id=ME.pk,
        entity=Entity.COMMITS,
        count=10,
        mirrored=8,
        unreadable=1,
        latest_at=None,
        head_sha=sha(10),
        item_limit=limit or 0,
        whole=True,
    )
    current = taken(list_run(Entity.COMMITS, whole(limit), facts, known), bad=[bad()])
    assert current.settled(8) == expected
    partly = taken(list_run(Entity.COMMITS, part(60), facts, known), bad=[bad()])
    assert partly.settled(8) == replace(expected, whole=False, unreadable=3, item_limit=6)
