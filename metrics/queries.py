"""Slices of cells, measured. In: a metric and a Slice. Out: a Measurement (value, interval, n, histogram, own fields).

Only cells are read, and of raw rows the tickets that are open now (through their partial index): what a question costs
follows the number of cells and periods, never the number of answers. Which formula is right is not decided here.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import connection

from metrics import formulas
from metrics.buckets import bucket_sql, unpack
from metrics.formulas import Estimate
from metrics.grains import DURATION_CUTS, SCORE_CUTS, Cut, cheapest
from metrics.models import SCORES, DurationCell, Grain, ScoreCell
from metrics.significance import MINIMUM_N, Comparison, Counts, Statistic
from metrics.slices import (
    INTERVALS,
    METRICS,
    OF_CELLS,
    OF_TOUCHPOINTS,
    Catalogue,
    Interval,
    Slice,
    UnusableSlice,
    check,
    spans,
    start_of,
    starts,
)
from metrics.strata import Weighted, compare_weighted, weigh
from surveys.models import Mode, Organisation, Ticket, Touchpoint
from surveys.scales import SCALES, Scale
from surveys.worktime import WorkCalendar, business_seconds

__all__ = [
    "INTERVALS", "METRICS", "OF_CELLS", "OF_TOUCHPOINTS", "WEIGHED_BY", "Ages", "Catalogue", "Durations", "Interval",
    "MatrixRow", "Measured", "Measurement", "ModeRow", "OpenTickets", "Scores", "Slice", "Tickets", "UnusableSlice",
    "WeightedMeasurement", "Window", "measure", "measure_ages", "measure_durations", "measure_histogram", "measure_matrix",
    "measure_modes", "measure_open", "measure_scores", "measure_tickets", "measure_trend", "measure_waiting",
    "measure_weighted",
    "measure_windows",
    "weights_of",
]  # fmt: skip

WEIGHED_BY = ("touchpoint", "segment")  # what can be given a weight

T = TypeVar("T")
SECOND = timedelta(seconds=1)

_score_cell, _duration_cell, _ticket = ScoreCell._meta.db_table, DurationCell._meta.db_table, Ticket._meta.db_table


@dataclass(frozen=True)
class Measured:
    """One metric of one histogram. `extra` holds the metric's own fields under the names that the API gives them.

    `distribution` counts per score, for ttr per bucket of the duration.

    nps in points −100…100; csat in percent, extra `mean`; ces on 1…7, extra `easy_share` in percent; ttr in seconds,
    extra `median`, `p90`, `median_with_open` (seconds), `reopened_share` (0…1), `open` (tickets).
    """

    metric: str
    points: int  # of the scale; 0 for ttr
    value: float | None
    n: int
    low: float | None
    high: float | None
    distribution: Mapping[int, int] = field(default_factory=dict)
    breakdown: Mapping[str, int] = field(default_factory=dict)
    extra: Mapping[str, float | int | None] = field(default_factory=dict)

    @property
    def counts(self) -> Counts:
        """What `significance.compare` takes."""
        exact = self.value * self.n if self.metric == "ttr" and self.value is not None else None
        return Counts(self.distribution, sum_s=exact)


@dataclass(frozen=True)
class Measurement:
    """The slice as a whole; by period, every one from first to last; by group, those that hold anything."""

    total: Measured
    series: Sequence[tuple[date, Measured]] = ()
    groups: Sequence[tuple[str, Measured]] = ()


@dataclass(frozen=True)
class _Asked:
    """What one query sums up: windows (of days) of one slice, cut by period and by group."""

    windows: Sequence[Slice]
    catalogue: Catalogue
    interval: Interval | None = None
    group_by: str | None = None
    hours: WorkCalendar | None = None  # durations in business time by these; else in calendar time

    @property
    def slice(self) -> Slice:
        return self.windows[0]

    def grouped(self) -> "_Asked":
        return replace(self, interval=None)

    def first(self) -> "_Asked":
        """What has the whole in it: its periods, else its groups. Both at once are asked for one after the other."""
        return replace(self, group_by=None) if self.interval else self

    def questions_of(self, metric: str) -> dict[int, Scale]:
        """Those of the metric, on the scale asked for where one is."""
        return {
            pk: scale
            for pk, scale in self.catalogue.questions.items()
            if scale.metric == metric and self.slice.scale in (None, scale.points)
        }

    def key(self, value: Any) -> str:
        """The group's key of what `_group_column` selected."""
        if self.group_by in OF_TOUCHPOINTS:
            return str(getattr(self.catalogue.place(int(value)), self.group_by))
        return value or ""


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
    asked = _Asked([slice_], catalogue, interval, group_by, hours)
    return _measure_durations(asked, now) if metric == "ttr" else _measure_scores(metric, asked)


def measure_trend(
    metric: str, slice_: Slice, interval: Interval, *, catalogue: Catalogue | None = None
) -> list[tuple[date, Measured]]:
    """`measure`'s series in one query: for ttr resolved tickets alone, so `open` is 0 and `median_with_open` null."""
    catalogue = catalogue or Catalogue.load()
    check(metric, slice_, None, catalogue)
    asked = _Asked([slice_], catalogue, interval)
    if metric != "ttr":
        return list(_measure_scores(metric, asked).series)
    periods: dict[date, _Durations] = {}
    for row in _duration_rows("resolved", asked):
        if row.period:
            periods.setdefault(row.period, _Durations()).add(row)
    held = (start for start, durations in periods.items() if durations.n)
    return [
        (start, periods.get(start, _Durations()).measured(0)) for start in starts(asked.interval, asked.slice, held)
    ]


@dataclass(frozen=True)
class MatrixRow:
    """One touchpoint × metric (CSAT per scale): now, and over the days to compare with."""

    touchpoint: str
    metric: str
    points: int
    now: Measured
    before: Measured | None


def measure_matrix(
    slice_: Slice, compare: tuple[date, date] | None, *, now: datetime, catalogue: Catalogue | None = None
) -> list[MatrixRow]:
    """Every touchpoint × metric that holds anything in the slice or in the days of `compare`, in three queries.

    TTR by the day resolved; `median_with_open` is left out here (null). CSAT scales stay apart whatever `slice_.scale`.
    """
    catalogue = catalogue or Catalogue.load()
    check("nps", replace(slice_, scale=None), None, catalogue)
    asked = _Asked(_windows(slice_, compare), catalogue, group_by="touchpoint")
    rows = _score_matrix(_score_rows(catalogue.questions, asked), asked)
    return rows if slice_.modes else rows + _ttr_matrix(asked, now)  # a ticket has no mode


def _windows(slice_: Slice, compare: tuple[date, date] | None) -> list[Slice]:
    return [slice_] if compare is None else [slice_, replace(slice_, day_from=compare[0], day_to=compare[1])]


def _score_matrix(scores: Sequence["_ScoreRow"], asked: _Asked) -> list[MatrixRow]:
    rows = []
    for scale in SCALES.values():
        counts: dict[tuple[str, int], list[int]] = {}
        for row in scores:
            if asked.catalogue.questions[row.question] is scale:
                _add(counts.setdefault((row.group, row.window), [0] * scale.points), row.histogram(scale))
        for touchpoint in sorted({key for (key, _window), histogram in counts.items() if any(histogram)}):
            pair = [
                _measured_scores(scale, counts.get((touchpoint, at), [0] * scale.points))
                for at in range(len(asked.windows))
            ]
            rows.append(MatrixRow(touchpoint, scale.metric, scale.points, pair[0], pair[1] if len(pair) > 1 else None))
    return rows


@dataclass(frozen=True)
class ModeRow:
    """One touchpoint × mode × metric (CSAT per scale)."""

    touchpoint: str
    mode: str
    now: Measured


def measure_modes(slice_: Slice, *, catalogue: Catalogue | None = None) -> list[ModeRow]:
    """Every touchpoint × mode × metric of answers that holds anything, in one query; tickets have no mode."""
    catalogue = catalogue or Catalogue.load()
    check("nps", replace(slice_, scale=None), None, catalogue)
    modes = sorted(slice_.modes) or list(Mode.values)
    asked = _Asked([replace(slice_, modes=frozenset([mode])) for mode in modes], catalogue, group_by="touchpoint")
    counts: dict[tuple[str, int, str, int], list[int]] = {}
    for row in _score_rows(catalogue.questions, asked):
        scale = catalogue.questions[row.question]
        key = (row.group, row.window, scale.metric, scale.points)
        _add(counts.setdefault(key, [0] * scale.points), row.histogram(scale))
    return [
        ModeRow(touchpoint, modes[at], _measured_scores(SCALES[metric, points], histogram))
        for (touchpoint, at, metric, points), histogram in sorted(counts.items())
        if any(histogram)
    ]


def _ttr_matrix(asked: _Asked, now: datetime) -> list[MatrixRow]:
    waiting: dict[str, int] = {}
    for group, _period, _inside, _bucket, count, _oldest in _open_rows(asked, now):
        waiting[group] = waiting.get(group, 0) + count
    return _matrix_of_tickets(_duration_rows("resolved", asked), waiting, asked)


def _matrix_of_tickets(rows: Iterable["_DurationRow"], waiting: Mapping[str, int], asked: _Asked) -> list[MatrixRow]:
    resolved: dict[tuple[str, int], _Durations] = {}
    for row in rows:
        resolved.setdefault((row.group, row.window), _Durations()).add(row)
    found = []
    for touchpoint in sorted({key for (key, _window), durations in resolved.items() if durations.n} | set(waiting)):
        pair = [
            resolved.get((touchpoint, at), _Durations()).measured(waiting.get(touchpoint, 0))
            for at in range(len(asked.windows))
        ]
        found.append(MatrixRow(touchpoint, "ttr", 0, pair[0], pair[1] if len(pair) > 1 else None))
    return found


# --- What one page asks, together -------------------------------------------------------------------------------------


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
            _add(periods.setdefault(start_of(interval, start), [0] * scale.points), histogram)
        return [
            (start, _measured_scores(scale, periods.get(start, [0] * scale.points)))
            for start in starts(interval, self._slice, (start for start, held in periods.items() if any(held)))
        ]

    def groups(self, column: tuple[str, int], dimension: str, window: int = 0) -> list[tuple[str, Measured]]:
        """Those that hold anything, by key; of window 1 those of the days to compare with."""
        found = self._groups.get((dimension, window), {}).get(column, {})
        return [(key, _measured_scores(SCALES[column], held)) for key, held in sorted(found.items()) if any(held)]


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
    asked = _Asked(_windows(slice_, compare), catalogue, group_by="touchpoint")
    alone = _Asked([slice_], catalogue)
    parts = [asked, replace(alone, interval=interval), *(replace(asked, group_by=name) for name in dimensions)]
    matrix, by_period, *by_group = _score_parts(catalogue.questions, parts)

    def histograms(rows: Iterable[_ScoreRow], part: str) -> dict[tuple[str, int], dict[Any, list[int]]]:
        found: dict[tuple[str, int], dict[Any, list[int]]] = {}
        for row in rows:
            scale = catalogue.questions[row.question]
            held = found.setdefault((scale.metric, scale.points), {})
            _add(held.setdefault(getattr(row, part), [0] * scale.points), row.histogram(scale))
        return found

    return Scores(
        _score_matrix(matrix, asked),
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
    _periods: Mapping[date, "_Durations"]
    _groups: Mapping[tuple[str, int], Mapping[str, "_Durations"]]
    oldest: datetime | None = None

    def series(self, interval: Interval) -> list[tuple[date, Measured]]:
        """As `Scores.series`; `open` is 0 and `median_with_open` null."""
        periods: dict[date, _Durations] = {}
        for start, held in self._periods.items():
            periods.setdefault(start_of(interval, start), _Durations()).merge(held)
        return [
            (start, periods.get(start, _Durations()).measured(0))
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
    asked = _Asked(_windows(slice_, compare), catalogue, group_by="touchpoint")
    alone = _Asked([slice_], catalogue)
    parts = [
        ("resolved", asked),
        ("resolved", replace(alone, interval=interval)),
        *(("resolved", replace(asked, group_by=name)) for name in dimensions),
        *([("opened", alone)] if now else []),
    ]
    rows = _duration_parts(parts)
    by_touchpoint, by_period = rows[0], rows[1]
    by_group = dict(zip(dimensions, rows[2:], strict=False))
    opened, held_open, since = _Opened(), dict(waiting or {}), []
    for row in rows[-1] if now else ():
        _add_buckets(opened.resolved, row)
    by_age = _open_rows(replace(alone, group_by="touchpoint"), now) if now else ()
    for group, _period, inside, bucket, count, oldest in by_age:
        held_open[group] = held_open.get(group, 0) + count
        since.append(oldest)
        if inside:
            opened.waiting[bucket] = opened.waiting.get(bucket, 0) + count

    def durations(rows: Iterable[_DurationRow], part: str) -> dict[Any, _Durations]:
        found: dict[Any, _Durations] = {}
        for row in rows:
            found.setdefault(getattr(row, part), _Durations()).add(row)
        return found

    whole = durations(by_period, "window").get(0, _Durations())
    return Tickets(
        _matrix_of_tickets(by_touchpoint, held_open, asked),
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
    where = _Where().dimensions(slice_, catalogue)
    rows = _fetch(
        f"SELECT coalesce(touchpoint_id, 0), count(*), min(opened_at) FROM {_ticket} "
        f"WHERE in_ttr AND resolved_at IS NULL AND {where.sql} GROUP BY 1",
        where.params,
    )
    return {catalogue.place(pk).touchpoint: OpenTickets(count, oldest) for pk, count, oldest in rows}


@dataclass(frozen=True)
class WeightedMeasurement:
    """A weighted score, its own parts and weights beside it (`strata`), and whether it changed; `comparison` None without `compare`."""

    total: Weighted
    comparison: Comparison | None


def measure_weighted(
    metric: str,
    slice_: Slice,
    by: str,
    weights: Mapping[str, float],
    *,
    compare: tuple[date, date] | None = None,
    statistic: Statistic = "value",
    minimum: int = MINIMUM_N,
    hours: WorkCalendar | None = None,
    catalogue: Catalogue | None = None,
) -> WeightedMeasurement:
    """`metric` of the slice where each touchpoint or segment (`by`) counts by its weight, in one query beside the catalogue's.

    `weights` by slug or by segment ("" is none): `weights_of` gives the organisation's. `compare`: the days to hold it against.
    `minimum` is the organisation's `min_n`. For ttr of the tickets resolved in the days: their mean, or with `statistic="median"`
    their median; in business time where `hours` are given, as in `measure`. UnusableSlice as `measure`; ValueError for another
    `by`. What it means and when it is withheld: `strata.weigh`.
    """
    if by not in WEIGHED_BY:
        raise ValueError(f"scores are weighted by {' or '.join(WEIGHED_BY)}")
    catalogue = catalogue or Catalogue.load()
    check(metric, slice_, by, catalogue)
    windows = [slice_] if compare is None else [slice_, replace(slice_, day_from=compare[0], day_to=compare[1])]
    points, sides = _strata(metric, _Asked(windows, catalogue, group_by=by, hours=hours))
    total = weigh(metric, points, sides[0], weights, statistic=statistic, minimum=minimum)
    if compare is None:
        return WeightedMeasurement(total, None)
    now, before = sides
    found = compare_weighted(metric, points, now, before, weights, statistic=statistic, minimum=minimum)
    return WeightedMeasurement(total, found)


def weights_of(
    by: str, organisation: Organisation, touchpoints: Iterable[Touchpoint], metric: str, points: int = 0
) -> dict[str, float]:
    """The organisation's weights, by slug or by segment. `touchpoints` with their instruments.

    Of touchpoints, those that are active and meant to measure the metric on this scale: by their instrument, and every one for ttr.
    So the weight of one that should have answers and has none is missed, and one that asks something else is not.
    """
    if by == "segment":
        return dict(organisation.segment_weights)
    return {
        row.slug: row.weight
        for row in touchpoints
        if row.active
        and (
            metric == "ttr"
            or (row.instrument is not None and (row.instrument.metric, row.instrument.points) == (metric, points))
        )
    }


def _strata(metric: str, asked: _Asked) -> tuple[int, list[dict[str, Counts]]]:
    """The points of the scale, and for each window what each group holds."""
    sides: list[dict[str, Counts]] = [{} for _window in asked.windows]
    if metric == "ttr":
        durations: dict[tuple[int, str], _Durations] = {}
        for one in _duration_rows("resolved", asked):
            durations.setdefault((one.window, one.group), _Durations()).add(one)
        for (window, group), held in durations.items():
            sides[window][group] = Counts(held.buckets, sum_s=held.sum_s)
        return 0, sides
    wanted = asked.questions_of(metric)
    rows = _score_rows(wanted, asked)
    scale = _only_scale(metric, rows, asked)
    histograms: dict[tuple[int, str], list[int]] = {}
    for row in rows:
        if wanted[row.question] is scale:
            _add(histograms.setdefault((row.window, row.group), [0] * scale.points), row.histogram(scale))
    for (window, group), histogram in histograms.items():
        sides[window][group] = Counts(dict(zip(scale.scores, histogram, strict=True)))
    return scale.points, sides


# --- Scores -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _ScoreRow:
    window: int
    question: int
    period: date | None
    group: str
    counts: Sequence[int]  # s0…s10

    def histogram(self, scale: Scale) -> Sequence[int]:
        return self.counts[scale.low : scale.high + 1]


def _measure_scores(metric: str, asked: _Asked) -> Measurement:
    wanted = asked.questions_of(metric)
    rows = _score_rows(wanted, asked.first())
    scale = _only_scale(metric, rows, asked)
    nothing = [0] * scale.points
    total = list(nothing)
    periods: dict[date, list[int]] = {}
    for row in rows:
        if wanted[row.question] is scale:
            _add(total, row.histogram(scale))
            if row.period:
                _add(periods.setdefault(row.period, list(nothing)), row.histogram(scale))
    series = [
        (start, _measured_scores(scale, periods.get(start, nothing)))
        for start in starts(
            asked.interval, asked.slice, (start for start, histogram in periods.items() if any(histogram))
        )
    ]
    groups: dict[str, list[int]] = {}
    for row in (_score_rows(wanted, asked.grouped()) if asked.interval else rows) if asked.group_by else ():
        if wanted[row.question] is scale:
            _add(groups.setdefault(row.group, list(nothing)), row.histogram(scale))
    keys = _group_keys(asked, (key for key, histogram in groups.items() if any(histogram)))
    return Measurement(
        _measured_scores(scale, total),
        series,
        [(key, _measured_scores(scale, groups.get(key, nothing))) for key in keys],
    )


def _only_scale(metric: str, rows: Iterable[_ScoreRow], asked: _Asked) -> Scale:
    """The one scale of which the slice holds answers; where it holds none, the one asked for or the metric's first."""
    held = {asked.catalogue.questions[row.question].points for row in rows if any(row.counts)}
    if len(held) > 1:
        raise UnusableSlice(
            "scale", "This slice holds answers on 5 and on 7 points, which are never pooled: add scale=5|7."
        )
    points = held.pop() if held else asked.slice.scale
    return next(scale for scale in SCALES.values() if scale.metric == metric and points in (None, scale.points))


def measure_histogram(column: tuple[str, int], histogram: Sequence[int]) -> Measured:
    """Counts per score that were summed up elsewhere, measured. KeyError for what is no metric of a scale."""
    return _measured_scores(SCALES[column], histogram)


def _measured_scores(scale: Scale, histogram: Sequence[int]) -> Measured:
    extra: dict[str, float | int | None] = {}
    if scale.metric == "nps":
        estimate = formulas.nps(histogram)
    elif scale.metric == "csat":
        estimate = formulas.csat_top_box(histogram, scale)
        extra["mean"] = formulas.score_mean(histogram, scale)
    else:
        estimate = formulas.ces_mean(histogram)
        extra["easy_share"] = formulas.ces_easy_share(histogram).value
    return Measured(
        scale.metric, scale.points, estimate.value, estimate.n, estimate.low, estimate.high,
        dict(zip(scale.scores, histogram, strict=True)), scale.band_counts(list(histogram)), extra,
    )  # fmt: skip


def _score_rows(questions: Mapping[int, Scale], asked: _Asked) -> list[_ScoreRow]:
    """One query: histograms of the questions by window, period and group."""
    return _score_parts(questions, [asked])[0]


def _score_parts(questions: Mapping[int, Scale], parts: Sequence[_Asked]) -> list[list[_ScoreRow]]:
    """The same of several questions about one set of answers, in one query."""
    if not questions:
        return [[] for _asked in parts]
    names = [f"s{score}" for score in SCORES]
    sums = ", ".join(f"sum({name})::bigint" for name in names)
    common = _Where().among("question_id", sorted(questions))
    cells, params = _select_parts(
        _score_cell, SCORE_CUTS, "question_id", sums, names, [(common, asked) for asked in parts]
    )
    found: list[list[_ScoreRow]] = [[] for _asked in parts]
    for part, window, period, key, question, *counts in _fetch(cells, params):
        found[part].append(_ScoreRow(window, question, period, parts[part].key(key), counts))
    return found


# --- Durations --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _DurationRow:
    window: int
    period: date | None
    group: str
    buckets: Sequence[int]
    counts: Sequence[int]
    sum_s: int
    reopened: int


def _add_buckets(total: dict[int, int], row: _DurationRow) -> None:
    for bucket, count in zip(row.buckets, row.counts, strict=True):
        total[bucket] = total.get(bucket, 0) + count


@dataclass
class _Durations:
    """Sums of resolved tickets' cells, by the day resolved."""

    buckets: dict[int, int] = field(default_factory=dict)
    n: int = 0
    sum_s: int = 0
    reopened: int = 0

    def add(self, row: _DurationRow) -> None:
        _add_buckets(self.buckets, row)
        self.n += sum(row.counts)
        self.sum_s += row.sum_s
        self.reopened += row.reopened

    def merge(self, other: "_Durations") -> None:
        for bucket, count in other.buckets.items():
            self.buckets[bucket] = self.buckets.get(bucket, 0) + count
        self.n += other.n
        self.sum_s += other.sum_s
        self.reopened += other.reopened

    def measured(self, waiting: int, opened: "_Opened | None" = None) -> Measured:
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
class _Opened:
    """Tickets opened in the period, by bucket of their duration or, while open, of their age."""

    resolved: dict[int, int] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)

    def median(self) -> float | None:
        return formulas.kaplan_meier_median(self.resolved, self.waiting)

    def any(self) -> bool:
        return any(self.resolved.values()) or any(self.waiting.values())


def _measure_durations(asked: _Asked, now: datetime) -> Measurement:
    everything, groups, periods = _sum_durations(asked.first(), now)
    held = (start for start, tickets in periods.items() if tickets.any())
    # `open` is a count of now, whatever the days asked for: it is the slice's in every period.
    series = [
        (start, periods.get(start, _Tickets()).measured(everything.open))
        for start in starts(asked.interval, asked.slice, held)
    ]
    if asked.group_by and asked.interval:
        groups = _sum_durations(asked.grouped(), now)[1]
    keys = _group_keys(asked, (key for key, tickets in groups.items() if tickets.any()))
    return Measurement(everything.measured(), series, [(key, groups.get(key, _Tickets()).measured()) for key in keys])


@dataclass
class _Tickets:
    """All that TTR needs of one period or group."""

    resolved: _Durations = field(default_factory=_Durations)
    opened: _Opened = field(default_factory=_Opened)
    open: int = 0

    def any(self) -> bool:
        return bool(self.resolved.n or self.open or self.opened.any())

    def measured(self, waiting: int | None = None) -> Measured:
        return self.resolved.measured(self.open if waiting is None else waiting, self.opened)


def _sum_durations(asked: _Asked, now: datetime) -> tuple[_Tickets, dict[str, _Tickets], dict[date, _Tickets]]:
    """Three queries: all tickets, those of each group where there is a grouping, and by the start of the period."""
    everything = _Tickets()
    groups: dict[str, _Tickets] = {}
    periods: dict[date, _Tickets] = {}

    def sums(group: str, period: date | None) -> list[_Tickets]:
        held = [everything]
        if asked.group_by:
            held.append(groups.setdefault(group, _Tickets()))
        return [*held, periods.setdefault(period, _Tickets())] if period else held

    for row in _duration_rows("resolved", asked):
        for tickets in sums(row.group, row.period):
            tickets.resolved.add(row)
    for row in _duration_rows("opened", asked):
        for tickets in sums(row.group, row.period):
            _add_buckets(tickets.opened.resolved, row)
    for group, period, inside, bucket, count, _oldest in _open_rows(asked, now):
        for tickets in sums(group, period if inside else None):
            if inside:
                tickets.opened.waiting[bucket] = tickets.opened.waiting.get(bucket, 0) + count
        for tickets in sums(group, None):
            tickets.open += count
    return everything, groups, periods


def _duration_rows(basis: str, asked: _Asked) -> list[_DurationRow]:
    """One query: durations of a basis by window, period and group, with their buckets and counts as two lists of one length."""
    return _duration_parts([(basis, asked)])[0]


def _duration_parts(parts: Sequence[tuple[str, _Asked]]) -> list[list[_DurationRow]]:
    """The same of several questions, each with its basis, in one query."""
    names = ["sum_s", "reopened", "histogram"]
    sums = "sum(sum_s)::bigint, sum(reopened)::bigint, sum(histogram)::text"
    cells, params = _select_parts(
        _duration_cell, DURATION_CUTS, "NULL::int", sums, names,
        [(_Where().equal("basis", _basis_of(basis, asked)), asked) for basis, asked in parts],
    )  # fmt: skip
    found: list[list[_DurationRow]] = [[] for _part in parts]
    for part, window, period, key, _none, sum_s, reopened, histogram in _fetch(cells, params):
        found[part].append(_DurationRow(window, period, parts[part][1].key(key), *unpack(histogram), sum_s, reopened))
    return found


def _basis_of(basis: str, asked: _Asked) -> str:
    """As cells name it: with its clock."""
    return basis if asked.hours is None else f"{basis}-business"


def _open_rows(asked: _Asked, now: datetime) -> list[tuple[str, date | None, bool, int, int, datetime]]:
    """One query: tickets open now as (group, period opened, opened in the days asked for, bucket of age, count, oldest's opening)."""
    where = _Where().dimensions(asked.slice, asked.catalogue)
    inside = _Where().days("day_opened", asked.slice.day_from, asked.slice.day_to)
    # A clock that runs ahead opens tickets in the future: they are 0 s old.
    age = bucket_sql("greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint")
    columns = (
        f"{_group_column(asked, 'coalesce(touchpoint_id, 0)')}, {_period_column(asked, 'day_opened')}, {inside.sql}"
    )
    tickets = f"FROM {_ticket} WHERE in_ttr AND resolved_at IS NULL AND {where.sql}"
    if asked.hours is None:
        rows = _fetch(
            f"SELECT {columns}, {age}, count(*), min(opened_at) {tickets} GROUP BY 1, 2, 3, 4",
            [*inside.params, now, *where.params],
        )
    else:
        # Only the calendar knows how much of an age is working time, and it is no SQL.
        counted: dict[tuple[Any, ...], tuple[int, datetime]] = {}
        for *place, opened_at in _fetch(f"SELECT {columns}, opened_at {tickets}", [*inside.params, *where.params]):
            key = (*place, formulas.bucket_of(_age(opened_at, now, asked.hours)))
            count, oldest = counted.get(key, (0, opened_at))
            counted[key] = count + 1, min(oldest, opened_at)
        rows = [(*key, *held) for key, held in counted.items()]
    return [(asked.key(key), *held) for key, *held in rows]


def _age(opened_at: datetime, now: datetime, hours: WorkCalendar | None) -> int:
    if opened_at >= now:
        return 0
    return (now - opened_at) // SECOND if hours is None else business_seconds(opened_at, now, hours)


# --- Durations as such, for the page on tickets -----------------------------------------------------------------------


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
    asked = _Asked([slice_], catalogue, interval, group_by, hours)
    total, series, groups = _Durations(), dict[date, _Durations](), dict[str, _Durations]()
    for row in _duration_rows(basis, asked):
        total.add(row)
        if row.period:
            series.setdefault(row.period, _Durations()).add(row)
        if group_by:
            groups.setdefault(row.group, _Durations()).add(row)
    return Split(
        _settled(total),
        {start: _settled(held) for start, held in series.items() if held.n},
        {key: _settled(held) for key, held in groups.items() if held.n},
    )


def _settled(held: _Durations) -> Durations:
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
    asked = _Asked([slice_], catalogue, interval, group_by, hours)
    total, series, groups = dict[int, int](), dict[date, dict[int, int]](), dict[str, dict[int, int]]()
    for group, period, inside, bucket, count, _oldest in _open_rows(asked, now):
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
    where = _Where().dimensions(slice_, catalogue)
    tickets = f"FROM {_ticket} WHERE in_ttr AND resolved_at IS NULL AND {where.sql}"
    unanswered = "(first_response_at IS NULL OR first_response_at < opened_at)"
    bins = [0] * (len(edges) + 1)
    silent = 0
    if hours is None:
        age = "greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint"
        rows = _fetch(
            f"SELECT width_bucket({age}, %s::bigint[]), count(*), count(*) FILTER (WHERE {unanswered}) {tickets} GROUP BY 1",
            [now, list(edges), *where.params],
        )
        for place, count, of_them in rows:
            bins[place] += count
            silent += of_them
    else:
        for opened_at, is_silent in _fetch(f"SELECT opened_at, {unanswered} {tickets}", where.params):
            bins[bisect_right(edges, _age(opened_at, now, hours))] += 1
            silent += is_silent
    return Ages(bins, silent)


# --- Cells ------------------------------------------------------------------------------------------------------------


class _Where:
    """Conditions joined by AND, with their parameters. Starts as TRUE."""

    def __init__(self) -> None:
        self.conditions: list[str] = []
        self.params: list[Any] = []

    @property
    def sql(self) -> str:
        return f"({' AND '.join(self.conditions)})" if self.conditions else "TRUE"

    def add(self, condition: str, value: Any) -> "_Where":
        self.conditions.append(condition)
        self.params.append(value)
        return self

    def equal(self, column: str, value: Any) -> "_Where":
        return self.add(f"{column} = %s", value)

    def among(self, column: str, values: Sequence[Any]) -> "_Where":
        return self.add(f"{column} = ANY(%s)", list(values))

    def days(self, column: str, first: date | None, last: date | None) -> "_Where":
        if first:
            self.add(f"{column} >= %s", first)
        if last:
            self.add(f"{column} <= %s", last)
        return self

    def dimensions(self, slice_: Slice, catalogue: Catalogue) -> "_Where":
        touchpoints = catalogue.touchpoint_ids(slice_)
        if touchpoints is not None:
            self.among("touchpoint_id", touchpoints)
        for dimension in OF_CELLS:
            if values := slice_.values_of(dimension):
                self.among(dimension, sorted(values))
        return self


def _select_cells(
    table: str, cuts: Sequence[Cut], head: str, sums: str, common: _Where, asked: _Asked
) -> tuple[str, list[Any]]:
    """SQL and parameters of sums of cells by (window, period, key of the group, `head` column).

    Each window is read at the cheapest grains that serve it; one key may come more than once, from days and from months.
    """
    columns = f"{_period_column(asked, 'day')}, {_group_column(asked, 'touchpoint_id')}, {head}"
    selects, params = [], []
    for number, window in enumerate(asked.windows):
        cut = cheapest(cuts, window.needs(asked.group_by))
        where = _Where().dimensions(window, asked.catalogue)
        if any(window.values_of(dimension) for dimension in cut.keeps.intersection(OF_CELLS)):
            # True of every cell of the cut; with it a prefix of the index on parts is all of them and no others.
            for column, value in cut.dropped(cuts[-1].keeps.intersection(OF_CELLS)).items():
                where.equal(column, value)
        for grain, first, last in spans(window, asked.interval, cut):
            span = _Where().equal("grain", grain.value).days("day", first, last)
            conditions = f"{span.sql} AND {common.sql} AND {where.sql}"
            selects.append(f"SELECT {number}, {columns}, {sums} FROM {table} WHERE {conditions} GROUP BY 2, 3, 4")
            params += [*span.params, *common.params, *where.params]
    return " UNION ALL ".join(selects), params


def _select_parts(
    table: str, cuts: Sequence[Cut], head: str, sums: str, names: Sequence[str], parts: Sequence[tuple[_Where, _Asked]]
) -> tuple[str, list[Any]]:
    """`_select_cells` of several questions at once, each row led by the number of its question: part, at, period, key, head, `names`.

    A key is a touchpoint's number in one and a segment's name in the next, so here all are text.
    """
    columns = ", ".join(names)
    selects, params = [], []
    for number, (common, asked) in enumerate(parts):
        cells, own = _select_cells(table, cuts, head, sums, common, asked)
        selects.append(
            f"SELECT {number} AS part, at, period, key::text AS key, head, {columns} "
            f"FROM ({cells}) AS cells (at, period, key, head, {columns})"
        )
        params += own
    return " UNION ALL ".join(selects), params


def _fetch(sql: str, params: Sequence[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def _period_column(asked: _Asked, day: str) -> str:
    return f"date_trunc('{asked.interval}', {day}::timestamp)::date" if asked.interval else "NULL::date"


def _group_column(asked: _Asked, touchpoint: str) -> str:
    if asked.group_by is None:
        return "NULL::text"
    return touchpoint if asked.group_by in OF_TOUCHPOINTS else asked.group_by


def _group_keys(asked: _Asked, held: Iterable[str]) -> list[str]:
    """Groups that hold anything, and those that the slice names whether they do or not."""
    return sorted({*held, *asked.slice.values_of(asked.group_by)}) if asked.group_by else []


def _add(total: list[int], counts: Sequence[int]) -> None:
    for place, count in enumerate(counts):
        total[place] += count


# --- Windows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """Days, both ends included, at touchpoints (their ids), whose answers are pooled."""

    touchpoints: Sequence[int]
    first: date
    last: date


def measure_windows(
    windows: Sequence[Window], *, now: datetime, catalogue: Catalogue
) -> list[dict[tuple[str, int], Counts]]:
    """Each window's counts by (metric, points), where it holds any: three queries, however many windows. Scales stay apart.

    Of ttr (points 0) the tickets opened on these days: resolved ones by bucket, and those still open now by the bucket of their age.
    """
    cut = [
        (number, place, window.first, window.last)
        for number, window in enumerate(windows)
        for place in window.touchpoints
    ]
    counts: list[dict[tuple[str, int], dict[int, int]]] = [{} for _window in windows]
    waiting: list[dict[int, int]] = [{} for _window in windows]
    if not cut:
        return [{} for _window in windows]
    # One index lookup per touchpoint and window. Whole days: a window is a few weeks, so months would save nothing.
    held = "unnest(%s::int[], %s::bigint[], %s::date[], %s::date[]) AS w (number, touchpoint, first, last)"
    params = [list(column) for column in zip(*cut, strict=True)]
    inside = "grain = %s AND touchpoint_id = w.touchpoint AND day BETWEEN w.first AND w.last"
    sums = ", ".join(f"sum(s{score})::bigint" for score in SCORES)
    age = bucket_sql("greatest(floor(extract(epoch FROM %s - opened_at)), 0)::bigint")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT w.number, question_id, {sums} FROM {held} JOIN {_score_cell} ON {inside} GROUP BY 1, 2",
            [*params, Grain.DAY_TOTAL.value],
        )
        for number, question, *scores in cursor.fetchall():
            scale = catalogue.questions.get(question)
            if scale is not None:
                counted = counts[number].setdefault((scale.metric, scale.points), {})
                for score in scale.scores:
                    counted[score] = counted.get(score, 0) + scores[score]
        cursor.execute(
            f"SELECT w.number, sum(histogram)::text FROM {held} JOIN {_duration_cell} ON basis = 'opened' AND {inside} GROUP BY 1",
            [*params, Grain.DAY_TOTAL.value],
        )
        for number, packed in cursor.fetchall():
            counts[number]["ttr", 0] = dict(zip(*unpack(packed), strict=True))
        cursor.execute(
            f"SELECT w.number, {age}, count(*) FROM {held} JOIN {_ticket} t ON t.touchpoint_id = w.touchpoint "
            "AND t.day_opened BETWEEN w.first AND w.last WHERE t.in_ttr AND t.resolved_at IS NULL GROUP BY 1, 2",
            [now, *params],
        )
        for number, bucket, count in cursor.fetchall():
            waiting[number][bucket] = count
            counts[number].setdefault(("ttr", 0), {})
    return [
        {
            column: Counts(distribution, waiting[number] if column == ("ttr", 0) else {})
            for column, distribution in found.items()
            if any(distribution.values()) or (column == ("ttr", 0) and waiting[number])
        }
        for number, found in enumerate(counts)
    ]


# --- Many slices at once ----------------------------------------------------------------------------------------------


class Ask(NamedTuple):
    """One metric on one scale over closed days of one slice, by ids: what `count_many` is asked, thousands at a time.

    `touchpoints` None is everything; `mode`, `segment` and `location` "" do not narrow. `points` is 0 for ttr.
    """

    metric: str
    points: int
    touchpoints: tuple[int, ...] | None
    mode: str
    segment: str
    location: str
    first: date
    last: date


@dataclass
class Found:
    """What the cells of an Ask hold: counts per score from the scale's lowest, or per bucket of resolved tickets."""

    ask: Ask
    histogram: Sequence[int] = ()
    durations: _Durations = field(default_factory=_Durations)

    @cached_property
    def estimate(self) -> Estimate:
        """The metric, for ttr the median of what was resolved."""
        if self.ask.metric == "ttr":
            return formulas.ttr_median(self.durations.buckets)
        if self.ask.metric == "nps":
            return formulas.nps(self.histogram)
        if self.ask.metric == "ces":
            return formulas.ces_mean(self.histogram)
        return formulas.csat_top_box(self.histogram, SCALES[self.ask.metric, self.ask.points])

    @property
    def side(self) -> Counts:
        """For `significance.compare`."""
        if self.ask.metric == "ttr":
            return Counts(self.durations.buckets, sum_s=self.durations.sum_s)
        return Counts(dict(zip(SCALES[self.ask.metric, self.ask.points].scores, self.histogram, strict=True)))

    @property
    def measured(self) -> Measured:
        """As `measure` gives the slice's total, for ttr without what is open."""
        if self.ask.metric == "ttr":
            return self.durations.measured(0)
        return _measured_scores(SCALES[self.ask.metric, self.ask.points], self.histogram)


def count_many(asks: Sequence[Ask], catalogue: Catalogue) -> list[Found]:
    """What each Ask holds, in their order, by one statement however many there are."""
    found = [Found(ask, [0] * ask.points) for ask in asks]
    if not asks:
        return found
    statement, params = many_statement(asks, catalogue)
    if not statement:  # of no touchpoint at all
        return found
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        rows = cursor.fetchall()
    for number, counts, histogram, sum_s, reopened in rows:
        held = found[number]
        if counts is not None:
            scale = SCALES[held.ask.metric, held.ask.points]
            held.histogram = counts[scale.low : scale.high + 1]
        else:
            buckets, of_bucket = unpack(histogram)
            held.durations = _Durations(dict(zip(buckets, of_bucket, strict=True)), sum(of_bucket), sum_s, reopened)
    return found


def many_statement(asks: Sequence[Ask], catalogue: Catalogue) -> tuple[str, list[Any]]:
    """The statement of `count_many`: a row per Ask that holds anything, (its number, counts, packed histogram, seconds, reopened).

    Of scores there are the eleven counters alone, of durations all but these. An Ask of certain touchpoints finds its cells by the
    index that begins with them; one of everything by the days.
    """
    scales = list(SCALES)
    cut_of: dict[tuple[Any, ...], list[tuple[Grain, date | None, date | None]]] = {}
    pieces: dict[tuple[bool, bool], list[tuple[Any, ...]]] = {}
    places: dict[tuple[int, ...], int] = {}
    for number, ask in enumerate(asks):
        is_ttr = ask.metric == "ttr"
        narrowed = (ask.mode or None, ask.segment or None, ask.location or None)
        key = (is_ttr, *(value is not None for value in narrowed), ask.first, ask.last)
        if key not in cut_of:
            needed = {
                "touchpoint",
                *(name for name, value in zip(OF_CELLS, narrowed, strict=True) if value is not None),
            }
            cut = cheapest(DURATION_CUTS if is_ttr else SCORE_CUTS, needed)
            cut_of[key] = spans(Slice(day_from=ask.first, day_to=ask.last), None, cut)
        scale = -1 if is_ttr else scales.index((ask.metric, ask.points))
        place = -1 if ask.touchpoints is None else places.setdefault(ask.touchpoints, len(places))
        rows = pieces.setdefault((is_ttr, ask.touchpoints is None), [])
        for grain, first, last in cut_of[key]:
            rows.append((number, grain.value, first, last, scale, place, *narrowed))
    questions = [(scales.index((one.metric, one.points)), pk) for pk, one in catalogue.questions.items()]
    touchpoints = [(place, pk) for pks, place in places.items() for pk in pks]
    selects, params = [], []
    for (is_ttr, everywhere), rows in pieces.items():
        selects.append(_many_durations(everywhere) if is_ttr else _many_scores(everywhere))
        params += [list(column) for column in zip(*rows, strict=True)]
        for pairs in ([] if is_ttr else [questions]) + ([] if everywhere else [touchpoints]):
            params += [[left for left, _right in pairs], [right for _left, right in pairs]]
    return " UNION ALL ".join(selects), params


_ASKED = """unnest(%s::int[], %s::smallint[], %s::date[], %s::date[], %s::int[], %s::int[], %s::text[], %s::text[], %s::text[])
    AS a (number, grain, first, last, scale, place, mode, segment, location)"""
_QUESTIONS = "JOIN unnest(%s::int[], %s::bigint[]) AS q (scale, question) ON q.scale = a.scale"
_TOUCHPOINTS = "JOIN unnest(%s::int[], %s::bigint[]) AS t (place, touchpoint) ON t.place = a.place"
_NARROWED = """c.grain = a.grain AND c.day BETWEEN a.first AND a.last
    AND (a.segment IS NULL OR c.segment = a.segment) AND (a.location IS NULL OR c.location = a.location)"""


def _many_scores(everywhere: bool) -> str:
    sums = ", ".join(f"sum(c.s{score})::bigint" for score in SCORES)
    touchpoints, where = ("", "TRUE") if everywhere else (_TOUCHPOINTS, "c.touchpoint_id = t.touchpoint")
    return (
        f"SELECT a.number, ARRAY[{sums}], NULL::text, 0::bigint, 0::bigint FROM {_ASKED} {_QUESTIONS} {touchpoints} "
        f"JOIN {_score_cell} c ON c.question_id = q.question AND {where} AND {_NARROWED} "
        "AND (a.mode IS NULL OR c.mode = a.mode) GROUP BY 1"
    )


def _many_durations(everywhere: bool) -> str:
    touchpoints, where = ("", "TRUE") if everywhere else (_TOUCHPOINTS, "c.touchpoint_id = t.touchpoint")
    return (
        "SELECT a.number, NULL::bigint[], sum(c.histogram)::text, sum(c.sum_s)::bigint, sum(c.reopened)::bigint "
        f"FROM {_ASKED} {touchpoints} "
        f"JOIN {_duration_cell} c ON c.basis = 'resolved' AND {where} AND {_NARROWED} GROUP BY 1"
    )
