"""Why the mirror was wrong: which lost delivery explains a discrepancy (R7.4).

GitHub's log is often read after a run has found and repaired the difference, so causes are looked for
again for some days. Hides how the right one of many is found: by its place in time among those of the
same repository, so that ten times as many of both take ten times as long and not a hundred times.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Final

from django.db import connection

from reconciliation.models import Discrepancy
from reconciliation.models.discrepancy import Entity
from syncsvc.models import MissedDelivery

LOOK_BACK: Final = timedelta(days=3)
"""As long as GitHub's log tells of deliveries."""
MARGIN: Final = timedelta(minutes=2)
"""A delivery is sent after the change that it tells of, and GitHub's clocks differ a little."""
BATCH: Final = 2000

_OF_ACCOUNT: Final = frozenset({"installation", "installation_repositories", "installation_target"})
_EVENTS: Final[Mapping[str, frozenset[str]]] = {
    Entity.ISSUES: frozenset({"issues"}),
    Entity.PULL_REQUESTS: frozenset({"pull_request"}),
    Entity.COMMITS: frozenset({"push"}),
    Entity.REPOSITORIES: _OF_ACCOUNT | {"repository", "public", "push", "issues", "pull_request"},
}
# In one order, so that two at once do not wait for each other in a circle.
_WRITE: Final = f"""
    WITH free AS (
        SELECT id FROM {Discrepancy._meta.db_table}
        WHERE id = ANY(%(ids)s) AND cause = 'unknown' ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE {Discrepancy._meta.db_table} AS d SET cause = 'lost_delivery', missed_delivery_id = m.id
    FROM free JOIN unnest(%(ids)s::bigint[], %(missed)s::bigint[]) AS w(id, missed) USING (id)
         JOIN {MissedDelivery._meta.db_table} AS m ON m.id = w.missed
    WHERE d.id = free.id
"""  # noqa: S608  (all names are ours)

_Place = tuple[int, int | None, str]
"""Our id of the account, GitHub's id of the repository or None, and the entity."""
_Lost = Mapping[_Place, Sequence[tuple[datetime, int]]]


def explain(now: datetime, installation_id: int | None = None) -> int:
    """Looks for the lost delivery behind each discrepancy whose cause is unknown; returns for how
    many one was found. Safe to run twice and beside itself."""
    rows = Discrepancy.objects.filter(
        cause=Discrepancy.Cause.UNKNOWN,
        missed_delivery__isnull=True,
        detected_at__gte=now - LOOK_BACK,
    )
    if installation_id is not None:
        rows = rows.filter(installation=installation_id)
    names = (
        "pk",
        "installation_id",
        "repository_github_id",
        "entity",
        "detected_at",
        "occurred_at",
    )
    unknown = list(rows.order_by("pk").values_list(*names))
    if not unknown:
        return 0
    since = min(_since(detected_at, occurred_at) for *_, detected_at, occurred_at in unknown)
    lost = _lost({row[1] for row in unknown}, since)
    found = (
        (pk, missed)
        for pk, account, home, entity, detected_at, occurred_at in unknown
        if (missed := _nearest(lost, (account, home, entity), detected_at, occurred_at))
    )
    return sum(_written(batch) for batch in _batches(found))


def _since(detected_at: datetime, occurred_at: datetime | None) -> datetime:
    return (detected_at - LOOK_BACK if occurred_at is None else occurred_at) - MARGIN


def _lost(accounts: set[int], since: datetime) -> _Lost:
    """The lost deliveries since then, each in the order of their times."""
    found: defaultdict[_Place, list[tuple[datetime, int]]] = defaultdict(list)
    rows = MissedDelivery.objects.filter(installation__in=accounts, first_at__gte=since)
    names = ("pk", "installation_id", "repository_github_id", "event", "first_at")
    for pk, account, home, event, first_at in rows.order_by("first_at", "pk").values_list(*names):
        for entity, events in _EVENTS.items():
            if event in (_OF_ACCOUNT if home is None else events) and event in events:
                found[account, home, str(entity)].append((first_at, pk))
    return found


def _nearest(
    lost: _Lost, place: _Place, detected_at: datetime, occurred_at: datetime | None
) -> int | None:
    """Of several the one that was sent right after the change; the first one, where GitHub tells no
    time of it."""
    account, home, entity = place
    since = _since(detected_at, occurred_at)
    aim = since if occurred_at is None else occurred_at
    near: list[tuple[timedelta, int]] = []
    for rows in (lost.get((account, of, entity), ()) for of in {home, None}):
        first, at = bisect_left(rows, (since, 0)), bisect_left(rows, (aim, 0))
        for sent_at, pk in rows[max(first, at - 1) : at + 1]:
            if sent_at <= detected_at:
                near.append((abs(sent_at - aim), pk))
    return min(near)[1] if near else None


def _batches(found: Iterator[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    while batch := list(islice(found, BATCH)):
        yield batch


def _written(batch: Sequence[tuple[int, int]]) -> int:
    parameters: dict[str, Any] = {
        "ids": [pk for pk, _ in batch],
        "missed": [missed for _, missed in batch],
    }
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, parameters)
        return int(cursor.rowcount)
