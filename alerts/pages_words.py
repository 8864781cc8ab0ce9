"""Sentences of the dashboard that say since when. Pure."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from alerts.fleet_values import FleetFilters, FleetIncident, FleetTotals, Order
from alerts.pages_table import COLUMNS
from alerts.pages_verdict import many
from alerts.values import Severity
from syncsvc import words

DAYS_SHOWN: Final = 3


def since_when(totals: FleetTotals, incidents: Sequence[FleetIncident], now: datetime) -> str:
    """Since when something is wrong, as far as it is known."""
    lasting = [each for each in incidents if each.status != "resolved"]
    if totals.open.incidents:
        said = f"{many(totals.open.incidents, 'problem')} {_last(totals.open.incidents)}"
        if lasting:
            oldest = min(each.opened_at for each in lasting)
            among = "" if len(lasting) == totals.open.incidents else " of those shown"
            said += f"; the oldest{among} began {words.relative(oldest, now)}"
        said += "."
    else:
        said = "No problem lasts."
    below = [f"{each.day:%Y-%m-%d}" for each in totals.week.by_day if each.compliant is False]
    if below:
        shown = ", ".join(below[-DAYS_SHOWN:])
        more = (
            f" and {many(len(below) - DAYS_SHOWN, 'day')} before" if len(below) > DAYS_SHOWN else ""
        )
        said += f" Below the goal this week: {shown}{more}."
    return said


def worst_first(incidents: Sequence[FleetIncident]) -> list[FleetIncident]:
    """Lasting ones before those that have ended, the worst first, of equals the newest."""
    newest = sorted(incidents, key=lambda each: each.opened_at, reverse=True)
    return sorted(
        newest, key=lambda each: (each.status == "resolved", -Severity(each.severity).rank)
    )


def where_not(totals: FleetTotals) -> str:
    """How many accounts need somebody, and of how many nothing is known."""
    if not totals.installations:
        return "There is no account to look at."
    if totals.attention:
        need = "needs" if totals.attention == 1 else "need"
        said = f"{totals.attention:,} of {many(totals.installations, 'account')} {need} somebody."
    else:
        said = f"None of {many(totals.installations, 'account')} needs somebody."
    if totals.unmeasured:
        said += f" Of {totals.unmeasured:,} nothing was compared in 24 hours."
    if unread := totals.installations - totals.active:
        are = "is" if unread == 1 else "are"
        said += f" {unread:,} {are} not read at all: suspended or uninstalled."
    return said


def ordered_by(filters: FleetFilters) -> str:
    """By what the accounts are ordered, in words."""
    if filters.order is Order.ATTENTION:
        return "what needs somebody most" if filters.descending else "what needs somebody least"
    names = {order: label for order, label, _ in COLUMNS}
    way = "the highest first" if filters.descending else "the lowest first"
    return f"{names[filters.order].lower()}, {way}"


def _last(number: int) -> str:
    return "lasts" if number == 1 else "last"
