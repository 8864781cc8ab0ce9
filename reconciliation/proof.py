"""Whether what was repaired stays repaired: the mirror is read again and compared with what was found.

Hides that a newer change may have come since: then the repair was not in vain, it was overtaken.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import structlog

from reconciliation import discrepancies
from reconciliation.findings import REPOSITORIES, key_of, plain
from reconciliation.models import Discrepancy
from reconciliation.run import Run
from syncsvc import contents, mirror
from syncsvc.content_plan import COLUMNS, Key
from syncsvc.github.reading import Entity
from syncsvc.models import Repository
from syncsvc.plan import FIELDS

log = structlog.get_logger(__name__)

BATCH: Final = 5000
_PRESENT: Final = frozenset(str(each) for each in Repository.PRESENT)
_OURS: Final = frozenset({"missing_since", "name_is_current", "told_at", "read_at"})

Values = Mapping[str, Any]
Place = tuple[str, str, int | None]
"""Entity, key and, of a commit, our key of its repository: it can be in several."""


def verify_repairs(run: Run) -> int:
    """Looks at what this run repaired; returns how many repairs do not show in the mirror (R7.4).

    Those are told of as a failure of the run.
    """
    if run.job.dry_run or run.judge.is_silent:
        return 0
    names: list[str] = []
    for rows in _batches(run):
        with run.phase("verify"):
            held = _held(rows)
            good = {row.pk for row in rows if _shows(row, held.get(_place(row)))}
            with run.lease.writing():
                discrepancies.verified(good, run.judge.finder().now)
        names += [row.name for row in rows if row.pk not in good]
    if names:
        log.warning("repair.not_there", names=names[:100])
        run.failed(
            f"{len(names)} repairs",
            "verify",
            "validation",
            f"{len(names)} repairs do not show in the mirror, the first one of {names[0]}.",
        )
    return len(names)


def _batches(run: Run) -> Iterator[list[Discrepancy]]:
    last = 0
    while True:
        rows = Discrepancy.objects.filter(
            pk__gt=last,
            repaired_in=run.job.pk,
            verified_at__isnull=True,
            repair_status=Discrepancy.Status.REPAIRED,
        )
        batch = list(rows.order_by("pk")[:BATCH])
        if not batch:
            return
        yield batch
        last = batch[-1].pk


def _place(row: Discrepancy) -> Place:
    return (row.entity, row.item_key, row.repository_id if row.entity == Entity.COMMITS else None)


def _held(rows: Iterable[Discrepancy]) -> dict[Place, Values]:
    """What the mirror now says of these items."""
    wanted: dict[str, list[Discrepancy]] = {}
    for row in rows:
        wanted.setdefault(row.entity, []).append(row)
    found: dict[Place, Values] = {}
    for entity, some in wanted.items():
        if entity == REPOSITORIES:
            found |= _repositories(some)
        else:
            found |= _items(Entity(entity), some)
    return found


def _repositories(rows: Iterable[Discrepancy]) -> dict[Place, Values]:
    mine = mirror.read([int(row.item_key) for row in rows])
    names = (*FIELDS, "status", "installation_id")
    return {
        (REPOSITORIES, str(github_id), None): plain({name: getattr(row, name) for name in names})
        | {"present": row.status in _PRESENT}
        for github_id, row in mine.items()
    }


def _items(entity: Entity, rows: Iterable[Discrepancy]) -> dict[Place, Values]:
    keys = list(_keys(entity, rows))
    columns = COLUMNS[entity]
    return {
        (str(entity), key_of(key), key[0] if isinstance(key, tuple) else None): plain(
            dict(zip(columns, item.values, strict=True))
        )
        | {"present": item.present}
        for key, item in contents.read(entity, keys).items()
    }


def _keys(entity: Entity, rows: Iterable[Discrepancy]) -> Iterable[Key]:
    for row in rows:
        if entity is not Entity.COMMITS:
            yield int(row.item_key)
        elif row.repository_id is not None:
            yield (row.repository_id, row.item_key)


def _shows(row: Discrepancy, held: Values | None) -> bool:
    """Whether the mirror says what GitHub said, or something newer."""
    if row.proposed_action in (Discrepancy.Action.REMOVE, Discrepancy.Action.REVIEW):
        return held is None or not held["present"] or row.type == Discrepancy.Type.WRONG_OWNER
    if held is None or not held["present"]:
        return False
    if all(held.get(name) == value for name, value in row.after.items() if name not in _OURS):
        return True
    theirs, ours = row.after.get("github_updated_at"), held.get("github_updated_at")
    return ours is not None and (theirs is None or ours > theirs)
