"""The admin, which is not ours, under our policy: nothing it needs is forbidden, and it works by clicks."""

from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from syncsvc.models import Installation
from tests.browser.product import BUSY, Product

pytestmark = pytest.mark.spec("R18.2", "R18.6")


@pytest.mark.parametrize(
    "name",
    ["index", "syncsvc_installation_changelist", "syncsvc_syncjob_changelist", "auth_user_add",
     "reconciliation_discrepancy_changelist", "django_celery_beat_periodictask_changelist"],
)  # fmt: skip
def test_its_pages_run_under_the_policy(
    served: Product, visit: Callable[..., Page], name: str
) -> None:
    page = visit(served.admin, reverse(f"admin:{name}"))
    expect(page.get_by_role("heading").first).to_be_visible()


def test_an_account_is_found_and_opened(served: Product, visit: Callable[..., Page]) -> None:
    page = visit(served.admin, reverse("admin:syncsvc_installation_changelist") + f"?q={BUSY}")
    page.get_by_role("link", name=BUSY).first.click()
    account = Installation.objects.get(account_login=BUSY)
    assert reverse("admin:syncsvc_installation_change", args=[account.pk]) in page.url
