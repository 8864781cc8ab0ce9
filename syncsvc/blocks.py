"""Blocks of an account's page that the floors above fill: this one shows them and knows none of them.

An app registers its blocks when it is ready; each says what it shows of an account to a user.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from syncsvc.models import Installation
from syncsvc.selectors import Viewer

Place = Literal["top", "below"]
"""Above everything, for what needs somebody to act; or among the figures."""
Fill = Callable[[Installation, Viewer, datetime], dict[str, Any] | None]
"""What a block shows of an account to a user at a time; None for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A block to be shown: its template finds `context` as `shown`."""

    name: str
    template: str
    context: dict[str, Any]


_registered: Final[dict[str, tuple[Fill, str, Place]]] = {}


def register(name: str, fill: Fill, template: str, *, place: Place = "below") -> None:
    """Has `template` shown on the account page with what `fill` answers as `shown`, in the order in
    which blocks were registered. The same name again replaces the block."""
    _registered[name] = (fill, template, place)


def of(installation: Installation, user: Viewer, now: datetime) -> dict[Place, list[Block]]:
    """The blocks of this account for this user, who may see it, by their places."""
    found: dict[Place, list[Block]] = {"top": [], "below": []}
    for name, (fill, template, place) in _registered.items():
        context = fill(installation, user, now)
        if context is not None:
            found[place].append(Block(name=name, template=template, context=context))
    return found
