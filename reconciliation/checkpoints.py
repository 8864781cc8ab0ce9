"""How far a run came, in the form in which its job keeps it, and whether that may be gone on with (R10.2).

Pure. Whatever is not as this version wrote it, or too old, is no checkpoint: a run then begins anew,
which costs requests and changes nothing else, because every run compares GitHub with the mirror.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

FORMAT: Final = 2
LIST_FRESH: Final = timedelta(minutes=15)
"""For so long nobody reads the list of repositories again. It is the usual time between two runs: a list
of that age is no older than what everybody has to expect of the mirror."""
CONTENTS_FRESH: Final = timedelta(hours=2)
"""For so long nobody looks again at repositories that are done. GitHub's hourly limit is over by then, and
so are the pauses between five attempts; and to look again costs one request for a hundred repositories."""
AHEAD: Final = timedelta(minutes=1)
"""So far may the clock of another machine be ahead."""
MOST_ASKED: Final = 5000
"""Of more wishes to read something again none is remembered: they are then answered by a run of their own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a run need not do again.

    `listed_at` is when the attempt began that read the whole list, `settled_at` when that was carried
    out, None where no whole list was read; `done_to` the primary key up to which repositories'
    contents are done, begun at `contents_at`.
    `list` and `contents` are the figures of these two stages. `moments` are the times under which
    lists of contents were noted as read, `asked` the wishes (key, version) that the run will have
    answered, `fresh` the lists, by GitHub's id of their repository, that it read for the first time.
    """

    listed_at: datetime | None = None
    settled_at: datetime | None = None
    contents_at: datetime | None = None
    done_to: int = 0
    moments: tuple[datetime, ...] = ()
    asked: frozenset[tuple[int, int]] = frozenset()
    fresh: frozenset[tuple[str, int]] = frozenset()
    list: Mapping[str, Any] = field(default_factory=dict)
    contents: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self, mode: str, version: str) -> dict[str, Any]:
        """In the form in which a job of this mode keeps it."""
        body = {
            "format": FORMAT,
            "mode": str(mode),
            "version": version,
            "listed_at": self.listed_at.isoformat() if self.listed_at else None,
            "settled_at": self.settled_at.isoformat() if self.settled_at else None,
            "contents_at": self.contents_at.isoformat() if self.contents_at else None,
            "done_to": self.done_to,
            "moments": [each.isoformat() for each in self.moments],
            "asked": sorted(map(list, self.asked)) if len(self.asked) <= MOST_ASKED else [],
            "fresh": sorted(map(list, self.fresh)),
            "list": dict(self.list),
            "contents": dict(self.contents),
        }
        return body | {"sum": _sum(body)}

    def is_listed(self, now: datetime) -> bool:
        """Whether the list of repositories need not be read again."""
        return self.listed_at is not None and _is_young(self.settled_at, now, LIST_FRESH)

    def is_begun(self, now: datetime) -> bool:
        """Whether the repositories that are done need not be looked at again."""
        return bool(self.contents) and _is_young(self.contents_at, now, CONTENTS_FRESH)

    def is_fresh(self, now: datetime) -> bool:
        """Whether what was read for the first time is still no news when it is compared again."""
        return _is_young(self.contents_at or self.settled_at, now, CONTENTS_FRESH)


def read(kept: Any, mode: str, version: str) -> Checkpoint | None:
    """What a job of this mode kept; None when there is nothing, or nothing that can be relied on."""
    try:
        body = {name: value for name, value in kept.items() if name != "sum"}
        if kept["sum"] != _sum(body):
            return None  # somebody edited it
        if (kept["format"], kept["mode"], kept["version"]) != (FORMAT, str(mode), version):
            return None
        return Checkpoint(
            listed_at=_moment(kept["listed_at"]) if kept["listed_at"] else None,
            settled_at=_moment(kept["settled_at"]) if kept["settled_at"] else None,
            contents_at=_moment(kept["contents_at"]) if kept["contents_at"] else None,
            done_to=_number(kept["done_to"]),
            moments=tuple(_moment(each) for each in kept["moments"]),
            asked=frozenset((_number(key), _number(version)) for key, version in kept["asked"]),
            fresh=frozenset((str(entity), _number(home)) for entity, home in kept["fresh"]),
            list=dict(kept["list"]),
            contents=dict(kept["contents"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _is_young(moment: datetime | None, now: datetime, most: timedelta) -> bool:
    return moment is not None and -AHEAD <= now - moment <= most


def _moment(text: Any) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def _number(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("no number that we count in")
    return value


def _sum(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
