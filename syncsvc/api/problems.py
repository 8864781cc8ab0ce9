"""Errors of the API as problem details (RFC 9457) that name the field."""

from typing import Any

from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler


def problem_details(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: the same status, the body as `application/problem+json`."""
    response = exception_handler(error, context)
    if response is None:
        return None
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": response.status_text,
        "status": response.status_code,
    }
    if isinstance(error, exceptions.ValidationError):
        problem["detail"] = "The request has fields that cannot be used."
        problem["errors"] = response.data
    else:
        data = response.data
        problem["detail"] = str(data.get("detail", "")) if isinstance(data, dict) else str(data)
    response.data = problem
    response.content_type = "application/problem+json"
    return response
