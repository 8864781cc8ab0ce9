"""The first run by clicks: from a server that knows no account to a mirror that is right (R2.1).

A product of its own, without credentials; the simulated GitHub makes it an App from a manifest.
"""

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from syncsvc.simulator import Simulator, World
from syncsvc.simulator.generate import AccountPlan
from tests.acceptance.served import Served, free_port, until
from tests.browser.product import CALM
from tests.browser.test_log_in import log_in
from tests.browser.watching import Troubles
from tests.factories import PASSWORD

pytestmark = pytest.mark.spec("R2.1", "R18.3", "R19.4")
PATIENCE = 40_000


@pytest.fixture
def github() -> Iterator[Simulator]:
    world = World.generate(seed=3, accounts=(AccountPlan(login="newcomers", repositories=4),))
    with Simulator(world) as running:
        yield running


@pytest.fixture
def newborn(tmp_path_factory: pytest.TempPathFactory, github: Simulator) -> Iterator[str]:
    """The address of a product that nobody told of an account."""
    served = Served(
        tmp_path_factory.mktemp("newborn") / "var",
        free_port(),
        GITHUB_API_URL=github.url,
        ADMIN_USERNAME="admin",
        ADMIN_PASSWORD=PASSWORD,
        **CALM,
    )
    try:
        until(lambda: served.status() == 200 and "Ready:" in served.said(), 180, served.said)
        yield f"http://127.0.0.1:{served.port}"
    finally:
        served.ctrl_c()


@pytest.fixture
def page(
    newborn: str, github: Simulator, new_context: Callable[..., BrowserContext]
) -> Iterator[Page]:
    """A browser that may go to GitHub, too."""
    troubles = Troubles(urlsplit(newborn).netloc)
    troubles.expect(f"another host: {github.root_url}")
    context = new_context()
    troubles.watch(context)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(newborn)
    yield page
    assert troubles.found() == []


def test_from_nothing_to_a_mirror_by_clicks(page: Page, newborn: str) -> None:
    log_in(page)
    expect(page.get_by_role("button", name="Log out")).to_be_visible(timeout=PATIENCE)
    page.goto(f"{newborn}/setup/")
    page.get_by_role("link", name="Create a GitHub App").click()
    page.get_by_label("Name of the App").fill("Mirror of Newcomers")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("On to GitHub")
    page.get_by_role("button", name="Create it at").click()
    page.wait_for_url(f"{newborn}/setup/**")
    expect(page.locator("main")).to_contain_text("Mirror of Newcomers")
    page.get_by_role("button", name="Find accounts and start the first sync").click()
    card = page.get_by_role("article", name="newcomers")
    expect(card).to_be_visible(timeout=PATIENCE)
    expect(card).to_contain_text("succeeded", timeout=PATIENCE)
    page.reload()
    page.get_by_role("link", name="Ask the doctor").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
