"""What makes a change a change: it holds the lock, moves the clock and is known by name.

Hides the registry from which remote control picks changes, and how they are reported so
that a history can repeat them.
"""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Concatenate, ParamSpec, TypeVar

from syncsvc.simulator.records import Change
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
            at = self.tick()
            self.changing += 1
            try:
                result = method(self, *args, **kwargs)
            finally:
                self.changing -= 1
                self.revision += 1
            # A change within a change is repeated by the outer one.
            if self.on_change is not None and not self.changing:
                arguments = _named(method, self, *args, **kwargs)
                self.on_change(Change(at, method.__name__, arguments))
            return result

    return changed


def _named(method: Callable[..., object], *args: object, **kwargs: object) -> dict[str, Any]:
    """The arguments of a call by name, those in `**fields` among them."""
    form = signature(method)
    bound = form.bind(*args, **kwargs).arguments
    bound.pop("self")
    for parameter in form.parameters.values():
        if parameter.kind is Parameter.VAR_KEYWORD:
            bound |= bound.pop(parameter.name, {})
    return bound
