"""The rest of the admin: who may see what, the keys to GitHub, and what the machinery keeps for itself.

What is secret is in no list, no page and no query of it (R19.4, R11.3): those columns are never read.
"""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet, URLField
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateTimeFilter
from unfold.decorators import display

from syncsvc.admin_base import HistoryAdmin, ListedAdmin, brief
from syncsvc.models import (
    Credential,
    EtagEntry,
    Heartbeat,
    InstallationToken,
    LiveEvent,
    Mailbox,
    Membership,
    RateBudget,
)

ACCOUNT: Final = ("installation", AutocompleteSelectFilter)


class MembershipAdmin(ListedAdmin):
    """Who may see which account, and in which role."""

    list_display = ("user", "installation", "role", "created_at")
    list_filter = (("installation", AutocompleteSelectFilter), "role")
    list_select_related = ("user", "installation")
    search_fields = ("user__username", "installation__account_login")
    autocomplete_fields = ("user", "installation")


class RateBudgetAdmin(HistoryAdmin):
    """What GitHub last said is left."""

    list_display = ("installation", "resource", "remaining", "limit", "reset_at", "observed_at")
    list_filter = (("installation", AutocompleteSelectFilter),)
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "resource")


class EtagEntryAdmin(HistoryAdmin):
    """Pages that need not be read again. Deleting one only makes the next run read it; the page
    itself stays hidden, it may hold private names."""

    list_display = ("installation", "url", "stored_at")
    list_filter = (("installation", AutocompleteSelectFilter),)
    list_select_related = ("installation",)
    search_fields = ("installation__account_login", "url")
    search_help_text = "Part of an address; of very many pages the whole address"
    exact = ("url",)
    narrow = ("installation__id__exact",)
    sorted_by: ClassVar = ()
    ordering = ("-id",)
    fields: ClassVar = ["installation", "url", "etag", "stored_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[EtagEntry]:
        """The rows without the pages."""
        rows: QuerySet[EtagEntry] = super().get_queryset(request)
        return rows.defer("rows")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever has Django's permission."""
        return bool(super(HistoryAdmin, self).has_delete_permission(request, obj))


class HeartbeatAdmin(HistoryAdmin):
    """Signs of life of worker and beat."""

    list_display = ("component", "beaten_at")
    list_filter = ("component",)
    search_fields = ("component", "instance")


class CredentialAdmin(HistoryAdmin):
    """The keys to GitHub that were set up by clicks. They are set up on the pages for it, and deleted here
    by a superuser: what the environment names is not touched."""

    list_display = ("__str__", "kind", "app_id", "owner", "created_by", "updated_at")
    list_select_related = ("created_by",)
    list_filter = ("kind",)
    search_fields = ("name", "slug", "owner", "=app_id")
    exclude = ("private_key", "webhook_secret", "token")
    formfield_overrides = {URLField: {"assume_scheme": "https"}}  # type: ignore[assignment,misc]  # unfold's is narrower
    readonly_fields = ("shown_private_key", "shown_webhook_secret", "shown_token")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        """The rows without what is secret: only whether there is any."""
        rows: QuerySet[Credential] = super().get_queryset(request)
        kept = {
            f"{name}_kept": ExpressionWrapper(
                Q(**{f"{name}__isnull": False}), output_field=BooleanField()
            )
            for name in self.exclude
        }
        return rows.defer(*self.exclude).annotate(**kept)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A superuser: without its keys the mirror of an account stands still."""
        return bool(getattr(request.user, "is_superuser", False))

    @display(description="Private key")
    def shown_private_key(self, row: Any) -> str:
        """Whether it is kept."""
        return _kept(row.private_key_kept)

    @display(description="Webhook secret")
    def shown_webhook_secret(self, row: Any) -> str:
        """Whether it is kept."""
        return _kept(row.webhook_secret_kept)

    @display(description="Token")
    def shown_token(self, row: Any) -> str:
        """Whether it is kept."""
        return _kept(row.token_kept)


class InstallationTokenAdmin(HistoryAdmin):
    """Until when GitHub's tokens serve; the tokens themselves are never read here."""

    list_display = ("installation", "expires_at")
    list_filter = (ACCOUNT, ("expires_at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("installation__account_login",)
    ordering = ("expires_at",)
    exclude = ("encrypted",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[InstallationToken]:
        """The rows without the tokens."""
        rows: QuerySet[InstallationToken] = super().get_queryset(request)
        return rows.defer("encrypted")


class LiveEventAdmin(HistoryAdmin):
    """What open pages were told of runs, for as long as it is kept."""

    list_display = ("at", "kind", "installation", "job_id")
    list_filter = (ACCOUNT, "kind", ("at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = exact = ("job_id",)
    search_help_text = "The id of a run"
    sorted_by: ClassVar = ()
    ordering = ("-id",)


class MailboxAdmin(HistoryAdmin):
    """Which accounts' deliveries are being processed, and what is suspected of killing workers."""

    list_display = ("__str__", "begun_at", "taken", "deaths", "part", "suspect_until")
    list_filter = (("begun_at", RangeDateTimeFilter),)
    search_fields = exact = ("account_id",)
    search_help_text = "GitHub's id of an account"
    ordering = ("account_id",)
    exclude = ("token",)


class LogEntryAdmin(HistoryAdmin):
    """What was added, changed and deleted in the admin, and by whom."""

    list_display = ("action_time", "user", "content_type", "shown_object", "shown_change")
    list_filter = (
        ("user", AutocompleteSelectFilter),
        "action_flag",
        ("action_time", RangeDateTimeFilter),
    )
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "user__username")
    search_help_text = "Part of the name of what was changed, or of the user"
    exact = ("object_id",)
    sorted_by: ClassVar = ()
    ordering = ("-id",)

    @display(description="What")
    def shown_object(self, row: LogEntry) -> SafeString:
        """Its name, as far as it fits."""
        return brief(row.object_repr)

    @display(description="Change")
    def shown_change(self, row: LogEntry) -> SafeString:
        """What was done, as far as it fits."""
        return brief(row.get_change_message() or row.get_action_flag_display())


def _kept(there: bool) -> str:
    return "kept, encrypted" if there else "none"


def register() -> None:
    """Puts these into the admin."""
    admin.site.register(Membership, MembershipAdmin)
    admin.site.register(RateBudget, RateBudgetAdmin)
    admin.site.register(EtagEntry, EtagEntryAdmin)
    admin.site.register(Heartbeat, HeartbeatAdmin)
    admin.site.register(Credential, CredentialAdmin)
    admin.site.register(InstallationToken, InstallationTokenAdmin)
    admin.site.register(LiveEvent, LiveEventAdmin)
    admin.site.register(Mailbox, MailboxAdmin)
    admin.site.register(LogEntry, LogEntryAdmin)
