"""Issues, pull requests and commits: equal rows by REST and GraphQL, and bad records put aside."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncsvc.github.content import (
    CommitRow,
    IssueRow,
    is_pull_request,
    parse_commit,
    parse_issue,
    parse_languages,
    parse_pull_request,
)
from syncsvc.github.graphql_content import (
    parse_overview,
    rest_commit,
    rest_issue,
    rest_pull_request,
)
from syncsvc.github.payloads import parse_each
from syncsvc.github.values import InvalidRecord
from tests import content_support as support
from tests.content_support import SHA, connection
from tests.contract import contract_dir

NEXT = SHA[::-1]


def label(name: object) -> dict[str, Any]:
    return {"name": name}


def test_an_issue_has_all_fields() -> None:
    item = support.rest_issue(
        7,
        id=2**40,
        state="closed",
        state_reason="completed",
        assignees=[support.rest_user("zoe"), support.rest_user("adam")],
        labels=[label("b"), label("a"), "plain"],
        closed_at="2025-02-01T00:00:00Z",
    )
    assert parse_issue(item) == IssueRow(
        github_id=2**40,
        node_id="I_7",
        number=7,
        title="Issue 7",
        body="It fails.",
        state="closed",
        state_reason="completed",
        author="octocat",
        assignees=("adam", "zoe"),
        labels=("a", "b", "plain"),
        created_at=datetime(2025, 1, 1, tzinfo=UTC),
        updated_at=datetime(2025, 1, 2, tzinfo=UTC),
        closed_at=datetime(2025, 2, 1, tzinfo=UTC),
    )


def test_a_commit_has_all_fields() -> None:
    assert parse_commit(support.rest_commit()) == CommitRow(
        sha=SHA,
        author_login="octocat",
        author_name="Octo Cat",
        author_email="octo@example.com",
        authored_at=datetime(2025, 1, 1, tzinfo=UTC),
        committed_at=datetime(2025, 1, 1, 0, 1, tzinfo=UTC),
        message="Add it",
    )


# -- both ways -------------------------------------------------------------------------------------

BOT = support.rest_user("dependabot[bot]", "Bot")
CLOSED = "2025-02-01T00:00:00Z"

ISSUES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "64 bits": ({"id": 2**62}, {"fullDatabaseId": str(2**62)}),
    "an older server": ({}, {"fullDatabaseId": None, "databaseId": 1001}),
    "closed": (
        {"state": "closed", "state_reason": "not_planned", "closed_at": CLOSED},
        {"state": "CLOSED", "stateReason": "NOT_PLANNED", "closedAt": CLOSED},
    ),
    "duplicate": ({"state_reason": "duplicate"}, {"stateReason": "DUPLICATE"}),
    "a reason of tomorrow": ({"state_reason": "stale"}, {"stateReason": "STALE"}),
    "a bot": ({"user": BOT}, {"author": {"__typename": "Bot", "login": "dependabot"}}),
    "the coding agent": (
        {"user": support.rest_user("Copilot", "Bot")},
        {"author": {"__typename": "Bot", "login": "copilot-swe-agent"}},
    ),
    "a deleted user": ({"user": None}, {"author": None}),
    "a ghost": ({"user": support.rest_user("ghost")}, {"author": None}),
    "no body": ({"body": None}, {"body": ""}),
    "lines of Windows": ({"body": "a\r\nb\rc"}, {"body": "a\nb\nc"}),
    "what cannot be stored": ({"body": "a\x00b\ud800", "title": "\x00"},) * 2,
    "emoji": ({"title": "🦀 é"},) * 2,
    "a long body": ({"body": "🙂" * 65_536},) * 2,
    "a time to come": (
        {"updated_at": "2999-01-01T00:00:00Z"},
        {"updatedAt": "2999-01-01T00:00:00Z"},
    ),
    "labels in another order": (
        {"labels": [label("b"), label("a"), label("b")]},
        {"labels": connection(label("a"), label("b"))},
    ),
    "a label without a name": ({"labels": [label(None)]}, {"labels": None}),
    "people and bots assigned": (
        {"assignees": [support.rest_user("zoe"), BOT, support.rest_user("adam")]},
        {"assignees": connection({"login": "adam"}, {"login": "zoe"})},
    ),
}


@pytest.mark.spec("R4.4", "R5.2")
@pytest.mark.parametrize("case", ISSUES)
def test_an_issue_is_the_same_row_whichever_way_it_came(case: str) -> None:
    by_rest, by_graphql = ISSUES[case]
    row = parse_issue(support.rest_issue(1, **by_rest))
    assert row == parse_issue(rest_issue(support.node_issue(1, **by_graphql)))


MERGED = {"state": "closed", "merged_at": CLOSED, "closed_at": CLOSED}
PULL_REQUESTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "draft": ({"draft": True}, {"isDraft": True}),
    "merged": (
        {**MERGED, "merge_commit_sha": NEXT},
        {
            "state": "MERGED",
            "merged": True,
            "mergedAt": CLOSED,
            "closedAt": CLOSED,
            "mergeCommit": {"oid": NEXT},
        },
    ),
    "closed": (
        {"state": "closed", "closed_at": CLOSED, "merge_commit_sha": NEXT},
        {"state": "CLOSED", "closedAt": CLOSED},
    ),
    "open, with a trial merge": ({"merge_commit_sha": NEXT}, {}),
    "of a deleted fork": (
        {"head": {"ref": "topic", "sha": SHA, "repo": None}, "user": None},
        {"author": None},
    ),
    "an older server without drafts": ({"draft": None}, {}),
}


@pytest.mark.spec("R4.4", "R5.3")
@pytest.mark.parametrize("case", PULL_REQUESTS)
def test_a_pull_request_is_the_same_row_whichever_way_it_came(case: str) -> None:
    by_rest, by_graphql = PULL_REQUESTS[case]
    row = parse_pull_request(support.rest_pull_request(1, **by_rest))
    assert row == parse_pull_request(rest_pull_request(support.node_pull_request(1, **by_graphql)))
    assert row.merged == (case == "merged")
    assert row.merge_commit_sha == (NEXT if case == "merged" else None)


def commit(author: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    plain = support.rest_commit()["commit"]
    return {"commit": plain | {"author": plain["author"] | (author or {})} | changes}


def actor(**changes: Any) -> dict[str, Any]:
    return {"author": support.node_commit()["author"] | changes}


BOT_MAIL = "49699333+dependabot[bot]@users.noreply.github.com"
COMMITS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "SHA-256": ({"sha": "a" * 64}, {"oid": "a" * 64}),
    "nobody's address": ({"author": None}, actor(user=None)),
    "an empty account": ({"author": {}}, actor(user=None)),
    "a bot": ({"author": BOT, **commit({"email": BOT_MAIL})}, actor(user=None, email=BOT_MAIL)),
    "a named bot": (
        {"author": BOT, **commit({"email": BOT_MAIL})},
        actor(user={"login": "dependabot"}, email=BOT_MAIL),
    ),
    "no address": (commit({"email": ""}), actor(email=None)),
    "a message of Windows": (commit(message="a\r\n\r\nb\n"), {"message": "a\n\nb"}),
    "what cannot be stored": (commit(message="a\x00"), {"message": "a\x00"}),
    "another time zone": (
        commit({"date": "2025-01-01T02:00:00+02:00"}),
        {"authoredDate": "2025-01-01T00:00:00Z"},
    ),
}


@pytest.mark.spec("R4.4", "R5.3")
@pytest.mark.parametrize("case", COMMITS)
def test_a_commit_is_the_same_row_whichever_way_it_came(case: str) -> None:
    by_rest, by_graphql = COMMITS[case]
    row = parse_commit(support.rest_commit(**{"sha": SHA, **by_rest}))
    assert row == parse_commit(rest_commit(support.node_commit(sha=SHA) | by_graphql))


def test_one_time_of_a_commit_stands_in_for_the_other() -> None:
    row = parse_commit(support.rest_commit() | commit(author=None) | commit({"date": None}))
    assert row.authored_at == row.committed_at == datetime(2025, 1, 1, 0, 1, tzinfo=UTC)


# -- bad records -----------------------------------------------------------------------------------

BAD_ISSUES: dict[str, dict[str, Any]] = {
    "id": {"id": 0},
    "number": {"number": "7"},
    "title": {"title": None},
    "body": {"body": 5},
    "state": {"state": "pondering"},
    "labels": {"labels": "bug"},
    "created_at": {"created_at": "yesterday"},
    "updated_at": {"updated_at": None},
    "closed_at": {"closed_at": "2025-02-30T00:00:00Z"},
}


@pytest.mark.spec("R10.5", "P30", "P32")
@pytest.mark.parametrize("field", BAD_ISSUES)
def test_one_bad_issue_is_put_aside_alone(field: str) -> None:
    items = [
        support.rest_issue(1),
        support.rest_issue(2) | BAD_ISSUES[field],
        support.rest_issue(3),
    ]
    rows, bad = parse_each(items, parse_issue)
    assert [row.number for row in rows] == [1, 3]
    assert [(each.index, each.field) for each in bad] == [(1, field)]


@pytest.mark.spec("P33")
@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("sha", {"head": {"ref": "topic", "sha": "HEAD"}}),
        ("head.ref", {"head": {"sha": SHA}}),
        ("base.ref", {"base": None}),
        ("merge_commit_sha", {**MERGED, "merge_commit_sha": "no"}),
        ("draft", {"draft": "yes"}),
    ],
)
def test_a_pull_request_without_a_usable_field_is_put_aside(
    field: str, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRecord) as caught:
        parse_pull_request(support.rest_pull_request(1, **changes))
    assert caught.value.field == field
    assert caught.value.github_id == 2001


@pytest.mark.parametrize(
    "changes",
    [{"sha": SHA[1:]}, {"sha": None}, {"commit": None}, commit({"date": 0}, committer={})],
)
def test_a_commit_without_a_name_or_a_time_is_put_aside(changes: dict[str, Any]) -> None:
    item = support.rest_commit() | changes
    if changes.get("commit"):
        item["commit"]["author"] = {"date": "soon"}
    with pytest.raises(InvalidRecord):
        parse_commit(item)


def test_absent_optional_fields_are_no_reason_to_put_a_record_aside() -> None:
    needed = ("id", "number", "title", "state", "created_at", "updated_at")
    item = {key: support.rest_issue()[key] for key in needed}
    row = parse_issue(item)
    assert (row.node_id, row.body, row.author, row.labels, row.assignees) == (
        "",
        None,
        None,
        (),
        (),
    )


def test_issues_with_more_than_a_hundred_labels_keep_them_all() -> None:
    row = parse_issue(support.rest_issue(labels=[label(f"l{number:03}") for number in range(150)]))
    assert len(row.labels) == 150


@pytest.mark.parametrize("item", [None, [], "x", 5])
def test_what_is_no_object_is_put_aside(item: object) -> None:
    for parse in (parse_issue, parse_pull_request, parse_commit, parse_languages):
        with pytest.raises(InvalidRecord):
            parse(item)
    for translate in (rest_issue, rest_pull_request, rest_commit):
        with pytest.raises(InvalidRecord):
            translate(item)


def test_a_pull_request_in_an_issue_list_is_not_taken_for_an_issue() -> None:
    item = support.rest_issue(pull_request={"url": "..."})
    assert is_pull_request(item)
    assert not is_pull_request(support.rest_issue())
    with pytest.raises(InvalidRecord):
        parse_issue(item)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@pytest.mark.spec("P30")
@given(data=st.data())
def test_whatever_a_field_holds_nothing_crashes(data: st.DataObject) -> None:
    for make, translate, parse in (
        (support.node_issue, rest_issue, parse_issue),
        (support.node_pull_request, rest_pull_request, parse_pull_request),
        (support.node_commit, rest_commit, parse_commit),
    ):
        node: dict[str, Any] = make()
        node[data.draw(st.sampled_from(sorted(node)))] = data.draw(json_values)
        try:
            row = parse(translate(node))
        except InvalidRecord:
            continue
        assert "\x00" not in str(row)


def test_languages_are_counts_by_name() -> None:
    assert parse_languages({"Python": 10, "C\x00": 0, "": 3, "X": -1, "Y": "2", "Z": True}) == {
        "Python": 10,
        "C\ufffd": 0,
    }


# -- GitHub's own examples -------------------------------------------------------------------------


@pytest.mark.parametrize(("event", "key"), [("issues", "issue"), ("pull_request", "pull_request")])
def test_githubs_own_webhooks_can_be_read(event: str, key: str) -> None:
    parse = parse_issue if key == "issue" else parse_pull_request
    files = sorted((contract_dir() / "webhooks" / event).glob("*.json"))
    assert files
    for path in files:
        item = json.loads(path.read_text())[key]
        if "state" not in item or (key == "issue" and is_pull_request(item)):
            with pytest.raises(InvalidRecord):  # an example that is cut short, or no issue
                parse(item)
            continue
        assert parse(item).number == item["number"]


def test_recorded_issues_can_be_read() -> None:
    exchanges = json.loads((contract_dir() / "recorded/paginate-issues.json").read_text())
    items = [item for each in exchanges for item in each["response"]]
    rows, bad = parse_each(items, parse_issue)
    assert len(rows) == len(items) > 0
    assert not bad


# -- overview --------------------------------------------------------------------------------------


def overview(**changes: Any) -> dict[str, Any]:
    return {
        "id": "R_new",
        "databaseId": 5,
        "nameWithOwner": "octo/one",
        "isEmpty": False,
        "issues": {"totalCount": 3, "nodes": [{"updatedAt": "2025-01-02T00:00:00Z"}]},
        "pullRequests": {"totalCount": 0, "nodes": []},
        "defaultBranchRef": {"name": "main", "target": {"oid": SHA, "history": {"totalCount": 9}}},
        **changes,
    }


def test_an_overview_names_the_repository_as_it_was_asked_for() -> None:
    row = parse_overview(overview(), "R_old")
    assert (row.node_id, row.github_id, row.full_name) == ("R_old", 5, "octo/one")
    assert (row.issues, row.pull_requests, row.commits) == (3, 0, 9)
    assert row.latest_issue_at == datetime(2025, 1, 2, tzinfo=UTC)
    assert row.latest_pull_request_at is None
    assert (row.default_branch, row.head_oid) == ("main", SHA)
    assert (row.languages, row.has_ci, row.has_tests) == (None, None, None)


def test_an_empty_repository_has_no_branch() -> None:
    row = parse_overview(overview(isEmpty=True, defaultBranchRef=None, databaseId=None), "R")
    assert (row.is_empty, row.default_branch, row.head_oid, row.commits) == (True, None, None, 0)
    assert row.github_id is None


@pytest.mark.parametrize(
    ("names", "workflows", "expected"),
    [
        (["Tests", "README.md"], None, (False, True)),
        ([".travis.yml"], None, (True, False)),
        ([], {"__typename": "Tree"}, (True, False)),
        (None, {"__typename": "Tree"}, (True, None)),
        (None, None, (None, None)),
    ],
)
def test_ci_and_tests_are_told_by_names(
    names: list[str] | None, workflows: Any, expected: tuple[bool | None, bool | None]
) -> None:
    root = None if names is None else {"entries": [{"name": name} for name in names]}
    row = parse_overview(overview(root=root, workflows=workflows), "R")
    assert (row.has_ci, row.has_tests) == expected


def test_an_overview_without_counts_is_put_aside() -> None:
    for changes in ({"issues": None}, {"pullRequests": {"totalCount": "3"}}):
        with pytest.raises(InvalidRecord):
            parse_overview(overview(**changes), "R")
