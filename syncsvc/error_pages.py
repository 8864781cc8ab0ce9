"""What people and programs see when an address leads nowhere or the product itself breaks.

Programs (`/api/`) get problem details, people a page; neither needs the database. Django passes
every handler its exception by name.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.loader import render_to_string

from syncsvc.api.problems import problem_response


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
    """500: our fault, and noted in the log."""
    return _answer(request, 500, "Something broke on our side; it was noted. Try again later.")


def _answer(request: HttpRequest, status: int, detail: str) -> HttpResponseBase:
    if request.path.startswith("/api/"):
        return problem_response(status, detail)
    # Without the request: no context processor may fail while a failure is being shown.
    page = render_to_string(f"{status}.html", {"demo": settings.SYNC_DEMO})
    return HttpResponse(page, status=status)
