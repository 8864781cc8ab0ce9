"""Issues, pull requests and commits as the mirror holds them: which columns, in which order.

Hides how a row of GitHub's becomes a row of ours, derived columns included. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from syncsvc import normalizer
from syncsvc.github.content import CommitRow, IssueRow, PullRequestRow
from syncsvc.github.reading import ContentRow, Entity

Key = tuple[int, str] | int
"""What identifies an item: GitHub's id; of a commit, our repository's id and the sha."""

_ITEM: Final = (
    "node_id",
    "number",
    "title",
    "body",
    "author",
    "assignees",
    "labels",
    "github_created_at",
    "github_updated_at",
    "closed_at",
)

#: Every column that is mirrored and compared, by entity; the key and `repository_id` come beside them.
COLUMNS: Final[Mapping[Entity, tuple[str, ...]]] = {
    Entity.ISSUES: (
        *_ITEM,
        "github_state",
        "state_reason",
        "state",
        "severity",
        "due_at",
        "is_blocker",
        "priority_base",
    ),
    Entity.PULL_REQUESTS: (
        *_ITEM,
        "state",
        "draft",
        "merged",
        "merged_at",
        "base_ref",
        "head_ref",
        "head_sha",
        "merge_commit_sha",
    ),
    Entity.COMMITS: (
        "author_login",
        "author_name",
        "author_email",
        "contributor",
        "authored_at",
        "committed_at",
        "message",
    ),
}

_item: Final = attrgetter(
    "node_id", "number", "title", "body", "author", "assignees", "labels",
    "created_at", "updated_at", "closed_at",
)  # fmt: skip
_pull_request: Final = attrgetter(
    "state", "draft", "merged", "merged_at", "base_ref", "head_ref", "head_sha", "merge_commit_sha"
)
_UPDATED: Final = _ITEM.index("github_updated_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One item as GitHub says it is; `values` in the order of `COLUMNS`."""

    entity: Entity
    repository_id: int
    key: Key
    values: tuple[Any, ...]

    @property
    def updated_at(self) -> datetime | None:
        """GitHub's time of its last change; commits have none, they never change."""
        moment = None if self.entity is Entity.COMMITS else self.values[_UPDATED]
        return moment if isinstance(moment, datetime) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorItem:
    """The same item as the mirror has it. `present` is False once it was removed or dropped."""

    pk: int
    repository_id: int
    values: tuple[Any, ...]
    present: bool
    written_at: datetime | None = None

    @property
    def updated_at(self) -> datetime | None:
        """GitHub's time of its last change as far as we know; not asked of commits."""
        moment = self.values[_UPDATED]
        return moment if isinstance(moment, datetime) else None


def item_of(row: ContentRow, repository_id: int) -> Item:
    """The item that a row of GitHub's is, of our repository with this primary key."""
    if isinstance(row, CommitRow):
        return Item(
            entity=Entity.COMMITS,
            repository_id=repository_id,
            key=(repository_id, row.sha),
            values=_commit_values(row),
        )
    if isinstance(row, IssueRow):
        return Item(
            entity=Entity.ISSUES,
            repository_id=repository_id,
            key=row.github_id,
            values=_issue_values(row),
        )
    return Item(
        entity=Entity.PULL_REQUESTS,
        repository_id=repository_id,
        key=row.github_id,
        values=_pull_request_values(row),
    )


def _issue_values(row: IssueRow) -> tuple[Any, ...]:
    level = normalizer.severity(row.labels)
    return (
        *_item(row),
        row.state,
        row.state_reason,
        str(normalizer.issue_state(row.state, row.assignees, row.labels)),
        str(level),
        normalizer.due_at(row.created_at, level),
        normalizer.is_blocker(row.labels),
        normalizer.priority_base(row.labels),
    )


def _pull_request_values(row: PullRequestRow) -> tuple[Any, ...]:
    return (*_item(row), *_pull_request(row))


def _commit_values(row: CommitRow) -> tuple[Any, ...]:
    return (
        row.author_login,
        row.author_name,
        row.author_email,
        normalizer.contributor(row),
        row.authored_at,
        row.committed_at,
        row.message,
    )
