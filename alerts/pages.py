"""The page *Sync health* for operators (R18.1, R18.5, P18-P22): is the mirror right, where is it not, since
when, what is being done about it, what does it cost, and the proof. Its figures are read once, in
`alerts.fleet`; here they are put into words and addresses."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode
from zlib import crc32

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from alerts import csv_export, fleet, pages_charts, pages_csv, pages_filters, pages_tiles
from alerts.fleet_values import Fleet, FleetRow, Order
from alerts.pages_access import staff_only
from alerts.pages_cost import read as read_cost
from alerts.pages_filters import Asked
from alerts.pages_links import Links
from alerts.pages_table import columns
from alerts.pages_tiles import Tile
from alerts.pages_verdict import Verdict, judge, only
from alerts.pages_words import ordered_by, since_when, where_not, worst_first
from reconciliation.models import Discrepancy
from syncsvc import clock, watchman
from syncsvc.pages import ROWS_PER_PAGE

POLL_SECONDS: Final = 15
INCIDENTS_SHOWN: Final = 6
WORST_SHOWN: Final = 5


@staff_only
@require_safe
def sync_health(request: HttpRequest) -> HttpResponse:
    """The whole fleet on one page; of a page that asks for news, the parts that change."""
    asked = pages_filters.read(request.GET)
    now = clock.now()
    number = _page_number(request.GET)
    found = _read(asked, now, number)
    pages = Paginator(range(found.matching), ROWS_PER_PAGE)
    if number > pages.num_pages:  # the accounts became fewer: show the last page, not an empty one
        found = _read(asked, now, pages.num_pages)
    verdict = judge(found.totals, watchman.silent(now))
    if asked.is_narrowed:
        verdict = only(verdict, found.matching)
    is_part = bool(request.htmx)  # type: ignore[attr-defined]  # set by the middleware
    context = {
        **_head(request, asked, found, verdict),
        **_body(asked, found),
        "page": pages.get_page(number),
        "query": _query(asked),
        "fragment": is_part,
    }
    template = "alerts/_sync_health_news.html" if is_part else "alerts/sync_health.html"
    return render(request, template, context)


@staff_only
@require_safe
def sync_health_csv(request: HttpRequest) -> HttpResponseBase:
    """The same accounts in the same order, all pages of them, as a file. What is asked wrongly is said
    on the page."""
    asked = pages_filters.read(request.GET)
    if asked.errors:
        return redirect(f"{reverse('sync_health')}?{urlencode(asked.written)}")
    now = clock.now()
    name = csv_export.file_name("sync-health", now.date(), pages_filters.file_parts(asked.filters))
    rows = pages_csv.read(asked.filters, now)
    return csv_export.response(name, pages_csv.header(), rows)


def _read(asked: Asked, now: datetime, page: int) -> Fleet:
    return fleet.read(asked.filters, now, offset=(page - 1) * ROWS_PER_PAGE, limit=ROWS_PER_PAGE)


def _head(request: HttpRequest, asked: Asked, found: Fleet, verdict: Verdict) -> dict[str, Any]:
    """The answer to the first question, the form, and the ways to the proof."""
    links = Links(asked.filters, found.as_of)
    said = str(crc32(verdict.sentence.encode()))  # the same in every process
    return {
        "asked": asked,
        "as_of": found.as_of,
        "matching": found.matching,
        "verdict": verdict,
        "verdict_links": [(words, links.to(name)) for words, name in verdict.links],
        "announce": request.GET.get("said") != said,
        "poll": f"?{_query(asked, page=request.GET.get('page', ''), said=said)}",
        "poll_seconds": POLL_SECONDS,
        "fields": _fields(asked),
        "errors": list(asked.errors.items()),
        "without_installation": _query(asked, installation=""),
        "proofs": links.proofs(),
    }


def _body(asked: Asked, found: Fleet) -> dict[str, Any]:
    """Everything that one answer of the figures becomes."""
    if asked.errors:
        return {}
    filters, totals = asked.filters, found.totals
    links = Links(filters, found.as_of)
    by_type = totals.by_type
    return {
        "right": _linked(pages_tiles.is_right(totals, filters.window), links),
        "doing": _linked(pages_tiles.is_done(totals), links),
        "cost": _linked(
            pages_tiles.it_costs(totals, read_cost(found.as_of), filters.window), links
        ),
        "where": where_not(totals),
        "worst": _worst(found),
        "attention_address": links.to("attention") if totals.attention else "",
        "since": since_when(totals, found.incidents, found.as_of),
        "incidents": worst_first(found.incidents)[:INCIDENTS_SHOWN],
        "by_type": _types(asked, by_type, links),
        "most_of_a_type": max(by_type.values(), default=1),
        "none_found": _none_found(found),
        "charts": pages_charts.trends(found.trend),
        "rows": [(row, pages_charts.spark(row.series)) for row in found.rows],
        "columns": columns(filters, lambda order: _query(asked, order=order)),
        "ordered_by": ordered_by(filters),
        "window_words": pages_filters.WINDOWS[filters.window],
        "found_since": links.since,
        "csv": f"{reverse('sync_health_csv')}?{_query(asked)}",
    }


def _page_number(query: QueryDict) -> int:
    """The page that was asked for; the first where that is none."""
    written = query.get("page", "1")
    return max(1, int(written)) if written.isdecimal() and len(written) < 10 else 1


def _query(asked: Asked, **more: str) -> str:
    """The filters as the address says them, changed by `more`; what is empty is left out."""
    return urlencode({name: value for name, value in {**asked.written, **more}.items() if value})


def _fields(asked: Asked) -> list[dict[str, Any]]:
    """What can be chosen, and what is."""
    offered: dict[str, tuple[str, Sequence[tuple[str, str]]]] = {
        "window": (
            "Time",
            [(str(key), f"Last {words}") for key, words in pages_filters.WINDOWS.items()],
        ),
        "status": ("Status", [("", "Any"), *pages_filters.STATUS_NAMES.items()]),
        "type": ("Found wrong", [("", "Any type"), *Discrepancy.Type.choices]),
    }
    return [
        {
            "name": name,
            "label": label,
            "choices": [(str(value), words) for value, words in choices],
            "value": asked.written[name],
            "error": asked.errors.get(name, ""),
        }
        for name, (label, choices) in offered.items()
    ]


def _linked(tiles: Sequence[Tile], links: Links) -> list[dict[str, Any]]:
    """The figures, each with the address of its proof."""
    return [
        {
            "label": tile.label,
            "value": tile.value,
            "tone": tile.tone,
            "about": tile.about,
            "at": tile.at,
            "link": tile.link,
            "address": links.to(tile.link) if tile.link else "",
        }
        for tile in tiles
    ]


def _types(asked: Asked, by_type: Mapping[str, int], links: Links) -> list[dict[str, Any]]:
    """The types of discrepancies: how many, which they are, and which accounts have them."""
    names = dict(Discrepancy.Type.choices)
    return [
        {
            "type": name,
            "label": names.get(Discrepancy.Type(name), name),
            "number": number,
            "address": links.discrepancies(type=name, since=links.since),
            "where": _query(asked, type=name, order=f"-{Order.DISCREPANCIES}"),
        }
        for name, number in by_type.items()
    ]


def _worst(found: Fleet) -> list[FleetRow]:
    """The accounts that need somebody most; known where the page shows those first."""
    by_need = found.filters.order is Order.ATTENTION and found.filters.descending
    return [row for row in found.rows if row.attention][:WORST_SHOWN] if by_need else []


def _none_found(found: Fleet) -> str:
    compared = any(point.sums.tally.compared for point in found.trend)
    if compared:
        return "Nothing: all that was compared agreed with GitHub, or a webhook had told of it."
    return "Not known: nothing was compared."
