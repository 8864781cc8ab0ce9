"""What the GitHub client remembers between runs: budgets, tokens, and pages it need not read again."""

from typing import ClassVar

from django.db import models
from django.db.models import Q

from syncsvc.models.installation import Installation


class RateBudget(models.Model):
    """GitHub's last word on how many requests (or points) an installation has left (R4.2)."""

    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="budgets")
    resource = models.CharField(max_length=40)
    limit = models.PositiveIntegerField()
    remaining = models.PositiveIntegerField()
    used = models.PositiveIntegerField(default=0)
    reset_at = models.DateTimeField()
    observed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["installation_id", "resource"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["installation", "resource"], name="budget_once_per_resource"
            ),
            models.CheckConstraint(condition=~Q(resource=""), name="budget_names_its_resource"),
        ]

    def __str__(self) -> str:
        return f"{self.resource}: {self.remaining} of {self.limit}"


class InstallationToken(models.Model):
    """The installation token in use, encrypted, so that all processes share it (and its ETags)."""

    installation = models.OneToOneField(
        Installation, on_delete=models.CASCADE, related_name="token", primary_key=True
    )
    encrypted = models.BinaryField()
    expires_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"token until {self.expires_at:%H:%M}"


class EtagEntry(models.Model):
    """One page as it was last read, with the ETag that lets GitHub answer "not modified" (R4.3)."""

    installation = models.ForeignKey(Installation, on_delete=models.CASCADE, related_name="+")
    url = models.TextField()
    etag = models.TextField()
    token_fingerprint = models.CharField(max_length=64)
    rows = models.BinaryField()
    has_next = models.BooleanField()
    last_page = models.PositiveIntegerField(null=True, blank=True)
    version = models.PositiveIntegerField()
    stored_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "ETag entries"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["installation", "url"], name="etag_once_per_url"),
        ]

    def __str__(self) -> str:
        return self.url
