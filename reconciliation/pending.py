"""What webhooks have told of and nobody has read yet: a difference there is no surprise (R7.6).

Hides that it stands in two tables: deliveries that wait to be heard, and readings that were asked for.
"""

from collections.abc import Collection
from typing import Final

from syncsvc import rechecks
from syncsvc.models import Delivery, Installation, Recheck

Told = frozenset[tuple[str, int]]
"""The name of a list, and GitHub's id of the repository; `WHOLE_LIST` for the list of repositories."""

#: What an event tells of. Of all others that wait: of everything.
_EVENTS: Final = {
    "push": rechecks.HISTORY,
    "issues": rechecks.ITEMS | rechecks.REPOSITORY,
    "pull_request": rechecks.ITEMS | rechecks.REPOSITORY,
    "repository": rechecks.REPOSITORY,
    "public": rechecks.REPOSITORY,
}


def told_of(installation: Installation, github_ids: Collection[int] | None = None) -> Told:
    """What was told of these repositories, or of all of the account, and waits."""
    asked = Recheck.objects.filter(installation=installation)
    waiting = Delivery.objects.filter(
        status=Delivery.Status.RECEIVED,
        account_id=installation.account_id,
        repository_github_id__isnull=False,
    )
    if github_ids is not None:
        asked = asked.filter(github_id__in=[*github_ids, rechecks.WHOLE_LIST])
        waiting = waiting.filter(repository_github_id__in=github_ids)
    named = asked.values_list("github_id", "told")
    found = {
        (each, github_id)
        for github_id, told in named
        for each in (rechecks.EVERYTHING if told is None else told)
    }
    for github_id, event in waiting.values_list("repository_github_id", "event").distinct():
        found |= {(each, github_id or 0) for each in _EVENTS.get(event, rechecks.EVERYTHING)}
    return frozenset(found)


def is_told(told: Told, entity: str, github_id: int) -> bool:
    """Whether that list of the repository, or the repository itself, is among what was told."""
    whole = entity == "repositories" and (entity, rechecks.WHOLE_LIST) in told
    return whole or (entity, github_id) in told
