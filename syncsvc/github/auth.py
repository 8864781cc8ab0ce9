"""Who we are to GitHub: a token, the App itself, or one of its installations (R4.1).

Hides JWTs, the hourly change of installation tokens, and that threads and processes share them.
"""

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final, Protocol, TypeGuard

import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from syncsvc.github.errors import ConfigurationError, NotFound

Clock = Callable[[], datetime]

_JWT_BACKDATED: Final = timedelta(seconds=60)
_JWT_LIVES: Final = timedelta(minutes=9)  # with the backdating ten minutes in all, GitHub's limit
_JWT_RENEWED: Final = timedelta(minutes=1)
_TOKEN_RENEWED: Final = timedelta(minutes=5)
_HEADER_SAFE: Final = re.compile(r"[\x21-\x7e]+")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """What goes into the Authorization header. `fingerprint` names it without telling it.

    Tokens have no length that could be relied on. `expires_at` is None for those that stay.
    """

    value: str = field(repr=False)
    fingerprint: str
    expires_at: datetime | None = None

    @classmethod
    def of(cls, value: str, expires_at: datetime | None = None) -> "Credential":
        """The credential for a token's text."""
        digest = hashlib.sha256(value.encode()).hexdigest()
        return cls(value=value, fingerprint=digest[:16], expires_at=expires_at)

    def lasts(self, until: datetime) -> bool:
        """Whether it is still good at that moment."""
        return self.expires_at is None or self.expires_at > until


def is_token(text: object) -> TypeGuard[str]:
    """Whether it could be a token: of any length, but nothing that would break a header."""
    return isinstance(text, str) and _HEADER_SAFE.fullmatch(text) is not None


class Auth(Protocol):
    """Anything that can speak for us."""

    def credential(self) -> Credential:
        """A credential that is good now; may ask GitHub for one."""

    def invalidate(self, refused: Credential) -> bool:
        """GitHub answered 401 to `refused`: whether a new one may do better."""


class TokenStore(Protocol):
    """Where installation tokens wait for other processes, encrypted at rest.

    Sharing them saves requests and keeps ETags usable, which depend on the token. All methods are
    called by the thread that uses the client, never by its helpers.
    """

    def load(self, installation_id: int, /) -> Credential | None:
        """The token last saved, even if it has expired."""

    def save(self, installation_id: int, credential: Credential, /) -> None:
        """Keep `credential` in place of what was there."""

    def delete(self, installation_id: int, /) -> None:
        """Forget the token; it was refused."""


class TokenIssuer(Protocol):
    """What can make installation tokens: `AppClient`."""

    def create_installation_token(self, installation_id: int) -> Credential:
        """A new token, good for an hour."""


# -- private keys ----------------------------------------------------------------------------------


def load_private_key(text_or_path: str) -> RSAPrivateKey:
    """The App's private key from PEM text (also with `\\n` escapes or in base64) or from a file.

    Raises `ConfigurationError` whose sentence says what to do and never quotes the key.
    """
    pem = _pem_text(text_or_path.strip())
    if "PUBLIC KEY" in pem or "CERTIFICATE" in pem:
        raise ConfigurationError(
            "GITHUB_APP_PRIVATE_KEY holds a public key. Generate a private key in the GitHub "
            "App's settings and use the .pem file that GitHub offers for download."
        )
    try:
        key = _parsed(pem)
    except TypeError:
        raise ConfigurationError(
            "GITHUB_APP_PRIVATE_KEY is protected by a passphrase. Use the key as GitHub gave it."
        ) from None
    except Exception:  # noqa: BLE001  (OpenSSL and cryptography raise many types for a bad key)
        raise ConfigurationError(
            "GITHUB_APP_PRIVATE_KEY is not a private key. Use the whole .pem file of the GitHub "
            "App, from its BEGIN line to its END line, or the path to that file."
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(
            "GITHUB_APP_PRIVATE_KEY is not an RSA key. Use the key that GitHub generated for "
            "the GitHub App."
        )
    return key


@lru_cache(maxsize=2)
def _parsed(pem: str) -> PrivateKeyTypes:
    """The key in this text, checked once: whether it is sound takes 50 ms, and each run asks."""
    return load_pem_private_key(pem.encode(), password=None)


def _pem_text(given: str) -> str:
    if not given:
        raise ConfigurationError("GITHUB_APP_PRIVATE_KEY is empty. Set the GitHub App's key.")
    if "-----BEGIN" in given:
        return given.replace("\\r", "").replace("\\n", "\n")
    try:
        decoded = base64.b64decode(given, validate=True).decode("ascii")
        if "-----BEGIN" in decoded:
            return decoded
    except (binascii.Error, ValueError):
        pass  # then it is a path
    if "\n" in given or "\x00" in given:
        return given  # no path either: the parser will say that it is no key
    try:
        return Path(given).expanduser().read_text("ascii", "replace")
    except (OSError, RuntimeError):
        raise ConfigurationError(
            "GITHUB_APP_PRIVATE_KEY is neither a private key nor a file that can be read. Set it "
            "to the PEM text or to the path of the .pem file."
        ) from None


# -- three ways to speak ---------------------------------------------------------------------------


class TokenAuth:
    """A personal access token: it is what it is until someone changes the setting."""

    def __init__(self, token: str) -> None:
        token = token.strip()
        if not is_token(token):
            raise ConfigurationError(
                "GITHUB_TOKEN is empty or holds characters that no token has. Set it again."
            )
        self._credential = Credential.of(token)

    def credential(self) -> Credential:
        """The token."""
        return self._credential

    def invalidate(self, refused: Credential) -> bool:  # noqa: ARG002  (the protocol's signature)
        """Nothing newer to offer."""
        return False


class AppAuth:
    """The GitHub App itself, by a JWT that is cached and renewed before it expires.

    Issued a minute in the past and good for at most ten minutes (GitHub: "Generating a JSON Web
    Token for a GitHub App"). `app_id` may be the App's id or its client id.
    """

    def __init__(self, app_id: int | str, private_key: RSAPrivateKey, clock: Clock) -> None:
        self.app_id = str(app_id).strip()
        if not self.app_id:
            raise ConfigurationError("GITHUB_APP_ID is empty. Set it to the GitHub App's id.")
        self._private_key = private_key
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Credential | None = None
        self._signed_at: datetime | None = None

    def credential(self) -> Credential:
        """A JWT that is good for another minute at least."""
        with self._lock:
            now = self._clock()
            # A clock that was set back leaves a JWT from the future, which GitHub refuses.
            from_the_future = self._signed_at is not None and self._signed_at > now
            lasts = self._current is not None and self._current.lasts(now + _JWT_RENEWED)
            if self._current is None or from_the_future or not lasts:
                self._current = self._sign(now)
                self._signed_at = now
            return self._current

    def invalidate(self, refused: Credential) -> bool:  # noqa: ARG002  (the protocol's signature)
        """A new JWT would say the same."""
        return False

    def _sign(self, now: datetime) -> Credential:
        expires_at = now + _JWT_LIVES
        claims = {
            "iat": int((now - _JWT_BACKDATED).timestamp()),
            "exp": int(expires_at.timestamp()),
            "iss": self.app_id,
        }
        return Credential.of(jwt.encode(claims, self._private_key, algorithm="RS256"), expires_at)


class InstallationAuth:
    """One installation, by a token that is cached, shared and renewed 5 minutes before its end.

    Threads that ask together wait for one renewal. After a 401 the refused token is forgotten once,
    however many requests it failed.
    """

    def __init__(
        self, app_client: TokenIssuer, installation_id: int, store: TokenStore, clock: Clock
    ) -> None:
        self.installation_id = installation_id
        self._app_client = app_client
        self._store = store
        self._clock = clock
        self._lock = threading.Lock()
        self._current: Credential | None = None
        self._refused: set[str] = set()

    def credential(self) -> Credential:
        """A token that is good for another 5 minutes; from memory, the store, or GitHub."""
        with self._lock:
            if self._usable(self._current):
                return self._current
            stored = self._store.load(self.installation_id)
            self._current = stored if self._usable(stored) else self._renew()
            return self._current

    def invalidate(self, refused: Credential) -> bool:
        """Forget a token that GitHub refused; the next `credential()` asks for a new one."""
        with self._lock:
            self._refused.add(refused.fingerprint)
            stored = self._store.load(self.installation_id)
            if stored is not None and stored.fingerprint == refused.fingerprint:
                self._store.delete(self.installation_id)  # another process may have a newer one
            return True

    def _usable(self, credential: Credential | None) -> TypeGuard[Credential]:
        return (
            credential is not None
            and credential.fingerprint not in self._refused
            and credential.lasts(self._clock() + _TOKEN_RENEWED)
        )

    def _renew(self) -> Credential:
        try:
            credential = self._app_client.create_installation_token(self.installation_id)
        except NotFound as error:
            # The installation is gone; of what was to be asked with its token, this says nothing.
            raise NotFound(
                "The GitHub App is not installed on this account any more. Install it again to "
                "go on syncing.",
                status=error.status,
                detail=error.detail,
            ) from None
        self._store.save(self.installation_id, credential)
        log.info(
            "github.token_renewed",
            installation_id=self.installation_id,
            fingerprint=credential.fingerprint,
        )
        return credential
