"""Gaps from their discovery to their end, with a GitHub that loses deliveries and redelivers them."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from random import Random
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from structlog.testing import capture_logs

from syncsvc import clock, events
from syncsvc.models import (
    Gap,
    Hook,
    Installation,
    MissedDelivery,
    Recheck,
    Repository,
    SyncJob,
    WebhookState,
)
from syncsvc.simulator import Fault, Simulator, World
from syncsvc.webhooks import gap_facts, healing, silence, watch
from tests.factories import (
    DeliveryFactory,
    GapFactory,
    HookFactory,
    InstallationFactory,
    MissedDeliveryFactory,
    SyncJobFactory,
)
from tests.ledger_support import Post, asked_of_logs, check, missed, post_of
from tests.support import discover, run, sync

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.spec("R6.6")]
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World.generate(
        seed=1,
        repositories=4,
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
    """An account that was mirrored before anything was lost."""
    installation = discover()
    assert sync(installation, "initial").status == "succeeded"
    return installation


@pytest.fixture
def post(app_mode: Simulator, octo: Installation) -> Iterator[Post]:
    with post_of(app_mode) as made:
        app_mode.reset_log()
        yield made


@pytest.fixture
def repository(world: World) -> int:
    return next(each.id for each in world.owned(world.account("octo-simulated")))


@pytest.fixture
def heard() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The events, in order."""
    told: list[tuple[str, dict[str, Any]]] = []

    def listen(name: str, fields: dict[str, Any], **_: Any) -> None:
        told.append((name, fields))

    events.happened.connect(listen)
    yield told
    events.happened.disconnect(listen)


def later(minutes: float) -> time_machine.travel:
    return time_machine.travel(clock.now() + minutes * MINUTE)


def gap() -> Gap:
    return Gap.objects.get()


def description(repository: int) -> str | None:
    return Repository.objects.get(github_id=repository).description


def what(found: Gap) -> list[str]:
    return [each["what"] for each in found.timeline]


@pytest.mark.spec("P2", "P3")
@pytest.mark.parametrize("weather", ["swallowed", "failed", "loss"])
def test_a_lost_delivery_is_redelivered_read_again_and_the_gap_closes(
    post: Post, repository: int, weather: str, heard: list[tuple[str, dict[str, Any]]]
) -> None:
    guid = post.happens(repository, **{weather: 1.0})
    report = check()
    assert (report.missed, report.opened, report.asked) == (1, 1, 1)
    found = gap()
    assert found.reason == ("missing_deliveries" if weather == "swallowed" else "failed_deliveries")
    assert (found.step, found.missed) == ("redelivering", 1)
    assert found.began_at == missed(guid).first_at
    post.deliver()
    assert post.redelivered() == [guid]
    check()
    found.refresh_from_db()
    assert (found.step, missed(guid).healed_by) == ("catching_up", "redelivery")
    assert Recheck.objects.get().github_id == repository
    assert found.job is not None
    assert (found.job.trigger, found.job.mode) == ("gap", "recheck")
    assert run(found.job_id or "").status == "succeeded"
    with later(1):
        assert check().closed == 1
    found.refresh_from_db()
    assert (found.step, found.healed_by) == ("closed", "redelivery")
    assert description(repository) == "change 0"
    assert found.seconds_to_detect is not None
    assert found.seconds_to_repair is not None
    assert 0 <= found.seconds_to_detect < 60
    assert 55 < found.seconds_to_repair < 120
    (named,) = found.evidence["missing"]
    assert (named["guid"], named["at"]) == (guid, missed(guid).first_at.isoformat())
    assert found.evidence["job_id"] == str(found.job_id)
    assert what(found)[0].startswith("GitHub's log names 1 delivery that did not arrive")
    told = dict(heard)
    assert told["gap.opened"]["missing"] == [
        {"guid": guid, "at": missed(guid).first_at.isoformat()}
    ]
    assert told["gap.closed"]["healed_by"] == "redelivery"
    assert told["delivery.redelivery_asked"]["missing"] == [guid]
    asked_of_logs(post.sim)


def test_who_never_gets_an_answer_is_asked_three_times_and_then_read(
    post: Post, repository: int
) -> None:
    post.answer = 500
    guid = post.happens(repository)
    times = 0
    for minute in range(20):
        with later(minute):
            check()
            post.deliver()
            times = len(post.redelivered())
        if gap().step == "catching_up":
            break
    assert (times, missed(guid).requests) == (3, 3)
    assert minute <= 14
    found = gap()
    assert found.job is not None
    with later(minute):
        assert run(found.job.pk).status == "succeeded"
        check()
    found.refresh_from_db()
    assert (found.healed_by, missed(guid).healed_by) == ("reread", "reread")
    assert description(repository) == "change 0"


@pytest.mark.spec("R6.5")
def test_redelivery_in_vain_is_its_own_reason(
    post: Post, repository: int, tune: Callable[..., Any]
) -> None:
    tune(redelivery_attempts=1)
    post.answer = 500
    post.happens(repository)
    check()
    post.deliver()
    with later(1.5):
        check()
    found = gap()
    assert (found.reason, found.step) == ("redelivery_exhausted", "catching_up")
    assert found.evidence["found_as"] == "failed_deliveries"


def test_more_losses_join_the_open_gap_and_send_it_round_again(
    post: Post, repository: int, world: World, tune: Callable[..., Any]
) -> None:
    tune(redelivery_attempts=0)
    other = [each.id for each in world.owned(world.account("octo-simulated"))][1]
    first = post.happens(repository, failed=1.0)
    check()
    found = gap()
    with later(1):
        run(found.job_id or "")
        second = post.happens(other, failed=1.0)
        check()
        found.refresh_from_db()
        assert (found.missed, found.closed_at) == (2, None)
        assert missed(first).healed_by == "reread"
        assert missed(second).healed_at is None
        assert found.step == "catching_up"
        run(found.job_id or "")
        check()
    found.refresh_from_db()
    assert found.closed_at is not None
    assert missed(second).healed_by == "reread"
    assert description(other) is not None
    assert Gap.objects.count() == 1


def test_a_failed_catch_up_is_followed_by_one_of_the_whole_account(
    post: Post, repository: int, tune: Callable[..., Any]
) -> None:
    tune(redelivery_attempts=0)
    post.happens(repository, failed=1.0)
    check()
    first = gap().job
    assert first is not None
    SyncJob.objects.filter(pk=first.pk).update(
        status="failed", started_at=clock.now(), finished_at=clock.now(), error="No."
    )
    check()
    assert gap().job_id == first.pk  # not at once
    with later(1.1):
        check()
        found = gap()
        assert found.job is not None
        assert (found.attempts, found.job.mode) == (1, "incremental")
        assert run(found.job.pk).status == "succeeded"
        check()
    assert (gap().healed_by, gap().step) == ("sync", "closed")
    assert not Recheck.objects.exists()


def test_a_request_that_policy_turns_down_is_made_again(
    post: Post, repository: int, octo: Installation, tune: Callable[..., Any]
) -> None:
    tune(redelivery_attempts=0)
    Installation.objects.update(blocked_until=clock.now() + 2 * MINUTE)
    post.happens(repository, failed=1.0)
    check()
    found = gap()
    assert (found.job, found.step) == (None, "catching_up")
    assert found.next_step_at > clock.now() + MINUTE
    with later(2.5):
        check()
        assert run(gap().job_id or "").status == "succeeded"
        check()
    assert gap().healed_by == "reread"
    assert len(what(gap())) == 4


def test_a_run_that_is_under_way_is_followed_by_one_that_covers_the_loss(
    post: Post, repository: int, octo: Installation, tune: Callable[..., Any]
) -> None:
    tune(redelivery_attempts=0)
    busy = SyncJobFactory.create(
        installation=octo, status="queued", mode="incremental", started_at=clock.now() - MINUTE
    )
    post.happens(repository, failed=1.0)
    check()
    assert gap().job_id == busy.pk
    SyncJob.objects.filter(pk=busy.pk).update(status="succeeded", finished_at=clock.now())
    with later(1):
        check()
        assert gap().job_id != busy.pk
        run(gap().job_id or "")
        check()
    assert gap().healed_by == "reread"


def test_catch_ups_are_spread_and_the_sweeper_rings_for_them(
    post: Post, repository: int, tune: Callable[..., Any], bells: list[Any]
) -> None:
    tune(redelivery_attempts=0)
    post.happens(repository, failed=1.0)
    bells.clear()
    now = clock.now()
    watch.check(now, rng=lambda: 0.5)
    job = gap().job
    assert job is not None
    assert (job.run_after, bells) == (now + timedelta(seconds=15), [])


def test_a_limit_stops_the_asking_and_it_goes_on_later(post: Post, repository: int) -> None:
    guids = [post.happens(repository, failed=1.0) for _ in range(4)]
    limit = Fault(
        kind="secondary_limit", status=403, method="POST", path_regex="attempts", after=2,
        retry_after=90,
    )  # fmt: skip
    post.sim.faults.add(limit)
    assert check().asked == 2
    post.deliver()
    assert post.redelivered() == guids[:1:-1]  # the newest first
    with later(1):
        assert check().asked == 0
    with later(2):
        assert check().asked == 2
        post.deliver()
    assert set(post.redelivered()) == set(guids)


def test_only_so_many_are_asked_for_in_one_check(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(healing.Check.__init__, "__kwdefaults__", {"redeliveries": 2, "asked": 0})
    for _ in range(3):
        post.happens(repository, failed=1.0)
    assert check().asked == 2
    with later(0.2):
        assert check().asked == 1


@pytest.mark.parametrize(
    ("status", "step", "healed_by"),
    [("uninstalled", "closed", "uninstalled"), ("suspended", "open", "")],
)
def test_gaps_of_accounts_that_left_close_and_of_suspended_ones_wait(
    app_mode: Simulator, status: str, step: str, healed_by: str
) -> None:
    installation = InstallationFactory.create(status=status)
    row = GapFactory.create(installation=installation)
    event = MissedDeliveryFactory.create(installation=installation, gap=row)
    healing.heal(row.pk, healing.Check(now=clock.now(), rng=lambda: 0.0))
    row.refresh_from_db()
    event.refresh_from_db()
    assert (row.step, row.healed_by, event.healed_by) == (step, healed_by, healed_by)
    assert not SyncJob.objects.exists()


def test_one_accounts_trouble_keeps_nobody_else_waiting(
    post: Post, repository: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlucky = GapFactory.create(opened_at=clock.now() - timedelta(hours=1))
    post.happens(repository, failed=1.0)
    plain = gap_facts.of

    def facts(row: Gap, *rest: Any) -> Any:
        if row.pk == unlucky.pk:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 / 0")
        return plain(row, *rest)

    monkeypatch.setattr(gap_facts, "of", facts)
    with capture_logs() as logs:
        assert check().asked == 1
    assert [each["gap_id"] for each in logs if each["event"] == "gap.failed"] == [unlucky.pk]


def test_two_checks_at_once_are_one(post: Post, repository: int) -> None:
    post.happens(repository, failed=1.0)
    reports = []

    def other() -> None:
        try:
            reports.append(check())
        finally:
            connection.close()

    with watch._alone() as alone:
        assert alone
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert [each.skipped for each in reports] == [True]
    assert not Gap.objects.exists()
    assert check().opened == 1


# -- silence ---------------------------------------------------------------------------------------


def busy(installation: Installation, weeks: int = 2, until: Any = None) -> None:
    """A delivery every other minute, around the clock; only some rows in full."""
    now = until or clock.now()
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO syncsvc_delivery (guid, hook_id, target_type, event, action, received_at,
                   due_at, account_id, payload_bytes, status, outcome, detail, attempts, processed_at)
               SELECT 'busy-' || n, 1, 'integration', 'push', '', %(now)s - n * interval '2 minutes',
                   %(now)s, %(account)s, 0, 'processed', '', '', 1, %(now)s
               FROM generate_series(0, %(minutes)s / 2) AS n""",
            {"now": now, "account": installation.account_id, "minutes": weeks * 7 * 24 * 60},
        )


@pytest.mark.spec("R6.5", "R6.4")
def test_the_silence_of_a_busy_account_is_found_and_what_was_lost_is_read(
    post: Post, octo: Installation, repository: int
) -> None:
    busy(octo)
    check()
    state = WebhookState.objects.get(installation=octo)
    assert len(state.rhythm) == 168
    assert 0.3 < min(state.rhythm) <= max(state.rhythm) < 0.5
    assert not Gap.objects.exists()
    post.happens(repository, silent_loss=1.0)  # not even the log tells
    with later(9):
        assert check().opened == 0
    with later(25):
        assert check().opened == 1
        found = gap()
        assert (found.reason, found.step) == ("silence", "catching_up")
        assert found.began_at == state.last_delivery_at
        assert found.seconds_to_detect == pytest.approx(25 * 60, abs=5)
        assert found.job is not None
        assert found.job.mode == "incremental"
        assert run(found.job.pk).status == "succeeded"
        check()
    found.refresh_from_db()
    assert (found.step, found.healed_by) == ("closed", "sync")
    assert description(repository) == "change 0"


def test_a_silence_of_githubs_own_does_not_alarm_twice(post: Post, octo: Installation) -> None:
    busy(octo)
    check()
    with later(25):
        check()
        run(gap().job_id or "")
        check()
        found = gap()
        assert (found.healed_by, found.step) == ("quiet", "closed")
        state = WebhookState.objects.get(installation=octo)
        assert state.longest_quiet >= found.evidence["surprise"] - 0.1
    with later(30):
        assert check().opened == 0
    with later(24 + 62):  # the rhythm is worked out anew meanwhile
        check()
        state.refresh_from_db()
        assert state.longest_quiet >= found.evidence["surprise"] - 0.1


@pytest.mark.spec("R6.5")
def test_quiet_and_unknown_accounts_raise_no_alarm(app_mode: Simulator) -> None:
    random = Random(3)
    now = clock.now()
    for deliveries, days in ((60, 1), (60, 28), (70, 28), (40, 28)):  # a day says nothing yet
        installation = InstallationFactory.create()
        for _ in range(deliveries):
            at = now - timedelta(days=random.uniform(0.5, days + 0.5))
            DeliveryFactory.create(account=installation, received_at=at)
    silence.note_last_deliveries()
    silence.work_out_rhythms(silence.due_for_rhythm(clock.now()), clock.now())
    assert silence.strange(clock.now()) == []


def test_an_outage_of_ours_does_not_become_a_habit(octo: Installation) -> None:
    now = clock.now()
    busy(octo, until=now - timedelta(hours=3))
    DeliveryFactory.create(account=octo, received_at=now)
    silence.note_last_deliveries()

    def longest() -> float:
        states = list(WebhookState.objects.filter(installation=octo).select_related("installation"))
        silence.work_out_rhythms(states, now)
        return WebhookState.objects.get(installation=octo).longest_quiet

    assert longest() > 30
    GapFactory.create(
        installation=octo,
        reason="silence",
        closed=True,
        began_at=now - timedelta(hours=3),
        opened_at=now - timedelta(hours=2),
        healed_by="sync",
    )
    assert longest() == 0


def test_the_check_costs_the_same_for_any_number_of_accounts(app_mode: Simulator) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            check()
        return len(captured)

    HookFactory.create(target_id=app_mode.app_id, github_id=0)
    InstallationFactory.create()
    check()
    few = queries()
    InstallationFactory.create_batch(20)
    check()
    assert queries() == few <= 20


# -- the command -----------------------------------------------------------------------------------


def command(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_gaps", *arguments, stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_the_command_shows_gaps_and_heals_them_while_one_waits(
    post: Post, repository: int, tune: Callable[..., Any]
) -> None:
    tune(redelivery_attempts=0)
    code, out, _ = command()
    assert (code, out) == (0, "No gap. 0 entries of 1 logs were compared.\n")
    guid = post.happens(repository, swallowed=1.0)
    code, out, _ = command("octo-simulated", "--json", "--wait")
    assert code == 0
    (line,) = map(json.loads, out.splitlines())
    assert (line["installation"], line["reason"], line["step"]) == (
        "octo-simulated",
        "missing_deliveries",
        "closed",
    )
    assert [each["guid"] for each in line["missing"]] == [guid]
    assert (line["healed_by"], line["missed"]) == ("reread", 1)
    assert description(repository) == "change 0"


def test_the_commands_exit_codes(post: Post, app_mode: Simulator) -> None:
    assert command("nobody")[0] == 2
    app_mode.faults.add(Fault(kind="status", status=404, path_regex="/app/hook"))
    code, _, err = command()
    assert code == 1
    assert "hook of App" in err
    held, done = threading.Event(), threading.Event()

    def other() -> None:
        with watch._alone():
            held.set()
            done.wait(10)
        connection.close()

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(10)
    try:
        assert command()[0] == 3
    finally:
        done.set()
        thread.join()
    assert Hook.objects.count() == 1
    assert MissedDelivery.objects.count() == 0
