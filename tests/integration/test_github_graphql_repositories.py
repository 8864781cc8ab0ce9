"""One repository through GraphQL: the row that REST gives, field by field."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from syncsvc.github.auth import TokenAuth
from syncsvc.github.budget import BudgetGuard
from syncsvc.github.client import GitHubClient
from syncsvc.github.errors import GitHubError, LegallyBlocked, NotFound, RateLimited, ServerError
from syncsvc.github.graphql_client import GraphQLReader
from syncsvc.github.graphql_repositories import (
    MOST_AT_ONCE,
    Known,
    parse_node,
    repositories_query,
)
from syncsvc.github.memory import MemoryBudgetStore, MemoryEtagStore
from syncsvc.github.payloads import RepositoryRow
from syncsvc.github.reading import Entity
from syncsvc.github.transport import Transport
from syncsvc.github.values import InvalidRecord
from syncsvc.plan import FIELDS
from syncsvc.simulator import Fault, Simulator, World
from syncsvc.simulator.records import Repository
from tests.contract import validate_query

OWNER = "octo-simulated"


@pytest.fixture
def sim() -> Iterator[Simulator]:
    # One for each test: some of them delete and block what others read.
    with Simulator(World.generate(seed=11, repositories=60, issues_per_repository=4)) as running:
        yield running


@pytest.fixture
def client(sim: Simulator) -> Iterator[GitHubClient]:
    sim.reset_log()

    def now() -> datetime:
        return datetime.fromtimestamp(sim.now(), UTC)

    budget = BudgetGuard(MemoryBudgetStore(), 0, now, lambda: 0.5)
    transport = Transport(sim.url, budget, clock=now, sleep=lambda _: None)
    auth = TokenAuth(sim.installation_token(OWNER))
    with GitHubClient(transport, auth, MemoryEtagStore()) as client:
        yield client


def known(*repositories: Repository) -> list[Known]:
    return [Known(node_id=each.node_id, github_id=each.id) for each in repositories]


def read(client: GitHubClient, *repositories: Repository) -> list[RepositoryRow | GitHubError]:
    return list(GraphQLReader(client).repositories(known(*repositories)).values())


def owned(sim: Simulator) -> list[Repository]:
    return sim.world.owned(sim.world.account(OWNER))


def different(mine: RepositoryRow, theirs: RepositoryRow) -> dict[str, tuple[object, object]]:
    """The fields that both tell and tell differently; topics are a set."""
    found = {}
    for name in (*FIELDS, "github_id"):
        one, other = getattr(mine, name), getattr(theirs, name)
        if name == "topics":
            one, other = set(one), set(other)
        if name not in mine.absent and one != other:
            found[name] = (one, other)
    return found


@pytest.mark.spec("R4.7")
def test_githubs_schema_allows_the_query() -> None:
    validate_query(repositories_query(["R_1"]).text)


@pytest.mark.spec("R8.3", "R5.1")
def test_graphql_tells_of_every_repository_what_rest_tells(
    sim: Simulator, client: GitHubClient
) -> None:
    sim.world.edit(owned(sim)[0].id, homepage="", description="", license=None)
    repositories = owned(sim)
    rows = GraphQLReader(client).repositories(known(*repositories))
    assert sum(1 for each in sim.requests("/graphql")) == -(-len(repositories) // MOST_AT_ONCE)
    told, empty = 0, 0
    for each in repositories:
        row, rest = rows[each.id], client.get_repository_by_id(each.id)
        assert isinstance(row, RepositoryRow), row
        assert different(row, rest) == {}
        is_empty = not sim.world.content(each).branches
        assert row.absent == (frozenset({"default_branch"}) if is_empty else frozenset())
        told, empty = told + 1, empty + is_empty
    assert (told, empty > 0) == (60, True)
    facts = {(r.visibility, r.archived, r.fork, r.license is None) for r in repositories}
    assert {"public", "private", "internal"} == {visibility for visibility, *_ in facts}
    for n in range(1, 4):
        assert {True, False} == {fact[n] for fact in facts}
    assert any(r.license == "NOASSERTION" for r in repositories)
    assert any(r.id > 2**32 for r in repositories)
    assert any(r.homepage is None for r in repositories)


@pytest.mark.spec("R8.3")
def test_what_may_not_be_read_is_not_told_and_spoils_nothing(
    sim: Simulator, client: GitHubClient
) -> None:
    each = next(r for r in owned(sim) if sim.world.content(r).branches)
    rows = GraphQLReader(client).repositories(known(each), [Entity.ISSUES])
    row = rows[each.id]
    assert isinstance(row, RepositoryRow)
    assert row.absent == frozenset({"open_issues", "default_branch"})
    assert different(row, client.get_repository_by_id(each.id)) == {}


@pytest.mark.spec("R8.3", "R4.1")
def test_one_that_is_gone_or_blocked_says_so_and_the_others_are_told(
    sim: Simulator, client: GitHubClient
) -> None:
    gone, blocked, there = owned(sim)[3:6]
    sim.world.delete(gone.id)
    sim.world.block(blocked.id, "dmca")
    found = read(client, gone, blocked, there)
    assert isinstance(found[0], NotFound)
    assert found[0].is_evidence_of_absence
    assert isinstance(found[1], LegallyBlocked)
    assert isinstance(found[2], RepositoryRow)


@pytest.mark.spec("R8.3", "R4.5")
def test_githubs_own_trouble_is_an_answer_and_a_limit_is_raised(
    sim: Simulator, client: GitHubClient
) -> None:
    each = owned(sim)[7]
    sim.faults.add(Fault(kind="status", path_regex="/graphql", status=502))
    assert isinstance(read(client, each)[0], ServerError)
    assert isinstance(read(client, each)[0], RepositoryRow)
    sim.faults.add(Fault(kind="status", path_regex="/graphql", status=404))
    [none] = read(client, each)  # a server without GraphQL
    assert isinstance(none, GitHubError)
    assert not none.is_evidence_of_absence
    sim.faults.add(Fault(kind="secondary_limit", path_regex="/graphql"))
    with pytest.raises(RateLimited):
        read(client, each)


@pytest.mark.spec("R8.3")
def test_another_repository_or_another_form_of_id_is_no_evidence() -> None:
    node = {"id": "R_1", "databaseId": 7, "name": "a", "owner": {"login": "octo", "databaseId": 1}}
    with pytest.raises(InvalidRecord):
        parse_node(node, Known(node_id="R_1", github_id=8))
    with pytest.raises(InvalidRecord):
        parse_node(None, Known(node_id="R_1", github_id=8))
    row = parse_node(node, Known(node_id="MDEwOlJlcG9zaXRvcnk3", github_id=7))
    assert "node_id" in row.absent
    assert {"stars", "visibility", "topics", "archived", "default_branch"} <= row.absent
