"""A table as a file: one that Excel reads, that runs nothing, and that holds what the page holds."""

import csv
import io

from metrics.display.tables import Cell, Column, Line, Row, Table, csv_lines
from metrics.sheets import BOM


def read(table: Table, says=()) -> list[list[str]]:
    text = "".join(csv_lines(table, says))
    assert text.startswith(BOM)
    assert text.count(BOM) == 1
    return list(csv.reader(io.StringIO(text.removeprefix(BOM))))


def test_a_file_says_what_it_is_and_holds_plain_numbers():
    columns = [Column("Step", "text"), Column("n"), Column("Rate", "rate")]
    rows = [
        Row([Cell("Sent", note="of 9"), Cell("1,234", 1234), Cell("33.3%", 100 / 3, (30.0, 37.5), Line(1, 2, 3, ""))]),
        Row([Cell("Few"), Cell("–", state="nothing"), Cell("n = 3, too few", state="few")]),
        Row([Cell("Delivered"), Cell("not known", state="unknown"), Cell("not known", state="unknown")]),
    ]
    table = Table("funnel", "From decision to answer", columns, rows, "About it.", ["A note."])
    assert read(table, [("Period", "today")]) == [
        ["From decision to answer"],
        ["About it."],
        ["Period", "today"],
        [],
        ["Step", "n", "Rate", "Rate, from (95%)", "Rate, to (95%)"],
        ["Sent (of 9)", "1234", str(100 / 3), "30.0", "37.5"],
        ["Few", "", "", "", ""],
        ["Delivered", "not known", "not known", "", ""],
        ["A note."],
    ]


def test_no_text_is_run_by_a_spreadsheet_and_no_number_becomes_a_text():
    wicked = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\tx", "  =1", "＝1", 'a,"b"\n=c']
    rows = [Row([Cell(text), Cell("−4.2", -4.2)]) for text in wicked]
    found = read(Table("t", "=title", [Column("Name", "text"), Column("n")], rows), [("=a", "=b")])
    assert found[0] == ["'=title"]
    assert found[1] == ["'=a", "'=b"]
    assert [row[0] for row in found[4:]] == [*(f"'{text}" for text in wicked[:-1]), wicked[-1]]
    assert {row[1] for row in found[4:]} == {"-4.2"}


def test_a_wide_table_of_rates_is_cards_on_a_phone():
    def shape(count: int, kind: str = "number", bar: float | None = None) -> str:
        row = Row([Cell("x", bar=bar), *[Cell("1", 1)] * (count - 1)])
        return Table("t", "", [Column("", "text"), *[Column("", kind)] * (count - 1)], [row]).shape

    assert (shape(5, "rate"), shape(5), shape(4, bar=50.0), shape(4), shape(3, bar=50.0)) == (
        "wide",
        "",
        "tall",
        "",
        "",
    )
