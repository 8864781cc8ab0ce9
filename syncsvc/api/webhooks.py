"""Webhooks, for readers: what arrived, what was missed, which gaps there were, and how the hooks are."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from syncsvc import clock, conf, hook_health, selectors, selectors_webhooks
from syncsvc.api.problems import Conflict
from syncsvc.api.schema import ProblemSchema, refuses
from syncsvc.api.serializers import ObjectField, ObjectsField
from syncsvc.api.views import ReadOnlyView
from syncsvc.api.webhook_filters import DeliveryFilters, GapFilters, MissedDeliveryFilters
from syncsvc.models import Delivery, Gap, Hook, Installation, MissedDelivery
from syncsvc.webhooks import replay, viewing, wording

# -- shapes ----------------------------------------------------------------------------------------


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One delivery as it arrived, and what became of it."""

    repository = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Our id of the repository, where it is mirrored."
    )
    repository_full_name = serializers.CharField(read_only=True, allow_null=True)
    explanation = serializers.SerializerMethodField(help_text="What became of it, as a sentence.")
    payload_kept = serializers.BooleanField(
        read_only=True, help_text="Whether the payload is still stored."
    )

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = (
            "id",
            "guid",
            "hook_id",
            "event",
            "action",
            "status",
            "outcome",
            "explanation",
            "received_at",
            "happened_at",
            "processed_at",
            "attempts",
            "due_at",
            "installation",
            "installation_github_id",
            "account_id",
            "repository",
            "repository_github_id",
            "repository_full_name",
            "payload_bytes",
            "payload_kept",
        )
        read_only_fields = fields
        extra_kwargs = {
            "installation": {"help_text": "Our id of the account; null until it is processed."},
        }

    def get_explanation(self, row: Delivery) -> str:
        """What became of it."""
        waiting = row.status == Delivery.Status.RECEIVED
        return wording.outcome(row.outcome, row.detail, waiting=waiting, attempts=row.attempts)


class DeliveryDetailSerializer(DeliverySerializer):
    """One delivery with its payload, in which secrets and mail addresses are masked."""

    payload = serializers.SerializerMethodField(
        help_text="Null when it is no longer stored or cannot be read."
    )

    class Meta(DeliverySerializer.Meta):
        fields = (*DeliverySerializer.Meta.fields, "payload")
        read_only_fields = fields

    @extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
    def get_payload(self, row: Delivery) -> dict[str, Any] | None:
        """What GitHub sent, masked."""
        kept_days = conf.for_installation(row.installation).payload_days
        return viewing.view(row, kept_days=kept_days).payload


class GapSerializer(serializers.ModelSerializer[Gap]):
    """Evidence that deliveries of one account were missed, and how far it is healed."""

    open = serializers.SerializerMethodField(help_text="Whether it is still open.")

    class Meta:
        model = Gap
        fields: tuple[str, ...] = (
            "id",
            "installation",
            "reason",
            "open",
            "step",
            "began_at",
            "ended_at",
            "opened_at",
            "closed_at",
            "next_step_at",
            "attempts",
            "job",
            "missed",
            "healed_by",
            "seconds_to_detect",
            "seconds_to_repair",
        )
        read_only_fields = fields

    def get_open(self, row: Gap) -> bool:
        """Whether it is still open."""
        return row.closed_at is None


class GapDetailSerializer(GapSerializer):
    """One gap with its evidence and what was done, step by step."""

    evidence = ObjectField(read_only=True)
    timeline = ObjectsField(read_only=True)

    class Meta(GapSerializer.Meta):
        fields = (*GapSerializer.Meta.fields, "evidence", "timeline")
        read_only_fields = fields


class MissedDeliverySerializer(serializers.ModelSerializer[MissedDelivery]):
    """An event that GitHub's log names and that did not reach us when it was sent."""

    class Meta:
        model = MissedDelivery
        fields = (
            "id",
            "guid",
            "hook",
            "event",
            "action",
            "installation",
            "repository_github_id",
            "gap",
            "kind",
            "status_code",
            "status_text",
            "first_at",
            "latest_at",
            "attempts",
            "detected_at",
            "requests",
            "requested_at",
            "healed_at",
            "healed_by",
        )
        read_only_fields = fields


class HookSerializer(serializers.ModelSerializer[Hook]):
    """One webhook of GitHub's that leads to us, and how far GitHub's log of it was read."""

    class Meta:
        model = Hook
        fields = (
            "id",
            "installation",
            "target_type",
            "target_id",
            "github_id",
            "active",
            "newest_at",
            "read_at",
            "retry_at",
            "failures",
            "error",
        )
        read_only_fields = fields
        extra_kwargs = {
            "github_id": {"help_text": "0 for the App's own hook."},
            "installation": {"help_text": "Null for the App's hook, which serves all accounts."},
        }


class HookReadingSerializer(serializers.Serializer[hook_health.Reading]):
    """How far GitHub's log of one hook was read."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    active = serializers.BooleanField()
    read_at = serializers.DateTimeField(allow_null=True)
    newest_at = serializers.DateTimeField(allow_null=True)
    retry_at = serializers.DateTimeField(allow_null=True)
    failures = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)


class HookHealthSerializer(serializers.Serializer[hook_health.Health]):
    """How an account's webhooks are doing."""

    state = serializers.CharField(source="badge", help_text="In a word or two, for people.")
    sentence = serializers.CharField()
    last_delivery_at = serializers.DateTimeField(allow_null=True)
    failures_in_row = serializers.IntegerField(
        help_text="Deliveries in a row that GitHub could not deliver, by its log."
    )
    deliveries_24h = serializers.SerializerMethodField(help_text="By status.")
    open_gaps = serializers.SerializerMethodField(help_text="Our ids of them.")
    missed_7d = serializers.IntegerField(source="missed")
    healed_7d = serializers.IntegerField(source="healed", help_text="Of those missed in 7 days.")
    logs = HookReadingSerializer(source="readings", many=True)

    @extend_schema_field(serializers.DictField(child=serializers.IntegerField()))
    def get_deliveries_24h(self, health: hook_health.Health) -> dict[str, int]:
        """How many there are of each status."""
        return {status: number for status, _, number in health.by_status}

    @extend_schema_field(serializers.ListField(child=serializers.IntegerField()))
    def get_open_gaps(self, health: hook_health.Health) -> list[int]:
        """The gaps that are open."""
        return [gap.pk for gap in health.gaps]


# -- views -----------------------------------------------------------------------------------------


class DeliveryView(ReadOnlyView):
    """The webhook deliveries that arrived, the newest first."""

    queryset = Delivery.objects.none()
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilters
    orderings: ClassVar = {"id": "pk", "received_at": "received_at"}
    default_ordering = "-received_at"

    def get_queryset(self) -> QuerySet[Delivery]:
        """What this user may see; the payload only with a single delivery."""
        rows = selectors_webhooks.deliveries(self.request.user)
        return rows.defer(None) if self.action == "retrieve" else rows

    def get_serializer_class(self) -> Any:
        """A single delivery brings its payload along."""
        return DeliveryDetailSerializer if self.action == "retrieve" else DeliverySerializer

    @extend_schema(summary="Replay a delivery", request=None, responses={202: DeliverySerializer})
    @refuses(409)
    @action(detail=True, methods=["post"], url_path="replay", filter_backends=[])
    def replay(self, request: Request, **_: Any) -> Response:
        """Has it processed once more: 202 it waits for a worker, 409 it waits already or its payload
        is no longer stored. Needs the role operator or admin."""
        row = self.get_object()
        if not selectors_webhooks.may_replay(request.user, row):
            raise PermissionDenied("To replay a delivery you need the role operator or admin.")
        if refused := replay.refusal(row, payload_kept=row.payload_kept):
            raise Conflict(refused)
        if row.pk not in replay.replay([row.pk], user_id=request.user.pk):
            raise Conflict(replay.Refusal.WAITING)
        return Response(self.get_serializer(self.get_object()).data, status=202)


class GapView(ReadOnlyView):
    """The gaps: evidence that deliveries were missed, the last found first."""

    queryset = Gap.objects.none()
    serializer_class = GapSerializer
    filterset_class = GapFilters
    orderings: ClassVar = {"id": "pk", "opened_at": "opened_at", "began_at": "began_at"}
    default_ordering = "-opened_at"

    def get_queryset(self) -> QuerySet[Gap]:
        """What this user may see; what can be long only with a single gap."""
        rows = selectors_webhooks.gaps(self.request.user)
        return rows if self.action == "retrieve" else rows.defer("evidence", "timeline")

    def get_serializer_class(self) -> Any:
        """A single gap brings its evidence along."""
        return GapDetailSerializer if self.action == "retrieve" else GapSerializer


class MissedDeliveryView(ReadOnlyView):
    """The deliveries that GitHub's log names and that did not arrive when they were sent."""

    queryset = MissedDelivery.objects.none()
    serializer_class = MissedDeliverySerializer
    filterset_class = MissedDeliveryFilters
    orderings: ClassVar = {"id": "pk", "first_at": "first_at", "detected_at": "detected_at"}
    default_ordering = "-first_at"

    def get_queryset(self) -> QuerySet[MissedDelivery]:
        """What this user may see."""
        return selectors_webhooks.missed_deliveries(self.request.user)


class HookView(ReadOnlyView):
    """The webhooks that lead to us, and how far GitHub's log of each was read.

    How an account's deliveries are doing stands at `installations/{id}/webhooks/`.
    """

    queryset = Hook.objects.none()
    serializer_class = HookSerializer

    def get_queryset(self) -> QuerySet[Hook]:
        """What this user may see."""
        return selectors_webhooks.hooks(self.request.user)


class HookHealthView(GenericAPIView[Any]):
    """How the webhooks of one account are doing."""

    schema = ProblemSchema()
    queryset = Installation.objects.none()
    serializer_class = HookHealthSerializer
    filter_backends = ()
    pagination_class = None

    def get_queryset(self) -> QuerySet[Installation]:
        """What this user may see."""
        return selectors.installations(self.request.user)

    @extend_schema(summary="Read how an installation's webhooks do")
    def get(self, _request: Request, **_: Any) -> Response:
        """Deliveries, gaps and how far GitHub's log was read."""
        health = hook_health.read(self.get_object(), clock.now())
        return Response(self.get_serializer(health).data)
