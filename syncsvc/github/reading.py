"""What is to be read of repositories, and what comes of it: the same words for GraphQL and REST.

Hides nothing; these are the values that go between the mirror and its two ways of reading. Pure.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from syncsvc.github.content import CommitRow, IssueRow, PullRequestRow
from syncsvc.github.errors import GitHubError
from syncsvc.github.payloads import BadRecord

MOST_PER_PAGE: Final = 100

ContentRow = IssueRow | PullRequestRow | CommitRow


class Entity(StrEnum):
    """The lists that a repository has."""

    ISSUES = "issues"
    PULL_REQUESTS = "pull_requests"
    COMMITS = "commits"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One list of one repository that is to be read, the newest first.

    `expected` is how many items there are, None when that is not known; nothing is asked where it
    is 0. `since` keeps issues and pull requests to those that were updated at that time or later;
    commits have no such bound, because late and forced pushes escape it (GitHub: "List commits").
    `limit` ends the reading after so many items. `head` is the commit whose history is read, by
    default that of the default branch; REST needs it so that a push between two pages cannot mix
    two histories, GraphQL's cursors hold on to their commit by themselves and it is ignored there.
    """

    github_id: int
    node_id: str
    full_name: str
    entity: Entity
    expected: int | None = None
    since: datetime | None = None
    limit: int | None = None
    head: str | None = None

    @property
    def wanted(self) -> int | None:
        """How many items are to be read, as far as known."""
        if self.limit is None:
            return self.expected
        if self.expected is None:
            return None if self.limit > 0 else 0
        return max(0, min(self.limit, self.expected))


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentPage:
    """One page of a reading. `more` tells whether further pages of it follow.

    `total` is GitHub's count of the whole list, `head_oid` the commit that a page of commits was
    read from; None where they are not told. A row may come twice when the list moves meanwhile.
    `restarts` says that what came of this reading before is read anew from here.
    """

    reading: Reading
    rows: tuple[ContentRow, ...]
    bad: tuple[BadRecord, ...] = ()
    more: bool = False
    total: int | None = None
    head_oid: str | None = None
    restarts: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """What could not be read, and why; the rest goes on (R5.6).

    `reading` is None when it was the overview of the repository. Pages that came before it stay
    good; what is missing has to be read once more, from its beginning.
    """

    node_id: str
    error: GitHubError
    reading: Reading | None = None


class FateKind(StrEnum):
    """What can have become of an item that a whole list lacked."""

    PRESENT = "present"
    DELETED = "deleted"
    TRANSFERRED = "transferred"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fate:
    """What became of one issue or pull request.

    `row` is the item as it is now when it is present, or as it is in the repository `full_name`
    when it was transferred there, as far as it can be read. `error` says why the fate is unknown,
    or how GitHub said that it was deleted.
    """

    kind: FateKind
    row: IssueRow | PullRequestRow | None = None
    full_name: str | None = None
    error: GitHubError | None = None
