"""What the templates say in their own words: times, numbers, the tone of a status."""

from datetime import datetime
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from syncsvc import clock, words

register = template.Library()

TONES: Final = {
    "active": "good",
    "succeeded": "good",
    "queued": "busy",
    "running": "busy",
    "blocked": "warn",
    "partial": "warn",
    "suspended": "warn",
    "access_removed": "warn",
    "unmanaged": "warn",
    "failed": "bad",
    "dead": "bad",
}


@register.simple_tag
def moment(at: datetime | None, missing: str = "never") -> SafeString | str:
    """A time relative to now; the exact one on hover and for machines."""
    if at is None:
        return missing
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(),
        words.exact(at),
        words.relative(at, clock.now()),
    )


@register.simple_tag
def exactly(at: datetime | None, missing: str = "never") -> SafeString | str:
    """A time to the second."""
    if at is None:
        return missing
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), words.exact(at))


@register.filter
def took(seconds: Any) -> str:
    """How long something took."""
    return words.exact_span(float(seconds))


@register.filter
def grouped(number: Any) -> str:
    """A whole number with its thousands set apart."""
    return f"{number:,}" if isinstance(number, int) else str(number)


@register.filter
def tone(status: str) -> str:
    """The tone in which a status is shown; the word beside it says the same."""
    return TONES.get(status, "quiet")


@register.filter
def spaced(name: str) -> str:
    """A field's name as words: `access_removed` becomes `Access removed`."""
    return name.replace("_", " ").capitalize().replace("Graphql", "GraphQL")


@register.filter
def left(seconds: int | None) -> str:
    """The time that is left, in words."""
    return "" if seconds is None else words.span(seconds)


@register.filter
def percent(share: float) -> str:
    """A share as a percentage, never rounded up to a perfect one."""
    shown = f"{share * 100:.2f}"
    return "99.99 %" if shown == "100.00" and share < 1 else f"{shown} %"
