"""Opens gaps: what was missed gets a gap of its own or joins the one that is open (R6.5, P2).

Hides how a gap keeps its evidence and its timeline. The log holds every missing GUID with its time.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from syncsvc import events
from syncsvc.models import Gap, Installation, MissedDelivery
from syncsvc.webhooks import gaps
from syncsvc.webhooks.silence import Silence

KEPT: Final = 500
"""Missed deliveries that a gap's own evidence names; the others stand in their table."""
IN_A_LINE: Final = 100
"""GUIDs in one line of the log."""


def noted(gap: Gap, now: datetime, what: str, **more: Any) -> None:
    """Adds a step to the timeline, in words for people; the same step again adds nothing."""
    if not gap.timeline or gap.timeline[-1].get("what") != what:
        gap.timeline = [*gap.timeline, {"at": now.isoformat(), "what": what, **more}]


def open_for_missed(now: datetime) -> list[Gap]:
    """Puts every missed delivery that has none into a gap; returns the gaps that were opened."""
    fresh = MissedDelivery.objects.filter(gap__isnull=True, healed_at__isnull=True)
    fresh.filter(installation__status=Installation.Status.UNINSTALLED).update(
        healed_at=now, healed_by="uninstalled"
    )
    grouped: dict[tuple[int, str], list[MissedDelivery]] = {}
    for missed in fresh.filter(installation__isnull=False).order_by("first_at", "pk"):
        key = (missed.installation_id or 0, gaps.reason_of(missed.kind))
        grouped.setdefault(key, []).append(missed)
    found = []
    for (installation_id, reason), theirs in grouped.items():
        with transaction.atomic():
            gap = _open_one(installation_id, reason, theirs, now)
        if gap is not None:
            found.append(gap)
    return found


def open_for_silence(silence: Silence, now: datetime) -> Gap:
    """Opens the gap of a strange silence."""
    judged = silence.judgement
    gap = Gap(
        installation=silence.installation,
        reason=Gap.Reason.SILENCE,
        began_at=silence.since,
        ended_at=now,
        opened_at=now,
        next_step_at=now,
        seconds_to_detect=(now - silence.since).total_seconds(),
        evidence={
            "minutes": round(judged.minutes, 1),
            "surprise": round(judged.surprise, 2),
            "limit": round(judged.limit, 2),
        },
    )
    noted(
        gap,
        now,
        f"Nothing arrived for {judged.minutes:.0f} minutes, which this account never does at such an "
        "hour.",
    )
    gap.save(force_insert=True)
    _emit_opened(gap, [])
    return gap


def _open_one(
    installation_id: int, reason: str, missed: Sequence[MissedDelivery], now: datetime
) -> Gap | None:
    """The gap that was opened, None when they joined one."""
    known = (
        Gap.objects.select_for_update()
        .filter(installation=installation_id, reason=reason, closed_at__isnull=True)
        .first()
    )
    first, last = missed[0].first_at, max(each.first_at for each in missed)
    gap = known or Gap(
        installation_id=installation_id,
        reason=reason,
        began_at=first,
        ended_at=last,
        opened_at=now,
        next_step_at=now,
        seconds_to_detect=max((now - first).total_seconds(), 0.0),
    )
    gap.began_at, gap.ended_at = min(gap.began_at, first), max(gap.ended_at, last)
    gap.missed += len(missed)
    named = [*gap.evidence.get("missing", ()), *map(_named, missed)]
    gap.evidence = {**gap.evidence, "missing": named[:KEPT], "missing_in_all": gap.missed}
    gap.next_step_at = min(gap.next_step_at, now)
    noted(gap, now, _found(missed, joined=known is not None), missed=len(missed))
    gap.save()
    MissedDelivery.objects.filter(pk__in=[each.pk for each in missed]).update(gap=gap)
    if known is None:
        _emit_opened(gap, missed)
        return gap
    _emit_missing(gap, missed)
    return None


def _named(missed: MissedDelivery) -> dict[str, Any]:
    return {
        "guid": missed.guid,
        "event": missed.event,
        "action": missed.action,
        "kind": missed.kind,
        "at": missed.first_at.isoformat(),
        "repository_id": missed.repository_github_id,
    }


def _found(missed: Sequence[MissedDelivery], *, joined: bool) -> str:
    kinds = {each.kind for each in missed}
    number = f"{len(missed)} more" if joined else str(len(missed))
    plural = "delivery" if len(missed) == 1 else "deliveries"
    told = "; ".join(sorted(str(MissedDelivery.Kind(kind).label).lower() for kind in kinds))
    return f"GitHub's log names {number} {plural} that did not arrive: {told}."


def _emit_opened(gap: Gap, missed: Sequence[MissedDelivery]) -> None:
    events.emit(
        "gap.opened",
        installation_id=gap.installation_id,
        gap_id=gap.pk,
        reason=str(gap.reason),
        began_at=gap.began_at.isoformat(),
        opened_at=gap.opened_at.isoformat(),
        missed=gap.missed,
        missing=_guids(missed[:IN_A_LINE]),
    )
    _emit_missing(gap, missed[IN_A_LINE:])


def _emit_missing(gap: Gap, missed: Sequence[MissedDelivery]) -> None:
    for start in range(0, len(missed), IN_A_LINE):
        events.emit(
            "gap.missing",
            installation_id=gap.installation_id,
            gap_id=gap.pk,
            missing=_guids(missed[start : start + IN_A_LINE]),
        )


def _guids(missed: Iterable[MissedDelivery]) -> list[dict[str, str]]:
    return [{"guid": each.guid, "at": each.first_at.isoformat()} for each in missed]
