"""What the mirror takes of GitHub's budgets this hour, of all accounts; one small query."""

from datetime import datetime

from alerts.fleet_values import BudgetLeft
from alerts.pages_tiles import Cost
from syncsvc.models import Installation, RateBudget


def read(now: datetime) -> Cost:
    """Of budgets whose hour is over nothing is used: they count for nothing until they are asked again."""
    rows = RateBudget.objects.filter(installation__status=Installation.Status.ACTIVE, limit__gt=0)
    found = rows.order_by("pk").values_list(
        "resource",
        "limit",
        "remaining",
        "reset_at",
        "installation_id",
        "installation__account_login",
        "installation__usual_requests",
    )
    budgets: dict[str, BudgetLeft] = {}
    tightest: tuple[float, BudgetLeft, str, str] | None = None
    asked: dict[str, int] = {}
    usual: dict[int, float] = {}
    for resource, limit, remaining, reset_at, pk, login, requests in found:
        if requests is not None:
            usual[pk] = requests
        if reset_at <= now:
            continue
        left = BudgetLeft(limit=limit, remaining=remaining, reset_at=reset_at)
        budgets[resource] = _both(budgets.get(resource), left)
        asked[resource] = asked.get(resource, 0) + 1
        if tightest is None or remaining / limit < tightest[0]:
            tightest = (remaining / limit, left, login, resource)
    a_round = sum(usual.values()) if usual else None
    ordered = dict(sorted(budgets.items()))
    if tightest is None:
        return Cost(budgets=ordered, a_round=a_round, round_of=len(usual))
    return Cost(
        budgets=ordered,
        asked=asked,
        round_of=len(usual),
        tightest=tightest[1],
        tightest_of=tightest[2],
        tightest_resource=tightest[3],
        a_round=a_round,
    )


def _both(one: BudgetLeft | None, other: BudgetLeft) -> BudgetLeft:
    """Two budgets together, until the first of them ends."""
    if one is None:
        return other
    return BudgetLeft(
        limit=one.limit + other.limit,
        remaining=one.remaining + other.remaining,
        reset_at=min(one.reset_at, other.reset_at),
    )
