"""CSV: what a spreadsheet would carry out is only text, nothing is lost, and nothing waits for the end."""

import csv
import io
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alerts import csv_export

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def parsed(*rows: list[Any]) -> list[list[str]]:
    text = "".join(csv_export.lines(["a", "b"], rows))
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))[1:]


@pytest.mark.spec("R18.1")
@given(st.text(), st.text())
@example("=cmd|' /C calc'!A0", "-x")
@example("'=already", "'")
@example('a,b;"c"\r\nd', "\t=1")
@example("", "\u202eevil 🚀")
def test_any_text_is_no_formula_and_can_be_had_back(left: str, right: str) -> None:
    [cells] = parsed([left, right])

    assert not any(text.startswith(FORMULA) for text in cells)
    assert [csv_export.recovered(text) for text in cells] == [left, right]


def test_numbers_stay_numbers_and_nothing_known_is_an_empty_cell() -> None:
    at = datetime(2026, 11, 22, 12, 30, 5, 900_000, tzinfo=UTC)

    assert parsed([-5, 0.995], [None, None], [True, at], [date(2026, 11, 22), 10**12]) == [
        ["-5", "0.995"],
        ["", ""],
        ["yes", "2026-11-22T12:30:05Z"],
        ["2026-11-22", "1000000000000"],
    ]


def test_the_header_leaves_before_a_row_is_read_and_rows_before_the_last_one() -> None:
    read: list[int] = []

    def rows() -> Iterator[list[int]]:
        for number in range(1_000):
            read.append(number)
            yield [number, number]

    pieces = csv_export.lines(["a", "b"], rows())

    assert next(pieces) == "\ufeffa,b\r\n"
    assert read == []
    assert next(pieces).startswith("0,0\r\n")
    assert len(read) == csv_export.ROWS_A_CHUNK


def test_a_name_says_the_day_and_the_filters_and_is_safe() -> None:
    day = date(2026, 11, 22)

    assert (
        csv_export.file_name("sync-health", day, ["7d", "status-error"])
        == "sync-health-2026-11-22-7d-status-error.csv"
    )
    assert (
        csv_export.file_name("sync-health", day, ['../"Ä\r\nx' + "y" * 10_000, "", "🚀"])
        == f"sync-health-2026-11-22-x{'y' * 39}-filtered.csv"
    )


def test_the_answer_is_a_download_that_nobody_keeps() -> None:
    answer = csv_export.response("x.csv", ["a"], iter([["ä"]]))

    assert answer.streaming
    assert answer["Content-Disposition"] == 'attachment; filename="x.csv"'
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    assert answer.getvalue().decode("utf-8-sig") == "a\r\nä\r\n"
