"""The state of the simulated GitHub and the questions one can ask of it.

Hides the indexes: by name, by owner, redirects from old names, sorted listings.
Everything here reads; changes are in `repository_changes` and `installation_changes`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from threading import RLock
from typing import Any

from syncsvc.simulator.content import Content
from syncsvc.simulator.contents import Contents
from syncsvc.simulator.records import (
    Account,
    App,
    Change,
    Event,
    Hook,
    Installation,
    Repository,
    WorldError,
    rfc3339,
)

BASE_TIME = 1_748_779_200
"""2025-06-01T12:00:00Z: the moment at which a world begins unless another is given."""

APP_ID = 1
RECENT_EVENTS = 2_000
KEPT_LISTINGS = 64


class State:
    """Accounts, repositories, installations and hooks, with their indexes.

    All access is guarded by `lock` (re-entrant): requests read while a test changes things.
    """

    def __init__(self, *, seed: int = 1, base_time: int = BASE_TIME) -> None:
        """An empty world at `base_time` (epoch seconds); `seed` decides ids, names and GUIDs."""
        self.lock = RLock()
        self.random = Random(seed)
        self.seed = seed
        self.time = base_time
        self.revision = 0
        self.api_url = "https://api.github.com"
        self.accounts: dict[int, Account] = {}
        self.repositories: dict[int, Repository] = {}
        self.installations: dict[int, Installation] = {}
        self.hooks: dict[int, Hook] = {}
        self.redirects: dict[tuple[str, str], int] = {}
        self.events: deque[Event] = deque(maxlen=RECENT_EVENTS)
        self.on_event: Callable[[Event], None] | None = None
        self.app = App(
            id=APP_ID,
            slug="repository-mirror",
            name="Repository Mirror",
            client_id=f"Iv23li{self.random.getrandbits(56):014x}",
            owner_id=0,
            created_at=base_time - 400 * 86_400,
        )
        self.contents = Contents(seed, base_time, self.lock)
        self.on_change: Callable[[Change], None] | None = None
        self.changing = 0
        self.quiet = False
        """True while a history is repeated: what happened then was told then."""
        self.told = 0
        self._clock: Callable[[], float] | None = None
        self._by_login: dict[str, int] = {}
        self._by_name: dict[tuple[str, str], int] = {}
        self._by_owner: dict[int, set[int]] = {}
        self._listings: dict[tuple[object, ...], tuple[int, list[Repository]]] = {}
        self._next_ids: dict[str, int] = {}

    # Time

    def follow(self, clock: Callable[[], float]) -> None:
        """From now on changes happen at this clock's time, never before what already happened."""
        with self.lock:
            self._clock = clock

    def tick(self) -> int:
        """Move to the moment of the next change: the clock's, or one second on without a clock."""
        if self._clock is None:
            self.time += 1
        else:
            self.time = max(self.time, int(self._clock()))
        return self.time

    # Looking up

    def account(self, ref: int | str) -> Account:
        """The account with this id or login (letter case does not matter).

        Raises WorldError when there is none.
        """
        number = ref if isinstance(ref, int) else self._by_login.get(ref.lower(), 0)
        if number not in self.accounts:
            raise WorldError(f"There is no account {ref!r}.")
        return self.accounts[number]

    def find_account(self, login: str) -> Account | None:
        """The account with this login, or None."""
        return self.accounts.get(self._by_login.get(login.lower(), 0))

    def repository(self, ref: int | str) -> Repository:
        """The repository with this id or full name; old names do not count.

        Raises WorldError when there is none.
        """
        if isinstance(ref, int):
            number = ref
        else:
            owner, _, name = ref.lower().partition("/")
            number = self._by_name.get((owner, name), 0)
        if number not in self.repositories:
            raise WorldError(f"There is no repository {ref!r}.")
        return self.repositories[number]

    def find_repository(self, owner: str, name: str) -> Repository | None:
        """The repository that has this name today, or None."""
        return self.repositories.get(self._by_name.get((owner.lower(), name.lower()), 0))

    def redirect(self, owner: str, name: str) -> Repository | None:
        """The repository that used to have this name, while nobody else has taken it."""
        return self.repositories.get(self.redirects.get((owner.lower(), name.lower()), 0))

    def installation(self, ref: int | str) -> Installation:
        """The installation with this id, or on the account with this login.

        Raises WorldError when there is none.
        """
        if isinstance(ref, int):
            if ref in self.installations:
                return self.installations[ref]
        else:
            found = self.installation_of(self.account(ref))
            if found is not None:
                return found
        raise WorldError(f"There is no installation {ref!r}.")

    def installation_of(self, account: Account) -> Installation | None:
        """The App's installation on this account, or None."""
        return next((i for i in self.installations.values() if i.account_id == account.id), None)

    def full_name(self, repository: Repository) -> str:
        """`owner/name` as of now."""
        return f"{self.accounts[repository.owner_id].login}/{repository.name}"

    def content(self, repository: Repository) -> Content:
        """What the repository holds: issues, pull requests, commits."""
        return self.contents.of(repository)

    # Listing

    def owned(self, account: Account) -> list[Repository]:
        """The account's repositories in the order of their ids."""
        ids = self._by_owner.get(account.id, set())
        return self.listing(
            ("owned", account.id), lambda: [self.repositories[i] for i in sorted(ids)]
        )

    def installed(self, installation: Installation) -> list[Repository]:
        """What the installation may see of its account, in the order of ids."""
        owned = self.owned(self.accounts[installation.account_id])
        if installation.selection == "all":
            return owned
        chosen = installation.repository_ids
        return self.listing(
            ("installed", installation.id), lambda: [r for r in owned if r.id in chosen]
        )

    def covers(self, installation: Installation, repository: Repository) -> bool:
        """Whether the repository belongs to what the installation may see."""
        return repository.owner_id == installation.account_id and (
            installation.selection == "all" or repository.id in installation.repository_ids
        )

    def may_see(self, viewer: Account | None, repository: Repository) -> bool:
        """Whether a user may read the repository: public, own, or of an organization of theirs."""
        if repository.visibility == "public":
            return True
        if viewer is None:
            return False
        return (
            viewer.id == repository.owner_id
            or viewer.id in self.accounts[repository.owner_id].member_ids
        )

    def visible(self, viewer: Account | None, accounts: Iterable[Account]) -> list[Repository]:
        """What the viewer may read of these accounts, in the order of ids."""
        chosen = tuple(accounts)
        key = ("visible", viewer.id if viewer else 0, *(a.id for a in chosen))
        return self.listing(
            key,
            lambda: sorted(
                (r for a in chosen for r in self.owned(a) if self.may_see(viewer, r)),
                key=lambda r: r.id,
            ),
        )

    def memberships(self, user: Account) -> list[Account]:
        """The organizations that the user belongs to."""
        return [a for a in self.accounts.values() if user.id in a.member_ids]

    def listing(
        self, key: tuple[object, ...], select: Callable[[], list[Repository]]
    ) -> list[Repository]:
        """A listing kept until anything changes: paging through it must not sort it again."""
        with self.lock:
            kept = self._listings.get(key)
            if kept is not None and kept[0] == self.revision:
                return kept[1]
            listing = select()
            if len(self._listings) >= KEPT_LISTINGS:
                self._listings.clear()
            self._listings[key] = (self.revision, listing)
            return listing

    # The plain truth, for tests

    def truth(self, installation: int | str | None = None) -> dict[int, list[dict[str, Any]]]:
        """What a perfect mirror holds: installation id -> normalized repositories by id.

        With an installation's id or account login, that one only; otherwise all of them,
        suspended ones included.
        """
        with self.lock:
            chosen = (
                list(self.installations.values())
                if installation is None
                else [self.installation(installation)]
            )
            return {i.id: [self.facts(r) for r in self.installed(i)] for i in chosen}

    def truth_of(self, login: str, viewer: str | None = None) -> list[dict[str, Any]]:
        """What a perfect mirror of one owner holds, read with the token of user `viewer`.

        Without a viewer: everything the owner has.
        """
        with self.lock:
            owner = self.account(login)
            if viewer is None:
                return [self.facts(r) for r in self.owned(owner)]
            return [self.facts(r) for r in self.visible(self.account(viewer), [owner])]

    def facts(self, repository: Repository) -> dict[str, Any]:
        """One repository as normalized fields; times are RFC 3339 text."""
        owner = self.accounts[repository.owner_id]
        return {
            "github_id": repository.id,
            "node_id": repository.node_id,
            "owner": owner.login,
            "owner_id": owner.id,
            "name": repository.name,
            "full_name": f"{owner.login}/{repository.name}",
            "description": repository.description,
            "visibility": repository.visibility,
            "archived": repository.archived,
            "disabled": repository.disabled,
            "fork": repository.fork,
            "default_branch": repository.default_branch,
            "language": repository.language,
            "topics": list(repository.topics),
            "stars": repository.stars,
            "forks": repository.forks,
            "open_issues": repository.open_issues,
            "size": repository.size,
            "homepage": repository.homepage,
            "license": repository.license,
            "github_created_at": rfc3339(repository.created_at),
            "github_updated_at": rfc3339(repository.updated_at),
            "pushed_at": rfc3339(repository.pushed_at),
        }

    # Keeping the indexes

    def next_id(self, kind: str, start: int) -> int:
        """A fresh id; ids of one kind only ever grow."""
        number = self._next_ids.get(kind, start) + self.random.randrange(1, 50)
        self._next_ids[kind] = number
        return number

    def add_account(self, account: Account) -> None:
        """Enter an account into the indexes."""
        self.accounts[account.id] = account
        self._by_login[account.login.lower()] = account.id
        self._by_owner.setdefault(account.id, set())

    def add_repository(self, repository: Repository) -> None:
        """Enter a repository under its name; a redirect from that name ends."""
        self.repositories[repository.id] = repository
        self._by_owner[repository.owner_id].add(repository.id)
        key = self._key(repository)
        self._by_name[key] = repository.id
        self.redirects.pop(key, None)

    def drop_repository(self, repository: Repository, *, leave_redirect: bool) -> None:
        """Take a repository out of the indexes, before it moves or for good."""
        key = self._key(repository)
        if self._by_name.get(key) == repository.id:
            del self._by_name[key]
        self._by_owner[repository.owner_id].discard(repository.id)
        del self.repositories[repository.id]
        if leave_redirect:
            self.redirects[key] = repository.id
        else:
            self.contents.drop(repository)
            self.redirects = {k: v for k, v in self.redirects.items() if v != repository.id}

    def relabel(self, account: Account, login: str) -> None:
        """Give an account another login; the old full names of its repositories redirect."""
        owned = self.owned(account)
        old_keys = [(self._key(r), r.id) for r in owned]
        for key, _ in old_keys:
            self._by_name.pop(key, None)
        self._by_login.pop(account.login.lower())
        account.login = login
        self._by_login[login.lower()] = account.id
        self.redirects.update(old_keys)
        for repository in owned:
            key = self._key(repository)
            self._by_name[key] = repository.id
            self.redirects.pop(key, None)

    def _key(self, repository: Repository) -> tuple[str, str]:
        return self.accounts[repository.owner_id].login.lower(), repository.name.lower()
