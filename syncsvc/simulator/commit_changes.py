"""What can happen to the commits of a repository, with the webhooks that follow.

Hides how branches share their histories and what a forced push leaves behind.
"""

from syncsvc.simulator import content_generate
from syncsvc.simulator.changes import change
from syncsvc.simulator.content import Commit, Content
from syncsvc.simulator.content_vocabulary import MESSAGES, SUBJECTS, VERBS
from syncsvc.simulator.records import Account, Repository, WorldError
from syncsvc.simulator.repository_changes import RepositoryChanges

MOST_COMMITS = 10_000


class CommitChanges(RepositoryChanges):
    """Changes to branches."""

    @change
    def push(self, repo: int | str) -> Repository:
        """Something was pushed to the default branch: `pushed_at`, `updated_at` and size move."""
        return self._pushed(repo, drop=0, add=1, age=0)

    @change
    def push_commits(self, repo: int | str, count: int = 1, *, age: int = 0) -> Repository:
        """So many commits at once; `age`: seconds that their dates lie in the past."""
        if count < 1:
            raise WorldError("A push has a commit at least.")
        return self._pushed(repo, drop=0, add=count, age=age)

    @change
    def force_push(
        self, repo: int | str, drop: int = 1, add: int = 1, *, age: int = 0
    ) -> Repository:
        """Replace the newest `drop` commits by `add` others.

        With an `age` (seconds) the new ones have old dates: no `since` finds them.
        """
        if drop < 1 or add < 0:
            raise WorldError("A forced push drops a commit at least.")
        return self._pushed(repo, drop=drop, add=add, age=age)

    @change
    def set_default_branch(self, repo: int | str, branch: str) -> Repository:
        """Another default branch, with its own history or, when it is new, the present one's."""
        return self.edit(repo, default_branch=branch)

    # Helpers

    def _pushed(self, repo: int | str, *, drop: int, add: int, age: int) -> Repository:
        repository = self.writable(repo)
        content, name = self.content(repository), repository.default_branch
        history = content.branches.get(name, [])
        if drop and drop >= len(history) + bool(add):
            raise WorldError(f"{self.full_name(repository)} has not that many commits to drop.")
        if not 0 <= add <= MOST_COMMITS or age < 0:
            raise WorldError(f"A push has {MOST_COMMITS} commits at most, and no negative age.")
        before = self.contents.head_sha(repository)
        if drop:
            content.dropped[before] = tuple(history)
        kept = history[: len(history) - drop]
        self._moved(repository)
        moment = repository.pushed_at - age
        new: list[Commit] = []
        for _ in range(add):
            above = (kept + new)[-1:] if not new else new[-1:]
            new.append(self._commit(repository, content, above[0].sha if above else None, moment))
        content.branches[name] = kept + new
        content.changed()
        self.tell_push(repository, before, new, forced=drop > 0)
        return repository

    def _moved(self, repository: Repository) -> None:
        """What a push of any kind does to the repository itself."""
        repository.size += self.random.randrange(1, 20)
        self.touch(repository)
        repository.pushed_at = repository.updated_at
        repository.pushes += 1

    def _commit(
        self,
        repository: Repository,
        content: Content,
        parent: str | None,
        moment: int,
        *,
        message: str | None = None,
        author: Account | None = None,
    ) -> Commit:
        random = self.random
        text = random.choice(MESSAGES).format(
            verb=random.choice(VERBS),
            subject=random.choice(SUBJECTS),
            number=content.made_commits + 1,
        )
        known = random.choice(self.contents.people[:-1]) if random.random() > 0.05 else None
        return content_generate.new_commit(
            repository,
            content,
            seed=self.seed,
            message=message or text,
            author=author or known,
            at=moment,
            authored_at=moment - random.choice((0, 0, 60, 86_400)),
            parent=parent,
        )
