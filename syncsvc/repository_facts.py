"""One repository as its page shows it: how healthy it is and why, what it is written in, how far each of
its lists was read, and what happened day by day. Everything decided and worded, nothing left to the template.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db.models import Count, Min
from django.db.models.functions import TruncDate

from syncsvc import normalizer, words
from syncsvc.models import ContentList, Repository, RepositoryMetric

DAYS: Final = 30
LANGUAGES_SHOWN: Final = 6
CHART_HEIGHT: Final = 100
CHART_STEP: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One part of the health score: what earns it, what it earned, and what it can earn."""

    rule: str
    fact: str
    points: int
    most: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A language's share of the bytes; `start` and `width` place it in the bar, in percent."""

    name: str
    share: str
    start: float
    width: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """How far one list was read."""

    entity: str
    label: str
    badge: str
    tone: str
    count: int | None
    mirrored: int
    read_at: datetime | None
    whole_at: datetime | None
    retry_at: datetime | None
    error: str
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """What is known of one day, and how high its bars are."""

    date: date
    commits: int | None
    health: int | None
    open_issues: int | None
    x: int
    commits_height: float
    health_height: float

    @property
    def commits_top(self) -> float:
        """Where the bar of its commits begins."""
        return CHART_HEIGHT - self.commits_height

    @property
    def health_top(self) -> float:
        """Where the bar of its health begins."""
        return CHART_HEIGHT - self.health_height


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Ready to show."""

    metric: RepositoryMetric | None
    base: int
    parts: tuple[Part, ...]
    languages: tuple[Share, ...]
    readings: tuple[Reading, ...]
    days: tuple[Day, ...]
    most_commits: int


def read(row: Repository, now: datetime) -> Facts:
    """The facts of one repository, in a fixed number of queries."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=DAYS - 1)
    metrics = list(row.metrics.order_by("-date")[:DAYS])
    newest = metrics[0] if metrics else None
    lists = {each.entity: each for each in row.lists.all()}
    present = row.commits.filter(dropped_at=None)
    held = present.aggregate(count=Count("pk"), oldest=Min("committed_at"))
    mirrored = {
        ContentList.Entity.ISSUES: row.issues.filter(removed_at=None).count(),
        ContentList.Entity.PULL_REQUESTS: row.pull_requests.filter(removed_at=None).count(),
        ContentList.Entity.COMMITS: held["count"],
    }
    commits = (
        present.filter(committed_at__gte=datetime.combine(first, time.min, UTC))
        .order_by()
        .values_list(TruncDate("committed_at", tzinfo=UTC))
        .annotate(number=Count("pk"))
    )
    days = _days(
        first,
        today,
        dict(commits),
        {metric.date: metric for metric in metrics},
        _counted_from(lists.get(ContentList.Entity.COMMITS), held),
    )
    base, parts = _health(newest) if newest else (0, ())
    return Facts(
        metric=newest,
        base=base,
        parts=parts,
        languages=shares(newest.languages) if newest else (),
        readings=tuple(
            _reading(entity, lists.get(entity), mirrored[entity], now)
            for entity in ContentList.Entity
        ),
        days=days,
        most_commits=max((day.commits or 0 for day in days), default=0),
    )


# -- health ----------------------------------------------------------------------------------------


def _health(metric: RepositoryMetric) -> tuple[int, tuple[Part, ...]]:
    """What everybody has, and what each fact earned: the normalizer's own sum, one fact at a time."""
    moment = datetime.combine(metric.date, time.min, UTC)
    worst: dict[str, Any] = {
        "last_commit_at": None,
        "open_issues": 2**31,
        "stars": 0,
        "contributors": 0,
        "has_ci": False,
        "has_tests": False,
    }
    best: dict[str, Any] = {
        "last_commit_at": moment,
        "open_issues": 0,
        "stars": 2**31,
        "contributors": 2**31,
        "has_ci": True,
        "has_tests": True,
    }
    base = normalizer.health_score(**worst, now=moment)
    newest = metric.last_commit_at
    known = {name: getattr(metric, name) for name in worst} | {
        "has_ci": bool(metric.has_ci),
        "has_tests": bool(metric.has_tests),
    }
    told = {
        "last_commit_at": ("A commit within 30 days", words.day(newest) if newest else "none"),
        "open_issues": ("Fewer than 5 open issues", f"{metric.open_issues:,}"),
        "stars": ("More than 100 stars", f"{metric.stars:,}"),
        "contributors": ("More than 10 contributors", f"{metric.contributors:,}, an estimate"),
        "has_ci": ("Continuous integration", words.yes_or_no(metric.has_ci)),
        "has_tests": ("Tests", words.yes_or_no(metric.has_tests)),
    }

    def earned(name: str, value: Any) -> int:
        return normalizer.health_score(**worst | {name: value}, now=moment) - base

    return base, tuple(
        Part(
            rule=rule,
            fact=fact,
            points=earned(name, known[name]),
            most=earned(name, best[name]),
        )
        for name, (rule, fact) in told.items()
    )


# -- languages -------------------------------------------------------------------------------------


def shares(languages: Mapping[str, int]) -> tuple[Share, ...]:
    """The languages of the tech stack by their share of the bytes, the rest together at the end."""
    total = sum(languages.values())
    if total <= 0:
        return ()
    names = normalizer.tech_stack(languages)[:LANGUAGES_SHOWN]
    sizes = [(name, languages[name]) for name in names]
    if rest := total - sum(size for _, size in sizes):
        sizes.append(("Other", rest))
    shown, start = [], 0
    for name, size in sizes:
        shown.append(
            Share(
                name=name,
                share=words.share(size / total),
                start=round(100 * start / total, 2),
                width=round(100 * size / total, 2),
            )
        )
        start += size
    return tuple(shown)


# -- readings --------------------------------------------------------------------------------------


def _reading(
    entity: ContentList.Entity, row: ContentList | None, mirrored: int, now: datetime
) -> Reading:
    badge, tone = "Not read yet", "quiet"
    if row is not None and row.failures:
        badge, tone = "Failing", "bad"
    elif row is not None and row.read_at:
        badge, tone = "Read", "good"
    return Reading(
        entity=entity,
        label=entity.label,
        badge=badge,
        tone=tone,
        count=row.count if row else None,
        mirrored=mirrored,
        read_at=row.read_at if row else None,
        whole_at=row.whole_at if row else None,
        retry_at=row.retry_at if row else None,
        error=row.error if row and row.failures else "",
        note=_note(row, mirrored, now) if row else "",
    )


def _note(row: ContentList, mirrored: int, now: datetime) -> str:
    """Why GitHub's count and ours differ, and how long the trouble lasts."""
    told = []
    if row.item_limit and row.count is not None and row.count > mirrored:
        told.append(f"Only the newest {row.item_limit:,} are mirrored.")
    if row.unreadable > 0:
        verb = "is" if row.unreadable == 1 else "are"
        told.append(f"{row.unreadable:,} that GitHub counts {verb} not shown to us.")
    if row.failures and row.retry_at is not None:
        times = "once" if row.failures == 1 else f"{row.failures:,} times in a row"
        when = words.relative(row.retry_at, now) if row.retry_at > now else "with the next sync"
        told.append(f"Failed {times}; the next try is {when}.")
    return " ".join(told)


# -- days ------------------------------------------------------------------------------------------


def _counted_from(row: ContentList | None, held: Mapping[str, Any]) -> date | None:
    """The first day whose commits the mirror holds, where it holds the newest ones only."""
    cut = row is not None and row.item_limit and (row.count or 0) > held["count"]
    return held["oldest"].astimezone(UTC).date() if cut and held["oldest"] else None


def _days(
    first: date,
    today: date,
    commits: Mapping[date, int],
    metrics: Mapping[date, RepositoryMetric],
    counted_from: date | None,
) -> tuple[Day, ...]:
    """Each day from `first` to today, the oldest first; none while nothing is known of any."""
    if not commits and not any(day >= first for day in metrics):
        return ()
    most = max(commits.values(), default=0)
    days = []
    for number in range((today - first).days + 1):
        day = first + timedelta(days=number)
        known = counted_from is None or day >= counted_from
        metric, count = metrics.get(day), commits.get(day, 0)
        health = metric.health_score if metric else None
        days.append(
            Day(
                date=day,
                commits=count if known else None,
                health=health,
                open_issues=metric.open_issues if metric else None,
                x=number * CHART_STEP,
                commits_height=round(CHART_HEIGHT * count / most, 1) if most and known else 0,
                health_height=round(CHART_HEIGHT * (health or 0) / 100, 1),
            )
        )
    return tuple(days)
