"""The page of one repository, and the button that reads it alone."""

from datetime import timedelta
from typing import Any, Final

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from syncsvc import (
    blocks,
    cards,
    clock,
    repository_facts,
    selectors,
    selectors_webhooks,
    state,
    status,
)
from syncsvc.models import Delivery, Repository, SyncJob
from syncsvc.pages import members_only
from syncsvc.policy import Action
from syncsvc.service import SyncService

DELIVERIES_SHOWN: Final = 5
RUNS_SHOWN: Final = 5
#: Runs of this repository alone are looked for so far back.
LOOKED_BACK: Final = timedelta(days=7)
#: A run may have read the list while it was still going on.
LISTED: Final = (SyncJob.Status.SUCCEEDED, SyncJob.Status.PARTIAL)


@members_only
@require_safe
def repository(request: HttpRequest, pk: int) -> HttpResponse:
    """What GitHub says of it, how healthy it is, and how far its lists were read."""
    row = get_object_or_404(_rows(request), pk=pk)
    now = clock.now()
    return render(
        request,
        "syncsvc/repository.html",
        {
            "row": row,
            "gone": row.status not in Repository.PRESENT,
            "facts": repository_facts.read(row, now),
            "days": repository_facts.DAYS,
            "deliveries": _last_deliveries(request, row),
            "runs": _own_runs(request, row),
            "listing": _last_listing(request, row),
            "written_by": _writer(request, row),
            "refused": refusal(row, now=now),
            "blocks": blocks.of(row, request.user, now, on="repository"),
        },
    )


@members_only
@require_POST
def sync(request: HttpRequest, pk: int) -> HttpResponse:
    """Has GitHub asked for this repository alone, and leads to the run; or says why not."""
    row = get_object_or_404(_rows(request), pk=pk)
    reason = not_alone(row)
    if reason:
        messages.warning(request, reason)
        return redirect("repository", pk=row.pk)
    decision = SyncService.request(
        row.installation_id,
        SyncJob.Trigger.MANUAL,
        mode=SyncJob.Mode.REPO,
        repository=row.full_name,
        user=request.user,
    )
    if decision.action is Action.START and decision.job_id:
        messages.success(request, f"GitHub is asked for {row.full_name} alone.")
        return redirect("job", pk=decision.job_id)
    messages.warning(request, f"Nothing was started. {status.explain(decision)}")
    return redirect("repository", pk=row.pk)


def refusal(row: Repository, **when: Any) -> str:
    """Why this repository cannot be read by itself now, in a sentence; empty when it can."""
    shown = status.of(state.read_one(row.installation_id), when["now"])
    return not_alone(row) or cards.hint(shown, when["now"])


def not_alone(row: Repository) -> str:
    """Why this repository cannot be asked for by its name at all."""
    if not row.name_is_current:
        return "Another repository has its name now: the next sync of the account asks for it by its id."
    if row.owner.lower() != row.installation.account_login.lower():
        return f"It belongs to {row.owner} now, which is not mirrored here."
    return ""


def _rows(request: HttpRequest) -> QuerySet[Repository]:
    return selectors.repositories(request.user).select_related("installation")


def _last_deliveries(request: HttpRequest, row: Repository) -> QuerySet[Delivery]:
    """What webhooks told of it lately, as far as this user may see it."""
    rows = selectors_webhooks.deliveries(request.user)
    about = rows.filter(repository_github_id=row.github_id)
    return about.order_by("-received_at", "-pk")[:DELIVERIES_SHOWN]


def _own_runs(request: HttpRequest, row: Repository) -> QuerySet[SyncJob]:
    """The last runs that read this repository alone."""
    runs = selectors.jobs(request.user).filter(
        installation=row.installation_id,
        repository__iexact=row.full_name,
        created_at__gte=clock.now() - LOOKED_BACK,
    )
    return runs.order_by("-created_at")[:RUNS_SHOWN]


def _last_listing(request: HttpRequest, row: Repository) -> SyncJob | None:
    """The last run that read the account's list of repositories, in which GitHub told of this one."""
    runs = selectors.jobs(request.user).filter(
        installation=row.installation_id, dry_run=False, status__in=LISTED
    )
    return runs.exclude(mode__in=SyncJob.NARROW).order_by("-created_at").first()


def _writer(request: HttpRequest, row: Repository) -> SyncJob | None:
    """The run that last changed the mirror's row, if a run did and it is still known."""
    if row.changed_by_job is None:
        return None
    return selectors.jobs(request.user).filter(pk=row.changed_by_job).first()
