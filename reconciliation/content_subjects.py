"""Which repositories' lists a run looks at, which of them it may read, and by which rules it decides.

What it will not look at is told as unknown: an unread list is never counted as right.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from django.db.models import Exists, OuterRef, Q

from reconciliation.content_writing import WORDS
from reconciliation.lists import Subject
from reconciliation.needs import Facts, Known, Rules
from reconciliation.run import Run
from syncsvc import content_lists, contents
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import Entity
from syncsvc.models import ContentList, Installation, Repository, SyncJob

#: The permission of a GitHub App that each list needs, by GitHub's name and as GitHub shows it.
_PERMISSIONS: Final = {
    Entity.ISSUES: ("issues", "Issues"),
    Entity.PULL_REQUESTS: ("pull_requests", "Pull requests"),
    Entity.COMMITS: ("contents", "Contents"),
}


def subjects(run: Run, only: Collection[int] | None) -> tuple[list[Subject], int]:
    """The repositories whose lists are to be looked at, and how many need not be looked at again."""
    rows = Repository.objects.filter(
        installation_id=run.job.installation_id,
        status__in=content_lists.READ,
        name_is_current=True,
        missing_since__isnull=True,  # the list lacked it, and the run has said so already
    ).order_by("pk")
    if only is not None:
        rows = rows.filter(github_id__in=only)
    elif run.job.dry_run and run.is_listed:
        rows = rows.filter(github_id__in=run.seen)  # a dry run marks none that the list lacked
    done = 0
    if only is None and run.earlier.done_to:
        # One that came back meanwhile stands among those that are done, and nobody knows its lists.
        unread = ~Exists(ContentList.objects.filter(repository=OuterRef("pk")))
        left = rows.filter(Q(pk__gt=run.earlier.done_to) | unread)
        rows, done = left, rows.count() - left.count()
    names = ("pk", "github_id", "node_id", "full_name", "pushed_at")
    return [Subject(**row) for row in rows.values(*names)], done


def tell_unread(run: Run, permitted: Collection[Entity]) -> None:
    """What is mirrored and not even looked at is unknown: lists that the App may not read, and those
    of repositories that cannot be reached."""
    held = Repository.objects.filter(
        installation_id=run.job.installation_id, status__in=content_lists.READ
    )
    unreached = held.filter(Q(missing_since__isnull=False) | Q(name_is_current=False))
    forbidden = [each for each in Entity if each not in permitted]
    asked = [(unreached, permitted)] + ([(held, forbidden)] if forbidden else [])
    for rows, entities in asked:
        pks = list(rows.values_list("pk", flat=True))
        if pks:
            for (_, entity), count in contents.counts(pks, entities).items():
                run.judge.unknown(entity, count)


def permitted(run: Run) -> tuple[Entity, ...]:
    """The lists that the App may read; one that it may not is one failure, not one a repository."""
    granted = run.job.installation.permissions
    if run.job.installation.mode != Installation.Mode.APP or not granted:
        return tuple(Entity)
    missing = [each for each in Entity if _PERMISSIONS[each][0] not in granted]
    for entity in missing:
        run.failed(
            run.job.installation.account_login,
            f"read {WORDS[entity]}",
            "authentication",
            f"The GitHub App may not read {WORDS[entity]}: grant it the repository permission "
            f"{_PERMISSIONS[entity][1]}: read, and approve that for the account.",
            entity,
        )
    return tuple(each for each in Entity if each not in missing)


def rules(run: Run) -> Rules:
    """What decides, in this run, whether a list has to be read."""
    settings = run.lease.settings
    return Rules(
        now=run.context.now,
        overlap=timedelta(seconds=settings.overlap_seconds),
        whole_after=timedelta(hours=settings.full_read_hours),
        commit_limit=settings.commit_limit,
        everything=run.job.mode == SyncJob.Mode.REPO,
        windows=run.job.mode in (SyncJob.Mode.INCREMENTAL, SyncJob.Mode.RECHECK),
        patient=run.job.trigger != SyncJob.Trigger.MANUAL and run.job.mode != SyncJob.Mode.REPO,
    )


def known(row: ContentList | None, present: int) -> Known:
    """What the mirror knows of one list, of which it holds so many present rows."""
    if row is None:
        return Known(present=present)
    return Known(
        present=present,
        count=row.count,
        mirrored=row.mirrored,
        unreadable=row.unreadable,
        latest_at=row.latest_at,
        head_sha=row.head_sha,
        item_limit=row.item_limit,
        read_at=row.read_at,
        whole_at=row.whole_at,
        failures=row.failures,
        retry_at=row.retry_at,
    )


def facts_of(seen: RepositoryOverview, entity: Entity) -> Facts:
    """What one look at a repository says of one of its lists."""
    if entity is Entity.ISSUES:
        return Facts(count=seen.issues, latest_at=seen.latest_issue_at)
    if entity is Entity.PULL_REQUESTS:
        return Facts(count=seen.pull_requests, latest_at=seen.latest_pull_request_at)
    return Facts(count=seen.commits, head_sha=seen.head_oid)
