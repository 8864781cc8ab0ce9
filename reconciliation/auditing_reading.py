"""What GitHub says of the items of a sample, asked for one by one (R8.3).

Runs read repositories through REST's lists and contents through GraphQL; here it is the other way
round. Hides what an answer about a single item proves.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from reconciliation.auditing_asking import ONE, Asking, Sight, Spent, total_of
from reconciliation.auditing_drawing import Drawn, Home, Side
from reconciliation.auditing_repositories import STAGE, repositories
from reconciliation.findings import REPOSITORIES
from syncsvc import contents
from syncsvc.content_plan import item_of
from syncsvc.github.content import (
    CommitRow,
    is_pull_request,
    parse_commit,
    parse_issue,
    parse_pull_request,
)
from syncsvc.github.errors import Forbidden, GitHubError, Gone, RateLimited
from syncsvc.github.payloads import RepositoryRow, parse_list, parse_object
from syncsvc.github.reading import ContentRow, Entity, FateKind
from syncsvc.github.values import is_mapping

_BY_AGE: Final = "state=all&sort=created&direction=asc&per_page=1"
_NO_COMMIT: Final = (404, 409, 422)
"""How GitHub says that there is no such commit; 409 is that there is none at all."""


def sights(asking: Asking, drawn: Sequence[Drawn]) -> Iterator[Sight]:
    """What GitHub says of each, as far as the allowance lasts.

    Raises what says something about us, `Cancelled` and `LeaseLost`.
    """
    yield from repositories(asking, [each for each in drawn if each.entity == REPOSITORIES])
    items = [each for each in drawn if each.entity != REPOSITORIES]
    for number, each in enumerate(items):
        name = each.home.full_name if each.home else ""
        asking.run.lease.progress(STAGE, number, len(items), name)
        read = _of_mirror if each.side is Side.MIRROR else _of_github
        try:
            sight = asking.guarded(each, partial(read, asking))
        except Spent:
            return
        if sight is not None:
            yield sight


# -- drawn from the mirror -------------------------------------------------------------------------


def _of_mirror(asking: Asking, each: Drawn) -> Sight:
    """An item of the mirror, asked for by its number or its sha."""
    asking.begin()
    home, entity = _home(each), Entity(each.entity)
    sight = Sight.of(each)
    if entity is Entity.COMMITS:
        return _commit(asking, sight, home, each.key[1] if isinstance(each.key, tuple) else "")
    with asking.run.phase("fetch"):
        fate = asking.run.rest.fate(
            entity,
            home.full_name,
            each.number or 0,
            each.key if isinstance(each.key, int) else 0,
            repository_id=home.github_id,
        )
    if fate.kind is FateKind.PRESENT and fate.row is not None:
        return replace(sight, item=item_of(fate.row, home.pk))
    if fate.kind is FateKind.UNKNOWN and fate.error is not None:
        raise fate.error
    if fate.kind is FateKind.UNKNOWN:
        return replace(sight, unknown="another item")
    return _gone(asking, sight, home, str(fate.kind))


def _commit(asking: Asking, sight: Sight, home: Home, sha: str) -> Sight:
    """GitHub shows a commit that a forced push dropped as well: this proves what it says only."""
    try:
        # One of its files at most: their patches may be megabytes.
        answer = asking.ask(f"/repositories/{home.github_id}/commits/{sha}?{ONE}", parse_object)
    except GitHubError as error:
        if error.status in _NO_COMMIT and not isinstance(error, RateLimited):
            return _gone(asking, sight, home, "dropped")
        raise
    return replace(sight, item=item_of(parse_commit(answer.value), home.pk))


def _gone(asking: Asking, sight: Sight, home: Home, reason: str) -> Sight:
    """Gone, if the repository itself is within reach; else all of its items look gone."""
    if not isinstance(asking.opinion(home.github_id), RepositoryRow):
        return replace(sight, unknown="out of reach")
    return replace(sight, gone=reason)


# -- drawn from GitHub -----------------------------------------------------------------------------


def _of_github(asking: Asking, each: Drawn) -> Sight | None:
    """What is at that place of GitHub's list; None when the list has become shorter than that."""
    home, sight = _home(each), Sight.of(each)
    if each.entity == Entity.COMMITS:
        limit = asking.run.lease.settings.commit_limit
        found = _at(asking, each, f"/repositories/{home.github_id}/commits?{ONE}", limit)
        return None if found is None else _committed(asking, sight, home, parse_commit(found))
    path = f"/repositories/{home.github_id}/issues?{_BY_AGE}"
    try:
        found = _at(asking, each, path)
    except (Gone, Forbidden):  # without issues, or none that we may read: the rest has a list
        found = _at(asking, each, path.replace("/issues?", "/pulls?"))
        return None if found is None else _seen(sight, home, parse_pull_request(found))
    if found is None:
        return None
    if not is_pull_request(found):
        return _seen(sight, home, parse_issue(found))
    sight = replace(sight, entity=str(Entity.PULL_REQUESTS))
    if not asking.affords():
        return replace(sight, unknown="allowance")
    # In the list of issues it has the id and the shape of an issue.
    number = found.get("number")
    path = f"/repositories/{home.github_id}/pulls/{number if type(number) is int else 0}"
    row = parse_pull_request(asking.ask(path, parse_object).value)
    return _seen(sight, home, row)


def _seen(sight: Sight, home: Home, row: ContentRow) -> Sight:
    item = item_of(row, home.pk)
    return replace(sight, key=item.key, entity=str(item.entity), item=item)


def _committed(asking: Asking, sight: Sight, home: Home, row: CommitRow) -> Sight:
    """A commit tells when it was written, not when it was pushed: its repository does."""
    sight = _seen(sight, home, row)
    if sight.key is not None and contents.missing(Entity.COMMITS, [sight.key]):
        reached = asking.opinion(home.github_id)
        if not isinstance(reached, RepositoryRow):
            return replace(sight, item=None, unknown="out of reach")
        return replace(sight, pushed_at=reached.pushed_at)
    return sight


def _at(asking: Asking, each: Drawn, path: str, limit: int = 0) -> Mapping[str, Any] | None:
    def read(offset: int) -> tuple[Mapping[str, Any] | None, int | None]:
        answer = asking.ask(f"{path}&page={offset + 1}", parse_list)
        if not answer.value or not is_mapping(answer.value[0]):
            return None, None
        total = total_of(answer.links, offset)
        return answer.value[0], min(total, limit) if total and limit else total

    return asking.chosen(each, read)


def _home(each: Drawn) -> Home:
    if each.home is None:
        raise ValueError(f"{each.entity} are drawn from a repository")
    return each.home
