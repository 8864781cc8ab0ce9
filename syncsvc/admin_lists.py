"""What keeps a list of the admin quick over a table of millions of rows (R18.2).

Nothing here counts a whole table, and no list takes longer than `SECONDS`: who asks for something that no
index answers is told to narrow it. The search box finds exact values of columns that have an index.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Final

from django.contrib import admin, messages
from django.contrib.admin.views.main import ORDER_VAR
from django.core.cache import cache
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db import connection, models, transaction
from django.db.models import Q, QuerySet
from django.db.utils import OperationalError
from django.http import HttpRequest
from django.utils.functional import cached_property
from unfold.views import ChangeList

MOST_COUNTED: Final = 10_000
"""Beyond as many rows a list is narrowed rather than paged through."""
SECONDS: Final = 4
SMALL: Final = 50_000
"""Tables of fewer rows are searched and sorted by any column."""
MOST_SEARCHED: Final = 200
"""Nothing that is found by its whole is longer."""
SLOW: Final = (
    f"This takes longer than {SECONDS} seconds, so it was given up: nothing is shown below. Choose an "
    "account or a repository, or a shorter time, and look again."
)
CANCELLED: Final = "57014"


class WordFilter(admin.SimpleListFilter):
    """One of a column's words: asking the table which of them it holds would read all of it."""

    words: ClassVar[Sequence[tuple[str, str]]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """What there is to choose."""
        return self.words

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """The rows with that word."""
        chosen = self.value()
        if chosen not in {word for word, _ in self.words}:
            return queryset
        return queryset.filter(**{str(self.parameter_name): chosen})


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # not generic when it runs
    """Pages of the first `MOST_COUNTED` rows. Whether there are more it knows, how many it does not."""

    template_name = "admin/_pages.html"

    @cached_property
    def _counted(self) -> int:
        all_rows: Any = self.object_list
        rows = all_rows.order_by().values("pk")
        return int(rows[: MOST_COUNTED + 1].count())

    @cached_property
    def count(self) -> int:
        """How many rows there are, as far as they are counted."""
        return min(self._counted, MOST_COUNTED)

    @property
    def has_more(self) -> bool:
        """Whether there are rows that no page shows."""
        return self._counted > MOST_COUNTED


class BoundedList(ChangeList):
    """A list that is read within `SECONDS` or not at all."""

    def get_results(self, request: HttpRequest) -> None:
        """Reads the page that is shown; what takes too long is shown as nothing, with what to do."""
        try:
            with at_most(SECONDS):
                super().get_results(request)
                len(self.result_list)  # here, not while the page is written
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", "") != CANCELLED:
                raise
            messages.error(request, SLOW)
            self.queryset = self.queryset.none()
            super().get_results(request)

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        """Django's, without those columns of the address that this list cannot be sorted by."""
        parts = self.params.get(ORDER_VAR, "").split(".")
        kept = ".".join(part for part in parts if self._may_sort(part))
        self.params = {k: v for k, v in self.params.items() if k != ORDER_VAR}
        if kept:
            self.params[ORDER_VAR] = kept
        found: list[Any] = super().get_ordering(request, queryset)
        return found

    def _may_sort(self, part: str) -> bool:
        column = part.removeprefix("-")
        return (
            column.isdecimal()
            and int(column) < len(self.list_display)
            and self.list_display[int(column)] in (self.sortable_by or ())
        )

    @property
    def has_more(self) -> bool:
        """Whether there are rows that no page shows."""
        return bool(getattr(self.paginator, "has_more", False))


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Cancels what the database takes longer for. Within a transaction the limit ends with the block."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, true)", [f"{int(seconds * 1000)}ms"]
        )
        yield
        cursor.execute("SELECT set_config('statement_timeout', '0', true)")


def is_large(model: type[models.Model]) -> bool:
    """Whether the table has too many rows for anything that reads all of them, as it was estimated last.

    Asked once in five minutes: tables grow slowly.
    """
    table = model._meta.db_table

    def estimated() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT reltuples FROM pg_class WHERE oid = to_regclass(%s)", [table])
            row = cursor.fetchone()
        return int(row[0]) if row else 0

    known = cache.get_or_set(f"admin-rows-{table}", estimated, 300)
    return int(known or 0) > SMALL


def found_by(model: type[models.Model], fields: Sequence[str], term: str) -> Q | None:
    """The condition that one of these fields is `term`; None where none of them can be."""
    found: Q | None = None
    for name in fields:
        value = _as_value(_field(model, name), term)
        if value is not None:
            each = Q(**{name: value})
            found = each if found is None else found | each
    return found


def _field(model: type[models.Model], name: str) -> "models.Field[Any, Any]":
    """The field that a lookup ends at."""
    *path, last = name.split("__")
    for step in path:
        related = model._meta.get_field(step).related_model
        assert isinstance(related, type)  # noqa: S101  (a step leads to a model)
        model = related
    field = model._meta.get_field(last)
    assert isinstance(field, models.Field)  # noqa: S101  (lookups end at a column)
    return field


def _as_value(field: "models.Field[Any, Any]", term: str) -> object | None:
    """What the field would hold if it were this term; None where it never can."""
    if len(term) > MOST_SEARCHED or "\0" in term:
        return None
    try:
        value: object = field.to_python(term)
        if isinstance(field, models.IntegerField):
            if not term.isdecimal():
                return None
            low, high = connection.ops.integer_field_range(field.get_internal_type())
            assert isinstance(value, int)  # noqa: S101  (to_python says so)
            if not (low or 0) <= value <= (high or 0):
                return None
    except (ValidationError, ValueError):
        return None
    return value
