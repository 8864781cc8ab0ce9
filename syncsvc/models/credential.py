"""The keys to GitHub that were set up by clicks. What the environment names goes before them."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q


class Credential(models.Model):
    """A GitHub App, or a personal access token; at most one of each (R2.1).

    What is secret is stored encrypted by `syncsvc.vault`, and never shown again (R19.4).
    """

    class Kind(models.TextChoices):
        APP = "app", "GitHub App"
        TOKEN = "token", "Personal access token"

    kind = models.CharField(max_length=8, choices=Kind.choices, unique=True)
    app_id = models.CharField(max_length=20, blank=True)
    slug = models.CharField(
        max_length=255, blank=True, help_text="The App's name in GitHub's addresses."
    )
    name = models.CharField(max_length=255, blank=True)
    html_url = models.URLField(max_length=500, blank=True, help_text="The App's page at GitHub.")
    owner = models.CharField(
        max_length=255, blank=True, help_text="In token mode, the account that is mirrored."
    )
    private_key = models.BinaryField(null=True, blank=True, help_text="Encrypted.")
    webhook_secret = models.BinaryField(null=True, blank=True, help_text="Encrypted.")
    token = models.BinaryField(null=True, blank=True, help_text="Encrypted.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(kind="app", private_key__isnull=False, token__isnull=True)
                & ~Q(app_id="")
                | Q(kind="token", token__isnull=False, private_key__isnull=True),
                name="credential_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.owner or self.get_kind_display()
