"""The page Set-up: what is done, what comes next, and the accounts that were found (R2.1)."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from config import demo
from syncsvc import cards, connect, credentials, discovery, events, selectors
from syncsvc.github.errors import GitHubError
from syncsvc.models import Credential, Installation, SyncJob
from syncsvc.policy import Action
from syncsvc.service import SyncService
from syncsvc.setup import forms, manifest, store, trial
from syncsvc.setup.views import show, stored, superusers_only

CARDS: int = 12


@superusers_only
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """Where the set-up stands; reads only, so GitHub may lead here."""
    if settings.SYNC_DEMO:
        return show(request, "setup_demo.html", {"left": demo.has_left()})
    known = credentials.current()
    ready = (known.app is not None or known.token is not None) and not _unusable(known)
    rows = selectors.installations(request.user).exclude(status=Installation.Status.UNINSTALLED)
    found = rows.count()
    synced = rows.filter(last_synced_at__isnull=False).count()
    return show(
        request,
        "setup.html",
        {
            "stored": stored(),
            "troubles": known.troubles,
            "ready": ready,
            "app": known.app,
            "install_url": manifest.install_url(known.app.html_url) if known.app else "",
            "found": found,
            "synced": synced,
            "waiting": rows.filter(last_listed_at__isnull=True, status=Installation.Status.ACTIVE)
            .exclude(jobs__status__in=SyncJob.ACTIVE)
            .count(),
            "cards": cards.read(request.user, rows.order_by("last_synced_at", "pk")[:CARDS]),
            "more": max(0, found - CARDS),
            "came_from_install": "installation_id" in request.GET,
        },
    )


@superusers_only
@require_POST
def find(request: HttpRequest) -> HttpResponse:
    """Asks GitHub which accounts there are, and for the first sync of each that never had one."""
    if settings.SYNC_DEMO:
        return redirect("setup")
    try:
        _is_there()  # a GitHub that does not answer is known in seconds
        found = discovery.discover()
    except GitHubError as error:
        messages.error(request, error.sentence)
        return redirect("setup")
    if not found:
        messages.warning(
            request,
            "GitHub knows of no account yet on which the App is installed. Install it on one, and "
            "look again.",
        )
        return redirect("setup")
    begun = sum(_first_sync(each.installation, request.user) for each in found)
    accounts = f"{len(found)} account{'' if len(found) == 1 else 's'} found"
    messages.success(request, f"{accounts}; {begun} first sync{'' if begun == 1 else 's'} started.")
    return redirect("setup")


@superusers_only
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: HttpRequest, kind: str) -> HttpResponse:
    """Asks once more, then forgets a credential."""
    row = get_object_or_404(Credential, kind=kind)
    if request.method != "POST":
        return show(request, "setup_remove.html", {"row": row, "version": store.version_of(row)})
    try:
        store.remove(request.user, kind, seen=request.POST.get("seen", ""))
    except store.Changed as changed:
        messages.error(request, str(changed))
    else:
        messages.success(request, "Removed. What was mirrored stays; nothing new is read.")
    return redirect("setup")


@superusers_only
@require_http_methods(["GET", "HEAD", "POST"])
def webhook_secret(request: HttpRequest, kind: str) -> HttpResponse:
    """Changes what signs webhooks; two at once while it is changed at GitHub."""
    row = get_object_or_404(Credential, kind=kind)
    form = forms.ChangedSecret(request.POST or None)
    context: dict[str, Any] = {"row": row, "form": form, "version": store.version_of(row)}
    if request.method != "POST":
        return show(request, "setup_secret.html", context)
    if not form.is_valid():
        return show(request, "setup_secret.html", context, status=400)
    try:
        store.save_webhook_secret(
            request.user,
            kind,
            seen=request.POST.get("seen", ""),
            webhook_secret=form.cleaned_data["webhook_secret"],
        )
    except store.Changed as changed:
        messages.error(request, str(changed))
    else:
        messages.success(request, "The webhook secret was changed; it counts within seconds.")
    return redirect("setup")


@superusers_only
@require_POST
def leave_demo(request: HttpRequest) -> HttpResponse:
    """From the next start on, a real GitHub is mirrored."""
    if settings.SYNC_DEMO and not demo.has_left():
        demo.leave()
        events.emit("demo.left", user_id=request.user.pk, installation_id=None, job_id=None)
    return redirect("setup")


def _unusable(known: credentials.Known) -> bool:
    """Whether no way to GitHub that is stored can be read."""
    ways = [way for way in (known.app, known.token) if way is not None]
    return all(way.trouble for way in ways)


def _is_there() -> None:
    if connect.has_app():
        with connect.trial_app() as app:
            trial.is_app_taken(app)
    if connect.has_token():
        with connect.trial_token() as client:
            trial.is_token_taken(client)


def _first_sync(installation: Installation, user: Any) -> bool:
    if installation.last_listed_at or installation.status != Installation.Status.ACTIVE:
        return False
    decision = SyncService.request(
        installation.pk, SyncJob.Trigger.INITIAL, mode=SyncJob.Mode.FULL, user=user
    )
    return decision.action is Action.START
