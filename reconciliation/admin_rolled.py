"""Summed hours in the admin: to look at, for whoever doubts a figure. Nobody changes them."""

from typing import ClassVar

from django.contrib import admin
from unfold.contrib.filters.admin import RangeDateTimeFilter

from reconciliation.models.rollup import RolledFleet, RolledHours, RolledUntil, StaleDay
from syncsvc.admin_base import HistoryAdmin
from syncsvc.admin_lists import WordFilter
from syncsvc.admin_webhooks import ACCOUNT


class HoursFilter(WordFilter):
    """How long the stretch is."""

    title = parameter_name = "hours"
    words = (("1", "1 hour"), ("6", "6 hours"), ("24", "24 hours"))


class RolledHoursAdmin(HistoryAdmin):
    """What the runs, discrepancies and gaps of an account add up to, stretch by stretch."""

    list_display = (
        "at",
        "hours",
        "installation",
        "succeeded",
        "failed",
        "compared",
        "matched",
        "found",
        "gaps",
    )
    list_filter = (ACCOUNT, HoursFilter, ("at", RangeDateTimeFilter))
    list_select_related = ("installation",)
    search_fields = ("installation__account_login",)
    search_help_text = "An account; of very many rows choose it among the filters"
    narrow = ("installation__id__exact",)
    sorted_by: ClassVar = ()
    ordering = ("-id",)


class RolledFleetAdmin(HistoryAdmin):
    """What all accounts together add up to."""

    list_display = ("at", "hours", "succeeded", "failed", "compared", "matched", "found", "gaps")
    list_filter = (HoursFilter, ("at", RangeDateTimeFilter))
    search_fields = ("=id",)
    ordering = ("-id",)


class StaleDayAdmin(HistoryAdmin):
    """Days that are to be summed again."""

    list_display = ("day", "installation_id")
    search_fields = ("=installation_id",)
    search_help_text = "The number of an account in the address of its page here"
    ordering = ("-id",)


class RolledUntilAdmin(HistoryAdmin):
    """From when until when all hours are summed."""

    list_display = ("since", "until")
    search_fields = ("=id",)


def register() -> None:
    """Puts them into the admin."""
    admin.site.register(RolledHours, RolledHoursAdmin)
    admin.site.register(RolledFleet, RolledFleetAdmin)
    admin.site.register(StaleDay, StaleDayAdmin)
    admin.site.register(RolledUntil, RolledUntilAdmin)
