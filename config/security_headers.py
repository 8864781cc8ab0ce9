"""What browsers may do with our pages: one strict policy, and its exceptions by address (R18.6).

Scripts, styles, pictures and requests come from this server or not at all; nothing inline runs.
A page that needs more says so where it is served (`csp.decorators.csp_update`); only the admin,
which is not ours, is treated here.
"""

from typing import Any, Final

from csp.constants import NONE, SELF, UNSAFE_EVAL
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

POLICY: Final[dict[str, Any]] = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
        "object-src": [NONE],
    }
}
# The admin's Alpine.js compiles the expressions in its templates; nothing inline runs there either.
ADMIN: Final[dict[str, Any]] = {"script-src": [UNSAFE_EVAL]}
ADMIN_PATH, OURS_IN_IT = "/admin/", "/admin/sync-health"
PERMISSIONS: Final = ", ".join(
    f"{feature}=()"
    for feature in (
        "accelerometer", "autoplay", "browsing-topics", "camera", "display-capture", "encrypted-media",
        "geolocation", "gyroscope", "magnetometer", "microphone", "midi", "payment",
        "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking",
    )
)  # fmt: skip


class SecurityHeaders(CSPMiddleware):
    """Middleware: every answer carries the policy, errors and static files included."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        """Content-Security-Policy, and that no page of ours wants a camera or anything like it. What is
        not said to be for everybody (static files) is kept in nobody's cache: it is some tenant's, or a
        token."""
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        response.headers.setdefault("Cache-Control", "private, no-store")
        return super().process_response(request, response)

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """The policy of the settings, what a view added to it, and what the admin needs."""
        parts = super().get_policy_parts(request, response, report_only)
        if request.path.startswith(ADMIN_PATH) and not request.path.startswith(OURS_IN_IT):
            parts.update = ADMIN | (parts.update or {})
        return parts
