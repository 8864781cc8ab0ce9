"""The simulated GitHub as one value: generate it, change it, ask for the truth.

Hides from what parts a world is made: its state, and the changes to repositories,
accounts and installations.
"""

from collections.abc import Sequence
from typing import Self

from syncsvc.simulator import generate
from syncsvc.simulator.generate import AccountPlan
from syncsvc.simulator.installation_changes import InstallationChanges
from syncsvc.simulator.repository_changes import RepositoryChanges
from syncsvc.simulator.state import BASE_TIME


class World(RepositoryChanges, InstallationChanges):
    """Everything that exists on the simulated GitHub. Pure: no wall clock, no network."""

    @classmethod
    def generate(
        cls,
        seed: int = 1,
        repositories: int = 30,
        accounts: Sequence[AccountPlan] | None = None,
        *,
        base_time: int = BASE_TIME,
    ) -> Self:
        """A believable world, the same for the same arguments.

        Without `accounts`: the organization `octo-simulated` with that many repositories and a
        user with a few, each an installation of the App. `base_time`: epoch seconds.
        """
        world = cls(seed=seed, base_time=base_time)
        generate.fill(world, accounts or generate.default_plan(seed, repositories))
        return world
