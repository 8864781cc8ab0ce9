"""Every address of the product, visited by everybody: who gets in, who is told that there is nothing, and
that looking changes nothing (R19.2). What is expected stands in `tests.access_table`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, get_resolver

from syncsvc.models import Installation
from tests.access_table import ADDED, DELETED, TABLE, Line
from tests.factories import InstallationFactory
from tests.tenant_support import ROLES, client_of, person, populate, populate_admin

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R19.2")]

READS = re.compile(r"\s*(SELECT|SAVEPOINT|RELEASE|ROLLBACK|DECLARE|FETCH|CLOSE|SET LOCAL)\b", re.I)
#: Addresses of the admin that belong to no model.
ADMIN_ROOTS = {
    "admin/",
    "admin/search/",
    "admin/password_change/",
    "admin/password_change/done/",
    "admin/autocomplete/",
    "admin/jsi18n/",
    "admin/r/<path:content_type_id>/<path:object_id>/",
    "admin/(?P<url>.*)$",
}


def addresses() -> list[str]:
    """Every pattern that leads to a view, as it is written."""

    def walk(patterns: Any, before: str = "") -> Iterator[str]:
        for each in patterns:
            here = before + str(each.pattern)
            if isinstance(each, URLPattern):
                yield here
            else:
                yield from walk(each.url_patterns, here)

    return list(dict.fromkeys(walk(get_resolver().url_patterns)))


def of_admin() -> list[str]:
    """Those of the admin that `TABLE` need not name."""
    return [each for each in addresses() if each.startswith("admin/") and each not in TABLE]


def model_of(pattern: str) -> str:
    """`syncsvc/issue` of an address of the admin; empty where it belongs to no model."""
    parts = pattern.split("/")
    if len(parts) < 4 or pattern in ADMIN_ROOTS or "(" in pattern:
        return ""
    model = apps.get_model(parts[1], parts[2])
    assert admin.site.is_registered(model)
    return f"{parts[1]}/{parts[2]}"


class Wrote(AssertionError):
    """A look that changed something."""


@contextmanager
def read_only() -> Iterator[None]:
    """Nothing is written inside."""

    def check(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not READS.match(sql) or "FOR UPDATE" in sql:
            raise Wrote(sql[:200])
        return execute(sql, params, many, context)

    with connection.execute_wrapper(check):
        yield


def visit(client: Client, method: str, address: str, body: Any = None) -> int:
    """The status; what was done is undone."""
    kind = {"content_type": "application/json"} if address.startswith("/api/") else {}
    with transaction.atomic():
        response = client.get(address) if method == "get" else client.post(address, body, **kind)  # type: ignore[arg-type]  # the stubs know no **kind
        if response.streaming and not response["Content-Type"].startswith("text/event-stream"):
            b"".join(response)
        transaction.set_rollback(True)
    return int(response.status_code)


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create()


@pytest.fixture
def other() -> Installation:
    return InstallationFactory.create()


def filled(pattern: str, ids: dict[str, Any]) -> str:
    """The pattern with the id of this tenant's row."""
    pattern = re.sub(r"\(\?P<kind>(\w+)\|.*?\)", r"\1", pattern).strip("^$")
    parts = pattern.split("/")
    for place, part in enumerate(parts):
        if part.startswith("<"):
            parts[place] = str(ids[parts[place - 1]])
    return "/" + "/".join(parts)


def unlike(found: dict[str, int], expected: dict[str, int]) -> dict[str, str]:
    """Where the two differ."""
    return {
        each: f"{code} instead of {expected[each]}"
        for each, code in found.items()
        if code != expected[each]
    }


def test_every_address_has_a_line_in_the_table_and_every_line_an_address() -> None:
    known = set(addresses()) - set(of_admin())
    assert sorted(known - set(TABLE)) == []  # say in tests/access_table.py who may see it
    assert sorted(set(TABLE) - known) == []  # it is gone
    for pattern in of_admin():
        assert model_of(pattern) or pattern in ADMIN_ROOTS or "app_label" in pattern, pattern


@pytest.mark.parametrize("role", ROLES)
def test_every_page_and_resource_is_there_for_whom_it_should_be_and_looking_changes_nothing(
    role: str, mine: Installation, other: Installation
) -> None:
    ids = populate(mine)
    client, place = client_of(person(role, mine, other)), ROLES.index(role)
    with read_only():
        found = {each: visit(client, "get", filled(each, ids)) for each in TABLE}
    assert unlike(found, {each: line.get[place] for each, line in TABLE.items()}) == {}


@pytest.mark.parametrize("role", ROLES)
def test_every_deed_is_done_for_whom_it_should_be(
    role: str, mine: Installation, other: Installation
) -> None:
    ids = populate(mine)
    user, place = person(role, mine, other), ROLES.index(role)
    client = client_of(user)

    def do(pattern: str, line: Line) -> int:
        leaving = client_of(user) if "logout" in pattern else client
        return visit(leaving, "post", filled(pattern, ids), line.body)

    found = {pattern: do(pattern, line) for pattern, line in TABLE.items()}
    assert unlike(found, {each: line.post[place] for each, line in TABLE.items()}) == {}


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_nothing_else_can_be_done_anywhere(
    method: str, mine: Installation, other: Installation
) -> None:
    ids = populate(mine)
    client = client_of(person("superuser", mine, other))
    with read_only():
        found = {each: getattr(client, method)(filled(each, ids)).status_code for each in TABLE}
    doors = {"login/", "admin/login/"}  # who is in already is led on, or sees the form
    assert {each: code for each, code in found.items() if code != 405 and each not in doors} == {}


# -- the admin -------------------------------------------------------------------------------------


def in_admin(pattern: str) -> str:
    """An address of the admin, of the first row there is."""
    if model := model_of(pattern):
        row = apps.get_model(model.replace("/", ".")).objects.order_by("pk").first()
        pattern = re.sub("<[^>]*>", str(row.pk) if row else "1", pattern)
    pattern = re.sub(r"\^\(\?P<app_label>([a-z_]+)\|.*\)/\$", r"\1/", pattern)
    pattern = pattern.replace("(?P<url>.*)$", "nothing/here/")
    return "/" + re.sub("<[^>]*>", "1", pattern)


@pytest.mark.parametrize("role", ROLES[:6])
def test_the_admin_shows_nothing_to_anybody_but_staff(
    role: str, mine: Installation, other: Installation
) -> None:
    client = client_of(person(role, mine, other))
    # Django's admin knows staff and others: who may least and most of these tries every address.
    thorough = role in {ROLES[0], "admin"}
    for pattern in of_admin():
        model = model_of(pattern)
        if model and not thorough and pattern != f"admin/{model}/":
            continue
        with read_only():
            assert visit(client, "get", in_admin(pattern)) == 302, pattern
        if role == "admin":
            assert visit(client, "post", in_admin(pattern)) == 302, pattern


def test_the_admin_shows_staff_no_more_than_djangos_permissions_give(
    mine: Installation, other: Installation
) -> None:
    populate(mine)
    populate_admin(mine)
    client = client_of(person("viewer", mine, other))
    for pattern in of_admin():
        if not model_of(pattern):
            continue
        with read_only():
            code = visit(client, "get", in_admin(pattern))
        led_on = pattern.endswith("<path:object_id>/")  # to the page of the row
        model: Any = apps.get_model(model_of(pattern).replace("/", "."))
        gone = "history" in pattern and not model.objects.exists()
        assert code == (302 if led_on or gone else 403), pattern
        assert visit(client, "post", in_admin(pattern)) in {302, 403}, pattern


def test_the_admin_changes_only_what_may_be_changed_even_for_who_may_do_everything(
    mine: Installation, other: Installation
) -> None:
    populate(mine)
    populate_admin(mine)
    client = client_of(person("superuser", mine, other))
    patterns = [each for each in of_admin() if model_of(each)]
    found: dict[str, set[str]] = {"add": set(), "delete": set()}
    for pattern in patterns:
        ending = pattern.rstrip("/").rsplit("/", 1)[-1]
        if ending not in found:
            continue  # the tests of the admin look at lists and rows
        with read_only():
            code = visit(client, "get", in_admin(pattern))
        assert code in {200, 403}, pattern
        found[ending] |= {model_of(pattern)} if code == 200 else set()
    assert found == {"add": set(ADDED), "delete": DELETED & {model_of(each) for each in patterns}}


# -- files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("syncsvc/mirror.css", 200),
        ("../config/settings.py", 404),
        ("%2e%2e/config/settings.py", 404),
        ("..%2fconfig/settings.py", 404),
        ("/etc/passwd", 404),
        ("syncsvc/", 404),
    ],
)
def test_static_files_are_for_everybody_and_lead_to_nothing_else(path: str, code: int) -> None:
    response = Client().get(f"/static/{path}")
    response.close()
    assert response.status_code == code
