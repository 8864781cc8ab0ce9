"""Reads what decisions and status pages depend on, for any number of installations in four queries."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Prefetch, QuerySet

from syncsvc.models import Installation, RateBudget, Repository, SyncJob
from syncsvc.policy import BudgetState, InstallationState


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One installation with its active job and the state that policy judges, read together."""

    installation: Installation
    active_job: SyncJob | None
    state: InstallationState


def read(
    installations: QuerySet[Installation], *, count_repositories: bool = True
) -> list[Snapshot]:
    """The snapshots of these installations, in the order of the query.

    `count_repositories=False`: for whom it is enough to know the rest, a query less that counts all.
    """
    rows = list(
        installations.prefetch_related(
            Prefetch("budgets", queryset=RateBudget.objects.order_by("resource")),
            Prefetch(
                "jobs",
                queryset=SyncJob.objects.filter(status__in=SyncJob.ACTIVE).defer("plan"),
                to_attr="active_jobs",
            ),
        )
    )
    counts: dict[int, int] = {}
    if count_repositories:
        counts = _repositories(rows)
    return [_snapshot(row, counts.get(row.pk, 0)) for row in rows]


def _repositories(rows: Iterable[Installation]) -> dict[int, int]:
    return dict(
        Repository.objects.filter(
            installation__in=[row.pk for row in rows], status__in=Repository.PRESENT
        )
        .values_list("installation")
        .annotate(Count("pk"))
    )


def read_one(installation_id: int) -> Snapshot:
    """The snapshot of one installation; raises `Installation.DoesNotExist`."""
    snapshots = read(Installation.objects.filter(pk=installation_id))
    if not snapshots:
        raise Installation.DoesNotExist(f"There is no installation {installation_id}.")
    return snapshots[0]


def _snapshot(row: Installation, repositories: int) -> Snapshot:
    jobs: Iterable[SyncJob] = row.active_jobs  # type: ignore[attr-defined]  # set by the prefetch
    active = next(iter(jobs), None)
    return Snapshot(
        installation=row,
        active_job=active,
        state=InstallationState(
            status=row.status,
            active_job_id=str(active.pk) if active else None,
            last_synced_at=row.last_synced_at,
            last_listed_at=row.last_listed_at,
            repositories=repositories,
            blocked_until=row.blocked_until,
            blocked_reason=row.blocked_reason,
            breaker_open_until=row.breaker_open_until,
            budgets={
                budget.resource: BudgetState(
                    limit=budget.limit, remaining=budget.remaining, reset_at=budget.reset_at
                )
                for budget in row.budgets.all()
            },
        ),
    )
