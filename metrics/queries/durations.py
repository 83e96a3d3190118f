"""Durations of cells, and the tickets that are open now. In: what is asked. Out: buckets by window, period and group, and TTR of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from metrics import formulas
from metrics.buckets import bucket_sql, unpack
from metrics.formulas import Estimate
from metrics.grains import DURATION_CUTS
from metrics.queries.asked import (
    DURATION_CELL,
    TICKET,
    Asked,
    Where,
    fetch,
    group_column,
    group_keys,
    period_column,
    select_parts,
)
from metrics.queries.measured import Measured, Measurement
from metrics.slices import starts
from surveys.worktime import WorkCalendar, business_seconds

SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class DurationRow:
    window: int
    period: date | None
    group: str
    buckets: Sequence[int]
    counts: Sequence[int]
    sum_s: int
    reopened: int


def add_buckets(total: dict[int, int], row: DurationRow) -> None:
    for bucket, count in zip(row.buckets, row.counts, strict=True):
        total[bucket] = total.get(bucket, 0) + count


@dataclass
class DurationSums:
    """Sums of resolved tickets' cells, by the day resolved."""

    buckets: dict[int, int] = field(default_factory=dict)
    n: int = 0
    sum_s: int = 0
    reopened: int = 0

    def add(self, row: DurationRow) -> None:
        add_buckets(self.buckets, row)
        self.n += sum(row.counts)
        self.sum_s += row.sum_s
        self.reopened += row.reopened

    def merge(self, other: "DurationSums") -> None:
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.n += other.n
        self.sum_s += other.sum_s
        self.reopened += other.reopened

    def measured(self, waiting: int, opened: "Opened | None" = None) -> Measured:
        buckets = dict(sorted(self.buckets.items()))  # floats are summed in one order, however the rows came
        estimate: Estimate = formulas.ttr_mean(buckets, self.sum_s)
        extra: dict[str, float | int | None] = {
            "median": formulas.ttr_quantile(buckets, 0.5),
            "p90": formulas.ttr_quantile(buckets, 0.9),
            "reopened_share": self.reopened / self.n if self.n else None,
            "median_with_open": opened.median() if opened else None,
            "open": waiting,
        }
        return Measured("ttr", 0, estimate.value, estimate.n, estimate.low, estimate.high, buckets, extra=extra)


@dataclass
class Opened:
    """Tickets opened in the period, by bucket of their duration or, while open, of their age."""

    resolved: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)

    def median(self) -> float | None:
        return formulas.kaplan_meier_median(self.resolved, self.waiting)

    def any(self) -> bool:
        return any(self.resolved.values()) or any(self.waiting.values())


def metric_of_durations(asked: Asked, now: datetime) -> Measurement:
    everything, groups, periods = _sum_durations(asked.first(), now)
    held = (start for start, tickets in periods.items() if tickets.any())
    # `open` is a count of now, whatever the days asked for: it is the slice's in every period.
    series = [
        (start, periods.get(start, TicketSums()).measured(everything.open))
        for start in starts(asked.interval, asked.slice, held)
    ]
    if asked.group_by and asked.interval:
        groups = _sum_durations(asked.grouped(), now)[1]
    keys = group_keys(asked, (key for key, tickets in groups.items() if tickets.any()))
    return Measurement(everything.measured(), series, [(key, groups.get(key, TicketSums()).measured()) for key in keys])


@dataclass
class TicketSums:
    """All that TTR needs of one period or group."""

    resolved: DurationSums = field(default_factory=DurationSums)
    opened: Opened = field(default_factory=Opened)
    open: int = 0

    def any(self) -> bool:
        return bool(self.resolved.n or self.open or self.opened.any())

    def measured(self, waiting: int | None = None) -> Measured:
        return self.resolved.measured(self.open if waiting is None else waiting, self.opened)


def _sum_durations(asked: Asked, now: datetime) -> tuple[TicketSums, dict[str, TicketSums], dict[date, TicketSums]]:
    """Three queries: all tickets, those of each group where there is a grouping, and by the start of the period."""
    everything = TicketSums()
    groups: dict[str, TicketSums] = {}
    periods: dict[date, TicketSums] = {}

    def sums(group: str, period: date | None) -> list[TicketSums]:
        held = [everything]
        if asked.group_by:
            held.append(groups.setdefault(group, TicketSums()))
        return [*held, periods.setdefault(period, TicketSums())] if period else held

    for row in duration_rows("resolved", asked):
        for tickets in sums(row.group, row.period):
            tickets.resolved.add(row)
    for row in duration_rows("opened", asked):
        for tickets in sums(row.group, row.period):
            add_buckets(tickets.opened.resolved, row)
    for group, period, inside, bucket, count, _oldest in open_rows(asked, now):
        for tickets in sums(group, period if inside else None):
            if inside:
                tickets.opened.waiting[bucket] = tickets.opened.waiting.get(bucket, 0) + count
        for tickets in sums(group, None):
            tickets.open += count
    return everything, groups, periods


def duration_rows(basis: str, asked: Asked) -> list[DurationRow]:
    """One query: durations of a basis by window, period and group, with their buckets and counts as two lists of one length."""
    return duration_parts([(basis, asked)])[0]


def duration_parts(parts: Sequence[tuple[str, Asked]]) -> list[list[DurationRow]]:
    """The same of several questions, each with its basis, in one query."""
    names = ["sum_s", "reopened", "histogram"]
    sums = "sum(sum_s)::bigint, sum(reopened)::bigint, sum(histogram)::text"
    cells, params = select_parts(
        DURATION_CELL, DURATION_CUTS, "NULL::int", sums, names,
        [(Where().equal("basis", _basis_of(basis, asked)), asked) for basis, asked in parts],
    )  # fmt: skip
    found: list[list[DurationRow]] = [[] for _part in parts]
    for part, window, period, key, _none, sum_s, reopened, histogram in fetch(cells, params):
        found[part].append(DurationRow(window, period, parts[part][1].key(key), *unpack(histogram), sum_s, reopened))
    return found


def _basis_of(basis: str, asked: Asked) -> str:
    """As cells name it: with its clock."""
    return basis if asked.hours is None else f"{basis}-business"


def open_rows(asked: Asked, now: datetime) -> list[tuple[str, date | None, bool, int, int, datetime]]:
    """One query: tickets open now as (group, period opened, opened in the days asked for, bucket of age, count, oldest's opening)."""
    where = Where().dimensions(asked.slice, asked.catalogue)
    inside = Where().days("day_opened", asked.slice.day_from, asked.slice.day_to)
    # A clock that runs ahead opens tickets in the future: they are 0 s old.
    age = bucket_sql("greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint")
    columns = f"{group_column(asked, 'coalesce(touchpoint_id, 0)')}, {period_column(asked, 'day_opened')}, {inside.sql}"
    tickets = f"FROM {TICKET} WHERE in_ttr AND resolved_at IS NULL AND {where.sql}"
    if asked.hours is None:
        rows = fetch(
            f"SELECT {columns}, {age}, count(*), min(opened_at) {tickets} GROUP BY 1, 2, 3, 4",
            [*inside.params, now, *where.params],
        )
    else:
        # Only the calendar knows how much of an age is working time, and it is no SQL.
        counted: dict[tuple[Any, ...], tuple[int, datetime]] = {}
        for *place, opened_at in fetch(f"SELECT {columns}, opened_at {tickets}", [*inside.params, *where.params]):
            key = (*place, formulas.bucket_of(age_of(opened_at, now, asked.hours)))
            count, oldest = counted.get(key, (0, opened_at))
            counted[key] = count + 1, min(oldest, opened_at)
        rows = [(*key, *held) for key, held in counted.items()]
    return [(asked.key(key), *held) for key, *held in rows]


def age_of(opened_at: datetime, now: datetime, hours: WorkCalendar | None) -> int:
    if opened_at >= now:
        return 0
    return (now - opened_at) // SECOND if hours is None else business_seconds(opened_at, now, hours)
