"""GraphQL's pure part: queries that GitHub's schema allows, and errors read for what they are."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
import pytest
from graphql import GraphQLSchema, build_schema, parse, validate
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.github import graphql
from syncsvc.github.errors import (
    Forbidden,
    GitHubError,
    LegallyBlocked,
    NotFound,
    RateLimited,
    ServerError,
    ValidationFailed,
)
from syncsvc.github.graphql import QueryAnswer, read_answer
from syncsvc.github.graphql_pages import Arrived, Missing, read_page
from syncsvc.github.planning import PagePlan
from syncsvc.github.reading import Entity, Reading
from syncsvc.github.values import MalformedBody
from tests import content_support as support
from tests.content_support import SHA, connection
from tests.contract import contract_dir
from tests.github_support import START, limit_headers

SINCE = datetime(2025, 1, 1, 0, 0, 59, 999_999, tzinfo=UTC)


def plan(entity: str = "issues", number: int = 1, size: int = 10, **changes: Any) -> PagePlan:
    reading = {name: changes.pop(name) for name in ("since", "limit") if name in changes}
    return PagePlan(
        reading=Reading(
            github_id=number,
            node_id=f"R_{number}",
            full_name=f"octo/{number}",
            entity=Entity(entity),
            **reading,
        ),
        size=size,
        **changes,
    )


PAGES = [
    plan("issues"),
    plan("pull_requests", size=20, cursor="pc"),
    plan("commits", size=30, cursor="cc"),
    plan("issues", 2, cursor="ic", since=SINCE),
    plan("pull_requests", 3, since=SINCE),
    plan("commits", 4),
]


# -- asking ----------------------------------------------------------------------------------------


@cache
def schema() -> GraphQLSchema:
    return build_schema((contract_dir() / "schema.graphql").read_text(), assume_valid=True)


def problems(query: graphql.Query) -> list[str]:
    return [error.message for error in validate(schema(), parse(query.text))]


@pytest.mark.spec("R4.7")
@pytest.mark.parametrize("count", range(1, len(PAGES) + 1))
def test_contents_are_asked_for_as_githubs_schema_allows(count: int) -> None:
    for pages in (PAGES[:count], PAGES[-count:]):
        assert problems(graphql.contents_query(pages, 1)) == []


@pytest.mark.spec("R4.7")
def test_everything_else_is_asked_for_as_githubs_schema_allows() -> None:
    for query in (
        graphql.overview_query(["R_1"], details=True),
        graphql.nested_query("I_1", "l", None),
        graphql.languages_query("R_1", None),
    ):
        assert problems(query) == []


def test_every_page_has_its_own_size_and_cursor() -> None:
    query = graphql.contents_query(PAGES, 7)
    assert query.variables == {
        "r0": "R_1", "r0in": 10, "r0pn": 20, "r0pa": "pc", "r0cn": 30, "r0ca": "cc",
        "r1": "R_2", "r1in": 10, "r1ia": "ic", "r1is": "2025-01-01T00:00:59Z",
        "r2": "R_3", "r2pn": 10, "r3": "R_4", "r3cn": 10,
    }  # fmt: skip
    assert query.points == 7
    assert orjson.loads(query.body)["variables"] == query.variables
    assert "#" not in query.text


def test_an_overview_costs_three_or_four_points_for_a_hundred_repositories() -> None:
    ids = [f"R_{number}" for number in range(100)]
    assert graphql.overview_query(ids, details=False).points == 3
    assert graphql.overview_query(ids, details=True).points == 4
    assert graphql.overview_query(ids[:2], details=True).points == 1


# -- errors ----------------------------------------------------------------------------------------


def answer(data: Any = None, *errors: dict[str, Any]) -> QueryAnswer:
    return read_answer(orjson.dumps({"data": data, "errors": list(errors)}))


TIMEOUT = {
    "message": "Something went wrong while executing your query. This may be the result of a "
    "timeout, or it could be a GitHub bug. Please include `AB:CD` when reporting this issue."
}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"data": null}', b'{"errors": []}', b"{"])
def test_an_answer_without_data_and_errors_is_none(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_answer(body)


def test_the_cost_is_read_back() -> None:
    assert answer({"rateLimit": {"cost": 17}}).points == 17
    assert answer({"rateLimit": None}).points is None


@pytest.mark.spec("R4.2")
@pytest.mark.parametrize("kind", ["RATE_LIMIT", "RATE_LIMITED"])
def test_a_limit_comes_with_status_200(kind: str) -> None:
    error = graphql.judge(answer(None, {"type": kind}), limit_headers(0), START)
    assert isinstance(error, RateLimited)
    assert (error.resource, error.secondary) == ("graphql", False)
    assert error.until == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    error = graphql.judge(answer({"r0": {}}, {"type": kind}), {}, START)
    assert isinstance(error, RateLimited)
    assert (error.secondary, error.hinted) == (True, False)


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([{"message": "Parse error", "extensions": {"code": "parseError"}}], ValidationFailed),
        ([{"type": "INSUFFICIENT_SCOPES"}], Forbidden),
        ([{"type": "INTERNAL"}], ServerError),
        ([{"type": "SERVICE_UNAVAILABLE"}], ServerError),
        ([TIMEOUT], None),
        ([{"type": "MAX_NODE_LIMIT_EXCEEDED"}], None),
        ([{"type": "RESOURCE_LIMITS_EXCEEDED"}], None),
    ],
)
def test_an_answer_without_data_is_a_failure_unless_less_may_help(
    errors: list[dict[str, Any]], expected: type[GitHubError] | None
) -> None:
    error = graphql.judge(answer(None, *errors), {}, START)
    assert type(error) is (expected or type(None))


def test_an_answer_in_part_is_none() -> None:
    assert graphql.judge(answer({"r0": None}, {"type": "INTERNAL"}), {}, START) is None
    assert graphql.judge(answer({"r0": {}}), {}, START) is None


# -- pages -----------------------------------------------------------------------------------------


def page_of(
    value: Any, *errors: dict[str, Any], asked: PagePlan | None = None
) -> Arrived | Missing:
    return read_page(asked or plan(), "r0", answer({"r0": value}, *errors))


def issues(*nodes: Any, after: str | None = None) -> dict[str, Any]:
    return {"issues": connection(*nodes, after=after, totalCount=9)}


@pytest.mark.spec("R5.6")
@pytest.mark.parametrize(
    ("value", "errors", "expected", "again"),
    [
        (None, [{"type": "NOT_FOUND", "path": ["r0"]}], NotFound, False),
        (None, [{"type": "FORBIDDEN", "path": ["r0"]}], Forbidden, False),
        (None, [{"message": "Repository access blocked", "path": ["r0"]}], LegallyBlocked, False),
        ({"issues": None}, [{"type": "FORBIDDEN", "path": ["r0", "issues"]}], Forbidden, False),
        (None, [TIMEOUT], ServerError, True),
        ({"issues": None}, [TIMEOUT | {"path": ["r0", "issues"]}], ServerError, True),
        (None, [{"type": "RESOURCE_LIMITS_EXCEEDED"}], ServerError, True),
        (None, [], NotFound, False),
        ({}, [], ServerError, True),
        (issues(None), [TIMEOUT | {"path": ["r0", "issues", "nodes", 0]}], ServerError, True),
        ({"issues": {"nodes": []}}, [], ServerError, True),
        ({"issues": {"nodes": None, "pageInfo": {}}}, [], ServerError, True),
        (issues(after="x"), [], ServerError, True),
    ],
)
def test_a_page_that_is_missing_says_why(
    value: Any, errors: list[dict[str, Any]], expected: type[GitHubError], again: bool
) -> None:
    found = page_of(value, *errors)
    assert isinstance(found, Missing)
    assert (type(found.error), found.again) == (expected, again)


def test_only_a_clear_word_is_evidence_of_absence() -> None:
    found = page_of(None, {"type": "NOT_FOUND", "path": ["r0"]})
    assert isinstance(found, Missing)
    assert found.error.is_evidence_of_absence
    found = page_of(None)
    assert isinstance(found, Missing)
    assert not found.error.is_evidence_of_absence


def test_an_error_elsewhere_spoils_no_page() -> None:
    errors = ({"type": "NOT_FOUND", "path": ["r1"]}, TIMEOUT | {"path": ["r0", "pullRequests"]})
    for each in (*errors, {"message": "a warning"}):
        found = page_of(issues(support.node_issue(1)), each)
        assert isinstance(found, Arrived)
        assert len(found.page.rows) == 1


@pytest.mark.spec("P30")
def test_one_node_that_failed_is_put_aside_and_the_others_stay() -> None:
    error = {"type": "FORBIDDEN", "path": ["r0", "issues", "nodes", 0]}
    found = page_of(
        issues(None, support.node_issue(2), support.node_issue(3) | {"number": 0}), error
    )
    assert isinstance(found, Arrived)
    assert [row.number for row in found.page.rows] == [2]  # type: ignore[union-attr]
    assert [(each.index, each.github_id) for each in found.page.bad] == [(0, None), (2, 1003)]


@pytest.mark.spec("P30")
def test_a_node_with_a_field_that_was_refused_is_put_aside_rather_than_read_without_it() -> None:
    error = {"type": "FORBIDDEN", "path": ["r0", "issues", "nodes", 1, "author"]}
    found = page_of(issues(support.node_issue(1), support.node_issue(2, author=None)), error)
    assert isinstance(found, Arrived)
    assert len(found.page.rows) == 1
    assert [each.index for each in found.page.bad] == [1]


def test_a_node_that_always_fails_is_put_aside_in_the_end() -> None:
    error = TIMEOUT | {"path": ["r0", "issues", "nodes", 0]}
    found = page_of(issues(None, after="x"), error, asked=plan(size=1, attempt=2))
    assert isinstance(found, Arrived)
    assert (len(found.page.bad), found.page.more, found.cursor) == (1, True, "x")


def test_a_repository_without_commits_has_none() -> None:
    found = page_of({"defaultBranchRef": None}, asked=plan("commits"))
    assert isinstance(found, Arrived)
    assert (found.page.rows, found.page.more, found.page.total) == ((), False, 0)
    error = TIMEOUT | {"path": ["r0", "defaultBranchRef"]}
    assert isinstance(page_of({"defaultBranchRef": None}, error, asked=plan("commits")), Missing)


def test_commits_say_which_head_they_were_read_from() -> None:
    history = connection(support.node_commit(), after="x")
    value = {"defaultBranchRef": {"target": {"oid": SHA, "history": history}}}
    found = page_of(value, asked=plan("commits", limit=2))
    assert isinstance(found, Arrived)
    assert (found.page.head_oid, found.page.more) == (SHA, True)
    found = page_of(value, asked=plan("commits", limit=2, seen=1, size=1))
    assert isinstance(found, Arrived)
    assert not found.page.more


def test_pull_requests_end_at_the_watermark_and_ties_are_kept() -> None:
    times = ("2025-01-03T00:00:00Z", "2025-01-02T00:00:00Z", "2025-01-01T23:59:59Z")
    nodes = [support.node_pull_request(n, updatedAt=at) for n, at in enumerate(times, 1)]
    since = datetime(2025, 1, 2, tzinfo=UTC)
    value = {"pullRequests": connection(*nodes, after="x")}
    found = page_of(value, asked=plan("pull_requests", since=since))
    assert isinstance(found, Arrived)
    assert ([row.updated_at >= since for row in found.page.rows], found.page.more) == (  # type: ignore[union-attr]
        [True, True],
        False,
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["r0", "x", "NOT_FOUND"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "r0",
                    "issues",
                    "nodes",
                    "pageInfo",
                    "endCursor",
                    "hasNextPage",
                    "path",
                    "type",
                    "id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


def test_a_senseless_path_leads_nowhere() -> None:
    paths: list[Any] = ["r0", 5, [["r0"]], [None], [{}]]
    for path in paths:
        (error,) = answer(None, {"type": "X", "path": path}).errors
        assert error.path == ()


@given(data=json_values, errors=json_values)
def test_whatever_comes_nothing_crashes(data: Any, errors: Any) -> None:
    try:
        found = read_answer(orjson.dumps({"data": data, "errors": errors}))
    except MalformedBody:
        return
    graphql.judge(found, {}, START)
    for entity in Entity:
        read_page(plan(entity), "r0", found)
