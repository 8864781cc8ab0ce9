"""Structured events: each is one JSON log line and one signal for whoever listens above (R3.6)."""

from typing import Any

import structlog
from django.dispatch import Signal

log = structlog.get_logger("events")

#: Sent with `name` and `fields`. Listeners must not fail the sender: `send_robust` keeps them apart.
happened = Signal()


def emit(name: str, **fields: Any) -> None:
    """Says that `name` happened (`sync.request`, `sync.job.started`, `.progress`, `.blocked`,
    `.completed`, `.failed`, ...), with the fields that R3.6 names."""
    log.info(name, **fields)
    for receiver, answer in happened.send_robust(sender=None, name=name, fields=fields):
        if isinstance(answer, Exception):
            log.error("event.listener_failed", receiver=repr(receiver), exc_info=answer)
