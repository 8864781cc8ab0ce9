"""Texts that may be kept: free of secrets, short enough, and such as PostgreSQL can hold (R11.3). Pure."""

import traceback
from collections.abc import Iterable, Mapping
from typing import Any, Final

from syncsvc.github.redaction import REPLACEMENT, names_a_secret, redact

SHOWN: Final = 2_000
TRACE_SHOWN: Final = 6_000
FRAMES: Final = 12
#: How much of something of any shape is kept.
DEEPEST: Final = 6
MOST_ITEMS: Final = 20
MOST_CHARACTERS: Final = 300


def shown(text: str) -> str:
    """A sentence or a name as it may be kept."""
    return redact(clean(text))[:SHOWN]


def trace(exception: BaseException | None) -> str:
    """The stack of an exception, or of whoever noticed the error; the end of it, if it is long."""
    if exception is None:
        stack: Iterable[str] = traceback.format_stack(limit=FRAMES)[:-2]
    else:
        stack = traceback.format_exception(exception)
    # Redacted before it is cut: half a token might not look like one.
    return redact(clean("".join(stack)))[-TRACE_SHOWN:]


def chain(error: BaseException) -> str:
    """The stack of an exception and of what caused it, the cause first, each with the first line only of
    what it says: below that PostgreSQL quotes whole rows, and nobody knows what they hold."""
    found: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in found and len(found) < DEEPEST:
        found.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    texts = []
    for each in reversed(found):
        said = str(each).partition("\n")[0][:TRACE_SHOWN]
        frames = "".join(traceback.format_tb(each.__traceback__))
        texts.append(f"{frames}{type(each).__name__}: {said}\n")
    # Redacted before it is cut: half a token might not look like one.
    return redact(clean("\n".join(texts)))[-TRACE_SHOWN:]


def clean(text: str) -> str:
    """What PostgreSQL can hold: neither NUL nor half a surrogate pair."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def bounded(value: Any, depth: int = 0) -> Any:
    """Something of any shape as JSON that may be kept: without secrets, and never long.

    Of a list or a mapping the first `MOST_ITEMS` stay, of a text the beginning; what is deeper than
    `DEEPEST` is left out.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):  # JSON has no word for infinity
        return value if abs(value) < float("inf") else str(value)
    if isinstance(value, Mapping | list | tuple) and depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        pairs = [(clean(str(key))[:MOST_CHARACTERS], each) for key, each in value.items()]
        return {
            redact(key): REPLACEMENT
            if each and isinstance(each, str) and names_a_secret(key)
            else bounded(each, depth + 1)
            for key, each in pairs[:MOST_ITEMS]
        }
    if isinstance(value, list | tuple):
        return [bounded(each, depth + 1) for each in value[:MOST_ITEMS]]
    return redact(clean(str(value)))[:MOST_CHARACTERS]
