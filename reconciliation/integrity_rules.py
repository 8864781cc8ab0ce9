"""The rules that GitHub's own data keep, as values: a row of the mirror that breaks one is wrong (P32-P34).

Each is a condition in SQL, true of a broken row `t`. Only what is sure
is a rule here. Authors may be gone, titles empty; bots are called `name[bot]`; accounts that a company
manages have an underscore, old ones hyphens at their ends. Imported issues are older than GitHub, and
whoever makes a commit may write any time into it. Pure.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

OLDEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""No issue tracker that is imported from is older; what lies before is a zero that was taken for a time."""

LOGIN: Final = r"^[A-Za-z0-9_-]+(\[bot\])?$"
NAME: Final = r"^[A-Za-z0-9._-]+$"
SHA: Final = r"^[0-9a-f]{40}([0-9a-f]{24})?$"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One rule: its name, whose rows it is about, when a row breaks it, and that in words."""

    name: str
    entity: str
    condition: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Where the rows are, what identifies one (as text), whose it is and which repository it is in."""

    name: str
    key: str
    account: str
    home: str
    joined: str = ""


_HOME: Final = """
    LEFT JOIN syncsvc_repository AS r ON r.id = t.repository_id
    LEFT JOIN syncsvc_syncjob AS j ON r.id IS NULL AND j.id = t.changed_by_job
"""
#: An orphan belongs to the account whose run wrote it.
_ACCOUNT: Final = "coalesce(r.installation_id, j.installation_id)"

TABLES: Final = {
    "repositories": Table(
        name="syncsvc_repository",
        key="t.github_id::text",
        account="t.installation_id",
        home="t.id",
    ),
    "issues": Table(
        name="syncsvc_issue",
        key="t.github_id::text",
        account=_ACCOUNT,
        home="r.id",
        joined=_HOME,
    ),
    "pull_requests": Table(
        name="syncsvc_pullrequest",
        key="t.github_id::text",
        account=_ACCOUNT,
        home="r.id",
        joined=_HOME,
    ),
    "commits": Table(
        name="syncsvc_commit", key="t.sha", account=_ACCOUNT, home="r.id", joined=_HOME
    ),
}

_SINGULAR: Final = {
    "repositories": "repository",
    "issues": "issue",
    "pull_requests": "pull_request",
    "commits": "commit",
}


def _rule(entity: str, name: str, condition: str, sentence: str) -> Rule:
    return Rule(
        name=f"{_SINGULAR[entity]}_{name}",
        entity=entity,
        condition=f"({condition})",
        sentence=sentence,
    )


def _null(*columns: str) -> str:
    return " OR ".join(f"t.{name} IS NULL" for name in columns)


def _empty(*columns: str) -> str:
    return " OR ".join(f"t.{name} IS NULL OR t.{name} = ''" for name in columns)


def _impossible(*columns: str) -> str:
    """Before there were trackers, or later than a clock that is a day ahead."""
    return " OR ".join(f"t.{name} < %(oldest)s OR t.{name} > %(latest)s" for name in columns)


def _items(entity: str, state: str, times: tuple[str, ...]) -> tuple[Rule, ...]:
    """What issues and pull requests have in common."""
    return (
        _rule(
            entity,
            "lacks_a_required_field",
            f"{_null('github_id', 'number', 'github_created_at', 'github_updated_at')} OR {_empty(state)}",
            "A field that GitHub always gives is empty: id, number, state or time.",
        ),
        _rule(
            entity, "id_is_not_positive", "t.github_id < 1", "GitHub's ids are positive numbers."
        ),
        _rule(entity, "number_is_below_1", "t.number < 1", "GitHub counts from 1."),
        _rule(
            entity,
            "author_is_malformed",
            f"t.author !~ '{LOGIN}'",
            "GitHub's logins have letters, digits, hyphens and underscores, and may end in [bot].",
        ),
        _rule(
            entity,
            "closed_without_time",
            f"t.{state} = 'closed' AND t.closed_at IS NULL",
            "What is closed has a time when it was closed.",
        ),
        _rule(
            entity,
            "time_is_impossible",
            _impossible("github_created_at", "github_updated_at", *times),
            "One of its times lies before 1980 or more than a day ahead.",
        ),
        _orphaned(entity, "removed_at"),
    )


def _orphaned(entity: str, gone: str) -> Rule:
    return _rule(
        entity,
        "has_no_repository",
        f"t.{gone} IS NULL AND NOT EXISTS "
        "(SELECT FROM syncsvc_repository AS h WHERE h.id = t.repository_id)",
        "The repository that it belongs to is not in the mirror.",
    )


RULES: Final = (
    _rule(
        "repositories",
        "lacks_a_required_field",
        f"{_null('github_id')} OR {_empty('owner', 'name', 'visibility', 'status')}",
        "A field that GitHub always gives is empty: id, owner, name or visibility.",
    ),
    _rule(
        "repositories",
        "id_is_not_positive",
        "t.github_id < 1",
        "GitHub's ids are positive numbers.",
    ),
    _rule(
        "repositories",
        "owner_is_malformed",
        f"t.owner !~ '{LOGIN}'",
        "GitHub's logins have letters, digits, hyphens and underscores.",
    ),
    _rule(
        "repositories",
        "name_is_malformed",
        f"t.name !~ '{NAME}' OR t.name IN ('.', '..')",
        "GitHub's repository names have letters, digits, dots, hyphens and underscores.",
    ),
    _rule(
        "repositories",
        "states_disagree",
        "(t.status = 'active' AND t.archived) OR (t.status = 'archived' AND NOT t.archived)",
        "Its status and GitHub's archived flag contradict each other.",
    ),
    _rule(
        "repositories",
        "time_is_impossible",
        _impossible("github_created_at", "github_updated_at", "pushed_at"),
        "One of its times lies before 1980 or more than a day ahead.",
    ),
    *_items("issues", "github_state", ("closed_at",)),
    _rule(
        "issues",
        "states_disagree",
        "(t.github_state = 'closed') <> (t.state = 'closed')",
        "GitHub's state and ours contradict each other.",
    ),
    *_items("pull_requests", "state", ("closed_at", "merged_at")),
    _rule(
        "pull_requests",
        "states_disagree",
        "t.merged <> (t.merged_at IS NOT NULL) OR (t.merged AND t.state <> 'closed')",
        "What is merged is closed and has a time when it was merged; what is not has none.",
    ),
    _rule(
        "pull_requests",
        "has_no_base",
        _empty("base_ref"),
        "A pull request is made against a branch.",
    ),
    _rule(
        "pull_requests",
        "sha_is_malformed",
        f"t.head_sha !~ '{SHA}' OR t.merge_commit_sha !~ '{SHA}'",
        "A sha has 40 or 64 hexadecimal digits.",
    ),
    _rule(
        "commits",
        "lacks_a_required_field",
        f"{_empty('sha')} OR {_null('authored_at', 'committed_at')}",
        "A field that every commit has is empty: sha or time.",
    ),
    _rule(
        "commits",
        "sha_is_malformed",
        f"t.sha !~ '{SHA}'",
        "A sha has 40 or 64 hexadecimal digits.",
    ),
    _rule(
        "commits",
        "author_is_malformed",
        f"t.author_login !~ '{LOGIN}'",
        "GitHub's logins have letters, digits, hyphens and underscores, and may end in [bot].",
    ),
    _orphaned("commits", "dropped_at"),
)
