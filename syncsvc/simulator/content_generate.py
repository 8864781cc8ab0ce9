"""Fill a repository with believable content, the same for the same seed whenever it is asked for.

Hides how numbers, ids and dates grow together and how exactly as many are open as planned.
Nothing here depends on what happened to the repository later: who changes what this reads
has the content made first.
"""

from bisect import bisect_left
from collections.abc import Sequence
from hashlib import sha1
from random import Random

from syncsvc.simulator.content import (
    LARGEST_BODY,
    Commit,
    Content,
    Issue,
    Item,
    Label,
    PullRequest,
    old_node_id,
    scoped_node_id,
)
from syncsvc.simulator.content_vocabulary import (
    COMPLAINTS,
    FAMILY,
    GIVEN,
    LABELS,
    MESSAGES,
    PARAGRAPHS,
    RARE_LABELS,
    SECOND_LANGUAGES,
    SUBJECTS,
    VERBS,
)
from syncsvc.simulator.records import Account, ContentPlan, Repository

DAY = 86_400
NARROW_START = 1_500_000_000
WIDE_START = 5_200_000_000
"""The newest third of a repository's issues and pull requests have ids beyond 32 bits."""
PULLS_BELOW = 700_000_000
"""So much less than the id of its issue is the id of a pull request."""
PEOPLE = 40
FIRST_PERSON = 2_000_000


def people(seed: int, now: int) -> tuple[Account, ...]:
    """Those who write issues and commits: users who own nothing here, and one bot."""
    random = Random(f"people {seed}")
    pairs = random.sample([(g, f) for g in GIVEN for f in FAMILY], PEOPLE)
    found = []
    for number, (given, family) in enumerate(pairs):
        login = f"{family}{given[0]}{random.randrange(10, 99)}"
        name = f"{given} {family}".title()
        created = now - random.randrange(500, 4000) * DAY
        found.append(
            Account(FIRST_PERSON + number * 977, login, "User", name, None, None, created, created)
        )
    bot = Account(49_699_333, "dependabot[bot]", "Bot", "", None, None, now - 2_000 * DAY, now)
    return (*found, bot)


def new_labels(repository_id: int, *, all_of_them: bool) -> dict[str, Label]:
    """The labels of a repository: those GitHub gives to each, or those that people added too."""
    return {
        name: Label(repository_id * 100 + index, name, color, description, default)
        for index, (name, color, description, default) in enumerate(LABELS)
        if default or all_of_them
    }


def item_id(plan_id: int, index: int, count: int) -> int:
    """The id of the item of that index among `count`; one of its own for each in the world."""
    wide = index >= count - count // 3
    return (WIDE_START if wide else NARROW_START) + plan_id + index


def generate(
    repository: Repository, plan: ContentPlan, who: Sequence[Account], *, seed: int, until: int
) -> Content:
    """The content of a repository as of its generation."""
    random = Random(f"content {seed} {repository.id}")
    content = Content(repository.id, new_labels(repository.id, all_of_them=True))
    if plan.commits:
        _commits(random, content, repository, plan.commits, who[:-1])
        _languages(random, content, repository.language)
    _items(random, content, repository, plan, who=who, until=until)
    return content


def commit_sha(repository_id: int, number: int, seed: int) -> str:
    """The sha of the commit that was made in a repository after so many others."""
    return sha1(f"{seed} {repository_id} {number}".encode(), usedforsecurity=False).hexdigest()


def new_commit(
    repository: Repository,
    content: Content,
    *,
    seed: int,
    message: str,
    author: Account | None,
    at: int,
    authored_at: int,
    parent: str | None,
    name: str = "Somebody Else",
) -> Commit:
    """A commit that is on no branch as yet."""
    content.made_commits += 1
    sha = commit_sha(repository.id, content.made_commits, seed)
    email = "somebody@example.com"
    if author is not None:
        name, email = author.name, f"{author.id}+{author.login}@users.noreply.github.com"
    legacy = repository.legacy_id
    node = (
        old_node_id("Commit", f"{repository.id}:{sha}")
        if legacy
        else scoped_node_id("C", repository.id, sha)
    )
    return Commit(sha, node, repository.id, message, author, name, email, authored_at, at, parent)


def _commits(
    random: Random, content: Content, repository: Repository, count: int, who: Sequence[Account]
) -> None:
    first, last = repository.created_at, max(repository.pushed_at, repository.created_at)
    moments = sorted(random.randrange(first, last + 1) for _ in range(count - 1))
    history: list[Commit] = []
    team = random.sample(who, min(len(who), 1 + count // 4, 14))
    parent = None
    for moment in (*moments, last):
        unknown = random.random() < 0.06
        commit = new_commit(
            repository,
            content,
            seed=random.getrandbits(32),
            message=_message(random),
            author=None if unknown else random.choice(team),
            at=moment,
            authored_at=moment - (random.randrange(0, 3 * DAY) if random.random() < 0.3 else 0),
            parent=parent,
        )
        history.append(commit)
        parent = commit.sha
    content.branches[repository.default_branch] = history
    if random.random() < 0.4:
        content.branches["develop"] = history[: max(count - random.randrange(0, 4), 1)]


def _message(random: Random) -> str:
    return random.choice(MESSAGES).format(
        verb=random.choice(VERBS), subject=random.choice(SUBJECTS), number=random.randrange(1, 99)
    )


def _languages(random: Random, content: Content, language: str | None) -> None:
    if language is None:
        return
    size = int(10 ** random.uniform(3, 6.5))
    content.languages = {language: size}
    for other in random.sample(SECOND_LANGUAGES, random.randrange(0, 4)):
        if other not in content.languages:
            size = max(size // random.randrange(2, 30), 10)
            content.languages[other] = size


def _items(
    random: Random,
    content: Content,
    repository: Repository,
    plan: ContentPlan,
    *,
    who: Sequence[Account],
    until: int,
) -> None:
    count = plan.issues + plan.pull_requests
    pulls = set(random.sample(range(count), plan.pull_requests))
    opened = set(random.sample(range(count), min(plan.open_items, count)))
    span = max(until - repository.created_at, 1)
    moments = sorted(repository.created_at + int(random.random() * span) for _ in range(count))
    history = content.branches.get(repository.default_branch, [])
    dates = [c.committed_at for c in history]
    for index in range(count):
        created = moments[index]
        updated = created + int(random.random() ** 2 * (until - created))
        number = item_id(plan.first_id, index, count)
        item: Issue | PullRequest
        if index in pulls:
            base = history[max(bisect_left(dates, created) - 1, 0)]
            item = _pull_request(
                random, repository, number, base_sha=base.sha, created=created, updated=updated
            )
        else:
            item = _issue(random, repository, number, created, updated)
        item.number = index + 1
        _describe(random, content, item, who)
        if index not in opened:
            _close(random, item, history, dates, who)
        content.items[item.number] = item
    content.last_number = count


def _issue(
    random: Random, repository: Repository, number: int, created: int, updated: int
) -> Issue:
    subject = random.choice(SUBJECTS)
    return Issue(
        repository_id=repository.id,
        number=0,
        id=number,
        node_id=issue_node_id(repository, number),
        title=random.choice(COMPLAINTS).format(subject=subject),
        body=None,
        author=None,
        created_at=created,
        updated_at=updated,
    )


def _pull_request(
    random: Random,
    repository: Repository,
    number: int,
    *,
    base_sha: str,
    created: int,
    updated: int,
) -> PullRequest:
    verb, subject = random.choice(VERBS), random.choice(SUBJECTS)
    return PullRequest(
        repository_id=repository.id,
        number=0,
        id=number,
        pull_id=number - PULLS_BELOW,
        node_id=pull_node_id(repository, number - PULLS_BELOW),
        issue_node_id=issue_node_id(repository, number),
        title=f"{verb} {subject}",
        body=None,
        author=None,
        created_at=created,
        updated_at=updated,
        base_ref=repository.default_branch,
        base_sha=base_sha,
        head_ref=f"{verb.lower().replace(' ', '-')}-{number % 9973}",
        head_sha=f"{random.getrandbits(160):040x}",
        head_gone=random.random() < 0.08,
        draft=random.random() < 0.12,
    )


def issue_node_id(repository: Repository, number: int) -> str:
    """GitHub's global id of an issue, in the form of its repository's time."""
    if repository.legacy_id:
        return old_node_id("Issue", number)
    return scoped_node_id("I", repository.id, number)


def pull_node_id(repository: Repository, number: int) -> str:
    """GitHub's global id of a pull request."""
    if repository.legacy_id:
        return old_node_id("PullRequest", number)
    return scoped_node_id("PR", repository.id, number)


def _describe(random: Random, content: Content, item: Item, who: Sequence[Account]) -> None:
    chance = random.random()
    if chance < 0.04:
        item.author = None
    elif chance < 0.1 and isinstance(item, PullRequest):
        item.author = who[-1]
    else:
        item.author = random.choice(who[:-1])
    item.body = _body(random)
    wanted = random.choices((0, 1, 2, 3), (40, 35, 18, 7))[0]
    names = random.sample(list(content.labels), wanted)
    item.labels = tuple(
        content.labels[n] for n in names if n not in RARE_LABELS or random.random() < 0.4
    )
    item.assignees = tuple(random.sample(who[:-1], random.choice((0, 0, 0, 1, 1, 2))))
    item.comments = random.choice((0, 0, 1, 2, 5, 13))


def _body(random: Random) -> str | None:
    chance = random.random()
    if chance < 0.12:
        return None
    if chance < 0.123:
        long = "Log: 🐛 " + random.choice(PARAGRAPHS) + "\n"
        return (long * (LARGEST_BODY // len(long) + 1))[:LARGEST_BODY]
    text = "\n\n".join(random.sample(PARAGRAPHS, random.randrange(1, 4)))
    return text[:LARGEST_BODY]


def _close(
    random: Random,
    item: Issue | PullRequest,
    history: list[Commit],
    dates: list[int],
    who: Sequence[Account],
) -> None:
    item.state = "closed"
    item.closed_at = item.created_at + int(random.random() * (item.updated_at - item.created_at))
    item.closed_by = random.choice(who[:-1])
    if isinstance(item, Issue):
        item.state_reason = random.choices(("completed", "not_planned", "duplicate"), (8, 3, 1))[0]
        return
    if random.random() < 0.75:
        item.draft = False
        item.merged_at, item.merged_by = item.closed_at, item.closed_by
        place = min(bisect_left(dates, item.merged_at), len(history) - 1)
        item.merge_commit = history[place]
