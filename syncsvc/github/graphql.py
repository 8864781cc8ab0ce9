"""GraphQL as pure functions: the text of queries, what an answer holds, what its errors mean.

Hides aliases and variables, GitHub's ways of failing with status 200, and which part of an answer
an error spoils.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any, Final, TypeGuard

import orjson

from syncsvc.github.errors import (
    Forbidden,
    GitHubError,
    LegallyBlocked,
    NotFound,
    RateLimited,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.planning import PagePlan
from syncsvc.github.protocol import limit_of
from syncsvc.github.reading import Entity
from syncsvc.github.redaction import redact
from syncsvc.github.values import MalformedBody, is_mapping, parse_json, parse_time

RESOURCE: Final = "graphql"
MOST_IDS: Final = 100
ALL: Final = frozenset(Entity)

_LIMITED: Final = frozenset({"RATE_LIMIT", "RATE_LIMITED"})
_TOO_BIG: Final = frozenset(
    {
        "MAX_NODE_LIMIT_EXCEEDED",
        "RESOURCE_LIMITS_EXCEEDED",
        "QUERY_COMPLEXITY_EXCEEDED",
        "TIMEOUT",
        "EXECUTION_TIMEOUT",
    }
)
_PASSING: Final = frozenset({"INTERNAL", "INTERNAL_ERROR", "SERVICE", "SERVICE_UNAVAILABLE"})
_PASSING_WORDS: Final = ("something went wrong", "timeout", "timed out", "respond to your request")
_REFUSED: Final = frozenset({"FORBIDDEN", "INSUFFICIENT_SCOPES", "UNAUTHORIZED"})
_BLOCKED_WORDS: Final = ("access blocked", "dmca")

_FILES: Final = {
    Entity.ISSUES: "issues",
    Entity.PULL_REQUESTS: "pull_requests",
    Entity.COMMITS: "commits",
}
_FIELDS: Final = {
    Entity.ISSUES: "issues",
    Entity.PULL_REQUESTS: "pullRequests",
    Entity.COMMITS: "defaultBranchRef",
}
_NEWEST_FIRST: Final = "orderBy: {field: UPDATED_AT, direction: DESC}"
_RATE_LIMIT: Final = "rateLimit { cost limit remaining used resetAt }"


# -- asking ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A query with its variables, and the points that it is going to cost."""

    text: str
    variables: Mapping[str, Any]
    points: int = 1

    @property
    def body(self) -> bytes:
        """What is posted."""
        return orjson.dumps({"query": self.text, "variables": self.variables})


@cache
def query_text(name: str) -> str:
    """A query or fragment of `queries/`, without its comments."""
    text = (resources.files("syncsvc.github") / "queries" / f"{name}.graphql").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return "\n".join(lines).strip()


def overview_query(
    node_ids: Sequence[str], *, details: bool, entities: Collection[Entity] = ALL
) -> Query:
    """The overview of at most 100 repositories (R4.4, R5.5): 3 points, 4 with details."""
    connections = len(node_ids) * (len(entities) + details)
    return Query(
        text=query_text("overview"),
        variables={
            "ids": list(node_ids),
            "details": details and Entity.COMMITS in entities,
            "issues": Entity.ISSUES in entities,
            "pullRequests": Entity.PULL_REQUESTS in entities,
            "commits": Entity.COMMITS in entities,
        },
        points=max(1, round(connections / 100)),
    )


def nested_query(node_id: str, labels: str | None, assignees: str | None) -> Query:
    """More labels and assignees of one item, after these cursors."""
    variables = {"id": node_id, "labels": labels, "assignees": assignees}
    return Query(text=query_text("nested"), variables=variables)


def languages_query(node_id: str, after: str | None) -> Query:
    """More languages of one repository."""
    return Query(text=query_text("languages"), variables={"id": node_id, "after": after})


def aliases(pages: Sequence[PagePlan]) -> dict[str, list[PagePlan]]:
    """The pages by the alias of their repository. One repository has one page of an entity."""
    by_id: dict[str, list[PagePlan]] = {}
    for page in pages:
        by_id.setdefault(page.reading.node_id, []).append(page)
    return {f"r{number}": group for number, group in enumerate(by_id.values())}


def field_of(page: PagePlan) -> str:
    """The field of a repository in which the page's list is found."""
    return _FIELDS[page.reading.entity]


def contents_query(pages: Sequence[PagePlan], points: int) -> Query:
    """Pages of many repositories in one request, each with its own size and cursor (R4.4)."""
    declared: list[str] = []
    parts: list[str] = []
    variables: dict[str, Any] = {}
    for alias, group in aliases(pages).items():
        declared.append(f"${alias}: ID!")
        variables[alias] = group[0].reading.node_id
        fields = []
        for page in group:
            names, arguments = _arguments(f"{alias}{page.reading.entity[0]}", page)
            declared += [f"${name}: {kind}" for name, (kind, _) in names.items()]
            variables |= {name: value for name, (_, value) in names.items()}
            fields.append(_field(page, arguments))
        parts.append(
            f"{alias}: node(id: ${alias}) {{ ... on Repository {{ {' '.join(fields)} }} }}"
        )
    entities = dict.fromkeys(page.reading.entity for page in pages)
    fragments = [query_text(_FILES[entity]) for entity in entities]
    text = f"query Contents({', '.join(declared)}) {{\n{_RATE_LIMIT}\n" + "\n".join(parts) + "\n}"
    return Query(text="\n".join([text, *fragments]), variables=variables, points=points)


def _arguments(prefix: str, page: PagePlan) -> tuple[dict[str, tuple[str, Any]], str]:
    """The variables of one list (name -> type, value), and the arguments that use them."""
    names: dict[str, tuple[str, Any]] = {f"{prefix}n": ("Int!", page.size)}
    arguments = [f"first: ${prefix}n"]
    if page.cursor is not None:
        names[f"{prefix}a"] = ("String!", page.cursor)
        arguments.append(f"after: ${prefix}a")
    since = page.reading.since
    if page.reading.entity is not Entity.COMMITS:
        arguments.append(_NEWEST_FIRST)
    if page.reading.entity is Entity.ISSUES and since is not None:
        names[f"{prefix}s"] = ("DateTime!", rfc3339(since))
        arguments.append(f"filterBy: {{since: ${prefix}s}}")
    return names, ", ".join(arguments)


def _field(page: PagePlan, arguments: str) -> str:
    match page.reading.entity:
        case Entity.ISSUES:
            return f"issues({arguments}) {{ ...IssuePage }}"
        case Entity.PULL_REQUESTS:
            return f"pullRequests({arguments}) {{ ...PullRequestPage }}"
        case Entity.COMMITS:
            history = f"history({arguments}) {{ ...CommitPage }}"
            return f"defaultBranchRef {{ target {{ oid ... on Commit {{ {history} }} }} }}"


def rfc3339(moment: datetime) -> str:
    """A moment to the second, rounded down, as GitHub writes it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# -- answers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryError:
    """One entry of `errors`. `path` leads to what it spoils; it is empty when that is not told."""

    type: str
    message: str
    path: tuple[str | int, ...] = ()

    @property
    def is_too_big(self) -> bool:
        """Whether asking for less may help."""
        return self.type in _TOO_BIG or self.is_passing

    @property
    def is_passing(self) -> bool:
        """Whether the same may work later: a time-out, or GitHub's own trouble."""
        message = self.message.lower()
        return self.type in _PASSING or (
            not self.type and any(words in message for words in _PASSING_WORDS)
        )

    def as_error(self) -> GitHubError:
        """The error to raise, or to report for what `path` leads to (R4.1)."""
        detail = redact(f"{self.type} {self.message}".strip())[:300]
        message = self.message.lower()
        if any(words in message for words in _BLOCKED_WORDS):
            return LegallyBlocked(status=200, detail=detail)
        if self.type == "NOT_FOUND":
            return NotFound(status=200, detail=detail, is_evidence_of_absence=True)
        if self.type in _REFUSED:
            return Forbidden(status=200, detail=detail)
        if self.is_too_big:
            return ServerError(status=200, detail=detail)
        return ValidationFailed(status=200, detail=detail)


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryAnswer:
    """What came back. `points` is what GitHub says that it cost, None where it does not say."""

    data: Mapping[str, Any] | None
    errors: tuple[QueryError, ...]
    points: int | None
    size: int

    def errors_at(self, *path: str | int) -> tuple[QueryError, ...]:
        """The errors that spoil what `path` leads to, or something inside of it."""
        size = len(path)
        return tuple(each for each in self.errors if each.path[:size] == path[: len(each.path)])

    @property
    def rate_limit(self) -> Mapping[str, Any]:
        """The object `rateLimit`, empty where it did not come."""
        value = (self.data or {}).get("rateLimit")
        return value if is_mapping(value) else {}


def read_answer(body: bytes) -> QueryAnswer:
    """An answer of status 200; raises `MalformedBody` unless it has data or errors."""
    value = parse_json(body)
    if not is_mapping(value):
        raise MalformedBody("the answer is not an object")
    data = value.get("data")
    errors = tuple(_errors(value.get("errors")))
    if not is_mapping(data) and not errors:
        raise MalformedBody("the answer has neither data nor errors")
    data = data if is_mapping(data) else None
    limit = (data or {}).get("rateLimit")
    cost = limit.get("cost") if is_mapping(limit) else None
    points = cost if type(cost) is int and cost >= 0 else None
    return QueryAnswer(data=data, errors=errors, points=points, size=len(body))


def _errors(value: object) -> Iterable[QueryError]:
    for each in value if isinstance(value, list) else []:
        if not is_mapping(each):
            continue
        extensions = each.get("extensions")
        code = extensions.get("code") if is_mapping(extensions) else None
        path = each.get("path")
        yield QueryError(
            type=str(each.get("type") or code or "").upper(),
            message=str(each.get("message") or ""),
            path=tuple(path) if _is_path(path) else (),
        )


def _is_path(value: object) -> TypeGuard[list[str | int]]:
    return isinstance(value, list) and all(type(each) in (str, int) for each in value)


def judge(
    answer: QueryAnswer | None, headers: Mapping[str, str], now: datetime
) -> GitHubError | None:
    """The failure of an answer as a whole; None when parts of it can be used, or less may help.

    A limit comes with status 200 (GitHub: "Rate limits and query limits for the GraphQL API").
    """
    if answer is None:
        return None
    for error in answer.errors:
        if error.type in _LIMITED:
            return _rate_limited(error, headers, now)
    if answer.data is not None or not answer.errors:
        return None
    if any(error.is_too_big and error.type not in _PASSING for error in answer.errors):
        return None
    return answer.errors[0].as_error()


def _rate_limited(error: QueryError, headers: Mapping[str, str], now: datetime) -> RateLimited:
    limit = limit_of(429, headers, "", redact(error.message)[:300], now)
    if limit is None:  # 429 always is a limit
        return RateLimited(until=now, resource=RESOURCE, secondary=True, hinted=False)
    limit.resource, limit.status = RESOURCE, 200
    return limit


def budget_headers(rate_limit: Mapping[str, Any]) -> dict[str, str]:
    """`rateLimit` as the headers that say the same, for a server that leaves those out."""
    reset = parse_time(rate_limit.get("resetAt"))
    if reset is None:
        return {}
    found = {name: str(rate_limit.get(name)) for name in ("limit", "remaining", "used")}
    found |= {"reset": str(int(reset.timestamp())), "resource": RESOURCE}
    return {f"x-ratelimit-{name}": value for name, value in found.items()}
