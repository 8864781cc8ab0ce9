"""What the benchmark of the full mirror compares, and what the bare loop reads."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.bench import bare_mirror, probe, truth
from tests.content_support import rest_commit, rest_issue, rest_pull_request, rest_user

MOMENT = datetime(2025, 1, 2, tzinfo=UTC)


def test_a_difference_is_a_record_that_one_lacks_or_both_describe_unlike() -> None:
    said = {1: {"title": "a"}, 2: {"title": "b"}, 3: {"title": "c"}}
    assert truth.unequal(said, dict(said)) == 0
    assert truth.unequal(said, {1: {"title": "a"}, 2: {"title": "B"}, 4: {"title": "d"}}) == 3


def test_our_row_of_an_issue_says_the_same_in_githubs_words() -> None:
    row = {
        "github_id": 5,
        "body": None,
        "github_state": "open",
        "github_created_at": MOMENT,
        "github_updated_at": MOMENT,
        "closed_at": None,
    }
    assert truth.in_githubs_words(row, truth.ISSUE_WORDS) == {
        "github_id": 5,
        "body": "",
        "state": "open",
        "created_at": "2025-01-02T00:00:00Z",
        "updated_at": "2025-01-02T00:00:00Z",
        "closed_at": None,
    }


def test_counts_are_those_of_the_lists_and_of_the_day() -> None:
    held: dict[str, Any] = {
        "issues": [{"state": "open"}, {"state": "closed"}],
        "pull_requests": [{"state": "open"}],
        "commits": [],
        "commit_count": 7,
        "head_sha": "f" * 40,
        "languages": {"C": 1},
    }
    found = truth.counts(held)
    assert (found["issues"], found["pull_requests"], found["commits"]) == (2, 1, 7)
    assert found["open issues of the day"] == 1


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/app/installations/7/access_tokens", "token"),
        ("/installation/repositories", "repository list"),
        ("/graphql", "GraphQL"),
        ("/repos/o/n/issues", "issues"),
        ("/repos/o/n/issues/5", "single"),
        ("/repos/o/n", "single"),
        ("/user", "/user"),
    ],
)
def test_requests_are_counted_by_what_they_are_for(path: str, kind: str) -> None:
    assert probe.kind_of(path) == kind


def test_kinds_are_counted_most_first() -> None:
    log = [{"path": "/graphql"}, {"path": "/repos/o/n/pulls"}, {"path": "/repos/o/m/pulls"}]
    assert list(probe.kinds(log).items()) == [("pulls", 2), ("GraphQL", 1)]


def test_the_bare_loop_follows_links_by_path() -> None:
    links = '<http://h:1/a?page=1>; rel="prev", <http://h:1/repos/o/n/issues?page=3>; rel="next"'
    assert bare_mirror.following(links) == "/repos/o/n/issues?page=3"
    assert bare_mirror.following('<http://h:1/a?page=1>; rel="last"') is None
    assert bare_mirror.following("") is None


def test_the_rows_of_the_bare_loop_have_the_columns_that_it_writes() -> None:
    issue = rest_issue(labels=[{"name": "bug"}], assignees=[rest_user("a")])
    rows = {
        "issues": bare_mirror.issue_row(issue, 9),
        "pulls": bare_mirror.pull_request_row(rest_pull_request(), 9),
        "commits": bare_mirror.commit_row(rest_commit(author=None), 9),
    }
    for name, row in rows.items():
        assert set(row) == set(bare_mirror.TARGETS[name].columns), name
    assert (rows["issues"]["state"], rows["issues"]["github_state"]) == ("pending", "open")
    assert (rows["issues"]["labels"], rows["issues"]["assignees"]) == (["bug"], ["a"])
    assert rows["commits"]["author_login"] is None
