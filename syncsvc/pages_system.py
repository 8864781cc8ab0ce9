"""The page *System*: which processes live, what waits for them, and what to do about the dead.

For staff: it tells of all accounts at once, and of the machines.
"""

from typing import Final

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from syncsvc import clock, heartbeats, selectors, watchman
from syncsvc.pages import members_only

NAMES: Final = {
    heartbeats.WORKER: "Worker",
    heartbeats.CLERK: "Clerk",
    heartbeats.BEAT: "Scheduler (beat)",
    heartbeats.SWEEPER: "Sweeper",
    heartbeats.DRAIN: "Deliveries",
}
WHAT: Final = {
    heartbeats.WORKER: "carries out syncs",
    heartbeats.CLERK: "carries out what is short: the sweeper, the schedule, deliveries",
    heartbeats.BEAT: "says what is due",
    heartbeats.SWEEPER: "finds jobs whose message was lost or whose worker died",
    heartbeats.DRAIN: "processes webhook deliveries that wait",
}


@members_only
@require_safe
def system(request: HttpRequest) -> HttpResponse:
    """Everything at a glance; reads only."""
    if not selectors.sees_everything(request.user):
        raise PermissionDenied
    found = watchman.read(clock.now())
    return render(
        request,
        "syncsvc/system.html",
        {
            "system": found,
            "processes": [_row(sign) for sign in found.processes],
            "duties": [_row(sign) for sign in found.duties],
        },
    )


def _row(sign: heartbeats.Sign) -> dict[str, object]:
    detail = dict(sign.detail)
    queues = ", ".join(detail.get("queues", []))
    slots = detail.get("slots")
    return {
        "sign": sign,
        "name": NAMES.get(sign.component, sign.component),
        "what": WHAT.get(sign.component, ""),
        "about": f"{slots} slots for {queues}" if queues else "",
    }
