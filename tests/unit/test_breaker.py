"""The breaker of one account against a model of it, whatever happens in whatever order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from syncsvc import breaker
from syncsvc.breaker import Breaker, State

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
THRESHOLD = 3


class Breakers(RuleBasedStateMachine):
    """Plays an account: one run at a time, as its door and the ends of its runs use the breaker.

    The model knows nothing of states: it counts failures and remembers since when it is shut out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.real = Breaker()
        self.now = NOW
        self.running = False
        self.failures = 0
        self.trials_failed = 0
        self.shut_until: datetime | None = None

    @rule(minutes=st.integers(0, 70))
    def time_passes(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @precondition(lambda self: not self.running)
    @rule()
    def a_sync_is_asked_for(self) -> None:
        allowed = breaker.may_start(self.real, self.now)
        assert allowed == (self.shut_until is None or self.shut_until <= self.now)
        started = breaker.started(self.real, self.now)
        if not allowed:
            assert started == self.real
            return
        self.running = True
        self.real = started
        on_trial = self.shut_until is not None
        assert self.real.state is (State.HALF_OPEN if on_trial else State.CLOSED)

    @precondition(lambda self: self.running)
    @rule()
    def it_fails(self) -> None:
        self.running = False
        self.failures += 1
        self.real = breaker.failed(self.real, self.now, THRESHOLD)
        if self.shut_until is not None or self.failures >= THRESHOLD:
            pause = min(HOUR, 5 * MINUTE * 2**self.trials_failed)
            self.trials_failed += 1
            self.shut_until = self.now + pause
            assert self.real.open_until == self.shut_until
            assert self.real.opened_at == self.now

    @precondition(lambda self: self.running)
    @rule()
    def it_succeeds(self) -> None:
        self.running = False
        self.real = breaker.succeeded(self.real)
        self._forget()

    @precondition(lambda self: self.running)
    @rule()
    def it_comes_to_no_verdict(self) -> None:
        """Cancelled, killed and deleted, of one repository only: the next sync may start at once."""
        self.running = False
        assert breaker.may_start(self.real, self.now)

    @rule()
    def an_operator_closes_it(self) -> None:
        self.real = breaker.succeeded(self.real)
        self._forget()

    def _forget(self) -> None:
        self.failures, self.trials_failed, self.shut_until = 0, 0, None

    @invariant()
    def it_says_what_it_is(self) -> None:
        real = self.real
        assert real.failures == self.failures
        assert real.openings == self.trials_failed
        assert (real.open_until is not None) == (real.state is State.OPEN)
        assert (real.opened_at is None) == (real.state is State.CLOSED)
        if real.open_until is not None and real.opened_at is not None:
            assert 5 * MINUTE <= real.open_until - real.opened_at <= HOUR
        if real.state is State.CLOSED:
            assert real.failures < THRESHOLD

    @invariant()
    def it_never_hangs(self) -> None:
        assert breaker.may_start(self.real, self.now + HOUR)


TestBreakers = pytest.mark.spec("R10.3")(Breakers.TestCase)
TestBreakers.settings = settings(max_examples=100, stateful_step_count=25, deadline=None)


@pytest.mark.spec("R10.3")
@given(st.integers(-1, 9))
def test_it_opens_with_the_failure_that_reaches_the_threshold(threshold: int) -> None:
    present, opened_with = Breaker(), 0
    for number in range(1, 12):
        present = breaker.failed(present, NOW, threshold)
        if present.state is State.OPEN:
            opened_with = number
            break
    assert opened_with == max(1, threshold)


@pytest.mark.spec("R10.3")
def test_a_failure_while_it_is_open_only_counts() -> None:
    opened = breaker.failed(Breaker(), NOW, 1)
    again = breaker.failed(opened, NOW + MINUTE, 1)
    assert (again.failures, again.openings, again.open_until) == (2, 1, opened.open_until)


@pytest.mark.spec("R10.3")
@given(st.timedeltas(timedelta(seconds=1), timedelta(days=9000)))
def test_a_pause_that_no_breaker_makes_is_nobodys(ahead: timedelta) -> None:
    """The clock was a day wrong when it was written, and was put right: nobody waits a day."""
    waits = Breaker(state=State.OPEN, failures=5, openings=1, opened_at=NOW, open_until=NOW + ahead)
    assert breaker.may_start(waits, NOW) == (ahead > HOUR)
