"""The stage of a run that reads the list of repositories (R5.5, R7.2).

Pages stream through compare and apply in batches, so memory stays bounded; nothing is concluded from
what a listing lacks unless the listing is whole and the repository itself was asked.
"""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import structlog

from reconciliation import evidence, guard
from reconciliation.diff import Evidence, compare_absent
from reconciliation.resync import look_back
from reconciliation.run import Run
from reconciliation.settling import apply, settle
from syncsvc import mirror
from syncsvc.github.listing import Listing
from syncsvc.github.payloads import RepositoryRow

log = structlog.get_logger(__name__)

BATCH: Final = 2000
WRITE_SECONDS: Final = 2.0


def read_list(run: Run) -> None:
    """Reads the whole list and carries out what differs; raises `GitHubError`, `Cancelled`, `LeaseLost`."""
    before = len(mirror.present_ids(run.job.installation_id))
    listing = _stream(run)
    if not listing.complete:
        # Pages shift while they are read: what was seen is kept, and the list is read once more.
        log.info("listing.incomplete", reason=listing.incomplete_reason)
        run.forgets_pages()  # a page behind a 304 may remember a list of another length
        listing = _stream(run)
    if listing.complete:
        run.listed_under(listing.repository_selection)
        _settle_absent(run, before)
        run.listed_whole()
    else:
        run.failed(
            "repositories",
            "list",
            "validation",
            f"GitHub's list was not whole ({listing.incomplete_reason}): nothing was removed on its word.",
        )
    look_back(run, complete=listing.complete)


def _stream(run: Run) -> Listing:
    """Reads the whole list, applying as it goes; the listing then knows whether it was whole."""
    run.starts_listing()
    run.lease.progress("reading repositories")
    waiting: list[RepositoryRow] = []
    written_at = time.monotonic()
    with run.client.list_repositories(run.source()) as listing:
        try:
            for page in run.timed("fetch", listing):
                run.put_aside(page.bad)
                waiting += page.rows
                # Few large writes where GitHub is fast, early ones where it is slow: a run that
                # is killed has then lost two seconds of work at most.
                if len(waiting) >= BATCH or time.monotonic() - written_at >= WRITE_SECONDS:
                    settle(run, waiting)
                    waiting, written_at = [], time.monotonic()
                run.lease.progress(
                    "reading repositories", len(run.seen) + len(waiting), listing.total_count
                )
        finally:
            # Also after an error: what came before it is true and kept.
            if waiting:
                settle(run, waiting)
    return listing


def _settle_absent(run: Run, before: int) -> None:
    """Asks each repository that a whole listing lacked what became of it (R7.2), unless so many of
    those that were there `before` are missing that a person has to decide (R7.3)."""
    sifted = guard.sift(run, mirror.present_ids(run.job.installation_id) - run.seen, before)
    absent, unsettled = sifted.settled, set[int]()
    for done, batch in enumerate(_batches(absent)):
        for number, mine in enumerate(mirror.read(batch).values()):
            run.lease.progress("checking absentees", done * BATCH + number, len(absent), mine.name)
            with run.phase("fetch"):
                answer = sifted.said.get(mine.github_id) or evidence.ask(run.client, mine)
            change = compare_absent(mine, answer, run.context)
            run.count_absent(mine.github_id)
            run.explained.add(mine.github_id)
            if answer is Evidence.UNAVAILABLE:
                unsettled.add(mine.github_id)
            if answer is Evidence.UNAVAILABLE or (answer is Evidence.BLOCKED and change):
                run.failed(
                    f"{mine.owner}/{mine.name}",
                    "verify",
                    "network" if answer is Evidence.UNAVAILABLE else "unknown",
                    "GitHub's list lacked it and its own page did not say what became of it: left as it was.",
                )
            # Written at once: what cost a request survives a limit, a cancel and a kill.
            apply(run, [change] if change is not None else [], {})
    guard.carried_out(run, sifted.approvals, unsettled)


def _batches(ids: Sequence[int]) -> Iterator[list[int]]:
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
