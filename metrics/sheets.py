"""Rows into a file that a spreadsheet opens: CSV and XLSX, a piece at a time. In: rows of plain values. Out: text, or bytes.

Nothing is held but the row at hand, and nothing is written to disk: rows are somebody's words. No query, no request, no words of ours.
No text may become a formula: `FORMULA` is the only place that says which would.

The XLSX is written here, since the libraries that write one lay all rows in a file first: a reader would wait a minute for the first
byte of a million rows, and customers' words would lie in a folder for temporary files. ECMA-376 (2016), part 1, SpreadsheetML.
"""

import csv
import io
import re
import zipfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, datetime
from itertools import count

Value = (
    str | int | float | date | None
)  # a datetime is a date; it is told without its zone, in which it must be already
BOM = "\ufeff"  # without it Excel takes UTF-8 for the code page of its country
# A spreadsheet runs a text that begins with one of these.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
MAX_ROWS = 1_048_576  # of a sheet; Excel opens none with more
MAX_CHARACTERS = 32_767  # of a cell; Excel calls the file damaged where there are more
PIECE = 64 * 1024


class TooManyRows(ValueError):
    """A sheet has no place for the next row. Whoever streams counts before: a file that breaks off helps nobody."""


def runs(text: str) -> bool:
    """Whether a spreadsheet would take a text for a formula."""
    return text.lstrip(" ").startswith(FORMULA)


def harmless(value: Value) -> Value:
    """Texts that a spreadsheet would run begin with an apostrophe; numbers are numbers, below 0 too."""
    return f"'{value}" if isinstance(value, str) and runs(value) else value


def csv_line(values: Sequence[Value]) -> str:
    """One line of RFC 4180; what is None is empty, and times are as ISO 8601 has them."""
    held = io.StringIO()
    csv.writer(held).writerow(["" if value is None else harmless(value) for value in values])
    return held.getvalue()


def xlsx_lines(
    rows: Iterable[Sequence[Value]],
    *,
    title: str = "",
    bold: Collection[int] = (),
    frozen: int = 0,
    widths: Sequence[int] = (),
) -> Iterator[bytes]:
    """A workbook of one sheet, in pieces. TooManyRows past MAX_ROWS.

    `title` names the sheet. `bold` are numbers of rows, from 0; the first `frozen` rows stay in view; `widths` are those of columns,
    in characters. A text is a text whatever it begins with (one that looks like a formula is marked as quoted, as Excel does
    itself); a number that is none (NaN, infinite) is left empty; a text beyond MAX_CHARACTERS ends in “…”.
    """
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, text in _FRAME.items():
            archive.writestr(name, text)
        archive.writestr("xl/workbook.xml", _WORKBOOK % _escaped(_sheet_name(title)))
        with archive.open("xl/worksheets/sheet1.xml", "w") as sheet:
            sheet.write(_sheet_head(frozen, widths).encode())
            held: list[str] = []
            size = 0
            for number, row in zip(count(), rows):
                if number == MAX_ROWS:
                    raise TooManyRows
                line = _row(number + 1, row, number in bold)
                held.append(line)
                size += len(line)
                if size > PIECE:
                    sheet.write("".join(held).encode())
                    held.clear()
                    size = 0
                    yield from pipe.taken()
            sheet.write("".join(held).encode())
            sheet.write(b"</sheetData></worksheet>")
    yield from pipe.taken()


class _Pipe(io.RawIOBase):
    """What a zip file is written into: it cannot go back, and is emptied as it fills."""

    def __init__(self) -> None:
        self._held: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._held.append(bytes(data))
        return len(data)

    def taken(self) -> Iterator[bytes]:
        held, self._held = b"".join(self._held), []
        if held:
            yield held


_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_OOXML = "http://schemas.openxmlformats.org"
_OFFICE = f"{_OOXML}/officeDocument/2006/relationships"
_SHEETS = f"{_OOXML}/spreadsheetml/2006/main"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# By their places in `cellXfs`.
_PLAIN, _BOLD, _QUOTED, _DAY, _MOMENT = range(5)
_FRAME = {
    "[Content_Types].xml": f'{_XML}<Types xmlns="{_OOXML}/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/worksheets/sheet1.xml" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/></Types>',
    "_rels/.rels": f'{_XML}<Relationships xmlns="{_OOXML}/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
    "xl/_rels/workbook.xml.rels": f'{_XML}<Relationships xmlns="{_OOXML}/package/2006/relationships">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/worksheet" Target="worksheets/sheet1.xml"/>'
    f'<Relationship Id="rId2" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": f'{_XML}<styleSheet xmlns="{_SHEETS}">'
    '<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/><family val="2"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/><family val="2"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="5"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/>'
    '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0" quotePrefix="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/></cellXfs>'
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>',
}
_WORKBOOK = (
    f'{_XML}<workbook xmlns="{_SHEETS}" xmlns:r="{_OFFICE}">'
    '<sheets><sheet name="%s" sheetId="1" r:id="rId1"/></sheets></workbook>'
)


def _sheet_name(title: str) -> str:
    """At most 31 characters, none of which Excel forbids."""
    return re.sub(r"[\[\]:*?/\\]", " ", title).strip(" '")[:31].strip(" '") or "Sheet"


def _sheet_head(frozen: int, widths: Sequence[int]) -> str:
    view = '<sheetView workbookViewId="0"/>'
    if frozen:
        view = (
            f'<sheetView workbookViewId="0"><pane ySplit="{frozen}" topLeftCell="A{frozen + 1}" activePane="bottomLeft" '
            'state="frozen"/><selection pane="bottomLeft"/></sheetView>'
        )
    columns = "".join(
        f'<col min="{place}" max="{place}" width="{width}" customWidth="1"/>' for place, width in enumerate(widths, 1)
    )
    shaped = f"<cols>{columns}</cols>" if columns else ""
    return f'{_XML}<worksheet xmlns="{_SHEETS}"><sheetViews>{view}</sheetViews>{shaped}<sheetData>'


def _row(number: int, values: Sequence[Value], bold: bool) -> str:
    """Row `number`, from 1."""
    cells = []
    for place, value in enumerate(values):
        if value is None or value == "":
            continue
        at = f"{_LETTERS[place]}{number}"
        if isinstance(value, str):
            style = _BOLD if bold else _QUOTED if runs(value) else _PLAIN
            marked = f' s="{style}"' if style else ""
            cells.append(
                f'<c r="{at}"{marked} t="inlineStr"><is><t xml:space="preserve">{_escaped(value)}</t></is></c>'
            )
        elif isinstance(value, date):
            style = _MOMENT if isinstance(value, datetime) else _DAY
            cells.append(f'<c r="{at}" s="{style}"><v>{_serial(value)!r}</v></c>')
        elif isinstance(value, int) or value - value == 0:  # neither NaN nor infinite
            cells.append(f'<c r="{at}"{_STRONG * bold}><v>{value + 0!r}</v></c>')
    return f'<row r="{number}">{"".join(cells)}</row>'


_STRONG = f' s="{_BOLD}"'


def _letters() -> Iterator[str]:
    """A, B, … Z, AA, … as columns are called."""
    names = [""]
    while True:
        names = [name + chr(ord("A") + letter) for name in names for letter in range(26)]
        yield from names


_LETTERS = [name for _place, name in zip(range(1_000), _letters(), strict=False)]
_FIRST_DAY = date(1899, 12, 30).toordinal()  # day 0 of a workbook, from March 1900 on


def _serial(value: date) -> float | int:
    """A day, or a moment on the clock that it carries, as workbooks count them."""
    days = value.toordinal() - _FIRST_DAY
    if not isinstance(value, datetime):
        return days
    return days + ((value.hour * 60 + value.minute) * 60 + value.second + value.microsecond / 1e6) / 86_400


# What XML 1.0 has no place for, a lone half of a pair, and what a workbook reads as an escape of its own.
_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_LOOKS_ESCAPED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
_AWKWARD = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|_x')


def _escaped(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS - 1]}…"
    if _AWKWARD.search(text) is None:
        return text
    text = _LOOKS_ESCAPED.sub("_x005F_", _STRANGE.sub("�", text.replace("\r\n", "\n").replace("\r", "\n")))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
