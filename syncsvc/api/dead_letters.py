"""Dead letters in the API: what was given up, and the decision about it (R10.4)."""

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from syncsvc import dead_letter_decisions, selectors_dead_letters
from syncsvc.api.content_filters import after, before
from syncsvc.api.filters import IdFilter
from syncsvc.api.problems import Conflict
from syncsvc.api.schema import refuses
from syncsvc.api.serializers import ObjectField, SyncAnswerSerializer
from syncsvc.api.strict import ReasonSerializer
from syncsvc.api.views import ReadOnlyView, decided
from syncsvc.models import DeadLetter

NOT_OPERATING = "To decide about a dead letter you need the role operator or admin."
CATEGORIES = [
    (name, name)
    for name in (
        "network", "validation", "database", "authentication", "rate_limit", "unknown",
    )
]  # fmt: skip


class DeadLetterSerializer(serializers.ModelSerializer[DeadLetter]):
    """A job or a delivery that was given up."""

    decided_by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True
    )

    class Meta:
        model = DeadLetter
        fields: tuple[str, ...] = (
            "id",
            "kind",
            "status",
            "installation",
            "job",
            "delivery",
            "created_at",
            "attempts",
            "category",
            "error",
            "decided_at",
            "decided_by",
            "reason",
            "requeued_job",
        )
        read_only_fields = fields


class DeadLetterDetailSerializer(DeadLetterSerializer):
    """One dead letter with what it was about and where it failed last, without secrets."""

    context = ObjectField(read_only=True)  # type: ignore[assignment]  # a field of that name

    class Meta(DeadLetterSerializer.Meta):
        fields = (*DeadLetterSerializer.Meta.fields, "context", "stack")
        read_only_fields = fields


class DeadLetterFilters(django_filters.FilterSet):
    """How the list of dead letters can be narrowed."""

    installation = IdFilter(field_name="installation_id", label="Our id of the installation.")
    kind = django_filters.ChoiceFilter(choices=DeadLetter.Kind.choices)
    status = django_filters.ChoiceFilter(choices=DeadLetter.Status.choices)
    category = django_filters.ChoiceFilter(choices=CATEGORIES)
    created_after = after("created_at")
    created_before = before("created_at")

    class Meta:
        model = DeadLetter
        fields: list[str] = []


class DeadLetterView(ReadOnlyView):
    """The dead letters: what was given up, the newest first."""

    queryset = DeadLetter.objects.none()
    serializer_class = DeadLetterSerializer
    filterset_class = DeadLetterFilters
    orderings: ClassVar = {"id": "pk", "created_at": "created_at"}
    default_ordering = "-created_at"

    def get_queryset(self) -> QuerySet[DeadLetter]:
        """What this user may see; what can be long only with a single letter."""
        if self.action == "list":
            return selectors_dead_letters.listed(self.request.user)
        return selectors_dead_letters.letters(self.request.user)

    def get_serializer_class(self) -> Any:
        """A single letter brings its context and stack along."""
        return DeadLetterSerializer if self.action == "list" else DeadLetterDetailSerializer

    @extend_schema(
        summary="Requeue a dead letter",
        request=None,
        responses={200: DeadLetterDetailSerializer}
        | dict.fromkeys((423, 429), SyncAnswerSerializer),
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="requeue", filter_backends=[])
    def requeue(self, request: Request, **_: Any) -> Response:
        """Has it done again: 200 a new job or the delivery takes it up, 409 it is not open any more or
        cannot be repeated, 423 or 429 syncs are blocked and it stays open. Needs the role operator or
        admin."""
        row = self._mine(request)
        try:
            dead_letter_decisions.requeue_one(row.pk, request.user)
        except dead_letter_decisions.Refused as refused:
            if refused.decision is not None and refused.decision.action == "block":
                return decided(refused.decision)
            raise Conflict(str(refused)) from None
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(
        summary="Discard a dead letter",
        request=ReasonSerializer,
        responses=DeadLetterDetailSerializer,
    )
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="discard", filter_backends=[])
    def discard(self, request: Request, **_: Any) -> Response:
        """Lets it go, for a reason: 409 when it is not open any more. Needs the role operator or admin."""
        row = self._mine(request)
        asked = ReasonSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        reason = asked.validated_data["reason"]
        if row.pk not in dead_letter_decisions.discard([row.pk], reason, request.user):
            raise Conflict("It is not open any more: somebody has decided before.")
        return Response(self.get_serializer(self.get_object()).data)

    def _mine(self, request: Request) -> DeadLetter:
        row: DeadLetter = self.get_object()
        if not selectors_dead_letters.may_decide(request.user, row):
            raise PermissionDenied(NOT_OPERATING)
        return row
