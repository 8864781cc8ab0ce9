"""The pages of one installation and of one run."""

from datetime import timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from syncsvc import clock
from syncsvc.models import Installation, SyncJob
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory
from tests.integration.test_pages_home import HTMX, text
from tests.people_support import browser, member_of, staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def mine() -> Installation:
    return InstallationFactory.create(account_login="acme")


@pytest.mark.spec("R18.3")
def test_repositories_are_searched_filtered_and_ordered(mine: Installation) -> None:
    RepositoryFactory.create(installation=mine, name="site", stars=1, language="Go")
    RepositoryFactory.create(installation=mine, name="old", stars=9, archived=True)
    RepositoryFactory.create(name="elsewhere")
    client = browser(member_of(mine))

    def rows(query: str) -> list[str]:
        page = client.get(f"/installations/{mine.pk}/?{query}")
        return [row.name for row in page.context["page"].object_list]

    assert rows("") == ["old", "site"]
    assert rows("q=SIT&order=name") == ["site"]
    assert rows("status=archived") == ["old"]
    assert rows("language=go&visibility=public") == ["site"]
    assert rows("order=stars") == ["old", "site"]
    assert rows("order=nonsense&page=99") == ["old", "site"]
    assert rows("status=nonsense") == []
    wrong = client.get(f"/installations/{mine.pk}/?status=nonsense")
    assert "Status: Select a valid choice" in text(wrong)


@pytest.mark.spec("R18.5")
def test_an_installation_costs_the_same_queries_for_one_repository_and_for_fifty(
    mine: Installation, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    RepositoryFactory.create(installation=mine)
    SyncJobFactory.create(installation=mine)
    client = browser(member_of(mine))
    with django_assert_num_queries(24):
        client.get(f"/installations/{mine.pk}/")
    RepositoryFactory.create_batch(59, installation=mine)
    for _ in range(10):
        SyncJobFactory.create(installation=mine)
    with django_assert_num_queries(24):
        page = client.get(f"/installations/{mine.pk}/")
    assert "Page 1 of 2" in text(page)


@pytest.mark.parametrize(
    ("query", "advice"), [("", "The first sync will list them"), ("q=x", "Clear the filters")]
)
def test_an_empty_list_says_what_to_do(mine: Installation, query: str, advice: str) -> None:
    assert advice in text(browser(staff()).get(f"/installations/{mine.pk}/?{query}"))


@pytest.mark.spec("R18.3", "P16")
def test_the_page_of_a_run_says_what_it_came_to(mine: Installation) -> None:
    job = SyncJobFactory.create(
        installation=mine,
        status="partial",
        requested_by=member_of(mine),
        counts={"repositories": {"created": 4, "updated": 3, "unchanged": 12, "errors": 3}},
        api={"requests": 13, "not_modified": 11, "graphql_points": 0},
        phases_seconds={"fetch": 1.82, "total": 2.41},
        accuracy=0.99999,
        discrepancies={"wrong_name": 2},
        verification={
            "executed": True,
            "complete": True,
            "ok": False,
            "counts": {"github": 20, "mirror": 19},
            "missing": 1,
            "unexplained": 0,
            "contents": {
                "issues": {"github": 31, "mirror": 30, "written": 7, "missing": 2, "ok": False}
            },
        },
        failures=[
            {"item": "acme/x", "operation": "read", "category": "network", "message": "Too slow."}
        ],
        error="One repository could not be read.",
    )
    page = text(browser(member_of(mine)).get(f"/jobs/{job.pk}/"))
    for part in (
        "Partly succeeded",
        "One repository could not be read.",
        "4 created 3 updated 12 unchanged 0 deleted 3 errors",
        "Issues 31 30 7 2",
        "The first 1; 2 more are counted above.",
        "Fetch 1.82 s 75.5 % Rest 0.59 s 24.5 % Total 2.41 s",
        "Requests 13 Not modified 11 GraphQL points 0",
        "99.99 %",
        "Wrong name 2",
        "GitHub showed 20 repositories, the mirror holds 19: 1 missing",
        "acme/x read network Too slow.",
        str(job.pk),
    ):
        assert part in page


@pytest.mark.spec("R18.3")
def test_the_plan_of_a_dry_run_is_shown(mine: Installation) -> None:
    plan = [{"operation": "create", "repository": "acme/new", "types": ["missing_repo"]}]
    job = SyncJobFactory.create(installation=mine, dry_run=True, plan=plan)
    page = text(browser(staff()).get(f"/jobs/{job.pk}/"))
    assert "Dry run of acme" in page
    assert "acme/new created Missing repo" in page


@pytest.mark.spec("R18.3")
def test_a_running_page_asks_for_news_and_a_finished_one_no_more(mine: Installation) -> None:
    job = SyncJobFactory.create(
        installation=mine, running=True, current=1, total=4, started_at=clock.now()
    )
    client = browser(staff())
    running = client.get(f"/jobs/{job.pk}/", headers=HTMX).content.decode()
    assert running.lstrip().startswith('<article id="job"')
    assert "every 1s" in running
    SyncJob.objects.filter(pk=job.pk).update(
        status="succeeded", finished_at=clock.now(), lease=None, lease_expires_at=None
    )
    assert "every 1s" not in client.get(f"/jobs/{job.pk}/", headers=HTMX).content.decode()


@pytest.mark.spec("R3.7", "R18.3")
@pytest.mark.parametrize(
    ("trait", "status", "sentence"),
    [
        ("waiting", "cancelled", "The run is cancelled"),
        ("running", "running", "stops at its next safe point"),
        ("failed", "failed", "had ended already"),
    ],
)
def test_an_operator_cancels_from_the_page(
    mine: Installation, trait: str, status: str, sentence: str
) -> None:
    job = SyncJobFactory.create(installation=mine, **{trait: True})
    client = browser(member_of(mine, "operator"))
    page = client.post(f"/jobs/{job.pk}/cancel/", follow=True)
    assert sentence in text(page)
    job.refresh_from_db()
    assert job.status == status


@pytest.mark.spec("R19.2")
def test_the_run_of_another_tenant_is_not_there(mine: Installation) -> None:
    job = SyncJobFactory.create(installation=mine, waiting=True)
    stranger = browser(member_of(InstallationFactory.create(), "admin"))
    assert stranger.get(f"/jobs/{job.pk}/").status_code == 404
    assert stranger.post(f"/jobs/{job.pk}/cancel/").status_code == 404
    job.refresh_from_db()
    assert job.status == "queued"


@pytest.mark.spec("R19.2")
def test_only_who_may_cancel_is_offered_to(mine: Installation) -> None:
    job = SyncJobFactory.create(
        installation=mine, running=True, started_at=clock.now() - timedelta(1)
    )
    address = f"/jobs/{job.pk}/cancel/"
    offered = {
        role: address in browser(member_of(mine, role)).get("/").content.decode()
        for role in ("member", "support", "operator", "admin")
    }
    assert offered == {"member": False, "support": False, "operator": True, "admin": True}
