"""How often somebody may try to log in. Hides how attempts are counted.

Five failed attempts for one name from one address, or a hundred from one address whatever the name,
within five minutes; then nobody's password is even looked at until those five minutes are over. So a
stranger elsewhere cannot lock anybody out, and who is locked out waits minutes. An attempt is counted
before the password is checked, so that a hundred at once are no hundred guesses; a log-in that succeeds
takes it back. Names that nobody has are counted just alike: the answer does not tell who exists.

Without a shared cache (`REDIS_URL`) each web process counts for itself.
"""

import hashlib
import ipaddress
import math
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, Final

from django.contrib.auth.signals import user_logged_in
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from rest_framework.throttling import BaseThrottle

from syncsvc import clock

WINDOW_SECONDS: Final = 300
MOST_OF_NAME: Final = 5
MOST_OF_ADDRESS: Final = 100

View = Callable[..., HttpResponseBase]


def begin(username: str, request: Any) -> int:
    """Counts an attempt. After how many seconds to come back; 0 when it may be made now."""
    name, place = _keys(username, request)
    if _count(name) > MOST_OF_NAME or _count(place) > MOST_OF_ADDRESS:
        return math.ceil(WINDOW_SECONDS - clock.now().timestamp() % WINDOW_SECONDS)
    return 0


def forgive(username: str, request: Any) -> None:
    """The attempt succeeded: what this person mistyped before counts no more."""
    name, place = _keys(username, request)
    cache.delete(name)
    with suppress(ValueError):  # nobody counts this address any more
        if cache.get(place, 0) > 0:
            cache.incr(place, -1)


def guarded(view: View) -> View:
    """A log-in page that answers 429 when too many attempts have failed."""

    @wraps(view)
    def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method == "POST":
            wait = begin(request.POST.get("username", ""), request)
            if wait:
                return _too_many(request, wait)
        return view(request, *args, **kwargs)

    return answer


def listen() -> None:
    """Has every log-in that succeeds forgive, in whatever way it was made."""
    user_logged_in.connect(_logged_in, dispatch_uid="log-in attempts")


class LogInThrottle(BaseThrottle):
    """The same for the API's tokens."""

    seconds = 0

    def allow_request(self, request: Any, view: Any) -> bool:  # noqa: ARG002  (the signature is DRF's)
        """Whether this attempt may be made."""
        said = request.data.get("username", "") if isinstance(request.data, dict) else ""
        self.seconds = begin(str(said), request)
        return not self.seconds

    def wait(self) -> float:
        """After how many seconds to come back."""
        return self.seconds


def _logged_in(sender: Any, request: Any, user: Any, **_: Any) -> None:  # noqa: ARG001  (a signal's)
    if request is not None:
        forgive(user.get_username(), request)


def _too_many(request: HttpRequest, wait: int) -> HttpResponse:
    minutes = math.ceil(wait / 60)
    response = render(request, "429.html", {"minutes": minutes}, status=429)
    response["Retry-After"] = str(wait)
    return response


def _count(key: str) -> int:
    """One more; how many that makes."""
    if cache.add(key, 1, timeout=WINDOW_SECONDS):
        return 1
    try:
        return cache.incr(key)
    except ValueError:  # it was forgotten at this very moment
        cache.set(key, 1, timeout=WINDOW_SECONDS)
        return 1


def _keys(username: str, request: Any) -> tuple[str, str]:
    window = int(clock.now().timestamp() // WINDOW_SECONDS)
    place = _place(request)
    # As the forms read it: else each space around a name would be worth five more attempts.
    plain = unicodedata.normalize("NFKC", username).strip().casefold()
    name = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()
    return f"log-in:{window}:{place}:{name}", f"log-in:{window}:{place}"


def _place(request: Any) -> str:
    """Where it came from, behind as many proxies as are ours (`NUM_PROXIES`). Of IPv6 the network: who
    has one address of it has them all."""
    said = BaseThrottle().get_ident(request) or ""
    try:
        address = ipaddress.ip_address(said.strip())
    except ValueError:
        return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = (
            address.ipv4_mapped
        )  # a server that listens on [::]; all of IPv4 is no one network
    if address.version == 6:
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)
