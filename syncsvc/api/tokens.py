"""JSON web tokens: a username and a password against a pair of them, and a new one for an old one.

A token is as good as who holds it: not after they were switched off or removed, and not after their
password was changed. Roles are not in it; they are looked up with each request.
"""

from typing import Any, NoReturn

from django.contrib.auth.signals import user_logged_in
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import AnonRateThrottle
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.serializers import TokenRefreshSerializer
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from syncsvc import attempts
from syncsvc.api.schema import ProblemSchema


class TokenView(TokenObtainPairView):
    """Username and password against a pair of tokens: access for 30 minutes, refresh for a day."""

    schema = ProblemSchema()
    filter_backends = ()
    throttle_classes = (AnonRateThrottle, attempts.LogInThrottle)
    checked: Any = None

    def get_serializer(self, *args: Any, **options: Any) -> Any:
        """What checks the password; it knows the user afterwards."""
        self.checked = super().get_serializer(*args, **options)
        return self.checked

    def throttled(self, request: Request, wait: float) -> NoReturn:  # noqa: ARG002  (the signature is DRF's)
        """Too many, of all requests or of attempts that failed."""
        raise Throttled(wait, detail="Too many attempts to log in.")

    @extend_schema(summary="Log in for a pair of tokens")
    def post(self, request: Request, *args: Any, **options: Any) -> Response:
        """Username and password against a pair of tokens: access for 30 minutes, refresh for a day.

        Five wrong passwords for one name within five minutes are answered with 429 until those are over.
        """
        response = super().post(request, *args, **options)
        user = self.checked.user  # said as a login in a browser says it
        user_logged_in.send(sender=type(user), request=request, user=user)
        return response


class RefreshSerializer(TokenRefreshSerializer):
    """A refresh token whose owner is still who they were."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        """Refuses one of somebody who is gone, was switched off, or has another password by now."""
        JWTAuthentication().get_user(self.token_class(attrs["refresh"]))
        refreshed: dict[str, str] = super().validate(attrs)
        return refreshed


class RefreshView(TokenRefreshView):
    """A refresh token against a new access token."""

    schema = ProblemSchema()
    filter_backends = ()
    serializer_class = RefreshSerializer

    @extend_schema(summary="Refresh an access token")
    def post(self, request: Request, *args: Any, **options: Any) -> Response:
        """A refresh token against a new access token. 401 once its owner was switched off or has another
        password: then log in again."""
        return super().post(request, *args, **options)
