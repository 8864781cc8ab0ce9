"""When each account was heard of last, its rhythm, and which silence is strange (R6.4, R6.5 a).

Hides the queries: the check is two of them for any number of accounts, and a rhythm is worked out at
most once an hour. What the rhythm means stands in `syncsvc.webhooks.rhythm`.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, Subquery

from syncsvc import conf
from syncsvc.models import Delivery, Gap, Installation, WebhookState
from syncsvc.webhooks import rhythm

RHYTHM_EVERY: Final = timedelta(hours=1)
AT_ONCE: Final = 100

_STATES: Final = WebhookState._meta.db_table
_DELIVERIES: Final = Delivery._meta.db_table
_ACCOUNTS: Final = Installation._meta.db_table

_LAST_DELIVERIES: Final = f"""
    INSERT INTO {_STATES} AS s (installation_id, last_delivery_at, consecutive_failures, rhythm,
                                longest_quiet)
    SELECT i.id, d.received_at, 0, '[]', 0
    FROM {_ACCOUNTS} i LEFT JOIN LATERAL (
        SELECT received_at FROM {_DELIVERIES} WHERE account_id = i.account_id
        ORDER BY received_at DESC LIMIT 1
    ) d ON true
    WHERE i.status <> 'uninstalled'
    ON CONFLICT (installation_id) DO UPDATE SET last_delivery_at = excluded.last_delivery_at
    WHERE excluded.last_delivery_at IS DISTINCT FROM s.last_delivery_at
      AND excluded.last_delivery_at IS NOT NULL
"""  # noqa: S608  (the tables' names are ours)

_ACTIVE_MINUTES: Final = f"""
    SELECT account_id, (extract(isodow FROM at)::int - 1) * 24 + extract(hour FROM at)::int, count(*)
    FROM (
        SELECT DISTINCT account_id, date_trunc('minute', received_at AT TIME ZONE 'UTC') AS at
        FROM {_DELIVERIES}
        WHERE account_id = ANY(%(accounts)s) AND received_at > %(since)s AND received_at <= %(now)s
    ) minutes
    GROUP BY 1, 2
"""  # noqa: S608  (the table's name is ours)

_SILENCES: Final = f"""
    SELECT account_id, before, received_at
    FROM (
        SELECT account_id, received_at,
               lag(received_at) OVER (PARTITION BY account_id ORDER BY received_at) AS before
        FROM {_DELIVERIES}
        WHERE account_id = ANY(%(accounts)s) AND received_at > %(since)s AND received_at <= %(now)s
    ) steps
    WHERE received_at - before >= %(least)s
"""  # noqa: S608  (the table's name is ours)

_FIRST: Final = f"""
    SELECT a.id, d.received_at
    FROM unnest(%(accounts)s::bigint[]) AS a(id) CROSS JOIN LATERAL (
        SELECT received_at FROM {_DELIVERIES} WHERE account_id = a.id ORDER BY received_at LIMIT 1
    ) d
"""  # noqa: S608  (the table's name is ours)


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """A silence that opens a gap: whose, since when, and how strange it is."""

    installation: Installation
    since: datetime
    judgement: rhythm.Judgement


def note_last_deliveries() -> None:
    """Writes down when each account was heard of last, in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(_LAST_DELIVERIES)


def due_for_rhythm(now: datetime) -> list[WebhookState]:
    """The accounts whose rhythm is an hour old, those that wait longest first."""
    states = WebhookState.objects.filter(
        Q(rhythm_at__isnull=True) | Q(rhythm_at__lte=now - RHYTHM_EVERY)
    ).exclude(installation__status=Installation.Status.UNINSTALLED)
    ordered = states.order_by(F("rhythm_at").asc(nulls_first=True), "pk")
    return list(ordered.select_related("installation")[:AT_ONCE])


def work_out_rhythms(states: Collection[WebhookState], now: datetime) -> None:
    """Works out the rhythms of these accounts from the deliveries of four weeks."""
    if not states:
        return
    accounts = [state.installation.account_id for state in states]
    least = min(_threshold(state.installation) for state in states)
    given = {"accounts": accounts, "since": now - rhythm.HISTORY, "now": now, "least": least}
    active: dict[int, dict[int, int]] = {}
    for account, hour, minutes in _rows(_ACTIVE_MINUTES, given):
        active.setdefault(account, {})[hour] = minutes
    silences: dict[int, list[tuple[datetime, datetime]]] = {}
    for account, since, until in _rows(_SILENCES, given):
        silences.setdefault(account, []).append((since, until))
    first = dict(_rows(_FIRST, given))
    gaps = _gaps_of(states, now)
    for state in states:
        account = state.installation.account_id
        began = max(first.get(account, now), now - rhythm.HISTORY)
        shares = rhythm.measure(active.get(account, {}), began, now)
        theirs = gaps.get(state.installation_id, [])
        harmless = _harmless(silences.get(account, ()), theirs, now)
        state.rhythm = [round(share, 4) for share in shares]
        state.longest_quiet = max(
            rhythm.longest(state.rhythm, harmless), *(_quiet_of(gap) for gap in theirs), 0.0
        )
        state.rhythm_at = now
    WebhookState.objects.bulk_update(states, ["rhythm", "longest_quiet", "rhythm_at"])


def strange(now: datetime) -> list[Silence]:
    """The silences that are to open a gap, of all active accounts (one query).

    Counted from the last delivery, or from the end of the last gap: what was silent before that has
    been looked into; or from when the account itself last changed, because GitHub tells suspended ones
    nothing. An account with an open gap is being looked into. Each further gap of one silence needs
    twice as much: on a holiday there is nothing to be told, whatever else changes.
    """
    gaps = Gap.objects.filter(installation=OuterRef("installation_id"))
    looked_into = gaps.filter(closed_at__isnull=False).exclude(healed_by="quiet")
    states = (
        WebhookState.objects.filter(
            installation__status=Installation.Status.ACTIVE, last_delivery_at__isnull=False
        )
        .exclude(rhythm=[])
        .exclude(Exists(gaps.filter(closed_at__isnull=True)))
        .annotate(
            looked_at=Subquery(looked_into.order_by("-closed_at").values("closed_at")[:1]),
            before=Count(
                "installation__gaps",
                filter=Q(
                    installation__gaps__reason=Gap.Reason.SILENCE,
                    installation__gaps__opened_at__gt=F("last_delivery_at"),
                ),
            ),
        )
        .select_related("installation")
    )
    found = []
    for state in states.order_by("pk"):
        changed_at = state.installation.updated_at
        known = filter(None, (state.last_delivery_at, state.looked_at, changed_at))
        # What a clock that was wrong wrote ahead of now would hide a silence until then.
        since = max((at for at in known if at <= now), default=now)
        judgement = rhythm.judge(
            state.rhythm,
            since,
            now,
            threshold=_threshold(state.installation),
            longest_quiet=state.longest_quiet,
        )
        strange = judgement.surprise > judgement.limit * 2 ** min(state.before, 30)
        if judgement.verdict is rhythm.Verdict.STRANGE and strange:
            found.append(Silence(installation=state.installation, since=since, judgement=judgement))
    return found


def was_quiet(gap: Gap, now: datetime) -> float:
    """Learns that a silence was GitHub's own: the same does not alarm again. Returns its surprise."""
    state = WebhookState.objects.filter(installation=gap.installation_id).first()
    if state is None:
        return 0.0
    found = rhythm.surprise(state.rhythm, gap.began_at, now)
    if found > state.longest_quiet:
        WebhookState.objects.filter(pk=state.pk).update(longest_quiet=found)
    return found


def _threshold(installation: Installation) -> timedelta:
    return timedelta(minutes=conf.for_installation(installation).gap_silence_minutes)


def _rows(sql: str, given: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        return list(cursor.fetchall())


def _gaps_of(states: Iterable[WebhookState], now: datetime) -> dict[int, list[Gap]]:
    rows = Gap.objects.filter(
        installation__in=[state.installation_id for state in states],
        opened_at__gt=now - rhythm.HISTORY,
    )
    found: dict[int, list[Gap]] = {}
    for gap in rows.defer("timeline"):
        found.setdefault(gap.installation_id, []).append(gap)
    return found


def _harmless(
    silences: Iterable[tuple[datetime, datetime]], gaps: Collection[Gap], now: datetime
) -> list[tuple[datetime, datetime]]:
    """The silences in which nothing was lost as far as we know."""
    losses = [(gap.began_at, gap.closed_at or now) for gap in gaps if gap.healed_by != "quiet"]
    return [
        (since.astimezone(UTC), until.astimezone(UTC))
        for since, until in silences
        if not any(began < until and since < ended for began, ended in losses)
    ]


def _quiet_of(gap: Gap) -> float:
    value = gap.evidence.get("surprise") if gap.healed_by == "quiet" else None
    return float(value) if isinstance(value, int | float) else 0.0
