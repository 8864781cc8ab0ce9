"""What a repository holds: issues, pull requests, commits by branch, languages, labels.

Hides the indexes by number and by id, and listings that are kept until something changes.
Times are whole seconds since the epoch.
"""

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from syncsvc.simulator.records import Account

T = TypeVar("T")

ItemState = Literal["open", "closed"]
Reason = Literal["completed", "not_planned", "duplicate", "reopened"]
REASONS: tuple[Reason, ...] = ("completed", "not_planned", "duplicate")
"""With these an issue is closed."""

NO_COMMIT = "0" * 40
"""What a push event names where there is no commit."""
KEPT_LISTINGS = 32
LARGEST_BODY = 65_536


def scoped_node_id(prefix: str, repository_id: int, key: int | str) -> str:
    """A node id (`I_kwDO...`): a packed array of zero, the repository's id, and number or sha."""
    packed = b"\x93\x00" + _packed_number(repository_id)
    if isinstance(key, int):
        packed += _packed_number(key)
    else:
        packed += b"\xd9" + bytes([len(key)]) + key.encode()
    return f"{prefix}_{urlsafe_b64encode(packed).decode().rstrip('=')}"


def old_node_id(kind: str, key: int | str) -> str:
    """The older form: base64 of `05:Issue42`."""
    return b64encode(f"0{len(kind)}:{kind}{key}".encode()).decode()


def _packed_number(number: int) -> bytes:
    wide = number >= 1 << 32
    return (b"\xcf" if wide else b"\xce") + number.to_bytes(8 if wide else 4, "big")


@dataclass(frozen=True, slots=True, eq=False)
class Label:
    """A label of one repository."""

    id: int
    name: str
    color: str
    description: str | None
    default: bool

    @property
    def node_id(self) -> str:
        """GitHub's global id."""
        return old_node_id("Label", self.id)


@dataclass(frozen=True, slots=True, eq=False)
class Commit:
    """A commit; author and committer are one person here. `author` None: no GitHub account."""

    sha: str
    node_id: str
    repository_id: int
    message: str
    author: Account | None
    author_name: str
    author_email: str
    authored_at: int
    committed_at: int
    parent: str | None


@dataclass(slots=True, eq=False, kw_only=True)
class Item:
    """What issues and pull requests have in common; a pull request is an issue too."""

    repository_id: int
    number: int
    id: int
    """Of the issue, which a pull request has beside its own."""
    node_id: str
    title: str
    body: str | None
    author: Account | None
    """None: a deleted user."""
    created_at: int
    updated_at: int
    closed_at: int | None = None
    closed_by: Account | None = None
    labels: tuple[Label, ...] = ()
    assignees: tuple[Account, ...] = ()
    comments: int = 0
    state: ItemState = "open"


@dataclass(slots=True, eq=False, kw_only=True)
class Issue(Item):
    """An issue."""

    state_reason: Reason | None = None


@dataclass(slots=True, eq=False, kw_only=True)
class PullRequest(Item):
    """A pull request; `state` is `closed` for a merged one, as in REST."""

    pull_id: int
    issue_node_id: str
    base_ref: str
    base_sha: str
    head_ref: str
    head_sha: str
    head_gone: bool = False
    """The fork that it came from was deleted."""
    draft: bool = False
    merged_at: int | None = None
    merged_by: Account | None = None
    merge_commit: Commit | None = None

    @property
    def test_sha(self) -> str:
        """What REST calls `merge_commit_sha` of one that is not merged: a trial merge."""
        return self.head_sha[::-1]


class Content:
    """Everything in one repository."""

    def __init__(self, repository_id: int, labels: dict[str, Label]) -> None:
        """Empty: no commit, no issue; but with labels, as a new repository has them."""
        self.repository_id = repository_id
        self.labels = labels
        self.items: dict[int, Issue | PullRequest] = {}
        self.branches: dict[str, list[Commit]] = {}
        """Oldest commit first."""
        self.dropped: dict[str, tuple[Commit, ...]] = {}
        """Histories that a forced push has replaced, by their head: cursors still point there."""
        self.languages: dict[str, int] = {}
        self.moved: dict[int, tuple[int, int]] = {}
        """Number of a transferred issue -> id of the repository and number there."""
        self.deleted: set[int] = set()
        self.last_number = 0
        self.made_commits = 0
        self.revision = 0
        self._kept: dict[tuple[object, ...], tuple[int, object]] = {}

    def changed(self) -> None:
        """End the kept listings."""
        self.revision += 1

    def kept(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Something derived from the content, made once until the content changes."""
        found = self._kept.get(key)
        if found is not None and found[0] == self.revision:
            return found[1]  # type: ignore[return-value]  # the caller names the type
        made = make()
        if len(self._kept) >= KEPT_LISTINGS:
            self._kept.clear()
        self._kept[key] = (self.revision, made)
        return made

    @property
    def issues(self) -> list[Issue]:
        """Without pull requests, by number."""
        return self.kept(
            ("issues",), lambda: [i for i in self.items.values() if isinstance(i, Issue)]
        )

    @property
    def pull_requests(self) -> list[PullRequest]:
        """By number."""
        return self.kept(
            ("pulls",), lambda: [i for i in self.items.values() if isinstance(i, PullRequest)]
        )

    @property
    def open_items(self) -> int:
        """Open issues and pull requests together, as `open_issues_count` counts."""
        return sum(i.state == "open" for i in self.items.values())

    def history(self, branch: str) -> list[Commit]:
        """The commits of a branch, newest first; empty when there is no such branch."""
        return self.kept(("history", branch), lambda: self.branches.get(branch, [])[::-1])

    def commit(self, ref: str) -> Commit | None:
        """The commit that a branch's name, a sha or the beginning of one stands for."""
        if ref in self.branches:
            return self.branches[ref][-1]
        by_sha = self.kept(
            ("shas",), lambda: {c.sha: c for commits in self.branches.values() for c in commits}
        )
        if ref in by_sha:
            return by_sha[ref]
        begun = [c for sha, c in by_sha.items() if len(ref) >= 7 and sha.startswith(ref)]
        return begun[0] if len(begun) == 1 else None


def merged(item: Item) -> bool:
    """Whether this is a merged pull request."""
    return isinstance(item, PullRequest) and item.merged_at is not None
