"""The whole fleet on one page: filtered, sorted, taken away as a file that says what the database says."""

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from reconciliation.models import Discrepancy
from syncsvc.models import Gap, Installation, SyncJob
from tests.browser.product import BUSY, PLANS, QUIET, Product

pytestmark = pytest.mark.spec("R18.1", "R18.5", "P18", "P20")


@pytest.fixture
def dashboard(served: Product, visit: Callable[..., Page]) -> Page:
    served.settled()
    return visit(served.admin, "/admin/sync-health/")


def logins(page: Page) -> list[str]:
    """The accounts of the table, from above."""
    return [text.strip() for text in page.locator(".fleet a.name").all_inner_texts()]


def test_all_accounts_are_there_and_the_page_is_found_from_the_first(
    served: Product, visit: Callable[..., Page]
) -> None:
    page = visit(served.admin, "/")
    page.get_by_role("link", name="Sync health").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Sync health")
    assert {plan.login for plan in PLANS} <= set(logins(page))


def test_a_filter_narrows_and_can_be_taken_back(dashboard: Page) -> None:
    dashboard.get_by_label("Account", exact=True).fill("quiet")
    dashboard.get_by_role("button", name="Apply").click()
    expect(dashboard.locator(".fleet a.name")).to_have_text([QUIET])
    assert "q=quiet" in dashboard.url
    dashboard.get_by_role("link", name="Clear").click()
    assert len(logins(dashboard)) >= len(PLANS)


def test_a_head_sorts_and_sorts_back(dashboard: Page) -> None:
    head = dashboard.get_by_role("link", name=re.compile("^Account"))
    head.first.click()
    rising = logins(dashboard)
    assert rising == sorted(rising)
    dashboard.get_by_role("link", name=re.compile("^Account")).first.click()
    assert logins(dashboard) == rising[::-1]


def test_the_csv_holds_what_is_filtered_and_what_the_database_says(
    served: Product, dashboard: Page, tmp_path: Path
) -> None:
    dashboard.get_by_label("Account", exact=True).fill("o")
    dashboard.get_by_role("button", name="Apply").click()
    shown = logins(dashboard)
    with dashboard.expect_download() as download:
        dashboard.locator("#csv").click()
    assert re.fullmatch(
        r"sync-health-\d{4}-\d\d-\d\d-.*o.*\.csv", download.value.suggested_filename
    )
    file = tmp_path / "figures.csv"
    download.value.save_as(file)
    rows = list(csv.DictReader(file.read_text("utf-8-sig").splitlines()))
    assert [row["account"] for row in rows] == shown
    for row in rows:
        account = Installation.objects.get(account_login=row["account"])
        assert int(row["installation"]) == account.pk
        of_account = {"installation": account}
        assert int(row["open_gaps"]) == Gap.objects.filter(**of_account, closed_at=None).count()
        assert (
            int(row["open_discrepancies"])
            == Discrepancy.objects.filter(**of_account, repair_status__in=Discrepancy.OPEN).count()
        )
    assert BUSY in shown
    assert SyncJob.objects.filter(installation__account_login=BUSY).exists()


def test_a_wrong_filter_says_so_and_shows_no_figures(
    served: Product, visit: Callable[..., Page]
) -> None:
    page = visit(served.admin, "/admin/sync-health/?window=nonsense")
    expect(page.get_by_role("alert").filter(visible=True).first).to_be_visible()


def test_members_do_not_find_it(served: Product, visit: Callable[..., Page]) -> None:
    page = visit(served.member, "/")
    expect(page.get_by_role("link", name="Sync health")).to_have_count(0)
