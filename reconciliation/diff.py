"""What differs between GitHub and the mirror. Pure: values in, a value out, nothing is mutated (R7.1).

A repository that is seen is compared field by field; one that is not seen changes nothing until there
is evidence of its own what became of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final

from syncsvc.github.payloads import RepositoryRow
from syncsvc.plan import FIELDS, Change, Kind, MirrorRepository, Operation

_values = attrgetter(*FIELDS)
_LONGEST_RUN: Final = timedelta(days=1)

_KINDS: Final = {
    "name": Kind.WRONG_NAME,
    "name_is_current": Kind.WRONG_NAME,
    "owner": Kind.WRONG_OWNER,
    "owner_id": Kind.WRONG_OWNER,
    "installation_id": Kind.WRONG_OWNER,
    "visibility": Kind.WRONG_VISIBILITY,
    "archived": Kind.WRONG_ARCHIVED_FLAG,
}
# Fields that follow from others, or are our own bookkeeping: no discrepancy by themselves.
_CONSEQUENCES: Final = frozenset({"status", "missing_since"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Doubt:
    """The listing is older than the mirror, by GitHub's own time: the repository itself must be asked."""

    github_id: int
    full_name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Whose repositories are compared, when, and by which rules."""

    installation_id: int
    account_id: int
    now: datetime
    grace: timedelta
    mode: str = "app"
    repository_selection: str = "all"
    unmanaged_policy: str = "create"
    baseline: bool = False
    #: When GitHub was asked, in a run that takes long: what is in flight is judged by it.
    seen_at: datetime | None = None


def compare(
    remote: RepositoryRow,
    mirror: MirrorRepository | None,
    context: Context,
    *,
    proven: bool = False,
) -> Change | Doubt | None:
    """What must change so that the mirror says of this repository what GitHub says; None when it does.

    `proven` says that `remote` was read by itself and is GitHub's last word; a listing that is older
    than the mirror only raises a `Doubt` (R7.5: the newest by GitHub's time wins).
    """
    if mirror is None:
        return _creation(remote, context)
    if (
        not remote.absent
        and _values(remote) == _values(mirror)
        and mirror.status in ("active", "archived", "unmanaged")
        and mirror.installation_id == context.installation_id
        and mirror.name_is_current
        and mirror.missing_since is None
        and mirror.status == _status(remote.archived, mirror.status)
    ):
        return None  # the usual case, kept to one comparison of tuples
    # Another account of ours holds it: only the repository itself says whose it is now.
    elsewhere = mirror.installation_id != context.installation_id
    if not proven and (elsewhere or _may_be_older(remote, mirror, context.now)):
        return Doubt(github_id=remote.github_id, full_name=remote.full_name)
    after = _wanted(remote, mirror, context)
    before = {name: getattr(mirror, name) for name in after}
    changed = {name: value for name, value in after.items() if not _same(name, before[name], value)}
    if not changed:
        return None
    restored = mirror.status not in ("active", "archived", "unmanaged")
    return Change(
        operation=Operation.UPDATE,
        github_id=remote.github_id,
        name=remote.full_name,
        kinds=(Kind.MISSING_REPO,) if restored else _kinds(changed),
        before={name: before[name] for name in changed},
        after=changed,
        version=mirror.version,
        in_flight=_in_flight(_latest(remote), context),
    )


class Evidence(StrEnum):
    """What GitHub answered when a repository that its list lacked was asked for by itself (R7.2)."""

    NOT_FOUND = "not_found"
    FORBIDDEN = "forbidden"
    BLOCKED = "blocked"
    UNAVAILABLE = "unavailable"


def compare_absent(
    mirror: MirrorRepository, evidence: RepositoryRow | Evidence, context: Context
) -> Change | None:
    """What becomes of a repository that a whole listing lacked, by the evidence of its own read."""
    if isinstance(evidence, RepositoryRow):
        return _found_elsewhere(mirror, evidence, context)
    if evidence is Evidence.NOT_FOUND:
        # A private repository that was taken out of the App's selection looks the same as a deleted
        # one: what is certain is only that access is gone. A public one would still be readable.
        hidden = context.repository_selection == "selected" and mirror.visibility != "public"
        return removal(mirror, "access_removed" if hidden else "deleted")
    if evidence is Evidence.FORBIDDEN:
        return removal(mirror, "access_removed")
    return None if mirror.missing_since is not None else noted(mirror, missing_since=context.now)


def noted(mirror: MirrorRepository, **values: datetime) -> Change:
    """A change of our own bookkeeping: nothing differs from GitHub."""
    return Change(
        operation=Operation.UPDATE,
        github_id=mirror.github_id,
        name=f"{mirror.owner}/{mirror.name}",
        kinds=(),
        before={name: getattr(mirror, name) for name in values},
        after=values,
        version=mirror.version,
    )


def _found_elsewhere(
    mirror: MirrorRepository, found: RepositoryRow, context: Context
) -> Change | None:
    moved = found.owner_id is not None and found.owner_id != context.account_id
    if not moved and context.repository_selection != "selected":
        # It is where it belongs and the listing lacked it all the same: believe the repository.
        change = compare(found, mirror, context, proven=True)
        return change if isinstance(change, Change) else None
    known = {name: getattr(found, name) for name in FIELDS if name not in found.absent}
    return removal(mirror, "transferred" if moved else "access_removed", known)


def removal(
    mirror: MirrorRepository, status: str, known: Mapping[str, Any] = MappingProxyType({})
) -> Change | None:
    """The change that says of a repository why it is not there any more, with what else is known."""
    after = dict(known) | {"status": status, "missing_since": None}
    before = {name: getattr(mirror, name) for name in after}
    changed = {name: value for name, value in after.items() if not _same(name, before[name], value)}
    if not changed:
        return None
    return Change(
        operation=Operation.DELETE,
        github_id=mirror.github_id,
        name=f"{mirror.owner}/{mirror.name}",
        kinds=(Kind.WRONG_OWNER if status == "transferred" else Kind.MISSING_AT_GITHUB,),
        before={name: before[name] for name in changed},
        after=changed,
        version=mirror.version,
    )


def _creation(remote: RepositoryRow, context: Context) -> Change:
    after = dict(zip(FIELDS, _values(remote), strict=True))
    unmanaged = context.unmanaged_policy == "log" and not context.baseline
    after["status"] = _status(remote.archived, "unmanaged" if unmanaged else "active")
    after["installation_id"] = context.installation_id
    return Change(
        operation=Operation.CREATE,
        github_id=remote.github_id,
        name=remote.full_name,
        kinds=(Kind.MISSING_REPO,),
        before={},
        after=after,
        in_flight=_in_flight(remote.github_created_at, context),
    )


def _wanted(remote: RepositoryRow, mirror: MirrorRepository, context: Context) -> dict[str, Any]:
    after = {name: getattr(remote, name) for name in FIELDS if name not in remote.absent}
    archived = after.get("archived", mirror.archived)
    after["status"] = _status(archived, mirror.status)
    after["installation_id"] = context.installation_id
    after["name_is_current"] = True
    after["missing_since"] = None
    return after


def _status(archived: bool, present: str) -> str:
    if present == "unmanaged":
        return "unmanaged"
    return "archived" if archived else "active"


def _may_be_older(remote: RepositoryRow, mirror: MirrorRepository, now: datetime) -> bool:
    # Written since the run began: a webhook told something that the page may not yet have known.
    if mirror.last_written_at is not None and mirror.last_written_at > now:
        return True
    theirs, ours = remote.github_updated_at, mirror.github_updated_at
    # A time far in the future is no time of GitHub's: it must not shield the row for ever. `now` is
    # the start of the run, and what happened since is newer than it.
    return theirs is not None and ours is not None and theirs < ours <= now + _LONGEST_RUN


def _latest(remote: RepositoryRow) -> datetime | None:
    # A push moves only `pushed_at`.
    times = [time for time in (remote.github_updated_at, remote.pushed_at) if time is not None]
    return max(times, default=None)


def _in_flight(changed_at: datetime | None, context: Context) -> bool:
    now = context.seen_at or context.now
    # A time that lies further ahead than clocks disagree is no time of GitHub's.
    return changed_at is not None and now - context.grace < changed_at <= now + context.grace


def _same(name: str, ours: object, theirs: object) -> bool:
    if name == "topics":  # a set, though GitHub lists it
        return set(ours) == set(theirs)  # type: ignore[call-overload,no-any-return]  # topics are tuples of text
    return ours == theirs


def kind_of(name: str) -> Kind | None:
    """The type of discrepancy that a wrong field is; None of a field that follows from others."""
    return None if name in _CONSEQUENCES else _KINDS.get(name, Kind.STALE_METADATA)


def _kinds(changed: Mapping[str, Any]) -> tuple[Kind, ...]:
    kinds = {_KINDS.get(name, Kind.STALE_METADATA) for name in changed if name not in _CONSEQUENCES}
    if "status" in changed and not kinds:
        kinds = {Kind.WRONG_STATUS}
    return tuple(sorted(kinds))
