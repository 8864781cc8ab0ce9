"""The one writer of discrepancies: found, proposed, repaired, verified (R7.4).

Hides that one item can be found wrong often: of one type at most one row of it is open, whoever finds
it again refreshes that row, and whoever repairs the item closes all of them.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import connection
from django.db.models import Q

from reconciliation.findings import Finding, Identity, identity
from reconciliation.models import Discrepancy

_TABLE: Final = Discrepancy._meta.db_table
_OPEN: Final = tuple(str(each) for each in Discrepancy.OPEN)
SINCE_THEN: Final = "github"
"""Who repaired what nobody had to: GitHub or the mirror moved, and the difference is gone."""

_COLUMNS: Final = {
    "repository_github_id": "bigint",
    "entity": "text",
    "item_key": "text",
    "name": "text",
    "type": "text",
    "occurred_at": "timestamptz",
    "before": "jsonb",
    "after": "jsonb",
    "proposed_action": "text",
    "cause": "text",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Finder:
    """Who found it, and when."""

    installation_id: int
    job_id: UUID
    detector: str
    trigger: str
    now: datetime


def repaired(findings: Sequence[Finding], finder: Finder) -> None:
    """Notes what has just been repaired; to be called in the transaction of the repair.

    What was already open of these items is closed by it and keeps its time of detection; what was
    wrong in another way than it is now has gone by itself.
    """
    if not findings:
        return
    closed = _close(findings, finder, by="sync")
    rest = [each for each in findings if (each.item, str(each.kind)) not in closed]
    _insert(rest, finder, status=Discrepancy.Status.REPAIRED)


def close(findings: Sequence[Finding], finder: Finder) -> None:
    """Closes what is open of items that have just been repaired and are no discrepancy by themselves."""
    if findings:
        _close(findings, finder, by="sync")


def proposed(findings: Sequence[Finding], finder: Finder) -> None:
    """Notes what is wrong and was not repaired: a dry run, an audit. Found again, it is refreshed."""
    _insert(findings, finder, status=Discrepancy.Status.PROPOSED)


def hold(findings: Sequence[Finding], finder: Finder) -> None:
    """Notes what only a person may decide (R7.3)."""
    _insert(findings, finder, status=Discrepancy.Status.NEEDS_MANUAL_REVIEW, action="review")


def failed(findings: Sequence[Finding], finder: Finder, reason: str) -> None:
    """Notes what is wrong and could not be repaired, and why."""
    _insert(findings, finder, status=Discrepancy.Status.FAILED, reason=reason)


@dataclass(frozen=True, kw_only=True, slots=True)
class Open:
    """A row that is open: what it is about."""

    pk: int
    entity: str
    key: str
    kind: str
    repository_github_id: int

    @property
    def item(self) -> Identity:
        """What it is about."""
        return identity(self.entity, self.key, self.repository_github_id)


def open_of(installation_id: int) -> tuple[Open, ...]:
    """The open rows of an account."""
    rows = Discrepancy.objects.filter(installation_id=installation_id, repair_status__in=_OPEN)
    names = ("pk", "entity", "item_key", "type", "repository_github_id")
    return tuple(
        Open(pk=pk, entity=entity, key=key, kind=kind, repository_github_id=home)
        for pk, entity, key, kind, home in rows.values_list(*names)
    )


def obsolete(pks: Collection[int], finder: Finder) -> int:
    """Ends open rows whose items were compared and found right: the difference is gone."""
    if not pks:
        return 0
    rows = Discrepancy.objects.filter(pk__in=pks, repair_status__in=_OPEN)
    return rows.update(
        repair_status=Discrepancy.Status.REPAIRED,
        repaired_at=finder.now,
        repaired_by=SINCE_THEN,
        repaired_in=finder.job_id,
        verified_at=finder.now,
    )


def verified(pks: Collection[int], now: datetime) -> None:
    """Notes that the mirror was seen to say what it should after the repair."""
    Discrepancy.objects.filter(pk__in=pks, verified_at__isnull=True).update(verified_at=now)


def of_run(job_id: UUID) -> Iterable[tuple[str, str, str, int]]:
    """What a job found wrong, all attempts of it together: entity, key, type, repository. What is
    held waits for a person, and is not known to be wrong."""
    missed = Q(detector=Discrepancy.Detector.VERIFICATION)  # of what was measured before it, none
    rows = Discrepancy.objects.filter(Q(repaired_in=job_id) | Q(correlation_id=job_id) & ~missed)
    held = Discrepancy.Status.NEEDS_MANUAL_REVIEW
    rows = rows.exclude(repaired_by=SINCE_THEN).exclude(repair_status=held)
    names = ("entity", "item_key", "type", "repository_github_id")
    return rows.values_list(*names).distinct()


def _close(findings: Sequence[Finding], finder: Finder, *, by: str) -> set[tuple[Identity, str]]:
    """Closes the open rows of these items, of whatever type; returns which there were."""
    kinds: dict[Identity, list[str]] = {}
    for each in findings:
        kinds.setdefault(each.item, []).append(str(each.kind))
    items = sorted(kinds)
    sql = f"""
        UPDATE {_TABLE} AS d SET repair_status = 'repaired', repaired_at = %(now)s,
            repaired_by = coalesce((SELECT username FROM auth_user WHERE id = d.decided_by_id),
                CASE WHEN d.type = ANY(string_to_array(w.types, ',')) THEN %(by)s ELSE %(gone)s END),
            verified_at = CASE WHEN d.type <> ALL(string_to_array(w.types, ',')) THEN %(now)s::timestamptz END,
            repaired_in = %(job)s, reason = '',
            repository_id = coalesce(d.repository_id, (
                SELECT id FROM syncsvc_repository WHERE github_id = d.repository_github_id))
        FROM unnest(%(entities)s::text[], %(keys)s::text[], %(homes)s::bigint[], %(types)s::text[])
             AS w(entity, item_key, home, types)
        WHERE d.installation_id = %(installation)s AND d.entity = w.entity
          AND d.item_key = w.item_key AND w.home IN (0, d.repository_github_id)
          AND d.repair_status = ANY(%(open)s)
        RETURNING d.entity, d.item_key, w.home, d.type
    """  # noqa: S608  (all names are ours)
    parameters: dict[str, Any] = {
        "now": finder.now,
        "by": by,
        "job": finder.job_id,
        "entities": [entity for entity, _, _ in items],
        "keys": [key for _, key, _ in items],
        "homes": [home for _, _, home in items],
        "types": [",".join(kinds[item]) for item in items],
        "gone": SINCE_THEN,
        "installation": finder.installation_id,
        "open": list(_OPEN),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {((entity, key, home), kind) for entity, key, home, kind in cursor.fetchall()}


def _insert(
    findings: Sequence[Finding],
    finder: Finder,
    *,
    status: str,
    action: str | None = None,
    reason: str = "",
) -> None:
    unique = {(each.item, each.kind): each for each in findings}
    rows = [
        {
            "repository_github_id": each.repository_github_id,
            "entity": each.entity,
            "item_key": each.key,
            "name": each.name,
            "type": str(each.kind),
            "occurred_at": began.isoformat() if (began := each.began_at(finder.now)) else None,
            "before": each.before,
            "after": each.after,
            "proposed_action": action or each.action,
            "cause": each.cause,
        }
        for each in unique.values()
    ]
    if not rows:
        return
    done = status == Discrepancy.Status.REPAIRED
    listed = ", ".join(_COLUMNS)
    record = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    given = ", ".join(f"w.{name}" for name in _COLUMNS)
    sql = f"""
        INSERT INTO {_TABLE} AS d ({listed}, installation_id, repository_id, detected_at,
            repair_status, correlation_id, detector, trigger, reason,
            repaired_at, repaired_by, repaired_in)
        SELECT {given}, %(installation)s, r.id, %(now)s, %(status)s, %(job)s::uuid, %(detector)s,
               %(trigger)s, %(reason)s, %(repaired_at)s::timestamptz, %(by)s, %(repaired_in)s::uuid
        FROM jsonb_to_recordset(%(rows)s::jsonb) AS w({record})
        LEFT JOIN syncsvc_repository AS r ON r.github_id = w.repository_github_id
        ON CONFLICT (installation_id, entity, item_key, type, repository_github_id)
            WHERE repair_status IN ('proposed', 'failed', 'needs_manual_review')
        DO UPDATE SET before = excluded.before, after = excluded.after, name = excluded.name,
            repair_status = CASE WHEN d.repair_status = 'needs_manual_review'
                THEN d.repair_status ELSE excluded.repair_status END,
            correlation_id = excluded.correlation_id, reason = excluded.reason
    """  # noqa: S608  (all names are ours)
    parameters: dict[str, Any] = {
        "installation": finder.installation_id,
        "now": finder.now,
        "status": str(status),
        "job": finder.job_id,
        "detector": finder.detector,
        "trigger": finder.trigger,
        "reason": reason,
        "repaired_at": finder.now if done else None,
        "by": "sync" if done else "",
        "repaired_in": finder.job_id if done else None,
        "rows": orjson.dumps(rows).decode(),
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
