"""The pages of webhooks: what arrived and what became of it, and the gaps with how they were healed."""

from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST, require_safe

from syncsvc import clock, conf, gap_story, selectors_webhooks
from syncsvc.api.webhook_filters import DeliveryFilters, GapFilters
from syncsvc.models import Delivery, Gap
from syncsvc.pages import ROWS_PER_PAGE, members_only
from syncsvc.pages_contents import Field, Listing, listing, search
from syncsvc.webhooks import replay as replaying
from syncsvc.webhooks import viewing, wording

#: Deliveries come without end: beyond these a time or an account narrows the list.
MOST_LISTED: Final = 10_000
NEWEST: Final = ("-received_at", "-pk")
NOT_OPERATING: Final = "To replay a delivery you need the role operator or admin."

DELIVERIES: Final = Listing(
    view="deliveries",
    title="Deliveries",
    one="delivery",
    rows=selectors_webhooks.deliveries,
    filters=DeliveryFilters,
    repository_by="github_id",
    most=MOST_LISTED,
    orders={
        "newest": ("Newest", NEWEST),
        "oldest": ("Oldest", ("received_at", "pk")),
    },
    fields=(
        Field(name="event", label="Event", hint="issues, push"),
        Field(name="action", label="Action", hint="opened"),
        Field(name="status", label="Status", choices=tuple(Delivery.Status.choices)),
    ),
    more=(
        search("The whole GUID", name="guid", label="GUID"),
        Field(
            name="outcome",
            label="What became of it",
            choices=tuple((word, wording.spelled(word)) for word in wording.OUTCOMES),
        ),
        Field(name="received_after", label="From, in UTC", hint="2026-01-31 08:00"),
        Field(name="received_before", label="Until, in UTC", hint="2026-01-31 18:00"),
    ),
)

GAPS: Final = Listing(
    view="gaps",
    title="Gaps",
    one="gap",
    rows=lambda user: selectors_webhooks.gaps(user).defer("evidence", "timeline"),
    filters=GapFilters,
    orders={
        "newest": ("Last found", ("-opened_at", "-pk")),
        "oldest": ("First found", ("opened_at", "pk")),
        "missed": ("Most missed", ("-missed", "-opened_at", "-pk")),
    },
    fields=(
        Field(name="open", label="State", choices=(("true", "Open"), ("false", "Closed"))),
        Field(name="reason", label="Reason", choices=tuple(Gap.Reason.choices)),
    ),
)


@members_only
@require_safe
def deliveries(request: HttpRequest) -> HttpResponse:
    """What arrived."""
    return listing(request, DELIVERIES)


@members_only
@require_safe
def gaps(request: HttpRequest) -> HttpResponse:
    """When deliveries were missed."""
    return listing(request, GAPS)


@members_only
@require_safe
def delivery(request: HttpRequest, pk: int) -> HttpResponse:
    """One delivery: what it told, what became of it, and its payload, masked."""
    row: Any = get_object_or_404(selectors_webhooks.deliveries(request.user), pk=pk)
    kept_days = conf.for_installation(row.installation).payload_days
    too_large = row.payload_kept and row.payload_bytes > viewing.MOST_BYTES
    viewed = viewing.Viewed() if too_large else viewing.view(row, kept_days=kept_days)
    text = viewed.text
    refused: str | None = replaying.refusal(row, payload_kept=row.payload_kept)
    if not selectors_webhooks.may_replay(request.user, row):
        refused = NOT_OPERATING
    waiting = row.status == Delivery.Status.RECEIVED
    return render(
        request,
        "syncsvc/delivery.html",
        {
            "row": row,
            "waiting": waiting,
            "became": wording.outcome(
                row.outcome, row.detail, waiting=waiting, attempts=row.attempts
            ),
            "text": text[: viewing.MOST_CHARACTERS],
            "lines": text.count("\n") + 1,
            "cut": len(text) > viewing.MOST_CHARACTERS,
            "problem": viewed.problem,
            "too_large": too_large,
            "refused": refused,
            "again_at": row.due_at if waiting and row.due_at > clock.now() else None,
        },
    )


@members_only
@require_POST
def replay(request: HttpRequest, pk: int) -> HttpResponse:
    """Has a delivery processed once more, and says whether that was possible."""
    row: Any = get_object_or_404(selectors_webhooks.deliveries(request.user), pk=pk)
    if not selectors_webhooks.may_replay(request.user, row):
        raise PermissionDenied
    refused = replaying.refusal(row, payload_kept=row.payload_kept)
    if refused is None and row.pk not in replaying.replay([row.pk], user_id=request.user.pk):
        refused = replaying.Refusal.WAITING  # another one pressed first
    if refused is None:
        messages.success(request, "The delivery waits to be processed once more.")
    else:
        messages.warning(request, str(refused))
    return redirect("delivery", pk=row.pk)


@members_only
@require_safe
def gap(request: HttpRequest, pk: int) -> HttpResponse:
    """One gap: what happened when, and how each missed delivery was healed."""
    rows = selectors_webhooks.gaps(request.user).select_related("installation", "job")
    row = get_object_or_404(rows, pk=pk)
    missed = selectors_webhooks.missed_deliveries(request.user).filter(gap=row.pk)
    page = Paginator(missed.order_by("first_at", "pk"), ROWS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    return render(
        request,
        "syncsvc/gap.html",
        {
            "row": row,
            "story": gap_story.tell(row, clock.now()),
            "page": page,
            "fates": [(each, gap_story.missed_fate(each)) for each in page.object_list],
        },
    )
