"""The OpenAPI description of what all views share: any error is problem details."""

from typing import Any, Literal

from drf_spectacular.openapi import AutoSchema

from syncsvc.api.problems import CONTENT_TYPE
from syncsvc.api.serializers import ProblemSerializer


class ProblemSchema(AutoSchema):
    """drf-spectacular's description of a view, plus its errors."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        error = self._get_response_for_code(
            ProblemSerializer, "default", media_types=[CONTENT_TYPE], direction=direction
        )
        return bodies | {"default": error | {"description": "What went wrong, and where."}}
