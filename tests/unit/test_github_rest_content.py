"""REST's overview, histories and fates, where the simulated GitHub is too well-behaved to show them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests

from syncsvc.github.errors import (
    GitHubError,
    NetworkError,
    NotFound,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import ContentPage, Entity, Failure, FateKind, Reading
from syncsvc.github.rest_content import RestReader
from syncsvc.github.values import parse_time
from tests.content_support import rest_commit, rest_issue, rest_pull_request
from tests.github_support import API, Desk, limit_headers, repository
from tests.graphql_support import Repo, moment
from tests.unit.test_github_graphql_client import rows_of, stage

Reply = tuple[int, Mapping[str, str], Any]
NAME = "octo/repo-1"
PAIR = ("R_1", NAME)


class Shelf:
    """Lists and objects by path below a repository; a reply as it is, when it is a tuple."""

    def __init__(self, *, cursors: bool = False, **held: Any) -> None:
        """`cursors`: links name no last page. Names are paths, with `__` for a slash."""
        self.cursors = cursors
        self.held: dict[str, Any] = {
            "": repository(1),
            "issues": [],
            "pulls": [],
            "commits": [],
            "languages": {},
            **{name.replace("__", "/"): value for name, value in held.items()},
        }
        self.asked: list[str] = []

    def __call__(self, request: requests.PreparedRequest) -> Reply:
        parts = urlsplit(str(request.url))
        path = parts.path.removeprefix(f"/repos/{NAME}").strip("/")
        query = dict(parse_qsl(parts.query))
        self.asked.append(path)
        found = self.held.get(path, (404, {}, {"message": "Not Found"}))
        if isinstance(found, tuple):
            status, headers, body = found
            return status, limit_headers() | headers, body
        if not isinstance(found, list):
            return 200, limit_headers(), found
        size, number = int(query.get("per_page", 30)), int(query.get("page", 1))
        last = max(1, -(-len(found) // size))
        links = {"next": number + 1, "last": last} if number < last else {}
        if self.cursors:
            links.pop("last", None)
        where = str(request.url).partition("&page=")[0]
        header = ", ".join(f'<{where}&page={n}>; rel="{rel}"' for rel, n in links.items())
        return 200, limit_headers(Link=header), found[(number - 1) * size : number * size]

    def look(self, *, details: bool = False) -> RepositoryOverview | Failure:
        (found,) = RestReader(Desk(self).client).overview([PAIR], details=details)
        return found

    def pages(self, entity: Entity = Entity.COMMITS, **more: Any) -> list[ContentPage | Failure]:
        reading = Reading(github_id=1, node_id="R_1", full_name=NAME, entity=entity, **more)
        return list(RestReader(Desk(self).client).contents([reading]))


def entries(issues: int, pulls: int) -> list[dict[str, Any]]:
    """An issue list, newest first: the pull requests were updated after all issues."""
    found = [rest_issue(n, updated_at=moment(n)) for n in range(1, issues + pulls + 1)]
    for each in found[issues:]:
        each["pull_request"] = {"url": "..."}
    return found[::-1]


def pull_requests(count: int, after: int = 0) -> list[dict[str, Any]]:
    numbers = range(after + count, after, -1)
    return [rest_pull_request(n, updated_at=moment(n)) for n in numbers]


def commits(count: int) -> list[dict[str, Any]]:
    return [rest_commit(f"{n:040x}") for n in range(count, 0, -1)]


# -- overviews -------------------------------------------------------------------------------------


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("cursors", [False, True])
@pytest.mark.parametrize(("issues", "pulls"), [(0, 0), (1, 0), (0, 1), (3, 2), (250, 7), (0, 130)])
def test_lists_are_counted_whether_or_not_they_name_their_last_page(
    issues: int, pulls: int, cursors: bool
) -> None:
    shelf = Shelf(
        cursors=cursors,
        issues=entries(issues, pulls),
        pulls=pull_requests(pulls, issues),
        commits=commits(230),
    )
    look = shelf.look()
    assert isinstance(look, RepositoryOverview)
    assert (look.issues, look.pull_requests, look.commits) == (issues, pulls, 230)
    assert look.latest_issue_at == (parse_time(moment(issues)) if issues else None)
    assert look.latest_pull_request_at == (parse_time(moment(issues + pulls)) if pulls else None)
    assert look.head_oid == f"{230:040x}"


@pytest.mark.spec("R4.4", "R5.5")
def test_behind_many_pull_requests_the_time_of_the_newest_entry_stands_in() -> None:
    look = Shelf(issues=entries(2, 50), pulls=pull_requests(50, 2)).look()
    assert isinstance(look, RepositoryOverview)
    assert (look.issues, look.latest_issue_at) == (2, parse_time(moment(52)))


@pytest.mark.spec("R4.4")
def test_pull_requests_are_counted_before_the_list_that_has_issues_too() -> None:
    """One that is opened in between must not hide the only issue."""
    shelf = Shelf(issues=entries(1, 2), pulls=pull_requests(1, 1))
    look = shelf.look()
    assert shelf.asked[:3] == ["", "pulls", "issues"]
    assert isinstance(look, RepositoryOverview)
    assert look.issues == 2


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"": repository(1, owner=7, full_name="")}, ServerError),
        ({"": repository(1, node_id="R_2")}, NotFound),
        ({"commits": (404, {}, {"message": "Not Found"})}, NotFound),
        ({"pulls": (422, {}, {"message": "Validation Failed"})}, ValidationFailed),
    ],
)
def test_what_cannot_be_told_of_one_repository_is_its_failure(
    held: dict[str, Any], expected: type[GitHubError]
) -> None:
    shelf = Shelf()
    shelf.held |= held
    look = shelf.look()
    assert isinstance(look, Failure)
    assert (look.node_id, type(look.error), look.reading) == ("R_1", expected, None)


@pytest.mark.spec("R5.6")
def test_a_name_that_is_none_is_its_own_failure() -> None:
    desk = Desk(Shelf())
    bad, good = RestReader(desk.client).overview([("R_9", "../x"), PAIR], details=False)
    assert isinstance(bad, Failure)
    assert isinstance(bad.error, ValidationFailed)
    assert isinstance(good, RepositoryOverview)


@pytest.mark.spec("R5.6")
def test_overviews_end_when_github_fails_every_repository() -> None:
    desk = Desk(lambda request: (500, {}, {"message": "oops"}))
    results = RestReader(desk.client).overview((f"R_{n}", f"octo/{n}") for n in range(30))
    assert [type(next(results)) for _ in range(4)] == [Failure] * 4
    with pytest.raises(ServerError):
        next(results)
    assert desk.client.usage.requests == 20


@pytest.mark.spec("R4.4")
def test_the_same_repository_twice_is_looked_at_once() -> None:
    assert len(list(RestReader(Desk(Shelf()).client).overview([PAIR, PAIR], details=False))) == 1


@pytest.mark.spec("R5.4")
@pytest.mark.parametrize(
    ("names", "workflows", "expected"),
    [
        ([], None, (False, False)),
        (["tests", ".GitLab-CI.yml"], None, (True, True)),
        (["Spec", ".github"], None, (False, True)),
        ([".github"], [], (True, False)),
        ([".github"], (403, {}, {"message": "no"}), (None, False)),
        (None, None, (None, None)),
    ],
)
def test_files_are_judged_by_their_names(
    names: list[str] | None, workflows: Any, expected: tuple[bool | None, bool | None]
) -> None:
    tree = None if names is None else [{"path": name, "type": "tree"} for name in names]
    shelf = Shelf(commits=commits(1))
    shelf.held[f"git/trees/{1:040x}"] = {"tree": tree}
    if workflows is not None:
        shelf.held["contents/.github/workflows"] = workflows
    look = shelf.look(details=True)
    assert isinstance(look, RepositoryOverview)
    assert (look.has_ci, look.has_tests) == expected
    assert ("contents/.github/workflows" in shelf.asked) == (".github" in (names or ()))


@pytest.mark.spec("R4.4")
def test_an_empty_repository_has_no_branch_and_no_files() -> None:
    shelf = Shelf(commits=(409, {}, {"message": "Git Repository is empty."}))
    look = shelf.look(details=True)
    assert isinstance(look, RepositoryOverview)
    assert (look.is_empty, look.default_branch, look.head_oid, look.commits) == (
        True,
        None,
        None,
        0,
    )
    assert (look.languages, look.has_ci, look.has_tests) == ({}, None, None)
    assert shelf.asked == ["", "pulls", "issues", "commits", ""]


# -- contents --------------------------------------------------------------------------------------


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("count", [0, 1, 100, 101, 250])
def test_the_total_is_told_where_it_is_known(count: int) -> None:
    shelf = Shelf(commits=commits(count), issues=entries(count, 0), pulls=pull_requests(count))
    for entity in Entity:
        *others, last = shelf.pages(entity)
        assert isinstance(last, ContentPage)
        # Issues of several pages may have moved while they were read.
        is_sure = count <= 100 or entity is Entity.COMMITS
        assert last.total == (count if is_sure else None)
        assert all(isinstance(each, ContentPage) and each.total is None for each in others)
    (page,) = shelf.pages(Entity.COMMITS, limit=5) if count > 4 else [None]
    assert page is None or (isinstance(page, ContentPage) and len(page.rows) == 5)
    since = parse_time(moment(1))
    assert all(isinstance(each, ContentPage) and each.total is None
               for each in shelf.pages(Entity.ISSUES, since=since))  # fmt: skip


@pytest.mark.spec("R4.4")
def test_a_history_whose_first_commit_is_garbled_has_no_head() -> None:
    items = commits(150)
    items[0] = {"sha": 7}
    first, second = Shelf(commits=items).pages()
    assert isinstance(first, ContentPage)
    assert isinstance(second, ContentPage)
    assert [each.head_oid for each in (first, second)] == [None, None]
    assert (len(first.rows), len(first.bad), len(second.rows)) == (99, 1, 50)


@pytest.mark.spec("R4.4")
def test_graphql_takes_readings_with_a_head_as_they_are() -> None:
    repos = [Repo(1, issues=3, commits=120), Repo(2, commits=1)]
    _, desk, reader = stage(*repos)
    plain = [each.reading("commits") for each in repos]
    pinned = [each.reading("commits", head=each.commits[0]["sha"]) for each in repos]
    found = rows_of(list(reader.contents([*pinned, *pinned])))
    assert found == rows_of(list(reader.contents(plain)))
    assert found == rows_of(list(RestReader(desk.client).contents(pinned)))


# -- what became of one item -----------------------------------------------------------------------


def placed(item: dict[str, Any], full_name: str) -> dict[str, Any]:
    """An issue in a repository."""
    return item | {"repository_url": f"{API}/repos/{full_name}"}


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (placed(rest_issue(5, id=50), NAME), FateKind.PRESENT),
        (placed(rest_issue(5, id=50), "octo/renamed"), FateKind.PRESENT),
        (placed(rest_issue(8, id=80), "octo/other"), FateKind.TRANSFERRED),
        (placed(rest_issue(5, id=80), "octo/other"), FateKind.TRANSFERRED),
        (placed(rest_issue(8, id=80), NAME), FateKind.TRANSFERRED),
        (placed({"id": 80, "number": 8}, "octo/other"), FateKind.TRANSFERRED),
        (placed(rest_issue(5, id=80), NAME.upper()), FateKind.UNKNOWN),
        (placed(rest_issue(5, id=80, pull_request={}), "octo/other"), FateKind.UNKNOWN),
        (placed(rest_issue(5, id=50, pull_request={}), NAME), FateKind.DELETED),
        (placed(rest_issue(5, id=50, title=None), NAME), FateKind.UNKNOWN),
        ({"id": None, "number": 5}, FateKind.UNKNOWN),
        ((404, {}, {"message": "Not Found"}), FateKind.DELETED),
        ((404, {"Content-Type": "text/html"}, b"<html>"), FateKind.UNKNOWN),
        ((410, {}, {"message": "This issue was deleted"}), FateKind.DELETED),
        ((410, {}, {"message": "Issues has been disabled in this repository."}), FateKind.UNKNOWN),
        ((410, {}, b""), FateKind.UNKNOWN),
        ((301, {"Location": "https://elsewhere.example/issues/5"}, {}), FateKind.UNKNOWN),
        ((422, {}, {"message": "Validation Failed"}), FateKind.UNKNOWN),
    ],
)
def test_the_fate_of_an_issue(answer: Any, expected: FateKind) -> None:
    shelf = Shelf(issues__5=answer)
    fate = RestReader(Desk(shelf).client).fate(Entity.ISSUES, NAME, 5, 50)
    assert fate.kind is expected
    assert (fate.row is not None) == (
        expected is FateKind.PRESENT
        or (expected is FateKind.TRANSFERRED and "title" in answer)
    )  # fmt: skip
    assert (fate.full_name is not None) == (expected is FateKind.TRANSFERRED)


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize("where", [NAME, "octo/renamed"])
def test_the_fate_of_a_pull_request(where: str) -> None:
    item = rest_pull_request(5, id=50)
    item["base"]["repo"] = {"full_name": where}
    reader = RestReader(Desk(Shelf(pulls__5=item)).client)
    assert reader.fate(Entity.PULL_REQUESTS, NAME, 5, 50).kind is FateKind.PRESENT
    expected = FateKind.UNKNOWN if where == NAME else FateKind.TRANSFERRED
    assert reader.fate(Entity.PULL_REQUESTS, NAME, 5, 51).kind is expected
    assert reader.fate(Entity.PULL_REQUESTS, NAME, 6, 60).kind is FateKind.DELETED


@pytest.mark.spec("R4.2", "R7.2")
def test_no_network_is_no_fate() -> None:
    desk = Desk(lambda request: requests.ConnectionError("no way"))
    with pytest.raises(NetworkError):
        RestReader(desk.client).fate(Entity.ISSUES, NAME, 5, 50)
