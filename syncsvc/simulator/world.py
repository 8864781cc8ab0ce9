"""The simulated GitHub as one value: generate it, change it, ask for the truth.

Hides from what parts a world is made: its state, and the changes to repositories, their
content, accounts and installations.
"""

from collections.abc import Sequence
from typing import Any, Self

from syncsvc.simulator import content_truth, generate
from syncsvc.simulator.generate import AccountPlan, ContentSize
from syncsvc.simulator.installation_changes import InstallationChanges
from syncsvc.simulator.pull_request_changes import PullRequestChanges
from syncsvc.simulator.state import BASE_TIME


class World(PullRequestChanges, InstallationChanges):
    """Everything that exists on the simulated GitHub. Pure: no wall clock, no network."""

    @classmethod
    def generate(
        cls,
        seed: int = 1,
        repositories: int = 30,
        accounts: Sequence[AccountPlan] | None = None,
        *,
        issues_per_repository: float = 6.0,
        pull_requests_per_repository: float = 4.0,
        commits_per_repository: float = 12.0,
        base_time: int = BASE_TIME,
    ) -> Self:
        """A believable world, the same for the same arguments.

        Without `accounts`: the organization `octo-simulated` with that many repositories and a
        user with a few, each an installation of the App. What repositories hold is given as
        averages: each account has exactly that many times its repositories, unevenly spread.
        `base_time`: epoch seconds.
        """
        world = cls(seed=seed, base_time=base_time)
        size = ContentSize(
            issues_per_repository, pull_requests_per_repository, commits_per_repository
        )
        generate.fill(world, accounts or generate.default_plan(seed, repositories), size)
        return world

    def truth_content(self, repo: int | str) -> dict[str, Any]:
        """What a perfect mirror holds of a repository's content; newest first, times as text."""
        with self.lock:
            repository = self.repository(repo)
            return content_truth.facts(repository, self.content(repository))

    def random_history(self, seed: int, steps: int) -> list[str]:
        """Let so many valid things happen to everything; returns sentences that say what."""
        from syncsvc.simulator import activity  # noqa: PLC0415  it builds on worlds

        return activity.random_history(self, seed, steps)
