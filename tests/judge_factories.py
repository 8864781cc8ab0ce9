"""How tests make the judge's rows; see `tests.factories`."""

import uuid
from datetime import timedelta

import factory
from factory.django import DjangoModelFactory

from reconciliation.models import Discrepancy, IntegrityIssue, Review, RunFigure, SampleAudit
from syncsvc import clock
from tests.factories import InstallationFactory, RepositoryFactory, SyncJobFactory


class DiscrepancyFactory(DjangoModelFactory[Discrepancy]):
    """An issue whose title was wrong, found ten minutes ago by a run that did not repair it.

    `repaired=True` for one that the run repaired, `held=True` for a repository that vanished.
    """

    class Meta:
        model = Discrepancy

    class Params:
        home = factory.SubFactory(
            RepositoryFactory, installation=factory.SelfAttribute("..installation")
        )
        repaired = factory.Trait(
            repair_status=Discrepancy.Status.REPAIRED,
            repaired_at=factory.LazyAttribute(lambda row: row.detected_at + timedelta(seconds=2)),
            repaired_by="sync",
            repaired_in=factory.SelfAttribute("correlation_id"),
        )
        held = factory.Trait(
            entity="repositories",
            item_key=factory.LazyAttribute(lambda row: str(row.home.github_id)),
            name=factory.LazyAttribute(lambda row: row.home.full_name),
            type=Discrepancy.Type.MISSING_AT_GITHUB,
            proposed_action="review",
            repair_status=Discrepancy.Status.NEEDS_MANUAL_REVIEW,
        )

    installation = factory.SubFactory(InstallationFactory)
    repository = factory.SelfAttribute("home")
    repository_github_id = factory.SelfAttribute("home.github_id")
    entity = "issues"
    item_key = factory.Sequence(lambda n: str(7_000 + n))
    name = factory.LazyAttribute(lambda row: f"{row.home.full_name}#12")
    type = Discrepancy.Type.STALE_ISSUE
    detected_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=10))
    before = factory.LazyFunction(lambda: {"title": "Old"})
    after = factory.LazyFunction(lambda: {"title": "New"})
    proposed_action = "update"
    repair_status = Discrepancy.Status.PROPOSED
    correlation_id = factory.LazyFunction(uuid.uuid4)
    detector = Discrepancy.Detector.DRY_RUN
    trigger = "manual"


class ReviewFactory(DjangoModelFactory[Review]):
    """Three of ten repositories that vanished a moment ago."""

    class Meta:
        model = Review

    installation = factory.SubFactory(InstallationFactory)
    opened_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=5))
    last_seen_at = factory.SelfAttribute("opened_at")
    correlation_id = factory.LazyFunction(uuid.uuid4)
    vanished = 3
    present = 10
    threshold_percent = 20.0
    items = factory.LazyFunction(
        lambda: [
            {"github_id": n, "full_name": f"acme/gone-{n}", "says": "not found", "asked_at": None}
            for n in (1, 2, 3)
        ]
    )


class RunFigureFactory(DjangoModelFactory[RunFigure]):
    """A run that ended a minute ago and found all of a thousand issues right."""

    class Meta:
        model = RunFigure

    installation = factory.SubFactory(InstallationFactory)
    job = factory.SubFactory(SyncJobFactory, installation=factory.SelfAttribute("..installation"))
    entity = "issues"
    at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=1))
    trigger = "cron"
    mode = "incremental"
    version = "0.1.0"
    compared = 1_000
    matched = factory.SelfAttribute("compared")


class SampleAuditFactory(DjangoModelFactory[SampleAudit]):
    """Forty items, all of them right."""

    class Meta:
        model = SampleAudit

    installation = factory.SubFactory(InstallationFactory)
    at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=30))
    seed = 1
    sampled = 40
    matched = 40
    estimate = 1.0
    low = 0.912
    high = 1.0


class IntegrityIssueFactory(DjangoModelFactory[IntegrityIssue]):
    """An issue without a title."""

    class Meta:
        model = IntegrityIssue

    installation = factory.SubFactory(InstallationFactory)
    entity = "issues"
    item_key = factory.Sequence(lambda n: str(8_000 + n))
    rule = "title_required"
    detail = "The title is empty."
    detected_at = factory.LazyFunction(lambda: clock.now() - timedelta(minutes=3))
