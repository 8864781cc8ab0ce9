"""The page of one repository."""

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from syncsvc import clock, repository_facts, selectors, selectors_webhooks
from syncsvc.models import Delivery, Repository
from syncsvc.pages import members_only

DELIVERIES_SHOWN = 5


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
            "deliveries": _last_deliveries(request, row),
        },
    )


def _last_deliveries(request: HttpRequest, row: Repository) -> QuerySet[Delivery]:
    """What webhooks told of it lately, as far as this user may see it."""
    rows = selectors_webhooks.deliveries(request.user)
    about = rows.filter(repository_github_id=row.github_id)
    return about.order_by("-received_at", "-pk")[:DELIVERIES_SHOWN]
