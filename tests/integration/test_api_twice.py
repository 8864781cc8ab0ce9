"""Whatever two people do at once, or one does twice, is done once; the second learns what became of it."""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from alerts.models import Incident
from reconciliation.models import AuditEntry
from syncsvc.models import SyncJob
from tests.access_table import REASON
from tests.factories import InstallationFactory
from tests.people_support import api, member_of
from tests.tenant_support import populate

#: The deed, what the first is told, and what the second is.
DEEDS: dict[str, tuple[int, set[int], dict[str, Any]]] = {
    "discrepancies/{}/repair": (202, {202, 409}, {}),
    "discrepancies/{}/dismiss": (200, {409}, REASON),
    "reviews/{}/approve": (202, {409}, {"vanished": 3}),
    "reviews/{}/reject": (200, {409}, REASON),
    "dead-letters/{}/requeue": (200, {409}, {}),
    "dead-letters/{}/discard": (200, {409}, REASON),
    "deliveries/{}/replay": (202, {409}, {}),
    "sync-health/incidents/{}/acknowledge": (200, {200}, {}),
    "jobs/{}/cancel": (200, {200, 409}, {}),
    "installations/{}/breaker/reset": (200, {200}, {}),
}


@pytest.mark.django_db
@pytest.mark.spec("R19.2")
@pytest.mark.parametrize("deed", DEEDS)
def test_what_is_asked_twice_is_done_once(deed: str) -> None:
    home = InstallationFactory.create()
    ids = populate(home)
    name = deed.split("/{}", maxsplit=1)[0].rsplit("/", 1)[-1]
    first, second, body = DEEDS[deed]
    address = f"/api/v1/{deed.format(ids[name])}/"
    one, two = member_of(home, "operator"), member_of(home, "admin")
    assert api(one).post(address, body, format="json").status_code == first
    noted = AuditEntry.objects.exclude(kind="run").count()
    assert api(two).post(address, body, format="json").status_code in second
    assert AuditEntry.objects.exclude(kind="run").count() == noted
    assert SyncJob.objects.filter(installation=home, status__in=SyncJob.ACTIVE).count() <= 1


def at_once(calls: Sequence[Callable[[], Any]]) -> list[int]:
    """Makes all calls as nearly at the same moment as threads can."""
    ready = threading.Barrier(len(calls))
    codes: list[int] = []

    def make(call: Callable[[], Any]) -> None:
        try:
            ready.wait(10)
            codes.append(call().status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=make, args=[call]) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return sorted(codes)


@pytest.mark.django_db(transaction=True)
@pytest.mark.spec("R19.2")
def test_of_two_who_take_on_an_incident_or_cancel_a_run_at_once_one_did_it() -> None:
    home = InstallationFactory.create()
    ids = populate(home)
    people = [member_of(home, "operator"), member_of(home, "admin")]
    noted = {}
    for deed in (
        f"sync-health/incidents/{ids['incidents']}/acknowledge",
        f"jobs/{ids['jobs']}/cancel",
    ):
        clients: list[APIClient] = [api(user) for user in people]
        codes = at_once([partial(client.post, f"/api/v1/{deed}/") for client in clients])
        assert codes[0] == 200
        assert set(codes) <= {200, 409}
        noted[deed] = AuditEntry.objects.exclude(kind="run").count()
    assert list(noted.values()) == [1, 2]
    incident = Incident.objects.get()
    assert incident.acknowledged_by in people
    assert SyncJob.objects.get(pk=ids["jobs"]).status == SyncJob.Status.CANCELLED
