"""The pages of dead letters: what was given up, and the buttons for those who may decide (R10.4)."""

import json
from collections.abc import Callable
from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from syncsvc import dead_letter_decisions as decisions
from syncsvc import selectors_dead_letters
from syncsvc.api.dead_letters import CATEGORIES, NOT_OPERATING, DeadLetterFilters
from syncsvc.api.strict import LONGEST_REASON
from syncsvc.models import DeadLetter
from syncsvc.pages import members_only
from syncsvc.pages_contents import Field, Listing, listing
from syncsvc.webhooks.wording import spelled

LETTERS: Final = Listing(
    view="dead_letters",
    title="Dead letters",
    one="dead letter",
    rows=selectors_dead_letters.listed,
    filters=DeadLetterFilters,
    orders={
        "newest": ("Newest", ("-created_at", "-pk")),
        "oldest": ("Oldest", ("created_at", "pk")),
    },
    fields=(
        Field(name="status", label="Status", choices=tuple(DeadLetter.Status.choices)),
        Field(name="kind", label="What", choices=tuple(DeadLetter.Kind.choices)),
        Field(
            name="category",
            label="Category",
            choices=tuple((word, spelled(word)) for word, _ in CATEGORIES),
        ),
    ),
)


@members_only
@require_safe
def dead_letters(request: HttpRequest) -> HttpResponse:
    """What was given up."""
    return listing(request, LETTERS)


@members_only
@require_safe
def dead_letter(request: HttpRequest, pk: int) -> HttpResponse:
    """One letter: what it was about, where it failed, and the decision."""
    row = get_object_or_404(selectors_dead_letters.letters(request.user), pk=pk)
    is_open = row.status == DeadLetter.Status.OPEN
    may_decide = is_open and selectors_dead_letters.may_decide(request.user, row)
    return render(
        request,
        "syncsvc/dead_letter.html",
        {
            "row": row,
            "context_text": json.dumps(row.context, indent=2, ensure_ascii=False),
            "may_decide": may_decide,
            "refused": NOT_OPERATING if is_open and not may_decide else "",
            "longest": LONGEST_REASON,
        },
    )


@members_only
@require_POST
def requeue(request: HttpRequest, pk: int) -> HttpResponse:
    """Has it done again, and says whether that was possible."""
    return _decided(request, pk, lambda: decisions.requeue_one(pk, request.user))


@members_only
@require_POST
def discard(request: HttpRequest, pk: int) -> HttpResponse:
    """Lets it go, for a reason."""

    def decide() -> str:
        if pk not in decisions.discard([pk], request.POST.get("reason", ""), request.user):
            raise decisions.Refused("It is not open any more: somebody has decided before.")
        return "It is discarded."

    return _decided(request, pk, decide)


def _decided(request: HttpRequest, pk: int, decide: Callable[[], str]) -> HttpResponse:
    row = get_object_or_404(selectors_dead_letters.letters(request.user), pk=pk)
    if not selectors_dead_letters.may_decide(request.user, row):
        raise PermissionDenied
    try:
        messages.success(request, decide())
    except (decisions.Refused, ValueError) as refused:
        messages.warning(request, str(refused))
    return redirect("dead_letter", pk=pk)
