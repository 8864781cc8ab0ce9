"""A little life for demonstrations: every so often something happens on the simulated GitHub.

Hides what is likely to happen; the same random source gives the same days.
"""

from collections.abc import Callable
from random import Random

from syncsvc.simulator.happenings import CONTENT
from syncsvc.simulator.records import Account, Repository, WorldError
from syncsvc.simulator.vocabulary import PREFIXES, SUFFIXES, TOPICS
from syncsvc.simulator.world import World

CONTENT_SHARE = 0.5
"""So often something happens to what a repository holds, else to the repository itself."""
MOST_TRIES = 20
"""For each step of a history, before it ends early."""
FEWEST = 5
"""An account is not emptied by deletions."""


def stir(world: World, random: Random) -> str:
    """Let one thing happen in an account with the App; returns a sentence that says what."""
    with world.lock:
        try:
            return _happen(world, random)
        except WorldError as refusal:
            return str(refusal)


def random_history(world: World, seed: int, steps: int) -> list[str]:
    """Let so many things happen, whatever GitHub allows; returns sentences that say what.

    The same seed gives the same history in the same world. What is refused (an archived
    repository takes no issue) counts as no step.
    """
    random = Random(f"history {seed}")
    told: list[str] = []
    with world.lock:
        for _ in range(steps * MOST_TRIES):
            if len(told) >= steps:
                break
            try:
                told.append(_happen(world, random))
            except WorldError:
                continue
    return told


def _happen(world: World, random: Random) -> str:
    """One thing, or WorldError when it is refused."""
    accounts = [world.accounts[i.account_id] for i in world.installations.values()]
    if not accounts:
        raise WorldError("Nobody has the App: nothing happened.")
    account = random.choices(accounts, [len(world.owned(a)) + 1 for a in accounts])[0]
    repositories = world.owned(account)
    if not repositories:
        return _create(world, random, account)
    likely = CONTENT if random.random() < CONTENT_SHARE else LIKELY
    happening = random.choices(list(likely), list(likely.values()))[0]
    return happening(world, random, random.choice(repositories))


def _push(world: World, _: Random, repository: Repository) -> str:
    world.push(repository.id)
    return f"A push to {world.full_name(repository)}."


def _star(world: World, _: Random, repository: Repository) -> str:
    world.edit(repository.id, stars=repository.stars + 1)
    return f"A star for {world.full_name(repository)}."


def _describe(world: World, random: Random, repository: Repository) -> str:
    world.edit(
        repository.id, description=f"The {random.choice(PREFIXES)} {random.choice(SUFFIXES)}"
    )
    return f"A new description of {world.full_name(repository)}."


def _tag(world: World, random: Random, repository: Repository) -> str:
    world.edit(repository.id, topics=sorted(random.sample(TOPICS, 3)))
    return f"New topics of {world.full_name(repository)}."


def _archive(world: World, _: Random, repository: Repository) -> str:
    if repository.archived:
        world.unarchive(repository.id)
        return f"{world.full_name(repository)} is active again."
    world.archive(repository.id)
    return f"{world.full_name(repository)} was archived."


def _rename(world: World, random: Random, repository: Repository) -> str:
    old = world.full_name(repository)
    world.rename(repository.id, _name(random))
    return f"{old} is now {repository.name}."


def _swap(world: World, random: Random, repository: Repository) -> str:
    other = random.choice(world.owned(world.accounts[repository.owner_id]))
    world.swap_names(repository.id, other.id)
    return f"{world.full_name(repository)} and {world.full_name(other)} swapped names."


def _move(world: World, random: Random, repository: Repository) -> str:
    old, account = world.full_name(repository), world.accounts[repository.owner_id]
    others = [world.accounts[i.account_id] for i in world.installations.values()]
    if len(world.owned(account)) <= FEWEST:
        return _push(world, random, repository)
    world.transfer(repository.id, random.choice(others).id)
    return f"{old} is now {world.full_name(repository)}."


def _hide(world: World, _: Random, repository: Repository) -> str:
    if repository.visibility == "public":
        world.privatize(repository.id)
    else:
        world.publicize(repository.id)
    return f"{world.full_name(repository)} is now {repository.visibility}."


def _delete(world: World, random: Random, repository: Repository) -> str:
    account = world.accounts[repository.owner_id]
    if len(world.owned(account)) <= FEWEST:
        return _push(world, random, repository)
    world.delete(repository.id)
    return f"{account.login}/{repository.name} was deleted."


def _grow(world: World, random: Random, repository: Repository) -> str:
    return _create(world, random, world.accounts[repository.owner_id])


def _create(world: World, random: Random, account: Account) -> str:
    repository = world.create(account.id, _name(random), description="Brand new")
    return f"{world.full_name(repository)} was created."


def _name(random: Random) -> str:
    return f"{random.choice(PREFIXES)}-{random.choice(SUFFIXES)}-{random.randrange(2, 1000)}"


LIKELY: dict[Callable[[World, Random, Repository], str], int] = {
    _push: 38,
    _star: 20,
    _describe: 10,
    _tag: 8,
    _archive: 6,
    _grow: 6,
    _rename: 4,
    _swap: 1,
    _move: 1,
    _hide: 4,
    _delete: 2,
}
"""What happens, and how often out of a hundred times."""

UNTOLD = frozenset({_star})
"""Of these no webhook that an App of this kind hears of tells."""
