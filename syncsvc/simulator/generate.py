"""Fill a world with believable accounts and repositories, the same for the same seed.

Hides how names stay unique and how ids and dates grow together, some ids beyond 32 bits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from syncsvc.simulator import vocabulary
from syncsvc.simulator.records import (
    Account,
    AccountType,
    ContentPlan,
    Installation,
    Repository,
    Visibility,
)
from syncsvc.simulator.state import State

DAY = 86_400
FIRST_ID = 200_000_000
WIDE_ID = 4_400_000_000
EMPTY_SHARE = 0.05
"""Of the repositories, that have no commit."""
WIDE_SHARE = 10
"""One in so many repositories, the newest, has an id beyond 32 bits."""


@dataclass(frozen=True, kw_only=True)
class AccountPlan:
    """What to generate for one account."""

    login: str
    type: AccountType = "Organization"
    repositories: int = 30
    installed: bool = True


@dataclass(frozen=True)
class ContentSize:
    """How much repositories hold on average."""

    issues: float
    pull_requests: float
    commits: float


def default_plan(seed: int, repositories: int) -> tuple[AccountPlan, ...]:
    """An organization with `repositories`, and a user of a generated login with a few."""
    random = Random(seed)
    login = f"{random.choice(vocabulary.FIRST_NAMES)}-{random.choice(vocabulary.LAST_NAMES)}"
    return (
        AccountPlan(login="octo-simulated", repositories=repositories),
        AccountPlan(login=login, type="User", repositories=min(max(1, repositories // 4), 8)),
    )


def fill(world: State, plans: Sequence[AccountPlan], size: ContentSize) -> None:
    """Create the planned accounts; users among them belong to every organization."""
    for plan in plans:
        account = _account(world, plan)
        _repositories(world, account, plan.repositories)
        _plan_content(world, account, size)
        if plan.installed:
            number = world.next_id("installation", 40_000_000)
            at = world.time - world.random.randrange(1, 300) * DAY
            world.installations[number] = Installation(number, account.id, at, at)
    accounts = list(world.accounts.values())
    people = {a.id for a in accounts if a.type == "User"}
    for organization in accounts:
        if organization.type == "Organization":
            organization.member_ids = set(people)
            world.app.owner_id = world.app.owner_id or organization.id
    world.app.owner_id = world.app.owner_id or accounts[0].id
    world.revision += 1


def _account(world: State, plan: AccountPlan) -> Account:
    random = world.random
    created = world.time - random.randrange(2_000, 4_000) * DAY
    account = Account(
        id=world.next_id("account", 500_000),
        login=plan.login,
        type=plan.type,
        name=plan.login.replace("-", " ").title(),
        description="We simulate things." if plan.type == "Organization" else None,
        location=random.choice(vocabulary.CITIES),
        created_at=created,
        updated_at=world.time - random.randrange(1, 200) * DAY,
    )
    world.add_account(account)
    return account


def _repositories(world: State, account: Account, count: int) -> None:
    random = world.random
    wide = count // WIDE_SHARE
    names = _names(random, count)
    span = (world.time - DAY - account.created_at) // max(count, 1)
    visibilities = _visibilities(account)
    for index, name in enumerate(names):
        created = account.created_at + span * index + random.randrange(0, max(span, 1))
        narrow = index < count - wide
        number = world.next_id("repository", FIRST_ID) if narrow else world.next_id("wide", WIDE_ID)
        repository = _repository(
            random, number, account.id, name=name, created=created, now=world.time
        )
        repository.visibility = random.choice(visibilities)
        world.add_repository(repository)


def _plan_content(world: State, account: Account, size: ContentSize) -> None:
    """Say how much each repository will hold; some stay empty, without a commit."""
    random = Random(f"content of {account.login} {world.seed}")
    owned = world.owned(account)
    empty = [size.commits <= 0 or random.random() < EMPTY_SHARE for _ in owned]
    if all(empty) and owned and size.commits > 0:
        empty[0] = False
    filled = [0.0 if e else 1.0 for e in empty]
    commits = _shares([f * random.uniform(0.4, 1.6) for f in filled], size.commits)
    pulls = _shares([f * _uneven(random) for f in filled], size.pull_requests)
    issues = _shares([_uneven(random) for _ in owned], size.issues)
    for index, repository in enumerate(owned):
        items = issues[index] + pulls[index]
        repository.open_issues = min(int(items * random.uniform(0.1, 0.7) + 0.5), items)
        repository.plan = ContentPlan(
            issues=issues[index],
            pull_requests=pulls[index],
            commits=max(commits[index], 1) if filled[index] else 0,
            open_items=repository.open_issues,
            first_id=world.contents.reserve(repository.id, items) if items else 0,
        )
        if not filled[index]:
            repository.language, repository.size = None, 0


def _uneven(random: Random) -> float:
    """Most have a little, some much, some nothing."""
    return 0.0 if random.random() < 0.1 else min(random.paretovariate(1.1), 40.0)


def _shares(weights: list[float], average: float) -> list[int]:
    """Whole numbers in proportion to the weights; together the average for each weight."""
    total, weight = round(average * len(weights)), sum(weights)
    if not weight:
        return [0] * len(weights)
    reached, given, shares = 0.0, 0, []
    for one in weights:
        reached += one
        upto = round(total * reached / weight)
        shares.append(upto - given)
        given = upto
    return shares


def _names(random: Random, count: int) -> list[str]:
    """Distinct names in random order; numbers are added only when the words run out."""
    words = [f"{p}-{s}" for p in vocabulary.PREFIXES for s in vocabulary.SUFFIXES]
    rounds = -(-count // len(words))
    names = [w if r == 0 else f"{w}-{r + 1}" for r in range(rounds) for w in words]
    chosen = random.sample(names[: max(count, len(words))], count)
    special = ("dotfiles", ".github", "Hello_World.py")
    for position, name in zip(
        random.sample(range(count), min(count // 10, 3)), special, strict=False
    ):
        chosen[position] = name
    return chosen


def _visibilities(account: Account) -> tuple[Visibility, ...]:
    if account.type == "Organization":
        return ("public", "public", "public", "private", "private", "internal")
    return ("public", "public", "public", "private")


def _repository(
    random: Random, number: int, owner_id: int, *, name: str, created: int, now: int
) -> Repository:
    updated = created + int(random.random() * (now - created))
    language = random.choice(vocabulary.LANGUAGES)
    prefix, _, suffix = name.partition("-")
    pattern = random.choice(vocabulary.DESCRIPTIONS) if random.random() < 0.85 else None
    words = {"prefix": prefix.title(), "suffix": suffix or "home", "language": language or "text"}
    popular = int(random.paretovariate(0.9)) - 1
    return Repository(
        id=number,
        owner_id=owner_id,
        name=name,
        created_at=created,
        updated_at=updated,
        pushed_at=updated - int(random.random() * min(updated - created, 30 * DAY)),
        legacy_id=random.random() < 0.5,
        description=pattern.format(**words) if pattern else None,
        archived=random.random() < 0.12,
        fork=random.random() < 0.1,
        default_branch="master" if random.random() < 0.2 else "main",
        language=language,
        topics=tuple(sorted(random.sample(vocabulary.TOPICS, random.choice((0, 0, 1, 2, 3, 5))))),
        stars=min(popular, 90_000),
        forks=min(popular // 6, 20_000),
        open_issues=random.randrange(0, 40),
        size=random.randrange(0, 200_000),
        homepage=f"https://{name.lower()}.example.com" if random.random() < 0.2 else None,
        license=random.choice((None, None, *vocabulary.LICENSES)),
    )
