"""The sums that are kept of a stretch of time: their names, where they come from, where they are rolled to.

Hides the tables of what is summed and their columns. Pure: it makes SQL, and runs none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from reconciliation.models import (
    Discrepancy,
    Entity,
    RolledFleet,
    RolledHours,
    RunFigure,
    SampleAudit,
)
from reconciliation.sums import BOUNDS
from syncsvc.models import Gap, SyncJob

COUNTED: Final = ("compared", "matched", "vouched", "unknown")
ENTITIES: Final = (
    Entity.REPOSITORIES, Entity.ISSUES, Entity.PULL_REQUESTS, Entity.COMMITS,
)  # fmt: skip
_Type = Discrepancy.Type
#: In the order in which they are kept: a new type goes to the end, and none ever leaves.
TYPES: Final = (
    _Type.MISSING_REPO, _Type.MISSING_AT_GITHUB, _Type.WRONG_NAME, _Type.WRONG_OWNER,
    _Type.WRONG_VISIBILITY, _Type.WRONG_ARCHIVED_FLAG, _Type.WRONG_STATUS, _Type.STALE_METADATA,
    _Type.MISSING_ISSUE, _Type.STALE_ISSUE, _Type.ISSUE_MISSING_AT_GITHUB,
    _Type.MISSING_PULL_REQUEST, _Type.STALE_PULL_REQUEST, _Type.PULL_REQUEST_MISSING_AT_GITHUB,
    _Type.MISSING_COMMIT, _Type.STALE_COMMIT, _Type.COMMIT_MISSING_AT_GITHUB,
)  # fmt: skip
AUDITED: Final = (
    "audits", "sampled", "matched", "wrong", "in_flight", "unknown",
    "weight", "weight_matched", "weight_squares", "weight_squares_wrong",
)  # fmt: skip

RUNS: Final = ("succeeded", "partial", "failed", "cancelled")
TIMES: Final = ("timed", "milliseconds")
CLASSES: Final = tuple(f"class_{number}" for number in range(len(BOUNDS) + 1))
BY_ENTITY: Final = tuple(f"{entity}_{name}" for entity in ENTITIES for name in COUNTED)
BY_TYPE: Final = tuple(f"type_{number}" for number in range(len(TYPES)))
AUDIT: Final = tuple(f"audit_{name}" for name in AUDITED)
#: Every name of a sum, and the place of those that are kept in arrays.
SCALARS: Final = (*RUNS, *TIMES, *COUNTED, "found", "gaps")
ARRAYS: Final[Mapping[str, Sequence[str]]] = {
    "classes": CLASSES,
    "by_entity": BY_ENTITY,
    "by_type": BY_TYPE,
    "audited": AUDIT,
}
EVERYTHING: Final = (*SCALARS, *(name for names in ARRAYS.values() for name in names))

TABLE: Final = RolledHours._meta.db_table
FLEET: Final = RolledFleet._meta.db_table
"""The same of all accounts together."""
ROLLED: Final[Mapping[str, str]] = {name: f"sum(t.{name})" for name in SCALARS} | {
    name: f"sum(t.{array}[{place}])"
    for array, names in ARRAYS.items()
    for place, name in enumerate(names, start=1)
}
"""Name -> its aggregate over rows `t` of what is rolled, of each account or of all together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A table `t` of what is summed: the time that counts, which rows, and the sums that come from it."""

    table: str
    at: str
    sums: Mapping[str, str]
    condition: str = "true"


def _jobs() -> dict[str, str]:
    took = "extract(epoch FROM t.finished_at - t.started_at)"
    judged = "t.status <> 'cancelled' AND t.started_at IS NOT NULL"
    counted = f"count(*) FILTER (WHERE {judged}"
    found = {
        "succeeded": "count(*) FILTER (WHERE t.status = 'succeeded')",
        "partial": "count(*) FILTER (WHERE t.status = 'partial')",
        "failed": "count(*) FILTER (WHERE t.status IN ('failed', 'dead'))",
        "cancelled": "count(*) FILTER (WHERE t.status = 'cancelled')",
        "timed": f"{counted})",
        # In whole milliseconds each, so that sums do not depend on the order of adding.
        "milliseconds": f"sum(greatest(0, floor({took} * 1000))::bigint) FILTER (WHERE {judged})",
    }
    edges = [None, *BOUNDS, None]
    for name, above, most in zip(CLASSES, edges[:-1], edges[1:], strict=True):
        within = [f"{took} > {above}"] if above is not None else []
        within += [f"{took} <= {most}"] if most is not None else []
        found[name] = f"{counted} AND {' AND '.join(within)})"
    return found


def _figures() -> dict[str, str]:
    found = {name: f"sum(t.{name})" for name in COUNTED}
    for entity in ENTITIES:
        for name in COUNTED:
            found[f"{entity}_{name}"] = f"sum(t.{name}) FILTER (WHERE t.entity = '{entity}')"
    return found


def _audits() -> dict[str, str]:
    found = {f"audit_{name}": f"sum(t.{name})" for name in AUDITED}
    return found | {"audit_audits": "count(*)"}


_TYPES = {
    name: f"count(*) FILTER (WHERE t.type = '{kind}')"
    for name, kind in zip(BY_TYPE, TYPES, strict=True)
}
SOURCES: Final = (
    Source(
        table=SyncJob._meta.db_table,
        at="finished_at",
        condition="t.finished_at IS NOT NULL AND NOT t.dry_run AND t.mode NOT IN ('recheck', 'audit')",
        sums=_jobs(),
    ),
    Source(table=RunFigure._meta.db_table, at="at", sums=_figures()),
    Source(
        table=Discrepancy._meta.db_table,
        at="detected_at",
        sums={"found": "count(*)"} | _TYPES,
    ),
    Source(table=Gap._meta.db_table, at="opened_at", sums={"gaps": "count(*)"}),
    Source(table=SampleAudit._meta.db_table, at="at", sums=_audits()),
)


def kind(name: str) -> str:
    """The type of a sum in SQL: weights of audits are no whole numbers."""
    return "float8" if name in AUDIT else "bigint"
