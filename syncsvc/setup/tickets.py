"""The `state` that goes to GitHub and must come back: signed, for one session, once, within the hour.

Hides where the open ones are kept: in the session itself, read again under a lock, so that of two
answers that come at once only one is taken.
"""

import secrets
import time
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase
from django.core import signing
from django.db import connection, transaction
from django.http import HttpRequest

LIVES: Final = 3600
MOST: Final = 5
_KEY: Final = "setup_tickets"
_SALT: Final = "setup ticket"
_LOCK: Final = 0x5E7_0001


def issue(request: HttpRequest, version: str) -> str:
    """A new ticket; `version` is what was stored when it was issued, and comes back with it."""
    nonce = secrets.token_urlsafe(18)
    now = int(time.time())
    kept = {name: held for name, held in _open(request.session).items() if held["at"] > now - LIVES}
    newest = sorted(kept.items(), key=lambda each: each[1]["at"])[-(MOST - 1) :]
    request.session[_KEY] = dict(newest) | {nonce: {"at": now, "version": version}}
    return signing.dumps({"n": nonce, "u": request.user.pk}, salt=_SALT)


def redeem(request: HttpRequest, state: str) -> str | None:
    """The version that the ticket was issued for; None for one that is foreign, used or too old."""
    try:
        told = signing.loads(state, salt=_SALT, max_age=LIVES)
    except signing.BadSignature:
        return None
    key = request.session.session_key
    if told.get("u") != request.user.pk or key is None:
        return None
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        fresh = type(request.session)(key)
        held = _open(fresh)
        found = held.pop(told["n"], None)
        fresh[_KEY] = held
        fresh.save()
    request.session[_KEY] = held
    return None if found is None else str(found["version"])


def _open(session: SessionBase) -> dict[str, Any]:
    found = session.get(_KEY)
    return dict(found) if isinstance(found, dict) else {}
