"""Deliveries that come at the worst moment: late, replayed, reordered across accounts, moving no time.

After quiet (everything processed, everything asked for read) the mirror equals GitHub, and nothing goes on
for ever.
"""

from typing import Any

import pytest
import time_machine
from pytest_django import Settings

from reconciliation import conductor, deliveries, evidence
from syncsvc import clock, connect, rechecks, scheduling, service
from syncsvc.github.errors import ConfigurationError
from syncsvc.models import Delivery, Installation, Recheck, SyncJob
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Simulator, World
from syncsvc.webhooks import replay
from tests.integration import test_deliveries as plain_deliveries
from tests.support import (
    ours,
    roomy,
    run,
    sync,
)
from tests.webhook_support import Post, arrive

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R6.3", "R7.5")]

world, time = plain_deliveries.world, plain_deliveries.time
octo, post = plain_deliveries.octo, plain_deliveries.post
work, equal, everywhere = plain_deliveries.work, plain_deliveries.equal, plain_deliveries.everywhere


def quiet(time: time_machine.Traveller, rounds: int = 12) -> list[tuple[str, str, str]]:
    """Lets everything come to rest; the jobs that ran."""
    ran: list[tuple[str, str, str]] = []
    for _ in range(rounds):
        time.shift(15)
        deliveries.drain()
        scheduling.request_remembered()
        scheduling.request_rechecks()
        ran += [(j.mode, j.trigger, j.status) for j in work()]
    return ran


def untimed_rename(world: World, monkeypatch: pytest.MonkeyPatch, repo: int, name: str) -> None:
    """GitHub does not always move the time of what it renames."""
    with monkeypatch.context() as m:
        m.setattr(type(world), "touch", lambda *_: None)
        world.rename(repo, name)


def test_what_was_read_by_name_is_not_undone_by_a_late_webhook(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    r = roomy(world, issues=1)
    n = world.content(r).issues[0].number
    time.shift(10)
    world.edit_issue(r.id, n, title="late")
    late = post.take()
    time.shift(10)
    untimed_rename(world, monkeypatch, r.id, "renamed")
    post.take()
    time.shift(10)
    sync(octo, mode="repo", repository=world.full_name(r))
    assert ours(r).name == "renamed"
    time.shift(10)
    post.deliver(late)
    quiet(time)
    equal(world, octo)


def test_what_counts_is_when_a_repository_was_read_not_when_the_run_began(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    r = roomy(world, issues=1)
    n = world.content(r).issues[0].number
    time.shift(10)
    rechecks.ask(
        octo.pk,
        [Asked(github_id=r.id, itself=True, reason="x")],
        trigger="webhook",
        now=clock.now(),
    )
    late = []
    plain = evidence.ask

    def slow(*a: Any) -> Any:
        time.shift(30)
        world.edit_issue(r.id, n, title="late")
        late.extend(post.take())
        time.shift(30)
        untimed_rename(world, monkeypatch, r.id, "renamed")
        post.take()
        time.shift(30)
        return plain(*a)

    monkeypatch.setattr(evidence, "ask", slow)
    scheduling.request_rechecks()
    work()
    monkeypatch.setattr(evidence, "ask", plain)
    assert ours(r).name == "renamed"
    time.shift(10)
    post.deliver(late)
    quiet(time)
    equal(world, octo)


@pytest.mark.parametrize("flip", [False, True])
def test_an_event_that_moves_no_time_is_not_lost_behind_a_newer_one(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    flip: bool,
) -> None:
    r = roomy(world, issues=1)
    n = world.content(r).issues[0].number
    time.shift(10)
    world.edit_issue(r.id, n, title="one")
    time.shift(10)
    untimed_rename(world, monkeypatch, r.id, "renamed")
    sent = post.take()
    if flip:
        sent.reverse()
    post.deliver(sent)
    quiet(time)
    equal(world, octo)


def test_what_the_schedule_asked_during_a_recheck_is_no_full_run(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    rechecks.ask(octo.pk, [Asked(github_id=1, reason="t")], trigger="webhook", now=clock.now())
    scheduling.request_rechecks()
    Installation.objects.update(next_scheduled_at=clock.now())
    scheduling.request_due()
    work()
    scheduling.request_remembered()
    work()
    assert not SyncJob.objects.filter(mode="full", trigger="cron").exists()


def test_a_dry_run_that_was_asked_during_a_recheck_does_not_come_back_as_a_real_one(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    rechecks.ask(octo.pk, [Asked(github_id=1, reason="t")], trigger="webhook", now=clock.now())
    scheduling.request_rechecks()
    SyncService.request(octo.pk, "manual", mode="reconcile", dry_run=True)
    ran = work()
    scheduling.request_remembered()
    ran += work()
    assert all(j.dry_run for j in ran if j.trigger == "manual")


def test_a_late_webhook_of_a_former_account_takes_nothing_back(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chioma = Installation.objects.get(account_login="chioma-lindqvist")
    sync(chioma, mode="full")
    time.shift(600)
    r = roomy(world, issues=1)
    n = world.content(r).issues[0].number
    world.transfer(r.id, "chioma-lindqvist")
    post.deliver()
    work()
    quiet(time, 3)
    time.shift(10)
    world.edit_issue(r.id, n, title="late")
    late = post.take()
    time.shift(10)
    with monkeypatch.context() as m:
        m.setattr(type(world), "touch", lambda *_: None)
        world.transfer(r.id, "octo-simulated")
    post.take()
    time.shift(600)
    sync(octo, "cron", mode="incremental")
    equal(world, octo)
    equal(world, chioma)
    time.shift(10)
    post.deliver(late)
    quiet(time)
    equal(world, octo)
    equal(world, chioma)


@pytest.mark.parametrize("same_batch", [False, True])
def test_a_creation_that_comes_after_the_deletion_creates_nothing(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller, same_batch: bool
) -> None:
    time.shift(10)
    made = world.create("octo-simulated", "short-lived")
    time.shift(10)
    world.delete(made.id)
    sent = post.take()
    if same_batch:
        post.deliver(sent[::-1])
    else:
        for e in sent[::-1]:
            post.deliver([e])
    quiet(time)
    equal(world, octo)


def test_a_late_webhook_of_what_was_transferred_away_brings_nothing_back(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(10)
    made = world.create("octo-simulated", "short-lived")
    time.shift(10)
    world.open_issue(made.id, "x")
    time.shift(10)
    world.privatize(made.id) if made.visibility == "public" else None
    sent = post.take()
    world.delete(made.id)
    gone = post.take()
    post.deliver(gone)
    post.deliver(sent)
    quiet(time)
    equal(world, octo)


@pytest.mark.parametrize("how", ["created", "suspend"])
def test_a_replay_revives_no_installation(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller, how: str
) -> None:
    time.shift(10)
    world.suspend(octo.github_id)
    time.shift(10)
    world.unsuspend(octo.github_id)
    sent = post.take()
    post.deliver(sent)
    work()
    quiet(time, 2)
    time.shift(10)
    world.uninstall(octo.github_id)
    post.deliver()
    octo.refresh_from_db()
    assert octo.status == "uninstalled"
    pks = [
        row.pk for row in Delivery.objects.filter(event="installation") if row.action == "suspend"
    ]
    time.shift(86400)
    replay.replay(pks, user_id=None)
    deliveries.drain()
    octo.refresh_from_db()
    assert octo.status == "uninstalled"


def test_a_replayed_rename_of_the_account_is_checked(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(10)
    world.rename_account("octo-simulated", "second-login")
    first = post.take()
    time.shift(10)
    world.rename_account("second-login", "octo-simulated")
    second = post.take()
    post.deliver(first)
    post.deliver(second)
    work()
    quiet(time, 3)
    octo.refresh_from_db()
    assert octo.account_login == "octo-simulated"
    pks = list(
        Delivery.objects.filter(event="installation_target")
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    time.shift(3600)
    replay.replay(pks[:1], user_id=None)
    deliveries.drain()
    octo.refresh_from_db()
    quiet(time)
    octo.refresh_from_db()
    assert octo.account_login == "octo-simulated"


def test_strangers_do_not_burn_requests(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller, app_mode: Simulator
) -> None:
    r = roomy(world, issues=1)
    n = world.content(r).issues[0].number
    world.edit_issue(r.id, n, title="x")
    [e] = post.take()
    p = e.payload
    p["repository"]["owner"]["id"] = 987654321
    p["installation"]["id"] = 987654321
    if "organization" in p:
        p["organization"]["id"] = 987654321
    app_mode.reset_log()
    for i in range(30):
        time.shift(1)
        arrive("issues", p, f"g{i}")
        deliveries.drain()
    assert len(app_mode.requests()) <= 6


def test_a_deletion_at_the_new_account_is_heard_though_the_transfer_was_not(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    chioma = Installation.objects.get(account_login="chioma-lindqvist")
    sync(chioma, mode="full")
    time.shift(600)
    r = roomy(world, issues=1)
    world.transfer(r.id, "chioma-lindqvist")
    post.take()  # lost
    time.shift(10)
    world.delete(r.id)
    post.deliver()
    quiet(time)
    equal(world, octo)
    equal(world, chioma)


def test_a_late_webhook_of_what_was_never_mirrored_and_is_gone_leaves_nothing(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    time.shift(10)
    made = world.create("octo-simulated", "short-lived")
    time.shift(10)
    world.open_issue(made.id, "x")
    late = [e for e in post.take() if e.event == "issues"]
    time.shift(10)
    world.delete(made.id)
    post.deliver()  # repository.deleted, installation_repositories.removed
    quiet(time)
    equal(world, octo)
    time.shift(10)
    post.deliver(late)
    quiet(time)
    equal(world, octo)


def test_a_key_that_cannot_be_read_does_not_stop_the_drain(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    time.shift(10)
    world.rename_account("octo-simulated", "b-login")
    post.take()
    time.shift(10)
    world.rename_account("b-login", "c-login")

    def bad(*_: Any, **__: Any) -> Any:
        raise ConfigurationError("The key cannot be read.")

    monkeypatch.setattr(connect, "app_client", bad)
    post.deliver()


def test_a_list_that_is_never_whole_is_not_read_without_end(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
    app_mode: Simulator,
) -> None:
    rechecks.ask(
        octo.pk,
        [Asked(github_id=0, itself=True, reason="added")],
        trigger="webhook",
        now=clock.now(),
    )

    def not_whole(run: Any) -> None:
        run.failed("repositories", "list", "validation", "GitHub's list was not whole")

    monkeypatch.setattr(conductor, "read_list", not_whole)
    scheduling.request_rechecks()
    n = 0
    while j := SyncJob.objects.filter(status="queued").first():
        run(j.pk)
        n += 1
        if n > 40:
            break
    assert n <= 5


def test_a_late_webhook_of_what_left_the_selection_brings_nothing_back(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    rs = [r.id for r in everywhere(world)]
    world.select_repositories(octo.github_id, rs)
    post.deliver()
    work()
    quiet(time, 3)
    octo.refresh_from_db()
    assert octo.repository_selection == "selected"
    time.shift(60)
    made = world.create("octo-simulated", "was-selected", selected=True)
    time.shift(10)
    world.open_issue(made.id, "x")
    late = [e for e in post.take() if e.event == "issues"]
    time.shift(10)
    world.select_repositories(octo.github_id, rs)
    post.deliver()
    work()
    quiet(time, 3)
    equal(world, octo)
    time.shift(10)
    post.deliver(late)
    quiet(time)
    equal(world, octo)


def test_a_deletion_overtakes_the_transfer(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    chioma = Installation.objects.get(account_login="chioma-lindqvist")
    sync(chioma, mode="full")
    time.shift(600)
    r = roomy(world, issues=1)
    world.transfer(r.id, "chioma-lindqvist")
    first = [e for e in post.take() if e.event == "repository"]
    time.shift(10)
    world.delete(r.id)
    second = [e for e in post.take() if e.event == "repository"]
    post.deliver(second)
    time.shift(5)
    post.deliver(first)
    quiet(time)
    equal(world, octo)
    equal(world, chioma)


def test_a_replayed_deletion_of_a_restored_repository_is_checked(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    """An owner may restore a deleted repository within 90 days: same id."""
    r = roomy(world)
    time.shift(10)
    world.edit(r.id, description="x")
    [e] = [e for e in post.take() if e.event == "repository"]
    p = e.payload
    p["action"] = "deleted"
    p.pop("changes", None)
    arrive("repository", p, "gone")
    deliveries.drain()
    assert ours(r).status == "deleted"
    time.shift(3600)
    sync(octo, "cron", mode="incremental")
    equal(world, octo)  # restored
    time.shift(86400)
    replay.replay([Delivery.objects.get(guid="gone").pk], user_id=None)
    quiet(time)
    equal(world, octo)


def test_a_suspension_leaves_no_empty_budget_behind(
    octo: Installation, post: Post, world: World, time: time_machine.Traveller
) -> None:
    r = roomy(world)
    time.shift(10)
    world.push_commits(r.id, 1)
    post.deliver()
    work()  # there is a live token now
    time.shift(10)
    world.push_commits(r.id, 1)
    post.deliver()  # a job waits
    world.suspend(octo.github_id)
    work()
    post.deliver()
    time.shift(60)
    world.unsuspend(octo.github_id)
    post.deliver()
    octo.refresh_from_db()
    assert octo.status == "active"
    SyncService.request(octo.pk, "cron", mode="incremental")
    quiet(time)
    assert not Recheck.objects.exists()


def test_a_request_is_not_lost_when_the_recheck_ends_meanwhile(
    octo: Installation,
    post: Post,
    world: World,
    time: time_machine.Traveller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The recheck job ends between the look of policy and the note on the job."""

    rechecks.ask(octo.pk, [Asked(github_id=1, reason="t")], trigger="webhook", now=clock.now())
    scheduling.request_rechecks()
    plain = service._remember

    def late(decision: Any, trigger: str) -> Any:
        monkeypatch.setattr(service, "_remember", plain)
        work()
        return plain(decision, trigger)

    monkeypatch.setattr(service, "_remember", late)
    SyncService.request(octo.pk, "manual")
    scheduling.request_remembered()
    assert [j.trigger for j in SyncJob.objects.filter(status="queued")] == ["manual"]
