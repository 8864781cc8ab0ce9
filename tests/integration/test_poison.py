"""One repository whose data makes our own code fail: it is put aside, the others are brought up to date,
and the account's syncs go on."""

from typing import Any

import pytest
from django.db import OperationalError

from reconciliation import content_diff, named, settling
from reconciliation import contents as stage
from reconciliation import poison as poisoned
from syncsvc import content_lists, contents, daily_metrics, mirror
from syncsvc.endings import LeaseLost
from syncsvc.models import (
    EtagEntry,
    Installation,
    Issue,
    Repository,
    RepositoryMetric,
    SyncJob,
)
from syncsvc.simulator import Simulator, World
from tests.support import (
    PRESENT,
    all_mirrored_contents,
    assert_equal_to_truth,
    discover,
    sync,
    true_contents,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.spec("R5.6", "R10.3", "R10.5", "P30"),
]


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=1, repositories=6)


class Bug(Exception):
    """What nobody foresaw."""


def poison(patch: pytest.MonkeyPatch, owner: Any, name: str, is_hit: Any) -> None:
    """`owner.name` fails whenever its first argument is, or holds, what is hit."""
    plain = getattr(owner, name)

    def fails(first: Any, *rest: Any, **more: Any) -> Any:
        if is_hit(first, *rest):
            raise Bug("a list index is out of range")
        return plain(first, *rest, **more)

    patch.setattr(owner, name, fails)


def victim() -> Repository:
    """A repository that holds issues, and is neither the first nor the last."""
    rows = Repository.objects.filter(issues__isnull=False, status="active").distinct()
    return rows.order_by("pk")[1]


def assert_put_aside(job: SyncJob, *, entity: str, operation: str) -> None:
    """The run ended by itself, one failure names what was put aside, and the account is as it was."""
    assert job.status == "partial", job.error
    assert {row["category"] for row in job.failures} == {"unknown"}, job.failures
    assert {row["operation"] for row in job.failures} == {operation}
    assert "failed over what GitHub says" in job.failures[0]["message"]
    assert "index" not in str(job.failures)  # never the text of an exception
    assert job.counts[entity]["errors"] == len(job.failures)
    row = Installation.objects.get(pk=job.installation_id)
    assert (row.breaker_state, row.consecutive_failures, row.action_needed) == ("closed", 0, "")


def assert_all_equal(world: World, installation: Installation, *but: int) -> None:
    rows = Repository.objects.filter(installation=installation, status__in=PRESENT)
    rows = rows.exclude(pk__in=but)
    here = all_mirrored_contents(rows)
    assert {row.pk: here[row.pk] for row in rows} == {
        row.pk: true_contents(world, row) for row in rows
    }


def mend_and_sync(world: World, installation: Installation) -> None:
    """Without the bug everything comes right by itself."""
    EtagEntry.objects.all().delete()
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(world, installation)
    assert_all_equal(world, installation)


@pytest.mark.parametrize("where", ["compare", "write"])
def test_a_repository_of_the_list_that_our_code_fails_over(app_mode: Simulator, where: str) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    changed = list(Repository.objects.filter(status="active").order_by("pk")[:3])
    for row in changed:
        world.edit(row.github_id, description="Changed since")
    hit = changed[1].github_id
    with pytest.MonkeyPatch.context() as patch:
        if where == "compare":
            poison(patch, settling, "compare", lambda row, *_: row.github_id == hit)
        else:
            poison(patch, mirror, "apply", lambda batch, *_: hit in {c.github_id for c in batch})
        EtagEntry.objects.all().delete()
        job = sync(installation)
    assert_put_aside(job, entity="repositories", operation=where)
    assert set(Repository.objects.values_list("status", flat=True)) <= set(PRESENT)
    mend_and_sync(world, installation)


def hits(hit: Issue) -> Any:
    """Whether what is given is the issue, as a row of GitHub's or as an item, or holds it."""

    def is_it(each: Any) -> bool:
        return hit.github_id in (getattr(each, "github_id", None), getattr(each, "key", None))

    return lambda first, *rest: any(
        is_it(each) or (isinstance(each, list | tuple) and any(map(is_it, each)))
        for each in (first, *rest)
    )


@pytest.mark.parametrize("where", ["read", "compare", "write"])
def test_an_issue_that_our_code_fails_over(app_mode: Simulator, where: str) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    row = victim()
    issue = Issue.objects.filter(repository=row, removed_at=None).order_by("pk")[0]
    for each in Repository.objects.filter(status="active"):
        for number in Issue.objects.filter(repository=each, removed_at=None).values_list(
            "number", flat=True
        )[:2]:
            world.edit_issue(each.github_id, number, title="Changed since")
    world.edit_issue(row.github_id, issue.number, title="Poisoned since")
    with pytest.MonkeyPatch.context() as patch:
        owner, name = {
            "read": (stage, "item_of"),
            "compare": (content_diff, "compare"),
            "write": (contents, "write"),
        }[where]
        poison(patch, owner, name, hits(issue))
        job = sync(installation)
    operation = "read issues" if where == "read" else where
    assert_put_aside(job, entity="issues", operation=operation)
    assert_all_equal(world, installation, row.pk)
    issue.refresh_from_db()
    assert (issue.removed_at, issue.title == "Poisoned since") == (None, False)
    titles = set(
        Issue.objects.filter(repository=row, removed_at=None).values_list("title", flat=True)
    )
    assert "Changed since" in titles  # its neighbours were written
    world.edit_issue(row.github_id, issue.number, title="Healed")
    mend_and_sync(world, installation)


def test_figures_that_our_code_fails_over(app_mode: Simulator) -> None:
    world, installation = app_mode.world, discover()
    sync(installation, mode="reconcile")
    hit = Repository.objects.filter(status="active").order_by("pk")[1]
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, daily_metrics, "write", lambda looks, *_: hit.pk in looks)
        job = sync(installation)
    assert_put_aside(job, entity="repository_metrics", operation="measure")
    measured = set(RepositoryMetric.objects.values_list("repository_id", flat=True))
    present = set(
        Repository.objects.filter(status__in=content_lists.READ).values_list("pk", flat=True)
    )
    assert measured == present - {hit.pk}
    mend_and_sync(world, installation)


@pytest.mark.parametrize(
    "error", [LeaseLost("gone"), OperationalError("gone"), OSError("gone"), MemoryError()]
)
def test_what_is_not_the_datas_fault_is_nobodys_poison(error: Exception) -> None:
    assert not poisoned.is_poison(error)


def test_a_run_for_one_repository_that_crashes_says_nothing_of_the_account(
    app_mode: Simulator,
) -> None:
    installation = discover()
    sync(installation)
    with pytest.MonkeyPatch.context() as patch:
        poison(patch, named, "look_back", lambda *_: True)
        for _ in range(6):
            job = sync(installation, mode="repo", repository=victim().full_name)
            assert (job.status, job.error_category) == ("failed", "unknown")
    installation.refresh_from_db()
    assert (installation.breaker_state, installation.consecutive_failures) == ("closed", 0)
    assert sync(installation).status == "succeeded"
