"""The page of one run, and the button that stops it."""

from typing import Any, Final
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from syncsvc import (
    blocks,
    cards,
    clock,
    jobs,
    run_story,
    selectors,
    selectors_dead_letters,
    status,
)
from syncsvc.models import DeadLetter, SyncJob
from syncsvc.pages import members_only

REQUESTS: Final = ("requests", "not_modified", "graphql_points", "retries", "bytes")
PLAN_SHOWN: Final = 200
#: What an ended run that left no figures says instead of them.
NOTHING_READ: Final = {
    SyncJob.Status.CANCELLED: "It was cancelled before it had read anything: nothing was changed.",
    SyncJob.Status.FAILED: "It ended before it had read anything: nothing was changed.",
    SyncJob.Status.DEAD: "No attempt came to an end: what they wrote, if anything, stands in the audit "
    "trail.",
}


@members_only
@require_safe
def job(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One run: how far it is, or what it came to."""
    row = get_object_or_404(selectors.jobs(request.user).defer(None), pk=pk)
    is_part = request.htmx  # type: ignore[attr-defined]  # the middleware's
    template = "syncsvc/_job.html" if is_part else "syncsvc/job.html"
    return render(request, template, _told(request, row))


def _told(request: HttpRequest, row: SyncJob) -> dict[str, Any]:
    """Everything that the page shows, in a fixed number of queries."""
    now = clock.now()
    end = row.finished_at or now
    return {
        "job": row,
        "progress": status.progress(row, now) if row.is_active else None,
        "refresh": row.is_active,
        "waits_until": _waits_until(row),
        "steps": run_story.steps(row, now),
        "phases": run_story.phases(row.phases_seconds),
        "total_seconds": row.phases_seconds.get("total"),
        "requests": _in_order(row.api, REQUESTS),
        "costs": run_story.costs(row, now),
        "totals": cards.totals(row.counts.values()),
        "summary": ""
        if row.is_active
        else run_story.summary(row.counts.values(), dry_run=row.dry_run, status=row.status),
        "nothing_read": "" if row.counts else NOTHING_READ.get(SyncJob.Status(row.status), ""),
        "failures": run_story.failures(row, now),
        "untold": max(0, cards.errors(row.counts) - len(row.failures)),
        "entities": cards.by_entity(row.counts),
        "plan": row.plan[:PLAN_SHOWN],
        "plan_beyond": max(0, len(row.plan) - PLAN_SHOWN),
        "planned": len(row.plan),
        "seconds": (end - row.started_at).total_seconds() if row.started_at else None,
        "waited": (row.started_at - row.created_at).total_seconds() if row.started_at else None,
        "may_cancel": row.is_active and selectors.may_cancel(request.user, row),
        "letter": _open_letter(request, row),
        "gaps": run_story.gaps(row, request.user),
        "deliveries": run_story.deliveries(row, request.user),
        "neighbours": run_story.neighbours(row, request.user),
        "blocks": blocks.of(row, request.user, now, on="run"),
    }


def _waits_until(row: SyncJob) -> Any:
    """When a run that waits may go on; None while it runs, and once it has ended."""
    waits = row.status in (SyncJob.Status.QUEUED, SyncJob.Status.BLOCKED)
    return row.run_after if waits and row.run_after > row.created_at else None


def _open_letter(request: HttpRequest, row: SyncJob) -> DeadLetter | None:
    """Where somebody has to decide about a run that was given up, until somebody did."""
    if row.status != SyncJob.Status.DEAD:
        return None
    letters = selectors_dead_letters.listed(request.user)
    return letters.filter(job=row, status=DeadLetter.Status.OPEN).first()


def _in_order(values: dict[str, Any], names: tuple[str, ...]) -> list[tuple[str, Any]]:
    """The numbers in the order of `names` (the database keeps none), then whatever else there is."""
    return sorted(values.items(), key=lambda it: names.index(it[0]) if it[0] in names else 99)


@members_only
@require_POST
def cancel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Stops a run, and says whether it has stopped or will."""
    row = get_object_or_404(selectors.jobs(request.user), pk=pk)
    if not selectors.may_cancel(request.user, row):
        raise PermissionDenied
    row = jobs.cancel(row, user=request.user)
    if row.status == SyncJob.Status.CANCELLED:
        messages.success(request, "The run is cancelled; what it had read is kept.")
    elif row.is_active:
        messages.success(request, "The run stops at its next safe point; what it has read is kept.")
    else:
        messages.warning(request, "The run had ended already: there was nothing left to cancel.")
    return redirect("job", pk=row.pk)
