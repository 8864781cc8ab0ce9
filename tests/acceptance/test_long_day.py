"""The long day: in bad weather, without any periodic sync, the mirror ends as GitHub is."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db.models import Sum

from reconciliation.models import Discrepancy, RunFigure
from syncsvc.models import Gap, MissedDelivery, SyncJob, WebhookState
from syncsvc.simulator import Weather
from syncsvc.simulator.days import STRICT, Load
from syncsvc.simulator.happenings import assign, label
from tests.long_day import BUSY, MONDAY, QUIET, STORMY, LongDay, Plan, long_day
from tests.support import assert_contents_equal_truth, assert_equal_to_truth, sync
from tests.truth_meter import Meter

pytestmark = pytest.mark.django_db(transaction=True)

#: A morning; `make bench` lives through a whole day.
STORM = Plan(
    loads={
        BUSY: Load(per_day=200, hours=(0.0,) * 8 + (1.0,) * 3 + (0.0,) * 13),
        QUIET: Load(per_day=10, hours=STRICT),
    },
    begin=MONDAY + timedelta(hours=8),
    hours=3,
    rest_hours=1,
    weather=STORMY,
    outages=((1.0, 20), (2.0, 15)),
    step=60,
    beat=180,
)


def assert_as_github_is(day: LongDay) -> None:
    for installation in day.installations:
        assert_equal_to_truth(day.world, installation)
        assert_contents_equal_truth(day.world, installation)


def measured() -> float:
    """What the runs so far say of the mirror: matched / compared, before repair."""
    total = RunFigure.objects.aggregate(compared=Sum("compared"), matched=Sum("matched"))
    assert total["compared"]
    return float(total["matched"] / total["compared"])


@pytest.mark.spec("R6.3", "R6.5", "R6.6")
def test_a_day_of_storm_ends_with_the_mirror_as_github_is() -> None:
    with long_day(STORM) as day:
        day.begin()
        day.live_through()
        lost = day.lost()
        assert {"failed", "lost", "swallowed", "throttled"} < day.figures()["lost_by_kind"].keys()
        assert day.unhealed() == []
        assert set(MissedDelivery.objects.values_list("guid", flat=True)) == set(lost)
        for gap in Gap.objects.all():
            assert gap.step == "closed", gap.evidence
            assert (gap.seconds_to_detect or 0) > 0
            assert (gap.seconds_to_repair or 0) > 0
        assert not SyncJob.objects.filter(trigger="cron").exists()
        assert_as_github_is(day)


@pytest.mark.spec("R6.6")
def test_what_no_log_tells_of_is_found_by_the_next_sync() -> None:
    weather = replace(STORMY, silent_loss=0.05)
    plan = replace(STORM, weather=weather, outages=(), hours=1, rest_hours=0.5, seed=2)
    with long_day(plan) as day:
        day.begin()
        day.live_through()
        assert day.lost(logged=False)
        assert day.unhealed() == []
        for installation in day.installations:
            assert sync(installation, "cron", mode="incremental").status == "succeeded"
        assert_as_github_is(day)


@pytest.mark.spec("R6.5")
def test_a_quiet_account_raises_no_false_alarm_in_a_week() -> None:
    plan = Plan(
        loads={QUIET: Load(per_day=16, hours=STRICT, weekend=0, likely={label: 1, assign: 1})},
        repositories={QUIET: 3},
        hours=7 * 24,
        step=60,
        beat=math.inf,
    )
    with long_day(plan) as day:
        day.begin()
        day.live_to_each_silence()
        assert day.happened > 50
        assert WebhookState.objects.get().rhythm, "its rhythm is known in the end"
        assert not Gap.objects.exists()
        assert not MissedDelivery.objects.exists()
        assert_as_github_is(day)


@pytest.mark.spec("R3.4", "R7.6", "R9.1", "R9.3")
def test_a_sync_each_quarter_of_an_hour_puts_right_what_was_lost_and_says_how_much_that_was() -> (
    None
):
    plan = replace(
        STORM,
        loads={BUSY: STORM.loads[BUSY]},
        repositories={BUSY: 6},
        hours=1.0,
        rest_hours=0.3,
        weather=Weather(reorder=10),
        outages=(),
        step=10,
        beat=600,
        prompt=True,
        gap_detection=False,
        resync_minutes=15,
    )
    with long_day(plan) as day:
        day.begin()
        meter = Meter(day)
        day.live(day.now + 0.5 * 3600)
        assert measured() == 1, "what a webhook has told of is right before a sync comes"
        assert not Discrepancy.objects.exists()
        day.simulator.deliveries.weather = Weather(failed=0.1, loss=0.1, swallowed=0.1)
        day.live(day.now + 0.5 * 3600)
        day.live(day.now + 0.3 * 3600)
        assert day.lost()
        assert not Gap.objects.exists()
        assert_as_github_is(day)
        assert not [each for each in meter.wrong() if each.until is None]
        assert measured() < 1
        quarter = timedelta(minutes=15, seconds=plan.step)
        for row in Discrepancy.objects.all():
            assert row.repair_status == "repaired"
            assert row.occurred_at is None or row.detected_at - row.occurred_at <= quarter
