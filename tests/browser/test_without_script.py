"""Everything that must work does without JavaScript."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.product import BUSY, Product
from tests.browser.test_log_in import log_in

pytestmark = pytest.mark.spec("R18.6")


def test_log_in_sync_filter_and_page_through(served: Product, visit: Callable[..., Page]) -> None:
    page = visit(path="/", java_script_enabled=False)
    log_in(page)
    jobs = served.asked_for()
    page.get_by_role("button", name=re.compile(f"Sync now ?: {BUSY}")).click()
    assert served.asked_for() == jobs + 1
    expect(page.get_by_role("article", name=BUSY)).to_be_visible()
    served.settled()
    page.goto("/")
    page.locator("nav summary", has_text="Contents").click()
    page.get_by_role("link", name="Commits").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Commits")
    first = page.locator(".rows tbody tr").first.inner_text()
    page.get_by_role("link", name=re.compile("Next|Older", re.I)).click()
    expect(page.locator(".rows tbody tr").first).not_to_have_text(first)
    page.goto(f"/installations/{served.installation().pk}/")
    name = page.locator(".rows a.name").first.inner_text().split("/")[1]
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Apply").click()
    for found in page.locator(".rows a.name").all_inner_texts():
        assert name in found
