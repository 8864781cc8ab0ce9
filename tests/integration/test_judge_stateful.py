"""Whatever happens to GitHub, to its webhooks and to our workers: the judge tells the truth of it.

The rules are the acts of `tests.judge_support`; what must hold after each of them, and in the end,
stands in `tests.judge_truth`. `python -m tests.bench --only histories` goes on with many more.
"""

from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.judge_support import ACTS, History, history

pytestmark = pytest.mark.django_db(transaction=True)

SEEDS = st.integers(0, 10**6)


class Histories(RuleBasedStateMachine):
    """A GitHub, its mirror, and everything that may go wrong between the two."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        self.history: History | None = None

    @initialize(seed=st.integers(0, 10**4))
    def begin(self, seed: int) -> None:
        """The first sync of each account."""
        self.history = self._stack.enter_context(history(seed))

    def teardown(self) -> None:
        """Quiet at last: nothing is different, nothing open, nothing found."""
        with self._stack:
            if self.history is not None and not self.history.is_broken:
                self.history.end()


def _rule(name: str) -> Any:
    def act(self: Histories, seed: int) -> None:
        assert self.history is not None
        self.history.act(name, seed)

    act.__name__ = name
    return rule(seed=SEEDS)(act)


for _name in ACTS:
    setattr(Histories, _name, _rule(_name))


@pytest.mark.spec("R3.3", "R7.2", "R7.4", "R7.5", "R7.6", "R7.7", "R9.1", "R10.2", "P37", "P38")
def test_whatever_happens_every_discrepancy_is_explained_and_the_mirror_ends_right() -> None:
    run_state_machine_as_test(
        Histories,
        settings=settings(
            max_examples=4,
            stateful_step_count=25,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
