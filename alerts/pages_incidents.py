"""The page of incidents for operators: how bad, since when, what to do, and who has taken it on."""

from typing import Any, Final
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from alerts import incidents as keeping
from alerts import selectors
from alerts.api import IncidentFilters
from alerts.models import Incident
from alerts.pages_access import staff_only
from alerts.values import Kind, Severity
from syncsvc.pages_contents import Field, Listing, listing
from syncsvc.templatetags.mirror import spaced

#: Of incidents without end only so many are counted and paged.
MOST_LISTED: Final = 10_000
LONGEST_QUERY: Final = 2_000

_ENDED: Final = Case(
    When(status=Incident.Status.RESOLVED, then=Value(1)),
    default=Value(0),
    output_field=IntegerField(),
)
_RANK: Final = Case(
    *(When(severity=severity, then=Value(severity.rank)) for severity in Severity),
    default=Value(0),
    output_field=IntegerField(),
)
NEWEST: Final = ("-opened_at", "-pk")

INCIDENTS: Final = Listing(
    app="alerts",
    view="sync_health_incidents",
    title="Incidents",
    one="incident",
    rows=selectors.incidents,
    filters=IncidentFilters,
    most=MOST_LISTED,
    orders={
        "worst": ("Lasting first, the worst first", (_ENDED, _RANK.desc(), *NEWEST)),
        "newest": ("Last opened", NEWEST),
        "oldest": ("First opened", ("opened_at", "pk")),
    },
    fields=(
        Field(name="open", label="State", choices=(("true", "Lasting"), ("false", "Ended"))),
        Field(name="severity", label="Severity", choices=tuple(Incident.Severity.choices)),
        Field(name="kind", label="Kind", choices=tuple((str(kind), spaced(kind)) for kind in Kind)),
    ),
    more=(
        Field(name="status", label="How far", choices=tuple(Incident.Status.choices)),
        Field(name="opened_after", label="From, in UTC", hint="2026-01-31 08:00"),
        Field(name="opened_before", label="Until, in UTC", hint="2026-01-31 18:00"),
    ),
)


@staff_only
@require_safe
def incidents(request: HttpRequest) -> HttpResponse:
    """What is wrong and what was."""
    return listing(request, INCIDENTS)


@staff_only
@require_POST
def acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Says that somebody has taken it on. Pressed twice, or by two at once, one did it and both know who."""
    row = get_object_or_404(selectors.incidents(request.user), pk=pk)
    if keeping.acknowledge(row, request.user):
        messages.success(request, f"You have taken it on: {row.title}")
    elif row.status == Incident.Status.RESOLVED:
        messages.warning(request, f"It has ended meanwhile: {row.title}")
    else:
        who = row.acknowledged_by.get_username() if row.acknowledged_by else "Somebody"
        whose = "You have" if row.acknowledged_by_id == request.user.pk else f"{who} has"
        messages.info(request, f"{whose} taken it on already: {row.title}")
    return redirect(_back(request))


def _back(request: HttpRequest) -> str:
    """The list as it was narrowed; only its query is taken from the form, never an address."""
    query = urlsplit(f"?{request.POST.get('back', '')[:LONGEST_QUERY]}").query
    address = reverse("sync_health_incidents")
    return f"{address}?{query}" if query else address


def proofs(row: Incident) -> list[tuple[str, str]]:
    """Where to look and what to do about an incident, the nearest first: words and address."""
    found = []
    if row.kind == Kind.MASS_DISAPPEARANCE and isinstance(row.figures.get("review"), int):
        found.append(("The review", reverse("review", args=[row.figures["review"]])))
    if row.installation_id is not None and row.kind in _LISTS:
        words, view, more = _LISTS[Kind(row.kind)]
        query: dict[str, Any] = {"installation": row.installation_id, **more}
        found.append((words, f"{reverse(view)}?{urlencode(query)}"))
    if row.correlation_id is not None:
        query = {"q": row.correlation_id}
        found.append(("The run", f"{reverse('sync_health_find')}?{urlencode(query)}"))
    if row.installation_id is not None:
        found.append(("The account", reverse("installation", args=[row.installation_id])))
    return found


_OPEN: Final = ("Its discrepancies", "discrepancies", {"open": "true"})
_LISTS: Final[dict[Kind, tuple[str, str, dict[str, str]]]] = {
    Kind.RESYNC_FAILED: _OPEN,
    Kind.REPAIR_FAILED: ("Its discrepancies", "discrepancies", {"repair_status": "failed"}),
    Kind.ACCURACY: _OPEN,
    Kind.AUDIT_DISAGREEMENT: ("What audits found", "discrepancies", {"detector": "audit"}),
    Kind.DEAD_LETTERS: ("Its dead letters", "dead_letters", {"status": "open"}),
    Kind.GAPS: ("Its gaps", "gaps", {"open": "true"}),
}
