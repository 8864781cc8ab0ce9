"""Gaps at the worst moment: they end, and only when what was missed was really read."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from syncsvc import clock, rechecks
from syncsvc.models import Gap, Hook, Installation, Issue
from syncsvc.rechecks import Asked
from syncsvc.service import SyncService
from syncsvc.simulator import Fault, World
from syncsvc.webhooks import gap_facts, gaps, hooks, ledger
from tests.factories import GapFactory, InstallationFactory, MissedDeliveryFactory
from tests.integration import test_gaps_healing as healing_tests
from tests.ledger_support import Post, check
from tests.support import run

pytestmark = pytest.mark.django_db(transaction=True)

world, simulator, octo = healing_tests.world, healing_tests.simulator, healing_tests.octo
post, repository = healing_tests.post, healing_tests.repository
later, gap, busy = healing_tests.later, healing_tests.gap, healing_tests.busy


@pytest.mark.spec("R6.6", "P3")
def test_a_run_for_another_repository_closes_no_gap(
    post: Post, repository: int, world: World, tune: Callable[..., Any], octo: Installation
) -> None:
    tune(redelivery_attempts=0)
    other = next(r.id for r in world.owned(world.account("octo-simulated")) if r.id != repository)
    post.weather(failed=1.0)
    world.open_issue(repository, "lost")
    post.deliver()
    post.weather()
    assert check().missed >= 1
    post.sim.faults.add(
        Fault(kind="status", status=500, body_regex="issues", times=None),
        Fault(kind="status", status=500, path_regex="/issues", times=None),
    )
    job_id = gap().job_id
    assert job_id is not None
    assert run(job_id).status == "partial"
    post.sim.faults.clear()
    asked = [Asked(github_id=other, itself=True, reason="stale")]
    rechecks.ask(octo.pk, asked, trigger="webhook", now=clock.now())
    decision = SyncService.request(octo.pk, "webhook", mode="recheck", remember=False)
    assert decision.job_id is not None
    run(decision.job_id)
    check()
    assert gap().closed_at is None
    assert not Issue.objects.filter(title="lost").exists()
    for step in range(1, 6):
        with later(70 * step):
            check()
            found = gap()
            if found.job is not None and found.job.is_active:
                run(found.job.pk)
            check()
    assert gap().closed_at is not None
    assert Issue.objects.filter(title="lost").exists()


@pytest.mark.spec("R6.6")
def test_an_account_that_lacks_a_permission_has_gaps_that_end(
    post: Post, repository: int, world: World, tune: Callable[..., Any], octo: Installation
) -> None:
    tune(redelivery_attempts=0)
    granted = dict(world.installation("octo-simulated").permissions)
    kept = {name: level for name, level in granted.items() if name != "issues"}
    world.change_permissions("octo-simulated", kept)
    Installation.objects.filter(pk=octo.pk).update(permissions=kept)
    post.deliver()
    post.happens(repository, failed=1.0)
    check()
    for step in range(4):
        with later(70 * step):
            found = gap()
            if found.job is not None and found.job.is_active:
                assert run(found.job.pk).status == "partial"
            check()
        if gap().closed_at:
            break
    assert gap().closed_at is not None


@pytest.mark.spec("R6.6", "R5.6")
def test_one_delivery_that_github_cannot_send_again_stops_no_other(
    post: Post, repository: int
) -> None:
    ours = [post.happens(repository, failed=1.0) for _ in range(2)]
    hooks.learn(clock.now())
    ledger.read(Hook.objects.get(), clock.now())
    poor = InstallationFactory.create(mode="app")
    stuck = GapFactory.create(installation=poor, opened_at=clock.now() - timedelta(hours=1))
    MissedDeliveryFactory.create(
        hook=Hook.objects.get(), installation=poor, gap=stuck, latest_id=4242,
        first_at=clock.now() - timedelta(minutes=3), detected_at=clock.now(),
    )  # fmt: skip
    path = "deliveries/4242/attempts"
    post.sim.faults.add(
        Fault(kind="status", status=500, method="POST", path_regex=path, times=None)
    )
    for minute in range(9):
        with later(minute * 1.05):
            check()
            post.deliver()
    assert set(ours) <= set(post.redelivered())


@pytest.mark.spec("R6.5")
def test_days_of_suspension_are_no_silence(post: Post, octo: Installation) -> None:
    busy(octo)
    check()
    Installation.objects.filter(pk=octo.pk).update(status="suspended")
    with later(60 * 48):
        check()
        known = Installation.objects.get(pk=octo.pk)
        known.status = "active"
        known.save()  # as discovery does
        check()
    assert not Gap.objects.exists()


@pytest.mark.spec("R6.5")
def test_on_a_holiday_one_silence_is_looked_into_a_few_times_only(
    post: Post, octo: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy(octo)
    check()
    monkeypatch.setattr(gap_facts, "_changes", lambda job: 1)  # stars, which no webhook tells
    began = clock.now()
    for minute in range(0, 720, 5):
        with time_machine.travel(began + timedelta(minutes=minute)):
            check()
            for found in Gap.objects.filter(closed_at=None):
                if found.job is not None and found.job.is_active:
                    run(found.job.pk)
    assert 1 <= Gap.objects.count() <= 6


@pytest.mark.spec("R6.5")
def test_redelivery_in_vain_is_noticed_with_the_usual_number_of_attempts() -> None:
    began = clock.now()
    asked, at, since = 0, None, None
    step: gaps.Step | None = None
    for minute in range(40):
        now = began + timedelta(minutes=minute)
        missed = gaps.Missed(
            id=1,
            repository_id=5,
            first_at=began,
            detected_at=began,
            requests=asked,
            requested_at=at,
        )
        facts = gaps.Facts(
            reason="failed_deliveries", step="redelivering" if since else "open", opened_at=began,
            redelivering_since=since, missed=(missed,),
        )  # fmt: skip
        step = gaps.next_step(facts, now, attempts=3)
        if isinstance(step, gaps.Redeliver):
            asked, at, since = asked + 1, now, since or now
        if isinstance(step, gaps.CatchUp):
            break
    assert asked == 3
    assert isinstance(step, gaps.CatchUp)
    assert step.exhausted


@pytest.mark.spec("R6.6")
def test_an_event_that_names_no_repository_may_be_about_any() -> None:
    def missed(number: int, repository_id: int | None, event: str = "issues") -> gaps.Missed:
        now = clock.now()
        return gaps.Missed(
            id=number, event=event, repository_id=repository_id, first_at=now, detected_at=now
        )

    assert gaps.repositories_of([missed(1, None), missed(2, 5)]) == frozenset()
    assert gaps.repositories_of([missed(1, None, "star"), missed(2, 5)]) == frozenset({5})
