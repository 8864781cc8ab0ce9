"""Read queries for people, and who may see and do what: every page and every API view starts here.

A tenant's rows are picked by membership in the query itself, so an object of another tenant is not
forbidden but absent. Staff see everything. What a role may do (R19.2):

| role | sees | starts syncs | cancels jobs |
|---|---|---|---|
| member, support | yes | yes | those they asked for themselves |
| operator, admin | yes | yes | all of the installation |
| staff | everything | yes | all |
"""

from typing import Any, Final

from django.db.models import Case, F, QuerySet, When
from django.db.models.functions import Greatest

from syncsvc.models import Installation, Membership, Repository, SyncJob

Viewer = Any  # request.user: a user, or nobody (AnonymousUser)

MAY_CANCEL: Final = frozenset({Membership.Role.OPERATOR, Membership.Role.ADMIN})


def sees_everything(user: Viewer) -> bool:
    """Whether this is staff: the people who run the product see all tenants."""
    return bool(user.is_active and (user.is_staff or user.is_superuser))


def installations(user: Viewer) -> QuerySet[Installation]:
    """The installations that `user` may see."""
    rows = Installation.objects.all()
    if sees_everything(user):
        return rows
    return rows.filter(pk__in=_member_of(user))


def repositories(user: Viewer) -> QuerySet[Repository]:
    """The repositories that `user` may see, each with `last_synced_at`.

    An unchanged run writes no row; that a repository was seen follows from its account's last whole
    listing, unless the row says that the listing lacked it or that its name went to another.
    """
    rows = Repository.objects.annotate(
        last_synced_at=Case(
            When(
                status__in=Repository.PRESENT,
                missing_since__isnull=True,
                name_is_current=True,
                then=Greatest(F("last_written_at"), F("installation__last_listed_at")),
            ),
            default=F("last_written_at"),
        )
    )
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=_member_of(user))


def jobs(user: Viewer) -> QuerySet[SyncJob]:
    """The sync jobs that `user` may see, without the plan of a dry run (it can be long)."""
    rows = SyncJob.objects.select_related("installation", "requested_by").defer("plan")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=_member_of(user))


def may_cancel(user: Viewer, job: SyncJob) -> bool:
    """Whether `user`, who sees the job, may stop it."""
    if sees_everything(user) or job.requested_by_id == user.pk:
        return True
    return Membership.objects.filter(
        user_id=user.pk, installation_id=job.installation_id, role__in=MAY_CANCEL
    ).exists()


def cancellable(user: Viewer, rows: list[SyncJob]) -> set[Any]:
    """The ids of those jobs that `user` may stop, for a whole page in one query."""
    if sees_everything(user):
        return {row.pk for row in rows}
    operated = set(
        Membership.objects.filter(
            user_id=user.pk,
            role__in=MAY_CANCEL,
            installation__in=[row.installation_id for row in rows],
        ).values_list("installation_id", flat=True)
    )
    return {
        row.pk for row in rows if row.installation_id in operated or row.requested_by_id == user.pk
    }


def latest_jobs(shown: list[Installation]) -> dict[int, SyncJob]:
    """The last job of each of these installations that has ended, by installation."""
    ended = (
        SyncJob.objects.filter(installation__in=shown, finished_at__isnull=False)
        .order_by("installation_id", "-created_at")
        .distinct("installation_id")
        .defer("plan", "failures")
    )
    return {job.installation_id: job for job in ended}


def _member_of(user: Viewer) -> QuerySet[Membership, int]:
    return Membership.objects.filter(user_id=user.pk).values_list("installation_id", flat=True)
