"""Filters of deliveries, gaps and missed deliveries."""

from typing import Any

import django_filters
from django.db.models import QuerySet

from syncsvc import selectors_webhooks
from syncsvc.api.content_filters import after, before
from syncsvc.api.filters import IdFilter, TrueOrFalseFilter
from syncsvc.models import Delivery, Gap, MissedDelivery


class DeliveryFilters(django_filters.FilterSet):
    """How the list of deliveries can be narrowed."""

    installation = IdFilter(
        method="of_installation",
        label="Our id of the installation; what waits for it to be processed is included.",
    )
    status = django_filters.ChoiceFilter(choices=Delivery.Status.choices)
    event = django_filters.CharFilter(label="GitHub's name of the event, such as `issues`.")
    action = django_filters.CharFilter(label="Its action, such as `opened`.")
    outcome = django_filters.CharFilter(label="What became of it, in a word, such as `updated`.")
    guid = django_filters.CharFilter(label="GitHub's GUID of the event (`X-GitHub-Delivery`).")
    repository = IdFilter(field_name="repository_github_id", label="GitHub's id of the repository.")
    received_after = after("received_at")
    received_before = before("received_at")

    class Meta:
        model = Delivery
        fields: list[str] = []

    def of_installation(
        self, rows: QuerySet[Delivery], _name: str, value: int
    ) -> QuerySet[Delivery]:
        """Those of one account."""
        return selectors_webhooks.of_installation(rows, int(value))


class GapFilters(django_filters.FilterSet):
    """How the list of gaps can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    reason = django_filters.ChoiceFilter(choices=Gap.Reason.choices)
    open = TrueOrFalseFilter(
        field_name="closed_at", lookup_expr="isnull", label="Whether it is still open."
    )
    opened_after = after("opened_at")
    opened_before = before("opened_at")

    class Meta:
        model = Gap
        fields: list[str] = []


class MissedDeliveryFilters(django_filters.FilterSet):
    """How the list of missed deliveries can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    gap = IdFilter(field_name="gap_id", label="Our id of the gap that it belongs to.")
    kind = django_filters.ChoiceFilter(choices=MissedDelivery.Kind.choices)
    healed = TrueOrFalseFilter(method="is_healed", label="Whether it was made up for.")
    event = django_filters.CharFilter(label="GitHub's name of the event.")
    guid = django_filters.CharFilter(label="GitHub's GUID of the event.")
    repository = IdFilter(field_name="repository_github_id", label="GitHub's id of the repository.")

    class Meta:
        model = MissedDelivery
        fields: list[str] = []

    def is_healed(self, rows: QuerySet[Any], _name: str, value: bool) -> QuerySet[Any]:
        """Those that were made up for, or those that were not."""
        return rows.filter(healed_at__isnull=not value)
