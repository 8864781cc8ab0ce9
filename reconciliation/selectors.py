"""Read queries for people about what the judge found, and who may decide what.

Tenancy is that of `syncsvc.selectors`: another tenant's row is not forbidden but absent. Operators,
admins and staff repair, dismiss, approve and reject; members and support look on.
"""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from django.db.models import Case, Count, OuterRef, Q, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from reconciliation.accuracy import Tally
from reconciliation.discrepancies import SINCE_THEN
from reconciliation.models import (
    Discrepancy,
    IntegrityIssue,
    Review,
    RunFigure,
    SampleAudit,
    SampledItem,
)
from syncsvc.models import Membership, Repository
from syncsvc.selectors import OPERATING, Viewer, member_of, sees_everything


class AboutRepository(Protocol):
    """A row that may be about a repository."""

    repository: Repository | None


Named = TypeVar("Named", bound=AboutRepository)


def discrepancies(user: Viewer) -> QuerySet[Discrepancy]:
    """The discrepancies that `user` may see."""
    rows = Discrepancy.objects.select_related("installation", "decided_by")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def reviews(user: Viewer) -> QuerySet[Review]:
    """The held disappearances that `user` may see."""
    rows = Review.objects.select_related("installation", "decided_by")
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def run_figures(user: Viewer) -> QuerySet[RunFigure]:
    """What each run measured of each entity, as far as `user` may see it, with its job's counts and
    with `repaired`: how many discrepancies of that entity it repaired, those that earlier runs had
    found included."""
    repaired = (
        Discrepancy.objects.filter(repaired_in=OuterRef("job_id"), entity=OuterRef("entity"))
        .exclude(repaired_by=SINCE_THEN)
        .order_by()
        .values("repaired_in")
        .annotate(number=Count("pk"))
        .values("number")
    )
    own = [field.name for field in RunFigure._meta.concrete_fields]
    rows = (
        RunFigure.objects.select_related("job")
        .only(*own, "job__counts", "job__phases_seconds")
        .annotate(repaired=Coalesce(Subquery(repaired), 0))
    )
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def sample_audits(user: Viewer) -> QuerySet[SampleAudit]:
    """The independent audits that `user` may see."""
    rows = SampleAudit.objects.all()
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def sampled(audit: SampleAudit) -> QuerySet[SampledItem]:
    """What one audit drew, what was wrong first."""
    wrong = Q(result=SampledItem.Result.WRONG)
    return audit.items.order_by(Case(When(wrong, then=0), default=1), "pk")


def integrity_issues(user: Viewer) -> QuerySet[IntegrityIssue]:
    """The rows that break a rule, as far as `user` may see them."""
    rows = IntegrityIssue.objects.all()
    if sees_everything(user):
        return rows
    return rows.filter(installation__in=member_of(user))


def named(rows: Iterable[Named], user: Viewer, installation_id: int | None) -> list[Named]:
    """These rows of one account. Where a repository has moved to another one that `user` does not see,
    its row names it no more: what it is called there is that tenant's."""
    found = list(rows)
    moved = [
        row
        for row in found
        if row.repository is not None and row.repository.installation_id != installation_id
    ]
    if moved and not sees_everything(user):
        seen = set(member_of(user))
        for row in moved:
            if row.repository is not None and row.repository.installation_id not in seen:
                row.repository = None
    return found


def tally(row: RunFigure) -> Tally:
    """What one run measured, to be reckoned with."""
    return Tally(
        compared=row.compared, matched=row.matched, vouched=row.vouched, unknown=row.unknown
    )


def scope(user: Viewer) -> list[int] | None:
    """Our ids of the installations that `user` may see; None for all there are."""
    return None if sees_everything(user) else list(member_of(user))


def may_decide(user: Viewer, installation_id: int) -> bool:
    """Whether `user`, who sees the installation, may repair, dismiss, approve and reject there."""
    if sees_everything(user):
        return True
    return Membership.objects.filter(
        user_id=user.pk, installation_id=installation_id, role__in=OPERATING
    ).exists()


def open_discrepancies(rows: QuerySet[Discrepancy], *, is_open: bool) -> QuerySet[Discrepancy]:
    """Those that nobody has repaired or dismissed, or the others."""
    wanted = Q(repair_status__in=Discrepancy.OPEN)
    return rows.filter(wanted) if is_open else rows.exclude(wanted)
