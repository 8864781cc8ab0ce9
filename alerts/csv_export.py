"""Tables as CSV: safe to open in a spreadsheet, streamed row by row (R18.1).

What a cell says others may have written (logins, texts of errors), and spreadsheets carry out what begins
like a formula. Such a text gets an apostrophe in front, and so does one that begins with an apostrophe
itself: taking one off gives back exactly what was there. Numbers stay numbers; what is not known is an
empty cell. docs/sync-health.md tells the same to who reads the file.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any, Final

from django.http import StreamingHttpResponse

#: What a spreadsheet takes for the beginning of a formula, in the width of East Asian keyboards too; and
#: the apostrophe, so that taking one off is never wrong.
GUARDED: Final = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20'")
#: Without it Excel reads UTF-8 as the code page of the machine.
BOM: Final = "\ufeff"
ROWS_A_CHUNK: Final = 100
LONGEST_PART: Final = 40
CONTENT_TYPE: Final = "text/csv; charset=utf-8"


class _Echo:
    """A file for the csv module that hands back what is written into it."""

    def write(self, text: str) -> str:
        """The line itself."""
        return text


def cell(value: Any) -> str:
    """A value as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return guarded(str(value))


def guarded(text: str) -> str:
    """The text, with an apostrophe in front where a spreadsheet would carry it out."""
    return f"'{text}" if text.startswith(GUARDED) else text


def recovered(text: str) -> str:
    """What `guarded` was given."""
    return text.removeprefix("'")


def lines(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """The file in pieces: the header at once, then some rows at a time, each as soon as it is read."""
    write = csv.writer(_Echo()).writerow
    yield BOM + write(header)
    some: list[str] = []
    for row in rows:
        some.append(write([cell(value) for value in row]))
        if len(some) == ROWS_A_CHUNK:
            yield "".join(some)
            some = []
    if some:
        yield "".join(some)


def file_name(base: str, day: date, parts: Iterable[str]) -> str:
    """A name that any file system takes: what the file is, its day, and how it was narrowed."""
    safe = [_safe(part) for part in parts if part]
    return "-".join([base, day.isoformat(), *safe]) + ".csv"


def response(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> StreamingHttpResponse:
    """The file as a download; a reading that fails breaks the connection, so half a file is no whole one."""
    answer = StreamingHttpResponse(
        (piece.encode("utf-8", "replace") for piece in lines(header, rows)),
        content_type=CONTENT_TYPE,
    )
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    answer["Cache-Control"] = "no-store"
    answer["X-Accel-Buffering"] = "no"  # else a proxy may keep it until it is whole
    return answer


def _safe(part: str) -> str:
    """Small letters and digits; a text of other letters leaves a word that something was asked."""
    words = re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-")[:LONGEST_PART].strip("-")
    return words or "filtered"
