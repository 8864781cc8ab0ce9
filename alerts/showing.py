"""Where the floors below show incidents without knowing them: `/metrics`, and the account's page."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily

from alerts import selectors
from alerts.models import Incident
from alerts.values import Kind, Severity
from syncsvc import blocks, health
from syncsvc.models import Installation, SyncJob
from syncsvc.selectors import Viewer

#: The classes of a note on the page; the word beside it says the same.
TONES: Final = {Severity.CRITICAL: "bad", Severity.HIGH: "warning", Severity.WARNING: ""}

#: A held disappearance by its review, what was given up by its dead letters.
SHOWN_ELSEWHERE: Final = (Kind.MASS_DISAPPEARANCE, Kind.DEAD_LETTERS)

MOST_OF_A_RUN: Final = 20
MOST_IN_BANNER: Final = 5


def register() -> None:
    """Puts incidents where people and machines look."""
    health.register("incidents", gauges)
    blocks.register("incidents", block, "alerts/_incidents.html", place="top")
    blocks.register("banner", banner, "alerts/_banner.html", on="accounts", place="top")
    blocks.register("incidents", of_run, "alerts/_run_incidents.html", on="run", place="top")


def gauges() -> Iterator[GaugeMetricFamily]:
    """How many problems last, by severity."""
    gauge = GaugeMetricFamily(
        "mirror_incidents_open",
        "Incidents whose problem lasts, acknowledged ones too, by severity.",
        labels=["severity"],
    )
    rows = selectors.unresolved(Incident.objects.order_by()).values_list("severity")
    found = dict(rows.annotate(Count("pk")))
    for severity in Severity:  # zeros too, so that an alert can clear
        gauge.add_metric([severity], found.get(severity, 0))
    yield gauge


def block(installation: Installation, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """What lasts of this account, the worst first; nothing while all is well.

    Left out is what stands above in a block of its own, with more to see and to do.
    """
    rows = sorted(
        selectors.open_of(installation).exclude(kind__in=SHOWN_ELSEWHERE),
        key=lambda row: Severity(row.severity).rank,
        reverse=True,
    )
    if not rows:
        return None
    shown = [{"row": row, "tone": TONES[Severity(row.severity)]} for row in rows]
    return {"incidents": shown, "in_admin": _opens_admin(user)}


def banner(shown: Sequence[int], _user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """What is critical of the accounts on a page, the longest first; nothing while nothing is."""
    rows = selectors.unresolved(
        Incident.objects.filter(installation__in=shown, severity=Severity.CRITICAL)
    ).select_related("installation")
    found = list(rows.order_by("opened_at", "pk")[: MOST_IN_BANNER + 1]) if shown else []
    if not found:
        return None
    return {"incidents": found[:MOST_IN_BANNER], "more": len(found) > MOST_IN_BANNER}


def of_run(job: SyncJob, user: Viewer, _now: datetime) -> dict[str, Any] | None:
    """The incidents that this run opened, resolved ones too, the worst first."""
    rows = selectors.incidents(user).filter(installation=job.installation_id, correlation_id=job.pk)
    found = sorted(rows[:MOST_OF_A_RUN], key=lambda row: Severity(row.severity).rank, reverse=True)
    shown = [
        {"row": row, "tone": "" if row.resolved_at else TONES[Severity(row.severity)]}
        for row in found
    ]
    return {"incidents": shown, "in_admin": _opens_admin(user)} if shown else None


def _opens_admin(user: Viewer) -> bool:
    return bool(user.is_staff and user.has_perm("alerts.view_incident"))
