"""The shapes of the API: what goes out, and what a request for a sync may say."""

import re
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from syncsvc import clock, pacing, status
from syncsvc.api.strict import StrictSerializer
from syncsvc.breaker import State
from syncsvc.models import Installation, Repository, SyncJob

FULL_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?/[A-Za-z0-9._-]{1,100}")


@extend_schema_field({"type": "object", "additionalProperties": True})
class ObjectField(serializers.JSONField):
    """An object whose keys depend on what was run."""


@extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
class ObjectsField(serializers.JSONField):
    """A list of such objects."""


class ProblemSerializer(serializers.Serializer[Any]):
    """Problem details (RFC 9457); `errors` names each field that cannot be used."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    errors = ObjectField(required=False)  # type: ignore[assignment]  # a field of that name


class InstallationSerializer(serializers.ModelSerializer[Installation]):
    """One account that is mirrored."""

    interval_seconds = serializers.SerializerMethodField(
        help_text="Present time between two syncs."
    )
    interval_reason = serializers.SerializerMethodField(
        help_text="Why so often, or since when it waits, for people."
    )

    class Meta:
        model = Installation
        fields = (
            "id",
            "github_id",
            "account_id",
            "account_login",
            "account_type",
            "mode",
            "status",
            "repository_selection",
            "permissions",
            "events",
            "suspended_at",
            "uninstalled_at",
            "github_created_at",
            "last_synced_at",
            "interval_seconds",
            "interval_reason",
            "waiting_since",
            "changes_per_hour",
            "usual_requests",
            "created_at",
        )
        read_only_fields = fields
        extra_kwargs = {"events": {"help_text": "Webhook events that GitHub sends for it."}}

    def get_interval_seconds(self, row: Installation) -> int:
        """What is in force: as configured, or as the last runs taught."""
        return pacing.rhythm(row).seconds

    def get_interval_reason(self, row: Installation) -> str:
        """A sentence."""
        return pacing.rhythm(row).sentence


class ProgressSerializer(serializers.Serializer[status.Progress]):
    """How far a job is; `total` and `eta_seconds` are null while nobody knows."""

    current = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    stage = serializers.CharField()
    item = serializers.CharField(allow_blank=True)
    errors = serializers.IntegerField()  # type: ignore[assignment]  # DRF takes fields out of the class
    eta_seconds = serializers.IntegerField(allow_null=True)


class StatusSerializer(serializers.Serializer[status.SyncStatus]):
    """The state of one installation's sync (R3.5)."""

    state = serializers.ChoiceField(choices=["idle", "syncing", "blocked", "error"])
    can_sync_now = serializers.BooleanField()
    reason = serializers.CharField()
    sentence = serializers.CharField()
    cooldown_ms = serializers.IntegerField(allow_null=True)
    blocked_until = serializers.DateTimeField(allow_null=True)
    active_job_id = serializers.UUIDField(allow_null=True)
    active_job_progress = ProgressSerializer(allow_null=True)
    last_synced_at = serializers.DateTimeField(allow_null=True)
    last_sync_error = serializers.CharField(allow_null=True)
    action_needed = serializers.CharField(
        allow_null=True, help_text="What a person has to do before the next run can succeed."
    )
    breaker_state = serializers.ChoiceField(
        choices=[str(each) for each in State],
        help_text="closed: syncs run; open: they wait until blocked_until; half_open: the next is a "
        "trial.",
    )
    consecutive_failures = serializers.IntegerField()
    next_scheduled_at = serializers.DateTimeField(allow_null=True)


class JobSerializer(serializers.ModelSerializer[SyncJob]):
    """One run."""

    progress = serializers.SerializerMethodField()
    counts = ObjectField(read_only=True)
    api = ObjectField(read_only=True)
    phases_seconds = ObjectField(read_only=True)
    discrepancies = ObjectField(read_only=True)
    verification = ObjectField(read_only=True)
    failures = ObjectsField(read_only=True)
    requested_by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True
    )

    class Meta:
        model = SyncJob
        fields: tuple[str, ...] = (
            "id",
            "installation",
            "trigger",
            "mode",
            "repository",
            "dry_run",
            "status",
            "progress",
            "counts",
            "api",
            "phases_seconds",
            "accuracy",
            "discrepancies",
            "verification",
            "failures",
            "warning",
            "error",
            "error_category",
            "action_needed",
            "requested_by",
            "attempt",
            "cancel_requested_at",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, job: SyncJob) -> dict[str, Any]:
        """How far it is, or how far it came."""
        progress = status.progress(job, clock.now())
        shown = dict(ProgressSerializer(progress).data)
        return shown if job.is_active else shown | {"eta_seconds": None}


class JobDetailSerializer(JobSerializer):
    """One run with the plan of a dry run: what it would change."""

    plan = ObjectsField(read_only=True)

    class Meta(JobSerializer.Meta):
        fields = (*JobSerializer.Meta.fields, "plan")
        read_only_fields = fields


class RepositorySerializer(serializers.ModelSerializer[Repository]):
    """One repository as GitHub last described it."""

    full_name = serializers.CharField(read_only=True)
    automations_enabled = serializers.BooleanField(read_only=True)
    topics = serializers.ListField(child=serializers.CharField(), read_only=True)
    commit_count = serializers.IntegerField(
        read_only=True,
        allow_null=True,
        help_text="Commits of the default branch, all of them, also where only the newest are "
        "mirrored; null before they were first counted.",
    )
    head_sha = serializers.CharField(
        read_only=True,
        allow_null=True,
        help_text="The newest commit of the default branch when its commits were last read.",
    )
    last_synced_at = serializers.DateTimeField(read_only=True)

    class Meta:
        model = Repository
        fields = (
            "id",
            "github_id",
            "node_id",
            "installation",
            "full_name",
            "name",
            "owner",
            "description",
            "visibility",
            "archived",
            "disabled",
            "fork",
            "status",
            "default_branch",
            "language",
            "topics",
            "stars",
            "forks",
            "open_issues",
            "size",
            "homepage",
            "license",
            "commit_count",
            "head_sha",
            "pushed_at",
            "github_created_at",
            "github_updated_at",
            "last_synced_at",
            "changed_by",
            "automations_enabled",
        )
        read_only_fields = fields


class SyncRequestSerializer(StrictSerializer):
    """What to sync: everything unless said otherwise; `repository` syncs that one alone."""

    mode = serializers.ChoiceField(choices=["full", "incremental", "reconcile"], required=False)
    repository = serializers.RegexField(
        FULL_NAME.pattern.join(("^", "$")),
        required=False,
        max_length=511,
        help_text="OWNER/NAME, of the installation's account.",
        error_messages={"invalid": "Write it as OWNER/NAME."},
    )
    dry_run = serializers.BooleanField(required=False, default=False)

    def validate_repository(self, value: str) -> str:
        """A token may see more than the account we mirror, so the owner has to be the account."""
        login = self.context["installation"].account_login
        if value.split("/", maxsplit=1)[0].lower() != login.lower():
            raise serializers.ValidationError(
                f"This installation mirrors the repositories of {login} only."
            )
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuses what would be ignored."""
        attrs = super().validate(attrs)
        if "repository" in attrs and "mode" in attrs:
            raise serializers.ValidationError(
                {"mode": ["One repository is always read whole: leave mode out."]}
            )
        return attrs


class DecisionSerializer(serializers.Serializer[Any]):
    """What policy answered."""

    action = serializers.ChoiceField(choices=["start", "skip", "block"])
    reason = serializers.CharField()
    metadata = ObjectField()


class SyncAnswerSerializer(serializers.Serializer[Any]):
    """The decision, with the job that was started or is running already."""

    decision = DecisionSerializer()
    job_id = serializers.UUIDField(allow_null=True)
