"""The product itself in the API, as the page *System* shows it: what lives, what waits, what is silent.

For staff: it tells of all accounts at once, and of the machines.
"""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from syncsvc import clock, selectors, watchman
from syncsvc.api.schema import ProblemSchema
from syncsvc.api.serializers import ObjectField
from syncsvc.heartbeats import Sign


class SignSerializer(serializers.Serializer[Sign]):
    """The last sign of life of one process or duty."""

    component = serializers.CharField()
    instance = serializers.CharField(  # type: ignore[assignment]  # a field of that name
        allow_blank=True, help_text="Host and process; empty of a duty."
    )
    age_seconds = serializers.FloatField(source="age")
    alive = serializers.BooleanField()
    started_at = serializers.DateTimeField(allow_null=True)
    detail = ObjectField()


class WaitingSerializer(serializers.Serializer[watchman.Waiting]):
    """How much waits, and since when the oldest does."""

    number = serializers.IntegerField()
    since = serializers.DateTimeField(allow_null=True)


class SystemSerializer(serializers.Serializer[watchman.System]):
    """What lives, what waits, and what to do about what is silent."""

    silent = serializers.DictField(
        child=serializers.CharField(),
        help_text="What gives no sign of life, each with what to do; empty when all is well.",
    )
    processes = SignSerializer(many=True)
    duties = SignSerializer(many=True)
    jobs_due = WaitingSerializer()
    jobs_running = serializers.IntegerField()
    jobs_later = serializers.IntegerField(help_text="Jobs whose time has not come.")
    deliveries_waiting = WaitingSerializer()
    breakers_open = serializers.IntegerField()
    action_needed = serializers.IntegerField(help_text="Accounts that wait for a person.")
    dead_letters = serializers.IntegerField()
    database_bytes = serializers.IntegerField()
    connections = serializers.IntegerField()
    connections_most = serializers.IntegerField()


class IsStaff(BasePermission):
    """Those who run the product."""

    message = "Only staff may see this."

    def has_permission(self, request: Request, view: Any) -> bool:  # noqa: ARG002  (the signature is DRF's)
        """Whether it is staff."""
        return selectors.sees_everything(request.user)


class SystemView(APIView):
    """The product itself."""

    schema = ProblemSchema()
    permission_classes = (IsAuthenticated, IsStaff)
    filter_backends = ()

    @extend_schema(summary="Read what lives and what waits", responses=SystemSerializer)
    def get(self, _request: Request) -> Response:
        """Heartbeats of processes and duties, what waits for them and since when, and for each that is
        silent what to do. For staff."""
        return Response(SystemSerializer(watchman.read(clock.now())).data)
