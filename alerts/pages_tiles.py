"""The figures at the head of the dashboard: each with its name, its tone and what it is of. Pure.

A figure that nobody knows reads *not known* and is quiet; it is never good.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from alerts.fleet_values import BudgetLeft, FleetTotals, Window
from alerts.pages_charts import seconds
from alerts.pages_filters import WINDOWS
from alerts.pages_verdict import goal, many
from reconciliation.accuracy import Accuracy
from reconciliation.measuring import Spread
from reconciliation.showing import floored
from reconciliation.sums import Runs
from syncsvc import words
from syncsvc.templatetags.mirror import percent

NOT_KNOWN: Final = "not known"
FAST_BURN: Final = 1.0
LITTLE_LEFT: Final = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One figure. `link` names where its proof is; `at` is shown in place of `value` where it is a time."""

    label: str
    value: str = ""
    tone: str = ""
    about: str = ""
    link: str = ""
    at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What the mirror takes of GitHub: by resource what is used of this hour's budgets, of all accounts;
    the account with the least left; what one sync of every account usually takes, where known."""

    budgets: dict[str, BudgetLeft]
    tightest: BudgetLeft | None = None
    tightest_of: str = ""
    tightest_resource: str = ""
    a_round: float | None = None
    asked: dict[str, int] = field(default_factory=dict)
    """Of how many accounts each budget is known: GitHub was asked for them within their hour."""
    round_of: int = 0
    """Of how many accounts it is known what a sync takes."""


def is_right(totals: FleetTotals, window: Window) -> list[Tile]:
    """How right, how sure, how fast."""
    return [
        _accuracy("Accuracy, 24 hours", totals.day),
        _accuracy("Accuracy, 7 days", totals.week),
        _audit(totals, window),
        _budget(totals.week),
        _unknown(totals.day),
        _spread("Found after", totals.times.detect, "without a time from GitHub"),
        _spread("Repaired after", totals.times.repair, "not repaired"),
    ]


def is_done(totals: FleetTotals) -> list[Tile]:
    """What goes on and what waits for somebody."""
    backlog = totals.backlog
    waits = [
        many(backlog.queued, "sync for a worker", "syncs for a worker") if backlog.queued else "",
        many(backlog.blocked, "sync for GitHub", "syncs for GitHub") if backlog.blocked else "",
        many(backlog.deliveries, "delivery", "deliveries") if backlog.deliveries else "",
    ]
    return [
        _success("Runs that succeeded, 24 h", totals.runs_day),
        _success("Runs that succeeded, 7 d", totals.runs_week),
        Tile(label="Last successful sync", at=totals.last_success, value="never"),
        Tile(label="Next sync", at=totals.next_scheduled_at, value="not planned"),
        _count("Syncs running", totals.running),
        _count("Waiting", backlog.total, about=", ".join(filter(None, waits)), link="deliveries_waiting"),
        _count("Discrepancies open", totals.open.discrepancies, "warn", link="open"),
        _count("Gaps open", totals.open.gaps, "warn", link="gaps"),
        _count("Reviews to decide", totals.open.reviews, "bad", link="reviews"),
        _count("Dead letters to decide", totals.open.dead_letters, "bad", link="dead_letters"),
        _count("Accounts paused", totals.breakers, "bad", "by their breaker", link="paused"),
        _count("Incidents open", totals.open.incidents, "bad", totals.worst_severity or "", link="incidents"),
    ]  # fmt: skip


def it_costs(totals: FleetTotals, cost: Cost, window: Window) -> list[Tile]:
    """What it takes of GitHub's budgets and of time."""
    taken, longest = totals.durations.mean, totals.durations.at_most(0.95)
    tiles = [
        Tile(
            label=f"{_resource(name)} used of this hour",
            value=f"{left.limit - left.remaining:,}",
            about=f"of {left.limit:,} that GitHub allows {many(cost.asked.get(name, 0), 'account')} "
            "which it was asked about",
            tone=_left_tone(left),
        )
        for name, left in cost.budgets.items()
    ] or [Tile(label="Requests used of this hour", value=NOT_KNOWN)]
    tiles.append(_tightest(cost))
    tiles.append(
        Tile(
            label="A sync of every account takes",
            value=NOT_KNOWN if cost.a_round is None else f"{round(cost.a_round):,} requests",
            about=""
            if cost.a_round is None
            else f"as lately, of {many(cost.round_of, 'account')} of which that is known",
        )
    )
    tiles.append(
        Tile(
            label=f"A run takes, {WINDOWS[window]}",
            value=NOT_KNOWN if taken is None else seconds(taken),
            about="" if longest is None else f"on average; 95 % at most {seconds(longest)}",
        )
    )
    return tiles


def _accuracy(label: str, figures: Accuracy) -> Tile:
    tally = figures.tally
    if not tally.compared:
        return Tile(label=label, value=NOT_KNOWN, about="nothing was compared")
    return Tile(
        label=label,
        value=floored(tally),
        tone="good" if figures.compliant else "bad",
        about=f"{tally.wrong:,} wrong of {many(tally.compared, 'item')} compared",
        link="figures",
    )


def _audit(totals: FleetTotals, window: Window) -> Tile:
    label = f"Independent audits, {WINDOWS[window]}"
    audit = totals.audit
    if audit.estimate is None:
        return Tile(label=label, value=NOT_KNOWN, about="nothing was audited", link="audits_made")
    about = f"{audit.wrong:,} wrong of {many(audit.sampled, 'item')} drawn"
    return Tile(
        label=label,
        value=f"{percent(audit.low)} to {percent(audit.high)}",
        tone="bad" if totals.disagrees else "",
        about=f"{about}; over 7 days the runs say more" if totals.disagrees else about,
        link="audits_made",
    )


def _budget(week: Accuracy) -> Tile:
    label, left = "Error budget left, 7 days", week.budget.left
    if left is None:
        return Tile(label=label, value=NOT_KNOWN, about=f"goal {goal(week.slo)}")
    burn = [
        f"{rate:,.2f} times over {name.removesuffix('h').removesuffix('d')} {name[-1]}"
        for name, rate in week.burn_rate.items()
        if rate and name != "7d"
    ]
    fast = any(rate is not None and rate > FAST_BURN for rate in week.burn_rate.values())
    return Tile(
        label=label,
        value="overdrawn" if left < 0 else percent(left),
        tone="bad" if left < 0 else "warn" if fast else "good",
        about=f"goal {goal(week.slo)}" + (f"; burns {', '.join(burn)}" if burn else ""),
    )


def _unknown(day: Accuracy) -> Tile:
    number = day.tally.unknown
    known = bool(day.tally.compared or number)
    return Tile(
        label="Could not be told, 24 hours",
        value=f"{number:,}" if known else NOT_KNOWN,
        tone="warn" if number else "",
        about="items that no run could compare" if number else "",
    )


def _spread(label: str, found: Spread, why: str) -> Tile:
    if found.p50 is None or found.p99 is None:
        about = f"{found.unknown:,} {why}" if found.unknown else "nothing was found wrong"
        return Tile(label=label, value=NOT_KNOWN, about=about)
    more = f"; {found.unknown:,} {why}" if found.unknown else ""
    return Tile(
        label=label,
        value=seconds(found.p50),
        about=f"half of {found.count:,}; 99 % within {seconds(found.p99)}{more}",
    )


def _success(label: str, runs: Runs) -> Tile:
    rate = runs.success_rate
    if rate is None:
        return Tile(label=label, value=NOT_KNOWN, about="no run ended")
    return Tile(
        label=label,
        value=percent(rate),
        tone="good" if rate >= 0.95 else "warn",
        about=f"{runs.succeeded:,} of {runs.judged:,}; {runs.partial:,} in part, {runs.failed:,} failed",
        link="runs",
    )


def _count(label: str, number: int, tone: str = "", about: str = "", *, link: str = "") -> Tile:
    """A number that is quiet while it is 0."""
    return Tile(
        label=label,
        value=f"{number:,}",
        tone=tone if number else "none",
        about=about if number else "",
        link=link if number else "",
    )


def _tightest(cost: Cost) -> Tile:
    label, left = "Least left", cost.tightest
    if left is None or left.share is None:
        return Tile(label=label, value=NOT_KNOWN)
    return Tile(
        label=label,
        value=words.share(left.share),
        tone=_left_tone(left),
        about=f"{_resource(cost.tightest_resource)} of {cost.tightest_of}, until "
        f"{left.reset_at:%H:%M} UTC",
    )


def _left_tone(left: BudgetLeft) -> str:
    return "" if left.share is None or left.share >= LITTLE_LEFT else "warn"


def _resource(name: str) -> str:
    """GitHub's name of a budget in words of people."""
    return {"core": "Requests", "graphql": "GraphQL points"}.get(
        name, f"{name.capitalize()} requests"
    )
