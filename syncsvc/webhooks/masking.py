"""Payloads for people: without secrets and without anybody's mail address (R11.3). Pure.

What a credential looks like is known to `syncsvc.github.redaction`; here are the names of fields, mail
addresses, and the walk through whatever JSON came. Rather too much is masked than too little.
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from syncsvc.github.redaction import REPLACEMENT, names_a_secret, redact
from syncsvc.github.values import clean_text

TOO_DEEP: Final = "[nested too deeply to be shown]"
MOST_LEVELS: Final = 100
#: Names of fields recur: those of at most so many characters are masked once and remembered.
SHORT: Final = 64

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
#: Git that nobody configured writes hosts without a domain, as `root@localhost` or `ann@box.(none)`.
_DOMAIN: Final = (
    r"(?:[\w-]++\.)+(?:[^\W\d_]{2,}|\(none\))|(?i:localhost)(?![\w-])"
    r"|\[(?:IPv6:)?[0-9A-Fa-f.:]{2,45}\]|[^\W\d_][\w-]*+(?=>)"
)
_ADDRESS: Final = re.compile(rf"(?<![^{_OUTSIDE}])([^{_OUTSIDE}])([^{_OUTSIDE}]*+)(@)({_DOMAIN})")
_ESCAPED: Final = re.compile(rf"(?<![^{_OUTSIDE}])([^{_OUTSIDE}])([^{_OUTSIDE}]*)(%40)({_DOMAIN})")
_MAIL_FIELD: Final = re.compile(r"mail(?:s|box|to|from|id|addr|address|addresses)?\d*$")
_LISTED: Final = re.compile(r"[^,;\r\n]+")
_WORD: Final = re.compile(r"[^\s<>]+")
_WHOLE: Final = re.compile(r"(.).*(@|%40)(.*)", re.DOTALL)
_NOBODYS: Final = re.compile(r"(?:[^@]+@users\.noreply\.github\.com|noreply@github\.com)")


def mask(payload: Any) -> Any:
    """The same JSON for people: secrets as `[redacted]`, mail addresses as `a***@example.com`.

    A new value; what was given is not touched. Null, true and false stay, whatever they are named.
    JSON and UTF-8 take all of it: no lone surrogate, and NaN and the infinities as texts.
    """
    return _masked(payload, "", secret=False, mail=False, inside="", level=0)


def mask_text(text: str) -> str:
    """A clean text with what looks like a credential taken out, and mail addresses shortened."""
    text = redact(clean_text(text))
    if "%40" in text:
        text = _ESCAPED.sub(_address, text)
    return _ADDRESS.sub(_address, text) if "@" in text else text


def _masked(value: Any, name: str, *, secret: bool, mail: bool, inside: str, level: int) -> Any:
    """`secret` and `mail`: what the name of a field says holds for all that lies below it."""
    if value is None or isinstance(value, bool):
        return value
    if level > MOST_LEVELS:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return _object(value, name, secret=secret, mail=mail, level=level)
    if isinstance(value, list | tuple):
        return [
            _masked(each, name, secret=secret, mail=mail, inside=inside, level=level + 1)
            for each in value
        ]
    if secret:
        return REPLACEMENT if value != "" else value
    if mail:
        return _mail(clean_text(value)) if isinstance(value, str) else REPLACEMENT
    if isinstance(value, str):
        return mask_text(value)
    return _number(value) if isinstance(value, float) else value


def _object(
    value: Mapping[Any, Any], inside: str, *, secret: bool, mail: bool, level: int
) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for key, each in value.items():
        name = str(key)
        short = len(name) <= SHORT
        masked = _known_name(name) if short else mask_text(name)
        shown[_unused(masked, shown)] = _masked(
            each,
            name,
            secret=secret or _hides(name, each, inside),
            mail=mail or _for_mail(name),
            inside=inside,
            level=level + 1,
        )
    return shown


@lru_cache(maxsize=4096)
def _known_name(name: str) -> str:
    return mask_text(name)


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


def _number(value: float) -> float | str:
    """A number that JSON has; the others by the names that JavaScript has for them."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


@lru_cache(maxsize=4096)
def _for_mail(name: str) -> bool:
    """Whether a field of this name holds mail addresses: `email`, `billing_email`, `mail_address`."""
    plain = re.sub(r"[\W_]", "", name.lower())
    return _MAIL_FIELD.search(plain) is not None


def _mail(value: str) -> str:
    """What stands in a field for mail addresses, whether or not it looks like some."""
    if not value.strip():
        return value
    value = redact(value)
    if '"' in value:  # a quoted name may hold any separator
        return REPLACEMENT
    return _LISTED.sub(lambda found: _one_mail(found[0]), value)


def _one_mail(text: str) -> str:
    """One address of a list, with or without a name before it."""
    if not text.strip():
        return text
    words = [word for word in _WORD.findall(text) if "@" in word or "%40" in word]
    if not words or any(word.startswith(("@", "%40")) for word in words):
        space = text[: len(text) - len(text.lstrip())]
        return space + REPLACEMENT
    return _WORD.sub(lambda found: _whole(found[0]), text)


def _whole(word: str) -> str:
    if _NOBODYS.fullmatch(word):
        return word
    return _WHOLE.sub(r"\1***\2\3", word)


def _address(found: re.Match[str]) -> str:
    first, rest, at, domain = found.groups()
    if first + rest == "git" or _NOBODYS.fullmatch(f"{first}{rest}@{domain}"):
        return found[0]  # `git@github.com:owner/name.git` is nobody's, and GitHub hides the others
    return f"{first}***{at}{domain}"
