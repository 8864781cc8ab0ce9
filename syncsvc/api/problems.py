"""Errors of the API as problem details (RFC 9457) that name the field."""

from http import HTTPStatus
from typing import Any

from django.http import JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

CONTENT_TYPE = "application/problem+json"


class Conflict(exceptions.APIException):
    """The request is fine, but things are no longer as it takes them to be."""

    status_code = 409
    default_detail = "The present state does not allow this."
    default_code = "conflict"


def problem_details(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: the same status, the body as `application/problem+json`."""
    response = exception_handler(error, context)
    if response is None:
        return None
    if isinstance(error, exceptions.ValidationError):
        errors = response.data if isinstance(response.data, dict) else {"request": response.data}
        detail = "; ".join(f"{name}: {_first(texts)}" for name, texts in errors.items())
        response.data = _problem(response.status_code, detail) | {"errors": errors}
    else:
        detail = response.data.get("detail", "") if isinstance(response.data, dict) else ""
        response.data = _problem(response.status_code, str(detail))
    response.content_type = CONTENT_TYPE
    return response


def problem_response(status: int, detail: str) -> JsonResponse:
    """Problem details for a request that never reached a view of the API."""
    return JsonResponse(_problem(status, detail), status=status, content_type=CONTENT_TYPE)


def _problem(status: int, detail: str) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }


def _first(texts: object) -> str:
    """The first sentence of an error, however deep it is nested."""
    while isinstance(texts, list | dict) and texts:
        texts = texts[0] if isinstance(texts, list) else next(iter(texts.values()))
    return str(texts)
