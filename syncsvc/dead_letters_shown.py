"""Where dead letters are seen without being looked for: on the account's page, and in `/metrics`."""

from datetime import datetime
from typing import Any, Final

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily

from syncsvc import blocks, health, selectors_dead_letters
from syncsvc.models import DeadLetter, Installation
from syncsvc.selectors import Viewer

NEWEST_SHOWN: Final = 3


def register() -> None:
    """Puts dead letters on the account's page and into `/metrics`."""
    blocks.register("dead letters", block, "syncsvc/_dead_letters.html", place="top")
    health.register("dead letters", gauges)


def block(installation: Installation, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """What of this account was given up and waits for a decision; nothing while nothing does."""
    rows = selectors_dead_letters.listed(user).filter(
        installation=installation, status=DeadLetter.Status.OPEN
    )
    newest = list(rows.order_by("-created_at", "-pk")[:NEWEST_SHOWN])
    if not newest:
        return None
    number = rows.count() if len(newest) == NEWEST_SHOWN else len(newest)
    return {"newest": newest, "number": number, "installation": installation}


def gauges() -> list[GaugeMetricFamily]:
    """How many wait for a decision."""
    gauge = GaugeMetricFamily(
        "mirror_dead_letters_open",
        "Jobs and deliveries that were given up and wait for a decision.",
        labels=["kind"],
    )
    is_open = DeadLetter.objects.filter(status=DeadLetter.Status.OPEN).order_by()
    found = dict(is_open.values_list("kind").annotate(Count("pk")))
    for kind in DeadLetter.Kind.values:  # zeros too, so that an alert can clear
        gauge.add_metric([kind], found.get(kind, 0))
    return [gauge]
