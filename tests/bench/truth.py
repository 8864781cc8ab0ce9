"""How far the mirror is from what the simulated GitHub says, field by field.

Hides in which words each of them says the same. A difference is one record, or one count.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

from tests.bench.simulated import Simulated
from tests.bench.stage import COMMIT_LIMIT

Key = TypeVar("Key")
Facts = dict[str, Any]

#: GitHub's word -> our column, where they are not the same.
ITEM_WORDS: Final = {
    "created_at": "github_created_at",
    "updated_at": "github_updated_at",
}
ISSUE_WORDS: Final = ITEM_WORDS | {"state": "github_state"}


def repositories(simulated: Simulated) -> int:
    """Repositories of which mirror and simulator do not say the same."""
    from syncsvc.models import Repository  # noqa: PLC0415

    truth = {row["github_id"]: row for row in simulated.truth()}
    present = Repository.objects.filter(status__in=Repository.PRESENT)
    fields = tuple(next(iter(truth.values()), {}))
    mirror = {row["github_id"]: plain(row) for row in present.values(*fields)}
    return unequal(truth, mirror)


def everything(simulated: Simulated) -> dict[str, int]:
    """The differences of each entity and of the counts, contents included."""
    truth: dict[str, dict[Any, Facts]] = {name: {} for name in _MIRROR}
    for github_id, held in simulated.contents([row["github_id"] for row in simulated.truth()]):
        for name in ("issues", "pull_requests"):
            for fact in held[name]:
                truth[name][fact["github_id"]] = fact | {"repository": github_id}
        for fact in held["commits"][:COMMIT_LIMIT]:
            truth["commits"][github_id, fact["sha"]] = fact
        truth["counts"][github_id] = counts(held)
    found = {"repositories": repositories(simulated)}
    return found | {name: unequal(truth[name], read()) for name, read in _MIRROR.items()}


def counts(held: Mapping[str, Any]) -> Facts:
    """What the lists and the metrics of a repository must say, out of its truth."""
    return {
        "issues": len(held["issues"]),
        "pull_requests": len(held["pull_requests"]),
        "commits": held["commit_count"],
        "head_sha": held["head_sha"],
        "commits of the day": held["commit_count"],
        "open issues of the day": sum(issue["state"] == "open" for issue in held["issues"]),
        "languages of the day": held["languages"],
    }


def unequal(truth: Mapping[Key, Facts], mirror: Mapping[Key, Facts]) -> int:
    """How many records only one of them has, or both do not describe alike."""
    return sum(truth.get(key) != mirror.get(key) for key in truth.keys() | mirror.keys())


def plain(row: Mapping[str, Any]) -> Facts:
    """A row with its times as RFC 3339, as GitHub writes them."""
    return {
        name: value.strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value
        for name, value in row.items()
    }


def in_githubs_words(row: Mapping[str, Any], words: Mapping[str, str]) -> Facts:
    """A row of ours under GitHub's names; no body is GitHub's empty one."""
    ours = {column: word for word, column in words.items()}
    facts = {ours.get(name, name): value for name, value in plain(row).items()}
    return facts | {"body": facts["body"] or ""}


_ITEM: Final = (
    "github_id", "node_id", "number", "title", "body", "author", "assignees", "labels",
    "github_created_at", "github_updated_at", "closed_at",
)  # fmt: skip
_PULL_REQUEST: Final = (
    "state", "draft", "merged", "merged_at", "base_ref", "head_ref", "head_sha", "merge_commit_sha",
)  # fmt: skip
_COMMIT: Final = (
    "sha", "author_login", "author_name", "author_email", "authored_at", "committed_at", "message",
)  # fmt: skip


def _issues() -> dict[Any, Facts]:
    from syncsvc.models import Issue  # noqa: PLC0415

    rows = Issue.objects.filter(removed_at__isnull=True).values(
        *_ITEM, "github_state", "state_reason", "repository__github_id"
    )
    return _by_id(rows, ISSUE_WORDS)


def _pull_requests() -> dict[Any, Facts]:
    from syncsvc.models import PullRequest  # noqa: PLC0415

    rows = PullRequest.objects.filter(removed_at__isnull=True).values(
        *_ITEM, *_PULL_REQUEST, "repository__github_id"
    )
    return _by_id(rows, ITEM_WORDS)


def _by_id(rows: Iterable[Mapping[str, Any]], words: Mapping[str, str]) -> dict[Any, Facts]:
    words = {"repository": "repository__github_id", **words}
    return {row["github_id"]: in_githubs_words(row, words) for row in rows}


def _commits() -> dict[Any, Facts]:
    from syncsvc.models import Commit  # noqa: PLC0415

    rows = Commit.objects.filter(dropped_at__isnull=True)
    return {
        (repository, row["sha"]): plain(row)
        for row in rows.values(*_COMMIT, "repository__github_id")
        if (repository := row.pop("repository__github_id"))
    }


def _counts() -> dict[Any, Facts]:
    from syncsvc.models import ContentList, Repository, RepositoryMetric  # noqa: PLC0415

    present = Repository.objects.filter(status__in=Repository.PRESENT)
    found: dict[Any, Facts] = {key: {} for key in present.values_list("github_id", flat=True)}
    for each in ContentList.objects.filter(repository__in=present).select_related("repository"):
        found[each.repository.github_id][each.entity] = each.count
        if each.entity == ContentList.Entity.COMMITS:
            found[each.repository.github_id]["head_sha"] = each.head_sha
    days = RepositoryMetric.objects.filter(repository__in=present).select_related("repository")
    for day in days.order_by("date"):
        found[day.repository.github_id] |= {
            "commits of the day": day.commits,
            "open issues of the day": day.open_issues,
            "languages of the day": day.languages,
        }
    return found


_MIRROR: Final = {
    "issues": _issues,
    "pull_requests": _pull_requests,
    "commits": _commits,
    "counts": _counts,
}
