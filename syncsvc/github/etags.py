"""Conditional requests: which page was read with which token, and what it held (R4.3).

Hides when an ETag may be sent. ETags depend on the token, so a page that was read with another
token than today's is not asked for conditionally.
"""

from dataclasses import dataclass
from typing import Protocol

from syncsvc.github.payloads import ParsedPage
from syncsvc.github.rows import ROWS_VERSION, UnreadableRows, load_rows

__all__ = ["ROWS_VERSION", "EtagStore", "StoredPage", "remembered"]


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPage:
    """One page as it was last read. `rows` is opaque, of the form numbered `version`."""

    etag: str
    fingerprint: str
    rows: bytes
    has_next: bool
    last_page: int | None
    version: int = ROWS_VERSION


class EtagStore(Protocol):
    """Where pages are kept; one store (or one key space) for each installation.

    All methods are called by the thread that iterates the listing, never by its helpers. `put` may
    collect until `flush`.
    """

    def get(self, url_key: str, /) -> StoredPage | None:
        """The page last stored for this address, if any."""

    def put(self, url_key: str, page: StoredPage, /) -> None:
        """Keep `page` in place of what was there."""

    def flush(self) -> None:
        """Write what was collected."""


def remembered(stored: StoredPage | None, fingerprint: str) -> tuple[StoredPage, ParsedPage] | None:
    """The stored page with its rows, when it may be asked for conditionally with this token."""
    if stored is None or not stored.etag or stored.fingerprint != fingerprint:
        return None
    if stored.version != ROWS_VERSION:
        return None
    try:
        return stored, load_rows(stored.rows)
    except UnreadableRows:
        return None
