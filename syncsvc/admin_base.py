"""What the admin's lists have in common: they stay fast however long they get, and history is read-only."""

from typing import Any, Final

from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.admin import ModelAdmin

#: What a repository holds: the model's name, and the words that lead to its list.
CONTENTS: Final = (
    ("issue", "Issues"),
    ("pullrequest", "Pull requests"),
    ("commit", "Commits"),
    ("repositorymetric", "Daily metrics"),
    ("contentlist", "Readings"),
)


class ListedAdmin(ModelAdmin):
    """Lists that stay fast however long they get."""

    show_full_result_count = False
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    compressed_fields = True


class HistoryAdmin(ListedAdmin):
    """Rows that only the product writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody adds."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes."""
        return False


def list_link(model: str, lookup: str, row: Model, text: object) -> SafeString:
    """Leads to the list of `model`, narrowed to what belongs to `row` through `lookup`."""
    return format_html(
        '<a class="underline" href="{}?{}__id__exact={}">{}</a>',
        reverse(f"admin:syncsvc_{model}_changelist"),
        lookup,
        row.pk,
        text,
    )


def contents_links(lookup: str, row: Model) -> SafeString:
    """Leads to everything that was mirrored of `row`: an installation or a repository."""
    links = ((list_link(model, lookup, row, text),) for model, text in CONTENTS)
    return format_html_join(" · ", "{}", links)


def brief(text: object) -> SafeString:
    """The beginning of what may be long, wrapped: one word without a space cannot widen the list."""
    return format_html(
        '<div class="max-w-sm whitespace-normal break-words">{}</div>',
        Truncator(str(text)).chars(90),
    )


def unbroken(text: str) -> SafeString:
    """What is to stay on one line."""
    return format_html('<span class="whitespace-nowrap">{}</span>', text)
