"""Who is mirrored (installations) and who may see it (memberships)."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class Installation(models.Model):
    """One GitHub account that we mirror: a GitHub App installation, or an owner reached by a token.

    The account's id is the identity: an App that is uninstalled and installed again gets a new
    installation id for the same account, and its history continues (R2.3).
    """

    class Mode(models.TextChoices):
        APP = "app", "GitHub App"
        TOKEN = "token", "Personal access token"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        UNINSTALLED = "uninstalled", "Uninstalled"

    class AccountType(models.TextChoices):
        USER = "User", "User"
        ORGANIZATION = "Organization", "Organization"

    class Breaker(models.TextChoices):
        CLOSED = "closed", "Closed"
        OPEN = "open", "Open"
        HALF_OPEN = "half_open", "Half open"

    account_id = models.BigIntegerField(unique=True, help_text="GitHub's id of the account.")
    github_id = models.BigIntegerField(
        help_text="GitHub's id of the installation; in token mode, of the account."
    )
    mode = models.CharField(max_length=8, choices=Mode.choices)
    account_login = models.CharField(max_length=255)
    account_type = models.CharField(max_length=16, choices=AccountType.choices)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    repository_selection = models.CharField(max_length=16, default="all")
    permissions = models.JSONField(default=dict, blank=True)
    events = models.JSONField(default=list, blank=True)
    suspended_at = models.DateTimeField(null=True, blank=True)
    uninstalled_at = models.DateTimeField(null=True, blank=True)
    github_created_at = models.DateTimeField(null=True, blank=True)
    github_updated_at = models.DateTimeField(null=True, blank=True)

    # What the last runs left behind; policy and status read it, jobs write it.
    last_synced_at = models.DateTimeField(
        null=True, blank=True, help_text="End of the last run that read everything it set out to."
    )
    last_listed_at = models.DateTimeField(
        null=True, blank=True, help_text="Start of the last whole listing of the repositories."
    )
    last_error = models.TextField(blank=True, help_text="Why the last run failed, for people.")
    last_error_at = models.DateTimeField(null=True, blank=True)
    action_needed = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="What a person has to do before the next run can succeed.",
    )
    consecutive_failures = models.PositiveIntegerField(default=0)
    breaker_state = models.CharField(
        max_length=16,
        choices=Breaker.choices,
        default=Breaker.CLOSED,
        db_default=Breaker.CLOSED,
        help_text="Closed: syncs run. Open: they wait. Half open: one runs as a trial.",
    )
    breaker_opened_at = models.DateTimeField(null=True, blank=True)
    breaker_open_until = models.DateTimeField(null=True, blank=True)
    breaker_openings = models.PositiveIntegerField(
        default=0, db_default=0, help_text="How often it opened since it was last closed."
    )
    blocked_until = models.DateTimeField(
        null=True, blank=True, help_text="GitHub asked for a pause (a secondary limit) until then."
    )
    blocked_reason = models.CharField(max_length=40, blank=True)
    secondary_strikes = models.PositiveIntegerField(
        default=0, help_text="Secondary limits in a row for which GitHub named no time."
    )
    next_scheduled_at = models.DateTimeField(null=True, blank=True)

    waiting_since = models.DateTimeField(
        null=True, blank=True, help_text="Due since then, and waiting for its share of the budget."
    )

    # What runs taught the planner (R3.4, R4.2).
    interval_seconds = models.PositiveIntegerField(
        null=True, blank=True, help_text="Present time between two syncs; none: as configured."
    )
    changes_per_hour = models.FloatField(
        default=0, db_default=0, help_text="What runs found changed lately, smoothed."
    )
    usual_requests = models.FloatField(
        null=True, blank=True, help_text="What a run costs of the budget lately, smoothed."
    )

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering: ClassVar = ["account_login"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["mode", "github_id"], name="installation_github_id"),
            models.CheckConstraint(
                condition=Q(status__in=["active", "suspended", "uninstalled"]),
                name="installation_status_known",
            ),
            models.CheckConstraint(
                condition=Q(mode__in=["app", "token"]), name="installation_mode_known"
            ),
            models.CheckConstraint(condition=~Q(account_login=""), name="installation_has_a_login"),
            models.CheckConstraint(
                condition=Q(breaker_state__in=["closed", "open", "half_open"]),
                name="installation_breaker_known",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["next_scheduled_at"],
                condition=Q(status="active"),
                name="installation_due",
            ),
        ]

    def __str__(self) -> str:
        return self.account_login


class Membership(models.Model):
    """What a user may do with one installation (R19.2)."""

    class Role(models.TextChoices):
        ADMIN = "admin", "Admin"
        OPERATOR = "operator", "Operator"
        SUPPORT = "support", "Support"
        MEMBER = "member", "Member"

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["user_id", "installation_id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "installation"], name="membership_once"),
            models.CheckConstraint(
                condition=Q(role__in=["admin", "operator", "support", "member"]),
                name="membership_role_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} is {self.role} of {self.installation}"
