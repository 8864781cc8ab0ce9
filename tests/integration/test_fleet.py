"""The figures of the whole fleet: right, whatever happened when, and in a fixed number of queries."""

from datetime import timedelta

import pytest

from alerts import fleet
from alerts.fleet_values import FleetFilters, Window
from reconciliation import rolling
from syncsvc import clock
from tests.factories import InstallationFactory, SyncJobFactory
from tests.judge_factories import DiscrepancyFactory, RunFigureFactory, SampleAuditFactory

pytestmark = pytest.mark.django_db


def test_rolling_changes_no_figure() -> None:
    now = clock.now()
    one = InstallationFactory.create()
    SyncJobFactory.create(installation=one)
    RunFigureFactory.create(installation=one)
    DiscrepancyFactory.create(installation=one, detected_at=now - timedelta(hours=30))
    SampleAuditFactory.create(installation=one, at=now - timedelta(hours=3))
    for window in Window:
        before = fleet.read(FleetFilters(window=window), now)
        rolling.roll(now)
        after = fleet.read(FleetFilters(window=window), now)
        assert before == after
