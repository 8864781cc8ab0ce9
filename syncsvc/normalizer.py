"""What the mirror derives from GitHub's items: states, severities, deadlines and scores.

Hides how labels are written. Pure: every figure follows from the arguments, `now` included.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from syncsvc.github.content import CommitRow, IssueRow, Languages

BYTES_PER_LINE: Final = 35
"""Average length of a line of source, end included; common languages lie between 30 and 40 (R5.4)."""

SMALLEST_SHARE: Final = 0.01
"""A language below this share of the bytes is no part of the tech stack."""


class State(StrEnum):
    """How far an issue is (R5.2)."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    CLOSED = "closed"


class Severity(StrEnum):
    """How bad an issue is (R5.2)."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


DEFAULT_SEVERITY: Final = Severity.MEDIUM
SLA_HOURS: Final = {
    Severity.CRITICAL: 4,
    Severity.HIGH: 24,
    Severity.MEDIUM: 72,
    Severity.LOW: 168,
}

_WORD: Final = re.compile(r"[^\W_]+")
_BY_WORD: Final = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "low": Severity.LOW,
    "p0": Severity.CRITICAL,
    "p1": Severity.HIGH,
    "p2": Severity.MEDIUM,
    "p3": Severity.LOW,
    "p4": Severity.LOW,
    "sev0": Severity.CRITICAL,
    "sev1": Severity.CRITICAL,
    "sev2": Severity.HIGH,
    "sev3": Severity.MEDIUM,
    "sev4": Severity.LOW,
    "sev5": Severity.LOW,
}
_NUMBERED: Final = {"severity": "sev", "sev": "sev", "priority": "p", "prio": "p", "p": "p"}
_RANKS: Final = tuple(Severity)
_FILLERS: Final = frozenset({"severity", "sev", "priority", "prio", "bug"})
_IN_PROGRESS: Final = frozenset({("in", "progress"), ("inprogress",), ("wip",)})
_PREFIXES: Final = frozenset({"status", "state", "stage"})
_NEGATIONS: Final = frozenset({"no", "non", "not"})
_GOOD_FIRST_ISSUE: Final = ("good", "first", "issue")

_BASE: Final = 50
_BY_SEVERITY: Final = {
    Severity.CRITICAL: 40,
    Severity.HIGH: 30,
    Severity.MEDIUM: 20,
    Severity.LOW: 10,
}
_MOST_WEEKS: Final = 20
_WEEK: Final = timedelta(weeks=1)
_RECENT: Final = timedelta(days=30)


# -- labels ----------------------------------------------------------------------------------------


def _words(label: str) -> tuple[str, ...]:
    return tuple(_WORD.findall(label.casefold()))


def _severity_of(label: str) -> Severity | None:
    """`high`, `severity: high`, `priority/high`, `high priority`, `sev-2`, `severity 2`, `P1`.

    A label that has other words as well, such as `high contrast`, says nothing about severity.
    """
    words = _words(label)
    if len(words) == 2 and words[0] in _NUMBERED:
        numbered = _BY_WORD.get(_NUMBERED[words[0]] + words[1])
        if numbered is not None:
            return numbered
    told = [word for word in words if word not in _FILLERS]
    return _BY_WORD.get(told[0]) if len(told) == 1 else None


def severity(labels: Iterable[str]) -> Severity:
    """The highest severity that a label names; `medium` when none does (R5.2).

    R5.2 gives every issue an SLA, so there is a severity without a label too; the middle of the
    scale is neither an alarm nor a dismissal. P0..P3 are critical..low; sev-1..sev-4 likewise.
    """
    found = {_severity_of(label) for label in labels}
    return next((rank for rank in _RANKS if rank in found), DEFAULT_SEVERITY)


def _has(labels: Iterable[str], *names: str) -> bool:
    """Whether a label has one of the words, not preceded by a negation (`non-blocking`)."""
    for label in labels:
        words = _words(label)
        for before, word in zip(("", *words), words, strict=False):
            if word in names and before not in _NEGATIONS:
                return True
    return False


def is_blocker(labels: Iterable[str]) -> bool:
    """Whether a label says that it blocks: `blocker`, `release-blocker`, `blocking` (R5.2).

    `blocked` is the opposite: such an issue waits for another one.
    """
    return _has(labels, "blocker", "blocking")


def is_security(labels: Iterable[str]) -> bool:
    """Whether a label says `security` or `vulnerability` (R5.2)."""
    return _has(labels, "security", "vulnerability")


def is_regression(labels: Iterable[str]) -> bool:
    """Whether a label says `regression` (R5.2)."""
    return _has(labels, "regression")


def is_documentation(labels: Iterable[str]) -> bool:
    """Whether a label says `documentation`, or `docs` for short (R5.2)."""
    return _has(labels, "documentation", "docs")


def is_good_first_issue(labels: Iterable[str]) -> bool:
    """Whether a label says `good first issue`, however it is joined (R5.2)."""
    return any(_words(label)[-3:] == _GOOD_FIRST_ISSUE for label in labels)


# -- issues ----------------------------------------------------------------------------------------


def issue_label(number: int) -> str:
    """`GH-<number>` (R5.2)."""
    return f"GH-{number}"


def issue_state(state: str, assignees: Collection[str], labels: Iterable[str]) -> State:
    """GitHub's `closed` is closed; an open issue is in progress when somebody has it (R5.2).

    That is, when it has an assignee, or a label `in progress` or `wip`, `status: ...` included.
    """
    if state == "closed":
        return State.CLOSED
    if assignees:
        return State.IN_PROGRESS
    for label in labels:
        words = _words(label)
        if words[:1] and words[0] in _PREFIXES:
            words = words[1:]
        if words in _IN_PROGRESS:
            return State.IN_PROGRESS
    return State.PENDING


def due_at(created_at: datetime, level: Severity) -> datetime:
    """When the SLA ends: 4, 24, 72 or 168 hours after the issue was opened (R5.2)."""
    try:
        return created_at + timedelta(hours=SLA_HOURS[level])
    except OverflowError:  # opened in the year 9999
        return datetime.max.replace(tzinfo=created_at.tzinfo)


def is_breached(due: datetime, *, state: str, closed_at: datetime | None, now: datetime) -> bool:
    """Whether the SLA was missed: closed after it ended, or open and it is over (R5.2).

    The end itself is still in time. A closed issue of unknown closing time is given the benefit.
    """
    if state == "closed":
        return closed_at is not None and closed_at > due
    return now > due


def priority_base(labels: Collection[str]) -> int:
    """The part of the priority score that does not grow with age, not yet clamped (R5.2).

    Base 50; severity critical/high/medium/low +40/+30/+20/+10; blocker +30; security +25;
    regression +20; documentation -15; good first issue -20.
    """
    score = _BASE + _BY_SEVERITY[severity(labels)]
    score += 30 * is_blocker(labels)
    score += 25 * is_security(labels)
    score += 20 * is_regression(labels)
    score -= 15 * is_documentation(labels)
    score -= 20 * is_good_first_issue(labels)
    return score


def priority_at(base: int, created_at: datetime, now: datetime) -> int:
    """The priority score as of `now`: +1 for each full week of age up to +20, then 0 to 100 (R5.2)."""
    weeks = max(0, (now - created_at) // _WEEK)
    return min(max(base + min(weeks, _MOST_WEEKS), 0), 100)


def priority_score(labels: Collection[str], created_at: datetime, now: datetime) -> int:
    """0 to 100, the more the sooner (R5.2): `priority_base`, its age, clamped."""
    return priority_at(priority_base(labels), created_at, now)


@dataclass(frozen=True, kw_only=True, slots=True)
class NormalizedIssue:
    """What R5.2 derives from an issue. `breached` and `priority_score` are as of a moment."""

    label: str
    state: State
    severity: Severity
    sla_hours: int
    due_at: datetime
    breached: bool
    priority_score: int
    is_blocker: bool


def normalize_issue(issue: IssueRow, now: datetime) -> NormalizedIssue:
    """Everything R5.2 derives from an issue, as of `now`."""
    level = severity(issue.labels)
    due = due_at(issue.created_at, level)
    return NormalizedIssue(
        label=issue_label(issue.number),
        state=issue_state(issue.state, issue.assignees, issue.labels),
        severity=level,
        sla_hours=SLA_HOURS[level],
        due_at=due,
        breached=is_breached(due, state=issue.state, closed_at=issue.closed_at, now=now),
        priority_score=priority_score(issue.labels, issue.created_at, now),
        is_blocker=is_blocker(issue.labels),
    )


# -- repositories ----------------------------------------------------------------------------------


def has_recent_commit(last_commit_at: datetime | None, now: datetime) -> bool:
    """Whether the newest commit is 30 days old at most (R5.4)."""
    return last_commit_at is not None and now - last_commit_at <= _RECENT


def health_score(
    *,
    last_commit_at: datetime | None,
    open_issues: int,
    stars: int,
    contributors: int,
    has_ci: bool,
    has_tests: bool,
    now: datetime,
) -> int:
    """0 to 100 (R5.4).

    Base 50; a commit within 30 days +20; fewer than 5 open issues +10; over 100 stars +10; over 10
    contributors +10; CI +10; tests +10.
    """
    score = _BASE + 20 * has_recent_commit(last_commit_at, now)
    score += 10 * (open_issues < 5)
    score += 10 * (stars > 100)
    score += 10 * (contributors > 10)
    score += 10 * has_ci
    score += 10 * has_tests
    return min(max(score, 0), 100)


def tech_stack(languages: Languages) -> tuple[str, ...]:
    """The languages with at least 1 % of the bytes, the largest first (R5.4)."""
    total = sum(languages.values())
    return tuple(
        name
        for name, size in sorted(languages.items(), key=lambda each: (-each[1], each[0]))
        if size > 0 and size >= SMALLEST_SHARE * total
    )


def lines_of_code(languages: Languages) -> int:
    """An estimate from the sizes of the languages: GitHub counts bytes, not lines (R5.4)."""
    return round(sum(languages.values()) / BYTES_PER_LINE)


def contributor(commit: CommitRow) -> str:
    """Who wrote a commit: the account where GitHub knows it, else the address, else the name."""
    if commit.author_login:
        return f"login:{commit.author_login.casefold()}"
    if commit.author_email:
        return f"email:{commit.author_email.casefold()}"
    return f"name:{commit.author_name.casefold()}"


def count_contributors(commits: Iterable[CommitRow]) -> int:
    """How many distinct authors the commits have; an estimate, as people use many names (R5.4)."""
    return len({contributor(commit) for commit in commits})
