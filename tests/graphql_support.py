"""A little GitHub that speaks the part of GraphQL and REST that the readers use, without sockets.

Hides graphql-core: queries are parsed, checked against a small schema and carried out for real.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import requests
from graphql import DocumentNode, GraphQLSchema, build_schema, execute_sync, parse, validate

from syncsvc.github.reading import Entity, Reading
from tests import content_support as support
from tests.github_support import Reply, limit_headers, repository

SDL = """
scalar DateTime
scalar BigInt
scalar GitObjectID
enum OrderField { UPDATED_AT SIZE }
enum Direction { DESC ASC }
input Order { field: OrderField!, direction: Direction! }
input IssueFilters { since: DateTime }
interface Node { id: ID! }
interface Labelable { labels(first: Int, after: String): LabelConnection }
interface Assignable { assignees(first: Int, after: String): UserConnection! }
interface GitObject { oid: GitObjectID! }
interface Actor { login: String! }
type User implements Actor { login: String! }
type Bot implements Actor { login: String! }
type Label { name: String! }
type PageInfo { hasNextPage: Boolean!, endCursor: String }
type LabelConnection { pageInfo: PageInfo!, nodes: [Label] }
type UserConnection { pageInfo: PageInfo!, nodes: [User] }
type Language { name: String! }
type LanguageEdge { size: Int!, node: Language! }
type LanguageConnection { pageInfo: PageInfo!, edges: [LanguageEdge] }
type IssueConnection { totalCount: Int!, pageInfo: PageInfo!, nodes: [Issue] }
type PullRequestConnection { totalCount: Int!, pageInfo: PageInfo!, nodes: [PullRequest] }
type CommitHistoryConnection { totalCount: Int!, pageInfo: PageInfo!, nodes: [Commit] }
type GitActor { name: String, email: String, user: User }
type TreeEntry { name: String! }
type Tree implements GitObject { oid: GitObjectID!, entries: [TreeEntry!] }
type Issue implements Node & Labelable & Assignable {
  id: ID!, fullDatabaseId: BigInt, number: Int!, title: String!, body: String!, state: String!
  stateReason(enableDuplicate: Boolean): String, author: Actor
  labels(first: Int, after: String): LabelConnection
  assignees(first: Int, after: String): UserConnection!
  createdAt: DateTime!, updatedAt: DateTime!, closedAt: DateTime
}
type PullRequest implements Node & Labelable & Assignable {
  id: ID!, fullDatabaseId: BigInt, number: Int!, title: String!, body: String!, state: String!
  isDraft: Boolean!, merged: Boolean!, mergedAt: DateTime, baseRefName: String!
  headRefName: String!, headRefOid: GitObjectID!, mergeCommit: Commit, author: Actor
  labels(first: Int, after: String): LabelConnection
  assignees(first: Int, after: String): UserConnection!
  createdAt: DateTime!, updatedAt: DateTime!, closedAt: DateTime
}
type Commit implements Node & GitObject {
  id: ID!, oid: GitObjectID!, message: String!, authoredDate: DateTime!, committedDate: DateTime!
  author: GitActor, history(first: Int, after: String): CommitHistoryConnection!
}
type Ref { name: String!, target: GitObject }
type Repository implements Node {
  id: ID!, databaseId: Int, nameWithOwner: String!, isEmpty: Boolean!
  issues(first: Int, after: String, orderBy: Order, filterBy: IssueFilters): IssueConnection!
  pullRequests(first: Int, after: String, orderBy: Order): PullRequestConnection!
  defaultBranchRef: Ref
  languages(first: Int, after: String, orderBy: Order): LanguageConnection
  object(expression: String): GitObject
}
type RateLimit { cost: Int!, limit: Int!, remaining: Int!, used: Int!, resetAt: DateTime! }
type Query { rateLimit: RateLimit, node(id: ID!): Node, nodes(ids: [ID!]!): [Node]! }
"""

Spoil = Callable[[int, dict[str, Any]], Reply | Exception | None]
Shown = Callable[[Any], dict[str, Any]]


@cache
def schema() -> GraphQLSchema:
    """The part of GitHub's schema that is used here."""
    return build_schema(SDL)


@lru_cache(maxsize=64)
def document(query: str) -> DocumentNode:
    """A query that is right by the schema; requests that are repeated are checked once."""
    parsed = parse(query)
    errors = validate(schema(), parsed)
    assert not errors, errors
    return parsed


def page(
    items: list[Any],
    shown: Shown,
    _info: Any,
    first: int,
    after: str | None = None,
    **_: Any,
) -> Any:
    """A page of a list, of which nothing else is made ready; cursors are offsets."""
    assert 1 <= first <= 100
    start = int(after or 0)
    end = start + first
    more = end < len(items)
    found = [shown(each) for each in items[start:end]]
    return {
        "totalCount": len(items),
        "pageInfo": {"hasNextPage": more, "endCursor": str(end) if items else None},
        "nodes": found,
        "edges": found,
    }


def since_page(
    items: list[Any],
    shown: Shown,
    info: Any,
    filterBy: Any = None,  # noqa: N803
    **arguments: Any,
) -> Any:
    since = (filterBy or {}).get("since", "")
    kept = [each for each in items if each["updated_at"] >= since]
    return page(kept, shown, info, **arguments)


class Repo:
    """One repository of the little GitHub; its lists hold what REST shows."""

    def __init__(self, number: int, *, issues: int = 0, pulls: int = 0, commits: int = 0) -> None:
        self.number = number
        self.node_id = f"R_{number}"
        self.full_name = f"octo/repo-{number}"
        base = number * 10_000
        self.issues = [
            support.rest_issue(n, id=base + n, node_id=f"I_{base + n}", updated_at=moment(n))
            for n in range(issues, 0, -1)
        ]
        self.pulls = [
            support.rest_pull_request(n, id=base + n, node_id=f"P_{base + n}", updated_at=moment(n))
            for n in range(pulls, 0, -1)
        ]
        self.commits = [support.rest_commit(f"{base + n:040x}") for n in range(commits, 0, -1)]
        self.languages = {"Python": 100, "C": 50}

    def reading(self, entity: str, **changes: Any) -> Reading:
        """All of one list, with its size known, unless told otherwise."""
        sizes = {"issues": self.issues, "pull_requests": self.pulls, "commits": self.commits}
        return Reading(
            github_id=self.number,
            node_id=self.node_id,
            full_name=self.full_name,
            entity=Entity(entity),
            **{"expected": len(sizes[entity]), **changes},
        )

    def readings(self, **changes: Any) -> list[Reading]:
        return [self.reading(entity, **changes) for entity in Entity]

    @property
    def node(self) -> dict[str, Any]:
        """The repository as graphql-core resolves it."""
        head = None
        if self.commits:
            history = partial(page, self.commits, node_commit)
            oid = self.commits[0]["sha"]
            target = {"__typename": "Commit", "oid": oid, "history": history}
            head = {"name": "main", "target": target}
        return {
            "__typename": "Repository",
            "id": self.node_id,
            "databaseId": self.number,
            "nameWithOwner": self.full_name,
            "isEmpty": not self.commits,
            "issues": partial(since_page, self.issues, node_issue),
            "pullRequests": partial(page, self.pulls, node_pull),
            "defaultBranchRef": head,
            "languages": partial(page, list(self.languages.items()), language_edge),
            "object": lambda _info, expression: tree(expression),
        }


def moment(number: int) -> str:
    """A time that grows with the number, two minutes every second one; so two share each time."""
    at = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=number // 2 * 2)
    return at.isoformat()[:19] + "Z"


def tree(expression: str) -> Any:
    if expression != "HEAD:":
        return None
    return {"__typename": "Tree", "oid": support.SHA, "entries": [{"name": "tests"}]}


def language_edge(item: tuple[str, int]) -> dict[str, Any]:
    name, size = item
    return {"size": size, "node": {"name": name}}


def node_issue(item: dict[str, Any]) -> dict[str, Any]:
    return _common(support.node_issue(item["number"]), item) | {
        "__typename": "Issue",
        "state": item["state"].upper(),
        "stateReason": (item["state_reason"] or "").upper() or None,
    }


def node_pull(item: dict[str, Any]) -> dict[str, Any]:
    merged = item["merged_at"] is not None
    return _common(support.node_pull_request(item["number"]), item) | {
        "__typename": "PullRequest",
        "state": "MERGED" if merged else item["state"].upper(),
        "merged": merged,
        "mergedAt": item["merged_at"],
    }


def _common(node: dict[str, Any], item: dict[str, Any]) -> dict[str, Any]:
    user = item["user"]
    author = user and {"__typename": user["type"], "login": user["login"].removesuffix("[bot]")}
    return node | {
        "id": item["node_id"],
        "fullDatabaseId": str(item["id"]),
        "title": item["title"],
        "body": item["body"] or "",
        "author": author,
        "labels": partial(page, item["labels"], lambda each: {"name": each["name"]}),
        "assignees": partial(page, item["assignees"], lambda each: {"login": each["login"]}),
        "createdAt": item["created_at"],
        "updatedAt": item["updated_at"],
        "closedAt": item["closed_at"],
    }


def node_commit(item: dict[str, Any]) -> dict[str, Any]:
    return support.node_commit(item["sha"])


class Hub:
    """Answers `POST /graphql` and REST lists; `spoil(number, answer)` may spoil an answer."""

    def __init__(self, *repos: Repo, spoil: Spoil | None = None) -> None:
        self.repos = {each.node_id: each for each in repos}
        self.spoil = spoil
        self.queries: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def __call__(self, request: requests.PreparedRequest) -> Reply | Exception:
        if request.method == "GET":
            return self._rest(str(request.url))
        assert request.headers["Content-Type"] == "application/json"
        asked = orjson.loads(request.body or b"")
        with self._lock:
            self.queries.append(asked)
            number = len(self.queries)
        errors: list[Any] = []
        root = {
            "rateLimit": {
                "cost": 2, "limit": 5000, "remaining": 4000, "used": 1000,
                "resetAt": "2026-03-01T12:30:00Z",
            },
            "node": lambda _info, **asked: self._node(asked["id"]),
            "nodes": lambda _info, ids: [self._node(each) for each in ids],
        }  # fmt: skip
        query, variables = document(asked["query"]), asked["variables"]
        result = execute_sync(schema(), query, root, variable_values=variables)
        assert not result.errors, result.errors
        answer = {"data": result.data}
        for name, value in (result.data or {}).items():
            if value is None:
                errors.append({"type": "NOT_FOUND", "path": [name], "message": "Could not resolve"})
            elif name == "nodes":
                errors += [
                    {"type": "NOT_FOUND", "path": ["nodes", index], "message": "Could not resolve"}
                    for index, each in enumerate(value)
                    if each is None
                ]
        if errors:
            answer["errors"] = errors  # type: ignore[assignment]
        spoiled = self.spoil(number, answer) if self.spoil else None
        headers = limit_headers(4000 - number) | {"X-RateLimit-Resource": "graphql"}
        return spoiled or (200, headers, answer)

    def _node(self, node_id: str) -> dict[str, Any] | None:
        if node_id in self.repos:
            return self.repos[node_id].node
        for repo in self.repos.values():
            for items, shown in ((repo.issues, node_issue), (repo.pulls, node_pull)):
                for each in items:
                    if each["node_id"] == node_id:
                        return shown(each)
        return None

    def _rest(self, url: str) -> Reply:
        parts = urlsplit(url)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        _, _, owner, name, *rest = parts.path.split("/")
        repo = next(r for r in self.repos.values() if r.full_name == f"{owner}/{name}")
        if not rest:
            return 200, limit_headers(), repository(repo.number)
        (what,) = rest
        if what == "languages":
            return 200, limit_headers(), repo.languages
        if what == "commits" and not repo.commits:
            return 409, limit_headers(), {"message": "Git Repository is empty."}
        items = {"issues": repo.issues, "pulls": repo.pulls, "commits": repo.commits}[what]
        items = [each for each in items if each.get("updated_at", "~") >= asked.get("since", "")]
        number, size = int(asked.get("page", 1)), int(asked["per_page"])
        headers = limit_headers()
        if number * size < len(items):
            base = url.split("&page=", maxsplit=1)[0]
            headers["Link"] = f'<{base}&page={number + 1}>; rel="next"'
        return 200, headers, items[(number - 1) * size : number * size]
