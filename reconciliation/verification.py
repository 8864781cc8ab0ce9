"""The look back after every run: does the mirror now hold what GitHub showed (R8.1)?"""

from typing import Any, Final

from django.db.models import Q

from reconciliation.run import Run
from syncsvc import mirror
from syncsvc.models import Repository

SHOWN: Final = 100
# GitHub's own rules for logins and repository names; enterprise logins may carry an underscore.
_LOGIN: Final = r"^[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\[bot\])?$"
_NAME: Final = r"^[A-Za-z0-9._-]+$"


def verify_repositories(run: Run, *, complete: bool) -> dict[str, Any]:
    """Counts compared, ids that are missing in the mirror, rows that break GitHub's formats.

    `ok` is None when the list was not whole: then the counts prove nothing either way. In a dry run
    nothing was repaired, so what is missing is reported, not expected to be there.
    """
    present = mirror.present_ids(run.job.installation_id)
    missing = sorted(run.seen - present)
    surplus = sorted(present - run.seen - run.explained) if complete else []
    broken = list(
        Repository.objects.filter(installation_id=run.job.installation_id)
        .filter(~Q(name__regex=_NAME) | ~Q(owner__regex=_LOGIN) | Q(github_id__lte=0))
        .values_list("github_id", flat=True)[:SHOWN]
    )
    return {
        "executed": True,
        "complete": complete,
        "ok": (not missing and not surplus and not broken) if complete else None,
        "counts": {"github": len(run.seen) if complete else None, "mirror": len(present)},
        "missing_ids": missing[:SHOWN],
        "missing": len(missing),
        "unexplained_ids": surplus[:SHOWN],
        "unexplained": len(surplus),
        "integrity_issues": broken,
    }
