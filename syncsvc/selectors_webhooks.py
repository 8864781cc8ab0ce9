"""Read queries for people about webhooks; who may see and do what is told in `syncsvc.selectors`.

A delivery belongs to the account that it was processed for. One that waits has no account of ours yet:
until then GitHub's id of the account tells whose it is. Nobody's are for staff only.
"""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    BooleanField,
    Exists,
    ExpressionWrapper,
    F,
    Lookup,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)

from syncsvc.models import (
    Delivery,
    Gap,
    Hook,
    Installation,
    Membership,
    MissedDelivery,
    Repository,
)
from syncsvc.selectors import OPERATING, Viewer, member_of, sees_everything


def deliveries(user: Viewer) -> QuerySet[Delivery]:
    """The deliveries that `user` may see, never with the payload itself.

    Each has `payload_kept`, and `repository` and `repository_full_name` of the repository that it is
    about, where the mirror has it and `user` may see it.
    """
    shown = Repository.objects.filter(github_id=OuterRef("repository_github_id"))
    if not sees_everything(user):
        shown = shown.filter(installation__in=member_of(user))
    rows = (
        Delivery.objects.select_related("installation")
        .defer("payload")
        .annotate(
            payload_kept=ExpressionWrapper(Q(payload__isnull=False), output_field=BooleanField()),
            repository=Subquery(shown.values("pk")[:1]),
            repository_full_name=Subquery(shown.values("full_name")[:1]),
        )
    )
    if sees_everything(user):
        return rows
    accounts = Installation.objects.filter(pk__in=member_of(user)).values("account_id")
    return rows.filter(
        Q(_Among(F("installation_id"), ArraySubquery(member_of(user))))
        | Q(_Among(F("account_id"), ArraySubquery(accounts)), installation__isnull=True)
    )


class _Among(Lookup):
    """Is one of an array. With a subquery in place of the array on both sides of OR no index is used, but
    all rows are read."""

    prepare_rhs = False

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        lhs, before = self.process_lhs(compiler, connection)
        rhs, after = self.process_rhs(compiler, connection)
        return f"{lhs} = ANY({rhs})", (*before, *after)


def of_installation(rows: QuerySet[Delivery], installation_id: int) -> QuerySet[Delivery]:
    """Of these deliveries those of one account, the ones that wait to be processed included."""
    account = Installation.objects.filter(pk=installation_id).values("account_id")
    return rows.filter(
        Q(installation=installation_id) | Q(installation__isnull=True, account_id__in=account)
    )


def gaps(user: Viewer) -> QuerySet[Gap]:
    """The gaps that `user` may see."""
    rows = Gap.objects.select_related("installation")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def missed_deliveries(user: Viewer) -> QuerySet[MissedDelivery]:
    """The missed deliveries that `user` may see."""
    rows = MissedDelivery.objects.select_related("installation")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def hooks(user: Viewer) -> QuerySet[Hook]:
    """The hooks that `user` may see: those of their accounts, and the App's where one comes by it."""
    rows = Hook.objects.select_related("installation")
    if sees_everything(user):
        return rows
    by_app = Installation.objects.filter(pk__in=member_of(user), mode=Installation.Mode.APP)
    return rows.filter(
        Q(installation__in=member_of(user))
        | Q(Exists(by_app), target_type=Hook.Target.INTEGRATION, installation__isnull=True)
    )


def hooks_of(installation: Installation) -> QuerySet[Hook]:
    """The hooks by which this account's deliveries come."""
    own = Q(installation=installation)
    if installation.mode == Installation.Mode.APP:
        own |= Q(target_type=Hook.Target.INTEGRATION, installation__isnull=True)
    return Hook.objects.filter(own)


def may_replay(user: Viewer, row: Delivery) -> bool:
    """Whether `user`, who sees the delivery, may have it processed again."""
    if sees_everything(user):
        return True
    operated = Membership.objects.filter(user_id=user.pk, role__in=OPERATING)
    if row.installation_id is not None:
        return operated.filter(installation_id=row.installation_id).exists()
    if row.account_id is None:
        return False
    return operated.filter(installation__account_id=row.account_id).exists()
