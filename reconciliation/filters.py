"""Filters of discrepancies, reviews and figures."""

import django_filters
from django.db.models import QuerySet

from reconciliation import selectors
from reconciliation.models import Discrepancy, Review, RunFigure
from reconciliation.models.discrepancy import Entity
from syncsvc.api.content_filters import after, before
from syncsvc.api.filters import IdFilter, TrueOrFalseFilter
from syncsvc.models import SyncJob


class DiscrepancyFilters(django_filters.FilterSet):
    """How the list of discrepancies can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    repository = IdFilter(field_name="repository_id", label="Our id of the repository.")
    type = django_filters.ChoiceFilter(choices=Discrepancy.Type.choices)
    repair_status = django_filters.ChoiceFilter(choices=Discrepancy.Status.choices)
    entity = django_filters.ChoiceFilter(choices=Entity.choices)
    cause = django_filters.ChoiceFilter(choices=Discrepancy.Cause.choices)
    detector = django_filters.ChoiceFilter(choices=Discrepancy.Detector.choices)
    correlation_id = django_filters.UUIDFilter(label="Our id of the run that found it.")
    repaired_in = django_filters.UUIDFilter(label="Our id of the run that repaired it.")
    since = after("detected_at")
    until = before("detected_at")
    open = TrueOrFalseFilter(
        method="is_open", label="Whether it is still to be dealt with, or was."
    )

    class Meta:
        model = Discrepancy
        fields: list[str] = []

    def is_open(
        self, rows: QuerySet[Discrepancy], _name: str, value: bool
    ) -> QuerySet[Discrepancy]:
        """The open ones, or those that have ended."""
        return selectors.open_discrepancies(rows, is_open=value)


class ReviewFilters(django_filters.FilterSet):
    """How the list of reviews can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    status = django_filters.ChoiceFilter(choices=Review.Status.choices)
    since = after("opened_at")
    until = before("opened_at")

    class Meta:
        model = Review
        fields: list[str] = []


class RunFigureFilters(django_filters.FilterSet):
    """How the list of figures can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    job = django_filters.UUIDFilter(field_name="job_id", label="Our id of the run.")
    entity = django_filters.ChoiceFilter(choices=Entity.choices)
    trigger = django_filters.ChoiceFilter(choices=SyncJob.Trigger.choices)
    version = django_filters.CharFilter(label="Of the software that ran.")
    since = after("at")
    until = before("at")

    class Meta:
        model = RunFigure
        fields: list[str] = []
