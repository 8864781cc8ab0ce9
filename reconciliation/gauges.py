"""What the judge tells Prometheus: how right the mirror is, and what waits to be put right (R19.3).

What is not known has no sample: an alert on `absent()` sees that, and none mistakes it for 100 %.
"""

from collections.abc import Iterator

from django.db.models import Count
from prometheus_client.core import GaugeMetricFamily

from reconciliation import auditing, measuring
from reconciliation.accuracy import WEEK
from reconciliation.models import Discrepancy, IntegrityIssue, Review
from syncsvc import clock, health

_WAITING = (
    Discrepancy.Status.PROPOSED,
    Discrepancy.Status.FAILED,
    Discrepancy.Status.NEEDS_MANUAL_REVIEW,
)


def register() -> None:
    """Puts them into `/metrics`."""
    health.register("accuracy", gauges)


def gauges() -> Iterator[GaugeMetricFamily]:
    """Five queries, however many runs and discrepancies there are."""
    yield from _accuracy()
    yield from _audits()
    waiting = GaugeMetricFamily(
        "mirror_discrepancies_waiting",
        "Differences that are known and not put right yet, by what holds them.",
        labels=["status"],
    )
    rows = Discrepancy.objects.filter(repair_status__in=_WAITING).order_by()
    found = dict(rows.values_list("repair_status").annotate(Count("pk")))
    for status in _WAITING:  # zeros too, so that an alert can clear
        waiting.add_metric([status], found.get(status, 0))
    yield waiting
    reviews = GaugeMetricFamily(
        "mirror_reviews_open", "Runs that are held until a person decides (R7.3)."
    )
    reviews.add_metric([], Review.objects.filter(status=Review.Status.OPEN).count())
    yield reviews
    broken = GaugeMetricFamily(
        "mirror_integrity_issues_open", "Rows of the mirror that break a rule of GitHub's own data."
    )
    broken.add_metric([], IntegrityIssue.objects.filter(resolved_at=None).count())
    yield broken


def _accuracy() -> Iterator[GaugeMetricFamily]:
    ratio = GaugeMetricFamily(
        "mirror_accuracy_ratio",
        "Matched / compared before repair, of all accounts together; none where nothing was compared.",
        labels=["window"],
    )
    compared = GaugeMetricFamily(
        "mirror_accuracy_compared", "Items that were compared.", labels=["window"]
    )
    unknown = GaugeMetricFamily(
        "mirror_accuracy_unknown", "Items that could not be compared.", labels=["window"]
    )
    left = GaugeMetricFamily(
        "mirror_error_budget_left_ratio",
        "What is left of the week's error budget; below 0 the objective is missed.",
    )
    day, week = measuring.day_and_week(None, clock.now())
    for window, measured in (("24h", day), ("7d", week)):
        compared.add_metric([window], measured.tally.compared)
        unknown.add_metric([window], measured.tally.unknown)
        if measured.tally.accuracy is not None:
            ratio.add_metric([window], measured.tally.accuracy)
    if week.budget.left is not None:
        left.add_metric([], week.budget.left)
    yield from (ratio, compared, unknown, left)


def _audits() -> Iterator[GaugeMetricFamily]:
    bounds = GaugeMetricFamily(
        "mirror_audited_accuracy_ratio",
        "Between which two values the accuracy of the last 7 days lies by the independent audits, "
        "with 95 % certainty.",
        labels=["bound"],
    )
    now = clock.now()
    standing = auditing.standing(None, now - WEEK, now)
    if standing.matched + standing.wrong:
        bounds.add_metric(["low"], standing.low)
        bounds.add_metric(["high"], standing.high)
    yield bounds
