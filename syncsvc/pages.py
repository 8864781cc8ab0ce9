"""The pages for members: what is mirrored, how it is going, and the button that asks for a sync.

Each works without JavaScript (links, forms, redirects); htmx only swaps fragments of the same pages.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit, urlunsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import F, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import get_object_or_404, redirect, render, resolve_url
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe
from django_filters import FilterSet
from django_htmx.http import HttpResponseClientRedirect

from syncsvc import (
    attempts,
    blocks,
    cards,
    circuit,
    clock,
    hook_health,
    selectors,
    status,
    watchman,
)
from syncsvc.api.filters import RepositoryFilters
from syncsvc.models import Installation, Repository, SyncJob
from syncsvc.policy import Action
from syncsvc.service import SyncService

CARDS_PER_PAGE = 24
ROWS_PER_PAGE = 50
RUNS_SHOWN = 5
ORDERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "name": ("Name", ()),
    "stars": ("Most stars", ("-stars",)),
    "pushed": ("Last pushed", (F("pushed_at").desc(nulls_last=True),)),
    "synced": ("Longest since synced", ("last_synced_at",)),
}
LOGGED_OUT = "You were logged out meanwhile, so nothing was done. Log in, and do it again."

View = Callable[..., HttpResponseBase]
Row = TypeVar("Row", bound=Model)


def context(_request: HttpRequest) -> dict[str, Any]:
    """Context processor: what every template may need to know of the settings."""
    return {"demo": settings.SYNC_DEMO, "base_url": settings.BASE_URL}


def members_only(view: View) -> View:
    """Sends strangers to the log-in, fragments included, and lets nothing be kept in a cache."""
    inside = never_cache(login_required(view))

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        is_known = request.user.is_authenticated
        if not is_known and request.method == "POST":
            messages.warning(request, LOGGED_OUT)
        if not is_known and (request.htmx or request.method == "POST"):  # type: ignore[attr-defined]  # middleware's
            return _to_log_in(request)
        return inside(request, *args, **kwargs)

    return answer


def _to_log_in(request: HttpRequest) -> HttpResponse:
    """The log-in, and from there to the page that was open: an address that was posted to shows none."""
    page = request.htmx.current_url_abs_path  # type: ignore[attr-defined]  # the middleware's
    came_from = urlsplit(request.headers.get("Referer", ""))
    if not page and came_from.netloc == request.get_host():
        page = urlunsplit(("", "", came_from.path, came_from.query, ""))
    where = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': page or '/'})}"
    return HttpResponseClientRedirect(where) if request.htmx else redirect(where)  # type: ignore[attr-defined]  # the middleware's


def narrow(
    filters: type[FilterSet], asked: QueryDict, rows: QuerySet[Row]
) -> tuple[QuerySet[Row], dict[str, list[str]]]:
    """The rows that match, and what was asked wrongly, by name: then there are no rows."""
    narrowed = filters(asked, queryset=rows)
    if narrowed.is_valid():
        return narrowed.qs, {}
    return rows.none(), narrowed.errors


@method_decorator(attempts.guarded, name="dispatch")
class LogIn(LoginView):
    """The way in."""

    template_name = "syncsvc/login.html"
    redirect_authenticated_user = True


class LogOut(LogoutView):
    """The way out; by POST only."""


@members_only
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """One card for each installation that the user may see."""
    rows = selectors.installations(request.user)
    wanted = request.GET.get("q", "").strip().replace("\0", "")
    found = rows.filter(account_login__icontains=wanted) if wanted else rows
    page = Paginator(found.order_by("account_login", "pk"), CARDS_PER_PAGE).get_page(
        request.GET.get("page")
    )
    shown = cards.read(request.user, page.object_list)  # type: ignore[arg-type]  # a sliced queryset
    return render(
        request,
        "syncsvc/home.html",
        {
            "cards": shown,
            "page": page,
            "q": wanted,
            "query": urlencode({"q": wanted}) if wanted else "",
            "refresh": any(card.progress for card in shown),
            "searchable": bool(wanted) or page.paginator.num_pages > 1,
            "silent": list(watchman.silent(clock.now()).values()),
            "blocks": blocks.of(
                [card.pk for card in shown], request.user, clock.now(), on="accounts"
            ),
            "may_mend": selectors.sees_everything(request.user),
        },
    )


@members_only
@require_safe
def card(request: HttpRequest, pk: int) -> HttpResponse:
    """One card for a page that asks for news: 204 when it shows them already."""
    shown = _card(request, pk)
    if request.GET.get("shown") == shown.fingerprint:
        return HttpResponse(status=204)
    return _render_card(request, shown)


@members_only
@require_POST
def try_now(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends the pause after failures, for who has mended the reason, and asks for a sync (R10.3)."""
    row = get_object_or_404(selectors.installations(request.user), pk=pk)
    if not selectors.may_operate(request.user, row.pk):
        raise PermissionDenied("To end the pause you need the role operator or admin.")
    circuit.reset(row.pk, request.user)
    return _ask(request, row)


@members_only
@require_POST
def sync(request: HttpRequest, pk: int) -> HttpResponse:
    """The button: asks for a sync at the one door, and says what the answer was."""
    return _ask(request, get_object_or_404(selectors.installations(request.user), pk=pk))


def _ask(request: HttpRequest, row: Installation) -> HttpResponse:
    decision = SyncService.request(row.pk, SyncJob.Trigger.MANUAL, user=request.user)
    if request.htmx:  # type: ignore[attr-defined]  # set by the middleware
        return _render_card(request, _card(request, row.pk))
    if decision.action is Action.START:
        messages.success(request, f"The sync of {row.account_login} has started.")
    else:
        messages.warning(request, f"{row.account_login}: {status.explain(decision)}")
    return redirect("home")


def _card(request: HttpRequest, pk: int) -> cards.Card:
    found = cards.read(request.user, selectors.installations(request.user).filter(pk=pk))
    if not found:
        raise Http404
    return found[0]


def _render_card(request: HttpRequest, shown: cards.Card) -> HttpResponse:
    announce = request.GET.get("said") != shown.said
    return render(request, "syncsvc/_card.html", {"card": shown, "announce": announce})


@members_only
@require_safe
def installation(request: HttpRequest, pk: int) -> HttpResponse:
    """The repositories of one installation: searched, filtered, ordered, paged."""
    shown = _card(request, pk)
    row, now = selectors.installations(request.user).get(pk=pk), clock.now()
    asked = request.GET.copy()
    page_number = asked.pop("page", [None])[-1]
    order = asked.get("order", "name")
    rows = selectors.repositories(request.user).filter(installation=pk)
    found, errors = narrow(RepositoryFilters, asked, rows)
    columns = ORDERS[order if order in ORDERS else "name"][1]
    page = Paginator(found.order_by(*columns, "owner", "name", "pk"), ROWS_PER_PAGE).get_page(
        page_number
    )
    return render(
        request,
        "syncsvc/installation.html",
        {
            "card": shown,
            "refresh": shown.progress is not None,
            "page": page,
            "asked": asked,
            "narrowed": any(asked.get(name) for name in ("q", "status", "visibility", "language")),
            "query": asked.urlencode(),
            "errors": errors,
            "orders": [(name, label) for name, (label, _) in ORDERS.items()],
            "statuses": Repository.Status.choices,
            "visibilities": Repository.Visibility.choices,
            "runs": _runs(request, pk),
            "health": hook_health.read(row, now),
            "blocks": blocks.of(row, request.user, now),
        },
    )


def _runs(request: HttpRequest, installation_id: int) -> QuerySet[SyncJob]:
    """The last runs; those that read what webhooks named or a sample, and did, would leave no room for
    others."""
    went_well = Q(mode__in=SyncJob.UNASKED, status=SyncJob.Status.SUCCEEDED)
    runs = selectors.jobs(request.user).filter(installation=installation_id)
    return runs.exclude(went_well)[:RUNS_SHOWN]
