"""What earlier attempts of a job did, by the audit trail: it is written in the transactions that did it.

A run that was killed leaves no figures, but each record that it wrote stands in its trail. So counts
are those of the whole job, and nothing is counted twice: what an earlier attempt created is not
`unchanged` in the next.
"""

from collections import Counter
from collections.abc import Collection
from datetime import datetime
from typing import Final

from django.db.models import F, Func, IntegerField, Sum

from reconciliation.findings import REPOSITORIES
from reconciliation.models import AuditRecord
from syncsvc.content_lists import ListKey
from syncsvc.github.reading import Entity

_NAMES: Final = {
    str(AuditRecord.Operation.CREATE): "created",
    str(AuditRecord.Operation.UPDATE): "updated",
    str(AuditRecord.Operation.DELETE): "deleted",
}
_WRITTEN: Final = (AuditRecord.Operation.CREATE, AuditRecord.Operation.UPDATE)
_ITEMS: Final = Sum(Func(F("items"), function="cardinality", output_field=IntegerField()))


class Earlier:
    """What a job's earlier attempts did; of a first attempt nothing, and no query is made."""

    #: Whether the list of repositories need not be read again.
    is_listed = False
    #: The primary key up to which repositories' contents need not be looked at again.
    done_to = 0
    contents_at: datetime | None = None
    moments: tuple[datetime, ...] = ()

    def __init__(self, entry: int | None = None) -> None:
        """Of the run with this audit entry."""
        self._entry = entry
        self._written: Counter[ListKey] = Counter()
        self._removed: Counter[ListKey] = Counter()
        #: GitHub's ids of the repositories that were created or updated.
        self.repositories: frozenset[int] = frozenset()

    def counts(self) -> dict[str, dict[str, int]]:
        """How many items were created, updated, deleted, by entity."""
        found: dict[str, dict[str, int]] = {}
        if self._entry is None:
            return found
        # What leaves the mirror only because newer commits came says so, and is not counted.
        done = AuditRecord.objects.filter(
            entry=self._entry, result=AuditRecord.Result.DONE, error=""
        )
        rows = done.order_by().values_list("entity", "operation").annotate(number=_ITEMS)
        for entity, operation, number in rows:
            if operation in _NAMES:
                found.setdefault(entity, {})[_NAMES[operation]] = number
        ids = done.filter(entity=REPOSITORIES, operation__in=_WRITTEN).values_list(
            "items", flat=True
        )
        self.repositories = frozenset(int(key) for keys in ids for key in keys)
        return found

    def look_at(self, repositories: Collection[int]) -> None:
        """Learns what was done to the lists of these repositories, by our keys."""
        self._written, self._removed = Counter(), Counter()
        if self._entry is None:
            return
        rows = (
            AuditRecord.objects.filter(
                entry=self._entry,
                result=AuditRecord.Result.DONE,
                error="",
                repository__in=list(repositories),
            )
            .exclude(entity=REPOSITORIES)
            .order_by()
            .values_list("repository_id", "entity", "operation")
            .annotate(number=_ITEMS)
        )
        for pk, entity, operation, number in rows:
            counted = self._written if operation in _WRITTEN else self._removed
            counted[pk, Entity(entity)] += number

    def written(self, key: ListKey) -> int:
        """How many items of a list that was looked at were created or updated."""
        return self._written[key]

    def removed(self, key: ListKey) -> int:
        """How many items of a list that was looked at were removed: they were compared as well."""
        return self._removed[key]
