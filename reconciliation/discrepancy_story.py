"""One discrepancy as its page tells it: both sides field by field, what happened when and by whom, and where
to look further. Everything decided and worded, nothing left to the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Manager
from django.urls import reverse

from reconciliation.discrepancies import SINCE_THEN
from reconciliation.models import Discrepancy
from reconciliation.models.discrepancy import Entity
from reconciliation.showing import said
from syncsvc.models import Issue, MissedDelivery, PullRequest, SyncJob
from syncsvc.webhooks import wording

#: A value longer than this is folded: its beginning is enough to see what it is.
LONG: Final = 400
BEGINNING: Final = 160
CAUSES: Final = {
    Discrepancy.Cause.LOST_DELIVERY: "The webhook that would have told of it was lost: GitHub's log names it.",
    Discrepancy.Cause.NEVER_TOLD: "GitHub sends no webhook that tells of it.",
    Discrepancy.Cause.OUR_SIDE: "GitHub had not changed it: the mirror's own row was changed.",
    Discrepancy.Cause.UNKNOWN: "Why no webhook told of it is not known; GitHub's log may still name a lost one.",
}
_PAGES: Final[dict[Entity, tuple[Manager[Any], str, str]]] = {
    Entity.ISSUES: (Issue.objects, "issue", "issue"),
    Entity.PULL_REQUESTS: (PullRequest.objects, "pull_request", "pull request"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What one side said of a field; `whole` holds a long value, of which `text` is the beginning."""

    text: str
    whole: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Side:
    """One field on both sides, and in a word how they stand to each other."""

    name: str
    ours: Said
    theirs: Said
    mark: str
    differs: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One point of the story; `url` leads to what shows more of it."""

    at: datetime | None
    title: str
    note: str = ""
    tone: str = "busy"
    url: str = ""
    link: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """Ready to show."""

    why: str
    cause_url: str
    cause_link: str
    sides: tuple[Side, ...]
    moments: tuple[Moment, ...]
    item_url: str
    item_link: str


def tell(row: Discrepancy) -> Story:
    """The story of one discrepancy, in three queries at most beside those for its own relations."""
    missed = row.missed_delivery
    wanted = {each for each in (row.correlation_id, row.repaired_in) if each}
    runs = set(SyncJob.objects.filter(pk__in=wanted).values_list("pk", flat=True))
    cause_url, cause_link = _evidence(missed)
    item_url, item_link = _item(row)
    return Story(
        why=CAUSES[Discrepancy.Cause(row.cause)],
        cause_url=cause_url,
        cause_link=cause_link,
        sides=sides(row.before, row.after),
        moments=tuple(_moments(row, missed, runs)),
        item_url=item_url,
        item_link=item_link,
    )


def sides(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Side, ...]:
    """Both sides, what differs first."""
    names = sorted({*before, *after}, key=lambda name: (_mark(before, after, name) == "same", name))
    return tuple(
        Side(
            name=name,
            ours=_folded(said(before, name)),
            theirs=_folded(said(after, name)),
            mark=_mark(before, after, name),
            differs=_mark(before, after, name) != "same",
        )
        for name in names
    )


def _mark(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> str:
    if name not in after:
        return "only the mirror"
    if name not in before:
        return "only GitHub"
    return "same" if before[name] == after[name] else "differs"


def _folded(text: str) -> Said:
    if len(text) <= LONG:
        return Said(text=text)
    return Said(text=f"{text[:BEGINNING].rstrip()}…", whole=text)


def _evidence(missed: MissedDelivery | None) -> tuple[str, str]:
    """Where the lost delivery is shown."""
    if missed is None:
        return "", ""
    what = f"{wording.event(missed.event, missed.action)} {missed.guid}"
    if missed.gap_id is not None:
        return reverse("gap", args=[missed.gap_id]), f"The gap in which it was lost: {what}"
    return f"{reverse('deliveries')}?guid={missed.guid}", f"The lost delivery: {what}"


def _item(row: Discrepancy) -> tuple[str, str]:
    """The page of the item itself, where it has one."""
    if row.repository_id is None:
        return "", ""
    if row.entity == Entity.REPOSITORIES:
        return reverse(
            "repository", args=[row.repository_id]
        ), "The repository as the mirror says it"
    if row.entity == Entity.COMMITS:
        address = f"{reverse('commits')}?repository={row.repository_id}&q={row.item_key}"
        return address, "The commit as the mirror says it"
    rows, name, what = _PAGES[Entity(row.entity)]
    if not row.item_key.isdecimal():
        return "", ""
    own = rows.filter(repository=row.repository_id, github_id=int(row.item_key))
    pk = own.values_list("pk", flat=True).first()
    return (reverse(name, args=[pk]), f"The {what} as the mirror says it") if pk else ("", "")


def _moments(row: Discrepancy, missed: MissedDelivery | None, runs: set[UUID]) -> list[Moment]:
    """What happened, in order; at the end what is still to come."""
    known = [
        Moment(at=row.occurred_at, title="It changed at GitHub", tone="")
        if row.occurred_at
        else Moment(at=None, title="When it changed, GitHub does not tell", tone="")
    ]
    if missed is not None:
        known.append(
            Moment(at=missed.first_at, title="The webhook that told of it was lost", tone="bad")
        )
    known.append(
        Moment(
            at=row.detected_at,
            title=f"Found by: {row.get_detector_display()}",
            note=f"Proposed: {row.get_proposed_action_display()}",
            tone="bad",
            **_run(row.correlation_id, runs, "The run that found it"),
        )
    )
    known += _decision(row)
    known += _repair(row, runs)
    return [
        *(each for each in known if each.at is None and each.title.startswith("When")),
        *sorted((each for each in known if each.at is not None), key=lambda each: str(each.at)),
        *(each for each in known if each.at is None and not each.title.startswith("When")),
    ]


def _run(pk: UUID | None, runs: set[UUID], link: str) -> dict[str, str]:
    return {"url": reverse("job", args=[pk]), "link": link} if pk in runs else {}


def _decision(row: Discrepancy) -> list[Moment]:
    if row.decided_at is None:
        return []
    who = row.decided_by.get_username() if row.decided_by else "somebody who is gone"
    if row.repair_status == Discrepancy.Status.DISMISSED:
        return [
            Moment(at=row.decided_at, title=f"Dismissed by {who}", note=row.reason, tone="warn")
        ]
    return [Moment(at=row.decided_at, title=f"Repair asked for by {who}")]


def _repair(row: Discrepancy, runs: set[UUID]) -> list[Moment]:
    status = Discrepancy.Status(row.repair_status)
    if status == Discrepancy.Status.DISMISSED:
        return []
    if status == Discrepancy.Status.REPAIRED:
        by = row.repaired_by or "sync"
        ended = "It was right again by itself" if by == SINCE_THEN else f"Repaired by {by}"
        told = [
            Moment(
                at=row.repaired_at,
                title=ended,
                tone="good",
                **_run(row.repaired_in, runs, "The run that repaired it"),
            )
        ]
        if row.verified_at:
            told.append(Moment(at=row.verified_at, title="Seen right in the mirror", tone="good"))
        else:
            told.append(Moment(at=None, title="Not looked at again yet", tone=""))
        return told
    waits = {
        Discrepancy.Status.PROPOSED: "Waits to be repaired",
        Discrepancy.Status.FAILED: "The repair failed",
        Discrepancy.Status.NEEDS_MANUAL_REVIEW: "Waits for somebody to decide",
    }[status]
    return [Moment(at=None, title=waits, note=row.reason, tone="warn")]
