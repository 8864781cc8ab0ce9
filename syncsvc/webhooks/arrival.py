"""What a request to the webhook's address is: a delivery to store, or a refusal with its reason.

Hides GitHub's headers, its two content types, and where each payload names its account (GitHub's
docs: "Webhook events and payloads", "Validating webhook deliveries"). Pure.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from syncsvc.github.payloads import parse_object
from syncsvc.github.protocol import verify_signature
from syncsvc.github.values import MalformedBody, is_mapping, optional_id, some_text
from syncsvc.webhooks.payloads import pack

LARGEST: Final = 25 * 1024 * 1024
"""GitHub sends no payload that is larger (25 MB)."""

_SIGNATURE: Final = re.compile(r"sha256=[0-9a-f]{64}")
_EVENT: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_GUID: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")
_TARGETS: Final = ("integration", "organization", "repository")
_LONGEST_ACTION: Final = 64
_FORM_FIELDS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A delivery whose signature is right, as its row holds it; `payload` is compressed JSON."""

    guid: str
    hook_id: int
    target_type: str
    target_id: int | None
    event: str
    action: str
    installation_github_id: int | None
    account_id: int | None
    repository_github_id: int | None
    payload: bytes
    payload_bytes: int

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from other deliveries: its GUID is the event's, and other hooks share it."""
        return self.guid, self.hook_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """Why a request is not stored: the answer's status, a word for programs, a sentence for people."""

    status: int
    reason: str
    sentence: str


TOO_LARGE: Final = Refused(
    status=413,
    reason="too_large",
    sentence="The body is larger than 25 MB, which is the most that GitHub sends.",
)
NO_SECRET: Final = Refused(
    status=401,
    reason="no_secret",
    sentence="No delivery can be verified: set GITHUB_WEBHOOK_SECRET to the secret that the webhook "
    "has at GitHub, and restart; or paste it on the page Set-up.",
)
UNSIGNED: Final = Refused(
    status=401,
    reason="signature_missing",
    sentence="There is no X-Hub-Signature-256 header: give the webhook at GitHub a secret, the one "
    "in GITHUB_WEBHOOK_SECRET.",
)
MALFORMED_SIGNATURE: Final = Refused(
    status=401,
    reason="signature_malformed",
    sentence="X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits.",
)
WRONG_SIGNATURE: Final = Refused(
    status=401,
    reason="signature_wrong",
    sentence="X-Hub-Signature-256 does not sign this body: the webhook's secret at GitHub and "
    "GITHUB_WEBHOOK_SECRET must be the same.",
)
WRONG_TYPE: Final = Refused(
    status=400,
    reason="content_type",
    sentence="The content type must be application/json or application/x-www-form-urlencoded.",
)
WRONG_FORM: Final = Refused(
    status=400,
    reason="form",
    sentence="The form must have exactly one field named payload, with the JSON.",
)
WRONG_JSON: Final = Refused(
    status=400, reason="json", sentence="The payload is cut, nested too deep, or no JSON object."
)
WRONG_EVENT: Final = Refused(
    status=400,
    reason="event",
    sentence="X-GitHub-Event must be the name of an event: 1 to 64 letters, digits, _ . or -.",
)
WRONG_GUID: Final = Refused(
    status=400,
    reason="guid",
    sentence="X-GitHub-Delivery must be the delivery's GUID: 1 to 64 letters, digits or -.",
)


def sane_guid(headers: Mapping[str, str]) -> str | None:
    """The delivery's GUID where it is one and may be logged. `headers` have lower-case names."""
    guid = headers.get("x-github-delivery", "")
    return guid if _GUID.fullmatch(guid) else None


def refusal_before_body(
    headers: Mapping[str, str], length: int | None, secrets: Sequence[str]
) -> Refused | None:
    """Why the body need not even be read; `length` in bytes, where it is known.

    So nobody without a signature makes the server hold 25 MB. Header names are in lower case.
    """
    if length is not None and length > LARGEST:
        return TOO_LARGE
    if not any(secrets):
        return NO_SECRET
    signature = headers.get("x-hub-signature-256", "").strip()
    if not signature:
        return UNSIGNED
    return None if _SIGNATURE.fullmatch(signature) else MALFORMED_SIGNATURE


def judge(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> Arrival | Refused:
    """The delivery that these headers and this raw body are, or why they are none (R6.1).

    Size, signature, content type, JSON, headers, in this order: nothing is parsed before the
    signature was found right. `headers` may have any case; several secrets may be valid at once.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    refused = refusal_before_body(lowered, len(body), secrets)
    if refused is not None:
        return refused
    if not verify_signature(body, lowered["x-hub-signature-256"], secrets):
        return WRONG_SIGNATURE
    text = _json_of(lowered.get("content-type", ""), body)
    if isinstance(text, Refused):
        return text
    try:
        payload = parse_object(text)
    except MalformedBody:
        return WRONG_JSON
    if not _EVENT.fullmatch(lowered.get("x-github-event", "")):
        return WRONG_EVENT
    if sane_guid(lowered) is None:
        return WRONG_GUID
    return _arrival(lowered, payload, text)


def _json_of(content_type: str, body: bytes) -> bytes | Refused:
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json":
        return body
    if media_type != "application/x-www-form-urlencoded":
        return WRONG_TYPE
    # The standard parser of forms decodes texts; what was signed and is kept are bytes.
    fields = (field.partition(b"=") for field in body.split(b"&", _FORM_FIELDS))
    texts = [value for name, _, value in fields if name == b"payload"]
    return unquote_to_bytes(texts[0].replace(b"+", b" ")) if len(texts) == 1 else WRONG_FORM


def _arrival(headers: Mapping[str, str], payload: Mapping[str, Any], text: bytes) -> Arrival:
    """The row. What has not the type that GitHub gives it is left out: a delivery that is signed is
    kept, and what cannot be used is judged by whoever processes it."""
    target_type = headers.get("x-github-hook-installation-target-type", "").strip().lower()
    action = some_text(payload.get("action")) or ""
    return Arrival(
        guid=headers["x-github-delivery"],
        hook_id=_number(headers.get("x-github-hook-id")) or 0,
        target_type=target_type if target_type in _TARGETS else "",
        target_id=_number(headers.get("x-github-hook-installation-target-id")),
        event=headers["x-github-event"],
        action=action if len(action) <= _LONGEST_ACTION else "",
        installation_github_id=_id_of(payload, "installation"),
        account_id=_account(payload),
        repository_github_id=_id_of(payload, "repository"),
        payload=pack(text),
        payload_bytes=len(text),
    )


_ACCOUNTS: Final = (
    ("installation", "account"),
    ("repository", "owner"),
    ("organization",),
    ("account",),
)


def _account(payload: Mapping[str, Any]) -> int | None:
    """Whose delivery it is: the installation's account where the payload tells it, else the owner."""
    for path in _ACCOUNTS:
        found = _id_of(payload, *path)
        if found is not None:
            return found
    return None


def _id_of(payload: Mapping[str, Any], *path: str) -> int | None:
    value: object = payload
    for name in path:
        value = value.get(name) if is_mapping(value) else None
    return optional_id(value.get("id")) if is_mapping(value) else None


def _number(text: str | None) -> int | None:
    digits = (text or "").strip()
    return optional_id(int(digits)) if _NUMBER.fullmatch(digits) else None
