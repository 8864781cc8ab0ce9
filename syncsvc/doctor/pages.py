"""The page of the doctor: what this server knows is fresh, what GitHub said is kept in the session."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from syncsvc import clock, selectors
from syncsvc.doctor import checks, checks_github, gather
from syncsvc.doctor.facts import Finding
from syncsvc.pages import members_only

_KEY: Final = "doctor"
AGAIN_SECONDS: Final = 10
#: So long an answer of GitHub is shown.
BELIEVED: Final = timedelta(hours=1)
TONES: Final = {
    checks.OK: ("good", "In order"),
    checks.WARNING: ("warn", "Look at it"),
    checks.BAD: ("bad", "Mend it"),
    checks.UNKNOWN: ("quiet", "Not known"),
}
GROUPS: Final = (checks.GITHUB, checks.WEBHOOKS, checks.SERVER, checks.SAFETY)


@members_only
@require_http_methods(["GET", "HEAD", "POST"])
def doctor(request: HttpRequest) -> HttpResponse:
    """What is in order and what is not; by POST GitHub is asked too."""
    if not selectors.sees_everything(request.user):
        raise PermissionDenied
    if request.method == "POST":
        if request.POST.get("do") == "send-again":
            messages.info(request, gather.send_again())
        else:
            _ask(request)
        return redirect("doctor")
    facts = gather.local()
    kept = [_of_json(each) for each in request.session.get(_KEY, [])]
    if not all(timedelta(0) <= facts.now - each.at <= BELIEVED for each in kept):
        kept = []  # what was in order then says nothing of now
    found = checks.judge(facts) + kept
    trouble = [each for each in found if each.state in (checks.BAD, checks.WARNING)]
    is_known = bool(kept) and all(each.state != checks.UNKNOWN for each in found)
    return render(
        request,
        "syncsvc/doctor.html",
        {
            "worst": TONES[checks.worst(found)],
            "is_well": not trouble and is_known,
            "is_unknown": not trouble and not is_known,
            "bad": sum(each.state == checks.BAD for each in found),
            "warnings": sum(each.state == checks.WARNING for each in found),
            "groups": [
                (name, _sorted([each for each in found if each.group == name])) for name in GROUPS
            ],
            "has_hook": any(way.kind == "app" and not way.trouble for way in facts.ways),
            "asked_at": kept[0].at if kept else None,
            "more_accounts": facts.more_accounts,
        },
    )


def _ask(request: HttpRequest) -> None:
    """At most every few seconds, however often somebody presses."""
    kept = request.session.get(_KEY) or []
    if kept:
        age = (clock.now() - datetime.fromisoformat(kept[0]["at"])).total_seconds()
        if 0 <= age < AGAIN_SECONDS:
            messages.info(request, "GitHub was asked seconds ago: this is what it said.")
            return
    asked = gather.ask_github()
    found = checks_github.judge(gather.local(), asked)
    request.session[_KEY] = [each.as_json() for each in found]


def _sorted(found: list[Finding]) -> list[dict[str, Any]]:
    ordered = sorted(found, key=lambda each: checks.ORDER.index(each.state))
    return [
        {"finding": each, "tone": TONES[each.state][0], "word": TONES[each.state][1]}
        for each in ordered
    ]


def _of_json(kept: dict[str, Any]) -> Finding:
    return Finding(**(kept | {"at": datetime.fromisoformat(kept["at"])}))
