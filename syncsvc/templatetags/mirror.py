"""What the templates say in their own words: times, numbers, the tone of a status."""

from datetime import datetime
from typing import Any, Final

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from syncsvc import clock, normalizer, words
from syncsvc.models import (
    Commit,
    Delivery,
    Issue,
    MissedDelivery,
    PullRequest,
    Repository,
)
from syncsvc.webhooks import wording

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
    "in_progress": "info",
    "open": "info",
    "merged": "good",
    "critical": "bad",
    "high": "warn",
    "medium": "info",
    "received": "busy",
    "processed": "good",
    "proposed": "info",
    "repaired": "good",
    "needs_manual_review": "warn",
}
GAP_TONES: Final = {"open": "bad", "closed": "good"}


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
    spelt = name.replace("_", " ").capitalize().replace("Graphql", "GraphQL")
    return spelt.replace("Github", "GitHub").replace("github", "GitHub")


@register.filter
def left(seconds: int | None) -> str:
    """The time that is left, in words."""
    return "" if seconds is None else words.span(seconds)


@register.filter
def percent(share: float) -> str:
    """A share as a percentage, never rounded up."""
    return words.percent(share)


@register.filter
def done(operation: str) -> str:
    """What was done, of what to do: `create` becomes `created`."""
    return operation + ("d" if operation.endswith("e") else "ed")


@register.filter
def label(row: Issue | PullRequest) -> str:
    """How people call it: `GH-12`, `#12`."""
    return normalizer.issue_label(row.number) if isinstance(row, Issue) else f"#{row.number}"


@register.filter
def first_line(text: str) -> str:
    """The first line that says something."""
    return text.strip().partition("\n")[0].strip()


@register.filter
def rest_of(text: str) -> str:
    """What follows the first line."""
    return text.strip().partition("\n")[2].strip()


@register.filter
def beyond(items: list[Any], most: int) -> int:
    """How many there are beyond those that are shown."""
    return max(0, len(items) - most)


@register.filter
def web_address(text: str | None) -> str:
    """The address, where it is one that a browser may follow: others say it, we only link to it."""
    return text if text and text.lower().startswith(("https://", "http://")) else ""


@register.simple_tag
def state_badge(row: Issue | PullRequest) -> SafeString:
    """How far an issue or a pull request is."""
    if isinstance(row, PullRequest) and row.merged:
        return _badge("merged", "Merged")
    if isinstance(row, PullRequest) and row.draft and row.state == PullRequest.State.OPEN:
        return _badge("draft", "Draft")
    return _badge(row.state, row.get_state_display())


@register.simple_tag
def severity_badge(row: Issue) -> SafeString:
    """How bad an issue is."""
    return _badge(row.severity, row.get_severity_display())


@register.simple_tag
def gone_badge(row: Issue | PullRequest | Commit) -> SafeString | str:
    """That it is no longer there, and why; nothing while it is."""
    if isinstance(row, Commit):
        why = "Dropped" if row.dropped_at else ""
    else:
        why = row.get_removal_display() if row.removed_at else ""
    repository = row.repository
    if not why and repository.status not in Repository.PRESENT:
        why = f"Repository {repository.get_status_display().lower()}"
    return format_html('<span class="badge warn">{}</span>', why) if why else ""


@register.filter
def gap_tone(step: str) -> str:
    """The tone of a gap: what is found is bad until something is done about it."""
    return GAP_TONES.get(step, "busy")


@register.simple_tag
def event_name(row: Delivery | MissedDelivery) -> str:
    """What happened at GitHub: the event and its action."""
    return wording.event(row.event, row.action)


@register.simple_tag
def became(row: Delivery) -> str:
    """What became of a delivery."""
    waiting = row.status == Delivery.Status.RECEIVED
    return wording.outcome(row.outcome, row.detail, waiting=waiting, attempts=row.attempts)


def _badge(kind: str, text: str) -> SafeString:
    return format_html('<span class="badge {}">{}</span>', tone(kind), text)
