"""Read queries for people about incidents; who may see and do what is told in `syncsvc.selectors`.

An incident that belongs to no account is about the product itself, and for staff only.
"""

from django.db.models import QuerySet

from alerts.models import Incident
from reconciliation.selectors import may_decide
from syncsvc.models import Installation
from syncsvc.selectors import Viewer, member_of, sees_everything


def incidents(user: Viewer) -> QuerySet[Incident]:
    """The incidents that `user` may see, each with who acknowledged it."""
    rows = Incident.objects.select_related("installation", "acknowledged_by")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def unresolved(rows: QuerySet[Incident]) -> QuerySet[Incident]:
    """Those whose problem lasts, acknowledged or not."""
    return rows.exclude(status=Incident.Status.RESOLVED)


def open_of(installation: Installation | int) -> QuerySet[Incident]:
    """The incidents of one account whose problem lasts, the last opened first."""
    return unresolved(Incident.objects.filter(installation=installation))


def may_acknowledge(user: Viewer, row: Incident) -> bool:
    """Whether `user`, who sees the incident, may acknowledge it: operators, admins and staff."""
    if row.installation_id is None:
        return sees_everything(user)
    return may_decide(user, row.installation_id)
