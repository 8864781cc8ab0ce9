"""A row of GitHub's as a row of ours: each column is where it belongs, and none is forgotten."""

from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import models
from hypothesis import given
from hypothesis import strategies as st

from syncsvc import normalizer
from syncsvc.content_plan import COLUMNS, Item, MirrorItem, item_of
from syncsvc.github.content import (
    CommitRow,
    IssueRow,
    PullRequestRow,
    parse_commit,
    parse_issue,
    parse_pull_request,
)
from syncsvc.github.reading import ContentRow, Entity
from syncsvc.models import Commit, Issue, PullRequest
from tests.content_support import SHA, rest_commit, rest_issue, rest_pull_request

REPOSITORY = 7
MODELS: dict[Entity, type[models.Model]] = {
    Entity.ISSUES: Issue,
    Entity.PULL_REQUESTS: PullRequest,
    Entity.COMMITS: Commit,
}
ROWS: dict[Entity, type[IssueRow | PullRequestRow | CommitRow]] = {
    Entity.ISSUES: IssueRow,
    Entity.PULL_REQUESTS: PullRequestRow,
    Entity.COMMITS: CommitRow,
}
KEYS = {
    Entity.ISSUES: {"github_id", "repository_id"},
    Entity.PULL_REQUESTS: {"github_id", "repository_id"},
    Entity.COMMITS: {"repository_id", "sha"},
}
#: What the mirror itself notes of a row.
BOOK = {"id", "last_written_at", "changed_by", "changed_by_job"}
GONE = {
    Entity.ISSUES: {"removed_at", "removal"},
    Entity.PULL_REQUESTS: {"removed_at", "removal"},
    Entity.COMMITS: {"dropped_at"},
}
#: Columns that follow from others.
DERIVED = {
    Entity.ISSUES: {"state", "severity", "due_at", "is_blocker", "priority_base"},
    Entity.PULL_REQUESTS: set(),
    Entity.COMMITS: {"contributor"},
}
#: Names of a row's fields that are called otherwise in the mirror.
RENAMED = {"created_at": "github_created_at", "updated_at": "github_updated_at"}

entities = pytest.mark.parametrize("entity", Entity)


def columns(item: Item) -> dict[str, Any]:
    return dict(zip(COLUMNS[item.entity], item.values, strict=True))


# -- columns and tables ----------------------------------------------------------------------------


@pytest.mark.spec("R5.2", "R5.3")
@entities
def test_every_column_of_the_table_is_mirrored_or_kept_by_ourselves(entity: Entity) -> None:
    assert len(set(COLUMNS[entity])) == len(COLUMNS[entity])
    names = {field.column for field in MODELS[entity]._meta.local_fields}
    groups = [set(COLUMNS[entity]), KEYS[entity], BOOK, GONE[entity]]
    assert set.union(*groups) == names
    assert sum(map(len, groups)) == len(names)


@pytest.mark.spec("R5.2", "R5.3")
@entities
def test_everything_that_is_read_of_github_has_a_column(entity: Entity) -> None:
    read = {RENAMED.get(field.name, field.name) for field in fields(ROWS[entity])}
    if entity is Entity.ISSUES:
        read = (read - {"state"}) | {"github_state"}
    assert read | DERIVED[entity] == set(COLUMNS[entity]) | (KEYS[entity] - {"repository_id"})


def test_items_of_both_kinds_have_their_time_in_one_place() -> None:
    places = {
        COLUMNS[entity].index("github_updated_at")
        for entity in (Entity.ISSUES, Entity.PULL_REQUESTS)
    }
    assert len(places) == 1


# -- rows ------------------------------------------------------------------------------------------

moments = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
texts = st.text(max_size=8)
names = st.lists(
    st.sampled_from(["critical", "P1", "low", "blocker", "security", "wip", "docs", "x"]),
    max_size=4,
    unique=True,
).map(tuple)
common: dict[str, st.SearchStrategy[Any]] = {
    "github_id": st.integers(1, 2**63 - 1),
    "node_id": texts,
    "number": st.integers(1, 2**31 - 1),
    "title": texts,
    "body": st.none() | texts,
    "state": st.sampled_from(["open", "closed"]),
    "author": st.none() | texts,
    "assignees": st.lists(texts, max_size=2).map(tuple),
    "labels": names,
    "created_at": moments,
    "updated_at": moments,
    "closed_at": st.none() | moments,
}
issues = st.builds(IssueRow, **common, state_reason=st.none() | texts)
pull_requests = st.builds(
    PullRequestRow,
    **common,
    draft=st.booleans(),
    merged=st.booleans(),
    base_ref=texts,
    head_ref=texts,
    head_sha=st.just(SHA),
    merge_commit_sha=st.none() | st.just(SHA),
    merged_at=st.none() | moments,
)
commits = st.builds(
    CommitRow,
    sha=st.sampled_from([SHA, "f" * 64]),
    author_login=st.none() | texts,
    author_name=texts,
    author_email=st.none() | texts,
    authored_at=moments,
    committed_at=moments,
    message=texts,
)


@pytest.mark.spec("R5.2", "P32")
@given(row=issues)
def test_an_issue_is_mirrored_field_by_field_with_what_follows_from_it(row: IssueRow) -> None:
    item = item_of(row, REPOSITORY)
    assert (item.entity, item.key, item.repository_id) == (
        Entity.ISSUES, row.github_id, REPOSITORY,
    )  # fmt: skip
    known = normalizer.normalize_issue(row, row.created_at)
    assert columns(item) == plain(row) | {
        "github_state": row.state,
        "state": known.state.value,
        "severity": known.severity.value,
        "due_at": known.due_at,
        "is_blocker": known.is_blocker,
        "priority_base": normalizer.priority_base(row.labels),
    }
    assert min(max(columns(item)["priority_base"], 0), 100) == known.priority_score
    assert item.updated_at == row.updated_at


@pytest.mark.spec("R5.3", "P32")
@given(row=pull_requests)
def test_a_pull_request_is_mirrored_field_by_field(row: PullRequestRow) -> None:
    item = item_of(row, REPOSITORY)
    assert (item.entity, item.key, item.repository_id) == (
        Entity.PULL_REQUESTS, row.github_id, REPOSITORY,
    )  # fmt: skip
    assert columns(item) == plain(row)
    assert item.updated_at == row.updated_at


@pytest.mark.spec("R5.3", "R5.4", "P32")
@given(row=commits)
def test_a_commit_is_mirrored_field_by_field_with_whom_to_count(row: CommitRow) -> None:
    item = item_of(row, REPOSITORY)
    assert (item.entity, item.key, item.repository_id) == (
        Entity.COMMITS, (REPOSITORY, row.sha), REPOSITORY,
    )  # fmt: skip
    assert columns(item) == plain(row) | {"contributor": normalizer.contributor(row)}
    assert item.updated_at is None


def plain(row: ContentRow) -> dict[str, Any]:
    """The row's own fields by the names of the columns, without what identifies it."""
    found = {RENAMED.get(field.name, field.name): getattr(row, field.name) for field in fields(row)}
    return {name: value for name, value in found.items() if name not in {"github_id", "sha"}}


@pytest.mark.spec("R5.5", "P38")
@given(row=issues | pull_requests | commits)
def test_the_same_row_is_the_same_item(row: ContentRow) -> None:
    assert item_of(row, REPOSITORY) == item_of(row, REPOSITORY)
    assert item_of(row, REPOSITORY) != item_of(row, REPOSITORY + 1)


@pytest.mark.spec("R5.2", "R5.3")
@pytest.mark.parametrize(
    "row",
    [
        parse_issue(rest_issue(labels=["P0"])),
        parse_pull_request(rest_pull_request()),
        parse_commit(rest_commit()),
    ],
)
def test_values_are_what_a_database_gives_back(row: ContentRow) -> None:
    """Else each reading would find a difference: an enumeration is no text to a cursor."""
    for value in item_of(row, REPOSITORY).values:
        assert type(value) in {str, int, bool, tuple, datetime, type(None)}, repr(value)


@pytest.mark.parametrize("updated", [datetime(2025, 1, 2, tzinfo=UTC), None])
def test_the_mirrors_item_has_its_time_where_githubs_has(updated: datetime | None) -> None:
    item = item_of(parse_issue(rest_issue()), REPOSITORY)
    values = [updated if value == item.updated_at else value for value in item.values]
    mine = MirrorItem(pk=1, repository_id=REPOSITORY, values=tuple(values), present=True)
    assert mine.updated_at == updated


@pytest.mark.spec("R5.2")
@pytest.mark.parametrize(("labels", "hours"), [(["P0"], 4), (["P1"], 24), ([], 72), (["low"], 168)])
def test_the_time_that_a_severity_allows_begins_when_the_issue_was_opened(
    labels: list[str], hours: int
) -> None:
    row = parse_issue(rest_issue(labels=labels, updated_at="2025-06-01T00:00:00Z"))
    found = columns(item_of(row, REPOSITORY))
    assert found["due_at"] == datetime(2025, 1, 1, tzinfo=UTC) + timedelta(hours=hours)
