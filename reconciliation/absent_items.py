"""What becomes of issues, pull requests and commits that a whole list lacked (R7.2).

An issue or a pull request is asked for by itself: a list shifts while it is read. A commit needs no
question: the history of a head is what it is.
"""

from collections.abc import Iterable
from typing import Final

from django.db import DataError, IntegrityError

from reconciliation.content_diff import compare
from reconciliation.findings import Finding
from reconciliation.lists import ListRun, found, gone_from
from reconciliation.run import Run
from syncsvc import contents
from syncsvc.content_plan import Key, item_of
from syncsvc.contents import Held
from syncsvc.github.errors import GitHubError
from syncsvc.github.reading import Entity, Fate, FateKind
from syncsvc.models import Issue

MOST_ASKED: Final = 100
"""Items that one run asks for at most; the rest follow in the next ones."""

TOO_MANY: Final = (
    f"More than {MOST_ASKED} items are missing from GitHub's lists: the others are asked for in the "
    "next runs, and stay until then."
)
UNREADABLE: Final = (
    "Some of its commits cannot be read, so nobody can tell which of ours are no longer in its "
    "history: all of them stay."
)
OUT_OF_REACH: Final = (
    "Items are missing from GitHub's list, and the repository itself could not be confirmed: "
    "nothing of it was removed."
)
BEYOND: Final = "Older than the newest commits that are kept."
REFUSED: Final = "The database cannot hold what GitHub says: left as it was."
LEFT: Final = (
    "GitHub's list lacked it and its own page did not say what became of it: left as it was."
)

_REMOVALS: Final = {
    FateKind.DELETED: str(Issue.Removal.DELETED),
    FateKind.TRANSFERRED: str(Issue.Removal.TRANSFERRED),
}


def settle(run: Run, current: ListRun) -> bool:
    """Marks what is gone; returns whether the fate of everything that was lacked is now known.

    Raises `GitHubError` for what concerns everything, `Cancelled` and `LeaseLost`.
    """
    lacking = current.lacking(contents.present(current.entity, current.subject.pk))
    if current.entity is Entity.COMMITS:
        return _drop(run, current, lacking)
    return _ask(run, current, lacking)


def _drop(run: Run, current: ListRun, lacking: dict[Key, Held]) -> bool:
    """A commit that is not in the history any more was dropped by a forced push; one that is only
    older than those that are wanted leaves the mirror."""
    if current.bad and any(not current.is_beyond(held) for held in lacking.values()):
        _unknown(run, current, current.subject.full_name, UNREADABLE, "validation")
        return False
    beyond = [held.pk for held in lacking.values() if current.is_beyond(held)]
    dropped = {key: held for key, held in lacking.items() if not current.is_beyond(held)}
    current.removed.update(lacking)
    run.tally(current.entity, deleted=len(dropped))
    findings = [gone_from(current, key, held, "dropped") for key, held in dropped.items()]
    if run.job.dry_run:
        _propose(run, current, dropped, findings)
        return True
    if lacking:
        with run.phase("update"), run.lease.writing():
            contents.drop([held.pk for held in dropped.values()], run.author)
            contents.prune(beyond)
            run.judge.repaired(findings)
            _noted(run, current, "delete", dropped)
            _noted(run, current, "delete", lacking.keys() - dropped.keys(), error=BEYOND)
    return True


def _propose(run: Run, current: ListRun, keys: Iterable[Key], findings: list[Finding]) -> None:
    for key in keys:
        run.proposed_item(current.entity, "delete", _name(current, key))
    with run.lease.writing():
        run.judge.proposed(findings)
        _noted(run, current, "delete", keys, result="proposed")


def _ask(run: Run, current: ListRun, lacking: dict[Key, Held]) -> bool:
    gone: dict[Key, str] = {}
    known = True
    for key, held in lacking.items():
        if run.asked >= MOST_ASKED:
            _unknown(run, current, current.subject.full_name, TOO_MANY)
            known = False
            break
        run.asked += 1
        run.lease.progress("checking absentees", run.asked, None, _name(current, key))
        with run.phase("fetch"):
            fate = run.rest.fate(
                current.entity,
                current.subject.full_name,
                held.number or 0,
                key if isinstance(key, int) else 0,
            )
        if fate.kind in _REMOVALS:
            gone[key] = _REMOVALS[fate.kind]
        elif fate.kind is FateKind.PRESENT:
            current.kept += 1
            _keep(run, current, fate)
        else:
            category = fate.error.category if fate.error else "unknown"
            _unknown(run, current, _name(current, key), LEFT, category)
            known = False
    if gone and not _is_within_reach(run, current):
        _unknown(run, current, current.subject.full_name, OUT_OF_REACH)
        return False
    current.removed.update(gone)
    run.tally(current.entity, deleted=len(gone))
    findings = [gone_from(current, key, lacking[key], reason) for key, reason in gone.items()]
    if run.job.dry_run:
        _propose(run, current, gone, findings)
    elif gone:
        with run.phase("update"), run.lease.writing():
            reasons = {lacking[key].pk: reason for key, reason in gone.items()}
            contents.remove(current.entity, reasons, run.author)
            run.judge.repaired(findings)
            _noted(run, current, "delete", gone)
    return known


def _is_within_reach(run: Run, current: ListRun) -> bool:
    """Whether the repository still is what its name leads to. Had it been deleted, hidden or renamed
    since its list was read, each of its items would look deleted."""
    try:
        with run.phase("fetch"):
            row = run.client.get_repository_by_id(current.subject.github_id)
    except GitHubError as error:
        if error.kind in ("authentication", "suspended", "rate_limited"):
            raise
        return False
    return row.full_name.lower() == current.subject.full_name.lower()


def _keep(run: Run, current: ListRun, fate: Fate) -> None:
    """It is there after all, and was read by itself just now: that is GitHub's last word."""
    if fate.row is None:
        return
    item = item_of(fate.row, current.subject.pk)
    mine = contents.read(current.entity, [item.key])
    updated = compare([item], mine, run.context.now).updated
    if updated and not run.job.dry_run:
        try:
            with run.phase("update"), run.lease.writing():
                contents.write(current.entity, updated, run.author)
                run.judge.repaired([found(current, item, mine.get(item.key))])
                _noted(run, current, "update", [item.key])
        except (IntegrityError, DataError):
            _unknown(run, current, _name(current, item.key), REFUSED, "validation")
            with run.lease.writing():
                _noted(run, current, "update", [item.key], result="failed", error=REFUSED)
            return
    run.tally(current.entity, updated=len(updated))
    current.changed.update(item.key for item in updated)


def _noted(
    run: Run,
    current: ListRun,
    operation: str,
    keys: Iterable[Key],
    *,
    result: str = "done",
    error: str = "",
) -> None:
    """Says in the trail what became of items (P7)."""
    pairs = [(current.subject.pk, key[1] if isinstance(key, tuple) else key) for key in keys]
    run.trail.wrote(current.entity, operation, pairs, result=result, error=error)


def _unknown(
    run: Run, current: ListRun, item: str, message: str, category: str = "unknown"
) -> None:
    run.failed(item, "check absentees", category, message, current.entity)


def _name(current: ListRun, key: Key) -> str:
    shown = key[1] if isinstance(key, tuple) else key
    return f"{current.subject.full_name} {current.entity} {shown}"
