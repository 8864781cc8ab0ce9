"""The mirror of repositories."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import OpClass
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Concat, Lower

from syncsvc.models.installation import Installation


class Repository(models.Model):
    """One repository as GitHub last described it. GitHub's id is the identity; names come and go."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        ARCHIVED = "archived", "Archived"
        DELETED = "deleted", "Deleted"
        TRANSFERRED = "transferred", "Transferred"
        ACCESS_REMOVED = "access_removed", "Access removed"
        UNMANAGED = "unmanaged", "Unmanaged"

    class Visibility(models.TextChoices):
        PUBLIC = "public", "Public"
        PRIVATE = "private", "Private"
        INTERNAL = "internal", "Internal"

    PRESENT: ClassVar = (Status.ACTIVE, Status.ARCHIVED, Status.UNMANAGED)

    installation = models.ForeignKey(
        Installation, on_delete=models.CASCADE, related_name="repositories"
    )
    github_id = models.BigIntegerField(unique=True)
    node_id = models.CharField(max_length=255, blank=True)
    owner = models.CharField(max_length=255)
    owner_id = models.BigIntegerField(null=True, blank=True)
    name = models.CharField(max_length=255)
    full_name = models.GeneratedField(
        expression=Concat(F("owner"), Value("/"), F("name")),
        output_field=models.CharField(max_length=511),
        db_persist=True,
    )
    name_is_current = models.BooleanField(
        default=True,
        help_text="False once another repository was seen under this name and ours under no other yet.",
    )
    description = models.TextField(null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    visibility = models.CharField(max_length=8, choices=Visibility.choices)
    archived = models.BooleanField(default=False)
    disabled = models.BooleanField(default=False)
    fork = models.BooleanField(default=False)
    default_branch = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    language = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    topics = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    stars = models.PositiveBigIntegerField(default=0)
    forks = models.PositiveBigIntegerField(default=0)
    open_issues = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0, help_text="kB, as GitHub reports it.")
    homepage = models.TextField(null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    license = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001  (GitHub's null is kept)
    github_created_at = models.DateTimeField(null=True, blank=True)
    github_updated_at = models.DateTimeField(null=True, blank=True)
    pushed_at = models.DateTimeField(null=True, blank=True)

    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    automations_allowed = models.BooleanField(
        default=True,
        help_text="The operator's switch; an archived repository runs none either way.",
    )
    automations_enabled = models.GeneratedField(
        expression=Q(automations_allowed=True, archived=False, status="active"),  # type: ignore[arg-type]  # a Q is one
        output_field=models.BooleanField(),
        db_persist=True,
    )
    missing_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="First whole listing that lacked it while its fate could not be established.",
    )
    told_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="GitHub's time of the newest webhook that told what this row says.",
    )
    read_at = models.DateTimeField(
        null=True, blank=True, help_text="When it was last asked for by itself."
    )
    last_written_at = models.DateTimeField(help_text="When this row last changed.")
    changed_by = models.CharField(max_length=40, blank=True, help_text="Trigger of that change.")
    changed_by_job = models.UUIDField(null=True, blank=True)
    version = models.PositiveBigIntegerField(
        default=1, help_text="Grows with each write: a writer that read an older one lost the race."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "repositories"
        ordering: ClassVar = ["owner", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                Lower("owner"),
                Lower("name"),
                condition=Q(name_is_current=True, status__in=["active", "archived", "unmanaged"]),
                name="repository_name_once",
            ),
            models.CheckConstraint(
                condition=Q(
                    status__in=[
                        "active",
                        "archived",
                        "deleted",
                        "transferred",
                        "access_removed",
                        "unmanaged",
                    ]
                ),
                name="repository_status_known",
            ),
            models.CheckConstraint(
                condition=Q(visibility__in=["public", "private", "internal"]),
                name="repository_visibility_known",
            ),
            models.CheckConstraint(
                condition=~Q(status="active", archived=True)
                & ~Q(status="archived", archived=False),
                name="repository_status_agrees_with_archived",
            ),
            models.CheckConstraint(
                condition=~Q(owner="") & ~Q(name=""), name="repository_has_a_name"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["installation", "status"], name="repository_by_installation"),
            models.Index(fields=["owner", "name", "id"], name="repository_in_order"),
            # Finds the beginnings of names, in any case.
            models.Index(OpClass(Lower("name"), "text_pattern_ops"), name="repository_by_name"),
        ]

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}"
