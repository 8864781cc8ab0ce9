"""The day's figures of each repository (R5.4): how they follow from the mirror, and their one writer.

Hides which counts are taken from our own rows. Equal figures are not written again.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Final

from django.db.models import Count, Max, Q

from syncsvc import normalizer
from syncsvc.github.content import Languages
from syncsvc.models import Commit, Issue, Repository, RepositoryMetric

_FIGURES: Final = (
    "commits",
    "contributors",
    "lines_of_code",
    "languages",
    "tech_stack",
    "health_score",
    "open_issues",
    "stars",
    "has_ci",
    "has_tests",
    "last_commit_at",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What was seen of a repository today; what is None was not asked for or not shown."""

    commits: int
    languages: Languages | None
    has_ci: bool | None
    has_tests: bool | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """How many rows were written, and how many were right already."""

    created: int
    updated: int
    unchanged: int


def all_measured(repository_ids: Collection[int], day: date) -> bool:
    """Whether each of these has figures of that day."""
    have = RepositoryMetric.objects.filter(repository_id__in=repository_ids, date=day).count()
    return have >= len(repository_ids)


def write(looks: Mapping[int, Look], now: datetime, *, dry_run: bool = False) -> Counted:
    """Writes the figures of `now`'s day, in UTC, of the repositories with these primary keys.

    Languages, CI and tests that were not asked for are those of the last figures. A dry run only
    counts.
    """
    day = now.astimezone(UTC).date()
    last = _last_rows(looks)
    wanted = [
        RepositoryMetric(
            repository_id=basis["pk"],
            date=day,
            last_written_at=now,
            **_figures(looks[basis["pk"]], basis, last.get(basis["pk"]), day),
        )
        for basis in _bases(looks)
    ]
    today = {pk for pk, row in last.items() if row.date == day}
    changed = [
        row
        for row in wanted
        if row.repository_id not in today or not _equal(row, last[row.repository_id])
    ]
    if changed and not dry_run:
        RepositoryMetric.objects.bulk_create(
            changed,
            update_conflicts=True,
            unique_fields=["repository", "date"],
            update_fields=[*_FIGURES, "last_written_at"],
        )
    updated = sum(row.repository_id in today for row in changed)
    return Counted(
        created=len(changed) - updated, updated=updated, unchanged=len(wanted) - len(changed)
    )


def _last_rows(looks: Collection[int]) -> dict[int, RepositoryMetric]:
    rows = (
        RepositoryMetric.objects.filter(repository_id__in=list(looks))
        .order_by("repository_id", "-date")
        .distinct("repository_id")
    )
    return {row.repository_id: row for row in rows}


def _bases(looks: Collection[int]) -> list[dict[str, Any]]:
    """What our own rows say of each repository: three queries, whatever their number."""
    pks = list(looks)
    issues = dict(
        Issue.objects.filter(repository_id__in=pks, removed_at__isnull=True)
        .exclude(state=Issue.State.CLOSED)
        .order_by()
        .values("repository_id")
        .annotate(open=Count("pk"))
        .values_list("repository_id", "open")
    )
    commits = {
        pk: (people, newest)
        for pk, people, newest in Commit.objects.filter(
            repository_id__in=pks, dropped_at__isnull=True
        )
        .order_by()
        .values("repository_id")
        .annotate(people=Count("contributor", distinct=True), newest=Max("committed_at"))
        .values_list("repository_id", "people", "newest")
    }
    return [
        {
            "pk": pk,
            "stars": stars,
            "open_issues": issues.get(pk, 0),
            "contributors": commits.get(pk, (0, None))[0],
            "last_commit_at": commits.get(pk, (0, None))[1],
        }
        for pk, stars in Repository.objects.filter(Q(pk__in=pks)).values_list("pk", "stars")
    ]


def _figures(
    look: Look, basis: Mapping[str, Any], last: RepositoryMetric | None, day: date
) -> dict[str, Any]:
    languages = look.languages
    if languages is None:
        languages = last.languages if last else {}
    has_ci = last.has_ci if look.has_ci is None and last else look.has_ci
    has_tests = last.has_tests if look.has_tests is None and last else look.has_tests
    return {
        "commits": look.commits,
        "contributors": basis["contributors"],
        "lines_of_code": normalizer.lines_of_code(languages),
        "languages": dict(languages),
        "tech_stack": list(normalizer.tech_stack(languages)),
        "health_score": normalizer.health_score(
            last_commit_at=basis["last_commit_at"],
            open_issues=basis["open_issues"],
            stars=basis["stars"],
            contributors=basis["contributors"],
            has_ci=bool(has_ci),
            has_tests=bool(has_tests),
            # The day's beginning, so that figures change with the repository and not by the hour.
            now=datetime.combine(day, time.min, UTC),
        ),
        "open_issues": basis["open_issues"],
        "stars": basis["stars"],
        "has_ci": has_ci,
        "has_tests": has_tests,
        "last_commit_at": basis["last_commit_at"],
    }


def _equal(one: RepositoryMetric, other: RepositoryMetric) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _FIGURES)
