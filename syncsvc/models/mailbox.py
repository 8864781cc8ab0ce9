"""What worker empties which account's deliveries, written down before it begins: so that a delivery that
kills every worker that takes it up is found, and keeps nobody else waiting (R10.4)."""

from typing import ClassVar

from django.db import models
from django.db.models import Q


class Mailbox(models.Model):
    """The deliveries of one account that wait, and the batch of them that is being processed.

    `begun_at` is set before a batch and cleared with it, in the same transaction. Where it is set and
    nobody holds the mailbox, the worker died in the middle. What it had taken is then under suspicion,
    up to `suspect_until`, and taken in ever smaller parts of at most `part`.
    """

    account_id = models.BigIntegerField(
        primary_key=True, help_text="GitHub's id of the account; 0 for deliveries that name none."
    )
    token = models.UUIDField(help_text="Of the batch that was begun last.")
    begun_at = models.DateTimeField(null=True, blank=True)
    taken = models.PositiveIntegerField(default=0, help_text="Deliveries in the batch under way.")
    last_id = models.BigIntegerField(
        default=0, help_text="The last of the deliveries in the batch under way."
    )
    deaths = models.PositiveIntegerField(
        default=0, help_text="Workers that died over what is under suspicion."
    )
    part = models.PositiveIntegerField(null=True, blank=True)
    suspect_until = models.BigIntegerField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "mailboxes"
        ordering: ClassVar = ["account_id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(part__isnull=True, suspect_until__isnull=True)
                | Q(part__gte=1, suspect_until__isnull=False),
                name="mailbox_part_of_what_is_suspect",
            ),
        ]

    def __str__(self) -> str:
        return f"mailbox of {self.account_id}" if self.account_id else "mailbox of nobody"
