"""GraphQL and REST over real sockets, against the simulated GitHub: the same rows, all of them true."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from syncsvc.github.auth import TokenAuth
from syncsvc.github.budget import BudgetGuard
from syncsvc.github.client import GitHubClient, RepositorySource
from syncsvc.github.content import CommitRow, IssueRow, PullRequestRow
from syncsvc.github.errors import RateLimited
from syncsvc.github.graphql_client import GraphQLReader
from syncsvc.github.graphql_content import RepositoryOverview
from syncsvc.github.memory import MemoryBudgetStore, MemoryEtagStore
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.reading import ContentPage, Entity, Failure, Reading
from syncsvc.github.rest_content import RestReader
from syncsvc.github.transport import Transport
from syncsvc.simulator import Fault, Simulator, World
from tests.contract import validate_request

OWNER = "octo-simulated"
Found = dict[tuple[int, Entity], list[Any]]


class Office:
    """A client with a token of the simulated organization's installation."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.slept: list[float] = []
        transport = Transport(
            sim.url,
            BudgetGuard(MemoryBudgetStore(), 0, self.now, lambda: 0.5),
            clock=self.now,
            timeouts=(2, 20),
            sleep=self.slept.append,
            rng=lambda: 0.5,
        )
        self.client = GitHubClient(
            transport, TokenAuth(sim.installation_token(OWNER)), MemoryEtagStore()
        )
        self.reader = GraphQLReader(self.client)
        self.rest = RestReader(self.client)

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sim.now(), UTC)

    def repositories(self) -> dict[str, RepositoryRow]:
        pages = self.client.list_repositories(RepositorySource.installation())
        return {row.node_id: row for page in pages for row in page.rows}

    def overview(self, rows: dict[str, RepositoryRow]) -> list[RepositoryOverview]:
        found = list(self.reader.overview(rows))
        assert not [each for each in found if isinstance(each, Failure)]
        return [each for each in found if isinstance(each, RepositoryOverview)]


def work_of(
    rows: dict[str, RepositoryRow], looks: list[RepositoryOverview], **more: Any
) -> list[Reading]:
    counts = (
        (Entity.ISSUES, "issues"), (Entity.PULL_REQUESTS, "pull_requests"), (Entity.COMMITS, "commits"),
    )  # fmt: skip
    return [
        Reading(
            github_id=rows[look.node_id].github_id,
            node_id=look.node_id,
            full_name=rows[look.node_id].full_name,
            entity=entity,
            expected=getattr(look, name),
            **more,
        )
        for look in looks
        for entity, name in counts
    ]


def collect(results: Iterator[ContentPage | Failure]) -> Found:
    found: Found = {}
    for each in results:
        assert isinstance(each, ContentPage), each
        assert not each.bad
        key = (each.reading.github_id, each.reading.entity)
        found.setdefault(key, []).extend(each.rows)
    return {key: sorted(rows, key=repr) for key, rows in found.items()}


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    world = World.generate(
        seed=7, repositories=130, issues_per_repository=12, commits_per_repository=20
    )
    with Simulator(world) as running:
        yield running


@pytest.fixture
def office(sim: Simulator) -> Iterator[Office]:
    office = Office(sim)
    sim.reset_log()
    with office.client:
        yield office


def as_truth(row: IssueRow | PullRequestRow | CommitRow) -> dict[str, Any]:
    """A row in the words of the simulator's truth."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat()[:19] + "Z"
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(getattr(row, name)) for name in row.__slots__}


@pytest.mark.spec("R4.4", "R4.7", "R5.2", "R5.3")
def test_graphql_and_rest_give_the_same_rows_and_these_are_the_truth(office: Office) -> None:
    rows = office.repositories()
    looks = office.overview(rows)
    work = work_of(rows, looks)
    by_graphql = collect(office.reader.contents(work))
    by_rest = collect(office.rest.contents(work))
    assert by_graphql == by_rest
    for look in looks:
        row = rows[look.node_id]
        truth = office.sim.world.truth_content(row.github_id)
        for entity in Entity:
            found = {
                each.get("github_id", each.get("sha")): each
                for each in map(as_truth, by_graphql[row.github_id, entity])
            }
            expected = {each.get("github_id", each.get("sha")): each for each in truth[entity]}
            assert found.keys() == expected.keys()
            for key, item in found.items():
                wanted = expected[key]
                shared = item.keys() & wanted.keys()
                assert {name: item[name] or None for name in shared} == {
                    name: wanted[name] or None for name in shared
                }
                assert item.keys() <= wanted.keys()
        assert (look.commits, look.head_oid) == (truth["commit_count"], truth["head_sha"])
        assert (look.issues, look.pull_requests) == (
            len(truth["issues"]),
            len(truth["pull_requests"]),
        )
        assert look.languages == truth["languages"] == office.rest.languages(row.full_name)
    for exchange in office.sim.log:
        if exchange.method == "GET":
            validate_request(exchange.method, exchange.path)


@pytest.mark.spec("R4.2", "R4.4")
def test_the_points_are_those_that_were_planned(office: Office) -> None:
    rows = office.repositories()
    looks = office.overview(rows)
    before = office.client.usage.snapshot().points
    assert before == 4 + 1  # a hundred repositories, and thirty
    pages = list(office.reader.contents(work_of(rows, looks)))
    spent = office.client.usage.snapshot().points
    items = sum(look.issues + look.pull_requests for look in looks)
    lists = sum(bool(look.issues) + bool(look.pull_requests) + bool(look.commits) for look in looks)
    assert abs(spent - before - (2 * items + lists) / 100) <= len(office.sim.requests("/graphql"))
    budget = office.client.transport.budget.budget("graphql")
    assert budget is not None
    assert budget.used >= spent
    assert pages


@pytest.mark.spec("R5.5")
def test_a_window_holds_what_was_updated_in_it_by_both_ways(office: Office) -> None:
    rows = office.repositories()
    looks = office.overview(rows)
    times = sorted(look.latest_issue_at for look in looks if look.latest_issue_at)
    since = times[len(times) // 2]
    work = [each for each in work_of(rows, looks, since=since) if each.entity is not Entity.COMMITS]
    by_graphql = collect(office.reader.contents(work))
    assert by_graphql == collect(office.rest.contents(work))
    assert any(row.updated_at == since for found in by_graphql.values() for row in found)
    assert all(row.updated_at >= since for found in by_graphql.values() for row in found)


@pytest.fixture(scope="module")
def some(sim: Simulator) -> tuple[list[Reading], Found]:
    """What fifty repositories hold, and what is read of it when nothing goes wrong."""
    office = Office(sim)
    with office.client:
        rows = dict(list(office.repositories().items())[:50])
        work = work_of(rows, office.overview(rows))
        return work, collect(office.reader.contents(work))


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 502}),
        ("truncated", {}),
        ("secondary_limit", {}),
        ("node_limit", {}),
        ("query_timeout", {"status": 200}),
        ("query_timeout", {"status": 502}),
        ("query_timeout", {"status": 504, "html": True}),
        ("partial", {"record": 0}),
        ("partial", {"record": 3}),
    ],
)
def test_what_goes_wrong_once_loses_nothing(
    office: Office, some: tuple[list[Reading], Found], kind: Any, more: dict[str, Any]
) -> None:
    work, whole = some
    office.sim.faults.add(Fault(kind=kind, path_regex="/graphql", times=2, **more))
    if kind == "secondary_limit":
        with pytest.raises(RateLimited):
            list(office.reader.contents(work))
        office.sim.faults.clear()
        return
    assert collect(office.reader.contents(work)) == whole
    assert not office.sim.faults.pending()


@pytest.mark.spec("R4.4", "R5.6")
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("status", {"status": 502}),
        ("query_timeout", {"status": 200}),
        ("query_timeout", {"status": 504}),
        ("partial", {"record": 0}),
        ("partial", {"record": 40}),
    ],
)
def test_what_goes_wrong_once_loses_no_overview(
    office: Office, kind: Any, more: dict[str, Any]
) -> None:
    rows = office.repositories()
    whole = {look.node_id: look for look in office.overview(rows)}
    assert whole.keys() == rows.keys()
    office.sim.faults.add(Fault(kind=kind, path_regex="/graphql", times=2, **more))
    assert {look.node_id: look for look in office.overview(rows)} == whole
    assert not office.sim.faults.pending()
