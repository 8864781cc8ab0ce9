"""Every branch of the decision whether a sync may start, without mocks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.conf import SyncSettings
from syncsvc.policy import (
    Action,
    BudgetState,
    Decision,
    InstallationState,
    Reason,
    evaluate,
    reserve,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = SyncSettings()
TRIGGERS = ["cron", "gap", "webhook", "manual", "maintenance", "backfill", "initial"]


def decide(trigger: str = "manual", **state: Any) -> Decision:
    return evaluate(InstallationState(**({"status": "active"} | state)), trigger, NOW, SETTINGS)


def budget(remaining: int, *, limit: int = 5000, minutes: int = 30) -> dict[str, BudgetState]:
    reset_at = NOW + timedelta(minutes=minutes)
    return {"core": BudgetState(limit=limit, remaining=remaining, reset_at=reset_at)}


@pytest.mark.spec("R3.1")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_an_active_installation_may_sync_for_any_trigger(trigger: str) -> None:
    assert decide(trigger) == Decision(action=Action.START, reason=Reason.ACCEPTED)


@pytest.mark.spec("R3.1", "R2.3")
@pytest.mark.parametrize("status", ["suspended", "uninstalled"])
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_suspended_and_uninstalled_block_every_trigger(status: str, trigger: str) -> None:
    decision = decide(trigger, status=status, active_job_id="j")
    assert (decision.action, decision.reason) == (Action.BLOCK, Reason(status))


@pytest.mark.spec("R3.1", "R3.3", "P17")
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_a_running_job_answers_every_other_request(trigger: str) -> None:
    decision = decide(trigger, active_job_id="j-1")
    assert (decision.action, decision.reason) == (Action.SKIP, Reason.ALREADY_SYNCING)
    assert decision.job_id == "j-1"


@pytest.mark.spec("R3.1")
def test_the_cooldown_holds_back_a_manual_sync_and_says_how_long() -> None:
    decision = decide(last_synced_at=NOW - timedelta(seconds=18))
    assert (decision.action, decision.reason) == (Action.SKIP, Reason.COOLDOWN)
    assert decision.metadata["cooldown_ms"] == 42_000
    assert decision.metadata["until"] == NOW + timedelta(seconds=42)


@pytest.mark.spec("R3.1")
def test_the_cooldown_ends_on_the_second() -> None:
    assert decide(last_synced_at=NOW - timedelta(seconds=60)).action is Action.START


@pytest.mark.spec("R3.1")
def test_a_stale_mirror_bypasses_the_cooldown() -> None:
    patient = replace(SETTINGS, manual_cooldown_seconds=86_400)
    state = InstallationState(status="active", last_synced_at=NOW - timedelta(minutes=60))
    assert evaluate(state, "manual", NOW, patient).action is Action.START
    fresh = replace(state, last_synced_at=NOW - timedelta(minutes=59))
    assert evaluate(fresh, "manual", NOW, patient).reason is Reason.COOLDOWN


@pytest.mark.spec("R3.1")
@pytest.mark.parametrize("trigger", [each for each in TRIGGERS if each != "manual"])
def test_only_manual_syncs_have_a_cooldown(trigger: str) -> None:
    assert decide(trigger, last_synced_at=NOW).action is Action.START


@pytest.mark.spec("R3.1")
def test_a_clock_that_was_set_back_does_not_lock_the_button() -> None:
    assert decide(last_synced_at=NOW + timedelta(hours=3)).action is Action.START


@pytest.mark.spec("R3.1", "R4.2")
def test_an_exhausted_budget_blocks_until_its_reset() -> None:
    decision = decide("webhook", budgets=budget(0))
    assert (decision.action, decision.reason) == (Action.BLOCK, Reason.BUDGET)
    assert decision.metadata["until"] == NOW + timedelta(minutes=30)


@pytest.mark.spec("R3.1")
@pytest.mark.parametrize("trigger", ["webhook", "gap"])
def test_webhook_work_may_spend_what_periodic_work_must_leave(trigger: str) -> None:
    assert decide("cron", budgets=budget(350)).reason is Reason.BUDGET
    assert decide("cron", budgets=budget(351)).action is Action.START
    assert decide(trigger, budgets=budget(101)).action is Action.START
    assert decide(trigger, budgets=budget(100)).reason is Reason.BUDGET


@pytest.mark.spec("R3.1")
def test_a_budget_whose_window_is_over_blocks_nothing() -> None:
    assert decide("cron", budgets=budget(0, minutes=0)).action is Action.START


@pytest.mark.spec("R3.1")
@given(limit=st.integers(0, 15_000), trigger=st.sampled_from(TRIGGERS))
def test_reserves_never_eat_a_whole_budget(limit: int, trigger: str) -> None:
    assert 0 <= reserve(limit, trigger, SETTINGS) <= limit * 0.07
    assert reserve(limit, "webhook", SETTINGS) <= reserve(limit, trigger, SETTINGS)


@pytest.mark.spec("R3.1", "R10.3")
def test_an_open_breaker_blocks_until_its_trial() -> None:
    until = NOW + timedelta(minutes=5)
    decision = decide("cron", breaker_open_until=until)
    assert (decision.reason, decision.metadata["until"]) == (Reason.BREAKER_OPEN, until)
    assert decide("cron", breaker_open_until=NOW).action is Action.START


@pytest.mark.spec("R3.1")
def test_a_pause_that_github_asked_for_blocks_until_its_end() -> None:
    until = NOW + timedelta(minutes=1)
    decision = decide("gap", blocked_until=until, blocked_reason="secondary_limit")
    assert decision.reason is Reason.BLOCKED_UNTIL
    assert decision.metadata == {"until": until, "cause": "secondary_limit"}
    assert decide("gap", blocked_until=NOW).action is Action.START


@pytest.mark.spec("R3.1")
def test_nothing_to_backfill_where_there_is_no_repository() -> None:
    assert decide("backfill", last_listed_at=NOW).reason is Reason.NO_REPOSITORIES
    assert decide("backfill", last_listed_at=NOW, repositories=1).action is Action.START
    assert decide("backfill").action is Action.START  # never listed: nobody knows
    assert decide("cron", last_listed_at=NOW).action is Action.START  # how else would one be found


def test_naive_times_are_refused() -> None:
    with pytest.raises(ValueError, match="naive"):
        decide(last_synced_at=NOW.replace(tzinfo=None))


def test_a_decision_reads_as_json() -> None:
    until = NOW + timedelta(minutes=1)
    assert decide("gap", blocked_until=until, blocked_reason="x").as_dict() == {
        "action": "block",
        "reason": "blocked_until",
        "metadata": {"until": "2026-03-01T12:01:00+00:00", "cause": "x"},
    }


_times = st.none() | st.integers(-10_000, 10_000).map(lambda s: NOW + timedelta(seconds=s))


@pytest.mark.spec("R3.1", "P13")
@given(
    trigger=st.sampled_from(TRIGGERS),
    status=st.sampled_from(["active", "suspended", "uninstalled"]),
    job=st.none() | st.just("j"),
    synced=_times,
    blocked=_times,
    breaker=_times,
    remaining=st.integers(0, 5000),
)
def test_every_state_gets_exactly_one_reasoned_answer(
    trigger: str,
    status: str,
    job: str | None,
    synced: datetime | None,
    blocked: datetime | None,
    breaker: datetime | None,
    remaining: int,
) -> None:
    decision = decide(
        trigger,
        status=status,
        active_job_id=job,
        last_synced_at=synced,
        blocked_until=blocked,
        breaker_open_until=breaker,
        budgets=budget(remaining),
    )
    assert (decision.action is Action.START) == (decision.reason is Reason.ACCEPTED)
    if decision.action is Action.START:
        assert status == "active"
        assert job is None
        assert remaining > reserve(5000, trigger, SETTINGS)
    if decision.action is Action.BLOCK and status == "active":
        assert decision.metadata["until"] > NOW  # type: ignore[operator]
