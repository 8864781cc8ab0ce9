"""Hears what happens on the floors below and looks at the account at once, instead of in a minute.

Hides that nothing which goes wrong here reaches whoever spoke: a look that failed is made up for by
the next one.
"""

from functools import partial
from typing import Any, Final

import structlog
from django.db import transaction

from alerts import incidents, selectors
from syncsvc import events

log = structlog.get_logger(__name__)

#: What can begin or end a problem.
HEARD: Final = frozenset(
    {
        "sync.job.completed",
        "sync.job.failed",
        "sync.breaker.opened",
        "sync.breaker.half_open",
        "sync.breaker.closed",
        "installation.reinstalled",
        "installation.uninstalled",
        "installation.unsuspended",
        "review.opened",
        "review.decided",
        "review.withdrawn",
        "integrity.found",
        "audit.completed",
    }
)


def connect() -> None:
    """Begins to listen; once, however often it is called."""
    events.happened.connect(hear, dispatch_uid="alerts.listening")


def hear(*, name: str, fields: dict[str, Any], **_: Any) -> None:
    """Looks at the account that the event is about, once what it tells is committed."""
    installation_id = fields.get("installation_id")
    if name in HEARD and isinstance(installation_id, int):
        went_well = name == "sync.job.completed" and fields.get("status") == "succeeded"
        transaction.on_commit(partial(_look, installation_id, went_well=went_well))


def _look(installation_id: int, *, went_well: bool) -> None:
    """Looks at the account. A run that went well can only end problems; where there are none it is
    left to the look of every minute, so that each of many runs costs one query."""
    try:
        if not went_well or selectors.open_of(installation_id).exists():
            incidents.review(installation_id)
    except Exception:  # whoever spoke has done its work, and the next look is a minute away
        log.exception("incident.review_failed", installation_id=installation_id)
