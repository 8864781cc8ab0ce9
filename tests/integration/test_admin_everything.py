"""Every model in the admin: its list, its page, its search and its filters open, whatever they are asked,
and what only the product writes nobody adds, changes or deletes."""

import contextlib
import json
import os
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.filters import AllValuesFieldListFilter, RelatedFieldListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import Permission, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.core.cache import cache
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from unfold.contrib.filters.admin.mixins import AutocompleteMixin

from syncsvc.models import Installation
from tests.admin_rows import DELETED, EDITED, LEFT_OUT, MAKERS, SECRET, address, labels, model_of
from tests.factories import InstallationFactory, UserFactory
from tests.people_support import browser, member_of, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.2")]

COUNTS = Path(__file__).parents[1] / "query_counts.json"
RENEW = (
    "The number of queries of a list has changed. If that is meant, renew the baseline: "
    "QUERY_COUNTS=renew pytest tests/integration/test_admin_everything.py -k same_queries -p no:xdist"
)
HOSTILE = (
    "x" * 10_000,
    "\N{BUG}\N{RIGHT-TO-LEFT OVERRIDE}",
    "'\" OR 1=1 --",
    '"unclosed',
    "%_\\",
    str(2**63),
    str(2**31),
    str(10**40),
    "-1",
    "1e3",
    "acme/site#12",
    "a/b/c#99999999999999999999",
    "0b989ba4-242f-11e5-81e1",
    str(uuid.UUID(int=7)),
)
MORE = 11
every = pytest.mark.parametrize("label", labels())


@pytest.fixture
def client() -> Client:
    return browser(staff())


def test_every_model_is_in_the_admin_or_there_is_a_reason_why_not() -> None:
    shown = set(labels())
    known = {model._meta.label_lower for model in apps.get_models()}
    assert known == shown | set(LEFT_OUT)
    assert not shown & set(LEFT_OUT)
    assert shown == set(MAKERS)


@every
def test_a_model_can_be_looked_at(label: str, client: Client) -> None:
    row = MAKERS[label]()
    listed = client.get(address(label))
    assert listed.status_code == 200
    assert row in listed.context["cl"].result_list
    page = client.get(address(label, quote(str(row.pk), safe=""), "change"))
    assert page.status_code == 200
    for answer in (listed, page):
        assert SECRET not in answer.content
        assert SECRET.hex().encode() not in answer.content


@every
def test_only_what_people_decide_is_added_changed_or_deleted(label: str, client: Client) -> None:
    if label in EDITED:
        return
    row = MAKERS[label]()
    body = {"post": "yes"}
    assert client.get(address(label, "add")).status_code == 403
    if label != "syncsvc.repository":  # its switch is the operator's
        assert client.post(address(label, row.pk, "change"), body).status_code == 403
    if label not in DELETED:
        assert client.post(address(label, row.pk, "delete"), body).status_code == 403
        client.post(
            address(label), {"action": "delete_selected", "_selected_action": [row.pk], **body}
        )
        assert model_of(label).objects.filter(pk=row.pk).exists()  # type: ignore[attr-defined]


def looking(label: str, **asked: str) -> Any:
    """What a list would show to somebody who asks for it like this; no page is written."""
    request = RequestFactory().get(address(label), asked)
    request.user = User(is_superuser=True, is_staff=True, is_active=True)
    request._messages = CookieStorage(request)  # type: ignore[attr-defined]
    owner: Any = admin.site._registry[model_of(label)]
    owner.request = request
    return owner.get_changelist_instance(request)


@every
def test_a_search_answers_whatever_is_typed(label: str) -> None:
    MAKERS[label]()
    assert looking(label).search_fields, "nothing to search"
    for rows in (1, 10**6):
        cache.set(f"admin-rows-{model_of(label)._meta.db_table}", rows)
        for term in HOSTILE:
            assert looking(label, q=term).result_count in (0, 1), term[:40]


@every
def test_each_value_of_each_filter_opens(label: str, client: Client) -> None:
    MAKERS[label]()
    shown = looking(label)
    for spec in shown.filter_specs:
        for choice in spec.choices(shown):
            if "query_string" in choice:
                looking(label, **dict(parse_qsl(choice["query_string"].removeprefix("?"))))
        for name in spec.expected_parameters():
            for value in ("x", "99999999999999999999"):
                with contextlib.suppress(IncorrectLookupParameters):  # leads to a page that says so
                    looking(label, **{name: value})
    wrong = client.get(address(label), {"no_such_column": "1"}, follow=True)
    assert wrong.status_code == 200


@every
def test_no_filter_asks_a_table_which_values_it_holds(label: str) -> None:
    MAKERS[label]()
    for spec in looking(label).filter_specs:
        reads = isinstance(spec, AllValuesFieldListFilter | RelatedFieldListFilter)
        few = label in ("syncsvc.heartbeat", "auth.user")
        assert isinstance(spec, AutocompleteMixin) or few or not reads


@every
def test_a_list_costs_the_same_queries_however_long_it_is(label: str, client: Client) -> None:
    MAKERS[label]()
    client.get(address(label))

    def counted() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(address(label)).status_code == 200
        return len(queries)

    one = counted()
    for _ in range(1 if label == "syncsvc.credential" else MORE):
        MAKERS[label]()
    assert counted() == one, "a query for each row"
    known = json.loads(COUNTS.read_text()) if COUNTS.exists() else {}
    if os.environ.get("QUERY_COUNTS") == "renew":
        COUNTS.write_text(json.dumps(known | {label: one}, indent=2, sort_keys=True) + "\n")
        return
    assert known.get(label) == one, RENEW


@pytest.mark.parametrize("key", ["99999999999999999999999", "0", "x", "%F0%9F%90%9B", "a_2Fb"])
def test_a_page_of_nothing_leads_back_and_says_so(key: str, client: Client) -> None:
    for label in ("syncsvc.issue", "syncsvc.syncjob", "reconciliation.review", "auth.user"):
        page = client.get(address(label, key, "change"), follow=True)
        assert page.status_code == 200
        assert any("exist" in str(message) for message in page.context["messages"])


@pytest.mark.spec("R19.2")
def test_nobody_but_staff_sees_anything() -> None:
    InstallationFactory.create(account_login="hidden-account")
    for client in (Client(), browser(member_of(Installation.objects.get(), "admin"))):
        for label in labels():
            for path in (address(label), address(label, 1, "change"), address(label, "add")):
                answer = client.get(path)
                assert answer.status_code == 302, path
                assert answer.headers["Location"].startswith("/admin/login/")
    # Staff without any permission: the start page, and nothing on it.
    looker = browser(UserFactory.create(is_staff=True))
    assert looker.get("/admin/").status_code == 200
    for label in labels():
        assert looker.get(address(label)).status_code == 403


@pytest.mark.spec("R19.2")
def test_who_may_look_at_all_of_it_can_do_nothing() -> None:
    viewer = UserFactory.create(is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = browser(viewer)
    for label in labels():
        page = client.get(address(label))
        assert page.status_code == 200
        assert page.context["action_form"] is None, label
