"""What makes a change a change: it holds the lock, moves the clock and is known by name.

Hides the registry from which remote control and activity pick changes.
"""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from syncsvc.simulator.state import State

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=State)

CHANGES: set[str] = set()
"""The names of all methods of a world that change it."""


def change(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Mark a method as a change: atomic, at a moment of its own, ending kept listings."""
    CHANGES.add(method.__name__)

    @wraps(method)
    def changed(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            self.tick()
            try:
                return method(self, *args, **kwargs)
            finally:
                self.revision += 1

    return changed
