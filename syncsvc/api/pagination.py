"""Lists are paged by cursor: stable while rows come and go, and cheap on the last page too."""

import re
from typing import Any, Final

from django.core.exceptions import ValidationError as UnusableValue
from django.db import DataError
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

SIZE: Final = re.compile("[0-9]{1,9}")


class CursorPages(CursorPagination):
    """`{next, previous, results}`; `page_size` up to 500, the order set by the view.

    A wrong `page_size` or `cursor` is an error that names it, not another page than the one meant.
    """

    ordering = "-pk"
    page_size_query_param = "page_size"
    max_page_size = 500
    # Thousands of repositories share a number of stars, and a page among equals is found by its
    # offset: DRF's usual limit of 1,000 would repeat one page for ever.
    offset_cutoff = 10_000_000

    def get_page_size(self, request: Request) -> int | None:
        """The size asked for, or the default."""
        asked = request.query_params.get("page_size")
        if asked is None:
            return self.page_size
        if not SIZE.fullmatch(asked) or not 1 <= int(asked) <= self.max_page_size:
            raise ValidationError(
                {"page_size": [f"A whole number from 1 to {self.max_page_size}, please."]}
            )
        return int(asked)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """For the OpenAPI schema: DRF writes a null as OpenAPI 3.0 did, which 3.1 does not read."""
        described = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            del described["properties"][name]["nullable"]
            described["properties"][name]["type"] = ["string", "null"]
        return described | {"required": ["next", "previous", "results"]}

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The place in the list where the page starts."""
        try:
            return super().decode_cursor(request)
        except NotFound:
            raise ValidationError(
                {"cursor": ["This is no cursor of ours: start again without it."]}
            ) from None

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> Any:
        """The rows of one page."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, TypeError, UnusableValue, DataError):
            # A cursor of another list: its position does not fit the column that orders this one.
            raise ValidationError(
                {"cursor": ["This cursor belongs to another list: start again without it."]}
            ) from None
