"""Many repositories that vanish at once: held, decided by people, carried out or forgotten (R7.3)."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from pytest_django import Settings

from reconciliation import evidence, vanishing
from reconciliation.models import Discrepancy, Review
from syncsvc import clock, events, rechecks
from syncsvc.models import EtagEntry, Installation, RateBudget, Recheck, Repository, SyncJob
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator, World
from tests.support import assert_equal_to_truth, discover, mirrored, row_versions, run, sync

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/installation/repositories"
GONE = ("deleted", "access_removed", "transferred")


@pytest.fixture
def octo(app_mode: Simulator) -> Installation:
    """An account whose 30 repositories are mirrored."""
    installation = discover()
    sync(installation, mode="reconcile")
    return installation


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The ids of the repositories that were asked for by themselves."""
    ids: list[int] = []
    plain = evidence.ask

    def ask(client: Any, mine: Any) -> Any:
        ids.append(mine.github_id)
        return plain(client, mine)

    monkeypatch.setattr(evidence, "ask", ask)
    return ids


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """The events of reviews."""
    heard: list[tuple[str, dict[str, Any]]] = []
    plain = events.emit

    def emit(name: str, **fields: Any) -> None:
        if name.startswith("review."):
            heard.append((name, fields))
        plain(name, **fields)

    monkeypatch.setattr(events, "emit", emit)
    return heard


def some(installation: Installation, count: int) -> list[int]:
    rows = installation.repositories.filter(archived=False)
    ids = rows.order_by("-visibility", "github_id").values_list("github_id", flat=True)[:count]
    assert len(ids) == count
    return sorted(ids)


def delete(world: World, ids: Collection[int]) -> None:
    for github_id in ids:
        world.delete(github_id)


def reconcile(installation: Installation, **options: Any) -> SyncJob:
    return sync(installation, mode="reconcile", **options)


def statuses(ids: Collection[int]) -> set[str]:
    rows = Repository.objects.filter(github_id__in=ids)
    return set(rows.values_list("status", flat=True))


def decide(review: Review, status: str) -> None:
    """What a person does, on a page or by the API."""
    Review.objects.filter(pk=review.pk, status="open").update(
        status=status, decided_at=clock.now(), reason="Looked at it."
    )


def held_items() -> set[str]:
    rows = Discrepancy.objects.filter(repair_status="needs_manual_review")
    assert set(rows.values_list("type", "proposed_action")) <= {("missing_at_github", "review")}
    return set(rows.values_list("item_key", flat=True))


# --- holding --------------------------------------------------------------------------------------


@pytest.mark.spec("R7.3", "R7.4", "P38")
def test_too_many_at_once_are_held_told_and_asked_once_an_hour(
    octo: Installation,
    app_mode: Simulator,
    asked: list[int],
    told: list[tuple[str, dict[str, Any]]],
) -> None:
    gone = some(octo, 8)
    delete(app_mode.world, gone)
    before = row_versions()
    job = reconcile(octo)
    assert (job.status, job.error_category) == ("partial", "validation")
    assert job.error.startswith("8 of 30 repositories (octo-simulated/")
    assert "27 % where 20 % may be: nothing was removed." in job.error
    assert [(f["item"], f["operation"]) for f in job.failures] == [("repositories", "hold")]
    assert statuses(gone) == {"active"}
    assert sorted(asked) == gone
    # Neither right nor wrong: unknown.
    assert (job.accuracy, job.discrepancies) == (1.0, {})
    assert (job.verification["held"], job.verification["unexplained"]) == (8, 0)
    review = Review.objects.get()
    assert (review.status, review.vanished, review.present) == ("open", 8, 30)
    assert (review.threshold_percent, review.correlation_id) == (20.0, job.pk)
    assert {item["says"] for item in review.items} == {"not found"}
    assert sorted(item["github_id"] for item in review.items) == gone
    assert held_items() == {str(each) for each in gone}
    assert [name for name, _ in told] == ["review.opened"]
    assert told[0][1]["job_id"] == str(job.pk)
    # The one write is the mark that keeps others from reading them by name.
    marked = row_versions()
    assert {key for key in marked if marked[key] != before[key]} == set(gone)
    assert set(
        Repository.objects.filter(missing_since__isnull=False).values_list("github_id", flat=True)
    ) == set(gone)

    asked.clear()
    again = reconcile(octo)
    assert (again.status, asked, len(told)) == ("partial", [], 1)
    assert row_versions() == marked
    assert Discrepancy.objects.count() == 8
    refreshed = Review.objects.get()
    assert (refreshed.pk, refreshed.correlation_id) == (review.pk, again.pk)
    assert refreshed.last_seen_at > review.last_seen_at
    assert refreshed.items == review.items
    with time_machine.travel(clock.now() + timedelta(minutes=61)):
        reconcile(octo)
    assert sorted(asked) == gone


@pytest.mark.spec("R7.2", "R7.3")
def test_those_that_githubs_word_accounts_for_are_settled_and_do_not_count(
    octo: Installation, app_mode: Simulator
) -> None:
    world = app_mode.world
    ids = some(octo, 10)
    moved, deleted, blocked = ids[:5], ids[5:7], ids[7:9]
    for github_id in moved:
        world.transfer(github_id, "bente-okafor")
    delete(world, deleted)
    for row in Repository.objects.filter(github_id__in=blocked):
        # The list lacks them, and they answer that a law keeps them away.
        world.delete(row.github_id)
        app_mode.faults.add(
            Fault(kind="status", status=451, path_regex=f"/repos/{row.full_name}$", times=None)
        )
    job = reconcile(octo)  # 9 of 30 are missing, and of 2 nobody knows where they went
    assert job.status == "partial"  # as always when something is blocked
    assert (statuses(moved), statuses(deleted), statuses(blocked)) == (
        {"transferred"}, {"deleted"}, {"active"},
    )  # fmt: skip
    assert not Review.objects.exists()


@pytest.mark.spec("R7.2", "R7.3")
def test_moved_ones_go_although_the_others_are_held(
    octo: Installation, app_mode: Simulator
) -> None:
    ids = some(octo, 12)
    for github_id in ids[:4]:
        app_mode.world.transfer(github_id, "bente-okafor")
    delete(app_mode.world, ids[4:])
    assert reconcile(octo).status == "partial"
    assert (statuses(ids[:4]), statuses(ids[4:])) == ({"transferred"}, {"active"})
    assert sorted(item["github_id"] for item in Review.objects.get().items) == ids[4:]


@pytest.mark.spec("R7.3")
def test_one_run_asks_fifty_and_the_next_ones_the_others(
    octo: Installation,
    app_mode: Simulator,
    asked: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reconciliation.vanishing.MOST_ASKED", 5)
    gone = some(octo, 12)
    delete(app_mode.world, gone)
    reconcile(octo)
    items = Review.objects.get().items
    assert sorted(item["says"] for item in items) == ["not asked"] * 7 + ["not found"] * 5
    reconcile(octo), reconcile(octo), reconcile(octo)
    assert sorted(asked) == gone  # each once
    assert {item["says"] for item in Review.objects.get().items} == {"not found"}


@pytest.mark.spec("R7.3")
def test_a_whole_list_that_is_empty_is_held(octo: Installation, app_mode: Simulator) -> None:
    app_mode.world.select_repositories(octo.github_id, [])
    job = reconcile(octo)
    assert (job.status, job.counts["repositories"]["deleted"]) == ("partial", 0)
    assert job.verification["counts"]["github"] == 0
    assert len(mirrored(octo)) == 30
    assert Review.objects.get().vanished == 30


@pytest.mark.spec("R7.2", "R7.3")
def test_an_empty_whole_list_of_a_tiny_account_is_asked_about_one_by_one(
    octo: Installation, app_mode: Simulator
) -> None:
    kept, ids = some(octo, 2), set(mirrored(octo))
    Repository.objects.filter(installation=octo, github_id__in=ids - set(kept)).delete()
    delete(app_mode.world, ids)
    assert reconcile(octo).status == "succeeded"
    assert (statuses(kept), Review.objects.count()) == ({"deleted"}, 0)


@pytest.mark.spec("R7.3", "R7.7")
def test_the_first_run_of_an_account_holds_nothing(app_mode: Simulator) -> None:
    assert reconcile(discover()).status == "succeeded"
    assert not Review.objects.exists()


@pytest.mark.spec("R7.3", "R7.5")
def test_a_dry_run_tells_what_it_would_hold_and_writes_nothing(
    octo: Installation, app_mode: Simulator
) -> None:
    gone = some(octo, 8)
    delete(app_mode.world, gone)
    before = row_versions()
    job = reconcile(octo, dry_run=True)
    assert job.status == "partial"
    assert "nothing was removed" in job.failures[0]["message"]
    assert [step["operation"] for step in job.plan] == ["hold"] * 8
    assert {step["after"]["says"] for step in job.plan} == {"not found"}
    assert row_versions() == before
    assert not Review.objects.exists()
    assert not Discrepancy.objects.filter(repair_status="needs_manual_review").exists()


@pytest.mark.spec("R7.3")
def test_what_is_held_is_not_read_by_name(octo: Installation, app_mode: Simulator) -> None:
    delete(app_mode.world, some(octo, 8))
    reconcile(octo)
    job = sync(octo, mode="incremental")
    assert [each["operation"] for each in job.failures] == ["hold"]


@pytest.mark.spec("R7.3", "R10.2")
def test_a_run_that_is_killed_after_holding_is_taken_up_again(
    octo: Installation, app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(app_mode.world, some(octo, 8))

    def dies(*_: Any, **__: Any) -> None:
        raise SystemExit

    job_id = SyncService.request(octo.pk, "manual", mode="reconcile").job_id or ""
    with monkeypatch.context() as patch:
        patch.setattr("reconciliation.verification.verify_repositories", dies)
        with pytest.raises(SystemExit):
            run(job_id)
    assert Review.objects.get().status == "open"
    assert run(job_id).status == "partial"
    assert (Review.objects.count(), Discrepancy.objects.count()) == (1, 8)


# --- decisions ------------------------------------------------------------------------------------


@pytest.mark.spec("R7.3", "R7.4")
def test_they_come_back_and_the_review_closes_by_itself(
    octo: Installation, app_mode: Simulator, told: list[tuple[str, dict[str, Any]]]
) -> None:
    ids = sorted(mirrored(octo))
    app_mode.world.select_repositories(octo.github_id, ids[:20])
    reconcile(octo)
    assert len(held_items()) == 10
    app_mode.world.select_all(octo.github_id)
    job = reconcile(octo)
    assert (job.status, job.discrepancies) == ("succeeded", {})
    review = Review.objects.get()
    assert (review.status, review.decided_by) == ("withdrawn", None)
    assert review.decided_at is not None
    assert "lists all of them again" in review.reason
    assert held_items() == set()
    assert set(Discrepancy.objects.values_list("repair_status", "repaired_by")) == {
        ("repaired", "github")
    }
    assert not Repository.objects.filter(missing_since__isnull=False).exists()
    assert [name for name, _ in told] == ["review.opened", "review.withdrawn"]
    assert_equal_to_truth(app_mode.world, octo)


@pytest.mark.spec("R7.2", "R7.3")
def test_when_most_came_back_the_rest_is_settled(octo: Installation, app_mode: Simulator) -> None:
    gone = some(octo, 8)
    victims = set(gone)
    world = app_mode.world
    ids = sorted(mirrored(octo))
    world.select_repositories(octo.github_id, [each for each in ids if each not in victims])
    reconcile(octo)
    world.select_repositories(octo.github_id, [each for each in ids if each not in gone[:2]])
    job = reconcile(octo)
    assert job.status == "succeeded"
    review = Review.objects.get()
    assert (review.status, statuses(gone[:2]), statuses(gone[2:])) == (
        "withdrawn", {"access_removed"}, {"active"},
    )  # fmt: skip
    assert "2 are still missing" in review.reason
    assert held_items() == set()
    assert_equal_to_truth(world, octo)


@pytest.mark.spec("R7.1", "R7.2", "R7.3")
def test_a_selection_that_shrank_is_held_and_once_approved_access_removed(
    octo: Installation, app_mode: Simulator
) -> None:
    ids = sorted(mirrored(octo))
    app_mode.world.select_repositories(octo.github_id, ids[:20])
    reconcile(octo)
    review = Review.objects.get()
    says = {item["says"] for item in review.items}
    assert "still there, outside the App's selection" in says
    assert statuses(ids[20:]) <= {"active", "archived"}
    decide(review, "approved")
    job = reconcile(octo)
    assert (job.status, job.discrepancies) == ("succeeded", {"missing_at_github": 10})
    assert statuses(ids[20:]) == {"access_removed"}
    review.refresh_from_db()
    assert (review.status, review.carried_out_at is not None) == ("approved", True)
    assert held_items() == set()
    assert_equal_to_truth(app_mode.world, octo)
    app_mode.world.select_repositories(octo.github_id, ids[:10])
    reconcile(octo)  # the approval was for those, and for once
    assert len(mirrored(octo)) == 20
    assert Review.objects.filter(status="open").count() == 1


@pytest.mark.spec("R7.2", "R7.3")
def test_a_selection_that_lost_a_few_is_not_held(octo: Installation, app_mode: Simulator) -> None:
    ids = sorted(mirrored(octo))
    app_mode.world.select_repositories(octo.github_id, ids[:-5])
    assert reconcile(octo).status == "succeeded"
    assert (statuses(ids[-5:]), Review.objects.count()) == ({"access_removed"}, 0)


@pytest.mark.spec("R7.2", "R7.3")
def test_an_approval_is_for_its_repositories_alone_and_evidence_still_decides(
    octo: Installation, app_mode: Simulator
) -> None:
    world = app_mode.world
    ids = some(octo, 16)
    delete(world, ids[:8])
    reconcile(octo)
    review = Review.objects.get()
    decide(review, "approved")
    delete(world, ids[8:15])
    sick = Repository.objects.get(github_id=ids[0])
    pages = f"/(repos/{sick.full_name}|repositories/{ids[0]})$"
    app_mode.faults.add(Fault(kind="status", path_regex=pages, times=None))
    job = reconcile(octo)
    assert job.status == "partial"
    # 7 of the 22 that are left besides: a review of their own.
    assert (statuses(ids[1:8]), statuses([*ids[8:15], ids[0]])) == ({"deleted"}, {"active"})
    second = Review.objects.get(status="open")
    assert sorted(item["github_id"] for item in second.items) == ids[8:15]
    review.refresh_from_db()
    assert review.carried_out_at is None  # of one GitHub has not said what became of it
    app_mode.faults.clear()
    reconcile(octo)
    review.refresh_from_db()
    assert (statuses(ids[:8]), review.carried_out_at is not None) == ({"deleted"}, True)


@pytest.mark.spec("R7.3")
def test_a_rejection_keeps_them_for_a_day_and_shields_nobody_else(
    octo: Installation, app_mode: Simulator, asked: list[int]
) -> None:
    world = app_mode.world
    ids = some(octo, 17)
    delete(world, ids[:8])
    reconcile(octo)
    decide(Review.objects.get(), "rejected")
    asked.clear()
    job = reconcile(octo)
    assert (job.status, asked, job.verification["kept"]) == ("succeeded", [], 8)
    delete(world, ids[8:10])  # few by themselves: they go
    assert reconcile(octo).status == "succeeded"
    assert (statuses(ids[:8]), statuses(ids[8:10])) == ({"active"}, {"deleted"})
    assert not Review.objects.filter(status="open").exists()
    delete(world, ids[10:17])  # many by themselves: held
    assert reconcile(octo).status == "partial"
    assert sorted(i["github_id"] for i in Review.objects.get(status="open").items) == ids[10:17]
    with time_machine.travel(clock.now() + timedelta(hours=25)):
        reconcile(octo)
    assert Review.objects.get(status="open").vanished == 15
    assert statuses(ids[:8]) == {"active"}


@pytest.mark.spec("R7.3", "P39")
def test_a_decision_that_comes_while_a_run_holds_is_not_overwritten(
    octo: Installation, app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete(app_mode.world, some(octo, 8))
    reconcile(octo)
    plain = vanishing.judge

    def meanwhile(*arguments: Any) -> Any:
        decide(Review.objects.get(), "approved")
        return plain(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(vanishing, "judge", meanwhile)
        reconcile(octo)
    review = Review.objects.get()
    assert (review.status, review.carried_out_at) == ("approved", None)
    assert reconcile(octo).status == "succeeded"
    assert statuses([item["github_id"] for item in review.items]) == {"deleted"}


# --- asked for by name ----------------------------------------------------------------------------


@pytest.mark.spec("R6.6", "R7.3")
def test_a_catch_up_that_finds_many_gone_leaves_them_to_the_list(
    octo: Installation, app_mode: Simulator
) -> None:
    gone = some(octo, 8)
    delete(app_mode.world, gone)
    named = [Asked(github_id=each, itself=True, reason="gap") for each in gone]
    rechecks.ask(octo.pk, named, trigger="gap", now=clock.now())
    sync(octo, "gap", mode="recheck")
    assert statuses(gone) == {"active"}
    assert list(Recheck.objects.values_list("github_id", flat=True)) == [rechecks.WHOLE_LIST]
    sync(octo, "gap", mode="incremental")
    assert (statuses(gone), Review.objects.get().vanished) == ({"active"}, 8)
    # One that is held does not go because somebody names it, either.
    one = Repository.objects.get(github_id=gone[0])
    rechecks.ask(octo.pk, named[:1], trigger="gap", now=clock.now())
    sync(octo, "gap", mode="recheck")
    sync(octo, mode="repo", repository=one.full_name)
    assert statuses(gone) == {"active"}


@pytest.mark.spec("R5.6", "R7.3")
def test_a_retry_that_finds_its_repository_gone_leaves_it_to_the_list(
    octo: Installation, app_mode: Simulator
) -> None:
    one = Repository.objects.get(github_id=some(octo, 1)[0])
    app_mode.world.delete(one.github_id)
    sync(octo, "cron", mode="repo", repository=one.full_name)
    assert statuses([one.github_id]) == {"active"}
    assert Recheck.objects.get().github_id == rechecks.WHOLE_LIST
    sync(octo, "webhook", mode="incremental")
    assert statuses([one.github_id]) == {"deleted"}


@pytest.mark.spec("R6.3", "R7.3")
def test_a_catch_up_that_finds_few_gone_removes_them(
    octo: Installation, app_mode: Simulator
) -> None:
    gone = some(octo, 2)
    delete(app_mode.world, gone)
    named = [Asked(github_id=each, itself=True, reason="gap") for each in gone]
    rechecks.ask(octo.pk, named, trigger="gap", now=clock.now())
    assert sync(octo, "gap", mode="recheck").status == "succeeded"
    assert statuses(gone) == {"deleted"}


@pytest.mark.spec("R6.3", "R7.3")
def test_many_that_vanish_in_small_doses_are_left_to_the_list_as_well(
    octo: Installation, app_mode: Simulator
) -> None:
    gone = some(octo, 8)
    delete(app_mode.world, gone)
    for one, other in zip(gone[::2], gone[1::2], strict=True):
        named = [Asked(github_id=each, itself=True, reason="gap") for each in (one, other)]
        rechecks.ask(octo.pk, named, trigger="gap", now=clock.now())
        sync(octo, "gap", mode="recheck")
    left = [each for each in gone if statuses([each]) == {"active"}]
    assert len(left) >= 2
    assert Recheck.objects.filter(github_id=rechecks.WHOLE_LIST).exists()


# --- what must never look like a disappearance ----------------------------------------------------


@pytest.fixture
def long(settings: Settings) -> Iterator[Simulator]:
    """An organization whose list has three pages, so that there is a middle."""
    world = World.generate(
        seed=3,
        repositories=210,
        issues_per_repository=0,
        pull_requests_per_repository=0,
        commits_per_repository=0,
    )
    with Simulator(world) as simulator:
        settings.GITHUB_API_URL = simulator.url
        settings.GITHUB_APP_ID = str(simulator.app_id)
        settings.GITHUB_APP_PRIVATE_KEY = simulator.private_key_pem
        yield simulator


SECOND = f"{LIST}.*[?&]page=2(&|$)"
IN_THE_MIDDLE: dict[str, Fault] = {
    "truncated listing": Fault(kind="empty_page", path_regex=SECOND, times=None),
    "expired token": Fault(kind="status", status=401, path_regex=SECOND, times=None),
    "server error 5xx": Fault(kind="status", status=503, path_regex=SECOND, times=None),
    "retired API version 410": Fault(
        kind="status",
        status=410,
        path_regex=SECOND,
        times=None,
        message="This API version is no longer supported.",
    ),
    "secondary limit": Fault(kind="secondary_limit", path_regex=SECOND, times=None, status=403),
}


def assert_that_nothing_vanished(installation: Installation, count: int) -> None:
    assert len(mirrored(installation)) == count
    assert not Repository.objects.filter(status__in=GONE).exists()
    assert not Repository.objects.filter(missing_since__isnull=False).exists()
    assert not Review.objects.exists()
    assert not Discrepancy.objects.exists()


@pytest.mark.spec("R7.2", "R7.3")
def test_truncated_listing_expired_token_5xx_and_retired_api_410_remove_nothing_and_open_no_review(
    long: Simulator,
) -> None:
    installation = discover()
    reconcile(installation)
    for trouble, fault in IN_THE_MIDDLE.items():
        EtagEntry.objects.all().delete()
        long.faults.add(replace(fault))
        job = reconcile(installation)
        assert job.status in ("partial", "failed", "blocked"), trouble
        assert_that_nothing_vanished(installation, 210)
        long.faults.clear()
        SyncJob.objects.all().delete()
        Installation.objects.update(blocked_until=None, breaker_open_until=None)
    assert reconcile(installation).status == "succeeded"


@pytest.mark.spec("R7.2", "R7.3")
def test_page_drift_that_takes_one_and_hides_a_hundred_removes_the_one(long: Simulator) -> None:
    installation = discover()
    reconcile(installation)
    EtagEntry.objects.all().delete()
    victim = sorted(mirrored(installation))[0]
    after_the_first_page = Fault(
        kind="drift",
        path_regex=f"{LIST}.*page=1(&|$)",
        change=lambda: long.world.delete(victim),
    )
    long.faults.add(after_the_first_page)
    assert reconcile(installation).status == "succeeded"
    assert (statuses([victim]), len(mirrored(installation))) == ({"deleted"}, 209)
    assert not Review.objects.exists()


@pytest.mark.spec("R2.3", "R7.2", "R7.3")
def test_suspended_installation_removes_nothing_and_opens_no_review(
    octo: Installation, app_mode: Simulator
) -> None:
    app_mode.world.suspend(octo.github_id)
    assert reconcile(octo).status == "failed"
    assert_that_nothing_vanished(octo, 30)


@pytest.mark.spec("R4.2", "R7.3")
def test_exhausted_budget_before_and_among_the_questions_removes_nothing_and_opens_no_review(
    octo: Installation, app_mode: Simulator, tune: Callable[..., Any]
) -> None:
    gone = some(octo, 10)
    delete(app_mode.world, gone)
    for left in (0, 104):  # 100 are kept in reserve: one for the list, and two questions
        tune(manual_cooldown_seconds=0, budget_reserve=100, webhook_reserve=0)
        app_mode.limits.set(octo.github_id, remaining=left, reset_in=600)
        job_id = SyncService.request(octo.pk, "webhook", mode="reconcile").job_id or ""
        assert run(job_id).status == "blocked"
        assert (statuses(gone), Review.objects.count()) == ({"active"}, 0)
        SyncJob.objects.all().delete()
        Installation.objects.update(blocked_until=None)
        RateBudget.objects.all().delete()
    app_mode.limits.set(octo.github_id, remaining=5000)
    reconcile(octo)
    assert (statuses(gone), Review.objects.count()) == ({"active"}, 1)
