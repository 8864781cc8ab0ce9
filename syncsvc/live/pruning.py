"""How long events are kept: as long as a browser may be away and still be told each step."""

from datetime import datetime, timedelta
from typing import Final

from syncsvc.models import LiveEvent

KEPT: Final = timedelta(hours=1)
BATCH: Final = 1_000


def prune(now: datetime, *, batch: int = BATCH) -> int:
    """Forgets events that are older than `KEPT`, in batches that are a transaction each; returns how
    many. The newest of all stays: it says how far the counting came."""
    old = LiveEvent.objects.filter(at__lt=now - KEPT).order_by("-at").values_list("pk", flat=True)
    newest = LiveEvent.objects.order_by("-pk").values_list("pk", flat=True).first()
    until = old.first()
    if until is None or newest is None:
        return 0
    # By ids: nothing older than what is kept may be left, or a gap would not be seen.
    rows = LiveEvent.objects.filter(pk__lte=min(until, newest - 1)).order_by("pk")
    pruned = 0
    while True:
        ids = list(rows.values_list("pk", flat=True)[:batch])
        pruned += LiveEvent.objects.filter(pk__in=ids).delete()[0]
        if len(ids) < batch:
            return pruned
