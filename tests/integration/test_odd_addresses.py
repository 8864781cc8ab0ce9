"""Addresses that nobody typed by hand: a clear 400, and never a 500."""

import pytest

from tests.people_support import browser, staff

pytestmark = pytest.mark.django_db


@pytest.mark.spec("R18.2")
@pytest.mark.parametrize(
    "address",
    [
        "/admin/syncsvc/deadletter/?kind=%00",
        "/admin/syncsvc/syncjob/?status__exact=a%00b",
        "/admin/syncsvc/issue/?q=%00",
    ],
)
def test_a_nul_in_an_address_of_the_admin_is_refused(address: str) -> None:
    client = browser(staff())
    client.raise_request_exception = False
    assert client.get(address).status_code == 400
