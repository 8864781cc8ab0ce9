"""What goes wrong between a browser and the server: sessions that end, networks that go away."""

import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from django.contrib.sessions.models import Session
from playwright.sync_api import Error, Page, expect

from tests.acceptance.served import until
from tests.browser.product import BUSY, Product
from tests.browser.test_log_in import log_in
from tests.browser.watching import Troubles

pytestmark = pytest.mark.spec("R18.4", "R18.6")


def test_an_open_page_whose_session_ended_leads_to_the_door_and_back(
    served: Product, visit: Callable[..., Page], troubles: Troubles
) -> None:
    troubles.expect("40[13]")
    page = visit(served.admin, f"/installations/{served.installation().pk}/")
    here = page.url
    jobs = served.asked_for()
    Session.objects.all().delete()
    with suppress(Error):  # a page whose stream ended first is on its way to the door by itself
        page.evaluate("document.querySelector('#main button[id^=sync-]').click()")
    expect(page).to_have_title("Log in · GitHub mirror", timeout=15_000)
    log_in(page)
    expect(page.get_by_role("article", name=BUSY)).to_be_visible()
    assert page.url.rstrip("/") in (here.rstrip("/"), served.url)
    assert served.asked_for() == jobs, "nothing was started on nobody's behalf"


def test_a_browser_that_goes_offline_is_told_and_goes_on(
    served: Product, visit: Callable[..., Page], troubles: Troubles
) -> None:
    troubles.expect("INTERNET_DISCONNECTED|ERR_FAILED|htmx:|ERR_NETWORK")
    page = visit(served.admin, "/")
    page.context.set_offline(True)
    page.get_by_role("button", name=re.compile(f"Sync now ?: {BUSY}")).click()
    notice = page.locator("#connection")
    expect(notice).to_be_visible(timeout=15_000)
    expect(notice).to_contain_text("connection to the server is lost")
    page.context.set_offline(False)
    expect(notice).to_be_hidden(timeout=40_000)
    jobs = served.asked_for()
    page.get_by_role("button", name=re.compile(f"Sync now ?: {BUSY}")).click()
    until(lambda: served.asked_for() > jobs, 15, lambda: "nothing was started")
    served.settled()
    assert served.asked_for() == jobs + 1


def test_a_form_of_before_the_log_in_elsewhere_says_what_to_do(
    served: Product, visit: Callable[..., Page], troubles: Troubles
) -> None:
    troubles.expect("403")
    page = visit(served.admin, "/issues/")
    page.context.clear_cookies(name="csrftoken")
    page.get_by_role("button", name="Log out").click()
    expect(page.locator("main")).to_contain_text("Go back, reload the page")
