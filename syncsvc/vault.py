"""Secrets at rest: what is stored encrypted goes through here and nowhere else (R19.4)."""

import base64
import hashlib
from functools import cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class UnreadableSecret(Exception):
    """The stored secret was encrypted with a key that is no longer in `FIELD_ENCRYPTION_KEYS`."""


@cache
def _box(keys: tuple[str, ...]) -> MultiFernet:
    # Any text may serve as a key: it is stretched to the 32 bytes that Fernet wants.
    return MultiFernet(
        [Fernet(base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())) for key in keys]
    )


def encrypt(plain: str) -> bytes:
    """The text, encrypted with the newest key."""
    return _box(tuple(settings.FIELD_ENCRYPTION_KEYS)).encrypt(plain.encode())


def decrypt(stored: bytes | memoryview) -> str:
    """The text again, with whichever key wrote it; raises `UnreadableSecret`."""
    try:
        return _box(tuple(settings.FIELD_ENCRYPTION_KEYS)).decrypt(bytes(stored)).decode()
    except InvalidToken as error:
        raise UnreadableSecret from error


def renewed(stored: bytes | memoryview) -> bytes | None:
    """The same secret under the newest key; None where it is already. Raises `UnreadableSecret`."""
    keys = tuple(settings.FIELD_ENCRYPTION_KEYS)
    try:
        _box(keys[:1]).decrypt(bytes(stored))
    except InvalidToken:
        return encrypt(decrypt(stored))
    return None
