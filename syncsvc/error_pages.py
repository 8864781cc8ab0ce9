"""What people and programs see when an address leads nowhere or the product itself breaks.

Programs (`/api/`) get problem details, people a page; neither needs the database. Django passes
every handler its exception by name.
"""

import sys
from collections.abc import Callable
from typing import Final

import structlog
from django.conf import settings
from django.core.exceptions import BadRequest
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string
from django.utils.log import log_response

from syncsvc.api.problems import problem_response

log = structlog.get_logger(__name__)

DATABASE_AWAY: Final = (
    "The database does not answer, or cannot write: try again in a minute. "
    "/readyz says what is missing."
)


def refuses_nul(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: 400 for an address of the admin with a NUL, which no text of PostgreSQL can hold and
    which Django's filters would hand on to it. Our pages and the API name the field that is wrong."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith("/admin/") and "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("The address holds a NUL.")
        return get_response(request)

    return answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001  (Django's signature)
    """400: the request itself cannot be understood."""
    return _answer(request, 400, "The request cannot be understood.")


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001  (Django's signature)
    """403: known, but not allowed."""
    return _answer(request, 403, "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:  # noqa: ARG001  (Django's signature)
    """404: nothing there, or nothing that this visitor may see."""
    return _answer(
        request, 404, f"There is nothing at {request.path}. /api/docs/ lists every address."
    )


def server_error(request: HttpRequest) -> HttpResponseBase:
    """500: our fault, and noted in the log. 503 where it is only that the database is away, restarted or
    full: then the same request is right in a moment, and a stack would tell nobody anything."""
    error = sys.exc_info()[1]  # Django asks for this answer while it handles the exception
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("web.database_away", path=request.path, error=type(error).__name__)
        response = _answer(request, 503, DATABASE_AWAY)
        response["Retry-After"] = "5"
        # Marks the answer as logged, so that Django adds no stack for each visitor.
        log_response("%s", DATABASE_AWAY, response=response, request=request, level="debug")
        return response
    return _answer(request, 500, "Something broke on our side; it was noted. Try again later.")


def _answer(request: HttpRequest, status: int, detail: str) -> HttpResponse:
    if request.path.startswith("/api/"):
        return problem_response(status, detail)
    # Without the request: no context processor may fail while a failure is being shown.
    page = render_to_string(f"{status}.html", {"demo": settings.SYNC_DEMO})
    return HttpResponse(page, status=status)
