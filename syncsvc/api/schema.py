"""The OpenAPI description of what all views share: what each operation is called, and every way in which
it can fail. A failure that cannot happen is not listed, so that who writes a client knows what to handle."""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar

from drf_spectacular.openapi import AutoSchema
from rest_framework.permissions import IsAuthenticated

from syncsvc.api.problems import CONTENT_TYPE
from syncsvc.api.serializers import ProblemSerializer
from syncsvc.api.strict import StrictSerializer

Function = TypeVar("Function", bound=Callable[..., Any])

MEANINGS: Final = {
    "400": "A parameter or a field cannot be used; `errors` names it.",
    "401": "Who asks is not known: no token, or one that is not valid any more.",
    "403": "Your role does not allow it, or a browser's request lacks the CSRF token.",
    "404": "There is no such thing, or none that you may see.",
    "406": "Only JSON can be had.",
    "409": "The present state does not allow it; `detail` says why.",
    "415": "The body must be JSON.",
    "423": "Blocked until somebody acts; the decision says why.",
    "429": "Too many requests.",
    "503": "The database does not answer: the same request is right in a moment.",
}
WAITS: Final = frozenset({"429", "503"})
RETRY_AFTER: Final = {
    "Retry-After": {
        "description": "After how many seconds to come back.",
        "schema": {"type": "integer"},
    }
}
AUTHENTICATE: Final = {
    "WWW-Authenticate": {"description": "How to say who asks.", "schema": {"type": "string"}}
}


class ProblemSchema(AutoSchema):
    """drf-spectacular's description of a view, plus its name and its errors."""

    def get_summary(self) -> str | None:
        """Lists and single rows are called by their resource; everything else says its name itself."""
        summary: str | None = super().get_summary()
        if summary:
            return summary
        name = str(getattr(self.view, "basename", "")).replace("-", " ")
        if getattr(self.view, "action", "") == "list":
            return f"List {self._plural()}"
        return f"Read one {name}"

    def _plural(self) -> str:
        return str(self.path).rstrip("/").rsplit("/", 1)[-1].replace("-", " ")

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> Any:
        bodies = super()._get_response_bodies(direction)
        for code in self._failures() | (WAITS & set(bodies)):
            self._add(bodies, code, direction)
        for code, body in bodies.items():
            if not body.get("description"):
                body["description"] = MEANINGS.get(code, "Done.")
        return {code: bodies[code] for code in sorted(bodies)}

    def _failures(self) -> set[str]:
        """The statuses with which this operation can refuse."""
        view, writes = self.view, self.method == "POST"
        codes = {"401", "406", "429", "503"}
        permissions = set(view.permission_classes)
        if view.filter_backends if hasattr(view, "filter_backends") else not writes:
            codes.add("400")  # an unknown parameter is refused, of a single row too
        if self._get_request_body():
            codes |= {"400", "415"}
        if self._is_paged():
            codes.add("400")
        if (writes and view.get_authenticators()) or permissions - {IsAuthenticated}:
            codes.add("403")
        if "{" in self.path or self.names_a_row():
            codes.add("404")
        if self.names_a_row():
            codes.add("400")
        return codes | set(getattr(self._action(), "refusals", ()))

    def names_a_row(self) -> bool:
        """Whether a parameter of the query leads to a row that may not be there."""
        return bool(getattr(self.view, "names_a_row", False))

    def _is_paged(self) -> bool:
        return self._is_list_view() and getattr(self.view, "paginator", None) is not None

    def _action(self) -> Any:
        return getattr(self.view, getattr(self.view, "action", "") or self.method.lower(), None)

    def _add(self, bodies: dict[str, Any], code: str, direction: Any) -> None:
        """One more refusal; where a status has an answer of its own already, either can come."""
        problem = self._get_response_for_code(
            ProblemSerializer, code, media_types=[CONTENT_TYPE], direction=direction
        )
        body = bodies.setdefault(code, {"content": {}, "description": MEANINGS[code]})
        body.setdefault("content", {}).update(problem["content"])
        if code in WAITS:
            body["headers"] = RETRY_AFTER
        if code == "401":
            body["headers"] = AUTHENTICATE

    def _map_serializer(
        self, serializer: Any, direction: Any, bypass_extensions: Any = False
    ) -> Any:
        described = super()._map_serializer(serializer, direction, bypass_extensions)
        if isinstance(serializer, StrictSerializer):
            described["additionalProperties"] = False  # what would be ignored is refused
        return described


def refuses(*codes: int) -> Callable[[Function], Function]:
    """Decorates an action with the statuses by which it refuses, beside those that all such have."""

    def mark(function: Function) -> Function:
        function.refusals = frozenset(map(str, codes))  # type: ignore[attr-defined]  # ours
        return function

    return mark
