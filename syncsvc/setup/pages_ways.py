"""The three ways to GitHub: an App that GitHub makes for us, an App that is there, a token (R2.1)."""

import json
from typing import Any, Final

from csp.decorators import csp_update
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_safe

from syncsvc.models import Credential
from syncsvc.setup import forms, manifest, store, tickets, trial
from syncsvc.setup.views import origin, show, superusers_only

AGAIN: Final = "Begin again with “Create a GitHub App”."


@superusers_only
@require_http_methods(["GET", "HEAD", "POST"])
def new_app(request: HttpRequest) -> HttpResponseBase:
    """Name and owner of the App; then what GitHub will be asked, with the button that leads there."""
    if settings.SYNC_DEMO:
        return redirect("setup")
    if request.method != "POST":
        first = {"name": "", "organization": "", "webhook_url": _usual_hook()}
        return _ask_for_app(request, forms.NewApp(initial=first))
    form = forms.NewApp(request.POST)
    if not form.is_valid():
        return _ask_for_app(request, form, status=400)
    given = form.cleaned_data
    built = manifest.build(
        name=given["name"], origin=origin(request), webhook_url=given["webhook_url"]
    )
    state = tickets.issue(request, store.version(Credential.Kind.APP))
    context = {
        "manifest": built,
        "manifest_text": json.dumps(built),
        "given": given,
        "action": manifest.new_app_url(settings.GITHUB_API_URL, given["organization"], state),
        "unreachable": given["webhook_url"]
        and manifest.unreachable(given["webhook_url"], settings.GITHUB_API_URL),
        "github": manifest.web_root(settings.GITHUB_API_URL),
    }

    @csp_update({"form-action": [context["github"]]})
    def shown(request: HttpRequest) -> HttpResponseBase:
        return show(request, "setup_to_github.html", context)

    return shown(request)


@superusers_only
@require_safe
def from_github(request: HttpRequest) -> HttpResponse:
    """GitHub leads back here with a code. Whatever comes twice does nothing twice."""
    code, state = request.GET.get("code", ""), request.GET.get("state", "")
    seen = tickets.redeem(request, state) if code and state else None
    if seen is None:
        messages.error(
            request,
            "This answer of GitHub's was used already, is older than an hour, or was meant for "
            f"somebody else: nothing was changed. If no App shows below, {AGAIN[0].lower()}{AGAIN[1:]}",
        )
        return redirect("setup")
    if store.version(Credential.Kind.APP) != seen:
        messages.error(
            request,
            "Another App was set up here meanwhile, so the new one was not taken. Delete it at "
            "GitHub, or begin again to put it in the other's place.",
        )
        return redirect("setup")
    try:
        made = trial.new_app(code)
        store.save_app(
            request.user,
            seen=seen,
            app_id=str(made.app.github_id),
            key=made.key,
            webhook_secret=made.webhook_secret,
            slug=made.app.slug,
            name=made.app.name,
            html_url=made.app.html_url,
        )
    except (trial.NotUsable, store.Changed) as problem:
        messages.error(request, str(problem))
    else:
        messages.success(
            request,
            f"The App “{made.app.name}” was created, and its keys are stored encrypted. Next: "
            "install it on an account.",
        )
    return redirect("setup")


@superusers_only
@require_http_methods(["GET", "HEAD", "POST"])
def existing_app(request: HttpRequest) -> HttpResponse:
    """Id, key and webhook secret of an App that is there; tried before they are stored."""
    if settings.SYNC_DEMO:
        return redirect("setup")
    form = forms.ExistingApp(request.POST or None, request.FILES or None)
    if request.method != "POST":
        return _ask(request, "setup_existing.html", Credential.Kind.APP, form)
    if not form.is_valid():
        return _ask(request, "setup_existing.html", Credential.Kind.APP, form, status=400)
    given = form.cleaned_data
    app_id = given["app_id"].strip()
    try:
        _confirmed(request)
        seen = trial.app(app_id, given["key"])
        store.save_app(
            request.user,
            seen=request.POST.get("seen", ""),
            app_id=app_id,
            key=given["key"],
            webhook_secret=given["webhook_secret"],
            slug=seen.slug,
            name=seen.name,
            html_url=seen.html_url,
        )
    except (trial.NotUsable, store.Changed) as problem:
        form.add_error(None, str(problem))
        return _ask(request, "setup_existing.html", Credential.Kind.APP, form, status=400)
    messages.success(request, f"GitHub knows the App “{seen.name}”: stored, encrypted.")
    if lacks := trial.lacking(dict(seen.permissions)):
        what = ", ".join(manifest.NEEDED_FOR[name] for name in lacks)
        names = ", ".join(lacks)
        messages.warning(
            request,
            f"The App may not read {what}, so these are not mirrored. Give it read access to {names} "
            "at GitHub, and accept that for each account.",
        )
    return redirect("setup")


@superusers_only
@require_http_methods(["GET", "HEAD", "POST"])
def token(request: HttpRequest) -> HttpResponse:
    """A personal access token and whom it mirrors; tried before it is stored."""
    if settings.SYNC_DEMO:
        return redirect("setup")
    form = forms.PastedToken(request.POST or None)
    if request.method != "POST":
        return _ask(request, "setup_token.html", Credential.Kind.TOKEN, form)
    if not form.is_valid():
        return _ask(request, "setup_token.html", Credential.Kind.TOKEN, form, status=400)
    given = form.cleaned_data
    try:
        _confirmed(request)
        seen = trial.token(given["token"], given["owner"])
        store.save_token(
            request.user,
            seen=request.POST.get("seen", ""),
            token=given["token"].strip(),
            owner=seen.owner,
            webhook_secret=given["webhook_secret"],
        )
    except (trial.NotUsable, store.Changed) as problem:
        form.add_error(None, str(problem))
        return _ask(request, "setup_token.html", Credential.Kind.TOKEN, form, status=400)
    messages.success(request, f"The token may read {seen.owner}: stored, encrypted.")
    return redirect("setup")


def _ask_for_app(request: HttpRequest, form: forms.NewApp, status: int = 200) -> HttpResponse:
    context = {
        "form": form,
        "stored": Credential.objects.filter(kind=Credential.Kind.APP).first(),
        "base_hook": settings.BASE_URL + manifest.DOOR,
        "unreachable": manifest.unreachable(settings.BASE_URL, settings.GITHUB_API_URL),
        "github": manifest.web_root(settings.GITHUB_API_URL),
    }
    return show(request, "setup_new_app.html", context, status)


def _usual_hook() -> str:
    if manifest.unreachable(settings.BASE_URL, settings.GITHUB_API_URL):
        return ""
    return settings.BASE_URL + manifest.DOOR


def _ask(
    request: HttpRequest, template: str, kind: str, form: Any, status: int = 200
) -> HttpResponse:
    row = Credential.objects.filter(kind=kind).first()
    context = {"form": form, "row": row, "version": store.version_of(row)}
    return show(request, template, context, status)


def _confirmed(request: HttpRequest) -> None:
    """What is there is only replaced by whoever says so."""
    if request.POST.get("seen") != store.NONE and not request.POST.get("replace"):
        raise trial.NotUsable("Something is stored already: tick the box to put this in its place.")
