"""What verification finds missing is read again at once, then looked for again (R8.1, R8.2, P1-P3).

Hides the order: told, brought, looked for once more; and what is still missing becomes a discrepancy, a
failure of the run, and something to be read again by a later one.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from reconciliation import verification
from reconciliation.content_writing import WORDS
from reconciliation.contents import read_contents
from reconciliation.findings import REPOSITORIES, Finding, key_of, named
from reconciliation.models import Discrepancy
from reconciliation.run import Run
from reconciliation.settling import settle
from syncsvc import clock, content_lists, mirror, rechecks
from syncsvc.content_lists import ListKey
from syncsvc.content_plan import Key
from syncsvc.github.errors import GitHubError
from syncsvc.github.reading import Entity
from syncsvc.models import Recheck, Repository, SyncJob
from syncsvc.plan import Kind
from syncsvc.rechecks import Asked

log = structlog.get_logger(__name__)

MOST: Final = 20
"""Repositories that one run reads again; what else is missing waits for the next one."""
REASON: Final = "verification"
FIRST: Final = timedelta(minutes=1)
LAST: Final = timedelta(hours=6)
_MISSING: Final = {
    Entity.ISSUES: Kind.MISSING_ISSUE,
    Entity.PULL_REQUESTS: Kind.MISSING_PULL_REQUEST,
    Entity.COMMITS: Kind.MISSING_COMMIT,
}
NOT_BROUGHT: Final = "Verification found it missing, and reading it again did not bring it."
"""Why a repair of what verification found has failed."""


# --- repositories ---------------------------------------------------------------------------------


def look_back(run: Run, *, complete: bool) -> set[int]:
    """Looks whether the mirror holds the repositories that GitHub showed, and brings those that it
    lacks. Returns the ids, GitHub's, that it still lacks; they are told as a failure of the run.

    Raises `GitHubError` for what concerns everything, `Cancelled` and `LeaseLost`.
    """
    result = _verified(run, complete=complete)
    lacked = result["missing_ids"][:MOST]
    if lacked and not run.job.dry_run:
        _tell_gap(REPOSITORIES, lacked, result["missing"])
        with run.resyncing():
            _bring(run, lacked)
        before, result = result["missing"], _verified(run, complete=complete)
        _tell_resync(run, REPOSITORIES, lacked, before, result["missing"])
    run.look.verified(result)
    if not complete and run.job.mode not in SyncJob.NARROW:
        # What a broken listing did not show may be right or wrong.
        unseen = mirror.present_ids(run.job.installation_id) - run.seen - run.explained
        run.judge.unknown(REPOSITORIES, len(unseen))
    if run.job.dry_run:
        return set()
    left = set(result["missing_ids"])
    if left:
        _give_up_repositories(run, sorted(left))
    if left or result["unexplained"]:
        run.failed(
            "mirror",
            "verify",
            "validation",
            f"Verification found {result['missing']} repositories missing and "
            f"{result['unexplained']} unexplained after the repair.",
        )
    return left


def _verified(run: Run, *, complete: bool) -> dict[str, Any]:
    with run.phase("verify"):
        run.lease.progress("verifying", len(run.seen), len(run.seen))
        return verification.verify_repositories(run, complete=complete)


def _bring(run: Run, ids: Sequence[int]) -> None:
    """Reads each by itself and settles it like any other."""
    for number, github_id in enumerate(ids):
        run.lease.progress("reading again", number, len(ids), str(github_id))
        try:
            with run.phase("fetch"):
                row = run.client.get_repository_by_id(github_id)
        except GitHubError as error:
            if error.category in ("authentication", "rate_limit"):
                raise
            if error.is_evidence_of_absence:
                run.seen.discard(github_id)  # gone since the list showed it
            log.warning("resync.unreadable", github_id=github_id, kind=error.kind)
            continue
        if row.owner_id in (None, run.context.account_id):
            settle(run, [row])
        else:
            run.seen.discard(github_id)  # moved since the list showed it


def _give_up_repositories(run: Run, ids: Sequence[int]) -> None:
    found = [
        Finding(
            entity=REPOSITORIES,
            key=str(github_id),
            name=f"repository {github_id}",
            repository_github_id=github_id,
            kind=Kind.MISSING_REPO,
            action="create",
            before={"present": False},
            after={"present": True},
        )
        for github_id in ids
    ]
    asked = [Asked(github_id=each, itself=True, reason=REASON) for each in ids]
    _give_up(run, found, asked)


# --- issues, pull requests, commits ---------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Gap:
    """A list that lacks items: `keys` are those that are known, `number` how many it lacks at least."""

    list: ListKey
    repository: Repository
    keys: frozenset[Key]
    number: int


def verify_contents(run: Run) -> set[int]:
    """Looks whether the lists that this run read still hold what was written, and reads those whole
    that do not. Returns GitHub's ids of the repositories that still lack something; that is told.

    Raises `GitHubError` for what concerns everything, `Cancelled` and `LeaseLost`.
    """
    if run.job.dry_run:
        return set()
    with run.phase("verify"):
        gaps = _gaps(run)
    if not gaps:
        return set()
    for entity, mine in _by_entity(gaps):
        _tell_gap(entity, _keys(mine), _number(mine), _names(mine))
    with run.lease.writing():
        # At once: also a run that is killed now must not leave them for what they are not.
        content_lists.forget_whole(each.list for each in gaps)
    homes = sorted({each.repository.github_id for each in gaps})[:MOST]
    with run.resyncing():
        read_contents(run, set(homes))
    with run.phase("verify"):
        left = _left(run, gaps)
    for entity, mine in _by_entity(gaps):
        after = [each for each in left if each.list[1] is entity]
        _tell_resync(run, entity, _names(mine), _number(mine), _number(after))
        run.look.still_missing(entity, _keys(after), _number(after))
        if after:
            _give_up_items(run, entity, after)
    return {each.repository.github_id for each in left}


def _by_entity(gaps: Sequence[_Gap]) -> Iterator[tuple[Entity, list[_Gap]]]:
    for entity in Entity:
        mine = [each for each in gaps if each.list[1] is entity]
        if mine:
            yield entity, mine


def _keys(gaps: Sequence[_Gap]) -> list[str]:
    return sorted(key_of(key) for each in gaps for key in each.keys)


def _names(gaps: Sequence[_Gap]) -> list[str]:
    return [each.repository.full_name for each in gaps]


def _number(gaps: Sequence[_Gap]) -> int:
    return sum(each.number for each in gaps)


def _gaps(run: Run) -> list[_Gap]:
    missing = verification.missing_items(run.look.gaps)
    short = verification.short_lists(run)
    lists = missing.keys() | short.keys()
    homes = Repository.objects.in_bulk({pk for pk, _ in lists})
    return [
        _Gap(
            list=key,
            repository=homes[key[0]],
            keys=frozenset(missing.get(key, ())),
            number=max(len(missing.get(key, ())), short.get(key, 0)),
        )
        for key in sorted(lists)
        if key[0] in homes
    ]


def _left(run: Run, gaps: Sequence[_Gap]) -> list[_Gap]:
    """What is still missing. What a list that was read whole did not show is GitHub's no longer."""
    whole = verification.read_whole(run, [each.list for each in gaps])
    missing = verification.missing_items(run.look.gaps)
    short = verification.short_lists(run)
    found = []
    for each in gaps:
        keys = missing.get(each.list, set())
        if each.list in whole:
            keys = {key for key in keys if key in run.look.shown}
            number = max(len(keys), short.get(each.list, 0))
        else:
            number = max(len(keys), each.number)
        if number:
            found.append(
                _Gap(
                    list=each.list,
                    repository=each.repository,
                    keys=frozenset(keys),
                    number=number,
                )
            )
    return found


def _give_up_items(run: Run, entity: Entity, gaps: Sequence[_Gap]) -> None:
    number = _number(gaps)
    run.failed(
        f"{number} {WORDS[entity]}",
        "verify",
        "validation",
        f"Verification found {number} {WORDS[entity]} missing after they were written, and reading "
        f"them again did not bring them: {', '.join(_names(gaps[:3]))}.",
        entity,
    )
    found = [
        Finding(
            entity=str(entity),
            key=key_of(key),
            name=named(each.repository.full_name, key, None),
            repository_github_id=each.repository.github_id,
            kind=_MISSING[entity],
            action="create",
            before={"present": False},
            after={"present": True},
        )
        for each in gaps
        for key in each.keys
    ]
    asked = [
        Asked(
            github_id=each.repository.github_id,
            full_name=each.repository.full_name,
            reason=REASON,
        )
        for each in gaps
    ]
    with run.lease.writing():
        content_lists.forget_whole(each.list for each in gaps)
    _give_up(run, found, asked)


# --- what both have in common ---------------------------------------------------------------------


def _give_up(run: Run, found: Iterable[Finding], asked: Sequence[Asked]) -> None:
    """Keeps what is wrong, and has it read again after a while (R8.2)."""
    account, now = run.job.installation_id, clock.now()
    ids = [each.github_id for each in asked]
    waiting = Recheck.objects.filter(installation=account, github_id__in=ids)
    known = set(waiting.values_list("github_id", flat=True))
    with run.lease.writing():
        run.judge.not_brought(found, NOT_BROUGHT)
        rechecks.ask(
            account,
            # Those that wait already keep their place: asked for again they would be due at once.
            [each for each in asked if each.github_id not in known],
            trigger=SyncJob.Trigger.MAINTENANCE,
            now=now,
            due_at=now + _delay(account, ids, now),
        )


def _delay(account: int, ids: Collection[int], now: datetime) -> timedelta:
    """As long as it has been missing: a minute at first, twice as long each time, six hours at most."""
    since = (
        Discrepancy.objects.filter(
            installation=account,
            repository_github_id__in=ids,
            detector=Discrepancy.Detector.VERIFICATION,
            repair_status=Discrepancy.Status.FAILED,
        )
        .order_by("detected_at")
        .values_list("detected_at", flat=True)
        .first()
    )
    return min(max(FIRST, now - since if since else FIRST), LAST)


def _tell_gap(
    entity: str,
    missing: Sequence[Any],
    number: int,
    repositories: Sequence[str] = (),
) -> None:
    log.warning(
        "verification.gap",
        entity=str(entity),
        missing_ids=list(missing)[: verification.SHOWN],
        missing=number,
        repositories=list(repositories)[: verification.SHOWN],
        at=clock.now().isoformat(),
    )


def _tell_resync(run: Run, entity: str, items: Sequence[Any], before: int, after: int) -> None:
    done = {"items": before, "resolved": max(0, before - after), "failed": after}
    log.warning(
        "resync.attempted",
        entity=str(entity),
        tried=list(items)[: verification.SHOWN],
        at=clock.now().isoformat(),
        **done,
    )
    run.look.tried_again(**done)
