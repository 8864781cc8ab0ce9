"""Runs against the simulated GitHub: whatever happens there, the mirror does not lie."""

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pytest_django import Settings

from reconciliation.models import Review
from reconciliation.run import Run
from syncsvc import clock, events, jobs, mirror
from syncsvc.models import EtagEntry, Installation, RateBudget, Repository, SyncJob
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator, World
from tests.support import (
    assert_equal_to_truth,
    discover,
    mirrored,
    row_versions,
    run,
    sync,
    synced_at,
    truth,
)

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/installation/repositories"


@pytest.fixture
def big(settings: Settings) -> Any:
    """An organization whose list has five pages."""
    world = World.generate(
        seed=3,
        repositories=450,
        issues_per_repository=0,
        pull_requests_per_repository=0,
        commits_per_repository=0,
    )
    with Simulator(world) as simulator:
        settings.GITHUB_API_URL = simulator.url
        settings.GITHUB_APP_ID = str(simulator.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
        yield simulator


def status_of(github_id: int) -> str:
    return Repository.objects.get(github_id=github_id).status


def first(installation: Installation, **filters: Any) -> Repository:
    row = Repository.objects.filter(installation=installation, **filters).first()
    assert row is not None
    return row


# --- the first run, and the second ----------------------------------------------------------------


@pytest.mark.spec("R5.5", "R7.7", "R8.1", "P1", "P14")
def test_the_first_run_makes_the_mirror_equal_and_enters_no_accuracy(app_mode: Simulator) -> None:
    installation = discover()
    job = sync(installation)
    assert (job.status, job.error) == ("succeeded", "")
    assert_equal_to_truth(app_mode.world, installation)
    assert job.counts["repositories"] == {
        "created": 30,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "errors": 0,
    }
    assert job.accuracy is None
    assert job.discrepancies == {}
    assert job.verification["ok"] is True
    assert job.verification["counts"] == {"github": 30, "mirror": 30}
    assert synced_at(job)


@pytest.mark.spec("R2.1", "R5.5")
def test_token_mode_mirrors_private_repositories_too(token_mode: Simulator) -> None:
    installation = discover(token_mode.token_owner)
    assert (installation.mode, installation.account_type) == ("token", "User")
    job = sync(installation)
    assert job.status == "succeeded"
    assert_equal_to_truth(token_mode.world, installation)
    assert Repository.objects.filter(installation=installation, visibility="private").exists()
    assert sync(installation).counts["repositories"]["unchanged"] == len(mirrored(installation))


@pytest.mark.spec("R2.1")
def test_token_mode_mirrors_an_organization_as_far_as_the_token_sees(
    token_mode: Simulator, settings: Settings
) -> None:
    settings.GITHUB_OWNER = "octo-simulated"
    installation = discover()
    assert sync(installation).status == "succeeded"
    seen = token_mode.world.truth_of("octo-simulated", viewer=token_mode.token_owner)
    assert set(mirrored(installation)) == {row["github_id"] for row in seen}


@pytest.mark.spec("R2.2")
def test_an_enterprise_server_below_a_path_of_its_own(settings: Settings, world: World) -> None:
    with Simulator(world, prefix="/api/v3") as server:
        settings.GITHUB_API_URL = server.url
        settings.GITHUB_APP_ID = str(server.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = server.private_key_pem
        assert server.url.endswith("/api/v3")
        installation = discover()
        sync(installation)
        row = first(installation)
        world.rename(row.github_id, "renamed")
        assert sync(installation, mode="repo", repository=row.full_name).status == "succeeded"
        assert_equal_to_truth(world, installation)


@pytest.mark.spec("R3.6")
def test_the_events_of_a_run(app_mode: Simulator) -> None:
    heard: list[tuple[str, dict[str, Any]]] = []

    def listen(name: str, fields: dict[str, Any], **_: Any) -> None:
        heard.append((name, fields))

    installation = discover()
    events.happened.connect(listen)
    try:
        job = sync(installation)
    finally:
        events.happened.disconnect(listen)
    names = [name for name, _ in heard]
    assert names[:3] == ["sync.request", "sync.job.started", "sync.job.progress"]
    assert names[-1] == "sync.job.completed"
    assert all(fields["installation_id"] == installation.pk for _, fields in heard)
    assert all(fields["job_id"] == str(job.pk) for _, fields in heard)
    started, completed = heard[1][1], heard[-1][1]
    assert (started["trigger"], started["repo_count"]) == ("manual", 0)
    assert completed["items_ingested"] == 60  # repositories and their figures of the day
    assert completed["duration_ms"] >= 0


@pytest.mark.spec("R4.3", "R5.5", "P38")
def test_the_second_run_costs_no_budget_and_writes_no_row(big: Simulator) -> None:
    installation = discover()
    sync(installation, mode="reconcile")
    before, etags = row_versions(), list(EtagEntry.objects.order_by("pk").values_list())
    remaining = RateBudget.objects.get(resource="core").remaining
    job = sync(installation, mode="reconcile")
    assert job.api["requests"] == job.api["not_modified"] == 5
    assert job.counts["repositories"]["unchanged"] == 450
    assert job.accuracy == 1.0
    assert row_versions() == before
    assert list(EtagEntry.objects.order_by("pk").values_list()) == etags
    assert RateBudget.objects.get(resource="core").remaining == remaining


@pytest.mark.spec("R4.3")
def test_a_new_token_makes_the_etags_useless_and_the_mirror_stays_equal(big: Simulator) -> None:
    installation = discover()
    sync(installation, mode="reconcile")
    before = row_versions()
    with time_machine.travel(clock.now() + timedelta(seconds=3700)):
        job = sync(installation, mode="reconcile")
    assert (job.api["requests"], job.api["not_modified"]) == (6, 0)
    assert row_versions() == before


@pytest.mark.spec("R7.1", "R9.1")
def test_a_row_that_was_edited_by_hand_is_put_right_even_behind_a_304(big: Simulator) -> None:
    installation = discover()
    sync(installation, mode="reconcile")
    row = first(installation)
    Repository.objects.filter(pk=row.pk).update(stars=row.stars + 5, description="edited by hand")
    job = sync(installation, mode="reconcile")
    assert job.api["not_modified"] == 5
    assert job.discrepancies == {"stale_metadata": 1}
    assert job.accuracy == pytest.approx(449 / 450)
    assert_equal_to_truth(big.world, installation)


# --- what changes at GitHub -----------------------------------------------------------------------


@pytest.mark.spec("R7.1", "R7.4")
def test_every_kind_of_change_is_found(app_mode: Simulator, tune: Any) -> None:
    tune(grace_seconds=0)
    installation = discover()
    sync(installation)
    world = app_mode.world
    ids = sorted(mirrored(installation))
    by_id = {row["github_id"]: row for row in truth(world, installation).values()}
    active = [i for i in ids if not by_id[i]["archived"] and by_id[i]["visibility"] == "public"]
    world.archive(active[0])
    world.rename(active[1], "renamed-at-github")
    world.privatize(active[2])
    world.edit(active[3], description="another", topics=["new"])
    world.delete(active[4])
    world.transfer(active[5], "bente-okafor")
    world.create("octo-simulated", "brand-new")
    with time_machine.travel(clock.now() + timedelta(seconds=120)):
        job = sync(installation)
    assert job.status == "succeeded"
    assert_equal_to_truth(world, installation)
    assert job.discrepancies == {
        "wrong_archived_flag": 1,
        "wrong_name": 1,
        "wrong_visibility": 1,
        "stale_metadata": job.discrepancies["stale_metadata"],
        "missing_at_github": 1,
        "wrong_owner": 1,
        "missing_repo": 1,
    }
    assert status_of(active[4]) == "deleted"
    assert status_of(active[5]) == "transferred"
    gone = Repository.objects.get(github_id=active[5])
    assert gone.owner == "bente-okafor"
    archived = Repository.objects.get(github_id=active[0])
    assert (archived.status, archived.automations_enabled) == ("archived", False)


@pytest.mark.spec("R7.1")
def test_name_swap(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    a, b = sorted(mirrored(installation))[:2]
    app_mode.world.swap_names(a, b)
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)


@pytest.mark.spec("R7.1", "R7.2")
def test_name_reuse_while_the_old_repository_was_renamed_and_transferred(
    app_mode: Simulator,
) -> None:
    installation = discover()
    sync(installation)
    old = first(installation, archived=False, visibility="public")
    app_mode.world.transfer(old.github_id, "bente-okafor", "moved-away")
    app_mode.world.create("octo-simulated", old.name)
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)
    old.refresh_from_db()
    assert (old.status, old.full_name) == ("transferred", "bente-okafor/moved-away")


@pytest.mark.spec("R7.1")
def test_transfer_between_two_installations_that_we_both_have(app_mode: Simulator) -> None:
    octo = discover()
    bente = Installation.objects.get(account_login="bente-okafor")
    sync(octo), sync(bente)
    moved = first(octo, archived=False, visibility="public")
    app_mode.world.transfer(moved.github_id, "bente-okafor")
    for installation in (octo, bente, octo):
        assert sync(installation).status == "succeeded"
    moved.refresh_from_db()
    assert (moved.installation_id, moved.status) == (bente.pk, "active")
    assert_equal_to_truth(app_mode.world, octo)
    assert_equal_to_truth(app_mode.world, bente)
    assert Repository.objects.filter(github_id=moved.github_id).count() == 1


@pytest.mark.spec("R2.3", "R7.1")
def test_account_renamed(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    app_mode.world.rename_account("octo-simulated", "octo-renamed")
    renamed = discover("octo-renamed")
    assert renamed.pk == installation.pk
    sync(renamed)
    assert_equal_to_truth(app_mode.world, renamed)


@pytest.mark.spec("R7.1", "R7.2")
def test_all_to_selected_removes_access_and_back_again_restores(
    app_mode: Simulator, tune: Any
) -> None:
    tune(mass_disappearance_percent=100)  # that many at once would be held
    installation = discover()
    sync(installation)
    ids = sorted(mirrored(installation))
    app_mode.world.select_repositories(installation.github_id, ids[:20])
    installation = discover()
    sync(installation)
    assert_equal_to_truth(app_mode.world, installation)
    gone = set(Repository.objects.filter(github_id__in=ids[20:]).values_list("status", flat=True))
    assert gone == {"access_removed"}
    app_mode.world.select_all(installation.github_id)
    installation = discover()
    sync(installation)
    assert_equal_to_truth(app_mode.world, installation)
    assert len(mirrored(installation)) == 30


@pytest.mark.spec("R7.1")
def test_unmanaged_policy_logs_new_repositories_and_manages_none(
    app_mode: Simulator, tune: Any
) -> None:
    tune(unmanaged_policy="log")
    installation = discover()
    sync(installation)
    assert Repository.objects.filter(status="unmanaged").count() == 0
    app_mode.world.create("octo-simulated", "wild")
    sync(installation)
    row = Repository.objects.get(name="wild")
    assert (row.status, row.automations_enabled) == ("unmanaged", False)
    assert row_versions() == (sync(installation), row_versions())[1]


# --- absence needs proof --------------------------------------------------------------------------


def assert_nothing_was_removed(installation: Installation, count: int = 450) -> None:
    assert len(mirrored(installation)) == count
    assert not Repository.objects.exclude(status__in=["active", "archived"]).exists()
    assert not Review.objects.exists()


@pytest.mark.spec("R7.2")
def test_a_listing_that_seems_to_end_early_is_read_on_to_its_total_count(big: Simulator) -> None:
    installation = discover()
    big.faults.add(Fault(kind="truncated", path_regex=f"{LIST}.*page=", times=None))
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(big.world, installation)


@pytest.mark.spec("R7.2")
def test_truncated_listing_deletes_nothing(big: Simulator) -> None:
    installation = discover()
    sync(installation)
    EtagEntry.objects.all().delete()
    big.faults.add(Fault(kind="empty_page", path_regex=f"{LIST}.*page=2", times=2))
    job = sync(installation)
    assert job.status == "partial"
    assert "not whole" in job.error
    assert job.accuracy is None
    check = job.verification
    assert (check["executed"], check["complete"], check["scope"], check["ok"]) == (
        True, False, "shown", None,
    )  # fmt: skip
    assert 0 < check["counts"]["github"] == check["counts"]["mirror"] < 450
    assert_nothing_was_removed(installation)
    assert not synced_at(job)


@pytest.mark.spec("R7.2", "R5.6")
def test_page_drift_is_read_again_until_the_list_is_whole(big: Simulator) -> None:
    installation = discover()
    sync(installation)
    EtagEntry.objects.all().delete()
    victim = sorted(mirrored(installation))[0]
    big.faults.add(
        Fault(
            kind="drift",
            path_regex=f"{LIST}.*page=1(&|$)",
            change=lambda: big.world.delete(victim),
        )
    )
    job = sync(installation)
    assert job.status == "succeeded"
    assert_equal_to_truth(big.world, installation)
    assert status_of(victim) == "deleted"


@pytest.mark.spec("R7.2", "R4.5")
def test_5xx_in_the_middle_keeps_what_came_before_and_deletes_nothing(big: Simulator) -> None:
    installation = discover()
    big.faults.add(Fault(kind="status", status=502, path_regex=f"{LIST}.*page=3", times=None))
    job = sync(installation)
    assert job.status == "failed"
    assert job.error_category == "network"
    assert 100 <= Repository.objects.count() < 450
    assert not Repository.objects.exclude(status__in=["active", "archived"]).exists()
    big.faults.clear()
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(big.world, installation)


@pytest.mark.spec("R4.5", "P28")
def test_a_passing_5xx_is_retried_with_growing_delays(
    big: Simulator, fast_retries: list[float]
) -> None:
    installation = discover()
    big.faults.add(Fault(kind="status", status=503, path_regex=f"{LIST}.*page=1(&|$)", times=3))
    assert sync(installation).status == "succeeded"
    assert len(fast_retries) == 3
    assert fast_retries == sorted(fast_retries)
    assert_equal_to_truth(big.world, installation)


@pytest.mark.spec("R7.2", "R4.1")
def test_expired_token_is_renewed_and_deletes_nothing(big: Simulator) -> None:
    installation = discover()
    sync(installation)
    big.faults.add(Fault(kind="status", status=401, path_regex=LIST, times=1))
    job = sync(installation)
    assert job.status == "succeeded"
    assert_equal_to_truth(big.world, installation)
    budget = RateBudget.objects.get(installation=installation, resource="core")
    assert budget.limit > 5000  # a 401 tells the budget of strangers, which is none of ours


@pytest.mark.spec("R7.2", "R10.1")
def test_refused_credentials_delete_nothing_and_say_what_to_do(
    app_mode: Simulator, settings: Settings
) -> None:
    installation = discover()
    sync(installation)
    app_mode.faults.add(Fault(kind="status", status=401, path_regex=LIST, times=None))
    job = sync(installation)
    assert (job.status, job.error_category) == ("failed", "authentication")
    assert "credentials" in job.error
    assert_nothing_was_removed(installation, 30)


@pytest.mark.spec("R2.3", "R7.2")
def test_suspended_installation_deletes_nothing_and_blocks(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    app_mode.world.suspend(installation.github_id)
    job = sync(installation)
    assert (job.status, job.error_category) == ("failed", "authentication")
    installation.refresh_from_db()
    assert installation.status == "suspended"
    assert_nothing_was_removed(installation, 30)
    assert str(SyncService.request(installation.pk, "cron").reason) == "suspended"
    app_mode.world.unsuspend(installation.github_id)
    discover()
    assert sync(installation).status == "succeeded"


@pytest.mark.spec("R2.3")
def test_uninstall_and_reinstall_keep_the_history(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    old_id = installation.github_id
    app_mode.world.uninstall(installation.github_id)
    assert sync(installation).status == "failed"
    installation.refresh_from_db()
    assert installation.status == "uninstalled"
    assert_nothing_was_removed(installation, 30)
    assert str(SyncService.request(installation.pk, "manual").reason) == "uninstalled"
    app_mode.world.reinstall("octo-simulated")
    again = discover()
    assert (again.pk, again.status) == (installation.pk, "active")
    assert again.github_id != old_id
    assert sync(again).status == "succeeded"
    assert_equal_to_truth(app_mode.world, again)
    assert SyncJob.objects.filter(installation=again).count() == 3


@pytest.mark.spec("R7.2")
def test_retired_api_version_deletes_nothing(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    app_mode.faults.add(
        Fault(
            kind="status",
            status=410,
            path_regex=LIST,
            times=None,
            message="This API version is no longer supported.",
        )
    )
    job = sync(installation)
    assert job.status == "failed"
    assert_nothing_was_removed(installation, 30)


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize(
    ("status", "kept"),
    [(404, "deleted"), (403, "access_removed"), (451, "active"), (500, "active")],
)
def test_a_missing_repository_is_asked_for_by_itself(
    app_mode: Simulator, status: int, kept: str
) -> None:
    installation = discover()
    sync(installation)
    row = first(installation, status="active", visibility="public")
    app_mode.world.delete(row.github_id)
    app_mode.faults.add(
        Fault(kind="status", status=status, path_regex=f"/repos/{row.full_name}$", times=None)
    )
    job = sync(installation)
    row.refresh_from_db()
    assert row.status == kept
    assert (row.missing_since is not None) is (kept == "active")
    assert job.status == ("partial" if kept == "active" else "succeeded")
    assert job.counts["repositories"]["updated"] == 0
    if kept == "active":
        assert job.failures[0]["item"] == row.full_name
    app_mode.faults.clear()
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)


@pytest.mark.spec("R7.5", "P41")
def test_a_listing_that_lags_behind_the_mirror_does_not_move_it_back(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    row = first(installation, status="active")
    app_mode.world.edit(row.github_id, description="newest")
    sync(installation)
    stale = truth(app_mode.world, installation)[row.github_id]
    assert stale["description"] == "newest"
    EtagEntry.objects.all().delete()
    position = [r["github_id"] for r in truth(app_mode.world, installation).values()].index(
        row.github_id
    )
    app_mode.faults.add(
        Fault(
            kind="bad_record",
            path_regex=LIST,
            record=position,
            damage={"description": "old", "updated_at": "2001-01-01T00:00:00Z"},
            times=None,
        )
    )
    job = sync(installation)
    assert job.status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)


# --- bad records, limits, races -------------------------------------------------------------------


@pytest.mark.spec("P30", "R10.5")
@pytest.mark.parametrize(
    "damage", [{"name": None}, {"id": "seven"}, {"owner": 7, "full_name": 7}, None]
)
def test_a_bad_record_among_good_ones_alone_is_skipped(
    app_mode: Simulator, damage: dict[str, Any] | None
) -> None:
    installation = discover()
    sync(installation)
    EtagEntry.objects.all().delete()
    app_mode.faults.add(
        Fault(kind="bad_record", path_regex=LIST, record=4, damage=damage, times=None)
    )
    job = sync(installation)
    assert job.status == "partial"
    assert job.counts["repositories"]["errors"] >= 1
    assert job.failures[0]["category"] == "validation"
    assert_nothing_was_removed(installation, 30)


@pytest.mark.spec("P30", "R10.5")
def test_a_record_that_the_database_cannot_hold_alone_is_skipped(app_mode: Simulator) -> None:
    installation = discover()
    app_mode.faults.add(
        Fault(
            kind="bad_record", path_regex=LIST, record=4, damage={"language": "x" * 500}, times=None
        )
    )
    job = sync(installation)
    assert job.status == "partial"
    # What the list said of it was refused; what it says itself was read again, and written.
    assert (job.counts["repositories"]["created"], job.counts["repositories"]["errors"]) == (30, 1)
    assert {failure["operation"] for failure in job.failures} == {"write"}
    assert job.verification["resync"]["resolved"] == 1
    app_mode.faults.clear()
    EtagEntry.objects.all().delete()
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)


@pytest.mark.spec("R4.2", "R3.5")
def test_an_exhausted_budget_blocks_the_job_and_it_goes_on_after_the_reset(big: Simulator) -> None:
    installation = discover()
    big.limits.set(installation.github_id, limit=5000, remaining=2, reset_in=600)
    decision = SyncService.request(installation.pk, "webhook")
    job = run(decision.job_id or "", last_attempt=False)
    assert (job.status, job.blocked_reason) == ("blocked", "budget")
    assert big.requests_while_exhausted == 0
    assert timedelta(seconds=590) < job.run_after - clock.now() < timedelta(seconds=700)
    assert str(SyncService.request(installation.pk, "manual").reason) == "already_syncing"
    with time_machine.travel(clock.now() + timedelta(seconds=700)):
        assert jobs.ring_waiting() == 1
        assert run(job.pk).status == "succeeded"
        assert_equal_to_truth(big.world, installation)
    assert big.requests_while_exhausted == 0


@pytest.mark.spec("R4.2")
@pytest.mark.parametrize("status", [403, 429])
def test_a_secondary_limit_blocks_and_deletes_nothing(app_mode: Simulator, status: int) -> None:
    installation = discover()
    sync(installation)
    app_mode.faults.add(
        Fault(kind="secondary_limit", path_regex=LIST, status=status, retry_after=90)
    )
    job = sync(installation)
    assert (job.status, job.blocked_reason) == ("blocked", "secondary_limit")
    assert timedelta(seconds=85) < job.run_after - clock.now() < timedelta(seconds=130)
    assert_nothing_was_removed(installation, 30)
    installation.refresh_from_db()
    assert installation.blocked_reason == "secondary_limit"


@pytest.mark.spec("R3.7")
def test_a_cancelled_run_keeps_what_it_wrote_and_says_so(
    big: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()
    job_id = SyncService.request(installation.pk, "manual").job_id or ""
    plain = mirror.apply

    def apply_and_cancel(*args: Any) -> Any:
        applied = plain(*args)
        SyncJob.objects.filter(pk=job_id).update(cancel_requested_at=clock.now())
        return applied

    monkeypatch.setattr(mirror, "apply", apply_and_cancel)
    monkeypatch.setattr("reconciliation.repositories.BATCH", 100)
    job = run(job_id)
    assert job.status == "cancelled"
    assert job.counts["repositories"]["created"] == 100
    assert Repository.objects.count() == 100
    assert not synced_at(job)


@pytest.mark.spec("R7.5", "P41")
def test_a_row_written_by_somebody_else_meanwhile_ends_equal_all_the_same(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()
    sync(installation)
    row = first(installation, status="active")
    app_mode.world.edit(row.github_id, description="newest")
    plain = mirror.apply

    def interfere(changes: Any, author: Any) -> Any:
        monkeypatch.setattr(mirror, "apply", plain)
        Repository.objects.filter(pk=row.pk).update(stars=1, version=row.version + 1)
        return plain(changes, author)

    monkeypatch.setattr(mirror, "apply", interfere)
    assert sync(installation).status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)


# --- dry run, one repository ----------------------------------------------------------------------


@pytest.mark.spec("R7.5")
def test_a_dry_run_says_what_would_change_and_changes_nothing(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    row = first(installation, status="active")
    app_mode.world.archive(row.github_id)
    app_mode.world.create("octo-simulated", "brand-new")
    before = row_versions()
    installation.refresh_from_db()
    synced = installation.last_synced_at
    job = sync(installation, dry_run=True)
    assert job.status == "succeeded"
    assert row_versions() == before
    installation.refresh_from_db()
    assert installation.last_synced_at == synced
    plan = {entry["repository"]: entry for entry in job.plan}
    assert plan["octo-simulated/brand-new"]["operation"] == "create"
    archived = plan[row.full_name]
    assert archived["before"]["archived"] is False
    assert archived["after"]["archived"] is True
    assert job.counts["repositories"] | {"unchanged": 0} == {
        "created": 1,
        "updated": 1,
        "unchanged": 0,
        "deleted": 0,
        "errors": 0,
    }


@pytest.mark.spec("R7.5")
def test_a_dry_run_does_not_fail_over_a_repository_that_it_would_remove(
    app_mode: Simulator,
) -> None:
    installation = discover()
    sync(installation)
    row = first(installation, status="active")
    app_mode.world.delete(row.github_id)
    job = sync(installation, dry_run=True)
    assert (job.status, job.failures) == ("succeeded", [])
    assert job.discrepancies == {"missing_at_github": 1}
    assert job.counts["repositories"]["deleted"] == 1


@pytest.mark.spec("R5.5")
def test_one_repository_alone(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    row, other = list(Repository.objects.filter(installation=installation, status="active")[:2])
    app_mode.world.edit(row.github_id, description="changed")
    app_mode.world.edit(other.github_id, description="changed too")
    job = sync(installation, mode="repo", repository=row.full_name)
    assert (job.status, job.api["requests"]) == ("succeeded", 2)
    row.refresh_from_db()
    other.refresh_from_db()
    assert row.description == "changed"
    assert other.description != "changed too"


@pytest.mark.spec("R7.2", "R8.1")
def test_a_repository_that_only_the_list_lacks_stays_and_is_no_failure(
    app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation = discover()
    sync(installation)
    row = first(installation, status="active", visibility="public")
    monkeypatch.setattr(Run, "listed_under", lambda *_: None)  # the list still says "all"
    shown = app_mode.world.installation(installation.github_id)
    shown.selection, shown.repository_ids = (
        "selected",
        {github_id for github_id in mirrored(installation) if github_id != row.github_id},
    )
    job = sync(installation)
    row.refresh_from_db()
    assert (job.status, row.status, row.missing_since) == ("succeeded", "active", None)
    assert job.counts["repositories"]["updated"] == 0


@pytest.mark.spec("R5.5", "R7.2")
def test_one_repository_that_was_renamed_deleted_or_is_unknown(app_mode: Simulator) -> None:
    installation = discover()
    sync(installation)
    a, b = list(Repository.objects.filter(installation=installation, status="active")[:2])
    app_mode.world.rename(a.github_id, "another-name")
    assert sync(installation, mode="repo", repository=a.full_name).status == "succeeded"
    app_mode.world.delete(b.github_id)
    assert sync(installation, mode="repo", repository=b.full_name).status == "succeeded"
    assert_equal_to_truth(app_mode.world, installation)
    assert status_of(b.github_id) == "deleted"
    job = sync(installation, mode="repo", repository="octo-simulated/never-was")
    assert job.status == "failed"
    assert "does not know" in job.error


@pytest.mark.spec("R11.3")
def test_nothing_that_a_run_leaves_behind_holds_a_secret(
    app_mode: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    installation = discover()
    app_mode.faults.add(Fault(kind="status", status=500, path_regex=LIST, times=2))
    sync(installation)
    token = app_mode.installation_token(installation.github_id)
    output = capfd.readouterr()
    rows = repr(list(SyncJob.objects.values())) + repr(list(EtagEntry.objects.values()))
    for text in (output.out, output.err, rows):
        assert "ghs_" not in text
        assert "PRIVATE KEY" not in text
        assert token not in text
