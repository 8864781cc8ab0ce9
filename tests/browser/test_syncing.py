"""Sync now, and what people see until the summary (P13-P17)."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from syncsvc.models import Installation, SyncJob
from tests.browser.product import BUSY, OTHER, Product

pytestmark = pytest.mark.spec("R18.3", "R18.4")
PATIENCE = 30_000


def sync_button(page: Page) -> Locator:
    """The busy account's; its words stand in two elements."""
    return page.get_by_role("button", name=re.compile(f"Sync now ?: {BUSY}"))


@pytest.mark.spec("P13", "P15", "P16")
def test_a_sync_is_watched_live_to_its_summary(
    served: Product, visit: Callable[..., Page], slow: None
) -> None:
    page = visit(served.operator, "/")
    served.world.edit(served.repository().id, description="Changed while nobody listened")
    before = served.asked_for()
    page.evaluate("window.sameDocument = true")
    sync_button(page).click()
    card = page.get_by_role("article", name=BUSY)
    expect(card.locator(".progress")).to_be_visible(timeout=PATIENCE)
    seen: set[str] = set()
    while card.locator(".progress").count():
        seen.update(card.locator(".progress").all_inner_texts())
        page.wait_for_timeout(100)
    assert len(seen) > 1, "progress was shown, and never changed"
    expect(card.locator(".result")).to_contain_text("Last run succeeded", timeout=PATIENCE)
    assert page.evaluate("window.sameDocument"), "the page was loaded anew"
    card.get_by_role("link", name="Details").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Run of {BUSY}")
    run = served.settled()
    expect(page.locator("main")).to_contain_text("updated")
    assert served.asked_for() == before + 1
    assert (run.status, run.requested_by) == (SyncJob.Status.SUCCEEDED, served.operator)


@pytest.mark.spec("P17")
def test_a_double_click_makes_one_job(
    served: Product, visit: Callable[..., Page], slow: None
) -> None:
    before = served.asked_for()
    page = visit(served.operator, "/")
    sync_button(page).dblclick()
    expect(page.get_by_role("article", name=BUSY).locator(".progress")).to_be_visible(
        timeout=PATIENCE
    )
    assert served.asked_for() == before + 1


def test_two_browsers_at_once_make_one_job(
    served: Product, visit: Callable[..., Page], slow: None
) -> None:
    before = served.asked_for()
    pages = [visit(served.operator, "/"), visit(served.admin, "/")]
    for page in pages:
        sync_button(page).click(no_wait_after=True)
    for page in pages:
        expect(page.get_by_role("article", name=BUSY).locator(".progress")).to_be_visible(
            timeout=PATIENCE
        )
    assert served.asked_for() == before + 1


def test_who_may_not_is_told_why(served: Product, visit: Callable[..., Page]) -> None:
    accounts = Installation.objects.filter(account_login=OTHER)
    accounts.update(status=Installation.Status.SUSPENDED)
    page = visit(served.admin, "/")
    button = page.get_by_role("button", name=re.compile(f"Sync now ?: {OTHER}"))
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(button).to_have_accessible_description(re.compile("suspended"))
    accounts.update(status=Installation.Status.ACTIVE)
