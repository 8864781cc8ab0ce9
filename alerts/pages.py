"""The page *Sync health* for operators (R18.1): is the mirror right, where is it not, since when, what is
being done about it, what does it cost, and the proof."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_safe

from alerts.pages_access import staff_only


@staff_only
@require_safe
def sync_health(_request: HttpRequest) -> HttpResponse:
    """The whole fleet on one page."""
    return redirect("sync_health_incidents")


@staff_only
@require_safe
def sync_health_csv(_request: HttpRequest) -> HttpResponse:
    """The table of the page as a file."""
    return redirect("sync_health_incidents")
