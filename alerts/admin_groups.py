"""Two groups of staff, made with the database: those who look, and those who decide too (R19.2).

They are only a beginning: whatever an administrator gives or takes stays, for a group that exists is never
touched again. Superusers need no group.
"""

from typing import Any, Final

from django.apps import apps as global_apps
from django.db.models import Q

VIEWERS: Final = "Viewers"
OPERATORS: Final = "Operators"
APPS: Final = ("syncsvc", "reconciliation", "alerts")
#: Of what operators decide about: to sync, cancel, replay, repair, approve, requeue, acknowledge.
DECIDED: Final = (
    "contentlist", "deadletter", "delivery", "discrepancy", "incident", "installation", "repository",
    "review", "syncjob",
)  # fmt: skip


def make(apps: Any = global_apps, **_: Any) -> None:
    """Makes each group that is not there; `apps` are the models as far as the database was migrated."""
    try:
        groups, permissions = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    except LookupError:
        return
    mine = permissions.objects.filter(content_type__app_label__in=APPS)
    # Who holds which key, and who may see what, is for administrators.
    seen = Q(codename__startswith="view_") & ~Q(
        content_type__model__in=["credential", "installationtoken", "membership"]
    )
    decided = Q(codename__in=[f"change_{name}" for name in DECIDED])
    for name, condition in ((VIEWERS, seen), (OPERATORS, seen | decided)):
        group, created = groups.objects.get_or_create(name=name)
        if created:
            group.permissions.set(mine.filter(condition))
