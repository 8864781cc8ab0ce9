"""The simulated GraphQL API: what it says is what GitHub's schema says, and its words."""

from collections.abc import Iterator
from typing import Any, Literal

import orjson
import pytest
import requests
from graphql import GraphQLInterfaceType, GraphQLObjectType

from syncsvc.simulator import Fault, Simulator, World
from syncsvc.simulator.graphql.language import TypeRef, parse
from syncsvc.simulator.graphql.schema import schema
from syncsvc.simulator.messages import Request
from tests.contract import ContractError, graphql_schema, validate_query

ORG = "octo-simulated"


@pytest.fixture(scope="module")
def sim() -> Any:
    """Read only: tests that change something have their own."""
    with Simulator(World.generate(repositories=40, issues_per_repository=12)) as running:
        yield running


def ask(sim: Simulator, query: str, *, token: str | None = None, **variables: Any) -> Any:
    body = orjson.dumps({"query": query, "variables": variables})
    header = {
        "authorization": f"Bearer {token or sim.installation_token(ORG)}",
        "user-agent": "test",
    }
    answer = sim._respond(Request("POST", "/graphql", "", header, body)).answer
    assert answer.status == 200, answer.body
    return orjson.loads(answer.body)


def refused(sim: Simulator, query: str, **variables: Any) -> dict[str, Any]:
    answer = ask(sim, query, **variables)
    assert not answer.get("data"), answer
    error: dict[str, Any] = answer["errors"][0]
    return error


MIRROR = """
query Mirror($ids: [ID!]!, $since: DateTime, $day: GitTimestamp, $more: Boolean = true) {
  rateLimit { cost limit remaining used resetAt nodeCount }
  nodes(ids: $ids) { __typename id ...Content }
}
fragment Content on Repository {
  databaseId nameWithOwner updatedAt pushedAt isArchived isEmpty
  owner { __typename login ... on Organization { name } }
  defaultBranchRef { name target { oid ... on Commit {
    history(first: 5, since: $day) {
      totalCount pageInfo { hasNextPage endCursor }
      nodes {
        oid message messageHeadline messageBody committedDate authoredDate
        author { name email date user { login } } parents(first: 1) { nodes { oid } }
      }
    }
  } } }
  issues(first: 5, orderBy: {field: UPDATED_AT, direction: DESC}, filterBy: {since: $since}) {
    totalCount pageInfo { hasNextPage endCursor }
    edges { cursor node { number } }
    nodes {
      id databaseId fullDatabaseId number title body state stateReason(enableDuplicate: true)
      createdAt updatedAt closedAt url author { __typename login }
      labels(first: 10) @include(if: $more) { totalCount nodes { name color } }
      assignees(first: 10) @skip(if: $more) { nodes { login } }
    }
  }
  pullRequests(first: 5, states: [OPEN, MERGED]) {
    totalCount
    nodes {
      id fullDatabaseId number state isDraft merged mergedAt baseRefName headRefName headRefOid
      mergeCommit { oid } potentialMergeCommit { oid } headRepository { nameWithOwner }
      mergedBy { login } repository { name }
    }
  }
  languages(first: 10, orderBy: {field: SIZE, direction: DESC}) {
    totalSize edges { size node { name color } }
  }
  object(expression: "HEAD:") { ... on Tree { entries { name type object { oid } } } }
  repositoryTopics(first: 5) { nodes { topic { name } } }
  licenseInfo { spdxId key name } primaryLanguage { name } visibility
}
"""


def test_what_it_speaks_is_a_part_of_githubs_schema() -> None:
    theirs = graphql_schema()
    for ours in schema().types.values():
        known = theirs.type_map[ours.name]
        if ours.kind == "enum":
            assert set(ours.values) == set(known.values), ours.name  # type: ignore[attr-defined]
        if ours.kind == "union":
            assert set(ours.values) == {t.name for t in known.types}  # type: ignore[attr-defined]
        for name, argument in ours.inputs.items():
            assert str(argument.type) == str(known.fields[name].type)  # type: ignore[attr-defined]
        if not ours.fields:
            continue
        assert isinstance(known, GraphQLObjectType | GraphQLInterfaceType)
        assert set(ours.interfaces) <= {i.name for i in known.interfaces}
        for name, field in ours.fields.items():
            where, found = f"{ours.name}.{name}", known.fields[name]
            assert str(field.type) == str(found.type), where
            assert set(field.arguments) == set(found.args), where
            for argument in field.arguments.values():
                assert str(argument.type) == str(found.args[argument.name].type), where


@pytest.mark.spec("R4.4", "R4.7")
def test_a_mirrors_query_is_valid_at_github_and_here(sim: Simulator) -> None:
    validate_query(MIRROR)
    ids = [facts["node_id"] for facts in sim.world.truth_of(ORG)]
    answer = ask(sim, MIRROR, ids=ids)
    assert "errors" not in answer
    # For each of 40 ids: six connections, 5 commits with parents, 5 issues with labels.
    assert answer["data"]["rateLimit"]["cost"] == round(40 * (5 + 5 + 5) / 100)
    for shown, facts in zip(answer["data"]["nodes"], sim.world.truth_of(ORG), strict=True):
        truth = sim.world.truth_content(facts["github_id"])
        assert shown["isEmpty"] == (not truth["commits"]) == (shown["defaultBranchRef"] is None)
        assert shown["issues"]["totalCount"] == len(truth["issues"])
        assert {e["node"]["name"]: e["size"] for e in shown["languages"]["edges"]} == truth[
            "languages"
        ]
        assert (shown["databaseId"] is None) == (facts["github_id"] > 2**31)
        assert "assignees" not in str(shown["issues"])


CONTENT = """
query Content($owner: String!, $name: String!, $issues: String, $pulls: String, $commits: String) {
  repository(owner: $owner, name: $name) {
    issues(first: 3, after: $issues, orderBy: {field: UPDATED_AT, direction: ASC}) {
      pageInfo { hasNextPage endCursor }
      nodes {
        fullDatabaseId id number title body state stateReason(enableDuplicate: true)
        author { __typename login } assignees(first: 10) { nodes { login } }
        labels(first: 20) { nodes { name } } createdAt updatedAt closedAt
      }
    }
    pullRequests(first: 3, after: $pulls, orderBy: {field: UPDATED_AT, direction: DESC}) {
      pageInfo { hasNextPage endCursor }
      nodes {
        fullDatabaseId id number title body state isDraft merged mergedAt
        author { __typename login } assignees(first: 10) { nodes { login } }
        labels(first: 20) { nodes { name } } createdAt updatedAt closedAt
        baseRefName headRefName headRefOid mergeCommit { oid }
      }
    }
    defaultBranchRef { target { ... on Commit { history(first: 3, after: $commits) {
      pageInfo { hasNextPage endCursor }
      nodes {
        oid author { name email user { login } } authoredDate committedDate message
      }
    } } } }
  }
}
"""


def item(node: dict[str, Any]) -> dict[str, Any]:
    author = node["author"]
    bot = author is not None and author["__typename"] == "Bot"
    return {
        "github_id": int(node["fullDatabaseId"]),
        "node_id": node["id"],
        "number": node["number"],
        "title": node["title"],
        "body": node["body"],
        "state": {"MERGED": "closed"}.get(node["state"], node["state"].lower()),
        "author": author and author["login"] + ("[bot]" if bot else ""),
        "assignees": sorted(a["login"] for a in node["assignees"]["nodes"]),
        "labels": sorted(label["name"] for label in node["labels"]["nodes"]),
        "created_at": node["createdAt"],
        "updated_at": node["updatedAt"],
        "closed_at": node["closedAt"],
    }


@pytest.mark.spec("R4.4", "R5.2", "R5.3")
def test_page_by_page_it_tells_the_truth(sim: Simulator) -> None:
    validate_query(CONTENT)
    for facts in sim.world.truth_of(ORG)[:12]:
        truth = sim.world.truth_content(facts["github_id"])
        variables: dict[str, Any] = {"owner": facts["owner"], "name": facts["name"]}
        issues: list[Any] = []
        pulls: list[Any] = []
        commits: list[Any] = []
        found = {"issues": issues, "pulls": pulls, "commits": commits}
        more = set(found)
        while more:
            shown = ask(sim, CONTENT, **variables)["data"]["repository"]
            branch = shown["defaultBranchRef"]
            history = branch["target"]["history"] if branch else {"nodes": [], "pageInfo": {}}
            pages = {"issues": shown["issues"], "pulls": shown["pullRequests"], "commits": history}
            for name in sorted(more):
                found[name] += pages[name]["nodes"]
                variables[name] = pages[name]["pageInfo"].get("endCursor")
                if not pages[name]["pageInfo"].get("hasNextPage"):
                    more.remove(name)
        by_number = sorted(issues, key=lambda i: -i["number"])
        assert [
            item(i) | {"state_reason": (i["stateReason"] or "").lower() or None} for i in by_number
        ] == truth["issues"]
        assert [i["updatedAt"] for i in issues] == sorted(i["updatedAt"] for i in issues)
        assert [
            item(p)
            | {
                "draft": p["isDraft"],
                "merged": p["merged"],
                "merged_at": p["mergedAt"],
                "base_ref": p["baseRefName"],
                "head_ref": p["headRefName"],
                "head_sha": p["headRefOid"],
                "merge_commit_sha": p["mergeCommit"] and p["mergeCommit"]["oid"],
            }
            for p in sorted(pulls, key=lambda p: -p["number"])
        ] == truth["pull_requests"]
        assert [
            {
                "sha": c["oid"],
                "author_login": c["author"]["user"] and c["author"]["user"]["login"],
                "author_name": c["author"]["name"],
                "author_email": c["author"]["email"],
                "authored_at": c["authoredDate"],
                "committed_at": c["committedDate"],
                "message": c["message"],
            }
            for c in commits
        ] == truth["commits"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("{ foo }", "Field 'foo' doesn't exist on type 'Query'"),
        ("{ viewer { login(x: 1) } }", "Field 'login' doesn't accept argument 'x'"),
        ('{ repository(owner: "x") { id } }', "is missing required arguments: name"),
        ("{ viewer }", "Field must have selections"),
        ("{ viewer { login { id } } }", "Selections can't be made on scalars"),
        ("query($x: Int) { viewer { id } }", "Variable $x is declared by anonymous query but not used"),
        ("{ node(id: $x) { id } }", "Variable $x is used by anonymous query but not declared"),
        ("query($x: Int!) { node(id: $x) { id } }", "Type mismatch on variable $x and argument id (Int! / ID!)"),
        ("query($x: [ID]!) { nodes(ids: $x) { id } }", "Type mismatch on variable $x"),
        ("query($x: Nothing) { node(id: $x) { id } }", "Nothing isn't a defined input type (on $x)"),
        ("fragment A on User { id } { viewer { id } }", "Fragment A was defined, but not used"),
        ("{ viewer { ...A } }", "Fragment A was used, but not defined"),
        ("{ viewer { ... on Commit { id } } }", "Fragment on Commit can't be spread inside User"),
        ("{ viewer { ... on Nobody { id } } }", "No such type Nobody"),
        ("{ viewer { ...A } } fragment A on User { ...A }", "contains an infinite loop"),
        ("{ viewer { id @here } }", "Directive @here is not defined"),
        ("{ viewer { repositories(first: 1, orderBy: {field: AGE, direction: ASC}) { totalCount } } }",
         "has an invalid value ({field: AGE, direction: ASC}). Expected type 'RepositoryOrder'."),
        ('{ viewer { repositories(first: "1") { totalCount } } }', "Argument 'first' on Field"),
        ("{ viewer { a: id a: login } }", "Field 'a' has a field conflict: id or login?"),
        ("{ viewer { id ", "Unexpected end of document"),
        ("{ viewer { id } } }", 'Parse error on "}"'),
        ("{ viewer ? }", 'Parse error on "?"'),
    ],
)  # fmt: skip
def test_what_github_refuses_is_refused_in_its_words(
    sim: Simulator, query: str, words: str
) -> None:
    assert words in refused(sim, query)["message"]
    with pytest.raises(ContractError):
        validate_query(query)


@pytest.mark.parametrize(
    ("query", "kind", "path"),
    [
        ("{ viewer { repositories { totalCount } } }", "MISSING_PAGINATION_BOUNDARIES", ["viewer", "repositories"]),
        ("{ viewer { r: repositories(first: 101) { totalCount } } }", "EXCESSIVE_PAGINATION", ["viewer", "r"]),
        ("{ viewer { repositories(last: 200) { totalCount } } }", "EXCESSIVE_PAGINATION", ["viewer", "repositories"]),
    ],
)  # fmt: skip
def test_pages_have_bounds(sim: Simulator, query: str, kind: str, path: list[str]) -> None:
    validate_query(query)
    error = refused(sim, query)
    assert (error["type"], error["path"]) == (kind, path)


def test_variables_must_fit(sim: Simulator) -> None:
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert "$ids of type [ID!]! was provided invalid value" in refused(sim, query)["message"]
    assert "invalid value" in refused(sim, query, ids=[None])["message"]
    assert refused(sim, query, ids=["x"] * 101)["type"] == "ARGUMENT_LIMIT"
    order = """query($o: IssueOrder!) { viewer { repositories(first: 1) { nodes {
        issues(first: 1, orderBy: $o) { totalCount } } } } }"""
    assert "invalid value" in refused(sim, order, o={"field": "UPDATED_AT"})["message"]
    assert "errors" not in ask(sim, order, o={"field": "UPDATED_AT", "direction": "ASC"})


@pytest.mark.spec("R4.4")
def test_too_many_nodes_are_refused(sim: Simulator) -> None:
    query = """{ organization(login: "octo-simulated") { repositories(first: 100) { nodes {
        issues(first: 100) { nodes { labels(first: 60) { totalCount } } } } } } }"""
    error = refused(sim, query)
    assert error["type"] == "MAX_NODE_LIMIT_EXCEEDED"
    assert error["message"] == (
        "This query requests up to 610,100 possible nodes which exceeds the maximum limit of "
        "500,000."
    )


@pytest.mark.spec("R4.4", "R5.6")
def test_one_missing_repository_is_null_beside_the_others(sim: Simulator) -> None:
    facts = sim.world.truth_of(ORG)[0]
    query = """query($name: String!, $ids: [ID!]!) {
      a: repository(owner: "octo-simulated", name: $name) { name }
      b: repository(owner: "octo-simulated", name: "nothing") { name issues(first: 1) { totalCount } }
      nodes(ids: $ids) { id }
    }"""
    answer = ask(sim, query, name=facts["name"], ids=[facts["node_id"], "R_kgDOAAAAAQ", "nonsense"])
    assert answer["data"] == {
        "a": {"name": facts["name"]},
        "b": None,
        "nodes": [{"id": facts["node_id"]}, None, None],
    }
    assert [(e["type"], e["path"]) for e in answer["errors"]] == [
        ("NOT_FOUND", ["b"]),
        ("NOT_FOUND", ["nodes", 1]),
        ("NOT_FOUND", ["nodes", 2]),
    ]
    assert answer["errors"][0]["message"] == (
        "Could not resolve to a Repository with the name 'octo-simulated/nothing'."
    )


def test_everything_has_a_global_id(sim: Simulator) -> None:
    ids, kinds = [], []
    for facts in sim.world.truth_of(ORG)[:8]:
        truth = sim.world.truth_content(facts["github_id"])
        ids += [
            facts["node_id"],
            *(i["node_id"] for i in truth["issues"][:3] + truth["pull_requests"][:3]),
        ]
        kinds += [
            "Repository",
            *["Issue"] * len(truth["issues"][:3]),
            *["PullRequest"] * len(truth["pull_requests"][:3]),
        ]
    query = "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    nodes = ask(sim, query, ids=ids)["data"]["nodes"]
    assert nodes == [{"__typename": k, "id": i} for k, i in zip(kinds, ids, strict=True)]


@pytest.mark.spec("R4.2")
def test_points_are_paid_and_an_exhausted_limit_says_so() -> None:
    with Simulator(World.generate(repositories=10)) as sim:
        token = sim.installation_token(ORG)
        installation = sim.world.installation(ORG).id
        query = """{ rateLimit { cost remaining used } organization(login: "octo-simulated") {
          repositories(first: 100) { nodes { issues(first: 100) { nodes {
            labels(first: 20) { totalCount } assignees(first: 10) { totalCount } } } } } } }"""
        answer = ask(sim, query, token=token)
        cost = answer["data"]["rateLimit"]["cost"]
        assert cost == round((1 + 100 + 20_000) / 100)
        assert answer["data"]["rateLimit"]["used"] == cost
        assert sim.limits.get(installation, "graphql").used == cost
        assert sim.limits.get(installation, "core").used == 0
        sim.limits.set(installation, resource="graphql", remaining=0)
        kinds: tuple[Literal["RATE_LIMIT", "RATE_LIMITED"], ...] = ("RATE_LIMIT", "RATE_LIMITED")
        for kind in kinds:
            sim.limits.graphql_type = kind
            refusal = ask(sim, query, token=token)
            assert refusal["errors"][0]["type"] == kind
            assert "data" not in refusal


@pytest.mark.parametrize(
    "text",
    [
        '{ a(x: """block \\""" text""") { b } }',
        '{ a(x: "\\u00e9\\n") }',
        "query Q { a # why\n, b }",
    ],
)
def test_the_language_is_read(text: str) -> None:
    assert parse(text).operations


def test_types_are_written_as_they_are_read() -> None:
    assert str(TypeRef("", TypeRef("ID", None, required=True), required=True)) == "[ID!]!"


# Over the wire, with faults


@pytest.fixture
def own() -> Iterator[Simulator]:
    with Simulator(World.generate(repositories=12)) as running:
        yield running


def post(
    sim: Simulator, query: str, token: str | None = None, **variables: Any
) -> requests.Response:
    return requests.post(
        f"{sim.url}/graphql",
        json={"query": query, "variables": variables},
        headers={"authorization": f"Bearer {token or sim.installation_token(ORG)}"},
        timeout=10,
    )


IDS = (
    "query($ids: [ID!]!) { rateLimit { cost } nodes(ids: $ids) { id ... on Repository { name } } }"
)


def ids_of(sim: Simulator) -> list[str]:
    return [facts["node_id"] for facts in sim.world.truth_of(ORG)]


def test_an_answer_says_what_is_left_of_the_points(own: Simulator) -> None:
    answer = post(own, IDS, ids=ids_of(own))
    assert answer.headers["x-ratelimit-resource"] == "graphql"
    assert answer.headers["x-ratelimit-used"] == "1"
    assert "etag" not in answer.headers
    assert own.log[-1].cost == 1
    assert post(own, IDS, token="unknown", ids=[]).status_code == 401
    nobody = requests.post(f"{own.url}/graphql", json={"query": IDS}, timeout=5)
    assert nobody.status_code == 401
    assert post(own, "").status_code == 400


@pytest.mark.spec("R4.4")
def test_queries_fail_on_command_in_the_ways_of_github(own: Simulator) -> None:
    ids = ids_of(own)
    own.faults.add(
        Fault(kind="node_limit", path_regex="/graphql"),
        Fault(kind="query_timeout", path_regex="/graphql"),
        Fault(kind="query_timeout", path_regex="/graphql", status=504, html=True),
        Fault(kind="partial", path_regex="/graphql", record=2),
    )
    assert post(own, IDS, ids=ids).json()["errors"][0]["type"] == "MAX_NODE_LIMIT_EXCEEDED"
    late = post(own, IDS, ids=ids)
    assert late.status_code == 502
    assert late.json()["errors"][0]["message"].startswith("Something went wrong while executing")
    assert post(own, IDS, ids=ids).text.startswith("<!DOCTYPE html>")
    partial = post(own, IDS, ids=ids).json()
    assert [node is not None for node in partial["data"]["nodes"]] == [True] * 2 + [False] * 10
    assert [error["path"] for error in partial["errors"]] == [["nodes", n] for n in range(2, 12)]
    assert partial["data"]["rateLimit"]
    assert len(post(own, IDS, ids=ids).json()["data"]["nodes"]) == 12


def test_a_fault_may_wait_for_a_repository_and_spoil_one_record(own: Simulator) -> None:
    ids = ids_of(own)
    own.faults.add(
        Fault(kind="bad_record", body_regex=ids[3], within="data.nodes", damage={"name": 7})
    )
    assert post(own, IDS, ids=ids[:2]).json()["data"]["nodes"][0]["name"] != 7
    assert post(own, IDS, ids=[ids[3]]).json()["data"]["nodes"][0]["name"] == 7


@pytest.mark.spec("R5.6")
def test_what_may_not_be_read_is_null_with_its_reason(own: Simulator) -> None:
    world = own.world
    private = next(f for f in world.truth_of(ORG) if f["visibility"] == "private")
    public = next(f for f in world.truth_of(ORG) if f["visibility"] == "public")
    world.block(public["full_name"])
    world.change_permissions(ORG, {"metadata": "read"})
    query = """query($a: String!, $b: String!) {
      a: repository(owner: "octo-simulated", name: $a) { issues(first: 1) { totalCount } }
      b: repository(owner: "octo-simulated", name: $b) { name }
    }"""
    answer = post(own, query, a=private["name"], b=public["name"]).json()
    assert answer["data"] == {"a": None, "b": None}
    assert [error["type"] for error in answer["errors"]] == ["FORBIDDEN"] * 2
    stranger = own.world.create_account("stranger", "User").login
    asked = post(own, query, token=own.token_for(stranger), a=private["name"], b=public["name"])
    assert asked.json()["errors"][0]["type"] == "NOT_FOUND"


def test_viewers_are_users_or_the_apps_bot(own: Simulator) -> None:
    query = "{ viewer { login repositories(first: 5, ownerAffiliations: OWNER) { totalCount } } }"
    validate_query(query)
    mine = post(own, query, token=own.token).json()["data"]["viewer"]
    assert mine["login"] == own.token_owner
    assert mine["repositories"]["totalCount"] > 0
    bot = post(own, query).json()["data"]["viewer"]
    assert bot == {"login": "repository-mirror[bot]", "repositories": {"totalCount": 0}}


@pytest.mark.spec("R2.2")
def test_beside_a_root_like_that_of_an_enterprise_server() -> None:
    with Simulator(World.generate(repositories=5), prefix="/api/v3") as sim:
        header = {"authorization": f"Bearer {sim.token}"}
        body = {"query": "{ viewer { login } }"}
        url = f"{sim.root_url}/api/graphql"
        answer = requests.post(url, json=body, headers=header, timeout=5)
        assert answer.json() == {"data": {"viewer": {"login": sim.token_owner}}}


def test_pages_neither_skip_nor_repeat_while_the_world_changes(own: Simulator) -> None:
    world = own.world
    repo = next(f["github_id"] for f in world.truth_of(ORG) if not f["archived"])
    for number in range(6):
        world.open_issue(repo, f"Issue {number}")
        world.push(repo)
    query = """query($id: ID!, $after: String, $commits: String) { node(id: $id) { ... on Repository {
      issues(first: 2, after: $after) { nodes { number } pageInfo { endCursor } }
      defaultBranchRef { target { ... on Commit {
        history(first: 2, after: $commits) { nodes { oid } pageInfo { endCursor } } } } } } } }"""
    truth = world.truth_content(repo)
    node = post(own, query, id=world.repository(repo).node_id).json()["data"]["node"]
    history = node["defaultBranchRef"]["target"]["history"]
    world.delete_issue(repo, node["issues"]["nodes"][0]["number"])
    world.push_commits(repo, 3)
    world.force_push(repo, drop=4, add=1)
    cursors = {
        "after": node["issues"]["pageInfo"]["endCursor"],
        "commits": history["pageInfo"]["endCursor"],
    }
    more = post(own, query, id=world.repository(repo).node_id, **cursors).json()["data"]["node"]
    numbers = sorted(i["number"] for i in truth["issues"])
    assert [i["number"] for i in more["issues"]["nodes"]] == numbers[2:4]
    seen = more["defaultBranchRef"]["target"]["history"]["nodes"]
    assert [c["oid"] for c in seen] == [c["sha"] for c in truth["commits"][2:4]]
    wrong = post(own, query, id=world.repository(repo).node_id, after="nonsense").json()
    assert wrong["errors"][0]["type"] == "INVALID_CURSOR_ARGUMENTS"
