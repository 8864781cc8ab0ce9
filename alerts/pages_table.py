"""The columns of the fleet's table: what each is called, and where its head leads. Pure."""

from collections.abc import Callable
from typing import Any, Final

from alerts.fleet_values import FleetFilters, Order
from alerts.pages_filters import usually_descending, written_order

#: In the order of the cells of `_sync_health_table.html`; `True`: numbers, at the end of their column.
COLUMNS: Final[tuple[tuple[Order, str, bool], ...]] = (
    (Order.LOGIN, "Account", False),
    (Order.STATE, "State", False),
    (Order.ACCURACY, "Right, 24 h", True),
    (Order.ACCURACY_WEEK, "7 d", True),
    (Order.SUCCESS, "Succeeded", True),
    (Order.DISCREPANCIES, "Found", True),
    (Order.OPEN, "Open", True),
    (Order.GAPS, "Gaps", True),
    (Order.INCIDENTS, "Incidents", True),
    (Order.BACKLOG, "Waiting", True),
    (Order.BUDGET, "Budget left", True),
    (Order.LAST_RUN, "Last run", False),
    (Order.DURATION, "Takes", True),
    (Order.LAST_SYNCED, "Last good", False),
    (Order.NEXT, "Next", False),
)


def columns(filters: FleetFilters, query: Callable[[str], str]) -> list[dict[str, Any]]:
    """The heads: the one that orders says which way, and turns it round when followed."""
    shown = []
    for order, label, is_number in COLUMNS:
        is_sorted = order == filters.order
        descending = not filters.descending if is_sorted else usually_descending(order)
        now = ("descending" if filters.descending else "ascending") if is_sorted else ""
        shown.append(
            {
                "order": str(order),
                "label": label,
                "number": is_number,
                "sorted": now,
                "query": query(written_order(order, descending=descending)),
            }
        )
    return shown
