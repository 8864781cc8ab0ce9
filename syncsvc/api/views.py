"""The API's doors. Each view picks its rows from `syncsvc.selectors` and starts nothing by itself:
a sync is asked for at `SyncService`, a cancel at `jobs`."""

from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from syncsvc import circuit, clock, jobs, selectors, state, status
from syncsvc.api import serializers
from syncsvc.api.filters import JobFilters, Orderings, RepositoryFilters, StrictFilters
from syncsvc.api.problems import Conflict
from syncsvc.api.schema import ProblemSchema, refuses
from syncsvc.models import Installation, Repository, SyncJob
from syncsvc.policy import Action, Decision, Reason
from syncsvc.service import SyncService

NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Blocks that waiting ends by itself; the others need somebody to act.
WAITING_HELPS: Final = frozenset({Reason.BUDGET, Reason.BLOCKED_UNTIL})


class ReadOnlyView(ListModelMixin, RetrieveModelMixin, GenericViewSet[Any]):
    """A list and its single rows."""

    schema = ProblemSchema()
    filter_backends = (StrictFilters, Orderings)
    lookup_value_converter = "int"
    orderings: ClassVar[dict[str, str]] = {"id": "pk"}
    default_ordering: ClassVar[str] = "id"


class InstallationView(ReadOnlyView):
    """The accounts that are mirrored, their state, and the request for a sync."""

    queryset = Installation.objects.none()
    serializer_class = serializers.InstallationSerializer

    def get_queryset(self) -> QuerySet[Installation]:
        """What this user may see."""
        return selectors.installations(self.request.user)

    @extend_schema(
        summary="Read the state of an installation's sync",
        responses=serializers.StatusSerializer,
        filters=False,
    )
    @action(detail=True, methods=["get"], url_path="status", filter_backends=[])
    def status(self, _request: Request, **_: Any) -> Response:
        """Whether it is syncing, may be synced, and how far it is (R3.5)."""
        row = self.get_object()
        shown = status.of(state.read_one(row.pk), clock.now())
        return Response(serializers.StatusSerializer(shown).data)

    @extend_schema(
        summary="Ask for a sync",
        request=serializers.SyncRequestSerializer,
        responses=dict.fromkeys((202, 409, 423, 429), serializers.SyncAnswerSerializer),
    )
    @action(detail=True, methods=["post"], url_path="sync", filter_backends=[])
    def sync(self, request: Request, **_: Any) -> Response:
        """Asks for a sync: 202 started, 409 not needed now, 423 or 429 blocked."""
        row = self.get_object()
        asked = serializers.SyncRequestSerializer(data=request.data, context={"installation": row})
        asked.is_valid(raise_exception=True)
        wishes = asked.validated_data
        if "repository" in wishes:
            wishes["mode"] = SyncJob.Mode.REPO
        decision = SyncService.request(row.pk, SyncJob.Trigger.MANUAL, user=request.user, **wishes)
        return decided(decision)

    @extend_schema(
        summary="Close the breaker of an installation",
        request=None,
        responses=serializers.StatusSerializer,
        filters=False,
    )
    @action(detail=True, methods=["post"], url_path="breaker/reset", filter_backends=[])
    def reset_breaker(self, request: Request, **_: Any) -> Response:
        """Closes the breaker, so that the next sync may start at once; a closed one stays as it is.
        Needs the role operator or admin (R10.3)."""
        row = self.get_object()
        if not selectors.may_operate(request.user, row.pk):
            raise PermissionDenied("To reset the breaker you need the role operator or admin.")
        circuit.reset(row.pk, request.user)
        shown = status.of(state.read_one(row.pk), clock.now())
        return Response(serializers.StatusSerializer(shown).data)


def decided(decision: Decision) -> Response:
    """What policy said of a wish for a sync: 202 started, 409 not needed now, 423 or 429 blocked."""
    codes = {Action.START: 202, Action.SKIP: 409}
    blocked = 429 if decision.reason in WAITING_HELPS else 423
    response = Response(
        {"decision": decision.as_dict(), "job_id": decision.job_id},
        status=codes.get(decision.action, blocked),
    )
    until = decision.metadata.get("until")
    if isinstance(until, datetime):
        seconds = (until - clock.now()).total_seconds()
        response["Retry-After"] = str(max(1, round(seconds + 0.5)))
    return response


class JobView(ReadOnlyView):
    """The runs, newest first."""

    queryset = SyncJob.objects.none()
    serializer_class = serializers.JobSerializer
    filterset_class = JobFilters
    lookup_value_converter = "uuid"
    orderings: ClassVar = {"created_at": "created_at"}
    default_ordering = "-created_at"

    def get_queryset(self) -> QuerySet[SyncJob]:
        """What this user may see; the plan of a dry run only with a single job."""
        rows = selectors.jobs(self.request.user)
        return rows if self.action == "list" else rows.defer(None)

    def get_serializer_class(self) -> Any:
        """A single job brings its plan along."""
        if self.action == "list":
            return serializers.JobSerializer
        return serializers.JobDetailSerializer

    @extend_schema(
        summary="Cancel a job",
        request=None,
        responses=dict.fromkeys((200, 202), serializers.JobDetailSerializer),
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="cancel", filter_backends=[])
    def cancel(self, request: Request, **_: Any) -> Response:
        """Stops the job: 200 it has stopped, 202 it will at its next safe point (R3.7)."""
        job = self.get_object()
        if not selectors.may_cancel(request.user, job):
            raise PermissionDenied(
                "To cancel this job you need the role operator or admin, or to have started it."
            )
        job = jobs.cancel(job, user=request.user)
        if not job.is_active and job.status != SyncJob.Status.CANCELLED:
            raise Conflict(f"This job has ended ({job.status}): there is nothing left to cancel.")
        return Response(self.get_serializer(job).data, status=202 if job.is_active else 200)


class RepositoryView(ReadOnlyView):
    """The repositories of the mirror."""

    queryset = Repository.objects.none()
    serializer_class = serializers.RepositorySerializer
    filterset_class = RepositoryFilters
    orderings: ClassVar = {
        "id": "pk",
        "github_id": "github_id",
        "full_name": "full_name",
        "stars": "stars",
        "forks": "forks",
        "open_issues": "open_issues",
        "size": "size",
        "pushed_at": "pushed_order",
        "github_created_at": "created_order",
        "github_updated_at": "updated_order",
    }

    def get_queryset(self) -> QuerySet[Repository]:
        """What this user may see. A cursor cannot stand at a null, so these stand in for it."""
        return selectors.repositories(self.request.user).annotate(
            pushed_order=Coalesce("pushed_at", Value(NEVER)),
            created_order=Coalesce("github_created_at", Value(NEVER)),
            updated_order=Coalesce("github_updated_at", Value(NEVER)),
        )
