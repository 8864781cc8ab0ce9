"""Differences as values: what was wrong about which item, in the words in which it is stored (R7.4).

Hides how a change of the mirror falls apart into types of discrepancy, and what GitHub's times say of
when it began. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from reconciliation.diff import kind_of
from syncsvc.content_plan import COLUMNS, Item, Key, MirrorItem
from syncsvc.github.reading import Entity
from syncsvc.plan import Change, Kind, Operation

REPOSITORIES: Final = "repositories"
LONGEST: Final = 1000
"""Characters of a text that are kept in a snapshot: bodies have up to 65,536."""

_ACTIONS: Final = {
    Operation.CREATE: "create",
    Operation.UPDATE: "update",
    Operation.DELETE: "remove",
}
_MISSING: Final = {
    Entity.ISSUES: Kind.MISSING_ISSUE,
    Entity.PULL_REQUESTS: Kind.MISSING_PULL_REQUEST,
    Entity.COMMITS: Kind.MISSING_COMMIT,
}
_STALE: Final = {
    Entity.ISSUES: Kind.STALE_ISSUE,
    Entity.PULL_REQUESTS: Kind.STALE_PULL_REQUEST,
    Entity.COMMITS: Kind.STALE_COMMIT,
}
_GONE: Final = {
    Entity.ISSUES: Kind.ISSUE_MISSING_AT_GITHUB,
    Entity.PULL_REQUESTS: Kind.PULL_REQUEST_MISSING_AT_GITHUB,
    Entity.COMMITS: Kind.COMMIT_MISSING_AT_GITHUB,
}
#: What changes at GitHub without any webhook that the mirror handles.
_REPOSITORY_UNTOLD: Final = frozenset(
    {"stars", "forks", "size", "language", "license", "github_updated_at"}
)
#: Our own notes, which GitHub knows nothing of.
_NOTED: Final = frozenset({"told_at", "read_at"})
#: A label that is renamed changes all its issues and none of their times; the same goes for accounts.
_ITEM_UNTOLD: Final = frozenset(
    {"labels", "assignees", "author", "severity", "due_at", "is_blocker", "priority_base", "state"}
)


Identity = tuple[str, str, int]
"""An item among all of an account: its entity, its key and, of a commit, GitHub's id of its repository."""


def identity(entity: str, key: str, repository_github_id: int) -> Identity:
    """What tells an item from all others: one commit can be in several repositories, a fork and its
    source; an issue that moves stays what it is."""
    return (entity, key, repository_github_id if entity == Entity.COMMITS else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One item that is wrong in one way.

    `changed_at` is GitHub's own time of the change; `right_at` when the mirror was last known to be
    right about it: the difference is no older than that.
    """

    entity: str
    key: str
    name: str
    repository_github_id: int
    kind: Kind
    action: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    changed_at: datetime | None = None
    right_at: datetime | None = None
    cause: str = "unknown"

    @property
    def item(self) -> Identity:
        """What it is about."""
        return identity(self.entity, self.key, self.repository_github_id)

    def began_at(self, now: datetime) -> datetime | None:
        """Since when the mirror was wrong, as far as GitHub's times tell (R9.3)."""
        if self.changed_at is None:
            return None
        began = self.changed_at if self.right_at is None else max(self.changed_at, self.right_at)
        return min(began, now)

    def is_in_flight(self, now: datetime, grace: timedelta) -> bool:
        """Whether the change is so young that its webhook may still be on the way (R7.6)."""
        return is_in_flight(self.changed_at, now, grace)


def is_in_flight(changed_at: datetime | None, now: datetime, grace: timedelta) -> bool:
    """Whether a change of that time of GitHub's is younger than the grace period (R7.6). A time that
    lies further ahead than clocks disagree is no time of GitHub's."""
    return changed_at is not None and now - grace < changed_at <= now + grace


def of_change(change: Change, right_at: datetime | None = None) -> tuple[Finding, ...]:
    """What was wrong about a repository: one finding for each type (R7.4)."""
    found = []
    for kind in change.kinds:
        apart = len(change.kinds) > 1
        changed = [name for name in change.after if name not in _NOTED]
        names = [name for name in changed if not apart or kind_of(name) in (kind, None)]
        before = {name: change.before.get(name) for name in names if change.before}
        after = {name: change.after[name] for name in names}
        found.append(
            Finding(
                entity=REPOSITORIES,
                key=str(change.github_id),
                name=change.name,
                repository_github_id=change.github_id,
                kind=kind,
                action="create" if change.is_return else _ACTIONS[change.operation],
                before=plain(before),
                after=plain(after),
                changed_at=_changed_at(change),
                right_at=right_at,
                cause=_cause(change),
            )
        )
    return tuple(found)


def _changed_at(change: Change) -> datetime | None:
    if change.operation is Operation.DELETE and change.after.get("status") != "transferred":
        return None  # GitHub tells no time of what is gone; what moved says when
    if change.operation is Operation.CREATE:
        moment = change.after.get("github_created_at")
        return moment if isinstance(moment, datetime) else None
    times = [change.after.get(name) for name in ("github_updated_at", "pushed_at")]
    return max((each for each in times if isinstance(each, datetime)), default=None)


def _cause(change: Change) -> str:
    fields = change.after.keys() - _NOTED
    is_update = change.operation is Operation.UPDATE
    untold = is_update and change.kinds == (Kind.STALE_METADATA,) and fields <= _REPOSITORY_UNTOLD
    return "never_told" if untold else "unknown"


def of_item(
    item: Item,
    mine: MirrorItem | None,
    *,
    full_name: str,
    repository_github_id: int,
    right_at: datetime | None,
    pushed_at: datetime | None = None,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Finding:
    """What was wrong about an item that GitHub shows: the mirror lacked it, or says something else."""
    lacked = mine is None or not mine.present
    columns = COLUMNS[item.entity]
    values = dict(zip(columns, item.values, strict=True))
    if item.entity is Entity.COMMITS:
        times = (values["committed_at"], pushed_at)
        changed_at = max((each for each in times if each is not None), default=None)
    else:
        changed_at = item.updated_at
    cause = "unknown"
    if not lacked and mine is not None:
        same_time = item.entity is Entity.COMMITS or mine.updated_at == item.updated_at
        if same_time:
            cause = "never_told" if after.keys() <= _ITEM_UNTOLD else "our_side"
    return Finding(
        entity=str(item.entity),
        key=key_of(item.key),
        name=named(full_name, item.key, values.get("number")),
        repository_github_id=repository_github_id,
        kind=(_MISSING if lacked else _STALE)[item.entity],
        action="create" if lacked else "update",
        before=plain(before),
        after=plain(after),
        changed_at=changed_at,
        right_at=right_at,
        cause=cause,
    )


def of_absence(
    entity: Entity,
    key: Key,
    *,
    number: int | None,
    full_name: str,
    repository_github_id: int,
    reason: str,
    right_at: datetime | None,
    changed_at: datetime | None = None,
) -> Finding:
    """What was wrong about an item that the mirror has and GitHub has not."""
    return Finding(
        entity=str(entity),
        key=key_of(key),
        name=named(full_name, key, number),
        repository_github_id=repository_github_id,
        kind=_GONE[entity],
        action="remove",
        before={"present": True},
        after={"present": False, "removal": reason},
        changed_at=changed_at,
        right_at=right_at,
    )


def key_of(key: Key) -> str:
    """What identifies an item, as text: GitHub's id, or the sha."""
    return str(key) if isinstance(key, int) else key[1]


def named(full_name: str, key: Key, number: int | None) -> str:
    """An item's name for people."""
    if isinstance(key, tuple):
        return f"{full_name}@{key[1][:10]}"
    return f"{full_name}#{number or key}"


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values as JSON can hold them, long texts cut."""
    return {name: _plain(value) for name, value in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}… ({len(value)} characters)"
    if isinstance(value, (tuple, list)):
        return [_plain(each) for each in value]
    return value
