"""Readings in the admin: how far each list of a repository was read, what could not be, and when it is tried
again."""

from typing import Any, ClassVar, Final

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from unfold.decorators import display

from syncsvc import clock, content_lists
from syncsvc.admin_base import brief
from syncsvc.admin_contents import PLACE, ContentAdmin
from syncsvc.admin_decisions import Choice, Refused, asks
from syncsvc.admin_lists import WordFilter, is_large
from syncsvc.api.dead_letters import CATEGORIES
from syncsvc.models import ContentList

READING_TONES: Final = {"failing": "danger", "unread": "warning", "read": "success"}


class ReadingFilter(admin.SimpleListFilter):
    """How the reading of a list goes."""

    title = "reading"
    parameter_name = "reading"
    KINDS: ClassVar = {
        "failing": ("Failing", Q(retry_at__isnull=False)),
        "waiting": ("Failing, waits for its retry", None),
        "due": ("Failing, due to be read again", None),
        "unread": ("Never read", Q(read_at=None)),
        "short": ("GitHub counts more than it shows", Q(unreadable__gt=0)),
        "fine": ("Read without a failure", Q(failures=0, read_at__isnull=False)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What there is to choose."""
        return [(name, label) for name, (label, _) in self.KINDS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows of that kind."""
        now = clock.now()
        if self.value() == "waiting":
            return queryset.filter(retry_at__gt=now)
        if self.value() == "due":
            return queryset.filter(retry_at__lte=now)
        condition = self.KINDS.get(self.value() or "", ("", None))[1]
        return queryset if condition is None else queryset.filter(condition)


class CategoryFilter(WordFilter):
    """Why it failed."""

    title = "error category"
    parameter_name = "error_category"
    words = CATEGORIES


def _read_again(row: ContentList, request: HttpRequest, _reason: str) -> str:
    if not content_lists.read_now(row, request.user):
        raise Refused("it does not fail: nothing to read again.")
    return "the next sync reads it again."


class ContentListAdmin(ContentAdmin):
    """How far each list was read, and what could not be."""

    list_display = (
        "shown_list",
        "shown_repository",
        "shown_reading",
        "count",
        "mirrored",
        "read_at",
        "whole_at",
        "failures",
        "retry_at",
        "shown_error",
    )
    list_filter = (ReadingFilter, *PLACE, "entity", CategoryFilter)
    search_fields = ("repository__full_name", "error")
    ordering = ("-failures", "repository__owner", "repository__name", "entity")
    actions = ("read_again",)
    read_again = asks("read_again", "Read again now")
    sorted_by = ()
    choices: ClassVar = {
        "read_again": Choice(
            name="read_again",
            title="Read again",
            explained="Those of these lists that could not be read wait no longer: the next sync of their "
            "account reads them again. Lists that do not fail are left alone.",
            button="Read again",
            act=_read_again,
        ),
    }

    def get_ordering(self, request: HttpRequest) -> Any:
        """What fails first; of very many lists only where the filter leaves what fails."""
        few = request.GET.get("reading") in ("failing", "waiting", "due")
        if few or not is_large(ContentList):
            return self.ordering
        return ("repository_id", "entity")

    @display(description="List", ordering="entity")
    def shown_list(self, row: ContentList) -> str:
        """Which list it is."""
        return row.get_entity_display()

    @display(description="Reading", ordering="failures", label=READING_TONES)
    def shown_reading(self, row: ContentList) -> tuple[str, str]:
        """How it goes, as a badge."""
        if row.failures:
            return "failing", "Failing"
        return ("unread", "Not read yet") if row.read_at is None else ("read", "Read")

    @display(description="Error")
    def shown_error(self, row: ContentList) -> SafeString | str:
        """Why it failed, as far as it fits."""
        return brief(row.error) if row.error else ""


def register() -> None:
    """Puts the readings into the admin."""
    admin.site.register(ContentList, ContentListAdmin)
