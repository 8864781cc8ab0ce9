"""What people decide about discrepancies and held disappearances: repair, dismiss, approve, reject.

Hides that two may decide at once (one wins, the other is refused with a sentence) and that nothing old
is written: a repair asks GitHub again, and a run does what its answer says.
"""

import re
from typing import Any, Final

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from reconciliation import trail
from reconciliation.models import AuditEntry, Discrepancy, Review
from reconciliation.models.discrepancy import Entity
from syncsvc import clock, content_lists, events, rechecks, scheduling
from syncsvc.github.reading import Entity as ListOf
from syncsvc.models import Installation, Recheck, SyncJob
from syncsvc.policy import Action
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService

REPAIR: Final = "repair"
"""Why a repository is to be read again."""
HELD: Final = (
    "It belongs to a disappearance that waits for a decision: approve or reject the open review."
)
CHANGED: Final = "Other repositories vanished or came back since: look at it again."
_ENDED: Final = {
    Discrepancy.Status.REPAIRED: "It is repaired already.",
    Discrepancy.Status.DISMISSED: "It is dismissed already.",
}
_DECIDED: Final = {
    Review.Status.APPROVED: "It is approved already.",
    Review.Status.REJECTED: "It is rejected already.",
    Review.Status.WITHDRAWN: "The repositories came back: there is nothing left to decide.",
}


class Refused(Exception):
    """The present state does not allow it; the text is a sentence for people."""


def repair(row: Discrepancy, user: Any) -> None:
    """Has GitHub asked again about the item and the mirror put right by its answer; `after` may be old.

    The run that does it closes the discrepancy in the name of `user`. It starts at once where policy
    lets it, else as soon as it may. Raises `Refused` when it has ended, is held, cannot be read, or
    somebody has asked for it and GitHub was not asked since: twice is not sooner.
    """
    now = clock.now()
    if row.installation.status != Installation.Status.ACTIVE:
        raise Refused("GitHub cannot be asked: the account is suspended or uninstalled.")
    with transaction.atomic():
        _refuse_twice(row)
        _decide(row, decided_by=user, decided_at=now)
        asked = Asked(
            github_id=row.repository_github_id,
            full_name=repository_of(row),
            itself=True,
            reason=REPAIR,
        )
        # Lists before rechecks, as webhooks write them: no two wait for each other in a circle.
        if row.entity != Entity.REPOSITORIES and row.repository_id is not None:
            content_lists.forget_whole([(row.repository_id, ListOf(row.entity))])
        rechecks.ask(row.installation_id, [asked], trigger=SyncJob.Trigger.MAINTENANCE, now=now)
        _note(AuditEntry.Kind.REPAIR, row, user)
    scheduling.request_rechecks({row.installation_id})


def dismiss(row: Discrepancy, user: Any, reason: str) -> None:
    """Ends an open discrepancy without a repair, for a reason. It stays counted: the accuracy of the
    run that found it was measured then. Raises `Refused` when it has ended or is held, `ValueError`
    without a reason."""
    reason = _given(reason)
    with transaction.atomic():
        _decide(
            row,
            repair_status=Discrepancy.Status.DISMISSED,
            decided_by=user,
            decided_at=clock.now(),
            reason=reason,
        )
        _note(AuditEntry.Kind.DISMISSAL, row, user, reason=reason)


def approve(
    review: Review, user: Any, vanished: int | None = None, fingerprint: str | None = None
) -> bool:
    """Lets the repositories of a review go, and asks for the run that carries it out.

    `vanished` is how many the user was shown, `fingerprint` which: were there others since, nobody has
    agreed to those. Returns whether the run starts now; otherwise the next one does it. Raises
    `Refused` when somebody has decided before, or the review has changed.
    """
    if vanished not in (None, review.vanished) or fingerprint not in (None, review.fingerprint):
        raise Refused(CHANGED)
    with transaction.atomic():
        # The job before the review, as a run writes them that holds the same once more.
        active = SyncJob.objects.filter(
            installation=review.installation_id, status__in=SyncJob.ACTIVE
        )
        list(active.select_for_update(no_key=True).values_list("pk"))
        _close(review, Review.Status.APPROVED, user)
        # The run repairs these in the name of whoever approved.
        _held_by(review).update(decided_by=user, decided_at=clock.now())
        decision = SyncService.request(
            review.installation_id,
            SyncJob.Trigger.MAINTENANCE,
            mode=SyncJob.Mode.RECONCILE,
            user=user,
        )
    _say(review, Review.Status.APPROVED)
    return decision.action is Action.START


def reject(review: Review, user: Any, reason: str) -> None:
    """Keeps the repositories of a review as they are, for a reason: their discrepancies are dismissed.

    Raises `Refused` when somebody has decided before, `ValueError` without a reason.
    """
    reason = _given(reason)
    with transaction.atomic():
        _close(review, Review.Status.REJECTED, user, reason=reason)
        _held_by(review).update(
            repair_status=Discrepancy.Status.DISMISSED,
            decided_by=user,
            decided_at=clock.now(),
            reason=reason,
        )
    _say(review, Review.Status.REJECTED)


def repository_of(row: Discrepancy) -> str:
    """OWNER/NAME of the repository that the item is or is in."""
    return re.split("[#@]", row.name, maxsplit=1)[0]


def waits_for_github(row: Discrepancy) -> bool:
    """Whether somebody asked for its repair, and the run that does it has not ended yet."""
    if row.decided_at is None or row.repair_status not in Discrepancy.OPEN:
        return False
    asked = Recheck.objects.filter(
        installation=row.installation_id, github_id=row.repository_github_id
    )
    return asked.exists()


def _refuse_twice(row: Discrepancy) -> None:
    """Of any number who press the button at once the first asks; the others are told so."""
    rows = Discrepancy.objects.select_for_update(no_key=True, of=("self",))
    known = rows.select_related("decided_by").filter(pk=row.pk).first()
    if known is not None and waits_for_github(known):
        who = known.decided_by.get_username() if known.decided_by else "Somebody"
        raise Refused(
            f"{who} has asked for this repair already: GitHub is asked as soon as may be."
        )


def _decide(row: Discrepancy, **values: Any) -> None:
    """Changes the row if it is open, and nobody else's decision comes before."""
    review = Review.objects.filter(installation=OuterRef("installation"), status=Review.Status.OPEN)
    held = Q(repair_status=Discrepancy.Status.NEEDS_MANUAL_REVIEW) & _disappeared() & Exists(review)
    rows = Discrepancy.objects.filter(pk=row.pk, repair_status__in=Discrepancy.OPEN)
    if rows.exclude(held).update(**values):
        return
    now = Discrepancy.objects.filter(pk=row.pk).values_list("repair_status", flat=True).first()
    raise Refused(_ENDED.get(Discrepancy.Status(now), HELD) if now else "It is gone.")


def _close(review: Review, status: Review.Status, user: Any, reason: str = "") -> None:
    now = Review.objects.select_for_update(no_key=True).filter(pk=review.pk).first()
    if now is None:
        raise Refused("It is gone.")
    # A run refreshes an open review with whatever it misses: as many as before may be others.
    same = (now.vanished, now.fingerprint) == (review.vanished, review.fingerprint)
    if now.status != Review.Status.OPEN or not same:
        raise Refused(_DECIDED.get(Review.Status(now.status), CHANGED))
    decided = {"decided_at": clock.now(), "decided_by": user, "reason": reason}
    Review.objects.filter(pk=review.pk).update(status=status, **decided)
    trail.act(
        AuditEntry.Kind.REVIEW,
        user,
        installation=review.installation,
        correlation_id=review.correlation_id,
        review=review.pk,
        decision=str(status),
        vanished=review.vanished,
        present=review.present,
        reason=reason,
    )


def _held_by(review: Review) -> QuerySet[Discrepancy]:
    """The open discrepancies that wait for this review."""
    keys = [str(item["github_id"]) for item in review.items if "github_id" in item]
    return Discrepancy.objects.filter(
        _disappeared(),
        installation=review.installation_id,
        item_key__in=keys,
        repair_status=Discrepancy.Status.NEEDS_MANUAL_REVIEW,
    )


def _disappeared() -> Q:
    return Q(entity=Entity.REPOSITORIES, type=Discrepancy.Type.MISSING_AT_GITHUB)


def _note(kind: AuditEntry.Kind, row: Discrepancy, user: Any, **detail: Any) -> None:
    trail.act(
        kind,
        user,
        installation=row.installation,
        repository=repository_of(row),
        correlation_id=row.correlation_id,
        discrepancy=row.pk,
        type=row.type,
        item=row.name,
        **detail,
    )


def _say(review: Review, decision: Review.Status) -> None:
    events.emit(
        "review.decided",
        installation_id=review.installation_id,
        review_id=review.pk,
        decision=str(decision),
        vanished=review.vanished,
        correlation_id=str(review.correlation_id),
    )


def _given(reason: str) -> str:
    given = reason.replace("\x00", "").strip()  # PostgreSQL stores no NUL
    if not given:
        raise ValueError("A reason is needed.")
    return given
