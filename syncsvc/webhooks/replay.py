"""A delivery processed once more because somebody asked for it: the one way, for API, admin and page.

Hides what is safe about it: the row goes back to waiting by one UPDATE with a condition, so of two who
press at once one wins, and a delivery that waits or is being worked on is left alone.
"""

from collections.abc import Collection
from enum import StrEnum
from typing import Final

from django.db import transaction

from syncsvc import clock, events
from syncsvc.models import DeadLetter, Delivery
from syncsvc.webhooks import inbox

ENDED: Final = (Delivery.Status.PROCESSED, Delivery.Status.IGNORED, Delivery.Status.FAILED)


class Refusal(StrEnum):
    """Why a delivery cannot be processed again, as a sentence for people."""

    WAITING = "This delivery still waits to be processed: there is nothing to repeat."
    PRUNED = "Its payload was removed after the days for which payloads are kept, so it cannot be repeated."


def refusal(row: Delivery, *, payload_kept: bool) -> Refusal | None:
    """Why this delivery cannot be replayed now; None when it can."""
    if row.status == Delivery.Status.RECEIVED:
        return Refusal.WAITING
    return None if payload_kept else Refusal.PRUNED


def replay(pks: Collection[int], *, user_id: int | None) -> set[int]:
    """Sets those of these deliveries that have ended back to waiting, and rings the workers.

    Returns the ids of those that were set back: not those that wait already, have no payload any
    more, or were set back by somebody else this moment.
    """
    now = clock.now()
    with transaction.atomic():
        ended = Delivery.objects.filter(pk__in=pks, status__in=ENDED, payload__isnull=False)
        # Whoever waits here for another's lock finds the condition broken, and the row left out.
        locked = ended.order_by("pk").select_for_update().values_list("pk", flat=True)
        chosen = set(locked)
        Delivery.objects.filter(pk__in=chosen).update(
            status=Delivery.Status.RECEIVED,
            attempts=0,
            due_at=now,
            processed_at=None,
            outcome="",
            detail="",
        )
        # Whoever has it processed again has decided about its dead letter.
        DeadLetter.objects.filter(delivery__in=chosen, status=DeadLetter.Status.OPEN).update(
            status=DeadLetter.Status.REQUEUED, decided_at=now, decided_by=user_id
        )
        if chosen:
            transaction.on_commit(inbox.ring_bell)
    for pk in sorted(chosen):
        events.emit("webhook.replayed", delivery_id=pk, user_id=user_id)
    return chosen
