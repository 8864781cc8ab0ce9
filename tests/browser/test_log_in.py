"""The door: log in, log out, a session that ended meanwhile."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.factories import PASSWORD

pytestmark = pytest.mark.spec("R18.3", "R18.6")


def log_in(page: Page, name: str = "admin", password: str = PASSWORD) -> None:
    """As people do: type and press Enter."""
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.keyboard.press("Enter")


def test_log_in_look_and_log_out(visit: Callable[..., Page]) -> None:
    page = visit(path="/issues/")
    expect(page).to_have_title("Log in · GitHub mirror")
    log_in(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("Issues")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Log in · GitHub mirror")
    page.goto("/issues/")
    expect(page).to_have_title("Log in · GitHub mirror")
