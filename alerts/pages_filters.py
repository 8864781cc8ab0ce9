"""What the dashboard is asked for: the address' words become `FleetFilters`, and what is wrong in them is
said at its field. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from alerts.fleet_values import ACTIVE, ATTENTION, STATUSES, FleetFilters, Order, State, Window
from reconciliation.models import Discrepancy
from syncsvc.api.filters import LARGEST_ID

LONGEST_LOGIN: Final = 255
MOST_DIGITS: Final = 19
SHOWN: Final = 40

WINDOWS: Final = {Window.DAY: "24 hours", Window.WEEK: "7 days", Window.MONTH: "30 days"}
_STATES: Final[Mapping[str, str]] = {
    State.OK: "Up to date",
    State.SYNCING: "Syncing",
    State.WAITING: "Waiting for a worker",
    State.NEVER: "Not synced yet",
    State.PAUSED: "Paused",
    State.ERROR: "Last sync had errors",
    State.SUSPENDED: "Suspended",
    State.UNINSTALLED: "Uninstalled",
}
STATUS_NAMES: Final[Mapping[str, str]] = {
    ATTENTION: "Needs somebody",
    ACTIVE: "Active",
    **_STATES,
}
#: Orders that start with the smallest: names, the least right, the least left, the longest ago, the next.
RISING: Final = frozenset(
    {
        Order.LOGIN,
        Order.STATE,
        Order.ACCURACY,
        Order.ACCURACY_WEEK,
        Order.SUCCESS,
        Order.BUDGET,
        Order.LAST_RUN,
        Order.LAST_SYNCED,
        Order.NEXT,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked: as filters where all of it is right, as written for the form either way."""

    filters: FleetFilters
    written: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_narrowed(self) -> bool:
        """Whether accounts are left out."""
        return any(self.written[name] for name in ("q", "installation", "status", "type"))


def read(query: Mapping[str, Any]) -> Asked:
    """The filters of an address. What is not there has its usual value; what is wrong has none."""
    names = ("q", "installation", "window", "status", "type", "order")
    written = {name: str(query.get(name, "")).replace("\0", "").strip() for name in names}
    errors: dict[str, str] = {}
    order, descending = _order(written["order"], errors)
    text, number = _account(written, errors)
    filters = FleetFilters(
        q=text,
        installation=number,
        window=Window(_one_of(written, "window", [*Window], errors) or Window.DAY),
        status=_one_of(written, "status", [*STATUSES], errors),
        type=_one_of(written, "type", [*Discrepancy.Type], errors),
        order=order,
        descending=descending,
    )
    return Asked(filters=filters, written=written, errors=errors)


def written_order(order: Order, *, descending: bool) -> str:
    """An order as the address says it."""
    return f"-{order}" if descending else str(order)


def usually_descending(order: Order) -> bool:
    """Which way round an order is first shown."""
    return order not in RISING


def file_parts(filters: FleetFilters) -> list[str]:
    """What was asked for, in the name of a file."""
    return [
        str(filters.window),
        filters.q,
        f"account-{filters.installation}" if filters.installation else "",
        f"status-{filters.status}" if filters.status else "",
        f"type-{filters.type}" if filters.type else "",
    ]


def _account(written: Mapping[str, str], errors: dict[str, str]) -> tuple[str, int | None]:
    """Part of a login, or our own number of an account; a login may be put into either."""
    text, number = written["q"], None
    asked = written["installation"]
    if asked.isdecimal() and asked.isascii():
        number = int(asked) if len(asked) <= MOST_DIGITS else 0
        if not 0 < number <= LARGEST_ID:
            errors["installation"] = "There is no account with such a number."
            number = None
    elif asked and text:
        errors["installation"] = "Give our number of the account here, or its login in Account."
    else:
        text = text or asked
    if len(text) > LONGEST_LOGIN:
        name = "q" if written["q"] else "installation"
        errors[name] = (
            f"No login is longer than {LONGEST_LOGIN} characters; this has {len(text):,}."
        )
        text = ""
    return text, number


def _one_of(
    written: Mapping[str, str], name: str, choices: list[Any], errors: dict[str, str]
) -> str:
    """The value, where there is such a one."""
    value = written[name]
    if value and value not in {str(choice) for choice in choices}:
        errors[name] = f"“{_short(value)}” is none of: {_listed(choices)}."
        return ""
    return value


def _order(written: str, errors: dict[str, str]) -> tuple[Order, bool]:
    """By what, and which way round; a minus in front says descending, as in the API."""
    if not written:
        return Order.ATTENTION, True
    name = written.removeprefix("-")
    if name not in {str(order) for order in Order}:
        errors["order"] = f"“{_short(written)}” is none of: {_listed([*Order])}."
        return Order.ATTENTION, True
    return Order(name), written.startswith("-")


def _listed(choices: list[StrEnum | str]) -> str:
    return ", ".join(str(choice) for choice in choices)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
