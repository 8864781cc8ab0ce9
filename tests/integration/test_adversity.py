"""What goes wrong between two moments: races, kills, stale words. Each of these once lied or lost."""

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import time_machine
from django.db import IntegrityError, connection, transaction

from reconciliation import repositories, settling
from syncsvc import clock, jobs, mirror, scheduling, service
from syncsvc.endings import Outcome
from syncsvc.github.budget import BudgetGuard
from syncsvc.models import EtagEntry, Installation, Repository, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator
from syncsvc.stores import DatabaseBudgetStore
from tests.factories import InstallationFactory, SyncJobFactory
from tests.support import assert_equal_to_truth, discover, mirrored, run, sync

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/installation/repositories"


def public(installation: Installation) -> Repository:
    row = installation.repositories.filter(status="active", visibility="public").first()
    assert row is not None
    return row


# --- the door --------------------------------------------------------------------------------------


@pytest.mark.spec("R3.3")
def test_a_webhooks_request_is_not_lost_when_the_job_ends_while_we_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = SyncJobFactory.create(running=True)
    plain = service._remember

    def ends_just_now(*arguments: Any) -> bool:
        SyncJob.objects.filter(pk=job.pk).update(
            status="succeeded", lease=None, finished_at=clock.now()
        )
        return plain(*arguments)

    monkeypatch.setattr(service, "_remember", ends_just_now)
    decision = SyncService.request(job.installation_id, "webhook")
    assert str(decision.action) == "start"
    assert decision.job_id != str(job.pk)


def test_a_lesser_request_does_not_take_the_place_of_an_urgent_one() -> None:
    job = SyncJobFactory.create(running=True)
    for trigger in ("maintenance", "webhook", "maintenance"):
        SyncService.request(job.installation_id, trigger)
    job.refresh_from_db()
    assert job.follow_up == "webhook"


def test_what_an_uninstalled_account_left_behind_starves_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scheduling, "AT_ONCE", 2)
    for _ in range(3):
        gone = InstallationFactory.create(status="uninstalled")
        SyncJobFactory.create(installation=gone, follow_up="gap")
    alive = SyncJobFactory.create(follow_up="gap")
    assert scheduling.request_remembered() == 1
    assert SyncJob.objects.filter(installation=alive.installation, status="queued").exists()


def test_a_request_that_breaks_another_rule_is_told_so() -> None:
    with pytest.raises(IntegrityError, match="repo_job_names_its_repository"):
        SyncService.request(InstallationFactory.create().pk, "manual", mode="repo")


@pytest.mark.spec("R3.4")
def test_the_scheduler_and_the_button_do_not_lock_each_other_out() -> None:
    installation = InstallationFactory.create()
    asked, answered = threading.Event(), threading.Event()

    def press() -> None:
        try:
            with transaction.atomic():
                SyncService.request(installation.pk, "manual")
                asked.set()
                answered.wait(1)
        finally:
            connection.close()

    button = threading.Thread(target=press)
    button.start()
    assert asked.wait(10)
    timer = threading.Timer(0.5, answered.set)
    timer.start()
    assert scheduling.request_due() == 1  # waits for the button's commit, and is no deadlock
    button.join(10)
    assert SyncJob.objects.get().status == "queued"


# --- the life of a job -----------------------------------------------------------------------------


@pytest.mark.spec("R10.1", "R10.4")
def test_a_job_that_kills_every_worker_is_given_up() -> None:
    job = SyncJobFactory.create(waiting=True)
    for turn in range(20):
        with time_machine.travel(clock.now() + timedelta(seconds=100 * turn), tick=False):
            jobs.ring_waiting()
            if jobs.claim(job.pk) is None:
                break
    job.refresh_from_db()
    assert (job.status, job.attempt, job.lease) == ("dead", 5, None)
    assert "died 5 times" in job.error
    job.installation.refresh_from_db()
    assert job.installation.consecutive_failures == 1


@pytest.mark.spec("R3.7")
def test_a_wish_to_cancel_survives_a_rate_limit(app_mode: Simulator) -> None:
    installation = discover()
    app_mode.limits.set(installation.github_id, remaining=0, reset_in=600)
    job = SyncJob.objects.get(pk=SyncService.request(installation.pk, "manual").job_id or "")
    lease = jobs.claim(job.pk)
    assert lease is not None
    SyncJob.objects.filter(pk=job.pk).update(cancel_requested_at=clock.now())
    lease.block(clock.now() + timedelta(hours=1), "budget", Outcome())
    job.refresh_from_db()
    assert job.status == "cancelled"


@pytest.mark.spec("R10.5")
@pytest.mark.parametrize(("cuts", "ends"), [(1, "succeeded"), (2, "queued")])
def test_a_connection_that_is_cut_in_the_middle_ends_no_job_and_one_cut_twice_the_attempt(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch, cuts: int, ends: str
) -> None:
    job_id = SyncService.request(discover().pk, "manual").job_id or ""
    plain, left = mirror.read, [None] * cuts

    def cut_off(ids: Any) -> Any:
        if not left:
            return plain(ids)
        left.pop()
        assert connection.connection is not None
        pid = connection.connection.info.backend_pid
        with psycopg.connect(connection.connection.info.dsn, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return plain(ids)

    monkeypatch.setattr(mirror, "read", cut_off)
    job = run(job_id, last_attempt=False)
    assert (job.status, job.error_category) == (ends, "database" if cuts > 1 else "")


@pytest.mark.spec("R10.3")
def test_mistyped_names_open_no_breaker(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    for _ in range(6):
        job = sync(installation, mode="repo", repository="octo-simulated/typo")
        assert job.status == "failed"
    installation.refresh_from_db()
    assert (installation.consecutive_failures, installation.breaker_open_until) == (0, None)


def test_one_repositorys_success_does_not_hide_the_accounts_trouble(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    Installation.objects.update(last_error="The list fails.", consecutive_failures=3)
    sync(installation, mode="repo", repository=public(installation).full_name)
    sync(installation, dry_run=True)
    installation.refresh_from_db()
    assert (installation.last_error, installation.consecutive_failures) == ("The list fails.", 3)


# --- stale words -----------------------------------------------------------------------------------


@pytest.mark.spec("R7.2")
def test_what_was_learned_of_absentees_survives_a_limit(app_mode: Simulator, tune: Any) -> None:
    tune(mass_disappearance_percent=100)  # that many at once would be held
    installation = discover()
    sync(installation)
    for github_id in sorted(mirrored(installation))[:20]:
        app_mode.world.delete(github_id)
    app_mode.limits.set(installation.github_id, remaining=115)
    job_id = SyncService.request(installation.pk, "webhook").job_id or ""
    assert run(job_id).status == "blocked"
    assert Repository.objects.filter(status="deleted").exists()


@pytest.mark.spec("R7.2", "R2.3")
def test_a_selection_that_changed_before_discovery_noticed_is_no_deletion(
    app_mode: Simulator, tune: Any
) -> None:
    tune(mass_disappearance_percent=100)  # that many at once would be held
    installation = discover()
    sync(installation)
    ids = sorted(mirrored(installation))
    app_mode.world.select_repositories(installation.github_id, ids[:10])
    assert sync(installation).status == "succeeded"
    rest = Repository.objects.filter(github_id__in=ids[10:])
    assert set(rest.values_list("status", flat=True)) == {"access_removed"}


@pytest.mark.spec("R7.2")
def test_a_404_by_name_is_no_proof_while_the_id_lives_on(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    row = public(installation)
    app_mode.world.transfer(row.github_id, "bente-okafor", "elsewhere")
    reused = app_mode.world.create("octo-simulated", row.name)
    app_mode.world.delete(reused.id)  # the redirect went with it
    sync(installation)
    row.refresh_from_db()
    assert (row.status, row.full_name) == ("transferred", "bente-okafor/elsewhere")


@pytest.mark.spec("R7.1", "R19.2")
def test_a_stale_list_takes_nothing_from_another_account(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    octo = discover()
    bente = Installation.objects.get(account_login="bente-okafor")
    sync(octo)
    sync(bente)
    row = public(octo)
    EtagEntry.objects.all().delete()
    plain = settling.settle

    def overtaken(running: Any, rows: Any) -> None:
        monkeypatch.setattr(repositories, "settle", plain)
        app_mode.world.transfer(row.github_id, "bente-okafor")
        sync(bente)
        plain(running, rows)

    monkeypatch.setattr(repositories, "settle", overtaken)
    sync(octo)
    row.refresh_from_db()
    assert (row.installation_id, row.owner) == (bente.pk, "bente-okafor")


@pytest.mark.spec("R19.2")
def test_a_strangers_row_in_our_list_is_not_claimed(app_mode: Simulator) -> None:
    installation = discover()
    stranger = {"login": "stranger", "id": 424242, "type": "User"}
    app_mode.faults.add(
        Fault(kind="bad_record", path_regex=LIST, record=2, times=None, damage={"owner": stranger})
    )
    job = sync(installation)
    assert job.status == "partial"
    assert "belongs to another" in job.failures[0]["message"]
    assert not Repository.objects.filter(owner="stranger").exists()


@pytest.mark.spec("R7.5", "P41")
def test_a_removal_that_lost_a_race_is_judged_again(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()
    sync(installation)
    row = public(installation)
    app_mode.world.delete(row.github_id)
    plain = mirror.apply

    def interfere(*arguments: Any) -> Any:
        monkeypatch.setattr(mirror, "apply", plain)
        Repository.objects.filter(pk=row.pk).update(stars=1, version=row.version + 1)
        return plain(*arguments)

    monkeypatch.setattr(mirror, "apply", interfere)
    assert sync(installation).status == "succeeded"
    row.refresh_from_db()
    assert row.status == "deleted"


@pytest.mark.spec("R5.5")
def test_one_repository_whose_name_was_used_again(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    row = public(installation)
    app_mode.world.delete(row.github_id)
    app_mode.world.create("octo-simulated", row.name)
    sync(installation, mode="repo", repository=row.full_name)
    assert_equal_to_truth(app_mode.world, installation)


@pytest.mark.spec("R7.2")
def test_a_blocked_repository_is_told_once_and_freezes_nothing(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    row = public(installation)
    app_mode.world.delete(row.github_id)
    app_mode.faults.add(
        Fault(kind="status", status=451, path_regex=f"/repos/{row.full_name}$", times=None)
    )
    assert sync(installation).status == "partial"
    assert sync(installation).status == "succeeded"
    row.refresh_from_db()
    assert row.missing_since is not None


@pytest.mark.spec("R4.2")
def test_a_process_that_was_slow_does_not_wipe_a_newer_pause() -> None:
    installation = InstallationFactory.create()
    slow = BudgetGuard(DatabaseBudgetStore(installation.pk), 0, clock.now, lambda: 0.5)
    until = clock.now() + timedelta(minutes=10)
    Installation.objects.update(blocked_until=until, secondary_strikes=2)
    reset = str(int((clock.now() + timedelta(minutes=30)).timestamp()))
    slow.observe(
        {
            "X-RateLimit-Limit": "5000",
            "X-RateLimit-Remaining": "10",
            "X-RateLimit-Reset": reset,
        }
    )
    slow.flush()
    installation.refresh_from_db()
    assert (installation.blocked_until, installation.secondary_strikes) == (until, 2)
    assert installation.budgets.get().remaining == 10
