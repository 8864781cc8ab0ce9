"""What one delivery tells: a payload -> a frozen record of what happened, to what, and when.

Hides the shapes of GitHub's events. Pure: whether the mirror believes it, and what it does about it,
is decided in `reconciliation.hints`. What is not ours to handle is named as such, never an error (R6.2).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from syncsvc.github.content import (
    IssueRow,
    PullRequestRow,
    is_sha,
    parse_issue,
    parse_pull_request,
)
from syncsvc.github.payloads import (
    AccountRow,
    InstallationRow,
    RepositoryRow,
    parse_account,
    parse_installation,
    parse_repository,
)
from syncsvc.github.values import InvalidRecord, is_mapping, optional_id, parse_time, some_text


class Subject(StrEnum):
    """What a delivery is about."""

    NOTHING = "nothing"
    REPOSITORY = "repository"
    ITEM = "item"
    PUSH = "push"
    INSTALLATION = "installation"
    SELECTION = "selection"
    ACCOUNT = "account"


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What a delivery says. `outcome` names why it is not ours to handle, where it is not.

    `as_of` is the newest of GitHub's times in the payload: what it shows was true then or later.
    `timed` says that it was true exactly then, because the event moves one of these times.
    """

    subject: Subject
    outcome: str = ""
    as_of: datetime | None = None
    timed: bool = False
    repository: RepositoryRow | None = None
    #: The repository is said to be gone.
    deleted: bool = False
    row: IssueRow | PullRequestRow | None = None
    #: What could not be read of it, as a sentence: only GitHub can tell.
    unclear: str = ""
    #: Why the item is gone from its repository: `deleted` or `transferred`.
    removal: str = ""
    #: GitHub's id and name of another repository that is concerned, and the account it belongs to.
    other: "Place | None" = None
    #: The head of the default branch after a push to it; "" when the branch is gone.
    head: str | None = None
    installation: InstallationRow | None = None
    gone: bool = False
    account: AccountRow | None = None
    former_login: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A repository that a payload only mentions."""

    github_id: int
    full_name: str
    account_id: int


#: What moves the time of the issue or pull request for certain.
_TIMED: Final = frozenset(
    {"opened", "edited", "closed", "reopened", "labeled", "unlabeled", "assigned", "unassigned"}
    | {"synchronize"}
)
_ITEM_ACTIONS: Final = (_TIMED - {"synchronize"}) | {
    "demilestoned", "locked", "milestoned", "unlocked",
}  # fmt: skip
_ISSUE_ACTIONS: Final = _ITEM_ACTIONS | {
    "deleted", "transferred", "pinned", "unpinned", "typed", "untyped",
}  # fmt: skip
_PULL_REQUEST_ACTIONS: Final = _ITEM_ACTIONS | {
    "auto_merge_disabled", "auto_merge_enabled", "converted_to_draft", "dequeued", "enqueued",
    "ready_for_review", "review_request_removed", "review_requested", "synchronize",
}  # fmt: skip
_REPOSITORY_ACTIONS: Final = frozenset(
    {"archived", "created", "deleted", "edited", "privatized", "publicized", "renamed"}
    | {"transferred", "unarchived"}
)
_INSTALLATION_ACTIONS: Final = frozenset(
    {"created", "deleted", "suspend", "unsuspend", "new_permissions_accepted"}
)
_ACTIONS: Final[Mapping[str, frozenset[str]]] = {
    "ping": frozenset({""}),
    "push": frozenset({""}),
    "public": frozenset({""}),
    "issues": _ISSUE_ACTIONS,
    "pull_request": _PULL_REQUEST_ACTIONS,
    "repository": _REPOSITORY_ACTIONS,
    "installation": _INSTALLATION_ACTIONS,
    "installation_repositories": frozenset({"added", "removed"}),
    "installation_target": frozenset({"renamed"}),
}

PING: Final = "ping"
UNKNOWN_EVENT: Final = "unknown_event"
UNKNOWN_ACTION: Final = "unknown_action"


def not_ours(event: str, action: str) -> str:
    """Why an event is stored and ignored; empty when it is ours to handle (R6.2)."""
    if event not in _ACTIONS:
        return UNKNOWN_EVENT
    if action not in _ACTIONS[event]:
        return UNKNOWN_ACTION
    return PING if event == "ping" else ""


def read(event: str, action: str, payload: Mapping[str, Any]) -> Told:
    """What the payload of an event that is ours to handle tells; raises `InvalidRecord` when the
    object it is about cannot be read (GitHub: "Webhook events and payloads")."""
    outcome = not_ours(event, action)
    if outcome:
        return Told(subject=Subject.NOTHING, outcome=outcome)
    if event == "issues":
        return _item(action, payload, parse_issue, payload.get("issue"))
    if event == "pull_request":
        return _item(action, payload, parse_pull_request, payload.get("pull_request"))
    if event == "push":
        return _push(payload)
    if event in ("repository", "public"):
        return _repository(action, payload)
    if event == "installation":
        return _installation(action, payload)
    if event == "installation_repositories":
        row = parse_installation(payload.get("installation"))
        return Told(subject=Subject.SELECTION, installation=row, as_of=row.updated_at)
    return _account(payload)


def _item(
    action: str,
    payload: Mapping[str, Any],
    parse: Callable[[object], IssueRow | PullRequestRow],
    item: object,
) -> Told:
    repository = parse_repository(payload.get("repository"))
    row: IssueRow | PullRequestRow | None = None
    unclear = ""
    try:
        row = parse(item)
    except InvalidRecord as error:
        # GitHub's own examples have such: an issue that is a pull request, one without a state.
        unclear = f"Its {error.field or 'item'} is {error.reason}: GitHub is asked instead."
    moments = (repository.github_updated_at, repository.pushed_at)
    removal = action if action in ("deleted", "transferred") else ""
    return Told(
        subject=Subject.ITEM,
        as_of=_newest(*moments, row.updated_at if row is not None else None),
        timed=action in _TIMED and row is not None,
        repository=repository,
        row=row,
        unclear=unclear,
        removal=removal,
        other=_new_home(payload) if removal == "transferred" else None,
    )


def _new_home(payload: Mapping[str, Any]) -> Place | None:
    changes = payload.get("changes")
    return _place(changes.get("new_repository")) if is_mapping(changes) else None


def _place(item: object) -> Place | None:
    if not is_mapping(item):
        return None
    owner = item.get("owner")
    github_id = optional_id(item.get("id"))
    account_id = optional_id(owner.get("id")) if is_mapping(owner) else None
    if github_id is None or account_id is None:
        return None
    name = some_text(item.get("full_name")) or ""
    return Place(github_id=github_id, full_name=name, account_id=account_id)


def _push(payload: Mapping[str, Any]) -> Told:
    repository = parse_repository(payload.get("repository"))
    after = payload.get("after")
    head: str | None = None
    if payload.get("ref") == f"refs/heads/{repository.default_branch}":
        known = is_sha(after) and set(str(after)) != {"0"}
        head = str(after) if known else ""
    return Told(
        subject=Subject.PUSH,
        as_of=_newest(repository.github_updated_at, repository.pushed_at),
        timed=True,
        repository=repository,
        head=head,
    )


def _repository(action: str, payload: Mapping[str, Any]) -> Told:
    repository = parse_repository(payload.get("repository"))
    return Told(
        subject=Subject.REPOSITORY,
        as_of=_newest(repository.github_updated_at, repository.pushed_at),
        repository=repository,
        deleted=action == "deleted",
    )


def _installation(action: str, payload: Mapping[str, Any]) -> Told:
    row = parse_installation(payload.get("installation"))
    return Told(
        subject=Subject.INSTALLATION,
        as_of=row.updated_at,
        installation=row,
        gone=action == "deleted",
    )


def _account(payload: Mapping[str, Any]) -> Told:
    changes = payload.get("changes")
    login = changes.get("login") if is_mapping(changes) else None
    former = some_text(login.get("from")) if is_mapping(login) else None
    account = payload.get("account")
    return Told(
        subject=Subject.ACCOUNT,
        account=parse_account(account),
        as_of=parse_time(account.get("updated_at")) if is_mapping(account) else None,
        former_login=former or "",
    )


def _newest(*moments: datetime | None) -> datetime | None:
    return max((each for each in moments if each is not None), default=None)
