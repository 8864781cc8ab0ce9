"""The delivery ledger: GitHub's log over HTTP, joined with what arrived."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pytest_django import Settings

from syncsvc import clock, connect
from syncsvc.github.errors import NetworkError
from syncsvc.github.hook_log import HookLog
from syncsvc.models import Delivery, Gap, Hook, Installation, MissedDelivery, WebhookState
from syncsvc.simulator import Fault, Simulator, World, delivery_log
from syncsvc.webhooks import hooks, ledger
from tests.factories import DeliveryFactory, HookFactory, InstallationFactory, RepositoryFactory
from tests.ledger_support import Post, asked_of_logs, check, hook, missed, post_of
from tests.support import discover

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R6.5")]
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    return World.generate(
        seed=1,
        repositories=6,
        issues_per_repository=0,
        pull_requests_per_repository=0,
        commits_per_repository=0,
    )


@pytest.fixture
def simulator(world: World) -> Iterator[Simulator]:
    with Simulator(world, webhooks_by_hand=True) as running:
        yield running


@pytest.fixture
def octo(app_mode: Simulator) -> Installation:
    return discover()


@pytest.fixture
def post(app_mode: Simulator, octo: Installation) -> Iterator[Post]:
    with post_of(app_mode) as made:
        app_mode.reset_log()
        yield made


@pytest.fixture
def repository(world: World) -> int:
    return next(each.id for each in world.owned(world.account("octo-simulated")))


def read(**options: Any) -> ledger.Reading:
    hooks.learn(clock.now())
    return ledger.read(hook(), clock.now(), **options)


def kinds() -> dict[str, str]:
    return dict(MissedDelivery.objects.values_list("guid", "kind"))


def test_every_way_to_lose_a_delivery_is_found_by_its_name(post: Post, repository: int) -> None:
    fine = post.happens(repository)
    lost = post.happens(repository, swallowed=1.0)
    late = post.happens(repository, loss=1.0)
    refused = post.happens(repository, failed=1.0)
    held = post.happens(repository, throttled=1.0, throttle=0.0)
    reading = read()
    assert reading.error is None
    found = kinds()
    assert fine not in found
    assert (found[lost], found[late], found[refused]) == ("lost", "timed_out", "failed")
    assert found.get(held, "throttled") in ("throttled", "timed_out")
    row = missed(refused)
    assert (row.event, row.action, row.repository_github_id) == ("repository", "edited", repository)
    assert row.status_code in (500, 502, 504)
    assert row.first_at <= row.detected_at
    assert row.installation is not None
    assert row.installation.account_login == "octo-simulated"


def test_what_is_not_even_in_the_log_is_not_invented(post: Post, repository: int) -> None:
    post.happens(repository, silent_loss=1.0)
    assert read().entries == []
    assert kinds() == {}


def test_a_row_counts_as_arrived_whatever_github_logged(post: Post, repository: int) -> None:
    guid = post.happens(repository, loss=1.0)
    DeliveryFactory.create(
        guid=guid, hook_id=999
    )  # our answer came too late, or another hook brought it
    read()
    assert kinds() == {}


def test_without_news_a_check_costs_one_request(
    post: Post, repository: int, app_mode: Simulator
) -> None:
    for _ in range(5):
        post.happens(repository)
    read()
    app_mode.reset_log()
    for _ in range(3):
        assert check().missed == 0
    assert asked_of_logs(app_mode) == [("GET", "/app/hook/deliveries?per_page=100")] * 3
    assert len(app_mode.log) == 3
    assert hook().seen == 5


def test_an_entry_that_is_logged_late_is_still_found(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = post.happens(repository, loss=1.0)
    post.happens(repository)
    shown = post.sim.deliveries.of
    with monkeypatch.context() as patch:
        patch.setattr(
            post.sim.deliveries, "of", lambda h: [d for d in shown(h) if d.event.guid != late]
        )
        read()
        assert kinds() == {}
    read()
    assert kinds() == {late: "timed_out"}


def test_a_long_log_is_read_in_parts_and_its_middle_is_not_lost(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = [post.happens(repository, failed=1.0) for _ in range(9)]
    monkeypatch.setattr("syncsvc.github.hook_log.PER_PAGE", 2)
    monkeypatch.setattr(ledger, "OVERLAP_ENTRIES", 1)
    read(pages=2)
    assert set(kinds()) == set(guids[-4:])
    assert (hook().newest_id, hook().resume_cursor != "") == (None, True)
    new = post.happens(repository, failed=1.0)
    read(pages=2)
    assert set(kinds()) == set(guids[-8:])
    read(pages=2)  # the last one, and then what came since
    read(pages=2)
    assert set(kinds()) == {*guids, new}
    state = hook()
    assert (state.resume_cursor, state.seen) == ("", 10)
    assert state.newest_id == post.log()[-1].id


def test_a_reading_that_breaks_in_the_middle_goes_on_from_there(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = [post.happens(repository, failed=1.0) for _ in range(6)]
    monkeypatch.setattr("syncsvc.github.hook_log.PER_PAGE", 2)
    plain = HookLog.pages
    seen: list[str | None] = []

    def broken(self: HookLog, cursor: str | None = None) -> Any:
        for page in plain(self, cursor):
            if len(seen) == 2:
                raise NetworkError
            seen.append(cursor)
            yield page

    with monkeypatch.context() as patch:
        patch.setattr(HookLog, "pages", broken)
        assert read().error is not None
    assert set(kinds()) == set(guids[-4:])
    assert (hook().newest_id, hook().failures) == (None, 1)
    assert hook().error.startswith("GitHub could not be reached")
    with time_machine.travel(clock.now() + timedelta(minutes=2)):
        assert read().error is None
    assert set(kinds()) == set(guids)
    assert (hook().failures, hook().error, hook().retry_at) == (0, "", None)


def test_nothing_is_noted_as_read_that_was_not_stored(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guid = post.happens(repository, failed=1.0)

    def full(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "_advance", full)
        with pytest.raises(MemoryError):
            read()
    assert (kinds(), hook().newest_id) == ({}, None)
    read()
    assert set(kinds()) == {guid}


def test_a_cursor_that_github_forgot_means_from_the_newest(post: Post, repository: int) -> None:
    guid = post.happens(repository, failed=1.0)
    hooks.learn(clock.now())
    Hook.objects.update(resume_cursor="nonsense", resume_newest_id=5)
    assert read().error is not None
    assert hook().retry_at is not None
    assert hook().retry_at <= clock.now()  # type: ignore[operator]  # looked at just above
    read()
    assert set(kinds()) == {guid}


def test_limits_and_failures_are_shown_and_waited_for(post: Post, app_mode: Simulator) -> None:
    hooks.learn(clock.now())
    app_mode.faults.add(
        Fault(kind="secondary_limit", status=403, path_regex="/app/hook", retry_after=120)
    )
    report = check()
    assert (report.hooks, report.unreadable) == (1, 1)
    limited = hook()
    assert limited.error
    assert limited.retry_at is not None
    assert timedelta(seconds=100) < limited.retry_at - clock.now() < timedelta(minutes=4)
    app_mode.reset_log()
    check()
    assert asked_of_logs(app_mode) == []
    with time_machine.travel(limited.retry_at + timedelta(minutes=1)):
        assert check().unreadable == 0
    assert hook().error == ""


def test_deliveries_from_before_the_account_was_known_are_not_ours(
    post: Post, repository: int, octo: Installation
) -> None:
    old = post.happens(repository, failed=1.0)
    Installation.objects.update(created_at=clock.now() + timedelta(seconds=5))
    with time_machine.travel(clock.now() + timedelta(minutes=1)):
        new = post.happens(repository, failed=1.0)
        check()
    assert set(kinds()) == {new}
    assert old not in kinds()


def test_nothing_older_than_three_days_is_looked_at(post: Post, repository: int) -> None:
    Installation.objects.update(created_at=clock.now() - 30 * DAY)
    post.happens(repository, failed=1.0)
    with time_machine.travel(clock.now() + 4 * DAY):
        read()
        assert kinds() == {}


@pytest.mark.spec("R6.4")
def test_the_state_of_an_account_tells_of_failures_in_a_row(
    post: Post, repository: int, octo: Installation
) -> None:
    post.happens(repository)
    for _ in range(2):
        post.happens(repository, failed=1.0)
    check()
    state = WebhookState.objects.get(installation=octo)
    assert state.consecutive_failures == 2
    assert state.last_seen_delivery_id == post.log()[2].id
    assert state.last_delivery_at == Delivery.objects.get().received_at
    check()
    state.refresh_from_db()
    assert state.consecutive_failures >= 2
    post.happens(repository)
    check()
    state.refresh_from_db()
    assert state.consecutive_failures == 0


@pytest.mark.spec("R2.1")
def test_an_account_that_only_the_log_knows_is_discovered(
    app_mode: Simulator, repository: int
) -> None:
    with post_of(app_mode) as post:
        post.weather(loss=1.0)
        app_mode.world.change_permissions(
            app_mode.world.installation("octo-simulated").id, {"metadata": "read"}
        )
        post.deliver()
        assert not Installation.objects.exists()
        report = check()
    assert report.missed == 1
    assert Installation.objects.filter(account_login="octo-simulated").exists()
    row = MissedDelivery.objects.get()
    assert (row.event, row.installation, row.healed_by) == ("installation", None, "discovery")
    assert not Gap.objects.exists()


def test_a_lost_suspension_is_found_out_at_once(post: Post, octo: Installation) -> None:
    post.weather(swallowed=1.0)
    post.sim.world.suspend(octo.github_id)
    post.deliver()
    check()
    octo.refresh_from_db()
    assert octo.status == "suspended"


def test_bad_records_are_put_aside(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    guids = [post.happens(repository, failed=1.0) for _ in range(3)]
    shown = delivery_log.item

    def spoilt(delivery: Any) -> dict[str, Any]:
        row = shown(delivery)
        return row | {"delivered_at": "soon"} if row["guid"] == guids[1] else row

    monkeypatch.setattr(delivery_log, "item", spoilt)
    assert read().error is None
    assert set(kinds()) == {guids[0], guids[2]}


# -- whose hooks -----------------------------------------------------------------------------------


@pytest.fixture
def by_token(simulator: Simulator, settings: Settings) -> Installation:
    """An organization that the token's user owns."""
    settings.GITHUB_API_URL = simulator.url
    settings.GITHUB_TOKEN = simulator.token
    settings.GITHUB_OWNER = "octo-simulated"
    settings.BASE_URL = "https://mirror.example"
    owner = simulator.world.account(simulator.token_owner)
    simulator.world.account("octo-simulated").member_ids.add(owner.id)
    return discover()


def test_hooks_of_an_organization_are_known_by_where_they_lead(
    by_token: Installation, simulator: Simulator
) -> None:
    ours = simulator.world.add_organization_hook(
        by_token.account_id, "https://mirror.example/webhooks/github", "s", ("*",)
    )
    simulator.world.add_organization_hook(
        by_token.account_id, "https://elsewhere.example/webhooks/github/", "s", ("*",)
    )
    report = check()
    found = hook()
    assert (found.target_type, found.target_id) == ("organization", by_token.account_id)
    assert (found.github_id, found.installation, found.active) == (ours.id, by_token, True)
    assert (report.hooks, report.unreadable) == (1, 0)
    ours.active = False
    check()
    assert hook().active  # looked up once an hour
    with time_machine.travel(clock.now() + timedelta(hours=1, minutes=1)):
        check()
    assert not hook().active
    asked_of_logs(simulator)


def test_a_repositorys_hook_is_known_by_what_it_delivered(
    by_token: Installation, simulator: Simulator
) -> None:
    repository = RepositoryFactory.create(installation=by_token)
    DeliveryFactory.create(
        account=by_token,
        target_type="repository",
        target_id=repository.github_id,
        hook_id=4711,
        received_at=clock.now(),
    )
    DeliveryFactory.create(
        target_type="repository", target_id=1, hook_id=4712, received_at=clock.now()
    )
    check()
    found = hook()
    assert (found.target_type, found.target_id, found.github_id) == (
        "repository",
        repository.github_id,
        4711,
    )
    # The simulator knows no such hook: it may not be read, which is shown and tried again daily.
    assert "may not read" in found.error
    assert found.retry_at is not None
    assert found.retry_at - clock.now() > timedelta(hours=23)


def test_logs_of_hooks_that_are_not_ours_to_read_are_left_alone(
    post: Post, app_mode: Simulator
) -> None:
    HookFactory.create(target_id=123)  # of an App that we are no more
    HookFactory.create(
        target_type="organization",
        github_id=5,
        installation=InstallationFactory.create(mode="token", status="uninstalled"),
    )
    hooks.learn(clock.now())
    assert [each.target_id for each in hooks.due(clock.now())] == [app_mode.app_id]


def test_the_log_is_read_with_the_apps_own_credentials(post: Post) -> None:
    with hooks.log_of(Hook(target_type="integration")) as log, connect.app_client():
        assert [page.entries for page in log.pages()] == [()]
