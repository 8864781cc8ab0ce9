"""The contents of all repositories, each made when it is first asked for.

Hides laziness: a world of thousands of repositories costs nothing until somebody looks, and
what is found does not depend on when. Keeps the numbers from which ids are made apart.
"""

from bisect import bisect_right
from threading import RLock

from syncsvc.simulator import content_generate
from syncsvc.simulator.content import NO_COMMIT, Content
from syncsvc.simulator.records import Repository


class Contents:
    """Repository id -> content, and who writes it."""

    def __init__(self, seed: int, began: int, lock: RLock) -> None:
        """Nothing is made as yet; `began` is when the world begins, `lock` the world's."""
        self.seed = seed
        self.people = content_generate.people(seed, began)
        """Those who write issues and commits; they own nothing here."""
        self._began = began
        self._lock = lock
        self._made: dict[int, Content] = {}
        self._next = 1
        self._shares: list[tuple[int, int]] = []

    def of(self, repository: Repository) -> Content:
        """What the repository holds."""
        with self._lock:
            found = self._made.get(repository.id)
            if found is None:
                found = self._made[repository.id] = content_generate.generate(
                    repository, repository.plan, self.people, seed=self.seed, until=self._began
                )
        return found

    def put(self, repository: Repository, content: Content) -> None:
        """A repository whose content is no generated one: a new one is empty."""
        self._made[repository.id] = content

    def drop(self, repository: Repository) -> None:
        """Forget what a deleted repository held."""
        self._made.pop(repository.id, None)

    def head_sha(self, repository: Repository) -> str:
        """The newest commit of the default branch; zeros for an empty repository."""
        history = self.of(repository).branches.get(repository.default_branch)
        return history[-1].sha if history else NO_COMMIT

    def reserve(self, repository_id: int, items: int) -> int:
        """The first of so many numbers from which new issues and pull requests get their ids."""
        first, self._next = self._next, self._next + items
        self._shares.append((first, repository_id))
        return first

    def holder_of(self, number: int) -> int:
        """The id of the repository for which a number was reserved; 0 without one."""
        place = bisect_right(self._shares, (number, 1 << 62)) - 1
        return self._shares[place][1] if place >= 0 else 0
