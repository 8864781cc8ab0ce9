"""How an account's webhooks are doing, as pages and API show it: everything decided and worded.

The figures come from three sources that do not share a mistake: what arrived, what GitHub's log says it
sent, and the gaps between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import Count, Q

from syncsvc import selectors_webhooks, words
from syncsvc.models import (
    Delivery,
    Gap,
    Hook,
    Installation,
    MissedDelivery,
    WebhookState,
)

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
WEEKDAYS: Final = (
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
)
HOURS: Final = 24
#: How many shades of busy there are beside "nothing".
SHADES: Final = 4
#: The picture's measures: a square an hour, beside and below it the names of days and hours.
STEP, MARGIN, BASELINE = 10, 28, 7.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How far GitHub's log of one hook was read."""

    label: str
    active: bool
    read_at: datetime | None
    newest_at: datetime | None
    retry_at: datetime | None
    failures: int
    error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One hour of the week: where it stands in the picture, how busy it usually is, and that in words."""

    x: int
    y: int
    shade: int
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """The name of a day or an hour beside the picture."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Week:
    """The account's rhythm: 7 rows of 24 hours, in UTC."""

    cells: tuple[Cell, ...]
    labels: tuple[Label, ...]
    summary: str
    days: tuple[tuple[str, str], ...]
    worked_out_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """Ready to show."""

    badge: str
    tone: str
    sentence: str
    last_delivery_at: datetime | None
    failures_in_row: int
    by_status: tuple[tuple[str, str, int], ...]
    gaps: tuple[Gap, ...]
    missed: int
    healed: int
    readings: tuple[Reading, ...]
    week: Week | None

    @property
    def counted(self) -> tuple[tuple[str, str, int], ...]:
        """The statuses of which there are any."""
        return tuple(each for each in self.by_status if each[2])

    @property
    def known(self) -> bool:
        """Whether there is anything to tell at all."""
        return bool(self.last_delivery_at or self.readings or self.gaps or self.missed)


def read(row: Installation, now: datetime) -> Health:
    """The health of one account's webhooks, in five queries."""
    state = WebhookState.objects.filter(installation=row).first()
    hooks = list(selectors_webhooks.hooks_of(row))
    gaps = tuple(Gap.objects.filter(installation=row, closed_at=None).order_by("opened_at"))
    missed = MissedDelivery.objects.filter(installation=row, first_at__gte=now - WEEK).aggregate(
        all=Count("pk"), healed=Count("pk", filter=Q(healed_at__isnull=False))
    )
    recent = selectors_webhooks.of_installation(
        Delivery.objects.filter(received_at__gte=now - DAY), row.pk
    )
    counted = dict(recent.order_by().values_list("status").annotate(Count("pk")))
    last = state.last_delivery_at if state else None
    badge, tone, sentence = _verdict(row, last, gaps, hooks, now)
    return Health(
        badge=badge,
        tone=tone,
        sentence=sentence,
        last_delivery_at=last,
        failures_in_row=state.consecutive_failures if state else 0,
        by_status=tuple(
            (str(value), str(label), counted.get(value, 0))
            for value, label in Delivery.Status.choices
        ),
        gaps=gaps,
        missed=missed["all"],
        healed=missed["healed"],
        readings=tuple(_reading(hook) for hook in hooks),
        week=week(state.rhythm, state.rhythm_at) if state else None,
    )


def _verdict(
    row: Installation,
    last: datetime | None,
    gaps: Sequence[Gap],
    hooks: Sequence[Hook],
    now: datetime,
) -> tuple[str, str, str]:
    """The badge, its tone and a sentence: of what is wrong, the worst."""
    if row.status != Installation.Status.ACTIVE:
        return "Paused", "quiet", f"The installation is {row.get_status_display().lower()}."
    if gaps:
        since = words.relative(gaps[0].opened_at, now)
        return "Gap open", "bad", f"Deliveries were missed; found {since}. It is being healed."
    if any(hook.failures for hook in hooks):
        return (
            "Log cannot be read",
            "warn",
            "What arrives is processed; whether anything is missing cannot be told from GitHub's log.",
        )
    if hooks and not any(hook.active for hook in hooks):
        return "Switched off", "warn", "The webhook is switched off at GitHub: nothing is sent."
    if last is None:
        return "Nothing arrived yet", "quiet", "GitHub has not delivered anything for this account."
    if now - last > DAY:
        return "Quiet", "quiet", "Nothing arrived for a day, and nothing says that it should have."
    return "Healthy", "good", "Deliveries arrive, and none is known to be missing."


def _reading(hook: Hook) -> Reading:
    kind = hook.get_target_type_display()
    app = hook.target_type == Hook.Target.INTEGRATION
    return Reading(
        label=f"{kind}'s webhook" if app else f"{kind} webhook {hook.github_id}",
        active=hook.active,
        read_at=hook.read_at,
        newest_at=hook.newest_at,
        retry_at=hook.retry_at,
        failures=hook.failures,
        error=hook.error,
    )


def week(rhythm: object, worked_out_at: datetime | None) -> Week | None:
    """The picture of a rhythm; None where there is none, or not one of 168 hours."""
    if not isinstance(rhythm, list) or len(rhythm) != len(WEEKDAYS) * HOURS:
        return None
    shares = [float(each) if isinstance(each, int | float) else 0.0 for each in rhythm]
    most = max(shares)
    if most <= 0:
        return None
    cells = []
    for order, share in enumerate(shares):
        day, hour = divmod(order, HOURS)
        cells.append(
            Cell(
                x=MARGIN + hour * STEP,
                y=day * STEP,
                shade=0 if share <= 0 else min(SHADES, 1 + int(share / most * SHADES)),
                title=f"{WEEKDAYS[day]} {hour:02}:00: {words.share(share)} of the minutes",
            )
        )
    busiest = max(range(len(shares)), key=lambda order: shares[order])
    day, hour = divmod(busiest, HOURS)
    return Week(
        cells=tuple(cells),
        labels=_labels(),
        summary=f"Busiest on {WEEKDAYS[day]} at {hour:02}:00 UTC: deliveries in "
        f"{words.share(most)} of the minutes.",
        days=tuple(
            (name, _busy_hours(shares[order * HOURS : (order + 1) * HOURS], most))
            for order, name in enumerate(WEEKDAYS)
        ),
        worked_out_at=worked_out_at,
    )


def _labels() -> tuple[Label, ...]:
    days = (Label(x=0, y=y * STEP + BASELINE, text=name[:3]) for y, name in enumerate(WEEKDAYS))
    below = len(WEEKDAYS) * STEP + BASELINE + 1
    hours = (
        Label(x=MARGIN + hour * STEP, y=below, text=f"{hour:02}:00") for hour in range(0, HOURS, 6)
    )
    return (*days, *hours)


def _busy_hours(shares: Sequence[float], most: float) -> str:
    """When on a day it is busy (a quarter of the busiest hour or more): `08:00 to 12:00, 14:00 to 15:00`."""
    spans: list[tuple[int, int]] = []
    for hour, share in enumerate(shares):
        if share < most / SHADES:
            continue
        if spans and spans[-1][1] == hour:
            spans[-1] = (spans[-1][0], hour + 1)
        else:
            spans.append((hour, hour + 1))
    return ", ".join(f"{start:02}:00 to {end:02}:00" for start, end in spans) or "quiet"
