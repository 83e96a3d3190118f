"""Rows as files that another program reads: what went in comes out, and nothing is run."""

import io
import math
import re
import zipfile
from datetime import date, datetime, timedelta

import pytest
from openpyxl import load_workbook

from metrics import sheets
from metrics.sheets import FORMULA, TooManyRows, csv_line, xlsx_lines


def read(rows, **more):
    """The sheet, as a library that is not ours reads it."""
    return load_workbook(io.BytesIO(b"".join(xlsx_lines(rows, **more)))).active


def xml_of(rows, **more) -> str:
    with zipfile.ZipFile(io.BytesIO(b"".join(xlsx_lines(rows, **more)))) as archive:
        assert archive.testzip() is None
        return archive.read("xl/worksheets/sheet1.xml").decode()


def test_a_sheet_holds_the_values_that_went_in():
    rows = [
        ["Text", "好评 & <b>\"quoted\"</b> 'so'", " spaces ", "two\nlines", "🙂 مرحبا"],
        [1, -2.5, 1e300, True, 0],
        [date(2026, 11, 26), datetime(2026, 11, 26, 23, 59, 58), None, "", 2**53],
        [],
        ["after an empty row"],
    ]
    sheet = read(rows)
    found = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert found == [
        rows[0],
        [1, -2.5, 1e300, 1, 0],
        [datetime(2026, 11, 26), datetime(2026, 11, 26, 23, 59, 58), None, None, 2**53],
        [None] * 5,
        ["after an empty row", None, None, None, None],
    ]


def test_heads_are_bold_and_stay_in_view():
    sheet = read([["Title"], [], ["Head"], ["=cell"]], title="Answers: 2026/11", bold={0, 2}, frozen=3, widths=[30, 8])
    assert [row[0].font.b for row in sheet.iter_rows()] == [True, False, True, False]
    assert (sheet.freeze_panes, sheet.title) == ("A4", "Answers  2026 11")
    assert [sheet.column_dimensions[letter].width for letter in "AB"] == [30, 8]


@pytest.mark.parametrize("start", FORMULA)
def test_what_looks_like_a_formula_is_a_text_in_both_files(start):
    text = f"  {start}HYPERLINK(1)" if start not in "\t\r\n" else f"{start}=1"
    [[cell]] = read([[text]]).iter_rows()
    assert (cell.data_type, cell.value, cell.quotePrefix) == ("s", text.replace("\r", "\n"), True)
    assert csv_line([text, -1]).lstrip('"').startswith("'")
    assert csv_line([-1, -0.5]) == "-1,-0.5\r\n"


def test_what_no_sheet_can_hold_is_told_or_left_out():
    long = "长" * (sheets.MAX_CHARACTERS + 1)
    [[nul, half, escape, infinite, nan, cut]] = read(
        [["a\x00b\x0b", "\ud83d!", "_x0041_", math.inf, math.nan, long]]
    ).iter_rows()
    assert (nul.value, half.value, infinite.value, nan.value) == ("a�b�", "�!", None, None)
    assert "_x005F_x0041_" in xml_of([["_x0041_"]])  # which spreadsheets read as the seven characters that were typed
    assert escape.value
    assert cut.value == f"{long[: sheets.MAX_CHARACTERS - 1]}…"


def test_columns_are_called_as_spreadsheets_call_them():
    letters = re.findall(r'<c r="([A-Z]+)1"', xml_of([range(1, 704)]))
    assert (letters[0], letters[25], letters[26], letters[701], letters[702]) == ("A", "Z", "AA", "ZZ", "AAA")


def test_a_sheet_is_full_where_a_spreadsheet_is(monkeypatch):
    assert sheets.MAX_ROWS == 2**20
    monkeypatch.setattr(sheets, "MAX_ROWS", 3)
    assert read([[1]] * 3).max_row == 3
    with pytest.raises(TooManyRows):
        list(xlsx_lines([[1]] * 4))


def test_rows_leave_while_more_are_read():
    """Not one piece at the end: a reader waits for the first byte, and a million rows would lie in memory."""
    made = 0

    def rows():
        nonlocal made
        for number in range(20_000):
            made += 1
            yield [number, f"answer {number} of {timedelta(seconds=number)}"]

    pieces = xlsx_lines(rows())
    next(pieces)
    assert made < 2_000
    rest = list(pieces)
    assert len(rest) > 10
    assert max(map(len, rest)) < 256 * 1024
