"""Issues, pull requests, commits and daily metrics in the API: what they say, and how they are found."""

import io
import json
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from syncsvc import clock, normalizer, selectors
from syncsvc.models import Commit, Issue, PullRequest, Repository, RepositoryMetric
from tests.factories import (
    CommitFactory,
    IssueFactory,
    PullRequestFactory,
    RepositoryFactory,
    RepositoryMetricFactory,
)
from tests.people_support import PROBLEM, api, member_of

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WEEK = timedelta(weeks=1)
INSTANT = timedelta(microseconds=1)
MAKERS: dict[str, Any] = {
    "issues": IssueFactory,
    "pull-requests": PullRequestFactory,
    "commits": CommitFactory,
    "repository-metrics": RepositoryMetricFactory,
}
GONE = {
    "issues": "removed",
    "pull-requests": "removed",
    "commits": "dropped",
    "repository-metrics": "removed",
}


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """It is `NOW`, and stays so."""
    monkeypatch.setattr(clock, "now", lambda: NOW)
    return NOW


def viewer() -> Any:
    """One of the staff, the same throughout a test, without a password: hashing takes long."""
    return User.objects.get_or_create(username="viewer", defaults={"is_staff": True})[0]


def rows(address: str, user: Any = None) -> list[dict[str, Any]]:
    response = api(user or viewer()).get(f"/api/v1/{address}")
    assert response.status_code == 200, response.json()
    found = response.json()["results"]
    assert isinstance(found, list)
    return found


def ids(address: str) -> list[int]:
    return [row["id"] for row in rows(address)]


def keys(*made: Any) -> list[int]:
    return [row.pk for row in made]


def text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def of(row: Any) -> dict[str, Any]:
    repository = row.repository
    return {
        "id": row.pk,
        "repository": repository.pk,
        "repository_full_name": f"{repository.owner}/{repository.name}",
        "repository_status": repository.status,
    }


def of_item(row: Issue | PullRequest) -> dict[str, Any]:
    return of(row) | {
        "github_id": row.github_id,
        "node_id": row.node_id,
        "number": row.number,
        "title": row.title,
        "body": row.body,
        "state": row.state,
        "author": row.author,
        "assignees": row.assignees,
        "labels": row.labels,
        "github_created_at": text(row.github_created_at),
        "github_updated_at": text(row.github_updated_at),
        "closed_at": text(row.closed_at),
        "removed_at": text(row.removed_at),
        "removal": row.removal,
        "changed_by": row.changed_by,
        "last_written_at": text(row.last_written_at),
    }


def assert_shown(name: str, expected: dict[str, Any]) -> None:
    """The list and the single row say exactly this."""
    assert rows(f"{name}/") == [expected]
    assert api(viewer()).get(f"/api/v1/{name}/{expected['id']}/").json() == expected


# -- what they say ---------------------------------------------------------------------------------


@pytest.mark.spec("R5.2", "R19.1")
def test_an_issue_says_what_its_row_says_and_what_follows_from_the_time(at_noon: datetime) -> None:
    row = IssueFactory.create(
        number=12,
        labels=["blocker", "docs", "high"],
        assignees=["mia", "octocat"],
        body="a\nb",
        github_created_at=at_noon - 3 * WEEK,
        github_updated_at=at_noon - WEEK,
    )
    derived = {
        "label": "GH-12",
        "github_state": "open",
        "state_reason": None,
        "severity": "high",
        "sla_hours": 24,
        "due_at": text(at_noon - 3 * WEEK + timedelta(hours=24)),
        "breached": True,
        "priority_score": 98,
        "is_blocker": True,
    }
    assert_shown("issues", of_item(row) | derived | {"state": "in_progress"})


@pytest.mark.spec("R5.3", "R19.1")
def test_a_pull_request_says_what_its_row_says() -> None:
    row = PullRequestFactory.create(
        was_merged=True, draft=True, author=None, body=None, labels=["a, b"], assignees=["mia"]
    )
    own = {
        "draft": True,
        "merged": True,
        "merged_at": text(row.merged_at),
        "base_ref": "main",
        "head_ref": row.head_ref,
        "head_sha": row.head_sha,
        "merge_commit_sha": "f" * 40,
    }
    assert_shown("pull-requests", of_item(row) | own)


@pytest.mark.spec("R5.3", "R19.1")
def test_a_commit_says_what_its_row_says_and_nobodys_address() -> None:
    row = CommitFactory.create(message="Mend it\n\nAt last.", contributor="email:octo@example.com")
    own = {
        "sha": row.sha,
        "author_login": "octocat",
        "author_name": "Octo Cat",
        "authored_at": text(row.authored_at),
        "committed_at": text(row.committed_at),
        "message": "Mend it\n\nAt last.",
        "dropped_at": None,
        "changed_by": "initial",
        "last_written_at": text(row.last_written_at),
    }
    assert_shown("commits", of(row) | own)
    response = api(viewer()).get("/api/v1/commits/")
    assert "octo@example.com" not in response.content.decode()


@pytest.mark.spec("R5.4", "R19.1")
def test_a_day_says_what_its_row_says() -> None:
    row = RepositoryMetricFactory.create(date=date(2026, 2, 28), has_ci=False, has_tests=None)
    own = {
        "date": "2026-02-28",
        "commits": 120,
        "contributors": 3,
        "lines_of_code": 4_000,
        "languages": {"Python": 140_000},
        "tech_stack": ["Python"],
        "health_score": 80,
        "open_issues": 2,
        "stars": 7,
        "has_ci": False,
        "has_tests": None,
        "last_commit_at": text(row.last_commit_at),
    }
    assert_shown("repository-metrics", of(row) | own)


@pytest.mark.spec("R19.1")
def test_what_is_shown_is_what_the_schema_describes() -> None:
    printed = io.StringIO()
    call_command("spectacular", stdout=printed, format="openapi-json")
    schema = json.loads(printed.getvalue())
    for name, maker in MAKERS.items():
        maker.create()
        if name != "repository-metrics":
            maker.create(gone=True)
        operation = schema["paths"][f"/api/v1/{name}/"]["get"]
        described = operation["responses"]["200"]["content"]["application/json"]["schema"]
        validator = Draft202012Validator(described | {"components": schema["components"]})
        for query in ("", f"?{GONE[name]}=true"):
            page = api(viewer()).get(f"/api/v1/{name}/{query}").json()
            assert [error.message for error in validator.iter_errors(page)] == []
    metric = schema["components"]["schemas"]["Metric"]["properties"]
    assert "estimate" in metric["contributors"]["description"]
    assert "estimate" in metric["lines_of_code"]["description"]


moments = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
close = st.sampled_from([-INSTANT, timedelta(0), INSTANT])
#: Around full weeks, before and after today, and anywhere.
births = st.one_of(
    moments,
    st.builds(lambda weeks, by: NOW - weeks * WEEK + by, st.integers(-3, 25), close),
)
deadlines = st.one_of(moments, st.builds(lambda by: NOW + by, close))


@pytest.mark.spec("R5.2")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    base=st.integers(-60, 160),
    created=births,
    due=deadlines,
    state=st.sampled_from(["open", "closed"]),
    after=st.none() | close | st.timedeltas(-timedelta(days=99), timedelta(days=99)),
)
@example(base=100, created=NOW, due=NOW, state="open", after=None)
@example(base=-20, created=NOW - 20 * WEEK, due=NOW, state="closed", after=None)
@example(base=-21, created=NOW - 20 * WEEK, due=NOW, state="closed", after=INSTANT)
@example(base=85, created=NOW - 15 * WEEK + INSTANT, due=NOW - INSTANT, state="open", after=None)
@example(base=85, created=NOW + 99 * WEEK, due=NOW, state="closed", after=timedelta(0))
def test_the_query_scores_as_the_normalizer_does(
    base: int, created: datetime, due: datetime, state: str, after: timedelta | None
) -> None:
    closed_at = None if after is None else due + after
    row = Issue.objects.first() or IssueFactory.create()
    Issue.objects.update(
        priority_base=base,
        github_created_at=created,
        due_at=due,
        github_state=state,
        state="closed" if state == "closed" else "pending",
        closed_at=closed_at,
    )
    found = selectors.scored(Issue.objects.filter(pk=row.pk), NOW)
    [(score, breached)] = found.values_list(*("priority_score", "breached"))
    assert score == normalizer.priority_at(base, created, NOW)
    assert breached is normalizer.is_breached(due, state=state, closed_at=closed_at, now=NOW)


# -- who sees them ---------------------------------------------------------------------------------


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize("name", MAKERS)
def test_another_tenants_rows_are_absent_even_when_asked_for_by_name(name: str) -> None:
    mine, other = MAKERS[name].create(), MAKERS[name].create()
    user = member_of(mine.repository.installation)
    assert [row["id"] for row in rows(f"{name}/", user)] == [mine.pk]
    assert rows(f"{name}/?repository={other.repository_id}", user) == []
    assert rows(f"{name}/?installation={other.repository.installation_id}", user) == []
    other.repository.status = Repository.Status.DELETED
    other.repository.save()
    assert rows(f"{name}/?{GONE[name]}=true", user) == []
    assert api(user).get(f"/api/v1/{name}/{other.pk}/").status_code == 404
    assert api(user).get(f"/api/v1/{name}/{mine.pk}/").status_code == 200


@pytest.mark.spec("R19.2")
@pytest.mark.parametrize("name", MAKERS)
def test_they_are_there_to_be_read_only(name: str) -> None:
    row = MAKERS[name].create()
    client = api(viewer())
    assert client.post(f"/api/v1/{name}/", {}, format="json").status_code == 405
    for method in (client.put, client.patch, client.delete):
        assert method(f"/api/v1/{name}/{row.pk}/", {}, format="json").status_code == 405


# -- what is gone ----------------------------------------------------------------------------------


@pytest.mark.spec("R5.2", "R5.3")
@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("status", ["deleted", "transferred", "access_removed"])
def test_what_is_gone_is_listed_only_when_asked_for(name: str, status: str) -> None:
    here = MAKERS[name].create()
    unmanaged = MAKERS[name].create(repository__status="unmanaged")
    lost = [MAKERS[name].create(repository__status=status)]
    if name != "repository-metrics":
        lost.append(MAKERS[name].create(gone=True, repository=here.repository))
    gone = GONE[name]
    shown = set(keys(here, unmanaged))
    assert set(ids(f"{name}/")) == shown
    assert set(ids(f"{name}/?{gone}=")) == shown
    assert set(ids(f"{name}/?{gone}=false")) == shown
    assert set(ids(f"{name}/?{gone}=true")) == set(keys(*lost))
    assert ids(f"{name}/?{gone}=true&repository={here.repository_id}") == keys(*lost[1:])
    for row in lost:
        single = api(viewer()).get(f"/api/v1/{name}/{row.pk}/").json()
        assert single["repository_status"] == row.repository.status


# -- filters ---------------------------------------------------------------------------------------


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("name", MAKERS)
def test_each_list_is_narrowed_to_a_repository_or_an_installation(name: str) -> None:
    first, second = MAKERS[name].create(), MAKERS[name].create()
    assert ids(f"{name}/?repository={first.repository_id}") == [first.pk]
    assert ids(f"{name}/?installation={second.repository.installation_id}") == [second.pk]
    assert ids(f"{name}/?repository={2**63 - 1}") == []


@pytest.mark.spec("R5.2", "R19.1")
def test_issues_are_narrowed_by_each_filter(at_noon: datetime) -> None:
    old = IssueFactory.create(
        labels=["P0", "blocker"],
        assignees=["Mia"],
        author="Octo-Cat",
        github_created_at=at_noon - WEEK,
    )
    done = IssueFactory.create(closed=True, labels=["low", " odd, label"])
    new = IssueFactory.create(author=None)
    assert ids("issues/?state=in_progress") == [old.pk]
    assert ids("issues/?state=pending") == [new.pk]
    assert ids("issues/?state=closed") == [done.pk]
    assert set(ids("issues/?github_state=open")) == set(keys(old, new))
    assert ids("issues/?severity=low") == [done.pk]
    assert ids("issues/?is_blocker=true") == [old.pk]
    assert ids("issues/?breached=true") == [old.pk]
    assert set(ids("issues/?breached=false")) == set(keys(done, new))
    assert ids("issues/?label=blocker") == [old.pk]
    assert ids("issues/?label=block") == []
    assert ids(f"issues/?label={quote(' odd, label')}") == [done.pk]
    assert ids("issues/?assignee=mIA") == [old.pk]
    assert ids("issues/?assignee=mi") == []
    assert ids("issues/?author=OCTO-cat") == [old.pk]
    moment = quote(old.github_updated_at.isoformat())
    assert set(ids(f"issues/?updated_after={moment}")) == set(keys(old, done, new))
    assert ids(f"issues/?updated_before={moment}") == []
    assert ids("issues/?updated_before=2026-02-23") == [old.pk]


@pytest.mark.spec("R5.3", "R19.1")
def test_pull_requests_are_narrowed_by_each_filter() -> None:
    draft = PullRequestFactory.create(draft=True, labels=["ready"], assignees=["bot[bot]", "Mia"])
    merged = PullRequestFactory.create(was_merged=True, author="mia", base_ref="release/1.0")
    assert ids("pull-requests/?state=open") == [draft.pk]
    assert ids("pull-requests/?draft=true") == [draft.pk]
    assert ids("pull-requests/?merged=true") == [merged.pk]
    assert ids("pull-requests/?author=MIA") == [merged.pk]
    assert ids("pull-requests/?label=ready") == [draft.pk]
    assert ids("pull-requests/?assignee=mia") == [draft.pk]
    assert ids("pull-requests/?assignee=Bot[bot]") == [draft.pk]
    assert ids("pull-requests/?base_ref=release/1.0") == [merged.pk]
    assert ids("pull-requests/?updated_before=2020-01-01") == []
    assert len(ids("pull-requests/?updated_after=2020-01-01")) == 2


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("name", ["issues", "pull-requests"])
@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("GH-12", "number"),
        ("gh-12", "number"),
        ("#12", "number"),
        ("12", "both"),
        ("fails in 2012", "title"),
        ("IN 20", "title"),
        ("100%", "none"),
        ("20_2", "none"),
        ("GH-99999999999999999999", "none"),
        ("4294967308", "none"),
        ("\N{ARABIC-INDIC DIGIT ONE}\N{ARABIC-INDIC DIGIT TWO}", "none"),
    ],
)
def test_q_finds_a_number_or_a_part_of_the_title(name: str, q: str, found: str) -> None:
    number = MAKERS[name].create(number=12, title="It is slow").pk
    title = MAKERS[name].create(number=13, title="It fails in 2012").pk
    expected = {"number": [number], "title": [title], "both": [number, title], "none": []}
    assert sorted(ids(f"{name}/?q={quote(q)}")) == expected[found]


@pytest.mark.spec("R5.3", "R19.1")
def test_commits_are_narrowed_by_each_filter() -> None:
    old = CommitFactory.create(
        sha="abc1" + "0" * 36,
        message="Begin\n\nWith care",
        author_login="Mia",
        committed_at=datetime(2025, 1, 1, tzinfo=UTC),
    )
    new = CommitFactory.create(sha="def" + "0" * 37, message="Do not abc1 it", author_login=None)
    assert ids("commits/?author=mia") == [old.pk]
    assert ids("commits/?committed_before=2025-01-01T00:00:00Z") == []
    assert ids("commits/?committed_before=2025-01-01T00:00:01Z") == [old.pk]
    assert ids("commits/?committed_after=2025-01-01T00:00:01Z") == [new.pk]
    assert ids("commits/?q=WITH") == [old.pk]
    assert ids("commits/?q=ABC10") == [old.pk]
    assert ids(f"commits/?q={old.sha}") == [old.pk]
    assert ids("commits/?q=abc1") == keys(new, old)
    assert ids("commits/?q=def") == []


@pytest.mark.spec("R5.4", "R19.1")
def test_metrics_are_narrowed_by_each_filter() -> None:
    site = RepositoryFactory.create(name="site")
    first, second, third = (
        RepositoryMetricFactory.create(repository=site, date=date(2026, 2, day))
        for day in (1, 2, 3)
    )
    other = RepositoryMetricFactory.create(date=date(2025, 1, 1))
    assert ids("repository-metrics/?date=2026-02-02") == [second.pk]
    assert ids("repository-metrics/?date_after=2026-02-02") == keys(third, second)
    assert ids("repository-metrics/?date_before=2026-02-02") == keys(first, other)
    assert ids("repository-metrics/?q=/SIT") == keys(third, second, first)


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize(
    ("address", "field"),
    [
        ("issues/?repository=99999999999999999999", "repository"),
        ("issues/?repository=acme", "repository"),
        ("issues/?repository=1%00", "repository"),
        ("issues/?installation=-1", "installation"),
        ("issues/?state=open", "state"),
        ("issues/?severity=P0", "severity"),
        ("issues/?breached=1", "breached"),
        ("issues/?removed=maybe", "removed"),
        ("issues/?updated_after=soon", "updated_after"),
        ("issues/?q=%00", "q"),
        ("issues/?label=a&label=b", "label"),
        ("issues/?label=%00", "label"),
        ("issues/?assignee=a%00", "assignee"),
        ("issues/?ordering=severity", "ordering"),
        ("issues/?ordering=-priority_score&cursor=cD1tYW55", "cursor"),
        ("issues/?dropped=true", "dropped"),
        ("pull-requests/?state=merged", "state"),
        ("pull-requests/?base_ref=%00", "base_ref"),
        ("pull-requests/?severity=low", "severity"),
        ("commits/?removed=true", "removed"),
        ("commits/?committed_after=1", "committed_after"),
        ("repository-metrics/?date=2026-02-30", "date"),
        ("repository-metrics/?date_after=%00", "date_after"),
    ],
)
def test_a_wrong_or_unknown_parameter_is_named(address: str, field: str) -> None:
    for maker in MAKERS.values():
        maker.create()
    response = api(viewer()).get(f"/api/v1/{address}")
    assert (response.status_code, response["Content-Type"]) == (400, PROBLEM)
    assert list(response.json()["errors"]) == [field]


# -- orders and pages ------------------------------------------------------------------------------


@pytest.mark.spec("R19.1")
def test_each_list_begins_with_the_newest() -> None:
    times = [NOW - timedelta(days=days) for days in (2, 0, 1)]
    made = {
        "issues": [IssueFactory.create(github_updated_at=at) for at in times],
        "pull-requests": [PullRequestFactory.create(github_updated_at=at) for at in times],
        "commits": [CommitFactory.create(committed_at=at) for at in times],
        "repository-metrics": [RepositoryMetricFactory.create(date=at.date()) for at in times],
    }
    for name, (oldest, newest, middle) in made.items():
        assert ids(f"{name}/") == keys(newest, middle, oldest)


@pytest.mark.spec("R5.2", "R19.1")
def test_issues_are_ordered_by_their_score_as_of_now(at_noon: datetime) -> None:
    aged = IssueFactory.create(labels=["low"], github_created_at=at_noon - 15 * WEEK, number=3)
    young = IssueFactory.create(labels=["medium"], number=2)
    worst = IssueFactory.create(labels=["critical", "blocker"], closed=True, number=1)
    assert [row["priority_score"] for row in rows("issues/?ordering=-priority_score")] == [
        100,
        75,
        70,
    ]
    assert ids("issues/?ordering=-priority_score") == keys(worst, aged, young)
    assert ids("issues/?ordering=priority_score") == keys(young, aged, worst)
    assert ids("issues/?ordering=number") == keys(worst, young, aged)
    assert ids("issues/?ordering=due_at") == keys(aged, worst, young)
    assert ids("issues/?ordering=github_created_at")[0] == aged.pk
    assert ids("issues/?ordering=-closed_at")[0] == worst.pk


ORDERINGS = {
    Issue: "id number github_created_at github_updated_at closed_at due_at priority_score",
    PullRequest: "id number github_created_at github_updated_at closed_at merged_at",
    Commit: "id committed_at authored_at",
    RepositoryMetric: "id date commits contributors lines_of_code health_score open_issues stars",
}


@pytest.mark.spec("R19.1")
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize(
    ("name", "ordering"),
    [
        (name, ordering)
        for name, maker in MAKERS.items()
        for ordering in ORDERINGS[maker._meta.model].split()
    ],
)
def test_pages_hold_every_row_once_in_every_order(
    name: str, ordering: str, sign: str, at_noon: datetime
) -> None:
    repository = RepositoryFactory.create()
    for number in range(7):
        extra: dict[str, Any] = {}
        if name == "repository-metrics":
            extra = {"date": at_noon.date() - timedelta(days=number), "commits": number // 4}
        elif name == "pull-requests":
            extra = {"was_merged": bool(number % 2)}
        elif name == "issues":
            extra = {"closed": bool(number % 2), "labels": ["low"] if number % 4 else []}
        MAKERS[name].create(repository=repository, **extra)
    client = api(viewer())
    address = f"/api/v1/{name}/?page_size=3&ordering={sign}{ordering}"
    seen: list[dict[str, Any]] = []
    while address:
        page = client.get(address).json()
        seen += page["results"]
        address = page["next"]
    assert len({row["id"] for row in seen}) == len(seen) == 7
    values = [row[ordering] for row in seen]
    values = ["" if value is None else value for value in values]
    assert values == sorted(values, reverse=sign == "-")
