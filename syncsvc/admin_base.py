"""What the admin's lists have in common: they stay fast however long they get, and history is read-only."""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from unfold.admin import ModelAdmin

from syncsvc import events
from syncsvc.admin_lists import BoundedList, BoundedPaginator, found_by, is_large

#: What a repository holds: the model's name, and the words that lead to its list.
CONTENTS: Final = (
    ("issue", "Issues"),
    ("pullrequest", "Pull requests"),
    ("commit", "Commits"),
    ("repositorymetric", "Daily metrics"),
    ("contentlist", "Readings"),
)


class ListedAdmin(ModelAdmin):
    """Lists that stay fast however long they get: see `syncsvc.admin_lists`.

    While its table is small a list is searched by words in `search_fields` and sorted by any column. Once it
    is large, or where `search_fields` is `exact`, the box finds exact values of the columns in `exact`, which
    have an index each, and of the columns only those in `sorted_by` sort.
    """

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    paginator = BoundedPaginator
    list_per_page = 50
    list_filter_submit = True
    list_fullwidth = True
    compressed_fields = True
    #: As many rows as one action takes: who decides about more has not looked at them.
    most_at_once = 200
    exact: ClassVar[tuple[str, ...]] = ()
    sorted_by: ClassVar[tuple[str, ...]] = ()
    #: Filters that leave so few rows of a large table that words are found in them.
    narrow: ClassVar[tuple[str, ...]] = ("repository__id__exact", "gap__id__exact")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        """A list that takes no longer than people wait."""
        return BoundedList

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """All columns of a small table; of a large one those that an index sorts."""
        return self.sorted_by if is_large(self.model) else super().get_sortable_by(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Django's, over tables that are small; exact values where reading all rows takes too long."""
        term = search_term.strip()
        if not term:
            return queryset, False
        few = any(name in request.GET for name in self.narrow)
        if tuple(self.search_fields) != self.exact and (few or not is_large(self.model)):
            rows, doubled = super().get_search_results(request, queryset, term)
            also = self.search_condition(term)
            return (rows if also is None else rows | queryset.filter(also)), doubled
        condition = self.search_condition(term)
        return (queryset.none() if condition is None else queryset.filter(condition)), False

    def search_condition(self, term: str) -> Q | None:
        """What a term means to an index; None where it can mean nothing."""
        return found_by(self.model, self.exact, term)

    def response_action(
        self, request: HttpRequest, queryset: QuerySet[Any], *more: Any, **named: Any
    ) -> HttpResponse | None:
        """Refuses more rows than anybody has looked at."""
        chosen = len(request.POST.getlist(ACTION_CHECKBOX_NAME))
        if request.POST.get("select_across") == "1":
            chosen = queryset.order_by().values("pk")[: self.most_at_once + 1].count()
        if chosen > self.most_at_once:
            self.message_user(
                request,
                f"At most {self.most_at_once} rows at a time: narrow the list by its filters, then choose "
                "again. Nothing was done.",
                messages.WARNING,
            )
            return None
        found: HttpResponse | None = super().response_action(request, queryset, *more, **named)
        return found

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Notes who added it, in the audit trail too (R11.2)."""
        said_of(request, obj, "added")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Notes who changed it, in the audit trail too (R11.2)."""
        said_of(request, obj, "changed", self._changed(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Notes who deleted them, in the audit trail too (R11.2)."""
        for obj in queryset:
            said_of(request, obj, "deleted")
        return super().log_deletions(request, queryset)

    @staticmethod
    def _changed(message: Any) -> list[str]:
        """The names of the changed fields; what is in them may be secret."""
        parts = message if isinstance(message, list) else []
        return [name for part in parts for name in part.get("changed", {}).get("fields", [])]


def said_of(request: HttpRequest, obj: Model, done: str, fields: Sequence[str] = ()) -> None:
    """Says that a person has changed what the product is told to do; the audit trail hears it."""
    events.emit(
        "admin.changed",
        user_id=request.user.pk,
        installation_id=getattr(obj, "installation_id", None),
        job_id=None,
        done=done,
        model=str(obj._meta.verbose_name),
        object_id=str(obj.pk),
        object=str(obj)[:200],
        columns=list(fields),
    )


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
