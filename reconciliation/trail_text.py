"""Texts of the audit trail: those of `syncsvc.safe_text`, and keys as the trail keeps them."""

from collections.abc import Collection, Sequence
from typing import Final

from syncsvc.safe_text import FRAMES, SHOWN, TRACE_SHOWN, clean, shown, trace

__all__ = [
    "FRAMES",
    "ROW_BYTES",
    "SHOWN",
    "TRACE_SHOWN",
    "clean",
    "lines",
    "parts",
    "shown",
    "trace",
]

ROW_BYTES: Final = 1_800


def parts(keys: Sequence[str]) -> list[Sequence[str]]:
    """The keys in parts that PostgreSQL keeps in a row as they are: larger ones it would compress and
    put elsewhere, which takes half as long again."""
    step = max(1, ROW_BYTES // (8 + len(keys[0])))
    return [keys[start : start + step] for start in range(0, len(keys), step)]


def lines(groups: Collection[Sequence[str]]) -> str | None:
    """Groups of keys as one text: a line each, commas between; None where a key is not plain.

    An array of arrays says the same; psycopg and PostgreSQL take three times as long to quote and to
    read it, and ids and shas need no quotes.
    """
    text = "\n".join(",".join(group) for group in groups)
    plain = text.replace(",", "").replace("\n", "")
    separators = sum(map(len, groups)) - 1
    unmixed = len(text) - len(plain) == separators and all(map(all, groups))
    return text if unmixed and plain.isascii() and plain.isalnum() else None
