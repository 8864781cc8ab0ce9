"""Pages hear of runs without asking, and ask where they cannot hear (R18.4)."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Request, expect

from syncsvc.service import SyncService
from tests.browser.product import BUSY, Product
from tests.browser.watching import Troubles

pytestmark = pytest.mark.spec("R18.4")
PATIENCE = 30_000
STREAM = "**/api/v1/jobs/stream/**"


def watch(page: Page) -> tuple[set[str], list[str]]:
    """What a card showed from the beginning of a run to its end, and how often the page asked for it."""
    asked: list[str] = []

    def note(request: Request) -> None:
        if re.search(r"/card/\?", request.url):
            asked.append(request.url)

    page.on("request", note)
    bar = page.get_by_role("article", name=BUSY).locator(".progress")
    expect(bar).to_be_visible(timeout=PATIENCE)
    seen: set[str] = set()
    while bar.count():
        seen.update(bar.all_inner_texts())
        page.wait_for_timeout(50)
    result = page.get_by_role("article", name=BUSY).locator(".result")
    expect(result).to_contain_text("Last run", timeout=PATIENCE)
    page.remove_listener("request", note)
    return seen, asked


def test_a_run_that_somebody_else_began_is_seen_at_once_and_asked_for_rarely(
    served: Product, visit: Callable[..., Page], slow: None
) -> None:
    with_stream = visit(served.operator)
    with with_stream.expect_response(STREAM):
        with_stream.goto("/")
    SyncService.request(served.installation().pk, "manual")
    seen, asked = watch(with_stream)
    assert len(seen) > 3, seen
    # When the page is opened, and when the run begins, is taken, reads, and ends; not every second.
    assert len([url for url in asked if f"/{served.installation().pk}/" in url]) <= 5


@pytest.mark.parametrize("why", ["no EventSource", "refused"])
def test_without_a_stream_the_page_asks(
    served: Product, visit: Callable[..., Page], slow: None, why: str, troubles: Troubles
) -> None:
    page = visit(served.operator)
    if why == "refused":
        troubles.expect("429")
        page.route(STREAM, lambda route: route.fulfill(status=429, body=""))
    else:
        page.add_init_script("delete window.EventSource")
    page.goto("/")
    page.get_by_role("button", name=re.compile(f"Sync now ?: {BUSY}")).click()
    seen, asked = watch(page)
    assert len(seen) > 1
    assert len(asked) > 1


def test_a_run_is_watched_to_its_end_on_its_own_page(
    served: Product, visit: Callable[..., Page], slow: None
) -> None:
    decision = SyncService.request(served.installation().pk, "manual")
    page = visit(served.operator, f"/jobs/{decision.job_id}/")
    expect(page.locator("#job [data-part=stage]")).not_to_have_text("Queued", timeout=PATIENCE)
    run = served.settled()
    expect(page.locator("#job")).to_contain_text(run.get_status_display(), timeout=PATIENCE)
    expect(page.locator("#job .progress")).to_have_count(0, timeout=PATIENCE)


def test_a_page_that_nobody_looks_at_holds_no_stream(
    served: Product, visit: Callable[..., Page]
) -> None:
    page = visit(served.operator)
    with page.expect_response(STREAM):
        page.goto("/")
    hide = """(hidden) => {
        Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with page.expect_event("requestfailed", lambda request: "/stream/" in request.url):
        page.evaluate(hide, arg=True)
    with page.expect_response(STREAM):
        page.evaluate(hide, arg=False)
