"""Every page, on a desk and on a phone, light and dark: accessible, nothing to scroll sideways for, and
nothing that the Content-Security-Policy forbids."""

from collections.abc import Callable
from typing import Any, Final, cast

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.exceptions import ObjectDoesNotExist
from playwright.sync_api import Page as Tab

from tests.browser.addresses import PAGES, STAFF, Page, furnish
from tests.browser.conftest import PHONE, WIDE
from tests.browser.product import Product
from tests.browser.watching import Troubles

pytestmark = pytest.mark.spec("R18.6")

STANDARDS: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
ALL: Final = {"type": "tag", "values": STANDARDS}
#: What another colour scheme can break: the rest of the page is the same as it was in the light.
COLOURS: Final = {"type": "rule", "values": ("color-contrast", "link-in-text-block")}
FORMS: Final = (
    (PHONE, "light", ALL),
    (PHONE, "dark", COLOURS),
    (WIDE, "light", ALL),
    (WIDE, "dark", COLOURS),
)
SIDEWAYS: Final = """() => {
  const root = document.documentElement;
  if (root.scrollWidth <= root.clientWidth) return [];
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > root.clientWidth + 1)
    .slice(0, 5).map((one) => one.outerHTML.slice(0, 120));
}"""


@pytest.fixture(scope="module")
def furnished(served: Product) -> None:
    """All pages have something to show."""
    furnish(served.installation())


def violations(tab: Tab, rules: dict[str, Any]) -> list[str]:
    """What axe finds, in one line each."""
    options = {"resultTypes": ["violations"], "runOnly": rules}
    if not tab.evaluate("typeof axe === 'object'"):
        tab.evaluate(Axe().axe_script)
    found = tab.evaluate("(options) => axe.run(document, options)", options)["violations"]
    return [
        f"{one['id']} ({one['help']}): {node['html'][:160]} {node['failureSummary'][:240]}"
        for one in found
        for node in one["nodes"][:3]
    ]


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_page_is_accessible_in_every_form(
    page: Page,
    served: Product,
    furnished: None,
    visit: Callable[..., Tab],
    troubles: Troubles,
) -> None:
    try:
        address = page.address()
    except ObjectDoesNotExist as error:
        pytest.fail(f"there is nothing to show: {error}")
    if page.status >= 400:
        troubles.expect(str(page.status))
    tab = visit(served.admin if page.who == STAFF else None)
    wrong: list[str] = []
    for size, scheme, rules in FORMS:
        tab.set_viewport_size(cast("Any", size))
        tab.emulate_media(color_scheme=cast("Any", scheme))
        if tab.url == "about:blank":
            answer = tab.goto(address)
            assert answer is not None
            assert answer.status == page.status
            assert "content-security-policy" in answer.headers
        form = f"{size['width']} px, {scheme}"
        wrong += [f"{form}: {one}" for one in violations(tab, rules)]
        if sideways := tab.evaluate(SIDEWAYS):
            wrong.append(f"{form}: must be scrolled sideways for {sideways}")
    if wrong:
        pytest.fail("\n".join(wrong))
