"""What the operators' pages say in their own words."""

from typing import Final

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from alerts.fleet_values import FleetRow
from alerts.models import Incident
from alerts.pages_charts import seconds, share
from alerts.pages_incidents import proofs
from alerts.pages_tiles import LITTLE_LEFT
from reconciliation.accuracy import Tally, is_compliant
from reconciliation.models import Discrepancy
from reconciliation.sampling import Standing
from reconciliation.showing import floored
from reconciliation.sums import Durations, Runs
from syncsvc import words
from syncsvc.templatetags.mirror import percent

register = template.Library()

TYPES_SHOWN: Final = 3
#: GitHub's names of its budgets, as the page calls them elsewhere.
BUDGETS: Final = {"core": "requests", "graphql": "GraphQL"}
SEVERITY_TONES: Final = {"critical": "bad", "high": "warn", "warning": "info"}
NOT_KNOWN: Final = format_html('<span class="quiet">{}</span>', "not known")


@register.filter
def severity_tone(severity: str | None) -> str:
    """The tone of a severity; the word beside it says the same."""
    return SEVERITY_TONES.get(severity or "", "quiet")


@register.filter
def proof(row: Incident) -> list[tuple[str, str]]:
    """Where to look about an incident: words and address."""
    return proofs(row)


@register.simple_tag
def share_of(tally: Tally) -> SafeString:
    """How right an account was, and of how many items nobody can tell; never 100 % of nothing."""
    unknown = (
        format_html('<span class="small about warn">{} not told</span>', f"{tally.unknown:,}")
        if tally.unknown
        else ""
    )
    if not tally.compared:
        return format_html("<div>{}{}</div>", NOT_KNOWN, unknown)
    tone = "good" if is_compliant(tally) else "bad"
    return format_html('<div><b class="{}">{}</b>{}</div>', tone, floored(tally), unknown)


@register.simple_tag
def rates_of(row: FleetRow) -> SafeString:
    """The share of runs that succeeded, of the day and of the week."""
    return format_html(
        '<div>{}<span class="quiet small about whole">7 d {}</span></div>',
        _rate(row.runs_day) or NOT_KNOWN,
        _rate(row.runs_week) or "not known",
    )


@register.simple_tag
def types_of(row: FleetRow) -> SafeString:
    """What was found, by type: the most frequent ones, and how many types more."""
    names = dict(Discrepancy.Type.choices)
    found = [
        f"{names.get(Discrepancy.Type(name), name)}\N{NO-BREAK SPACE}{number:,}"
        for name, number in row.by_type.items()
    ]
    if not found:
        return SafeString("")
    more = len(found) - TYPES_SHOWN
    told = ", ".join(found[:TYPES_SHOWN]) + (
        f", {more} {'type' if more == 1 else 'types'} more" if more > 0 else ""
    )
    return format_html('<span class="quiet small about types">{}</span>', told)


@register.filter
def interval(audit: Standing) -> str:
    """Between which bounds the audits find the accuracy, never rounded up to a perfect one."""
    return f"{share(audit.low).removesuffix(' %')} to {share(audit.high)}"


@register.simple_tag
def budget_of(row: FleetRow) -> SafeString:
    """What is left of the tightest budget, and how many requests of each that are."""
    if row.budget_share is None:
        return NOT_KNOWN
    each = format_html_join(
        "",
        '<span class="quiet small about whole">{} {}</span>',
        (
            (BUDGETS.get(name, name), f"{left.remaining:,}")
            for name, left in sorted(row.budgets.items())
        ),
    )
    tone = "" if row.budget_share >= LITTLE_LEFT else "warn"
    share = words.share(row.budget_share)
    return format_html('<div><span class="{}">{}</span>{}</div>', tone, share, each)


@register.simple_tag
def lasting(durations: Durations) -> SafeString:
    """How long runs take: nearly all of them, and on average."""
    most, mean = durations.at_most(0.95), durations.mean
    if mean is None:
        return NOT_KNOWN
    first = f"{seconds(mean)}" if most is None else f"≤ {seconds(most)}"
    return format_html(
        '<div>{}<span class="quiet small about whole">mean {}</span></div>', first, seconds(mean)
    )


def _rate(runs: Runs) -> str:
    return "" if runs.success_rate is None else percent(runs.success_rate)
