"""Incidents in the API: what is wrong now, what was, and that somebody has taken it on."""

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from alerts import incidents, selectors
from alerts.models import Incident
from alerts.values import Kind
from syncsvc.api.content_filters import after, before
from syncsvc.api.filters import IdFilter, TrueOrFalseFilter
from syncsvc.api.problems import Conflict
from syncsvc.api.schema import refuses
from syncsvc.api.serializers import ObjectField
from syncsvc.api.views import ReadOnlyView


class IncidentSerializer(serializers.ModelSerializer[Incident]):
    """One problem, from its beginning to its end."""

    figures = ObjectField(
        read_only=True, help_text="How large it is; the names depend on the kind."
    )
    acknowledged_by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True
    )

    class Meta:
        model = Incident
        fields = (
            "id",
            "key",
            "kind",
            "severity",
            "status",
            "installation",
            "correlation_id",
            "title",
            "detail",
            "figures",
            "opened_at",
            "last_seen_at",
            "acknowledged_at",
            "acknowledged_by",
            "resolved_at",
        )
        read_only_fields = fields
        extra_kwargs = {
            "kind": {"help_text": "What kind of problem it is, in a word."},
            "installation": {"help_text": "Null for what is about the product itself."},
            "correlation_id": {"help_text": "The run that found it, where one did."},
        }


class IncidentFilters(django_filters.FilterSet):
    """How the list of incidents can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    status = django_filters.ChoiceFilter(choices=Incident.Status.choices)
    severity = django_filters.ChoiceFilter(choices=Incident.Severity.choices)
    kind = django_filters.ChoiceFilter(choices=[(kind, kind) for kind in map(str, Kind)])
    open = TrueOrFalseFilter(
        method="lasts", label="Whether the problem lasts, acknowledged or not."
    )
    opened_after = after("opened_at")
    opened_before = before("opened_at")

    class Meta:
        model = Incident
        fields: list[str] = []

    def lasts(self, rows: QuerySet[Incident], _name: str, value: bool) -> QuerySet[Incident]:
        """Those whose problem lasts, or those that have ended."""
        if value:
            return selectors.unresolved(rows)
        return rows.filter(status=Incident.Status.RESOLVED)


class IncidentView(ReadOnlyView):
    """The incidents: problems that are open, that somebody has taken on, and that have ended, the last
    opened first."""

    queryset = Incident.objects.none()
    serializer_class = IncidentSerializer
    filterset_class = IncidentFilters
    orderings: ClassVar = {"id": "pk", "opened_at": "opened_at", "last_seen_at": "last_seen_at"}
    default_ordering = "-opened_at"

    def get_queryset(self) -> QuerySet[Incident]:
        """What this user may see."""
        return selectors.incidents(self.request.user)

    @extend_schema(
        summary="Acknowledge an incident", request=None, responses={200: IncidentSerializer}
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="acknowledge", filter_backends=[])
    def acknowledge(self, request: Request, **_: Any) -> Response:
        """Says that somebody has taken it on; saying so again changes nothing. 409 once it has ended.
        Needs the role operator or admin."""
        row = self.get_object()
        if not selectors.may_acknowledge(request.user, row):
            raise PermissionDenied(
                "To acknowledge an incident you need the role operator or admin."
            )
        incidents.acknowledge(row, request.user)
        if row.status == Incident.Status.RESOLVED:
            raise Conflict("This incident has ended: there is nothing left to acknowledge.")
        return Response(self.get_serializer(self.get_object()).data)
