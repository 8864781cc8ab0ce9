"""Objects that GraphQL has and the world has not, global ids, and the names of types.

Hides how a global id says of what it is.
"""

from base64 import b64decode, urlsafe_b64decode
from dataclasses import dataclass
from typing import Any

from syncsvc.simulator import content_generate
from syncsvc.simulator.content import Commit, Issue, Label, PullRequest
from syncsvc.simulator.content_files import File
from syncsvc.simulator.records import Account, Repository
from syncsvc.simulator.world import World


@dataclass(frozen=True, slots=True)
class Ref:
    """A branch."""

    repository: Repository
    name: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A tree; the root's path is empty."""

    repository: Repository
    path: str
    oid: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A file's content."""

    repository: Repository
    file: File


@dataclass(frozen=True, slots=True)
class Person:
    """Who wrote a commit, and when."""

    commit: Commit
    at: int


@dataclass(frozen=True, slots=True)
class Language:
    """A programming language."""

    name: str


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic of a repository."""

    repository_id: int
    name: str


@dataclass(frozen=True, slots=True)
class License:
    """A licence by SPDX id."""

    spdx_id: str


TYPES: dict[type, str] = {
    Repository: "Repository",
    Issue: "Issue",
    PullRequest: "PullRequest",
    Commit: "Commit",
    Folder: "Tree",
    Blob: "Blob",
    Ref: "Ref",
    Label: "Label",
    Language: "Language",
    Topic: "RepositoryTopic",
    License: "License",
}


def typename(found: Any) -> str:
    """The type of an object, where a field may have several."""
    if isinstance(found, Account):
        return found.type
    return TYPES.get(type(found), "RateLimit")


def node(world: World, text: str) -> tuple[Any, Repository | None] | None:
    """The object of a global id and the repository it belongs to; None for an unknown id."""
    kind, repository_id, key = _read(text)
    if kind in {"Issue", "PullRequest"} and isinstance(key, int):
        below = content_generate.PULLS_BELOW if kind == "PullRequest" else 0
        return _item(world, kind, key + below)
    if kind == "Commit":
        repository = world.repositories.get(repository_id)
        found = world.content(repository).commit(str(key)) if repository else None
        return (found, repository) if found else None
    if kind == "Repository" and isinstance(key, int):
        repository = world.repositories.get(key)
        return (repository, repository) if repository else None
    if kind in {"User", "Organization", "Bot"} and isinstance(key, int):
        account = world.accounts.get(key)
        account = account or next((p for p in world.contents.people if p.id == key), None)
        return (account, None) if account else None
    return None


def _item(world: World, kind: str, number: int) -> tuple[Any, Repository | None] | None:
    wide = number >= content_generate.WIDE_START
    start = content_generate.WIDE_START if wide else content_generate.NARROW_START
    repository = world.repositories.get(world.contents.holder_of(number - start))
    if repository is None:
        return None
    for item in world.content(repository).items.values():
        if item.id == number and typename(item) == kind:
            return item, repository
    return None


PREFIXES = {
    "R": "Repository", "I": "Issue", "PR": "PullRequest", "C": "Commit", "U": "User",
    "O": "Organization", "BOT": "Bot",
}  # fmt: skip


def _read(text: str) -> tuple[str, int, int | str]:
    """Type, repository (0 where there is none) and number or sha; "" for nonsense."""
    prefix, _, packed = text.partition("_")
    try:
        if prefix in PREFIXES and packed:
            return _unpacked(PREFIXES[prefix], urlsafe_b64decode(packed + "=" * (-len(packed) % 4)))
        plain = b64decode(text, validate=True).decode()
        length, _, rest = plain.partition(":")
        kind, key = rest[: int(length)], rest[int(length) :]
        if kind == "Commit":
            repository, _, sha = key.partition(":")
            return kind, int(repository), sha
        return kind, 0, int(key)
    except (ValueError, IndexError):
        return "", 0, 0


def _unpacked(kind: str, data: bytes) -> tuple[str, int, int | str]:
    first, rest = _number(data[2:])
    if data[0] == 0x92:
        return kind, 0, first
    if rest[:1] == b"\xd9":
        return kind, first, rest[2:].decode()
    return kind, first, _number(rest)[0]


def _number(data: bytes) -> tuple[int, bytes]:
    size = 8 if data[0] == 0xCF else 4
    return int.from_bytes(data[1 : 1 + size], "big"), data[1 + size :]
