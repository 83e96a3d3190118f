"""Ledger rows in, cells out. The only writer of cells, and the only one that deletes ledger rows.

One drainer at a time (an advisory lock) adds whatever ledger rows it sees to the cells of every grain and deletes
them, in one statement: a row that commits late is simply there next time, and a drainer that is killed has
done nothing. Raw answers, tickets and ledger rows are brought to one shape, so that rolling up, rebuilding and
verifying group by the same SQL. No metric is computed here, and no page reads from here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import connection, transaction

from metrics.buckets import bucket_sql, pack_sql
from metrics.grains import DURATION_CUTS, SCORE_CUTS, Cut, cheapest
from metrics.models import SCORES, DurationCell, ScoreCell
from surveys.flow.durations import COUNTED, COUNTED_WITHIN
from surveys.models import Answer, DurationLedger, Response, ScoreLedger, Ticket

DRAINER_LOCK = 0x6378_726F_6C6C  # any number that nothing else in this database locks
# Each batch upserts up to every cell it touches, so few large batches are cheap (1 M rows in four took twice as long as in one).
BATCH = 1_000_000

# A whole batch, or a month, is grouped in memory; compiling the plan costs more than running it on the usual handful of rows. A month's
# cells are found and compared by hashing: sorting them by their texts takes three times as long, and the planner thinks that they are few.
TUNE = """SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true),
    set_config('enable_mergejoin', 'off', true)"""


@dataclass(frozen=True)
class Kind:
    """What rolling up scores and rolling up durations differ in.

    `row` are a ledger row's columns, which `raw` yields too (with delta 1); `key` a cell's key without its grain;
    `counters` a cell's counter to the SQL of its sum over rows; `cuts` the grains that it is kept at, the full key last.
    """

    cell: str
    ledger: str
    row: tuple[str, ...]
    key: tuple[str, ...]
    derived: dict[str, str]  # key columns that a row does not have, as SQL over a row
    counters: dict[str, str]
    cuts: Sequence[Cut]
    part: tuple[str, ...]  # what stands before the day in the cells' primary key
    raw: str  # a SELECT that ends in a WHERE
    within: str  # what its WHERE says of a span of days, with {first} and {after}
    raw_days: str  # a SELECT of (first day, last day) between which all that it finds lies

    def fine(self, rows: str, also: str = "") -> str:
        """A SELECT of (key, counters) over `rows`, the name of something that has the columns of `row`."""
        sums = ", ".join(f"{sql} AS {name}" for name, sql in self.counters.items())
        return f"SELECT {self._keys(self.derived)}, {sums}{also} FROM {rows} GROUP BY {self._places(1)}"

    def spread(self, fine: str) -> str:
        """A query of (grain, key, counters) in every grain over `fine`, the name of a (key, counters) table.

        Each cut sums up the smallest one that keeps what it keeps, and months sum up days: half the time of reading `fine`
        for all of them. Histograms by add_histograms (migration 0008): most groups are of one cell, of which sum(numeric) makes
        16 kB and 5 µs.
        """
        columns = ", ".join((*self.key, *self.counters))
        full, sums = self.cuts[-1], self._sums()
        source = {full: fine}
        days, selects = [], []
        for place, cut in reversed([*enumerate(self.cuts)]):
            dropped = {name: repr(value) for name, value in cut.dropped(full.keeps).items()}
            month = {"day": "date_trunc('month', day::timestamp)::date"}
            if cut.finer_days:
                source[cut] = fine
                month |= dropped
            elif cut is not full:
                source[cut] = cut.day.name.lower()
                finer = source[cheapest(self.cuts[place + 1 :], cut.keeps)]
                days.append(
                    f"{source[cut]} AS (SELECT {self._keys(dropped)}, {sums} FROM {finer} GROUP BY {self._places(1)})"
                )
            if not cut.finer_days:
                selects.append(f"SELECT {cut.day.value}::smallint, {columns} FROM {source[cut]}")
            selects.append(
                f"SELECT {cut.month.value}::smallint, {self._keys(month)}, {sums} FROM {source[cut]} "
                f"GROUP BY {self._places(2)}"
            )
        return f"WITH {', '.join(days)} {' UNION ALL '.join(selects)}"

    def _sums(self) -> str:
        """The counters of a group of finer cells."""
        sums = {name: f"sum({name})" for name in self.counters} | {"histogram": "add_histograms(histogram)"}
        return ", ".join(f"{sums[name]}::{self.type_of(name)} AS {name}" for name in self.counters)

    def _keys(self, replaced: Mapping[str, str]) -> str:
        return ", ".join(f"{replaced[name]} AS {name}" if name in replaced else name for name in self.key)

    def _places(self, first: int) -> str:
        """The key's columns in a GROUP BY, where they begin at `first` in the SELECT."""
        return ", ".join(str(place + first) for place in range(len(self.key)))

    def type_of(self, counter: str) -> str:
        return {"sum_s": "bigint", "histogram": "numeric"}.get(counter, "int")

    def upsert(self, fine: str) -> str:
        """Add `fine` to the cells. Sorted, so that neighbours in the index are written together."""
        columns = ", ".join(("grain", *self.key, *self.counters))
        order = ", ".join(str(place + 1) for place in range(len(self.key) + 1))
        added = ", ".join(f"{name} = cell.{name} + excluded.{name}" for name in self.counters)
        return (
            f"INSERT INTO {self.cell} AS cell ({columns}) {self.spread(fine)} ORDER BY {order} "
            f"ON CONFLICT (grain, {', '.join(self.key)}) DO UPDATE SET {added}"
        )

    def drain(self) -> str:
        """One statement: add the ledger rows below an id to the cells and delete them; returns (counted, deleted).

        Takes the id twice. Both halves see the one snapshot of the statement, hence the same rows. Handing the rows on
        by DELETE … RETURNING says the same and costs two thirds more (1 M rows: 1.6 s, not 0.95).
        """
        fine = self.fine(f"{self.ledger} WHERE id < %s", ", count(*) AS ledger_rows")
        return (
            f"WITH fine AS MATERIALIZED ({fine}), cells AS ({self.upsert('fine')}), "
            f"gone AS (DELETE FROM {self.ledger} WHERE id < %s RETURNING 1) "
            "SELECT (SELECT coalesce(sum(ledger_rows), 0)::bigint FROM fine), (SELECT count(*) FROM gone)"
        )

    def raw_rows(self, first: str, after: str) -> str:
        """A SELECT of what should be counted, one row each, of the days from `first` to before `after`, which are SQL."""
        return f"{self.raw} AND {self.within.format(first=first, after=after)}"

    def ledger_rows(self, first: str, after: str) -> str:
        """The same of what the ledger will still add, with its sign turned."""
        columns = ", ".join("-delta" if name == "delta" else name for name in self.row)
        return f"SELECT {columns} FROM {self.ledger} WHERE day >= {first} AND day < {after}"

    def days(self) -> str:
        """A SELECT of (first day, last day) between which every cell, ledger row and raw row lies; of NULLs where none is."""
        return (
            f"SELECT min(first), max(last) FROM ({self.raw_days} UNION ALL SELECT min(day), max(day) FROM {self.ledger} "
            f"UNION ALL SELECT min(ends.first), max(ends.last) FROM {self._parts()} AS part CROSS JOIN LATERAL (SELECT "
            f"min(day) AS first, max(day) AS last FROM {self.cell} AS cell WHERE {self._same('cell', 'part', self.part)}) "
            "AS ends) AS found (first, last)"
        )

    def differences(self, rows: str, first: str, after: str) -> str:
        """A SELECT of every cell that is not what `rows` make of it, as (grain, key, is_held, counters, excess_…).

        `rows`: a query of all rows from `first` to before `after`, which are SQL and the first days of months. `counters` are as they
        should be, and `excess_…` is how far those of the cell are above them. An all-zero cell counts as absent.
        """
        key = ("grain", *self.key)
        sides = {name: (f"coalesce(held.{name}, 0)", f"coalesce(wanted.{name}, 0)") for name in self.counters}
        columns = [f"{wanted} AS {name}" for name, (_held, wanted) in sides.items()]
        columns += [f"{held} - {wanted} AS excess_{name}" for name, (held, wanted) in sides.items()]
        return (
            f"WITH rows AS ({rows}), fine AS MATERIALIZED ({self.fine('rows')}), "
            f"wanted ({', '.join((*key, *self.counters))}) AS ({self.spread('fine')}), "
            # By its part, so that an index finds a month's cells.
            f"held AS (SELECT true AS is_held, cell.* FROM {self._parts()} AS part JOIN {self.cell} AS cell "
            f"ON {self._same('cell', 'part', self.part)} AND cell.day >= {first} AND cell.day < {after}) "
            f"SELECT {', '.join(key)}, is_held, {', '.join(columns)} FROM held FULL JOIN wanted USING ({', '.join(key)}) "
            f"WHERE {' OR '.join(f'{held} <> {wanted}' for held, wanted in sides.values())}"
        )

    def mend(self) -> str:
        """One statement: make every cell of a month what raw makes it. Takes `first` and `after`.

        What is right stays untouched: proving a cell costs a tenth of writing it. Updating and inserting apart: ON CONFLICT would
        look for each new cell twice.
        """
        key = ("grain", *self.key)
        columns = ", ".join((*key, *self.counters))
        first, after = "%(first)s", "%(after)s"
        return (
            f"WITH wrong AS MATERIALIZED ({self.differences(self.raw_rows(first, after), first, after)}), mended AS ("
            f"UPDATE {self.cell} AS cell SET {', '.join(f'{name} = wrong.{name}' for name in self.counters)} FROM wrong "
            f"WHERE is_held AND {self._same('cell', 'wrong', key)}) "
            f"INSERT INTO {self.cell} ({columns}) SELECT {columns} FROM wrong WHERE is_held IS NULL ORDER BY {', '.join(key)}"
        )

    def _parts(self) -> str:
        """Every `part` that there is, by as many steps through the primary key."""
        part = ", ".join(self.part)
        step = f"SELECT {part} FROM {self.cell} {{}} ORDER BY {part} LIMIT 1"
        above = f"WHERE ({part}) > ({', '.join(f'found.{name}' for name in self.part)})"
        return (
            f"(WITH RECURSIVE found AS (({step.format('')}) UNION ALL "
            f"SELECT next.* FROM found CROSS JOIN LATERAL ({step.format(above)}) AS next) SELECT * FROM found)"
        )

    @staticmethod
    def _same(one: str, other: str, columns: Sequence[str]) -> str:
        return " AND ".join(f"{one}.{name} = {other}.{name}" for name in columns)


_table = {
    model: model._meta.db_table for model in (Answer, Response, ScoreLedger, ScoreCell, Ticket, DurationLedger, DurationCell)
}  # fmt: skip

SCORE_KIND = Kind(
    cell=_table[ScoreCell],
    ledger=_table[ScoreLedger],
    row=("day", "touchpoint_id", "question_id", "mode", "segment", "location", "score", "delta"),
    key=("day", "touchpoint_id", "question_id", "mode", "segment", "location"),
    derived={},
    # CASE and not FILTER: a quarter faster over eleven counters.
    counters={f"s{score}": f"sum(CASE score WHEN {score} THEN delta ELSE 0 END)::int" for score in SCORES},
    cuts=SCORE_CUTS,
    part=("grain",),
    raw=(
        f"SELECT r.day, r.touchpoint_id, a.question_id, r.mode, r.segment, r.location, a.score, 1 AS delta "
        f"FROM {_table[Answer]} a JOIN {_table[Response]} r ON r.id = a.response_id "
        "WHERE a.score IS NOT NULL AND r.excluded_at IS NULL"
    ),
    within="r.day >= {first} AND r.day < {after}",
    raw_days=f"SELECT min(day), max(day) FROM {_table[Response]}",
)


DURATION_KIND = Kind(
    cell=_table[DurationCell],
    ledger=_table[DurationLedger],
    row=("basis", "day", "touchpoint_id", "segment", "location", "seconds", "reopened", "delta"),
    key=("basis", "day", "touchpoint_id", "segment", "location", "bucket"),
    derived={"bucket": bucket_sql("seconds")},
    counters={
        "n": "sum(delta)::int",
        "sum_s": "sum(delta * seconds)::bigint",
        "reopened": "sum(CASE WHEN reopened THEN delta ELSE 0 END)::int",
        "histogram": f"sum(delta) * {pack_sql(bucket_sql('seconds'))}",
    },
    cuts=DURATION_CUTS,
    part=("basis", "grain"),
    raw=COUNTED,
    within=COUNTED_WITHIN,
    raw_days=f"SELECT min(day_opened), max(greatest(day_opened, day_resolved)) FROM {_table[Ticket]} WHERE in_ttr",
)

KINDS = (SCORE_KIND, DURATION_KIND)


class LedgerTouched(RuntimeError):
    """Somebody deleted ledger rows without holding the drainer's lock. Nothing was counted; the next drain may go on."""


def roll_up(limit: int = BATCH) -> int:
    """Drain the oldest ledger rows, of `limit` consecutive ids at most per ledger, into the cells of all grains.

    How many rows it drained: 0 where the ledger is empty, or where somebody else is draining or rebuilding.
    """
    drained = 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"{TUNE}, pg_try_advisory_xact_lock(%s)", [DRAINER_LOCK])
        if not cursor.fetchone()[-1]:
            return 0
        for kind in KINDS:
            cursor.execute(f"SELECT min(id) FROM {kind.ledger}")
            oldest = cursor.fetchone()[0]
            if oldest is not None:
                cursor.execute(kind.drain(), [oldest + limit] * 2)
                counted, deleted = cursor.fetchone()
                if counted != deleted:  # counting them all the same would count them twice, or never
                    raise LedgerTouched(f"{counted} rows of {kind.ledger} were there, {deleted} were left to delete")
                drained += counted
    return drained


def sweep() -> int:
    """Delete cells that have come back to nothing, such as those of what was removed. How many there were.

    They count as absent in any case; gone, they no longer name a touchpoint or a segment that is no more.
    """
    swept = 0
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [DRAINER_LOCK])
        for kind in KINDS:
            cursor.execute(f"DELETE FROM {kind.cell} WHERE {' AND '.join(f'{name} = 0' for name in kind.counters)}")
            swept += cursor.rowcount
    return swept


def rebuild(progress: Callable[[int, int], Any] = lambda done, total: None) -> None:
    """Make all cells what raw makes them, month by month, while answers keep arriving. Those that are right already stay.

    `progress(done, total)` is told of each month. Whoever holds the drainer's lock is waited for, and nobody drains
    meanwhile. Must not run inside a transaction. A rebuild that is interrupted leaves whole months: run it again.
    """
    with connection.cursor() as cursor:
        # Before any snapshot: one taken while a drainer still works would not see what that drainer adds.
        cursor.execute("SELECT pg_advisory_lock(%s)", [DRAINER_LOCK])
        try:
            months = _months()
            for done, (first, after) in enumerate(months):
                progress(done, len(months))
                _rebuild_between(first, after)
            sweep()
            progress(len(months), len(months))
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [DRAINER_LOCK])


def _rebuild_between(first: date, after: date) -> None:
    """One snapshot: its raw rows are counted, its ledger rows go, and what commits later stays in the ledger.

    READ COMMITTED would see, in a later statement, ledger rows of answers that an earlier one did not count.
    """
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(TUNE)
        for kind in KINDS:
            cursor.execute(f"DELETE FROM {kind.ledger} WHERE day >= %s AND day < %s", [first, after])
            cursor.execute(kind.mend(), {"first": first, "after": after})


def _months() -> list[tuple[date, date]]:
    """Every month that holds a cell, a ledger row or something to count, as (first day, first day of the next)."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT start, (start + interval '1 month')::date FROM ({months_sql(KINDS)}) AS months ORDER BY 1"
        )
        return list(cursor.fetchall())


def months_sql(kinds: Sequence[Kind]) -> str:
    """A SELECT of the first day of every month from the first to the last that may hold something of these kinds."""
    days = " UNION ALL ".join(kind.days() for kind in kinds)
    return (
        "SELECT month::date AS start FROM "
        f"(SELECT min(first)::timestamp, max(last)::timestamp FROM ({days}) AS days (first, last)) AS ends (first, last), "
        "generate_series(date_trunc('month', first), last, interval '1 month') AS month"
    )
