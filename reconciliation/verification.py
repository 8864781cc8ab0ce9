"""The look back after every run: does the mirror now hold what GitHub showed (R8.1)?

Only looks and tells; what it finds missing is brought by `resync`.
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

from django.db.models import F

from reconciliation import integrity
from reconciliation.run import Run
from syncsvc import clock, contents, mirror
from syncsvc.content_lists import ListKey
from syncsvc.content_plan import Key
from syncsvc.github.reading import Entity
from syncsvc.models import ContentList, Repository

SHOWN: Final = 100


def verify_repositories(run: Run, *, complete: bool) -> dict[str, Any]:
    """Counts compared, ids that are missing in the mirror or that nobody explains, rules broken.

    Of a whole list all repositories of the account are counted; else those that GitHub showed, and
    `ok` is None: that proves nothing of the others. In a dry run nothing was repaired, so what is
    missing is reported, not expected to be there.
    """
    present = mirror.present_ids(run.job.installation_id)
    missing = sorted(run.seen - present)
    surplus = _unexplained(run, present) if complete else []
    checked = integrity.check_repositories(
        run.job.installation_id, job_id=run.job.pk, now=clock.now()
    )
    run.look.checked_rows(checked)
    return {
        "executed": True,
        "at": clock.now().isoformat(),
        "complete": complete,
        "scope": "account" if complete else "shown",
        "ok": (not missing and not surplus) if complete else None,
        "counts": {
            "github": len(run.seen),
            "mirror": len(present if complete else present & run.seen),
        },
        "missing_ids": missing[:SHOWN],
        "missing": len(missing),
        "unexplained_ids": surplus[:SHOWN],
        "unexplained": len(surplus),
        "integrity_issues": [int(each.key) for each in checked.found[:SHOWN]],
    }


def _unexplained(run: Run, present: Collection[int]) -> list[int]:
    """Ids that the mirror holds and GitHub did not show; what webhooks brought since is explained."""
    surplus = set(present) - run.seen - run.explained
    if not surplus:
        return []
    rows = Repository.objects.filter(
        github_id__in=surplus, last_written_at__lte=run.context.now
    ).values_list("github_id", flat=True)
    return sorted(rows)


def missing_items(gaps: Mapping[ListKey, Collection[Key]]) -> dict[ListKey, set[Key]]:
    """Which of these items the mirror still does not say are there."""
    found: dict[ListKey, set[Key]] = {}
    for entity in Entity:
        keys = {key for (_, of), some in gaps.items() if of is entity for key in some}
        gone = set(contents.missing(entity, keys))
        for (pk, of), some in gaps.items():
            if of is entity and gone & set(some):
                found[pk, of] = gone & set(some)
    return found


def short_lists(run: Run) -> dict[ListKey, int]:
    """The lists that this run read and that hold fewer items by now than after it, with how many
    are missing. Rows that others add or take away meanwhile they count themselves."""
    settled = {
        (pk, Entity(entity)): mirrored
        for pk, entity, mirrored in ContentList.objects.filter(
            repository__installation=run.job.installation_id, read_at__in=run.moments
        ).values_list("repository_id", "entity", "mirrored")
    }
    if not settled:
        return {}
    held = contents.counts({pk for pk, _ in settled})
    return {
        key: mirrored - held.get(key, 0)
        for key, mirrored in settled.items()
        if held.get(key, 0) < mirrored
    }


def read_whole(run: Run, lists: Collection[ListKey]) -> set[ListKey]:
    """Which of these lists this run has read whole and explained."""
    rows = ContentList.objects.filter(
        repository__in={pk for pk, _ in lists}, whole_at=run.context.now, read_at=F("whole_at")
    ).values_list("repository_id", "entity")
    return {(pk, Entity(entity)) for pk, entity in rows} & set(lists)
