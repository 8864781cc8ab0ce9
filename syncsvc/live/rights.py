"""Who listens, and whether they still may: asked for all streams of a process with two queries."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.conf import settings
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import Token

from syncsvc import selectors

# What makes a viewer who they are. The password's hash: a new one ends what was begun with the old.
PEOPLE: Final = """
    SELECT person.id, person.is_active, person.is_staff OR person.is_superuser,
           encode(sha256(convert_to(person.password, 'UTF8')), 'hex'),
           ARRAY(SELECT installation_id FROM syncsvc_membership WHERE user_id = person.id)
    FROM auth_user person WHERE person.id = ANY(%s)
"""
SESSIONS: Final = (
    "SELECT session_key FROM django_session WHERE session_key = ANY(%s) AND expire_date > now()"
)
_KEPT_IN_DATABASE: Final = ("backends.db", "backends.cached_db")


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewer:
    """Somebody with the rights of the moment in which they came."""

    user_id: int
    #: None: all of them.
    installations: frozenset[int] | None
    password: str
    session: str | None = None
    #: The end of their token, in seconds since 1970.
    expires: float | None = None

    def sees(self, installation_id: int) -> bool:
        """Whether events of this account are for them."""
        return self.installations is None or installation_id in self.installations


def of(request: Request) -> Viewer:
    """Who asks."""
    user: Any = request.user  # the view lets nobody else in
    everything = selectors.sees_everything(user)
    return Viewer(
        user_id=user.pk,
        installations=None if everything else frozenset(selectors.member_of(user)),
        password=hashlib.sha256(user.password.encode()).hexdigest(),
        session=None if request.auth else _session(request),
        expires=float(request.auth["exp"]) if isinstance(request.auth, Token) else None,
    )


def _session(request: Request) -> str | None:
    """The key of the session that let them in, where the database keeps sessions."""
    if not settings.SESSION_ENGINE.endswith(_KEPT_IN_DATABASE):
        return None
    session = getattr(request, "session", None)
    return session.session_key if session else None


def ended(
    viewers: Iterable[Viewer],
    people: Iterable[tuple[Any, ...]],
    sessions: Iterable[tuple[Any, ...]],
) -> set[Viewer]:
    """Those whose rights are not what they were when they came, given the rows of now."""
    now = time.time()
    known = {row[0]: row[1:] for row in people}
    alive = {row[0] for row in sessions}
    gone = set()
    for viewer in viewers:
        active, everything, password, members = known.get(viewer.user_id, (False, False, "", ()))
        installations = None if everything else frozenset(members)
        same = active and password == viewer.password and installations == viewer.installations
        expired = viewer.expires is not None and viewer.expires <= now
        if not same or expired or (viewer.session is not None and viewer.session not in alive):
            gone.add(viewer)
    return gone
