"""What acceptance and integration tests ask of a mirror."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import connection

from reconciliation import conductor
from syncsvc import clock, discovery, jobs
from syncsvc.github.values import parse_time
from syncsvc.models import Commit, Installation, Issue, PullRequest, Repository, SyncJob
from syncsvc.plan import FIELDS
from syncsvc.service import SyncService
from syncsvc.simulator import World
from syncsvc.simulator.records import Repository as Simulated

_TIMES = ("github_created_at", "github_updated_at", "pushed_at")
ITEM_FIELDS = (
    "github_id", "node_id", "number", "title", "body", "author", "assignees", "labels",
    "github_created_at", "github_updated_at", "closed_at",
)  # fmt: skip
PULL_REQUEST_FIELDS = (
    "state", "draft", "merged", "merged_at", "base_ref", "head_ref", "head_sha", "merge_commit_sha",
)  # fmt: skip
COMMIT_FIELDS = (
    "sha", "author_login", "author_name", "author_email", "authored_at", "committed_at", "message",
)  # fmt: skip
PRESENT = [str(status) for status in Repository.PRESENT]


def discover(login: str = "octo-simulated") -> Installation:
    """Discovers, and returns the installation of that account."""
    discovery.discover()
    return Installation.objects.get(account_login=login)


def sync(installation: Installation, trigger: str = "manual", **options: Any) -> SyncJob:
    """Asks for a sync and runs it here, as a worker would, retrying nothing."""
    decision = SyncService.request(installation.pk, trigger, **options)
    assert decision.job_id is not None, decision
    return run(decision.job_id)


def run(job_id: str | UUID, *, last_attempt: bool = True) -> SyncJob:
    """Claims a job and runs it."""
    lease = jobs.claim(job_id)
    assert lease is not None, SyncJob.objects.get(pk=job_id).status
    return conductor.execute(lease, last_attempt=last_attempt)


def mirrored(installation: Installation, *, statuses: list[str] | None = None) -> dict[int, Any]:
    """The mirror's compared fields by id, as far as it says that they are there."""
    rows = Repository.objects.filter(
        installation=installation, status__in=statuses or PRESENT, name_is_current=True
    )
    names = ("github_id", "full_name", *FIELDS)
    return {
        row["github_id"]: row | {"topics": sorted(row["topics"])} for row in rows.values(*names)
    }


def truth(world: World, installation: Installation) -> dict[int, Any]:
    """The same of the simulated GitHub."""
    if installation.mode == Installation.Mode.TOKEN:
        rows = world.truth_of(installation.account_login, viewer=installation.account_login)
    else:
        rows = world.truth(installation.github_id)[installation.github_id]
    return {
        row["github_id"]: row
        | {"topics": sorted(row["topics"])}
        | {name: parse_time(row[name]) for name in _TIMES}
        for row in rows
    }


def assert_equal_to_truth(world: World, installation: Installation) -> None:
    """The mirror equals GitHub field by field, and its statuses agree."""
    installation.refresh_from_db()
    assert mirrored(installation) == truth(world, installation)
    archived = Repository.objects.filter(installation=installation, status="archived")
    assert {row.github_id for row in archived} == {
        github_id for github_id, row in truth(world, installation).items() if row["archived"]
    }


def mirrored_contents(repository: Repository) -> dict[str, Any]:
    """What the mirror says is in a repository, by GitHub's ids, in the simulator's words."""
    return all_mirrored_contents([repository])[repository.pk]


def all_mirrored_contents(repositories: Iterable[Repository]) -> dict[int, dict[str, Any]]:
    """The same of many repositories, by our ids, in three queries."""
    found: dict[int, dict[str, Any]] = {
        each.pk: {"issues": {}, "pull_requests": {}, "commits": {}} for each in repositories
    }
    for name, model, key, gone, fields in (
        (
            "issues",
            Issue,
            "github_id",
            "removed_at",
            (*ITEM_FIELDS, "github_state", "state_reason"),
        ),
        (
            "pull_requests",
            PullRequest,
            "github_id",
            "removed_at",
            ITEM_FIELDS + PULL_REQUEST_FIELDS,
        ),
        ("commits", Commit, "sha", "dropped_at", COMMIT_FIELDS),
    ):
        rows = model._default_manager.filter(
            **{"repository__in": list(found), f"{gone}__isnull": True}
        )
        for row in rows.values("repository_id", *fields):
            found[row.pop("repository_id")][name][row[key]] = row
    return found


def true_contents(world: World, repository: Repository, limit: int = 1000) -> dict[str, Any]:
    """The same of the simulated GitHub: the newest `limit` commits, all of the rest."""
    truth = world.truth_content(repository.github_id)
    found: dict[str, Any] = {}
    for name in ("issues", "pull_requests"):
        found[name] = {row["github_id"]: _in_our_words(row, name) for row in truth[name]}
    commits = truth["commits"][: limit or None]
    found["commits"] = {row["sha"]: _timed(row, COMMIT_FIELDS) for row in commits}
    return found


def _in_our_words(row: dict[str, Any], entity: str) -> dict[str, Any]:
    renamed = {"created_at": "github_created_at", "updated_at": "github_updated_at"}
    ours = {renamed.get(name, name): value for name, value in row.items()}
    ours["body"] = ours["body"] or None
    fields = (*ITEM_FIELDS, *(PULL_REQUEST_FIELDS if entity == "pull_requests" else ()))
    if entity == "issues":
        ours["github_state"] = ours.pop("state")
        fields = (*fields, "github_state", "state_reason")
    return _timed(ours, fields)


def _timed(row: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: parse_time(row[name]) if name.endswith("_at") else row[name] for name in names}


def assert_contents_equal_truth(
    world: World, installation: Installation, limit: int = 1000
) -> None:
    """Issues, pull requests and commits equal GitHub's, field by field, in every repository."""
    rows = list(Repository.objects.filter(installation=installation, status__in=PRESENT))
    mine = all_mirrored_contents(rows)
    for repository in rows:
        theirs = true_contents(world, repository, limit)
        for entity in theirs:
            assert mine[repository.pk][entity] == theirs[entity], f"{entity} of {repository}"


def roomy(
    world: World, issues: int = 0, pulls: int = 0, commits: int = 0, *, skip: int = 0
) -> Simulated:
    """A repository of the organization that takes changes and holds at least so much."""
    for repository in world.owned(world.account("octo-simulated")):
        content = world.content(repository)
        enough = (
            len(content.issues) >= issues
            and len(content.pull_requests) >= pulls
            and len(content.history(repository.default_branch)) >= commits
        )
        if enough and not repository.archived:
            if not skip:
                return repository
            skip -= 1
    raise AssertionError("There is no such repository.")


def ours(simulated: Simulated) -> Repository:
    """The mirror's row of a simulated repository."""
    return Repository.objects.get(github_id=simulated.id)


def changed(job: SyncJob, *entities: str) -> dict[str, dict[str, int]]:
    """What the run did to issues, pull requests and commits, as far as it did anything."""
    found = {}
    for entity in entities or ("issues", "pull_requests", "commits"):
        counts = job.counts.get(entity, {})
        kept = {name: n for name, n in counts.items() if n and name != "unchanged"}
        if kept:
            found[entity] = kept
    return found


def row_versions(table: str = "syncsvc_repository") -> dict[int, tuple[str, str]]:
    """PostgreSQL's own mark of the last write of each row: equal marks mean no write."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT github_id, xmin::text, ctid::text FROM {table}")
        return {row[0]: (row[1], row[2]) for row in cursor.fetchall()}


def synced_at(job: SyncJob) -> bool:
    """Whether the installation counts as synced by this job."""
    job.installation.refresh_from_db()
    at = job.installation.last_synced_at
    return at is not None and at <= clock.now() and at >= job.created_at
