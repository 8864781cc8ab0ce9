"""What proves or disproves the mirror, in the API: samples read again by another path, and rows that break
the rules which GitHub's data keep (R8.1, R8.3)."""

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from reconciliation import selectors
from reconciliation.models import IntegrityIssue, SampleAudit, SampledItem
from reconciliation.models.discrepancy import Entity
from syncsvc.api.content_filters import after, before
from syncsvc.api.filters import IdFilter, TrueOrFalseFilter
from syncsvc.api.serializers import ObjectField
from syncsvc.api.views import ReadOnlyView

SHOWN = 500
"""So many items come with a single audit, those that were wrong before the others."""

# -- shapes ----------------------------------------------------------------------------------------


class SampleAuditSerializer(serializers.ModelSerializer[SampleAudit]):
    """A random sample of one account, and how much of it the mirror had right."""

    strata = ObjectField(read_only=True, help_text="What was drawn from, by entity and side.")

    class Meta:
        model = SampleAudit
        fields: tuple[str, ...] = (
            "id",
            "installation",
            "job",
            "at",
            "seed",
            "requests",
            "points",
            "sampled",
            "matched",
            "wrong",
            "in_flight",
            "unknown",
            "estimate",
            "low",
            "high",
            "strata",
        )
        read_only_fields = fields


class SampledItemSerializer(serializers.ModelSerializer[SampledItem]):
    """One item of a sample, and whether the mirror was right about it."""

    differences = ObjectField(read_only=True)

    class Meta:
        model = SampledItem
        fields = (
            "id",
            "entity",
            "side",
            "repository",
            "item_key",
            "result",
            "path",
            "differences",
            "discrepancy",
        )
        read_only_fields = fields


class SampleAuditDetailSerializer(SampleAuditSerializer):
    """One sample with its items."""

    items = serializers.SerializerMethodField(
        help_text=f"{SHOWN} at most; those that were wrong come first."
    )

    class Meta(SampleAuditSerializer.Meta):
        fields = (*SampleAuditSerializer.Meta.fields, "items")
        read_only_fields = fields

    @extend_schema_field(SampledItemSerializer(many=True))
    def get_items(self, row: SampleAudit) -> list[Any]:
        """What was drawn."""
        items = list(selectors.sampled(row)[:SHOWN])
        return list(SampledItemSerializer(items, many=True).data)


class IntegrityIssueSerializer(serializers.ModelSerializer[IntegrityIssue]):
    """A row of the mirror that breaks a rule which GitHub's data keep."""

    open = serializers.SerializerMethodField(help_text="Whether the row still breaks it.")

    class Meta:
        model = IntegrityIssue
        fields = (
            "id",
            "installation",
            "repository",
            "entity",
            "item_key",
            "rule",
            "detail",
            "open",
            "detected_at",
            "correlation_id",
            "resolved_at",
        )
        read_only_fields = fields

    def get_open(self, row: IntegrityIssue) -> bool:
        """Whether it lasts."""
        return row.resolved_at is None


# -- filters ---------------------------------------------------------------------------------------


class SampleAuditFilters(django_filters.FilterSet):
    """How the list of audits can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    since = after("at")
    until = before("at")

    class Meta:
        model = SampleAudit
        fields: list[str] = []


class IntegrityIssueFilters(django_filters.FilterSet):
    """How the list of integrity issues can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    repository = IdFilter(field_name="repository_id", label="Our id of the repository.")
    entity = django_filters.ChoiceFilter(choices=Entity.choices)
    rule = django_filters.CharFilter(label="The rule, exactly as it is written.")
    correlation_id = django_filters.UUIDFilter(label="Our id of the run that found it.")
    open = TrueOrFalseFilter(
        field_name="resolved_at", lookup_expr="isnull", label="Whether the row still breaks it."
    )
    since = after("detected_at")
    until = before("detected_at")

    class Meta:
        model = IntegrityIssue
        fields: list[str] = []


# -- views -----------------------------------------------------------------------------------------


class SampleAuditView(ReadOnlyView):
    """The independent audits: random items read again by another path than the one that wrote them, the
    last first."""

    queryset = SampleAudit.objects.none()
    serializer_class = SampleAuditSerializer
    filterset_class = SampleAuditFilters
    orderings: ClassVar = {"id": "pk", "at": "at"}
    default_ordering = "-at"

    def get_queryset(self) -> QuerySet[SampleAudit]:
        """What this user may see."""
        return selectors.sample_audits(self.request.user)

    def get_serializer_class(self) -> Any:
        """A single audit brings its items along."""
        if self.action == "retrieve":
            return SampleAuditDetailSerializer
        return SampleAuditSerializer


class IntegrityIssueView(ReadOnlyView):
    """The rows that break a rule which GitHub's data keep, or did, the last found first."""

    queryset = IntegrityIssue.objects.none()
    serializer_class = IntegrityIssueSerializer
    filterset_class = IntegrityIssueFilters
    orderings: ClassVar = {"id": "pk", "detected_at": "detected_at"}
    default_ordering = "-detected_at"

    def get_queryset(self) -> QuerySet[IntegrityIssue]:
        """What this user may see."""
        return selectors.integrity_issues(self.request.user)
