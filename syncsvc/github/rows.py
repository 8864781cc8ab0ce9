"""Parsed pages <-> compact bytes, for the ETag store.

Hides the stored form: positional arrays, so that a page that did not change costs less to bring
back than it would to parse GitHub's JSON again. A change of the form raises `ROWS_VERSION`.
"""

from dataclasses import astuple
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

import orjson

from syncsvc.github.payloads import ROW_FIELDS, BadRecord, ParsedPage, RepositoryRow, build_row

ROWS_VERSION: Final = 1

_values = attrgetter(*ROW_FIELDS)
_TIMES: Final = tuple(
    map(ROW_FIELDS.index, ("github_created_at", "github_updated_at", "pushed_at"))
)
_TOPICS: Final = ROW_FIELDS.index("topics")
_ABSENT: Final = ROW_FIELDS.index("absent")


class UnreadableRows(ValueError):
    """Stored bytes of another version, or damaged: the page has to be fetched anew."""


def dump_rows(page: ParsedPage) -> bytes:
    """`page` as bytes that `load_rows` reads back equal."""
    return orjson.dumps(
        [
            ROWS_VERSION,
            page.total_count,
            page.repository_selection,
            [astuple(each) for each in page.bad],
            [_values(row) for row in page.rows],
        ],
        default=sorted,  # only the frozensets of `absent` come here
        option=orjson.OPT_UTC_Z,
    )


def load_rows(payload: bytes) -> ParsedPage:
    """The page that was dumped; raises `UnreadableRows` for anything else."""
    try:
        version, total_count, selection, bad, rows = orjson.loads(payload)
        if version != ROWS_VERSION:
            raise UnreadableRows(f"version {version}, not {ROWS_VERSION}")
        return ParsedPage(
            rows=tuple(map(_row, rows)),
            bad=tuple(
                BadRecord(index=index, github_id=github_id, field=field, reason=reason)
                for index, github_id, field, reason in bad
            ),
            total_count=total_count,
            repository_selection=selection,
        )
    except UnreadableRows:
        raise
    except (ValueError, TypeError, KeyError) as error:
        raise UnreadableRows("damaged") from error


def _row(values: list[Any]) -> RepositoryRow:
    if len(values) != len(ROW_FIELDS):
        raise ValueError("another number of fields")
    for position in _TIMES:
        if values[position] is not None:
            values[position] = datetime.fromisoformat(values[position])
    values[_TOPICS] = tuple(values[_TOPICS])
    values[_ABSENT] = frozenset(values[_ABSENT])
    return build_row(*values)
