"""All that one page asks of a slice, in few statements: figures, periods and groups of every metric at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from metrics.queries.asked import TICKET, Asked, Where, fetch
from metrics.queries.durations import DurationRow, DurationSums, Opened, add_buckets, duration_parts, open_rows
from metrics.queries.matrix import MatrixRow, matrix_of_tickets, score_matrix, windows_of
from metrics.queries.measured import Measured, add_counts, measured_scores
from metrics.queries.scores import ScoreRow, score_parts
from metrics.slices import (
    Catalogue,
    Interval,
    Slice,
    check,
    start_of,
    starts,
)
from surveys.scales import SCALES


@dataclass(frozen=True)
class Scores:
    """All scores of one slice: a row per touchpoint × metric, and by metric and scale its periods and groups."""

    rows: Sequence[MatrixRow]
    _slice: Slice
    _periods: Mapping[tuple[str, int], Mapping[date, Sequence[int]]]
    _groups: Mapping[tuple[str, int], Mapping[tuple[str, int], Mapping[str, Sequence[int]]]]

    def series(self, column: tuple[str, int], interval: Interval) -> list[tuple[date, Measured]]:
        """Every period, from the first to the last; `interval` as it was asked for or coarser (a week is no part of a month)."""
        scale = SCALES[column]
        periods: dict[date, list[int]] = {}
        for start, histogram in self._periods.get(column, {}).items():
            add_counts(periods.setdefault(start_of(interval, start), [0] * scale.points), histogram)
        return [
            (start, measured_scores(scale, periods.get(start, [0] * scale.points)))
            for start in starts(interval, self._slice, (start for start, held in periods.items() if any(held)))
        ]

    def groups(self, column: tuple[str, int], dimension: str, window: int = 0) -> list[tuple[str, Measured]]:
        """Those that hold anything, by key; of window 1 those of the days to compare with."""
        found = self._groups.get((dimension, window), {}).get(column, {})
        return [(key, measured_scores(SCALES[column], held)) for key, held in sorted(found.items()) if any(held)]


def measure_scores(
    slice_: Slice,
    compare: tuple[date, date] | None,
    interval: Interval,
    dimensions: Sequence[str] = (),
    *,
    catalogue: Catalogue,
) -> Scores:
    """`measure_matrix`'s scores with their periods, and their groups by each of the `dimensions`: one query for all of it."""
    check("nps", replace(slice_, scale=None), None, catalogue)
    asked = Asked(windows_of(slice_, compare), catalogue, group_by="touchpoint")
    alone = Asked([slice_], catalogue)
    parts = [asked, replace(alone, interval=interval), *(replace(asked, group_by=name) for name in dimensions)]
    matrix, by_period, *by_group = score_parts(catalogue.questions, parts)

    def histograms(rows: Iterable[ScoreRow], part: str) -> dict[tuple[str, int], dict[Any, list[int]]]:
        found: dict[tuple[str, int], dict[Any, list[int]]] = {}
        for row in rows:
            scale = catalogue.questions[row.question]
            held = found.setdefault((scale.metric, scale.points), {})
            add_counts(held.setdefault(getattr(row, part), [0] * scale.points), row.histogram(scale))
        return found

    return Scores(
        score_matrix(matrix, asked),
        slice_,
        histograms(by_period, "period"),
        {
            (name, window): histograms((row for row in rows if row.window == window), "group")
            for name, rows in zip(dimensions, by_group, strict=True)
            for window in range(len(asked.windows))
        },
    )


@dataclass(frozen=True)
class Tickets:
    """TTR of one slice: a row per touchpoint; the whole, its periods, its groups; since when the oldest open ticket is."""

    rows: Sequence[MatrixRow]
    total: Measured
    _slice: Slice
    _periods: Mapping[date, "DurationSums"]
    _groups: Mapping[tuple[str, int], Mapping[str, "DurationSums"]]
    oldest: datetime | None = None

    def series(self, interval: Interval) -> list[tuple[date, Measured]]:
        """As `Scores.series`; `open` is 0 and `median_with_open` null."""
        periods: dict[date, DurationSums] = {}
        for start, held in self._periods.items():
            periods.setdefault(start_of(interval, start), DurationSums()).merge(held)
        return [
            (start, periods.get(start, DurationSums()).measured(0))
            for start in starts(interval, self._slice, (start for start, held in periods.items() if held.n))
        ]

    def groups(self, dimension: str, window: int = 0) -> list[tuple[str, Measured]]:
        found = self._groups.get((dimension, window), {})
        return [(key, held.measured(0)) for key, held in sorted(found.items()) if held.n]


def measure_tickets(
    slice_: Slice,
    compare: tuple[date, date] | None,
    interval: Interval,
    dimensions: Sequence[str] = (),
    *,
    now: datetime | None = None,
    waiting: Mapping[str, int] | None = None,
    catalogue: Catalogue,
) -> Tickets:
    """`measure_matrix`'s TTR with its periods and groups: one query.

    With `now`, two: the whole then has `open` and `median_with_open`, and `oldest` is known. `waiting`: how many are open, by
    touchpoint, where that is known already.
    """
    check("ttr", slice_, None, catalogue)
    asked = Asked(windows_of(slice_, compare), catalogue, group_by="touchpoint")
    alone = Asked([slice_], catalogue)
    parts = [
        ("resolved", asked),
        ("resolved", replace(alone, interval=interval)),
        *(("resolved", replace(asked, group_by=name)) for name in dimensions),
        *([("opened", alone)] if now else []),
    ]
    rows = duration_parts(parts)
    by_touchpoint, by_period = rows[0], rows[1]
    by_group = dict(zip(dimensions, rows[2:], strict=False))
    opened, held_open, since = Opened(), dict(waiting or {}), []
    for row in rows[-1] if now else ():
        add_buckets(opened.resolved, row)
    by_age = open_rows(replace(alone, group_by="touchpoint"), now) if now else ()
    for group, _period, inside, bucket, count, oldest in by_age:
        held_open[group] = held_open.get(group, 0) + count
        since.append(oldest)
        if inside:
            opened.waiting[bucket] = opened.waiting.get(bucket, 0) + count

    def durations(rows: Iterable[DurationRow], part: str) -> dict[Any, DurationSums]:
        found: dict[Any, DurationSums] = {}
        for row in rows:
            found.setdefault(getattr(row, part), DurationSums()).add(row)
        return found

    whole = durations(by_period, "window").get(0, DurationSums())
    return Tickets(
        matrix_of_tickets(by_touchpoint, held_open, asked),
        whole.measured(sum(held_open.values()), opened if now else None),
        slice_,
        durations(by_period, "period"),
        {
            (name, window): durations((row for row in held if row.window == window), "group")
            for name, held in by_group.items()
            for window in range(len(asked.windows))
        },
        min(since, default=None),
    )


@dataclass(frozen=True)
class OpenTickets:
    """How many tickets of a touchpoint are open now, and since when the oldest is."""

    count: int
    oldest: datetime


def measure_open(slice_: Slice, *, catalogue: Catalogue) -> dict[str, OpenTickets]:
    """By touchpoint ("" for none), those that have any: one query, whatever the days of the slice."""
    where = Where().dimensions(slice_, catalogue)
    rows = fetch(
        f"SELECT coalesce(touchpoint_id, 0), count(*), min(opened_at) FROM {TICKET} "
        f"WHERE in_ttr AND resolved_at IS NULL AND {where.sql} GROUP BY 1",
        where.params,
    )
    return {catalogue.place(pk).touchpoint: OpenTickets(count, oldest) for pk, count, oldest in rows}
