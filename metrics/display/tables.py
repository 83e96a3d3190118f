"""A table that a page shows and a file holds: one and the same. In: cells with a text and a value. Out: pieces of CSV or XLSX.

No query, no request, and nothing is computed: what a cell says is decided before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from django.utils.translation import gettext as _

from metrics.sheets import BOM, Value, csv_line, xlsx_lines

WIDE, NARROW = 28, 14  # columns of texts and of numbers in a workbook, in characters


@dataclass(frozen=True)
class Line:
    """An interval along 0…100, as the page draws it."""

    low: float
    high: float
    value: float
    text: str
    target: float | None = None


@dataclass(frozen=True)
class Cell:
    """What a reader sees and what a file holds. `ends` are those of an interval; `bar` is a share of the widest, in percent.

    `note` is a quiet text beside it, `state` one of value, few, nothing, unknown; `query` narrows the page to it.
    `n` is for files alone: a page has it in the note. `marks` are for pages alone: (number, text) of what a chart marks here.
    """

    text: str
    value: Value = None
    ends: tuple[float, float] | None = None
    line: Line | None = None
    bar: float | None = None
    note: str = ""
    tone: str = ""
    state: str = "value"
    query: str = ""
    n: int | None = None
    marks: Sequence[tuple[int, str]] = ()


@dataclass(frozen=True)
class Column:
    """`kind`: text, number, or rate, which takes two more columns in a file for the ends of its interval.

    `counted`: and one for n, where no other column of the table holds it.
    """

    title: str
    kind: str = "number"
    meaning: str = ""
    counted: bool = False

    @property
    def is_text(self) -> bool:
        return self.kind == "text"


@dataclass(frozen=True)
class Row:
    """`level`: plain, group (a sum of those below it), part (of the group above it)."""

    cells: Sequence[Cell]
    level: str = "plain"


@dataclass(frozen=True)
class Table:
    """`key` is its name in addresses and files; `about` says what it is, in a sentence. `cards`: on a phone, whatever its width."""

    key: str
    title: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    about: str = ""
    notes: Sequence[str] = ()
    cards: bool = False

    @property
    def lines(self) -> list[tuple[str, list[tuple[Column, Cell]]]]:
        """Each row's level, and its cells beside their columns."""
        return [(row.level, list(zip(self.columns, row.cells, strict=True))) for row in self.rows]

    @property
    def shape(self) -> str:
        """On a phone: "wide" makes a card of each row, "tall" puts the numbers below a name that has a bar; "" stays a table."""
        texts = sum(column.is_text for column in self.columns)
        is_wide = len(self.columns) > 4 and (texts > 2 or any(column.kind == "rate" for column in self.columns))
        if self.cards or is_wide:
            return "wide"
        return "tall" if len(self.columns) == 4 and any(row.cells[0].bar is not None for row in self.rows) else ""


def csv_lines(table: Table, says: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The file, line by line."""
    return chain([BOM], map(csv_line, _lines(table, says)[1]))


def xlsx_pieces(table: Table, says: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    """The same as a workbook of one sheet."""
    head, lines = _lines(table, says)
    widths = [WIDE if column.is_text else NARROW for column in table.columns for _place in _places(column)]
    return xlsx_lines(lines, title=table.title, bold=(0, head), widths=widths)


def _lines(table: Table, says: Sequence[tuple[str, str]]) -> tuple[int, Iterator[Sequence[Value]]]:
    """(which of them holds the heads, the lines): what it is (`says` holds names and values), an empty line, heads, rows, notes.

    Words are found before the first line is asked for: a response that streams outlives the reader's language.
    """
    heads = [told for column in table.columns for told in _places(column)]
    top = [[table.title], *([[table.about]] if table.about else []), *says, []]
    return len(top), chain([*top, heads], map(partial(_row, table), table.rows), ([note] for note in table.notes))


def _places(column: Column) -> list[str]:
    """The titles of a column's own columns in a file: a rate has those of its interval's ends beside it."""
    told = {"column": column.title}
    titles = [column.title]
    if column.kind == "rate":
        titles += [_("%(column)s, from (95%%)") % told, _("%(column)s, to (95%%)") % told]
    return [*titles, _("%(column)s, n") % told] if column.counted else titles


def _row(table: Table, row: Row) -> list[Value]:
    held: list[Value] = []
    for column, cell in zip(table.columns, row.cells, strict=True):
        held.append(_value(column, cell))
        if column.kind == "rate":
            held += cell.ends or (None, None)
        if column.counted:
            held.append(cell.n)
    return held


def _value(column: Column, cell: Cell) -> Value:
    """A number as such, and unrounded; what is not known is said in words, what is too little is left empty."""
    if column.is_text:
        return f"{cell.text} ({cell.note})" if cell.note else cell.text
    return cell.text if cell.state == "unknown" else cell.value
