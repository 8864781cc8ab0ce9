"""From whatever stands in a log line, an incident or a mail to the page about it: a run, a delivery, a
discrepancy, a repository, an account."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from alerts.pages_access import staff_only
from reconciliation.models import Discrepancy
from syncsvc.api.filters import LARGEST_ID
from syncsvc.models import Delivery, Installation, MissedDelivery, Repository, SyncJob

#: A UUID as people copy it: with or without its dashes and braces, in any case.
LOOKS_LIKE_UUID: Final = re.compile(r"\{?[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\}?", re.I)
NUMBER: Final = re.compile(r"#?([0-9]{1,19})")
LONGEST_GUID: Final = 64
LONGEST_NAME: Final = 511
SHOWN: Final = 80
WHAT: Final = (
    "Type the id of a run, the GUID of a delivery, the number of a discrepancy, OWNER/NAME of a "
    "repository, or the login of an account."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Where it is, or why it is nowhere."""

    address: str = ""
    problem: str = ""


@staff_only
@require_safe
def find(request: HttpRequest) -> HttpResponse:
    """Leads to the page of what was asked for, or says that there is none."""
    asked = request.GET.get("q", "").replace("\0", "").strip()
    found = look(asked) if asked else Found(problem=WHAT)
    if found.address:
        return redirect(found.address)
    return render(
        request,
        "alerts/sync_health_find.html",
        {"q": asked, "problem": found.problem, "what": WHAT},
        status=404 if asked else 400,
    )


def look(asked: str) -> Found:
    """Where that is; what it looks like decides where is looked first."""
    if LOOKS_LIKE_UUID.fullmatch(asked):
        return _by_uuid(UUID(asked))
    for pattern, search in _SEARCHES:
        if pattern.fullmatch(asked) and (address := search(asked)):
            return Found(address=address)
    shown = asked if len(asked) <= SHOWN else f"{asked[:SHOWN]}…"
    return Found(problem=f"Nothing here is called “{shown}”. {WHAT}")


def _by_uuid(asked: UUID) -> Found:
    """A run, a delivery, or what is left of a run that was cleared away."""
    if SyncJob.objects.filter(pk=asked).exists():
        return Found(address=reverse("job", args=[asked]))
    if address := _delivery(str(asked)):
        return Found(address=address)
    if Discrepancy.objects.filter(correlation_id=asked).exists():
        return Found(address=_list("discrepancies", correlation_id=asked))
    return Found(
        problem=f"No run and no delivery has the id {asked}. Old ones are cleared away; the audit log "
        "keeps its entries longer."
    )


def _delivery(guid: str) -> str:
    """The delivery; several hooks may have told of one event; or the gap that missed it."""
    rows = list(Delivery.objects.filter(guid=guid).values_list("pk", flat=True)[:2])
    if len(rows) == 1:
        return reverse("delivery", args=rows)
    if rows:
        return _list("deliveries", guid=guid)
    missed = MissedDelivery.objects.filter(guid=guid, gap__isnull=False).values_list("gap_id")
    gap = missed.order_by("-first_at").first()
    return reverse("gap", args=gap) if gap else ""


def _discrepancy(asked: str) -> str:
    number = int(asked.removeprefix("#"))
    known = number <= LARGEST_ID and Discrepancy.objects.filter(pk=number).exists()
    return reverse("discrepancy", args=[number]) if known else ""


def _repository(asked: str) -> str:
    """The one that has this name now; else the last that had it."""
    owner, name = asked.split("/")
    rows = Repository.objects.filter(owner__iexact=owner, name__iexact=name)
    row = rows.order_by("-name_is_current", "-last_written_at", "-pk").only("pk").first()
    return reverse("repository", args=[row.pk]) if row else ""


def _account(asked: str) -> str:
    """The account of that login; else those whose logins hold it."""
    logins = Installation.objects.order_by("pk").values_list("pk", flat=True)
    if exact := logins.filter(account_login__iexact=asked).first():
        return reverse("installation", args=[exact])
    some = list(logins.filter(account_login__icontains=asked)[:2])
    if len(some) == 1:
        return reverse("installation", args=some)
    return _list("sync_health", installation=asked) if some else ""


def _list(view: str, **narrowed: object) -> str:
    return f"{reverse(view)}?{urlencode(narrowed)}"


_SEARCHES: Final[tuple[tuple[re.Pattern[str], Callable[[str], str]], ...]] = (
    (NUMBER, _discrepancy),
    (re.compile(r"[^/\s]{1,255}/[^/\s]{1,255}"), _repository),
    (re.compile(rf"\S{{1,{LONGEST_GUID}}}"), _delivery),
    (re.compile(rf"[^/]{{1,{LONGEST_NAME}}}"), _account),
)
