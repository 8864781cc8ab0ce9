"""The lists of the API: fields, filters, orders, pages, and the number of their queries."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from syncsvc import clock
from syncsvc.models import Installation, Repository
from tests.factories import (
    CommitFactory,
    ContentListFactory,
    InstallationFactory,
    IssueFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
    SyncJobFactory,
)
from tests.people_support import PROBLEM, api, member_of, staff

pytestmark = pytest.mark.django_db

FIELDS = {
    "installations": "id github_id account_login account_type status last_synced_at",
    "jobs": "id installation trigger mode repository dry_run status progress counts api "
    "phases_seconds accuracy discrepancies verification failures error error_category "
    "requested_by created_at started_at finished_at",
    "repositories": "id github_id node_id installation full_name name owner description visibility "
    "archived disabled fork status default_branch language topics stars forks open_issues size "
    "homepage license commit_count head_sha pushed_at github_created_at github_updated_at "
    "last_synced_at changed_by automations_enabled",
    "issues": "id github_id node_id label number repository repository_full_name title body state "
    "github_state state_reason author assignees labels severity sla_hours due_at breached "
    "priority_score is_blocker github_created_at github_updated_at closed_at removed_at removal "
    "changed_by last_written_at",
    "pull-requests": "id github_id node_id number repository repository_full_name title body state "
    "draft merged merged_at author assignees labels base_ref head_ref head_sha merge_commit_sha "
    "github_created_at github_updated_at closed_at removed_at removal changed_by last_written_at",
    "commits": "id sha repository repository_full_name author_login author_name authored_at "
    "committed_at message dropped_at changed_by last_written_at",
    "repository-metrics": "id repository repository_full_name date commits contributors "
    "lines_of_code languages tech_stack health_score open_issues stars has_ci has_tests "
    "last_commit_at",
}


def of_repository(factory: Any) -> Callable[..., Any]:
    """Makes a row of a new repository, of `installation` where that is given."""

    def make(**values: Any) -> Any:
        values = {f"repository__{name}": value for name, value in values.items()}
        return factory.create(**values)

    return make


MAKERS: dict[str, Callable[..., Any]] = {
    "installations": InstallationFactory.create,
    "jobs": SyncJobFactory.create,
    "repositories": RepositoryFactory.create,
    "issues": of_repository(IssueFactory),
    "pull-requests": of_repository(PullRequestFactory),
    "commits": of_repository(CommitFactory),
    "repository-metrics": of_repository(RepositoryMetricFactory),
}


def names(query: str) -> list[str]:
    response = api(staff()).get(f"/api/v1/repositories/?{query}")
    assert response.status_code == 200, response.json()
    return [row["name"] for row in response.json()["results"]]


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("name", FIELDS)
def test_each_resource_has_its_fields(name: str) -> None:
    row = MAKERS[name]()
    client = api(staff())
    listed = client.get(f"/api/v1/{name}/").json()["results"][0]
    single = client.get(f"/api/v1/{name}/{row.pk}/").json()
    assert set(FIELDS[name].split()) <= set(listed)
    assert set(FIELDS[name].split()) <= set(single)
    assert single["id"] == (str(row.pk) if name == "jobs" else row.pk)


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("role", ["staff", "member"])
@pytest.mark.parametrize("name", FIELDS)
def test_a_list_costs_the_same_queries_however_long_it_is(
    name: str, role: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    mine = InstallationFactory.create()
    if name != "installations":
        MAKERS[name](installation=mine)
    client = api(staff() if role == "staff" else member_of(mine))
    with django_assert_num_queries(1):
        client.get(f"/api/v1/{name}/")
    extra = {} if name == "installations" else {"installation": mine}
    for _ in range(49):
        MAKERS[name](**extra)
    with django_assert_num_queries(1):
        rows = client.get(f"/api/v1/{name}/").json()["results"]
    assert len(rows) == (1 if (name, role) == ("installations", "member") else 50)


@pytest.mark.spec("R19.1")
def test_repositories_are_narrowed_by_each_filter() -> None:
    acme = InstallationFactory.create(account_login="acme")
    RepositoryFactory.create(installation=acme, name="site", language="Go", visibility="private")
    RepositoryFactory.create(installation=acme, name="old", archived=True)
    RepositoryFactory.create(name="elsewhere", status="deleted")
    assert names(f"installation={acme.pk}&ordering=full_name") == ["old", "site"]
    assert names("status=deleted") == ["elsewhere"]
    assert names("archived=true") == ["old"]
    assert names("archived=false&owner=ACME") == ["site"]
    assert names("visibility=private") == ["site"]
    assert names("language=go") == ["site"]
    assert names("q=ME/SI") == ["site"]
    assert names("q=%25") == []


@pytest.mark.spec("R19.1")
def test_jobs_are_narrowed_by_each_filter() -> None:
    old = SyncJobFactory.create(
        created_at=datetime(2026, 1, 1, tzinfo=UTC), trigger="cron", mode="full"
    )
    new = SyncJobFactory.create(failed=True, mode="reconcile")

    def found(query: str) -> list[str]:
        rows = api(staff()).get(f"/api/v1/jobs/?{query}").json()["results"]
        return [row["id"] for row in rows]

    assert found("") == [str(new.pk), str(old.pk)]
    assert found("ordering=created_at") == [str(old.pk), str(new.pk)]
    assert found(f"installation={old.installation_id}") == [str(old.pk)]
    assert found("status=failed") == [str(new.pk)]
    assert found("trigger=cron") == [str(old.pk)]
    assert found("mode=reconcile") == [str(new.pk)]
    assert found("created_after=2026-01-02T00:00:00Z") == [str(new.pk)]
    assert found("created_before=2026-01-02") == [str(old.pk)]


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("repositories/?status=gone", "status"),
        ("repositories/?archived=maybe", "archived"),
        ("repositories/?visibility=secret", "visibility"),
        ("repositories/?installation=acme", "installation"),
        ("repositories/?installation=1.5", "installation"),
        ("repositories/?installation=0", "installation"),
        ("repositories/?installation=99999999999999999999", "installation"),
        (f"repositories/?installation={'9' * 5000}", "installation"),
        ("repositories/?q=%00", "q"),
        ("repositories/?q=a&q=b", "q"),
        ("repositories/?ordering=colour", "ordering"),
        ("repositories/?archive=true", "archive"),
        ("repositories/?page_size=0", "page_size"),
        ("repositories/?page_size=501", "page_size"),
        (f"repositories/?page_size={'9' * 5000}", "page_size"),
        ("repositories/?cursor=nonsense", "cursor"),
        ("jobs/?cursor=cD1ub3RhdGltZQ==", "cursor"),
        ("jobs/?trigger=boredom", "trigger"),
        ("jobs/?created_after=yesterday", "created_after"),
        ("installations/?login=acme", "login"),
    ],
)
def test_a_wrong_or_unknown_parameter_is_named_never_ignored(address: str, field: str) -> None:
    RepositoryFactory.create()
    SyncJobFactory.create()
    response = api(staff()).get(f"/api/v1/{address}")
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert field in response.json()["errors"]


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("ordering", ["id", "-stars", "-pushed_at", "pushed_at", "full_name"])
def test_pages_hold_every_row_once_though_many_are_equal(ordering: str) -> None:
    mine = InstallationFactory.create()
    for number in range(25):
        RepositoryFactory.create(
            installation=mine, stars=number // 20, pushed_at=None if number % 2 else clock.now()
        )
    client = api(staff())
    address = f"/api/v1/repositories/?page_size=4&ordering={ordering}"
    seen: list[int] = []
    while address:
        page = client.get(address).json()
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
    assert len(seen) == 25
    assert len(set(seen)) == 25


@pytest.mark.spec("R19.1")
def test_a_page_leads_back_to_the_one_before() -> None:
    RepositoryFactory.create_batch(5, installation=InstallationFactory.create())
    client = api(staff())
    first = client.get("/api/v1/repositories/?page_size=2").json()
    second = client.get(first["next"]).json()
    assert first["previous"] is None
    assert client.get(second["previous"]).json()["results"] == first["results"]


def synced(installation: Installation, **values: Any) -> str:
    row = RepositoryFactory.create(installation=installation, **values)
    shown = api(staff()).get(f"/api/v1/repositories/{row.pk}/").json()["last_synced_at"]
    assert isinstance(shown, str)
    return shown.replace("Z", "+00:00")


@pytest.mark.spec("R5.1")
def test_a_repository_was_last_synced_when_its_account_was_last_listed() -> None:
    listed = clock.now()
    before = listed - timedelta(hours=3)
    mine = InstallationFactory.create(last_listed_at=listed)
    assert synced(mine, last_written_at=before) == listed.isoformat()
    gone = {"last_written_at": before, "status": Repository.Status.DELETED}
    assert synced(mine, **gone) == before.isoformat()
    assert synced(mine, last_written_at=before, missing_since=before) == before.isoformat()
    assert synced(mine, last_written_at=before, name_is_current=False) == before.isoformat()
    assert synced(InstallationFactory.create(), last_written_at=before) == before.isoformat()


@pytest.mark.spec("R5.3")
def test_a_repository_says_how_many_commits_it_has_once_they_were_counted() -> None:
    row = RepositoryFactory.create()
    client = api(staff())

    def shown() -> tuple[int | None, str | None]:
        found = client.get(f"/api/v1/repositories/{row.pk}/").json()
        return found["commit_count"], found["head_sha"]

    assert shown() == (None, None)
    ContentListFactory.create(repository=row, entity="issues", count=3)
    ContentListFactory.create()
    assert shown() == (None, None)
    ContentListFactory.create(repository=row, count=12_345, head_sha="a" * 40)
    assert shown() == (12_345, "a" * 40)


@pytest.mark.spec("R3.7")
def test_a_job_brings_its_plan_only_when_asked_for_alone() -> None:
    job = SyncJobFactory.create(dry_run=True, plan=[{"operation": "create"}])
    client = api(staff())
    assert "plan" not in client.get("/api/v1/jobs/").json()["results"][0]
    assert client.get(f"/api/v1/jobs/{job.pk}/").json()["plan"] == [{"operation": "create"}]
