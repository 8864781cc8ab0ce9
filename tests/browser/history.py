"""A past for the pictures in the docs: a small fleet that was mirrored for eight days, mostly rightly.

The same every time but for the clock, so that a new picture differs only where the page does.
"""

from datetime import timedelta
from random import Random
from typing import Final

from alerts import incidents
from reconciliation import rolling
from reconciliation.models import Discrepancy, RolledHours, RolledUntil, RunFigure, StaleDay
from syncsvc import clock
from syncsvc.models import Installation, Repository, SyncJob
from tests.browser.product import FLEET, PLANS, Product
from tests.factories import GapFactory, SyncJobFactory
from tests.judge_factories import (
    DiscrepancyFactory,
    ReviewFactory,
    RunFigureFactory,
    SampleAuditFactory,
)

DAYS, RUN_EVERY = 8, timedelta(hours=3)
SIZES: Final = {"repositories": 60, "issues": 1_400, "pull_requests": 600, "commits": 9_000}
WEIGHT: Final = float(sum(SIZES.values()))
KINDS: Final = (
    (Discrepancy.Type.STALE_ISSUE, {"title": "Retry uploads"}, {"title": "Retry uploads after a timeout"}),
    (Discrepancy.Type.STALE_ISSUE, {"state": "open"}, {"state": "closed"}),
    (Discrepancy.Type.STALE_PULL_REQUEST, {"merged": False}, {"merged": True}),
)  # fmt: skip


def make(product: Product) -> None:
    """Everything; the sums of hours are made anew."""
    for sums in (RolledHours, RolledUntil, StaleDay):
        sums._default_manager.all().delete()
    random = Random(4)
    accounts = [product.installation(plan.login) for plan in (*PLANS, *FLEET)]
    for account in accounts:
        _runs(account, random)
        _found(account, random)
    _trouble(accounts)
    while rolling.roll(clock.now(), seconds=30):
        pass
    incidents.review()  # now, not when the scheduler comes round to it


def _runs(account: Installation, random: Random) -> None:
    now = clock.now()
    jobs, figures = [], []
    ends = now - timedelta(days=DAYS)
    while ends < now - timedelta(minutes=5):
        seconds = random.uniform(4, 30)
        jobs.append(
            SyncJobFactory.build(
                installation=account, trigger=SyncJob.Trigger.CRON, mode=SyncJob.Mode.INCREMENTAL,
                status=SyncJob.Status.PARTIAL if random.random() < 0.02 else SyncJob.Status.SUCCEEDED,
                created_at=ends - timedelta(seconds=seconds + 1),
                started_at=ends - timedelta(seconds=seconds), finished_at=ends,
                phases_seconds={"total": seconds},
            )
        )  # fmt: skip
        for entity, size in SIZES.items():
            wrong = random.choice((0, 0, 0, 0, 0, 1)) if entity == "issues" else 0
            figures.append(
                RunFigureFactory.build(
                    installation=account, job=jobs[-1], entity=entity, at=ends,
                    compared=size, matched=size - wrong,
                )
            )  # fmt: skip
        ends += RUN_EVERY
    SyncJob.objects.bulk_create(jobs)
    RunFigure.objects.bulk_create(figures)
    for hours in range(0, DAYS * 24, 6):
        SampleAuditFactory.create(
            installation=account, at=now - timedelta(hours=hours, minutes=20),
            weight=WEIGHT, weight_matched=WEIGHT, weight_squares=WEIGHT**2 / 40,
        )  # fmt: skip


def _found(account: Installation, random: Random) -> None:
    home = Repository.objects.filter(installation=account).earliest("pk")
    for _ in range(7):
        kind, before, after = random.choice(KINDS)
        at = clock.now() - timedelta(hours=random.uniform(1, DAYS * 24))
        DiscrepancyFactory.create(
            installation=account, home=home, type=kind, before=before, after=after, repaired=True,
            detected_at=at, occurred_at=at - timedelta(seconds=random.uniform(20, 200)),
            cause=Discrepancy.Cause.LOST_DELIVERY, trigger="cron", detector=Discrepancy.Detector.RUN,
            verified_at=at + timedelta(seconds=4), name=f"{home.full_name}#{random.randint(1, 300)}",
        )  # fmt: skip
    if random.random() < 0.5:
        GapFactory.create(
            installation=account, closed=True, opened_at=clock.now() - timedelta(hours=30)
        )


def _trouble(accounts: list[Installation]) -> None:
    torn, wrong = accounts[4], accounts[6]
    ReviewFactory.create(installation=torn, vanished=14, present=60)
    home = Repository.objects.filter(installation=wrong).earliest("pk")
    DiscrepancyFactory.create(installation=wrong, home=home)
    GapFactory.create(installation=wrong)
