"""One gap as its page tells it: what happened when, how long it took, and how each missed delivery was
healed. Pure but for the rows that it is given; nothing is left to the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from syncsvc import words
from syncsvc.github.values import parse_time
from syncsvc.models import Gap, MissedDelivery
from syncsvc.webhooks import wording

#: Under these names a step of `Gap.timeline` says what was done; the rest of it are figures.
SAID: Final = ("what", "step", "did", "event", "action")
TIMES: Final = frozenset({"at", "time", "when"})


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
        evidence=tuple(
            (wording.spelled(str(name)), _plain(value)) for name, value in gap.evidence.items()
        ),
        healed_by=wording.healed_by(gap.healed_by) if gap.healed_by else "",
    )


def _moments(gap: Gap) -> tuple[Moment, ...]:
    silence = gap.reason == Gap.Reason.SILENCE
    first = "The last delivery before the silence" if silence else "The first delivery was missed"
    moments = [
        Moment(at=gap.began_at, title=first, note="", tone="bad"),
        Moment(at=gap.opened_at, title="Found", note=wording.reason(gap.reason), tone="warn"),
        *(moment for moment in map(_step, gap.timeline) if moment is not None),
    ]
    if gap.closed_at is not None:
        how = wording.healed_by(gap.healed_by) if gap.healed_by else ""
        moments.append(Moment(at=gap.closed_at, title="Closed", note=how, tone="good"))
    return tuple(sorted(moments, key=lambda moment: moment.at))


def _step(entry: Any) -> Moment | None:
    """One entry of the timeline; None for what has no time."""
    if not isinstance(entry, Mapping):
        return None
    at = parse_time(next((entry[name] for name in TIMES if name in entry), None))
    if at is None:
        return None
    said = next((str(entry[name]) for name in SAID if entry.get(name)), "")
    rest = [
        f"{wording.spelled(str(name)).lower()} {_plain(value)}"
        for name, value in entry.items()
        if name not in TIMES and name not in SAID and value not in (None, "", [], {})
    ]
    return Moment(
        at=at,
        title=wording.spelled(said) or "Something was done",
        note=", ".join(rest),
        tone="busy",
    )


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


def _plain(value: Any) -> str:
    """A value of JSON on one line."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1f}"
    if isinstance(value, list):
        shown = ", ".join(str(each) for each in value[:10])
        return f"{shown} and {len(value) - 10} more" if len(value) > 10 else shown
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_plain(each)}" for key, each in value.items())
    moment = parse_time(value) if isinstance(value, str) else None
    return words.exact(moment) if moment else str(value)
