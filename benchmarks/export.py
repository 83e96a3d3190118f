"""Rows of the streamed CSV of answers per second, beside one COPY … TO of the same rows and columns.

The export goes through the very function of the page's file: batches found as a page is found, each written on its own. Its memory is
watched: it must not grow with the rows.
"""

import io
import time
from typing import Any

import psutil
from django.db import connection

from benchmarks import search
from benchmarks.result import measured
from benchmarks.stage import Stage

BAR = 0.3
FLAT_MB = 150  # what a million rows may add to the process; their bytes are three times that


class _Nowhere(io.RawIOBase):
    """Counts what it is given."""

    def __init__(self) -> None:
        self.lines = 0

    def write(self, data: Any) -> int:
        self.lines += bytes(data).count(b"\n")
        return len(data)


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """Rows per second, medians of rounds that alternate."""
    from metrics.export import Export
    from surveys.flow.search import Asked
    from surveys.models import Organisation

    rows, rounds = (20_000, 3) if quick else (1_000_000, 3)
    search.fill(rows)
    export = Export.of(Asked(), Organisation.current(), people=True)
    process = psutil.Process()
    figures, limits = [], []
    grown = 0.0
    for _round in range(rounds):
        started = time.perf_counter()
        _copy_all(export, rows)
        limits.append(rows / (time.perf_counter() - started))
        before = process.memory_info().rss
        started = time.perf_counter()
        grown = max(grown, _stream(export, rows, process) - before)
        figures.append(rows / (time.perf_counter() - started))
    if grown > FLAT_MB * 2**20:
        raise AssertionError(f"the export took {grown / 2**20:.0f} MB")
    return measured("export", figures, limits, BAR, "rows/s", peak_mb=grown / 2**20)


def _stream(export: Any, rows: int, process: psutil.Process) -> float:
    """The largest size on the way."""
    from metrics.export import csv_bytes

    most, lines = 0, -2  # an empty line, and heads
    for piece in csv_bytes(export, []):
        lines += piece.count(b"\n")
        most = max(most, process.memory_info().rss)
    if lines != rows:
        raise AssertionError(f"{lines} lines are not all")
    return most


def _copy_all(export: Any, rows: int) -> None:
    from metrics.export import csv_query

    nowhere = _Nowhere()
    with connection.cursor() as cursor:
        sql, parameters = csv_query(export, [])
        everything = sql.replace("WHERE r.id = ANY(%(ids)s)", "")
        if everything == sql:
            raise AssertionError("the export's query no longer asks for ids")
        cursor.copy_expert(f"COPY ({cursor.mogrify(everything, parameters).decode()}) TO STDOUT (FORMAT csv)", nowhere)
    if nowhere.lines != rows:
        raise AssertionError(f"{nowhere.lines} lines are not all")
