"""How long payloads are kept: what a delivery did stays known, what it said does not (R17)."""

from datetime import datetime, timedelta
from typing import Final

from syncsvc import conf
from syncsvc.models import Delivery

BATCH: Final = 1000


def prune(now: datetime, *, batch: int = BATCH) -> int:
    """Forgets the payloads of deliveries that were dealt with and are older than
    `SYNC_PAYLOAD_DAYS`; returns how many.

    Each batch is a transaction of its own: what was done stays done, and no lock is held for long.
    Deliveries that still wait keep theirs, however old they are.
    """
    until = now - timedelta(days=conf.for_installation(None).payload_days)
    old = Delivery.objects.filter(received_at__lt=until, payload__isnull=False).exclude(
        status=Delivery.Status.RECEIVED
    )
    pruned, left = 0, old.order_by("received_at")
    while True:
        rows = list(left.values_list("pk", "received_at")[:batch])
        # Asked once more: one that is played again meanwhile needs its payload.
        pruned += old.filter(pk__in=[pk for pk, _ in rows]).update(payload=None)
        if len(rows) < batch:
            return pruned
        left = left.filter(received_at__gte=rows[-1][1])  # what is done is not walked over again
