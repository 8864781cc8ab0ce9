"""What the judge shows on the page of a repository: where GitHub said something else, what an audit said
of it, and its history. `syncsvc.blocks` puts it there without knowing what it is.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.urls import reverse

from reconciliation import discrepancy_story, selectors, selectors_trail
from reconciliation.models import AuditRecord, Discrepancy, SampledItem
from reconciliation.models.discrepancy import Entity
from syncsvc import blocks
from syncsvc.models import Repository
from syncsvc.plan import FIELDS
from syncsvc.selectors import Viewer

LISTED: Final = 50
HISTORY: Final = 30
RECORDS_LOOKED_AT: Final = 120
#: Ids and numbers of GitHub's that say nothing to people.
UNSAID: Final = frozenset({"node_id", "owner_id"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One line of a repository's history."""

    at: datetime
    title: str
    note: str
    tone: str
    url: str


def register() -> None:
    """Puts the judge's blocks on the page of a repository."""
    blocks.register(
        "differences",
        differences,
        "reconciliation/_repository_open.html",
        on="repository",
        place="top",
    )
    blocks.register("said", said, "reconciliation/_repository_said.html", on="repository")
    blocks.register("history", history, "reconciliation/_repository_history.html", on="repository")


def differences(row: Repository, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """How many of its discrepancies are open; nothing while there is none."""
    number = len(_open(row, user))
    if not number:
        return None
    return {"row": row, "number": number, "more": number > LISTED}


def said(row: Repository, user: Viewer, _now: datetime) -> dict[str, Any]:
    """What the mirror says of the repository itself beside what GitHub said last: the same, but where a
    discrepancy is open. With the last independent look at it."""
    ours = {name: _plain(getattr(row, name)) for name in FIELDS if name not in UNSAID}
    theirs = dict(ours)
    for each in _open(row, user):
        if each.entity == Entity.REPOSITORIES:
            theirs.update({k: v for k, v in each.after.items() if k in theirs})
    sampled = (
        SampledItem.objects.filter(
            repository=row.pk,
            entity=Entity.REPOSITORIES,
            audit__installation=row.installation_id,
        )
        .select_related("audit")
        .order_by("-audit__at", "-pk")
        .first()
    )
    sides = discrepancy_story.sides(ours, theirs)
    return {"sides": sides, "differ": any(side.differs for side in sides), "sampled": sampled}


def _open(row: Repository, user: Viewer) -> list[Discrepancy]:
    rows = selectors.discrepancies(user).filter(repository=row.pk)
    return list(selectors.open_discrepancies(rows, is_open=True)[: LISTED + 1])


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def history(row: Repository, user: Viewer, _now: datetime) -> dict[str, Any]:
    """What was found wrong and, for administrators, what runs wrote; the newest first."""
    found = selectors.discrepancies(user).filter(repository=row.pk).defer("before", "after")
    events = [
        Event(
            at=each.detected_at,
            title=f"{each.get_type_display()}: {each.name}",
            note=each.get_repair_status_display(),
            tone="good" if each.repair_status == Discrepancy.Status.REPAIRED else "bad",
            url=reverse("discrepancy", args=[each.pk]),
        )
        for each in found[: HISTORY + 1]
    ]
    audits = selectors_trail.may_audit_of(user, row.installation_id)
    if audits:
        events += _written(row, user)
    events.sort(key=lambda each: each.at, reverse=True)
    return {
        "row": row,
        "events": events[:HISTORY],
        "more": len(events) > HISTORY,
        "audits": audits,
    }


def _written(row: Repository, user: Viewer) -> list[Event]:
    """What runs wrote of it, one line for each run, kind and operation."""
    records = selectors_trail.written_of(row, user).order_by("-pk")[:RECORDS_LOOKED_AT]
    together: dict[tuple[Any, ...], tuple[AuditRecord, int]] = {}
    for each in records:
        key = (each.entry_id, each.entity, each.operation, each.result)
        first, number = together.get(key, (each, 0))
        together[key] = (first, number + len(each.items))
    return [
        Event(
            at=each.at,
            title=f"{each.get_operation_display()}: {_what(each.entity, number)}",
            note=each.error or each.get_result_display(),
            tone="bad" if each.result == AuditRecord.Result.FAILED else "",
            url=reverse("job", args=[each.entry.correlation_id])
            if each.entry.correlation_id
            else "",
        )
        for each, number in together.values()
    ]


def _what(entity: str, number: int) -> str:
    """What was written, in words: the repository itself, 1 issue, 8 commits."""
    if entity == Entity.REPOSITORIES:
        return "the repository itself"
    name = entity.replace("_", " ")
    return f"{number:,} {name.removesuffix('s') if number == 1 else name}"
