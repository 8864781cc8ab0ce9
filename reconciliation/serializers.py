"""The shapes in which the API tells of discrepancies, reviews and accuracy."""

from typing import Any

from rest_framework import serializers

from reconciliation import accuracy, measuring, selectors
from reconciliation.models import Discrepancy, Review, RunFigure
from syncsvc.api.filters import LARGEST_ID
from syncsvc.api.serializers import ObjectField, ObjectsField
from syncsvc.api.strict import StrictSerializer


class DiscrepancySerializer(serializers.ModelSerializer[Discrepancy]):
    """A difference between GitHub and the mirror that no event had told us of."""

    open = serializers.SerializerMethodField(help_text="Whether it is still to be dealt with.")
    before = ObjectField(read_only=True, help_text="What the mirror said.")
    after = ObjectField(read_only=True, help_text="What GitHub said.")
    decided_by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True
    )

    class Meta:
        model = Discrepancy
        fields = (
            "id",
            "installation",
            "repository",
            "repository_github_id",
            "entity",
            "item_key",
            "name",
            "type",
            "cause",
            "detector",
            "trigger",
            "detected_at",
            "occurred_at",
            "before",
            "after",
            "proposed_action",
            "repair_status",
            "open",
            "correlation_id",
            "missed_delivery",
            "repaired_at",
            "repaired_by",
            "repaired_in",
            "verified_at",
            "decided_by",
            "decided_at",
            "reason",
        )
        read_only_fields = fields

    def get_open(self, row: Discrepancy) -> bool:
        """Whether nobody has repaired or dismissed it."""
        return row.repair_status in Discrepancy.OPEN


class ReviewSerializer(serializers.ModelSerializer[Review]):
    """Repositories that vanished at once, held until a person decides."""

    decided_by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True
    )

    class Meta:
        model = Review
        fields: tuple[str, ...] = (
            "id",
            "installation",
            "status",
            "opened_at",
            "last_seen_at",
            "correlation_id",
            "vanished",
            "present",
            "threshold_percent",
            "decided_at",
            "decided_by",
            "reason",
            "carried_out_at",
        )
        read_only_fields = fields


class ReviewDetailSerializer(ReviewSerializer):
    """One review with the repositories that would go."""

    items = ObjectsField(read_only=True)
    fingerprint = serializers.CharField(
        read_only=True, help_text="Which repositories these are; it changes with them."
    )

    class Meta(ReviewSerializer.Meta):
        fields = (*ReviewSerializer.Meta.fields, "items", "fingerprint")
        read_only_fields = fields


class ApprovalSerializer(StrictSerializer):
    """What somebody approves."""

    vanished = serializers.IntegerField(
        required=False,
        min_value=0,
        help_text="How many you were shown: refused with 409 when there are more or fewer by now.",
    )
    fingerprint = serializers.CharField(
        required=False,
        max_length=64,
        help_text="Of the review as you were shown it: refused with 409 when it is about others by now.",
    )


class RunFigureSerializer(serializers.ModelSerializer[RunFigure]):
    """What one run measured of one entity, before repair."""

    accuracy = serializers.SerializerMethodField(help_text="Null when nothing was compared.")
    discrepancy_rate = serializers.SerializerMethodField()
    by_type = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    repaired = serializers.IntegerField(
        read_only=True, help_text="Discrepancies of this entity that the run repaired."
    )
    failures = serializers.SerializerMethodField(help_text="Items that could not be dealt with.")
    repositories_scanned = serializers.SerializerMethodField(help_text="By the whole run.")
    seconds = serializers.SerializerMethodField(help_text="Of the whole run.")

    class Meta:
        model = RunFigure
        fields = (
            "id",
            "job",
            "installation",
            "entity",
            "at",
            "trigger",
            "mode",
            "version",
            "compared",
            "matched",
            "vouched",
            "unknown",
            "accuracy",
            "discrepancy_rate",
            "by_type",
            "repaired",
            "failures",
            "repositories_scanned",
            "seconds",
        )
        read_only_fields = fields

    def get_accuracy(self, row: RunFigure) -> float | None:
        """Matched / compared."""
        return selectors.tally(row).accuracy

    def get_discrepancy_rate(self, row: RunFigure) -> float | None:
        """The share of items that differed."""
        return selectors.tally(row).discrepancy_rate

    def get_failures(self, row: RunFigure) -> int:
        """The run's errors with this entity."""
        return int(row.job.counts.get(row.entity, {}).get("errors", 0))

    def get_repositories_scanned(self, row: RunFigure) -> int:
        """Repositories that the run looked at, whatever came of it."""
        counts = row.job.counts.get("repositories", {})
        return sum(number for name, number in counts.items() if name != "errors")

    def get_seconds(self, row: RunFigure) -> float | None:
        """How long the run worked."""
        seconds: float | None = row.job.phases_seconds.get("total")
        return seconds


# -- accuracy --------------------------------------------------------------------------------------


class AccuracyQuery(StrictSerializer):
    """What accuracy is asked for."""

    installation = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=LARGEST_ID,
        help_text="Our id of the installation; without it all that you may see, together.",
    )
    window = serializers.ChoiceField(
        choices=list(accuracy.WINDOWS),
        default="24h",
        error_messages={"invalid_choice": f"One of {', '.join(accuracy.WINDOWS)}, please."},
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses what would be ignored, and what is said twice."""
        if repeated := [name for name, said in self.initial_data.lists() if len(said) > 1]:
            raise serializers.ValidationError(
                {name: ["Give this parameter once."] for name in repeated}
            )
        return super().validate(attrs)


class TallySerializer(serializers.Serializer[accuracy.Tally]):
    """Items, counted."""

    accuracy = serializers.FloatField(
        allow_null=True, help_text="Matched / compared, 0 to 1; null when nothing was compared."
    )
    compared = serializers.IntegerField()
    matched = serializers.IntegerField(help_text="Before repair.")
    vouched = serializers.IntegerField(
        help_text="Of those compared, how many GitHub's counts and times vouched for."
    )
    unknown = serializers.IntegerField(help_text="Items of which nobody could tell: not compared.")
    discrepancy_rate = serializers.FloatField(allow_null=True)


class BudgetSerializer(serializers.Serializer[accuracy.Budget]):
    """The error budget."""

    allowed = serializers.FloatField(help_text="Wrong items that the SLO allows in the window.")
    used = serializers.IntegerField(help_text="Wrong items that there were.")
    left = serializers.FloatField(
        allow_null=True, help_text="The share that is left; below 0 when it is overdrawn."
    )


class DaySerializer(serializers.Serializer[accuracy.Day]):
    """One day in UTC, as far as the window covers it."""

    day = serializers.DateField()
    whole = serializers.BooleanField(help_text="Whether the window covers all of it.")
    accuracy = serializers.FloatField(source="tally.accuracy", allow_null=True)
    compared = serializers.IntegerField(source="tally.compared")
    matched = serializers.IntegerField(source="tally.matched")
    unknown = serializers.IntegerField(source="tally.unknown")
    compliant = serializers.BooleanField(allow_null=True)


class SpreadSerializer(serializers.Serializer[measuring.Spread]):
    """How long something took, in seconds, by the nearest rank."""

    p50 = serializers.FloatField(allow_null=True)
    p95 = serializers.FloatField(allow_null=True)
    p99 = serializers.FloatField(allow_null=True)
    count = serializers.IntegerField()
    unknown = serializers.IntegerField(help_text="Discrepancies of which it is not known.")


class AuditSerializer(serializers.Serializer[measuring.Standing]):
    """What independent audits of the window found: random items, read again by another path."""

    audits = serializers.IntegerField(source="audit.audits")
    sampled = serializers.IntegerField(source="audit.sampled")
    matched = serializers.IntegerField(source="audit.matched")
    wrong = serializers.IntegerField(source="audit.wrong")
    in_flight = serializers.IntegerField(
        source="audit.in_flight", help_text="Just changed: neither right nor wrong."
    )
    unknown = serializers.IntegerField(source="audit.unknown")
    estimate = serializers.FloatField(
        source="audit.estimate", allow_null=True, help_text="Null when nothing could be judged."
    )
    low = serializers.FloatField(source="audit.low", help_text="Wilson 95 % interval.")
    high = serializers.FloatField(source="audit.high")
    disagrees = serializers.BooleanField(
        help_text="Whether the measured accuracy lies above all that the audits find believable."
    )


class AccuracySerializer(serializers.Serializer[measuring.Standing]):
    """How right the mirror was in a window; docs/accuracy.md defines each figure."""

    window = serializers.SerializerMethodField(help_text="`24h` or `7d`.")
    installation = serializers.SerializerMethodField(help_text="Null for all together.")
    since = serializers.DateTimeField(source="accuracy.since")
    until = serializers.DateTimeField(source="accuracy.until")
    accuracy = serializers.FloatField(
        source="accuracy.tally.accuracy",
        allow_null=True,
        help_text="Matched / compared, 0 to 1; null when nothing was compared.",
    )
    compared = serializers.IntegerField(source="accuracy.tally.compared")
    matched = serializers.IntegerField(source="accuracy.tally.matched")
    vouched = serializers.IntegerField(source="accuracy.tally.vouched")
    unknown = serializers.IntegerField(source="accuracy.tally.unknown")
    discrepancy_rate = serializers.FloatField(
        source="accuracy.tally.discrepancy_rate", allow_null=True
    )
    by_type = serializers.DictField(child=serializers.IntegerField())
    by_entity = serializers.DictField(child=TallySerializer(), source="accuracy.by_entity")
    slo = serializers.FloatField(source="accuracy.slo")
    compliant = serializers.BooleanField(
        source="accuracy.compliant", allow_null=True, help_text="Null when nothing was compared."
    )
    error_budget = BudgetSerializer(source="accuracy.budget")
    burn_rate = serializers.DictField(
        child=serializers.FloatField(allow_null=True),
        source="accuracy.burn_rate",
        help_text="By window, `1h`, `24h` and `7d`: 1 uses the whole budget, and no more.",
    )
    by_day = DaySerializer(source="accuracy.by_day", many=True)
    time_to_detect = SpreadSerializer(source="times.detect")
    time_to_repair = SpreadSerializer(source="times.repair")
    audit = AuditSerializer(source="*")

    def get_window(self, _: measuring.Standing) -> str:
        """What was asked for."""
        return str(self.context["window"])

    def get_installation(self, _: measuring.Standing) -> int | None:
        """What was asked for."""
        return self.context.get("installation")
