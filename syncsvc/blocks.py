"""Blocks of a page that the floors above fill: this one shows them and knows none of them.

An app registers its blocks when it is ready; each says what it shows to a user of an account, a run, a
repository, or of the accounts on one page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from syncsvc.selectors import Viewer

Place = Literal["top", "below"]
"""Above everything, for what needs somebody to act; or among the figures."""
Subject = Literal["account", "accounts", "run", "repository"]
"""Whose page it is: the block's `Fill` is given an `Installation`, the list of their ids, a `SyncJob`, a
`Repository`."""
Fill = Callable[[Any, Viewer, datetime], dict[str, Any] | None]
"""What a block shows of its subject to a user at a time; None for nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A block to be shown: its template finds `context` as `shown`."""

    name: str
    template: str
    context: dict[str, Any]


_registered: Final[dict[tuple[Subject, str], tuple[Fill, str, Place]]] = {}


def register(
    name: str, fill: Fill, template: str, *, on: Subject = "account", place: Place = "below"
) -> None:
    """Has `template` shown on the subject's page with what `fill` answers as `shown`, in the order in
    which blocks were registered. The same name again replaces the block."""
    _registered[on, name] = (fill, template, place)


def of(
    subject: Any, user: Viewer, now: datetime, *, on: Subject = "account"
) -> dict[Place, list[Block]]:
    """The blocks of this subject for this user, who may see it, by their places."""
    found: dict[Place, list[Block]] = {"top": [], "below": []}
    for (whose, name), (fill, template, place) in _registered.items():
        context = fill(subject, user, now) if whose == on else None
        if context is not None:
            found[place].append(Block(name=name, template=template, context=context))
    return found
