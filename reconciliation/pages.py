"""The pages of the judge for members: what was found wrong, what waits for a decision, and the decisions."""

from collections.abc import Callable
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from reconciliation import decisions, discrepancy_story, selectors
from reconciliation.filters import DiscrepancyFilters
from reconciliation.models import Discrepancy, Review
from reconciliation.models.discrepancy import Entity
from syncsvc.models import SyncJob
from syncsvc.pages import members_only
from syncsvc.pages_contents import Field, Listing, listing

#: Beyond these an account or a time narrows the list.
MOST_LISTED: Final = 10_000
ITEMS_SHOWN: Final = 500
REASON_CHARACTERS: Final = 2_000
DIGITS: Final = 10
NOT_DECIDING: Final = "To decide this you need the role operator or admin."
UNSURE: Final = "Nothing was done: say first that you have read what would go."

DISCREPANCIES: Final = Listing(
    app="reconciliation",
    view="discrepancies",
    title="Discrepancies",
    one="discrepancy",
    rows=lambda user: selectors.discrepancies(user).defer("before", "after"),
    filters=DiscrepancyFilters,
    most=MOST_LISTED,
    orders={
        "newest": ("Last found", ("-detected_at", "-pk")),
        "oldest": ("First found", ("detected_at", "pk")),
    },
    fields=(
        Field(name="open", label="State", choices=(("true", "Open"), ("false", "Ended"))),
        Field(name="type", label="Type", choices=tuple(Discrepancy.Type.choices)),
        Field(name="cause", label="Cause", choices=tuple(Discrepancy.Cause.choices)),
    ),
    more=(
        Field(name="repair_status", label="Repair", choices=tuple(Discrepancy.Status.choices)),
        Field(name="entity", label="Of", choices=tuple(Entity.choices)),
        Field(name="detector", label="Found by", choices=tuple(Discrepancy.Detector.choices)),
        Field(name="since", label="From, in UTC", hint="2026-01-31 08:00"),
        Field(name="until", label="Until, in UTC", hint="2026-01-31 18:00"),
    ),
)


@members_only
@require_safe
def discrepancies(request: HttpRequest) -> HttpResponse:
    """What was found wrong."""
    return listing(request, DISCREPANCIES)


@members_only
@require_safe
def discrepancy(request: HttpRequest, pk: int) -> HttpResponse:
    """One discrepancy: what the mirror said beside what GitHub said, and what can be done."""
    rows = selectors.discrepancies(request.user).select_related("repository", "missed_delivery")
    row = get_object_or_404(rows, pk=pk)
    selectors.named([row], request.user, row.installation_id)
    is_open = row.repair_status in Discrepancy.OPEN
    return render(
        request,
        "reconciliation/discrepancy.html",
        {
            "row": row,
            "story": discrepancy_story.tell(row),
            "asked": decisions.waits_for_github(row),
            "review": _open_review(row),
            **_deciding(request, row, is_open=is_open),
        },
    )


def _open_review(row: Discrepancy) -> Review | None:
    """The disappearance that it belongs to: while that waits for a decision, so does this."""
    if row.repair_status != Discrepancy.Status.NEEDS_MANUAL_REVIEW:
        return None
    return Review.objects.filter(
        installation=row.installation_id, status=Review.Status.OPEN
    ).first()


def _deciding(
    request: HttpRequest, row: Discrepancy | Review, *, is_open: bool
) -> dict[str, object]:
    """What a page needs on which somebody may decide about the row."""
    return {
        "is_open": is_open,
        "may_decide": is_open and selectors.may_decide(request.user, row.installation_id),
        "refused": NOT_DECIDING if is_open else "",
        "run": SyncJob.objects.filter(pk=row.correlation_id).only("pk").first(),
        "longest": REASON_CHARACTERS,
    }


@members_only
@require_safe
def review(request: HttpRequest, pk: int) -> HttpResponse:
    """One disappearance: what would go, and the decision."""
    row = get_object_or_404(selectors.reviews(request.user), pk=pk)
    is_open = row.status == Review.Status.OPEN
    return render(
        request,
        "reconciliation/review.html",
        {
            "row": row,
            "items": row.items[:ITEMS_SHOWN],
            "more": max(0, len(row.items) - ITEMS_SHOWN),
            **_deciding(request, row, is_open=is_open),
        },
    )


@members_only
@require_POST
def repair(request: HttpRequest, pk: int) -> HttpResponse:
    """Has GitHub asked again, and the mirror put right by its answer."""
    row = get_object_or_404(selectors.discrepancies(request.user), pk=pk)
    told = "GitHub is asked again, and the mirror put right by its answer."
    return _decided(request, row, lambda: decisions.repair(row, request.user), told)


@members_only
@require_POST
def dismiss(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends a discrepancy without a repair."""
    row = get_object_or_404(selectors.discrepancies(request.user), pk=pk)
    reason = _reason(request)
    return _decided(
        request, row, lambda: decisions.dismiss(row, request.user, reason), "It is dismissed."
    )


@members_only
@require_POST
def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Lets the repositories of a review go, as many as the page showed."""
    row = get_object_or_404(selectors.reviews(request.user), pk=pk)
    seen = request.POST.get("vanished", "")
    vanished = int(seen) if seen.isdecimal() and len(seen) < DIGITS else -1

    def decide() -> None:
        if request.POST.get("agreed") != "yes":
            raise ValueError(UNSURE)
        decisions.approve(row, request.user, vanished, request.POST.get("fingerprint", ""))

    return _decided(request, row, decide, "Approved: a run takes them out of the mirror.")


@members_only
@require_POST
def reject(request: HttpRequest, pk: int) -> HttpResponse:
    """Keeps the repositories of a review."""
    row = get_object_or_404(selectors.reviews(request.user), pk=pk)
    reason = _reason(request)
    told = "Rejected: the repositories stay."
    return _decided(request, row, lambda: decisions.reject(row, request.user, reason), told)


def _decided(
    request: HttpRequest, row: Discrepancy | Review, decide: Callable[[], object], told: str
) -> HttpResponse:
    """Lets the user decide, and says on the row's page what came of it."""
    if not selectors.may_decide(request.user, row.installation_id):
        raise PermissionDenied
    try:
        decide()
    except (decisions.Refused, ValueError) as refused:
        messages.warning(request, str(refused))
    else:
        messages.success(request, told)
    return redirect("review" if isinstance(row, Review) else "discrepancy", pk=row.pk)


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "")[:REASON_CHARACTERS]
