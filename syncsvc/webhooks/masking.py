"""Payloads for people: without secrets and without anybody's mail address (R11.3). Pure.

What a credential looks like is known to `syncsvc.github.redaction`; here are the names of fields, mail
addresses, and the walk through whatever JSON came. Rather too much is masked than too little.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from syncsvc.github.redaction import REPLACEMENT, names_a_secret, redact

TOO_DEEP: Final = "[nested too deeply to be shown]"
MOST_LEVELS: Final = 100

#: Fields of GitHub's that are named after secrets and hold none: addresses, switches, whole objects.
#: What is inside is masked by its own name and look.
HARMLESS: Final = frozenset(
    {
        "access_tokens_url",
        "personal_access_token_request",
        "personal_access_token_requests",
        "secret_scanning",
        "secret_scanning_ai_detection",
        "secret_scanning_non_provider_patterns",
        "secret_scanning_push_protection",
        "secret_scanning_validity_checks",
        "secret_type",
        "secret_type_display_name",
        "token_expired",
        "token_expires_at",
        "token_last_used_at",
    }
)
#: What a permission may say; a permission to see secrets is none.
LEVELS: Final = frozenset({"read", "write", "admin", "none"})

#: The look behind lets it begin where a word begins only: a long word costs one pass, not its square.
_OUTSIDE: Final = r"\s@<>()\[\]{}\"',;:/\\"
_ADDRESS: Final = re.compile(
    rf"(?<![^{_OUTSIDE}])([^{_OUTSIDE}])([^{_OUTSIDE}]*+)@((?:[\w-]++\.)+[^\W\d_]{{2,}})"
)
_SEVERAL: Final = re.compile(r"[\s,;<>]")
_NOBODYS: Final = re.compile(r"(?:[^@]+@users\.noreply\.github\.com|noreply@github\.com)")


def mask(payload: Any) -> Any:
    """The same JSON for people: secrets as `[redacted]`, mail addresses as `a***@example.com`.

    A new value; what was given is not touched. Null, true and false stay, whatever they are named.
    """
    return _masked(payload, "", secret=False, inside="", level=0)


def mask_text(text: str) -> str:
    """A text with what looks like a credential taken out, and mail addresses shortened."""
    text = redact(text)
    return _ADDRESS.sub(_address, text) if "@" in text else text


def _masked(value: Any, name: str, *, secret: bool, inside: str, level: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if level > MOST_LEVELS:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return _object(value, name, secret=secret, level=level)
    if isinstance(value, list | tuple):
        return [
            _masked(each, name, secret=secret, inside=inside, level=level + 1) for each in value
        ]
    if secret:
        return REPLACEMENT if value != "" else value
    if not isinstance(value, str):
        return value
    return _mail(value) if name.lower().endswith(("email", "mail")) else mask_text(value)


def _object(value: Mapping[Any, Any], inside: str, *, secret: bool, level: int) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, each in value.items():
        name = str(key)
        hidden = secret or _hides(name, each, inside)
        shown[_unused(mask_text(name), shown)] = _masked(
            each, name, secret=hidden, inside=inside, level=level + 1
        )
    return shown


def _hides(name: str, value: object, inside: str) -> bool:
    """Whether a field is named after a secret, and is one as far as anybody can tell."""
    if name in HARMLESS or not names_a_secret(name):
        return False
    return not (inside == "permissions" and isinstance(value, str) and value in LEVELS)


def _unused(name: str, taken: Mapping[str, Any]) -> str:
    """Two names that read the same once they are masked stay two."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def _mail(value: str) -> str:
    """What stands in a field for a mail address, whether or not it looks like one."""
    if not value.strip() or _NOBODYS.fullmatch(value):
        return value
    shown = mask_text(value)
    if shown != value and (redact(value) != value or _SEVERAL.search(value)):
        return shown
    _, found, domain = value.rpartition("@")
    return f"{value[0]}***@{domain}" if found else REPLACEMENT


def _address(found: re.Match[str]) -> str:
    if found[1] + found[2] == "git" or _NOBODYS.fullmatch(found[0]):
        return found[0]  # `git@github.com:owner/name.git` is nobody's, and GitHub hides the others
    return f"{found[1]}***@{found[3]}"
