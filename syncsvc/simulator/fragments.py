"""Repositories as JSON bytes, rendered when first read and kept until they change.

Hides the cache: a page of a hundred repositories is a join of a hundred kept pieces.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from syncsvc.simulator import payloads
from syncsvc.simulator.records import Account, Repository
from syncsvc.simulator.state import State

MAX_KEPT = 20_000
"""About 120 MB at 6 kB each; a larger world renders anew what did not fit."""

PERMISSIONS: dict[str, dict[str, Any]] = {
    "public": {},
    "read": {
        "permissions": {
            "admin": False,
            "maintain": False,
            "push": False,
            "triage": False,
            "pull": True,
        }
    },
    "installation": {
        "permissions": {
            "admin": False,
            "maintain": False,
            "push": False,
            "triage": False,
            "pull": False,
        }
    },
    "admin": {
        "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True}
    },
}
"""What a repository says of the reader's rights, by kind of reader."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """A rendered repository; `digest` changes whenever its bytes do."""

    body: bytes
    digest: bytes
    age: tuple[int, int]


class Fragments:
    """The rendered repositories of a world."""

    def __init__(self, world: State, api_url: str) -> None:
        """`api_url`: the root that the links in the JSON begin with."""
        self._world = world
        self._api = api_url
        self._kept: dict[tuple[int, str], Fragment] = {}

    def get(self, repository: Repository, reader: str) -> Fragment:
        """The repository as a reader of this kind (see PERMISSIONS) finds it in a listing."""
        owner = self._world.accounts[repository.owner_id]
        age = (repository.revision, owner.revision)
        kept = self._kept.get((repository.id, reader))
        if kept is not None and kept.age == age:
            return kept
        body = payloads.listed_repository(repository, owner, self._api, PERMISSIONS[reader])
        fragment = Fragment(body, hashlib.blake2b(body, digest_size=8).digest(), age)
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[repository.id, reader] = fragment
        return fragment

    def full(self, repository: Repository, reader: str) -> bytes:
        """The repository as it answers on its own."""
        owner: Account = self._world.accounts[repository.owner_id]
        extra = PERMISSIONS[reader] | payloads.full_repository(repository, owner, self._api)
        return payloads.listed_repository(repository, owner, self._api, extra)
