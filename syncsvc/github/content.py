"""Issues, pull requests, commits, languages: GitHub's JSON -> frozen rows.

Hides what REST, GraphQL and webhooks say differently about one item. The parsers read REST's shape;
`graphql_content` brings GraphQL's answers into it, so that both ways give equal rows. Pure.

What is normalised, because the two ways differ or may differ:

- states and reasons are lower case; a merged pull request is `closed` with `merged` true;
- bots are called `name[bot]` (GraphQL leaves the suffix out), the coding agent `Copilot`;
- a deleted account is no author: REST may show `ghost` where GraphQL shows null;
- assignees are people: GraphQL has no bots in that list, so REST's are left out;
- labels and assignees are sorted and without duplicates, lines end in `\\n`, no body is None;
- `merge_commit_sha` is known of merged ones only: of others REST shows a trial merge;
- a commit message has no line ends at its end.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from syncsvc.github.values import (
    InvalidRecord,
    clean_text,
    is_mapping,
    parse_time,
    required_id,
    some_text,
)

Languages = Mapping[str, int]
"""Bytes by the name of a language."""

_MAX_NUMBER: Final = 2**31 - 1
_SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REASON: Final = re.compile(r"[a-z_]{1,30}")
_BOT_MAIL: Final = re.compile(
    r"(?:\d+\+)?([\w.-]+)\[bot\]@users\.noreply\.[\w.-]+", re.ASCII | re.IGNORECASE
)
_COPILOT: Final = frozenset({"copilot", "copilot-swe-agent"})
_NO_PEOPLE: Final = frozenset({"Bot", "Mannequin"})
_GHOST: Final = "ghost"


@dataclass(frozen=True, kw_only=True, slots=True)
class IssueRow:
    """One issue (R5.2). `github_id` has 64 bits; times are aware and in UTC."""

    github_id: int
    node_id: str
    number: int
    title: str
    body: str | None
    state: str
    state_reason: str | None
    author: str | None
    assignees: tuple[str, ...]
    labels: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PullRequestRow:
    """One pull request (R5.3). `github_id` is the pull request's own id, not its issue's."""

    github_id: int
    node_id: str
    number: int
    title: str
    body: str | None
    state: str
    draft: bool
    merged: bool
    author: str | None
    assignees: tuple[str, ...]
    labels: tuple[str, ...]
    base_ref: str
    head_ref: str
    head_sha: str
    merge_commit_sha: str | None
    created_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    merged_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitRow:
    """One commit of the default branch (R5.3). `author_login` where GitHub knows the account."""

    sha: str
    author_login: str | None
    author_name: str
    author_email: str | None
    authored_at: datetime
    committed_at: datetime
    message: str


# -- values ----------------------------------------------------------------------------------------


def _object(item: object) -> Mapping[str, Any]:
    if not is_mapping(item):
        raise InvalidRecord("", "not an object", item)
    return item


def _instant(item: Mapping[str, Any], key: str) -> datetime:
    moment = parse_time(item.get(key))
    if moment is None:
        raise InvalidRecord(key, "missing or not a time", item)
    return moment


def _optional_instant(item: Mapping[str, Any], key: str) -> datetime | None:
    value = item.get(key)
    if value is None:
        return None
    moment = parse_time(value)
    if moment is None:
        raise InvalidRecord(key, "not a time", item)
    return moment


def _number(item: Mapping[str, Any]) -> int:
    value = item.get("number")
    if type(value) is not int or not 0 < value <= _MAX_NUMBER:
        raise InvalidRecord("number", "missing or not a positive integer", item)
    return value


def _line(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    if type(value) is not str:
        raise InvalidRecord(key, "missing or not a text", item)
    return clean_text(value)


def _prose(value: str) -> str:
    text = clean_text(value)
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _body(item: Mapping[str, Any]) -> str | None:
    value = item.get("body")
    if value is None:
        return None
    if type(value) is not str:
        raise InvalidRecord("body", "not a text", item)
    return _prose(value) or None


def _state(item: Mapping[str, Any]) -> str:
    value = item.get("state")
    state = value.lower() if type(value) is str else ""
    if state not in {"open", "closed"}:
        raise InvalidRecord("state", "neither open nor closed", item)
    return state


def _reason(item: Mapping[str, Any]) -> str | None:
    """A reason that is new to us is kept as long as it looks like one."""
    value = item.get("state_reason")
    reason = value.lower() if type(value) is str else ""
    return reason if _REASON.fullmatch(reason) else None


def _flag(item: Mapping[str, Any], key: str) -> bool:
    value = item.get(key)
    if value is None:
        return False
    if type(value) is not bool:
        raise InvalidRecord(key, "neither true nor false", item)
    return value


def login_of(account: object) -> str | None:
    """The login of a user object by the rules above; None without one, and for deleted accounts."""
    if not is_mapping(account):
        return None
    login = some_text(account.get("login"))
    if login is None or login == _GHOST:
        return None
    if account.get("type") != "Bot":
        return login
    name = login.removesuffix("[bot]")
    return "Copilot" if name.lower() in _COPILOT else f"{name}[bot]"


def _list(item: Mapping[str, Any], key: str) -> list[Any]:
    value = item.get(key)
    if value is None:
        return []
    if type(value) is not list:
        raise InvalidRecord(key, "not a list", item)
    return value


def _assignees(item: Mapping[str, Any]) -> tuple[str, ...]:
    accounts = _list(item, "assignees")
    if not accounts and item.get("assignee") is not None:
        accounts = [item["assignee"]]  # the older, single field
    people = (
        login_of(each)
        for each in accounts
        if is_mapping(each) and each.get("type") not in _NO_PEOPLE
    )
    return tuple(sorted({login for login in people if login is not None}))


def _labels(item: Mapping[str, Any]) -> tuple[str, ...]:
    """GitHub describes a label as an object or as a bare text."""
    found = (each.get("name") if is_mapping(each) else each for each in _list(item, "labels"))
    names = (some_text(name) for name in found)
    return tuple(sorted({name for name in names if name is not None}))


def is_sha(value: object) -> bool:
    """Whether it is the full name of a git object, SHA-1 or SHA-256, in lower case."""
    return type(value) is str and _SHA.fullmatch(value) is not None


def _sha(owner: object, key: str, item: Mapping[str, Any]) -> str:
    value = owner.get(key) if is_mapping(owner) else None
    if type(value) is not str or not is_sha(value):
        raise InvalidRecord(key, "missing or not a git object's name", item)
    return value


def _ref(item: Mapping[str, Any], side: str) -> str:
    branch = item.get(side)
    name = some_text(branch.get("ref")) if is_mapping(branch) else None
    if name is None:
        raise InvalidRecord(f"{side}.ref", "missing or not a text", item)
    return name


# -- records ---------------------------------------------------------------------------------------


def is_pull_request(item: object) -> bool:
    """Whether an entry of an issue list is a pull request (GitHub: "List repository issues")."""
    return is_mapping(item) and item.get("pull_request") is not None


def parse_issue(item: object) -> IssueRow:
    """One issue of a list, a single read or a webhook; raises `InvalidRecord`.

    A pull request in the shape of an issue is refused as well: its id is not a pull request's.
    """
    item = _object(item)
    github_id = required_id(item)
    if is_pull_request(item):
        raise InvalidRecord("pull_request", "a pull request, not an issue", item)
    return IssueRow(
        github_id=github_id,
        node_id=some_text(item.get("node_id")) or "",
        number=_number(item),
        title=_line(item, "title"),
        body=_body(item),
        state=_state(item),
        state_reason=_reason(item),
        author=login_of(item.get("user")),
        assignees=_assignees(item),
        labels=_labels(item),
        created_at=_instant(item, "created_at"),
        updated_at=_instant(item, "updated_at"),
        closed_at=_optional_instant(item, "closed_at"),
    )


def parse_pull_request(item: object) -> PullRequestRow:
    """One pull request of a list, a single read or a webhook; raises `InvalidRecord`.

    Lists do not carry `merged`; whoever has a time of merging was merged.
    """
    item = _object(item)
    github_id = required_id(item)
    merged_at = _optional_instant(item, "merged_at")
    merged = merged_at is not None or _flag(item, "merged")
    known = merged and item.get("merge_commit_sha") is not None
    return PullRequestRow(
        github_id=github_id,
        node_id=some_text(item.get("node_id")) or "",
        number=_number(item),
        title=_line(item, "title"),
        body=_body(item),
        state=_state(item),
        draft=_flag(item, "draft"),
        merged=merged,
        author=login_of(item.get("user")),
        assignees=_assignees(item),
        labels=_labels(item),
        base_ref=_ref(item, "base"),
        head_ref=_ref(item, "head"),
        head_sha=_sha(item.get("head"), "sha", item),
        merge_commit_sha=_sha(item, "merge_commit_sha", item) if known else None,
        created_at=_instant(item, "created_at"),
        updated_at=_instant(item, "updated_at"),
        closed_at=_optional_instant(item, "closed_at"),
        merged_at=merged_at,
    )


def parse_commit(item: object) -> CommitRow:
    """One commit of a list or a single read; raises `InvalidRecord`.

    Git lets names and addresses be empty; of the two times one may stand in for the other. A bot
    without an account in the answer is known by its address.
    """
    item = _object(item)
    sha = _sha(item, "sha", item)
    commit = item.get("commit")
    if not is_mapping(commit):
        raise InvalidRecord("commit", "missing or not an object", item)
    author, committer = commit.get("author"), commit.get("committer")
    author = author if is_mapping(author) else {}
    committer = committer if is_mapping(committer) else {}
    authored_at, committed_at = parse_time(author.get("date")), parse_time(committer.get("date"))
    either = committed_at or authored_at
    if either is None:
        raise InvalidRecord("commit.committer.date", "missing or not a time", item)
    email = some_text(author.get("email"))
    return CommitRow(
        sha=sha,
        author_login=_commit_login(item.get("author"), email),
        author_name=some_text(author.get("name")) or "",
        author_email=email,
        authored_at=authored_at or either,
        committed_at=committed_at or either,
        message=_prose(_line(commit, "message")).rstrip("\n"),
    )


def _commit_login(account: object, email: str | None) -> str | None:
    bot = _BOT_MAIL.fullmatch(email) if email else None
    if bot is not None:
        return login_of({"login": bot[1], "type": "Bot"})
    return login_of(account)


def parse_languages(item: object) -> Languages:
    """Bytes by language (R5.4); what is no such count is left out. Raises `InvalidRecord`."""
    return MappingProxyType(
        {
            clean_text(name): size
            for name, size in _object(item).items()
            if type(name) is str and name and type(size) is int and size >= 0
        }
    )
