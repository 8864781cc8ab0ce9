"""The life of incidents: opened with their cause, seen as long as it lasts, resolved when it ends (R14.3).

Level-triggered: each look compares the problems that there are with the incidents that are open, so a
process that dies between the two loses nothing. Any number of looks may run at once: the partial unique
index lets one incident of a key be open, and of two looks the later one knows better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from django.db import connection, transaction
from django.db.models import Q
from psycopg.types.json import Jsonb

from alerts import causes, facts
from alerts.models import Incident
from alerts.values import Cause, Kind, Severity
from reconciliation import trail
from reconciliation.models import AuditEntry
from syncsvc import clock, events
from syncsvc.impossible_times import TOLERANCE

SEEN_EVERY: Final = timedelta(minutes=5)
"""How old `last_seen_at` may become before a look that finds nothing else to write renews it."""

_COLUMNS: Final = (
    "key", "kind", "severity", "installation_id", "correlation_id", "title", "detail", "figures",
)  # fmt: skip
_SAID: Final = ("severity", "correlation_id", "title", "detail", "figures")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What one look came to: how many incidents it opened, changed and ended itself."""

    opened: int = 0
    updated: int = 0
    resolved: int = 0


def review(installation_id: int | None = None, now: datetime | None = None) -> Settled:
    """Looks at one account, or at all, and brings its incidents into line with its problems."""
    now = now or clock.now()
    # Before the facts: an incident that somebody opens after they were read is not theirs to end.
    mine = (
        Q(installation__isnull=False)
        if installation_id is None
        else Q(installation=installation_id)
    )
    known = Incident.objects.filter(mine, kind__in=list(Kind))
    is_open = {row.key: row for row in known.exclude(status=Incident.Status.RESOLVED)}
    found = {
        cause.key: cause for each in facts.read(now, installation_id) for cause in causes.of(each)
    }
    return Settled(
        opened=_open([found[key] for key in sorted(found.keys() - is_open.keys())], now),
        updated=_refresh(
            [(is_open[key], found[key]) for key in sorted(found.keys() & is_open.keys())], now
        ),
        resolved=_resolve([is_open[key].pk for key in is_open.keys() - found.keys()], now),
    )


def acknowledge(incident: Incident, user: Any, now: datetime | None = None) -> bool:
    """Notes that `user` has taken the incident on. True when this call did it; False when somebody had
    done so before, or the incident has ended. Leaves an audit entry (R11.2). Refreshes `incident`."""
    now = now or clock.now()
    with transaction.atomic():
        done = Incident.objects.filter(pk=incident.pk, status=Incident.Status.OPEN).update(
            status=Incident.Status.ACKNOWLEDGED, acknowledged_at=now, acknowledged_by=user
        )
        if done:
            trail.act(
                AuditEntry.Kind.ACKNOWLEDGEMENT,
                user,
                installation=incident.installation_id,
                correlation_id=incident.correlation_id,
                incident=incident.pk,
                key=incident.key,
                title=incident.title,
            )
            _tell("incident.acknowledged", incident, user_id=user.pk)
    incident.refresh_from_db()
    return bool(done)


def _open(found: Sequence[Cause], now: datetime) -> int:
    """Opens an incident for each of these, in the order of their keys, unless another look has done so,
    or has looked later and found it ended."""
    if not found:
        return 0
    sql = f"""
        INSERT INTO {Incident._meta.db_table} ({", ".join(_COLUMNS)}, status, opened_at, last_seen_at)
        SELECT f.*, 'open', %(now)s, %(now)s
        FROM unnest(%(key)s::text[], %(kind)s::text[], %(severity)s::text[],
                    %(installation_id)s::bigint[], %(correlation_id)s::uuid[], %(title)s::text[],
                    %(detail)s::text[], %(figures)s::jsonb[]) AS f({", ".join(_COLUMNS)})
        WHERE NOT EXISTS (SELECT FROM {Incident._meta.db_table} AS r
                          WHERE r.installation_id = f.installation_id AND r.key = f.key
                            AND r.resolved_at > %(now)s AND r.resolved_at <= %(soon)s)
        ON CONFLICT DO NOTHING
        RETURNING id
    """  # noqa: S608  (the names are ours)
    values: dict[str, Any] = {name: [getattr(cause, name) for cause in found] for name in _COLUMNS}
    values["figures"] = [Jsonb(figures) for figures in values["figures"]]
    with connection.cursor() as cursor:
        # A look is later by seconds; by more than that it was made by a clock that was wrong.
        cursor.execute(sql, values | {"now": now, "soon": now + TOLERANCE})
        opened = [row[0] for row in cursor.fetchall()]
    for incident in Incident.objects.filter(pk__in=opened).order_by("pk"):
        _tell("incident.opened", incident)
    return len(opened)


def _refresh(pairs: Sequence[tuple[Incident, Cause]], now: datetime) -> int:
    """Writes what has changed about these, and that they were seen where that was a while ago."""
    updated, seen = 0, []
    for incident, cause in pairs:
        said = {name: getattr(cause, name) for name in _SAID}
        changed = {name: value for name, value in said.items() if getattr(incident, name) != value}
        if not changed:
            if abs(now - incident.last_seen_at) >= SEEN_EVERY:
                seen.append(incident.pk)
            continue
        worse = cause.severity.rank > Severity(incident.severity).rank
        if _earlier(Q(pk=incident.pk, severity=incident.severity), now).update(
            **changed, last_seen_at=now
        ):
            updated += 1
            if worse:
                incident.severity = cause.severity
                _tell("incident.escalated", incident)
    if seen:
        with transaction.atomic():
            # In one order, so that two looks at once do not wait for each other in a circle.
            rows = _earlier(Q(pk__in=seen), now).order_by("pk").select_for_update(skip_locked=True)
            Incident.objects.filter(pk__in=[row.pk for row in rows]).update(last_seen_at=now)
    return updated


def _resolve(pks: Sequence[int], now: datetime) -> int:
    """Ends these, acknowledged or not, unless a later look has seen that they last."""
    if not pks:
        return 0
    with transaction.atomic():
        rows = list(_earlier(Q(pk__in=pks), now).order_by("pk").select_for_update())
        Incident.objects.filter(pk__in=[row.pk for row in rows]).update(
            status=Incident.Status.RESOLVED, resolved_at=now
        )
        for incident in rows:
            incident.status = Incident.Status.RESOLVED
            _tell("incident.resolved", incident, seconds=(now - incident.opened_at).total_seconds())
    return len(rows)


def _earlier(which: Q, now: datetime) -> Any:
    """Those that are not resolved, and that nobody has looked at after `now`."""
    not_later = Q(last_seen_at__lte=now) | Q(last_seen_at__gt=now + TOLERANCE)
    rows = Incident.objects.filter(which, not_later)
    return rows.exclude(status=Incident.Status.RESOLVED)


def _tell(name: str, incident: Incident, **more: Any) -> None:
    """Emits the event once what it tells is committed."""
    transaction.on_commit(
        partial(
            events.emit,
            name,
            incident_id=incident.pk,
            installation_id=incident.installation_id,
            job_id=str(incident.correlation_id) if incident.correlation_id else None,
            key=incident.key,
            kind=incident.kind,
            severity=str(incident.severity),
            title=incident.title,
            **more,
        )
    )
