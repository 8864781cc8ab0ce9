"""What must hold once it is quiet again: the mirror equals GitHub, and nothing is stuck, lost or doubled.

Runs in a process whose Django points to the database of the storm.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, cast

from django.db import connection
from django.db.models import F, Q

from reconciliation.models import Discrepancy, RunFigure
from syncsvc import clock
from syncsvc.models import Delivery, Gap, Installation, Repository, SyncJob
from syncsvc.simulator import World
from tests.chaos.stage import GitHub
from tests.support import PRESENT, all_mirrored_contents, mirrored, true_contents, truth

SHOWN: Final = 12
STUCK: Final = timedelta(seconds=30)
_ONCE: Final = {
    "syncsvc_repository": "github_id",
    "syncsvc_issue": "github_id",
    "syncsvc_pullrequest": "github_id",
    "syncsvc_commit": "repository_id, sha",
    "syncsvc_delivery": "guid, hook_id",
    "syncsvc_recheck": "installation_id, github_id",
}
_ORPHANS: Final = {
    "syncsvc_issue": "repository_id",
    "syncsvc_pullrequest": "repository_id",
    "syncsvc_commit": "repository_id",
}


class Truth:
    """The simulated world, as far as comparisons ask it, read over HTTP once."""

    def __init__(self, github: GitHub) -> None:
        self._truth = github.ask("/_simulator/truth")
        self._contents = github.ask("contents")

    def truth(self, installation: int) -> dict[int, list[dict[str, Any]]]:
        """As `World.truth`."""
        return {installation: self._truth[str(installation)]}

    def truth_content(self, repository: int) -> dict[str, Any]:
        """As `World.truth_content`."""
        found: dict[str, Any] = self._contents[str(repository)]
        return found


def differences(github: GitHub) -> tuple[int, list[str]]:
    """How many items were compared, and each field in which mirror and GitHub do not agree."""
    world = cast("World", Truth(github))
    found: list[str] = []
    compared = 0
    if Installation.objects.count() != len(github.installations):
        found.append(f"{Installation.objects.count()} of {len(github.installations)} accounts.")
    for installation in Installation.objects.all():
        true = truth(world, installation)
        compared += len(true)
        found += _unequal(f"{installation}: repository", mirrored(installation), true)
        rows = list(Repository.objects.filter(installation=installation, status__in=PRESENT))
        ours = all_mirrored_contents(rows)
        for repository in rows:
            if repository.github_id not in true:
                continue  # said above
            theirs = true_contents(world, repository)
            for entity in theirs:
                compared += len(theirs[entity])
                found += _unequal(
                    f"{repository} {entity}", ours[repository.pk][entity], theirs[entity]
                )
    return compared, found


def unsettled() -> list[str]:
    """What is still to be done; empty when the system has come to rest."""
    found = []
    if waiting := Delivery.objects.filter(status="received").count():
        found.append(f"{waiting} deliveries wait to be processed.")
    if open_ := Discrepancy.objects.filter(repair_status__in=Discrepancy.OPEN).count():
        found.append(f"{open_} discrepancies are open.")
    return found + _stuck()


def _stuck() -> list[str]:
    now = clock.now()
    overdue = Q(status="running", lease_expires_at__lt=now) | Q(
        status__in=("queued", "blocked"), run_after__lt=now - STUCK
    )
    return [
        f"Job {job.pk} ({job.mode}) of {job.installation} is {job.status}, stage {job.stage}, "
        f"attempt {job.attempt}, due {job.run_after:%H:%M:%S}, lease until {job.lease_expires_at}."
        for job in SyncJob.objects.filter(overdue).select_related("installation")
    ]


def broken(attempts: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every rule that does not hold, as sentences. `attempts`: GitHub's word on its deliveries."""
    found = [*_doubled(), *_orphaned()]
    found += [
        f"Delivery {guid} was acknowledged and is not in the table."
        for guid in lost(attempts)[:SHOWN]
    ]
    if failed := Delivery.objects.filter(status="failed").count():
        found.append(f"{failed} deliveries were given up as failed.")
    if wrong := RunFigure.objects.filter(matched__gt=F("compared")).count():
        found.append(f"{wrong} figures matched more than they compared.")
    accuracies = SyncJob.objects.filter(Q(accuracy__gt=1) | Q(accuracy__lt=0)).count()
    if accuracies:
        found.append(f"{accuracies} jobs have an accuracy outside of what is possible.")
    late = clock.now() - timedelta(seconds=90)
    found += [
        f"Gap {gap.pk} of {gap.installation} ({gap.reason}) was found at {gap.opened_at:%H:%M:%S} and "
        "nothing was done about it."
        for gap in Gap.objects.filter(step="open", opened_at__lt=late, next_step_at__lt=late)
    ]
    return found


def _doubled() -> list[str]:
    found = []
    with connection.cursor() as cursor:
        for table, key in _ONCE.items():
            cursor.execute(
                f"SELECT count(*) FROM (SELECT 1 FROM {table} GROUP BY {key} HAVING count(*) > 1) x"
            )
            row = cursor.fetchone()
            if row and row[0]:
                found.append(f"{row[0]} rows of {table} are there more than once.")
    return found


def _orphaned() -> list[str]:
    found = []
    with connection.cursor() as cursor:
        for table, key in _ORPHANS.items():
            cursor.execute(
                f"SELECT count(*) FROM {table} t LEFT JOIN syncsvc_repository r ON r.id = t.{key} "
                "WHERE r.id IS NULL"
            )
            row = cursor.fetchone()
            if row and row[0]:
                found.append(f"{row[0]} rows of {table} belong to no repository.")
    return found


def lost(attempts: Iterable[Mapping[str, Any]]) -> list[str]:
    """The GUIDs of deliveries that were acknowledged and are not in the table."""
    acknowledged = {(each["guid"], each["hook_id"]) for each in attempts if each["arrived"]}
    ours = set(Delivery.objects.values_list("guid", "hook_id"))
    return sorted(guid for guid, _ in acknowledged - ours)


def _unequal(where: str, ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> list[str]:
    found = []
    for key in ours.keys() | theirs.keys():
        mine, true = ours.get(key), theirs.get(key)
        if mine is None or true is None:
            found.append(f"{where} {key}: {'only GitHub has it' if true else 'only we have it'}.")
            continue
        found += [
            f"{where} {key}: {name} is {str(mine.get(name))[:60]}, not {str(true.get(name))[:60]}."
            for name in sorted(mine.keys() | true.keys())
            if mine.get(name) != true.get(name)
        ]
    return sorted(found)
