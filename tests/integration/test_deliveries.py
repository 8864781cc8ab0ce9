"""What deliveries do to the mirror: in order, out of order, twice, late, and when they are odd."""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from pytest_django import Settings

from reconciliation import deliveries, repositories, settling
from syncsvc import clock, contents, discovery, rechecks, scheduling
from syncsvc.models import (
    Commit,
    ContentList,
    Delivery,
    Installation,
    Issue,
    PullRequest,
    Recheck,
    Repository,
    SyncJob,
)
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from syncsvc.simulator.records import Repository as Simulated
from tests.contract import contract_dir
from tests.support import (
    assert_contents_equal_truth,
    assert_equal_to_truth,
    discover,
    ours,
    roomy,
    row_versions,
    run,
    sync,
)
from tests.webhook_support import Post, arrive, outcomes

pytestmark = pytest.mark.django_db

NOW = datetime(2027, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def world() -> World:
    return World.generate(
        seed=3,
        repositories=6,
        issues_per_repository=4,
        pull_requests_per_repository=2,
        commits_per_repository=4,
    )


@pytest.fixture
def time() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def octo(time: time_machine.Traveller, app_mode: Simulator) -> Installation:
    """The organization, mirrored an hour ago."""
    installation = discover()
    assert sync(installation, mode="full").status == "succeeded"
    time.shift(3600)
    app_mode.reset_log()
    return installation


@pytest.fixture
def post(octo: Installation, world: World) -> Post:
    return Post(world)


def work() -> list[SyncJob]:
    """Runs every job that waits."""
    ran = []
    while job := SyncJob.objects.filter(status="queued").first():
        ran.append(run(job.pk))
    return ran


def equal(world: World, installation: Installation) -> None:
    assert_equal_to_truth(world, installation)
    assert_contents_equal_truth(world, installation)


def everywhere(world: World) -> list[Simulated]:
    return world.owned(world.account("octo-simulated"))


# -- what carries the full object ------------------------------------------------------------------


@pytest.mark.spec("R6.3")
def test_full_objects_update_the_mirror_without_a_request(
    octo: Installation, post: Post, world: World, app_mode: Simulator, time: time_machine.Traveller
) -> None:
    repository = roomy(world, issues=2, pulls=1)
    numbers = [item.number for item in world.content(repository).issues]
    pull = next(p for p in world.content(repository).pull_requests if p.state == "open")
    steps: list[Callable[[], object]] = [
        lambda: world.edit_issue(repository.id, numbers[0], title="Other words"),
        lambda: world.open_issue(repository.id, "A new one"),
        lambda: world.edit_pull_request(repository.id, pull.number, title="Another title"),
        lambda: world.rename(repository.id, "renamed"),
        lambda: world.edit(repository.id, description="Now described"),
        lambda: world.archive(repository.id),
        lambda: world.unarchive(repository.id),
        lambda: world.privatize(repository.id),
    ]
    for step in steps:
        time.shift(10)
        step()
        assert set(outcomes(post.deliver())) <= {"updated", "unchanged"}
        equal(world, octo)
    assert app_mode.requests() == []
    assert not Recheck.objects.exists()
    assert ours(repository).changed_by == "webhook"
    assert Delivery.objects.filter(status="received").count() == 0


@pytest.mark.spec("R6.3", "P37", "P38")
def test_the_same_again_writes_nothing(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world)
    time.shift(5)
    world.open_issue(repository.id, "Once")
    sent = post.take()
    post.deliver(sent)
    before = (row_versions(), row_versions("syncsvc_issue"))
    assert {arrive(e.event, e.body, e.guid) for e in sent} == {"seen"}
    for event in sent:  # by another hook, and so another delivery of the same event
        assert arrive(event.event, event.body, event.guid, hook_id=2) == "accepted"
    time.shift(5)
    assert deliveries.drain() == len(sent)
    assert (row_versions(), row_versions("syncsvc_issue")) == before
    assert set(outcomes(Delivery.objects.filter(hook_id=2))) == {"unchanged"}


@pytest.mark.spec("R6.3")
def test_many_webhooks_of_one_repository_become_one_write(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    django_assert_max_num_queries: "object",
) -> None:
    repository = roomy(world, issues=1)
    number = world.content(repository).issues[0].number
    for step in range(40):
        time.shift(2)
        world.edit_issue(repository.id, number, title=f"Title {step}")
    before = ours(repository).version
    sent = post.take()
    random.Random(1).shuffle(sent)
    for event in sent:
        arrive(event.event, event.body, event.guid)
    with django_assert_max_num_queries(40):  # type: ignore[operator]  # a fixture without a type
        deliveries.drain()
    assert ours(repository).version == before + 1
    found = outcomes(Delivery.objects.order_by("pk"))
    assert (found.count("updated"), found.count("stale")) == (1, 39)
    equal(world, octo)


@pytest.mark.spec("R6.3", "P41")
@pytest.mark.parametrize("seed", range(6))
def test_no_order_moves_the_mirror_back(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    seed: int,
) -> None:
    """Each event in a batch of its own, shuffled; ties and timeless events are settled by reading."""
    repository = roomy(world, issues=2)
    other = next(r for r in everywhere(world) if r.id != repository.id and not r.archived)
    chance = random.Random(seed)
    number = world.content(repository).issues[0].number
    steps: list[Callable[[], object]] = [
        lambda: world.edit_issue(repository.id, number, title=f"T{chance.random()}"),
        lambda: world.close_issue(repository.id, number),
        lambda: world.reopen_issue(repository.id, number),
        lambda: world.open_issue(repository.id, "New"),
        lambda: world.rename(repository.id, "first-name"),
        lambda: world.rename(repository.id, "second-name"),
        lambda: world.label(repository.id, number, "bug"),
        lambda: world.edit(repository.id, description=f"D{chance.random()}"),
        lambda: world.transfer_issue(repository.id, number, other.id),
    ]
    for step in steps:
        time.shift(chance.choice((0, 0, 1, 5)))
        step()
    sent = post.take()
    chance.shuffle(sent)
    for event in sent:
        time.shift(1)
        post.deliver([event])
    assert all(job.status == "succeeded" for job in work())
    time.shift(15)
    scheduling.request_rechecks()
    work()
    equal(world, octo)
    assert not Recheck.objects.exists()


# -- what only GitHub can tell ---------------------------------------------------------------------


@pytest.mark.spec("R5.3", "R6.3")
def test_pushes_of_many_repositories_are_read_in_two_requests(
    octo: Installation,
    post: Post,
    world: World,
    app_mode: Simulator,
    time: time_machine.Traveller,
) -> None:
    pushed = [r for r in everywhere(world) if not r.archived]
    for repository in pushed:
        for _ in range(3):
            time.shift(2)
            world.push_commits(repository.id, 2)
    post.deliver()
    assert Recheck.objects.count() == len(pushed) > 3
    [job] = work()
    assert (job.mode, job.trigger, job.status) == ("recheck", "webhook", "succeeded")
    assert len([e for e in app_mode.requests() if "access_tokens" not in e.path]) <= 2
    equal(world, octo)
    assert not Recheck.objects.exists()


@pytest.mark.spec("R6.3")
def test_a_burst_is_believed_at_once_and_confirmed_once_when_it_is_over(
    octo: Installation, post: Post, world: World, app_mode: Simulator, time: time_machine.Traveller
) -> None:
    repository = roomy(world)
    time.shift(5)
    for _ in range(6):
        world.open_issue(repository.id, "One of many")
        time.shift(1)
        assert set(outcomes(post.deliver())) <= {"updated"}
    equal(world, octo)
    assert not app_mode.requests()
    time.shift(10)
    scheduling.request_rechecks()
    assert [job.mode for job in work()] == ["recheck"]
    assert not Recheck.objects.exists()
    equal(world, octo)


@pytest.mark.spec("R5.3", "R6.3")
def test_of_two_pushes_of_one_second_neither_hides_the_other(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world)
    time.shift(5)
    world.push_commits(repository.id, 1)
    first = post.take()
    sync(octo, "cron", mode="incremental")  # has read the first, and not the second
    world.push_commits(repository.id, 1)
    second = post.take()
    post.deliver([*second, *first])
    work()
    assert_contents_equal_truth(world, octo)


@pytest.mark.spec("R5.3")
def test_a_forced_push_drops_commits(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world, commits=4)
    time.shift(5)
    world.force_push(repository.id, 2, 1)
    post.deliver()
    work()
    equal(world, octo)
    assert Commit.objects.filter(repository=ours(repository), dropped_at__isnull=False).count() == 2


@pytest.mark.spec("R5.3", "R6.3")
def test_another_default_branch_is_another_history(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world, commits=3)
    time.shift(5)
    world.set_default_branch(repository.id, "trunk")
    time.shift(5)
    world.force_push(repository.id, 2, 1)
    edited = [event for event in post.take() if event.event == "repository"]
    post.deliver(edited)  # the push itself is lost
    work()
    assert_contents_equal_truth(world, octo)


@pytest.mark.spec("R6.3")
def test_two_changes_within_one_second_are_settled_by_reading(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world, issues=1)
    number = world.content(repository).issues[0].number
    time.shift(5)
    world.edit_issue(repository.id, number, title="First")
    world.edit_issue(repository.id, number, title="Second")
    first, second = (event.payload for event in post.take())
    # The simulated GitHub keeps its times apart; the real one does not.
    first["issue"]["updated_at"] = second["issue"]["updated_at"]
    first["repository"] = second["repository"]
    arrive("issues", second, "second")
    deliveries.drain()
    arrive("issues", first, "first")
    deliveries.drain()
    assert Delivery.objects.get(guid="first").outcome == "recheck"
    assert Issue.objects.get(repository=ours(repository), number=number).title == "Second"
    work()
    equal(world, octo)


@pytest.mark.spec("R6.3", "R7.5")
def test_a_run_that_read_before_a_webhook_of_the_same_second_asks_again(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = roomy(world, issues=1)
    number = world.content(repository).issues[0].number
    time.shift(5)
    world.edit_issue(repository.id, number, title="As it was read")
    [edited] = post.take()
    plain = contents.read

    def overtaken(entity: Any, keys: Any) -> Any:
        if entity == "issues":
            monkeypatch.setattr(contents, "read", plain)
            time.shift(1)
            told = edited.payload
            told["issue"]["title"] = "As a webhook told of the same second"
            arrive("issues", told, "told")
            deliveries.drain()
        return plain(entity, keys)

    monkeypatch.setattr(contents, "read", overtaken)
    sync(octo, mode="repo", repository=world.full_name(repository))
    assert Issue.objects.get(github_id=edited.payload["issue"]["id"]).title.startswith(
        "As a webhook"
    )
    assert Recheck.objects.get().reason == "tie"
    time.shift(60)
    scheduling.request_rechecks()
    work()
    equal(world, octo)


@pytest.mark.spec("R6.3", "R7.5")
def test_a_list_that_is_older_than_a_webhook_does_not_undo_it(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = roomy(world)
    time.shift(5)
    plain = settling.settle
    # Without this the webhook would leave it to GitHub, because a list is being read.
    monkeypatch.setattr(deliveries, "_listed_until", lambda *_: None)

    def overtaken(running: Any, rows: Any) -> None:
        monkeypatch.setattr(repositories, "settle", plain)
        time.shift(5)
        world.archive(repository.id)
        post.deliver()
        plain(running, rows)

    monkeypatch.setattr(repositories, "settle", overtaken)
    sync(octo, mode="reconcile")
    assert not SyncJob.objects.filter(status="queued").exists()
    equal(world, octo)


@pytest.mark.spec("R6.3")
def test_a_webhook_that_comes_while_the_list_is_read_is_settled_afterwards(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository = roomy(world)
    plain = settling.settle

    def overtaken(running: Any, rows: Any) -> None:
        monkeypatch.setattr(repositories, "settle", plain)
        time.shift(5)
        world.archive(repository.id)
        [told] = post.deliver()
        assert told.outcome == "recheck"
        plain(running, rows)

    monkeypatch.setattr(repositories, "settle", overtaken)
    sync(octo, mode="reconcile")
    assert [job.mode for job in work()] == ["recheck"]
    equal(world, octo)


@pytest.mark.spec("R3.2", "P14")
def test_a_sync_that_is_asked_for_during_a_recheck_runs_after_it(octo: Installation) -> None:
    asked = [Asked(github_id=1, reason="test")]
    rechecks.ask(octo.pk, asked, trigger="webhook", now=clock.now())
    scheduling.request_rechecks()
    decision = SyncService.request(octo.pk, "manual")
    assert (decision.action, decision.reason) == ("skip", "already_syncing")
    ran = work()
    assert [(job.mode, job.trigger) for job in ran] == [("recheck", "webhook"), ("full", "manual")]


@pytest.mark.spec("R6.3", "R5.5")
def test_a_webhook_does_not_hide_a_lost_one_from_the_next_sync(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    """The list's mark stays where the last reading left it: what is between is read."""
    repository = roomy(world, issues=2)
    first, second = [item.number for item in world.content(repository).issues][:2]
    time.shift(5)
    world.edit_issue(repository.id, first, title="Lost on the way")
    post.take()
    time.shift(5)
    world.edit_issue(repository.id, second, title="Arrived")
    post.deliver()
    time.shift(3600)
    job = sync(octo, mode="incremental")
    assert job.status == "succeeded"
    equal(world, octo)


@pytest.mark.spec("R5.5", "R6.3")
def test_after_webhooks_a_sync_reads_no_whole_list(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world, issues=2)
    before = ContentList.objects.get(repository=ours(repository), entity="issues")
    number = world.content(repository).issues[0].number
    time.shift(5)
    world.open_issue(repository.id, "One more")
    time.shift(5)
    world.delete_issue(repository.id, number)
    post.deliver()
    after = ContentList.objects.get(repository=ours(repository), entity="issues")
    assert (after.count, after.mirrored) == (before.count, before.mirrored)
    time.shift(3600)
    assert sync(octo, mode="incremental").status == "succeeded"
    after.refresh_from_db()
    assert after.whole_at == before.whole_at
    equal(world, octo)


# -- what is gone ----------------------------------------------------------------------------------


@pytest.mark.spec("R6.3")
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_what_was_deleted_stays_deleted_whatever_comes_later(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    order: tuple[int, ...],
) -> None:
    repository = roomy(world)
    time.shift(5)
    number = world.open_issue(repository.id, "Short-lived").number
    time.shift(5)
    world.edit_issue(repository.id, number, title="Edited")
    time.shift(5)
    world.delete_issue(repository.id, number)
    sent = post.take()
    for index in order:
        post.deliver([sent[index]])
    issue = Issue.objects.get(repository=ours(repository), number=number)
    assert issue.removal == "deleted"
    work()
    equal(world, octo)


@pytest.mark.spec("R6.2", "R7.1")
def test_a_deleted_repository_is_marked_and_a_late_webhook_brings_nothing_back(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world)
    row = ours(repository)
    time.shift(5)
    world.open_issue(repository.id, "Late")
    late = post.take()
    time.shift(5)
    world.delete(repository.id)
    post.deliver()
    row.refresh_from_db()
    assert row.status == "deleted"
    post.deliver(late)
    work()
    row.refresh_from_db()
    assert row.status == "deleted"
    equal(world, octo)


@pytest.mark.spec("R6.2", "R7.1")
def test_a_transfer_between_two_accounts_of_ours(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
) -> None:
    chioma = Installation.objects.get(account_login="chioma-lindqvist")
    sync(chioma, mode="full")
    time.shift(600)
    for reverse in (False, True):
        repository = roomy(world, issues=1)
        world.transfer(repository.id, "chioma-lindqvist", "moved-there" if reverse else None)
        sent = post.take()
        for event in reversed(sent) if reverse else sent:
            post.deliver([event])
        work()
        scheduling.request_rechecks()
        work()
        row = Repository.objects.get(github_id=repository.id)
        assert (row.installation_id, row.owner, row.status) == (
            chioma.pk,
            "chioma-lindqvist",
            "active",
        )
        equal(world, octo)
        equal(world, chioma)
        time.shift(600)


@pytest.mark.spec("R6.2")
def test_a_name_is_used_again(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world)
    name = repository.name
    time.shift(5)
    world.rename(repository.id, "set-aside")
    time.shift(5)
    made = world.create("octo-simulated", name)
    sent = post.take()
    for event in reversed(sent):
        post.deliver([event])
    work()
    scheduling.request_rechecks()
    work()
    equal(world, octo)
    assert ours(made).name == name


# -- the account -----------------------------------------------------------------------------------


@pytest.mark.spec("R2.3", "R6.2")
def test_an_account_is_suspended_and_comes_back(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(5)
    world.suspend("octo-simulated")
    post.deliver()
    octo.refresh_from_db()
    assert octo.status == "suspended"
    time.shift(5)
    world.unsuspend("octo-simulated")
    post.deliver()
    octo.refresh_from_db()
    assert (octo.status, octo.next_scheduled_at) == ("active", clock.now())


@pytest.mark.spec("R2.3", "R6.2")
def test_suspension_out_of_order_is_not_believed(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(5)
    world.suspend("octo-simulated")
    time.shift(5)
    world.unsuspend("octo-simulated")
    suspended, unsuspended = post.take("installation")
    post.deliver([unsuspended])
    [late] = post.deliver([suspended])
    octo.refresh_from_db()
    assert (late.outcome, octo.status) == ("stale", "active")


@pytest.mark.spec("R2.3", "R6.2")
def test_uninstalled_and_installed_again_out_of_order(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(5)
    world.uninstall("octo-simulated")
    time.shift(5)
    again = world.reinstall("octo-simulated")
    gone, created = post.take("installation")
    post.deliver([created])
    post.deliver([gone])
    octo.refresh_from_db()
    assert (octo.status, octo.github_id) == ("active", again.id)


@pytest.mark.spec("R2.1", "R2.3", "R6.2")
def test_a_new_account_is_found_by_its_webhook(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(5)
    account = world.create_account("newcomer", "Organization")
    world.install(account.id)
    post.deliver()
    found = Installation.objects.get(account_login="newcomer")
    assert (found.status, found.next_scheduled_at) == ("active", clock.now())


@pytest.mark.spec("R2.3", "R6.2")
def test_an_account_is_renamed(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(5)
    world.rename_account("octo-simulated", "octo-renamed")
    post.deliver()
    octo.refresh_from_db()
    assert octo.account_login == "octo-renamed"
    work()
    equal(world, octo)


@pytest.mark.spec("R6.2", "R7.2")
def test_selections_are_listed_again_also_when_nothing_is_named(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller, tune: Any
) -> None:
    tune(mass_disappearance_percent=100)  # that many at once would be held
    time.shift(5)
    chosen = [r.id for r in everywhere(world)][:2]
    world.select_repositories(
        "octo-simulated", chosen
    )  # all -> selected: nothing is named as removed
    post.deliver()
    work()
    equal(world, octo)
    assert Repository.objects.filter(installation=octo, status="access_removed").count() == 4
    time.shift(600)
    world.select_all("octo-simulated")
    post.deliver()
    work()
    equal(world, octo)
    assert not Recheck.objects.exists()


# -- what is odd -----------------------------------------------------------------------------------


def examples() -> list[tuple[str, str]]:
    folder = contract_dir() / "webhooks"
    return sorted((path.parent.name, path.name) for path in folder.glob("*/*.json"))


@pytest.mark.spec("R6.2", "R6.3")
def test_githubs_own_examples_are_accepted_and_change_the_mirror(
    time: time_machine.Traveller, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = contract_dir() / "webhooks"
    settings.GITHUB_APP_ID = "1"
    doubted: list[Installation] = []
    monkeypatch.setattr(discovery, "recheck", doubted.append)
    accounts = {"Codertocat": 21031067, "Octocoders": 38302899, "octo-org": 6811672}
    for number, (login, account_id) in enumerate(accounts.items(), 1):
        Installation.objects.create(
            account_id=account_id, github_id=number, mode="app", account_login=login,
            account_type="Organization",
        )  # fmt: skip
    found = {}
    for event, name in sorted(examples(), key=lambda each: each[0].startswith("installation")):
        guid = str(uuid4())
        payload = json.loads((folder / event / name).read_text())
        assert arrive(event, payload, guid) == "accepted"
        deliveries.drain()
        found[event, name] = Delivery.objects.get(guid=guid)
    ours_to_handle = {
        "push", "issues", "pull_request", "repository", "public", "installation",
        "installation_repositories",
    }  # fmt: skip
    for (event, name), row in found.items():
        if event == "ping":
            assert (row.status, row.outcome) == ("processed", "ping")
        elif event not in ours_to_handle:
            assert (row.status, row.outcome) == ("ignored", "unknown_event"), (event, name)
        else:
            assert row.status == "processed", (event, name, row.outcome, row.detail)
            assert row.outcome != "unknown_installation"
    assert Issue.objects.filter(title="Spelling error in the README file").exists()
    assert PullRequest.objects.filter(merged=False, state="closed").exists()
    assert set(Repository.objects.values_list("owner", flat=True)) == {
        "Codertocat",
        "Octocoders",
        "octo-org",
    }
    account = Installation.objects.get(account_login="Codertocat")
    assert account.github_id == 16598467  # the newest of the ids that the examples give it
    assert account.pk in {each.pk for each in doubted}  # suspended and unsuspended in one second


@pytest.mark.spec("R6.2")
def test_unknown_events_and_actions_are_ignored(octo: Installation, world: World) -> None:
    arrive("brand_new", {"action": "done"}, "a")
    arrive("issues", {"action": "sung_to"}, "b")
    arrive("installation_repositories", {}, "c")
    assert deliveries.drain() == 3
    rows = Delivery.objects.order_by("guid")
    assert outcomes(rows) == ["unknown_event", "unknown_action", "unknown_action"]
    assert {row.status for row in rows} == {"ignored"}


@pytest.mark.spec("R2.1", "R7.2")
def test_a_hook_tells_of_a_repository_that_the_token_may_not_see(
    time: time_machine.Traveller, token_mode: Simulator, world: World
) -> None:
    user = world.actor()
    installation = discover(user.login)
    sync(installation, mode="reconcile")
    payload = Post(world)
    seen = world.create(user.id, "seen")
    told = payload.take("repository")[0].payload
    hidden = told | {"repository": told["repository"] | {"id": 987_654, "name": "hidden"}}
    arrive("repository", told, "seen")
    arrive("repository", hidden, "hidden")
    deliveries.drain()
    assert not Repository.objects.filter(name__in=["seen", "hidden"]).exists()
    work()
    assert ours(seen).status == "active"
    assert not Repository.objects.filter(github_id=987_654).exists()
    assert not Recheck.objects.exists()


@pytest.mark.spec("R6.2", "R10.5", "P30")
def test_a_payload_that_cannot_be_read_is_failed_and_its_repository_read(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world, issues=2)
    number = world.content(repository).issues[0].number
    time.shift(5)
    world.edit_issue(repository.id, number, title="Told badly")
    [event] = post.take()
    broken = event.payload | {"repository": event.payload["repository"] | {"name": 7}}
    unclear = event.payload | {"issue": event.payload["issue"] | {"state": 5}}
    arrive("issues", broken, "broken")
    arrive("issues", unclear, "unclear")
    assert deliveries.drain() == 2
    rows = {row.guid: row for row in Delivery.objects.all()}
    assert (rows["broken"].status, rows["broken"].outcome) == ("failed", "malformed")
    assert (rows["unclear"].status, rows["unclear"].outcome) == ("processed", "recheck")
    work()
    equal(world, octo)


@pytest.mark.spec("R10.5", "P30", "P41")
def test_one_delivery_that_the_database_refuses_keeps_nobody_waiting(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    repository = roomy(world, issues=3)
    for item in world.content(repository).issues[:3]:
        time.shift(5)
        world.edit_issue(repository.id, item.number, title="Fine")
    sent = post.take()
    bad = sent[1].payload
    bad["issue"]["user"] = {"login": "x" * 300, "id": 1, "type": "User"}
    for event in (sent[0], sent[2]):
        arrive(event.event, event.body, event.guid)
    arrive("issues", bad, "bad")
    assert deliveries.drain() == 2
    assert Issue.objects.filter(title="Fine").count() == 2
    row = Delivery.objects.get(guid="bad")
    assert (row.status, row.attempts) == ("received", 1)
    for _ in range(4):
        time.shift(3600)
        deliveries.drain()
    row.refresh_from_db()
    assert (row.status, row.outcome, row.attempts) == ("failed", "refused", 5)


@pytest.mark.spec("R6.2", "R19.2")
def test_a_delivery_of_an_unknown_account_waits_and_is_then_ignored(
    octo: Installation, post: Post, world: World, app_mode: Simulator, time: time_machine.Traveller
) -> None:
    payload = {
        "action": "edited",
        "installation": {"id": 999},
        "issue": {},
        "repository": {"id": 5, "name": "r", "full_name": "o/r", "owner": {"id": 4, "login": "o"}},
    }
    arrive("issues", payload, "a")
    for _ in range(10):
        deliveries.drain()
        time.shift(3600)
    row = Delivery.objects.get()
    assert (row.status, row.outcome) == ("ignored", "unknown_installation")
    assert not Repository.objects.filter(github_id=5).exists()
    assert len(app_mode.requests("/app/installations")) <= 4


@pytest.mark.spec("R6.2", "R2.3")
def test_a_delivery_that_comes_before_its_accounts_own_is_kept(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(5)
    account = world.create_account("newcomer", "Organization")
    world.install(account.id)
    created = post.take()
    time.shift(5)
    made = world.create(account.id, "first")
    [told] = [e for e in post.take() if e.event == "repository"]
    arrive(told.event, told.body, told.guid)
    deliveries.drain()
    post.deliver(created)
    time.shift(3600)
    deliveries.drain()
    assert Delivery.objects.get(guid=told.guid).outcome in {"updated", "unchanged"}
    assert ours(made).owner == "newcomer"


@pytest.mark.spec("R3.1", "R4.2")
def test_webhook_work_goes_on_where_periodic_work_must_stop(
    octo: Installation,
    post: Post,
    world: World,
    app_mode: Simulator,
    time: time_machine.Traveller,
) -> None:
    """The reserve of 250 requests is kept for webhooks and gaps."""
    repository = roomy(world)
    repository_name = world.full_name(repository)
    sync(octo, "cron", mode="full")
    for resource in ("core", "graphql"):
        app_mode.limits.set(octo.github_id, resource=resource, limit=5000, remaining=300)
    assert sync(octo, "cron", mode="repo", repository=repository_name).status == "blocked"
    SyncJob.objects.all().delete()
    time.shift(5)
    world.push_commits(repository.id, 2)
    post.deliver()
    [job] = work()
    assert (job.status, job.trigger) == ("succeeded", "webhook")
    assert sync_is_refused(octo)
    assert_contents_equal_truth(world, octo)


def sync_is_refused(installation: Installation) -> bool:
    return SyncService.request(installation.pk, "cron").reason == "budget"
