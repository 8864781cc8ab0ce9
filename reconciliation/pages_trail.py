"""The audit trail of one run, page by page: what was done to which records, and what went wrong."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.db.models import Manager
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from reconciliation import selectors_trail
from reconciliation.models import AuditEntry, AuditRecord, Entity
from reconciliation.selectors import named
from syncsvc import selectors
from syncsvc.models import Issue, PullRequest, SyncJob
from syncsvc.pages import members_only

ROWS: Final = 50
#: Of a batch of records so many are named, each with a link where it has a page.
ITEMS_SHOWN: Final = 20
SHOWN: Final = ("records", "errors")
#: A later page is found by counting rows from the first: nobody turns so many.
MOST_PAGES: Final = 200
NOT_ADMIN: Final = "The audit trail is for administrators of the account."
_PAGES: Final[dict[str, tuple[Manager[Any], str]]] = {
    Entity.ISSUES: (Issue.objects, "issue"),
    Entity.PULL_REQUESTS: (PullRequest.objects, "pull_request"),
}


@members_only
@require_safe
def run_trail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The records or the errors of one run, narrowed and paged; 404 for who may not see the run."""
    job = get_object_or_404(selectors.jobs(request.user), pk=pk)
    entries = selectors_trail.entries(request.user).filter(installation=job.installation_id)
    entry = entries.filter(kind=AuditEntry.Kind.RUN, correlation_id=job.pk).first()
    if entry is None:
        if not selectors_trail.may_audit_of(request.user, job.installation_id):
            raise PermissionDenied(NOT_ADMIN)
        raise Http404("The run has no audit entry: it has not begun, or the entry is archived.")
    shown = request.GET.get("show", "")
    shown = shown if shown in SHOWN else SHOWN[0]
    asked = {name: request.GET.get(name, "") for name in ("operation", "entity", "result")}
    number = _number(request.GET.get("page", ""))
    rows, more = _rows(entry, shown, asked, number)
    kept = "&".join(f"{name}={value}" for name, value in _known(asked).items())
    return render(
        request,
        "reconciliation/run_trail.html",
        {
            "job": job,
            "entry": entry,
            "shown": shown,
            "records": [] if shown == "errors" else _named(rows, request.user, job),
            "errors": rows if shown == "errors" else [],
            "asked": asked,
            "narrowed": bool(_known(asked)),
            "operations": AuditRecord.Operation.choices,
            "results": AuditRecord.Result.choices,
            "entities": [*Entity.choices, ("repository_metrics", "Repository metrics")],
            "query": f"show={shown}" + (f"&{kept}" if kept else ""),
            "number": number,
            "before": number - 1 if number > 1 else None,
            "after": number + 1 if more and number < MOST_PAGES else None,
        },
    )


def _number(text: str) -> int:
    """The page that was asked for; the first where that is none."""
    known = text.isdecimal() and len(text) < 6
    return min(max(int(text), 1), MOST_PAGES) if known else 1


def _known(asked: dict[str, str]) -> dict[str, str]:
    """The filters that say something; a wrong one is as good as none, and is not kept."""
    allowed = {
        "operation": AuditRecord.Operation.values,
        "result": AuditRecord.Result.values,
        "entity": [*Entity.values, "repository_metrics"],
    }
    return {name: value for name, value in asked.items() if value in allowed[name]}


def _rows(
    entry: AuditEntry, shown: str, asked: dict[str, str], number: int
) -> tuple[list[Any], bool]:
    """One page, and whether another follows; nothing is counted, a run can have a million rows."""
    rows: Any = selectors_trail.errors(entry)
    if shown == "records":
        rows = selectors_trail.records(entry).filter(**_known(asked))
    start = (number - 1) * ROWS
    found = list(rows.order_by("pk")[start : start + ROWS + 1])
    return found[:ROWS], len(found) > ROWS


def _named(rows: Iterable[AuditRecord], user: Any, job: SyncJob) -> list[dict[str, Any]]:
    """Each record with the items that it names, and the pages of those that have one; two queries."""
    listed = named(rows, user, job.installation_id)
    wanted: defaultdict[str, set[int]] = defaultdict(set)
    for row in listed:
        wanted[row.entity].update(
            int(key) for key in row.items[:ITEMS_SHOWN] if key.isdecimal() and len(key) < 19
        )
    pages: dict[tuple[str, str], tuple[str, int]] = {}
    for entity, (rows_of, name) in _PAGES.items():
        ids = wanted[entity]
        own = rows_of.filter(repository__installation=job.installation_id)
        known = own.filter(github_id__in=ids) if ids else None
        for github_id, key in known.values_list("github_id", "pk") if known is not None else ():
            pages[entity, str(github_id)] = (name, key)
    return [
        {
            "row": row,
            "items": [(key, pages.get((row.entity, key))) for key in row.items[:ITEMS_SHOWN]],
            "more": max(0, len(row.items) - ITEMS_SHOWN),
        }
        for row in listed
    ]
