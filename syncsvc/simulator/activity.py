"""A little life for demonstrations: every so often something happens on the simulated GitHub.

Hides what is likely to happen; the same random source gives the same days.
"""

from collections.abc import Callable
from random import Random

from syncsvc.simulator.records import Account, Repository, WorldError
from syncsvc.simulator.vocabulary import PREFIXES, SUFFIXES, TOPICS
from syncsvc.simulator.world import World

FEWEST = 5
"""An account is not emptied by deletions."""


def stir(world: World, random: Random) -> str:
    """Let one thing happen in an account with the App; returns a sentence that says what."""
    with world.lock:
        accounts = [world.accounts[i.account_id] for i in world.installations.values()]
        if not accounts:
            return "Nobody has the App: nothing happened."
        account = random.choices(accounts, [len(world.owned(a)) + 1 for a in accounts])[0]
        repositories = world.owned(account)
        if not repositories:
            return _create(world, random, account)
        happening = random.choices(list(LIKELY), list(LIKELY.values()))[0]
        try:
            return happening(world, random, random.choice(repositories))
        except WorldError as refusal:
            return str(refusal)


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
    _push: 40,
    _star: 20,
    _describe: 10,
    _tag: 8,
    _archive: 6,
    _grow: 6,
    _rename: 4,
    _hide: 4,
    _delete: 2,
}
"""What happens, and how often out of a hundred times."""
