"""The words in which the mirror is read and changed: rows as values, changes as values.

A change is made by comparing, printed by a dry run, stored as evidence, and carried out by
`syncsvc.mirror`; nothing else writes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

#: Every field of a repository that is compared and mirrored.
FIELDS: Final = (
    "node_id",
    "owner",
    "owner_id",
    "name",
    "description",
    "visibility",
    "archived",
    "disabled",
    "fork",
    "default_branch",
    "language",
    "topics",
    "stars",
    "forks",
    "open_issues",
    "size",
    "homepage",
    "license",
    "github_created_at",
    "github_updated_at",
    "pushed_at",
)


class Kind(StrEnum):
    """The types of discrepancy (R7.4)."""

    MISSING_REPO = "missing_repo"
    MISSING_AT_GITHUB = "missing_at_github"
    WRONG_NAME = "wrong_name"
    WRONG_OWNER = "wrong_owner"
    WRONG_VISIBILITY = "wrong_visibility"
    WRONG_ARCHIVED_FLAG = "wrong_archived_flag"
    WRONG_STATUS = "wrong_status"
    STALE_METADATA = "stale_metadata"
    MISSING_ISSUE = "missing_issue"
    STALE_ISSUE = "stale_issue"
    ISSUE_MISSING_AT_GITHUB = "issue_missing_at_github"
    MISSING_PULL_REQUEST = "missing_pull_request"
    STALE_PULL_REQUEST = "stale_pull_request"
    PULL_REQUEST_MISSING_AT_GITHUB = "pull_request_missing_at_github"
    MISSING_COMMIT = "missing_commit"
    STALE_COMMIT = "stale_commit"
    COMMIT_MISSING_AT_GITHUB = "commit_missing_at_github"


@dataclass(frozen=True, kw_only=True, slots=True)
class MirrorRepository:
    """A repository as the mirror has it."""

    github_id: int
    installation_id: int
    node_id: str
    owner: str
    owner_id: int | None
    name: str
    description: str | None
    visibility: str
    archived: bool
    disabled: bool
    fork: bool
    default_branch: str | None
    language: str | None
    topics: tuple[str, ...]
    stars: int
    forks: int
    open_issues: int
    size: int
    homepage: str | None
    license: str | None
    github_created_at: datetime | None
    github_updated_at: datetime | None
    pushed_at: datetime | None
    status: str
    name_is_current: bool
    missing_since: datetime | None
    version: int
    #: GitHub's time of the newest webhook that told what the row says.
    told_at: datetime | None = None
    #: When it was last asked for by itself, and when the row last changed; by our clock.
    read_at: datetime | None = None
    last_written_at: datetime | None = None


class Operation(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What has to be done to one repository of the mirror, and why."""

    operation: Operation
    github_id: int
    name: str
    kinds: tuple[Kind, ...]
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    #: The version of the row that was compared; a writer that finds another has lost a race.
    version: int | None = None
    #: Younger than the grace period: its webhook may still be on the way (R7.6).
    in_flight: bool = False

    @property
    def is_discrepancy(self) -> bool:
        """Whether GitHub and the mirror differed without anything that would have told us."""
        return bool(self.kinds) and not self.in_flight

    @property
    def is_return(self) -> bool:
        """Whether the repository was gone by what the mirror knew, and is there again."""
        return self.operation is Operation.UPDATE and Kind.MISSING_REPO in self.kinds

    @property
    def is_move(self) -> bool:
        """Whether the repository came here from another account of ours."""
        return self.operation is Operation.UPDATE and "installation_id" in self.after
