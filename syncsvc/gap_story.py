"""One gap as its page tells it: what happened when, how long it took, and how each missed delivery was
healed. Pure but for the rows that it is given; nothing is left to the template.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from syncsvc import words
from syncsvc.github.values import parse_time
from syncsvc.models import Gap, MissedDelivery
from syncsvc.webhooks import wording

#: What the evidence is called where a page shows it; the missed deliveries have a table of their own.
EVIDENCE: Final = {
    "minutes": "Minutes of silence",
    "surprise": "How strange it was",
    "limit": "Strange from",
    "found_as": "Found as",
    "repositories": "Repositories read again",
    "counts": "What the run changed",
}
CHANGES: Final = ("created", "updated", "deleted")


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """One point of the story."""

    at: datetime
    title: str
    note: str
    tone: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A length of time with its name."""

    name: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """Ready to show."""

    meaning: str
    badge: str
    moments: tuple[Moment, ...]
    figures: tuple[Figure, ...]
    evidence: tuple[tuple[str, str], ...]
    healed_by: str


def tell(gap: Gap, now: datetime) -> Story:
    """The story of one gap."""
    return Story(
        meaning=wording.reason(gap.reason),
        badge=gap.get_step_display(),
        moments=_moments(gap),
        figures=_figures(gap, now),
        evidence=_evidence(gap.evidence),
        healed_by=wording.healed_by(gap.healed_by) if gap.healed_by else "",
    )


def _moments(gap: Gap) -> tuple[Moment, ...]:
    silence = gap.reason == Gap.Reason.SILENCE
    first = "The last delivery before the silence" if silence else "The first delivery was missed"
    found, closed, between = "", "", []
    for at, said, is_end in _steps(gap.timeline):
        if at == gap.opened_at and not found:
            found = said
        elif is_end:
            closed = said
        else:
            between.append(Moment(at=at, title=said, note="", tone="busy"))
    moments = [
        Moment(at=gap.began_at, title=first, note="", tone="bad"),
        Moment(at=gap.opened_at, title="Found", note=found, tone="warn"),
        *between,
    ]
    if gap.closed_at is not None:
        closed = closed or wording.healed_by(gap.healed_by)
        moments.append(Moment(at=gap.closed_at, title="Closed", note=closed, tone="good"))
    return tuple(sorted(moments, key=lambda moment: moment.at))


def _steps(timeline: Any) -> Iterator[tuple[datetime, str, bool]]:
    """When something was done, what, and whether that was the end; what cannot be read is left out."""
    for entry in timeline if isinstance(timeline, list) else ():
        at = parse_time(entry.get("at")) if isinstance(entry, Mapping) else None
        if at is not None and entry.get("what"):
            yield at, str(entry["what"]), "healed_by" in entry


def _figures(gap: Gap, now: datetime) -> tuple[Figure, ...]:
    def took(seconds: float | None) -> str:
        return "not known" if seconds is None else words.exact_span(seconds)

    repaired = took(gap.seconds_to_repair)
    if gap.closed_at is None:
        repaired = f"open for {words.span((now - gap.opened_at).total_seconds())}"
    return (
        Figure(name="Time to detect", value=took(gap.seconds_to_detect)),
        Figure(name="Time to repair", value=repaired),
    )


def missed_fate(row: MissedDelivery) -> str:
    """What was done about one missed delivery, or is being done."""
    if row.healed_at is not None:
        return wording.healed_by(row.healed_by)
    if not row.requests:
        return "Waits for its turn"
    times = "once" if row.requests == 1 else f"{row.requests} times"
    return f"GitHub was asked {times} to redeliver it"


def _evidence(evidence: Any) -> tuple[tuple[str, str], ...]:
    """The figures behind a gap, in words."""
    if not isinstance(evidence, Mapping):
        return ()
    return tuple(
        (label, _plain(name, evidence[name]))
        for name, label in EVIDENCE.items()
        if evidence.get(name) not in (None, "", [], {})
    )


def _plain(name: str, value: Any) -> str:
    if name == "counts" and isinstance(value, Mapping):
        kinds = [each for each in value.values() if isinstance(each, Mapping)]
        sums = ((what, sum(int(each.get(what) or 0) for each in kinds)) for what in CHANGES)
        return ", ".join(f"{number:,} {what}" for what, number in sums if number) or "nothing"
    if isinstance(value, list):
        return f"{len(value):,}"
    if isinstance(value, float):
        return f"{value:g}"
    return wording.spelled(str(value)) if isinstance(value, str) else str(value)
