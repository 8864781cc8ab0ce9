"""The lists of the admin over tables that grow without end: an index gives their order, and what the box finds.

PostgreSQL is asked for its plan with sequential scans and sorts switched off: whatever of them is left in it, no
index can take the place of. So an empty table tells what a full one would do.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.db.models import QuerySet

from syncsvc.admin_lists import MOST_COUNTED, BoundedPaginator
from tests.admin_rows import model_of
from tests.factories import InstallationFactory, RepositoryFactory
from tests.integration.test_admin_everything import looking

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
