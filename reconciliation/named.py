"""Runs for some repositories: one by its name, or those that webhooks and gaps said to read again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Final

from django.db import InterfaceError, OperationalError

from reconciliation import evidence, guard
from reconciliation.contents import read_contents
from reconciliation.diff import Evidence, compare, compare_absent, noted
from reconciliation.findings import REPOSITORIES
from reconciliation.resync import look_back, verify_contents
from reconciliation.run import Run
from reconciliation.settling import apply
from syncsvc import clock, mirror, rechecks
from syncsvc.endings import LeaseLost
from syncsvc.github.errors import GitHubError, RateLimited
from syncsvc.github.payloads import RepositoryRow
from syncsvc.leases import Cancelled
from syncsvc.models import Recheck, Repository
from syncsvc.plan import Change, MirrorRepository
from syncsvc.rechecks import Asked

STAGE: Final = "reading named repositories"


def read_one(run: Run) -> None:
    """Reads the repository that the job names, and what it holds."""
    github_id = _read_one(run)
    if github_id is not None:
        read_contents(run, {github_id})
        verify_contents(run)


def _read_one(run: Run) -> int | None:
    """Returns GitHub's id of the repository that the name stands for, if it is there."""
    owner, _, name = run.job.repository.partition("/")
    run.lease.progress("reading one repository", 0, 1, run.job.repository)
    known = mirror.read_named(owner, name)
    row: RepositoryRow | None = None
    try:
        with run.phase("fetch"):
            row = run.client.get_repository(owner, name)
    except GitHubError as error:
        if known is None or not error.is_evidence_of_absence:
            raise
    if row is not None and (known is None or known.github_id == row.github_id):
        _settle_one(run, row)
    elif known is not None:
        _settle_known(run, known)
        if row is not None:  # the name was used again
            _settle_one(run, row)
    look_back(run, complete=False)
    return row.github_id if row is not None else None


def _settle_one(run: Run, row: RepositoryRow) -> None:
    mine = mirror.read([row.github_id]).get(row.github_id)
    if run.context.repository_selection == "selected" and not _is_present(mine):
        run.failed(
            row.full_name,
            "create",
            "validation",
            "It is not in the selection of this installation as far as we know: sync the whole list.",
        )
        return
    if row.owner_id not in (None, run.context.account_id):
        change = compare_absent(mine, row, run.context) if mine else None
        run.count_absent(row.github_id)
    else:
        verdict = compare(row, mine, run.context, proven=True)
        change = verdict if isinstance(verdict, Change) else None
        run.count_seen(row.github_id, change)
        if mine is not None and not run.job.dry_run:
            change = _noting_when(change, mine, clock.now())
    apply(run, [change] if change else [], {row.github_id: row})


def _settle_known(run: Run, known: MirrorRepository) -> None:
    answer = evidence.ask(run.client, known)
    if isinstance(answer, RepositoryRow) and answer.owner_id in (None, run.context.account_id):
        # No list lacked it: it only goes by another name by now.
        _settle_one(run, answer)
        return
    change = compare_absent(known, answer, run.context)
    if change is not None and guard.is_disappearance(change):
        _settle_gone(run, [change])
        return
    run.count_absent(known.github_id)
    apply(run, [change] if change else [], {})


def _settle_gone(run: Run, gone: Sequence[Change]) -> None:
    """Removes what nobody knows the whereabouts of, but for what the guard spares (R7.3)."""
    spared = guard.spared(run, gone)
    for change in gone:
        run.explained.add(change.github_id)
        if change.github_id in spared:
            run.judge.unknown(REPOSITORIES, 1)
            continue
        run.count_absent(change.github_id)
        apply(run, [change], {})


def read_rechecks(run: Run) -> None:
    """Reads what webhooks and gaps named, as far as it is due: each repository itself where that was
    asked for, and of all of them the lists that changed (R6.3, R6.6)."""
    taken = rechecks.due(run.job.installation_id, run.context.now)
    try:
        _read_taken(run, taken)
    except (RateLimited, Cancelled, LeaseLost, OperationalError, InterfaceError):
        raise  # it goes on with them
    except Exception:  # whatever ends a run must not be the first thing that the next one does
        with suppress(Cancelled), run.lease.writing():
            rechecks.failed(taken, clock.now())
        raise


def _read_taken(run: Run, taken: Sequence[Recheck]) -> None:
    unread: list[Recheck] = []
    gone: list[Change] = []
    for number, each in enumerate(taken):
        run.lease.progress(STAGE, number, len(taken), each.full_name)
        # What nobody reads by its name any more has another one: its contents wait for that.
        itself = each.itself or not _is_named(each.github_id)
        if itself and not _read_by_id(run, each, gone):
            unread.append(each)
    _settle_gone(run, gone)  # together: their number tells what each for itself does not
    left = look_back(run, complete=False)
    read_contents(run, {each.github_id for each in taken})
    left |= verify_contents(run)
    unread += [each for each in taken if each.github_id in left and each not in unread]
    if run.job.dry_run:
        return
    # With the end of the job: an attempt that follows a killed one has to compare them all again.
    run.answered = [each for each in taken if each not in unread]
    with run.lease.writing():
        rechecks.failed(unread, run.context.now)


def _read_by_id(run: Run, asked: Recheck, gone: list[Change]) -> bool:
    """Reads one repository by its identity; False when GitHub did not say what it is now. One that
    is not there any more is added to `gone` and left as it is."""
    known = mirror.read([asked.github_id]).get(asked.github_id)
    with run.phase("fetch"):
        answer = _answer(run, asked.github_id, known)
    if answer is Evidence.UNAVAILABLE:
        run.failed(
            asked.full_name or str(asked.github_id),
            "read",
            "network",
            "Its own page could not be read: left as it was, and tried again later.",
        )
        return False
    ours = known is not None and known.installation_id == run.context.installation_id
    change: Change | None = None
    if isinstance(answer, RepositoryRow) and answer.owner_id in (None, run.context.account_id):
        if run.context.repository_selection == "selected" and not _is_present(known):
            # A public repository answers whether it is in the selection or not: the list tells.
            told = rechecks.REPOSITORY if asked.told else frozenset[str]()
            whole = Asked(github_id=rechecks.WHOLE_LIST, itself=True, reason="selection", told=told)
            rechecks.ask(
                run.job.installation_id, [whole], trigger=run.job.trigger, now=run.context.now
            )
            return True
        verdict = compare(answer, known, run.context, proven=True)
        change = verdict if isinstance(verdict, Change) else None
        run.count_seen(asked.github_id, change)
        if known is not None and not run.job.dry_run:
            change = _noting_when(change, known, clock.now())
    elif known is not None and ours:
        change = compare_absent(known, answer, run.context)
        if change is not None and guard.is_disappearance(change):
            gone.append(change)
            return True
        run.count_absent(asked.github_id)
        run.explained.add(asked.github_id)
    rows = {asked.github_id: answer} if isinstance(answer, RepositoryRow) else {}
    apply(run, [change] if change is not None else [], rows)
    return True


def _answer(run: Run, github_id: int, known: MirrorRepository | None) -> RepositoryRow | Evidence:
    if known is not None:
        return evidence.ask(run.client, known)
    try:
        return run.client.get_repository_by_id(github_id)
    except GitHubError as error:
        if error.is_evidence_of_absence or error.kind in ("forbidden", "legally_blocked"):
            return Evidence.NOT_FOUND
        if error.category in ("authentication", "rate_limit"):
            raise
        return Evidence.UNAVAILABLE


def _is_named(github_id: int) -> bool:
    known = mirror.read([github_id]).get(github_id)
    return known is None or known.name_is_current


def _is_present(known: MirrorRepository | None) -> bool:
    return known is not None and known.status in Repository.PRESENT


def _noting_when(change: Change | None, known: MirrorRepository, now: datetime) -> Change:
    """The change, with the moment of this reading: a webhook from before it is older."""
    if change is not None:
        return replace(change, after={**change.after, "read_at": now})
    return noted(known, read_at=now)
