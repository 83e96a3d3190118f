"""One metric of one slice, with its series and its groups."""

from datetime import date, datetime

from metrics.queries.asked import Asked
from metrics.queries.durations import DurationSums, duration_rows, metric_of_durations
from metrics.queries.measured import Measured, Measurement
from metrics.queries.scores import metric_of_scores
from metrics.slices import (
    Catalogue,
    Interval,
    Slice,
    check,
    starts,
)
from surveys.worktime import WorkCalendar


def measure(
    metric: str,
    slice_: Slice,
    *,
    now: datetime,
    interval: Interval | None = None,
    group_by: str | None = None,
    hours: WorkCalendar | None = None,
    catalogue: Catalogue | None = None,
) -> Measurement:
    """`metric` of the slice, with a series where an `interval` and with groups where a dimension to `group_by` is given.

    `now` is the moment to which open tickets count; `hours`, which must be the organisation's, tell ttr in business time.
    UnusableSlice where a filter names nothing that exists, where CSAT
    scales would be pooled, or where the series would have more than MAX_PERIODS periods.
    """
    catalogue = catalogue or Catalogue.load()
    check(metric, slice_, group_by, catalogue)
    asked = Asked([slice_], catalogue, interval, group_by, hours)
    return metric_of_durations(asked, now) if metric == "ttr" else metric_of_scores(metric, asked)


def measure_trend(
    metric: str, slice_: Slice, interval: Interval, *, catalogue: Catalogue | None = None
) -> list[tuple[date, Measured]]:
    """`measure`'s series in one query: for ttr resolved tickets alone, so `open` is 0 and `median_with_open` null."""
    catalogue = catalogue or Catalogue.load()
    check(metric, slice_, None, catalogue)
    asked = Asked([slice_], catalogue, interval)
    if metric != "ttr":
        return list(metric_of_scores(metric, asked).series)
    periods: dict[date, DurationSums] = {}
    for row in duration_rows("resolved", asked):
        if row.period:
            periods.setdefault(row.period, DurationSums()).add(row)
    held = (start for start, durations in periods.items() if durations.n)
    return [
        (start, periods.get(start, DurationSums()).measured(0)) for start in starts(asked.interval, asked.slice, held)
    ]
