"""The pictures in README and docs, taken anew by `make e2e ARGS=--pictures`. WebP, for it is small."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import pytest
from django.urls import reverse
from playwright.sync_api import Page

from reconciliation.models import Discrepancy
from syncsvc.models import Installation, SyncJob
from tests.browser import addresses, history
from tests.browser.product import BUSY, Product

pytestmark = pytest.mark.pictures
FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "images"
QUALITY: Final = 80
MOST_BYTES: Final = 150_000
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def take(page: Page, name: str) -> None:
    """What the window shows, as docs/images/NAME.webp."""
    session = page.context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    data = base64.b64decode(shot["data"])
    assert len(data) < MOST_BYTES, f"{name} has {len(data):,} bytes"
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.webp").write_bytes(data)


@pytest.fixture(scope="module")
def lived_in(served: Product) -> None:
    """A fleet with a past."""
    history.make(served)


@pytest.mark.parametrize(
    ("name", "address", "how"),
    [
        ("sync-health", lambda: reverse("sync_health"), {"viewport": {"width": 1280, "height": 1500}}),
        ("sync-health-dark", lambda: reverse("sync_health"), {"color_scheme": "dark"}),
        ("sync-health-phone", lambda: reverse("sync_health"), {"viewport": PHONE}),
        ("account", addresses.row("installation", Installation, account_login=BUSY), {}),
        ("run", addresses.row("job", SyncJob, status="succeeded", trigger="initial", installation__account_login=BUSY),
         {"viewport": {"width": 1280, "height": 1100}}),
        ("discrepancy", addresses.row("discrepancy", Discrepancy, repair_status="repaired"),
         {"viewport": {"width": 1280, "height": 720}}),
        ("discrepancies", lambda: reverse("discrepancies"), {}),
        ("incidents", lambda: reverse("sync_health_incidents"), {}),
        ("doctor", lambda: reverse("doctor"), {}),
    ],
)  # fmt: skip
def test_picture(
    served: Product,
    lived_in: None,
    visit: Callable[..., Page],
    name: str,
    address: Callable[[], str],
    how: dict[str, Any],
) -> None:
    page = visit(served.admin)
    page.set_viewport_size(cast("Any", how.get("viewport", DESK)))
    page.emulate_media(color_scheme=cast("Any", how.get("color_scheme", "light")))
    page.goto(address())
    page.wait_for_load_state("load")
    take(page, name)
