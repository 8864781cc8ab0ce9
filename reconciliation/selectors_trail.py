"""Read queries of the audit trail and of performance, and who may see them (R11.2).

The trail is for administrators: staff see all of it, members with the role admin that of their
installations. Logins belong to no installation, so staff alone see them. Performance is for everybody
who sees the installation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import FloatField, IntegerField, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

from reconciliation import performance
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from reconciliation.performance import Aggregate, Run
from syncsvc.models import Membership, Repository, SyncJob
from syncsvc.selectors import Viewer, member_of, sees_everything

COMPLETED: Final = (SyncJob.Status.SUCCEEDED, SyncJob.Status.PARTIAL)
MOST_RUNS: Final = 10_000
"""So many of the newest runs enter one aggregate."""


def may_audit(user: Viewer) -> bool:
    """Whether `user` is an administrator of anything."""
    return sees_everything(user) or _administered(user).exists()


def may_audit_of(user: Viewer, installation_id: int) -> bool:
    """Whether `user` is an administrator of this installation."""
    return (
        sees_everything(user) or _administered(user).filter(installation=installation_id).exists()
    )


def entries(user: Viewer) -> QuerySet[AuditEntry]:
    """The entries that `user` may see."""
    rows = AuditEntry.objects.all()
    return rows if sees_everything(user) else rows.filter(installation__in=_administered(user))


def records(entry: AuditEntry) -> QuerySet[AuditRecord]:
    """What the run did, with the names of the repositories."""
    return AuditRecord.objects.filter(entry=entry).select_related("repository")


def errors(entry: AuditEntry) -> QuerySet[AuditError]:
    """What went wrong in the run."""
    return AuditError.objects.filter(entry=entry)


def written_of(repository: Repository, user: Viewer) -> QuerySet[AuditRecord]:
    """What runs did to records of one repository, as far as `user` may audit them: it may have belonged
    to another account, whose runs are that account's."""
    rows = AuditRecord.objects.filter(repository=repository.pk).select_related("entry")
    if sees_everything(user):
        return rows
    return rows.filter(entry__installation__in=_administered(user))


def of_repository(
    rows: QuerySet[AuditEntry], full_name: str, user: Viewer | None = None
) -> QuerySet[AuditEntry]:
    """Of these entries those about a repository, OWNER/NAME in any case: its own, and runs that did
    something to a record of it. Which names there are at tenants that `user` does not see is not to be
    found out."""
    meant = Repository.objects.filter(full_name__iexact=full_name)
    if user is not None and not sees_everything(user):
        meant = meant.filter(installation__in=member_of(user))
    touched = AuditRecord.objects.filter(repository__in=meant).values("entry")
    return rows.filter(Q(repository__iexact=full_name) | Q(pk__in=touched))


def of_item(rows: QuerySet[AuditEntry], key: str) -> QuerySet[AuditEntry]:
    """Of these entries those that did something to an item: GitHub's id, or a commit's sha."""
    touched = AuditRecord.objects.filter(items__contains=[key]).values("entry")
    return rows.filter(pk__in=touched)


def _administered(user: Viewer) -> QuerySet[Membership, int]:
    return member_of(user).filter(role=Membership.Role.ADMIN)


def timed(phases: Mapping[str, float]) -> Run:
    """A run of which only the seconds matter."""
    return Run(seconds=phases.get("total", 0.0), phases=phases)


def comparable(job: SyncJob) -> list[Run]:
    """The last runs that say what is usual for `job`, the newest first: of the same account, mode and
    repository, completed, neither dry runs nor the first one."""
    ended = (
        AuditEntry.objects.filter(
            kind=AuditEntry.Kind.RUN,
            installation=job.installation_id,
            mode=job.mode,
            repository=job.repository,
            dry_run=False,
            status__in=COMPLETED,
        )
        .exclude(Q(correlation_id=job.pk) | Q(detail__has_key="baseline"))
        .order_by("-at")
    )
    return [
        timed(phases)
        for phases in ended.values_list("phases_seconds", flat=True)[: performance.LOOKED_AT]
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class Performance:
    """Figures over the runs of a time; `truncated` when there were more than the newest `MOST_RUNS`."""

    since: datetime
    until: datetime
    truncated: bool
    figures: Aggregate


def performance_of(
    user: Viewer, installation: int | None, since: datetime, until: datetime
) -> Performance:
    """How the runs did that began at `since` or later and before `until`, and have ended (R12.1).

    Of one installation or of all that `user` may see. Dry runs and cancelled ones do not count.
    """
    ended = AuditEntry.objects.filter(
        kind=AuditEntry.Kind.RUN,
        ended_at__isnull=False,
        dry_run=False,
        at__gte=since,
        at__lt=until,
    ).exclude(status=SyncJob.Status.CANCELLED)
    if not sees_everything(user):
        ended = ended.filter(installation__in=member_of(user))
    if installation is not None:
        ended = ended.filter(installation=installation)
    found = _runs(ended.order_by("-at", "-pk")[: MOST_RUNS + 1])
    return Performance(
        since=since,
        until=until,
        truncated=len(found) > MOST_RUNS,
        figures=performance.aggregate(found[:MOST_RUNS]),
    )


def _runs(rows: QuerySet[AuditEntry]) -> list[Run]:
    """Only what is counted is read: the columns hold much more."""
    seconds = {name: _number("phases_seconds", name) for name in performance.PHASES}
    requests = Cast(KeyTextTransform("requests", "api"), IntegerField())
    unchanged = Cast(KeyTextTransform("not_modified", "api"), IntegerField())
    columns = rows.annotate(
        total=_number("phases_seconds", "total"), requests=requests, unmodified=unchanged, **seconds
    ).values_list(
        "status", "succeeded", "failed", "errors_by_category", "total", "requests", "unmodified",
        *performance.PHASES,
    )  # fmt: skip
    return [
        Run(
            seconds=total or 0.0,
            phases=dict(zip(performance.PHASES, (each or 0.0 for each in phases), strict=True)),
            records=good + bad,
            bad=bad,
            failed=status in (SyncJob.Status.FAILED, SyncJob.Status.DEAD),
            requests=sent or 0,
            not_modified=unmodified or 0,
            errors=errors,
        )
        for status, good, bad, errors, total, sent, unmodified, *phases in columns
    ]


def _number(column: str, key: str) -> Cast:
    return Cast(KeyTextTransform(key, column), FloatField())
