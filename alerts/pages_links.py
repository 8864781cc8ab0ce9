"""Where the proof of each figure is: names of what is to be shown become addresses, narrowed as the page is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from alerts.fleet_values import ATTENTION, FleetFilters


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses of one page."""

    filters: FleetFilters
    as_of: datetime

    @property
    def since(self) -> str:
        """The beginning of the window, as lists take it."""
        return (self.as_of - self.filters.window.length).astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ")

    def to(self, name: str) -> str:
        """The address of what is called so."""
        return self._places()[name]()

    def discrepancies(self, **narrowed: Any) -> str:
        """The discrepancies of the account, or of all."""
        return self._list("discrepancies", **narrowed)

    def proofs(self) -> list[tuple[str, str]]:
        """What says the same from other sides: words and address."""
        return [
            ("Discrepancies", self.discrepancies()),
            ("Figures of each run", self.to("figures")),
            ("Independent audits", self.to("audits_made")),
            ("Audit log", reverse("admin:reconciliation_auditentry_changelist")),
            ("Deliveries", self._list("deliveries")),
            ("System", self.to("system")),
        ]

    def _places(self) -> dict[str, Callable[[], str]]:
        return {
            "attention": lambda: self._here(status=ATTENTION),
            "paused": lambda: self._here(status="paused"),
            "discrepancies": lambda: self.discrepancies(since=self.since),
            "open": lambda: self.discrepancies(open="true"),
            "audits": lambda: self.discrepancies(detector="audit"),
            "gaps": lambda: self._list("gaps", open="true"),
            "deliveries_waiting": lambda: self._list("deliveries", status="received"),
            "dead_letters": lambda: self._list("dead_letters", status="open"),
            "incidents": lambda: self._list("sync_health_incidents", open="true"),
            "first": lambda: reverse("home"),
            "system": lambda: reverse("system"),
            "reviews": lambda: self._admin("reconciliation_review", status__exact="open"),
            "figures": lambda: self._admin("reconciliation_runfigure"),
            "audits_made": lambda: self._admin("reconciliation_sampleaudit"),
            "runs": lambda: self._admin("syncsvc_syncjob"),
        }

    def _here(self, **narrowed: str) -> str:
        query = {"window": str(self.filters.window), **narrowed}
        return f"{reverse('sync_health')}?{urlencode(query)}#accounts"

    def _list(self, view: str, **narrowed: Any) -> str:
        if self.filters.installation is not None:
            narrowed = {"installation": self.filters.installation, **narrowed}
        return f"{reverse(view)}?{urlencode(narrowed)}" if narrowed else reverse(view)

    def _admin(self, model: str, **narrowed: Any) -> str:
        if self.filters.installation is not None:
            narrowed = {"installation__id__exact": self.filters.installation, **narrowed}
        address = reverse(f"admin:{model}_changelist")
        return f"{address}?{urlencode(narrowed)}" if narrowed else address
