"""The lists of the admin over tables that grow without end: an index gives their order, and what the box finds.

PostgreSQL is asked for its plan with sequential scans and sorts switched off: whatever of them is left in it, no
index can take the place of. So an empty table tells what a full one would do.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache
from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import RawSQL

from alerts import admin_groups
from reconciliation.models import AuditEntry
from syncsvc import admin_lists
from syncsvc.admin import InstallationAdmin
from syncsvc.admin_lists import MOST_COUNTED, BoundedPaginator
from syncsvc.models import SyncJob
from tests.admin_rows import model_of
from tests.factories import (
    DeadLetterFactory,
    InstallationFactory,
    MembershipFactory,
    RepositoryFactory,
)
from tests.integration.test_admin_everything import looking
from tests.people_support import browser, staff

pytestmark = [pytest.mark.django_db, pytest.mark.spec("R18.2")]

UUID = "0b989ba4-242f-11e5-81e1-000000000001"
#: What grows without end, and what is typed into the box of each.
LARGE: dict[str, tuple[str, ...]] = {
    "admin.logentry": (),
    "alerts.incident": (),
    "reconciliation.auditentry": (UUID, "somebody", "acme/site"),
    "reconciliation.auditerror": (),
    "reconciliation.auditrecord": ("12345", "acme/site"),
    "reconciliation.discrepancy": (UUID, "acme/site"),
    "reconciliation.integrityissue": (),
    "reconciliation.rolledhours": (),
    "reconciliation.runfigure": (UUID,),
    "reconciliation.sampleaudit": (UUID,),
    "reconciliation.sampleditem": (),
    "syncsvc.commit": ("a" * 40, "acme/site"),
    "syncsvc.contentlist": ("acme/site",),
    "syncsvc.deadletter": (UUID,),
    "syncsvc.delivery": (UUID, "12345", "acme/site"),
    "syncsvc.gap": (UUID,),
    "syncsvc.issue": ("12345", "acme/site", "acme/site#12"),
    "syncsvc.liveevent": (UUID,),
    "syncsvc.misseddelivery": (UUID,),
    "syncsvc.pullrequest": ("12345", "acme/site"),
    "syncsvc.repository": ("acme/site", "site", "12345"),
    "syncsvc.repositorymetric": ("acme/site",),
    "syncsvc.syncjob": (UUID,),
}
searched = [(label, term) for label, terms in LARGE.items() for term in terms]


@pytest.fixture(autouse=True)
def no_way_but_an_index() -> None:
    with connection.cursor() as cursor:
        for name in ("seqscan", "sort", "incremental_sort"):
            cursor.execute(f"SET LOCAL enable_{name} = off")
    for label in LARGE:
        cache.set(f"admin-rows-{model_of(label)._meta.db_table}", 10**6)


def nodes(rows: QuerySet[Any]) -> Iterator[dict[str, Any]]:
    """All steps of the plan for the first page."""
    sql, values = rows[:50].query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", values)
        left = [cursor.fetchone()[0][0]["Plan"]]
    while left:
        node = left.pop()
        yield node
        left += node.get("Plans", [])


@pytest.mark.parametrize("label", LARGE)
def test_an_index_gives_the_order_of_a_list(label: str) -> None:
    table = model_of(label)._meta.db_table
    plan = list(nodes(looking(label).queryset))
    assert not [node for node in plan if "Sort" in node["Node Type"]]
    own = {node["Node Type"] for node in plan if node.get("Relation Name") == table}
    assert own
    assert all(kind.startswith("Index") for kind in own), own


@pytest.mark.parametrize(("label", "term"), searched)
def test_an_index_answers_what_is_searched(label: str, term: str) -> None:
    RepositoryFactory.create(
        installation=InstallationFactory.create(account_login="acme"), owner="acme", name="site"
    )
    table = model_of(label)._meta.db_table
    plan = list(nodes(looking(label, q=term).queryset.order_by()))
    assert not [
        node
        for node in plan
        if node["Node Type"] == "Seq Scan" and node.get("Relation Name") == table
    ]


def test_a_list_is_counted_no_further_than_people_page() -> None:
    RepositoryFactory.create()
    rows = model_of("syncsvc.repository").objects.all()  # type: ignore[attr-defined]
    pages = BoundedPaginator(rows, 50)
    assert (pages.count, pages.has_more) == (1, False)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO syncsvc_mailbox (account_id, token, taken, last_id, deaths) "
            "SELECT g, gen_random_uuid(), 0, 0, 0 FROM generate_series(1, %s) g",
            [MOST_COUNTED + 1],
        )
    many = BoundedPaginator(model_of("syncsvc.mailbox").objects.all(), 50)  # type: ignore[attr-defined]
    assert (many.count, many.has_more) == (MOST_COUNTED, True)
    page = browser(staff()).get("/admin/syncsvc/mailbox/").content.decode()
    assert "more than 10000 mailboxes" in " ".join(page.split())


def test_more_rows_than_anybody_has_looked_at_are_refused() -> None:
    InstallationFactory.create_batch(201)
    body = {"action": "sync_now", "select_across": "1", "_selected_action": ["0"], "decided": "yes"}
    page = browser(staff()).post("/admin/syncsvc/installation/", body, follow=True)
    assert "At most 200 rows at a time" in str(next(iter(page.context["messages"])))
    assert not SyncJob.objects.exists()


def test_what_takes_too_long_is_given_up_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    InstallationFactory.create()
    slow = RawSQL("SELECT pg_sleep(5) IS NULL", (), output_field=BooleanField())
    plain = admin_lists.BoundedPaginator

    def slowly(rows: Any, size: int, *more: Any, **named: Any) -> Any:
        return plain(rows.filter(slow) if not rows.query.is_empty() else rows, size, *more, **named)

    monkeypatch.setattr(admin_lists, "SECONDS", 0.05)
    monkeypatch.setattr(InstallationAdmin, "paginator", staticmethod(slowly))
    page = browser(staff()).get("/admin/syncsvc/installation/")
    assert page.status_code == 200
    assert "it was given up" in page.content.decode()


@pytest.mark.spec("R19.2")
def test_the_groups_of_staff_are_made_and_never_touched_again() -> None:
    Group.objects.all().delete()
    admin_groups.make()
    may = {
        group.name: set(group.permissions.values_list("codename", flat=True))
        for group in Group.objects.all()
    }
    assert all(name.startswith("view_") for name in may["Viewers"])
    assert {"change_discrepancy", "change_installation"} <= may["Operators"]
    assert not {"view_credential", "view_installationtoken"} & may["Operators"]
    Group.objects.get(name="Viewers").permissions.clear()
    admin_groups.make()
    assert not Group.objects.get(name="Viewers").permissions.exists()


def test_the_start_page_says_what_waits(django_assert_max_num_queries: Any) -> None:
    DeadLetterFactory.create()
    client = browser(staff())
    client.get("/admin/")
    with django_assert_max_num_queries(9):
        page = client.get("/admin/")
    counts = {each.title: each.count for each in page.context["waiting"]}
    assert counts["Dead letters"] == "1"
    assert counts["Open incidents"] == "0"


@pytest.mark.spec("R11.2", "R11.3")
def test_log_ins_in_vain_are_noted_without_the_password_and_not_without_end() -> None:
    for _ in range(25):
        user_login_failed.send(
            sender=__name__, credentials={"username": "u" * 100, "password": "p"}, request=None
        )
    noted = AuditEntry.objects.filter(kind="login_failed")
    assert noted.count() == 20
    assert noted[0].detail == {"name": "u" * 40, "through": "page"}


@pytest.mark.spec("R11.2")
def test_what_is_changed_in_the_admin_is_audited_with_the_user() -> None:
    boss, row = staff(), MembershipFactory.create()
    body = {"user": row.user.pk, "installation": row.installation.pk, "role": "operator"}
    answer = browser(boss).post(f"/admin/syncsvc/membership/{row.pk}/change/", body)
    assert answer.status_code == 302
    noted = AuditEntry.objects.get(kind="configuration")
    assert (noted.actor, noted.installation) == (boss, row.installation)
    assert (noted.detail["done"], noted.detail["columns"]) == ("changed", ["Role"])
