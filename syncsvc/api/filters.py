"""Filters and orders of the lists. A wrong value or an unknown name is an error that names it: a list
that silently ignored its filter would be taken for the answer to the question."""

from typing import Any, Final

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import BaseFilterBackend
from rest_framework.request import Request

from syncsvc.models import Repository, SyncJob

LARGEST_ID: Final = 2**63 - 1
PAGING = frozenset({"cursor", "page_size"})


class StrictFilters(DjangoFilterBackend):
    """django-filter's filters, each once, and no other query parameter."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        """The rows that match."""
        filterset = self.get_filterset_class(view, queryset)
        known = PAGING | set(filterset.base_filters if filterset else ())
        if getattr(view, "orderings", None):
            known |= {Orderings.parameter}
        unknown = [name for name in request.query_params if name not in known]
        if unknown:
            sentence = f"There is no such parameter. There are: {', '.join(sorted(known))}."
            raise ValidationError({name: [sentence] for name in unknown})
        repeated = [name for name, values in request.query_params.lists() if len(values) > 1]
        if repeated:
            raise ValidationError({name: ["Give this parameter once."] for name in repeated})
        return super().filter_queryset(request, queryset, view)


class Orderings(BaseFilterBackend):
    """`ordering=NAME` or `-NAME`, with the names that the view's `orderings` maps to columns.

    The primary key comes last, so that equal rows keep their places from page to page.
    """

    parameter = "ordering"

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: Any) -> Any:
        """The rows in order; the paginator asks `get_ordering` once more."""
        return queryset.order_by(*self.get_ordering(request, queryset, view))

    def get_ordering(
        self, request: Request, _queryset: QuerySet[Any], view: Any
    ) -> tuple[str, ...]:
        """The columns to order by."""
        asked = request.query_params.get(self.parameter, view.default_ordering)
        sign, name = ("-", asked[1:]) if asked.startswith("-") else ("", asked)
        if name not in view.orderings:
            names = ", ".join(sorted(view.orderings))
            raise ValidationError({self.parameter: [f"One of {names}, or one of them after a -."]})
        return (f"{sign}{view.orderings[name]}", f"{sign}pk")

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """For the OpenAPI schema."""
        names = sorted(view.orderings)
        return [
            {
                "name": self.parameter,
                "in": "query",
                "required": False,
                "description": f"Order of the list; `{view.default_ordering}` unless said.",
                "schema": {"type": "string", "enum": names + [f"-{name}" for name in names]},
            }
        ]


def _describe(parameter: Any, kind: str, label: str | None) -> None:
    """Tells the OpenAPI schema the type of a filter, which drf-spectacular cannot guess."""
    schema = {"type": kind} | ({"description": label} if label else {})
    extend_schema_field(schema)(parameter)


class IdFilter(django_filters.NumberFilter):
    """One of our ids: a whole number that a row could have."""

    field_class = forms.IntegerField  # type: ignore[assignment]  # the stubs say DecimalField

    def __init__(self, **options: Any) -> None:
        super().__init__(min_value=1, max_value=LARGEST_ID, **options)
        _describe(self, "integer", options.get("label"))


class TrueOrFalseFilter(django_filters.TypedChoiceFilter):
    """`true` or `false`; django-filter's own takes every other word for "no filter"."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            choices=[("true", "true"), ("false", "false")],
            coerce=lambda value: value == "true",
            **options,
        )
        _describe(self, "boolean", options.get("label"))


class RepositoryFilters(django_filters.FilterSet):
    """How the list of repositories can be narrowed."""

    installation = IdFilter(field_name="installation_id")
    status = django_filters.ChoiceFilter(choices=Repository.Status.choices)
    archived = TrueOrFalseFilter()
    visibility = django_filters.ChoiceFilter(choices=Repository.Visibility.choices)
    q = django_filters.CharFilter(
        field_name="full_name", lookup_expr="icontains", label="Part of OWNER/NAME, in any case."
    )
    owner = django_filters.CharFilter(lookup_expr="iexact")
    language = django_filters.CharFilter(lookup_expr="iexact")

    class Meta:
        model = Repository
        fields: list[str] = []


class JobFilters(django_filters.FilterSet):
    """How the list of jobs can be narrowed."""

    installation = IdFilter(field_name="installation_id")
    status = django_filters.ChoiceFilter(choices=SyncJob.Status.choices)
    trigger = django_filters.ChoiceFilter(choices=SyncJob.Trigger.choices)
    mode = django_filters.ChoiceFilter(choices=SyncJob.Mode.choices)
    created_after = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    created_before = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = SyncJob
        fields: list[str] = []
