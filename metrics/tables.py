"""A table that a page shows and a CSV file holds: one and the same. In: cells with a text and a value. Out: lines of CSV.

No query, no request, and nothing is computed: what a cell says is decided before.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from django.utils.translation import gettext as _

Value = str | int | float | None
BOM = "\ufeff"  # without it Excel takes UTF-8 for the code page of its country
# A spreadsheet runs a text that begins with one of these.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


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


@dataclass(frozen=True)
class Column:
    """`kind`: text, number, or rate, which takes two more columns in a file for the ends of its interval."""

    title: str
    kind: str = "number"
    meaning: str = ""

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
        if self.cards or (len(self.columns) > 4 and any(column.kind == "rate" for column in self.columns)):
            return "wide"
        return "tall" if len(self.columns) == 4 and any(row.cells[0].bar is not None for row in self.rows) else ""


def csv_lines(table: Table, says: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The file, line by line: what it is (`says` holds names and values), an empty line, heads, rows, and its notes.

    Words are found before the first line is asked for: a response that streams outlives the reader's language.
    """
    heads: list[Value] = []
    for column in table.columns:
        heads.append(column.title)
        if column.kind == "rate":
            told = {"column": column.title}
            heads += [_("%(column)s, from (95%%)") % told, _("%(column)s, to (95%%)") % told]
    top = [[table.title], *([[table.about]] if table.about else []), *says, [], heads]
    lines: Iterator[Sequence[Value]] = chain(
        top, map(partial(_row, table), table.rows), ([note] for note in table.notes)
    )
    return chain([BOM], map(_line, lines))


def _row(table: Table, row: Row) -> list[Value]:
    held: list[Value] = []
    for column, cell in zip(table.columns, row.cells, strict=True):
        held.append(_value(column, cell))
        if column.kind == "rate":
            held += cell.ends or (None, None)
    return held


def _value(column: Column, cell: Cell) -> Value:
    """A number as such, and unrounded; what is not known is said in words, what is too little is left empty."""
    if column.is_text:
        return f"{cell.text} ({cell.note})" if cell.note else cell.text
    return cell.text if cell.state == "unknown" else cell.value


def _line(values: Sequence[Value]) -> str:
    held = io.StringIO()
    csv.writer(held).writerow(["" if value is None else _harmless(value) for value in values])
    return held.getvalue()


def _harmless(value: Value) -> Value:
    """Texts that a spreadsheet would run begin with an apostrophe; numbers are numbers, below 0 too."""
    if isinstance(value, str) and value.lstrip(" ").startswith(FORMULA):
        return f"'{value}"
    return value
