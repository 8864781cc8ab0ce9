"""Runs that read what repositories hold: how much they read, and that every change is found."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from pytest_django import Settings

from syncsvc import clock, leases
from syncsvc.models import (
    Commit,
    ContentList,
    Installation,
    Issue,
    PullRequest,
    Repository,
    RepositoryMetric,
)
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.content import Label
from syncsvc.simulator.records import Repository as Simulated
from tests.support import (
    assert_contents_equal_truth,
    assert_equal_to_truth,
    changed,
    discover,
    mirrored_contents,
    ours,
    roomy,
    sync,
    true_contents,
)

pytestmark = pytest.mark.django_db(transaction=True)

TABLES = ("repository", "issue", "pullrequest", "commit", "contentlist", "repositorymetric")
LATER = timedelta(minutes=15)
DAY = 86_400


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(seed=1, repositories=8)


def marks(*tables: str) -> dict[str, list[tuple[int, str, str]]]:
    """PostgreSQL's own mark of the last write of each row of the mirror: equal marks, no write."""
    found = {}
    with connection.cursor() as cursor:
        for table in tables or TABLES:
            cursor.execute(f"SELECT id, xmin::text, ctid::text FROM syncsvc_{table} ORDER BY id")
            found[table] = cursor.fetchall()
    return found


def assert_equal(world: World, installation: Installation, limit: int = 1000) -> None:
    assert_equal_to_truth(world, installation)
    assert_contents_equal_truth(world, installation, limit)


# --- modes ----------------------------------------------------------------------------------------


@pytest.fixture
def large(settings: Settings) -> Iterator[Simulator]:
    """An organization of 180 repositories: about 1,100 issues, 700 pull requests, 5,400 commits."""
    with Simulator(World.generate(seed=5, repositories=180, commits_per_repository=30)) as running:
        settings.GITHUB_API_URL = running.url
        settings.GITHUB_APP_ID = str(running.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = running.private_key_pem
        yield running


@pytest.mark.spec("R4.4", "R5.5", "P38")
def test_a_large_account_is_read_with_few_requests_and_only_once(large: Simulator) -> None:
    installation, world = discover(), large.world
    first = sync(installation)
    assert (first.status, first.failures) == ("succeeded", [])
    assert first.api["requests"] <= 30
    assert first.api["graphql_points"] <= 120
    made = {entity: counts["created"] for entity, counts in first.counts.items()}
    assert made == {
        "repositories": 180,
        "issues": 1080,
        "pull_requests": 720,
        "commits": 5400,
        "repository_metrics": 180,
    }
    before = marks()
    for mode, trigger in (("full", "manual"), ("incremental", "cron")):
        again = sync(installation, trigger, mode=mode)
        assert again.status == "succeeded"
        assert again.api["requests"] <= 4
        assert {
            (name, n) for counts in again.counts.values() for name, n in counts.items() if n
        } == {("unchanged", n) for n in (180, 1080, 720, 5400)}
    assert marks() == before
    # One repository of a hundred changes.
    one, other = roomy(world, 3, 1, 5), roomy(world, 3, 1, 5, skip=1)
    world.open_issue(one.id, "New")
    world.push_commits(one.id, 3)
    world.comment(other.id, world.content(other).pull_requests[0].number)
    job = sync(installation, "cron", mode="incremental")
    assert job.status == "succeeded"
    assert job.api["requests"] <= 8
    assert changed(job) == {
        "issues": {"created": 1},
        "pull_requests": {"updated": 1},
        "commits": {"created": 3},
    }
    assert_equal(world, installation)


@pytest.mark.spec("R5.5")
def test_a_run_for_one_repository_reads_all_of_it_and_nothing_else(app_mode: Simulator) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    one, other = roomy(world, 2, 1, 3), roomy(world, 2, 1, 3, skip=1)
    for each in (one, other):
        world.edit_issue(each.id, world.content(each).issues[0].number, title="Edited")
        world.push_commits(each.id, 2)
    row, untouched = ours(one), ours(other)
    before = mirrored_contents(untouched)
    others = {
        name: [mark for mark in found if mark[0] != row.pk] for name, found in marks().items()
    }
    app_mode.reset_log()
    job = sync(installation, mode="repo", repository=row.full_name)
    assert job.status == "succeeded"
    assert changed(job) == {"issues": {"updated": 1}, "commits": {"created": 2}}
    assert mirrored_contents(row) == true_contents(world, row)
    assert mirrored_contents(untouched) == before
    assert others["repository"] == [mark for mark in marks()["repository"] if mark[0] != row.pk]
    assert {each.path for each in app_mode.log} == {f"/repos/{row.full_name}", "/graphql"}
    assert job.api["requests"] == len(app_mode.log) <= 3
    assert ContentList.objects.filter(whole_at=job.started_at).count() in (0, 3)
    assert sync(installation, "cron", mode="incremental").status == "succeeded"
    assert_equal(world, installation)


@pytest.mark.spec("R5.5")
def test_a_reconciliation_of_the_list_reads_no_contents(app_mode: Simulator) -> None:
    world, installation = app_mode.world, discover()
    job = sync(installation, mode="reconcile")
    assert (job.status, list(job.counts)) == ("succeeded", ["repositories"])
    assert not Issue.objects.exists()
    sync(installation)
    one = roomy(world, 2)
    world.open_issue(one.id, "New")
    before = marks(*TABLES[1:])
    app_mode.reset_log()
    job = sync(installation, mode="reconcile")
    assert job.status == "succeeded"
    assert not app_mode.requests("/graphql")
    assert marks(*TABLES[1:]) == before


@pytest.mark.spec("R5.5", "R7.5")
def test_a_first_dry_run_says_what_it_would_do_and_does_nothing(app_mode: Simulator) -> None:
    installation = discover()
    job = sync(installation, dry_run=True)
    assert job.status == "succeeded"
    assert job.counts["repositories"]["created"] == 8
    assert marks() == {table: [] for table in TABLES}


@pytest.mark.spec("R5.5", "R7.5")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_dry_run_says_what_it_would_do_and_does_nothing(app_mode: Simulator, mode: str) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    one, other = roomy(world, 3, 1, 5), roomy(world, 2, 0, 3, skip=1)
    issues = world.content(one).issues
    gone, edited = issues[0], issues[-1]
    world.delete_issue(one.id, gone.number)
    world.edit_issue(one.id, edited.number, title="Edited")
    world.open_issue(one.id, "New")
    world.push_commits(one.id, 2)
    world.force_push(other.id, drop=1, add=1)
    before = marks()
    job = sync(installation, dry_run=True, mode=mode)
    assert job.status == "succeeded"
    assert changed(job) == {
        "issues": {"created": 1, "updated": 1, "deleted": 1},
        "commits": {"created": 3, "deleted": 1},
    }
    planned = [(each["entity"], each["operation"]) for each in job.plan if "entity" in each]
    assert sorted(planned) == [
        ("commits", "create"),
        ("commits", "create"),
        ("commits", "create"),
        ("commits", "delete"),
        ("issues", "create"),
        ("issues", "delete"),
        ("issues", "update"),
    ]
    [update] = [each for each in job.plan if each["operation"] == "update" and "entity" in each]
    assert update["after"]["title"] == "Edited"
    assert update["before"]["title"] == Issue.objects.get(github_id=edited.id).title
    assert marks() == before
    real = sync(installation, "cron", mode=mode)
    assert changed(real) == changed(job)
    assert_equal(world, installation)


# --- what changes at GitHub -----------------------------------------------------------------------

Change = Callable[[World], None]
CHANGES: dict[str, tuple[Change, dict[str, dict[str, int]]]] = {}


def change(**counts: dict[str, int]) -> Callable[[Change], Change]:
    """A change, and what a run does about it."""

    def add(what: Change) -> Change:
        CHANGES[what.__name__] = (what, counts)
        return what

    return add


def an_issue(world: World, state: str = "open") -> tuple[int, int]:
    """The ids of a repository and the number of one of its issues that is in that state."""
    for repository in world.owned(world.account("octo-simulated")):
        for issue in world.content(repository).issues:
            if issue.state == state and not repository.archived:
                return repository.id, issue.number
    raise AssertionError("There is no such issue.")


def a_pull_request(world: World, state: str = "open") -> tuple[int, int]:
    for repository in world.owned(world.account("octo-simulated")):
        for pull in world.content(repository).pull_requests:
            if pull.state == state and not repository.archived and not pull.draft:
                return repository.id, pull.number
    raise AssertionError("There is no such pull request.")


@change(issues={"created": 1})
def issue_opened(world: World) -> None:
    world.open_issue(
        roomy(world, 1).id, "New", body="\N{BUG}", labels=["security", "critical"], assignees=[]
    )


@change(issues={"updated": 1})
def issue_edited(world: World) -> None:
    world.edit_issue(*an_issue(world), title="Edited", body=None)


@change(issues={"updated": 1})
def issue_closed(world: World) -> None:
    world.close_issue(*an_issue(world), "duplicate")


@change(issues={"updated": 1})
def issue_reopened(world: World) -> None:
    world.reopen_issue(*an_issue(world, "closed"))


@change(issues={"updated": 1})
def issue_labelled_and_assigned(world: World) -> None:
    repository, number = an_issue(world)
    world.label(repository, number, "severity: brand new")
    world.assign(repository, number, world.contents.people[0].login)


@change(issues={"created": 1, "deleted": 1})
def issue_transferred_to_another_of_ours(world: World) -> None:
    repository, number = an_issue(world)
    target = next(r for r in (roomy(world), roomy(world, skip=1)) if r.id != repository)
    world.transfer_issue(repository, number, target.id)


@change(issues={"deleted": 1})
def issue_deleted(world: World) -> None:
    world.delete_issue(*an_issue(world))


@change(issues={"deleted": 1})
def issue_deleted_that_answers_404(world: World) -> None:
    world.deleted_issue_status = 404
    world.delete_issue(*an_issue(world))


@change(issues={"created": 1, "deleted": 1})
def one_issue_deleted_and_another_opened(world: World) -> None:
    repository, number = an_issue(world)
    world.delete_issue(repository, number)
    world.open_issue(repository, "Its count is the same")


@change(issues={"deleted": 1, "updated": 1})
def one_issue_deleted_and_another_edited(world: World) -> None:
    repository = roomy(world, 3)
    one, *_, other = world.content(repository).issues
    world.delete_issue(repository.id, one.number)
    world.edit_issue(repository.id, other.number, title="Edited")


@change(issues={"created": 2, "deleted": 2})
def two_issues_deleted_and_two_opened(world: World) -> None:
    repository = roomy(world, 3)
    for issue in world.content(repository).issues[:2]:
        world.delete_issue(repository.id, issue.number)
        world.open_issue(repository.id, "Its count is the same")


@change(pull_requests={"created": 1})
def pull_request_opened(world: World) -> None:
    world.open_pull_request(roomy(world, commits=1).id, "New", draft=True)


@change(pull_requests={"updated": 1}, commits={"created": 1})
def pull_request_merged(world: World) -> None:
    world.merge_pull_request(*a_pull_request(world))


@change(pull_requests={"updated": 1})
def pull_request_closed(world: World) -> None:
    world.close_pull_request(*a_pull_request(world))


@change(pull_requests={"updated": 1})
def pull_request_edited_and_pushed_to(world: World) -> None:
    repository, number = a_pull_request(world)
    world.edit_pull_request(repository, number, body="Other words")
    world.synchronize_pull_request(repository, number)


@change(commits={"created": 3})
def commits_pushed(world: World) -> None:
    world.push_commits(roomy(world, commits=1).id, 3)


@change(commits={"created": 4})
def commits_pushed_with_old_dates(world: World) -> None:
    world.push_commits(roomy(world, commits=5).id, 4, age=4_000 * DAY)


@change(commits={"created": 70})
def more_commits_pushed_than_are_read_beyond_the_new_ones(world: World) -> None:
    world.push_commits(roomy(world, commits=5).id, 70)


@change(commits={"deleted": 3, "created": 1})
def branch_forced_back(world: World) -> None:
    world.force_push(roomy(world, commits=5).id, drop=3, add=1)


@change(commits={"deleted": 2})
def commits_taken_off_the_branch(world: World) -> None:
    world.force_push(roomy(world, commits=5).id, drop=2, add=0)


@change(commits={"deleted": 2, "created": 5})
def branch_forced_to_a_longer_history_with_old_dates(world: World) -> None:
    world.force_push(roomy(world, commits=5).id, drop=2, add=5, age=2_000 * DAY)


@change(commits={"created": 2})
def empty_repository_got_its_first_commits(world: World) -> None:
    owned = world.owned(world.account("octo-simulated"))
    empty = next(r for r in owned if not world.content(r).branches and not r.archived)
    world.push_commits(empty.id, 2)


@pytest.mark.spec("R5.2", "R5.3", "R5.5", "R7.2", "P38")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_every_change_is_found_by_the_next_run(app_mode: Simulator, mode: str) -> None:
    world, installation, began = app_mode.world, discover(), clock.now()
    world.create("octo-simulated", "without-commits")
    sync(installation)
    for number, (name, (what, counts)) in enumerate(CHANGES.items(), 1):
        # So far apart that no list is read only because it changed just before it was read.
        with time_machine.travel(began + number * LATER):
            what(world)
        with time_machine.travel(began + number * LATER + LATER / 2):
            job = sync(installation, "cron", mode=mode)
            assert (name, job.status, job.failures) == (name, "succeeded", [])
            assert (name, changed(job)) == (name, counts)
            assert_equal(world, installation)
    with time_machine.travel(began + (number + 1) * LATER):
        before = marks("issue", "pullrequest", "commit", "contentlist")
        assert changed(sync(installation, "cron", mode=mode)) == {}
        assert marks("issue", "pullrequest", "commit", "contentlist") == before


# --- changes that no time and no count tells of ---------------------------------------------------


@pytest.mark.spec("R5.5")
def test_a_label_that_was_renamed_is_found_by_reading_all_of_it(app_mode: Simulator) -> None:
    world, installation, began = app_mode.world, discover(), clock.now()
    sync(installation)
    one, other = roomy(world, 2), roomy(world, 2, skip=1)
    for each in (one, other):
        issue = next(i for i in world.content(each).issues)
        issue.labels = (Label(1, "renamed", "ededed", None, default=False),)
        world.content(each).changed()
    for mode in ("full", "incremental"):
        assert changed(sync(installation, "cron", mode=mode)) == {}
    job = sync(installation, mode="repo", repository=world.full_name(one))
    assert changed(job) == {"issues": {"updated": 1}}
    assert mirrored_contents(ours(one)) == true_contents(world, ours(one))
    # After a day, give or take a quarter, proofs have ended.
    with time_machine.travel(began + timedelta(hours=31)):
        job = sync(installation, "cron", mode="incremental")
    assert changed(job) == {"issues": {"updated": 1}}
    assert_equal(world, installation)


@pytest.mark.spec("R5.5")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_a_second_edit_within_the_second_of_the_run_is_found(
    app_mode: Simulator, mode: str
) -> None:
    world, installation = app_mode.world, discover()
    world.ties = True
    one = roomy(world, 2, 1)
    issue, pull = world.content(one).issues[0], world.content(one).pull_requests[0]
    moment = clock.now().replace(microsecond=0)
    with time_machine.travel(moment, tick=False):
        world.edit_issue(one.id, issue.number, title="First")
        world.edit_pull_request(one.id, pull.number, title="First")
        sync(installation)
        world.edit_issue(one.id, issue.number, title="Second")
        world.edit_pull_request(one.id, pull.number, title="Second")
    assert issue.updated_at == pull.updated_at == int(moment.timestamp())
    job = sync(installation, "cron", mode=mode)
    assert changed(job) == {"issues": {"updated": 1}, "pull_requests": {"updated": 1}}
    assert_equal(world, installation)


# --- branches -------------------------------------------------------------------------------------


def present(simulated: Simulated) -> list[str]:
    """The shas that the mirror says are on the branch, newest first as GitHub lists them."""
    rows = Commit.objects.filter(repository__github_id=simulated.id, dropped_at__isnull=True)
    return sorted(rows.values_list("sha", flat=True))


def newest(world: World, simulated: Simulated, count: int | None = None) -> list[str]:
    """GitHub's newest commits."""
    history = world.content(simulated).history(simulated.default_branch)[:count]
    return sorted(commit.sha for commit in history)


@pytest.mark.spec("R5.3")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_commits_that_a_forced_push_dropped_are_marked_and_may_come_back(
    app_mode: Simulator, mode: str
) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    one = roomy(world, commits=5)
    history = list(world.content(one).branches[one.default_branch])
    world.force_push(one.id, drop=3, add=1)
    sync(installation, "cron", mode=mode)
    dropped = Commit.objects.filter(dropped_at__isnull=False)
    assert {row.sha for row in dropped} == {commit.sha for commit in history[-3:]}
    row = ContentList.objects.get(repository=ours(one), entity="commits")
    assert (row.count, row.mirrored) == (len(history) - 2, len(history) - 2)
    metric = RepositoryMetric.objects.get(repository=ours(one))
    assert metric.commits == len(history) - 2
    world.content(one).branches[one.default_branch] = history
    world.content(one).changed()
    job = sync(installation, "cron", mode=mode)
    assert changed(job) == {"commits": {"updated": 3, "deleted": 1}}
    assert_equal(world, installation)


@pytest.mark.spec("R5.3")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_another_default_branch_and_none_at_all(app_mode: Simulator, mode: str) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    one = roomy(world, commits=5)
    content, old = world.content(one), one.default_branch
    world.set_default_branch(one.id, "next")
    assert changed(sync(installation, "cron", mode=mode)) == {}
    world.force_push(one.id, drop=2, add=1)
    sync(installation, "cron", mode=mode)
    world.set_default_branch(one.id, old)
    job = sync(installation, "cron", mode=mode)
    assert changed(job) == {"commits": {"updated": 2, "deleted": 1}}
    assert_equal(world, installation)
    kept = dict(content.branches)
    content.branches.clear()
    content.changed()
    count = len(kept[old])
    assert changed(sync(installation, "cron", mode=mode)) == {"commits": {"deleted": count}}
    assert_equal(world, installation)
    assert ContentList.objects.get(repository=ours(one), entity="commits").count == 0
    content.branches.update(kept)
    content.changed()
    assert changed(sync(installation, "cron", mode=mode)) == {"commits": {"updated": count}}
    assert_equal(world, installation)


@pytest.mark.spec("R5.3")
def test_only_the_newest_commits_are_mirrored_and_all_are_counted(
    app_mode: Simulator, tune: Any
) -> None:
    world, installation = app_mode.world, discover()
    one = roomy(world, commits=9)
    for limit in (5, 7, 0):  # asked for more each time
        tune(manual_cooldown_seconds=0, commit_limit=limit)
        assert sync(installation).status == "succeeded"
        assert_equal(world, installation, limit)
        row = ContentList.objects.get(repository=ours(one), entity="commits")
        assert (row.count, row.mirrored) == (len(newest(world, one)), len(present(one)))


@pytest.mark.spec("R5.3")
def test_a_lower_limit_is_obeyed_by_the_next_full_run(app_mode: Simulator, tune: Any) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    tune(manual_cooldown_seconds=0, commit_limit=5)
    sync(installation)
    assert_equal(world, installation, 5)


@pytest.mark.spec("R5.3")
def test_a_lower_limit_is_obeyed_when_the_list_is_read_whole(
    app_mode: Simulator, tune: Any
) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    tune(manual_cooldown_seconds=0, commit_limit=5)
    with time_machine.travel(clock.now() + timedelta(hours=31)):
        assert sync(installation).status == "succeeded"
    assert_equal(world, installation, 5)
    assert not Commit.objects.filter(dropped_at__isnull=False).exists()


@pytest.mark.spec("R5.3")
@pytest.mark.parametrize("age", [0, 4_000 * DAY])
def test_commits_that_newer_ones_pushed_out_of_the_window_were_not_dropped(
    app_mode: Simulator, tune: Any, age: int
) -> None:
    tune(manual_cooldown_seconds=0, commit_limit=5)
    world, installation = app_mode.world, discover()
    sync(installation)
    one = roomy(world, commits=9)
    world.push_commits(one.id, 2, age=age)
    assert sync(installation).status == "succeeded"
    assert_equal(world, installation, 5)
    assert not Commit.objects.filter(dropped_at__isnull=False).exists()
    row = ContentList.objects.get(repository=ours(one), entity="commits")
    assert (row.count, row.mirrored) == (len(newest(world, one)), 5)


@pytest.mark.spec("R5.3")
def test_a_limit_holds_while_single_pushes_come_in(app_mode: Simulator, tune: Any) -> None:
    tune(manual_cooldown_seconds=0, commit_limit=5)
    world, installation = app_mode.world, discover()
    sync(installation)
    one = roomy(world, commits=9)
    for count in (1, 3, 8):
        world.push_commits(one.id, count)
        assert sync(installation, "cron", mode="incremental").status == "succeeded"
        assert set(newest(world, one, 5)) <= set(present(one)) <= set(newest(world, one))
    world.force_push(one.id, drop=2, add=1)
    sync(installation, "cron", mode="incremental")
    assert set(newest(world, one, 5)) <= set(present(one)) <= set(newest(world, one))
    world.push_commits(one.id)
    sync(installation)
    assert_equal(world, installation, 5)


# --- identities and repositories ------------------------------------------------------------------


@pytest.mark.spec("R5.2", "R5.3")
def test_numbers_beyond_32_bits(app_mode: Simulator) -> None:
    world, installation = app_mode.world, discover()
    wide = world.create("octo-simulated", "wide", repository_id=2**40)
    world.push_commits(wide.id, 2)
    issue, pull = world.open_issue(wide.id, "Wide"), world.open_pull_request(wide.id, "Wide")
    issue.id, pull.pull_id = 2**62 + 1, 2**62 + 2
    world.content(wide).changed()
    assert sync(installation).status == "succeeded"
    assert Issue.objects.get(github_id=2**62 + 1).number == issue.number
    assert PullRequest.objects.get(github_id=2**62 + 2).number == pull.number
    assert_equal(world, installation)


@pytest.mark.spec("R5.1", "R5.5")
@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_repositories_that_were_renamed_archived_swapped_and_deleted(
    app_mode: Simulator, mode: str
) -> None:
    world, installation = app_mode.world, discover()
    sync(installation)
    a, b, c, d, e = (roomy(world, 1, skip=n) for n in range(5))
    world.open_issue(a.id, "Before the name")
    world.rename(a.id, "another-name")
    world.edit_issue(b.id, world.content(b).issues[0].number, title="Edited")
    world.archive(b.id)
    world.swap_names(c.id, d.id)
    world.open_issue(c.id, "New")
    world.delete(e.id)
    assert sync(installation, "cron", mode=mode).status == "succeeded"
    assert_equal(world, installation)
    assert Repository.objects.get(github_id=e.id).status == "deleted"
    before = marks("issue", "pullrequest", "commit")
    world.create("octo-simulated", e.name)
    sync(installation, "cron", mode=mode)
    assert marks("issue", "pullrequest", "commit") == before
    assert_equal(world, installation)


@pytest.mark.spec("R5.2", "R7.2")
@pytest.mark.parametrize("visibility", ["public", "private"])
def test_an_issue_that_went_where_we_do_not_look(app_mode: Simulator, visibility: Any) -> None:
    world, installation = app_mode.world, discover()
    hidden = world.create("octo-simulated", "hidden", visibility=visibility)
    shown = [r.id for r in world.owned(world.account("octo-simulated")) if r.id != hidden.id]
    world.select_repositories(installation.github_id, shown)
    sync(discover())
    repository, number = an_issue(world)
    world.transfer_issue(repository, number, hidden.id)
    job = sync(installation, "cron", mode="incremental")
    assert (job.status, changed(job)) == ("succeeded", {"issues": {"deleted": 1}})
    assert_equal(world, installation)
    row = Issue.objects.get(removed_at__isnull=False)
    expected = {"public": ["transferred"], "private": ["deleted", "transferred"]}
    assert row.removal in expected[visibility]


# --- progress and verification --------------------------------------------------------------------


@pytest.mark.spec("R5.7", "R8.1", "P1", "P15")
def test_progress_and_verification_of_contents(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    world, installation = app_mode.world, discover()
    told: list[tuple[str, int, int | None, str]] = []
    plain = leases.Lease.progress

    def listen(
        lease: leases.Lease,
        stage: str,
        current: int = 0,
        total: int | None = None,
        item: str = "",
    ) -> None:
        told.append((stage, current, total, item))
        plain(lease, stage, current, total, item)

    monkeypatch.setattr(leases.Lease, "progress", listen)
    monkeypatch.setattr(leases, "PROGRESS_SECONDS", 0.0)
    job = sync(installation)
    for stage in {each[0] for each in told}:
        seen = [(current, total) for name, current, total, _ in told if name == stage]
        assert [current for current, _ in seen] == sorted(current for current, _ in seen), stage
        assert all(total is None or current <= total for current, total in seen), stage
    reading = [each for each in told if each[0] == "reading contents"]
    assert reading[0][1:3] == (0, 8)
    assert reading[-1][1:3] == (8, 8)
    names = {world.full_name(r) for r in world.owned(world.account("octo-simulated"))}
    assert {each[3] for each in reading} == names | {""}
    assert (job.stage, job.total) != ("", None)
    verified = job.verification["contents"]
    assert {(entity, found["missing"]) for entity, found in verified.items()} == {
        ("issues", 0), ("pull_requests", 0), ("commits", 0),
    }  # fmt: skip
