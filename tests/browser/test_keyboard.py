"""Everything can be reached and done by keyboard, and one sees where one is."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.served import until
from tests.browser.product import BUSY, Product

pytestmark = pytest.mark.spec("R18.6")
FOCUS = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  const text = (at.innerText || at.getAttribute("aria-label") || "").trim().split("\\n")[0];
  return {text, outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2};
}"""


def focus(page: Page) -> str:
    """What has the focus; fails where one cannot see it."""
    found = page.evaluate(FOCUS)
    assert found["outlined"], f"the focus on {found['text']!r} cannot be seen"
    return str(found["text"])


def test_tab_goes_through_the_page_in_order_and_is_seen(
    served: Product, visit: Callable[..., Page]
) -> None:
    page = visit(served.member, "/")
    order = []
    for _ in range(8):
        page.keyboard.press("Tab")
        order.append(focus(page))
    assert order == [
        "Skip to the content", "GitHub mirror", "Accounts", "Contents", "Evidence", "API", "Log out", BUSY,
    ]  # fmt: skip


def test_the_skip_link_leads_past_the_menu(served: Product, visit: Callable[..., Page]) -> None:
    page = visit(served.member, "/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert focus(page) == BUSY


def test_the_menu_opens_closes_and_leads_on(served: Product, visit: Callable[..., Page]) -> None:
    page = visit(served.member, "/")
    summary = page.locator("nav summary", has_text="Contents")
    summary.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("link", name="Issues")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Issues")).to_be_hidden()
    expect(summary).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Issues")


def test_a_card_that_renews_itself_keeps_the_focus(
    served: Product, visit: Callable[..., Page]
) -> None:
    page = visit(served.member, "/")
    card = page.get_by_role("article", name=BUSY)
    for link in (card.get_by_role("link", name=BUSY).first, card.get_by_role("link", name="24")):
        link.focus()
        with page.expect_response(re.compile("/card/")):
            page.evaluate("document.querySelector('article.card').setAttribute('data-old', '')")
            page.evaluate("""() => {
              const card = document.querySelector("article.card");
              card.setAttribute("hx-get", card.getAttribute("hx-get").split("?")[0]);
              htmx.process(card);
              card.dispatchEvent(new CustomEvent("live"));
            }""")
        expect(page.locator("article[data-old]")).to_have_count(0)
        expect(link).to_be_focused()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_a_sync_is_started_by_key_and_the_focus_stays(
    served: Product, visit: Callable[..., Page], key: str
) -> None:
    served.settled()
    jobs = served.asked_for()
    page = visit(served.operator, "/")
    page.get_by_role("button", name=re.compile(f"Sync now ?: {BUSY}")).focus()
    page.keyboard.press(key)
    until(lambda: served.asked_for() > jobs, 15, lambda: "nothing was started")
    served.settled()
    assert served.asked_for() == jobs + 1
    assert page.evaluate("document.activeElement.id").startswith("sync-")
