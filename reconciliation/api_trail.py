"""The audit log and performance in the API: what each run and each person did, and how long runs take."""

from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.generics import GenericAPIView, get_object_or_404
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from reconciliation import selectors_trail, trail
from reconciliation.models import AuditEntry, AuditError, AuditRecord
from reconciliation.selectors import named
from reconciliation.selectors_trail import Performance
from syncsvc import clock, selectors
from syncsvc.api.filters import LARGEST_ID, IdFilter
from syncsvc.api.pagination import CursorPages
from syncsvc.api.schema import ProblemSchema
from syncsvc.api.serializers import ObjectField
from syncsvc.api.views import ReadOnlyView
from syncsvc.models import SyncJob

SHOWN: Final = 100
"""So many records and errors come with a single entry; the others by pages of their own."""

WINDOW: Final = timedelta(days=7)

# -- shapes ----------------------------------------------------------------------------------------


class AuditEntrySerializer(serializers.ModelSerializer[AuditEntry]):
    """One run, or one thing that a person did."""

    counts = ObjectField(read_only=True)
    verification = ObjectField(read_only=True)
    phases_seconds = ObjectField(read_only=True)
    api = ObjectField(read_only=True)
    errors_by_category = ObjectField(read_only=True)
    detail = ObjectField(read_only=True)

    class Meta:
        model = AuditEntry
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "at",
            "ended_at",
            "installation",
            "repository",
            "correlation_id",
            "trigger",
            "mode",
            "dry_run",
            "actor",
            "actor_name",
            "status",
            "attempts",
            "succeeded",
            "failed",
            "counts",
            "verification",
            "phases_seconds",
            "records_per_second",
            "api",
            "errors_by_category",
            "warning",
            "detail",
        )
        read_only_fields = fields
        extra_kwargs = {
            "status": {
                "help_text": "Of a run: running, blocked, or as it ended; done for what a person did."
            },
            "correlation_id": {"help_text": "Of a run, the id of its job."},
        }


class AuditRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    """What was done to records of one repository in one batch."""

    repository_full_name = serializers.CharField(
        source="repository.full_name", read_only=True, default=None, allow_null=True
    )

    class Meta:
        model = AuditRecord
        fields = (
            "id",
            "at",
            "repository",
            "repository_full_name",
            "entity",
            "operation",
            "result",
            "items",
            "error",
        )
        read_only_fields = fields


class AuditErrorSerializer(serializers.ModelSerializer[AuditError]):
    """Something that went wrong, in exactly one category."""

    class Meta:
        model = AuditError
        fields = ("id", "at", "entity", "item", "operation", "category", "message", "trace")
        read_only_fields = fields


class AuditEntryDetailSerializer(AuditEntrySerializer):
    """One entry with the first of its records and errors."""

    records = serializers.SerializerMethodField(
        help_text=f"The first {SHOWN}; all of them at records/."
    )
    records_total = serializers.SerializerMethodField()
    errors = serializers.SerializerMethodField(  # type: ignore[assignment]  # a field of that name
        help_text=f"The first {SHOWN}; all of them at errors/."
    )
    errors_total = serializers.SerializerMethodField()

    class Meta(AuditEntrySerializer.Meta):
        fields = (
            *AuditEntrySerializer.Meta.fields,
            "records",
            "records_total",
            "errors",
            "errors_total",
        )
        read_only_fields = fields

    @extend_schema_field(AuditRecordSerializer(many=True))
    def get_records(self, entry: AuditEntry) -> list[Any]:
        """What it did."""
        rows = selectors_trail.records(entry)[:SHOWN]
        shown = named(rows, self.context["request"].user, entry.installation_id)
        return list(AuditRecordSerializer(shown, many=True).data)

    def get_records_total(self, entry: AuditEntry) -> int:
        """How many rows of records there are."""
        return selectors_trail.records(entry).count()

    @extend_schema_field(AuditErrorSerializer(many=True))
    def get_errors(self, entry: AuditEntry) -> list[Any]:
        """What went wrong."""
        shown = selectors_trail.errors(entry)[:SHOWN]
        return list(AuditErrorSerializer(shown, many=True).data)

    def get_errors_total(self, entry: AuditEntry) -> int:
        """How many errors there are."""
        return selectors_trail.errors(entry).count()


class PerformanceSerializer(serializers.Serializer[Performance]):
    """Figures over the runs of a time. Seconds are those of the attempt that ended a run."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    truncated = serializers.BooleanField(
        help_text=f"Whether there were more runs than the newest {selectors_trail.MOST_RUNS}."
    )
    runs = serializers.IntegerField(source="figures.runs")
    failed = serializers.IntegerField(source="figures.failed")
    error_rate = serializers.FloatField(
        source="figures.error_rate", allow_null=True, help_text="Failed runs / runs."
    )
    record_error_rate = serializers.FloatField(
        source="figures.record_error_rate",
        allow_null=True,
        help_text="Records that went wrong / records.",
    )
    mean_seconds = serializers.FloatField(source="figures.mean", allow_null=True)
    peak_seconds = serializers.FloatField(source="figures.peak", allow_null=True)
    p95_seconds = serializers.FloatField(source="figures.p95", allow_null=True)
    phases_mean_seconds = serializers.DictField(
        source="figures.phases", child=serializers.FloatField()
    )
    records = serializers.IntegerField(source="figures.records")
    records_per_second = serializers.FloatField(source="figures.throughput", allow_null=True)
    requests = serializers.IntegerField(source="figures.requests")
    not_modified = serializers.IntegerField(source="figures.not_modified")
    errors_by_category = serializers.DictField(
        source="figures.errors", child=serializers.IntegerField()
    )


class PerformanceQuerySerializer(serializers.Serializer[Any]):
    """Of which runs: all that one may see in the last seven days unless said otherwise."""

    installation = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Our id of the installation."
    )
    since = serializers.DateTimeField(required=False, help_text="Begun at this time or later.")
    until = serializers.DateTimeField(required=False, help_text="Begun before this time.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses what would be ignored, and times that contain nothing."""
        unknown = set(self.initial_data) - set(self.fields)
        if unknown:
            sentence = f"There is no such parameter. There are: {', '.join(self.fields)}."
            raise serializers.ValidationError({name: [sentence] for name in sorted(unknown)})
        attrs.setdefault("until", clock.now())
        try:
            attrs.setdefault("since", attrs["until"] - WINDOW)
        except OverflowError:
            raise serializers.ValidationError({"until": ["This is too early."]}) from None
        if attrs["since"] >= attrs["until"]:
            raise serializers.ValidationError({"until": ["This must be later than since."]})
        return attrs


# -- filters ---------------------------------------------------------------------------------------


class AuditFilters(django_filters.FilterSet):
    """How the audit log can be narrowed; several filters together narrow it further (P10)."""

    since = django_filters.IsoDateTimeFilter(
        field_name="at", lookup_expr="gte", label="Begun at this time or later."
    )
    until = django_filters.IsoDateTimeFilter(
        field_name="at", lookup_expr="lt", label="Begun before this time."
    )
    status = django_filters.ChoiceFilter(
        choices=[*SyncJob.Status.choices, (trail.DONE, "Done")],
        label="Of runs as of jobs; done for what a person did.",
    )
    kind = django_filters.ChoiceFilter(choices=AuditEntry.Kind.choices)
    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    repository = django_filters.CharFilter(
        method="of_repository", label="OWNER/NAME, in any case: what was done to it or in it."
    )
    correlation_id = django_filters.UUIDFilter(label="The id of a run's job.")
    item = django_filters.CharFilter(
        method="of_item", label="GitHub's id of an item, or the whole sha of a commit."
    )

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def of_repository(
        self, rows: QuerySet[AuditEntry], _name: str, value: str
    ) -> QuerySet[AuditEntry]:
        """Those about one repository."""
        user = getattr(self.request, "user", None)
        return selectors_trail.of_repository(rows, value, user)

    def of_item(self, rows: QuerySet[AuditEntry], _name: str, value: str) -> QuerySet[AuditEntry]:
        """Those that touched one item."""
        return selectors_trail.of_item(rows, value)


# -- views -----------------------------------------------------------------------------------------


class IsAuditor(BasePermission):
    """Administrators only (R11.2)."""

    message = "To read the audit log you need the role admin."

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002  (the signature is DRF's)
        """Whether it is staff, or an administrator of an installation."""
        return selectors_trail.may_audit(request.user)


class InOrder(CursorPages):
    """Pages in the order in which it happened."""

    ordering = "pk"


class AuditLogView(ReadOnlyView):
    """What runs and people did, the newest first. For administrators."""

    queryset = AuditEntry.objects.none()
    serializer_class = AuditEntrySerializer
    permission_classes = (IsAuthenticated, IsAuditor)
    filterset_class = AuditFilters
    orderings: ClassVar = {"id": "pk", "at": "at"}
    default_ordering = "-at"

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """What this user may see."""
        return selectors_trail.entries(self.request.user)

    def get_serializer_class(self) -> Any:
        """A single entry brings records and errors along."""
        return AuditEntryDetailSerializer if self.action == "retrieve" else AuditEntrySerializer

    @extend_schema(
        summary="List the records of an audit entry",
        responses=AuditRecordSerializer(many=True),
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        url_path="records",
        filter_backends=[],
        pagination_class=InOrder,
    )
    def records(self, request: Request, **_: Any) -> Response:
        """What one run did, record by record."""
        entry = self.get_object()
        page = self.paginate_queryset(selectors_trail.records(entry))
        shown = named(page or (), request.user, entry.installation_id)
        return self.get_paginated_response(AuditRecordSerializer(shown, many=True).data)

    @extend_schema(
        summary="List the errors of an audit entry",
        responses=AuditErrorSerializer(many=True),
        filters=False,
    )
    @action(
        detail=True,
        methods=["get"],
        url_path="errors",
        filter_backends=[],
        pagination_class=InOrder,
    )
    def errors(self, _request: Request, **_: Any) -> Response:
        """What went wrong in one run."""
        return self._paged(selectors_trail.errors(self.get_object()), AuditErrorSerializer)

    def _paged(self, rows: QuerySet[Any], serializer: Any) -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(serializer(page, many=True).data)


class PerformanceView(GenericAPIView[Any]):
    """How long runs take, how many fail, and what they cost (R12.1)."""

    schema = ProblemSchema()
    serializer_class = PerformanceSerializer
    filter_backends = ()
    pagination_class = None
    names_a_row = True

    @extend_schema(summary="Read how long runs take", parameters=[PerformanceQuerySerializer])
    def get(self, request: Request, **_: Any) -> Response:
        """Mean, peak and p95 of the seconds, error rates, throughput and requests."""
        asked = PerformanceQuerySerializer(data=request.query_params.dict())
        asked.is_valid(raise_exception=True)
        wishes: dict[str, Any] = asked.validated_data
        installation: int | None = wishes.get("installation")
        if installation is not None:
            get_object_or_404(selectors.installations(request.user), pk=installation)
        since: datetime = wishes["since"]
        found = selectors_trail.performance_of(request.user, installation, since, wishes["until"])
        return Response(self.get_serializer(found).data)
