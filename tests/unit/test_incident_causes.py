"""Which problems an account has: each by itself, its limits, and what is said of it."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts import causes
from alerts.values import Audited, Cause, Facts, Held, Kind, Rows, Run, Severity, Share, Thresholds
from reconciliation.sampling import wilson

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
JOB = UUID(int=7)


def facts(**true: Any) -> Facts:
    known: dict[str, Any] = {"installation_id": 3, "login": "acme", "now": NOW}
    return Facts(**known | true)


def rows(number: int, *names: str) -> Rows:
    return Rows(number=number, examples=names, correlation_id=JOB)


def audited(good: int, judged: int) -> Audited:
    low, high = wilson(good, judged)
    return Audited(judged=judged, wrong=judged - good, low=low, high=high)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


HELD = Held(review_id=9, vanished=rows(25, "acme/a", "acme/b"), present=100, limit_percent=20)
#: For each problem: what makes it, how bad it is, and words that must be said of it.
PROBLEMS: list[Any] = [
    ({"held": HELD}, "mass_disappearance", "critical",
     ["25 of 100 repositories of acme", "acme/a, acme/b and 23 more", "nothing was removed", "approve"]),
    ({"not_resynced": rows(2, "acme/a#1", "acme/a#2")}, "resync_failed", "high",
     ["2 items of acme", "acme/a#1, acme/a#2.", "tried again"]),
    ({"not_resynced": rows(1)}, "resync_failed", "high", ["1 item of acme"]),
    ({"not_repaired": rows(1, "acme/a")}, "repair_failed", "warning",
     ["1 discrepancy of acme", "in acme/a."]),
    ({"broken": rows(1200, "issue 5 of acme/a (no title)")}, "integrity", "high",
     ["1,200 rows of acme", "issue 5 of acme/a (no title) and 1,199 more"]),
    ({"accuracy": Share(good=1000, total=1000), "audit": audited(180, 200)},
     "audit_disagreement", "critical",
     ["measured 100.00 %", "Of 200 items", "20 were wrong", "between 85.06 % and 93.43 %"]),
    ({"action_needed": "Check the permissions.", "failed_job_id": JOB}, "action_needed", "high",
     ["Syncs of acme cannot succeed", "Check the permissions. The last run"]),
    ({"dead_letters": 2}, "dead_letters", "warning",
     ["2 jobs or deliveries of acme given up", "requeue", "discard"]),
    ({"accuracy": Share(good=99_499, total=100_000)}, "accuracy", "high",
     ["99.49 % over 24 hours, below 99.5 %", "501 differed"]),
    ({"breaker_open_until": NOW + timedelta(minutes=5), "consecutive_failures": 2,
      "failed_job_id": JOB, "last_error": "GitHub did not answer."}, "breaker_open", "high",
     ["paused after 2 failures", "2026-03-01 12:05:00 UTC", "GitHub did not answer."]),
    ({"half_open": True, "consecutive_failures": 2, "failed_job_id": JOB}, "breaker_open", "high",
     ["on trial after 2 failures", "half open"]),
    ({"consecutive_failures": 3, "failed_job_id": JOB}, "consecutive_failures", "warning",
     ["3 syncs of acme failed in a row"]),
    ({"consecutive_failures": 6, "failed_job_id": JOB}, "consecutive_failures", "high", ["6 syncs"]),
    ({"read_at": ago(minutes=31), "run": Run(job_id=JOB)}, "stale", "warning",
     ["acme was last synced at 2026-03-01 11:29:00 UTC", "30 min"]),
    ({"open_gaps": 6}, "gaps", "warning", ["6 gaps of acme not healed"]),
    ({"open_gaps": 1, "missed": 6}, "gaps", "warning", ["6 webhook deliveries of acme", "1 gap open"]),
    ({"run": Run(job_id=JOB, warning="Fetching took 9 s where 3 s are usual.")}, "performance",
     "warning", ["slower than usual", "Fetching took 9 s where 3 s are usual."]),
]  # fmt: skip


@pytest.mark.spec("R14.1", "R14.2", "R14.4")
@pytest.mark.parametrize(
    ("true", "kind", "severity", "said"), PROBLEMS, ids=[f"{p[1]}-{p[2]}" for p in PROBLEMS]
)
def test_each_problem_makes_its_own_incident_and_says_what_to_do_next(
    true: dict[str, Any], kind: str, severity: str, said: list[str]
) -> None:
    [cause] = causes.of(facts(**true))
    assert (cause.kind, cause.severity, cause.installation_id) == (kind, severity, 3)
    for words in said:
        assert words in f"{cause.title}\n{cause.detail}"
    assert "Next" in cause.detail
    assert cause.figures
    assert cause.correlation_id == (
        None if kind in {"accuracy", "audit_disagreement", "dead_letters", "gaps"} else JOB
    )
    assert not cause.title.endswith(".")


@pytest.mark.spec("R14.1")
@pytest.mark.parametrize(
    "true",
    [
        {},
        {"read_at": ago(minutes=30), "run": Run(job_id=JOB)},
        {"consecutive_failures": 2},
        {"breaker_open_until": ago(minutes=1)},
        {"open_gaps": 4, "missed": 5},
        {"accuracy": Share(good=995, total=1000)},
        # An audit that agrees, that is too small, and one without anything to be compared with.
        {"accuracy": Share(good=1000, total=1000), "audit": audited(200, 200)},
        {"accuracy": Share(good=1000, total=1000), "audit": audited(49, 99)},
        {"audit": audited(50, 200)},
        # Rather too good than too bad.
        {"accuracy": Share(good=995, total=1000), "audit": audited(99_999, 100_000)},
        # People have set a longer interval: half an hour is no lateness then.
        {"read_at": ago(minutes=119), "interval": timedelta(hours=1)},
    ],
)
def test_up_to_its_limit_nothing_is_a_problem(true: dict[str, Any]) -> None:
    assert causes.of(facts(**true)) == []


@pytest.mark.spec("R14.1")
def test_an_account_that_was_never_synced_is_not_called_old() -> None:
    assert causes.of(facts(read_at=None)) == []


@pytest.mark.spec("R10.3")
def test_a_breaker_whose_pause_is_over_stays_a_problem_until_a_trial_succeeds() -> None:
    half_open = facts(breaker_open_until=ago(minutes=1), consecutive_failures=2)
    assert [cause.kind for cause in causes.of(half_open)] == [Kind.BREAKER_OPEN]


@pytest.mark.spec("R14.1")
def test_of_a_suspended_account_only_what_waits_for_somebody_is_a_problem() -> None:
    everything = {name: value for true, *_ in PROBLEMS for name, value in true.items()}
    found = {cause.kind for cause in causes.of(facts(**everything))}
    assert found == set(Kind)
    found = {cause.kind for cause in causes.of(facts(**everything, active=False))}
    assert found == {
        Kind.MASS_DISAPPEARANCE, Kind.RESYNC_FAILED, Kind.REPAIR_FAILED, Kind.INTEGRITY,
        Kind.AUDIT_DISAGREEMENT, Kind.ACTION_NEEDED, Kind.DEAD_LETTERS, Kind.ACCURACY,
    }  # fmt: skip


@pytest.mark.spec("R14.3")
def test_what_is_said_does_not_change_with_the_time_alone() -> None:
    everything = {name: value for true, *_ in PROBLEMS for name, value in true.items()}
    later = {**everything, "now": NOW + timedelta(minutes=3)}
    assert causes.of(facts(**later)) == causes.of(facts(**everything))


@pytest.mark.spec("R13.1")
def test_the_limits_can_be_moved() -> None:
    limits = Thresholds(
        slo=0.9, failures=1, failures_high=2, stale=timedelta(hours=9), gaps=0, audit_items=10
    )
    true = facts(
        accuracy=Share(good=95, total=100),
        audit=audited(5, 10),
        consecutive_failures=2,
        read_at=ago(hours=8),
        missed=1,
    )
    found = {cause.kind: cause.severity for cause in causes.of(true, limits)}
    assert found == {
        Kind.AUDIT_DISAGREEMENT: Severity.CRITICAL,
        Kind.CONSECUTIVE_FAILURES: Severity.HIGH,
        Kind.GAPS: Severity.WARNING,
    }


def test_a_title_fits_however_long_the_names_are() -> None:
    [cause] = causes.of(facts(login="x" * 255, consecutive_failures=10**60))
    assert len(cause.title) <= 300


counts = st.integers(min_value=1, max_value=10**9)
names = st.lists(st.text(min_size=1, max_size=20), max_size=10, unique=True)
waiting = st.builds(
    lambda listed, more, job: Rows(
        number=max(len(listed) + more, 1), examples=tuple(listed), correlation_id=job
    ),
    names,
    st.integers(min_value=0, max_value=10_000),
    st.none() | st.uuids(),
)
shares = st.builds(
    lambda total, part: Share(good=round(total * part), total=total), counts, st.floats(0, 1)
)
runs = st.builds(Run, job_id=st.uuids(), warning=st.text(max_size=9))
moments = st.datetimes(
    min_value=datetime(2026, 1, 1), max_value=datetime(2026, 6, 1), timezones=st.just(UTC)
)
worlds = st.builds(
    Facts,
    installation_id=counts,
    login=st.text(min_size=1, max_size=39),
    now=moments,
    active=st.booleans(),
    interval=st.timedeltas(min_value=timedelta(minutes=1), max_value=timedelta(days=2)),
    read_at=st.none() | moments,
    run=st.none() | runs,
    failed_job_id=st.none() | st.uuids(),
    breaker_open_until=st.none() | moments,
    consecutive_failures=st.integers(0, 20),
    last_error=st.text(max_size=20),
    held=st.none()
    | st.builds(
        Held, review_id=counts, vanished=waiting, present=counts, limit_percent=st.just(20)
    ),
    not_resynced=st.none() | waiting,
    not_repaired=st.none() | waiting,
    broken=st.none() | waiting,
    accuracy=st.none() | shares,
    audit=st.none() | shares.map(lambda share: audited(share.good, share.total)),
    open_gaps=st.integers(0, 20),
    missed=st.integers(0, 20),
)


def of_kind(found: list[Cause], kind: Kind) -> list[Cause]:
    return [cause for cause in found if cause.kind is kind]


@pytest.mark.spec("P4")
@given(worlds)
def test_every_failed_resync_is_a_problem_and_none_is_made_up(world: Facts) -> None:
    failed = world.not_resynced is not None
    found = of_kind(causes.of(world), Kind.RESYNC_FAILED)
    assert len(found) == failed
    if world.not_resynced is not None:
        [cause] = found
        assert cause.figures["items"] == world.not_resynced.number
        assert cause.correlation_id == world.not_resynced.correlation_id
        for name in world.not_resynced.examples:
            assert name in cause.detail


@pytest.mark.spec("P36")
@given(worlds)
def test_every_integrity_issue_is_a_problem_that_names_the_items(world: Facts) -> None:
    found = of_kind(causes.of(world), Kind.INTEGRITY)
    assert len(found) == (world.broken is not None)
    if world.broken is not None:
        [cause] = found
        assert cause.figures["issues"] == world.broken.number
        for name in world.broken.examples:
            assert name in cause.detail


@pytest.mark.spec("R14.1", "R14.3")
@given(worlds)
def test_problems_have_keys_of_their_own_and_each_rule_holds_both_ways(world: Facts) -> None:
    found = causes.of(world)
    assert len({cause.key for cause in found}) == len(found)
    assert all(cause.title and len(cause.title) <= 300 and cause.detail for cause in found)
    kinds = {cause.kind for cause in found}
    share, audit = world.accuracy, world.audit
    assert (Kind.ACCURACY in kinds) == (share is not None and share.good / share.total < 0.995)
    disagrees = (
        share is not None
        and audit is not None
        and audit.judged >= 100
        and share.good / share.total > audit.high
    )
    assert (Kind.AUDIT_DISAGREEMENT in kinds) == disagrees
    assert (Kind.MASS_DISAPPEARANCE in kinds) == (world.held is not None)
    assert (Kind.CONSECUTIVE_FAILURES in kinds) == (world.active and world.consecutive_failures > 2)
    assert (Kind.GAPS in kinds) == (world.active and max(world.open_gaps, world.missed) > 5)


@given(st.integers(1, 10**12), st.integers(0, 10**12))
def test_a_share_is_never_shown_better_than_it_is(total: int, missing: int) -> None:
    share = Share(good=max(0, total - missing), total=total)
    shown = float(share.shown.removesuffix(" %"))
    assert shown <= 100 * share.value + 1e-9
    assert shown > 100 * share.value - 0.01 - 1e-9
