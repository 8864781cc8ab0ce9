"""Secrets out of text: what goes to logs, audit rows and error reports passes here (R11.3).

Hides the shapes that GitHub's credentials have. Rather too much is taken out than too little.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

REPLACEMENT: Final = "[redacted]"

#: Parts of the names of fields that hold secrets, without case, dashes and underscores.
SECRET_NAMES: Final = (
    "token",
    "secret",
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "authorization",
    "credential",
    "privatekey",
    "apikey",
    "accesskey",
    "signature",
    "hmac",
    "cookie",
    "dsn",
)
_BETWEEN_WORDS: Final = str.maketrans("", "", "_- .")

_KEY_WORDS: Final = (
    r"access_token|refresh_token|client_secret|webhook_secret|private_key|secret|password|passwd|pwd"
    r"|token"
)
#: Hosts where whoever knows an address may post: what follows is the credential.
_POSTBOXES: Final = (
    r"hooks\.slack(?:-gov)?\.com|hooks\.zapier\.com|webhook\.office\.com|chat\.googleapis\.com"
    r"|outlook\.office(?:365)?\.com/webhook|logic\.azure\.com(?::\d{1,5})?"
)
_RULES: Final[tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]] = (
    (  # a key that was cut off before its end is a key all the same
        re.compile(
            r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?"
            r"(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        REPLACEMENT,
    ),
    (  # any scheme, any value, as a header, in JSON, or in a Python mapping
        re.compile(
            r"(authorization[\"']?\s*[:=]\s*b?[\"']?)(?:[a-z]+[ \t]+)?[^\s\"',;}\]]+", re.IGNORECASE
        ),
        rf"\1{REPLACEMENT}",
    ),
    (re.compile(r"\b(bearer\s+)[^\s\"',;}\]]+", re.IGNORECASE), rf"\1{REPLACEMENT}"),
    (  # "token was revoked" is prose, twelve characters with a digit are a credential
        re.compile(r"\b(token\s+)(?=[^\s\"',;]*\d)[^\s\"',;}\]]{12,}", re.IGNORECASE),
        rf"\1{REPLACEMENT}",
    ),
    (  # `ghs_APPID_JWT` holds dots and dashes: no length and no inner form is assumed
        re.compile(r"(?:gh[pousr]_|github_pat_)[A-Za-z0-9._~+/=-]*[A-Za-z0-9_]"),
        REPLACEMENT,
    ),
    (re.compile(r"\bv1\.[0-9a-f]{40}\b"), REPLACEMENT),
    (re.compile(r"eyJ[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*)*"), REPLACEMENT),  # JWTs, cut or whole
    (
        re.compile(rf"\b({_KEY_WORDS})([\"']?\s*[:=]\s*b?[\"']?)[^\s\"',;&}}\]]+", re.IGNORECASE),
        rf"\1\2{REPLACEMENT}",
    ),
    (re.compile(rf"\b((?:{_POSTBOXES})\\?/)[^\s\"'<>]+", re.IGNORECASE), rf"\1{REPLACEMENT}"),
    (  # anybody's `/hooks/TOKEN`, `/api/webhooks/1/TOKEN`: digits and letters mixed, and no file's name
        re.compile(
            r"(https?://[^\s\"'<>/]{1,253}/(?:[^\s\"'<>/]{1,64}/){0,2}?"
            r"(?:web)?hooks?/(?:catch/|\d{1,20}/){0,2})"
            r"(?=[a-z_-]*+\d)(?=[\d_-]*+[a-z])[\w-]{16,}+(?!\.\w)[^\s\"'<>]*",
            re.IGNORECASE | re.ASCII,
        ),
        rf"\1{REPLACEMENT}",
    ),
    (re.compile(r"(://[^/\s:@]*:)[^/\s@]+@"), rf"\1{REPLACEMENT}@"),
)


#: Without one of these no rule finds anything, in a text of ASCII: looking for them costs next to nothing.
_SIGNS: Final = (
    "token", "secret", "passw", "pwd", "private", "authorization", "bearer",
    "gho_", "ghp_", "ghu_", "ghs_", "ghr_", "github_pat_", "v1.", "eyj", "@",
    "hooks/", "hook/", "hooks.", "webhook.", "/webhook\\", "chat.google", "logic.azure",
)  # fmt: skip


@lru_cache(maxsize=4096)
def names_a_secret(field: str) -> bool:
    """Whether a field of this name holds what nobody should read: `client_secret`, `X-Api-Key`."""
    plain = field.lower().translate(_BETWEEN_WORDS)
    return any(name in plain for name in SECRET_NAMES)


def redact(text: str) -> str:
    """`text` with GitHub tokens, Authorization values, JWTs and private keys taken out."""
    if text.isascii():
        lower = text.lower()
        for sign in _SIGNS:  # a plain loop takes half the time of any()
            if sign in lower:
                return _redact_thoroughly(text)
        return text
    return _redact_thoroughly(text)


def _redact_thoroughly(text: str) -> str:
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
