"""Where each installation stands in the interval."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.schedule import next_run

QUARTER = timedelta(minutes=15)
moments = st.datetimes(datetime(2024, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))


@pytest.mark.spec("R3.4")
@given(key=st.integers(1, 2**62), after=moments, minutes=st.integers(1, 24 * 60))
def test_the_next_run_is_within_one_interval_and_keeps_its_place(
    key: int, after: datetime, minutes: int
) -> None:
    interval = timedelta(minutes=minutes)
    due = next_run(key, after, interval)
    assert after < due <= after + interval
    again = next_run(key, due, interval)
    assert abs(again - due - interval) < timedelta(milliseconds=1)


@pytest.mark.spec("R3.4")
def test_a_thousand_installations_do_not_start_together() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    minutes = [0] * 15
    for key in range(1000):
        minutes[int((next_run(key, now, QUARTER) - now).total_seconds() // 60)] += 1
    assert max(minutes) < 110, minutes
    assert min(minutes) > 35, minutes
