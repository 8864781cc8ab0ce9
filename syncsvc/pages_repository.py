"""The page of one repository."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from syncsvc import clock, repository_facts, selectors
from syncsvc.models import Repository
from syncsvc.pages import members_only


@members_only
@require_safe
def repository(request: HttpRequest, pk: int) -> HttpResponse:
    """What GitHub says of it, how healthy it is, and how far its lists were read."""
    rows = selectors.repositories(request.user).select_related("installation")
    row = get_object_or_404(rows, pk=pk)
    return render(
        request,
        "syncsvc/repository.html",
        {
            "row": row,
            "gone": row.status not in Repository.PRESENT,
            "facts": repository_facts.read(row, clock.now()),
            "days": repository_facts.DAYS,
        },
    )
