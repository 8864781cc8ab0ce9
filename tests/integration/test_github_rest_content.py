"""REST where GraphQL cannot be used, over real sockets: the same overviews, one history, true fates."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests
import time_machine
from pytest_django import Settings

from syncsvc import clock, connect
from syncsvc.github.client import RepositorySource
from syncsvc.github.content import CommitRow, IssueRow, PullRequestRow
from syncsvc.github.errors import (
    AuthenticationFailed,
    Forbidden,
    GitHubError,
    Gone,
    LegallyBlocked,
    NetworkError,
    NotFound,
    RateLimited,
    ServerError,
    Suspended,
    VersionRetired,
)
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.reading import ContentPage, Entity, Failure, Fate, FateKind, Reading
from syncsvc.models import Installation
from syncsvc.simulator import Fault, Simulator, World
from syncsvc.simulator.content import Issue, PullRequest
from syncsvc.simulator.records import Repository
from tests.contract import validate_request, validate_response
from tests.integration.test_github_graphql_simulator import (
    OWNER,
    Office,
    as_truth,
    collect,
    work_of,
)


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """Repositories of all kinds, some of them empty; each test may change them."""
    world = World.generate(
        seed=11, repositories=40, issues_per_repository=8, commits_per_repository=12
    )
    with Simulator(world) as running:
        yield running


@pytest.fixture
def office(sim: Simulator) -> Iterator[Office]:
    office = Office(sim)
    with office.client:
        yield office


def lively(world: World) -> list[Repository]:
    """The organization's repositories with issues, pull requests and commits, that may be changed."""
    return [
        each
        for each in world.owned(world.account(OWNER))
        if not each.archived
        and len(world.content(each).issues) > 1
        and world.content(each).pull_requests
        and world.content(each).branches
    ]


def by_rest(office: Office, *, details: bool = True) -> dict[str, RepositoryOverview]:
    pairs = [(node_id, row.full_name) for node_id, row in office.repositories().items()]
    office.sim.reset_log()
    looks = list(office.rest.overview(pairs, details=details))
    assert [each.node_id for each in looks] == [node_id for node_id, _ in pairs]
    found = {each.node_id: each for each in looks if isinstance(each, RepositoryOverview)}
    assert len(found) == len(pairs)
    return found


def assert_described(office: Office) -> None:
    """Every request of the log is one that GitHub describes."""
    assert office.sim.log
    for exchange in office.sim.log:
        if exchange.method == "GET":
            query = f"?{exchange.query}" if exchange.query else ""
            validate_request(exchange.method, f"{exchange.path}{query}")


# -- overviews -------------------------------------------------------------------------------------


@pytest.mark.spec("R4.4", "R5.5")
@pytest.mark.parametrize("details", [True, False])
def test_the_overview_is_that_of_graphql(office: Office, details: bool) -> None:
    world = office.sim.world
    world.create(OWNER, "brand-new")  # nothing was ever pushed there
    other = lively(world)[0]
    world.rename(other.id, "another-name")
    rows = office.repositories()
    found = by_rest(office, details=details)
    looks = list(office.reader.overview(rows, details=details))
    wanted = {each.node_id: each for each in looks if isinstance(each, RepositoryOverview)}
    assert found == {
        # GraphQL cannot say a repository's id beyond 32 bits.
        key: replace(each, github_id=rows[key].github_id)
        for key, each in wanted.items()
    }
    assert any(each.is_empty for each in found.values())
    assert any(each.issues == 0 for each in found.values())
    assert any(each.latest_issue_at for each in found.values())
    if details:
        assert {each.has_ci for each in found.values()} == {True, False, None}
        assert {each.has_tests for each in found.values()} == {True, False, None}
    for look in found.values():
        truth = world.truth_content(rows[look.node_id].github_id)
        assert look.github_id == rows[look.node_id].github_id
        assert (look.issues, look.pull_requests, look.commits, look.head_oid) == (
            len(truth["issues"]),
            len(truth["pull_requests"]),
            truth["commit_count"],
            truth["head_sha"],
        )
    assert_described(office)


@pytest.mark.spec("R4.4", "R5.5")
def test_an_overview_takes_few_requests(office: Office) -> None:
    world = office.sim.world
    new = world.create(OWNER, "brand-new")
    for details, least, most in ((False, 5, 6), (True, 7, 9)):
        for look in by_rest(office, details=details).values():
            # The repository itself is asked at the beginning and at the end.
            sent = len(office.sim.requests(f"/repos/{look.full_name}/")) + 2
            assert (5 if look.is_empty else least) <= sent <= most, look.full_name
        assert len(office.sim.requests(f"/repos/{world.full_name(new)}")) == 5
        assert {each.status for each in office.sim.log} <= {200, 404, 409}


@pytest.mark.spec("R4.4")
def test_an_overview_by_an_old_name_follows_once(office: Office) -> None:
    repository = lively(office.sim.world)[0]
    old = office.sim.world.full_name(repository)
    before = by_rest(office)[repository.node_id]
    office.sim.world.rename(repository.id, "renamed")
    office.sim.reset_log()
    (look,) = office.rest.overview([(repository.node_id, old)])
    assert look == replace(before, full_name=f"{OWNER}/renamed")
    assert [each.status for each in office.sim.log].count(301) == 1


@pytest.mark.spec("R4.4", "R7.2")
def test_a_name_that_another_repository_has_now_is_no_overview_of_the_first(office: Office) -> None:
    one, two = [each for each in lively(office.sim.world) if not each.legacy_id][:2]
    name = office.sim.world.full_name(one)
    office.sim.world.swap_names(one.id, two.id)
    (look,) = office.rest.overview([(one.node_id, name)])
    assert isinstance(look, Failure)
    assert isinstance(look.error, NotFound)
    assert not look.error.is_evidence_of_absence


@pytest.mark.spec("R4.4", "R5.6")
def test_what_concerns_one_repository_stops_no_other(office: Office) -> None:
    blocked, deleted, gone, broken = lively(office.sim.world)[:4]
    pairs = [(row.node_id, row.full_name) for row in office.repositories().values()]
    office.sim.world.block(blocked.id)
    name = office.sim.world.full_name(deleted)
    office.sim.world.delete(deleted.id)
    for repository, path, status, text in (
        (gone, "issues", 410, "Issues are disabled for this repo"),
        (broken, "commits", 500, None),
    ):
        where = f"/repos/{office.sim.world.full_name(repository)}/{path}"
        office.sim.faults.add(
            Fault(kind="status", path_regex=where, status=status, message=text, times=4)
        )
    looks = {each.node_id: each for each in office.rest.overview(pairs)}
    assert looks.keys() == {node_id for node_id, _ in pairs}
    failures = {
        key: (type(each.error), each.reading)
        for key, each in looks.items()
        if isinstance(each, Failure)
    }
    assert failures == {
        blocked.node_id: (LegallyBlocked, None),
        deleted.node_id: (NotFound, None),
        broken.node_id: (ServerError, None),
    }
    assert name not in {
        each.full_name for each in looks.values() if isinstance(each, RepositoryOverview)
    }
    without = looks[gone.node_id]
    assert isinstance(without, RepositoryOverview)
    assert (without.issues, without.latest_issue_at) == (0, None)
    assert without.pull_requests == len(office.sim.world.content(gone).pull_requests)


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize(
    ("tail", "names"),
    [
        ("languages", {"languages"}),
        ("git/trees", {"has_ci", "has_tests"}),
        ("contents", {"has_ci"}),
    ],
)
@pytest.mark.parametrize("status", [403, 404, 500])
def test_without_its_details_it_is_still_an_overview(
    office: Office, tail: str, names: set[str], status: int
) -> None:
    before = next(
        look
        for look in by_rest(office).values()
        if office.sim.requests(f"/repos/{look.full_name}/contents") and look.has_ci
    )
    where = f"/repos/{before.full_name}/{tail}"
    office.sim.faults.add(Fault(kind="status", path_regex=where, status=status, times=4))
    (look,) = office.rest.overview([(before.node_id, before.full_name)])
    is_known = (tail, status) == ("contents", 404)  # there is no such folder
    assert look == replace(before, **dict.fromkeys(names, False if is_known else None))


@pytest.mark.spec("R4.2", "R4.4", "R5.6")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "status", "status": 401}, AuthenticationFailed),
        ({"kind": "secondary_limit"}, RateLimited),
        ({"kind": "status", "status": 403, "message": "This installation has been suspended"}, Suspended),
        ({"kind": "status", "status": 410, "message": "API version is retired"}, VersionRetired),
        ({"kind": "reset"}, NetworkError),
        ({"kind": "status", "status": 502}, ServerError),
    ],
)  # fmt: skip
def test_what_concerns_everything_is_raised(
    office: Office, fault: dict[str, Any], expected: type[GitHubError]
) -> None:
    pairs = [(row.node_id, row.full_name) for row in office.repositories().values()]
    office.sim.faults.add(Fault(path_regex="/pulls", times=None, after=3, **fault))
    results = office.rest.overview(pairs)
    assert all(isinstance(next(results), RepositoryOverview) for _ in range(3))
    with pytest.raises(expected):
        list(results)


# -- commits of one history ------------------------------------------------------------------------


@pytest.fixture
def long() -> Iterator[tuple[Office, Repository]]:
    """A repository of 255 commits: three pages."""
    world = World.generate(seed=3, repositories=3)
    with Simulator(world) as sim:
        repository = world.create(OWNER, "long-history")
        world.push_commits(repository.id, 255)
        office = Office(sim)
        with office.client:
            yield office, repository


def commits_of(office: Office, repository: Repository, **more: Any) -> Reading:
    return Reading(
        github_id=repository.id,
        node_id=repository.node_id,
        full_name=office.sim.world.full_name(repository),
        entity=Entity.COMMITS,
        **more,
    )


def history(office: Office, repository: Repository) -> list[str]:
    content = office.sim.world.content(repository)
    return [commit.sha for commit in content.history(repository.default_branch)]


def pages_of(results: Iterator[ContentPage | Failure]) -> list[ContentPage]:
    found = list(results)
    pages = [each for each in found if isinstance(each, ContentPage)]
    assert len(pages) == len(found), found
    assert [page.more for page in pages] == [True] * (len(pages) - 1) + [False]
    return pages


def shas(pages: list[ContentPage]) -> list[str]:
    return [row.sha for page in pages for row in page.rows if isinstance(row, CommitRow)]


CHANGES: dict[str, Callable[[World, int], object]] = {
    "push": lambda world, id_: world.push_commits(id_, 7),
    "forced push": lambda world, id_: world.force_push(id_, drop=30, add=4),
    "forced push of old dates": lambda world, id_: world.force_push(id_, 120, 3, age=86_400),
    "another default branch": lambda world, id_: world.set_default_branch(id_, "release"),
}


@pytest.mark.spec("R4.4", "R4.7", "R5.3")
@pytest.mark.parametrize("pinned", [True, False])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("after", [0, 1])
def test_what_is_pushed_between_two_pages_mixes_no_histories(
    long: tuple[Office, Repository], change: str, after: int, pinned: bool
) -> None:
    office, repository = long
    before = history(office, repository)
    what = CHANGES[change]
    office.sim.faults.add(
        Fault(
            kind="drift",
            path_regex="/commits",
            after=after,
            change=lambda: what(office.sim.world, repository.id),
        )
    )
    work = commits_of(office, repository, head=before[0] if pinned else None)
    pages = pages_of(office.rest.contents([work]))
    assert not office.sim.faults.pending()
    assert shas(pages) == before
    assert {page.head_oid for page in pages} == {before[0]}
    assert [page.total for page in pages] == [None, None, 255]
    assert_described(office)
    again = pages_of(office.rest.contents([commits_of(office, repository)]))
    assert shas(again) == history(office, repository)
    assert again[0].head_oid == history(office, repository)[0]


@pytest.mark.spec("R4.4")
@pytest.mark.parametrize("change", ["push", "forced push"])
def test_a_head_of_before_gives_the_history_of_before(
    long: tuple[Office, Repository], change: str
) -> None:
    office, repository = long
    before = history(office, repository)
    CHANGES[change](office.sim.world, repository.id)
    pages = pages_of(office.rest.contents([commits_of(office, repository, head=before[0])]))
    assert shas(pages) == before


@pytest.mark.spec("R4.4", "R5.6")
def test_a_head_that_github_forgot_is_no_evidence_of_absence(
    long: tuple[Office, Repository],
) -> None:
    office, repository = long
    work = [commits_of(office, repository, head="f" * 40), commits_of(office, repository)]
    failure, *pages = office.rest.contents(work)
    assert isinstance(failure, Failure)
    assert isinstance(failure.error, NotFound)
    assert not failure.error.is_evidence_of_absence
    assert shas([each for each in pages if isinstance(each, ContentPage)]) == history(
        office, repository
    )


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize(
    ("entity", "status", "message"),
    [
        (Entity.COMMITS, 409, "Git Repository is empty."),
        (Entity.ISSUES, 410, "Issues are disabled for this repo"),
    ],
)
def test_nothing_is_only_said_of_a_whole_list(
    long: tuple[Office, Repository], entity: Entity, status: int, message: str
) -> None:
    office, repository = long
    for number in range(101):
        office.sim.world.open_issue(repository.id, f"Issue {number}")
    reading = replace(commits_of(office, repository), entity=entity)
    fault = Fault(kind="status", path_regex=f"/{entity}", status=status, message=message, after=1)
    office.sim.faults.add(fault)
    first, last = office.rest.contents([reading])
    assert isinstance(first, ContentPage)
    assert first.more
    assert isinstance(last, Failure)
    assert not last.error.is_evidence_of_absence


@pytest.mark.spec("R4.4", "R5.2", "R5.3")
def test_contents_of_pinned_heads_are_those_of_graphql(office: Office) -> None:
    rows = office.repositories()
    looks = office.overview(rows)
    heads = {rows[look.node_id].github_id: look.head_oid for look in looks}
    work = [replace(each, head=heads[each.github_id]) for each in work_of(rows, looks)]
    results = list(office.rest.contents(work))
    assert collect(iter(results)) == collect(office.reader.contents(work))
    for page in results:
        assert isinstance(page, ContentPage)
        is_commits = page.reading.entity is Entity.COMMITS and page.rows
        assert page.head_oid == (page.reading.head if is_commits else None)
        assert page.more or page.total == page.reading.expected
    assert_described(office)


# -- what became of one item -----------------------------------------------------------------------


def issue_of(world: World, repository: Repository) -> Issue:
    return world.content(repository).issues[-1]


def pull_of(world: World, repository: Repository) -> PullRequest:
    return world.content(repository).pull_requests[-1]


def fate_of(office: Office, repository: Repository, item: Issue | PullRequest, **more: Any) -> Fate:
    """By what the mirror knows of the item, with requests that GitHub describes."""
    found = office.rest.fate(
        Entity.PULL_REQUESTS if isinstance(item, PullRequest) else Entity.ISSUES,
        more.pop("full_name", office.sim.world.full_name(repository)),
        item.number,
        item.pull_id if isinstance(item, PullRequest) else item.id,
        **more,
    )
    assert_described(office)
    return found


def truth_of(world: World, repository: Repository, name: str, github_id: int) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in world.truth_content(repository.id)[name] if each["github_id"] == github_id
    )
    return found


def assert_is(row: IssueRow | PullRequestRow | None, truth: dict[str, Any]) -> None:
    assert row is not None
    found = as_truth(row)
    assert {name: found[name] or None for name in found} == {
        name: truth[name] or None for name in found
    }


@pytest.mark.spec("R7.2", "R8.3")
def test_what_is_there_comes_with_its_row(office: Office) -> None:
    world = office.sim.world
    for repository in lively(world)[:5]:
        issue, pull = issue_of(world, repository), pull_of(world, repository)
        found = fate_of(office, repository, issue)
        assert (found.kind, found.error) == (FateKind.PRESENT, None)
        assert_is(found.row, truth_of(world, repository, "issues", issue.id))
        found = fate_of(office, repository, pull)
        assert (found.kind, found.error) == (FateKind.PRESENT, None)
        assert_is(found.row, truth_of(world, repository, "pull_requests", pull.pull_id))


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize("status", [404, 410])
def test_what_was_deleted_is_deleted(office: Office, status: Any) -> None:
    world = office.sim.world
    world.deleted_issue_status = status
    repository = lively(world)[0]
    issue = world.delete_issue(repository.id, issue_of(world, repository).number)
    found = fate_of(office, repository, issue)
    assert (found.kind, found.row) == (FateKind.DELETED, None)
    assert isinstance(found.error, NotFound if status == 404 else Gone)


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize("rename", [False, True])
def test_what_was_transferred_tells_where_it_is(office: Office, rename: bool) -> None:
    world = office.sim.world
    one, two = lively(world)[:2]
    name, issue = world.full_name(one), issue_of(world, one)
    moved = world.transfer_issue(one.id, issue.number, two.id)
    if rename:
        world.rename(one.id, "called-otherwise")
    found = fate_of(office, one, issue, full_name=name)
    assert (found.kind, found.full_name) == (FateKind.TRANSFERRED, world.full_name(two))
    assert_is(found.row, truth_of(world, two, "issues", moved.id))
    world.delete_issue(two.id, moved.number)
    assert fate_of(office, one, issue, full_name=name).kind is FateKind.DELETED


@pytest.mark.spec("R7.2")
def test_a_new_name_of_the_repository_is_no_transfer(office: Office) -> None:
    world = office.sim.world
    repository = lively(world)[0]
    name = world.full_name(repository)
    world.rename(repository.id, "called-otherwise")
    for item in (issue_of(world, repository), pull_of(world, repository)):
        assert fate_of(office, repository, item, full_name=name).kind is FateKind.PRESENT


@pytest.mark.spec("R7.2")
def test_another_item_under_the_same_number_tells_nothing(office: Office) -> None:
    world = office.sim.world
    one, two = lively(world)[:2]
    issue = issue_of(world, one)
    name = world.full_name(one)
    while world.content(two).last_number < issue.number:
        world.open_issue(two.id, "One more")
    world.swap_names(one.id, two.id)
    assert fate_of(office, one, issue, full_name=name).kind is FateKind.UNKNOWN
    found = fate_of(office, one, issue, full_name=name, repository_id=one.id)
    assert found.kind is FateKind.PRESENT


@pytest.mark.spec("R7.2")
def test_a_pull_request_is_not_the_issue(office: Office) -> None:
    world = office.sim.world
    repository = lively(world)[0]
    pull, name = pull_of(world, repository), world.full_name(repository)
    ask = office.rest.fate
    assert ask(Entity.ISSUES, name, pull.number, pull.pull_id) == Fate(kind=FateKind.UNKNOWN)
    assert ask(Entity.ISSUES, name, pull.number, pull.id) == Fate(kind=FateKind.DELETED)
    issue = issue_of(world, repository)
    assert ask(Entity.PULL_REQUESTS, name, issue.number, 1).kind is FateKind.DELETED


@pytest.mark.spec("R7.2")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "status", "status": 410, "message": "Issues are disabled for this repo"}, Gone),
        ({"kind": "status", "status": 404, "html": True}, NotFound),
        ({"kind": "status", "status": 403}, Forbidden),
        ({"kind": "status", "status": 451}, LegallyBlocked),
        ({"kind": "status", "status": 500}, ServerError),
        (None, ServerError),
    ],
)  # fmt: skip
def test_what_is_not_known_is_unknown(
    office: Office, fault: dict[str, Any] | None, expected: type[GitHubError]
) -> None:
    repository = lively(office.sim.world)[0]
    issue = issue_of(office.sim.world, repository)
    if fault is None:
        issue.title = None  # type: ignore[assignment]  # it is there, and cannot be read
    else:
        office.sim.faults.add(Fault(path_regex="/issues/", times=4, **fault))
    found = fate_of(office, repository, issue)
    assert (found.kind, found.row) == (FateKind.UNKNOWN, None)
    assert isinstance(found.error, expected)


@pytest.mark.spec("R4.2", "R7.2")
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "status", "status": 401}, AuthenticationFailed),
        ({"kind": "secondary_limit"}, RateLimited),
        ({"kind": "status", "status": 403, "message": "This installation has been suspended"}, Suspended),
        ({"kind": "status", "status": 410, "message": "The API version is no longer supported"},
         VersionRetired),
        ({"kind": "reset"}, NetworkError),
        ({"kind": "malformed"}, NetworkError),
    ],
)  # fmt: skip
def test_what_is_not_about_the_item_says_nothing_about_it(
    office: Office, fault: dict[str, Any], expected: type[GitHubError]
) -> None:
    repository = lively(office.sim.world)[0]
    office.sim.faults.add(Fault(path_regex="/issues/", times=4, **fault))
    with pytest.raises(expected) as caught:
        fate_of(office, repository, issue_of(office.sim.world, repository))
    assert not caught.value.is_evidence_of_absence


@pytest.mark.spec("R7.2")
def test_the_simulated_answers_are_those_that_github_describes(office: Office) -> None:
    world = office.sim.world
    one, two = lively(world)[:2]
    name = world.full_name(one)
    there, deleted, moved = world.content(one).issues[:1] + [
        world.open_issue(one.id, title) for title in ("To be deleted", "To be moved")
    ]
    world.delete_issue(one.id, deleted.number)
    world.transfer_issue(one.id, moved.number, two.id)
    pull = pull_of(world, one)
    head = world.contents.head_sha(one)
    asked = {
        f"/repos/{name}/issues/{there.number}": 200,
        f"/repos/{name}/issues/{pull.number}": 200,
        f"/repos/{name}/issues/{deleted.number}": 410,
        f"/repos/{name}/issues/{moved.number}": 301,
        f"/repos/{name}/issues/99999": 404,
        f"/repos/{name}/pulls/{pull.number}": 200,
        f"/repos/{name}/pulls/{there.number}": 404,
        f"/repos/{name}/git/trees/{head}": 200,
        f"/repos/{name}/commits?sha={head}&per_page=1": 200,
        f"/repos/{name}/commits?sha={'f' * 40}": 404,
    }
    token = office.client.auth.credential().value
    headers = {"authorization": f"Bearer {token}", "user-agent": "test"}
    for path, status in asked.items():
        validate_request("GET", path)
        answer = requests.get(
            office.sim.url + path, headers=headers, timeout=5, allow_redirects=False
        )
        assert answer.status_code == status, path
        validate_response("GET", path, status, answer.content)


# -- connections -----------------------------------------------------------------------------------


class Kept:
    """A cache that can be looked into; a broken one fails whatever is asked of it."""

    def __init__(self, *, broken: bool = False) -> None:
        self.values: dict[str, tuple[object, float]] = {}
        self._broken = broken

    def get(self, key: str) -> object:
        if self._broken:
            raise ConnectionRefusedError("no cache")
        value, until = self.values.get(key, (None, 0.0))
        return value if until > clock.now().timestamp() else None

    def set(self, key: str, value: object, seconds: float) -> None:
        if self._broken:
            raise ConnectionRefusedError("no cache")
        self.values[key] = value, clock.now().timestamp() + seconds


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(connect, "shared_cache", kept)
    return kept


@pytest.fixture
def personal(token_mode: Simulator) -> Installation:
    """The account of the personal access token."""
    owner = token_mode.world.account(token_mode.token_owner)
    return Installation(
        mode=Installation.Mode.TOKEN,
        account_type=Installation.AccountType.USER,
        account_login=owner.login,
        account_id=owner.id,
    )


def source_of(installation: Installation) -> RepositorySource:
    """As each run asks, with a client of its own."""
    with connect.token_client() as client:
        return connect.source_of(installation, client)


@pytest.mark.spec("R4.1")
def test_whose_token_it_is_is_asked_once_an_hour(
    personal: Installation, token_mode: Simulator, settings: Settings, kept: Kept
) -> None:
    own = RepositorySource.authenticated_user()
    assert [source_of(personal), source_of(personal)] == [own, own]
    assert len(token_mode.requests("/user")) == 1
    assert [value for value, _ in kept.values.values()] == [personal.account_id]
    assert settings.GITHUB_TOKEN not in repr(kept.values)
    with time_machine.travel(clock.now() + timedelta(seconds=3700)):
        assert source_of(personal) == own
    assert len(token_mode.requests("/user")) == 2
    settings.GITHUB_TOKEN = "ghp_of_somebody_else"
    with pytest.raises(AuthenticationFailed):
        source_of(personal)


@pytest.mark.spec("R4.1")
def test_without_a_cache_github_is_asked(
    personal: Installation, token_mode: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "shared_cache", Kept(broken=True))
    for times in (1, 2):
        assert source_of(personal) == RepositorySource.authenticated_user()
        assert len(token_mode.requests("/user")) == times


@pytest.mark.spec("R4.4", "R12.1")
def test_a_connection_reads_both_ways_and_counts_points(token_mode: Simulator) -> None:
    with connect.Connection(connect.token_client()) as connection:
        assert connection.usage()["graphql_points"] == 0
        listing = connection.client.list_repositories(RepositorySource.authenticated_user())
        rows = {row.node_id: row.full_name for page in listing for row in page.rows}
        by_graphql = {each.node_id: each for each in connection.graphql().overview(rows)}
        assert connection.usage()["graphql_points"] == 1
        assert {
            each.node_id: each for each in connection.rest().overview(rows.items())
        } == by_graphql
        assert by_graphql.keys() == rows.keys()
        assert connection.graphql() is connection.graphql()
        assert connection.rest() is connection.rest()
