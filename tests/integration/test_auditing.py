"""The independent audit: it finds what runs overlook, has it put right, and accuses nobody wrongly."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import time_machine
from django.db import connection

from reconciliation import auditing
from reconciliation.auditing_asking import GIVE_UP_AFTER, MOST_A_QUESTION
from reconciliation.auditing_drawing import Side, draw, survey
from reconciliation.models import Discrepancy, RunFigure, SampleAudit, SampledItem
from syncsvc import clock, events, rechecks, scheduling, selectors
from syncsvc.leases import Lease
from syncsvc.models import (
    Commit,
    ContentList,
    Installation,
    Issue,
    PullRequest,
    RateBudget,
    Recheck,
    Repository,
    SyncJob,
)
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, Simulator, World
from tests.contract import contract_dir, validate_request
from tests.factories import DeliveryFactory, RepositoryFactory, SyncJobFactory
from tests.support import (
    assert_contents_equal_truth,
    assert_equal_to_truth,
    discover,
    ours,
    roomy,
    run,
    sync,
)

pytestmark = pytest.mark.django_db

LATER = timedelta(hours=1)


@pytest.fixture
def world() -> World:
    """A small GitHub whose repositories hold something."""
    return World.generate(
        seed=3,
        repositories=4,
        issues_per_repository=5,
        pull_requests_per_repository=2,
        commits_per_repository=4,
    )


@pytest.fixture
def octo(app_mode: Simulator, tune: Callable[..., Any]) -> Iterator[Installation]:
    """A mirror that is right, an hour after it was read; audits read everything."""
    tune(audit_sample=10_000, audit_budget_percent=50)
    installation = discover()
    assert sync(installation, mode="full").status == "succeeded"
    installation.refresh_from_db()
    app_mode.reset_log()
    with time_machine.travel(clock.now() + LATER, tick=True):
        yield installation


def audit(installation: Installation, **options: Any) -> SampleAudit:
    """Asks for an audit and runs it, before whatever waits; returns what it left."""
    SyncJob.objects.filter(status="queued").delete()
    job = sync(installation, "maintenance", mode="audit", **options)
    assert job.status == "succeeded", job.error
    return SampleAudit.objects.get(job=job)


def wrong(row: SampleAudit) -> Counter[tuple[str, str]]:
    """What it found wrong, by entity and side."""
    return Counter(row.items.filter(result="wrong").values_list("entity", "side"))


def repair(installation: Installation) -> SyncJob:
    """The run that the audit asked for."""
    job = SyncJob.objects.get(installation=installation, status="queued")
    assert (job.mode, job.trigger) == ("recheck", "maintenance")
    job = run(job.pk)
    assert job.status == "succeeded", job.error
    assert not Recheck.objects.exists()
    return job


def a_row(model: type[Any], world: World) -> Any:
    """A row of the mirror in a repository that takes changes."""
    return model.objects.filter(repository=ours(roomy(world, 1, 1, 2))).order_by("pk")[0]


# -- what is right ---------------------------------------------------------------------------------


@pytest.mark.spec("R8.3", "R4.7")
def test_of_a_right_mirror_everything_matches_and_nothing_is_written(
    octo: Installation, app_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract_dir()
    told: list[Any] = []
    monkeypatch.setattr(events, "emit", lambda name, **fields: told.append((name, fields)))
    before, jobs = octo.last_synced_at, selectors.latest_jobs([octo])
    row = audit(octo)
    found = survey(octo.pk, 1000)
    there = {f"{entity}/{side}": n for (entity, side), n in found.populations().items() if n}
    assert {key: each["population"] for key, each in row.strata.items()} == there
    assert {key: each["matched"] for key, each in row.strata.items()} == there
    assert set(there) == {f"{e}/{s}" for e in auditing_entities() for s in ("mirror", "github")}
    assert (row.sampled, row.matched, row.estimate, row.high) == (
        sum(there.values()), sum(there.values()), 1.0, 1.0,
    )  # fmt: skip
    assert row.low is not None
    assert 0.9 < row.low < 1
    assert not Discrepancy.objects.exists()
    assert not Recheck.objects.exists()
    assert not RunFigure.objects.filter(job=row.job).exists()
    octo.refresh_from_db()
    assert octo.last_synced_at == before
    assert selectors.latest_jobs([octo]) == jobs
    [completed] = [fields for name, fields in told if name == "audit.completed"]
    assert completed["job_id"] == str(row.job_id)
    sent = [each for each in app_mode.requests() if "access_tokens" not in each.path]
    api = SyncJob.objects.get(pk=completed["job_id"]).api
    assert row.requests == len(sent) == api["requests"] - 1  # the App's token is another's
    assert row.points == api["graphql_points"] > 0
    for each in sent:
        if each.path != "/graphql":
            validate_request(each.method, each.url)
    paths = Counter(row.items.values_list("entity", "path"))
    assert {key[1] for key in paths if key[0] == "repositories"} == {"graphql"}
    assert {key[1] for key in paths if key[0] != "repositories"} == {"rest"}


def auditing_entities() -> tuple[str, ...]:
    return ("repositories", "issues", "pull_requests", "commits")


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.spec("R8.3", "R7.4", "R8.2")
def test_whatever_is_wrong_is_found_and_put_right(octo: Installation, world: World) -> None:
    issue, pull, commit = (a_row(model, world) for model in (Issue, PullRequest, Commit))
    home = issue.repository
    lost = Commit.objects.filter(repository=home).order_by("pk").last()
    assert lost is not None
    Issue.objects.filter(pk=issue.pk).update(title="By hand")
    PullRequest.objects.filter(pk=pull.pk).update(labels=["by hand"])
    Commit.objects.filter(pk=commit.pk).update(message="By hand")
    lost.delete()
    extra = Issue.objects.get(pk=issue.pk)
    extra.pk, extra.github_id, extra.number = None, 424_242, 999_999
    extra.save(force_insert=True)
    Repository.objects.filter(pk=home.pk).update(description="By hand", stars=123_456)

    row = audit(octo)
    assert wrong(row) == {
        ("repositories", "mirror"): 1, ("repositories", "github"): 1,
        ("issues", "mirror"): 2, ("issues", "github"): 1,
        ("pull_requests", "mirror"): 1, ("pull_requests", "github"): 1,
        ("commits", "mirror"): 1, ("commits", "github"): 2,
    }  # fmt: skip
    assert (row.unknown, row.in_flight) == (0, 0)
    right = row.strata["issues/mirror"]["matched"]
    # All items of both sides together: 6 of them are wrong, 2 of these on one side only.
    everything = sum(n["population"] for n in row.strata.values())
    union = (everything + 2) / 2
    assert row.estimate == pytest.approx((union - 6) / union)
    assert right + 2 == row.strata["issues/mirror"]["population"]

    kinds = dict(Discrepancy.objects.values_list("type", "item_key"))
    assert kinds == {
        "stale_metadata": str(home.github_id),
        "stale_issue": str(issue.github_id),
        "issue_missing_at_github": "424242",
        "stale_pull_request": str(pull.github_id),
        "stale_commit": commit.sha,
        "missing_commit": lost.sha,
    }
    found = Discrepancy.objects.get(type="stale_metadata")
    assert (found.detector, found.repair_status, found.correlation_id) == (
        "audit", "proposed", row.job_id,
    )  # fmt: skip
    assert found.before == {"description": "By hand", "stars": 123_456}
    item = SampledItem.objects.get(result="wrong", item_key=str(issue.github_id), side="mirror")
    assert item.differences == {"before": {"title": "By hand"}, "after": {"title": issue.title}}
    assert item.discrepancy == Discrepancy.objects.get(type="stale_issue")
    assert item.repository == home
    lists = ContentList.objects.filter(whole_at__isnull=True)
    assert {(each.repository_id, each.entity) for each in lists} == {
        (home.pk, entity) for entity in auditing_entities()[1:]
    }

    job = repair(octo)
    repaired = Discrepancy.objects.values_list("repair_status", "repaired_in", "detector")
    assert set(repaired) == {("repaired", job.pk, "audit")}
    assert_equal_to_truth(world, octo)
    assert_contents_equal_truth(world, octo)
    assert wrong(audit(octo)) == {}


@pytest.mark.spec("R8.3", "R7.2")
def test_what_changed_without_a_word_is_found_on_both_sides(
    octo: Installation, world: World, app_mode: Simulator
) -> None:
    kept, gone = roomy(world, 2, 1, 2), roomy(world, skip=1)
    world.edit(kept.id, topics=["new"])
    number = world.content(kept).issues[0].number
    world.delete_issue(kept.id, number)
    new = world.open_issue(kept.id, title="Nobody told")
    world.delete(gone.id)
    fresh = world.create("octo-simulated", "fresh")
    with time_machine.travel(clock.now() + LATER, tick=True):
        row = audit(octo)
        found = set(Discrepancy.objects.values_list("type", flat=True))
        assert {"issue_missing_at_github", "missing_issue", "missing_repo"} <= found
        assert {"stale_metadata", "missing_at_github"} <= found
        assert Discrepancy.objects.get(type="missing_issue").name.endswith(f"#{new.number}")
        assert Discrepancy.objects.get(type="missing_repo").item_key == str(fresh.id)
        # A list that is gone with its repository says nothing of its items.
        lost = row.items.filter(repository=ours(gone)).exclude(entity="repositories")
        assert {each.result for each in lost} <= {"unknown"}
        repair(octo)
        assert ours(gone).status == "deleted"
        assert Repository.objects.filter(github_id=fresh.id, status="active").exists()
        assert wrong(audit(octo)) == {}


@pytest.mark.spec("R8.3", "R7.2")
def test_what_moved_away_or_came_in_numbers_is_found(octo: Installation, world: World) -> None:
    repository, other = roomy(world, 2, 1, 2), roomy(world, 1, 0, 1, skip=1)
    issue = world.content(repository).issues[0]
    world.transfer_issue(repository.id, issue.number, other.id)
    for n in range(30):
        world.open_issue(other.id, title=f"Untold {n}")
    world.force_push(repository.id, drop=1, add=1)
    with time_machine.travel(clock.now() + LATER, tick=True):
        row = audit(octo)
    kinds = Counter(Discrepancy.objects.values_list("type", flat=True))
    assert kinds["issue_missing_at_github"] == 1
    assert kinds["missing_commit"] == 1
    assert kinds["missing_issue"] >= 1  # places that could not be drawn before are drawn now
    # What was dropped is shown by its sha as before: only its value is judged.
    assert "commit_missing_at_github" not in kinds
    gone = Discrepancy.objects.get(type="issue_missing_at_github")
    assert gone.after == {"present": False, "removal": "transferred"}
    assert row.unknown == 0


@pytest.mark.spec("R8.3")
def test_a_dry_run_proposes_and_asks_for_nothing(octo: Installation, world: World) -> None:
    issue = a_row(Issue, world)
    Issue.objects.filter(pk=issue.pk).update(title="By hand")
    assert audit(octo, dry_run=True).wrong == 2
    assert Discrepancy.objects.count() == 1
    assert not Recheck.objects.exists()
    assert not ContentList.objects.filter(whole_at__isnull=True).exists()


# -- neither right nor wrong -----------------------------------------------------------------------


@pytest.mark.spec("R8.3", "R10.2")
def test_an_audit_whose_worker_dies_at_its_end_is_told_as_if_it_had_not(
    octo: Installation, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoilt = a_row(Issue, world)
    Issue.objects.filter(pk=spoilt.pk).update(title="Not GitHub's")
    job_id = SyncService.request(octo.pk, "maintenance", mode="audit").job_id

    def die(_lease: Lease, _outcome: Any) -> None:
        raise KeyboardInterrupt  # the job is handed back

    with monkeypatch.context() as patch:
        patch.setattr(Lease, "succeed", die)
        with pytest.raises(KeyboardInterrupt):
            run(job_id or "")
    job = run(job_id or "")
    row = SampleAudit.objects.get(job=job)
    assert job.verification["audit"]["wrong"] == row.wrong > 0
    # What an audit finds stands in its own figures, and in none of the runs'.
    assert (job.status, job.accuracy, job.discrepancies) == ("succeeded", None, {})
    assert not RunFigure.objects.filter(job=job).exists()


@pytest.mark.spec("R8.3", "R7.6")
def test_what_has_just_changed_is_in_flight(octo: Installation, world: World) -> None:
    repository = roomy(world, 2, 1, 2)
    number = world.content(repository).issues[0].number
    world.edit_issue(repository.id, number, title="A moment ago")
    world.push(repository.id)
    row = audit(octo)
    assert (row.wrong, row.matched + row.in_flight) == (0, row.sampled)
    # The repository and the issue from both sides, and from GitHub's most often the commit.
    assert row.in_flight in (4, 5)
    assert not Discrepancy.objects.exists()
    assert row.estimate == 1.0
    with time_machine.travel(clock.now() + LATER, tick=True):
        assert audit(octo).wrong in (4, 5)


@pytest.mark.spec("R8.3", "R7.6")
@pytest.mark.parametrize("told", ["recheck", "delivery"])
def test_what_a_webhook_has_told_of_is_in_flight(
    octo: Installation, world: World, told: str
) -> None:
    issue = a_row(Issue, world)
    Issue.objects.filter(pk=issue.pk).update(title="By hand")
    github_id = issue.repository.github_id
    if told == "recheck":
        asked = [rechecks.Asked(github_id=github_id, reason="tie", told=rechecks.ITEMS)]
        rechecks.ask(octo.pk, asked, trigger="webhook", now=clock.now())
    else:
        DeliveryFactory.create(
            repository_github_id=github_id, account_id=octo.account_id, waiting=True
        )
    row = audit(octo)
    assert (row.wrong, row.in_flight) == (0, 2)
    assert not Discrepancy.objects.exists()


@pytest.mark.spec("R8.3", "R5.6")
def test_what_github_cannot_answer_is_unknown_and_never_wrong(
    octo: Installation, world: World, app_mode: Simulator
) -> None:
    issue = a_row(Issue, world)
    Issue.objects.filter(pk=issue.pk).update(title="By hand")
    path = f"/repositories/{issue.repository.github_id}/(issues|pulls)"
    app_mode.faults.add(Fault(kind="status", path_regex=path, status=502, times=None))
    app_mode.faults.add(Fault(kind="status", path_regex="/graphql", status=502, times=None))
    row = audit(octo)
    assert (row.wrong, row.unknown > 4) == (0, True)
    assert {each.result for each in row.items.filter(entity="repositories")} == {"unknown"}
    assert row.matched + row.unknown == row.sampled
    assert not Discrepancy.objects.exists()


@pytest.mark.spec("R8.3", "R4.2")
def test_a_limit_ends_the_asking_and_not_the_mirror(
    octo: Installation, app_mode: Simulator
) -> None:
    fault = Fault(kind="secondary_limit", path_regex="/repositories/.*", times=None, after=3)
    app_mode.faults.add(fault)
    row = audit(octo)
    assert row.wrong == 0
    assert row.unknown > row.sampled / 2
    assert len(app_mode.requests("/repositories/")) <= 4
    job = SyncJob.objects.get(audits=row)
    assert (job.status, job.installation.consecutive_failures) == ("succeeded", 0)


@pytest.mark.spec("R8.3", "R10.5")
@pytest.mark.parametrize("status", [404, 502])
def test_whoever_finds_no_github_asks_it_five_times(
    octo: Installation, app_mode: Simulator, status: int
) -> None:
    path = "/repositories/.*|/installation/repositories|/graphql"
    app_mode.faults.add(Fault(kind="status", path_regex=path, status=status, times=None))
    row = audit(octo)
    assert (row.matched, row.wrong, row.estimate) == (0, 0, None)
    assert row.unknown == row.sampled > 30
    if status == 502:
        # Each question three times again; GraphQL's may come in between.
        assert row.requests in (GIVE_UP_AFTER * 4, GIVE_UP_AFTER * 4 + 1)


@pytest.mark.spec("R8.3", "R4.1")
def test_a_refused_credential_ends_the_run_and_not_the_mirror(
    octo: Installation, app_mode: Simulator
) -> None:
    app_mode.faults.add(Fault(kind="status", path_regex="/repositories/.*", status=401, times=None))
    job = sync(octo, "maintenance", mode="audit")
    assert (job.status, job.error_category) == ("failed", "authentication")
    assert not SampleAudit.objects.exists()
    assert not Discrepancy.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.spec("R8.3", "R10.3")
def test_an_audit_that_crashes_does_not_stop_the_syncs(
    octo: Installation, monkeypatch: pytest.MonkeyPatch, tune: Callable[..., Any]
) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("crashed")

    tune(breaker_failures=1)
    monkeypatch.setattr(auditing, "judge", crash)
    assert sync(octo, "maintenance", mode="audit").status == "failed"
    octo.refresh_from_db()
    assert (octo.consecutive_failures, octo.breaker_open_until, octo.last_error) == (0, None, "")


@pytest.mark.spec("R8.3", "R2.1")
def test_what_the_app_may_not_read_is_left_out(
    octo: Installation, world: World, app_mode: Simulator
) -> None:
    hidden = roomy(world, 0, 2, 1)
    hidden.visibility = "private"
    permissions = {"metadata": "read", "contents": "read", "pull_requests": "read"}
    world.installations[octo.github_id].permissions = permissions
    Installation.objects.filter(pk=octo.pk).update(permissions=permissions)
    Repository.objects.filter(github_id=hidden.id).update(visibility="private")
    ContentList.objects.filter(entity="issues").update(count=0)
    row = audit(octo)
    assert row.wrong == 0
    found = Counter(row.items.values_list("entity", "result"))
    assert found["repositories", "matched"] == row.strata["repositories/mirror"]["population"] * 2
    assert found["commits", "unknown"] == 0
    pulls = row.items.filter(entity="pull_requests", repository=ours(hidden))
    assert set(pulls.values_list("side", "result")) == {
        ("mirror", "matched"),
        ("github", "matched"),
    }
    issues = row.items.filter(entity="issues", repository=ours(hidden))
    assert {each.result for each in issues} <= {"unknown"}


@pytest.mark.spec("R8.3", "R2.1")
def test_an_account_behind_a_token_is_audited_as_well(
    token_mode: Simulator, tune: Callable[..., Any]
) -> None:
    tune(audit_sample=10_000, audit_budget_percent=50)
    installation = discover(token_mode.token_owner)
    assert sync(installation, mode="full").status == "succeeded"
    token_mode.reset_log()
    with time_machine.travel(clock.now() + LATER, tick=True):
        row = audit(installation)
        assert (row.matched, row.unknown) == (row.sampled, 0)
        assert row.strata["repositories/github"]["matched"] > 0
        for each in token_mode.requests():
            if each.path != "/graphql":
                validate_request(each.method, each.url)
        Repository.objects.filter(installation=installation).update(homepage="https://by.hand")
        assert wrong(audit(installation)).keys() == {
            ("repositories", "mirror"), ("repositories", "github"),
        }  # fmt: skip


@pytest.mark.spec("R8.3")
def test_where_githubs_two_ways_contradict_each_other_nobody_is_wrong(
    octo: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    from syncsvc.github import graphql_repositories  # noqa: PLC0415  (only here)

    plain = graphql_repositories.rest_repository
    monkeypatch.setattr(
        graphql_repositories, "rest_repository", lambda *it: plain(*it) | {"size": 7}
    )
    row = audit(octo)
    assert row.wrong == 0
    assert {each.result for each in row.items.filter(entity="repositories")} == {"unknown"}
    item = row.items.filter(entity="repositories")[0]
    assert item.differences["after"] == {"size": 7}
    assert item.differences["why"] == "contradiction"


# -- what it costs ---------------------------------------------------------------------------------


@pytest.mark.spec("R8.3", "R4.2", "R4.7")
def test_an_audit_never_sends_more_than_its_share(
    octo: Installation, app_mode: Simulator, tune: Callable[..., Any]
) -> None:
    tune(audit_sample=10_000, audit_budget_percent=1)  # 50 of 5,000
    Issue.objects.update(title="By hand")  # each wrong item asks more
    app_mode.faults.add(
        Fault(kind="status", path_regex="/repositories/.*/issues", status=502, times=9)
    )
    row = audit(octo)
    assert 30 < row.requests <= 50
    assert row.sampled < sum(each["population"] for each in row.strata.values())
    SyncJob.objects.filter(status="queued").delete()
    job = sync(octo, "maintenance", mode="audit")
    assert job.status == "succeeded"
    assert job.api["requests"] <= 50 - row.requests
    with time_machine.travel(clock.now() + LATER, tick=True):
        assert 30 < audit(octo).requests <= 50


@pytest.mark.spec("R8.3", "R4.2")
def test_nothing_is_sent_when_only_the_reserve_is_left(
    octo: Installation, app_mode: Simulator
) -> None:
    decision = SyncService.request(octo.pk, "maintenance", mode="audit")
    RateBudget.objects.update(remaining=350, reset_at=clock.now() + LATER)
    app_mode.reset_log()
    job = run(decision.job_id or "")
    assert (job.status, SampleAudit.objects.count()) == ("succeeded", 0)
    assert job.verification["audit"].keys() == {"skipped"}
    assert not [each for each in app_mode.requests() if "access_tokens" not in each.path]
    assert MOST_A_QUESTION >= 4


@pytest.mark.spec("R8.3", "R7.7")
def test_nothing_is_audited_before_the_baseline(app_mode: Simulator) -> None:
    installation = discover()
    assert scheduling.request_audits() == 0
    job = sync(installation, "maintenance", mode="audit")
    assert (job.status, SampleAudit.objects.count()) == ("succeeded", 0)


@pytest.mark.spec("R8.3")
def test_the_same_seed_draws_the_same_items(octo: Installation) -> None:
    found = survey(octo.pk, 1000)
    sizes = dict.fromkeys(found.populations(), 3)
    assert draw(found, sizes, Random(5)) == draw(found, sizes, Random(5))
    assert draw(found, sizes, Random(5)) != draw(found, sizes, Random(6))
    every = draw(found, found.populations(), Random(1))
    keys = [(each.entity, each.key) for each in every if each.side is Side.MIRROR]
    assert (
        len(set(keys))
        == len(keys)
        == sum(n for (_, side), n in found.populations().items() if side is Side.MIRROR)
    )


# -- when ------------------------------------------------------------------------------------------


@pytest.mark.spec("R8.3", "R3.4")
def test_each_account_is_audited_once_an_interval_and_at_its_own_place(
    octo: Installation, tune: Callable[..., Any]
) -> None:
    tune(audit_interval_minutes=0)
    assert scheduling.request_audits() == 0
    tune(audit_interval_minutes=60)
    start, ran = clock.now(), []
    for minute in range(0, 300, 5):
        with time_machine.travel(start + timedelta(minutes=minute), tick=False):
            if scheduling.request_audits():
                ran.append(minute)
                SyncJob.objects.filter(status="queued").update(
                    status="succeeded", finished_at=clock.now()
                )
    # The first at once, then one at the account's own minute of every hour.
    assert ran[0] == 0
    assert len(ran) in (5, 6)
    assert {later - earlier for earlier, later in pairwise(ran[1:])} == {60}
    SyncJobFactory.create(installation=octo, running=True)
    with time_machine.travel(start + timedelta(days=1)):
        assert scheduling.request_audits() == 0
    Installation.objects.update(status="suspended")
    SyncJob.objects.all().delete()
    assert scheduling.request_audits() == 0


@pytest.mark.spec("R8.3", "R3.2")
def test_an_audit_serves_nobody_who_asked_for_a_sync(octo: Installation) -> None:
    decision = SyncService.request(octo.pk, "maintenance", mode="audit")
    again = SyncService.request(octo.pk, "manual")
    assert (again.reason, again.job_id) == ("already_syncing", decision.job_id)
    run(decision.job_id or "")
    assert SyncJob.objects.filter(trigger="manual", status="queued").exists()


@pytest.mark.spec("R6.3", "R8.3")
def test_our_own_doubts_do_not_touch_what_is_kept_for_webhooks(octo: Installation) -> None:
    def ask(github_id: int, trigger: str) -> str:
        asked = [rechecks.Asked(github_id=github_id, reason="test")]
        rechecks.ask(octo.pk, asked, trigger=trigger, now=clock.now())
        [waiting] = rechecks.waiting(clock.now())
        return waiting.trigger

    assert ask(1, "maintenance") == "maintenance"
    assert ask(1, "webhook") == "webhook"
    assert ask(1, "maintenance") == "webhook"  # the more urgent one stays
    assert ask(2, "maintenance") == "webhook"
    assert ask(1, "gap") == "gap"
    assert ask(1, "webhook") == "gap"
    triggers = dict(Recheck.objects.values_list("github_id", "trigger"))
    assert triggers == {1: "gap", 2: "maintenance"}


# -- how audits add up -----------------------------------------------------------------------------


@pytest.mark.spec("R8.3")
def test_audits_of_a_window_add_up(octo: Installation, world: World) -> None:
    start = clock.now()
    first = audit(octo)
    issue = a_row(Issue, world)
    Issue.objects.filter(pk=issue.pk).update(title="By hand")
    second = audit(octo)
    now = clock.now() + timedelta(seconds=1)
    found = auditing.standing(octo.pk, start, now)
    assert (found.audits, found.sampled) == (2, first.sampled + second.sampled)
    assert (found.matched, found.wrong) == (first.matched + second.matched, 2)
    assert second.estimate is not None
    assert found.estimate is not None
    assert second.estimate < found.estimate < 1
    assert second.low is not None
    assert second.low < found.low < found.estimate < found.high
    assert auditing.standing(None, start, now) == found
    nothing = auditing.standing(octo.pk, now, now)
    assert (nothing.audits, nothing.estimate, nothing.low, nothing.high) == (0, None, 0.0, 1.0)


@pytest.mark.spec("R17.1")
def test_what_was_right_is_forgotten_after_a_week_and_what_was_wrong_stays(
    octo: Installation, world: World
) -> None:
    Issue.objects.filter(pk=a_row(Issue, world).pk).update(title="By hand")
    done = audit(octo)
    assert auditing.prune(clock.now() + timedelta(days=6)) == 0
    assert auditing.prune(clock.now() + timedelta(days=8)) == done.matched > 0
    assert set(done.items.values_list("result", flat=True)) == {"wrong"}
    assert done.items.count() == done.wrong


@pytest.mark.spec("R8.3", "R18.5")
def test_random_rows_are_found_by_an_index() -> None:
    repository = RepositoryFactory.create()
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO syncsvc_commit (repository_id, sha, author_name, contributor, authored_at,
                   committed_at, message, last_written_at, changed_by)
               SELECT %s, lpad(to_hex(n), 40, '0'), '', 'x', now(), now() - n * interval '1 minute',
                   '', now(), 'cron' FROM generate_series(1, 3000) AS n""",
            [repository.pk],
        )
        cursor.execute("ANALYZE syncsvc_commit")
        cursor.execute(
            "EXPLAIN SELECT sha FROM syncsvc_commit AS t WHERE t.repository_id = %s"
            " AND t.dropped_at IS NULL ORDER BY committed_at DESC, id OFFSET 700 LIMIT 1",
            [repository.pk],
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan, plan
