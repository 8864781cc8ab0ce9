"""A run keeps how far it is, and the next attempt of its job goes on from there (R10.2).

Hides what a checkpoint holds and what of it is still good. It is only ever an economy: what it says is
done was committed with it, and whoever ignores it reads more and comes to the same mirror.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final

import structlog

from reconciliation import checkpoints
from reconciliation.checkpoints import Checkpoint
from reconciliation.earlier import Earlier
from reconciliation.findings import REPOSITORIES
from reconciliation.lists import ListRun
from reconciliation.run import ENTITIES, Run
from syncsvc import clock
from syncsvc.models import Repository, SyncJob
from syncsvc.version import VERSION

log = structlog.get_logger(__name__)

METRICS: Final = "repository_metrics"
LIST: Final = (REPOSITORIES,)
CONTENTS: Final = tuple(each for each in ENTITIES if each not in LIST)
_WRITTEN: Final = ("created", "updated", "deleted")


# --- what is kept ---------------------------------------------------------------------------------


def keep(run: Run, done_to: int = 0) -> None:
    """Keeps that the list of repositories is carried out and, of their contents, what stands up to
    `done_to`. To be called within the lease's transaction that brought it there.

    A dry run keeps nothing: it wrote nothing that another attempt could find.
    """
    if run.job.dry_run or run.listed_at is None:
        return
    now = clock.now()
    earlier, kept = run.earlier, run.checkpoint
    if done_to:  # of what is done with nobody asks again what was new
        run.fresh = set()
    done_to = max(done_to, earlier.done_to)
    part = _part(run, LIST) if kept is None else kept.list
    run.checkpoint = Checkpoint(
        listed_at=run.listed_at,
        settled_at=now if kept is None else kept.settled_at,
        contents_at=(earlier.contents_at or run.context.now) if done_to else None,
        done_to=done_to,
        moments=(*earlier.moments, run.context.now),
        asked=run.asked_before,
        fresh=frozenset(run.fresh),
        list=part,
        contents=_part(run, CONTENTS, done_to, after=len(part["failures"])) if done_to else {},
    )
    run.trail.flush()  # what failed so far is not found again
    run.lease.keep(run.checkpoint.as_json(run.job.mode, VERSION))


def keep_fresh(run: Run, lists: Collection[ListRun]) -> None:
    """Keeps which of these lists, just settled, were read for the first time: another attempt would
    take them for lists that it has compared. Within the transaction that settles them.

    That is all that a run keeps which did not read a whole list.
    """
    fresh = {(str(each.entity), each.subject.github_id) for each in lists if each.is_baseline}
    if fresh and not run.judge.is_silent:
        run.fresh |= fresh
        kept = run.checkpoint or Checkpoint(contents_at=run.context.now)
        run.checkpoint = replace(kept, fresh=frozenset(run.fresh))
        run.lease.keep(run.checkpoint.as_json(run.job.mode, VERSION))


def _part(
    run: Run, entities: Collection[str], done_to: int = 0, *, after: int = 0
) -> dict[str, Any]:
    run.judge.set_repositories(run.compared_ids)
    return {
        "tallies": {each: dict(run.tallies[each]) for each in entities if each in run.tallies},
        "failures": run.failures[after:],
        "asked": run.asked,
        "judge": run.judge.state(
            [each for each in entities if each != METRICS], _done(run, done_to)
        ),
        "look": run.look.state(),
    }


def _done(run: Run, done_to: int) -> frozenset[int]:
    """The repositories, of those in which something was wrong, whose contents are done with."""
    homes = run.judge.homes_of_wrong
    if not homes or not done_to:
        return frozenset()
    rows = Repository.objects.filter(github_id__in=homes, pk__lte=done_to)
    return frozenset(rows.values_list("github_id", flat=True))


# --- what is taken up -----------------------------------------------------------------------------


def take_up(run: Run, entry: int) -> str:
    """Goes on where an earlier attempt of the job ended; `entry` is the audit entry of them all.

    After `Judge.begin`. Returns in words where that is.
    """
    if run.job.dry_run or run.job.mode == SyncJob.Mode.AUDIT:
        return "began anew"
    run.earlier = Earlier(entry)
    written = run.earlier.counts()
    kept = checkpoints.read(run.job.checkpoint, run.job.mode, VERSION)
    if kept is not None:
        _go_on(run, kept)
    for entity, counts in written.items():
        if entity in ENTITIES:
            for name in _WRITTEN:
                run.tallies[entity][name] = counts.get(name, 0)
    where = _where(run)
    log.info("sync.job.taken_up", attempt=run.job.attempt, where=where)
    return where


def _go_on(run: Run, kept: Checkpoint) -> None:
    now, earlier = clock.now(), run.earlier
    is_listed = kept.is_listed(now)
    # Where a list is read again, what failed before may be read again as well.
    is_begun = kept.is_begun(now) and (is_listed or not kept.contents["failures"])
    if is_listed:
        earlier.is_listed, run.checkpoint = True, kept
        run.listed_whole(kept.listed_at)
        _take(run, kept.list, frozenset())
    if is_begun:
        earlier.done_to, earlier.contents_at = kept.done_to, kept.contents_at
        earlier.moments = kept.moments
        _take(run, kept.contents, _done(run, kept.done_to))
        run.asked = kept.contents["asked"]
    if is_listed or is_begun:
        run.asked_before = kept.asked
        look = kept.contents["look"] if is_begun else kept.list["look"]
        run.look.restore(look, listed=is_listed, begun=is_begun)
    if kept.is_fresh(now):
        run.fresh = set(kept.fresh)
        run.judge.baseline_lists |= kept.fresh


def _take(run: Run, part: Mapping[str, Any], done: frozenset[int]) -> None:
    for entity, counts in part["tallies"].items():
        if entity in ENTITIES:
            run.tallies[entity].update(counts)
    run.failures += part["failures"]
    run.lease.errors += len(part["failures"])
    if not run.judge.is_silent:
        run.judge.restore(part["judge"], done)


def _where(run: Run) -> str:
    if run.earlier.done_to:
        done = Repository.objects.filter(
            installation_id=run.job.installation_id, pk__lte=run.earlier.done_to
        ).count()
        return f"went on after {done} repositories"
    return "went on after the list of repositories" if run.earlier.is_listed else "began anew"
