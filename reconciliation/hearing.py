"""What a batch of deliveries of one account does to the mirror: all of it, or nothing.

Hides how many webhooks about one repository become one change, in which order tables are written, and
how each delivery learns what became of it. Asks GitHub nothing: what only GitHub can tell is noted in
`syncsvc.rechecks`, in the same transaction.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from reconciliation.diff import Context, removal
from reconciliation.hints import Hint, Snapshot, Verdict, judge, judge_item, latest, latest_items
from syncsvc import conf, content_lists, contents, mirror, rechecks
from syncsvc.content_lists import ListKey
from syncsvc.content_plan import Item, Key, MirrorItem, item_of
from syncsvc.github.reading import Entity
from syncsvc.mirror import Author
from syncsvc.models import Installation, Repository, SyncJob
from syncsvc.plan import Change, MirrorRepository
from syncsvc.rechecks import EVERYTHING, HISTORY, ITEMS, REPOSITORY, Asked
from syncsvc.webhooks.told import Subject, Told

WEBHOOK: Final = str(SyncJob.Trigger.WEBHOOK)
CONFIRM_AFTER: Final = timedelta(seconds=10)
_WORDS: Final = {
    Verdict.APPLY: "updated",
    Verdict.SAME: "unchanged",
    Verdict.STALE: "stale",
    Verdict.ASK: "recheck",
}
_ENTITIES: Final = (Entity.ISSUES, Entity.PULL_REQUESTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One delivery and what it tells; `order` is its place among those of the batch."""

    order: int
    told: Told


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What became of each delivery, in a word, by `order`; and how many repositories only GitHub
    can tell about."""

    outcomes: dict[int, str]
    asked: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Where the rows of a repository's items belong, if there is a place for them."""

    pk: int
    status: str


def hear(
    installation: Installation, heard: Sequence[Heard], now: datetime, read_at: datetime | None
) -> Result:
    """Writes what these deliveries tell of repositories and what they hold, in a transaction of the
    caller's.

    They come in the order of GitHub's times. `read_at`: until when listings of ours may have seen
    something newer.
    """
    return _Hearing(installation, heard, now, read_at).settle()


class _Hearing:
    def __init__(
        self,
        installation: Installation,
        heard: Sequence[Heard],
        now: datetime,
        read_at: datetime | None,
    ) -> None:
        settings = conf.for_installation(installation)
        self._installation = installation
        self._now, self._read_at = now, read_at
        self._author = Author(trigger=WEBHOOK, job_id=None, now=now)
        self._context = Context(
            installation_id=installation.pk,
            account_id=installation.account_id,
            now=now,
            grace=timedelta(seconds=settings.grace_seconds),
            mode=installation.mode,
            repository_selection=installation.repository_selection,
            unmanaged_policy=settings.unmanaged_policy,
            baseline=installation.last_listed_at is None,
        )
        self._all = heard
        self._heard = [each for each in heard if self._is_ours(each.told)]
        self._outcomes = {each.order: "other_account" for each in heard}
        self._asked: dict[int, Asked] = {}
        self._later: dict[int, Asked] = {}
        self._verdicts: dict[int, Verdict] = {}

    def _is_ours(self, told: Told) -> bool:
        owner_id = told.repository.owner_id if told.repository is not None else None
        return owner_id in (None, self._context.account_id)

    def settle(self) -> Result:
        self._repositories()
        self._removed_repositories()
        self._items()
        self._pushes()
        self._strangers()
        pk, now = self._installation.pk, self._now
        asked = rechecks.ask(pk, self._asked.values(), trigger=WEBHOOK, now=now)
        # The mirror says it already: what comes in bursts is confirmed once, after the burst.
        rechecks.ask(pk, self._later.values(), trigger=WEBHOOK, now=now, due_at=now + CONFIRM_AFTER)
        return Result(outcomes=self._outcomes, asked=asked)

    def _ask(
        self,
        github_id: int,
        name: str,
        reason: str,
        *,
        itself: bool = False,
        told: frozenset[str] = EVERYTHING,
    ) -> None:
        known = self._asked.get(github_id)
        if known is not None:
            itself, told = itself or known.itself, told | known.told
        self._asked[github_id] = Asked(
            github_id=github_id, full_name=name, itself=itself, reason=reason, told=told
        )

    # -- repositories ------------------------------------------------------------------------------

    def _repositories(self) -> None:
        shown = latest(
            Snapshot(row=each.told.repository, as_of=each.told.as_of, timed=each.told.timed)
            for each in self._heard
            if each.told.repository is not None and not each.told.deleted
        )
        mine = mirror.read(shown)
        changes: list[Change] = []
        for github_id, snapshot in shown.items():
            known = mine.get(github_id)
            judged = judge(snapshot, known, self._context, self._listed_until(known))
            self._verdicts[github_id] = judged.verdict
            name = snapshot.row.full_name
            if judged.verdict is Verdict.ASK:
                self._ask(github_id, name, "unsure", itself=True, told=REPOSITORY)
            elif judged.confirm:
                self._later[github_id] = Asked(
                    github_id=github_id,
                    full_name=name,
                    itself=True,
                    reason="close",
                    told=REPOSITORY,
                )
            if known is None:
                # What it holds was never read, and it may be gone by now.
                self._ask(github_id, name, "new", itself=True)
            if judged.change is not None:
                changes.append(judged.change)
                if known is not None and "default_branch" in judged.change.after:
                    self._ask(github_id, name, "branch", told=HISTORY)  # another history altogether
        self._apply(changes)
        for each in self._heard:
            if each.told.repository is not None:
                self._outcomes[each.order] = self._said(each.told, shown)

    def _listed_until(self, mine: MirrorRepository | None) -> datetime | None:
        times = (self._read_at, mine.read_at if mine is not None else None)
        return max((each for each in times if each is not None), default=None)

    def _said(self, told: Told, shown: Mapping[int, Snapshot]) -> str:
        if told.repository is None:
            return "unchanged"
        github_id = told.repository.github_id
        snapshot = shown.get(github_id)
        if snapshot is not None and snapshot.row != told.repository:
            return "stale"  # another delivery of the batch showed it later
        return _WORDS[self._verdicts.get(github_id, Verdict.SAME)]

    def _apply(self, changes: Sequence[Change]) -> None:
        applied = mirror.apply(changes, self._author)
        names = {change.github_id: change.name for change in changes}
        for github_id in applied.conflicts:  # a run wrote it at this very moment
            self._verdicts[github_id] = Verdict.ASK
            self._ask(github_id, names[github_id], "conflict", itself=True, told=REPOSITORY)

    def _removed_repositories(self) -> None:
        gone = {
            each.told.repository.github_id: each
            for each in self._heard
            if each.told.repository is not None and each.told.deleted
        }
        if not gone:
            return
        changes: list[Change] = []
        for github_id, known in mirror.read(gone).items():
            name = f"{known.owner}/{known.name}"
            if known.installation_id != self._installation.pk:
                # The transfer to this account was not heard: whoever has it is to ask.
                asked = Asked(
                    github_id=github_id,
                    full_name=name,
                    itself=True,
                    reason="deleted",
                    told=EVERYTHING,
                )
                rechecks.ask(known.installation_id, [asked], trigger=WEBHOOK, now=self._now)
                continue
            # GitHub restores deleted ones under their id, and a replay comes late.
            self._ask(github_id, name, "deleted", itself=True)
            change = removal(known, "deleted")
            if change is not None:
                changes.append(change)
                self._outcomes[gone[github_id].order] = "removed"
        self._apply(changes)

    # -- issues and pull requests ------------------------------------------------------------------

    def _items(self) -> None:
        told = [each for each in self._heard if each.told.subject is Subject.ITEM]
        if not told:
            return
        homes = self._homes(told)
        by_entity: dict[Entity, list[tuple[Heard, Item]]] = defaultdict(list)
        for each in told:
            item = self._placed(each, homes)
            if item is not None:
                by_entity[item.entity].append((each, item))
        changed: Counter[ListKey] = Counter()
        for entity in _ENTITIES:
            if by_entity[entity]:
                changed.update(self._settle_items(entity, by_entity[entity]))
        # After all items, as a run writes them: no two wait for each other in a circle.
        content_lists.adjust(changed)

    def _homes(self, told: Iterable[Heard]) -> dict[int, Home]:
        ids = {each.told.repository.github_id for each in told if each.told.repository}
        rows = Repository.objects.filter(
            github_id__in=ids, installation_id=self._installation.pk
        ).values_list("github_id", "pk", "status")
        return {github_id: Home(pk=pk, status=status) for github_id, pk, status in rows}

    def _placed(self, heard: Heard, homes: Mapping[int, Home]) -> Item | None:
        """The item that a delivery shows, if the mirror has a place for it."""
        told, row = heard.told, heard.told.repository
        if row is None:
            return None
        if told.row is None:
            self._ask(row.github_id, row.full_name, "unclear", told=ITEMS)
            self._outcomes[heard.order] = "recheck"
            return None
        home = homes.get(row.github_id)
        if home is None or home.status not in content_lists.READ:
            unmanaged = home is not None and home.status == Repository.Status.UNMANAGED
            self._outcomes[heard.order] = "unmanaged" if unmanaged else "recheck"
            if not unmanaged:
                self._ask(row.github_id, row.full_name, "unsure", itself=True)
            return None
        return item_of(told.row, home.pk)

    def _settle_items(self, entity: Entity, told: Sequence[tuple[Heard, Item]]) -> Counter[ListKey]:
        """Writes the items; returns how many each list has gained."""
        hints = latest_items(item for _, item in told)
        mine = contents.read(entity, list(hints))
        verdicts = {
            key: judge_item(hint.item, mine.get(key), self._now) for key, hint in hints.items()
        }
        wanted = [hints[key].item for key, verdict in verdicts.items() if verdict is Verdict.APPLY]
        contents.write(entity, wanted, self._author)
        changed = _moved(entity, wanted, mine)
        gone = {item.key: each for each, item in told if each.told.removal}
        changed.subtract(self._remove(entity, gone))
        for each, item in told:
            self._conclude(each, item, hints[item.key], verdicts[item.key])
        return changed

    def _remove(self, entity: Entity, gone: Mapping[Key, Heard]) -> Counter[ListKey]:
        """Marks what is said to be gone; what was never seen has just been written, so that a
        webhook from before cannot bring it to life."""
        if not gone:
            return Counter()
        there = {
            key: item for key, item in contents.read(entity, list(gone)).items() if item.present
        }
        reasons = {item.pk: gone[key].told.removal for key, item in there.items()}
        contents.remove(entity, reasons, self._author)
        for heard in gone.values():
            other = heard.told.other
            if other is not None and other.account_id == self._context.account_id:
                self._ask(other.github_id, other.full_name, "transferred in", told=ITEMS)
        return Counter((item.repository_id, entity) for item in there.values())

    def _conclude(self, heard: Heard, item: Item, hint: Hint, verdict: Verdict) -> None:
        row = heard.told.repository
        ask = verdict is Verdict.ASK or (hint.unsure and verdict is not Verdict.STALE)
        if ask and row is not None and not heard.told.removal:
            # Two changes within one second look alike: GitHub has the last word.
            self._ask(row.github_id, row.full_name, "tie", told=ITEMS)
        if heard.told.removal:
            outcome = "removed"
        elif ask:
            outcome = "recheck"
        elif hint.item is not item and hint.item.values != item.values:
            outcome = "stale"  # another delivery of the batch showed it later
        else:
            outcome = _WORDS[verdict]
        self._outcomes[heard.order] = outcome

    # -- what only GitHub can tell -----------------------------------------------------------------

    def _pushes(self) -> None:
        """Commits of a push lack what a commit of ours has: they are read (R5.3)."""
        pushes = [each for each in self._heard if each.told.head is not None]
        rows = [each.told.repository for each in pushes]
        heads = content_lists.heads({row.github_id for row in rows if row is not None})
        for each, row in zip(pushes, rows, strict=True):
            # Each of them: which of two pushes of one second was the later one, nobody knows.
            if row is not None and (
                not each.told.head or heads.get(row.github_id) != each.told.head
            ):
                self._ask(row.github_id, row.full_name, "push", told=HISTORY)

    def _strangers(self) -> None:
        """Repositories that the mirror has under this account and GitHub under another."""
        foreign = {
            each.told.repository.github_id
            for each in self._all
            if each.told.repository is not None and not self._is_ours(each.told)
        }
        for github_id, mine in mirror.read(foreign).items():
            if mine.installation_id == self._installation.pk:
                self._ask(github_id, f"{mine.owner}/{mine.name}", "moved", itself=True)


def _moved(
    entity: Entity, written: Iterable[Item], mine: Mapping[Key, MirrorItem]
) -> Counter[ListKey]:
    """How many items each list has gained, or lost to another one."""
    changed: Counter[ListKey] = Counter()
    for item in written:
        known = mine.get(item.key)
        if known is None or known.repository_id != item.repository_id:
            changed[item.repository_id, entity] += 1
            if known is not None:
                changed[known.repository_id, entity] -= 1
    return changed
