"""The sync-health page in the API: how right the mirror is, what is open, and how that went (P18 to P22).

For members of the accounts they may see, for staff of all: of them together, and of each.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.http import Http404
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from alerts import fleet
from alerts.fleet_values import (
    Backlog,
    Fleet,
    FleetFilters,
    FleetIncident,
    FleetRow,
    FleetTotals,
    Open,
    Window,
)
from reconciliation import sampling, selectors
from reconciliation.accuracy import Accuracy, Tally
from reconciliation.serializers import BudgetSerializer, SpreadSerializer
from reconciliation.sums import Point, Runs
from syncsvc import clock
from syncsvc.api.filters import LARGEST_ID
from syncsvc.api.schema import ProblemSchema
from syncsvc.api.strict import StrictSerializer

ROWS_SHOWN: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What was asked for, and the answer."""

    fleet: Fleet
    installation: int | None


class SummaryQuery(StrictSerializer):
    """Of what the figures are."""

    installation = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_ID,
        help_text="Our id of the installation; without it all that you may see, together.",
    )
    window = serializers.ChoiceField(
        choices=[str(each) for each in Window],
        default=str(Window.DAY),
        help_text="How far `trend`, audits, times, and `found` look back.",
    )


# -- shapes ----------------------------------------------------------------------------------------


class RunsSerializer(serializers.Serializer[Runs]):
    """Runs that have ended; dry runs, rechecks and audits are not counted."""

    succeeded = serializers.IntegerField()
    partial = serializers.IntegerField()  # type: ignore[assignment]  # a field of that name
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    success_rate = serializers.FloatField(
        allow_null=True, help_text="0 to 1; null when no run ended by itself."
    )


class SumSerializer(serializers.Serializer[Tally]):
    """Items compared, and how many of them the mirror had right, before repair."""

    accuracy = serializers.FloatField(
        allow_null=True, help_text="Matched / compared; null when nothing was compared."
    )
    compared = serializers.IntegerField()
    matched = serializers.IntegerField()
    unknown = serializers.IntegerField()


class StandingSerializer(serializers.Serializer[Accuracy]):
    """How right the mirror was in one window."""

    accuracy = serializers.FloatField(source="tally.accuracy", allow_null=True)
    compared = serializers.IntegerField(source="tally.compared")
    matched = serializers.IntegerField(source="tally.matched")
    unknown = serializers.IntegerField(source="tally.unknown")
    slo = serializers.FloatField()
    compliant = serializers.BooleanField(allow_null=True)
    error_budget = BudgetSerializer(source="budget")


class SampleSerializer(serializers.Serializer[sampling.Standing]):
    """What independent audits of the window found, with the Wilson 95 % interval."""

    audits = serializers.IntegerField()
    sampled = serializers.IntegerField()
    matched = serializers.IntegerField()
    wrong = serializers.IntegerField()
    unknown = serializers.IntegerField()
    estimate = serializers.FloatField(allow_null=True, help_text="Null when nothing was judged.")
    low = serializers.FloatField()
    high = serializers.FloatField()


class OpenSerializer(serializers.Serializer[Open]):
    """What nobody has repaired, decided, closed, resolved or requeued."""

    discrepancies = serializers.IntegerField()
    reviews = serializers.IntegerField()
    gaps = serializers.IntegerField()
    incidents = serializers.IntegerField()
    dead_letters = serializers.IntegerField()


class BacklogSerializer(serializers.Serializer[Backlog]):
    """What waits."""

    queued = serializers.IntegerField(help_text="Jobs for a worker.")
    blocked = serializers.IntegerField(help_text="Jobs until a time.")
    deliveries = serializers.IntegerField(help_text="Webhook deliveries to be processed.")


class TotalsSerializer(serializers.Serializer[FleetTotals]):
    """All of the accounts together: a large one counts more than a small one."""

    installations = serializers.IntegerField()
    active = serializers.IntegerField()
    attention = serializers.IntegerField(help_text="How many of them want somebody to look.")
    accuracy_24h = StandingSerializer(source="day")
    accuracy_7d = StandingSerializer(source="week")
    audit = SampleSerializer()
    disagrees = serializers.BooleanField(
        help_text="Whether the audits contradict what the runs of the week measured."
    )
    time_to_detect = SpreadSerializer(source="times.detect")
    time_to_repair = SpreadSerializer(source="times.repair")
    runs_24h = RunsSerializer(source="runs_day")
    runs_7d = RunsSerializer(source="runs_week")
    seconds_mean = serializers.FloatField(source="durations.mean", allow_null=True)
    found = serializers.IntegerField(help_text="Discrepancies that were detected in the window.")
    by_type = serializers.DictField(child=serializers.IntegerField())
    open = OpenSerializer()
    worst_severity = serializers.CharField(allow_null=True, help_text="Of the open incidents.")
    backlog = BacklogSerializer()
    running = serializers.IntegerField()
    breakers = serializers.IntegerField(help_text="Accounts whose breaker is not closed.")
    last_success = serializers.DateTimeField(allow_null=True)
    next_scheduled_at = serializers.DateTimeField(allow_null=True)


class RowSerializer(serializers.Serializer[FleetRow]):
    """One account."""

    installation = serializers.IntegerField(source="pk")
    account_login = serializers.CharField(source="login")
    status = serializers.CharField(help_text="active, suspended or uninstalled.")
    state = serializers.CharField(help_text="As the badge of its card.")
    attention = serializers.ListField(
        child=serializers.CharField(), help_text="Why somebody should look, the gravest first."
    )
    accuracy_24h = SumSerializer(source="day")
    accuracy_7d = SumSerializer(source="week")
    runs_24h = RunsSerializer(source="runs_day")
    runs_7d = RunsSerializer(source="runs_week")
    found = serializers.IntegerField()
    open = OpenSerializer()
    backlog = BacklogSerializer()
    breaker = serializers.CharField(help_text="closed, open or half_open.")
    budget_share = serializers.FloatField(
        allow_null=True, help_text="What is left of GitHub's budget, 0 to 1."
    )
    last_success = serializers.DateTimeField(allow_null=True)
    next_scheduled_at = serializers.DateTimeField(allow_null=True)
    action_needed = serializers.CharField(allow_blank=True)


class RecentIncidentSerializer(serializers.Serializer[FleetIncident]):
    """One incident of late."""

    id = serializers.IntegerField(source="pk")
    kind = serializers.CharField()
    severity = serializers.CharField()
    status = serializers.CharField()
    title = serializers.CharField()
    opened_at = serializers.DateTimeField()
    installation = serializers.IntegerField(allow_null=True)
    correlation_id = serializers.UUIDField(allow_null=True)


class PointSerializer(serializers.Serializer[Point]):
    """One step of the trend; null is "not known", never 0 or 100 %."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    accuracy = serializers.FloatField(allow_null=True)
    success_rate = serializers.FloatField(allow_null=True)
    seconds_mean = serializers.FloatField(allow_null=True)
    runs = serializers.IntegerField(source="sums.runs.ended")
    discrepancies = serializers.IntegerField(source="sums.found")
    gaps = serializers.IntegerField(source="sums.gaps")


class SummarySerializer(serializers.Serializer[Asked]):
    """Whether the mirror is right, where it is not, and what is being done about it."""

    as_of = serializers.DateTimeField(source="fleet.as_of")
    window = serializers.CharField(source="fleet.filters.window")
    installation = serializers.IntegerField(allow_null=True, help_text="Null for all together.")
    totals = TotalsSerializer(source="fleet.totals")
    installations = serializers.SerializerMethodField(
        help_text=f"{ROWS_SHOWN} at most, those first that want somebody to look."
    )
    trend = PointSerializer(source="fleet.trend", many=True)
    incidents = RecentIncidentSerializer(source="fleet.incidents", many=True)

    @extend_schema_field(RowSerializer(many=True))
    def get_installations(self, asked: Asked) -> list[Any]:
        """Each account."""
        return list(RowSerializer(asked.fleet.rows, many=True).data)  # type: ignore[arg-type]  # many


# -- the view --------------------------------------------------------------------------------------


class SummaryView(APIView):
    """The sync-health page in figures."""

    schema = ProblemSchema()
    names_a_row = True

    @extend_schema(
        summary="Read how the mirror stands", parameters=[SummaryQuery], responses=SummarySerializer
    )
    def get(self, request: Request) -> Response:
        """Accuracy, success rates, gaps, breakers, backlog, incidents and trends: of one installation, or
        of all that you may see together and of each. Null is "not known"."""
        query = SummaryQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        seen = selectors.scope(request.user)
        pk = asked.get("installation")
        filters = FleetFilters(
            among=None if seen is None else frozenset(seen),
            installation=pk,
            window=Window(asked["window"]),
        )
        found = fleet.read(filters, clock.now(), limit=ROWS_SHOWN, series=False)
        if pk is not None and not found.matching:
            raise Http404
        answer = Asked(fleet=found, installation=pk)
        return Response(SummarySerializer(answer).data)
