"""The admin's first page: what waits for somebody's decision, and where to look first (R18.1, R18.2).

Five short queries, each over an index of what is open; beyond `MOST` nobody needs the number.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from alerts.models import Incident
from reconciliation.models import Discrepancy, Review
from syncsvc.models import DeadLetter, Installation

MOST: Final = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """Rows of one kind that wait: how many, in words, and the list that shows exactly them."""

    title: str
    count: str
    address: str
    is_any: bool


def context(request: HttpRequest, shown: dict[str, Any]) -> dict[str, Any]:
    """Adds to the start page what this user may see of it."""
    return {**shown, "health": _health(), "waiting": list(_waiting(request))}


def _waiting(request: HttpRequest) -> list[Waiting]:
    kinds: tuple[tuple[str, QuerySet[Any], str], ...] = (
        (
            "Open incidents",
            Incident.objects.filter(status=Incident.Status.OPEN),
            "status__exact=open",
        ),
        (
            "Disappearances to decide",
            Review.objects.filter(status=Review.Status.OPEN),
            "status__exact=open",
        ),
        (
            "Discrepancies to look at",
            Discrepancy.objects.filter(repair_status=Discrepancy.Status.NEEDS_MANUAL_REVIEW),
            "repair_status__exact=needs_manual_review",
        ),
        (
            "Dead letters",
            DeadLetter.objects.filter(status=DeadLetter.Status.OPEN),
            "status__exact=open",
        ),
        (
            "Accounts paused after failures",
            Installation.objects.exclude(breaker_state=Installation.Breaker.CLOSED),
            "breaker_state__exact=open",
        ),
    )
    found = []
    for title, rows, narrowed in kinds:
        opts = rows.model._meta
        if not request.user.has_perm(f"{opts.app_label}.view_{opts.model_name}"):
            continue
        count = rows.order_by().values("pk")[: MOST + 1].count()
        place = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        found.append(
            Waiting(
                title=title,
                count=f"more than {MOST:,}" if count > MOST else f"{count:,}",
                address=f"{place}?{narrowed}",
                is_any=count > 0,
            )
        )
    return found


def _health() -> str:
    try:
        return reverse("sync_health")
    except NoReverseMatch:
        return ""
