"""Lists are paged by cursor: stable while rows come and go, and cheap on the last page too."""

from rest_framework.pagination import CursorPagination


class CursorPages(CursorPagination):
    """`{next, previous, results}`; `page_size` up to 500, `ordering` set by the view."""

    ordering = "-pk"
    page_size_query_param = "page_size"
    max_page_size = 500
