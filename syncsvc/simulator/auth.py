"""Who is asking: App tokens (RS256), installation tokens, personal tokens.

Hides token formats, their age and GitHub's words of refusal. Rules from GitHub's docs:
"Generating a JSON Web Token for a GitHub App" and "Authenticating as an installation".
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from random import Random, SystemRandom
from typing import Any, TypeGuard

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from syncsvc.simulator.messages import Refusal
from syncsvc.simulator.records import Account, Installation
from syncsvc.simulator.state import State

MAX_JWT_SECONDS = 600
CLOCK_SKEW = 5
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@cache
def process_key() -> str:
    """A private RSA key in PEM form, made once per process: making one takes a while."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


@dataclass(frozen=True)
class Principal:
    """Who asks. `name` is the owner of the rate limit: tokens of one owner share it."""

    kind: str
    """`anonymous`, `app`, `installation` or `user`."""
    id: int = 0
    token: str = ""
    repository_ids: frozenset[int] | None = None
    """An installation token may be limited to some repositories."""

    @property
    def name(self) -> str:
        """`installation:42`; `anonymous` without a token."""
        return f"{self.kind}:{self.id}" if self.id else self.kind


@dataclass(frozen=True)
class InstallationToken:
    """An issued installation token; `expires_at` in epoch seconds."""

    token: str
    installation_id: int
    expires_at: float
    permissions: dict[str, str] = field(default_factory=dict)
    repository_ids: frozenset[int] | None = None


@dataclass(frozen=True)
class ManifestCode:
    """A manifest that waits for its code to be exchanged, until then in epoch seconds."""

    manifest: dict[str, Any]
    owner_id: int
    until: float


class Keys:
    """Issues tokens and says whom a request's token belongs to."""

    def __init__(
        self, world: State, private_key_pem: str, *, token_seconds: int, long_tokens: bool = False
    ) -> None:
        """`token_seconds`: life of installation tokens. `long_tokens`: the `ghs_APPID_JWT` form."""
        private = serialization.load_pem_private_key(private_key_pem.encode(), password=None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError("The App's private key must be an RSA key.")  # noqa: TRY004  (a wrong value)
        self.private_key_pem = private_key_pem
        self.codes: dict[str, ManifestCode] = {}
        self._public = private.public_key()
        self._world = world
        self._random = Random(f"tokens {world.seed}")
        # Never the same twice, as GitHub's: who kept one over a restart of the simulator must be
        # refused, and not be taken for whichever installation was given the same letters since.
        self._fresh = SystemRandom()
        self.token_seconds = token_seconds
        self.long_tokens = long_tokens
        self._installation_tokens: dict[str, InstallationToken] = {}
        self._personal: dict[str, int] = {}

    def letters(self, start: str, count: int) -> str:
        """A code or a secret that nobody guesses."""
        return start + _letters(self._fresh, count)

    def keep_code(self, code: str, manifest: dict[str, Any], owner_id: int, until: float) -> None:
        """The manifest can be had for this code, once."""
        self.codes[code] = ManifestCode(manifest, owner_id, until)

    def personal_token(self, user: Account) -> str:
        """The user's personal access token; the same each time."""
        for token, owner in self._personal.items():
            if owner == user.id:
                return token
        token = "ghp_" + _letters(self._random, 36)
        self._personal[token] = user.id
        return token

    def revoke(self, token: str) -> None:
        """A token of any kind stops to work."""
        self._personal.pop(token, None)
        self._installation_tokens.pop(token, None)

    def issue(
        self,
        installation: Installation,
        now: float,
        *,
        permissions: dict[str, str],
        repository_ids: frozenset[int] | None = None,
    ) -> InstallationToken:
        """A new installation token, and the end of those that have expired."""
        tokens = self._installation_tokens
        for old in [t for t, kept in tokens.items() if kept.expires_at + 86_400 < now]:
            del tokens[old]
        text = "ghs_" + _letters(self._fresh, 36)
        if self.long_tokens:
            first, second = _letters(self._fresh, 60), _letters(self._fresh, 300)
            text = f"ghs_{self._world.app.id}_{first}.{second}"
        issued = InstallationToken(
            text, installation.id, now + self.token_seconds, permissions, repository_ids
        )
        tokens[text] = issued
        return issued

    def owner_of(self, token: str) -> Principal | None:
        """Whose token it is, without a look at its age; None when unknown."""
        if token in self._personal:
            return Principal("user", self._personal[token], token)
        found = self._installation_tokens.get(token)
        if found is None:
            return None
        return Principal("installation", found.installation_id, token, found.repository_ids)

    def identify(self, authorization: str | None, now: float) -> Principal:
        """Whom the Authorization header speaks for; Refusal 401, 403 or 404 as GitHub's."""
        if not authorization:
            return Principal("anonymous")
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() not in {"bearer", "token"} or not token:
            raise bad_credentials()
        if scheme.lower() == "bearer" and token.startswith("ey") and token.count(".") == 2:
            return self._app(token, now)
        principal = self.owner_of(token)
        if principal is None:
            raise bad_credentials()
        if principal.kind == "installation":
            self._check_installation(self._installation_tokens[token], now)
        return principal

    def _check_installation(self, token: InstallationToken, now: float) -> None:
        installation = self._world.installations.get(token.installation_id)
        if installation is None or token.expires_at <= now:
            raise bad_credentials()
        if installation.suspended_at is not None:
            raise suspended()

    def _app(self, token: str, now: float) -> Principal:
        """Check signature and claims of an App's JSON web token."""
        try:
            payload = jwt.PyJWS().decode(token, key=self._public, algorithms=["RS256"])
            claims: Any = json.loads(payload)
        except (jwt.PyJWTError, ValueError):
            raise Refusal(401, "A JSON web token could not be decoded") from None
        if not isinstance(claims, dict):
            raise Refusal(401, "A JSON web token could not be decoded")
        issuer = str(claims.get("iss", ""))
        if not issuer:
            raise Refusal(401, "Missing 'issuer' claim ('iss') in assertion")
        issued, expires = claims.get("iat"), claims.get("exp")
        if not _is_number(expires) or expires <= now:
            raise Refusal(
                401,
                "'Expiration time' claim ('exp') must be a numeric value representing "
                "the future time at which the assertion expires",
            )
        if expires > now + MAX_JWT_SECONDS + CLOCK_SKEW:
            raise Refusal(401, "'Expiration time' claim ('exp') is too far in the future")
        if not _is_number(issued) or issued > now + CLOCK_SKEW:
            raise Refusal(
                401,
                "'Issued at' claim ('iat') must be an Integer representing "
                "the time that the assertion was issued",
            )
        if issuer not in {str(self._world.app.id), self._world.app.client_id}:
            raise Refusal(404, "Integration not found")
        return Principal("app", self._world.app.id, token)


def _letters(random: Random, count: int) -> str:
    return "".join(random.choices(ALPHABET, k=count))


def fingerprint(token: str) -> bytes:
    """A token's mark in ETags: they differ from token to token, even of one owner."""
    return hashlib.sha256(token.encode()).digest()[:8]


def bad_credentials() -> Refusal:
    """401: unknown, revoked or expired."""
    return Refusal(401, "Bad credentials")


def suspended() -> Refusal:
    """403: the account has suspended the App."""
    return Refusal(403, "This installation has been suspended")


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
