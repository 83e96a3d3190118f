"""Ledger rows rolled up per second, beside one SQL statement that groups the same rows and upserts the same cells.

In: a migrated, empty database (`benchmarks` never runs on one of the user's). Out: one result. The limit reads the rows
from a table that it leaves alone, so what the figure pays on top is the ledger: reading it once more and emptying it.
"""

import resource
import time
from typing import Any

from django.db import connection, transaction

from benchmarks.result import measured
from benchmarks.stage import Stage
from metrics.models import ScoreCell
from metrics.rollup import SCORE_KIND, roll_up
from surveys.models import ScoreLedger

BAR = 0.35
TOUCHPOINTS, DAYS, MODES, SEGMENTS = 50, 90, 3, 3  # 40,500 cells of the full key, 46,500 in all grains

_ROWS = f"""
SELECT DATE '2026-08-01' + floor(random() * {DAYS})::int, 1 + floor(random() * {TOUCHPOINTS})::int, 1,
    (ARRAY['email', 'sms', 'web'])[1 + floor(random() * {MODES})::int],
    (ARRAY['gold', 'silver', 'bronze'])[1 + floor(random() * {SEGMENTS})::int], '', floor(random() * 11)::int, 1
FROM generate_series(1, %s)
"""


def run(stage: Stage, quick: bool = False) -> dict[str, Any]:
    """{"name", "figure", "limit", "ratio", …}: rows per second, medians of rounds that alternate."""
    rows, rounds = (50_000, 3) if quick else (1_000_000, 5)
    columns = ", ".join(SCORE_KIND.row)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.42)")
        cursor.execute(f"CREATE TEMPORARY TABLE bench_rows AS SELECT {columns} FROM {SCORE_KIND.ledger} LIMIT 0")
        cursor.execute(f"INSERT INTO bench_rows ({columns}) {_ROWS}", [rows])
        cursor.execute("ANALYZE bench_rows")
    figures, limits = [], []
    for _round in range(rounds):
        _empty()
        limits.append(rows / _seconds(_limit))
        cells = _cells()
        _empty()
        with connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {SCORE_KIND.ledger} ({columns}) SELECT {columns} FROM bench_rows")
            cursor.execute(f"ANALYZE {SCORE_KIND.ledger}")
            cursor.execute("CHECKPOINT")
        figures.append(rows / _seconds(_drain))
        if _cells() != cells or ScoreLedger.objects.exists():
            raise AssertionError("The roll-up did not make the cells of the limit.")
    _empty()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bench_rows")
    return measured(
        "rollup",
        figures,
        limits,
        BAR,
        "ledger rows/s",
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def _limit() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        cursor.execute(f"WITH fine AS MATERIALIZED ({SCORE_KIND.fine('bench_rows')}) {SCORE_KIND.upsert('fine')}")


def _drain() -> None:
    while roll_up():
        pass


def _empty() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {SCORE_KIND.ledger}, {SCORE_KIND.cell}")
        cursor.execute("CHECKPOINT")


def _cells() -> tuple[Any, ...]:
    """Something of every cell: their number and each counter's sum at every grain."""
    sums = ", ".join(f"sum({name})" for name in SCORE_KIND.counters)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT grain, count(*), {sums} FROM {ScoreCell._meta.db_table} GROUP BY grain ORDER BY grain")
        return tuple(cursor.fetchall())


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
