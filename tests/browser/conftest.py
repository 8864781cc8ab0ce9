"""What the browser tests share: the product, started once, and browsers that report every trouble."""

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import BrowserContext, Page

from syncsvc.simulator import Fault
from tests.browser.product import FLEET, Product, product
from tests.browser.watching import Troubles

# Playwright runs a loop of events in this thread; Django would refuse its queries for that.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
ABSENT = (
    "These tests need a Chromium that is installed: apt install chromium (Debian, Ubuntu), "
    "dnf install chromium (Fedora), brew install --cask chromium (macOS), "
    "or name one: CHROMIUM=/path/to/chromium make e2e"
)
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def find_chromium() -> str | None:
    """The browser that is installed here."""
    named = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, (named,) if named else (*NAMES, *MACS))), None)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make e2e ARGS=--pictures` takes the pictures of the docs, and tests nothing."""
    parser.addoption("--pictures", action="store_true", help="take the pictures of the docs")


def pytest_configure(config: pytest.Config) -> None:
    """Markers of these tests alone."""
    config.addinivalue_line("markers", "pictures: takes pictures for the docs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The pictures, or everything else."""
    wanted = bool(config.getoption("--pictures"))
    left = [item for item in items if bool(item.get_closest_marker("pictures")) != wanted]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]


def pytest_sessionstart() -> None:
    """Without a browser there is nothing to start a product for."""
    if find_chromium() is None:
        raise pytest.UsageError(ABSENT)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """The browser of this machine; its own sandbox refuses to run as root."""
    return {
        "executable_path": find_chromium(),
        "args": ["--no-sandbox"] if os.geteuid() == 0 else [],
    }


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory,
    django_db_blocker: Any,
    pytestconfig: pytest.Config,
) -> Iterator[Product]:
    """The whole product, once for all tests."""
    var = tmp_path_factory.mktemp("served") / "var"
    more = FLEET if pytestconfig.getoption("--pictures") else ()
    with django_db_blocker.unblock(), product(var, more) as found:
        yield found


@pytest.fixture(scope="session")
def browser_context_args(served: Product) -> dict[str, Any]:
    """A desk's screen, and no movement: nothing is photographed half-way."""
    return {"base_url": served.url, "viewport": WIDE, "reduced_motion": "reduce"}


@pytest.fixture
def troubles(served: Product) -> Iterator[Troubles]:
    """What went wrong in this test's browsers; none of it may be left at its end."""
    found = Troubles(urlsplit(served.url).netloc)
    yield found
    assert found.found() == []


@pytest.fixture
def visit(
    served: Product, troubles: Troubles, new_context: Callable[..., BrowserContext]
) -> Callable[..., Page]:
    """Open a browser: `visit(user, "/issues/")`; without a user as a stranger."""

    def begin(user: User | None = None, path: str = "", **how: Any) -> Page:
        context = new_context(**how)
        troubles.watch(context)
        if user is not None:
            context.add_cookies([served.cookie(user)])
        page = context.new_page()
        page.set_default_timeout(10_000)
        if path:
            page.goto(path)
        return page

    return begin


@pytest.fixture
def admin(served: Product, visit: Callable[..., Page]) -> Page:
    """A browser of somebody who runs the product."""
    return visit(served.admin, "/")


@pytest.fixture
def slow(served: Product) -> Iterator[None]:
    """GitHub takes its time: a run lasts some seconds, several of the pauses after which a page asks."""
    served.settled()
    served.simulator.faults.add(Fault(kind="slow", seconds=1.5, times=None))
    yield
    served.simulator.faults.clear()
    served.settled()
