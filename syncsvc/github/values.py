"""Single values out of JSON: texts, times, ids, and the verdict on what is none of them.

Hides what PostgreSQL cannot store and how many shapes GitHub has for one thing. Pure.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeGuard

import orjson

_MAX_ID: Final = 2**63 - 1
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")


class InvalidRecord(ValueError):
    """A record without a usable required field. `item` is what came; the text never shows it."""

    def __init__(self, field: str, reason: str, item: object) -> None:
        self.field = field
        self.reason = reason
        self.item = item
        super().__init__(f"{field}: {reason}")

    @property
    def github_id(self) -> int | None:
        """The record's id, where at least that could be read."""
        value = self.item.get("id") if isinstance(self.item, Mapping) else None
        return value if is_id(value) else None


class MalformedBody(ValueError):
    """The answer as a whole is not what was asked for: cut JSON, or another shape."""


def parse_json(body: bytes) -> Any:
    """The JSON value of an answer; raises `MalformedBody` when it is cut or no JSON.

    One lone surrogate makes orjson refuse a whole page; the slower standard parser reads it, so
    that only the one text is mended.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise MalformedBody("the answer is cut or not JSON") from None


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether it is a JSON object."""
    return type(value) is dict or isinstance(value, Mapping)  # the first is four times faster


def is_id(value: object) -> TypeGuard[int]:
    """Whether it is an id that a 64-bit column holds; `True` is none."""
    return type(value) is int and 0 < value <= _MAX_ID


def clean_text(value: str) -> str:
    """`value` with what PostgreSQL cannot store (NUL, lone surrogates) replaced by U+FFFD."""
    if value.isascii():  # a flag of the string, not a scan
        return value.replace("\x00", "\ufffd") if "\x00" in value else value
    return _UNSTORABLE.sub("\ufffd", value)


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 text or an epoch integer (seconds or milliseconds) as UTC; None if neither.

    Push webhooks carry epoch integers where every other payload carries text.
    """
    try:
        if type(value) is str:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is UTC:
                return moment
            return moment.astimezone(UTC) if moment.tzinfo is not None else None
        if type(value) is int:
            return datetime.fromtimestamp(value / 1000 if value > 10**11 else value, UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def required_id(item: Mapping[str, Any], field: str = "id") -> int:
    """The id, or `InvalidRecord`."""
    value = item.get(field)
    if not is_id(value):
        raise InvalidRecord(field, "missing or not a positive 64-bit integer", item)
    return value


def optional_id(value: object) -> int | None:
    """The id, or None."""
    return value if is_id(value) else None


def some_text(value: object) -> str | None:
    """The cleaned text, None when it is empty or no text."""
    return clean_text(value) if type(value) is str and value else None


def texts(value: object) -> tuple[str, ...] | None:
    """The cleaned texts, None unless it is a list of nothing but texts."""
    if type(value) is not list:
        return None
    for each in value:
        if type(each) is not str:
            return None
    return tuple([clean_text(each) for each in value])
