"""What a run saw when it looked back: counts, items that are not there, rows that break rules (R8.1).

Hides how figures of lists that are read twice are kept, and the form in which a job keeps the result.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from reconciliation.integrity import Report, open_issues
from reconciliation.models import IntegrityIssue
from syncsvc.content_lists import ListKey
from syncsvc.content_plan import Key
from syncsvc.github.reading import Entity

MISSING_SHOWN: Final = 100


class LookBack:
    """The result of one run's verification, as it grows."""

    def __init__(self, installation_id: int) -> None:
        self._installation_id = installation_id
        self._result: dict[str, Any] = {}
        self._contents: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._missing: defaultdict[str, list[Any]] = defaultdict(list)
        #: Items that are not there although they were written, by list (R8.2).
        self.gaps: defaultdict[ListKey, set[Key]] = defaultdict(set)
        #: Items that GitHub showed while lists were read again.
        self.shown: set[Key] = set()
        self.is_resyncing = False
        self._restored = False
        self._by_list: dict[tuple[str, ListKey], tuple[int, int]] = {}
        self._rows = Report()
        self._resync: Counter[str] = Counter()

    def counted(self, entity: str, *, github: int, mirror: int, of: ListKey | None = None) -> None:
        """Adds how many items GitHub and the mirror have in one list; of one that was read, its last
        reading counts (R8.1)."""
        before = (0, 0)
        if self.is_resyncing and (
            of is None or (self._restored and (entity, of) not in self._by_list)
        ):
            return  # it did not change, and was counted before, be it by an earlier attempt
        if of is not None:
            before = self._by_list.get((entity, of), before)
            self._by_list[entity, of] = (github, mirror)
        found = self._contents[entity]
        found["github"] += github - before[0]
        found["mirror"] += mirror - before[1]

    def looked_back(self, entity: str, written: int) -> None:
        """Adds how many written items verification looked for (R8.1)."""
        self._contents[entity]["written"] += written

    def still_missing(self, entity: str, keys: Sequence[Any], number: int) -> None:
        """Says which items, and how many in all, are missing although they were read again (R8.2)."""
        self._contents[entity]["missing"] = number
        self._missing[entity] = list(keys)[:MISSING_SHOWN]

    @cached_property
    def integrity_issues(self) -> list[IntegrityIssue]:
        """The issues of the account's rows that were open when the run began to write."""
        return open_issues(self._installation_id)

    def checked_rows(self, report: Report) -> None:
        """Adds what a check of rows against the rules came to (R8.1)."""
        self._rows.add(report)

    def tried_again(self, *, items: int, resolved: int, failed: int) -> None:
        """Adds what reading again brought (R8.2)."""
        self._resync.update(items=items, resolved=resolved, failed=failed)

    def verified(self, result: dict[str, Any]) -> None:
        """Keeps what verification found (R8.1)."""
        self._result |= result

    def state(self) -> dict[str, Any]:
        """What was seen so far, for an attempt of the same job that need not look again."""
        return {
            "result": dict(self._result),
            "contents": {entity: dict(found) for entity, found in self._contents.items()},
            "rows": self._rows.state(),
            "resync": dict(self._resync),
            "gaps": [
                [pk, str(entity), [_shown(key) for key in sorted(keys, key=str)]]
                for (pk, entity), keys in self.gaps.items()
            ],
        }

    def restore(self, state: Mapping[str, Any], *, listed: bool, begun: bool) -> None:
        """Takes over what `state` said; `listed` when the list of repositories is not read again,
        `begun` when neither are the contents of those that are done."""
        if listed:
            self._result = dict(state["result"])
            self._resync.update(state["resync"])
        self._rows.restore(state["rows"])
        if not begun:
            return
        for entity, found in state["contents"].items():
            self._contents[entity].update(found)
        for pk, entity, keys in state["gaps"]:
            of = Entity(entity)
            commits = of is Entity.COMMITS
            self.gaps[pk, of].update((pk, str(key)) if commits else key for key in keys)
        self._restored = True

    def result(self) -> dict[str, Any]:
        """Everything that verification came to; nothing when the run did not get so far."""
        if not self._result:
            return {}
        resync = {name: self._resync[name] for name in ("items", "resolved", "failed")}
        more = {
            "integrity": self._rows.as_json(),
            "resync": {"attempted": bool(self._resync)} | resync,
        }
        if self._contents:
            more["contents"] = {
                entity: self._of(entity, found) for entity, found in self._contents.items()
            }
        return self._result | more

    def _of(self, entity: str, found: Counter[str]) -> dict[str, Any]:
        # More commits than are wanted may be left until the next whole reading.
        beyond = entity == "commits" and found["mirror"] > found["github"]
        agrees = found["github"] == found["mirror"] or beyond
        names = ("github", "mirror", "written", "missing")
        return {name: found[name] for name in names} | {
            "ok": not found["missing"] and agrees,
            "missing_ids": self._missing[entity],
        }


def _shown(key: Key) -> int | str:
    return key if isinstance(key, int) else key[1]
