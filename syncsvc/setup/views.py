"""What the pages of the set-up share: who may see them, and what is stored now, without secrets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters

from syncsvc import credentials
from syncsvc.models import Credential
from syncsvc.pages import members_only
from syncsvc.setup import manifest, store

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A stored credential as a page may show it."""

    kind: str
    title: str
    row: Credential
    version: str
    trouble: str
    has_secret: bool
    install_url: str


def superusers_only(view: View) -> View:
    """Whoever may read all keys anyway; what they type is hidden from error reports."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_superuser:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return members_only(sensitive_post_parameters()(answer))


def stored() -> list[Stored]:
    """What was set up by clicks, the App first."""
    found = []
    for row in Credential.objects.select_related("created_by").order_by("kind"):
        is_app = row.kind == Credential.Kind.APP
        found.append(
            Stored(
                kind=row.kind,
                title=f"GitHub App “{row.name or row.app_id}”"
                if is_app
                else "Personal access token",
                row=row,
                version=store.version_of(row),
                trouble=_trouble(row),
                has_secret=row.webhook_secret is not None,
                install_url=manifest.install_url(row.html_url),
            )
        )
    return found


def show(
    request: HttpRequest, template: str, context: dict[str, Any], status: int = 200
) -> HttpResponse:
    """A page of the set-up, with what each of them has to say first."""
    first = {
        "environment": credentials.in_environment(),
        "environment_wins": credentials.environment_wins(),
        "api_url": settings.GITHUB_API_URL,
    }
    return render(request, f"syncsvc/{template}", first | context, status=status)


def origin(request: HttpRequest) -> str:
    """Where this visitor finds us: GitHub sends the browser back to where the session is."""
    return request.build_absolute_uri("/").rstrip("/")


def _trouble(row: Credential) -> str:
    known = credentials.opened(row)
    return " ".join(known.troubles)
