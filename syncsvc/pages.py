"""The pages for members: what is mirrored, how it is going, and the button that asks for a sync."""

from typing import Any

from django.conf import settings
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest


def context(_request: HttpRequest) -> dict[str, Any]:
    """Context processor: what every template may need to know of the settings."""
    return {"demo": settings.SYNC_DEMO, "base_url": settings.BASE_URL}


class LogIn(LoginView):
    """The way in."""

    template_name = "syncsvc/login.html"
    redirect_authenticated_user = True


class LogOut(LogoutView):
    """The way out; by POST only."""
