"""What really was and what the mirror said, beside each other: whether every discrepancy is explained.

Hides how it is known which items GitHub had told us of, which it had not, and which somebody edited.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Q

from reconciliation import pending
from reconciliation.discrepancies import SINCE_THEN
from reconciliation.findings import plain
from reconciliation.models import Discrepancy, Review, RunFigure
from syncsvc import clock, conf
from syncsvc.models import ContentList, Installation, Repository, SyncJob
from syncsvc.plan import FIELDS
from syncsvc.simulator import World
from syncsvc.simulator.records import Event
from tests.support import PRESENT, all_mirrored_contents, true_contents, truth

Key = tuple[str, str, int]
"""Of which entity, GitHub's id or the sha, and GitHub's id of its repository."""
State = dict[Key, dict[str, Any]]

TABLES: Final = ("syncsvc_repository", "syncsvc_issue", "syncsvc_pullrequest", "syncsvc_commit")
SECOND: Final = timedelta(seconds=1)
HELD: Final = Discrepancy.Status.NEEDS_MANUAL_REVIEW


@dataclass(frozen=True, slots=True)
class Letter:
    """An event on its way, and the items that changed when it was sent."""

    event: Event
    at: datetime
    keys: frozenset[Key]
    installation_id: int | None


@dataclass(slots=True)
class Before:
    """Everything as it was before a run."""

    mirror: State
    true: State
    told: set[tuple[str, int]]
    read_lists: set[tuple[int, str]]
    newest: int
    marks: list[Any]


@dataclass(slots=True)
class Found:
    """What a history came to."""

    steps: int = 0
    runs: int = 0
    fields: int = 0
    different: int = 0
    wrong_deletions: int = 0
    discrepancies: int = 0
    unexplained: int = 0
    untimed: int = 0
    by_type: dict[str, int] = field(default_factory=dict)


class Ledger:
    """Watches GitHub and the mirror, act by act."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._seen = {event.guid for event in world.events}
        self._waiting: list[Letter] = []
        #: Wrong, and no event that arrived in time has told of it: since when, and why.
        self._suspects: dict[Key, tuple[datetime, str]] = {}
        self.found = Found()

    def begin(self) -> None:
        """The first sync is over."""
        self._seen = {event.guid for event in self._world.events}

    # -- what there is -----------------------------------------------------------------------------

    def true(self) -> State:
        """All that GitHub shows to our accounts."""
        state: State = {}
        for installation in Installation.objects.all():
            for github_id, row in truth(self._world, installation).items():
                more: dict[str, Any] = {"status": "archived" if row["archived"] else "active"}
                more |= {"name_is_current": True, "account": installation.account_id}
                state["repositories", str(github_id), github_id] = row | more
                state |= _flat(
                    github_id, true_contents(self._world, Repository(github_id=github_id))
                )
        return state

    @staticmethod
    def mirror() -> State:
        """All that the mirror says is there."""
        state: State = {}
        present = list(Repository.objects.filter(status__in=PRESENT).select_related("installation"))
        contents = all_mirrored_contents(present)
        for each in present:
            row = {name: getattr(each, name) for name in (*FIELDS, "full_name", "github_id")}
            row |= {"topics": sorted(each.topics), "status": each.status}
            row |= {
                "name_is_current": each.name_is_current,
                "account": each.installation.account_id,
            }
            state["repositories", str(each.github_id), each.github_id] = row
            state |= _flat(each.github_id, contents[each.pk])
        return state

    # -- GitHub ------------------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator[None]:
        """GitHub changes inside: what it told goes into the post, what it did not is remembered."""
        before = self.true()
        yield
        self._noted(before, self.true())

    def _noted(self, before: State, after: State) -> None:
        changed = _different(before, after)
        told: set[Key] = set()
        for event in [each for each in self._world.events if each.guid not in self._seen]:
            self._seen.add(event.guid)
            if event.installation_id is None:
                continue  # nobody who has the App is told
            keys = frozenset(key for key in changed if key[2] in _homes(event, key[2]))
            told |= keys
            self._waiting.append(Letter(event, clock.now(), keys, event.installation_id))
        self._suspect(changed - told, "never told")
        # Of what happened while a repository was hidden from the account GitHub tells nothing.
        back = {key[2] for key in after.keys() - before.keys() if key[0] == "repositories"}
        self._suspect({key for key in changed if key[2] in back}, "hidden")

    def take(self, chance: Random, share: float) -> list[Letter]:
        """Some of what is on its way, in any order."""
        chosen = [each for each in self._waiting if chance.random() < share]
        self._waiting = [each for each in self._waiting if each not in chosen]
        chance.shuffle(chosen)
        return chosen

    def lose(self, letters: Iterable[Letter]) -> None:
        """These will never arrive."""
        for each in letters:
            is_list = each.event.repository_id is None
            self._suspect(each.keys, "list lost" if is_list else "lost", each.at)

    def _suspect(self, keys: Iterable[Key], why: str, at: datetime | None = None) -> None:
        for key in keys:
            since, known = self._suspects.get(key, (at or clock.now(), why))
            # What is hidden and then lost is lost; else the reason that says least of GitHub's times.
            self._suspects[key] = since, why if known in ("hidden", "lost") else known

    # -- the mirror --------------------------------------------------------------------------------

    @contextmanager
    def tampering(self) -> Iterator[None]:
        """The mirror is edited by hand inside."""
        before = self.mirror()
        yield
        self._suspect(_different(before, self.mirror()), "edited by hand")

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """Webhooks are processed inside."""
        before, newest = self.mirror(), _newest()
        yield
        after, true = self.mirror(), self.true()
        self._deleted(before, after, true, true)
        assert not Discrepancy.objects.filter(pk__gt=newest), "a webhook made a discrepancy"
        self._clear(after, true)

    @contextmanager
    def running(self, job: SyncJob, *, writes_nothing: bool) -> Iterator[None]:
        """A job runs inside; the webhooks that were sent long ago count as lost."""
        limit = clock.now() - timedelta(seconds=conf.defaults().grace_seconds)
        before = Before(
            mirror=self.mirror(),
            true=self.true(),
            told=_told(job),
            read_lists=_read_lists(),
            newest=_newest(),
            marks=_marks() if writes_nothing else [],
        )
        late = {key for each in self._waiting if each.at <= limit for key in each.keys}
        is_first = job.installation.last_listed_at is None
        yield
        self.found.runs += 1
        true, after = self.true(), self.mirror()
        if true != before.true:
            self._noted(before.true, true)
        before.told |= _told(job)
        moving = _different(before.true, true)
        self._deleted(before.mirror, after, before.true, true)
        if writes_nothing:
            assert before.marks == _marks(), "it wrote where it may not"
        rows = list(Discrepancy.objects.filter(pk__gt=before.newest).order_by("pk"))
        for row in rows:
            self._explained(row, before, moving, late)
        if is_first:
            assert not rows, "the first run of an account made a discrepancy"
        else:
            self._none_in_silence(job, before, after, true, moving)
        self._figures(job)
        self._clear(after, true)

    # -- what must hold ----------------------------------------------------------------------------

    def _deleted(self, before: State, after: State, *truths: State) -> None:
        """Nothing is called gone that GitHub showed to its account all the time."""
        homes = {key[2] for key in after if key[0] == "repositories"}
        for key in before.keys() - after.keys():
            home = ("repositories", str(key[2]), key[2])
            account = before.get(home, {}).get("account")
            shown = all(key in true and true[home]["account"] == account for true in truths)
            if shown and (key[0] == "repositories" or key[2] in homes):
                self.found.wrong_deletions += 1
                raise AssertionError(f"deleted, and GitHub has it: {key}")

    def _explained(
        self, row: Discrepancy, before: Before, moving: set[Key], late: set[Key]
    ) -> None:
        """A discrepancy says what was, and of something that no event had told of in time."""
        self.found.discrepancies += 1
        self.found.by_type[row.type] = self.found.by_type.get(row.type, 0) + 1
        key = (row.entity, row.item_key, row.repository_github_id)
        if key in moving:
            return
        mine, true = before.mirror.get(key), before.true.get(key)
        home = ("repositories", str(key[2]), key[2])
        said = f"{row.type} of {row.name} ({row.cause}): {row.before} -> {row.after}"
        problem = ""
        is_young = any(key in each.keys for each in self._waiting)
        is_untimed = not _is_shown(mine, true) or row.type == "missing_repo"
        # A dry run leaves the repositories as they are: it knows of no newer push, and reads what
        # is out of the selection by now.
        is_dry = row.detector == "dry_run" and row.entity == "commits"
        is_hidden = row.detector == "dry_run" and home not in before.true
        if is_hidden or (is_young and (is_untimed or is_dry or {*row.after} == {"open_issues"})):
            self.found.untimed += 1  # on its way, and GitHub tells no time of it
        elif mine == true:
            problem = "the mirror was right"
        elif row.repair_status == HELD:
            problem = "held, and GitHub shows it" if _is_shown(mine, true) else ""
        elif not self._is_untold(key, is_known=home in before.mirror) and key not in late:
            problem = "an event had told of it"
        elif mine and not _agrees(row.before, mine):
            problem = f"the mirror said something else: {mine}"
        elif true is not None and _is_shown(mine, true) and not _agrees(row.after, true):
            problem = f"GitHub says something else: {true}"
        elif row.occurred_at is not None and row.occurred_at > row.detected_at:
            problem = "it began in the future"
        elif row.occurred_at is not None and key in self._suspects:
            since, why = self._suspects[key]
            # Since when it is ours GitHub does not tell; a dry run knows of no newer push.
            is_vague = row.type == "missing_repo" or row.detector == "dry_run"
            # Of a repository a counter may be what was lost, and that moves no time.
            is_vague = is_vague or row.entity == "repositories"
            is_vague = is_vague or is_young or key in late
            if why == "lost" and not is_vague and row.occurred_at < since - SECOND:
                problem = f"it began at {since}, not at {row.occurred_at}"
        if problem:
            self.found.unexplained += 1
            raise AssertionError(f"{problem}: {said}")

    def _is_untold(self, key: Key, *, is_known: bool) -> bool:
        """Whether no event told of it. What was hidden, gone from the mirror and came back was told."""
        why = self._suspects.get(key, (None, ""))[1]
        return bool(why) and (why != "hidden" or is_known)

    def _none_in_silence(
        self, job: SyncJob, before: Before, after: State, now_true: State, moving: set[Key]
    ) -> None:
        """What was wrong, old and untold is not put right without a word."""
        now = clock.now()
        rows = Discrepancy.objects.filter(Q(pk__gt=before.newest) | Q(repaired_at=now))
        noted = set(rows.values_list("entity", "item_key", "repository_github_id"))
        grace = timedelta(seconds=conf.defaults().grace_seconds)
        for key in _different(before.mirror, before.true) - moving - noted:
            mine, true = before.mirror.get(key), before.true.get(key)
            if after.get(key) != true or pending.is_told(frozenset(before.told), key[0], key[2]):
                continue
            entity, home = key[0], ("repositories", str(key[2]), key[2])
            if entity != "repositories":
                if (home in before.mirror) != (home in before.true):
                    continue  # its repository came or went
                if (key[2], entity) not in before.read_lists:
                    continue
            times = [
                self._changed_at(key, true, state.get(home)) for state in (before.true, now_true)
            ]
            if any(moment is not None and moment > now - grace for moment in times):
                continue
            raise AssertionError(f"repaired without a word: {key}: {mine} -> {true} by {job.mode}")

    def _changed_at(
        self, key: Key, row: Mapping[str, Any] | None, home: Mapping[str, Any] | None
    ) -> datetime | None:
        """GitHub's newest time of an item; of commits, that of the newest push as well, and of a
        repository that moved away, that of the move."""
        names = ("github_updated_at", "pushed_at", "committed_at")
        values = [(row or {}).get(name) for name in names]
        if key[0] == "commits" and home is not None:
            values.append(home["pushed_at"])
        moved = self._world.repositories.get(key[2])
        if key[0] == "repositories" and row is None and moved is not None:
            values.append(datetime.fromtimestamp(moved.updated_at, UTC))
        return max((each for each in values if each is not None), default=None)

    @staticmethod
    def _figures(job: SyncJob) -> None:
        """What a job found wrong, all attempts of it together, is what its figures lack."""
        for figure in RunFigure.objects.filter(job=job):
            rows = Discrepancy.objects.filter(Q(correlation_id=job.pk) | Q(repaired_in=job.pk))
            rows = rows.filter(entity=figure.entity).exclude(repaired_by=SINCE_THEN)
            wrong = set(rows.exclude(repair_status=HELD).values_list("item_key", flat=True))
            assert figure.compared - figure.matched == len(wrong), (figure, wrong)

    def _clear(self, mirror: State, true: State) -> None:
        self._suspects = {
            key: why for key, why in self._suspects.items() if mirror.get(key) != true.get(key)
        }

    def check_always(self) -> None:
        """What holds at any time."""
        self.found.steps += 1
        active = SyncJob.objects.filter(status__in=SyncJob.ACTIVE)
        assert _doubled(active, "installation") == []
        still = Discrepancy.objects.filter(repair_status__in=Discrepancy.OPEN)
        assert _doubled(still, "installation", "entity", "item_key", "type") == []

    def assert_right(self, when: str) -> None:
        """The mirror equals GitHub, field by field."""
        mirror, true = self.mirror(), self.true()
        self.found.fields += sum(map(len, true.values()))
        wrong = {key: (mirror.get(key), true.get(key)) for key in _different(mirror, true)}
        self.found.different += len(wrong)
        assert not wrong, f"after {when}: {_shown(wrong)}"

    @staticmethod
    def check_end() -> None:
        """Nothing is left open."""
        still = Discrepancy.objects.filter(repair_status__in=Discrepancy.OPEN)
        left = [f"{row.repair_status} {row.type} {row.name} {row.detector}" for row in still]
        assert left == [], f"still open: {left}"
        assert not Review.objects.filter(status="open").exists()


def _flat(repository: int, contents: Mapping[str, Mapping[Any, Any]]) -> State:
    return {
        (entity, str(key), repository): row
        for entity, rows in contents.items()
        for key, row in rows.items()
    }


def _is_shown(mine: Mapping[str, Any] | None, true: Mapping[str, Any] | None) -> bool:
    """Whether GitHub shows it to the account that we have it under."""
    ours = (mine or {}).get("account")
    return true is not None and ours in (None, true.get("account"))


def _different(one: State, other: State) -> set[Key]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def _homes(event: Event, home: int) -> set[int]:
    """The repositories of which an event tells; of an account's, that is any."""
    if event.repository_id is None:
        return {home}
    homes = {event.repository_id}
    if event.action == "transferred" and event.event == "issues":
        homes.add(event.payload["changes"]["new_repository"]["id"])
    return homes


def _told(job: SyncJob) -> set[tuple[str, int]]:
    return set(pending.told_of(job.installation))


def _read_lists() -> set[tuple[int, str]]:
    rows = ContentList.objects.filter(count__isnull=False)
    return set(rows.values_list("repository__github_id", "entity"))


def _newest() -> int:
    return Discrepancy.objects.order_by("-pk").values_list("pk", flat=True).first() or 0


def _marks() -> list[Any]:
    """PostgreSQL's own marks of the last write of each row of the mirror."""
    parts = [f"SELECT '{table}', id, xmin::text, ctid::text FROM {table}" for table in TABLES]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(parts) + " ORDER BY 1, 2")
        return list(cursor.fetchall())


def _agrees(said: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    known = plain({name: row[name] for name in said if name in row})
    return all(_sorted(said[name]) == _sorted(value) for name, value in known.items())


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value or ""


def _doubled(rows: Any, *names: str) -> list[Any]:
    counted = rows.order_by().values(*names).annotate(times=Count("pk"))
    return list(counted.filter(times__gt=1))


def _shown(wrong: Mapping[Key, tuple[Any, Any]]) -> list[str]:
    return [
        f"{key}: {name} is {(mine or {}).get(name)!r}, not {(true or {}).get(name)!r}"
        for key, (mine, true) in wrong.items()
        for name in sorted((mine or {}).keys() | (true or {}).keys())
        if (mine or {}).get(name) != (true or {}).get(name)
    ][:20]
