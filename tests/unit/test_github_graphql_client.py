"""The readers against a little GitHub: whole, in few requests, and honest about what is missing."""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from syncsvc.github.auth import TokenAuth
from syncsvc.github.client import GitHubClient
from syncsvc.github.content import CommitRow
from syncsvc.github.errors import (
    AuthenticationFailed,
    Forbidden,
    NetworkError,
    NotFound,
    RateLimited,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.graphql_client import GraphQLReader
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.planning import Limits
from syncsvc.github.reading import ContentPage, ContentRow, Entity, Failure, Reading
from syncsvc.github.rest_content import RestReader
from tests.content_support import rest_user
from tests.github_support import Desk, limit_headers
from tests.graphql_support import Hub, Repo

Results = list[ContentPage | Failure]
SMALL = Limits(first_weight=200, least_weight=50, most_weight=200)


def stage(*repos: Repo, limits: Limits | None = None, parallel: int = 1, **options: Any) -> Any:
    hub = Hub(*repos, spoil=options.pop("spoil", None))
    desk = Desk(hub, **options)
    return hub, desk, GraphQLReader(desk.client, limits=limits, parallel=parallel)


def rows_of(results: Results) -> dict[tuple[int, Entity], list[ContentRow]]:
    found: dict[tuple[int, Entity], list[ContentRow]] = {}
    for each in results:
        if isinstance(each, ContentPage):
            key = (each.reading.github_id, each.reading.entity)
            found.setdefault(key, []).extend(each.rows)
    return found


def failures(results: Results) -> list[Failure]:
    return [each for each in results if isinstance(each, Failure)]


def ends(results: Results) -> Counter[Reading | None]:
    return Counter(each.reading for each in results if isinstance(each, Failure) or not each.more)


# -- contents --------------------------------------------------------------------------------------


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("limits", [None, SMALL])
def test_all_is_read_once_and_each_reading_ends_once(parallel: int, limits: Limits | None) -> None:
    repos = [
        Repo(1, issues=230, pulls=7),
        Repo(2, commits=130),
        Repo(3),
        Repo(4, issues=1, commits=1),
    ]
    hub, desk, reader = stage(*repos, limits=limits, parallel=parallel)
    work = [each for repo in repos for each in repo.readings()]
    results = list(reader.contents(work))
    found = rows_of(results)
    for repo in repos:
        assert [row.number for row in found[repo.number, Entity.ISSUES]] == [  # type: ignore[union-attr]
            each["number"] for each in repo.issues
        ]
        assert [row.number for row in found[repo.number, Entity.PULL_REQUESTS]] == [  # type: ignore[union-attr]
            each["number"] for each in repo.pulls
        ]
        commits = found[repo.number, Entity.COMMITS]
        assert [row.sha for row in commits if isinstance(row, CommitRow)] == [
            each["sha"] for each in repo.commits
        ]
    assert ends(results) == Counter(work)
    assert not failures(results)
    assert desk.client.usage.requests == len(hub.queries)
    assert limits or len(hub.queries) == 3  # as many as the longest list has pages
    assert desk.client.usage.snapshot().points == 2 * len(hub.queries)


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("since", [None, datetime(2025, 1, 1, 1, 0, tzinfo=UTC)])
@pytest.mark.parametrize("known", [True, False])
def test_rest_gives_the_same_rows(since: datetime | None, known: bool) -> None:
    repos = [Repo(1, issues=150, pulls=130, commits=120), Repo(2), Repo(3, issues=5)]
    repos[0].issues[3] |= {"labels": [{"name": f"l{n:02}"} for n in range(45)], "user": None}
    repos[0].issues[4] |= {
        "user": rest_user("renovate[bot]", "Bot"),
        "assignees": [rest_user("b"), rest_user("a")],
    }
    repos[0].issues[5] |= {"state": "closed", "closed_at": "2025-03-01T00:00:00Z", "body": None}
    merged = {
        "state": "closed",
        "merged_at": "2025-03-01T00:00:00Z",
        "closed_at": "2025-03-01T00:00:00Z",
    }
    repos[0].pulls[2] |= merged
    _, desk, reader = stage(*repos)
    changes: dict[str, Any] = {} if known else {"expected": None}
    work = [each for repo in repos for each in repo.readings(since=since, **changes)]
    by_graphql = rows_of(list(reader.contents(work)))
    by_rest = rows_of(list(RestReader(desk.client).contents(work)))
    assert by_graphql.keys() == by_rest.keys()
    for key, rows in by_rest.items():  # an item that had to be completed comes last in its page
        assert sorted(by_graphql[key], key=repr) == sorted(rows, key=repr)
    assert len(by_rest[1, Entity.ISSUES]) == (150 if since is None else 91)
    assert len(by_rest[1, Entity.PULL_REQUESTS]) == (130 if since is None else 71)
    newest = [repos[0].reading("commits", limit=105, **changes)]
    limited = rows_of(list(reader.contents(newest)))
    assert limited == rows_of(list(RestReader(desk.client).contents(newest)))
    assert len(limited[1, Entity.COMMITS]) == 105
    assert RestReader(desk.client).languages("octo/repo-1") == {"Python": 100, "C": 50}


def test_labels_that_did_not_come_along_are_fetched() -> None:
    repo = Repo(1, issues=3)
    repo.issues[1]["labels"] = [{"name": f"l{n:03}"} for n in range(230)]
    hub, _, reader = stage(repo)
    rows = rows_of(list(reader.contents([repo.reading("issues")])))[1, Entity.ISSUES]
    assert {row.number: len(row.labels) for row in rows} == {1: 0, 2: 230, 3: 0}  # type: ignore[union-attr]
    assert len(hub.queries) == 1 + 3


@pytest.mark.spec("P30")
def test_an_item_that_cannot_be_completed_is_put_aside_alone() -> None:
    repo = Repo(1, issues=3)
    repo.issues[1]["labels"] = [{"name": f"l{n:03}"} for n in range(30)]
    lost = {"data": {"node": None}, "errors": [{"type": "NOT_FOUND", "path": ["node"]}]}
    _, _, reader = stage(repo, spoil=lambda number, usual: (200, {}, lost) if number > 1 else None)
    (page,) = reader.contents([repo.reading("issues")])
    assert sorted(row.number for row in page.rows) == [1, 3]
    assert [(each.github_id, each.field) for each in page.bad] == [(10002, "labels")]


@pytest.mark.spec("R5.6")
def test_a_repository_that_is_gone_fails_alone() -> None:
    repos = [Repo(1, issues=2), Repo(2, issues=2)]
    hub, _, reader = stage(repos[0])
    results = list(reader.contents([repos[1].reading("issues"), repos[0].reading("issues")]))
    (failure,) = failures(results)
    assert isinstance(failure.error, NotFound)
    assert failure.reading == repos[1].reading("issues")
    assert len(rows_of(results)[1, Entity.ISSUES]) == 2
    assert len(hub.queries) == 1


@pytest.mark.parametrize("status", [502, 504])
def test_a_time_out_makes_requests_smaller_and_loses_nothing(status: int) -> None:
    repo = Repo(1, issues=300, commits=200)

    def spoil(number: int, usual: Any) -> Any:
        query = hub.queries[-1]["variables"]
        asked = sum(value for name, value in query.items() if name[-1] == "n" and name != "r0")
        return (status, {"Content-Type": "text/html"}, b"<html>") if asked > 60 else None

    hub, desk, reader = stage(repo, spoil=spoil)
    results = list(reader.contents(repo.readings()))
    assert sorted(len(rows) for rows in rows_of(results).values()) == [0, 200, 300]
    assert not failures(results)
    assert desk.client.usage.snapshot().retries == 0  # the same query would time out again


TIMEOUT = {"message": "Something went wrong while executing your query. This may be a timeout."}


@pytest.mark.spec("R5.6")
def test_what_came_beside_errors_is_used_and_the_rest_asked_for_again() -> None:
    repos = [Repo(number, issues=3) for number in range(1, 5)]

    def spoil(number: int, usual: Any) -> None:
        if number == 1:
            usual["data"]["r1"] = None
            usual["errors"] = [TIMEOUT]

    hub, _, reader = stage(*repos, spoil=spoil)
    results = list(reader.contents([each.reading("issues") for each in repos]))
    assert [len(rows) for rows in rows_of(results).values()] == [3, 3, 3, 3]
    assert [len([n for n in each["variables"] if n[-1] == "n"]) for each in hub.queries] == [4, 1]


@pytest.mark.spec("R5.6")
def test_one_list_that_never_comes_stops_no_other() -> None:
    repos = [Repo(number, issues=100) for number in range(1, 7)]

    def spoil(number: int, usual: Any) -> Any:
        asked = hub.queries[-1]["variables"].values()
        return (504, {}, {"message": "timeout"}) if "R_3" in asked else None

    hub, desk, reader = stage(*repos, spoil=spoil)
    results = list(reader.contents([each.reading("issues") for each in repos]))
    assert [each.node_id for each in failures(results)] == ["R_3"]
    assert sum(len(rows) for rows in rows_of(results).values()) == 500
    assert sum(desk.slept) < 120


def test_a_query_over_the_node_limit_is_split() -> None:
    repos = [Repo(number, issues=50) for number in range(1, 9)]

    def spoil(number: int, usual: Any) -> Any:
        if len(hub.queries[-1]["variables"]) > 6:
            return 200, {}, {"data": None, "errors": [{"type": "MAX_NODE_LIMIT_EXCEEDED"}]}
        return None

    hub, _, reader = stage(*repos, spoil=spoil)
    results = list(reader.contents([each.reading("issues") for each in repos]))
    assert sum(len(rows) for rows in rows_of(results).values()) == 400
    assert not failures(results)


def test_an_answer_that_is_too_large_is_asked_for_in_parts() -> None:
    repo = Repo(1, issues=100)
    for each in repo.issues:
        each["body"] = "x" * 65_536
    _, _, reader = stage(repo, max_body=1024 * 1024)
    results = list(reader.contents([repo.reading("issues")]))
    assert len(rows_of(results)[1, Entity.ISSUES]) == 100
    assert not failures(results)


# -- what concerns everything ----------------------------------------------------------------------


def read_until(reader: GraphQLReader, work: list[Reading], error: type[Exception]) -> Results:
    results: Results = []
    with pytest.raises(error):  # noqa: PT012  (what came before the error is wanted)
        for each in reader.contents(work):
            results.append(each)
    return results


@pytest.mark.spec("R4.2")
def test_a_limit_ends_the_reading_after_what_had_come() -> None:
    repo = Repo(1, issues=250)

    def spoil(number: int, usual: Any) -> Any:
        if number < 2:
            return None
        headers = limit_headers(0) | {"X-RateLimit-Resource": "graphql"}
        return (
            200,
            headers,
            {"data": None, "errors": [{"type": "RATE_LIMITED", "message": "limit"}]},
        )

    _, desk, reader = stage(repo, spoil=spoil)
    results = read_until(reader, [repo.reading("issues")], RateLimited)
    assert len(rows_of(results)[1, Entity.ISSUES]) == 100
    budget = desk.budget.budget("graphql")
    assert budget is not None
    assert budget.remaining == 0
    assert desk.budget.budget("core") is None
    assert desk.client.usage.requests == 2
    read_until(reader, [repo.reading("issues")], RateLimited)
    assert desk.client.usage.requests == 2  # nothing is sent while the budget is used up


@pytest.mark.spec("R4.2")
def test_the_cost_of_a_query_is_reserved_before_it_is_sent() -> None:
    repo = Repo(1, issues=100)

    def spoil(number: int, usual: Any) -> Any:
        return 200, limit_headers(101) | {"X-RateLimit-Resource": "graphql"}, usual

    _, desk, reader = stage(repo, spoil=spoil, reserve=100)
    list(reader.overview(["R_1"]))
    with pytest.raises(RateLimited):  # two points, and one is left above the reserve
        list(reader.contents([repo.reading("issues")]))
    assert desk.client.usage.requests == 1


def test_a_server_without_budget_headers_says_it_in_the_answer() -> None:
    repo = Repo(1, issues=1)
    _, desk, reader = stage(repo, spoil=lambda number, usual: (200, {}, usual))
    list(reader.contents([repo.reading("issues")]))
    budget = desk.budget.budget("graphql")
    assert budget is not None
    assert (budget.limit, budget.remaining, budget.used) == (5000, 4000, 1000)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ((401, {}, {"message": "Bad credentials"}), AuthenticationFailed),
        (requests.ConnectionError("refused"), NetworkError),
        ((200, {}, {"errors": [{"message": "Parse error"}]}), ValidationFailed),
        ((503, {}, {"message": "unavailable"}), ServerError),
        ((200, {}, b'{"data": {'), NetworkError),
    ],
)
def test_what_concerns_everything_ends_the_reading(reply: Any, error: type[Exception]) -> None:
    repos = [Repo(number, issues=1) for number in range(1, 30)]
    _, _, reader = stage(*repos, spoil=lambda number, usual: reply, parallel=2)
    work = [each.reading("issues") for each in repos]
    assert rows_of(read_until(reader, work, error)) == {}
    with pytest.raises(error):
        list(reader.overview(each.node_id for each in repos))


def test_a_refused_token_is_replaced() -> None:
    class Renewed(TokenAuth):
        def invalidate(self, credential: Any) -> bool:
            return True

    replies: list[Any] = [(401, {}, {"message": "Bad credentials"})] * 2
    repo = Repo(1, issues=1)
    desk = Desk(
        Hub(repo, spoil=lambda number, usual: replies.pop() if replies else None),
        auth=Renewed("ghp_x"),
    )
    (page,) = GraphQLReader(desk.client).contents([repo.reading("issues")])
    assert isinstance(page, ContentPage)
    assert len(page.rows) == 1


def test_closing_early_stops_the_requests() -> None:
    repo = Repo(1, issues=5000)
    hub, _, reader = stage(repo, parallel=2)
    pages = reader.contents([repo.reading("issues")])
    next(pages)
    pages.close()
    assert len(hub.queries) <= 2


# -- overview --------------------------------------------------------------------------------------


def test_an_overview_takes_one_request_for_a_hundred() -> None:
    repos = [Repo(number, issues=2, commits=number) for number in range(1, 181)]
    hub, _, reader = stage(*repos)
    found = list(reader.overview(each.node_id for each in repos))
    assert len(hub.queries) == 2
    assert {row.node_id: (row.issues, row.commits) for row in found} == {
        each.node_id: (2, each.number) for each in repos
    }
    assert found[0].languages == {"Python": 100, "C": 50}
    assert (found[0].has_ci, found[0].has_tests) == (False, True)
    (plain,) = reader.overview(["R_1"], details=False)
    assert plain.languages is None


def test_more_than_a_hundred_languages_are_all_told() -> None:
    repo = Repo(1)
    repo.languages = {f"L{number}": number for number in range(250)}
    _, _, reader = stage(repo)
    (row,) = reader.overview(["R_1"])
    assert row.languages == repo.languages


@pytest.mark.spec("R5.6")
def test_a_repository_that_is_gone_or_never_answers_leaves_the_others_their_overview() -> None:
    repos = [Repo(number) for number in range(1, 100)]

    def spoil(number: int, usual: Any) -> Any:
        return (504, {}, b"") if "R_7" in hub.queries[-1]["variables"]["ids"] else None

    hub, _, reader = stage(*repos, spoil=spoil)
    found = list(reader.overview([*(each.node_id for each in repos), "R_gone"]))
    lost = {each.node_id: type(each.error) for each in found if isinstance(each, Failure)}
    assert lost == {"R_7": ServerError, "R_gone": NotFound}
    assert sum(isinstance(each, RepositoryOverview) for each in found) == 98


@pytest.mark.spec("R5.6")
def test_an_overview_that_was_refused_in_part_is_a_failure_unless_it_lacks_details_only() -> None:
    def spoil(number: int, usual: Any) -> None:
        first, second = usual["data"]["nodes"]
        first["defaultBranchRef"], second["languages"] = None, None
        usual["errors"] = [
            {"type": "FORBIDDEN", "path": ["nodes", 0, "defaultBranchRef"]},
            {"type": "FORBIDDEN", "path": ["nodes", 1, "languages"]},
        ]

    _, _, reader = stage(Repo(1, commits=3), Repo(2, commits=3), spoil=spoil)
    failure, row = reader.overview(["R_1", "R_2"])
    assert isinstance(failure, Failure)
    assert (failure.node_id, type(failure.error)) == ("R_1", Forbidden)
    assert (row.commits, row.languages) == (3, None)


def test_a_time_out_is_not_taken_for_an_absence() -> None:
    def spoil(number: int, usual: Any) -> None:
        if number == 1:
            usual["data"]["nodes"][1] = None
            usual["errors"] = [TIMEOUT]

    hub, _, reader = stage(Repo(1), Repo(2), spoil=spoil)
    assert [type(each) for each in reader.overview(["R_1", "R_2"])] == [RepositoryOverview] * 2
    assert [each["variables"]["ids"] for each in hub.queries] == [["R_1", "R_2"], ["R_2"]]


# -- REST ------------------------------------------------------------------------------------------


@pytest.mark.spec("R5.6")
def test_rest_goes_on_after_a_repository_that_fails() -> None:
    repos = [Repo(number, issues=1) for number in range(1, 4)]
    hub = Hub(*repos)

    def handler(request: requests.PreparedRequest) -> Any:
        if "repo-2/" in str(request.url):
            return 451, {}, {"message": "Repository access blocked"}
        if "repo-3/" in str(request.url):
            return 410, {}, {"message": "Issues are disabled for this repo"}
        return hub(request)

    desk = Desk(handler)
    results = list(RestReader(desk.client).contents([each.reading("issues") for each in repos]))
    assert [each.node_id for each in failures(results)] == ["R_2"]
    assert [len(rows) for rows in rows_of(results).values()] == [1, 0]


def test_rest_leaves_pull_requests_out_of_issues() -> None:
    repo = Repo(1, issues=4)
    repo.issues[1]["pull_request"] = {"url": "..."}
    client: GitHubClient = Desk(Hub(repo)).client
    (page,) = RestReader(client).contents([repo.reading("issues")])
    assert isinstance(page, ContentPage)
    assert [row.number for row in page.rows] == [4, 2, 1]  # type: ignore[union-attr]


def test_rest_ends_when_github_fails_every_repository() -> None:
    repos = [Repo(number, issues=1) for number in range(1, 30)]
    desk = Desk(lambda request: (500, {}, {"message": "oops"}))
    with pytest.raises(ServerError):
        list(RestReader(desk.client).contents([each.reading("issues") for each in repos]))
    assert desk.client.usage.requests == 20
