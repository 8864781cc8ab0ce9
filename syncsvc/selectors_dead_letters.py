"""Read queries for people about dead letters; who may see and do what is told in `syncsvc.selectors`.

A letter belongs to the account of its job or delivery. Those of deliveries that name no account that is
mirrored are for staff only.
"""

from django.db.models import QuerySet

from syncsvc.models import DeadLetter, Membership
from syncsvc.selectors import OPERATING, Viewer, member_of, sees_everything


def letters(user: Viewer) -> QuerySet[DeadLetter]:
    """The dead letters that `user` may see, with their account, job, delivery and who decided."""
    rows = (
        DeadLetter.objects.select_related("installation", "job", "delivery", "decided_by")
        .defer("job__plan", "job__verification", "job__checkpoint", "job__failures")
        .defer("delivery__payload")
    )
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def listed(user: Viewer) -> QuerySet[DeadLetter]:
    """The same without what can be long."""
    return letters(user).defer("stack", "context")


def may_decide(user: Viewer, row: DeadLetter) -> bool:
    """Whether `user`, who sees the letter, may have it done again or discard it."""
    if sees_everything(user):
        return True
    if row.installation_id is None:
        return False
    operated = Membership.objects.filter(user_id=user.pk, role__in=OPERATING)
    return operated.filter(installation_id=row.installation_id).exists()
