"""What can happen to the content of a repository, chosen by chance.

Hides how to find something to which it can happen; each returns a sentence that says what did.
"""

from collections.abc import Callable
from random import Random

from syncsvc.simulator.content import REASONS, Issue, PullRequest
from syncsvc.simulator.content_vocabulary import COMPLAINTS, LABELS, PARAGRAPHS, SUBJECTS, VERBS
from syncsvc.simulator.records import Repository, WorldError
from syncsvc.simulator.world import World

DAY = 86_400

Happening = Callable[[World, Random, Repository], str]


def _issue(world: World, random: Random, repository: Repository, state: str) -> Issue:
    found = [i for i in world.content(repository).issues if state in {"any", i.state}]
    if not found:
        raise WorldError(f"{world.full_name(repository)} has no such issue.")
    return random.choice(found)


def _pull(world: World, random: Random, repository: Repository, state: str) -> PullRequest:
    found = [p for p in world.content(repository).pull_requests if state in {"any", p.state}]
    if not found:
        raise WorldError(f"{world.full_name(repository)} has no such pull request.")
    return random.choice(found)


def _any(world: World, random: Random, repository: Repository) -> int:
    numbers = list(world.content(repository).items)
    if not numbers:
        raise WorldError(f"{world.full_name(repository)} has no issue.")
    return random.choice(numbers)


def _told(world: World, repository: Repository, number: int, what: str) -> str:
    return f"{world.full_name(repository)}#{number} {what}."


def open_issue(world: World, random: Random, repository: Repository) -> str:
    """A new issue."""
    made = world.open_issue(
        repository.id,
        random.choice(COMPLAINTS).format(subject=random.choice(SUBJECTS)),
        body=random.choice((None, *PARAGRAPHS)),
        author=random.choice(world.contents.people[:-1]).login,
        labels=[label[0] for label in random.sample(LABELS, random.choice((0, 1, 1, 2)))],
    )
    return _told(world, repository, made.number, "was opened")


def edit_issue(world: World, random: Random, repository: Repository) -> str:
    """Other words."""
    number = _issue(world, random, repository, "any").number
    title = random.choice(COMPLAINTS).format(subject=random.choice(SUBJECTS))
    world.edit_issue(repository.id, number, title=title, body=random.choice((None, *PARAGRAPHS)))
    return _told(world, repository, number, "was edited")


def close_issue(world: World, random: Random, repository: Repository) -> str:
    """An issue is closed."""
    number = _issue(world, random, repository, "open").number
    world.close_issue(repository.id, number, random.choice(REASONS))
    return _told(world, repository, number, "was closed")


def reopen_issue(world: World, random: Random, repository: Repository) -> str:
    """A closed one is opened again."""
    number = _issue(world, random, repository, "closed").number
    world.reopen_issue(repository.id, number)
    return _told(world, repository, number, "was reopened")


def label(world: World, random: Random, repository: Repository) -> str:
    """A label is put on or taken off."""
    number = _any(world, random, repository)
    present = world.content(repository).items[number].labels
    if present and random.random() < 0.4:
        world.unlabel(repository.id, number, random.choice(present).name)
        return _told(world, repository, number, "lost a label")
    world.label(repository.id, number, random.choice(LABELS)[0])
    return _told(world, repository, number, "has a label")


def assign(world: World, random: Random, repository: Repository) -> str:
    """Somebody becomes responsible, or is no longer."""
    number = _any(world, random, repository)
    present = world.content(repository).items[number].assignees
    if present and random.random() < 0.4:
        world.unassign(repository.id, number, random.choice(present).login)
        return _told(world, repository, number, "lost an assignee")
    world.assign(repository.id, number, random.choice(world.contents.people[:-1]).login)
    return _told(world, repository, number, "has an assignee")


def comment(world: World, random: Random, repository: Repository) -> str:
    """Somebody says something."""
    number = _any(world, random, repository)
    world.comment(repository.id, number)
    return _told(world, repository, number, "was commented on")


def transfer_issue(world: World, random: Random, repository: Repository) -> str:
    """An issue moves to another repository of the owner."""
    number = _issue(world, random, repository, "any").number
    owned = world.owned(world.accounts[repository.owner_id])
    world.transfer_issue(repository.id, number, random.choice(owned).id)
    return _told(world, repository, number, "was transferred")


def delete_issue(world: World, random: Random, repository: Repository) -> str:
    """An issue is deleted."""
    number = _issue(world, random, repository, "any").number
    world.delete_issue(repository.id, number)
    return _told(world, repository, number, "was deleted")


def open_pull_request(world: World, random: Random, repository: Repository) -> str:
    """A new pull request."""
    verb, subject = random.choice(VERBS), random.choice(SUBJECTS)
    made = world.open_pull_request(
        repository.id,
        f"{verb} {subject}",
        head=f"topic-{random.randrange(1000)}",
        body=random.choice((None, *PARAGRAPHS)),
        author=random.choice(world.contents.people).login,
        draft=random.random() < 0.2,
    )
    return _told(world, repository, made.number, "was opened")


def change_pull_request(world: World, random: Random, repository: Repository) -> str:
    """A draft becomes ready or the other way round, there is a push, or another title."""
    pull = _pull(world, random, repository, "open")
    what = random.randrange(3)
    if what == 0:
        world.synchronize_pull_request(repository.id, pull.number)
    elif what == 1:
        title = f"{random.choice(VERBS)} {random.choice(SUBJECTS)}"
        world.edit_pull_request(repository.id, pull.number, title=title)
    elif pull.draft:
        world.ready_pull_request(repository.id, pull.number)
    else:
        world.draft_pull_request(repository.id, pull.number)
    return _told(world, repository, pull.number, "was changed")


def end_pull_request(world: World, random: Random, repository: Repository) -> str:
    """A pull request is merged or closed."""
    number = _pull(world, random, repository, "open").number
    if random.random() < 0.7:
        world.merge_pull_request(repository.id, number)
        return _told(world, repository, number, "was merged")
    world.close_pull_request(repository.id, number)
    return _told(world, repository, number, "was closed")


def reopen_pull_request(world: World, random: Random, repository: Repository) -> str:
    """A closed one is opened again."""
    number = _pull(world, random, repository, "closed").number
    world.reopen_pull_request(repository.id, number)
    return _told(world, repository, number, "was reopened")


def push_commits(world: World, random: Random, repository: Repository) -> str:
    """Several commits at once, sometimes with old dates."""
    count = random.randrange(1, 6)
    world.push_commits(repository.id, count, age=random.choice((0, 0, 0, 40 * DAY)))
    return f"{count} commits to {world.full_name(repository)}."


def force_push(world: World, random: Random, repository: Repository) -> str:
    """The newest commits are replaced, sometimes by old ones or by none."""
    drop, age = random.randrange(1, 4), random.choice((0, 90 * DAY))
    world.force_push(repository.id, drop, random.randrange(0, 3), age=age)
    return f"A forced push to {world.full_name(repository)}."


def switch_branch(world: World, random: Random, repository: Repository) -> str:
    """Another default branch."""
    names = {"develop", "trunk", "main"} - {repository.default_branch}
    world.set_default_branch(repository.id, random.choice(sorted(names)))
    return f"{world.full_name(repository)} has another default branch."


CONTENT: dict[Happening, int] = {
    open_issue: 14,
    edit_issue: 10,
    close_issue: 10,
    reopen_issue: 4,
    label: 12,
    assign: 8,
    comment: 8,
    transfer_issue: 3,
    delete_issue: 3,
    open_pull_request: 8,
    change_pull_request: 8,
    end_pull_request: 6,
    reopen_pull_request: 2,
    push_commits: 12,
    force_push: 3,
    switch_branch: 1,
}
"""What happens to content, and how often in proportion."""
