"""Discrepancies, reviews and accuracy in the API. Who decides what is told in `selectors`; what a
decision does, in `decisions`."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from reconciliation import accuracy, decisions, measuring, selectors
from reconciliation.filters import DiscrepancyFilters, ReviewFilters, RunFigureFilters
from reconciliation.models import Discrepancy, Review, RunFigure
from reconciliation.serializers import (
    AccuracyQuery,
    AccuracySerializer,
    ApprovalSerializer,
    DiscrepancySerializer,
    ReviewDetailSerializer,
    ReviewSerializer,
    RunFigureSerializer,
)
from syncsvc import clock
from syncsvc.api.problems import Conflict
from syncsvc.api.schema import ProblemSchema, refuses
from syncsvc.api.strict import ReasonSerializer
from syncsvc.api.views import ReadOnlyView
from syncsvc.selectors import installations


class DecidingView(ReadOnlyView):
    """Rows about which somebody can decide."""

    def decide(self, request: Request, decision: Callable[..., Any], *more: Any) -> None:
        """Lets the user decide about the row; 403 without the right to, 409 when it is too late."""
        row = self.get_object()
        if not selectors.may_decide(request.user, row.installation_id):
            raise PermissionDenied("To decide this you need the role operator or admin.")
        try:
            decision(row, request.user, *more)
        except decisions.Refused as refused:
            raise Conflict(str(refused)) from None

    def reason(self, request: Request) -> str:
        """The reason that was given; 400 without one."""
        asked = ReasonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        return str(asked.validated_data["reason"])


class DiscrepancyView(DecidingView):
    """The differences between GitHub and the mirror that no event had told of, the last found first."""

    queryset = Discrepancy.objects.none()
    serializer_class = DiscrepancySerializer
    filterset_class = DiscrepancyFilters
    orderings: ClassVar = {
        "id": "pk",
        "detected_at": "detected_at",
    }
    default_ordering = "-detected_at"

    def get_queryset(self) -> QuerySet[Discrepancy]:
        """What this user may see."""
        return selectors.discrepancies(self.request.user)

    @extend_schema(
        summary="Repair a discrepancy", request=None, responses={202: DiscrepancySerializer}
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="repair", filter_backends=[])
    def repair(self, request: Request, **_: Any) -> Response:
        """Has GitHub asked again about the item, and the mirror put right by its answer: 202 a run will
        do it, 409 there is nothing to repair any more. Needs the role operator or admin."""
        self.decide(request, decisions.repair)
        return Response(self.get_serializer(self.get_object()).data, status=202)

    @extend_schema(
        summary="Dismiss a discrepancy", request=ReasonSerializer, responses=DiscrepancySerializer
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="dismiss", filter_backends=[])
    def dismiss(self, request: Request, **_: Any) -> Response:
        """Ends it without a repair, for a reason; it stays counted. 409 when it has ended. Needs the role
        operator or admin."""
        self.decide(request, decisions.dismiss, self.reason(request))
        return Response(self.get_serializer(self.get_object()).data)


class ReviewView(DecidingView):
    """Repositories that vanished at once, in numbers that are held for a decision; the last first."""

    queryset = Review.objects.none()
    serializer_class = ReviewSerializer
    filterset_class = ReviewFilters
    orderings: ClassVar = {"id": "pk", "opened_at": "opened_at"}
    default_ordering = "-opened_at"

    def get_queryset(self) -> QuerySet[Review]:
        """What this user may see; the repositories only with a single review."""
        rows = selectors.reviews(self.request.user)
        return rows.defer("items") if self.action == "list" else rows

    def get_serializer_class(self) -> Any:
        """A single review brings its repositories along."""
        return ReviewSerializer if self.action == "list" else ReviewDetailSerializer

    @extend_schema(
        summary="Approve a held disappearance",
        request=ApprovalSerializer,
        responses={202: ReviewDetailSerializer},
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="approve", filter_backends=[])
    def approve(self, request: Request, **_: Any) -> Response:
        """Lets the repositories go: 202 a run will carry it out, 409 somebody has decided before. Needs
        the role operator or admin."""
        asked = ApprovalSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        shown = asked.validated_data
        self.decide(request, decisions.approve, shown.get("vanished"), shown.get("fingerprint"))
        return Response(self.get_serializer(self.get_object()).data, status=202)

    @extend_schema(
        summary="Reject a held disappearance",
        request=ReasonSerializer,
        responses=ReviewDetailSerializer,
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="reject", filter_backends=[])
    def reject(self, request: Request, **_: Any) -> Response:
        """Keeps the repositories, for a reason: 409 when somebody has decided before. Needs the role
        operator or admin."""
        self.decide(request, decisions.reject, self.reason(request))
        return Response(self.get_serializer(self.get_object()).data)


class RunFigureView(ReadOnlyView):
    """What each run measured of each entity, the last first."""

    queryset = RunFigure.objects.none()
    serializer_class = RunFigureSerializer
    filterset_class = RunFigureFilters
    orderings: ClassVar = {"id": "pk", "at": "at"}
    default_ordering = "-at"

    def get_queryset(self) -> QuerySet[RunFigure]:
        """What this user may see."""
        return selectors.run_figures(self.request.user)


class AccuracyView(APIView):
    """How right the mirror was."""

    schema = ProblemSchema()
    names_a_row = True

    @extend_schema(
        summary="Read the accuracy of a window",
        parameters=[AccuracyQuery],
        responses=AccuracySerializer,
    )
    def get(self, request: Request) -> Response:
        """Accuracy, error budget and times over the last 24 hours or 7 days: of one installation, or of all
        that you may see together. Null is "not known", never 100 %."""
        query = AccuracyQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        pk = asked.get("installation")
        if pk is not None:
            get_object_or_404(installations(request.user), pk=pk)
        scope = selectors.scope(request.user) if pk is None else [pk]
        standing = measuring.read(scope, accuracy.WINDOWS[asked["window"]], clock.now())
        return Response(AccuracySerializer(standing, context=asked).data)
