"""Durations as such, for the page on tickets: of each basis and on either clock, what waits, and how old it is."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Generic, TypeVar

from metrics.queries.asked import TICKET, Asked, Where, fetch
from metrics.queries.durations import DurationSums, age_of, duration_rows, open_rows
from metrics.slices import (
    Catalogue,
    Interval,
    Slice,
    check,
)
from surveys.worktime import WorkCalendar

T = TypeVar("T")


@dataclass(frozen=True)
class Durations:
    """Durations of tickets per bucket; `sum_s` is exact; `reopened` of them were reopened (0 for first responses)."""

    buckets: Mapping[int, int] = field(default_factory=dict)
    n: int = 0
    sum_s: int = 0
    reopened: int = 0


@dataclass(frozen=True)
class Split(Generic[T]):
    """A whole; by the start of its period, those that hold anything; by group, likewise."""

    total: T
    series: Mapping[date, T] = field(default_factory=dict)
    groups: Mapping[str, T] = field(default_factory=dict)


def measure_durations(
    basis: str,
    slice_: Slice,
    *,
    hours: WorkCalendar | None = None,
    interval: Interval | None = None,
    group_by: str | None = None,
    catalogue: Catalogue | None = None,
) -> Split[Durations]:
    """Durations of one basis in one query: "resolved" by the day resolved, "opened" the same by the day opened, "answered" to the
    first response by the day opened. In business time where `hours` are given, which must be the organisation's. Tickets that are
    still open are not among them: `measure_waiting`. UnusableSlice as `measure`.
    """
    catalogue = catalogue or Catalogue.load()
    check("ttr", slice_, group_by, catalogue)
    asked = Asked([slice_], catalogue, interval, group_by, hours)
    total, series, groups = DurationSums(), dict[date, DurationSums](), dict[str, DurationSums]()
    for row in duration_rows(basis, asked):
        total.add(row)
        if row.period:
            series.setdefault(row.period, DurationSums()).add(row)
        if group_by:
            groups.setdefault(row.group, DurationSums()).add(row)
    return Split(
        _settled(total),
        {start: _settled(held) for start, held in series.items() if held.n},
        {key: _settled(held) for key, held in groups.items() if held.n},
    )


def _settled(held: DurationSums) -> Durations:
    return Durations({bucket: n for bucket, n in held.buckets.items() if n}, held.n, held.sum_s, held.reopened)


def measure_waiting(
    slice_: Slice,
    *,
    now: datetime,
    hours: WorkCalendar | None = None,
    interval: Interval | None = None,
    group_by: str | None = None,
    catalogue: Catalogue | None = None,
) -> Split[Mapping[int, int]]:
    """Tickets opened in the slice's days and open now, per bucket of their age, in one query: what Kaplan–Meier censors."""
    catalogue = catalogue or Catalogue.load()
    check("ttr", slice_, group_by, catalogue)
    asked = Asked([slice_], catalogue, interval, group_by, hours)
    total, series, groups = dict[int, int](), dict[date, dict[int, int]](), dict[str, dict[int, int]]()
    for group, period, inside, bucket, count, _oldest in open_rows(asked, now):
        if inside:
            held = [total, *([series.setdefault(period, {})] if period else [])]
            held += [groups.setdefault(group, {})] if group_by else []
            for ages in held:
                ages[bucket] = ages.get(bucket, 0) + count
    return Split(total, series, groups)


@dataclass(frozen=True)
class Ages:
    """Tickets open now: how many per bin of age (below the first edge, …, from the last edge on); how many nobody has answered."""

    bins: Sequence[int]
    unanswered: int

    @property
    def n(self) -> int:
        return sum(self.bins)


def measure_ages(
    slice_: Slice,
    edges: Sequence[int],
    *,
    now: datetime,
    hours: WorkCalendar | None = None,
    catalogue: Catalogue | None = None,
) -> Ages:
    """All tickets of the slice that are open now, whatever its days, by exact age in seconds; in one query."""
    catalogue = catalogue or Catalogue.load()
    check("ttr", slice_, None, catalogue)
    where = Where().dimensions(slice_, catalogue)
    tickets = f"FROM {TICKET} WHERE in_ttr AND resolved_at IS NULL AND {where.sql}"
    unanswered = "(first_response_at IS NULL OR first_response_at < opened_at)"
    bins = [0] * (len(edges) + 1)
    silent = 0
    if hours is None:
        age = "greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint"
        rows = fetch(
            f"SELECT width_bucket({age}, %s::bigint[]), count(*), count(*) FILTER (WHERE {unanswered}) {tickets} GROUP BY 1",
            [now, list(edges), *where.params],
        )
        for place, count, of_them in rows:
            bins[place] += count
            silent += of_them
    else:
        for opened_at, is_silent in fetch(f"SELECT opened_at, {unanswered} {tickets}", where.params):
            bins[bisect_right(edges, age_of(opened_at, now, hours))] += 1
            silent += is_silent
    return Ages(bins, silent)
