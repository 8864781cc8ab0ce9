"""The delivery ledger: GitHub's log over HTTP, joined with what arrived."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError
from pytest_django import Settings

from syncsvc import clock, connect
from syncsvc.github.errors import (
    GitHubError,
    NetworkError,
    NotFound,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.hook_log import HookLog, HookRow, LogEntry, LogPage
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
    read(pages=2)
    assert set(kinds()) == set(guids[-4:])
    assert (hook().newest_id, hook().resume_cursor != "") == (None, True)
    new = post.happens(repository, failed=1.0)
    read(pages=2)
    assert set(kinds()) == set(guids[-8:])
    read(pages=2)  # the last one, and then what came since
    assert set(kinds()) == {*guids, new}
    read(pages=2)
    read(pages=2)  # the overlap
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


# -- logs that no simulator writes -----------------------------------------------------------------


@dataclass(slots=True)
class FakeLog:
    """A log of any content and order, a hundred entries a page; the page at `broken` cannot be read."""

    entries: Sequence[LogEntry] = ()
    broken: int | None = None
    error: GitHubError = field(default_factory=lambda: ServerError(status=500))
    requests: int = 0

    def pages(self, cursor: str | None = None) -> Iterator[LogPage]:
        for start in range(int(cursor or 0), max(len(self.entries), 1), 100):
            self.requests += 1
            if start == self.broken:
                raise self.error
            following = start + 100
            yield LogPage(
                entries=tuple(self.entries[start:following]),
                bad=(),
                next_cursor=str(following) if following < len(self.entries) else None,
            )


@pytest.fixture
def fake(octo: Installation, monkeypatch: pytest.MonkeyPatch) -> FakeLog:
    made = FakeLog()

    @contextmanager
    def log_of(_: Hook) -> Iterator[FakeLog]:
        yield made

    monkeypatch.setattr(hooks, "log_of", log_of)
    Installation.objects.update(created_at=clock.now() - 2 * DAY)
    HookFactory.create(newest_id=None, newest_at=None, read_at=None)
    return made


def entry(octo: Installation, number: int, at: datetime, **values: Any) -> LogEntry:
    plain: dict[str, Any] = {
        "id": number,
        "guid": f"g-{number}",
        "delivered_at": at,
        "event": "issues",
        "status_code": 202,
        "installation_id": octo.github_id,
    }
    return LogEntry(**plain | values)


def arrived(octo: Installation, entries: Sequence[LogEntry]) -> None:
    Delivery.objects.bulk_create(
        DeliveryFactory.build(guid=each.guid, account=octo) for each in entries
    )


def test_one_old_time_does_not_hide_the_pages_behind_it(octo: Installation, fake: FakeLog) -> None:
    now = clock.now()
    fake.entries = [entry(octo, 1, now - timedelta(hours=1))]
    ledger.read(hook(), now - timedelta(minutes=30))
    news = [entry(octo, 300 - i, now - timedelta(seconds=i)) for i in range(250)]
    news[40] = entry(octo, 260, now - timedelta(hours=3))
    fake.entries = [*news, *fake.entries]
    ledger.read(hook(), now)
    assert set(kinds()) == {"g-1", *(each.guid for each in news)}


def test_old_times_do_not_hide_new_entries_of_the_same_page(
    octo: Installation, fake: FakeLog
) -> None:
    now = clock.now()
    fake.entries = [entry(octo, 1, now - timedelta(hours=1))]
    ledger.read(hook(), now - timedelta(minutes=30))
    held = [entry(octo, 300 - i, now - timedelta(hours=2)) for i in range(250)]
    fake.entries = [*held, *fake.entries]
    ledger.read(hook(), now)
    assert "g-51" in kinds()


def test_five_minutes_are_read_again_however_much_happened_in_them(
    octo: Installation, fake: FakeLog
) -> None:
    now = clock.now()
    first = [entry(octo, 1000 + i, now - timedelta(seconds=60 - i / 4)) for i in range(240)]
    late = entry(octo, 1020, first[20].delivered_at, status_code=0)
    on_time = [each for each in first if each.id != late.id]
    arrived(octo, on_time)
    fake.entries = on_time[::-1]
    ledger.read(hook(), now)
    more = [entry(octo, 1240 + i, now + timedelta(seconds=i / 4)) for i in range(240)]
    arrived(octo, more)
    fake.entries = [*more[::-1], *(late if e.id == late.id else e for e in first[::-1])]
    ledger.read(hook(), now + timedelta(minutes=1))
    assert kinds() == {late.guid: "timed_out"}


def test_a_long_log_without_news_costs_one_request(octo: Installation, fake: FakeLog) -> None:
    now = clock.now()
    fake.entries = [entry(octo, 500 - i, now - timedelta(minutes=i)) for i in range(250)]
    arrived(octo, fake.entries)
    ledger.read(hook(), now)
    costs = []
    for minutes in (1, 6, 7, 60):
        fake.requests = 0
        assert ledger.read(hook(), now + timedelta(minutes=minutes)).missed == []
        costs.append(fake.requests)
    assert costs == [2, 2, 1, 1]  # the second page while the newest may still get late neighbours
    assert hook().read_at == now + timedelta(minutes=60)


def test_three_days_end_a_reading_even_if_all_is_new(octo: Installation, fake: FakeLog) -> None:
    now = clock.now()
    Installation.objects.update(created_at=now - 30 * DAY)
    Hook.objects.update(newest_id=1, newest_at=now - 9 * DAY, read_at=now - 9 * DAY)
    fake.entries = [entry(octo, 5000 - i, now - timedelta(hours=i)) for i in range(1000)]
    ledger.read(hook(), now)
    assert (fake.requests, len(kinds())) == (2, 73)


def test_a_time_to_come_counts_as_now(octo: Installation, fake: FakeLog) -> None:
    now = clock.now()
    fake.entries = [entry(octo, 7, now + 3650 * DAY), entry(octo, 6, now)]
    ledger.read(hook(), now)
    assert hook().newest_at == now
    assert (missed("g-7").first_at, missed("g-7").latest_at) == (now, now)
    later = now + timedelta(minutes=10)
    fake.entries = [entry(octo, 8, later - timedelta(seconds=9)), *fake.entries]
    ledger.read(hook(), later)
    assert set(kinds()) == {"g-6", "g-7", "g-8"}
    assert missed("g-7").first_at == now


@pytest.mark.parametrize(
    "error",
    [ServerError(status=502), NotFound(status=404), NetworkError(), ValidationFailed(status=422)],
    ids=lambda error: error.kind,
)
def test_a_page_that_cannot_be_read_keeps_no_news_back(
    octo: Installation, fake: FakeLog, error: GitHubError
) -> None:
    now = clock.now()
    old = [entry(octo, 300 - i, now - timedelta(minutes=1)) for i in range(300)]
    fake.entries, fake.broken, fake.error = old, 100, error
    at = now
    for number in range(1000, 1004):
        fake.entries = [entry(octo, number, at), *fake.entries]
        for _ in range(5):
            at += timedelta(minutes=4)
            if (hook().retry_at or at) <= at:
                assert ledger.read(hook(), at).error is error
        assert f"g-{number}" in kinds()  # within twenty minutes
        assert hook().newest_id is None
    fake.broken = None
    for _ in range(3):
        at += timedelta(minutes=4)
        ledger.read(hook(), at)
    assert set(kinds()) == {each.guid for each in fake.entries}
    state = hook()
    assert (state.newest_id, state.failures, state.error) == (1003, 0, "")


def test_an_entry_without_installation_is_whose_the_repository_is(
    octo: Installation, fake: FakeLog
) -> None:
    now = clock.now()
    repository = RepositoryFactory.create(installation=octo)
    mirrored = {"installation_id": None, "repository_id": repository.github_id}
    fake.entries = [
        entry(octo, 2, now, **mirrored),
        entry(octo, 1, now, installation_id=None, repository_id=repository.github_id + 1),
    ]
    ledger.read(hook(), now)
    assert list(MissedDelivery.objects.values_list("guid", "installation")) == [("g-2", octo.pk)]


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


def heard(account: Installation, hook_id: int, at: datetime) -> None:
    DeliveryFactory.create(
        account=account,
        target_type="organization",
        target_id=account.account_id,
        hook_id=hook_id,
        received_at=at,
    )


def test_a_hook_is_learned_from_what_it_delivered_in_three_days() -> None:
    now = clock.now()
    account = InstallationFactory.create(mode="token", account_type="Organization")
    heard(account, 77, now - timedelta(days=2, hours=23))
    heard(account, 78, now - timedelta(days=3, hours=1))
    hooks.learn(now)
    assert list(Hook.objects.values_list("github_id", flat=True)) == [77]


def test_what_was_learned_is_not_looked_for_again() -> None:
    now = clock.now()
    account = InstallationFactory.create(mode="token", account_type="Organization")
    WebhookState.objects.create(installation=account, rhythm_at=now - timedelta(minutes=50))
    heard(account, 77, now - timedelta(minutes=55))
    heard(account, 78, now - timedelta(hours=2))
    hooks.learn(now)
    assert list(Hook.objects.values_list("github_id", flat=True)) == [77]
    stranger = InstallationFactory.create(mode="token", account_type="Organization")
    WebhookState.objects.create(installation=stranger)  # nothing of it was looked at
    heard(stranger, 79, now - timedelta(hours=9))
    hooks.learn(now)
    assert Hook.objects.filter(github_id=79, installation=stranger).exists()


@pytest.mark.parametrize("url", ["https://[bad/", "", "http://mirror.example:99999999/"])
def test_an_address_that_is_none_leads_nowhere(url: str) -> None:
    assert not hooks.leads_here(HookRow(github_id=1, url=url, active=True))


@pytest.mark.parametrize("error", [ValueError("odd"), NetworkError(), DatabaseError("gone")])
def test_one_accounts_trouble_with_its_hooks_ends_no_check(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    poor = InstallationFactory.create(mode="token", account_type="Organization")
    asked = []

    def look_up(installation: Installation) -> None:
        asked.append(installation.pk)
        if installation == poor:
            raise error

    monkeypatch.setattr(hooks, "look_up", look_up)
    post.happens(repository, failed=1.0)
    assert check().opened == 1
    assert sorted(asked) == sorted(Installation.objects.values_list("pk", flat=True))
    assert not WebhookState.objects.filter(rhythm_at=None).exists()
