"""Times and amounts in words for people. Pure: the caller brings the present moment."""

from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Final

_UNITS: Final = ((86_400, "day"), (3_600, "h"), (60, "min"), (1, "s"))


def span(seconds: float) -> str:
    """A length of time in its largest fitting unit: 42 s, 3 min, 5 h, 2 days."""
    whole = max(0, round(seconds))
    for size, name in _UNITS:
        if whole >= size:
            count = whole // size
            plural = "s" if name == "day" and count > 1 else ""
            return f"{count} {name}{plural}"
    return "0 s"


def exact_span(seconds: float) -> str:
    """How long something took: 0.42 s, 12.3 s, 4 min 10 s, 1 h 5 min."""
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def relative(at: datetime, now: datetime) -> str:
    """A moment as seen from `now`: just now, 3 min ago, in 42 s."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 1:
        return "just now"
    if abs(now - at) > timedelta(days=60):
        return day(at)
    return f"{span(seconds)} ago" if seconds > 0 else f"in {span(-seconds)}"


def exact(at: datetime) -> str:
    """A moment to the second, with its time zone."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def day(at: datetime) -> str:
    """The day of a moment, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def share(part: float) -> str:
    """A part of 1 as a percentage that fits beside others: 62.5 %, never 0 % of something nor all of
    what is not all."""
    shown = f"{part * 100:.1f} %"
    if part < 1 and shown == "100.0 %":
        return "above 99.9 %"
    return "below 0.1 %" if part > 0 and shown == "0.0 %" else shown


def percent(part: float) -> str:
    """A part of 1 in percent with two digits, never rounded up: what misses a goal must not look as if it
    kept it. The number is taken as people write it: 0.57 is 57 %, not the binary number below."""
    written = Decimal(str(round(part, 12)))
    hundredths = int((written * 10_000).to_integral_value(ROUND_FLOOR))
    if part < 1:
        hundredths = min(hundredths, 9_999)
    return f"{hundredths / 100:.2f} %"


def yes_or_no(known: bool | None) -> str:
    """What is known of something."""
    if known is None:
        return "not known"
    return "yes" if known else "no"
